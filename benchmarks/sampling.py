"""Does replica exchange pay? Independent samples per CPU second, plain runs against a ladder.

R-Au-Cu's body in vacuum at 298.15 K, with dipoles of λ = 8, 11 and 14 at contact. A plain run is
one dipole; a ladder is all of `LADDER`, and its whole CPU time is charged. Samples are those of the
mean chain length (half of the contact energy) after equilibration from a random gas, by pymbar's
statistical inefficiency (`equilibration`). Each run is a process of its own on one thread; rounds
alternate plain runs and ladders, each with its own seed. CPU time is the process's own from the
first step on; the analysis is left out of both. What runs of different seeds disagree by is given
beside the errors that each of them states: a run that is stuck looks precise, and a ladder without
round trips hasn't mixed. The figures and what they mean: docs/studies.md.

    python benchmarks/sampling.py [--rounds 3] [--seconds 200] [--clusters 32] [--processes 1]
        [--json FILE] [--markdown FILE]
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import dipolar_md as dm
from dipolar_md.analysis.bonds import DEFAULT_CRITERION, find_neighbours
from dipolar_md.analysis.chains import mean_length
from dipolar_md.analysis.timeseries import equilibration, mean_estimate
from dipolar_md.model.expectation import contact_coupling
from dipolar_md.study.ladder import run_ladder

TARGETS = (8.0, 11.0, 14.0)
LADDER = (6.0, 6.5, 7.0, 7.5, 8.0, 9.0, 10.0, 11.0, 12.5, 14.0)
CONCENTRATION_mM, CUTOFF_NM, TIME_STEP_PS, FRAME_NS = 5.0, 6.0, 0.6, 1.2
SHARES = {8.0: 0.2, 11.0: 0.3, 14.0: 0.5}
"""Of a ladder's CPU time that each plain run gets, so that a round charges both the same."""


def recipe(coupling: float, clusters: int, time_ns: float, seed: int) -> dm.Recipe:
    """Return the recipe of one λ at contact."""
    base = {
        "n_clusters": clusters,
        "cutoff_nm": CUTOFF_NM,
        "time_step_ps": TIME_STEP_PS,
        "frame_interval_ns": FRAME_NS,
        "seed": seed,
        "stages.solution.concentration_mM": CONCENTRATION_mM,
        "stages.solution.relative_permittivity": 1.0,
        "stages.solution.time_ns": time_ns,
        "stages.solution.skin_nm": 1.0,
    }
    own = dm.coarse_grain(dm.load_cluster("r-au-cu"))
    dipole = 43.42 * math.sqrt(coupling / contact_coupling(own, 1.0, 298.15))
    return dm.load_recipe("r-au-cu-dichloromethane", base | {"dipole_D": dipole})


def samples(path: Path) -> dict:
    """Return what the mean chain length of a run says."""
    trajectory = dm.Trajectory(path / "trajectory.gsd")
    series = [
        mean_length(find_neighbours(frame.system), len(frame.system), DEFAULT_CRITERION)
        for frame in trajectory[1:]
    ]
    found = equilibration(series)
    mean, error = mean_estimate(series[found.start :])[0]
    return {
        "frames": len(series),
        "mean": mean,
        "error": error,
        "independent": found.independent_samples,
        "equilibrated": found.equilibrated,
        "reason": found.reason,
        "equilibration_ns": found.start * FRAME_NS,
        "relaxation_ns": found.inefficiency_frames * FRAME_NS / 2,
        "series": [round(x, 3) for x in series],
    }


def measure(case: dict) -> dict:
    """Return CPU time and samples of one plain run or ladder that stops after its CPU time."""
    rungs, seed = case["rungs"], case["seed"]
    recipes = [recipe(x, case["clusters"], 1e5, seed * 100 + k) for k, x in enumerate(rungs)]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / str(k) for k in range(len(rungs))]
        begin = time.process_time()

        def over(part: float) -> bool:
            return time.process_time() - begin > case["seconds"]

        result: dict = {}
        if len(rungs) == 1:

            def progress(now: dm.Progress) -> bool:
                return over(0.0)

            dm.assemble(recipes[0], paths[0], "lammps", "cpu", threads=1, progress=progress)
            result["cpu_s"] = time.process_time() - begin
        else:
            checkpoint = Path(folder) / "ladder.npz"
            ladder = run_ladder(recipes, paths, checkpoint, seed, watch=over)
            result["cpu_s"] = time.process_time() - begin
            result["acceptance"] = ladder.tally.ratios()
            result["round_trips"] = ladder.tally.round_trips
        result["by_coupling"] = {
            f"{x:g}": samples(path) for x, path in zip(rungs, paths, strict=True)
        }
    return result


def in_a_process(case: dict) -> dict:
    """Return `measure` from a process of its own."""
    command = [sys.executable, __file__, "--one", json.dumps(case)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def compare(options: argparse.Namespace) -> dict:
    """Run rounds of plain runs and ladders in turn; return what was measured."""
    runs: list[dict] = []
    result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "clusters": options.clusters,
        "concentration_mM": CONCENTRATION_mM,
        "cutoff_nm": CUTOFF_NM,
        "time_step_ps": TIME_STEP_PS,
        "runs": runs,
    }
    kinds = [("ladder", list(LADDER), 1.0)] + [("plain", [x], SHARES[x]) for x in TARGETS]
    cases = [
        {
            "kind": kind,
            "rungs": rungs,
            "seed": 1 + number,
            "seconds": share * options.seconds,
            "clusters": options.clusters,
        }
        for number in range(options.rounds)
        for kind, rungs, share in kinds[:: -1 if number % 2 else 1]
    ]
    with ThreadPoolExecutor(options.processes) as pool:
        futures = {pool.submit(in_a_process, case): case for case in cases}
        for future in as_completed(futures):
            runs.append(futures[future] | future.result())
            for x, one in runs[-1]["by_coupling"].items():
                words = f"{one['mean']:.2f}, {one['independent']:.1f} {one['reason']}"
                print(f"{runs[-1]['seed']} {runs[-1]['kind']} {x}: {words}", file=sys.stderr)
            if options.json:  # what is done is kept
                options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def said(values: list[float], digits: int = 3) -> str:
    """Return the mean of some values and their range."""
    mean = statistics.mean(values)
    return f"{mean:.{digits}g} ({min(values):.{digits}g}–{max(values):.{digits}g})"


def row(result: dict, coupling: float, kind: str) -> str:
    """Return the row of one coupling, sampled by plain runs or by ladders."""
    key = f"{coupling:g}"
    runs = [r for r in result["runs"] if r["kind"] == kind and key in r["by_coupling"]]
    ones = [run["by_coupling"][key] for run in runs]
    rates = [
        1000 * one["independent"] * one["equilibrated"] / run["cpu_s"]
        for one, run in zip(ones, runs, strict=True)
    ]
    means = ", ".join(f"{one['mean']:.2f} ± {one['error']:.2f}" for one in ones)
    settled = f"{sum(one['equilibrated'] for one in ones)} of {len(ones)}"
    start = said([one["equilibration_ns"] for one in ones], 2)
    return f"| {key} | {kind} | {means} | {settled} | {start} | {said(rates)} |"


def table(result: dict) -> str:
    """Return the comparison as Markdown: mean over rounds, and range."""
    lines = [
        "| λ | how | mean chain length, by run | equilibrated | equilibration, ns | "
        "independent samples per 1000 CPU s |",
        "|---" * 6 + "|",
    ]
    lines += [row(result, x, kind) for x in TARGETS for kind in ("plain", "ladder")]
    ladders = [run for run in result["runs"] if run["kind"] == "ladder"]
    totals = [
        1000
        * sum(o["independent"] * o["equilibrated"] for o in run["by_coupling"].values())
        / run["cpu_s"]
        for run in ladders
    ]
    lines.append(f"| all {len(LADDER)} rungs | ladder | | | | {said(totals)} |")
    ratios = [
        statistics.mean(run["acceptance"][k] for run in ladders) for k in range(len(LADDER) - 1)
    ]
    pairs = ", ".join(
        f"{a:g}–{b:g}: {ratio:.0%}" for a, b, ratio in zip(LADDER, LADDER[1:], ratios, strict=False)
    )
    trips = said([run["round_trips"] for run in ladders])
    lines += ["", f"Acceptance: {pairs}. Round trips per ladder: {trips}."]
    return "\n".join(lines)


def main() -> None:
    """Measure, and print the table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clusters", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of alternated runs")
    parser.add_argument("--seconds", type=float, default=200.0, help="CPU time of a ladder")
    parser.add_argument("--processes", type=int, default=1, help="runs at a time")
    parser.add_argument("--json", type=Path, help="file for the JSON, too")
    parser.add_argument("--markdown", type=Path, help="file for the table, too")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(json.loads(options.one))))
        return
    result = compare(options)
    text = table(result)
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
