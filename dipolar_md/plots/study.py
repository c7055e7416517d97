"""Draws the figures of a parameter study: where chains form, and whether one number tells.

Arrays and an Axes in, the same Axes out.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from numpy.typing import ArrayLike, NDArray

from dipolar_md.plots.style import DASHES, INK, LINES, legend_above, plain_log_ticks

Series = Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]]
"""Abscissae (n,), mean chain lengths (n,) and their errors (n,) by label."""
Curves = Mapping[str, tuple[ArrayLike, ArrayLike]]
"""Abscissae (m,) and mean chain lengths (m,) by label."""
MARKERS = "os^Dv<>"


def draw_dipole_scan(
    ax: Axes,
    series: Series,
    expected: Curves,
    threshold: tuple[float, float] | None = None,
    at_length: float = 2.0,
    marks: Mapping[str, float] | None = None,
) -> Axes:
    """Draw mean chain length against dipole, with the threshold dipole and its error.

    Args:
        ax: The axes.
        series: By label: dipoles (n,) in debye, mean lengths (n,) and their errors (n,).
        expected: By the same labels: dipoles (m,) and mean lengths (m,) that theory expects; labels
            of which it says nothing may be missing.
        threshold: Dipole at which the first series reaches `at_length`, and its error, in debye.
        at_length: Mean length that counts as chains.
        marks: Dipoles to name at the top, in debye.

    Returns:
        `ax`.
    """
    for number, (label, (dipole, length, error)) in enumerate(series.items()):
        colour = LINES[number % len(LINES)]
        ax.errorbar(
            dipole, length, error, fmt="o", color=colour, capsize=1.5, elinewidth=0.8, label=label
        )
        if label in expected:
            ax.plot(*expected[label], color=colour, linewidth=0.8, linestyle=DASHES[1])
    if expected:
        ax.plot([], [], color=INK, linewidth=0.8, linestyle=DASHES[1], label="association theory")
    ax.set_yscale("log")
    x, y = (_together(series, column) for column in (0, 1))
    ax.set_ylim(0.9, 2.5 * max(float(y.max()), at_length))
    margin = 0.05 * float(np.ptp(x)) or 1.0
    ax.set_xlim(float(x.min()) - margin, float(x.max()) + margin)
    ax.axhline(at_length, color=INK, linewidth=0.5)
    if threshold:
        _mark_threshold(ax, *threshold)
    _name_dipoles(ax, marks or {})
    plain_log_ticks(ax.yaxis)
    ax.set_xlabel("dipole (D)")
    ax.set_ylabel("mean chain length")
    short = max(map(len, series)) < 20 or len(series) > 5
    legend_above(ax, 2 if len(series) > 2 and short else 1)
    return ax


def _together(series: Series, column: int) -> NDArray[np.float64]:
    """Return one column of all series."""
    return np.concatenate([np.asarray(columns[column], float) for columns in series.values()])


def _mark_threshold(ax: Axes, value: float, error: float) -> None:
    digits = max(0, int(np.ceil(-np.log10(error)))) if error > 0 else 2
    ax.axvspan(value - error, value + error, color=LINES[0], alpha=0.3, linewidth=0)
    ax.axvline(value, color=LINES[0], linewidth=0.8)
    ax.annotate(
        f"{value:.{digits}f} ± {error:.{digits}f} D",
        (value, 0.6),
        xycoords=("data", "axes fraction"),
        xytext=(-3, 0), textcoords="offset points", ha="right", va="top", fontsize=7,
        color=LINES[0],
    )  # fmt: skip


def _name_dipoles(ax: Axes, marks: Mapping[str, float]) -> None:
    """Name dipoles inside the axes at the top; a label steps left where the next is close."""
    low, high = ax.get_xlim()
    for name, dipole in marks.items():
        if not low <= dipole <= high:
            continue
        crowded = any(0 < other - dipole < 0.06 * (high - low) for other in marks.values())
        ax.annotate(
            name, (dipole, 0.97), xycoords=("data", "axes fraction"), rotation=90,
            xytext=(-2 if crowded else 2, 0), textcoords="offset points",
            fontsize=7, color=INK, va="top", ha="right" if crowded else "left",
            bbox={"facecolor": "white", "linewidth": 0, "pad": 0.5}, zorder=3,
        )  # fmt: skip
        ax.axvline(dipole, color=INK, linewidth=0.5, linestyle=DASHES[3])


def draw_phase_map(
    ax: Axes,
    dipole_D: ArrayLike,
    relative_permittivity: ArrayLike,
    length: ArrayLike,
    threshold: tuple[ArrayLike, ArrayLike] | None = None,
    expected: tuple[ArrayLike, ArrayLike] | None = None,
    at_length: float = 2.0,
    systems: Sequence[tuple[str, float, float]] = (),
) -> Axes:
    """Draw the mean chain length over dipole and permittivity, with published clusters on it.

    Args:
        ax: The axes; a colour bar is put beside it.
        dipole_D: (n,) dipoles in debye.
        relative_permittivity: (n,) ε_r.
        length: (n,) mean chain lengths.
        threshold: Dipoles (k,) and ε_r (k,) at which simulations reach `at_length`.
        expected: Dipoles (m,) and ε_r (m,) at which theory expects it.
        at_length: Mean length that counts as chains.
        systems: Name, dipole, and dipole of the same λ at contact on the studied body, in debye;
            all at ε_r = 1.

    Returns:
        `ax`.
    """
    x, y, n = (np.asarray(v, float) for v in (dipole_D, relative_permittivity, length))
    size = float(np.clip(1500 / max(len(np.unique(x)), len(np.unique(y))) ** 2, 12, 110))
    squares = ax.scatter(
        x, y, s=size, c=n, marker="s", norm=LogNorm(1, max(2 * at_length, float(n.max()))),
        linewidths=0,
    )  # fmt: skip
    chains = n >= at_length
    ax.scatter(
        x[chains], y[chains], s=size, marker="s", facecolors="none", edgecolors=INK, linewidths=0.8,
        label=f"length ≥ {at_length:g}",
    )  # fmt: skip
    bar = ax.figure.colorbar(squares, ax=ax, label="mean chain length")
    plain_log_ticks(bar.ax.yaxis)
    if threshold:
        ax.plot(*threshold, color=INK, linewidth=1, label=f"length {at_length:g}")
    if expected:
        ax.plot(*expected, color=INK, linewidth=1, linestyle=DASHES[1], label="by theory")
    below = float(y.min()) - 0.12 * max(float(np.ptp(y)), 1.0)
    for number, (name, own, equivalent) in enumerate(systems):
        colour = LINES[1:][number % (len(LINES) - 1)]
        ax.plot([own, equivalent], [below, below], color=colour, linewidth=0.6)
        ax.plot([own], [below], "o", color=colour, ms=4.5)
        ax.plot([equivalent], [below], "o", color=colour, ms=4.5, mfc="white", label=name)
    margin = 0.06 * float(np.ptp(x))
    ax.set_xlim(float(x.min()) - margin, float(x.max()) + margin)
    ax.set_ylim(below - 0.6 * (float(y.min()) - below), float(y.max()) * 1.1)
    key = "\ndots: own dipole, $\\varepsilon_r$ = 1; rings: same λ on this body"
    ax.set_xlabel("dipole (D)" + key * bool(systems))
    ax.set_ylabel("relative permittivity")
    legend_above(ax, 2)
    return ax


def draw_length_series(
    ax: Axes,
    series: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike, float]],
    where: str = "",
) -> Axes:
    """Draw distributions of chain lengths with 95 % bands, beside ideal association's.

    The latter, (1/n̄)(1 − 1/n̄)ⁿ⁻¹ (Flory), has the same mean and is averaged over the same bins.

    Args:
        ax: The axes.
        series: By label: the longest chain of each bin (K,), which begins where the bin before
            ends, the fraction of chains in it (K,), its standard error (K,), and the mean length.
        where: Text for what all of them share, written into the panel.

    Returns:
        `ax`.
    """
    least = 1.0
    for number, (label, (longest, fraction, error, mean)) in enumerate(series.items()):
        colour = LINES[number % len(LINES)]
        high, part, spread = (np.asarray(v, float) for v in (longest, fraction, error))
        low = np.concatenate([[0.0], high[:-1]])
        width, middle = high - low, np.sqrt((low + 1) * high)
        ideal = ((1 - 1 / mean) ** low - (1 - 1 / mean) ** high) / width
        seen = part > 0
        density, band = part[seen] / width[seen], 1.96 * spread[seen] / width[seen]
        below = np.maximum(density - band, density / 10)
        ax.fill_between(middle[seen], below, density + band, color=colour, alpha=0.25, linewidth=0)
        marker = MARKERS[number % len(MARKERS)]
        ax.plot(middle[seen], density, marker, color=colour, label=label)
        ax.plot(middle, ideal, color=colour, linewidth=0.8, linestyle=DASHES[1])
        least = min(least, float(density.min()))
    ax.plot([], [], color=INK, linewidth=0.8, linestyle=DASHES[1], label="ideal, same mean")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(least / 5, 2)
    plain_log_ticks(ax.xaxis)
    ax.set_xlabel("chain length (clusters)")
    ax.set_ylabel("fraction of chains\nper cluster")
    ax.text(0.98, 0.98, where, transform=ax.transAxes, ha="right", va="top", fontsize=7, color=INK)
    legend_above(ax, 2)
    return ax


def draw_collapse(ax: Axes, series: Series, expected: Curves) -> Axes:
    """Draw mean chain length against λ at contact, all state points, beside association theory.

    Args:
        ax: The axes.
        series: By label: λ (n,), mean lengths (n,) and their errors (n,).
        expected: By label: λ (m,) and mean lengths (m,).

    Returns:
        `ax`.
    """
    for number, (label, (coupling, length, error)) in enumerate(series.items()):
        ax.errorbar(
            coupling, length, error, fmt=MARKERS[number % len(MARKERS)],
            color=LINES[number % len(LINES)], capsize=1.5, elinewidth=0.8, label=label,
        )  # fmt: skip
    for number, (label, (coupling, length)) in enumerate(expected.items()):
        ax.plot(
            coupling, length, color=INK, linewidth=0.8, linestyle=DASHES[number % len(DASHES)],
            label=label,
        )  # fmt: skip
    y = _together(series, 1)
    ax.set_yscale("log")
    ax.set_ylim(0.9, 4 * max(float(y.max()), 2.0))
    plain_log_ticks(ax.yaxis)
    ax.set_xlabel("coupling λ at contact")
    ax.set_ylabel("mean chain length")
    legend_above(ax, 1 if len(series) + len(expected) < 4 else 2)
    return ax
