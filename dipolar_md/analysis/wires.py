"""Wires in a picture: cores joined into wires, and their mean length with what the edges cut."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

REACH_NM = 2.75
"""Farthest neighbours of a wire: the TEM range of 1.8-2.5 nm and a tenth more, nm."""


def link_wires(
    centres_nm: ArrayLike, reach_nm: float = REACH_NM
) -> tuple[Integers, list[Integers]]:
    """Return the links (B, 2) of cores within wires, and each wire's cores in order.

    Pairs nearer than the reach are joined, near and straight ones first, where both cores have
    fewer than two links and the wire wouldn't turn by more than 90°. So wires neither branch nor
    fold back, where two cross each goes straight on, and a denser film than one layer of wires
    links what only overlaps.

    Args:
        centres_nm: (K, 2) cores, nm.
        reach_nm: Distance of the farthest neighbours, nm.

    Returns:
        (B, 2) links, and the cores of each wire in order; a ring ends with its first core.
    """
    centres = np.asarray(centres_nm, dtype=np.float64).reshape(-1, 2)
    mates: list[list[int]] = [[] for _ in centres]
    links = []
    for i, j in _straight_first(centres, reach_nm):
        if _goes_on(centres, mates, i, j) and _goes_on(centres, mates, j, i):
            mates[i].append(j)
            mates[j].append(i)
            links.append((i, j))
    return np.array(links, dtype=np.int64).reshape(-1, 2), _traced(mates)


def _straight_first(centres: Floats, reach_nm: float) -> list[list[int]]:
    """Return the pairs of cores nearer than the reach, in the order in which to join them.

    By their distance, times up to five where neither core has a neighbour straight ahead.
    """
    from scipy.spatial import cKDTree

    if not len(centres):
        return []
    pairs = cKDTree(centres).query_pairs(reach_nm, output_type="ndarray")
    steps = centres[pairs[:, 1]] - centres[pairs[:, 0]]
    distances = np.linalg.norm(steps, axis=1)
    ways = steps / np.maximum(distances, 1e-12)[:, None]
    around: list[list[tuple[int, float, float]]] = [[] for _ in centres]
    for (i, j), (x, y) in zip(pairs.tolist(), ways.tolist(), strict=True):
        around[i].append((j, x, y))
        around[j].append((i, -x, -y))
    kinks = [
        _kink(around[i], j, x, y) + _kink(around[j], i, -x, -y)
        for (i, j), (x, y) in zip(pairs.tolist(), ways.tolist(), strict=True)
    ]
    order = np.argsort(distances * (1 + 2 * np.array(kinks)), kind="stable")
    ordered: list[list[int]] = pairs[order].tolist()
    return ordered


def _kink(around: list[tuple[int, float, float]], other: int, x: float, y: float) -> float:
    """Return 0 where a core has a neighbour opposite to another, or no other; up to 1 beside it."""
    opposite = [-(x * u + y * v) for k, u, v in around if k != other]
    return 1 - max(max(opposite), 0.0) if opposite else 0.0


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


class Interval(NamedTuple):
    """A number with its 95 % interval.

    Attributes:
        value: The number; NaN where there is none.
        low: Lower end of the interval.
        high: Upper end of the interval; infinite where only a lower bound is known.
    """

    value: float
    low: float
    high: float


NOTHING = Interval(math.nan, math.nan, math.nan)


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


def bridge_crossings(
    centres_nm: ArrayLike, wires: Sequence[Integers], reach_nm: float = REACH_NM
) -> list[Integers]:
    """Return wires that are joined where another one hides a core of theirs.

    Two ends are joined where they look at each other within 45° across less than two reaches, and
    a core or a bond of another wire lies between them. The nearest ends first.

    Args:
        centres_nm: (K, 2) cores, nm.
        wires: Cores of each wire in order; a ring ends with its first core.
        reach_nm: Distance of the farthest neighbours, nm.

    Returns:
        Cores of each wire in order.
    """
    from scipy.spatial import cKDTree

    centres = np.asarray(centres_nm, dtype=np.float64).reshape(-1, 2)
    chains = [list(map(int, wire)) for wire in wires]
    tips = [(k, way) for k, c in enumerate(chains) if c[0] != c[-1] for way in (0, -1)]
    if len(tips) < 2:
        return [np.array(chain) for chain in chains]
    ends = np.array([chains[k][way] for k, way in tips])
    inner = np.array([chains[k][1 if way == 0 else -2] for k, way in tips])
    forward = centres[ends] - centres[inner]
    forward /= np.linalg.norm(forward, axis=1)[:, None]
    pairs = cKDTree(centres[ends]).query_pairs(2 * reach_nm, output_type="ndarray")
    step = centres[ends[pairs[:, 1]]] - centres[ends[pairs[:, 0]]]
    distance = np.linalg.norm(step, axis=1)
    way = step / np.maximum(distance, 1e-12)[:, None]
    facing = ((forward[pairs[:, 0]] * way).sum(axis=1) > 0.7) & (
        (forward[pairs[:, 1]] * way).sum(axis=1) < -0.7
    )
    facing &= distance > 0.5 * reach_nm
    tree = cKDTree(centres)
    joined: set[int] = set()
    mates: dict[int, int] = {}
    for k in np.argsort(distance, kind="stable"):
        i, j = (int(n) for n in pairs[k])
        if not facing[k] or joined & {i, j}:
            continue
        middle = (centres[ends[i]] + centres[ends[j]]) / 2
        between = tree.query_ball_point(middle, 0.5 * reach_nm)
        if set(between) - {int(ends[i]), int(ends[j])}:
            joined |= {i, j}
            mates[int(ends[i])], mates[int(ends[j])] = int(ends[j]), int(ends[i])
    return _spliced(chains, mates)


def _spliced(chains: list[list[int]], mates: dict[int, int]) -> list[Integers]:
    """Return wires whose ends are joined to their mates; one joined to itself becomes a ring."""
    at = {end: k for k, c in enumerate(chains) if c[0] != c[-1] for end in (c[0], c[-1])}
    used: set[int] = set()
    spliced = []

    def follow(start: int) -> list[int]:
        whole: list[int] = []
        end: int | None = start
        while end is not None and at[end] not in used:
            used.add(at[end])
            chain = chains[at[end]]
            whole += chain if chain[0] == end else chain[::-1]
            end = mates.get(whole[-1])
        return whole if end is None else [*whole, end]

    for free in (True, False):  # wires from a free end on, then what only rings have left
        for k, chain in enumerate(chains):
            if chain[0] == chain[-1]:
                if free:
                    spliced.append(np.array(chain))
                continue
            for end in (chain[0], chain[-1]):
                if k not in used and (end not in mates) == free:
                    spliced.append(np.array(follow(end)))
    return spliced


class Fragments(NamedTuple):
    """What a picture shows of each of its wires, away from the edges.

    Attributes:
        lengths_nm: (W,) length of each wire within the margins, nm.
        counts: (W,) half the ends of each within them; a ring's part.
        ends: Ends within them.
    """

    lengths_nm: Floats
    counts: Floats
    ends: int


def wire_fragments(
    centres_nm: ArrayLike,
    wires: Sequence[Integers],
    size_nm: tuple[float, float],
    margin_nm: float,
) -> Fragments:
    """Return what of each wire lies within the margins, half a bond for each of its cores.

    Args:
        centres_nm: (K, 2) cores, nm.
        wires: Cores of each wire in order; a ring ends with its first core.
        size_nm: Width and height of the picture, nm.
        margin_nm: Strip along the edges where the neighbours of a core may be outside, nm.

    Returns:
        `Fragments`, of the wires that are seen there at all.
    """
    centres = np.asarray(centres_nm, dtype=np.float64).reshape(-1, 2)
    lengths, counts, ends = [], [], 0
    for wire in wires:
        here = _inside(centres[wire], size_nm, margin_nm)
        if not here.any():
            continue
        steps = np.linalg.norm(np.diff(centres[wire], axis=0), axis=1)
        lengths.append(float((steps * (here[:-1] + 0.0 + here[1:])).sum() / 2))
        if wire[0] == wire[-1]:
            counts.append(float(here[:-1].mean()))
        else:
            counts.append((int(here[0]) + int(here[-1])) / 2)
            ends += int(here[0]) + int(here[-1])
    return Fragments(np.array(lengths), np.array(counts), ends)


def mean_wire_length(pictures: Sequence[Fragments]) -> Interval:
    """Return the mean length of the wires of a film from what pictures show of them.

    Twice the length of wire per end. Long wires leave a picture more often than short ones, so
    a mean of those that fit is too small. But every wire has two ends, wherever they are, and each
    end and each bit of wire is seen with the same probability: the ratio has no such bias, whatever
    the lengths. For exponential lengths it is what the likelihood with censoring gives, too. A ring
    counts as a wire without ends.

    Args:
        pictures: What each picture shows of its wires.

    Returns:
        `Interval`, nm, with an interval from the scatter between wires, or between pictures where
        that is larger; with fewer than three ends a lower bound.
    """
    from scipy import stats

    length = np.concatenate([p.lengths_nm for p in pictures])
    count = np.concatenate([p.counts for p in pictures])
    ends = sum(p.ends for p in pictures)
    if not len(length):
        return NOTHING
    whole = float(count.sum())
    mean = float(length.sum()) / whole if whole else math.nan
    if ends < 3:  # as many ends as they may be, at a Poisson's 97.5 %
        low = 4 * float(length.sum()) / stats.chi2.ppf(0.975, 2 * ends + 2)
        return Interval(mean, float(low), math.inf)
    errors = [(_scatter(length - mean * count) / whole / mean, min(ends, len(length)) - 1)]
    if len(pictures) > 1:
        apart = np.array([p.lengths_nm.sum() - mean * p.counts.sum() for p in pictures])
        errors.append((_scatter(apart) / whole / mean, len(pictures) - 1))
    factor = math.exp(max(stats.t.ppf(0.975, max(free, 1)) * error for error, free in errors))
    return Interval(mean, mean / factor, mean * factor)


def _scatter(residuals: Floats) -> float:
    """Return the standard error of a sum of residuals about zero."""
    count = len(residuals)
    return math.sqrt(float((residuals**2).sum()) * count / max(count - 1, 1))


def wire_survival(
    centres_nm: ArrayLike,
    wires: Sequence[Integers],
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
                cut.append(steps[: int(np.argmin(here)) - 1].sum())
    if not whole:
        return np.zeros(0), np.zeros(0)
    found = stats.ecdf(stats.CensoredData(uncensored=whole, right=cut)).sf
    return np.asarray(found.quantiles), np.asarray(found.probabilities)


def _inside(places: Floats, size_nm: tuple[float, float], margin_nm: float) -> NDArray[np.bool_]:
    """Return which places (K, 2) are farther than the margin from every edge."""
    return np.asarray(((places > margin_nm) & (places < np.array(size_nm) - margin_nm)).all(axis=1))


def median_interval(values: ArrayLike) -> Interval:
    """Return a median and its 95 % interval from order statistics, whatever the distribution.

    Args:
        values: (N,) independent values.

    Returns:
        `Interval` in the unit of the values; without values nothing.
    """
    from scipy import stats

    ordered = np.sort(np.asarray(values, dtype=np.float64))
    count = len(ordered)
    if not count:
        return NOTHING
    below = int(stats.binom.ppf(0.025, count, 0.5))
    if below < 1:
        return Interval(float(np.median(ordered)), 0.0, math.inf)
    return Interval(
        float(np.median(ordered)), float(ordered[below - 1]), float(ordered[count - below])
    )


def pooled(estimates: Sequence[Interval]) -> Interval:
    """Return the mean of one quantity in several pictures, with the scatter between them.

    Args:
        estimates: The quantity in each picture.

    Returns:
        `Interval`: 95 % by Student's t from the scatter, and no less than the pictures' own errors.
    """
    from scipy import stats

    if len(estimates) < 2:
        return estimates[0] if estimates else NOTHING
    values = np.array([e.value for e in estimates])
    own = np.array([(e.high - e.low) / 2 for e in estimates])
    half = max(
        float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))),
        float(np.sqrt((own**2).sum()) / len(values)),
    )
    return Interval(float(values.mean()), float(values.mean()) - half, float(values.mean()) + half)
