"""Draws the figures of a run: film, lengths, spacing, growth, pair energies, expectation."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps, rcParams
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.markers import CARETDOWN, MarkerStyle
from matplotlib.patches import Polygon
from matplotlib.ticker import MaxNLocator, MultipleLocator
from numpy.typing import ArrayLike, NDArray

from dipolar_md import theory
from dipolar_md.plots.style import (
    BAR,
    BLACK,
    BLUE,
    DASHES,
    GREEN,
    INK,
    LINES,
    ORANGE,
    PURPLE,
    VERMILION,
    bar_length_nm,
    legend_above,
    note,
    plain_log_ticks,
    width_points,
)

MONOMER = "#DEDEDE"
_DEFAULT_THRESHOLD = 0.5  # of the contact energy; bonds are stronger, unless a caller says else


def draw_film(
    ax: Axes,
    positions_nm: ArrayLike,
    box_nm: ArrayLike,
    chain_sizes: ArrayLike,
    bonds: ArrayLike,
    diameter_nm: float,
) -> Axes:
    """Draw the clusters of a periodic box, seen along z, coloured by the length of their chain.

    Longer chains lie on top of shorter ones, whatever their height, so that the wires can be
    followed through a crowded box; the picture is a map of chains and no micrograph.

    Args:
        ax: The axes; a square figure suits it.
        positions_nm: (N, 3) centres, wrapped into the box, nm.
        box_nm: (6,) Lx, Ly, Lz in nm and tilt factors xy, xz, yz, centred at the origin.
        chain_sizes: (N,) number of clusters in the chain of each cluster; 1 for a monomer.
        bonds: (M, 2) indices of bonded clusters; those that cross a drawn edge are left out.
        diameter_nm: Diameter of the circles, nm.

    Returns:
        `ax`.
    """
    positions = np.asarray(positions_nm, float).reshape(-1, 3)
    sizes = np.asarray(chain_sizes, int).reshape(-1)
    lengths = np.asarray(box_nm, float)
    cell = np.diag(lengths[:3])  # rows are the box vectors
    cell[1, 0], cell[2, 0], cell[2, 1] = lengths[3:] * lengths[[1, 2, 2]]
    width = _draw_box(ax, cell, margin=diameter_nm / 2)
    pairs = _unwrapped(np.asarray(bonds, int).reshape(-1, 2), positions, cell)

    grown = int(sizes.max(initial=1))
    norm = LogNorm(2, max(grown, 10))
    viridis = ListedColormap(colormaps["viridis"](np.linspace(0.12, 1.0, 256)))
    colours = viridis.with_extremes(under=MONOMER)
    points_per_nm = width_points(ax) / width
    bond_width = float(np.clip(0.12 * diameter_nm * points_per_nm, 0.2, 1.5))
    for size in np.unique(sizes):
        members = np.flatnonzero(sizes == size)
        members = members[np.argsort(positions[members, 2])]
        diameters = np.full(len(members), diameter_nm)
        clusters = EllipseCollection(
            diameters,
            diameters,
            np.zeros(len(members)),
            units="xy",
            offsets=positions[members, :2],
            offset_transform=ax.transData,
            facecolors=colours(norm(size)),
            edgecolors="#BBBBBB" if size == 1 else INK,
            linewidths=0.25,
        )
        ax.add_collection(clusters, autolim=False)
        bonded = pairs[sizes[pairs[:, 0]] == size]
        ax.add_collection(
            LineCollection(
                list(positions[bonded][:, :, :2]),
                colors="white" if norm(size) < 0.35 else "black",
                linewidths=bond_width,
                capstyle="round",
                zorder=clusters.get_zorder(),  # drawn in order of size, then
            ),
            autolim=False,
        )

    bar = ax.figure.colorbar(
        ScalarMappable(norm, colours),
        ax=ax,
        label="clusters in the chain",
        extend="min",
        extendrect=True,
        extendfrac=0.12,
        shrink=0.9,
        aspect=25,
        pad=0.02,
    )
    plain_log_ticks(bar.ax.yaxis)
    bar.ax.minorticks_off()
    size_of_label = bar.ax.yaxis.get_ticklabels()[0].get_fontsize()
    bar.ax.text(1.9, -0.06, "1", transform=bar.ax.transAxes, va="center", fontsize=size_of_label)
    if not len(positions):
        note(ax, "no clusters")
    return ax


def draw_length_distribution(
    ax: Axes,
    sizes: ArrayLike,
    n_frames: int,
    mean_length: float,
    expected_mean_length: float | None = None,
) -> Axes:
    """Draw the number fraction of chains of each length, beside the exponential of ideal chains.

    Bins widen with the length, to a fifth of it, but are never narrower than a tenth of the mean or
    one cluster; a step is the mean of p(n) over its bin. An error bar is √(count), with the count
    of one frame: successive frames show largely the same chains, so pooling them is not taken to
    sharpen the estimate.

    Args:
        ax: The axes.
        sizes: (n_chains,) chain lengths, monomers included, pooled over the frames.
        n_frames: Number of frames pooled.
        mean_length: Number-averaged length of the chains, for the dashed exponential.
        expected_mean_length: that of the association theory, for the dotted exponential.

    Returns:
        `ax`.
    """
    counted = np.asarray(sizes, int).reshape(-1)
    ax.set_xlabel(r"chain length $n$ (clusters)")
    ax.set_ylabel("fraction of chains")
    if not counted.size:
        return note(ax, "no chains")
    edges = _length_edges(int(counted.max()), finest=0.1 * float(counted.mean()))
    counts = np.histogram(counted, edges)[0]
    centres, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    density = counts / counted.size / widths
    error = np.sqrt(counts * n_frames) / counted.size / widths
    label = f"simulation, {n_frames} frame{'s' if n_frames != 1 else ''}"
    ax.stairs(density, edges, fill=True, color=BAR, label=label)
    seen = counts > 0
    ax.errorbar(
        centres[seen],
        density[seen],
        error[seen],
        fmt=".",
        color=INK,
        elinewidth=0.7,
        markersize=2.5,
    )
    right = max(edges[-1], 10.5)
    n = np.arange(1, int(right) + 1)
    curves = [("exponential of same mean,", mean_length, VERMILION, "--")]
    if expected_mean_length is not None:
        curves.append(("ideal association,", expected_mean_length, BLACK, ":"))
    for name, mean, colour, dashes in curves:
        p = theory.chain_length_distribution(mean, n)
        label = rf"{name} $\bar n$ = {mean:.3g}"
        # A mean of 1 leaves p(2) = 0, and a line that drops.
        p = np.maximum(p, np.finfo(float).tiny)
        ax.plot(n, p, color=colour, linestyle=dashes, label=label)
    # A steep curve may leave the panel at the bottom, but each must be seen to start.
    starts = [1 / mean for _, mean, *_ in curves]
    bottom = min(density[seen].min() / 3, density.max() / 30, min(starts) / 3)
    ax.set_yscale("log")
    ax.set_ylim(bottom, 2 * max(density.max(), *starts))
    ax.set_xlim(0.5, right)
    ax.xaxis.set_major_locator(MaxNLocator(7, integer=True, steps=[1, 2, 5, 10]))
    legend_above(ax)
    return ax


def draw_spacing(
    ax: Axes,
    spacings_nm: ArrayLike,
    reference_range_nm: tuple[float, float] | None = None,
    marks_nm: Mapping[str, float] | None = None,
    contact_nm: float | None = None,
) -> Axes:
    """Draw the distribution of the distance of bonded clusters, beside what was measured.

    Args:
        ax: The axes.
        spacings_nm: (M,) centre-to-centre distances of bonded clusters, nm.
        reference_range_nm: Lowest and highest spacing seen by TEM, nm.
        marks_nm: Other published distances by name, such as `{"crystal c": 1.61}`, nm.
        contact_nm: The model's contact distance, nm.

    Returns:
        `ax`.
    """
    spacings = np.asarray(spacings_nm, float).reshape(-1)
    ax.set_xlabel("spacing of bonded clusters (nm)")
    ax.set_ylabel(r"probability density (nm$^{-1}$)")
    if spacings.size:
        # The rule of Freedman and Diaconis, kept between what a figure resolves and what it needs.
        spread = float(np.subtract(*np.percentile(spacings, [75, 25])))
        width = float(np.clip(2 * spread / np.cbrt(spacings.size), 0.01, 0.1))
        bins = np.floor(np.ptp(spacings) / width) + 1
        middle = (spacings.min() + spacings.max()) / 2
        edges = middle + width * (np.arange(bins + 1) - bins / 2)
        density = np.histogram(spacings, edges, density=True)[0]
        ax.stairs(density, edges, fill=True, color=BAR, label="simulation")
    if reference_range_nm is not None:
        low, high = reference_range_nm
        label = f"TEM {low:g}–{high:g} nm"
        ax.axvspan(low, high, color=ORANGE, alpha=0.25, linewidth=0, zorder=0, label=label)
    if contact_nm is not None:
        label = f"contact {contact_nm:.3g} nm"
        ax.axvline(contact_nm, color=BLACK, linewidth=1, label=label)
    colours = itertools.cycle((VERMILION, GREEN, PURPLE))
    dashes = itertools.cycle(DASHES[1:])
    for (name, value), colour, dash in zip((marks_nm or {}).items(), colours, dashes, strict=False):
        label = f"{name} {value:g} nm"
        ax.axvline(value, color=colour, linestyle=dash, linewidth=1, label=label)
    ax.margins(x=0.06)
    ax.set_ylim(bottom=0)
    legend_above(ax, columns=2)
    return ax if spacings.size else note(ax, "no bonded pairs")


def draw_growth(
    axes: Sequence[Axes],
    time_ns: ArrayLike,
    mean_length: ArrayLike,
    mean_length_err: ArrayLike | None = None,
    *,
    relative_permittivity: ArrayLike,
    concentration_mM: ArrayLike | None = None,
    stages: Sequence[tuple[str, float, float]] | None = None,
) -> tuple[Axes, Axes]:
    """Draw how the chains grow (above) while the environment changes (below).

    Permittivity and concentration have a logarithmic scale where they change by more than a factor
    of 3.

    Args:
        axes: The upper and the lower axes, which share x.
        time_ns: (n,) times of the frames, ns.
        mean_length: (n,) number-averaged chain lengths.
        mean_length_err: (n,) their standard errors.
        relative_permittivity: (n,) permittivity of the medium.
        concentration_mM: (n,) concentration in mM, drawn against an axis on the right.
        stages: Name, start and end in ns of each stage of the recipe, named on top.

    Returns:
        The upper and the lower axes.
    """
    upper, lower = axes
    time = np.asarray(time_ns, float).reshape(-1)
    mean = np.asarray(mean_length, float).reshape(-1)
    upper.set_ylabel("mean chain\nlength (clusters)")
    lower.set_ylabel("relative\npermittivity")
    lower.set_xlabel("time (ns)")
    upper.tick_params(labelbottom=False)
    upper.figure.align_ylabels([upper, lower])
    if not time.size:
        return note(upper, "no frames"), note(lower, "")
    upper.plot(time, mean, color=BLUE, marker="o" if time.size == 1 else "")
    if mean_length_err is not None:
        error = np.asarray(mean_length_err, float).reshape(-1)
        if time.size == 1:
            upper.errorbar(time, mean, error, color=BLUE)
        upper.fill_between(time, mean - error, mean + error, color=BAR, linewidth=0, zorder=1.5)
    upper.set_ylim(bottom=0)
    _draw_ramp(lower, time, relative_permittivity, VERMILION, "-", headroom=1.15)
    if concentration_mM is not None:
        right = lower.twinx()
        right.set_ylabel("concentration\n(mM)")
        right.spines["right"].set_visible(True)
        # Two constants must not lie on each other.
        _draw_ramp(right, time, concentration_mM, GREEN, "--", headroom=1.6)
    spans = [stage for stage in stages or () if stage[2] > stage[1]]
    if spans:
        upper.set_xlim(min(time[0], spans[0][1]), max(time[-1], spans[-1][2]))
        _draw_stages(upper, lower, spans)
    return upper, lower


def draw_pair_energy(
    ax: Axes,
    reduced_energy: ArrayLike,
    thresholds: Sequence[float] = (0.4, 0.5, 0.6, 0.7),
    minimum: float | None = None,
) -> Axes:
    """Draw the energies of neighbouring pairs, to judge where "bonded" begins.

    A criterion is safe where few pairs lie: at the minimum between the bonded pairs on the left and
    the pairs that only meet.

    Args:
        ax: The axes.
        reduced_energy: (M,) pair energies over the depth at contact: −1 at contact, head to tail.
        thresholds: Depths, as positive fractions of the contact energy, drawn at minus their value;
            0.5, the default criterion, stands out.
        minimum: Reduced energy at which the histogram has its minimum, if it has one.

    Returns:
        `ax`.
    """
    energies = np.asarray(reduced_energy, float).reshape(-1)
    ax.set_xlabel(r"pair energy, $u\,/\,|u_{\mathrm{contact}}|$")
    ax.set_ylabel("fraction of pairs")
    ax.set_xlim(-1.4, 0.6)
    ax.xaxis.set_major_locator(MultipleLocator(0.5))
    edges = np.linspace(-1.4, 0.6, 101 if energies.size > 2000 else 41)
    counts = np.histogram(energies, edges)[0]
    if not counts.any():
        return note(ax, "no pairs")
    fractions = counts / energies.size
    ax.stairs(fractions, edges, fill=True, color=BAR)
    others = [t for t in thresholds if t != _DEFAULT_THRESHOLD]
    if _DEFAULT_THRESHOLD in thresholds:
        label = f"bonded below −{_DEFAULT_THRESHOLD:g} (default)"
        ax.axvline(-_DEFAULT_THRESHOLD, color=VERMILION, linewidth=1.4, label=label)
    label = "also shown: " + ", ".join(f"−{threshold:g}" for threshold in others)
    for threshold in others:
        ax.axvline(-threshold, color=INK, linestyle="--", linewidth=0.7, label=label)
        label = ""  # one entry for all
    ax.set_yscale("log")
    ax.set_ylim(fractions[counts > 0].min() / 2, 3 * fractions.max())
    if minimum is not None:
        here = np.clip(np.searchsorted(edges, minimum, side="right") - 1, 0, len(counts) - 1)
        height = max(fractions[here], ax.get_ylim()[0])
        label = f"minimum at {minimum:.2f}".replace("-", "−")
        tip = MarkerStyle(CARETDOWN)
        ax.plot(minimum, height, marker=tip, color=BLACK, linestyle="", mew=0, ms=5, label=label)
    legend_above(ax)
    return ax


def draw_expectation(
    ax: Axes, concentration_mM: ArrayLike, curves: Mapping[str, ArrayLike]
) -> Axes:
    """Draw the mean chain length that theory expects in each solvent against concentration.

    Args:
        ax: The axes.
        concentration_mM: (n,) concentrations, mM, positive.
        curves: (n,) mean chain lengths by the name of the solvent.

    Returns:
        `ax`.
    """
    concentration = np.asarray(concentration_mM, float).reshape(-1)
    ax.set_xlabel("concentration (mM)")
    ax.set_ylabel("expected mean chain\nlength (clusters)")
    if not (curves and concentration.size):
        return note(ax, "no solvents")
    lengths = {name: np.asarray(curve, float).reshape(-1) for name, curve in curves.items()}
    dashes = itertools.cycle(DASHES)
    colours = itertools.cycle(LINES)
    marker = "o" if concentration.size == 1 else ""
    # The legend lists the curves from top to bottom.
    for name in sorted(lengths, key=lambda name: -lengths[name].max()):
        ax.plot(
            concentration,
            lengths[name],
            color=next(colours),
            linestyle=next(dashes),
            marker=marker,
            label=name,
        )
    ax.set_xscale("log")
    ax.set_yscale("log")
    # A decade at least: less would blow the differences of solvents without chains up.
    ax.set_ylim(0.85, max(10, 1.3 * max(curve.max() for curve in lengths.values())))
    plain_log_ticks(ax.xaxis)
    plain_log_ticks(ax.yaxis)
    legend_above(ax, columns=2)
    return ax


# --- Shared parts ---------------------------------------------------------------------------------


def _length_edges(longest: int, finest: float) -> NDArray[np.float64]:
    """Return the edges of bins from 1 to `longest`, as `draw_length_distribution` describes."""
    edges = [1]
    while edges[-1] <= longest:
        edges.append(edges[-1] + max(1, round(finest), round(0.2 * edges[-1])))
    return np.array(edges) - 0.5


def _draw_box(ax: Axes, cell: NDArray[np.float64], margin: float) -> float:
    """Draw the box and, below it, a scale bar; set the limits and return their width in nm."""
    a, b, _ = cell[:, :2]
    corners = np.array([-a - b, a - b, a + b, b - a]) / 2
    ax.add_patch(Polygon(corners, fill=False, edgecolor="#999999", linewidth=0.6, zorder=0))
    lean = np.abs(cell[2, :2]) / 2  # where z leans, projected centres may leave the base
    left, bottom = corners.min(axis=0) - lean
    right, top = corners.max(axis=0) + lean
    width, height = right - left, top - bottom

    length = bar_length_nm(width)
    y = bottom - margin - 0.035 * height
    ax.plot([left, left + length], [y, y], color=BLACK, linewidth=2, solid_capstyle="butt")
    ax.text(left + length + 0.02 * width, y, f"{length:g} nm", va="center")

    ax.set_xlim(left - margin, right + margin)
    ax.set_ylim(bottom - margin - 0.07 * height, top + margin)
    ax.set_aspect("equal")
    ax.set_axis_off()
    return float(width + 2 * margin)


def _unwrapped(
    bonds: NDArray[np.int64], positions: NDArray[np.float64], cell: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the bonds whose ends lie side by side as drawn; one that crosses z may be among."""
    vectors = positions[bonds[:, 1]] - positions[bonds[:, 0]]
    shifts = np.round(vectors @ np.linalg.inv(cell)) @ cell
    return bonds[np.all(np.abs(shifts[:, :2]) < 1e-9 * cell[0, 0], axis=1)]


def _draw_ramp(
    ax: Axes,
    time: NDArray[np.float64],
    values: ArrayLike,
    colour: str,
    dashes: str,
    headroom: float,
) -> None:
    """Draw what the recipe prescribes, its axis in the same colour."""
    ramp = np.asarray(values, float).reshape(-1)
    marker = "o" if time.size == 1 else ""
    ax.plot(time, ramp, color=colour, linestyle=dashes, marker=marker)
    ax.yaxis.label.set_color(colour)
    ax.tick_params(axis="y", which="both", colors=colour)
    if ramp.min() > 0 and ramp.max() > 3 * ramp.min():
        ax.set_yscale("log")
        ax.set_ylim(ramp.min() / 1.3, ramp.max() * 1.3)
        plain_log_ticks(ax.yaxis)
    else:
        ax.set_ylim(0, headroom * ramp.max())
        ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))


def _draw_stages(upper: Axes, lower: Axes, stages: Sequence[tuple[str, float, float]]) -> None:
    """Shade every other stage and name all, aslant where a name is wider than its stage."""
    names = []
    for i, (name, start, end) in enumerate(reversed(stages)):
        if i % 2:
            upper.axvspan(start, end, color="#EFEFEF", linewidth=0, zorder=0)
            lower.axvspan(start, end, color="#EFEFEF", linewidth=0, zorder=0)
        names.append(
            upper.annotate(
                name,
                ((start + end) / 2, 1),
                (0, 3),
                xycoords=upper.get_xaxis_transform(),
                textcoords="offset points",
                fontsize=rcParams["legend.fontsize"],
                ha="center",
                rotation_mode="anchor",
            )
        )
    first, last = upper.get_xlim()
    letter = 0.6 * names[0].get_fontproperties().get_size_in_points()
    points_per_ns = width_points(upper) / (last - first)
    if any(letter * (len(name) + 1) > points_per_ns * (end - start) for name, start, end in stages):
        for text in names:
            text.set(ha="left", rotation=40)
