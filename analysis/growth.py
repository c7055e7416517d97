"""Growth of the chains of one or more runs after the last change of their environment.

python analysis/growth.py runs/r-au-cu --out growth.png
"""

import argparse
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

import dipolar_md as dm
from dipolar_md import plots


def main() -> None:
    """Draw the mean chain length against the time in the last stage, with its power law."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="run directories")
    parser.add_argument("--out", type=Path, default=Path("growth.png"))
    options = parser.parse_args()
    with rc_context(plots.STYLE):
        figure = Figure(figsize=(3.35, 2.5 * len(options.runs)))
        axes = figure.subplots(len(options.runs), squeeze=False)[:, 0]
        for ax, path in zip(axes, options.runs, strict=True):
            run = dm.Run(path)
            course = dm.growth(run.trajectory)
            last = [stage == course.stage[-1] for stage in course.stage]
            first = last.index(True)
            origin = float(course.time_ns[max(first - 1, 0)])
            settled = dm.equilibration(course.mean_length[first:])
            end = float(course.time_ns[first + max(settled.start, 3)])
            law = dm.growth_law(course.time_ns, course.mean_length, origin, end)
            physical = run.manifest["times"] == "physical friction"
            clock = "ns" if physical else "ns, accelerated"
            plots.draw_growth_law(
                ax,
                course.time_ns[first:] - origin,
                course.mean_length[first:],
                law and (law.exponent.value, law.prefactor),
                path.name,
                f"time in stage '{course.stage[-1]}' ({clock})",
            )
            print(
                f"{path.name}: stationary from {course.time_ns[first + settled.start]:g} ns"
                + (f" ({settled.reason})" if settled.reason else "")
                + f"; times: {run.manifest['times']}"
            )
            if law:
                print(
                    f"  exponent {law.exponent.value:.3f} ± {law.exponent.error:.3f} up to then, "
                    f"{law.frames} frames"
                )
        figure.savefig(options.out)
    print(options.out)


if __name__ == "__main__":
    main()
