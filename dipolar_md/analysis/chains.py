"""Bonds and the chain graph of one frame.

Two clusters are bonded where their dipole energy is below a fraction (default ½) of the contact
energy -2μ_iμ_j/4πε₀ε_r r_c³ (head to tail) and they are nearer than 1.5 contacts; the contact r_c
of a pair is the mean of its axial contacts. The ratio doesn't depend on the permittivity. Chains
are the connected components; they are unwrapped along their bonds, never by periodic means.

The contact is an input of the cluster, solved in vacuum for its own dipole. Where a weaker dipole
or a solvent moves neighbours apart, the deepest dipole energy is less than the contact energy (0.77
of it for R-Au-Cu with half its dipole) and the same fraction is a stricter criterion; so the mean
length is always given by all of `CRITERIA`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import freud
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, dijkstra

from dipolar_md.errors import InputError
from dipolar_md.model.system import System, cell_matrix, wrap
from dipolar_md.trajectory import Frame

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
"""Bond criteria by name: farthest distance and highest dipole energy.

`energy_…` count distance in contacts and energy in contact energies; `distance_1.3…` count distance
in σ, as the literature does (nearer than 1.3 σ and attracting, or nearer than 1.3 σ).
"""


class Neighbours(NamedTuple):
    """Pairs of clusters nearer than the farthest bond, each once.

    Attributes:
        pairs: (M, 2) cluster indices, first < second.
        separations: (M, 3) nearest-image vectors from first to second, nm.
        distance: (M,) in nm.
        contacts: (M,) distance in contacts.
        diameters: (M,) distance in steric diameters σ.
        reduced_energy: (M,) dipole energy over |contact energy|; -1 at a head-to-tail contact.
    """

    pairs: Integers
    separations: Floats
    distance: Floats
    contacts: Floats
    diameters: Floats
    reduced_energy: Floats

    def bonded(self, criterion: str) -> NDArray[np.bool_]:
        """Return (M,) whether each pair is bonded by a criterion of `CRITERIA`.

        Raises:
            InputError: an unknown criterion.
        """
        if criterion not in CRITERIA:
            raise InputError(f"unknown bond criterion '{criterion}'; known: {', '.join(CRITERIA)}")
        reach, energy = CRITERIA[criterion]
        length = self.contacts if criterion.startswith("energy") else self.diameters
        near: NDArray[np.bool_] = length < reach
        return near if energy is None else near & (self.reduced_energy < energy)


def find_neighbours(frame: Frame | System) -> Neighbours:
    """Return the pairs of a frame that a bond criterion can connect.

    Raises:
        InputError: no clusters, two at the same point, or a box too small to tell a cluster from
            its image.
    """
    system = frame.system if isinstance(frame, Frame) else frame
    if not len(system):
        raise InputError("the frame has no clusters")
    contact = system.per_cluster([body.axial_contact_nm for body in system.bodies])
    sigma = system.per_cluster([body.steric_diameter_nm for body in system.bodies])
    magnitude = system.per_cluster([body.dipole_magnitude_e_nm for body in system.bodies])
    reach = max(REACH * float(contact.max()), 1.3 * float(sigma.max()))
    box = freud.box.Box(*system.box)
    width = 1 / np.linalg.norm(np.linalg.inv(cell_matrix(system.box)), axis=1).max()
    if 2 * reach >= (1 - 1e-6) * width:  # freud compares in single precision
        raise InputError(
            f"box of {width:.4g} nm (between its faces) is too small to find bonds up to "
            f"{reach:.4g} nm"
        )
    found = freud.locality.AABBQuery(box, system.positions).query(
        system.positions, {"r_max": reach, "exclude_ii": True}
    )
    listed = found.toNeighborList()
    pairs = np.stack([listed.query_point_indices, listed.point_indices], axis=1).astype(np.int64)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    pairs = pairs[np.lexsort(pairs.T[::-1])]
    i, j = pairs.T
    separations = wrap(system.positions[j] - system.positions[i], system.box)
    distance = np.linalg.norm(separations, axis=1)
    if not distance.all():
        one, other = pairs[np.argmin(distance)]
        raise InputError(f"clusters {one} and {other} lie at the same point")
    unit = separations / distance[:, None]
    directions = system.dipoles / magnitude[:, None]
    alignment = np.einsum("ij,ij->i", directions[i], directions[j])
    along = np.einsum("ij,ij->i", directions[i], unit) * np.einsum("ij,ij->i", directions[j], unit)
    contacts = distance / ((contact[i] + contact[j]) / 2)
    return Neighbours(
        pairs=pairs,
        separations=separations,
        distance=distance,
        contacts=contacts,
        diameters=distance / ((sigma[i] + sigma[j]) / 2),
        reduced_energy=(alignment - 3 * along) / 2 / contacts**3,
    )


@dataclass(frozen=True, eq=False)
class ChainGraph:
    """The chains of one frame, longest first; a lone cluster is a chain of one.

    Attributes:
        labels: (N,) chain of each cluster.
        sizes: (C,) clusters in each chain.
        kinds: C strings: `monomer`, `linear`, `ring`, `branched` or `percolating`.
        branched: (C,) whether a cluster of the chain has more than two bonds.
        contour_nm: (C,) length along the bonds: all of them in a ring or an unbranched percolating
            chain, else the longest shortest path, a lower bound where a branched chain has loops;
            0 for a monomer.
        end_to_end_nm: (C,) straight distance between the ends of that path; 0 where it has none.
        bonds: (B, 2) bonded clusters.
        spacings_nm: (B,) their distances.
        members: C arrays of cluster indices, along the chain where it is linear or a ring.
        positions_nm: (N, 3) positions unwrapped along the bonds.
        neighbours: the pairs from which the bonds were chosen.
    """

    labels: Integers
    sizes: Integers
    kinds: tuple[str, ...]
    branched: NDArray[np.bool_]
    contour_nm: Floats
    end_to_end_nm: Floats
    bonds: Integers
    spacings_nm: Floats
    members: tuple[Integers, ...]
    positions_nm: Floats
    neighbours: Neighbours

    @property
    def mean_length(self) -> float:
        """Number-mean chain length N/C; monomers count."""
        return float(self.sizes.mean())

    @property
    def weight_mean_length(self) -> float:
        """Weight-mean chain length Σn²/Σn: the chain of a randomly chosen cluster."""
        return float((self.sizes**2).sum() / self.sizes.sum())

    def fraction(self, *kinds: str) -> float:
        """Return the fraction of clusters that are in chains of the given kinds."""
        chosen = np.array([kind in kinds for kind in self.kinds])
        return float(self.sizes[chosen].sum() / self.sizes.sum())


def mean_length(neighbours: Neighbours, n: int, criterion: str) -> float:
    """Return the number-mean chain length of `n` clusters by a bond criterion."""
    pairs = neighbours.pairs[neighbours.bonded(criterion)]
    chains, _ = connected_components(_adjacency(pairs, np.ones(len(pairs)), n), directed=False)
    return n / int(chains)


def find_chains(frame: Frame | System, criterion: str = DEFAULT_CRITERION) -> ChainGraph:
    """Return the chains of a frame.

    Args:
        frame: a frame or a system.
        criterion: bond criterion, a key of `CRITERIA`.

    Raises:
        InputError: an unknown criterion, or a box too small to find bonds.
    """
    system = frame.system if isinstance(frame, Frame) else frame
    n = len(system)
    neighbours = find_neighbours(system)
    bonded = neighbours.bonded(criterion)
    bonds, steps = neighbours.pairs[bonded], neighbours.separations[bonded]
    lengths = neighbours.distance[bonded]
    graph = _adjacency(bonds, lengths, n)
    count, found = connected_components(graph, directed=False)
    order = np.argsort(-np.bincount(found, minlength=count), kind="stable")
    labels = np.empty(count, dtype=np.int64)
    labels[order] = np.arange(count)
    labels = labels[found]
    sizes = np.bincount(labels, minlength=count)
    chained = sizes[sizes > 1]

    positions, closed = _unwrapped(system, bonds, steps, graph, labels)
    degree = np.bincount(bonds.ravel(), minlength=n)
    edges = np.bincount(labels[bonds[:, 0]], minlength=count)
    most = np.zeros(count, dtype=np.int64)
    np.maximum.at(most, labels, degree)
    percolates = np.zeros(count, dtype=bool)
    percolates[labels[bonds[~closed, 0]]] = True

    kinds = np.full(count, "monomer", dtype="<U11")
    kinds[sizes > 1] = "linear"
    kinds[(edges == sizes) & (most == 2)] = "ring"
    kinds[most > 2] = "branched"
    kinds[percolates] = "percolating"
    branched = most > 2

    by_chain = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    contour, straight = np.zeros(count), np.zeros(count)
    members = list(by_chain)
    for chain in range(len(chained)):
        inside = by_chain[chain]
        local = graph[inside][:, inside]
        if kinds[chain] == "percolating" and not branched[chain]:
            contour[chain] = local.sum() / 2
            continue
        if kinds[chain] == "ring":
            contour[chain] = local.sum() / 2
            members[chain] = inside[_around(local)]
            continue
        path, contour[chain] = _longest_path(local)
        ends = positions[inside[path[[0, -1]]]]
        straight[chain] = np.linalg.norm(ends[1] - ends[0])
        if kinds[chain] == "linear":
            members[chain] = inside[path]
    return ChainGraph(
        labels=labels,
        sizes=sizes,
        kinds=tuple(str(kind) for kind in kinds),
        branched=branched,
        contour_nm=contour,
        end_to_end_nm=straight,
        bonds=bonds,
        spacings_nm=lengths,
        members=tuple(members),
        positions_nm=positions,
        neighbours=neighbours,
    )


def _adjacency(pairs: Integers, weights: Floats, n: int) -> csr_array:
    """Return the symmetric (n, n) matrix of bond lengths."""
    i, j = pairs.T
    both = (np.concatenate([i, j]), np.concatenate([j, i]))
    return coo_array((np.concatenate([weights, weights]), both), shape=(n, n)).tocsr()


def _unwrapped(
    system: System, bonds: Integers, steps: Floats, graph: csr_array, labels: Integers
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return positions (N, 3) unwrapped along the bonds; whether each bond closes smoothly."""
    n = len(system)
    positions = system.positions.copy()
    matrix = coo_array(
        (np.arange(1, len(bonds) + 1), (bonds[:, 0], bonds[:, 1])), shape=(n, n)
    ).tocsr()
    _, roots = np.unique(labels, return_index=True)
    for root in roots[np.bincount(labels)[labels[roots]] > 1]:
        order, parents = breadth_first_order(graph, root, directed=False)
        for child in order[1:]:
            parent = parents[child]
            bond = matrix[parent, child] or -matrix[child, parent]
            positions[child] = positions[parent] + np.sign(bond) * steps[abs(bond) - 1]
    jumps = positions[bonds[:, 1]] - positions[bonds[:, 0]] - steps
    return positions, np.linalg.norm(jumps, axis=1) < 1e-6 * system.box[:3].max()


def _longest_path(local: csr_array) -> tuple[Integers, float]:
    """Return the nodes and the length of the longest shortest path of a connected graph.

    Two sweeps: the node farthest from any node is an end (exact for trees, a lower bound else).
    """
    first = int(np.argmax(dijkstra(local, directed=False, indices=0)))
    lengths, parents = dijkstra(local, directed=False, indices=first, return_predecessors=True)
    node = int(np.argmax(lengths))
    path = [node]
    while node != first:
        node = int(parents[node])
        path.append(node)
    return np.array(path[::-1], dtype=np.int64), float(lengths.max())


def _around(local: csr_array) -> Integers:
    """Return the nodes of a ring in the order in which one walks around it."""
    order = [0]
    before = -1
    while True:
        nexts = local.indices[local.indptr[order[-1]] : local.indptr[order[-1] + 1]]
        step = int(nexts[0] if nexts[0] != before else nexts[1])
        if step == 0:
            return np.array(order, dtype=np.int64)
        before = order[-1]
        order.append(step)
