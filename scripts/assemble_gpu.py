"""Assemble a recipe with HOOMD-blue on one GPU, then analyse it; repeat the command to continue.

python scripts/assemble_gpu.py r-au-cu --clusters 100000 --walltime-h 23.5 --out runs/r-au-cu-gpu

Frames are written and chains found on the CPU while the GPU waits: with very many clusters, take
frames less often (--set frame_interval_ns=4).
"""

import argparse
import sys

import dipolar_md as dm


def main() -> int:
    """Run, analyse and print the mean chain length; 130 when stopped, to be repeated."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", help="recipe name or TOML file")
    parser.add_argument("--clusters", type=int, default=100_000, help="number of clusters")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="recipe keys")
    parser.add_argument("--walltime-h", type=float, help="stop with a checkpoint within this time")
    parser.add_argument("--out", default="runs/gpu", help="run directory")
    parser.add_argument("--device", choices=["gpu", "cpu"], default="gpu")
    options = parser.parse_args()
    run = dm.assemble(
        options.recipe,
        options.out,
        engine="hoomd",
        device=options.device,
        seed=options.seed,
        overrides=dict(text.split("=", 1) for text in options.set)
        | {"n_clusters": options.clusters},
        walltime_s=options.walltime_h and 3600 * options.walltime_h,
    )
    if not run.finished:
        print(f"stopped with a checkpoint; repeat the command to continue {run.path}")
        return 130
    length = dm.analyze(run).statistics.mean_chain_length
    print(f"mean chain length {length.value:.2f} ± {length.error or 0:.2f} clusters: {run.path}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except dm.DipolarMDError as error:
        sys.exit(f"error: {error}")
