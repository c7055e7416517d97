"""Finds, reads and validates the TOML files of `params/`: one error format for all of them.

A name is looked up in the shipped folder (`params/` of a checkout, `dipolar_md/params` of an
installed package); anything that looks like a path is read as a file.
"""

import difflib
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dipolar_md.errors import InputError

Number = Annotated[float, Field(strict=True)]
Positive = Annotated[float, Field(gt=0, strict=True)]
Text = Annotated[str, Field(min_length=1)]


class Parameters(BaseModel):
    """A table of a parameter file: immutable, finite numbers only, unknown keys rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Quantity(Parameters):
    """A positive physical number with its provenance."""

    value: Positive
    source: Text
    status: Literal["published", "calibrated", "computed", "estimated"]


M = TypeVar("M", bound=Parameters)


@cache
def parameter_folder() -> Path:
    """Return the folder of the shipped parameter files."""
    installed = Path(__file__).parent / "params"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "params"


def parameter_names(kind: str) -> list[str]:
    """Return the shipped names of a kind (`clusters`, `solvents`, `recipes`, `microscopes`, …)."""
    return sorted(path.stem for path in (parameter_folder() / kind).glob("*.toml"))


def closest(word: str, known: Iterable[str]) -> str:
    """Return a hint naming what is known, the nearest spelling first."""
    known = list(known)
    near = difflib.get_close_matches(word.lower(), known, n=3, cutoff=0.5)
    rest = ", ".join(known)
    return f"did you mean {' or '.join(near)}? (known: {rest})" if near else f"known: {rest}"


def parameter_file(kind: str, name: str | Path) -> Path:
    """Return the file behind a shipped name or a path.

    Raises:
        InputError: no such name or file; the nearest names are listed.
    """
    path, one = Path(name), "study" if kind == "studies" else kind.removesuffix("s")
    if isinstance(name, Path) or path.suffix == ".toml" or len(path.parts) > 1:
        if not path.is_file():
            raise InputError(f"{path}: no such file ({one} expected)")
        return path
    shipped = parameter_folder() / kind / f"{name}.toml"
    if not shipped.is_file():
        raise InputError(f"unknown {one} '{name}': {closest(str(name), parameter_names(kind))}")
    return shipped


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises:
        InputError: the file can't be read or is no TOML; the line is named.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: can't be read ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from error


def validate(model: type[M], data: dict[str, Any], where: str | Path) -> M:
    """Return `data` as a validated `model`.

    Raises:
        InputError: naming the file (`where`), each key, the value found and what is allowed.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = [_explain(item, model) for item in error.errors(include_url=False)]
        raise InputError(f"{where}: " + "; ".join(lines)) from error


def _explain(item: Any, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in item["loc"]) or "(whole file)"
    if item["type"] == "extra_forbidden":
        table: Any = model
        for part in item["loc"][:-1]:
            table = _table_of(table, part)
        fields = getattr(table, "model_fields", {})
        return f"unknown key '{key}'; " + closest(str(item["loc"][-1]), fields)
    if item["type"] == "missing":
        return f"key '{key}' is missing"
    found = item["input"]
    shown = "" if isinstance(found, dict | list) else f" (found {found!r})"
    return f"key '{key}': {item['msg'].removeprefix('Value error, ')}{shown}"


def _table_of(table: Any, part: Any) -> Any:
    """Return the model that the annotation of field `part` holds, through lists and unions."""
    if isinstance(part, int) or not hasattr(table, "model_fields"):
        return table
    field = table.model_fields.get(part)
    queue = [field.annotation] if field else []
    while queue:
        kind = queue.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
        queue.extend(getattr(kind, "__args__", ()))
    return table


def load(model: type[M], kind: str, name: str | Path) -> M:
    """Return the validated parameter file of a shipped name or a path."""
    path = parameter_file(kind, name)
    return validate(model, read_toml(path), path)
