"""Assemble a recipe with HOOMD-blue on one GPU, then analyse it; repeat the command to continue.

python scripts/assemble_gpu.py r-au-cu --clusters 20000 --out runs/r-au-cu-gpu
"""

import argparse
import sys

import dipolar_md as dm


def main() -> int:
    """Run, analyse and print the mean chain length; 130 when interrupted, to be repeated."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", help="recipe name or TOML file")
    parser.add_argument("--clusters", type=int, default=20000, help="number of clusters")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", default="runs/gpu", help="run directory")
    parser.add_argument("--device", choices=["gpu", "cpu"], default="gpu")
    options = parser.parse_args()
    run = dm.assemble(
        options.recipe,
        options.out,
        engine="hoomd",
        device=options.device,
        seed=options.seed,
        overrides={"n_clusters": options.clusters},
    )
    if not run.finished:
        return 130
    length = dm.analyze(run).statistics.mean_chain_length
    print(f"mean chain length {length.value:.2f} ± {length.error or 0:.2f} clusters: {run.path}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except dm.DipolarMDError as error:
        sys.exit(f"error: {error}")
