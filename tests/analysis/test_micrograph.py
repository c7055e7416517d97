"""Micrographs: known thickness, known cores found in known noise, wires and files."""

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial import cKDTree

import dipolar_md as dm
from dipolar_md.analysis.wires import link_wires
from dipolar_md.images import encode_png, encode_tiff, read_image

BODY = dm.coarse_grain(dm.load_cluster("r-au-cu"))
S = 1.85


def at(positions, box=(20.0, 20.0, 20.0)):
    positions = np.atleast_2d(positions)
    return dm.Frame.from_arrays(box, positions, np.tile([1, 0, 0, 0], (len(positions), 1)), BODY)


def wires(count=25, length=16, seed=0):
    """Flat wires 6 nm apart, bending by some 9° a bond, of a known spacing."""
    rng = np.random.default_rng(seed)
    angles = rng.normal(0, 0.15, (count, length - 1))
    steps = S * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=-1)
    start = np.stack([np.zeros(count), 6.0 * np.arange(count), np.zeros(count)], axis=1)
    positions = np.concatenate([0 * start[:, None], np.cumsum(steps, axis=1)], axis=1)
    positions = (positions + start[:, None]).reshape(-1, 3)
    positions -= positions.mean(axis=0)
    return at(positions, (length * S + 6, 6.0 * count + 4, 10.0))


# --- The image ------------------------------------------------------------------------------------


def test_one_core_absorbs_what_its_thickness_says():
    """Right of and above the middle: exp(-t/Λ) under the centre, and its volume over the area."""
    picture = dm.simulate_micrograph(
        at([2.0, 3.0, 9.0]), 0.02, 1.0, blur_nm=0.0, attenuation_nm=4.0, dose_per_nm2=np.inf
    )
    assert picture.image.shape == (1000, 1000)
    assert picture.centres_nm == pytest.approx(np.array([[12.0, 7.0]]))
    row, column = np.unravel_index(np.argmin(picture.image), picture.image.shape)
    assert ((column + 0.5) * 0.02, (row + 0.5) * 0.02) == pytest.approx((12.0, 7.0), abs=0.02)
    assert picture.image.min() == pytest.approx(np.exp(-1 / 4), rel=1e-3)
    assert picture.image.max() == 1
    thickness = -4 * np.log(picture.image)
    assert thickness.sum() * 0.02**2 == pytest.approx(np.pi / 6, rel=1e-3)


def test_cores_above_each_other_add_up_and_a_section_cuts():
    both = at([[0, 0, -6], [0, 0, 6]])
    silent = {"blur_nm": 0.0, "dose_per_nm2": np.inf}
    whole = dm.simulate_micrograph(both, 0.05, 1.0, **silent)
    single = dm.simulate_micrograph(at([0, 0, 0]), 0.05, 1.0, **silent)
    assert whole.image == pytest.approx(single.image**2)
    assert (dm.simulate_micrograph(both, 0.05, 1.0, section_nm=11.9, **silent).image == 1).all()
    cut = dm.simulate_micrograph(both, 0.05, 1.0, section_nm=12.1, **silent)
    np.testing.assert_array_equal(cut.image, whole.image)


def test_noise_is_that_of_the_dose_and_blur_keeps_the_sum():
    empty = at([0, 0, 0], (12.0, 10.0, 5.0))
    counts = dm.simulate_micrograph(empty, 0.05, 0.001, dose_per_nm2=4e4).image
    assert counts.shape == (200, 240)
    assert counts.mean() == pytest.approx(100, rel=0.01)
    assert counts.var() == pytest.approx(100, rel=0.03)
    sharp, soft = (
        dm.simulate_micrograph(at([0, 0, 0]), 0.05, 1.0, blur_nm=blur, dose_per_nm2=np.inf).image
        for blur in (0.0, 0.3)
    )
    assert (1 - soft).sum() == pytest.approx((1 - sharp).sum())
    assert soft.min() > sharp.min()
    again = dm.simulate_micrograph(empty, 0.05, 0.001, dose_per_nm2=4e4)
    np.testing.assert_array_equal(again.image, counts)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pixel_nm": 0.0}, "pixel_nm must be positive"),
        ({"pixel_nm": 0.001}, "too many; take pixel_nm of at least 0.0025"),
        ({"core_diameter_nm": -1.0}, "core_diameter_nm must be positive"),
        ({"core_diameter_nm": (1.2, 0.8)}, "smallest, largest"),
        ({"dose_per_nm2": 0.0}, "dose_per_nm2 must be positive"),
        ({"section_nm": -1.0}, "section_nm must be positive"),
        ({"blur_nm": -0.1}, "blur_nm at least 0"),
    ],
)
def test_wrong_images_are_refused(options, words):
    with pytest.raises(dm.InputError, match=words):
        dm.simulate_micrograph(at([0, 0, 0]), **options)


# --- The detector ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pixel_nm", "dose_per_nm2", "noise"),
    [(0.05, 1e5, 0.063), (0.1, 1e5, 0.032), (0.05, 1e6, 0.02)],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_cores_are_found_at_the_stated_noise(pixel_nm, dose_per_nm2, noise, seed):
    """Noise of 2 to 6 % of the ground under cores of 0.82-1.17 nm that darken it by 8 to 11 %."""
    assert 1 / np.sqrt(dose_per_nm2 * pixel_nm**2) == pytest.approx(noise, rel=0.02)
    frame = wires(seed=seed)
    picture = dm.simulate_micrograph(frame, pixel_nm, dose_per_nm2=dose_per_nm2, seed=seed)
    found = dm.measure_micrograph(picture)
    apart, _ = cKDTree(found.centres_nm).query(picture.centres_nm)
    assert (apart < 0.25).mean() >= 0.98
    assert len(found.centres_nm) <= 1.02 * len(picture.centres_nm)
    assert np.sqrt(np.mean(apart[apart < 0.25] ** 2)) < 0.05
    true = np.linalg.norm(np.diff(picture.centres_nm.reshape(25, 16, 2), axis=1), axis=2)
    assert np.median(found.spacings_nm) == pytest.approx(np.median(true), rel=0.01)
    assert found.spacings_nm.mean() == pytest.approx(true.mean(), rel=0.01)
    long = [len(wire) for wire in found.wires if len(wire) > 2]
    assert np.mean(np.array(long) == 16) > 0.8


def test_wires_and_lengths_without_noise_are_those_of_the_frame():
    frame = wires(count=6, length=9, seed=3)
    picture = dm.simulate_micrograph(frame, 0.05, 1.0, dose_per_nm2=np.inf)
    found = dm.measure_micrograph(picture)
    assert [len(wire) for wire in found.wires] == [9] * 6
    true = np.linalg.norm(np.diff(picture.centres_nm.reshape(6, 9, 2), axis=1), axis=2)
    assert sorted(found.wire_lengths_nm) == pytest.approx(sorted(true.sum(axis=1)), rel=2e-3)
    assert np.sort(found.spacings_nm) == pytest.approx(np.sort(true.ravel()), rel=5e-3)
    assert np.isinf(found.significance).all() or found.significance.min() > 5


def test_a_blank_image_has_next_to_no_cores():
    counts = np.random.default_rng(0).poisson(250, (800, 800)).astype(float)
    assert len(dm.measure_micrograph(dm.Micrograph(counts, 0.05)).centres_nm) <= 3
    flat = dm.measure_micrograph(dm.Micrograph(np.full((400, 400), 7.0), 0.05))
    assert len(flat.centres_nm) == len(flat.spacings_nm) == len(flat.wires) == 0


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 3), st.booleans(), st.floats(0.5, 50), st.floats(-100, 100))
def test_detection_does_not_depend_on_how_the_image_lies_or_is_scaled(turns, flip, gain, offset):
    picture = dm.simulate_micrograph(wires(count=4, length=8, seed=2), 0.05, 1.0)
    plain = dm.measure_micrograph(picture)
    image = np.rot90(picture.image, turns)
    image = image[:, ::-1] if flip else image
    ramp = np.linspace(0, 0.2 * picture.image.mean(), image.shape[1])  # uneven light
    seen = dm.measure_micrograph(dm.Micrograph(gain * (image + ramp) + offset, 0.05))
    assert len(seen.centres_nm) == pytest.approx(len(plain.centres_nm), abs=1)
    assert np.median(seen.spacings_nm) == pytest.approx(np.median(plain.spacings_nm), rel=0.01)


@pytest.mark.parametrize(
    ("pixel_nm", "options", "words"),
    [
        (0.5, {}, "too coarse for cores of 1 nm: at most 0.35 nm"),
        (0.01, {}, "too small for cores of 1 nm"),
        (0.05, {"core_diameter_nm": 0.0}, "must be positive"),
        (0.05, {"reach_nm": -1.0}, "must be positive"),
    ],
)
def test_what_can_not_be_measured_is_refused(pixel_nm, options, words):
    with pytest.raises(dm.InputError, match=words):
        dm.measure_micrograph(dm.Micrograph(np.ones((100, 100)), pixel_nm), **options)


# --- Wires ----------------------------------------------------------------------------------------


def test_links_of_known_cores():
    line = np.stack([S * np.arange(5), np.zeros(5)], axis=1)
    angle = 2 * np.pi * np.arange(8) / 8
    circle = S / (2 * np.sin(np.pi / 8)) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lone = [[50.0, 50.0]]
    centres = np.concatenate([line, circle + 20 * np.eye(2)[0], lone])
    order = np.random.default_rng(1).permutation(len(centres))
    links, found = link_wires(centres[order])
    assert len(links) == 4 + 8
    chain, ring = sorted(found, key=len)
    assert order[chain].tolist() in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0])
    assert len(ring) == 9
    assert ring[0] == ring[-1]  # closed
    steps = np.diff(np.unwrap(2 * np.pi * order[ring] / 8)) / (2 * np.pi) * 8
    assert np.abs(steps) == pytest.approx(1)


def test_links_neither_branch_nor_fold():
    cross = np.array([[0, 0], [S, 0], [-S, 0], [0, 2.0], [0, -2.0]])
    links, found = link_wires(cross)
    assert sorted(map(len, found)) == [3]
    assert len(links) == 2
    hairpin = np.array([[0, 0], [S, 0], [0.2, 1.2]])  # the third would fold the second bond back
    links, _ = link_wires(hairpin)
    assert sorted(map(sorted, links.tolist())) == [[0, 2], [1, 2]] or len(links) == 1
    assert link_wires(np.zeros((0, 2)))[1] == []
    assert len(link_wires([[0, 0], [2.8, 0]])[0]) == 0
    assert len(link_wires([[0, 0], [2.8, 0]], reach_nm=2.9)[0]) == 1


# --- Files ----------------------------------------------------------------------------------------

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
