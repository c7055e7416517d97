"""Spacing of one or more runs beside the TEM range: true, projected, and seen in its micrograph.

python analysis/spacing_vs_tem.py runs/r-au-cu --measured mine.csv --out spacing_vs_tem.png
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

import dipolar_md as dm


def main() -> None:
    """Draw one panel per run and print the part of its spacings that lies in the TEM range."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="run directories")
    parser.add_argument("--measured", type=Path, help="CSV with projected_spacing_nm or spacing_nm")
    parser.add_argument("--section-nm", type=float, default=10.0, help="of the imaged slice")
    parser.add_argument("--out", type=Path, default=Path("spacing_vs_tem.png"))
    options = parser.parse_args()
    tem = dm.load_reference("tem-r-au-cu").quantity("spacing_nm")
    crystal = dm.load_reference("crystal-r-au-cu").quantity("spacing_nm")
    own = dm.read_measured(options.measured) if options.measured else {}
    with rc_context(dm.plots.STYLE):
        figure = Figure(figsize=(3.35, 3.0 * len(options.runs)))
        axes = figure.subplots(len(options.runs), squeeze=False)[:, 0]
        for ax, path in zip(axes, options.runs, strict=True):
            trajectory = dm.Run(path).trajectory
            found = dm.nanowire_statistics(trajectory)
            picture = dm.simulate_micrograph(trajectory[-1], section_nm=options.section_nm)
            samples = {
                "true": found.spacings_nm,
                "seen along z": found.projected_spacings_nm,
                "found in its micrograph": dm.measure_micrograph(picture).spacings_nm,
                **{f"measured, {k}": v for k, v in own.items() if "spacing" in k},
            }
            dm.plots.draw_comparison(ax, samples, (tem.low, tem.high), f"spacing, {path} (nm)")
            for name, values in samples.items():
                if len(values):
                    inside = np.mean((values >= tem.low) & (values <= tem.high))
                    print(
                        f"{path}, {name}: median {np.median(values):.3f} nm, "
                        f"{100 * inside:.1f} % within {tem} (crystal: {crystal})"
                    )
        figure.savefig(options.out)
    print(options.out)


if __name__ == "__main__":
    main()
