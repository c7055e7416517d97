"""How time per step grows with the number of clusters and shrinks with the number of MPI ranks.

The cost exponent x is the slope of log(time per step of one core) over log N; a speed-up is the
ratio of the rates of the same round. LAMMPS, truncated point dipoles.

    python benchmarks/scaling.py [--clusters 4000 40000 400000] [--ranks 1 2] [--seconds 5]
"""

import math
import statistics

from timing import arguments, finish, in_a_process, rounds, spread


def exponent(costs: dict[int, float]) -> float | None:
    """Return x of cost ∝ N^x by least squares, None for fewer than two sizes."""
    if len(costs) < 2:
        return None
    logs = [(math.log(n), math.log(cost)) for n, cost in costs.items()]
    return statistics.linear_regression(*zip(*logs, strict=True))[0]


def succeeded(results: list[dict]) -> list[dict]:
    """Return the runs that came to their end."""
    return [result for result in results if "trouble" not in result]


def row(n: int, ranks: int, good: list[dict], cpu_s: float | None, gain: str) -> str:
    """Return a row of the table; CPU seconds of a step where they are known."""
    rates = [result["steps_per_second"] for result in good]
    start = statistics.median(result["start_s"] for result in good)
    own, rank = (max(result["memory_MB"][i] for result in good) for i in (0, 1))
    memory = f"{own:.0f} MB" if ranks == 1 else f"{own:.0f} + {ranks} × {rank:.0f} MB"
    cost = 1e6 / statistics.median(rates) / n
    of_cpu = "–" if cpu_s is None else f"{1e6 * cpu_s / n:.2f}"
    return (
        f"| {n:,} | {ranks} | {spread(rates)} | {cost:.2f} | {of_cpu} | {gain} | {start:.1f} s "
        f"| {memory} |"
    )


def exponents(base: int, walls: float | None, cpus: float | None) -> list[str]:
    """Return the sentence below the table; nothing where one size was run."""
    if walls is None:
        return []
    of_cpu = "" if cpus is None else f", its CPU time ∝ N^{cpus:.3f}"
    return ["", f"time of {base} rank(s) per step ∝ N^{walls:.3f}{of_cpu}"]


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__.splitlines()[0], limit=480)
    parser.add_argument("--clusters", type=int, nargs="+", default=[4000, 40_000, 400_000])
    parser.add_argument(
        "--ranks", type=int, nargs="+", default=[1, 2], help="the first is the base"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="to time each run for")
    options = parser.parse_args()
    cases = [(n, ranks) for n in options.clusters for ranks in options.ranks]
    found = rounds(
        cases,
        lambda case: in_a_process(
            600,
            clusters=case[0],
            ranks=case[1],
            threads=1,
            engine="lammps",
            seconds=options.seconds,
        ),
        options.repeats,
        options.limit,
    )
    base = options.ranks[0]
    lines = [
        "| N | ranks | steps/s | µs per cluster and step | the same of CPU | speed-up | start-up "
        "| memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    medians, work, sizes = {}, {}, {}
    for n, ranks in cases:
        good = succeeded(found[n, ranks])
        if not good:
            lines.append(f"| {n:,} | {ranks} | {found[n, ranks][0]['trouble']} | | | | | |")
            continue
        rates = [result["steps_per_second"] for result in good]
        alone = [result["steps_per_second"] for result in succeeded(found[n, base])]
        gains = [rate / single for rate, single in zip(rates, alone, strict=False)]
        medians[n, ranks] = statistics.median(rates)
        if ranks == 1:  # of a rank elsewhere, this process knows nothing
            work[n] = statistics.median(result["cpu_s_per_step"] for result in good)
        gain = "–" if ranks == base else spread(gains)
        lines.append(row(n, ranks, good, work.get(n) if ranks == 1 else None, gain))
        sizes[f"{n}, {ranks} ranks"] = {"runs": good, "speed_up": gains}
    walls = exponent({n: 1 / rate for (n, ranks), rate in medians.items() if ranks == base})
    cpus = exponent(work)
    lines += exponents(base, walls, cpus)
    finish(options, lines, {"sizes": sizes, "exponent": walls, "cpu_exponent": cpus})


if __name__ == "__main__":
    main()
