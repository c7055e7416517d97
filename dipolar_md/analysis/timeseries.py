"""Means of correlated series: when a run has settled, how many samples it holds, errors, lifetimes.

Equilibration and statistical inefficiency are those of Chodera (https://doi.org/10.1021/
acs.jctc.5b00784) and of Chodera et al. (https://doi.org/10.1021/ct0502864), by pymbar.
"""

import logging
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dipolar_md.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BLOCKS = 5
FEWEST_FRAMES = 10
"""Frames below which correlations can't be judged."""
FEWEST_INDEPENDENT = 10.0
"""Independent samples below which a run isn't called equilibrated."""


class Estimate(NamedTuple):
    """A number and its standard error, shown as `19.6 ± 0.7`.

    Attributes:
        value: The number, most often a mean over frames.
        error: Its standard error; None where one frame gives none.
    """

    value: float
    error: float | None

    def __str__(self) -> str:
        """Return value ± error with one digit of the error, two where it begins with 1."""
        if not self.error or not math.isfinite(self.error):
            return f"{self.value:.3g}"
        leading = math.floor(math.log10(self.error))
        digits = max(0, -leading + (self.error < 2 * 10.0**leading))
        return f"{self.value:.{digits}f} ± {self.error:.{digits}f}"


class Equilibration(NamedTuple):
    """From which frame on a series is stationary, and how much it says from there.

    Attributes:
        start: Index of the first equilibrated frame.
        inefficiency_frames: Statistical inefficiency g: frames per independent sample.
        independent_samples: Number of independent samples among the frames from `start` on.
        equilibrated: Whether the series has settled.
        reason: Why it hasn't, in words; empty where it has.
    """

    start: int
    inefficiency_frames: float
    independent_samples: float
    equilibrated: bool
    reason: str


def block_estimate(series: ArrayLike) -> Estimate:
    """Return the mean of a correlated series (F,) and its error from block means.

    The series is cut into at most five consecutive blocks; the error is the standard error of their
    means. It is too small where the series remembers longer than a block.

    Args:
        series: (F,) values in order of time.

    Returns:
        Mean and error; no error of a single value.
    """
    values = np.asarray(series, dtype=np.float64)
    if len(values) < 2:
        return Estimate(float(values.mean()), None)
    blocks = [block.mean() for block in np.array_split(values, min(BLOCKS, len(values)))]
    return Estimate(float(values.mean()), float(np.std(blocks, ddof=1) / np.sqrt(len(blocks))))


def statistical_inefficiency(series: ArrayLike) -> float:
    """Return how many frames of a series make an independent sample.

    g = 1 + 2 Σ (1 - t/F) C(t)

    Args:
        series: (F,) values in order of time.

    Returns:
        g, at least 1; 1 for a constant series and for fewer than `FEWEST_FRAMES` frames, where
        nothing can be said. Memory longer than the series is underestimated.
    """
    values = np.asarray(series, dtype=np.float64)
    if len(values) < FEWEST_FRAMES or np.ptp(values) <= 1e-12 * np.abs(values).max():
        return 1.0
    return float(_pymbar().statistical_inefficiency(values))


def mean_estimate(series: ArrayLike) -> tuple[Estimate, float]:
    """Return the mean of a correlated series, its error and how many samples it is worth.

    error = s √(g/F), with the statistical inefficiency g

    Args:
        series: (F,) values in order of time.

    Returns:
        Mean with its error (that of `block_estimate` below `FEWEST_FRAMES` frames), and the number
        F/g of independent samples.
    """
    values = np.asarray(series, dtype=np.float64)
    inefficiency = statistical_inefficiency(values)
    if len(values) < FEWEST_FRAMES:
        return block_estimate(values), float(len(values))
    error = float(values.std(ddof=1) * np.sqrt(inefficiency / len(values)))
    return Estimate(float(values.mean()), error), len(values) / inefficiency


def equilibration(series: ArrayLike) -> Equilibration:
    """Return from where on a series (F,) is stationary, as the start with most independent samples.

    It counts as equilibrated where `FEWEST_INDEPENDENT` independent samples remain and the first
    half of them agrees with the second within three standard errors.

    Args:
        series: (F,) values in order of time.

    Returns:
        `Equilibration`, with a reason where the series hasn't settled.

    Raises:
        InputError: an empty series or one with values that are not finite.
    """
    values = np.asarray(series, dtype=np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise InputError(f"a series needs finite values (found {len(values)} values)")
    if len(values) < FEWEST_FRAMES:
        why = f"{len(values)} frames are too few to tell; {FEWEST_FRAMES} are needed"
        return Equilibration(len(values) // 2, 1.0, len(values) - len(values) // 2, False, why)
    if np.ptp(values) <= 1e-12 * np.abs(values).max():
        return Equilibration(0, 1.0, float(len(values)), True, "")
    skip = max(1, len(values) // 200)
    start, inefficiency, _ = _pymbar().detect_equilibration(values, fast=False, nskip=skip)
    start = min(int(start), len(values) - 2)
    rest = values[start:]
    independent = len(rest) / float(inefficiency)
    first, second = np.array_split(rest, 2)
    error = rest.std(ddof=1) * np.sqrt(4 / independent)  # of the difference of the two halves
    drift = float(second.mean() - first.mean())
    reason = ""
    if independent < FEWEST_INDEPENDENT:
        reason = (
            f"only {independent:.1f} independent samples from {len(rest)} of {len(values)} frames; "
            f"{FEWEST_INDEPENDENT:g} are needed"
        )
    elif abs(drift) > 3 * error:
        reason = f"the mean still drifts, by {drift:+.3g} between the halves of the window"
    return Equilibration(start, float(inefficiency), independent, not reason, reason)


def lifetime_ns(keys: Sequence[Integers], time_ns: ArrayLike) -> Estimate | None:
    """Return the mean life τ of things that are present or absent in successive frames.

    Of those present in one frame a fraction p is still there one interval Δt later; things that
    decay at a constant rate have p = exp(-Δt/τ), so τ = -Δt/ln p. The error is from a jackknife
    over the intervals. What breaks and comes back within an interval isn't seen: lives much shorter
    than Δt are overestimated.

    Args:
        keys: F arrays of the numbers (of bonds, of chains) present in each frame.
        time_ns: (F,) times, ns; only intervals of the median length count.

    Returns:
        τ in ns; None where nothing is present, or nothing ever breaks or remains.
    """
    times = np.asarray(time_ns, dtype=np.float64)
    intervals = np.diff(times)
    if not len(intervals):
        return None
    step = float(np.median(intervals))
    alike = np.flatnonzero(np.isclose(intervals, step, rtol=0.01)).tolist()
    present = np.array([len(keys[k]) for k in alike], dtype=np.float64)
    kept = np.array([len(np.intersect1d(keys[k], keys[k + 1])) for k in alike], dtype=np.float64)
    total, left = present.sum(), kept.sum()
    if not 0 < left < total:
        return None
    value = -step / float(np.log(left / total))
    without = (left - kept) / np.maximum(total - present, 1)  # each interval left out in turn
    if len(alike) < 2 or not ((without > 0) & (without < 1)).all():
        return Estimate(value, None)
    values = -step / np.log(without)
    spread = (len(alike) - 1) / len(alike) * ((values - values.mean()) ** 2).sum()
    return Estimate(value, float(np.sqrt(spread)))


class Band(NamedTuple):
    """A distribution and its confidence band, (K,) each.

    Attributes:
        edges: (K + 1,) edges of the bins, in the unit of the samples.
        density: Fraction of samples per unit.
        low: Lower limit of the confidence band; NaN with fewer than two independent frames.
        high: Upper limit, likewise.
    """

    edges: Floats
    density: Floats
    low: Floats
    high: Floats


def distribution(
    samples: Sequence[ArrayLike],
    edges: ArrayLike,
    inefficiency_frames: float = 1.0,
    confidence: float = 0.95,
    seed: int = 1,
) -> Band:
    """Return a distribution over frames with a confidence band by a block bootstrap.

    Blocks of ⌈g⌉ successive frames are drawn with replacement, so that correlated frames don't
    narrow the band; within a frame the samples stay together.

    Args:
        samples: F arrays of samples, one per frame.
        edges: (K + 1,) increasing bin edges.
        inefficiency_frames: Statistical inefficiency g of the frames.
        confidence: Probability that the band covers.
        seed: Seed of the bootstrap.

    Returns:
        `Band`, one value per bin.

    Raises:
        InputError: no frames, or edges that do not increase.
    """
    limits = np.asarray(edges, dtype=np.float64)
    if not len(samples) or len(limits) < 2 or not (np.diff(limits) > 0).all():
        raise InputError("a distribution needs frames and increasing edges")
    from scipy.stats import bootstrap

    counts = np.array([np.histogram(np.asarray(frame), limits)[0] for frame in samples], float)
    totals = np.array([len(np.atleast_1d(frame)) for frame in samples], float)
    width = int(np.ceil(inefficiency_frames))
    starts = np.arange(0, len(samples), width)
    counts, totals = np.add.reduceat(counts, starts), np.add.reduceat(totals, starts)
    scale = np.diff(limits) * max(totals.sum(), 1)
    density = counts.sum(axis=0) / scale
    if len(starts) < 2 or not totals.all():
        nothing = np.full_like(density, np.nan)
        return Band(limits, density, nothing, nothing)

    def densities(blocks: Integers, axis: int) -> Floats:
        """Return the densities (K, ...) of drawn blocks (..., B)."""
        drawn = counts[blocks].sum(axis=axis - 1) / totals[blocks].sum(axis=axis)[..., None]
        return np.moveaxis(drawn / np.diff(limits), -1, 0)

    interval = bootstrap(
        (np.arange(len(starts)),),
        densities,
        n_resamples=1000,
        vectorized=True,
        axis=-1,
        confidence_level=confidence,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Band(limits, density, np.asarray(interval.low), np.asarray(interval.high))


def _pymbar() -> Any:
    """Return `pymbar.timeseries` without the advice that it logs when imported."""
    for name in ("pymbar", "pymbar.timeseries", "pymbar.mbar_solvers"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from pymbar import timeseries

    return timeseries
