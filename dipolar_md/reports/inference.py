"""What a study says of a measurement: sentences, `inference.json`, a figure of the posterior."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dipolar_md.analysis.reference import (
    FEWEST_MEASURED,
    Reference,
    load_reference,
    read_measured,
)
from dipolar_md.errors import InputError, RunDirectoryError
from dipolar_md.simulation.assembly import write_file
from dipolar_md.study.inference import (
    FEWEST_CHAINS,
    LENGTH_FACTOR,
    LOGARITHMIC,
    NAMES,
    SPACING_ERROR,
    UNLIKELY,
    AxisPosterior,
    Datum,
    Misfit,
    Posterior,
    infer,
)
from dipolar_md.study.project import directory
from dipolar_md.study.study_file import Study, load_study, said
from dipolar_md.study.table import Row, study_rows

RESOLUTION_NM = 0.01
"""Error of a single published value: they are given to that."""
SAMPLES: dict[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    "contour_length_nm": (("contour_length_nm", "projected_length_nm"), np.mean),
    "spacing_nm": (("spacing_nm", "projected_spacing_nm"), np.median),
}
"""Columns of a CSV by the quantity they measure, and what is taken of them."""


class StudyInference(NamedTuple):
    """What `infer_study` found and where it was written.

    Attributes:
        path: of the study.
        posterior: see `Posterior`.
        sentences: the answer.
        notes: what it rests on.
        files: `inference.json` and the figure.
    """

    path: Path
    posterior: Posterior
    sentences: tuple[str, ...]
    notes: tuple[str, ...]
    files: tuple[Path, ...]


def infer_study(
    study: Study | str | Path,
    reference: Reference | str | Path | None = None,
    lengths: str | Path | None = None,
    spacings: str | Path | None = None,
    out: str | Path | None = None,
    length_factor: float = LENGTH_FACTOR,
    spacing_error: float = SPACING_ERROR,
) -> StudyInference:
    """Return which states of a study explain a measured wire length and spacing.

    Writes `inference.json` and `figures/inference.png` into the study. The method and what it
    assumes is in `dipolar_md.study.inference`. What was measured in projection is taken for the
    wires' own: wires on a grid lie flat.

    Args:
        study: shipped name, file, or `Study`; its finished jobs count.
        reference: published values, by name or file; own measurements of a quantity replace them.
        lengths: CSV with a column `contour_length_nm` or `projected_length_nm`, of wires of two
            clusters or more.
        spacings: CSV with a column `spacing_nm` or `projected_spacing_nm`; may be the same file.
        out: directory of the study, default `studies/NAME`.
        length_factor: the model's own error of a mean wire length, a factor of 1 or more.
        spacing_error: the model's own error of a spacing, relative.

    Raises:
        InputError: unknown study or reference, a wrong CSV (file and line are named), nothing
            measured, or too few finished state points.
        RunDirectoryError: the directory holds something else, or can't be written.
    """
    study = study if isinstance(study, Study) else load_study(study)
    if isinstance(reference, str | Path):
        reference = load_reference(reference)
    data = measured_data(reference, lengths, spacings)
    path = directory(study, out)
    rows = study_rows(study, path)
    axes = {
        name: any(key.rpartition(".")[2] in LOGARITHMIC for key in (name, *axis.keys))
        for name, axis in study.axes.items()
    }
    posterior = infer(rows, axes, data, length_factor, spacing_error)
    sentences = conclusions(posterior)
    notes = _notes(posterior, rows, reference, length_factor, spacing_error)
    record = {
        "study": study.name,
        "reference": reference.name if reference else None,
        "sentences": sentences,
        "notes": notes,
        **summary(posterior),
    }
    picture = path / "figures" / "inference.png"
    try:
        picture.parent.mkdir(exist_ok=True)
        text = json.dumps(record, indent=2, allow_nan=False) + "\n"
        write_file(path / "inference.json", text.encode())
        write_file(picture, _figure(posterior, rows))
    except OSError as error:
        raise RunDirectoryError(f"{path}: can't be written: {error}") from error
    return StudyInference(path, posterior, sentences, notes, (path / "inference.json", picture))


def measured_data(
    reference: Reference | None,
    lengths: str | Path | None = None,
    spacings: str | Path | None = None,
) -> tuple[Datum, ...]:
    """Return the wire length and spacing of CSVs and, where these have none, of a reference.

    Raises:
        InputError: neither states any, or a wrong CSV: its file and line are named.
    """
    found: dict[str, Datum] = {}
    for one in reference.quantities if reference else ():
        if reference and one.quantity in NAMES:
            found[one.quantity] = Datum(
                one.quantity,
                reference.title,
                one.value,
                RESOLUTION_NM,
                one.low,
                one.high,
                one.projected,
            )
    for name, path in (("contour_length_nm", lengths), ("spacing_nm", spacings)):
        if path is not None:
            found[name] = _sample(name, Path(path))
    if not found:
        raise InputError(
            "nothing was measured: give a reference that states a wire length or a spacing, "
            "or your own with --lengths or --spacings"
        )
    return tuple(found.values())


def _sample(quantity: str, path: Path) -> Datum:
    """Return the mean or median of a CSV's column and its bootstrap error."""
    columns, statistic = SAMPLES[quantity]
    table = read_measured(path)
    column = next((name for name in columns if name in table), None)
    if column is None:
        raise InputError(f"{path}: no column {' or '.join(columns)} (found {', '.join(table)})")
    values = table[column]
    if len(values) < FEWEST_MEASURED:
        raise InputError(
            f"{path}: {len(values)} values of {column} are too few for an error; "
            f"{FEWEST_MEASURED} or more are needed"
        )
    again = np.random.default_rng(1).choice(values, (1000, len(values)))
    error = float(np.std(statistic(again, axis=1)))
    source = f"{len(values)} values of {column} in {path.name}"
    projected = column.startswith("projected")
    return Datum(quantity, source, float(statistic(values)), error, projected=projected)


def conclusions(posterior: Posterior) -> tuple[str, ...]:
    """Return the answer in plain sentences."""
    told = []
    for misfit in posterior.misfits:
        if misfit.tag == "calibrated":
            told.append(
                f"The {NAMES[misfit.datum.quantity]} informs nothing here (calibrated): it follows "
                "from the contact, an input of the cluster file that this study doesn't vary. An "
                "axis axial_contact_nm would let it."
            )
    if not posterior.informed:
        return (*told, "So nothing was measured that could decide any axis of this study.")
    if posterior.verdict == "explained":
        return (*told, *_explained(posterior))
    for misfit in posterior.misfits:
        if misfit.tag == "predicted" and misfit.shown < UNLIKELY:
            told.append(_missed(misfit, posterior))
    if posterior.censored:
        word = "It isn't excluded either" if posterior.verdict == "open" else "Mind"
        told.append(
            f"{word}: the lengths of {posterior.censored} of its {posterior.states} states are "
            f"lower bounds, with fewer than {FEWEST_CHAINS} chains in a box or still growing. More "
            "clusters (n_clusters) or longer runs would tell."
        )
    return tuple(told)


def _missed(misfit: Misfit, posterior: Posterior) -> str:
    datum, value = misfit.datum, misfit.value or 0.0
    wanted = datum.value or (datum.low if value < (datum.low or 0.0) else datum.high) or value
    if datum.quantity == "spacing_nm":
        miss = f"by {abs(value - wanted):.2g} nm"
    else:
        factor = max(value / wanted, wanted / value)
        miss = f"by a factor of {factor:.{0 if factor >= 10 else 1}f}"
    ends = [
        axis.name
        for axis in posterior.axes
        if not axis.edges[1] < float(posterior.best[axis.name]) < axis.edges[-2]
    ]
    beyond = f" That is the end of what was simulated of {' and '.join(ends)}." if ends else ""
    return (
        f"No state of this study explains a {NAMES[datum.quantity]} of {datum}. The best, "
        f"{_best(posterior)}, gives {_given(misfit)}: too {'short' if value < wanted else 'long'} "
        f"{miss}.{beyond}"
    )


def _explained(posterior: Posterior) -> list[str]:
    told = []
    for misfit in posterior.misfits:
        if misfit.tag == "predicted":
            told.append(
                f"A {NAMES[misfit.datum.quantity]} of {misfit.datum} is explained, best at "
                f"{_best(posterior)}, which gives {_given(misfit)}."
            )
    for axis in posterior.axes:
        low, high = axis.interval_95
        unit = f" {axis.unit}" if axis.unit else ""
        if posterior.decided(axis.name):
            told.append(
                f"{axis.name} is decided: {low:.3g} to {high:.3g}{unit} with 95 % probability."
            )
        else:
            told.append(
                f"The data can't decide {axis.name}: the 95 % interval, {low:.3g} to {high:.3g}"
                f"{unit}, is {100 * axis.width_ratio:.0f} % of the prior's."
            )
    for name, shares in posterior.words.items():
        best = max(shares, key=lambda word: shares[word])
        word = "is decided" if posterior.decided(name) else "can't be decided"
        told.append(f"{name} {word}: {best} has {100 * shares[best]:.0f} % probability.")
    alone = sum(axis.bits for axis in posterior.axes) + sum(posterior.word_bits.values())
    if posterior.bits - alone > 0.5:
        told.append(
            f"The axes trade against each other: together {posterior.bits:.1f} bits are gained, "
            f"alone {alone:.1f}. The figure shows which combinations remain."
        )
    return told


def _best(posterior: Posterior) -> str:
    return said(
        {k: v if isinstance(v, str) else float(f"{v:.3g}") for k, v in posterior.best.items()}
    )


def _given(misfit: Misfit) -> str:
    value, low, high = (v or 0.0 for v in (misfit.value, misfit.low, misfit.high))
    value, low, high = (float(f"{v:.3g}") for v in (value, low, high))  # no powers of ten
    if misfit.bound:
        return f"at least {value:g} nm, a lower bound"
    return f"{value:g} nm ({low:g}–{high:g} nm, 68 %)"


def _notes(
    posterior: Posterior,
    rows: list[Row],
    reference: Reference | None,
    length_factor: float,
    spacing_error: float,
) -> tuple[str, ...]:
    """Return what the answer rests on."""
    ranges = [
        f"{axis.name} {axis.edges[0]:.4g} to {axis.edges[-1]:.4g} {axis.unit}".rstrip()
        + ", in the logarithm" * axis.logarithmic
        for axis in posterior.axes
    ]
    ranges += [f"every {name} alike" for name in posterior.words]
    told = [
        f"Prior: flat over what was simulated ({'; '.join(ranges)}).",
        f"The model's own error: a factor of {length_factor:g} in a mean wire length, "
        f"{100 * spacing_error:g} % in a spacing.",
    ]
    for misfit in posterior.misfits:
        if misfit.tag == "predicted" and np.isfinite(misfit.left_out):
            if misfit.datum.quantity == "spacing_nm":
                size = f"{misfit.left_out:.2g} nm"
            else:
                size = f"a factor of {np.exp(misfit.left_out):.3g}"
            told.append(
                f"The emulator misses the {NAMES[misfit.datum.quantity]} of a state that is left "
                f"out by {size} (root mean square of {posterior.states} states)."
            )
    if posterior.censored:
        told.append(
            f"{posterior.censored} of {posterior.states} states have fewer than {FEWEST_CHAINS} "
            "chains in a box or still grow: their lengths count as lower bounds."
        )
    unsettled = sum(not row["equilibrated"] for row in rows)
    if unsettled:
        told.append(
            f"{unsettled} of {len(rows)} jobs are not equilibrated: their wires may still grow."
        )
    if any(one.datum.projected and one.tag == "predicted" for one in posterior.misfits):
        told.append("What was seen in projection is taken for the wires' own: lying flat.")
    clusters = {name for row in rows for name in row["cluster"].split(" + ")}
    if reference and not clusters <= set(reference.clusters):
        told.append(
            f"The reference is of {', '.join(reference.clusters)}, this study of "
            f"{', '.join(sorted(clusters))}."
        )
    return tuple(told)


def summary(posterior: Posterior) -> dict[str, Any]:
    """Return a posterior as the plain values of `inference.json`."""
    axes = {
        axis.name: {
            "unit": axis.unit,
            "prior": [float(axis.edges[0]), float(axis.edges[-1])],
            "prior_flat_in": "logarithm" if axis.logarithmic else "value",
            "median": axis.median,
            "interval_68": axis.interval_68,
            "interval_95": axis.interval_95,
            "bits": axis.bits,
            "width_ratio": axis.width_ratio,
            "decided": posterior.decided(axis.name),
        }
        for axis in posterior.axes
    }
    words = {
        name: {
            "probability": shares,
            "bits": posterior.word_bits[name],
            "decided": posterior.decided(name),
        }
        for name, shares in posterior.words.items()
    }
    measured = [
        misfit.datum._asdict()
        | {
            "tag": misfit.tag,
            "best_nm": misfit.value,
            "best_68_nm": None if misfit.value is None else [misfit.low, misfit.high],
            "best_is_lower_bound": misfit.bound,
            "predictive_probability": misfit.probability,
            "predictive_probability_as_shown": misfit.shown,
            "left_out_error": misfit.left_out if np.isfinite(misfit.left_out) else None,
        }
        for misfit in posterior.misfits
    ]
    return {
        "verdict": posterior.verdict if posterior.informed else "uninformed",
        "bits": posterior.bits,
        "best": posterior.best,
        "axes": axes | words,
        "measured": measured,
        "states": posterior.states,
        "censored": posterior.censored,
    }


def label_of(axis: AxisPosterior) -> str:
    """Return the name of an axis for a figure, with its unit in brackets."""
    name = axis.name.removesuffix(f"_{axis.unit}").replace("_", " ")
    return f"{name} ({axis.unit})" if axis.unit else name


def _figure(posterior: Posterior, rows: list[Row]) -> bytes:
    """Return the picture of all marginals and, below, of the axes by twos."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from dipolar_md import plots

    axes, d = posterior.axes, len(posterior.axes)
    columns, lines = max(d, 1), d + len(posterior.words)
    heights = [1.0] * d + [0.25 + 0.12 * len(shares) for shares in posterior.words.values()]
    states: dict[str, ArrayLike] = {axis.name: [row[axis.name] for row in rows] for axis in axes}
    with rc_context(plots.STYLE):
        figure = Figure(figsize=(max(3.35, 2.3 * columns), 0.5 + 2.2 * sum(heights)))
        grid, keys = figure.add_gridspec(lines, columns, height_ratios=heights), dict[str, Any]()
        for k, axis in enumerate(axes):
            ax = figure.add_subplot(grid[k, k])
            plots.draw_marginal(
                ax, axis.edges, axis.probability, axis.interval_95, label_of(axis), axis.logarithmic
            )
            keys |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
            for j, other in enumerate(axes[:k]):
                kept = (j + 1, k + 1)
                drop = tuple(i for i in range(d + 1) if i not in kept)
                both: NDArray[np.float64] = posterior.joint.sum(drop)
                panel = figure.add_subplot(grid[k, j])
                plots.draw_joint(
                    panel,
                    (other.edges, axis.edges),
                    both,
                    (states[other.name], states[axis.name]),
                    (label_of(other), label_of(axis)),
                    (other.logarithmic, axis.logarithmic),
                )
                keys |= dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
        for k, (name, probabilities) in enumerate(posterior.words.items()):
            ax = plots.draw_shares(figure.add_subplot(grid[d + k, :]), probabilities, name)
            if not axes:
                keys |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        figure.legend(list(keys.values()), list(keys), loc="outside upper left", ncols=3)
        picture = io.BytesIO()
        figure.savefig(picture, format="png")
    return picture.getvalue()
