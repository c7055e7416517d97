"""Draws what stands beside a measurement: micrographs, samples, bands, scattering, growth laws."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from numpy.typing import ArrayLike, NDArray

from dipolar_md.plots.style import (
    BLACK,
    BLUE,
    DASHES,
    GREEN,
    LINES,
    ORANGE,
    VERMILION,
    bar_length_nm,
    legend_above,
    note,
    plain_log_ticks,
)


def draw_micrograph(
    ax: Axes,
    image: ArrayLike,
    pixel_nm: float,
    centres_nm: ArrayLike = (),
    wires: Sequence[NDArray[np.int64]] = (),
    core_diameter_nm: float = 1.0,
) -> Axes:
    """Draw a micrograph and over it what was found: cores as circles, wires as lines.

    Args:
        ax: The axes.
        image: (H, W) grey values, row 0 at the top.
        pixel_nm: Edge of a pixel, nm.
        centres_nm: (K, 2) cores, x to the right and y down, nm.
        wires: Cores of each wire, in order.
        core_diameter_nm: Diameter of the circles, nm.

    Returns:
        `ax`.
    """
    grey = np.asarray(image, float)
    height, width = np.array(grey.shape) * pixel_nm
    low, high = np.percentile(grey, [0.5, 99.5])
    extent = (0.0, float(width), float(height), 0.0)
    ax.imshow(grey, cmap="gray", vmin=low, vmax=max(high, low + 1e-12), extent=extent)
    centres = np.asarray(centres_nm, float).reshape(-1, 2)
    diameters = np.full(len(centres), core_diameter_nm)
    circles = EllipseCollection(
        diameters,
        diameters,
        np.zeros(len(centres)),
        units="xy",
        offsets=centres,
        offset_transform=ax.transData,
        facecolors="none",
        edgecolors=ORANGE,
        linewidths=0.4,
    )
    ax.add_collection(circles, autolim=False)
    lines = [centres[wire] for wire in wires]
    ax.add_collection(LineCollection(lines, colors=BLUE, linewidths=0.7), autolim=False)
    bar = bar_length_nm(width)
    y = height * 1.04
    ax.plot([0, bar], [y, y], color=BLACK, linewidth=2, solid_capstyle="butt", clip_on=False)
    ax.text(bar + 0.02 * width, y, f"{bar:g} nm", va="center")
    words = f"{len(centres)} cores, {len(wires)} wire{'' if len(wires) == 1 else 's'}"
    ax.text(width, y, words, va="center", ha="right")
    ax.set_xlim(0, width)
    ax.set_ylim(height, 0)
    ax.set_axis_off()
    return ax


def draw_comparison(
    ax: Axes,
    samples: Mapping[str, ArrayLike],
    range_nm: tuple[float | None, float | None] | None = None,
    label: str = "spacing (nm)",
    logarithmic: bool = False,
) -> Axes:
    """Draw the cumulative distributions of samples, which need no bins, over a published range.

    Args:
        ax: The axes.
        samples: Simulated and measured samples by name, nm.
        range_nm: Published lowest and highest value; None where open.
        label: Name of the x axis, with its unit.
        logarithmic: Whether the x axis is.

    Returns:
        `ax`.
    """
    ax.set_xlabel(label)
    ax.set_ylabel("cumulative fraction")
    kept = {k: np.sort(np.asarray(v, float).reshape(-1)) for k, v in samples.items()}
    kept = {name: values for name, values in kept.items() if values.size}
    if not kept:
        return note(ax, "nothing to compare")
    ends = [edge for edge in range_nm or () if edge is not None]
    everything = np.concatenate([*kept.values(), ends])
    low, high = everything.min(), everything.max()
    if logarithmic:
        ax.set_xscale("log")
        ax.set_xlim(low / 1.2, high * 1.5)
        plain_log_ticks(ax.xaxis)
    else:
        ax.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    if range_nm is not None:
        _shade_published(ax, *range_nm)
    dashes = itertools.cycle(DASHES)
    for (name, values), colour, dash in zip(kept.items(), LINES, dashes, strict=False):
        steps = np.arange(1, values.size + 1) / values.size
        thin = slice(None, None, max(1, values.size // 2000))
        text = f"{name} ({values.size:,})"
        ax.plot(values[thin], steps[thin], color=colour, linestyle=dash, label=text)
    ax.set_ylim(0, 1)
    legend_above(ax)
    return ax


def _shade_published(ax: Axes, first: float | None, last: float | None) -> None:
    """Shade a published range, up to the end of the axes where it is open."""
    left, right = ax.get_xlim()
    sign = "≥ " if last is None else "≤ " if first is None else ""
    text = "–".join(f"{edge:g}" for edge in (first, last) if edge is not None)
    ax.axvspan(
        left if first is None else first,
        right if last is None else last,
        color=ORANGE,
        alpha=0.25,
        linewidth=0,
        zorder=0,
        label=f"published {sign}{text} nm",
    )


def draw_length_bands(ax: Axes, bands: Mapping[str, tuple[ArrayLike, ...]]) -> Axes:
    """Draw length distributions with confidence bands, logarithmically.

    Args:
        ax: The axes.
        bands: Edges (K + 1,), density, low and high (K,) by the name of the run.

    Returns:
        `ax`.
    """
    ax.set_xlabel("chain length (clusters)")
    ax.set_ylabel("fraction of chains\nper cluster")
    if not bands:
        return note(ax, "no runs")
    dashes = itertools.cycle(DASHES)
    smallest = []
    for (name, band), colour, dash in zip(bands.items(), LINES, dashes, strict=False):
        edges, density, low, high = (np.asarray(part, float) for part in band)
        seen = density > 0
        middle = (edges[1:] + edges[:-1]) / 2
        ax.plot(middle[seen], density[seen], color=colour, linestyle=dash, label=name)
        sure = seen & np.isfinite(low)
        bottom = np.maximum(low, density[seen].min() / 10)
        ax.fill_between(middle, bottom, high, where=sure, color=colour, alpha=0.25, linewidth=0)
        smallest.append(density[seen].min())
    ax.set_yscale("log")
    ax.set_xscale("log")
    ax.set_ylim(bottom=min(smallest) / 3)
    plain_log_ticks(ax.xaxis)
    legend_above(ax)
    return ax


def draw_scattering(
    ax: Axes,
    curves: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike | None]],
    marks_per_nm: Mapping[str, float] | None = None,
) -> Axes:
    """Draw small-angle intensities against the wave number, both logarithmic.

    Args:
        ax: The axes.
        curves: q (K,) in nm⁻¹, intensity and its error (None where unknown) by the name of the run.
        marks_per_nm: Wave numbers to mark, by name.

    Returns:
        `ax`.
    """
    ax.set_xlabel(r"$q$ (nm$^{-1}$)")
    ax.set_ylabel("intensity per cluster")
    if not curves:
        return note(ax, "no runs")
    dashes = itertools.cycle(DASHES)
    for (name, (q, intensity, error)), colour, dash in zip(
        curves.items(), LINES, dashes, strict=False
    ):
        x, y = np.asarray(q, float), np.asarray(intensity, float)
        ax.plot(x, y, color=colour, linestyle=dash, label=name)
        if error is not None:
            e = np.asarray(error, float)
            ax.fill_between(x, np.maximum(y - e, y / 10), y + e, color=colour, alpha=0.25, lw=0)
    for (name, value), dash in zip(
        (marks_per_nm or {}).items(), itertools.cycle(DASHES[1:]), strict=False
    ):
        ax.axvline(value, color=BLACK, linestyle=dash, linewidth=0.8, label=name)
    ax.set_xscale("log")
    ax.set_yscale("log")
    plain_log_ticks(ax.xaxis)
    legend_above(ax)
    return ax


def draw_growth_law(
    ax: Axes,
    time_ns: ArrayLike,
    mean_length: ArrayLike,
    law: tuple[float, float] | None = None,
    name: str = "simulation",
    time_label: str = "time since the quench (ns)",
) -> Axes:
    """Draw the mean chain length against the time since a quench, both logarithmic, with its law.

    Args:
        ax: The axes.
        time_ns: (F,) times since the quench, positive, ns.
        mean_length: (F,) mean chain lengths.
        law: Exponent and prefactor of n̄ = a t^α.
        name: Name of the curve.
        time_label: Name of the x axis; say there whether the time is physical.

    Returns:
        `ax`.
    """
    ax.set_xlabel(time_label)
    ax.set_ylabel("mean chain length\n(clusters)")
    time, length = np.asarray(time_ns, float), np.asarray(mean_length, float)
    if not time.size:
        return note(ax, "no frames")
    ax.plot(time, length, ".", color=BLUE, label=name)
    if law is not None:
        exponent, prefactor = law
        text = rf"$\bar n \propto t^{{{exponent:.2f}}}$"
        fit = prefactor * time**exponent
        ax.plot(time, fit, color=VERMILION, linestyle="--", label=text)
    ax.set_xscale("log")
    ax.set_yscale("log")
    plain_log_ticks(ax.xaxis)
    plain_log_ticks(ax.yaxis)
    legend_above(ax)
    return ax


def draw_tangents(
    ax: Axes,
    separation_nm: ArrayLike,
    correlation: ArrayLike,
    persistence_nm: float | None = None,
) -> Axes:
    """Draw the tangent correlation along chains up to where it vanishes, with its exponential.

    Args:
        ax: The axes.
        separation_nm: (K,) contour distances, nm.
        correlation: (K,) mean cosines.
        persistence_nm: Persistence length of the exponential, nm.

    Returns:
        `ax`.
    """
    ax.set_xlabel("distance along the chain (nm)")
    ax.set_ylabel("tangent correlation")
    s, cosines = np.asarray(separation_nm, float), np.asarray(correlation, float)
    if not cosines.size:
        return note(ax, "no linear chains")
    last = int(np.argmax(cosines <= 0)) if (cosines <= 0).any() else cosines.size
    s, cosines = s[:last], cosines[:last]
    ax.plot(s, cosines, ".", color=BLUE, label="simulation")
    if persistence_nm is not None:
        reach = np.linspace(0, min(s.max(), 3 * persistence_nm), 100)
        text = f"exponential, {persistence_nm:.3g} nm"
        ax.plot(reach, np.exp(-reach / persistence_nm), color=GREEN, linestyle="--", label=text)
    ax.set_yscale("log")
    ax.set_ylim(max(0.02, cosines.min() / 1.5), 1.3)
    plain_log_ticks(ax.yaxis)
    legend_above(ax)
    return ax
