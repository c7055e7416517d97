"""Draws the phase estimate: where theory expects chains, and where a cluster stands.

Arrays and an Axes in, the same Axes out.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike

_LEVELS = (1.0, 1.1, 2.0, 10.0, 100.0, 1e12)
_FILLS = ("#FFFFFF", "#E8F1F7", "#C3DCEB", "#93C0DB", "#5B9CC4")  # pale to strong: longer chains
_INK, _POINT = "#404040", "#D55E00"
_NEAREST = 0.045  # of the axis: labels nearer than this share one


def draw_phase_estimate(
    ax: Axes,
    concentration_mM: ArrayLike,
    coupling: ArrayLike,
    mean_length: ArrayLike,
    points: Mapping[str, float],
    at_mM: float,
    coupling_range: tuple[float, float] | None = None,
) -> Axes:
    """Draw the expected mean chain length over concentration and λ, with a cluster's media on it.

    Args:
        ax: The axes.
        concentration_mM: (n,) concentrations, mM, positive.
        coupling: (m,) λ at contact.
        mean_length: (m, n) expected mean chain lengths.
        points: λ at contact by the name of the medium.
        at_mM: Concentration of the points, mM.
        coupling_range: Lowest and highest λ that other estimates of the contact give in vacuum.

    Returns:
        `ax`.
    """
    x, y = np.asarray(concentration_mM, float), np.asarray(coupling, float)
    length = np.clip(np.asarray(mean_length, float), 1.0, 0.9 * _LEVELS[-1])
    ax.set_xscale("log")  # before the contours: their labels turn with the lines
    ax.set_xlim(min(x.min(), at_mM), max(x.max(), at_mM))
    ax.set_ylim(0, y.max())
    ax.contourf(x, y, length, levels=_LEVELS, colors=_FILLS)
    lines = ax.contour(x, y, length, levels=_LEVELS[1:-1], colors=_INK, linewidths=0.5)
    ax.clabel(lines, fmt=lambda value: f"{value:g}", fontsize=6.5, inline_spacing=2)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlabel("concentration (mM)")
    ax.set_ylabel("coupling λ at contact")
    ax.set_title("lines: mean chain length expected by theory", fontsize=7)
    if coupling_range:
        ax.plot([at_mM, at_mM], coupling_range, color=_POINT, linewidth=1.2, solid_capstyle="butt")
        ax.set_title(f"{ax.get_title()}\nbar: vacuum, range of contact estimates", fontsize=7)
    ax.plot([at_mM] * len(points), list(points.values()), "o", color=_POINT, ms=3.5, mew=0)
    left = at_mM > np.sqrt(x.min() * x.max())
    for names, height in _labels(points, _NEAREST * float(y.max())):
        ax.annotate(
            names,
            (at_mM, height),
            xytext=(-5 if left else 5, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=6.5,
        )
    return ax


def _labels(points: Mapping[str, float], nearest: float) -> list[tuple[str, float]]:
    """Return labels and their heights; neighbours that would overlap share one."""
    groups: list[list[tuple[str, float]]] = []
    for name, height in sorted(points.items(), key=lambda item: item[1]):
        if groups and height - groups[-1][0][1] < nearest:
            groups[-1].append((name, height))
        else:
            groups.append([(name, height)])
    return [
        (" … ".join(dict.fromkeys((g[-1][0], g[0][0]))), float(np.mean([h for _, h in g])))
        for g in groups
    ]
