"""Dipole-strength phase map of a study: where wires form, with the published clusters marked.

python analysis/phase_map.py dipole-strength --dir studies/dipole-strength --out phase_map.pdf
"""

import argparse
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

import dipolar_md as dm


def main() -> None:
    """Draw mean chain length over dipole and permittivity; print the threshold dipoles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", help="name or TOML file of a study with both axes")
    parser.add_argument("--dir", type=Path, help="its directory [default: studies/NAME]")
    parser.add_argument("--out", type=Path, default=Path("phase_map.png"))
    options = parser.parse_args()
    report = dm.report_study(options.study, options.dir)
    chart = dm.phase_map(report.means, report.thresholds)
    if chart is None:
        parser.error("a map needs two dipoles and two permittivities or more")
    with rc_context(dm.plots.STYLE):
        figure = Figure(figsize=(3.35, 3.0))
        dm.plots.draw_phase_map(figure.subplots(), *chart)
        figure.savefig(options.out)
    for one in report.thresholds:
        found = one.dipole_D
        where = f"{found.value:.2f} ± {found.error or 0:.2f} D" if found else "not bracketed"
        others = ", ".join(f"{key} {value}" for key, value in one.series.items())
        print(f"{others or 'all'}, bonds by {one.criterion}: threshold {where}")
    for system in chart.systems:
        print(f"{system.name}: {system.dipole_D:.2f} D, like {system.equivalent_D:.2f} D here")
    print(options.out)


if __name__ == "__main__":
    main()
