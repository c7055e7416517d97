"""How stiff chains are: tangent correlations and the worm-like chain's end-to-end distance."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from dipolar_md.analysis.chains import ChainGraph

Floats = NDArray[np.float64]

FARTHEST = 64
"""Bonds over which tangents are correlated."""


class TangentCorrelation(NamedTuple):
    """⟨t(0)·t(s)⟩ along linear chains, (K,) each.

    Attributes:
        separation_nm: mean contour distance s of tangents that are 0, 1, 2 … bonds apart.
        correlation: mean cosine of their angle.
        samples: pairs of tangents in each mean.
    """

    separation_nm: Floats
    correlation: Floats
    samples: NDArray[np.int64]


def tangent_correlation(graphs: Sequence[ChainGraph]) -> TangentCorrelation:
    """Return how tangents, the unit bond vectors, of linear chains of three or more decorrelate.

    All pairs of tangents of a chain count alike, over all frames. No error is given: pairs of one
    chain are not independent.

    Args:
        graphs: chains of one or more frames.

    Returns:
        Up to `FARTHEST` separations, those that occur; none where no chain has three clusters.
    """
    sums, counts = np.zeros(FARTHEST), np.zeros(FARTHEST, dtype=np.int64)
    length, bonds = 0.0, 0
    for graph in graphs:
        chains = _linear(graph)
        kept = graph.order[chains[graph.labels[graph.order]]]
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


def persistence_length_nm(graphs: Sequence[ChainGraph], fewest: int = 50) -> float | None:
    """Return the persistence length P of linear chains from ⟨t(0)·t(s)⟩ = exp(-s/P).

    Tangents are unit bond vectors; the logarithm of their correlation is fitted through the origin
    over the separations where it exceeds 1/e and has at least `fewest` samples. None where no
    separation does. Chains short against P, and straight ones that outlive bent ones, bias it up.
    Source: Kratky and Porod, https://doi.org/10.1002/recl.19490681203.
    """
    s, correlation, samples = tangent_correlation(graphs)
    usable = (correlation > np.exp(-1)) & (samples >= fewest)
    last = len(usable) if usable.all() else int(np.argmin(usable))
    if last < 2:
        return None
    s, weights = s[1:last], samples[1:last]
    decay = -np.log(np.minimum(correlation[1:last], 1.0))
    slope = float((weights * s * decay).sum() / (weights * s**2).sum())
    return 1 / slope if slope > 1e-12 else None


def worm_like_square_nm2(contour_nm: ArrayLike, persistence_nm: float) -> Floats:
    """Return ⟨R²⟩ = 2PL[1 - (P/L)(1 - e^(-L/P))] of worm-like chains of contour L (nm), in nm².

    Source: Kratky and Porod, https://doi.org/10.1002/recl.19490681203.
    """
    x = np.asarray(contour_nm, dtype=np.float64) / persistence_nm
    return np.asarray(2 * persistence_nm**2 * (x + np.expm1(-x)))


def end_to_end_persistence_nm(graphs: Sequence[ChainGraph], fewest: int = 50) -> float | None:
    """Return the persistence length P of linear chains for which Σ⟨R²⟩(L, P) = ΣR².

    R is the end-to-end distance and L the contour of each linear chain of three or more clusters.
    None with fewer than `fewest` chains, or where they are as straight as can be told or more
    crumpled than any worm-like chain. It assumes a chain that doesn't avoid itself and bonds short
    against P.
    """
    linear = [(graph, _linear(graph)) for graph in graphs]
    contour = np.concatenate([g.contour_nm[chosen] for g, chosen in linear] or [np.zeros(0)])
    straight = np.concatenate([g.end_to_end_nm[chosen] for g, chosen in linear] or [np.zeros(0)])
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
