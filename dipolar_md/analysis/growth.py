"""How chains grow along a trajectory, and by which law."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dipolar_md.analysis.chains import DEFAULT_CRITERION, find_neighbours, mean_length
from dipolar_md.analysis.timeseries import Estimate
from dipolar_md.trajectory import Frame

Floats = NDArray[np.float64]


class Growth(NamedTuple):
    """Mean chain length and environment along a trajectory, (F,) each."""

    time_ns: Floats
    mean_length: Floats
    relative_permittivity: Floats
    concentration_mM: Floats
    stage: tuple[str, ...]


def growth(trajectory: Sequence[Frame], criterion: str = DEFAULT_CRITERION) -> Growth:
    """Return the number-mean chain length along a trajectory."""
    rows = [
        (
            frame.time_ns,
            mean_length(find_neighbours(frame), len(frame.system), criterion),
            frame.relative_permittivity,
            frame.system.concentration_mM,
        )
        for frame in trajectory
    ]
    columns = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    time, length, permittivity, concentration = columns
    stages = tuple(frame.stage for frame in trajectory)
    return Growth(time, length, permittivity, concentration, stages)


class GrowthLaw(NamedTuple):
    """A power law n̄ = a (t - t₀)^α of growing chains.

    Attributes:
        exponent: α, with its standard error.
        prefactor: a, the mean length 1 ns after t₀.
        origin_ns: t₀.
        frames: fitted.
    """

    exponent: Estimate
    prefactor: float
    origin_ns: float
    frames: int


def growth_law(
    time_ns: ArrayLike, mean_length_clusters: ArrayLike, origin_ns: float, end_ns: float = np.inf
) -> GrowthLaw | None:
    """Return the power law of the mean chain length after a quench, by least squares of logarithms.

    It is worth something where the environment is constant and growth spans a decade in time; the
    exponent doesn't depend on the friction, the prefactor does. The error takes the frames for
    independent, which they are not: a lower bound.

    Args:
        time_ns: (F,) times.
        mean_length_clusters: (F,) mean chain lengths.
        origin_ns: time of the quench.
        end_ns: last time to fit.

    Returns:
        None with fewer than three frames between.
    """
    time, length = np.asarray(time_ns, np.float64), np.asarray(mean_length_clusters, np.float64)
    here = (time > origin_ns) & (time <= end_ns) & (length > 0)
    if here.sum() < 3:
        return None
    x, y = np.log(time[here] - origin_ns), np.log(length[here])
    x_mean, spread = x.mean(), float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x_mean) * y).sum() / spread)
    rest = y - y.mean() - slope * (x - x_mean)
    error = float(np.sqrt((rest**2).sum() / (len(x) - 2) / spread))
    prefactor = float(np.exp(y.mean() - slope * x_mean))
    return GrowthLaw(Estimate(slope, error), prefactor, origin_ns, len(x))
