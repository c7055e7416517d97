"""Bonded spacing of one or more runs beside the TEM range and the crystal's spacings.

python analysis/spacing_vs_tem.py runs/r-au-cu --out spacing_vs_tem.png
"""

import argparse
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

import dipolar_md as dm
from dipolar_md import plots


def main() -> None:
    """Draw one panel per run and print the part of its spacings that lies in the TEM range."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="run directories")
    parser.add_argument("--out", type=Path, default=Path("spacing_vs_tem.png"))
    options = parser.parse_args()
    tem = dm.load_reference("tem-r-au-cu").quantity("spacing_nm")
    crystal = dm.load_reference("crystal-r-au-cu").quantity("spacing_nm")
    with rc_context(plots.STYLE):
        figure = Figure(figsize=(3.35, 2.5 * len(options.runs)))
        axes = figure.subplots(len(options.runs), squeeze=False)[:, 0]
        for ax, path in zip(axes, options.runs, strict=True):
            found = dm.nanowire_statistics(dm.Run(path).trajectory)
            band = (tem.low, tem.high)
            plots.draw_spacing(ax, found.spacings_nm, band, {"crystal c": crystal.value})
            inside = found.spacing_fraction(*band)
            part = "no bonds" if inside is None else f"{100 * inside:.1f} % of spacings"
            print(f"{path}: {part} within {band[0]}–{band[1]} nm")
        figure.savefig(options.out)
    print(options.out)


if __name__ == "__main__":
    main()
