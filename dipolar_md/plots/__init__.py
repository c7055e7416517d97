"""Draws the figures of runs and measurements: arrays and an Axes in, the same Axes out.

Nothing here opens a file, keeps a pyplot state or sets a font size. A caller makes the figure and
saves it, at the width of a journal's column:

    with matplotlib.rc_context(STYLE):
        figure = Figure()
        draw_spacing(figure.subplots(), spacings_nm)
        figure.savefig("spacing.png")
"""

from dipolar_md.plots.body import draw_contact_surface, draw_sites
from dipolar_md.plots.induction import draw_dipoles, draw_energy_split
from dipolar_md.plots.inference import draw_joint, draw_marginal, draw_shares
from dipolar_md.plots.measured import (
    draw_comparison,
    draw_growth_law,
    draw_length_bands,
    draw_micrograph,
    draw_scattering,
    draw_tangents,
)
from dipolar_md.plots.phase import draw_phase_estimate
from dipolar_md.plots.run import (
    draw_expectation,
    draw_film,
    draw_growth,
    draw_length_distribution,
    draw_pair_energy,
    draw_spacing,
)
from dipolar_md.plots.study import (
    draw_collapse,
    draw_dipole_scan,
    draw_length_series,
    draw_phase_map,
)
from dipolar_md.plots.style import STYLE

__all__ = [
    "STYLE",
    "draw_collapse",
    "draw_comparison",
    "draw_contact_surface",
    "draw_dipole_scan",
    "draw_dipoles",
    "draw_energy_split",
    "draw_expectation",
    "draw_film",
    "draw_growth",
    "draw_growth_law",
    "draw_joint",
    "draw_length_bands",
    "draw_length_distribution",
    "draw_length_series",
    "draw_marginal",
    "draw_micrograph",
    "draw_pair_energy",
    "draw_phase_estimate",
    "draw_phase_map",
    "draw_scattering",
    "draw_shares",
    "draw_sites",
    "draw_spacing",
    "draw_tangents",
]
