"""Micrographs: what is measured in an image of clusters, and how far it can be trusted.

A micrograph shows spacings *projected* onto its plane. A chain that climbs looks shorter spaced
than it is, so a simulation is compared with a micrograph through its own image.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dipolar_md.analysis.cores import WIDTH_OF_DISK, Cores, binned, bright_cores, find_cores
from dipolar_md.analysis.wires import (
    REACH_NM,
    Fragments,
    Interval,
    bridge_crossings,
    bridge_gaps,
    link_wires,
    mean_wire_length,
    median_interval,
    wire_fragments,
)
from dipolar_md.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PIXEL_NM = (1e-3, 10.0)
"""Finest and coarsest pixel that a microscope may have, nm."""
_MOST_WRONG = 0.05  # of the cores, false or missed, up to which spacing and length are trusted
_LEAST_SIGNAL = 6.2  # of a typical core over the noise; below, what is missed can't be told
_FEWEST = 8  # cores
_FEWEST_ENDS = 6  # of wires, away from the edges
_MOST_BROKEN = 0.2  # of the ends, where only a core was missed
_SURE_OF_CONTRAST = 5.0  # standard errors of the response's skewness
_MOST_CROWDED = 0.4  # of the cores


@dataclass(frozen=True, eq=False)
class Micrograph:
    """An image of cores on a ground, dark in bright field or bright in dark field.

    Attributes:
        image: (H, W) intensity, in any unit; row 0 is the top.
        pixel_nm: Edge of a pixel, nm.
        centres_nm: (N, 2) positions of the cores, nm, x to the right and y down from the top left
            corner; None where nobody knows.
    """

    image: Floats
    pixel_nm: float
    centres_nm: Floats | None = None

    @property
    def size_nm(self) -> tuple[float, float]:
        """Width and height, nm."""
        height, width = self.image.shape
        return width * self.pixel_nm, height * self.pixel_nm


@dataclass(frozen=True)
class ImageQuality:
    """Whether an image can be measured, and what speaks against it.

    Attributes:
        signal_to_noise: Typical response of a core over the noise.
        threshold: Response from which on a spot counts, over the noise.
        expected_false: Expected number of spots that are no cores.
        expected_missed: Expected number of cores that were not found.
        spacing_faults: Why spacings can't be trusted, one sentence each; empty where they can.
        length_faults: Why lengths can't be trusted; empty where they can.
    """

    signal_to_noise: float
    threshold: float
    expected_false: float
    expected_missed: float
    spacing_faults: tuple[str, ...]
    length_faults: tuple[str, ...]

    @property
    def trusted(self) -> bool:
        """Whether both spacings and lengths can be trusted."""
        return not (self.spacing_faults or self.length_faults)


@dataclass(frozen=True, eq=False)
class Measurement:
    """Cores and wires found in a micrograph; lengths are projected onto its plane.

    Attributes:
        centres_nm: (K, 2) cores, nm, x to the right and y down from the top left corner.
        significance: (K,) response of each core over the noise.
        position_errors_nm: (K,) standard errors of each coordinate, nm.
        diameters_nm: (K,) apparent diameters, with the image's blur, nm; NaN where none fits.
        diameter_errors_nm: (K,) standard errors of the diameters, nm.
        links: (B, 2) neighbours within a wire.
        spacings_nm: (B,) distances of linked neighbours, nm.
        wires: Cores of each wire of two or more, in order, longest first.
        wire_lengths_nm: Length of each wire along its cores as far as it is seen, nm.
        bright: Whether cores are brighter than the ground.
        spacing: Median spacing with its 95 % interval, nm.
        mean_length: Mean wire length with its 95 % interval, what the edges cut allowed for, nm.
        fragments: What the picture shows of each wire, to pool pictures.
        grain: Standard deviation of the support's brightness, relative; 0 where none is seen.
        grain_nm: Correlation length of the grain, as in `simulate_micrograph`, nm.
        quality: Whether all this can be trusted.
    """

    centres_nm: Floats
    significance: Floats
    position_errors_nm: Floats
    diameters_nm: Floats
    diameter_errors_nm: Floats
    links: Integers
    spacings_nm: Floats
    wires: tuple[Integers, ...]
    wire_lengths_nm: Floats
    bright: bool
    spacing: Interval
    mean_length: Interval
    fragments: Fragments
    grain: float
    grain_nm: float
    quality: ImageQuality


def measure_micrograph(
    micrograph: Micrograph,
    core_diameter_nm: float = 1.0,
    reach_nm: float = REACH_NM,
    *,
    sigmas: float | None = None,
    bright: bool | None = None,
) -> Measurement:
    """Return the cores, spacings and wires of a micrograph, simulated or real.

    Cores are maxima of the negative Laplacian of Gaussian of width d/√8 or less, refined by a
    parabola through the neighbouring pixels. A maximum counts where it exceeds the noise, which is
    the robust spread of the same response away from cores, and three tenths of a typical core; a
    weaker one of three standard deviations where it closes a gap in a wire. Cores nearer than 0.6 d
    are found as one.

    Args:
        micrograph: Image of cores on a ground.
        core_diameter_nm: Expected diameter d, nm; a third more or less does little harm.
        reach_nm: Distance of the farthest neighbours of a wire, nm.
        sigmas: Smallest response of a core, in standard deviations of the noise; default where
            the fewest false and missed cores are expected.
        bright: Whether cores are brighter than the ground; default as the image says.

    Returns:
        `Measurement`.

    Raises:
        InputError: A length that is not positive, an image smaller than two cores, or pixels too
            coarse to see one.
    """
    image = np.asarray(micrograph.image, dtype=np.float64)
    pixel = micrograph.pixel_nm
    _check(image, pixel, core_diameter_nm, reach_nm, sigmas)
    seems_bright, sureness = bright_cores(image, pixel, core_diameter_nm)
    contradicted = bright is not None and bright != seems_bright and sureness > _SURE_OF_CONTRAST
    bright = seems_bright if bright is None else bright
    cores = find_cores(-image if bright else image, pixel, core_diameter_nm, sigmas)
    kept = cores.sure if sigmas is not None else bridge_gaps(cores.centres_nm, cores.sure, reach_nm)
    centres = cores.centres_nm[kept]
    links, pieces = link_wires(centres, reach_nm)
    wires = bridge_crossings(centres, pieces, reach_nm)
    steps = np.linalg.norm(centres[links[:, 0]] - centres[links[:, 1]], axis=1)
    lengths = np.array(
        [np.linalg.norm(np.diff(centres[wire], axis=0), axis=1).sum() for wire in wires]
    )
    order = np.argsort(-lengths, kind="stable")
    missed = max(cores.missed - float((kept & ~cores.sure).sum()), 0.0)
    fragments = wire_fragments(centres, wires, micrograph.size_nm, reach_nm + core_diameter_nm / 2)
    return Measurement(
        centres_nm=centres,
        significance=cores.significance[kept],
        position_errors_nm=cores.position_errors_nm[kept],
        diameters_nm=cores.diameters_nm[kept],
        diameter_errors_nm=cores.diameter_errors_nm[kept],
        links=links,
        spacings_nm=steps,
        wires=tuple(wires[k] for k in order),
        wire_lengths_nm=lengths[order],
        bright=bright,
        spacing=median_interval(steps),
        mean_length=mean_wire_length([fragments]),
        fragments=fragments,
        grain=cores.grain,
        grain_nm=cores.grain_nm,
        quality=_quality(cores, missed, fragments.ends, _crowded(centres, reach_nm), contradicted),
    )


def _check(
    image: Floats, pixel: float, core_diameter_nm: float, reach_nm: float, sigmas: float | None
) -> None:
    """Raise where the lengths make no sense for the image."""
    if not (core_diameter_nm > 0 and reach_nm > 0 and (sigmas is None or sigmas > 0)):
        raise InputError(
            "core_diameter_nm, reach_nm and sigmas must be positive (found "
            f"{core_diameter_nm:g}, {reach_nm:g}, {sigmas})"
        )
    if not PIXEL_NM[0] <= pixel <= PIXEL_NM[1]:
        raise InputError(
            f"pixel_nm must be between {PIXEL_NM[0]:g} and {PIXEL_NM[1]:g} nm (found {pixel:g})"
        )
    if WIDTH_OF_DISK * core_diameter_nm / pixel < 1:
        raise InputError(
            f"pixels of {pixel:g} nm are too coarse for cores of {core_diameter_nm:g} nm: "
            f"at most {core_diameter_nm * WIDTH_OF_DISK:.2g} nm; check pixel_nm"
        )
    if image.ndim != 2 or min(image.shape) * pixel < 2 * core_diameter_nm:
        raise InputError(
            f"an image of {image.shape} pixels of {pixel:g} nm is too small for cores of "
            f"{core_diameter_nm:g} nm; check pixel_nm"
        )
    if reach_nm > 10 * core_diameter_nm:
        raise InputError(
            f"reach_nm must be at most ten core diameters, {10 * core_diameter_nm:g} nm (found "
            f"{reach_nm:g})"
        )


def _crowded(centres: Floats, reach_nm: float) -> float:
    """Return the part of the cores that have more than two neighbours within reach."""
    from scipy.spatial import cKDTree

    if not len(centres):
        return 0.0
    near = cKDTree(centres).query_ball_point(centres, reach_nm, return_length=True)
    return float(np.mean(near > 3))  # itself and two


def _quality(
    cores: Cores, missed: float, ends: int, crowded: float, contradicted: bool
) -> ImageQuality:
    """Return whether the cores of an image can be trusted, and the wires that they make."""
    found = int(cores.sure.sum())
    faults: list[str] = []
    lengths: list[str] = []
    if contradicted:
        faults.append("what stands out in the image has the other contrast")
    if found < max(_FEWEST, 3 * cores.false):
        faults.append(
            f"no cores stand out: {found} spot{'' if found == 1 else 's'} above the noise, "
            f"{cores.false:.1f} expected of noise alone"
        )
    else:
        if cores.typical < _LEAST_SIGNAL:
            faults.append(
                f"a typical core stands out by {cores.typical:.1f} standard deviations of the "
                f"noise; {_LEAST_SIGNAL:g} are needed"
            )
        if cores.false > _MOST_WRONG * found:
            part = min(cores.false / found, 1)
            faults.append(f"{part:.0%} of the cores are expected to be noise")
        if missed > _MOST_WRONG * (found + missed):
            part = missed / (found + missed)
            faults.append(f"{part:.0%} of the cores are expected to be missed")
        if ends < _FEWEST_ENDS:
            lengths.append(
                f"a mean length needs {_FEWEST_ENDS} ends of wires, the image has {ends}"
            )
        elif 2 * missed > _MOST_BROKEN * ends:
            lengths.append(f"{2 * missed / ends:.0%} of the ends are expected to be missed cores")
        if crowded > _MOST_CROWDED:
            lengths.append(
                f"{crowded:.0%} of the cores have more than two neighbours within reach, so it is "
                "open which of them makes the wire"
            )
    return ImageQuality(
        cores.typical,
        cores.threshold,
        cores.false,
        missed,
        tuple(faults),
        tuple(faults + lengths),
    )


def explain_unusable(image: Floats) -> str:
    """Return why an image is no micrograph that could be measured, or nothing.

    Args:
        image: (H, W) grey values.

    Returns:
        A sentence: empty, saturated, or a diffraction pattern.
    """
    low, high = float(image.min()), float(image.max())
    if not high > low:
        return f"every pixel has the value {low:g}: an empty image"
    for end, word in ((high, "largest"), (low, "smallest")):
        clipped = image == end
        part = float(clipped.mean())
        if part > 0.3 and (part > 0.995 or _noisy(image, clipped, high - low)):
            return (
                f"{part:.0%} of the pixels have the {word} value, {end:g}: a saturated image; "
                "expose so that the ground is grey"
            )
    if _is_diffraction(image):
        return "a diffraction pattern, or the Fourier transform of an image: no cores to measure"
    return ""


def _noisy(image: Floats, clipped: NDArray[np.bool_], span: float) -> bool:
    """Return whether pixels that are not clipped scatter; a drawing without noise does not."""
    free = ~ndimage.binary_dilation(clipped, np.ones((3, 3), np.bool_))
    if not free.any():
        return True
    rough = ndimage.convolve(image, np.array([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]]))
    return bool(np.median(np.abs(rough[free])) > 0.02 * span)


def _is_diffraction(image: Floats) -> bool:
    """Return whether a small, strong centre has the rest lie point-symmetric about it."""
    times = max(min(image.shape) // 96, 1)
    small = ndimage.gaussian_filter(binned(image, times), 1.5)
    small = small - np.percentile(small, 1)
    row, column = np.unravel_index(int(np.argmax(small)), small.shape)
    middle = np.median(small)
    if not (small.max() > 6 * middle and np.mean(small > small.max() / 2) < 0.05):
        return False
    reach = min(row, column, small.shape[0] - 1 - row, small.shape[1] - 1 - column)
    if reach < min(small.shape) // 5:
        return False
    part = np.log1p(
        np.maximum(small[row - reach : row + reach + 1, column - reach : column + reach + 1], 0)
        / max(float(middle), 1e-12 * float(small.max()))
    )
    outer = np.hypot(*(np.mgrid[-reach : reach + 1, -reach : reach + 1])) > 0.15 * reach
    turned = part[::-1, ::-1]
    return bool(np.corrcoef(part[outer], turned[outer])[0, 1] > 0.6)
