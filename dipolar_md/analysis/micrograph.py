"""Micrographs: a TEM image of a frame, and the same measurement on it and on a real one.

The image is mass-thickness contrast in bright field: a beam through t nanometres of core keeps
exp(-t/Λ) of its electrons (L. Reimer, H. Kohl, Transmission Electron Microscopy,
https://doi.org/10.1007/978-0-387-40093-8); ligands and support are a uniform ground. A Gaussian
blurs it and the electrons that arrive are counted. There is no phase contrast, no lattice fringe
and no grain of an amorphous support.

A micrograph shows spacings *projected* onto its plane. A chain that climbs looks shorter spaced
than it is, so a simulation is compared with a micrograph through its own image.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from dipolar_md.errors import InputError
from dipolar_md.trajectory import Configuration, system_of

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MOST_PIXELS = 64_000_000
CORE_DIAMETER_NM = (0.82, 1.17)
"""Core sizes of R-Au-Cu by TEM (Li et al., https://doi.org/10.1021/acscentsci.2c00754), nm."""
REACH_NM = 2.75
"""Farthest neighbours of a wire: the TEM range of 1.8-2.5 nm and a tenth more, nm."""
DETECTION_SIGMAS = 5.0
_WEAKEST = 0.3  # of a strong core; weaker spots are noise, ligands or support


@dataclass(frozen=True, eq=False)
class Micrograph:
    """A bright-field image: dark cores on a bright ground.

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


def simulate_micrograph(
    frame: Configuration,
    pixel_nm: float = 0.05,
    core_diameter_nm: float | tuple[float, float] = CORE_DIAMETER_NM,
    *,
    section_nm: float | None = None,
    attenuation_nm: float = 10.0,
    blur_nm: float = 0.1,
    dose_per_nm2: float = 1e5,
    seed: int = 1,
) -> Micrograph:
    """Return the TEM image of a frame, seen along z.

    I = dose · pixel² · exp(-t/Λ), t the thickness of core above a pixel, blurred by a Gaussian and
    counted with Poisson noise. The image shows the box once; cores are cut at its edges.

    Args:
        frame: A frame or a system.
        pixel_nm: Edge of a pixel, nm.
        core_diameter_nm: Diameter of every core, or the limits of a uniform distribution, nm.
        section_nm: Height of the slice about the middle of the box that is seen, nm; default all.
        attenuation_nm: Path Λ in core that 1/e of the electrons pass, nm.
        blur_nm: Standard deviation of the point spread, nm.
        dose_per_nm2: Electrons per nm²; infinite for an image without noise.
        seed: Seed of core sizes and noise.

    Returns:
        `Micrograph`, with the cores' true positions.

    Raises:
        InputError: a length that is not positive, or an image of more than `MOST_PIXELS` pixels.
    """
    system = system_of(frame)
    smallest, largest = np.broadcast_to(core_diameter_nm, 2)
    for name, value in (
        ("pixel_nm", pixel_nm),
        ("core_diameter_nm", smallest),
        ("attenuation_nm", attenuation_nm),
        ("dose_per_nm2", dose_per_nm2),
        ("section_nm", np.inf if section_nm is None else section_nm),
    ):
        if not value > 0:
            raise InputError(f"{name} must be positive (found {value:g})")
    if largest < smallest or blur_nm < 0:
        raise InputError(
            "core_diameter_nm must be a number or (smallest, largest) and blur_nm at least 0 "
            f"(found {core_diameter_nm}, {blur_nm:g})"
        )
    lx, ly, lz, xy, xz, yz = system.box
    width = lx + abs(xy * ly) + abs(xz * lz)
    height = ly + abs(yz * lz)
    columns, rows = int(np.ceil(width / pixel_nm)), int(np.ceil(height / pixel_nm))
    if columns * rows > MOST_PIXELS:
        least = np.sqrt(width * height / MOST_PIXELS)
        raise InputError(
            f"{columns} x {rows} pixels of {pixel_nm:g} nm are too many; take pixel_nm of at least "
            f"{least:.2g}"
        )
    rng = np.random.default_rng(seed)
    radii = rng.uniform(smallest, largest, len(system)) / 2
    seen = np.abs(system.positions[:, 2]) <= (np.inf if section_nm is None else section_nm / 2)
    x = system.positions[seen, 0] + width / 2
    y = height / 2 - system.positions[seen, 1]
    centres = np.stack([x, y], axis=1)
    thickness = _thickness(centres, radii[seen], pixel_nm, (rows, columns))
    image = np.exp(-thickness / attenuation_nm)
    image = ndimage.gaussian_filter(image, blur_nm / pixel_nm, mode="nearest")
    if np.isfinite(dose_per_nm2):
        image = rng.poisson(image * dose_per_nm2 * pixel_nm**2).astype(np.float64)
    return Micrograph(image, pixel_nm, centres)


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


@dataclass(frozen=True, eq=False)
class Measurement:
    """Cores and wires found in a micrograph; lengths are projected onto its plane.

    Attributes:
        centres_nm: (K, 2) cores, nm, x to the right and y down from the top left corner.
        significance: (K,) response of each core over the noise.
        links: (B, 2) neighbours within a wire.
        spacings_nm: (B,) distances of linked neighbours, nm.
        wires: Cores of each wire of two or more, in order, longest first.
        wire_lengths_nm: Length of each wire along its cores, nm.
    """

    centres_nm: Floats
    significance: Floats
    links: Integers
    spacings_nm: Floats
    wires: tuple[Integers, ...]
    wire_lengths_nm: Floats


def measure_micrograph(
    micrograph: Micrograph,
    core_diameter_nm: float = 1.0,
    reach_nm: float = REACH_NM,
    *,
    sigmas: float = DETECTION_SIGMAS,
) -> Measurement:
    """Return the cores, spacings and wires of a micrograph, simulated or real.

    Cores are maxima of the negative Laplacian of Gaussian of width d/√8, the scale at which a disk
    of diameter d answers most (T. Lindeberg, https://doi.org/10.1023/A:1008045108935), refined by a
    parabola through the neighbouring pixels; the filter ignores slow changes of the ground. A
    maximum counts where it exceeds the noise by `sigmas`, and three tenths of a strong core. The
    noise is measured in the image, as white noise; the grain of a real support is larger than that,
    so look at the overlay. Cores nearer than 0.6 d are found as one.

    Args:
        micrograph: Image of dark cores on a bright ground.
        core_diameter_nm: Expected diameter d, nm; a third more or less does little harm.
        reach_nm: Distance of the farthest neighbours of a wire, nm.
        sigmas: Smallest response of a core, in standard deviations of the noise.

    Returns:
        `Measurement`.

    Raises:
        InputError: a length that is not positive, an image smaller than two cores, or pixels too
            coarse to see one.
    """
    from skimage.feature import peak_local_max

    pixel = micrograph.pixel_nm
    image = np.asarray(micrograph.image, dtype=np.float64)
    if not (core_diameter_nm > 0 and reach_nm > 0 and sigmas > 0):
        raise InputError(
            "core_diameter_nm, reach_nm and sigmas must be positive (found "
            f"{core_diameter_nm:g}, {reach_nm:g}, {sigmas:g})"
        )
    width = core_diameter_nm / np.sqrt(8) / pixel
    if width < 1:
        raise InputError(
            f"pixels of {pixel:g} nm are too coarse for cores of {core_diameter_nm:g} nm: "
            f"at most {core_diameter_nm / np.sqrt(8):.2g} nm; check pixel_nm"
        )
    if image.ndim != 2 or min(image.shape) * pixel < 2 * core_diameter_nm:
        raise InputError(
            f"an image of {image.shape} pixels of {pixel:g} nm is too small for cores of "
            f"{core_diameter_nm:g} nm; check pixel_nm"
        )
    response = ndimage.gaussian_laplace(image, width, mode="nearest")
    noise = _white_noise(image) * _gain(width)
    apart = max(int(0.6 * core_diameter_nm / pixel), 1)
    floor = max(sigmas * noise, 1e-9 * float(np.abs(image).max()))
    peaks = peak_local_max(response, min_distance=apart, threshold_abs=floor, exclude_border=False)
    heights = response[tuple(peaks.T)]
    if len(peaks):
        strong = heights >= _WEAKEST * np.percentile(heights[: max(len(heights) // 2, 1)], 50)
        peaks, heights = peaks[strong], heights[strong]
    centres = (_refined(response, peaks)[:, ::-1] + 0.5) * pixel
    significance = heights / noise if noise > 0 else np.full(len(heights), np.inf)
    links, wires = link_wires(centres, reach_nm)
    steps = np.linalg.norm(centres[links[:, 0]] - centres[links[:, 1]], axis=1)
    lengths = np.array(
        [np.linalg.norm(np.diff(centres[wire], axis=0), axis=1).sum() for wire in wires]
    )
    order = np.argsort(-lengths, kind="stable")
    return Measurement(
        centres_nm=centres,
        significance=significance,
        links=links,
        spacings_nm=steps,
        wires=tuple(wires[k] for k in order),
        wire_lengths_nm=lengths[order],
    )


def _white_noise(image: Floats) -> float:
    """Return the standard deviation of white noise (J. Immerkær, 10.1006/cviu.1996.0060)."""
    mask = np.array([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]])
    rough = ndimage.convolve(image, mask, mode="nearest")
    return float(np.median(np.abs(rough)) / 0.6745 / 6)


def _gain(width: float) -> float:
    """Return the factor by which the Laplacian of Gaussian changes white noise."""
    edge = int(8 * width) + 4
    spot = np.zeros((2 * edge + 1, 2 * edge + 1))
    spot[edge, edge] = 1.0
    return float(np.linalg.norm(ndimage.gaussian_laplace(spot, width)))


def _refined(response: Floats, peaks: Integers) -> Floats:
    """Return peaks (K, 2) moved to the top of a parabola through their neighbours, in pixels."""
    padded = np.pad(response, 1, mode="edge")
    places = peaks.astype(np.float64)
    row, column = peaks.T + 1
    middle = padded[row, column]
    for axis, (down, right) in enumerate(((1, 0), (0, 1))):
        before, after = padded[row - down, column - right], padded[row + down, column + right]
        curve = before - 2 * middle + after
        safe = np.where(curve < 0, curve, -np.inf)
        places[:, axis] += np.clip((before - after) / (2 * safe), -0.5, 0.5)
    return places


def link_wires(
    centres_nm: ArrayLike, reach_nm: float = REACH_NM
) -> tuple[Integers, list[Integers]]:
    """Return the links (B, 2) of cores within wires, and each wire's cores in order.

    Pairs nearer than the reach are joined from the nearest to the farthest, where both cores have
    fewer than two links and the wire wouldn't turn by more than 90°. So wires neither branch nor
    fold back, and a denser film than one layer of wires links what only overlaps.

    Args:
        centres_nm: (K, 2) cores, nm.
        reach_nm: Distance of the farthest neighbours, nm.

    Returns:
        (B, 2) links, and the cores of each wire in order; a ring ends with its first core.
    """
    centres = np.asarray(centres_nm, dtype=np.float64).reshape(-1, 2)
    mates: list[list[int]] = [[] for _ in centres]
    links = []
    for i, j in _nearest_first(centres, reach_nm):
        if _goes_on(centres, mates, i, j) and _goes_on(centres, mates, j, i):
            mates[i].append(j)
            mates[j].append(i)
            links.append((i, j))
    return np.array(links, dtype=np.int64).reshape(-1, 2), _traced(mates)


def _nearest_first(centres: Floats, reach_nm: float) -> list[list[int]]:
    """Return the pairs of cores nearer than the reach, the nearest first."""
    from scipy.spatial import cKDTree

    if not len(centres):
        return []
    pairs = cKDTree(centres).query_pairs(reach_nm, output_type="ndarray")
    distances = np.linalg.norm(centres[pairs[:, 1]] - centres[pairs[:, 0]], axis=1)
    nearest: list[list[int]] = pairs[np.argsort(distances, kind="stable")].tolist()
    return nearest


def _goes_on(centres: Floats, mates: list[list[int]], core: int, other: int) -> bool:
    """Return whether a link to another core goes on from the one that a core may have."""
    if len(mates[core]) > 1:
        return False
    step = centres[other] - centres[core]
    return all(step @ (centres[mate] - centres[core]) <= 0 for mate in mates[core])


def _traced(mates: list[list[int]]) -> list[Integers]:
    """Return the cores of each wire in order; a ring ends with the core that it starts with."""
    wires, seen = [], np.zeros(len(mates), dtype=bool)
    ends = [k for k, near in enumerate(mates) if len(near) == 1]
    for start in [*ends, *(k for k, near in enumerate(mates) if len(near) == 2)]:  # then rings
        wire, k = [], start
        while not seen[k]:
            seen[k] = True
            wire.append(k)
            k = next((m for m in mates[k] if not seen[m]), k)
        if wire:
            ring = len(wire) > 2 and start in mates[wire[-1]]
            wires.append(np.array([*wire, start] if ring else wire, dtype=np.int64))
    return wires
