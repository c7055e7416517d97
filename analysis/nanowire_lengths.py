"""Nanowire lengths of one or more runs in one figure, with the exponential of association theory.

python analysis/nanowire_lengths.py runs/r-au-cu runs/control --out nanowire_lengths.png
"""

import argparse
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

import dipolar_md as dm
from dipolar_md import plots


def main() -> None:
    """Draw one panel per run and print its mean lengths."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="run directories")
    parser.add_argument("--out", type=Path, default=Path("nanowire_lengths.png"))
    options = parser.parse_args()
    with rc_context(plots.STYLE):
        figure = Figure(figsize=(3.35, 2.5 * len(options.runs)))
        axes = figure.subplots(len(options.runs), squeeze=False)[:, 0]
        for ax, path in zip(axes, options.runs, strict=True):
            found = dm.nanowire_statistics(dm.Run(path).trajectory)
            length = found.mean_chain_length
            plots.draw_length_distribution(ax, found.sizes, found.n_frames, length.value)
            contour = found.contour_mean_nm
            wires = f"{contour.value:.1f} ± {contour.error or 0:.1f} nm" if contour else "none"
            print(
                f"{path}: mean chain length {length.value:.2f} ± {length.error or 0:.2f} clusters, "
                f"mean wire {wires}"
            )
        figure.savefig(options.out)
    print(options.out)


if __name__ == "__main__":
    main()
