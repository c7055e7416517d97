"""The only writer of files: each appears whole or not at all, and one sentence says why it doesn't.

A file is written beside its place under a name of its own (`.NAME.TOKEN.part`), brought to the disk
and renamed; then the name is brought there, too. A killed process may leave such a file;
`is_partial` knows it.
"""

import csv
import errno
import fcntl
import io
import json
import os
import secrets
import stat
import tempfile
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
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        try:
            yield part
            os.fsync(handle)
            os.replace(part, target)
            sync(target.parent)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)
    except OSError as error:
        raise RunDirectoryError(f"{path}: can't be written: {error.strerror or error}") from error


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk.

    Raises:
        OSError: The disk doesn't take it.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # folders of some network disks
            raise
    finally:
        os.close(handle)


@contextmanager
def locked(folder: Path, wait: bool = False) -> Iterator[None]:
    """Hold a folder against other processes by its file `.lock`, which is never emptied.

    Args:
        folder: The folder.
        wait: Whether to wait for another process that holds it.

    Raises:
        RunDirectoryError: Another process holds it, `.lock` is a link, or it can't be written.
    """
    try:
        handle = os.open(
            folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666
        )
    except OSError as error:
        reason = "is a link, which is no lock; remove it"
        if error.errno != errno.ELOOP:
            reason = f"can't be written: {error.strerror}"
        raise RunDirectoryError(f"{folder / '.lock'}: {reason}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise RunDirectoryError(f"{folder}: another process is running here") from error
        yield
    finally:
        os.close(handle)


def is_locked(folder: Path) -> bool:
    """Return whether a process holds a folder."""
    try:
        handle = os.open(folder / ".lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def nameless(text: str) -> Iterator[str]:
    """Yield where this process can read a text, in a file that no folder shows.

    The word has no blanks, quotes or dollars, whatever the folder of temporary files is called.
    """
    with tempfile.TemporaryFile("w+", encoding="ascii") as file:
        file.write(text)
        file.seek(0)
        yield f"/dev/fd/{file.fileno()}"


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


def read_bytes(path: Path, most_MB: float = 100.0) -> bytes:
    """Return what is in a file.

    Args:
        path: A file; no folder, device or pipe, which may never end.
        most_MB: Size above which it isn't read.

    Raises:
        InputError: It can't be read, is no file or too large.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{path}: can't be read (no file)")
            if status.st_size > most_MB * 1e6:
                size = f"{status.st_size / 1e6:.0f} MB, at most {most_MB:g} MB"
                raise InputError(f"{path}: can't be read: too large ({size})")
            return file.read()
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror})") from error
    except ValueError as error:  # a name with a zero byte
        raise InputError(f"{str(path)!r}: can't be read ({error})") from error


def read_json(path: Path) -> dict[str, Any]:
    """Return the table in a JSON file.

    Raises:
        InputError: It can't be read, isn't JSON or no table.
    """
    data = read_bytes(path)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: can't be read: no JSON ({error})") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: can't be read: a table is expected, not {str(value)[:40]!r}")
    return value


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
