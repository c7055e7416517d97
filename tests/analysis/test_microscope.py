"""Beam, lens, probe and film: published numbers, a grating through the lens, atoms, grain, tilt."""

import numpy as np
import pytest
from scipy import special

import dipolar_md as dm
from dipolar_md.analysis.microscope import (
    grain_field,
    phase_per_volt_nm,
    scattered_per_nm,
    transfer,
    wavelength_nm,
)
from dipolar_md.parameters import parameter_folder, parameter_names

BRIGHT, DARK = (dm.load_microscope(f"tecnai-f20-{name}") for name in ("bright-field", "haadf"))
BODY = dm.coarse_grain(dm.load_cluster("r-au-cu"))


def at(positions, box=(12.0, 10.0, 8.0)):
    positions = np.atleast_2d(positions)
    return dm.Frame.from_arrays(box, positions, np.tile([1, 0, 0, 0], (len(positions), 1)), BODY)


def test_electrons_are_those_of_the_textbooks():
    """Wavelengths and interaction constants of Reimer and Kohl, Williams and Carter."""
    assert wavelength_nm(100) == pytest.approx(3.701e-3, rel=2e-4)
    assert wavelength_nm(200) == pytest.approx(2.508e-3, rel=2e-4)
    assert wavelength_nm(300) == pytest.approx(1.969e-3, rel=2e-4)
    assert phase_per_volt_nm(200) == pytest.approx(7.29e-3, rel=1e-3)
    assert phase_per_volt_nm(300) == pytest.approx(6.53e-3, rel=1e-3)


def test_a_weak_grating_gets_the_contrast_of_its_frequency():
    """exp(iφ cos 2πkx) is imaged as 1 + 2 φ E(k) sin χ(k) cos 2πkx, up to φ²; dark is thick."""
    phase, pixels, pixel = 1e-3, 400, 0.05
    wide = BRIGHT.lens.convergence_mrad.model_copy(update={"value": 1.0})
    lens = BRIGHT.lens.model_copy(update={"convergence_mrad": wide})
    for waves in (20, 40, 60):  # 1 to 3 nm⁻¹
        k = waves / (pixels * pixel)
        x = np.arange(pixels) * pixel
        wave = np.fft.fft(np.exp(1j * phase * np.cos(2 * np.pi * k * x)))
        through = transfer(lens, 200, np.abs(np.fft.fftfreq(pixels, pixel)))
        image = np.abs(np.fft.ifft(wave * through)) ** 2
        contrast = 2 * np.mean((image - 1) * np.cos(2 * np.pi * k * x))
        lam = wavelength_nm(200)
        chi = np.pi * lam * k**2 * (1.2e6 * lam**2 * k**2 / 2 - 66)
        damped = np.exp(-0.5 * (np.pi * lam * 4 * k**2) ** 2)
        damped *= np.exp(-((np.pi * 1e-3 / lam * (1.2e6 * lam**3 * k**3 - 66 * lam * k)) ** 2))
        assert contrast == pytest.approx(2 * phase * damped * np.sin(chi), rel=2e-2)
        assert chi < 0  # underfocus: what is thick looks dark
    assert transfer(BRIGHT.lens, 200, np.array([0.0]))[0] == 1
    assert transfer(BRIGHT.lens, 200, np.array([0.013 / lam]))[0] == 0  # beyond 12 mrad


def test_scattering_goes_with_the_square_of_the_charge():
    gold, carbon = (scattered_per_nm(m, 200, 70) for m in (DARK.core, DARK.film))
    assert gold / carbon == pytest.approx((79 / 6) ** 2 * 59 / 88)
    assert scattered_per_nm(DARK.core, 200, 140) == pytest.approx(gold / 4, rel=0.01)
    assert gold == pytest.approx(59 * np.pi * (79 * 1.43996 / 343.8e3) ** 2 * 816, rel=0.01)


def test_grain_has_its_variance_and_length():
    field = grain_field((600, 500), 6.0, np.random.default_rng(0))
    assert field.std() == pytest.approx(1, abs=0.05)
    for lag in (4, 8, 12):
        pair = (field[lag:] * field[:-lag]).mean() / (field**2).mean()
        assert pair == pytest.approx(np.exp(-((lag / 12) ** 2)), abs=0.04)  # exp(-r²/4l²)


def test_bright_and_dark_field_see_the_core():
    """Dark field: its brightness adds up to what the ball scatters; bright field: it is dark."""
    frame = at([0.0, 0.0, 0.0])
    quiet = {"core_diameter_nm": 1.0, "dose_per_nm2": np.inf}
    film = DARK.film_thickness_nm.model_copy(update={"value": 1e-9})
    bare = DARK.model_copy(update={"film_thickness_nm": film})
    image = dm.simulate_micrograph(frame, 0.05, microscope=bare, **quiet).image
    scattered = scattered_per_nm(DARK.core, 200, 70)
    assert image.sum() * 0.05**2 == pytest.approx(scattered * np.pi / 6, rel=0.02)
    row, column = np.unravel_index(image.argmax(), image.shape)
    assert abs(row - 99.5) < 2
    assert abs(column - 119.5) < 2
    bare = BRIGHT.model_copy(update={"film_thickness_nm": film})
    image = dm.simulate_micrograph(frame, 0.05, microscope=bare, **quiet).image
    assert image[95:105, 115:125].mean() < 0.9
    assert image[:40].mean() == pytest.approx(1, abs=0.01)


def test_the_rings_of_the_film_are_those_of_the_lens():
    """Where sin χ vanishes the spectrum of the film's grain has its hole (defocus 400 nm)."""
    far = BRIGHT.lens.defocus_nm.model_copy(update={"value": 400.0})
    lens = BRIGHT.lens.model_copy(update={"defocus_nm": far})
    optics = BRIGHT.model_copy(update={"lens": lens})
    empty = at([0.0, 0.0, 0.0], (40.0, 40.0, 5.0))
    picture = dm.simulate_micrograph(empty, 0.1, 1e-3, microscope=optics, dose_per_nm2=np.inf)
    spectrum = np.abs(np.fft.fft2(picture.image - picture.image.mean())) ** 2
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(400, 0.1), np.fft.fftfreq(400, 0.1)))
    ring = [spectrum[np.abs(k - at) < 0.03].mean() for at in (0.71, 1.0)]  # sin χ = ±1 and 0
    assert ring[1] < 0.1 * ring[0]


def test_a_tilted_film_is_seen_shorter():
    frame = at([[0.0, 3.0, 0.0], [0.0, -3.0, 0.0], [0.0, 0.0, 2.0]])
    seen = dm.simulate_micrograph(frame, tilt_degrees=60.0, dose_per_nm2=np.inf).centres_nm
    assert seen[1, 1] - seen[0, 1] == pytest.approx(3.0)
    assert seen[2, 1] == pytest.approx(5.0 + 2 * np.sin(np.pi / 3))


@pytest.mark.parametrize("name", parameter_names("microscopes"))
def test_every_microscope_sees_wires_and_states_its_sources(name):
    along = 1.85 * (np.arange(8) - 3.5)
    places = [[x, y, 0.0] for y in (-4.5, 0.0, 4.5) for x in along]
    picture = dm.simulate_micrograph(
        at(places, (20.0, 14.0, 8.0)), microscope=name, dose_per_nm2=1e6
    )
    found = dm.measure_micrograph(picture)
    assert found.bright == ("haadf" in name)
    near = np.linalg.norm(found.centres_nm[:, None] - picture.centres_nm, axis=2).min(axis=0)
    assert (near < 0.25).mean() > 0.9
    assert special.ndtr(found.quality.signal_to_noise - found.quality.threshold) > 0.9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"microscope": "tecnai"}, "unknown microscope 'tecnai': did you mean tecnai-f20"),
        ({"grain": 1.5}, r"grain must be in \[0, 1\)"),
        ({"grain_nm": 0.0}, "grain_nm must be positive"),
        ({"tilt_degrees": 90.0}, "tilt_degrees between -80 and 80"),
        ({"blur_nm": 1e9}, "must be smaller than the box"),
        ({"core_diameter_nm": 1e9}, "must be smaller than the box"),
        ({"pixel_nm": 1e-300}, "too many"),
        ({"blur_nm": np.nan}, "blur_nm at least 0"),
    ],
)
def test_wrong_microscopes_are_refused(options, words):
    with pytest.raises(dm.InputError, match=words):
        dm.simulate_micrograph(at([0.0, 0.0, 0.0]), **options)


def test_a_microscope_has_a_lens_or_a_probe(tmp_path):
    path = tmp_path / "both.toml"
    text = (parameter_folder() / "microscopes/tecnai-f20-haadf.toml").read_text()
    path.write_text(text.replace("[probe.width_nm]", "[sieve.width_nm]"))
    with pytest.raises(dm.InputError, match=r"both\.toml: .*unknown key 'sieve'"):
        dm.load_microscope(path)
    cut = text[: text.index("[probe.width_nm]")] + text[text.index("[core.atomic_number]") :]
    path.write_text(cut)
    with pytest.raises(dm.InputError, match=r"either \[lens\] .* or \[probe\]"):
        dm.load_microscope(path)
