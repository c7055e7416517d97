"""Bundles: chains that lie side by side, their order and lateral spacing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dipolar_md.analysis.bonds import dipole_directions, find_neighbours
from dipolar_md.analysis.chains import ChainGraph, find_chains
from dipolar_md.errors import InputError
from dipolar_md.trajectory import Configuration, system_of

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

REACH = 1.6
"""Farthest lateral contact, in axial contacts: 2.92 nm for R-Au-Cu, whose crystal has 2.68 nm."""
_COS45 = np.sqrt(0.5)


@dataclass(frozen=True, eq=False)
class Bundles:
    """The bundles of one frame, most chains first; a chain that touches none is a bundle of one.

    Attributes:
        labels: (C,) bundle of each chain.
        sizes: (B,) chains in each bundle.
        contacts: (K, 2) clusters of different chains that lie side by side.
        lateral_nm: (K,) distances of these clusters across the chains, nm.
        alignment: (K,) cosines between their dipoles: near 1 parallel, near -1 antiparallel.
        clusters: (B,) clusters in each bundle.
    """

    labels: Integers
    sizes: Integers
    contacts: Integers
    lateral_nm: Floats
    alignment: Floats
    clusters: Integers

    @property
    def bundled_fraction(self) -> float:
        """Fraction of clusters in bundles of two chains or more."""
        return float(self.clusters[self.sizes > 1].sum() / self.clusters.sum())

    @property
    def parallel_fraction(self) -> float | None:
        """Fraction of contacts with parallel dipoles, the rest are antiparallel; None of none."""
        return float((self.alignment > 0).mean()) if len(self.alignment) else None


def find_bundles(
    frame: Configuration,
    graph: ChainGraph | None = None,
    reach_contacts: float = REACH,
    fewest: int = 2,
) -> Bundles:
    """Return the bundles of the chains of a frame.

    Two clusters of different chains (of two clusters or more) touch laterally where they are nearer
    than `reach_contacts` axial contacts, their dipoles lie within 45° of a common line, head to
    head or to tail, and their separation is within 45° of perpendicular to it. Chains that share
    `fewest` contacts are in one bundle, so that chains that only cross are not. The lateral spacing
    is the part of the separation across that line.

    Args:
        frame: A frame or a system.
        graph: Chains of the frame (`find_chains`); None finds them.
        reach_contacts: Distance of the farthest contact, in axial contacts.
        fewest: Least number of contacts that two chains of a bundle share.

    Returns:
        `Bundles`, the one with most chains first.

    Raises:
        InputError: the graph is of another frame, or a box too small to find neighbours.
    """
    system = system_of(frame)
    graph = find_chains(system) if graph is None else graph
    if len(graph.labels) != len(system):
        raise InputError(f"chains of {len(graph.labels)} clusters in a frame of {len(system)}")
    near = find_neighbours(system, reach_contacts)
    i, j = near.pairs.T
    one, other = graph.labels[i], graph.labels[j]
    wires = graph.sizes > 1
    chosen = (near.contacts < reach_contacts) & (one != other) & wires[one] & wires[other]
    i, j, one, other = i[chosen], j[chosen], one[chosen], other[chosen]
    directions = dipole_directions(system)
    alignment = np.einsum("ij,ij->i", directions[i], directions[j])
    line = directions[i] + np.sign(alignment)[:, None] * directions[j]
    line /= np.linalg.norm(line, axis=1, keepdims=True)
    separation = near.separations[chosen]
    along = np.einsum("ij,ij->i", separation, line)
    lateral = np.linalg.norm(separation - along[:, None] * line, axis=1)
    side = (np.abs(alignment) > _COS45) & (np.abs(along) < lateral)

    count = len(graph.sizes)
    key = np.minimum(one, other) * count + np.maximum(one, other)
    found, which, shared = np.unique(key[side], return_inverse=True, return_counts=True)
    joined = found[shared >= fewest]
    links = coo_array((np.ones(len(joined)), np.divmod(joined, count)), shape=(count, count))
    bundles, found_labels = connected_components(links, directed=False)
    rank = np.empty(bundles, dtype=np.int64)
    rank[np.argsort(-np.bincount(found_labels, minlength=bundles), kind="stable")] = np.arange(
        bundles
    )
    labels = rank[found_labels]
    kept = np.flatnonzero(side)[(shared >= fewest)[which]]
    return Bundles(
        labels=labels,
        sizes=np.bincount(labels, minlength=bundles),
        contacts=np.stack([i[kept], j[kept]], axis=1),
        lateral_nm=lateral[kept],
        alignment=alignment[kept],
        clusters=np.bincount(labels, graph.sizes, bundles).astype(np.int64),
    )
