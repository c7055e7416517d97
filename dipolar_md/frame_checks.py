"""The layer below trajectories: what each frame is signed with, and a look at a file before GSD's.

Every frame of a run carries the id of the run, the hash of its recipe and a checksum over all its
chunks, with their names, types and shapes. `FrameTable` reads the index of a GSD file by itself, so
that a file which claims more than it holds is refused before anything is allocated, frames are
checked without being unpacked, and sound frames are saved from a damaged file. The layout is that
of https://gsd.readthedocs.io/en/stable/file-layer.html, versions 1 and 2.
"""

import mmap
import os
import shutil
import struct
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dipolar_md.errors import InputError
from dipolar_md.files import replacing

RUN_ID = "log/run_id"
RECIPE = "log/recipe_sha256"
CHECKSUM = "log/checksum"
_STEP = "configuration/step"
_NUMBER = "particles/N"
_HEADER = struct.Struct("<QQQQQII64s64s80x")
_MAGIC = 0x65DF65DF65DF65DF
_ENTRY = np.dtype(
    [
        *(("frame", "<u8"), ("n", "<u8"), ("place", "<i8"), ("m", "<u4")),
        *(("name", "<u2"), ("type", "u1"), ("flags", "u1")),
    ]
)
_TYPES = ("", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8", "S1")
"""Types of chunks as numpy names them, by GSD's number."""
_SIZES = np.array([0] * 256)
_SIZES[1:12] = [int(code[1]) for code in _TYPES[1:]]
_NAME_BYTES = 64


class Identity(NamedTuple):
    """What the frames of a run have in common.

    Attributes:
        run_id: Random id of the run.
        recipe_sha256: SHA-256 of its `recipe.toml`.
    """

    run_id: str
    recipe_sha256: str


class SignedFile:
    """A GSD file open for writing that adds its checksum to every frame.

    Σ is the CRC-32 of the chunks' bytes in the order of the file, plus that of each chunk's name,
    type and shape times 1, 3, 5 … in the same order, modulo 2³².

    Attributes:
        file: The `gsd.fl.GSDFile`.
    """

    def __init__(self, file: Any) -> None:
        self.file = file
        self._bytes, self._shapes, self._weight = 0, 0, 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write_chunk(self, name: str, data: Any) -> None:
        """Write a chunk and count it in."""
        if isinstance(data, str):
            array, code = np.frombuffer(data.encode(), np.uint8), "S1"
        else:
            array = np.ascontiguousarray(data)
            code = array.dtype.str[1:]
        if array.size:
            self._bytes = zlib.crc32(array.data, self._bytes)
            width = array.shape[1] if array.ndim == 2 else 1
            self._shapes += self._weight * _shape_sum(name, code, len(array), width)
            self._weight += 2
        self.file.write_chunk(name, data)

    def end_frame(self) -> None:
        """Write the checksum, and end the frame."""
        total = (self._bytes + self._shapes) % 2**32
        self.file.write_chunk(CHECKSUM, np.array([total], np.uint32))
        self._bytes, self._shapes, self._weight = 0, 0, 1
        self.file.end_frame()


def _shape_sum(name: str, code: str, n: int, m: int) -> int:
    return zlib.crc32(f"{name} {code} {n}x{m}".encode())


class FrameTable:
    """The index of a GSD file, read without GSD: which frames it has, and which of them are whole.

    Attributes:
        path: The file.
        trouble: Why GSD is not to read the file; empty where nothing speaks against it.

    Raises:
        InputError: The file can't be read, or is none of GSD.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self._read(file.fileno())
        except (OSError, ValueError, struct.error) as error:
            raise InputError(f"{path}: no readable trajectory ({error})") from error

    def _read(self, handle: int) -> None:
        self._size = os.fstat(handle).st_size
        magic, self._place, self._room, names_at, names_room, *_ = _HEADER.unpack(
            os.pread(handle, _HEADER.size, 0)
        )
        if magic != _MAGIC:
            raise ValueError("not a GSD file")
        claims = {
            "index": (self._place, self._room * _ENTRY.itemsize),
            "list of names": (names_at, names_room * _NAME_BYTES),
        }
        beyond = [name for name, (at, size) in claims.items() if at + size > self._size]
        self.trouble = f"its {beyond[0]} lies beyond the end of the file" if beyond else ""
        if "list of names" in beyond:
            raise ValueError(self.trouble)
        names = os.pread(handle, names_room * _NAME_BYTES, names_at).split(b"\0")
        self._names = [name.decode("utf-8", "replace") for name in names if name]
        if self.trouble:
            self._place, self._room = self._older_index(handle), 2**14
        self._take(self._index_at(handle, self._place))
        self._check_counts(handle)

    def _index_at(self, handle: int, place: int) -> NDArray[Any]:
        """Return the entries of an index up to the first that isn't used."""
        room = max(0, min(self._room, (self._size - place) // _ENTRY.itemsize))
        entries = np.frombuffer(os.pread(handle, room * _ENTRY.itemsize, place), dtype=_ENTRY)
        unused = np.flatnonzero(entries["place"] == 0)
        return entries[: unused[0]] if len(unused) else entries

    def _older_index(self, handle: int) -> int:
        """Return where the latest index lies that GSD left behind when it took a larger one."""
        first, place = os.pread(handle, _ENTRY.itemsize, _HEADER.size), _HEADER.size
        with mmap.mmap(handle, 0, prot=mmap.PROT_READ) as data:
            while (found := data.find(first, place + 1)) > 0:
                place = found
        return place

    def _take(self, entries: NDArray[Any]) -> None:
        """Keep the entries, and where the chunks of each frame begin and end among them."""
        frames = entries["frame"].astype(np.int64)
        gaps = np.flatnonzero(~np.isin(np.diff(frames, prepend=0), (0, 1)) | (frames[:1] != 0))
        if len(gaps):
            self.trouble = self.trouble or "its index is damaged"
            entries, frames = entries[: gaps[0]], frames[: gaps[0]]
        self._entries = entries
        self._bytes = entries["n"].astype(float) * entries["m"] * _SIZES[entries["type"]]
        place = entries["place"].astype(float)
        self._held = (entries["name"] < len(self._names)) & (_SIZES[entries["type"]] > 0)
        self._held &= (place > 0) & (place + self._bytes <= self._size)
        if not self._held.all():
            self.trouble = self.trouble or "its index names data that the file doesn't hold"
        count = int(frames[-1]) + 1 if len(frames) else 0
        self._ends = np.searchsorted(frames, np.arange(count + 1))
        if self.leans:
            self.trouble = self.trouble or "its first frame leans on another that isn't there"

    def _check_counts(self, handle: int) -> None:
        """Find numbers of particles or bonds that would allocate more than the file holds."""
        for number, name in enumerate(self._names):
            if not name.endswith("/N"):
                continue
            for chunk in self._entries[(self._entries["name"] == number) & self._held]:
                if int.from_bytes(os.pread(handle, 4, int(chunk["place"])), "little") > self._size:
                    self.trouble = self.trouble or f"it claims more {name} than it can hold"

    def __len__(self) -> int:
        return len(self._ends) - 1

    def _names_in(self, frame: int) -> list[str]:
        rows = slice(*self._ends[frame : frame + 2]) if len(self) > frame else slice(0)
        names = self._entries["name"][rows].tolist()
        return [self._names[name] for name in names if name < len(self._names)]

    @property
    def leans(self) -> bool:
        """Whether the first frame lacks what GSD leaves out where it equals the first."""
        return self.signed and _NUMBER not in self._names_in(0)

    @property
    def signed(self) -> bool:
        """Whether frames carry checksums; those of earlier versions don't."""
        return CHECKSUM in self._names

    def _texts(self, name: str) -> list[bytes | None]:
        """Return the bytes of a chunk in every frame; None where a frame has none."""
        found: list[bytes | None] = [None] * len(self)
        if name not in self._names:
            return found
        chosen = (self._entries["name"] == self._names.index(name)) & self._held
        with self.path.open("rb") as file:
            handle = file.fileno()
            columns = (self._entries[key][chosen].tolist() for key in ("frame", "place"))
            for frame, place, size in zip(*columns, self._bytes[chosen], strict=True):
                found[frame] = os.pread(handle, min(int(size), 4096), place)
        return found

    def steps(self) -> list[int]:
        """Return the simulation step of each frame."""
        found = [
            None if text is None or len(text) != 8 else int.from_bytes(text, "little")
            for text in self._texts(_STEP)
        ]
        first = (found[0] if found else None) or 0  # GSD leaves out what equals frame 0, or 0
        return [first if step is None else step for step in found]

    def identities(self) -> list[Identity | None]:
        """Return which run and recipe each frame is of; None where it doesn't say."""
        return [
            None if run is None or recipe is None
            else Identity(run.decode("ascii", "replace"), recipe.decode("ascii", "replace"))
            for run, recipe in zip(self._texts(RUN_ID), self._texts(RECIPE), strict=True)
        ]  # fmt: skip

    def checks(self, frames: Sequence[int] | None = None) -> list[bool | None]:
        """Return whether the bytes of frames are those that were written; None of unsigned ones.

        Args:
            frames: Indices of the frames, default all.
        """
        if not self.signed:
            return [None] * len(self._ends[1:] if frames is None else frames)
        chosen = range(len(self)) if frames is None else frames
        if not len(chosen):
            return []
        with (
            self.path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped,
            memoryview(mapped) as data,
        ):
            return [
                self._check(data, *(int(column[frame]) for column in self._spans))
                for frame in chosen
            ]

    @staticmethod
    def _check(data: memoryview, held: int, first: int, end: int, shapes: int) -> bool:
        """Return whether the bytes of a frame have the sum that its last chunk tells."""
        if not held or end - first < 4 or end > len(data):
            return False
        told = int.from_bytes(data[end - 4 : end], "little")
        with data[first : end - 4] as chunks:
            return (zlib.crc32(chunks) + shapes) % 2**32 == told

    @cached_property
    def _spans(self) -> tuple[NDArray[Any], ...]:
        """Whether all chunks of a frame are there and its checksum last, its span, its shapes."""
        entries, starts = self._entries, self._ends[:-1]
        order = np.lexsort((entries["place"], entries["frame"]))
        places, sizes = entries["place"][order], self._bytes[order].astype(np.int64)
        key = np.zeros(len(entries), np.int64)
        for column in ("name", "type", "n", "m"):  # one number for each kind of chunk
            known, which = np.unique(entries[column], return_inverse=True)
            key = key * len(known) + which
        _, firsts, which = np.unique(key, return_index=True, return_inverse=True)
        kinds = entries[["name", "type", "n", "m"]][firsts].tolist()
        sums = np.array(
            [
                _shape_sum(self._names[name], _TYPES[code], n, m)
                if name < len(self._names) and 0 < code < len(_TYPES)
                else 0
                for name, code, n, m in kinds
            ],
            dtype=np.uint64,
        )
        ranks = np.arange(len(entries)) - np.repeat(starts, np.diff(self._ends))
        last = np.isin(np.arange(len(entries)), self._ends[1:] - 1)
        signed = entries["name"][order] == self._names.index(CHECKSUM)
        weights = np.where(last, 0, 2 * ranks + 1).astype(np.uint64)
        shapes = np.add.reduceat(sums[which][order] * weights, starts)
        joined = last | (places + sizes == np.append(places[1:], 0))
        held = np.logical_and.reduceat(self._held[order] & (signed == last) & joined, starts)
        return held, places[starts], (places + sizes)[self._ends[1:] - 1], shapes

    def save_frames(self, frames: Sequence[int], path: Path) -> None:
        """Write a file of some of the frames, the first among them, their bytes as they are.

        Raises:
            RunDirectoryError: It can't be written.
        """
        kept = [self._entries[self._ends[i] : self._ends[i + 1]].copy() for i in frames]
        for number, entries in enumerate(kept):
            entries["frame"] = number
        used = sum(map(len, kept))
        index = np.zeros(128 << max(0, (used // 128).bit_length()), _ENTRY)
        index[:used] = np.concatenate(kept)
        place = -(-self._size // 8) * 8
        with replacing(path) as part:
            shutil.copyfile(self.path, part)
            with part.open("r+b") as file:
                file.seek(8)
                file.write(struct.pack("<QQ", place, len(index)))
                file.seek(place)
                file.write(index.tobytes())
