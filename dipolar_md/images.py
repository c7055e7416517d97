"""Image files: the only place that knows their formats and where they keep the pixel size.

TIFF and PNG are read here; the formats of microscopes by RosettaSciIO, an extra. What a header
claims is held against what fits in memory before anything is allocated.
"""

import io
import logging
import math
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dipolar_md.errors import InputError

Floats = NDArray[np.float64]
Pixels = NDArray[np.generic]
_Reader = Callable[[Path, int], tuple[Pixels, float | None, int]]

_NM = {"nm": 1.0, "nanometer": 1.0, "nanometre": 1.0, "å": 0.1, "angstrom": 0.1, "a": 0.1}
_NM |= dict.fromkeys(("um", "µm", "μm", "micron", "micrometer", "\\u00b5m"), 1e3)
_NM |= {"pm": 1e-3, "mm": 1e6, "cm": 1e7, "inch": 2.54e7, "m": 1e9}
PIXEL_NM = (1e-3, 10.0)
"""Finest and coarsest pixel (nm) that is believed; a printer's are coarser."""
MOST_SAMPLES = 80_000_000
"""Largest image, pixels times channels: 8,192 x 8,192 and some more, 640 MB as floats."""
SUFFIXES = {
    ".dm3": "digitalmicrograph",
    ".dm4": "digitalmicrograph",
    ".mrc": "mrc",
    ".emd": "emd",
    ".ser": "tia",
}
"""Formats of microscopes, and which of RosettaSciIO's readers reads them."""
_PACKED = {".emd"}  # may be compressed: larger in memory than on the disk


class StoredImage(NamedTuple):
    """An image as its file keeps it.

    Attributes:
        image: (H, W) grey values.
        pixel_nm: Pixel size that the file states, nm; None where it states none.
        pages: Images in the file, of which this is one.
    """

    image: Floats
    pixel_nm: float | None
    pages: int = 1


def read_image(path: str | Path, page: int = 1) -> StoredImage:
    """Return an image as grey values, with its pixel size where the file says.

    TIFF (ImageJ's and OME's among them), PNG, and with the extra `microscopes` .dm3, .dm4, .mrc,
    .emd and .ser. Integers and floats of any width; equal colours are grey.

    Args:
        path: The file.
        page: Which of several images, from 1.

    Returns:
        `StoredImage`.

    Raises:
        InputError: No such file, another format, a missing extra, no such page, no grey image,
            more than `MOST_SAMPLES`, or a file that is cut off or broken.
    """
    path = Path(path)
    ending = path.suffix.lower()
    readers: dict[str, _Reader] = {
        ".tif": _read_tiff,
        ".tiff": _read_tiff,
        ".png": _read_png,
    }
    readers.update(dict.fromkeys(SUFFIXES, _read_microscope))
    if not path.is_file():
        raise InputError(f"{path}: no such file (an image expected)")
    if ending not in readers:
        known = ", ".join(readers)
        raise InputError(
            f"{path}: '{path.suffix}' is not read; give a TIFF (.tif) or a PNG (.png) "
            f"(known: {known})"
        )
    with _unheard("tifffile", "rsciio"):
        pixels, pixel_nm, pages = _read_with(readers[ending], path, page - 1)
    plausible = pixel_nm is not None and PIXEL_NM[0] <= pixel_nm <= PIXEL_NM[1]
    return StoredImage(_grey(path, pixels), pixel_nm if plausible else None, pages)


def _read_with(reader: _Reader, path: Path, number: int) -> tuple[Pixels, float | None, int]:
    """Return what a reader finds; whatever broken bytes make it raise becomes one sentence."""
    try:
        return reader(path, number)
    except InputError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:160] or type(error).__name__
        traceback.clear_frames(error.__traceback__)  # closes what a reader left open
        raise InputError(f"{path}: not a readable image ({said})") from error


@contextmanager
def _unheard(*libraries: str) -> Iterator[None]:
    """Keep what readers remark about a file to themselves: it is read, or one sentence says why."""
    loggers = [logging.getLogger(name) for name in libraries]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _grey(path: Path, pixels: Pixels) -> Floats:
    """Return one finite number per pixel (H, W)."""
    if np.iscomplexobj(pixels):
        raise InputError(f"{path}: its values are complex: a Fourier transform, no micrograph")
    if pixels.ndim == 3 and pixels.shape[0] in (3, 4):  # one plane a colour
        pixels = np.moveaxis(pixels, 0, 2)
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        colours = pixels[:, :, :3]
        low, high = colours.min(axis=2).astype(float), colours.max(axis=2).astype(float)
        coloured = float(np.mean(high - low > 0.1 * max(float(high.max()), 1e-300)))
        if coloured > 0.2:
            raise InputError(
                f"{path}: a coloured picture ({coloured:.0%} of its pixels are), no micrograph; "
                "give the grey image of the microscope"
            )
        pixels = colours.mean(axis=2)
    if pixels.ndim != 2 or min(pixels.shape) < 8:
        raise InputError(f"{path}: no grey image in it (found an array of {pixels.shape})")
    image = np.asarray(pixels, dtype=np.float64)
    if not np.isfinite(image).all():
        raise InputError(f"{path}: some pixels are no numbers")
    return image


def _check_claim(path: Path, shape: tuple[int, ...], needed: int | None = None) -> None:
    """Refuse an image before it is allocated: too large, or larger than its file.

    Args:
        path: The file.
        shape: What the header claims.
        needed: Bytes that the file must have for it; None where they may be compressed.
    """
    samples = math.prod(int(n) for n in shape)
    claim = " x ".join(f"{int(n):,}" for n in shape)
    if samples > MOST_SAMPLES:
        raise InputError(
            f"{path}: the file claims {claim} pixels; at most {MOST_SAMPLES:,} are read: crop it"
        )
    there = path.stat().st_size
    if samples < 1 or (needed is not None and needed > there):
        raise InputError(
            f"{path}: cut off or broken: it claims {claim} pixels, {needed or 0:,} bytes, and has "
            f"{there:,}"
        )


def _check_page(path: Path, page: int, pages: int) -> None:
    if not 0 <= page < pages:
        raise InputError(f"{path}: there is no image {page + 1} in it (it has {pages})")


def encode_tiff(image: Floats, pixel_nm: float) -> bytes:
    """Return an image (H, W) as a 16-bit TIFF with its pixel size where ImageJ keeps it.

    Grey values are stretched over the 16 bits unless they are counts that fit.
    """
    import tifffile

    file = io.BytesIO()
    tifffile.imwrite(
        file,
        _sixteen_bits(image),
        imagej=True,
        resolution=(1 / pixel_nm, 1 / pixel_nm),
        metadata={"unit": "nm"},
    )
    return file.getvalue()


def encode_png(image: Floats, pixel_nm: float, bar_nm: float | None = None) -> bytes:
    """Return an image (H, W) as an 8-bit PNG with a labelled scale bar.

    The pixel size stands in the text `pixel_nm`. The bar covers part of the image: measure the
    TIFF, not this.

    Args:
        image: Grey values, stretched from their 0.5 to their 99.5 percentile.
        pixel_nm: Edge of a pixel, nm.
        bar_nm: Length of the bar, default about a fifth of the width.
    """
    from PIL import Image, ImageDraw, ImageFont
    from PIL.PngImagePlugin import PngInfo

    low, high = np.percentile(image, [0.5, 99.5])
    grey = np.clip((image - low) / (high - low if high > low else 1.0) * 255, 0, 255)
    picture = Image.fromarray(grey.astype(np.uint8))
    height, width = image.shape
    nice = np.outer(10.0 ** np.arange(-2, 6), (1, 2, 5)).ravel()
    bar = bar_nm or float(nice[np.argmin(np.abs(np.log(nice / (width * pixel_nm / 5))))])
    pen, margin, thick = ImageDraw.Draw(picture), max(width // 40, 2), max(height // 100, 2)
    size = max(height // 25, 9)
    font, label = ImageFont.load_default(size), f"{bar:g} nm"
    left, top = margin, height - 2 * margin - thick - size
    wide = max(round(bar / pixel_nm), pen.textlength(label, font))
    pen.rectangle((left, top, left + wide + 2 * margin, height - margin), fill=255)
    y = height - margin - margin // 2 - thick
    right = left + margin + round(bar / pixel_nm) - 1  # both ends are drawn
    pen.rectangle((left + margin, y, right, y + thick), fill=0)
    pen.text((left + margin, top + margin // 4), label, fill=0, font=font)
    text = PngInfo()
    text.add_text("pixel_nm", f"{pixel_nm:.9g}")
    file = io.BytesIO()
    picture.save(file, format="PNG", pnginfo=text)
    return file.getvalue()


def _sixteen_bits(image: Floats) -> NDArray[np.uint16]:
    low, high = float(image.min()), float(image.max())
    if low >= 0 and high <= 65535 and np.array_equal(image, np.rint(image)):
        return image.astype(np.uint16)
    scaled = (image - low) / (high - low if high > low else 1.0) * 65535
    return np.asarray(np.rint(scaled), dtype=np.uint16)


def _read_tiff(path: Path, number: int) -> tuple[Pixels, float | None, int]:
    import tifffile

    with tifffile.TiffFile(path) as file:
        pages = len(file.pages)
        _check_page(path, number, pages)
        page = file.pages[number].aspage()
        needed = None
        if page.compression == 1:
            needed = max(sum(page.databytecounts), math.prod(page.shape) * page.dtype.itemsize)
        _check_claim(path, page.shape, needed)
        pixels = page.asarray()
        imagej = file.imagej_metadata or {}
        ome = file.ome_metadata or ""
        across, along, unit = (
            tag.value if (tag := page.tags.get(name)) else None
            for name in ("XResolution", "YResolution", "ResolutionUnit")
        )
    if ome and (stated := _ome_pixel_nm(path, tifffile.xml2dict(ome))) is not None:
        return pixels, stated, pages
    unit_name = str(imagej.get("unit", "")).lower()
    if not unit_name:
        unit_name = {2: "inch", 3: "cm"}.get(int(unit or 1), "")
    if not across or not all(across) or unit_name not in _NM:
        return pixels, None, pages
    wide = across[1] / across[0] * _NM[unit_name]
    high = along[1] / along[0] * _NM[unit_name] if along and all(along) else wide
    return pixels, _square(path, wide, high), pages


def _square(path: Path, wide: float, high: float) -> float:
    """Return the edge of a pixel; refuse pixels that are not square."""
    if not abs(wide - high) <= 0.01 * abs(wide):
        raise InputError(f"{path}: its pixels are not square ({wide:.4g} x {high:.4g} nm)")
    return float(wide)


def _ome_pixel_nm(path: Path, ome: dict[str, Any]) -> float | None:
    """Return the pixel size (nm) of the first image of OME's metadata; NaN of an unknown unit."""
    images = ome["OME"]["Image"]
    first = (images[0] if isinstance(images, list) else images)["Pixels"]
    if "PhysicalSizeX" not in first:
        return None
    wide = float(first["PhysicalSizeX"])
    wide *= _NM.get(str(first.get("PhysicalSizeXUnit", "µm")).lower(), np.nan)
    high = float(first.get("PhysicalSizeY", np.nan))
    high *= _NM.get(str(first.get("PhysicalSizeYUnit", "µm")).lower(), np.nan)
    return _square(path, wide, high) if np.isfinite([wide, high]).all() else wide


def _read_png(path: Path, number: int) -> tuple[Pixels, float | None, int]:
    from PIL import Image

    _check_page(path, number, 1)
    with path.open("rb") as file:
        start = file.read(24)
    if len(start) == 24 and start[12:16] == b"IHDR":  # before Pillow has an opinion of its own
        _check_claim(path, (int.from_bytes(start[20:24]), int.from_bytes(start[16:20])))
    with Image.open(path, formats=["PNG"]) as picture:
        _check_claim(path, (picture.height, picture.width, len(picture.getbands())))
        stated = picture.info.get("pixel_nm")
        dpi = picture.info.get("dpi")
        grey = picture.convert("RGB") if picture.mode in ("P", "RGBA", "LA") else picture
        pixels = np.asarray(grey)
    if stated is not None:
        return pixels, float(stated), 1
    return pixels, _square(path, 2.54e7 / dpi[0], 2.54e7 / dpi[1]) if dpi else None, 1


def _read_microscope(path: Path, number: int) -> tuple[Pixels, float | None, int]:
    """Return an image of a microscope's own format: the first signal that has two lengths."""
    ending = path.suffix.lower()
    try:
        reader = import_module(f"rsciio.{SUFFIXES[ending]}")
    except ImportError as error:
        raise InputError(
            f"{path}: '{ending}' needs RosettaSciIO ({error}); pip install "
            "'dipolar-md[microscopes]', or save the image as TIFF"
        ) from error
    if ending == ".ser":
        _check_ser(path)
    signals = [s for s in reader.file_reader(str(path), lazy=True) if np.ndim(s["data"]) >= 2]
    if not signals:
        raise InputError(f"{path}: no image in it")
    signal = next((s for s in signals if _unit(s) in _NM), signals[0])
    unit = _unit(signal)
    if "/" in unit or "^-1" in unit or unit == "mrad":
        raise InputError(f"{path}: a diffraction pattern (its pixels are in {unit}), no micrograph")
    data = signal["data"]
    stack, shape = data.shape[:-2], data.shape[-2:]
    pages = math.prod(stack)
    needed = None if ending in _PACKED else math.prod(data.shape) * data.dtype.itemsize
    _check_claim(path, shape, needed)
    _check_page(path, number, pages)
    pixels = np.asarray(data[np.unravel_index(number, stack)] if stack else data)
    if unit not in _NM:
        return pixels, None, pages
    high, wide = (float(axis["scale"]) * _NM[unit] for axis in signal["axes"][-2:])
    return pixels, _square(path, wide, high), pages


def _unit(signal: dict[str, Any]) -> str:
    """Return the unit of the last two axes of a signal, where they have the same one."""
    first, second = (str(axis.get("units") or "").lower() for axis in signal["axes"][-2:])
    return first if first == second else ""


def _check_ser(path: Path) -> None:
    """Hold what a .ser claims against its length: its reader allocates first and reads then."""
    with path.open("rb") as file:
        start = file.read(34)
        wide = int.from_bytes(start[4:6], "little") > 0x210
        images = int.from_bytes(start[18:22], "little")
        file.seek(int.from_bytes(start[22 : 30 if wide else 26], "little"))
        place = int.from_bytes(file.read(8 if wide else 4), "little")
        file.seek(place + 42)  # behind two calibrations and the type of the values
        size = file.read(8)
    across, along = (int.from_bytes(part, "little") for part in (size[:4], size[4:]))
    _check_claim(path, (along, across), along * across * max(images, 1))
