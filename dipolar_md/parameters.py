"""Finds, reads and validates the TOML files of `params/`: one error format for all of them.

A name is looked up in the shipped folder (`params/` of a checkout, `dipolar_md/params` of an
installed package); anything that looks like a path is read as a file.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from dipolar_md.errors import InputError
from dipolar_md.files import read_bytes


def _not_tiny(value: float) -> float:
    if value < 1 / LARGEST:
        raise ValueError(f"must be at least {1 / LARGEST:g}")
    return value


LARGEST = 1e12
"""Largest magnitude of a number in a file, in whatever unit; a positive one isn't below 1e-12."""
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, strict=True)]
Positive = Annotated[float, Field(gt=0, le=LARGEST, strict=True), AfterValidator(_not_tiny)]
Count = Annotated[int, Field(ge=1, le=10**12, strict=True)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1, strict=True)]
NAME_RULE = "letters of ASCII, digits, '.', '_' and '-', the first a letter or digit, at most 100"


def is_name(text: str) -> bool:
    """Return whether a text can be a file's name anywhere, and a word to any shell."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", text) is not None


def _checked_name(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"a name has {NAME_RULE}")
    return text


def _checked_text(text: str) -> str:
    if odd := [letter for letter in text if not (letter.isprintable() or letter in "\n\t")]:
        raise ValueError(f"has a control character ({odd[0]!r})")
    return text


Text = Annotated[str, Field(min_length=1), AfterValidator(_checked_text)]
Name = Annotated[str, AfterValidator(_checked_name)]


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
    return parse_toml(read_bytes(path, 10.0), path)


def parse_toml(data: bytes, where: str | Path) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        InputError: it is no TOML; `where` and the line are named.
    """
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: can't be read ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where}: not valid TOML: {_shortened(str(error), 200)}") from error
    except (RecursionError, ValueError) as error:  # nested too deep, a number of 5,000 digits
        raise InputError(f"{where}: not a file of parameters: {error}") from error


def validate(model: type[M], data: dict[str, Any], where: str | Path) -> M:
    """Return `data` as a validated `model`.

    Raises:
        InputError: naming the file (`where`), each key, the value found and what is allowed.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = [_explain(item, model) for item in error.errors(include_url=False)]
        more = [f"and {len(lines) - 10} more"] if len(lines) > 10 else []
        raise InputError(f"{where}: " + "; ".join(lines[:10] + more)) from error


def _explain(item: Any, model: type[BaseModel]) -> str:
    key = _shortened(".".join(str(part) for part in item["loc"])) or "(whole file)"
    if item["type"] == "extra_forbidden":
        table: Any = model
        for part in item["loc"][:-1]:
            table = _table_of(table, part)
        fields = getattr(table, "model_fields", {})
        return f"unknown key '{key}'; " + closest(str(item["loc"][-1]), fields)
    if item["type"] == "missing":
        return f"key '{key}' is missing"
    found = item["input"]
    shown = "" if isinstance(found, dict | list) else f" (found {_shortened(repr(found))})"
    return f"key '{key}': {_shortened(item['msg'].removeprefix('Value error, '), 500)}{shown}"


def _shortened(text: str, most: int = 80) -> str:
    return text if len(text) <= most else f"{text[: most - 20]}… ({len(text)} letters)"


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
