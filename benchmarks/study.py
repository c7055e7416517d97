"""What running a study costs beside its simulations: one core against all, and per job.

    python benchmarks/study.py [WORKERS]

The same jobs by one worker and by several, in turns; and jobs of one chunk, which are all overhead.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import dipolar_md as dm

SETTINGS = {
    "n_clusters": 200,
    "cutoff_nm": 8.0,
    "stages.solution.skin_nm": 1.0,
    "stages.solution.relative_permittivity": 1.0,
}


def seconds(study: dm.Study, workers: int, chunk_ns: float, replicas: int) -> float:
    """Return the wall time from the first job's end to the last's, workers being up."""
    settings = SETTINGS | {"stages.solution.time_ns": chunk_ns}
    study = dm.Study.model_validate(
        study.model_dump()
        | {
            "settings": settings,
            "sources": dict.fromkeys(settings, "benchmark"),
            "replicas": replicas,
            "stopping": None,
        }
    )
    ends: list[tuple[int, float]] = []

    def watch(part: float, states: dict[str, int]) -> None:
        done = states["done"]
        if not ends or done > ends[-1][0]:
            ends.append((done, time.perf_counter()))

    with tempfile.TemporaryDirectory() as folder:
        dm.run_study(study, Path(folder) / "study", workers, watch)
    ends = [end for end in ends if end[0] >= workers]
    return (ends[-1][1] - ends[0][1]) / (ends[-1][0] - ends[0][0])


if __name__ == "__main__":
    workers = int(sys.argv[1]) if len(sys.argv) > 1 else len(os.sched_getaffinity(0))
    demo = dm.load_study("demo")
    rounds = [[seconds(demo, n, 12.0, 3) for n in (1, workers)] for _ in range(3)]
    one, several = (statistics.median(times) for times in zip(*rounds, strict=True))
    ratios = sorted(a / b / workers for a, b in rounds)
    print(f"a job by 1 worker: {one:.2f} s; by {workers}: {several:.2f} s")
    print(
        f"parallel efficiency on {workers} cores: {ratios[1]:.2f} "
        f"({ratios[0]:.2f}–{ratios[-1]:.2f}, three alternated rounds)"
    )
    print(f"overhead per job: {seconds(demo, 1, 0.4, 3):.2f} s (500 steps, analysis included)")
    print(f"load of this machine: {os.getloadavg()[0]:.1f}")
