"""A molecule's shape seen from its dipole: radius, hemispheres, symmetry, handedness, contacts.

Everything here is in the dipole frame: centre of mass at the origin, z along the dipole, the
azimuth counted from the atom farthest from the axis. So results don't depend on how the file places
the molecule.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dipolar_md.chemistry.molecule import Floats, Molecule, hill_formula
from dipolar_md.errors import InputError

SYMMETRY_TOLERANCE_NM = 0.03
"""Largest distance between an atom and its image under a rotation or mirror that still counts."""

_ORDERS = range(12, 1, -1)
_AXIAL_ANGLES, _LATERAL_ANGLES = 72, 20
_GOLD = 79
_PARTNERS = (29, 47, 48)  # Cu, Ag, Cd: the other hemisphere's metals


class Hemispheres(NamedTuple):
    """The two halves of a Janus cluster: ligands go with the metal they are bonded to.

    Attributes:
        gold: (n,) whether an atom belongs to the gold half.
        formulas: Sum formulas of the gold half and of the other.
        charges_e: Sums of partial charges of both, None without partial charges.
        separation_nm: Distance of the centres of mass of the two halves.
        metal_separation_nm: Distance of the centroids of the two sets of metal atoms.
    """

    gold: NDArray[np.bool_]
    formulas: tuple[str, str]
    charges_e: tuple[float, float] | None
    separation_nm: float
    metal_separation_nm: float


class Contacts(NamedTuple):
    """Centre distances of two touching copies: means, and extremes over the turns averaged."""

    axial_nm: float
    axial_range_nm: tuple[float, float]
    lateral_nm: float
    lateral_range_nm: tuple[float, float]


class Radius(NamedTuple):
    """Bounds and estimate of a hydrodynamic radius."""

    value_nm: float
    volume_nm: float
    width_nm: float


def dipole_frame(molecule: Molecule, axis: ArrayLike) -> Floats:
    """Return the coordinates in the dipole frame, (n, 3) in nm.

    Args:
        molecule: The molecule.
        axis: (3,) direction of the dipole.

    Raises:
        InputError: an axis without direction.
    """
    direction = np.asarray(axis, float)
    length = np.linalg.norm(direction)
    if not (np.isfinite(length) and length > 0):
        raise InputError(f"{molecule.path}: no dipole axis to take the geometry from")
    z = direction / length
    centred = molecule.positions_nm - molecule.centre_of_mass_nm
    across = centred - np.outer(centred @ z, z)
    away = np.linalg.norm(across, axis=1)
    # Atoms at equal distances are told apart by height and element, which a mirror leaves alone.
    keys = (molecule.numbers, np.round(centred @ z, 5), np.round(away, 5))
    farthest = across[np.lexsort(keys)[-1]]
    if away.max() < 1e-6:  # all atoms on the axis: any azimuth
        farthest = np.cross(z, np.eye(3)[np.argmin(np.abs(z))])
    x = farthest / np.linalg.norm(farthest)
    placed: Floats = centred @ np.column_stack([x, np.cross(z, x), z])
    return placed


def principal_direction(molecule: Molecule, axis: ArrayLike) -> tuple[Floats, float]:
    """Return the dipole's direction in the principal frame, and its angle to the nearest axis.

    Args:
        molecule: The molecule.
        axis: (3,) direction of the dipole.

    Returns:
        Magnitudes of the direction cosines along the axes of smallest, middle and largest moment of
        inertia, (3,), and the angle in degrees to the nearest axis. The signs of principal axes
        have no meaning; axes of equal moment none apart.
    """
    centred = molecule.positions_nm - molecule.centre_of_mass_nm
    second = (centred * molecule.masses_Da[:, None]).T @ centred
    _, axes = np.linalg.eigh(np.trace(second) * np.eye(3) - second)
    cosines = np.abs(axes.T @ np.asarray(axis, float)) / np.linalg.norm(axis)
    return cosines, float(np.degrees(np.arccos(min(1.0, cosines.max()))))


# --- Size -----------------------------------------------------------------------------------------


def hydrodynamic_radius(molecule: Molecule, axis: ArrayLike) -> Radius:
    """Return the hydrodynamic radius of the convex hull of the van der Waals surface.

    (3V/4π)^(1/3) ≤ C ≤ w/2, with V the volume and w the mean width of the hull

    A body's Stokes radius is its electrostatic capacity C within about 1 %; for a convex body C
    lies between the radius of equal volume and half the mean width. The value is their mean.

    Args:
        molecule: The molecule.
        axis: (3,) direction of the dipole, which orients the sampling of the surface.

    Returns:
        `Radius`, in nm: the value, and the two bounds. Equal for a sphere.

    Source: J. B. Hubbard, J. F. Douglas, Phys. Rev. E 47, R2983 (1993),
    https://doi.org/10.1103/PhysRevE.47.R2983; G. Pólya, G. Szegő, Isoperimetric Inequalities in
    Mathematical Physics (1951). Bound solvent is not counted.
    """
    from scipy.spatial import ConvexHull

    directions = _sphere(400)
    placed, radii = dipole_frame(molecule, axis), molecule.van_der_waals_nm
    # The support function of the hull, exactly; over all directions its mean is half the width.
    width = float((placed @ directions.T + radii[:, None]).max(axis=0).mean())
    points = (placed[:, None] + radii[:, None, None] * directions).reshape(-1, 3)
    hull = ConvexHull(points)
    # Inscribed in the surface: scaled by what the same points lose of a sphere.
    lost = ConvexHull(directions).volume / (4 * np.pi / 3)
    volume = float((3 * hull.volume / lost / (4 * np.pi)) ** (1 / 3))
    return Radius((volume + width) / 2, volume, width)


def _sphere(count: int) -> Floats:
    """Return nearly even directions, (count, 3): a Fibonacci lattice."""
    k = np.arange(count) + 0.5
    z = 1 - 2 * k / count
    angle = np.pi * (1 + 5**0.5) * k
    rho = np.sqrt(1 - z**2)
    return np.column_stack([rho * np.cos(angle), rho * np.sin(angle), z])


def contacts(molecule: Molecule, axis: ArrayLike) -> Contacts:
    """Return the centre distances at which the van der Waals surfaces of two copies touch.

    r = max over pairs of [Δ + √((R_i + R_j)² − ρ_ij²)]

    with Δ the offset of two atoms along the approach and ρ across it: the distance of first touch.
    Head to tail the second copy comes along the dipole axis, dipoles parallel; side by side it
    comes across the axis at equal height, dipoles antiparallel. Averaged over turns of the copies
    about their own axes.

    Args:
        molecule: The molecule.
        axis: (3,) direction of the dipole.

    Returns:
        `Contacts`, in nm.

    Valid for rigid molecules: ligands that bend or interlock bring centres closer.
    """
    placed, radii = dipole_frame(molecule, axis), molecule.van_der_waals_nm
    reach = radii[:, None] + radii[None, :]
    turns = 2 * np.pi * np.arange(_AXIAL_ANGLES) / _AXIAL_ANGLES
    axial = [first_touch(placed, _turned(placed, turn), reach, 2) for turn in turns]
    turns = 2 * np.pi * np.arange(_LATERAL_ANGLES) / _LATERAL_ANGLES
    flipped = placed * np.array([1.0, -1.0, -1.0])  # half a turn about x: antiparallel, no mirror
    sides = [(_turned(placed, turn), _turned(flipped, turn)) for turn in turns]
    lateral = [first_touch(one, other, reach, 0) for one, _ in sides for _, other in sides]
    return Contacts(
        float(np.mean(axial)),
        (min(axial), max(axial)),
        float(np.mean(lateral)),
        (min(lateral), max(lateral)),
    )


def _turned(positions: Floats, angle: float) -> Floats:
    """Return coordinates turned about z."""
    c, s = np.cos(angle), np.sin(angle)
    turned: Floats = positions @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    return turned


def first_touch(one: Floats, other: Floats, reach: Floats, along: int) -> float:
    """Return the shift of `other` along an axis at which its spheres first touch those of `one`."""
    across = [axis for axis in range(3) if axis != along]
    gap = reach**2
    for axis in across:
        gap = gap - (one[:, None, axis] - other[None, :, axis]) ** 2
    offset = one[:, None, along] - other[None, :, along]
    return float(np.max(offset[gap > 0] + np.sqrt(gap[gap > 0])))


# --- Parts and symmetry ---------------------------------------------------------------------------


def hemispheres(molecule: Molecule, charges_e: ArrayLike | None = None) -> Hemispheres | None:
    """Return the gold half and the Cu, Ag or Cd half of a cluster; None where one metal is missing.

    An atom goes with the metal that it reaches over the fewest bonds (not counting bonds between
    metals), and over equally many with the nearer one.

    Args:
        molecule: The molecule.
        charges_e: (n,) partial charges for the sums.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra

    gold = np.flatnonzero(molecule.numbers == _GOLD)
    partner = np.flatnonzero(np.isin(molecule.numbers, _PARTNERS))
    if not (len(gold) and len(partner)):
        return None
    n = len(molecule)
    metals = np.union1d(gold, partner)
    bonds = molecule.bonds[~np.isin(molecule.bonds, metals).all(axis=1)]
    graph = coo_array((np.ones(len(bonds)), bonds.T), shape=(n, n)).tocsr()
    places = molecule.positions_nm
    steps, gaps = [], []
    for side in (gold, partner):
        steps.append(dijkstra(graph, directed=False, indices=side, unweighted=True).min(axis=0))
        gaps.append(np.linalg.norm(places[:, None] - places[side], axis=-1).min(axis=1))
    is_gold = np.where(steps[0] == steps[1], gaps[0] < gaps[1], steps[0] < steps[1])

    def centre(atoms: NDArray[np.bool_]) -> Floats:
        return np.average(places[atoms], axis=0, weights=molecule.masses_Da[atoms])

    halves = (is_gold, ~is_gold)
    charges = None if charges_e is None else np.asarray(charges_e, float)
    sums = None
    if charges is not None:
        sums = (float(charges[is_gold].sum()), float(charges[~is_gold].sum()))
    formulas = [
        hill_formula([s for s, inside in zip(molecule.symbols, half, strict=True) if inside])
        for half in halves
    ]
    return Hemispheres(
        is_gold,
        (formulas[0], formulas[1]),
        sums,
        float(np.linalg.norm(centre(is_gold) - centre(~is_gold))),
        float(np.linalg.norm(places[gold].mean(axis=0) - places[partner].mean(axis=0))),
    )


def rotational_symmetry(molecule: Molecule, axis: ArrayLike) -> int | None:
    """Return the order of the dipole axis as a rotation axis, 1 to 12; None for a linear molecule.

    Args:
        molecule: The molecule.
        axis: (3,) direction of the dipole.

    Returns:
        The largest n for which a turn by 2π/n puts every atom within `SYMMETRY_TOLERANCE_NM` of an
        atom of its element.
    """
    placed = dipole_frame(molecule, axis)
    if np.hypot(placed[:, 0], placed[:, 1]).max() < SYMMETRY_TOLERANCE_NM / 10:
        return None
    for n in _ORDERS:
        if _mismatch(molecule, _turned(placed, 2 * np.pi / n), placed) < 1:
            return n
    return 1


def chirality(molecule: Molecule, axis: ArrayLike) -> int:
    """Return +1 or −1 for the two mirror images of a chiral molecule, 0 for an achiral one.

    A rigid molecule with a dipole is achiral exactly if a mirror plane contains the dipole: every
    other improper operation would turn the dipole round. The sign is that of the strongest of the
    pseudoscalars Im(a* b) of azimuthal moments a, b = Σ w ρ^m e^(imφ), where the weights w are 1, z
    and the atomic number: the sense in which the pattern twists along the axis. It is no CIP label.

    Args:
        molecule: The molecule.
        axis: (3,) direction of the dipole.
    """
    placed = dipole_frame(molecule, axis)
    rho, phi = np.hypot(placed[:, 0], placed[:, 1]), np.arctan2(placed[:, 1], placed[:, 0])
    if rho.max() < SYMMETRY_TOLERANCE_NM / 10:
        return 0
    first = int(np.argmax(rho))
    alike = np.flatnonzero(
        (molecule.numbers == molecule.numbers[first])
        & (np.abs(rho - rho[first]) < 2 * SYMMETRY_TOLERANCE_NM)
        & (np.abs(placed[:, 2] - placed[first, 2]) < 2 * SYMMETRY_TOLERANCE_NM)
    )
    for atom in alike:  # the mirror that takes the first atom there
        turned = _turned(placed, -(phi[first] + phi[atom]) / 2)
        if _mismatch(molecule, turned * np.array([1.0, -1.0, 1.0]), turned) < 1:
            return 0
    signs = []
    weights = (np.ones(len(rho)), placed[:, 2], molecule.numbers.astype(float))
    for m in range(1, 7):
        sizes = [np.sum(np.abs(w) * rho**m) for w in weights]
        moments = [
            np.sum(w * rho**m * np.exp(1j * m * phi)) / max(size, 1e-300)
            for w, size in zip(weights, sizes, strict=True)
        ]
        signs += [(np.conj(moments[i]) * moments[j]).imag for i, j in ((0, 1), (0, 2), (1, 2))]
    strongest = max(signs, key=abs)
    return int(np.sign(strongest))


def _mismatch(molecule: Molecule, image: Floats, original: Floats) -> float:
    """Return the largest distance of an image's atom from its element's atoms, in tolerances."""
    from scipy.spatial import cKDTree

    worst = 0.0
    for number in np.unique(molecule.numbers):
        chosen = molecule.numbers == number
        gaps, _ = cKDTree(original[chosen]).query(image[chosen])
        worst = max(worst, float(np.max(gaps)))
    return float(worst) / SYMMETRY_TOLERANCE_NM
