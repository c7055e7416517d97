"""Pairs of clusters near enough to bond, and the criteria that say which of them are bonded.

Two clusters are bonded where their dipole energy is below a fraction (default ½) of the contact
energy -2μ_iμ_j/4πε₀ε_r r_c³ (head to tail) and they are nearer than 1.5 contacts; the contact r_c
of a pair is the mean of its axial contacts. The ratio doesn't depend on the permittivity.

The contact is an input of the cluster, solved in vacuum for its own dipole. Where a weaker dipole
or a solvent moves neighbours apart, the deepest dipole energy is less than the contact energy (0.77
of it for R-Au-Cu with half its dipole) and the same fraction is a stricter criterion; so the mean
length is always given by all of `CRITERIA`.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import freud
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dipolar_md.errors import InputError
from dipolar_md.model.system import System, cell_matrix, rotated, wrap
from dipolar_md.trajectory import Configuration, system_of

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

DEFAULT_CRITERION = "energy_0.5"
REACH = 1.5
"""Farthest bond, in contacts."""

CRITERIA: Mapping[str, tuple[float, float | None]] = MappingProxyType(
    {
        "energy_0.4": (REACH, -0.4),
        "energy_0.5": (REACH, -0.5),
        "energy_0.6": (REACH, -0.6),
        "energy_0.7": (REACH, -0.7),
        "distance_1.3_attractive": (1.3, 0.0),
        "distance_1.3": (1.3, None),
    }
)
"""Bond criteria whose influence is always reported: farthest distance and highest dipole energy.

`energy_…` count distance in contacts and energy in contact energies; `distance_1.3…` count distance
in σ, as the literature does (nearer than 1.3 σ and attracting, or nearer than 1.3 σ). Other numbers
may be asked for in the same words, and both limits together: `distance_1.2_energy_0.6`.
"""

_WORDS = re.compile(
    r"energy_(?P<energy>\d*\.?\d+)"
    r"|distance_(?P<distance>\d*\.?\d+)(?P<attractive>_attractive|_energy_(?P<both>\d*\.?\d+))?"
)


class BondCriterion(NamedTuple):
    """When two clusters are bonded: nearer than a distance and below a dipole energy.

    Attributes:
        reach: Farthest distance, in contacts or in diameters.
        energy: Highest dipole energy in |contact energies|, None where it doesn't matter.
        in_diameters: Whether the distance counts in steric diameters σ.
    """

    reach: float
    energy: float | None
    in_diameters: bool


def bond_criterion(name: str) -> BondCriterion:
    """Return the bond criterion of a name.

    Args:
        name: A key of `CRITERIA`, or `energy_X` (dipole energy below -X contact energies and nearer
            than 1.5 contacts), `distance_Y` (nearer than Y σ), `distance_Y_attractive` or
            `distance_Y_energy_X` (both).

    Returns:
        The limits that the name states.

    Raises:
        InputError: not such a name; the known ones are listed.
    """
    words = _WORDS.fullmatch(name)
    if not words:
        raise InputError(
            f"unknown bond criterion '{name}'; known: {', '.join(CRITERIA)}, or other numbers in "
            "their place, and both limits as in distance_1.2_energy_0.6"
        )
    if words["energy"]:
        return BondCriterion(REACH, -float(words["energy"]), False)
    both = -float(words["both"]) if words["both"] else 0.0
    return BondCriterion(float(words["distance"]), both if words["attractive"] else None, True)


class Neighbours(NamedTuple):
    """Pairs of clusters nearer than the farthest bond, each once.

    Attributes:
        pairs: (M, 2) cluster indices, first < second.
        separations: (M, 3) nearest-image vectors from first to second, nm.
        distance: (M,) distances, nm.
        contacts: (M,) distances in contacts.
        diameters: (M,) distances in steric diameters σ.
        reduced_energy: (M,) dipole energies over |contact energy|; -1 at a head-to-tail contact.
    """

    pairs: Integers
    separations: Floats
    distance: Floats
    contacts: Floats
    diameters: Floats
    reduced_energy: Floats

    def bonded(self, criterion: str) -> NDArray[np.bool_]:
        """Return which pairs are bonded by a criterion.

        Args:
            criterion: Bond criterion, see `bond_criterion`.

        Returns:
            (M,) whether each pair is bonded.

        Raises:
            InputError: an unknown criterion.
        """
        reach, energy, in_diameters = bond_criterion(criterion)
        near: NDArray[np.bool_] = (self.diameters if in_diameters else self.contacts) < reach
        return near if energy is None else near & (self.reduced_energy < energy)


def find_neighbours(
    frame: Configuration, reach_contacts: float = REACH, reach_diameters: float = 1.3
) -> Neighbours:
    """Return the pairs of a frame that a bond criterion can connect.

    Args:
        frame: A frame or a system.
        reach_contacts: Least distance to search, in contacts.
        reach_diameters: Least distance to search, in σ.

    Returns:
        `Neighbours`, each pair once.

    Raises:
        InputError: no clusters, two at the same point, or a box too small to tell a cluster from
            its image.
    """
    system = system_of(frame)
    if not len(system):
        raise InputError("the frame has no clusters")
    contact = system.per_cluster([body.axial_contact_nm for body in system.bodies])
    sigma = system.per_cluster([body.steric_diameter_nm for body in system.bodies])
    reach = max(reach_contacts * float(contact.max()), reach_diameters * float(sigma.max()))
    box = freud.box.Box(*system.box)
    width = 1 / np.linalg.norm(np.linalg.inv(cell_matrix(system.box)), axis=1).max()
    if 2 * reach >= (1 - 1e-6) * width:  # freud compares in single precision
        raise InputError(
            f"box of {width:.4g} nm (between its faces) is too small to find bonds up to "
            f"{reach:.4g} nm"
        )
    near = _by_place(system, reach)
    positions = system.positions[near]
    found = freud.locality.AABBQuery(box, positions).query(
        positions, {"r_max": reach, "exclude_ii": True}
    )
    listed = found.toNeighborList()
    once = listed.query_point_indices < listed.point_indices
    i, j = near[listed.query_point_indices[once]], near[listed.point_indices[once]]
    key = np.minimum(i, j) * len(system) + np.maximum(i, j)
    key.sort()  # sorting one number beats sorting two
    i, j = np.divmod(key, len(system))
    pairs = np.stack([i, j], axis=1)
    separations = system.positions[j] - system.positions[i]
    far = np.einsum("ij,ij->i", separations, separations) > reach**2  # across the box
    separations[far] = wrap(separations[far], system.box)
    distance = np.linalg.norm(separations, axis=1)
    if not distance.all():
        first, second = pairs[np.argmin(distance)]
        raise InputError(f"clusters {first} and {second} lie at the same point")
    unit = separations / distance[:, None]
    directions = dipole_directions(system)
    one, other = directions[i], directions[j]
    alignment = np.einsum("ij,ij->i", one, other)
    along = np.einsum("ij,ij->i", one, unit) * np.einsum("ij,ij->i", other, unit)
    contacts = distance / ((contact[i] + contact[j]) / 2)
    return Neighbours(
        pairs=pairs,
        separations=separations,
        distance=distance,
        contacts=contacts,
        diameters=distance / ((sigma[i] + sigma[j]) / 2),
        reduced_energy=(alignment - 3 * along) / 2 / contacts**3,
    )


def energy_minimum(reduced_energies: ArrayLike) -> float | None:
    """Return the emptiest pair energy between bonded and unbonded pairs, in contact energies.

    It is the minimum of a smoothed histogram between its bonded peak (below -0.5) and -0.05.

    Args:
        reduced_energies: (K,) pair energies in contact energies.

    Returns:
        The energy in contact energies; None where there are too few pairs to tell, or no minimum
        inside.
    """
    edges = np.linspace(-1.5, 0.0, 61)
    counts, _ = np.histogram(np.asarray(reduced_energies), edges)
    centres = (edges[1:] + edges[:-1]) / 2
    if counts[centres < -0.5].sum() < 200:
        return None
    smooth = np.convolve(counts, np.ones(5) / 5, mode="same")
    peak = int(np.argmax(np.where(centres < -0.5, smooth, 0)))
    last = int(np.searchsorted(centres, -0.05))
    lowest = peak + int(np.argmin(smooth[peak:last]))
    return float(centres[lowest]) if peak < lowest < last - 1 else None


def dipole_directions(system: System) -> Floats:
    """Return the unit dipoles (N, 3)."""
    in_body = [np.divide(body.dipole_e_nm, body.dipole_magnitude_e_nm) for body in system.bodies]
    return rotated(system.orientations, system.per_cluster(in_body))


def _by_place(system: System, width_nm: float) -> Integers:
    """Return the clusters (N,) cell by cell, so that a search finds neighbours in the cache."""
    low, high = system.positions.min(axis=0), system.positions.max(axis=0)
    x, y, z = ((system.positions - low) / width_nm).astype(np.int64).T
    cells = ((high - low) / width_nm).astype(np.int64) + 1
    return np.argsort((x * cells[1] + y) * cells[2] + z, kind="stable")
