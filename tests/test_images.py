"""Image files: pixel sizes where formats keep them, and headers that claim what isn't there."""

import struct
import sys
import zlib

import numpy as np
import pytest
import tifffile
from oracles import microscope_files
from PIL import Image

import dipolar_md as dm
from dipolar_md.images import MOST_SAMPLES, SUFFIXES, encode_png, encode_tiff, read_image

RAMP = np.arange(40 * 60, dtype=float).reshape(40, 60)


@pytest.mark.parametrize("pixel_nm", [0.05, 0.0123, 1.5])
def test_tiff_keeps_counts_and_pixel_size(tmp_path, pixel_nm):
    path = tmp_path / "image.tif"
    path.write_bytes(encode_tiff(RAMP, pixel_nm))
    stored = read_image(path)
    np.testing.assert_array_equal(stored.image, RAMP)
    assert stored.pixel_nm == pytest.approx(pixel_nm, rel=1e-5)
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].dtype == np.uint16
        assert file.imagej_metadata["unit"] == "nm"
    path.write_bytes(encode_tiff(RAMP / 1e4, pixel_nm))  # no counts: stretched
    np.testing.assert_allclose(read_image(path).image, RAMP / RAMP.max() * 65535, atol=0.5)


def test_png_has_a_bar_and_its_pixel_size(tmp_path):
    path = tmp_path / "image.png"
    image = np.full((400, 600), 100.0)
    image[:10] = 0.0
    path.write_bytes(encode_png(image, 0.05))
    stored = read_image(path)
    assert stored.pixel_nm == pytest.approx(0.05)
    black = stored.image[10:] < 40
    rows = np.flatnonzero(black.sum(axis=1) == 100)  # 5 nm
    assert len(rows) >= 4
    assert not black[:300].any()


@pytest.mark.parametrize(
    ("unit", "resolution", "pixel_nm"),
    [("um", 20_000.0, 0.05), ("nm", 20.0, 0.05), ("\\u00B5m", 1000.0, 1.0), ("pixel", 3.0, None)],
)
def test_imagej_units(tmp_path, unit, resolution, pixel_nm):
    path = tmp_path / "image.tif"
    tifffile.imwrite(
        path,
        RAMP.astype(np.uint16),
        imagej=True,
        resolution=(resolution, resolution),
        metadata={"unit": unit},
    )
    found = read_image(path).pixel_nm
    assert found is None if pixel_nm is None else found == pytest.approx(pixel_nm, rel=1e-4)


def test_other_metadata(tmp_path):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, RAMP.astype(np.uint16), resolution=(2e8, 2e8), resolutionunit=3)
    assert read_image(path).pixel_nm == pytest.approx(0.05)  # per centimetre
    tifffile.imwrite(path, RAMP.astype(np.uint16), resolution=(300, 300), resolutionunit=2)
    assert read_image(path).pixel_nm is None  # 300 dpi is a printer's
    ome = {"axes": "YX", "PhysicalSizeX": 0.05, "PhysicalSizeXUnit": "nm"}
    path = tmp_path / "image.ome.tif"
    tifffile.imwrite(path, RAMP.astype(np.uint16), metadata=ome)
    assert read_image(path).pixel_nm == pytest.approx(0.05)


def test_colours_and_palettes_become_grey(tmp_path):
    grey = (RAMP % 256).astype(np.uint8)
    colour = Image.fromarray(np.stack([grey] * 3, axis=2))
    for name, picture in (
        ("rgb.png", colour),
        ("rgba.png", colour.convert("RGBA")),
        ("p.png", Image.fromarray(grey).convert("P")),
        ("l.png", Image.fromarray(grey)),
    ):
        picture.save(tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name).image, grey)
    tifffile.imwrite(tmp_path / "rgb.tif", np.stack([grey] * 3, axis=2), photometric="rgb")
    np.testing.assert_array_equal(read_image(tmp_path / "rgb.tif").image, grey)


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(dm.InputError, match=r"none\.tif: no such file"):
        read_image(tmp_path / "none.tif")
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(dm.InputError, match=r"a\.jpg: '\.jpg' is not read; give a TIFF"):
        read_image(tmp_path / "a.jpg")
    for name in ("b.tif", "b.png"):
        (tmp_path / name).write_bytes(b"not an image")
        with pytest.raises(dm.InputError, match=rf"{name}: not a readable image"):
            read_image(tmp_path / name)
    (tmp_path / "dot.tif").write_bytes(encode_tiff(np.ones((2, 2)), 0.05))
    with pytest.raises(dm.InputError, match=r"dot\.tif: no grey image in it"):
        read_image(tmp_path / "dot.tif")


# --- What a header claims -------------------------------------------------------------------------


def png(width, height, pixels=b""):
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def tiff_of(width, height, path):
    """A TIFF of 40 x 60 pixels whose header says otherwise."""
    tifffile.imwrite(path, RAMP.astype(np.uint16))
    data = bytearray(path.read_bytes())
    for k in range(struct.unpack("<H", data[8:10])[0]):
        entry = 10 + 12 * k
        tag = struct.unpack("<H", data[entry : entry + 2])[0]
        if tag in (256, 257):
            data[entry + 2 : entry + 4] = struct.pack("<H", 4)
            data[entry + 8 : entry + 12] = struct.pack("<I", {256: width, 257: height}[tag])
    return bytes(data)


def test_claims_are_refused_before_memory_is_taken(tmp_path):
    """13,000² pixels of nothing in 164 kB, 10¹⁸ in 60 bytes, 60,000² and 6,000² in a small TIFF."""
    import tracemalloc

    (tmp_path / "zeros.png").write_bytes(png(13000, 13000, zlib.compress(bytes(13000 * 13001), 9)))
    (tmp_path / "huge.png").write_bytes(png(10**9, 10**9))
    (tmp_path / "huge.tif").write_bytes(tiff_of(60_000, 60_000, tmp_path / "huge.tif"))
    (tmp_path / "wide.tif").write_bytes(tiff_of(6_000, 6_000, tmp_path / "wide.tif"))
    tracemalloc.start()
    for name, words in (
        ("zeros.png", "claims 13,000 x 13,000 pixels; at most 80,000,000"),
        ("huge.png", "claims 1,000,000,000 x 1,000,000,000 pixels"),
        ("huge.tif", "claims 60,000 x 60,000 pixels"),
        ("wide.tif", "cut off or broken: it claims 6,000 x 6,000 pixels, 72,000,000 bytes"),
    ):
        with pytest.raises(dm.InputError, match=words):
            read_image(tmp_path / name)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5e6
    assert MOST_SAMPLES > 8192**2


@pytest.mark.parametrize("ending", [".tif", ".png"])
def test_truncated_files_are_said_to_be(tmp_path, ending, capfd):
    path = tmp_path / f"grid{ending}"
    whole = (encode_tiff if ending == ".tif" else encode_png)(RAMP, 0.05)
    for part in (0.02, 0.3, 0.7):
        path.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(
            dm.InputError, match=rf"grid{ending}: (not a readable|cut off)"
        ) as error:
            read_image(path)
        assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


def test_pixel_sizes_that_no_microscope_has_are_not_believed(tmp_path):
    path = tmp_path / "image.tif"
    for per_cm in (1e-3, 4e9):  # ten metres, and less than an electron's wavelength
        tifffile.imwrite(
            path, RAMP.astype(np.uint16), resolution=(per_cm, per_cm), resolutionunit=3
        )
        found = read_image(path).pixel_nm
        assert found is None or found > 1e-3
    tifffile.imwrite(path, RAMP.astype(np.uint16), resolution=(2e8, 1e8), resolutionunit=3)
    with pytest.raises(dm.InputError, match=r"not square \(0\.05 x 0\.1 nm\)"):
        read_image(path)


@pytest.mark.parametrize("kind", ["u1", "u2", "i4", "f4", "f8"])
def test_integers_and_floats_of_any_width(tmp_path, kind):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, (RAMP % 200).astype(kind))
    np.testing.assert_array_equal(read_image(path).image, RAMP % 200)


def test_pages_are_counted_and_chosen(tmp_path):
    path = tmp_path / "stack.tif"
    stack = np.stack([RAMP, RAMP[::-1], 2 * RAMP]).astype(np.uint16)
    tifffile.imwrite(path, stack, photometric="minisblack")
    assert read_image(path).pages == 3
    np.testing.assert_array_equal(read_image(path, page=3).image, 2 * RAMP)
    with pytest.raises(dm.InputError, match=r"no image 4 in it \(it has 3\)"):
        read_image(path, page=4)


def test_photographs_and_transforms_are_no_micrographs(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (50, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    with pytest.raises(dm.InputError, match="a coloured picture"):
        read_image(tmp_path / "photo.png")
    tifffile.imwrite(tmp_path / "fft.tif", RAMP.astype(np.complex64))
    with pytest.raises(dm.InputError, match="complex: a Fourier transform"):
        read_image(tmp_path / "fft.tif")


# --- Formats of microscopes -----------------------------------------------------------------------


def write(path, **options):
    """Write RAMP in the format of a path."""
    if path.suffix == ".emd":
        pytest.importorskip("h5py")
        microscope_files.berkeley_emd(path, RAMP, 0.05)
    elif path.suffix in (".dm3", ".dm4"):
        version = int(path.suffix[-1])
        path.write_bytes(
            microscope_files.digital_micrograph(RAMP, 0.05, version=version, **options)
        )
    else:
        path.write_bytes(getattr(microscope_files, path.suffix[1:])(RAMP, 0.05, **options))
    return path


@pytest.mark.parametrize("ending", SUFFIXES)
def test_microscopes_formats(tmp_path, ending):
    pytest.importorskip("rsciio")
    path = write(tmp_path / f"grid{ending}")
    stored = read_image(path)
    np.testing.assert_array_equal(stored.image, RAMP)
    assert stored.pixel_nm == pytest.approx(0.05, rel=1e-6)
    whole = path.read_bytes()
    for part in (50, len(whole) // 2):
        path.write_bytes(whole[:part])
        with pytest.raises(
            dm.InputError, match=rf"grid{ending}: (not a readable|cut off)"
        ) as error:
            read_image(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("ending", [".dm3", ".dm4", ".mrc", ".ser"])
def test_microscopes_claims_are_refused(tmp_path, ending):
    pytest.importorskip("rsciio")
    with pytest.raises(dm.InputError, match="claims 60,000 x 60,000 pixels"):
        read_image(write(tmp_path / f"big{ending}", claimed=(60_000, 60_000)))
    with pytest.raises(dm.InputError, match="cut off or broken: it claims 4,000 x 4,000 pixels"):
        read_image(write(tmp_path / f"big{ending}", claimed=(4_000, 4_000)))


def test_series_of_more_images_than_the_file_holds(tmp_path):
    pytest.importorskip("rsciio")
    with pytest.raises(dm.InputError, match=r"cut off or broken: .* 2,576,980,377,600 bytes"):
        read_image(write(tmp_path / "many.ser", elements=2**30))


def test_a_diffraction_pattern_is_known_by_its_unit(tmp_path):
    pytest.importorskip("rsciio")
    path = tmp_path / "spots.dm3"
    path.write_bytes(microscope_files.digital_micrograph(RAMP, 0.05, "1/nm"))
    with pytest.raises(dm.InputError, match=r"a diffraction pattern \(its pixels are in 1/nm\)"):
        read_image(path)


def test_a_missing_extra_tells_how_to_install_it(tmp_path, monkeypatch):
    for name in ("rsciio", "rsciio.mrc"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(dm.InputError, match=r"pip install 'dipolar-md\[microscopes\]'"):
        read_image(write(tmp_path / "grid.mrc"))
