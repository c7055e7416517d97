"""At which dipole do clusters form chains? Run a study, or what is left of it, and print the table.

python scripts/dipole_strength_study.py --study dipole-strength --workers 16 --out studies/dipoles
"""

import argparse
import sys
from pathlib import Path

import dipolar_md as dm


def main() -> int:
    """Run and report; 130 when jobs are left, 1 where one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", default="dipole-strength", help="study name or TOML file")
    parser.add_argument("--workers", type=int, help="jobs at a time [default: all cores]")
    parser.add_argument("--out", type=Path, help="directory [default: studies/NAME]")
    options = parser.parse_args()
    status = dm.run_study(options.study, options.out, options.workers)
    if not status.counts["done"]:
        print(f"{dict(status.counts)}: nothing to report yet")
        return 130
    report = dm.report_study(options.study, options.out)
    axes = report.axes
    print("| " + " | ".join([*axes, "λ at contact", "mean length", "±", "theory"]) + " |")
    print("|" + "---|" * (len(axes) + 4))
    for mean in report.means:
        cells = [f"{mean.row[axis]}" for axis in axes] + [f"{mean.row['lambda_contact']:.2f}"]
        cells += [f"{mean.length.value:.2f}", f"{mean.length.error or 0:.2f}"]
        expected = mean.row["expected_mean_chain_length"]
        print("| " + " | ".join([*cells, "–" if expected is None else f"{expected:.3g}"]) + " |")
    for one in report.thresholds:
        where = "not reached" if one.dipole_D is None else f"{one.dipole_D.value:.1f} D"
        print(f"threshold by {one.criterion} {one.series or ''}: {where}")
    return 1 if status.counts["failed"] else 130 if status.to_run else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except dm.DipolarMDError as error:
        sys.exit(f"error: {error}")
