"""Draws what a measurement says of the axes of a study: posteriors beside their priors.

Arrays and an Axes in, the same Axes out.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from dipolar_md.plots.style import BAR, BLUE, DASHES, INK, VERMILION, plain_log_ticks


def draw_marginal(
    ax: Axes,
    edges: ArrayLike,
    probability: ArrayLike,
    interval: tuple[float, float],
    label: str,
    logarithmic: bool = False,
) -> Axes:
    """Draw the posterior of one axis over its prior, which is 1 everywhere.

    Args:
        ax: The axes.
        edges: (m + 1,) edges of cells of equal prior probability.
        probability: (m,) probabilities of the cells after the measurement.
        interval: Ends of the interval to shade.
        label: Name of the axis, with its unit.
        logarithmic: Whether the cells are equally wide in the logarithm.

    Returns:
        `ax`.
    """
    x, p = np.asarray(edges, float), np.asarray(probability, float)
    height = p / p.sum() * p.size
    low, high = interval
    kept = (x[1:] > low) & (x[:-1] < high)
    first, last = int(kept.argmax()), int(kept.size - kept[::-1].argmax())
    middle = np.sqrt(x[1:] * x[:-1]) if logarithmic else (x[1:] + x[:-1]) / 2
    ax.fill_between(
        middle[first:last], height[first:last], color=BAR, linewidth=0, label="95 % interval"
    )
    ax.plot(middle, height, color=BLUE, label="posterior")
    ax.axhline(1, color=INK, linewidth=0.8, linestyle=DASHES[3], label="prior")
    if logarithmic:
        ax.set_xscale("log")
    ax.set_xlim(float(x[0]), float(x[-1]))
    _few_ticks(ax.xaxis, logarithmic)
    ax.set_ylim(0, 1.12 * max(float(height.max()), 1.2))
    ax.set_xlabel(label)
    ax.set_ylabel("posterior / prior")
    return ax


def draw_joint(
    ax: Axes,
    edges: tuple[ArrayLike, ArrayLike],
    probability: ArrayLike,
    states: tuple[ArrayLike, ArrayLike],
    labels: tuple[str, str],
    logarithmic: tuple[bool, bool] = (False, False),
) -> Axes:
    """Draw the posterior of two axes: density, what holds 68 and 95 %, and the states simulated.

    Args:
        ax: The axes.
        edges: (m + 1,) and (k + 1,) edges of the cells.
        probability: (m, k) probabilities of the cells.
        states: (n,) and (n,) coordinates of the simulated states.
        labels: Names of both axes, with units.
        logarithmic: Whether the cells of each are equally wide in the logarithm.

    Returns:
        `ax`.
    """
    x, y = (np.asarray(edge, float) for edge in edges)
    p = np.asarray(probability, float)
    ax.pcolormesh(x, y, p.T, cmap="Blues", vmin=0, rasterized=True)
    levels = _levels(p, (0.95, 0.68))
    if levels[0] < levels[1]:
        middles = [
            np.sqrt(e[1:] * e[:-1]) if log else (e[1:] + e[:-1]) / 2
            for e, log in zip((x, y), logarithmic, strict=True)
        ]
        ax.contour(
            *middles, p.T, levels=levels, colors=[INK], linewidths=0.8, linestyles=["--", "-"]
        )
    ax.plot(*states, ".", color=VERMILION, markersize=2.5, clip_on=False, label="simulated")
    for dashes, words in (("-", "68 %"), ("--", "95 %")):
        ax.plot([], [], color=INK, linewidth=0.8, linestyle=dashes, label=f"holds {words}")
    ax.set_xscale("log" if logarithmic[0] else "linear")
    ax.set_yscale("log" if logarithmic[1] else "linear")
    ax.set_xlim(float(x[0]), float(x[-1]))
    ax.set_ylim(float(y[0]), float(y[-1]))
    _few_ticks(ax.xaxis, logarithmic[0])
    _few_ticks(ax.yaxis, logarithmic[1])
    ax.set_xlabel(labels[0])
    ax.set_ylabel(labels[1])
    return ax


def draw_shares(ax: Axes, shares: Mapping[str, float], label: str) -> Axes:
    """Draw the probability of each of several words, with the prior that gives all the same.

    Args:
        ax: The axes.
        shares: Probability by word.
        label: Name of what the words are.

    Returns:
        `ax`.
    """
    ax.barh(list(shares), list(shares.values()), color=BLUE, height=0.6, label="posterior")
    ax.axvline(1 / len(shares), color=INK, linewidth=0.8, linestyle=DASHES[3], label="prior")
    ax.set_xlim(0, 1)
    ax.invert_yaxis()
    ax.set_xlabel("probability")
    ax.set_ylabel(label)
    return ax


def _few_ticks(axis: Axis, logarithmic: bool) -> None:
    """Label few round numbers; 1, 2, 5, 10 where a logarithmic axis spans a decade or more."""
    low, high = axis.get_view_interval()
    if logarithmic and high / low >= 10:
        plain_log_ticks(axis)
        return
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _levels(probability: NDArray[np.float64], parts: tuple[float, ...]) -> list[float]:
    """Return the densities above which lie these parts of the probability."""
    falling = np.sort(probability.ravel())[::-1]
    total = np.cumsum(falling) / falling.sum()
    return [float(falling[min(int((total < part).sum()), falling.size - 1)]) for part in parts]
