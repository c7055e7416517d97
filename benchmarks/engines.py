"""Every engine, number of threads and of ranks that fits the cores, and what `assemble` chooses.

At each size all combinations run in alternated rounds; then the choice that `assemble` makes by
itself is made several times. Its loss is how much slower the chosen combination is than the best
of the scan, by the scan's own medians.

    python benchmarks/engines.py [--clusters 400 4000 40000] [--seconds 3] [--choices 3]
"""

import os
import statistics
import time

from timing import arguments, finish, in_a_process, rounds, spread

import dipolar_md as dm
from dipolar_md.engines.choice import inspect_engine
from dipolar_md.simulation.placement import candidates, fastest, ranks_can_start, trial_of


def main() -> None:
    """Scan, choose, print."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--clusters", type=int, nargs="+", default=[400, 4000, 40_000])
    parser.add_argument("--seconds", type=float, default=3.0, help="to time each run for")
    parser.add_argument("--choices", type=int, default=3, help="automatic choices at each size")
    options = parser.parse_args()
    engines = [name for name in ("lammps", "hoomd") if inspect_engine(name, "cpu").usable]
    cores = len(os.sched_getaffinity(0))
    lines = [
        "| N | engine | threads | ranks | steps/s | of the best | times chosen |",
        "|---|---|---|---|---|---|---|",
    ]
    sizes = {}
    for n in options.clusters:
        choices = candidates(engines, cores, n, ranks_can_start())
        found = rounds(
            choices,
            lambda choice, n=n: in_a_process(
                300, clusters=n, seconds=options.seconds, **choice._asdict()
            ),
            options.repeats,
            options.limit / len(options.clusters),
        )
        rates = {c: [r["steps_per_second"] for r in results] for c, results in found.items()}
        medians = {choice: statistics.median(values) for choice, values in rates.items()}
        best = max(medians.values())
        plan = dm.make_plan("r-au-cu", {"n_clusters": n})
        begin = time.perf_counter()
        chosen = [next(iter(fastest(choices, trial_of(plan)))) for _ in range(options.choices)]
        took = (time.perf_counter() - begin) / options.choices
        losses = [1 - medians[choice] / best for choice in chosen]
        for choice, values in rates.items():
            cells = [f"{n:,}", *map(str, choice), spread(values), f"{medians[choice] / best:.2f}"]
            lines.append("| " + " | ".join([*cells, str(chosen.count(choice))]) + " |")
        sizes[n] = {
            "rates": {str(choice): values for choice, values in rates.items()},
            "chosen": [str(choice) for choice in chosen],
            "losses": losses,
            "seconds_per_choice": took,
        }
    lines.append("")
    for n, size in sizes.items():
        worst = max(size["losses"])
        lines.append(
            f"N = {n:,}: the automatic choice loses {100 * worst:.0f} % at most and takes "
            f"{size['seconds_per_choice']:.0f} s; `assemble` times runs of more than 2·10⁸ "
            "clusters × steps."
        )
    finish(options, lines, {"sizes": sizes})


if __name__ == "__main__":
    main()
