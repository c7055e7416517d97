"""Assemble a recipe on all cores of one machine with LAMMPS under MPI; repeat it to continue.

python scripts/assemble_mpi.py r-au-cu --clusters 100000 --ranks 16 --out runs/r-au-cu-mpi

Start it once, without mpiexec: it starts its own ranks, all on this machine. Without --ranks, the
fastest of the combinations of ranks and threads that fit the cores is timed and taken. HOOMD-blue
is refused here: this package drives it on one GPU or one core, whether built with MPI or not.
"""

import argparse
import os
import sys

import dipolar_md as dm

INSIDE = ("PMI_SIZE", "PMIX_RANK", "OMPI_COMM_WORLD_SIZE")


def main() -> int:
    """Run, analyse and print the mean chain length; 130 when stopped, to be repeated."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", help="recipe name or TOML file")
    parser.add_argument("--clusters", type=int, default=100_000, help="number of clusters")
    parser.add_argument("--ranks", type=int, help="MPI ranks [default: timed]")
    parser.add_argument("--threads", type=int, help="OpenMP threads of each rank")
    parser.add_argument("--engine", choices=["lammps", "hoomd"], default="lammps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="recipe keys")
    parser.add_argument("--walltime-h", type=float, help="stop with a checkpoint within this time")
    parser.add_argument("--out", default="runs/mpi", help="run directory")
    options = parser.parse_args()
    if found := [name for name in INSIDE if name in os.environ]:
        raise dm.InputError(f"started inside MPI ({found[0]} is set); start it once, by python")
    if options.engine == "hoomd":
        raise dm.UnsupportedError("HOOMD-blue runs on one GPU (scripts/assemble_gpu.py) or core")
    run = dm.assemble(
        options.recipe,
        options.out,
        engine="lammps",
        seed=options.seed,
        threads=options.threads,
        ranks=options.ranks,
        overrides=dict(text.split("=", 1) for text in options.set)
        | {"n_clusters": options.clusters},
        walltime_s=options.walltime_h and 3600 * options.walltime_h,
    )
    print(run.manifest["sessions"][-1]["reason"])
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
