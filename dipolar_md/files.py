"""The only writer of files: each appears whole or not at all, and one sentence says why it doesn't.

A file is written beside its place under a name of its own (`.NAME.TOKEN.part`), brought to the disk
and renamed. A killed process may leave such a file; `is_partial` knows it.
"""

import csv
import io
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dipolar_md.errors import InputError, RunDirectoryError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PART = ".part"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of an empty new file that takes the place of `path` when the block ends well.

    Missing folders are made. A link stays a link: what it points at is replaced. A device or pipe,
    like `/dev/stdout`, is yielded itself.

    Raises:
        RunDirectoryError: an OSError, also one of the block: put nothing but writing in it.
    """
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}{_PART}")
    try:
        if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
            yield path
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            yield part
            os.fsync(handle)
            os.replace(part, target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)
    except OSError as error:
        raise RunDirectoryError(f"{path}: can't be written: {error.strerror or error}") from error


def is_partial(path: Path) -> bool:
    """Whether a file is one that a killed process left unfinished."""
    return path.name.startswith(".") and path.suffix == _PART


def write_bytes(path: Path, data: bytes) -> Path:
    """Write a file; return its path.

    Raises:
        RunDirectoryError: it can't be written.
    """
    with replacing(path) as part:
        part.write_bytes(data)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write a text as UTF-8; return its path.

    Raises:
        RunDirectoryError: it can't be written.
    """
    return write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> Path:
    """Write a value as indented JSON; return its path.

    Raises:
        RunDirectoryError: it can't be written.
        ValueError: it holds a number that is not finite, which JSON doesn't have.
    """
    return write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_csv(
    path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None
) -> Path:
    """Write rows as CSV with a line of names; return the file's path.

    Args:
        path: The file.
        rows: Values by column; None and what a row lacks stay empty, floats get six digits.
        columns: Names of the columns, default those of any row in order of appearance.

    Raises:
        RunDirectoryError: it can't be written.
    """
    rows = list(rows)
    names = columns if columns is not None else list(dict.fromkeys(key for r in rows for key in r))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    return write_text(path, text.getvalue())


def save_figure(path: Path, figure: "Figure") -> Path:
    """Write a figure in the format that the file's ending names; return its path.

    Raises:
        InputError: no such format.
        RunDirectoryError: it can't be written.
    """
    known = figure.canvas.get_supported_filetypes()
    ending = path.suffix.removeprefix(".").lower()
    if ending not in known:
        allowed = ", ".join(f".{name}" for name in sorted(known))
        raise InputError(f"{path}: '{path.suffix}' is no format of figures (allowed: {allowed})")
    picture = io.BytesIO()
    figure.savefig(picture, format=ending)
    return write_bytes(path, picture.getvalue())
