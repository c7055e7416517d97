"""Where micrographs can be trusted: 200 images of known cores, beside two general detectors.

Images are drawn from a Latin hypercube of dose, grain and its correlation length, contrast, pixel,
defocus and wire length, and 40 more from the part of it where everything should be right: grain up
to 3 % of 0.2-0.4 nm, 10⁵-10⁶ e/nm², contrast of 20 % and more. Even ones have wires of one length
that keep clear of each other, odd ones wires of geometric lengths thrown at random, which cross.
Half of the images go through the lens of `tecnai-f20-bright-field` at 0-150 nm underfocus. Cores
have 0.82-1.17 nm.

Recall and precision count cores farther than 0.6 nm from the edges, recall also from each other
(what lies behind another no detector finds), matched one to one within 0.35 nm. scikit-image's
`blob_log` and trackpy's `locate` see the same images, binned to the same pixels, at several
thresholds; each is given the one that is best for the whole grid in hindsight.

    python benchmarks/micrographs.py [--images 200] [--seed 2026] [--json FILE] [--plot FILE]
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from scipy.spatial import cKDTree

import dipolar_md as dm
from dipolar_md.analysis.cores import binned

SPACING_NM, SPREAD_NM, BEND = 1.85, 0.05, 0.15  # of neighbours; radians a bond
CLEAR_NM, EDGE_NM, MATCH_NM = 2.9, 0.6, 0.35
FEWEST = 10  # cores in an image for a recall that means something
BLOB_THRESHOLDS = (0.15, 0.25, 0.4)
MASS_THRESHOLDS = (0.1, 0.2, 0.3, 0.45)


def conditions(images: int, seed: int, inside: bool = False) -> list[dict[str, float]]:
    """Return what each image is taken at; inside is the part where everything should be right."""
    draws = stats.qmc.LatinHypercube(7, rng=np.random.default_rng(seed + inside)).random(images)
    if inside:
        draws[:, 0] = 0.3434 + 0.6566 * draws[:, 0]  # 10⁵ to 10⁶
        draws[:, 1] *= 0.6
        draws[:, 2] *= 0.4306  # 0.2 to 0.4 nm
        draws[:, 3] = 0.6 + 0.4 * draws[:, 3]
    rows = []
    for k, (dose, grain, grain_nm, contrast, pixel, defocus, length) in enumerate(draws):
        rows.append(
            {
                "dose_per_nm2": float(3e4 * (1e6 / 3e4) ** dose),
                "grain": 0.05 * grain,
                "grain_nm": float(0.2 * 5**grain_nm),
                "contrast": 0.05 + 0.25 * contrast,
                "pixel_nm": float(0.02 * 10**pixel),
                "defocus_nm": 150 * defocus,
                "lens": float(k % 4 > 1),
                "crossing": float(k % 2),
                "length": round(5 * 40**length),
                "seed": seed * 1000 + 500 * inside + k,
                "inside": float(inside),
            }
        )
    return rows


def throw_wires(size: float, mean: int, crossing: bool, rng: np.random.Generator) -> np.ndarray:
    """Return the cores (N, 2) of wires about and in a square of a size, nm."""
    pad = min(mean * SPACING_NM, 150.0)
    area = (size + 2 * pad) ** 2
    wanted = (0.03 if crossing else 0.07) * area / mean
    taken: set[tuple[int, int]] = set()
    wires: list[np.ndarray] = []
    for _ in range(int(60 * wanted)):
        if len(wires) >= wanted:
            break
        count = 1 + int(rng.geometric(1 / (mean - 1))) if crossing else mean
        angles = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, BEND, count - 1))
        steps = rng.normal(SPACING_NM, SPREAD_NM, (count - 1, 1))
        steps = steps * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        wire = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
        wire += rng.uniform(-pad, size + pad, 2) - wire[rng.integers(count)]
        if not crossing:
            cells = np.floor(wire / CLEAR_NM).astype(int)
            around = (cells[:, None] + np.mgrid[-1:2, -1:2].reshape(2, 9).T).reshape(-1, 2)
            if taken & set(map(tuple, around.tolist())):
                continue
            taken |= set(map(tuple, cells.tolist()))
        wires.append(wire)
    return np.concatenate(wires)


def draw(row: dict[str, float]) -> tuple[dm.Micrograph, float]:
    """Return the image of a row and the true mean length of its wires, nm."""
    rng = np.random.default_rng(int(row["seed"]))
    pixels = int(np.clip(50 / row["pixel_nm"], 512, 1024))
    size = pixels * row["pixel_nm"]
    cores = throw_wires(size, int(row["length"]), bool(row["crossing"]), rng)
    cores = cores[((cores > 0) & (cores < size)).all(axis=1)]
    middle = np.concatenate([cores - size / 2, np.zeros((len(cores), 1))], axis=1)
    frame = dm.Frame.from_arrays(
        (size, size, 10.0), middle * [1, -1, 1], np.tile([1.0, 0, 0, 0], (len(cores), 1)), "r-au-cu"
    )
    optics = None
    if row["lens"]:
        optics = dm.load_microscope("tecnai-f20-bright-field")
        lens = optics.lens
        defocus = lens.defocus_nm.model_copy(update={"value": row["defocus_nm"]})
        film = optics.film_thickness_nm.model_copy(update={"value": 0.1})  # the grain is drawn
        lens = lens.model_copy(update={"defocus_nm": defocus})
        optics = optics.model_copy(update={"lens": lens, "film_thickness_nm": film})
    picture = dm.simulate_micrograph(
        frame,
        row["pixel_nm"],
        attenuation_nm=-1 / np.log(1 - row["contrast"]),
        blur_nm=0.1,
        dose_per_nm2=row["dose_per_nm2"],
        grain=row["grain"],
        grain_nm=row["grain_nm"],
        microscope=optics,
        seed=int(row["seed"]),
    )
    return picture, (row["length"] - 1) * SPACING_NM


def score(found: np.ndarray, picture: dm.Micrograph) -> tuple[float, float]:
    """Return recall and precision of cores found in a picture."""
    true, size = picture.centres_nm, np.array(picture.size_nm)
    if not len(found) or not len(true):
        return float(not len(true)), float(not len(found))
    distance, to_found = cKDTree(found).query(true)
    _, to_true = cKDTree(true).query(found)
    matched = (to_true[to_found] == np.arange(len(true))) & (distance < MATCH_NM)
    hit = np.zeros(len(found), dtype=bool)
    hit[to_found[matched]] = True
    inside = ((true > EDGE_NM) & (true < size - EDGE_NM)).all(axis=1)
    inside &= cKDTree(true).query_ball_point(true, EDGE_NM, return_length=True) == 1
    judged = ((found > EDGE_NM) & (found < size - EDGE_NM)).all(axis=1)
    recall = float(matched[inside].mean()) if inside.any() else 1.0
    return recall, float(hit[judged].mean()) if judged.any() else 1.0


def f_score(recall: float, precision: float) -> float:
    """Return the harmonic mean of recall and precision."""
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def others(picture: dm.Micrograph) -> dict[str, list[float]]:
    """Return the F-scores of blob_log and locate at each of their thresholds."""
    import trackpy
    from skimage.feature import blob_log

    trackpy.quiet()
    times = max(int(1 / np.sqrt(8) / picture.pixel_nm / 3), 1)
    pixel = picture.pixel_nm * times
    image = binned(picture.image, times)
    low, high = np.percentile(image, [0.1, 99.9])
    dark = np.clip((high - image) / (high - low), 0, 1)
    widths = np.array([0.82, 1.17]) / np.sqrt(8) / pixel
    scores: dict[str, list[float]] = {"blob_log": [], "locate": []}
    for threshold in BLOB_THRESHOLDS:
        blobs = blob_log(
            dark, widths[0], widths[1], 3, threshold=None, threshold_rel=threshold, overlap=0.4
        )
        scores["blob_log"].append(f_score(*score((blobs[:, 1::-1] + 0.5) * pixel, picture)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        diameter = 2 * int(0.6 / pixel) + 1
        features = trackpy.locate(dark, max(diameter, 3), separation=0.6 / pixel)
    places = (features[["x", "y"]].to_numpy() + 0.5) * pixel
    mass = features["mass"].to_numpy()
    for threshold in MASS_THRESHOLDS:
        kept = places[mass > threshold * mass.max()] if len(mass) else places
        scores["locate"].append(f_score(*score(kept, picture)))
    return scores


def judge(row: dict[str, float], beside: bool) -> dict[str, Any]:
    """Return a row with what was found in its image and how true it is."""
    picture, length = draw(row)
    begin = time.perf_counter()
    found = dm.measure_micrograph(picture)
    seconds = time.perf_counter() - begin
    recall, precision = score(found.centres_nm, picture)
    result: dict[str, Any] = dict(row) | {
        "cores": len(picture.centres_nm),
        "recall": recall,
        "precision": precision,
        "f": f_score(recall, precision),
        "spacing": list(found.spacing),
        "mean_length": list(found.mean_length),
        "true_length": length,
        "spacing_trusted": not found.quality.spacing_faults,
        "length_trusted": not found.quality.length_faults,
        "snr": found.quality.signal_to_noise,
        "faults": found.quality.length_faults,
        "bright": bool(found.bright),
        "seconds": seconds,
    }
    return result | (others(picture) if beside else {})


def covers(estimate: list[float], truth: float) -> bool:
    """Return whether an interval holds the truth."""
    return estimate[1] <= truth <= estimate[2]


def summary(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return what the grid says, as names and values."""
    core = [r for r in rows if _should_be_right(r)]
    grid = [r for r in rows if not r["inside"]]
    empty = [r for r in grid if r["cores"] < FEWEST]
    grid = [r for r in grid if r["cores"] >= FEWEST]
    lines = [("images with ten cores or more", f"{len(grid)}")]
    lines += [
        (
            "with fewer: images, no mean length given",
            f"{len(empty)}, {sum(not r['length_trusted'] for r in empty)}",
        )
    ]
    lines += _of_the_grid(grid)
    lines += _of_the_core(core) if core else []
    lines += [_beside(name, grid, core) for name in ("blob_log", "locate") if name in rows[0]]
    lines.append(("seconds an image, median", f"{np.median([r['seconds'] for r in grid]):.2f}"))
    return lines


def _should_be_right(row: dict[str, Any]) -> bool:
    calm = row["grain"] <= 0.03 and row["grain_nm"] <= 0.4 and row["dose_per_nm2"] >= 1e5
    return calm and row["contrast"] >= 0.2 and row["cores"] >= FEWEST


def _of_the_grid(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    trusted = [r for r in rows if r["spacing_trusted"]]
    long = [r for r in rows if r["length_trusted"]]
    poor = [r for r in rows if min(r["recall"], r["precision"]) < 0.9]
    warned = sum(not r["spacing_trusted"] for r in poor)
    spacings = np.mean([covers(r["spacing"], SPACING_NM) for r in trusted])
    lengths = np.mean([covers(r["mean_length"], r["true_length"]) for r in long])
    return [
        ("recall or precision below 90 %: images, refused", f"{len(poor)}, {warned}"),
        ("neither, and refused all the same", f"{len(rows) - len(trusted) - warned}"),
        (
            "95 % interval of the spacing covers, of those measured",
            f"{spacings:.1%}, {len(trusted)}",
        ),
        ("95 % interval of the mean length covers, of those given", f"{lengths:.1%}, {len(long)}"),
        ("F-score, mean", f"{np.mean([r['f'] for r in rows]):.3f}"),
    ]


def _of_the_core(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    recall, precision = (np.array([r[k] for r in rows]) for k in ("recall", "precision"))
    bias = np.array([r["spacing"][0] / SPACING_NM - 1 for r in rows])
    long = [r for r in rows if r["length_trusted"]]
    covered = sum(covers(r["mean_length"], r["true_length"]) for r in long)
    return [
        ("grain ≤ 3 % of ≤ 0.4 nm, ≥ 10⁵ e/nm², contrast ≥ 20 %: images", f"{len(rows)}"),
        ("  recall, mean and least", f"{recall.mean():.1%}, {recall.min():.1%}"),
        ("  false, mean and most", f"{1 - precision.mean():.1%}, {1 - precision.min():.1%}"),
        ("  bias of the spacing, mean ± standard error", _mean(bias)),
        ("  refused", f"{sum(not r['spacing_trusted'] for r in rows)}"),
        ("  mean length within its interval, of those given", f"{covered}, {len(long)}"),
    ]


def _beside(name: str, rows: list[dict[str, Any]], core: list[dict[str, Any]]) -> tuple[str, str]:
    every = np.mean([r[name] for r in rows], axis=0)
    best = every.argmax()
    ahead = np.mean([r["f"] >= r[name][best] for r in rows])
    inside = np.mean([r[name][best] for r in core]) if core else np.nan
    own = np.mean([r["f"] for r in core]) if core else np.nan
    return (
        f"F-score of {name}, mean; in the part above, beside ours; ours at least as good in",
        f"{every.max():.3f}; {inside:.3f}, {own:.3f}; {ahead:.0%}",
    )


def _mean(values: np.ndarray) -> str:
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{100 * values.mean():+.2f} ± {100 * error:.2f} %"


def draw_map(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw where cores are found and where the image is refused."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(dm.plots.STYLE):
        figure = Figure(figsize=(6.9, 2.9), dpi=150)
        for ax, x, label, scale in zip(
            figure.subplots(1, 2, sharey=True),
            ("grain", "dose_per_nm2"),
            ("grain of the support (%)", "dose (electrons per nm²)"),
            (100, 1),
            strict=True,
        ):
            for trusted, marker, name in ((True, "o", "measured"), (False, "X", "refused")):
                some = [r for r in rows if r["spacing_trusted"] is trusted]
                some = [r for r in some if r["cores"] >= FEWEST]
                dots = ax.scatter(
                    [scale * r[x] for r in some],
                    [100 * r["contrast"] for r in some],
                    c=[r["f"] for r in some],
                    marker=marker,
                    s=22,
                    vmin=0,
                    vmax=1,
                    linewidths=0.3,
                    edgecolors="k",
                    label=name,
                )
            ax.set_xlabel(label)
            if scale == 1:
                ax.set_xscale("log")
            else:
                ax.set_ylabel("contrast of a core of 1 nm (%)")
                ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
        figure.colorbar(dots, label="F-score of cores")
        figure.savefig(path, dpi=150)


def main() -> None:
    """Run the grid, print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--alone", action="store_true", help="without the other detectors")
    options = parser.parse_args()
    rows = []
    grid = conditions(options.images, options.seed)
    extra = conditions(options.images // 5, options.seed, inside=True)
    mixed = [[*grid[5 * k : 5 * k + 5], *extra[k : k + 1]] for k in range(-(-len(grid) // 5))]
    for row in (row for some in mixed for row in some):
        rows.append(judge(row, not options.alone))
        if options.json:  # a row at a time: an hour's work is not lost
            options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    for name, value in summary(rows):
        print(f"| {name} | {value} |")
    if options.plot:
        draw_map(rows, options.plot)


if __name__ == "__main__":
    main()
