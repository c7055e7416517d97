"""Wires in a picture: cores joined into wires, and their mean length with what the edges cut."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dipolar_md.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

REACH_NM = 2.75
"""Farthest neighbours of a wire: the TEM range of 1.8-2.5 nm and a tenth more, nm."""


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


class Estimate(NamedTuple):
    """A number with its 95 % interval.

    Attributes:
        value: The number; NaN where there is none.
        low: Lower end of the interval.
        high: Upper end of the interval; infinite where only a lower bound is known.
    """

    value: float
    low: float
    high: float


NOTHING = Estimate(math.nan, math.nan, math.nan)


def bridge_gaps(
    centres_nm: ArrayLike, sure: ArrayLike, reach_nm: float = REACH_NM
) -> NDArray[np.bool_]:
    """Return which cores belong to wires (K,): the sure ones, and candidates that close a gap.

    A candidate closes a gap where it lies between two ends of wires, each within reach of it, and
    the wire through all of them never turns by more than 60°.

    Args:
        centres_nm: (K, 2) cores and candidates, nm.
        sure: (K,) which of them are cores for sure.
        reach_nm: Distance of the farthest neighbours, nm.

    Returns:
        (K,) which of them are cores.
    """
    from scipy.spatial import cKDTree

    centres, accepted = np.asarray(centres_nm, dtype=np.float64), np.array(sure, dtype=bool)
    known = np.flatnonzero(accepted)
    if accepted.all() or len(known) < 4:
        return accepted
    _, wires = link_wires(centres[known], reach_nm)
    open_wires = [known[w] for w in wires if w[0] != w[-1]]
    if not open_wires:
        return accepted
    ends = np.array([end for wire in open_wires for end in (wire[0], wire[-1])])
    inner = np.array([mate for wire in open_wires for mate in (wire[1], wire[-2])])
    forward = centres[ends] - centres[inner]
    forward /= np.linalg.norm(forward, axis=1)[:, None]
    near = cKDTree(centres[ends])
    for candidate in np.flatnonzero(~accepted):
        close = near.query_ball_point(centres[candidate], reach_nm)
        steps = centres[candidate] - centres[ends[close]]
        distances = np.linalg.norm(steps, axis=1)
        steps /= distances[:, None]
        ahead = (steps * forward[close]).sum(axis=1) > 0.5
        ahead &= distances > 0.4 * reach_nm
        facing = (steps @ steps.T < -0.5) & ahead & ahead[:, None]
        accepted[candidate] = bool(facing.any())
    return accepted


def mean_wire_length(
    centres_nm: ArrayLike,
    wires: list[Integers],
    size_nm: tuple[float, float],
    margin_nm: float,
) -> tuple[Estimate, int]:
    """Return the mean length of the wires of a film from what a picture shows of them.

    Twice the length of wire per end. Long wires leave the picture more often than short ones, so
    a mean of those that fit is too small. But every wire has two ends, wherever they are, and each
    end and each bit of wire is seen with the same probability: the ratio has no such bias, whatever
    the lengths. For exponential lengths it is what the likelihood with censoring gives, too. A ring
    counts as a wire without ends.

    Args:
        centres_nm: (K, 2) cores, nm.
        wires: Cores of each wire in order; a ring ends with its first core.
        size_nm: Width and height of the picture, nm.
        margin_nm: Strip along the edges where the neighbours of a core may be outside, nm.

    Returns:
        `Estimate`, nm, with an interval from the scatter between wires, and the number of ends that
        it rests on. With fewer than three a lower bound.
    """
    from scipy import stats

    centres = np.asarray(centres_nm, dtype=np.float64).reshape(-1, 2)
    lengths, counts, ends = [], [], 0
    for wire in wires:
        here = _inside(centres[wire], size_nm, margin_nm)
        steps = np.linalg.norm(np.diff(centres[wire], axis=0), axis=1)
        lengths.append(float((steps * (here[:-1] + 0.0 + here[1:])).sum() / 2))
        if wire[0] == wire[-1]:
            counts.append(float(here[:-1].mean()))
        else:
            counts.append((int(here[0]) + int(here[-1])) / 2)
            ends += int(here[0]) + int(here[-1])
    length, count = np.array(lengths), np.array(counts)
    seen = (length > 0) | (count > 0)
    if not seen.any():
        return NOTHING, 0
    mean = float(length.sum() / count.sum()) if count.any() else math.nan
    if ends < 3:  # as many ends as they may be, at a Poisson's 97.5 %
        low = 2 * length.sum() / stats.chi2.ppf(0.975, 2 * ends + 2) * 2
        return Estimate(mean, float(low), math.inf), ends
    wires_seen = int(seen.sum())
    scatter = np.sqrt(((length - mean * count) ** 2).sum() * wires_seen / max(wires_seen - 1, 1))
    error = scatter / count.sum() / mean
    factor = math.exp(stats.t.ppf(0.975, max(min(ends, wires_seen) - 1, 1)) * error)
    return Estimate(mean, mean / factor, mean * factor), ends


def wire_survival(
    centres_nm: ArrayLike,
    wires: list[Integers],
    size_nm: tuple[float, float],
    margin_nm: float,
) -> tuple[Floats, Floats]:
    """Return the part of wires longer than a length (E. L. Kaplan, P. Meier, 10.2307/2281868).

    Each end in the picture is followed along its wire, up to the other end or to the edge, where
    the length is censored.

    Args:
        centres_nm: (K, 2) cores, nm.
        wires: Cores of each wire in order; a ring ends with its first core.
        size_nm: Width and height of the picture, nm.
        margin_nm: Strip along the edges where the neighbours of a core may be outside, nm.

    Returns:
        Lengths (L,), nm, and the parts (L,) of wires longer than each.
    """
    from scipy import stats

    centres = np.asarray(centres_nm, dtype=np.float64).reshape(-1, 2)
    whole, cut = [], []
    for wire in wires:
        if wire[0] == wire[-1]:
            continue
        for way in (wire, wire[::-1]):
            here = _inside(centres[way], size_nm, margin_nm)
            if not here[0]:
                continue
            steps = np.linalg.norm(np.diff(centres[way], axis=0), axis=1)
            if here.all():
                whole.append(steps.sum())
            else:
                cut.append(steps[: int(np.argmin(here))].sum())
    if not whole:
        return np.zeros(0), np.zeros(0)
    found = stats.ecdf(stats.CensoredData(uncensored=whole, right=cut)).sf
    return np.asarray(found.quantiles), np.asarray(found.probabilities)


def _inside(places: Floats, size_nm: tuple[float, float], margin_nm: float) -> NDArray[np.bool_]:
    """Return which places (K, 2) are farther than the margin from every edge."""
    return np.asarray(((places > margin_nm) & (places < np.array(size_nm) - margin_nm)).all(axis=1))


def median_estimate(values: ArrayLike) -> Estimate:
    """Return a median and its 95 % interval from order statistics, whatever the distribution.

    Args:
        values: (N,) independent values.

    Returns:
        `Estimate` in the unit of the values; without values nothing.
    """
    from scipy import stats

    ordered = np.sort(np.asarray(values, dtype=np.float64))
    count = len(ordered)
    if not count:
        return NOTHING
    below = int(stats.binom.ppf(0.025, count, 0.5))
    if below < 1:
        return Estimate(float(np.median(ordered)), 0.0, math.inf)
    return Estimate(
        float(np.median(ordered)), float(ordered[below - 1]), float(ordered[count - below])
    )
