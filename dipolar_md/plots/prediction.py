"""Draws predicted wire lengths over concentration. Arrays and an Axes in, the same Axes out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MICROMETRE_NM = 1000.0
"""Length from which on TEM calls wires micrometre-scale."""


def draw_lengths(ax: Axes, variants: Sequence[Mapping[str, Any]]) -> Axes:
    """Draw mean wire lengths over concentration, a band for each set of assumptions.

    The band reaches from wires counted by the default criterion to all that hangs together.

    Args:
        ax: Axes to draw on.
        variants: Variants of a prediction, as in its JSON.
    """
    for variant, colour in zip(variants, _COLOURS * len(variants), strict=False):
        rows = variant["by_concentration"]
        concentration = np.array([row["concentration_mM"] for row in rows])
        low = np.array([row["mean_wire_length_nm"] for row in rows])
        high = np.array([row["held_wire_length_nm"] for row in rows])
        label = f"{variant['axial_contact_nm']:g} nm, α {variant['polarisability_nm3']:g} nm³"
        ax.fill_between(concentration, low, high, color=colour, alpha=0.2, lw=0)
        ax.plot(concentration, low, color=colour, lw=1, ls="--", marker="o", ms=3, mfc="white")
        ax.errorbar(
            concentration,
            high,
            yerr=[row["held_wire_length_nm_err"] for row in rows],
            color=colour,
            lw=1.5,
            marker="o",
            ms=3,
            capsize=2,
            label=label,
        )
    ax.axhline(MICROMETRE_NM, color="#404040", ls=":", lw=1)
    ax.annotate(
        "TEM: 1 µm and more",
        (1, MICROMETRE_NM),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        fontsize="small",
    )
    ax.set(xscale="log", yscale="log", xlabel="concentration / mM", ylabel="mean wire length / nm")
    ax.set_title("solid: all that hangs together; dashed: bonds by 50 %", fontsize="small")
    ax.legend(
        title="contact, polarisability",
        frameon=False,
        fontsize="small",
        title_fontsize="small",
        loc="upper left",
        bbox_to_anchor=(1, 1),
    )
    return ax
