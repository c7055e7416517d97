"""Micrographs: known thickness, known cores found in known noise and grain, what can't be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

import dipolar_md as dm
from dipolar_md.analysis.cores import false_maxima, filtered
from dipolar_md.analysis.micrograph import explain_unusable
from dipolar_md.analysis.microscope import grain_field

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
        (0.05, {"sigmas": 0.0}, "must be positive"),
        (1e-9, {"core_diameter_nm": 1e-8}, "pixel_nm must be between 0.001 and 10 nm"),
        (1e9, {}, "pixel_nm must be between 0.001 and 10 nm"),
        (0.05, {"reach_nm": 1e9}, "at most ten core diameters, 10 nm"),
    ],
)
def test_what_can_not_be_measured_is_refused(pixel_nm, options, words):
    with pytest.raises(dm.InputError, match=words):
        dm.measure_micrograph(dm.Micrograph(np.ones((100, 100)), pixel_nm), **options)


# --- Grain, contrast, trust -----------------------------------------------------------------------

DARK = -1 / np.log(0.72)  # nm: a core of 1 nm takes 28 % of the beam


@pytest.mark.parametrize(
    ("count", "grain", "grain_nm"), [(6, 0.01, 0.4), (16, 0.03, 0.4), (6, 0.03, 0.2)]
)
def test_grain_of_the_support_makes_no_cores(count, grain, grain_nm):
    picture = dm.simulate_micrograph(
        wires(count), attenuation_nm=DARK, dose_per_nm2=1e6, grain=grain, grain_nm=grain_nm
    )
    found = dm.measure_micrograph(picture)
    assert len(found.centres_nm) == 16 * count
    assert [len(wire) for wire in found.wires] == [16] * count
    apart, nearest = cKDTree(picture.centres_nm).query(found.centres_nm)
    assert apart.max() < 0.2
    assert len(set(nearest)) == 16 * count
    assert found.quality.trusted
    assert found.spacing.low < S < found.spacing.high
    assert found.spacing.value == pytest.approx(S, rel=0.005)
    assert found.mean_length.low < 15 * S < found.mean_length.high
    assert found.grain == pytest.approx(grain, rel=0.05)
    assert found.grain_nm == pytest.approx(grain_nm, rel=0.1)
    negative = dm.measure_micrograph(dm.Micrograph(picture.image.max() - picture.image, 0.05))
    assert (found.bright, negative.bright) == (False, True)
    np.testing.assert_array_equal(negative.centres_nm, found.centres_nm)
    assert negative.spacing == found.spacing


@pytest.mark.parametrize(("grain", "grain_nm"), [(0.0, 0.4), (0.03, 0.2), (0.05, 0.5)])
def test_a_support_without_cores_has_none(grain, grain_nm):
    empty = at([0, 0, 0], (40.0, 30.0, 5.0))
    options = {"dose_per_nm2": 1e6, "grain": grain, "grain_nm": grain_nm}
    found = dm.measure_micrograph(dm.simulate_micrograph(empty, 0.05, 0.001, **options))
    assert len(found.centres_nm) <= 2
    assert found.quality.spacing_faults[0].startswith("no cores stand out")
    assert not found.quality.trusted


def test_an_image_that_hides_its_cores_is_refused():
    """8 % contrast in 3 % grain: some are found, most are not, and the image says so."""
    options = {"attenuation_nm": -1 / np.log(0.92), "grain": 0.03, "grain_nm": 0.25}
    picture = dm.simulate_micrograph(wires(8), dose_per_nm2=1e6, **options)
    found = dm.measure_micrograph(picture)
    apart, _ = cKDTree(np.append(found.centres_nm, [[-9, -9]], axis=0)).query(picture.centres_nm)
    assert (apart < 0.3).mean() < 0.9
    assert found.quality.spacing_faults
    assert not found.quality.trusted


def test_weak_cores_are_not_trusted_where_few_seem_to_be_missed():
    """5 % contrast in few electrons: 7 % are missed, 2 % expected."""
    picture = dm.simulate_micrograph(wires(8), attenuation_nm=-1 / np.log(0.95), dose_per_nm2=5e4)
    faults = dm.measure_micrograph(picture).quality.spacing_faults
    assert faults[0].startswith("a typical core stands out by 5")


def test_thickness_of_the_support_may_change_across_the_image():
    picture = dm.simulate_micrograph(wires(6), attenuation_nm=DARK, dose_per_nm2=np.inf)
    light = np.linspace(0.4, 1.6, picture.image.shape[1])
    counts = np.random.default_rng(3).poisson(250 * light * picture.image).astype(float)
    found = dm.measure_micrograph(dm.Micrograph(counts, 0.05))
    assert len(found.centres_nm) == 96
    assert found.quality.trusted


def test_errors_of_places_and_diameters_are_those_that_are_made():
    options = {"attenuation_nm": DARK, "dose_per_nm2": 2e5, "blur_nm": 0.0}
    picture = dm.simulate_micrograph(wires(16, seed=4), 0.05, 1.0, **options)
    found = dm.measure_micrograph(picture)
    apart, nearest = cKDTree(picture.centres_nm).query(found.centres_nm)
    assert apart.max() < 0.2
    pulls = (found.centres_nm - picture.centres_nm[nearest]) / found.position_errors_nm[:, None]
    assert pulls.std() == pytest.approx(1, abs=0.15)  # 512 values: 0.03
    sizes = (found.diameters_nm - 1.0) / found.diameter_errors_nm
    assert 0.6 < np.nanstd(sizes) < 1.1  # on the safe side
    assert np.nanmedian(found.diameters_nm) == pytest.approx(1.0, abs=0.02)


def test_maxima_of_noise_are_as_many_as_stated():
    """White noise through the filter, against the Euler characteristic of Adler and Taylor."""
    from skimage.feature import peak_local_max

    field = np.random.default_rng(5).normal(size=(1000, 1000))
    response = filtered(field, 0.1, 3.5)
    assert response.values.std() == pytest.approx(1, abs=0.01)
    assert response.roughness == pytest.approx(1.5 / 0.35**2, rel=0.05)  # 3/2σ²
    for height, tolerance in ((3.0, 0.2), (3.5, 0.3)):
        peaks = peak_local_max(response.values, min_distance=1, threshold_abs=height)
        assert len(peaks) == pytest.approx(
            false_maxima(height, 100.0**2, response.roughness), rel=tolerance
        )


def test_a_given_threshold_and_polarity_are_taken():
    picture = dm.simulate_micrograph(wires(4, 8), attenuation_nm=DARK)
    assert dm.measure_micrograph(picture, sigmas=4.0).quality.threshold == 4.0
    assert len(dm.measure_micrograph(picture, sigmas=1000.0).centres_nm) == 0
    wrong = dm.measure_micrograph(picture, bright=True)
    assert wrong.bright
    assert wrong.quality.spacing_faults


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda rng: np.full((64, 64), 7.0), "every pixel has the value 7"),
        (lambda rng: np.minimum(rng.poisson(250, (256, 256)), 250.0), "saturated"),
        (lambda rng: rng.poisson(_spots()) + 0.0, "a diffraction pattern"),
        (lambda rng: rng.poisson(250, (256, 256)) + 0.0, "^$"),
        (lambda rng: grain_field((256, 256), 6.0, rng) + 9, "^$"),
    ],
)
def test_what_is_no_micrograph_is_said(make, words):
    said = explain_unusable(make(np.random.default_rng(0)))
    assert (said == "") if words == "^$" else (words in said)


def _spots():
    """A central beam, a halo and a lattice of spots about it."""
    y, x = np.mgrid[-150:150, -150:150].astype(float)
    r = np.hypot(x, y)
    lattice = np.exp(-(((x + 15) % 30 - 15) ** 2 + ((y + 15) % 30 - 15) ** 2) / 8)
    return 3 + 5000 * np.exp(-(r**2) / 100) + 300 * lattice * np.exp(-r / 60)
