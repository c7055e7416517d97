"""The microscope: a TEM or STEM image of a frame, from the beam to the counted electrons.

Without a microscope the image is mass-thickness contrast in bright field: a beam through t
nanometres of core keeps exp(-t/Λ) of its electrons (L. Reimer, H. Kohl, Transmission Electron
Microscopy, https://doi.org/10.1007/978-0-387-40093-8); ligands are not seen, the support is a
uniform ground with grain, a Gaussian blurs cores, and the electrons that arrive are counted.

With one, bright field is the exit wave of a thin object, exp(-t/2Λ + iφ), through the transfer
function of the lens, and dark field is what Rutherford scattering sends onto the detector. The film
is atoms thrown at random, so its grain has the rings of the transfer function.
"""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import constants, fft, ndimage

from dipolar_md.analysis.micrograph import Micrograph
from dipolar_md.errors import InputError
from dipolar_md.parameters import Parameters, Quantity, Text, load
from dipolar_md.trajectory import Configuration, system_of

Floats = NDArray[np.float64]

MOST_PIXELS = 64_000_000
CORE_DIAMETER_NM = (0.82, 1.17)
"""Core sizes of R-Au-Cu by TEM (Li et al., https://doi.org/10.1021/acscentsci.2c00754), nm."""
ATTENUATION_NM = 10.0
"""Path in core that 1/e of the electrons pass, an assumption, nm."""
BLUR_NM = 0.1
"""Standard deviation of the point spread where no microscope is named, nm."""
DOSE_PER_NM2 = 1e5
"""Electrons per nm² where nothing else is said."""


class Signed(Parameters):
    """A physical number of either sign with its provenance."""

    value: float = Field(strict=True)
    source: Text
    status: Literal["published", "calibrated", "computed", "estimated"]


class Beam(Parameters):
    """The electrons that arrive.

    Attributes:
        voltage_kV: Accelerating voltage, kV.
        dose_per_nm2: Electrons per nm².
    """

    voltage_kV: Quantity
    dose_per_nm2: Quantity


class Lens(Parameters):
    """The lens of bright field.

    Attributes:
        defocus_nm: Distance of the focus above the specimen; underfocus is positive, nm.
        spherical_aberration_mm: Coefficient of third-order spherical aberration, mm.
        focus_spread_nm: Standard deviation of the focus (energies and currents), nm.
        convergence_mrad: Semi-angle of the illumination, standard deviation, mrad.
        aperture_mrad: Semi-angle of the objective aperture, mrad.
    """

    defocus_nm: Signed
    spherical_aberration_mm: Quantity
    focus_spread_nm: Quantity
    convergence_mrad: Quantity
    aperture_mrad: Quantity


class Probe(Parameters):
    """The probe and the ring detector of dark field.

    Attributes:
        width_nm: Full width at half maximum of the probe, nm.
        inner_mrad: Inner semi-angle of the detector; the outer is taken as infinite, mrad.
    """

    width_nm: Quantity
    inner_mrad: Quantity


class Material(Parameters):
    """What scatters.

    Attributes:
        atomic_number: Protons of an atom.
        atoms_per_nm3: Density, atoms per nm³.
        inner_potential_V: Mean inner potential, V.
        attenuation_nm: Path that 1/e of the electrons pass into the aperture, nm.
    """

    atomic_number: Quantity
    atoms_per_nm3: Quantity
    inner_potential_V: Quantity
    attenuation_nm: Quantity


class Microscope(Parameters):
    """A microscope and the support, as a file of `params/microscopes/` states them.

    Attributes:
        name: Name of the file.
        title: What it stands for.
        beam: Electrons that arrive.
        lens: Lens of bright field; None for dark field.
        probe: Probe and detector of dark field; None for bright field.
        core: Material of the cores.
        film: Material of the support.
        film_thickness_nm: Thickness of the support, nm.
    """

    name: Text
    title: Text
    beam: Beam
    lens: Lens | None = None
    probe: Probe | None = None
    core: Material
    film: Material
    film_thickness_nm: Quantity

    @model_validator(mode="after")
    def _sees_one_way(self) -> "Microscope":
        if (self.lens is None) == (self.probe is None):
            raise ValueError("either [lens] (bright field) or [probe] (HAADF) must be there")
        return self


def load_microscope(name: str | Path) -> Microscope:
    """Return a shipped microscope, or one of the user's own.

    Args:
        name: Name in `params/microscopes/`, or a path.

    Returns:
        `Microscope`.

    Raises:
        InputError: No such name or file, a wrong key, or not one of lens and probe.
    """
    return load(Microscope, "microscopes", name)


def simulate_micrograph(
    frame: Configuration,
    pixel_nm: float = 0.05,
    core_diameter_nm: float | tuple[float, float] = CORE_DIAMETER_NM,
    *,
    section_nm: float | None = None,
    attenuation_nm: float | None = None,
    blur_nm: float | None = None,
    dose_per_nm2: float | None = None,
    grain: float = 0.0,
    grain_nm: float = 0.4,
    tilt_degrees: float = 0.0,
    microscope: Microscope | str | Path | None = None,
    seed: int = 1,
) -> Micrograph:
    """Return the TEM or STEM image of a frame, seen along z.

    I = dose · pixel² · exp(-t/Λ) · (1 + g), t the thickness of core above a pixel, blurred by a
    Gaussian, g the grain of the support, counted with Poisson noise. The image shows the box once;
    cores are cut at its edges. A microscope takes its own lens or probe, film and materials.

    Args:
        frame: A frame or a system.
        pixel_nm: Edge of a pixel, nm.
        core_diameter_nm: Diameter of every core, or the limits of a uniform distribution, nm.
        section_nm: Height of the slice about the middle of the box that is seen, nm; default all.
        attenuation_nm: Path Λ in core that 1/e of the electrons pass, nm; default the
            microscope's, or 10 nm.
        blur_nm: Standard deviation of the point spread, nm; default 0.1 nm without a microscope,
            nothing beside its lens or probe with one.
        dose_per_nm2: Electrons per nm²; infinite for an image without noise; default the
            microscope's, or 10⁵.
        grain: Standard deviation of the support's brightness, relative.
        grain_nm: Correlation length of the grain: the Gaussian that smooths white noise has this
            standard deviation, nm.
        tilt_degrees: Angle by which the specimen is turned about x.
        microscope: Name or file of a microscope, or the object; default mass-thickness contrast.
        seed: Seed of core sizes, support and noise.

    Returns:
        `Micrograph`, with the cores' true positions.

    Raises:
        InputError: A length that is not positive, or an image of more than `MOST_PIXELS` pixels.
    """
    if isinstance(microscope, str | Path):
        microscope = load_microscope(microscope)
    attenuation_nm, blur_nm, dose_per_nm2 = (
        default if stated is None else stated
        for stated, default in zip(
            (attenuation_nm, blur_nm, dose_per_nm2), _defaults(microscope), strict=True
        )
    )
    smallest, largest = (float(d) for d in np.broadcast_to(core_diameter_nm, 2))
    _check_lengths(
        pixel_nm=pixel_nm,
        core_diameter_nm=smallest,
        attenuation_nm=attenuation_nm,
        dose_per_nm2=dose_per_nm2,
        section_nm=np.inf if section_nm is None else section_nm,
        grain_nm=grain_nm,
    )
    _check_rest(
        largest >= smallest and blur_nm >= 0, core_diameter_nm, blur_nm, grain, tilt_degrees
    )
    system = system_of(frame)
    lx, ly, lz, xy, xz, yz = system.box
    width = lx + abs(xy * ly) + abs(xz * lz)
    height = ly + abs(yz * lz)
    shape = _shape(
        float(width),
        float(height),
        float(pixel_nm),
        max(largest, blur_nm, grain_nm if grain else 0.0),
    )
    rng = np.random.default_rng(seed)
    radii = rng.uniform(smallest, largest, len(system)) / 2
    seen = np.abs(system.positions[:, 2]) <= (np.inf if section_nm is None else section_nm / 2)
    x, y, z = system.positions[seen].T
    tilt = np.deg2rad(tilt_degrees)
    centres = np.stack([x + width / 2, height / 2 - (y * np.cos(tilt) - z * np.sin(tilt))], axis=1)
    thickness = _thickness(centres, radii[seen], pixel_nm, shape)
    if microscope is None:
        image = np.exp(-thickness / attenuation_nm)
    else:
        film_nm = microscope.film_thickness_nm.value / np.cos(tilt)
        image = _seen_through(microscope, thickness, film_nm, attenuation_nm, pixel_nm, rng)
    image = ndimage.gaussian_filter(image, blur_nm / pixel_nm, mode="nearest")
    if grain:
        image *= np.maximum(1 + grain * grain_field(shape, grain_nm / pixel_nm, rng), 0)
    if np.isfinite(dose_per_nm2):
        image = rng.poisson(image * dose_per_nm2 * pixel_nm**2).astype(np.float64)
    return Micrograph(image, pixel_nm, centres)


def _defaults(microscope: Microscope | None) -> tuple[float, float, float]:
    """Return attenuation (nm), blur (nm) and dose (per nm²) where nothing else is said."""
    if microscope is None:
        return ATTENUATION_NM, BLUR_NM, DOSE_PER_NM2
    return microscope.core.attenuation_nm.value, 0.0, microscope.beam.dose_per_nm2.value


def _check_rest(
    lengths: bool,
    core_diameter_nm: float | tuple[float, float],
    blur_nm: float,
    grain: float,
    tilt_degrees: float,
) -> None:
    if not lengths:
        raise InputError(
            "core_diameter_nm must be a number or (smallest, largest) and blur_nm at least 0 "
            f"(found {core_diameter_nm}, {blur_nm:g})"
        )
    if not (0 <= grain < 1 and -80 <= tilt_degrees <= 80):
        raise InputError(
            "grain must be in [0, 1) and tilt_degrees between -80 and 80 (found "
            f"{grain:g}, {tilt_degrees:g})"
        )


def _check_lengths(**lengths: float) -> None:
    for name, value in lengths.items():
        if not value > 0:
            raise InputError(f"{name} must be positive (found {value:g})")


def _shape(width: float, height: float, pixel_nm: float, widest: float) -> tuple[int, int]:
    """Return rows and columns of an image of a size (nm); refuse what doesn't fit in memory."""
    if not widest <= max(width, height):
        raise InputError(
            f"cores, blur and grain must be smaller than the box of {width:.4g} x {height:.4g} nm "
            f"(found {widest:g} nm)"
        )
    if (width / pixel_nm + 1) * (height / pixel_nm + 1) > MOST_PIXELS:
        least = np.sqrt(width * height / MOST_PIXELS)
        raise InputError(
            f"{width / pixel_nm:.0f} x {height / pixel_nm:.0f} pixels of {pixel_nm:g} nm are too "
            f"many; take pixel_nm of at least {least:.2g}"
        )
    return int(np.ceil(height / pixel_nm)), int(np.ceil(width / pixel_nm))


def _thickness(centres: Floats, radii: Floats, pixel_nm: float, shape: tuple[int, int]) -> Floats:
    """Return the summed thickness (H, W) of spheres above each pixel, nm."""
    thickness = np.zeros(shape)
    reach = int(np.ceil(radii.max(initial=0.0) / pixel_nm)) + 1
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    for some in np.array_split(np.arange(len(centres)), max(1, len(centres) * len(down) >> 22)):
        column, row = np.floor(centres[some] / pixel_nm).astype(np.int64).T[..., None]
        columns, rows = column + right, row + down
        across = (columns + 0.5) * pixel_nm - centres[some, :1]
        along = (rows + 0.5) * pixel_nm - centres[some, 1:]
        depth = 2 * np.sqrt(np.maximum(radii[some, None] ** 2 - across**2 - along**2, 0))
        inside = (depth > 0) & (rows >= 0) & (rows < shape[0]) & (columns >= 0)
        inside &= columns < shape[1]
        np.add.at(thickness, (rows[inside], columns[inside]), depth[inside])
    return thickness


def grain_field(shape: tuple[int, int], width: float, rng: np.random.Generator) -> Floats:
    """Return white noise (H, W) smoothed by a Gaussian of a width in pixels, of unit variance.

    The smoothing is periodic and exact in Fourier space; the variance is that of the ensemble.

    Args:
        shape: Rows and columns.
        width: Standard deviation of the Gaussian, pixels.
        rng: Source of random numbers.

    Returns:
        (H, W) field.
    """
    down, right = fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])
    kernel = np.exp(-2 * (np.pi * width) ** 2 * (down**2 + right**2))
    white = fft.rfft2(rng.standard_normal(shape))
    field = fft.irfft2(white * kernel, shape)
    whole = fft.fft2(fft.irfft2(kernel, shape))
    return np.asarray(field / np.sqrt(np.mean(np.abs(whole) ** 2)))


# --- Lens and probe -------------------------------------------------------------------------------


def wavelength_nm(voltage_kV: float) -> float:
    """Return the wavelength of an electron: λ = h / √(2 m e V (1 + e V / 2 m c²)).

    Args:
        voltage_kV: Accelerating voltage, kV.

    Returns:
        Wavelength, nm.
    """
    energy = constants.e * voltage_kV * 1e3
    rest = constants.m_e * constants.c**2
    return float(1e9 * constants.h / np.sqrt(2 * constants.m_e * energy * (1 + energy / 2 / rest)))


def phase_per_volt_nm(voltage_kV: float) -> float:
    """Return the phase of an electron per V nm: C = 2π/(λ V) · (V + m c²/e) / (V + 2 m c²/e).

    Args:
        voltage_kV: Accelerating voltage, kV.

    Returns:
        Radians per V nm.
    """
    volts, rest = voltage_kV * 1e3, constants.m_e * constants.c**2 / constants.e
    wave = 2 * np.pi / (wavelength_nm(voltage_kV) * volts)
    return float(wave * (volts + rest) / (volts + 2 * rest))


def transfer(lens: Lens, voltage_kV: float, per_nm: Floats) -> NDArray[np.complex128]:
    """Return what a lens does to a wave of a spatial frequency k.

    exp(-iχ) E_s E_t, χ = π λ k² (C_s λ² k² / 2 - Δ), Δ the underfocus; E_t = exp(-(π λ δ k²)² / 2)
    of the spread δ of focus and E_s = exp(-(π α / λ)² (C_s λ³ k³ - Δ λ k)²) of the illumination
    of semi-angle α; nothing passes beyond the aperture (E. J. Kirkland, Advanced Computing in
    Electron Microscopy, https://doi.org/10.1007/978-1-4419-6533-2).

    Args:
        lens: The lens.
        voltage_kV: Accelerating voltage, kV.
        per_nm: Spatial frequencies k, any shape, nm⁻¹.

    Returns:
        Complex factors of the same shape.
    """
    wave, k = wavelength_nm(voltage_kV), per_nm
    spherical, defocus = lens.spherical_aberration_mm.value * 1e6, lens.defocus_nm.value
    spread, angle = lens.focus_spread_nm.value, lens.convergence_mrad.value * 1e-3
    chi = np.pi * wave * k**2 * (spherical * wave**2 * k**2 / 2 - defocus)
    temporal = -0.5 * (np.pi * wave * spread * k**2) ** 2
    spatial = -(((np.pi * angle / wave) * (spherical * wave**3 * k**3 - defocus * wave * k)) ** 2)
    passed = wave * k <= lens.aperture_mrad.value * 1e-3
    return np.asarray(passed * np.exp(temporal + spatial - 1j * chi))


def scattered_per_nm(material: Material, voltage_kV: float, inner_mrad: float) -> float:
    """Return the part of the electrons that a nanometre sends beyond an angle θ (Rutherford).

    n π (Z α ħ c / p v)² cot²(θ/2), n the atoms per volume; unscreened, right for wide angles
    (Reimer and Kohl, chapter 5).

    Args:
        material: What scatters.
        voltage_kV: Accelerating voltage, kV.
        inner_mrad: Angle θ, mrad.

    Returns:
        Part per nm, nm⁻¹.
    """
    energy, rest = voltage_kV * 1e3, constants.m_e * constants.c**2 / constants.e
    momentum_speed = energy * (energy + 2 * rest) / (energy + rest)  # eV
    coulomb = constants.e / (4 * np.pi * constants.epsilon_0) * 1e9  # V nm per e
    area = np.pi * (material.atomic_number.value * coulomb / momentum_speed) ** 2
    return float(material.atoms_per_nm3.value * area / np.tan(inner_mrad * 1e-3 / 2) ** 2)


def _seen_through(
    optics: Microscope,
    thickness: Floats,
    film_nm: float,
    attenuation_nm: float,
    pixel_nm: float,
    rng: np.random.Generator,
) -> Floats:
    """Return the part (H, W) of the electrons that the camera or the detector counts."""
    voltage = optics.beam.voltage_kV.value
    atoms = rng.poisson(
        optics.film.atoms_per_nm3.value * film_nm * pixel_nm**2, thickness.shape
    ) / (optics.film.atoms_per_nm3.value * pixel_nm**2)  # nm of film above each pixel
    if optics.probe is not None:
        inner, width = optics.probe.inner_mrad.value, optics.probe.width_nm.value
        part = thickness * scattered_per_nm(optics.core, voltage, inner)
        part += atoms * scattered_per_nm(optics.film, voltage, inner)
        sigma = width / np.sqrt(8 * np.log(2)) / pixel_nm
        return np.asarray(ndimage.gaussian_filter(1 - np.exp(-part), sigma, mode="wrap"))
    assert optics.lens is not None  # the one or the other
    per_volt = phase_per_volt_nm(voltage)
    phase = thickness * optics.core.inner_potential_V.value
    phase += (atoms - film_nm) * optics.film.inner_potential_V.value
    wave = np.exp(-thickness / (2 * attenuation_nm) + 1j * per_volt * phase)
    down, right = (fft.fftfreq(n, pixel_nm) for n in thickness.shape)
    per_nm = np.hypot(down[:, None], right)
    return np.asarray(
        np.abs(fft.ifft2(fft.fft2(wave) * transfer(optics.lens, voltage, per_nm))) ** 2
    )
