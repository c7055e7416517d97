"""How stiff chains are: tangent correlations and the worm-like chain's end-to-end distance."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from dipolar_md.analysis.chains import ChainGraph, Chains, graphs_of

Floats = NDArray[np.float64]

FARTHEST = 64
"""Bonds over which tangents are correlated."""


class TangentCorrelation(NamedTuple):
    """⟨t(0)·t(s)⟩ along linear chains, (K,) each.

    Attributes:
        separation_nm: Mean contour distance s of tangents that are 0, 1, 2 … bonds apart, nm.
        correlation: Mean cosine of their angle.
        samples: Number of pairs of tangents in each mean.
    """

    separation_nm: Floats
    correlation: Floats
    samples: NDArray[np.int64]


def tangent_correlation(chains: Chains) -> TangentCorrelation:
    """Return how tangents, the unit bond vectors, of linear chains of three or more decorrelate.

    All pairs of tangents of a chain count alike, over all frames. No error is given: pairs of one
    chain are not independent.

    Args:
        chains: Chain graphs or frames, one or more; or a run, its directory or a trajectory file.

    Returns:
        Up to `FARTHEST` separations, those that occur; none where no chain has three clusters.
    """
    sums, counts = np.zeros(FARTHEST), np.zeros(FARTHEST, dtype=np.int64)
    length, bonds = 0.0, 0
    for graph in graphs_of(chains):
        kept = graph.order[_linear(graph)[graph.labels[graph.order]]]
        inside = graph.labels[kept[1:]] == graph.labels[kept[:-1]]
        steps = np.diff(graph.positions_nm[kept], axis=0)[inside]
        chain = graph.labels[kept[1:]][inside]
        lengths = np.linalg.norm(steps, axis=1)
        tangents = steps / lengths[:, None]
        length, bonds = length + float(lengths.sum()), bonds + len(lengths)
        for k in range(min(len(tangents), FARTHEST)):
            same = chain[k:] == chain[: len(chain) - k]
            cosines = np.einsum("ij,ij->i", tangents[k:], tangents[: len(chain) - k])
            sums[k] += cosines[same].sum()
            counts[k] += int(same.sum())
            if not same.any():
                break
    seen = counts > 0
    separation = np.asarray(
        np.flatnonzero(seen) * (length / bonds if bonds else 0.0), dtype=np.float64
    )
    return TangentCorrelation(separation, sums[seen] / counts[seen], counts[seen])


def persistence_length_nm(chains: Chains, fewest: int = 50) -> float | None:
    """Return the persistence length of linear chains from how their tangents decorrelate.

    ⟨t(0)·t(s)⟩ = exp(-s/P)

    Tangents are unit bond vectors; the logarithm of their correlation is fitted through the origin
    over the separations where it exceeds 1/e and has samples enough. Chains short against P, and
    straight ones that outlive bent ones, bias it up.

    Args:
        chains: Chain graphs or frames, one or more; or a run, its directory or a trajectory file.
        fewest: Least number of samples of a separation that counts.

    Returns:
        P in nm; None where no separation counts, or nothing decorrelates.

    Source: Kratky and Porod, https://doi.org/10.1002/recl.19490681203.
    """
    s, correlation, samples = tangent_correlation(chains)
    usable = (correlation > np.exp(-1)) & (samples >= fewest)
    last = len(usable) if usable.all() else int(np.argmin(usable))
    if last < 2:
        return None
    s, weights = s[1:last], samples[1:last]
    decay = -np.log(np.minimum(correlation[1:last], 1.0))
    slope = float((weights * s * decay).sum() / (weights * s**2).sum())
    return 1 / slope if slope > 1e-12 else None


def worm_like_square_nm2(contour_nm: ArrayLike, persistence_nm: float) -> Floats:
    """Return the mean square end-to-end distance of worm-like chains.

    ⟨R²⟩ = 2PL[1 - (P/L)(1 - e^(-L/P))]

    Args:
        contour_nm: Contour lengths L, nm, of any shape.
        persistence_nm: Persistence length P, nm.

    Returns:
        ⟨R²⟩ in nm², of the same shape.

    Source: Kratky and Porod, https://doi.org/10.1002/recl.19490681203.
    """
    x = np.asarray(contour_nm, dtype=np.float64) / persistence_nm
    return np.asarray(2 * persistence_nm**2 * (x + np.expm1(-x)))


def end_to_end_persistence_nm(chains: Chains, fewest: int = 50) -> float | None:
    """Return the persistence length of linear chains from their end-to-end distances.

    Σ⟨R²⟩(L, P) = ΣR², solved for P

    R is the end-to-end distance and L the contour of each linear chain of three or more clusters.
    It assumes a chain that doesn't avoid itself and bonds short against P.

    Args:
        chains: Chain graphs or frames, one or more; or a run, its directory or a trajectory file.
        fewest: Least number of chains.

    Returns:
        P in nm; None with fewer chains, or where they are as straight as can be told or more
        crumpled than any worm-like chain.
    """
    lengths = [
        np.stack([graph.contour_nm, graph.end_to_end_nm])[:, _linear(graph)]
        for graph in graphs_of(chains)
    ]
    contour, straight = np.concatenate([np.zeros((2, 0)), *lengths], axis=1)
    if len(contour) < fewest:
        return None

    def excess(log_persistence: float) -> float:
        squares = worm_like_square_nm2(contour, float(np.exp(log_persistence)))
        return float(squares.sum() - (straight**2).sum())

    low, high = np.log(1e-3 * contour.min()), np.log(1e3 * contour.max())
    if not excess(low) < 0 < excess(high):
        return None
    return float(np.exp(brentq(excess, low, high)))


def _linear(graph: ChainGraph) -> NDArray[np.bool_]:
    """Return (C,) which chains are linear and have three clusters or more."""
    return np.asarray((np.array(graph.kinds) == "linear") & (graph.sizes > 2), dtype=np.bool_)
