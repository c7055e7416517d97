"""Image files: the only place that knows TIFF and PNG and where they keep the pixel size."""

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dipolar_md.errors import InputError

Floats = NDArray[np.float64]

_NM = {"nm": 1.0, "nanometer": 1.0, "nanometre": 1.0, "å": 0.1, "angstrom": 0.1, "a": 0.1}
_NM |= dict.fromkeys(("um", "µm", "μm", "micron", "micrometer", "\\u00b5m"), 1e3)
_NM |= {"pm": 1e-3, "mm": 1e6, "cm": 1e7, "inch": 2.54e7, "m": 1e9}
LARGEST_PIXEL_NM = 10.0
"""Coarser pixels in a file are those of a printer or a screen, not of a microscope."""


class StoredImage(NamedTuple):
    """An image (H, W) and the pixel size its file states, in nm; None where it states none."""

    image: Floats
    pixel_nm: float | None


def read_image(path: str | Path) -> StoredImage:
    """Return a TIFF or PNG as grey values, with its pixel size where the file says.

    Pixel sizes are read from ImageJ's and OME's metadata, from the resolution tags of a TIFF, and
    from the text `pixel_nm` or the resolution of a PNG. Colours are averaged; of a stack the first
    image is taken.

    Raises:
        InputError: no such file, not a TIFF or PNG, or no image in it.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file (TIFF or PNG expected)")
    readers = {".tif": _read_tiff, ".tiff": _read_tiff, ".png": _read_png}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: '{path.suffix}' is not read; give a TIFF (.tif) or a PNG (.png)")
    try:
        pixels, pixel_nm = readers[path.suffix.lower()](path)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise InputError(f"{path}: not a readable image ({error})") from error
    image = np.asarray(pixels, dtype=np.float64)
    if image.ndim == 3 and image.shape[2] in (3, 4):
        image = image[:, :, :3].mean(axis=2)
    if image.ndim != 2 or min(image.shape) < 8:
        raise InputError(f"{path}: no grey image in it (found an array of {image.shape})")
    if not np.isfinite(image).all():
        raise InputError(f"{path}: some pixels are no numbers")
    plausible = pixel_nm is not None and 0 < pixel_nm <= LARGEST_PIXEL_NM
    return StoredImage(image, pixel_nm if plausible else None)


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


def _read_tiff(path: Path) -> tuple[NDArray[np.generic], float | None]:
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        pixels = page.asarray()
        imagej = file.imagej_metadata or {}
        ome = file.ome_metadata or ""
        tags = {tag.name: tag.value for tag in page.tags.values()}
    if ome and (stated := _ome_pixel_nm(tifffile.xml2dict(ome))) is not None:
        return pixels, stated
    count, per = tags.get("XResolution", (0, 1))
    unit_name = str(imagej.get("unit", "")).lower()
    if not unit_name:
        unit_name = {2: "inch", 3: "cm"}.get(int(tags.get("ResolutionUnit", 1)), "")
    if not count or unit_name not in _NM:
        return pixels, None
    return pixels, per / count * _NM[unit_name]


def _ome_pixel_nm(ome: dict[str, Any]) -> float | None:
    """Return the pixel size (nm) of the first image of OME's metadata; NaN of an unknown unit."""
    images = ome["OME"]["Image"]
    first = (images[0] if isinstance(images, list) else images)["Pixels"]
    if "PhysicalSizeX" not in first:
        return None
    unit = str(first.get("PhysicalSizeXUnit", "µm")).lower()
    return float(first["PhysicalSizeX"]) * _NM.get(unit, np.nan)


def _read_png(path: Path) -> tuple[NDArray[np.generic], float | None]:
    from PIL import Image

    with Image.open(path, formats=["PNG"]) as picture:
        stated = picture.info.get("pixel_nm")
        dpi = picture.info.get("dpi")
        grey = picture.convert("RGB") if picture.mode in ("P", "RGBA", "LA") else picture
        pixels = np.asarray(grey)
    if stated is not None:
        return pixels, float(stated)
    return pixels, 2.54e7 / dpi[0] if dpi else None
