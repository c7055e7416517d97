"""The look that all figures share: colours, type sizes, legends, ticks.

Colours are those of M. Okabe and K. Ito (https://jfly.uni-koeln.de/color/) and viridis, which
readers with any colour vision can tell apart; lines that share a panel differ in dashes, too.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.rcsetup import cycler
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"  # the set's yellow is too pale
INK = "#404040"  # outlines and bonds
BAR = "#A9C8DD"  # pale blue: lines of every other colour show on it
LINES = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK)
DASHES = ("-", "--", "-.", (0, (1, 1.2)), (0, (5, 1, 1, 1, 1, 1)))

STYLE: Any = {
    "figure.figsize": (3.35, 2.5),  # 8.5 cm, one column
    "figure.dpi": 200,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 300,
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.2,
    "legend.labelspacing": 0.3,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=LINES),
    "image.cmap": "viridis",
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "pdf.fonttype": 42,  # editable text
    "svg.fonttype": "none",
}
"""Settings for a figure as wide as a column, for `matplotlib.rc_context`; no text is below 7 pt."""


def note(ax: Axes, text: str) -> Axes:
    """Say what is missing; an axis without data needs no numbers."""
    ax.set_yticks([])
    if not ax.has_data():
        ax.set_xticks([])
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=INK)
    return ax


def width_points(ax: Axes) -> float:
    """Return the width of the axes in points, before the layout trims it for the labels."""
    return 72 * ax.bbox.width / ax.figure.dpi


def legend_above(ax: Axes, columns: int = 1) -> None:
    """Put the legend where it can't cover data."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, ncols=columns)


def plain_log_ticks(axis: Axis) -> None:
    """Label 1, 2, 5, 10, 20 … in plain numbers; only powers of ten beyond three decades."""
    low, high = axis.get_view_interval()
    subs = (1.0, 2.0, 5.0) if high / low < 1000 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def bar_length_nm(width_nm: float) -> float:
    """Return a round length of about a fifth of a picture's width, for its scale bar."""
    nice = np.outer(10.0 ** np.arange(-3, 7), (1, 2, 5)).ravel()
    return float(nice[np.argmin(np.abs(np.log(nice / (width_nm / 5))))])
