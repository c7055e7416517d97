"""Nanowire lengths of one or more runs with confidence bands, and the stiffness of their chains.

python analysis/nanowire_lengths.py runs/r-au-cu runs/control --out nanowire_lengths.png
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

import dipolar_md as dm


def main() -> None:
    """Draw length distributions above and tangent correlations below; print means with errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="run directories")
    parser.add_argument("--out", type=Path, default=Path("nanowire_lengths.png"))
    options = parser.parse_args()
    found = {str(path): dm.nanowire_statistics(path) for path in options.runs}
    longest = max(int(table.sizes.max()) for table in found.values())
    edges = np.unique(np.round(np.geomspace(1, longest + 1, 16))) - 0.5
    bands = {}
    for name, table in found.items():
        frames = np.split(table.sizes, np.cumsum(table.chain_counts)[:-1])
        bands[name] = dm.distribution(frames, edges, table.equilibration.inefficiency_frames)
    with rc_context(dm.plots.STYLE):
        figure = Figure(figsize=(3.35, 2.7 + 2.2 * len(found)))
        axes = figure.subplots(1 + len(found), squeeze=False)[:, 0]
        dm.plots.draw_length_bands(axes[0], bands)
        for ax, (name, table) in zip(axes[1:], found.items(), strict=True):
            stiff = table.persistence_length_nm
            dm.plots.draw_tangents(ax, *table.tangents[:2], stiff and stiff.value)
            length, wire = table.mean_chain_length, table.contour_mean_nm
            print(
                f"{name}: mean chain length {length.value:.2f} ± {length.error or 0:.2f} clusters, "
                f"mean wire {words(wire)}, persistence length {words(stiff)}; "
                f"{table.independent_samples['mean_chain_length']:.0f} independent samples"
                + ("" if table.equilibration.equilibrated else ", NOT EQUILIBRATED")
            )
        figure.savefig(options.out)
    print(options.out)


def words(estimate: dm.Estimate | None) -> str:
    """Return a length and its error."""
    return f"{estimate.value:.2f} ± {estimate.error or 0:.2f} nm" if estimate else "unknown"


if __name__ == "__main__":
    main()
