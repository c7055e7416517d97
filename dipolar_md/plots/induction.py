"""Draws what polarisable clusters do to each other. Arrays and an Axes in, the same Axes out."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from dipolar_md.plots.style import BAR, BLUE, INK, legend_above


def draw_dipoles(
    ax: Axes, percentiles_D: Mapping[str, Sequence[float]], permanent_D: float
) -> Axes:
    """Draw the distribution of total dipoles at each place in the chains.

    A line from 5 to 95 %, a box from 25 to 75 %, a mark at the median.

    Args:
        ax: The axes.
        percentiles_D: 5, 25, 50, 75 and 95 % of the dipoles, debye, by place.
        permanent_D: Permanent dipole, debye.

    Returns:
        `ax`.
    """
    low, left, middle, right, high = np.array(list(percentiles_D.values())).T
    x = np.arange(len(percentiles_D))
    ax.axhline(permanent_D, color=INK, ls="--", lw=0.8, label="permanent dipole")
    ax.vlines(x, low, high, color=INK, lw=0.8)
    ax.bar(x, right - left, 0.6, left, color=BAR, edgecolor=INK, lw=0.6, label="25–75 %")
    ax.hlines(middle, x - 0.3, x + 0.3, color=BLUE, lw=1.5, label="median")
    ax.set_xticks(x, list(percentiles_D), rotation=35, ha="right", rotation_mode="anchor")
    ax.set_ylabel("total dipole / D")
    legend_above(ax, columns=3)
    return ax


def draw_energy_split(ax: Axes, energies_kJ_mol: Mapping[str, tuple[float, float | None]]) -> Axes:
    """Draw what the energy of a cluster is made of.

    Args:
        ax: The axes.
        energies_kJ_mol: Mean and its error (None where unknown) by name, kJ/mol per cluster.

    Returns:
        `ax`.
    """
    values = [value for value, _ in energies_kJ_mol.values()]
    errors = [error or 0.0 for _, error in energies_kJ_mol.values()]
    x = np.arange(len(values))
    ax.bar(x, values, 0.6, yerr=errors, color=BAR, edgecolor=INK, lw=0.6, ecolor=INK, capsize=2)
    ax.axhline(0.0, color=INK, lw=0.6)
    ax.set_xticks(x, list(energies_kJ_mol))
    ax.set_ylabel("energy per cluster / kJ mol$^{-1}$")
    return ax
