"""Comparison with micrographs: files that are left, wrong input, one measurement for both sides."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import dipolar_md as dm
from dipolar_md.analysis.reference import MEASURABLE
from dipolar_md.images import encode_tiff, read_image

BODY = dm.coarse_grain(dm.load_cluster("r-au-cu"))
S = 1.85


@pytest.fixture
def run(finished, tmp_path):
    return dm.Run(shutil.copytree(finished.path, tmp_path / "run"))


def strict(path):
    return json.loads(path.read_text(), parse_constant=pytest.fail)


@pytest.fixture
def picture():
    """A flat wire of ten cores and a dimer, in one frame and its image."""
    row = np.arange(10)[:, None] * S * np.array([[1.0, 0, 0]]) - [9, 2, 0]
    pair = np.array([[-2.0, 4, 0], [-0.2, 4, 0]])
    positions = np.concatenate([row, pair])
    frame = dm.Frame.from_arrays((24, 16, 10), positions, np.tile([1, 0, 0, 0], (12, 1)), BODY)
    return dm.simulate_micrograph(frame, 0.05, 1.0)


def test_image_is_measured_and_leaves_its_files(tmp_path, picture):
    path = tmp_path / "grid.tif"
    path.write_bytes(encode_tiff(picture.image, 0.05))
    found = dm.measure_image(path)
    assert sorted(p.name for p in found.files) == [
        "grid-cores.csv",
        "grid-found.png",
        "grid-measured.csv",
    ]
    assert found.micrograph.pixel_nm == pytest.approx(0.05, rel=1e-5)
    assert [len(wire) for wire in found.measurement.wires] == [10, 2]
    assert found.files[0].parent == tmp_path
    measured = dm.read_measured(tmp_path / "grid-measured.csv")
    assert measured["projected_spacing_nm"] == pytest.approx(
        found.measurement.spacings_nm, abs=1e-4
    )
    lengths = found.measurement.wire_lengths_nm
    assert measured["projected_length_nm"] == pytest.approx(lengths, abs=1e-4)
    assert lengths == pytest.approx([9 * S, 1.8], abs=0.1)  # three errors of a place
    cores = (tmp_path / "grid-cores.csv").read_text().splitlines()
    assert cores[0].startswith("x_nm,y_nm,signal_over_noise,wire,place_error_nm,diameter_nm,")
    assert len(cores) == 13
    assert (tmp_path / "grid-found.png").read_bytes().startswith(b"\x89PNG")


def test_crop_keeps_places_and_pixel_size_can_be_given(tmp_path, picture):
    path = tmp_path / "grid.tif"
    path.write_bytes(encode_tiff(picture.image, 0.05))
    whole = dm.measure_image(path, out=tmp_path / "whole")
    part = dm.measure_image(path, crop=(0, 180, 480, 320), out=tmp_path / "part")
    assert [len(wire) for wire in part.measurement.wires] == [10]
    rows = [
        np.loadtxt(o.files[1], delimiter=",", skiprows=1, usecols=(0, 1)) for o in (whole, part)
    ]
    for place in rows[1]:
        assert np.linalg.norm(rows[0] - place, axis=1).min() < 0.03
    doubled = dm.measure_image(path, pixel_nm=0.1, core_diameter_nm=2.0, reach_nm=5.5)
    ratio = np.median(doubled.measurement.spacings_nm) / np.median(whole.measurement.spacings_nm)
    assert ratio == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pixel_nm": -0.05}, "pixel_nm must be positive"),
        ({"crop": (0, 0, 999, 10)}, r"crop must be left < right ≤ 480 .* \(found 0, 0, 999, 10\)"),
        ({"crop": (10, 0, 10, 10)}, "crop must be"),
        ({"pixel_nm": 5.0}, "too coarse"),
    ],
)
def test_wrong_measurements_are_refused(tmp_path, picture, options, words):
    path = tmp_path / "grid.tif"
    path.write_bytes(encode_tiff(picture.image, 0.05))
    with pytest.raises(dm.InputError, match=words):
        dm.measure_image(path, **options)
    assert [p.name for p in tmp_path.iterdir()] == ["grid.tif"]


def test_pixel_size_must_be_known(tmp_path, picture):
    import tifffile

    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, picture.image.astype(np.uint16))
    with pytest.raises(dm.InputError, match=r"plain\.tif: the file states no pixel size; give it"):
        dm.measure_image(path)
    assert len(dm.measure_image(path, 0.05).measurement.wires) == 2
    (tmp_path / "in-the-way").write_text("")
    with pytest.raises(dm.RunDirectoryError, match="can't be written"):
        dm.measure_image(path, 0.05, out=tmp_path / "in-the-way")


def test_run_is_imaged_like_a_micrograph(run):
    found = dm.image_run(run, section_nm=None)
    stored = read_image(run.path / "figures" / "micrograph.tif")
    np.testing.assert_array_equal(stored.image, found.micrograph.image)
    again = dm.measure_image(run.path / "figures" / "micrograph.tif", out=run.path / "again")
    np.testing.assert_allclose(
        again.measurement.centres_nm, found.measurement.centres_nm, atol=1e-4
    )
    assert len(found.micrograph.centres_nm) == len(run.trajectory[-1].system)
    assert (run.path / "figures" / "micrograph.png").is_file()
    with pytest.raises(dm.InputError, match="no run here"):
        dm.image_run(run.path / "figures")


def test_what_can_not_be_trusted_leaves_no_numbers(tmp_path):
    """Grain without cores: an overlay and no table of spacings; the summary has neither value."""
    empty = dm.Frame.from_arrays((30, 25, 5), [[0.0, 0, 0]], [[1.0, 0, 0, 0]], BODY)
    picture = dm.simulate_micrograph(empty, 0.05, 1e-3, grain=0.03)
    path = tmp_path / "support.tif"
    path.write_bytes(encode_tiff(picture.image, 0.05))
    found = dm.measure_image(path)
    assert [p.name for p in found.files] == ["support-found.png", "support-cores.csv"]
    record = found.summary()
    assert not record["trusted"]
    assert record["faults"][0].startswith("no cores stand out")
    assert not [key for key in record if key.startswith("projected")]
    assert record["grain"] == pytest.approx(0.03, rel=0.1)
    (tmp_path / "flat.tif").write_bytes(encode_tiff(np.full((99, 99), 7.0), 0.05))
    with pytest.raises(dm.InputError, match=r"flat\.tif: every pixel has the value 7"):
        dm.measure_image(tmp_path / "flat.tif")


def test_several_images_are_pooled_with_their_scatter(tmp_path):
    """Three films of wires of 8, true spacings of 1.80, 1.85 and 1.90 nm."""
    images = []
    for k, spacing in enumerate((1.80, 1.85, 1.90)):
        x, y = spacing * np.arange(8), 5.0 * np.arange(5)
        places = np.stack([np.tile(x, 5), np.repeat(y, 8), np.zeros(40)], axis=1)
        places -= places.mean(axis=0)
        orientations = np.tile([1.0, 0, 0, 0], (40, 1))
        frame = dm.Frame.from_arrays((22, 30, 10), places, orientations, BODY)
        path = tmp_path / f"film-{k}.tif"
        picture = dm.simulate_micrograph(frame, 0.1, 1.0, dose_per_nm2=1e6, seed=k)
        path.write_bytes(encode_tiff(picture.image, 0.1))
        images.append(dm.measure_image(path))
    pool = dm.pool_images(images)
    assert pool.used == 3
    assert pool.spacing.value == pytest.approx(1.85, abs=0.005)
    half = 4.303 * 0.05 / np.sqrt(3)  # Student's t of two degrees of freedom
    assert pool.spacing.high - pool.spacing.value == pytest.approx(half, rel=0.1)
    assert pool.mean_length.low < 7 * 1.85 < pool.mean_length.high
    record = pool.summary()
    assert len(record["images"]) == 3
    json.dumps(record, allow_nan=False)
    support = images[0]._replace(measurement=_untrusted(images[0].measurement))
    assert dm.pool_images([support, *images[1:]]).used == 2
    nothing = dm.pool_images([support])
    assert np.isnan(nothing.spacing.value)
    assert nothing.summary()["projected_spacing_nm"]["value"] is None


def _untrusted(measurement):
    quality = replace(measurement.quality, spacing_faults=("no cores stand out",))
    return replace(measurement, quality=quality)


def test_an_overlay_of_noise_stays_below_two_megabytes(tmp_path):
    counts = np.random.default_rng(0).poisson(250, (2000, 1000)).astype(float)
    (tmp_path / "noise.tif").write_bytes(encode_tiff(counts, 0.05))
    found = dm.measure_image(tmp_path / "noise.tif")
    assert 2e5 < found.files[0].stat().st_size < 2e6


def test_a_run_is_seen_in_dark_field(run):
    found = dm.image_run(run, microscope="tecnai-f20-haadf", out=run.path / "dark")
    assert found.measurement.bright
    assert found.micrograph.image.dtype == float
    assert (run.path / "dark" / "micrograph.tif").is_file()


def test_comparison_is_written(run, tmp_path):
    own = tmp_path / "own.csv"
    own.write_text("spacing_nm;contour_length_nm;note\n1.80;5.2;a\n1.90;;b\n2.0;;\n1.7;3.1;\n1.8;;")
    done = []
    found = dm.compare_run(run, measured=own, progress=lambda *count: done.append(count))
    assert done[-1][0] == done[-1][1]
    record = strict(run.path / "comparison.json")
    assert record["name"] == "tem-r-au-cu"
    assert record["measured"] == "own.csv"
    assert record["times"] == run.manifest["times"]
    assert [v["quantity"] for v in record["verdicts"]] == [
        *("spacing_nm", "projected_spacing_nm", "contour_length_nm", "core_diameter_nm"),
        *("spacing_nm", "contour_length_nm"),
    ]
    assert all(v["tag"] in ("calibrated", "predicted") for v in record["verdicts"])
    assert record["verdicts"][-2]["sample"]["measured"] == 5
    assert record["verdicts"][-1]["verdict"] == "too few"
    assert len(found.verdicts) == 6
    assert (run.path / "figures" / "comparison.png").stat().st_size > 5000


def test_micrographs_are_compared_with_micrographs(run, tmp_path):
    own = tmp_path / "own.csv"
    own.write_text("projected_spacing_nm\n" + "\n".join(f"{1.5 + 0.05 * k:g}" for k in range(12)))
    found = dm.compare_run(run, "crystal-r-au-cu", own).verdicts[-1]
    assert found.quantity == "projected_spacing_nm"
    assert found.reference == "1.77 nm of 12"
    # Both sides went through the detector: counts are those of the frames' own images.
    frames = run.trajectory
    shown = dm.nanowire_statistics(frames).n_frames
    images = [dm.simulate_micrograph(frames[-1 - k], section_nm=10.0) for k in range(shown)]
    assert shown <= 5
    spacings = np.concatenate([dm.measure_micrograph(image).spacings_nm for image in images])
    assert found.sample.simulated == len(spacings) > 5
    assert found.value == pytest.approx(np.median(spacings))


def test_neither_reference_nor_measurements(run):
    text = (run.path / "recipe.toml").read_text().replace('reference = "tem-r-au-cu"\n', "")
    (run.path / "recipe.toml").write_text(text)
    with pytest.raises(dm.InputError, match="give one with --reference, or your own"):
        dm.compare_run(run.path)


# --- The user's own measurements ------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_measured_columns(tmp_path, separator):
    path = tmp_path / "own.csv"
    lines = [("spacing_nm", "image", " contour_length_nm "), ("1.8", "a", ""), (" 2.0", "b", "40")]
    path.write_text("\n".join(separator.join(line) for line in lines), encoding="utf-8-sig")
    found = dm.read_measured(path)
    assert {name: values.tolist() for name, values in found.items()} == {
        "spacing_nm": [1.8, 2.0],
        "contour_length_nm": [40.0],
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the first line names no column of " + ", ".join(MEASURABLE)),
        ("spacing\n1.8", r"names no column .*\(found 'spacing'\)"),
        ("spacing_nm\n1.8\nx", r"own\.csv, line 3, spacing_nm: 'x' is no number"),
        ("spacing_nm\n-1.8", "line 2, spacing_nm: must be positive"),
        ("spacing_nm\nnan", "line 2, spacing_nm: must be positive and finite"),
        ("spacing_nm\n\n", "column spacing_nm has no numbers"),
    ],
)
def test_wrong_measurements_name_their_line(tmp_path, text, words):
    path = tmp_path / "own.csv"
    path.write_text(text)
    with pytest.raises(dm.InputError, match=words):
        dm.read_measured(path)
    with pytest.raises(dm.InputError, match="can't be read as text"):
        dm.read_measured(tmp_path / "none.csv")


def test_samples_of_known_distance():
    rng = np.random.default_rng(2)
    x = rng.normal(1.85, 0.08, 1500)
    same = dm.compare_samples(x, rng.normal(1.85, 0.08, 300))
    assert same.ks_p > 0.05
    assert same.overlap == pytest.approx(0.9, abs=0.03)
    assert same.distance_nm < 0.02
    shifted = dm.compare_samples(x, rng.normal(2.05, 0.08, 300))
    assert shifted.ks_p < 1e-6
    assert shifted.distance_nm == pytest.approx(0.2, abs=0.015)
    assert shifted.distance_low_nm < 0.2 < shifted.distance_high_nm
    assert shifted.distance_high_nm - shifted.distance_low_nm < 0.05
    assert shifted.median_measured_nm == pytest.approx(2.05, abs=0.02)
    exact = dm.compare_samples([1.0, 2.0], [3.0, 4.0])
    assert (exact.ks, exact.distance_nm, exact.overlap) == (1.0, 2.0, 0.0)
    # Correlated values say less: the same difference is no longer significant.
    y = rng.normal(1.87, 0.08, 300)
    assert dm.compare_samples(x, y).ks_p < dm.compare_samples(x, y, independent=20).ks_p
    for wrong in ([], [np.nan]):
        with pytest.raises(dm.InputError, match="finite values"):
            dm.compare_samples(x, wrong)


def test_sample_verdicts():
    table = dm.nanowire_statistics([dm.Frame(dm.chain({BODY: 30}, S))])
    agreed, far = (
        dm.compare(table, None, {"spacing_nm": values}).verdicts[0]
        for values in (np.full(9, S), np.linspace(2.2, 2.4, 9))
    )
    assert agreed.sample.distance_nm == pytest.approx(0, abs=1e-9)
    assert (far.verdict, far.tag) == ("differs", "calibrated")
    assert far.sample.distance_nm == pytest.approx(2.3 - S)
    few = dm.compare(table, None, {"spacing_nm": [2.2, 2.3]})
    assert few.verdicts[0].verdict == "too few"
    assert few.applies
    assert few.passed
    with pytest.raises(dm.InputError, match=r"can't compare 'width_nm'; known: spacing_nm"):
        dm.compare(table, None, {"width_nm": [1.0]})
