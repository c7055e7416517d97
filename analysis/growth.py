"""Growth of the chains of one or more runs after the last change of their environment.

Prints the power law and, from it, when the mean length would reach a micrometre, if the law held so
far; theory's mean length at equilibrium beside it says whether it can.

python analysis/growth.py runs/r-au-cu --out growth.png
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

import dipolar_md as dm


def time_to(length: float, law: dm.GrowthLaw, errors: float = 0.0) -> float:
    """Return the time (ns) since the quench at which the mean length is reached, by the law.

    `errors` standard errors steeper or flatter, about the mean length 1 ns after the quench.
    """
    exponent = law.exponent.value + errors * (law.exponent.error or 0.0)
    return (length / law.prefactor) ** (1 / exponent)


def extrapolation(run: dm.Run, law: dm.GrowthLaw, spanned: float) -> str:
    """Return when a micrometre is reached by the law, and what speaks against it."""
    spacings = dm.find_chains(run.trajectory[-1]).spacings_nm
    clusters = 1000.0 / float(np.median(spacings))
    low, middle, high = (time_to(clusters, law, errors) for errors in (2, 0, -2))
    expected = dm.preflight(run.recipe)[-1].expected_mean_length
    return (
        f"a mean of 1 µm ({clusters:.0f} clusters) after {middle:.3g} ns ({low:.3g}–{high:.3g}) if "
        f"the law holds; it was seen over a factor of {spanned:.3g} in time, and ideal association "
        f"ends at {expected:.3g} clusters"
    )


def main() -> None:
    """Draw the mean chain length against the time in the last stage, with its power law."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="run directories")
    parser.add_argument("--out", type=Path, default=Path("growth.png"))
    options = parser.parse_args()
    with rc_context(dm.plots.STYLE):
        figure = Figure(figsize=(3.35, 2.5 * len(options.runs)))
        axes = figure.subplots(len(options.runs), squeeze=False)[:, 0]
        for ax, path in zip(axes, options.runs, strict=True):
            run = dm.Run(path)
            course = dm.growth(run)
            last = [stage == course.stage[-1] for stage in course.stage]
            first = last.index(True)
            origin = float(course.time_ns[max(first - 1, 0)])
            settled = dm.equilibration(course.mean_length[first:])
            end = float(course.time_ns[first + max(settled.start, 3)])
            law = dm.growth_law(course.time_ns, course.mean_length, origin, end)
            physical = run.manifest["times"] == "physical friction"
            clock = "ns" if physical else "ns, accelerated"
            dm.plots.draw_growth_law(
                ax,
                course.time_ns[first:] - origin,
                course.mean_length[first:],
                law and (law.exponent.value, law.prefactor),
                str(path),
                f"time in stage '{course.stage[-1]}' ({clock})",
            )
            print(
                f"{path}: stationary from {course.time_ns[first + settled.start]:g} ns"
                + (f" ({settled.reason})" if settled.reason else "")
                + f"; times: {run.manifest['times']}"
            )
            if law:
                print(
                    f"  exponent {law.exponent.value:.3f} ± {law.exponent.error:.3f} up to then, "
                    f"{law.frames} frames"
                )
                fitted = course.time_ns[(course.time_ns > origin) & (course.time_ns <= end)]
                spanned = float((fitted[-1] - origin) / (fitted[0] - origin))
                print(f"  {extrapolation(run, law, spanned)}")
        figure.savefig(options.out)
    print(options.out)


if __name__ == "__main__":
    main()
