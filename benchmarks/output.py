"""What frames cost: writing, reading, bytes; a run with a frame every 500 steps beside one without.

A frame in a run is read from the engine, appended to the trajectory and written as a checkpoint.

    python benchmarks/output.py [--clusters 1000 10000 100000] [--run 4000] [--steps 5000]
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from overhead import package, recipe_for
from timing import arguments, finish, rounds, spread

import dipolar_md as dm
from dipolar_md.trajectory import append_frame, write_frame


def seconds(work: Callable[[], object]) -> float:
    """Return how long a piece of work takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def of_frames(n: int) -> dict:
    """Return the times of a frame of n clusters and its size."""
    frame = dm.Frame(dm.random_gas({dm.coarse_grain(dm.load_cluster("r-au-cu")): n}, 10.0, seed=1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.gsd")
        append_frame(path, frame)
        first = path.stat().st_size
        append = seconds(lambda: append_frame(path, frame))
        return {
            "append_s": append,
            "checkpoint_s": seconds(lambda: write_frame(Path(folder, "b.gsd"), frame)),
            "read_s": seconds(lambda: dm.Trajectory(path)[0]),
            "first_frame_bytes": first,
        }


def of_a_run(every: bool, n: int, steps: int) -> dict:
    """Return the seconds of a run with a frame every chunk, or only at its end."""
    recipe = recipe_for(n, steps)
    if not every:
        recipe = recipe.model_copy(update={"frame_interval_ns": 1e6})
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = package(recipe, Path(folder), "lammps")
        return {"seconds": float(wall), "cpu_s": float(cpu)}


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--clusters", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--run", type=int, default=4000, help="clusters of the runs")
    parser.add_argument("--steps", type=int, default=5000, help="of the runs")
    options = parser.parse_args()
    frames = rounds(options.clusters, of_frames, max(5, options.repeats), options.limit / 2)
    lines = [
        "| N | append / ms | checkpoint / ms | read / ms | bytes per cluster |",
        "|---|---|---|---|---|",
    ]
    for n, results in frames.items():
        times = ([1e3 * r[key] for r in results] for key in ("append_s", "checkpoint_s", "read_s"))
        size = results[0]["first_frame_bytes"] / n
        lines.append(f"| {n:,} | " + " | ".join(map(spread, times)) + f" | {size:.0f} |")
    runs = rounds(
        [True, False],
        lambda every: of_a_run(every, options.run, options.steps),
        options.repeats + 1,
        options.limit / 2,
    )
    pairs = list(zip(runs[True], runs[False], strict=False))[1:] or [
        (runs[True][0], runs[False][0])
    ]
    ratios = {key: [one[key] / other[key] for one, other in pairs] for key in ("seconds", "cpu_s")}
    lines += [
        "",
        f"{options.run:,} clusters, a frame and a checkpoint every 500 steps beside none: ratio of "
        f"wall time {spread(ratios['seconds'], 4)}, of CPU time {spread(ratios['cpu_s'], 4)}",
    ]
    result = {"frames": frames, "runs": {str(k): v for k, v in runs.items()}, "ratios": ratios}
    finish(options, lines, result)


if __name__ == "__main__":
    main()
