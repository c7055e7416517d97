"""How chains grow along a trajectory, and by which law."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import linregress

from dipolar_md.analysis.bonds import DEFAULT_CRITERION, find_neighbours
from dipolar_md.analysis.chains import mean_length
from dipolar_md.analysis.timeseries import Estimate
from dipolar_md.trajectory import Frames, frames_of

Floats = NDArray[np.float64]


class Growth(NamedTuple):
    """Mean chain length and environment along a trajectory, (F,) each.

    Attributes:
        time_ns: Time of each frame, ns.
        mean_length: Number-mean chain length, clusters.
        relative_permittivity: ε_r.
        concentration_mM: Clusters per volume, mmol/L.
        stage: Name of each frame's stage.
    """

    time_ns: Floats
    mean_length: Floats
    relative_permittivity: Floats
    concentration_mM: Floats
    stage: tuple[str, ...]


def growth(trajectory: Frames, criterion: str = DEFAULT_CRITERION) -> Growth:
    """Return the number-mean chain length along a trajectory.

    Args:
        trajectory: F frames in order of time, a run, its directory or a trajectory file.
        criterion: Bond criterion, see `find_chains`.

    Returns:
        `Growth`, one value per frame.

    Raises:
        InputError: no readable trajectory, an unknown criterion, or a box too small to find bonds.
    """
    frames = frames_of(trajectory)
    rows = [
        (
            frame.time_ns,
            mean_length(find_neighbours(frame), len(frame.system), criterion),
            frame.relative_permittivity,
            frame.system.concentration_mM,
            frame.stage,
        )
        for frame in frames
    ]
    *numbers, stages = zip(*rows, strict=True) if rows else [()] * 5
    time, length, permittivity, concentration = np.array(numbers, dtype=np.float64)
    return Growth(time, length, permittivity, concentration, stages)


class GrowthLaw(NamedTuple):
    """A power law n̄ = a (t - t₀)^α of growing chains.

    Attributes:
        exponent: Exponent α, with its standard error.
        prefactor: Mean length a (clusters) 1 ns after t₀.
        origin_ns: Time t₀ of the quench, ns.
        frames: Number of frames that were fitted.
    """

    exponent: Estimate
    prefactor: float
    origin_ns: float
    frames: int


def growth_law(
    time_ns: ArrayLike, mean_length_clusters: ArrayLike, origin_ns: float, end_ns: float = np.inf
) -> GrowthLaw | None:
    """Return the power law of the mean chain length after a quench, by least squares of logarithms.

    ln n̄ = ln a + α ln(t - t₀)

    It is worth something where the environment is constant and growth spans a decade in time; the
    exponent doesn't depend on the friction, the prefactor does. The error takes the frames for
    independent, which they are not: a lower bound.

    Args:
        time_ns: (F,) times, ns.
        mean_length_clusters: (F,) mean chain lengths.
        origin_ns: Time t₀ of the quench, ns.
        end_ns: Last time to fit, ns.

    Returns:
        `GrowthLaw`; None with fewer than three frames between.
    """
    time, length = np.asarray(time_ns, np.float64), np.asarray(mean_length_clusters, np.float64)
    here = (time > origin_ns) & (time <= end_ns) & (length > 0)
    if here.sum() < 3:
        return None
    line = linregress(np.log(time[here] - origin_ns), np.log(length[here]))
    exponent = Estimate(float(line.slope), float(line.stderr))
    return GrowthLaw(exponent, float(np.exp(line.intercept)), origin_ns, int(here.sum()))
