"""The chain graph of one frame: connected components of its bonds, unwrapped along them.

Bonds are those of `bonds`; chains are never unwrapped by periodic means.

A frame of a million clusters takes seconds: all chains are walked by one depth-first search in C,
and no statement here loops over chains.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, depth_first_order, dijkstra

from dipolar_md.analysis.bonds import (
    DEFAULT_CRITERION,
    Neighbours,
    bond_criterion,
    find_neighbours,
)
from dipolar_md.model.system import System, cell_matrix
from dipolar_md.trajectory import Configuration, Frame, Frames, frames_of, system_of

if TYPE_CHECKING:
    from networkx import Graph

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ChainGraph:
    """The chains of one frame, longest first; a lone cluster is a chain of one.

    Attributes:
        labels: (N,) chain of each cluster.
        sizes: (C,) clusters in each chain.
        kinds: C strings: `monomer`, `linear`, `ring`, `branched` or `percolating`.
        branched: (C,) whether a cluster of the chain has more than two bonds.
        wraps: (C, 3) along which box vectors a loop of the chain winds around the periodic box.
        contour_nm: (C,) length along the bonds, nm: all of them in a ring or an unbranched
            percolating chain, else the longest shortest path, a lower bound where a branched chain
            has loops; 0 for a monomer.
        end_to_end_nm: (C,) straight distance between the ends of that path, nm; 0 where it has
            none.
        bonds: (B, 2) bonded clusters.
        bond_vectors_nm: (B, 3) vectors from the first to the second cluster of each bond, nm,
            nearest image.
        spacings_nm: (B,) distances of bonded clusters, nm.
        degree: (N,) number of bonds of each cluster.
        order: (N,) clusters chain by chain, along the chain where it is linear or a ring.
        positions_nm: (N, 3) positions unwrapped along the bonds, nm.
        neighbours: Pairs from which the bonds were chosen.
    """

    labels: Integers
    sizes: Integers
    kinds: tuple[str, ...]
    branched: NDArray[np.bool_]
    wraps: NDArray[np.bool_]
    contour_nm: Floats
    end_to_end_nm: Floats
    bonds: Integers
    bond_vectors_nm: Floats
    spacings_nm: Floats
    degree: Integers
    order: Integers
    positions_nm: Floats
    neighbours: Neighbours

    @cached_property
    def members(self) -> tuple[Integers, ...]:
        """C arrays of cluster indices, along the chain where it is linear or a ring."""
        ends = np.cumsum(self.sizes).tolist()
        return tuple(self.order[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True))

    @property
    def ends(self) -> Integers:
        """(E,) clusters with one bond: two in a linear chain, none in a ring."""
        return np.flatnonzero(self.degree == 1)

    @property
    def branch_points(self) -> Integers:
        """(K,) clusters with more than two bonds."""
        return np.flatnonzero(self.degree > 2)

    @property
    def mean_length(self) -> float:
        """Number-mean chain length N/C; monomers count."""
        return float(self.sizes.mean())

    @property
    def weight_mean_length(self) -> float:
        """Weight-mean chain length Σn²/Σn: the chain of a randomly chosen cluster."""
        return float((self.sizes**2).sum() / self.sizes.sum())

    @cached_property
    def radius_of_gyration_nm(self) -> Floats:
        """(C,) root mean square distance of the centres from their mean, all weighing the same.

        0 for a monomer; NaN for a percolating chain, which has no middle.
        """
        x, count = self.positions_nm, len(self.sizes)
        means = [np.bincount(self.labels, x[:, k], count) / self.sizes for k in range(3)]
        apart = ((x - np.stack(means, axis=1)[self.labels]) ** 2).sum(axis=1)
        radii = np.sqrt(np.bincount(self.labels, apart, count) / self.sizes)
        return np.where(self.wraps.any(axis=1), np.nan, radii)

    def fraction(self, *kinds: str) -> float:
        """Return the fraction of clusters that are in chains of the given kinds.

        Args:
            kinds: Words of `kinds`, such as `ring`.

        Returns:
            The fraction, 0 to 1.
        """
        chosen = np.array([kind in kinds for kind in self.kinds])
        return float(self.sizes[chosen].sum() / self.sizes.sum())

    def to_networkx(self) -> "Graph":
        """Return the frame as a `networkx.Graph`.

        Meant for frames that fit a screen: networkx takes about 1 kB per bond.

        Returns:
            The graph: nodes are clusters with `chain` and `position_nm` (unwrapped), edges are
            bonds with `spacing_nm`.
        """
        from networkx import Graph

        network = Graph()
        network.add_nodes_from(
            (k, {"chain": chain, "position_nm": tuple(place)})
            for k, (chain, place) in enumerate(
                zip(self.labels.tolist(), self.positions_nm.tolist(), strict=True)
            )
        )
        network.add_weighted_edges_from(
            zip(*self.bonds.T.tolist(), self.spacings_nm.tolist(), strict=True), "spacing_nm"
        )
        return network


Chains: TypeAlias = ChainGraph | Configuration | Sequence[ChainGraph] | Frames
"""What an analysis of chains takes: the graphs of one or more frames, or the frames themselves."""


def graphs_of(chains: Chains) -> Iterator[ChainGraph]:
    """Yield the chain graphs of one or more frames, found by the default criterion.

    Args:
        chains: A graph, a frame or a system; a sequence of graphs or frames; or a run, its
            directory or a trajectory file.

    Yields:
        One graph per frame; graphs as they are.

    Raises:
        InputError: no readable trajectory, or a box too small to find bonds.
    """
    if isinstance(chains, ChainGraph | Frame | System):
        several: Sequence[ChainGraph | Configuration] = [chains]
    elif isinstance(chains, Sequence) and not isinstance(chains, str):
        several = chains
    else:
        several = frames_of(chains)
    for each in several:
        yield each if isinstance(each, ChainGraph) else find_chains(each)


def mean_length(neighbours: Neighbours, n: int, criterion: str) -> float:
    """Return the number-mean chain length by a bond criterion, without making the graph.

    Args:
        neighbours: Pairs that may be bonded (`find_neighbours`).
        n: Number of clusters.
        criterion: Bond criterion, see `bond_criterion`.

    Returns:
        Clusters per chain; monomers count.

    Raises:
        InputError: an unknown criterion.
    """
    pairs = neighbours.pairs[neighbours.bonded(criterion)]
    chains, _ = connected_components(_adjacency(pairs, np.ones(len(pairs)), n), directed=False)
    return n / int(chains)


def find_chains(frame: Configuration, criterion: str = DEFAULT_CRITERION) -> ChainGraph:
    """Return the chains of a frame.

    Args:
        frame: A frame or a system.
        criterion: Bond criterion, a key of `CRITERIA` or another in their words, see
            `bond_criterion`.

    Returns:
        `ChainGraph`, the longest chain first.

    Raises:
        InputError: an unknown criterion, or a box too small to find bonds.
    """
    system = system_of(frame)
    n = len(system)
    farthest = bond_criterion(criterion)
    neighbours = find_neighbours(
        system, reach_diameters=max(1.3, farthest.reach if farthest.in_diameters else 0.0)
    )
    bonded = neighbours.bonded(criterion)
    bonds, steps = neighbours.pairs[bonded], neighbours.separations[bonded]
    lengths = neighbours.distance[bonded]
    graph = _adjacency(bonds, lengths, n)
    count, found = connected_components(graph, directed=False)
    by_size = np.argsort(-np.bincount(found, minlength=count), kind="stable")
    rank = np.empty(count, dtype=np.int64)
    rank[by_size] = np.arange(count)
    labels = rank[found]
    sizes = np.bincount(labels, minlength=count)
    degree = np.diff(graph.indptr).astype(np.int64)

    order, parents = _walk(graph, labels, degree, int((sizes > 1).sum()))
    positions, winding = _unwrapped(system, bonds, steps, labels, order, parents)
    chain_of_bond = labels[bonds[:, 0]]
    wraps = np.stack(
        [np.bincount(chain_of_bond, turn != 0, minlength=count) > 0 for turn in winding.T], axis=1
    )
    edges = np.bincount(chain_of_bond, minlength=count)
    branched = np.bincount(labels, degree > 2, minlength=count) > 0
    percolates = wraps.any(axis=1)
    ring = (edges == sizes) & ~branched & ~percolates

    kinds = np.full(count, "monomer", dtype="<U11")
    kinds[sizes > 1] = "linear"
    kinds[ring] = "ring"
    kinds[branched] = "branched"
    kinds[percolates] = "percolating"

    contour = np.asarray(np.bincount(chain_of_bond, lengths, minlength=count), dtype=np.float64)
    last = np.cumsum(sizes) - 1
    ends = positions[order[last]] - positions[order[last - sizes + 1]]
    straight = np.where(ring | percolates, 0.0, np.linalg.norm(ends, axis=1))
    if branched.any():
        chains, tips, contour[branched] = _longest_paths(graph, labels, branched)
        straight[chains] = np.linalg.norm(positions[tips[1]] - positions[tips[0]], axis=1)
    return ChainGraph(
        labels=labels,
        sizes=sizes,
        kinds=tuple(kinds.tolist()),
        branched=branched,
        wraps=wraps,
        contour_nm=contour,
        end_to_end_nm=straight,
        bonds=bonds,
        bond_vectors_nm=steps,
        spacings_nm=lengths,
        degree=degree,
        order=order,
        positions_nm=positions,
        neighbours=neighbours,
    )


def _adjacency(pairs: Integers, weights: Floats, n: int) -> csr_array:
    """Return the symmetric (n, n) matrix of bond lengths."""
    i, j = pairs.T.astype(np.int32)
    both = (np.concatenate([i, j]), np.concatenate([j, i]))
    return coo_array((np.concatenate([weights, weights]), both), shape=(n, n)).tocsr()


def _walk(
    graph: csr_array, labels: Integers, degree: Integers, chained: int
) -> tuple[Integers, Integers]:
    """Return the clusters (N,) chain by chain, along each, and the one (N,) each was reached from.

    One depth-first search walks all chains of two or more: it starts at the top of a spine of added
    nodes, each of which leads to the first cluster of a chain and then to the next node.
    """
    n = len(labels)
    first = np.full(len(labels), n)
    for some in (np.arange(n), np.flatnonzero(degree == 1)):  # an end where there is one
        first[labels[some[::-1]]] = some[::-1]  # the last to be written stays
    spine = np.stack([first[:chained], n + 1 + np.arange(chained)], axis=1).ravel()[:-1]
    starts = graph.indptr[-1] + np.minimum(2 * np.arange(1, chained + 1), len(spine))
    indices = np.concatenate([graph.indices, spine.astype(np.int32)])
    indptr = np.concatenate([graph.indptr, starts.astype(np.int32)])
    alone = np.flatnonzero(degree == 0)
    if not chained:
        return alone, np.full(n, n)
    linked = csr_array((np.ones(len(indices)), indices, indptr), shape=(n + chained,) * 2)
    order, parents = depth_first_order(linked, n, directed=True)
    return np.concatenate([order[order < n], alone]).astype(np.int64), parents[:n].astype(np.int64)


def _unwrapped(
    system: System,
    bonds: Integers,
    steps: Floats,
    labels: Integers,
    order: Integers,
    parents: Integers,
) -> tuple[Floats, Integers]:
    """Return positions (N, 3) unwrapped along the bonds; how often (B, 3) each bond winds.

    The images are whole numbers of box vectors, so nothing is rounded along a chain. Where a bond
    crosses the box they are summed up the tree of the walk by pointer jumping: every pass doubles
    how far a cluster has looked.
    """
    n, cell = len(system), cell_matrix(system.box)
    i, j = bonds.T
    jumps = steps - (system.positions[j] - system.positions[i])
    across = np.abs(jumps).max(axis=1, initial=0.0) > 1e-3 * system.box[:3].min()
    turns = np.zeros((len(bonds), 3), dtype=np.int64)
    turns[across] = np.rint(jumps[across] @ np.linalg.inv(cell).T)
    positions, winding = system.positions.copy(), np.zeros_like(turns)
    if across.any():
        cut = np.zeros(len(labels), dtype=bool)
        cut[labels[i[across]]] = True
        walk = order[cut[labels[order]]]
        place = np.zeros(n, dtype=np.int64)
        place[walk] = np.arange(len(walk))
        above = parents[walk]
        above = np.where((above >= 0) & (above < n), place[above % n], np.arange(len(walk)))
        images = np.zeros((n, 3), dtype=np.int64)
        down, up = across & (parents[j] == i), across & (parents[i] == j)
        images[j[down]] = turns[down]
        images[i[up]] = -turns[up]
        moved = images[walk]
        while (above != (farther := above[above])).any():
            moved += moved[above]
            above = farther
        images[walk] = moved
        positions[walk] += moved @ cell.T
        here = cut[labels[i]]
        winding[here] = images[j[here]] - images[i[here]] - turns[here]
    return positions, winding


def _longest_paths(
    graph: csr_array, labels: Integers, chosen: NDArray[np.bool_]
) -> tuple[Integers, Integers, Floats]:
    """Return the chosen chains, the ends (2, K) and the length (K,) of their longest shortest path.

    Two sweeps over all of them at once: the node farthest from any node is an end (exact for trees,
    a lower bound else).
    """
    nodes = np.flatnonzero(chosen[labels])
    local = graph[nodes][:, nodes]
    chains, start = np.unique(labels[nodes], return_index=True)
    tips = [start]
    for _ in range(2):
        far = dijkstra(local, directed=True, indices=tips[-1], min_only=True)
        ranked = np.lexsort((-nodes, far, labels[nodes]))
        tips.append(ranked[np.searchsorted(labels[nodes][ranked], chains, side="right") - 1])
    return chains, nodes[np.stack(tips[1:])], far[tips[-1]]
