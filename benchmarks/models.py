"""What each model costs: shape × dipole × electrostatics × polarisation × engine, steps/s by size.

All start from a gas of R-Au-Cu at 10 mM in vacuum and take Langevin steps of 0.5 ps (0.12 ps with
induced dipoles, whose springs would reach too far), with one
thread on the CPU, for a stated time. Each run is a process of its own; a round runs every model
once, rounds alternate their order, and the median is reported with its range. Start-up, and the
choice of mesh and real-space cutoff of an Ewald sum, are left out of the rate and reported apart.
What induced dipoles cost is the CPU time of a step over that of the same model without them, round
by round. The cost exponent x is the slope of log(time per step) over log N. Nothing is asserted:
times belong to a machine.

    python benchmarks/models.py [--clusters 500 5000 50000] [--seconds 10] [--repeats 3]
        [--limit 600] [--engines lammps hoomd] [--only WORD …] [--json FILE] [--markdown FILE]
"""

import argparse
import itertools
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import dipolar_md as dm
from dipolar_md.engines.capabilities import refusal
from dipolar_md.engines.choice import inspect_engine
from dipolar_md.engines.protocol import Report

KEYS = ("shape", "dipole", "electrostatics", "polarisation")
SPRING_TIME_STEP_PS = 0.12
CONCENTRATION_MM, TIME_STEP_PS, CUTOFF_NM, SKIN_NM = 10.0, 0.5, 10.0, 1.5
ENVIRONMENT = dm.Environment(298.15, 1.0, CONCENTRATION_MM)


def model(shape: str, dipole: str, electrostatics: str, polarisation: str, n: int) -> tuple:
    """Return the gas, the interactions and the stage of one model."""
    body = dm.coarse_grain("r-au-cu", shape, dipole, polarisation=polarisation)
    gas = dm.random_gas({body: n}, CONCENTRATION_MM, seed=1)
    terms = dm.Interactions(298.15, 1.0, electrostatics, cutoff_nm=CUTOFF_NM)
    stage = dm.Stage(
        "dry",
        10**9,
        TIME_STEP_PS if polarisation == "none" else SPRING_TIME_STEP_PS,
        ENVIRONMENT,
        ENVIRONMENT,
        viscosity_mPa_s=0.413,
        friction_scale=0.02,
        chunk_steps=max(10, min(100, 100_000 // n)),
        skin_nm=SKIN_NM,
        seed=1,
    )
    return gas, terms, stage


def measure(case: dict, seconds: float) -> dict:
    """Return steps per second of one model, timed from the first chunk on."""
    gas, terms, stage = model(*(case[key] for key in KEYS), case["clusters"])
    engine, _ = dm.choose_engine(case["engine"], "cpu")
    clock: list[tuple[float, float]] = []

    def observe(report: Report) -> bool:
        clock.append((time.perf_counter(), time.process_time()))
        return len(clock) > 2 and clock[-1][0] - clock[0][0] > seconds

    begin = time.perf_counter()
    engine.run(gas, terms, stage, observe)
    steps = (len(clock) - 1) * stage.chunk_steps
    wall, cpu = (last - first for first, last in zip(clock[0], clock[-1], strict=True))
    return {
        "steps_per_second": steps / wall,
        "cpu_seconds_per_step": cpu / steps,
        "seconds_before_the_first_chunk_ended": clock[0][0] - begin,
        "memory_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "ewald": engine.settings.ewald.get("dry"),
        "version": engine.version,
    }


def in_a_process(case: dict, seconds: float, limit: float) -> dict:
    """Return `measure` from a process of its own, or why there is no result."""
    command = [sys.executable, __file__, "--one", json.dumps(case), "--seconds", str(seconds)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=limit, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return {"trouble": f"no result within {limit:g} s"}
    if done.returncode:
        return {"trouble": (done.stderr.strip().splitlines() or ["no message"])[-1][:200]}
    return json.loads(done.stdout.splitlines()[-1])


def exponent(rates: dict[int, float]) -> float | None:
    """Return x of time per step ∝ N^x, by least squares; None for fewer than two sizes."""
    if len(rates) < 2:
        return None
    logs = [(math.log(n), -math.log(rate)) for n, rate in rates.items()]
    slope, _ = statistics.linear_regression(*zip(*logs, strict=True))
    return slope


def cost_of_induction(row: dict, others: list[dict], n: int) -> str:
    """Return CPU time per step over that of the model without induced dipoles, by rounds."""
    if row["polarisation"] == "none":
        return "–"
    plain = {key: row[key] for key in (*KEYS, "engine")} | {"polarisation": "none"}
    twins = [other for other in others if plain.items() <= other.items()]
    pairs = zip(row["sizes"][str(n)]["runs"], twins[0]["sizes"][str(n)]["runs"], strict=False)
    ratios = [soft["cpu_seconds_per_step"] / hard["cpu_seconds_per_step"] for soft, hard in pairs]
    if not ratios:
        return "–"
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def table(results: list[dict], sizes: list[int]) -> str:
    """Return the results as a Markdown table."""
    heads = [f"steps/s, N = {n:,}" for n in sizes]
    lines = [
        "| shape | dipole | electrostatics | polarisation | engine | "
        + " | ".join(heads)
        + f" | cost ∝ N^x | CPU of induced dipoles, N = {sizes[0]:,} |",
        "|---" * (7 + len(sizes)) + "|",
    ]
    for row in results:
        cells = [row[key] for key in (*KEYS, "engine")]
        for n in sizes:
            size = row["sizes"][str(n)]
            rates = size["steps_per_second"]
            if rates:
                cells.append(f"{statistics.median(rates):.4g} ({min(rates):.4g}–{max(rates):.4g})")
            else:
                cells.append(size["trouble"])
        cells.append("–" if row["exponent"] is None else f"{row['exponent']:.2f}")
        cells.append(cost_of_induction(row, results, sizes[0]))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def run_case(case: dict, n: int, options: argparse.Namespace) -> None:
    """Run a model once with `n` clusters and keep what it tells; not again after trouble."""
    size = case["sizes"][str(n)]
    if size["trouble"]:
        return
    model = {key: case[key] for key in (*KEYS, "engine")}
    result = in_a_process(model | {"clusters": n}, options.seconds, options.limit)
    if "trouble" in result:
        size["trouble"] = result["trouble"]
    else:
        size["steps_per_second"].append(result.pop("steps_per_second"))
        size["runs"].append(result)
    print(f"{n} {model}: {size['steps_per_second'] or size['trouble']}", file=sys.stderr)


def compare(options: argparse.Namespace) -> dict:
    """Run every model in turn and return what was measured."""
    usable = [name for name in options.engines if inspect_engine(name, "cpu").usable]
    kinds = itertools.product(
        *(("sphere", "janus"), ("point", "charges"), ("cutoff", "ewald"), ("none", "centre")),
        usable,
    )
    cases = [
        dict(zip((*KEYS, "engine"), kind, strict=True))
        for kind in kinds
        if set(options.only) <= set(kind)
        and refusal(kind[4], *model(*kind[:4], min(options.clusters))) is None
    ]
    for case in cases:
        case["sizes"] = {
            str(n): {"steps_per_second": [], "runs": [], "trouble": ""} for n in options.clusters
        }
    for repeat, n in itertools.product(range(options.repeats), options.clusters):
        for case in cases[:: -1 if repeat % 2 else 1]:
            run_case(case, n, options)
    for case in cases:
        rates = {
            n: statistics.median(case["sizes"][str(n)]["steps_per_second"])
            for n in options.clusters
            if case["sizes"][str(n)]["steps_per_second"]
        }
        case["exponent"] = exponent(rates)
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "concentration_mM": CONCENTRATION_MM,
        "cutoff_nm": CUTOFF_NM,
        "ewald_accuracy": 1e-3,
        "models": cases,
    }


def main() -> None:
    """Measure, and print the table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clusters", type=int, nargs="+", default=[500, 5000, 50_000])
    parser.add_argument("--seconds", type=float, default=10.0, help="to time each run for")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of alternated runs")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds a run may take in all")
    parser.add_argument("--engines", nargs="+", default=["lammps", "hoomd"])
    parser.add_argument("--only", nargs="+", default=[], help="words that a model must have")
    parser.add_argument("--json", type=Path, help="file for the JSON, too")
    parser.add_argument("--markdown", type=Path, help="file for the table, too")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(json.loads(options.one), options.seconds)))
        return
    result = compare(options)
    text = table(result["models"], options.clusters)
    print(text)
    print(json.dumps(result))
    if options.markdown:
        options.markdown.write_text(text + "\n", encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
