"""Small-angle scattering of the cores of one or more runs.

python analysis/scattering.py runs/r-au-cu --frames 5 --out scattering.png
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

import dipolar_md as dm


def main() -> None:
    """Draw intensity and form factor; print where neighbours along chains show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="run directories")
    parser.add_argument("--frames", type=int, default=5, help="last frames to average, 2 or more")
    parser.add_argument("--core-nm", type=float, default=1.0, help="diameter of the core")
    parser.add_argument("--q-max", type=float, default=8.0, help="largest wave number, 1/nm")
    parser.add_argument("--out", type=Path, default=Path("scattering.png"))
    options = parser.parse_args()
    curves = {}
    for path in options.runs:
        frames = list(dm.Run(path).trajectory[-options.frames :])
        parts = [dm.scattering(frame, options.q_max, 80, options.core_nm) for frame in frames]
        shared = sorted(set.intersection(*[set(part.q_per_nm.tolist()) for part in parts]))
        rows = np.array([p.intensity[np.isin(p.q_per_nm, shared)] for p in parts])
        error = rows.std(axis=0, ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else None
        q = np.array(shared)
        curves[str(path)] = (q, rows.mean(axis=0), error)
        form = parts[0].form_factor[np.isin(parts[0].q_per_nm, shared)]
        high = q > 2
        peak = q[high][np.argmax((rows.mean(axis=0) / form)[high])]
        print(
            f"{path}: S(q) is largest above 2 nm⁻¹ at {peak:.2f} nm⁻¹, "
            f"2π/q = {2 * np.pi / peak:.2f} nm; {len(rows)} frames"
        )
    curves["core alone"] = (q, form, None)
    with rc_context(dm.plots.STYLE):
        figure = Figure(figsize=(3.35, 2.9))
        dm.plots.draw_scattering(figure.add_subplot(), curves)
        figure.savefig(options.out)
    print(options.out)


if __name__ == "__main__":
    main()
