"""What the benchmarks share: a run to time, alternated rounds, medians with spread, tables.

Every timed run is a gas of R-Au-Cu spheres at 10 mM in vacuum (25 neighbours within 10 nm) with
Langevin steps of 0.8 ps, in a process of its own, timed from the end of its first chunk on.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import dipolar_md as dm
from dipolar_md.engines.choice import inspect_engine

CONCENTRATION_MM, TIME_STEP_PS, CUTOFF_NM, SKIN_NM = 10.0, 0.8, 10.0, 1.5
Case = TypeVar("Case", bound=Hashable)


def measure(clusters: int, engine: str, threads: int, ranks: int, seconds: float) -> dict:
    """Return steps/s, CPU time per step of this process, time until the first chunk, memory."""
    begin = time.perf_counter()
    body = dm.coarse_grain(dm.load_cluster("r-au-cu"))
    here = dm.Environment(298.15, 1.0, CONCENTRATION_MM)
    chunk = max(10, min(100, 200_000 // clusters))
    stage = dm.Stage(
        "dry", 10**9, TIME_STEP_PS, here, here, 0.413, 0.02, chunk_steps=chunk, skin_nm=SKIN_NM
    )
    clock: list[float] = []
    cpu: list[float] = []

    def observe(_: Any) -> bool:
        clock.append(time.perf_counter())
        cpu.append(time.process_time())
        return len(clock) > 3 and clock[-1] - clock[0] > seconds

    chosen, _ = dm.choose_engine(engine, "cpu", threads, ranks)  # type: ignore[arg-type]
    gas = dm.random_gas({body: clusters}, CONCENTRATION_MM, seed=1)
    chosen.run(gas, dm.Interactions(298.15, 1.0, cutoff_nm=CUTOFF_NM), stage, observe)
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)  # of the ranks, the largest
    return {
        "steps_per_second": (len(clock) - 1) * chunk / (clock[-1] - clock[0]),
        "cpu_s_per_step": (cpu[-1] - cpu[0]) / (len(cpu) - 1) / chunk,
        "start_s": clock[0] - begin,
        "memory_MB": [resource.getrusage(one).ru_maxrss / 1000 for one in who],
    }


def in_a_process(limit: float, **case: Any) -> dict:
    """Return `measure` from a process of its own, or why there is no result (`trouble`)."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, __file__, json.dumps(case)],
            capture_output=True,
            text=True,
            timeout=limit,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"trouble": f"no result within {limit:g} s"}
    if done.returncode:
        return {"trouble": (done.stderr.strip().splitlines() or ["no message"])[-1][:200]}
    return json.loads(done.stdout.splitlines()[-1])


def rounds(
    cases: list[Case], work: Callable[[Case], dict], repeats: int, limit: float
) -> dict[Case, list[dict]]:
    """Return the results of each case: rounds in alternating order until `limit` seconds are up.

    The first round is always whole, except for cases that had trouble.
    """
    begin, found = time.perf_counter(), {case: [] for case in cases}
    for repeat in range(repeats):
        for case in cases[:: -1 if repeat % 2 else 1]:
            if repeat and time.perf_counter() - begin > limit:
                return found
            if any("trouble" in result for result in found[case]):
                continue
            found[case].append(work(case))
            print(f"{case}: {found[case][-1]}", file=sys.stderr, flush=True)
    return found


def spread(values: Iterable[float], digits: int = 3) -> str:
    """Return the median and, of several values, their range."""
    values = sorted(values)
    middle, low, high = (
        f"{x:,.0f}" if x >= 10**digits else f"{x:.{digits}g}"
        for x in (statistics.median(values), values[0], values[-1])
    )
    return f"{middle} (one run)" if len(values) == 1 else f"{middle} ({low}–{high})"


def arguments(description: str, repeats: int = 3, limit: float = 240.0) -> argparse.ArgumentParser:
    """Return a parser with the options of every benchmark."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--repeats", type=int, default=repeats, help="alternated rounds")
    parser.add_argument("--limit", type=float, default=limit, help="begin no round after these s")
    parser.add_argument("--json", type=Path, help="file for the JSON, too")
    parser.add_argument("--markdown", type=Path, help="file for the table, or a page with its mark")
    parser.set_defaults(load_before=os.getloadavg()[0])
    return parser


def _within(path: Path, text: str) -> str:
    """Return a table, or the page at `path` with it between `<!-- NAME -->` and `<!-- end -->`."""
    mark = f"<!-- {Path(sys.argv[0]).stem} -->\n"
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    if mark not in page:
        return text
    before, after = page.split(mark, 1)
    return f"{before}{mark}{text}\n<!-- end -->{after.split('<!-- end -->', 1)[1]}".rstrip()


def finish(options: argparse.Namespace, lines: list[str], result: dict) -> None:
    """Print table and JSON with machine, versions and load; write them where asked to."""
    versions = {name: inspect_engine(name, "cpu").version for name in ("lammps", "hoomd")}
    load = [round(options.load_before, 2), round(os.getloadavg()[0], 2)]
    result |= {
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "python": platform.python_version(),
        **{name: found for name, found in versions.items() if found},
        "load_before_and_after": load,
    }
    engines = ", ".join(f"{name} {found}" for name, found in versions.items() if found)
    note = f"{result['machine']}; {engines}; load {load[0]} before, {load[1]} after"
    text = "\n".join([*lines, "", note])
    print(text)
    print(json.dumps(result))
    if options.markdown:
        options.markdown.write_text(_within(options.markdown, text) + "\n", encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
