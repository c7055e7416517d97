"""Drop-cast a cluster to several end concentrations and contacts; print one table with errors.

How much a drop leaves behind is not known, so its influence is always to be shown:

python scripts/dry_concentrations.py --concentrations 3 10 30 100 --contacts 1.822 1.61
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import dipolar_md as dm


def main() -> int:
    """Run every state, or take it where it is finished, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="r-au-cu", help="a recipe with stage 'evaporation'")
    parser.add_argument("--concentrations", type=float, nargs="+", default=[3, 10, 30, 100])
    parser.add_argument("--contacts", type=float, nargs="+", default=[1.822], help="nm")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="other settings"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/dry-concentrations"))
    options = parser.parse_args()
    settings = dict(text.split("=", 1) for text in options.set)
    print("| contact / nm | end / mM | mean length | the same, 70 % | chained / % | spacing / nm |")
    print("|---|---|---|---|---|---|")
    for contact in options.contacts:
        for concentration in options.concentrations:
            rows = []
            for seed in options.seeds:
                run = dm.assemble(
                    options.recipe,
                    options.out / f"{contact:g}nm-{concentration:g}mM-{seed}",
                    seed=seed,
                    overrides={
                        **settings,
                        "n_clusters": options.clusters,
                        "axial_contact_nm": contact,
                        "stages.evaporation.concentration_mM": concentration,
                    },
                )
                if not run.finished:
                    return 130
                s = dm.nanowire_statistics(run, discard=0.5)
                rows.append(
                    (
                        s.mean_chain_length.value,
                        s.mean_chain_length_by_criterion["energy_0.7"].value,
                        100 * s.chained_fraction.value,
                        s.spacing_median_nm.value if s.spacing_median_nm else np.nan,
                    )
                )
            cells = [_over_seeds(column) for column in np.array(rows).T]
            print(f"| {contact:g} | {concentration:g} | " + " | ".join(cells) + " |", flush=True)
    return 0


def _over_seeds(values: np.ndarray) -> str:
    """Return the mean over seeds and its standard error."""
    if len(values) < 2:
        return f"{values.mean():.3f}"
    return f"{values.mean():.3f} ± {values.std(ddof=1) / len(values) ** 0.5:.3f}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except dm.DipolarMDError as error:
        sys.exit(f"error: {error}")
