"""What a study says of a measurement: sentences, `inference.json`, a figure of the posterior."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dipolar_md.analysis.reference import (
    FEWEST_MEASURED,
    Reference,
    load_reference,
    read_measured,
)
from dipolar_md.errors import InputError
from dipolar_md.files import save_figure, write_json
from dipolar_md.study.inference import (
    FEWEST_CHAINS,
    LENGTH_FACTOR,
    LOGARITHMIC,
    SPACING_ERROR,
    infer,
)
from dipolar_md.study.jobs import format_point, split_unit
from dipolar_md.study.posterior import NAMES, UNLIKELY, AxisPosterior, Datum, Misfit, Posterior
from dipolar_md.study.project import study_directory
from dipolar_md.study.study_file import Study, load_study
from dipolar_md.study.table import Row, StudyResults, describe_left_out, read_results

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

RESOLUTION_NM = 0.01
"""Error of a single published value: they are given to that."""
SAMPLES: dict[str, tuple[tuple[str, ...], Callable[..., NDArray[np.float64]]]] = {
    "contour_length_nm": (("contour_length_nm", "projected_length_nm"), np.mean),
    "spacing_nm": (("spacing_nm", "projected_spacing_nm"), np.median),
}
"""Columns of a CSV by the quantity they measure, and what is taken of them."""


class StudyInference(NamedTuple):
    """What a measurement says of a study and where it was written.

    Attributes:
        path: Directory of the study.
        posterior: Posterior over the axes.
        sentences: The answer.
        notes: What it rests on.
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
        study: Shipped name, file, or `Study`; its finished jobs count, but for those of values that
            were taken out of an axis.
        reference: Published values, by name or file; own measurements of a quantity replace them.
        lengths: CSV with a column `contour_length_nm` or `projected_length_nm`, of wires of two
            clusters or more.
        spacings: CSV with a column `spacing_nm` or `projected_spacing_nm`; may be the same file.
        out: Directory of the study, default `studies/NAME`.
        length_factor: The model's own error of a mean wire length, a factor of 1 or more.
        spacing_error: The model's own error of a spacing, relative.

    Returns:
        `StudyInference`.

    Raises:
        InputError: Unknown study or reference, a wrong CSV (file and line are named), nothing
            measured, or too few finished state points.
        RunDirectoryError: The directory holds something else, or can't be written.
    """
    study = load_study(study)
    if isinstance(reference, str | Path):
        reference = load_reference(reference)
    data = read_measurements(reference, lengths, spacings)
    path = study_directory(study, out)
    results = read_results(study, path)
    axes = {
        name: any(key.rpartition(".")[2] in LOGARITHMIC for key in (name, *axis.keys))
        for name, axis in study.axes.items()
    }
    posterior = infer(results.rows, axes, data, length_factor, spacing_error)
    sentences = conclusions(posterior)
    notes = (
        *_prior_notes(posterior),
        f"The model's own error: a factor of {length_factor:g} in a mean wire length, "
        f"{100 * spacing_error:g} % in a spacing.",
        *_emulator_notes(posterior),
        *_data_notes(posterior, results, reference),
    )
    record = {
        "study": study.name,
        "reference": reference.name if reference else None,
        "sentences": sentences,
        "notes": notes,
        **summary(posterior),
    }
    record_file = write_json(path / "inference.json", record)
    picture = _draw(posterior, results.rows, path / "figures" / "inference.png")
    return StudyInference(path, posterior, sentences, notes, (record_file, picture))


def read_measurements(
    reference: Reference | None,
    lengths: str | Path | None = None,
    spacings: str | Path | None = None,
) -> tuple[Datum, ...]:
    """Return the wire length and spacing of CSVs and, where these have none, of a reference.

    Raises:
        InputError: Neither states any, or a wrong CSV: its file and line are named.
    """
    data: dict[str, Datum] = {
        quantity.quantity: Datum(
            quantity.quantity,
            reference.title,
            quantity.value,
            RESOLUTION_NM,
            quantity.low,
            quantity.high,
            quantity.projected,
        )
        for quantity in (reference.quantities if reference else ())
        if reference and quantity.quantity in NAMES
    }
    for name, path in (("contour_length_nm", lengths), ("spacing_nm", spacings)):
        if path is not None:
            data[name] = _sample(name, Path(path))
    if not data:
        raise InputError(
            "nothing was measured: give a reference that states a wire length or a spacing, "
            "or your own with --lengths or --spacings"
        )
    return tuple(data.values())


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
    sentences = [
        f"The {NAMES[misfit.datum.quantity]} informs nothing here (calibrated): it follows from "
        "the contact, an input of the cluster file that this study doesn't vary. An axis "
        "axial_contact_nm would let it."
        for misfit in posterior.misfits
        if misfit.tag == "calibrated"
    ]
    if not posterior.informed:
        return (*sentences, "So nothing was measured that could decide any axis of this study.")
    if posterior.verdict == "explained":
        return (*sentences, *_explanations(posterior), *_decisions(posterior))
    return (*sentences, *_misses(posterior))


def _misses(posterior: Posterior) -> list[str]:
    """Return what no state gives, by how much the best misses it, and what lower bounds leave."""
    sentences = [
        _miss(misfit, posterior)
        for misfit in posterior.misfits
        if misfit.tag == "predicted" and misfit.shown < UNLIKELY
    ]
    if posterior.censored:
        word = "It isn't excluded either" if posterior.verdict == "open" else "Mind"
        sentences.append(
            f"{word}: the lengths of {posterior.censored} of its {posterior.states} states are "
            f"lower bounds, with fewer than {FEWEST_CHAINS} chains in a box or still growing. More "
            "clusters (n_clusters) or longer runs would tell."
        )
    return sentences


def _miss(misfit: Misfit, posterior: Posterior) -> str:
    value = misfit.value or 0.0
    wanted = _nearest(misfit.datum, value)
    ends = [
        axis.name
        for axis in posterior.axes
        if not axis.edges[1] < float(posterior.best[axis.name]) < axis.edges[-2]
    ]
    beyond = f" That is the end of what was simulated of {' and '.join(ends)}." if ends else ""
    return (
        f"No state of this study explains a {NAMES[misfit.datum.quantity]} of {misfit.datum}. The "
        f"best, {_best(posterior)}, gives {_given(misfit)}: too "
        f"{'short' if value < wanted else 'long'} {_distance(misfit.datum, value, wanted)}.{beyond}"
    )


def _nearest(datum: Datum, value: float) -> float:
    """Return the measured value, or the end of its range that a value misses."""
    if datum.value is not None:
        return datum.value
    if datum.low is not None and value < datum.low:
        return datum.low
    return value if datum.high is None else datum.high


def _distance(datum: Datum, value: float, wanted: float) -> str:
    if datum.quantity == "spacing_nm":
        return f"by {abs(value - wanted):.2g} nm"
    factor = max(value / wanted, wanted / value)
    return f"by a factor of {factor:.{0 if factor >= 10 else 1}f}"


def _explanations(posterior: Posterior) -> list[str]:
    """Return which state explains each measurement."""
    return [
        f"A {NAMES[misfit.datum.quantity]} of {misfit.datum} is explained, best at "
        f"{_best(posterior)}, which gives {_given(misfit)}."
        for misfit in posterior.misfits
        if misfit.tag == "predicted"
    ]


def _decisions(posterior: Posterior) -> list[str]:
    """Return of each axis what is decided, and whether axes are decided only together."""
    sentences = [_decision(axis, posterior.decided(axis.name)) for axis in posterior.axes]
    for name, shares in posterior.words.items():
        best = max(shares, key=lambda word: shares[word])
        word = "is decided" if posterior.decided(name) else "can't be decided"
        sentences.append(f"{name} {word}: {best} has {100 * shares[best]:.0f} % probability.")
    alone = sum(axis.bits for axis in posterior.axes) + sum(posterior.word_bits.values())
    if posterior.bits - alone > 0.5:
        sentences.append(
            f"The axes trade against each other: together {posterior.bits:.1f} bits are gained, "
            f"alone {alone:.1f}. The figure shows which combinations remain."
        )
    return sentences


def _decision(axis: AxisPosterior, decided: bool) -> str:
    low, high = axis.interval_95
    interval = f"{low:.3g} to {high:.3g}" + f" {axis.unit}" * bool(axis.unit)
    if decided:
        return f"{axis.name} is decided: {interval} with 95 % probability."
    return (
        f"The data can't decide {axis.name}: the 95 % interval, {interval}, is "
        f"{100 * axis.width_ratio:.0f} % of the prior's."
    )


def _best(posterior: Posterior) -> str:
    return format_point(
        {k: v if isinstance(v, str) else float(f"{v:.3g}") for k, v in posterior.best.items()}
    )


def _given(misfit: Misfit) -> str:
    value, low, high = (v or 0.0 for v in (misfit.value, misfit.low, misfit.high))
    value, low, high = (float(f"{v:.3g}") for v in (value, low, high))  # no powers of ten
    if misfit.bound:
        return f"at least {value:g} nm, a lower bound"
    return f"{value:g} nm ({low:g}–{high:g} nm, 68 %)"


def _prior_notes(posterior: Posterior) -> list[str]:
    """Return over which values the prior is flat."""
    ranges = [
        f"{axis.name} {axis.edges[0]:.4g} to {axis.edges[-1]:.4g} {axis.unit}".rstrip()
        + ", in the logarithm" * axis.logarithmic
        for axis in posterior.axes
    ]
    ranges += [f"every {name} alike" for name in posterior.words]
    return [f"Prior: flat over what was simulated ({'; '.join(ranges)})."]


def _emulator_notes(posterior: Posterior) -> list[str]:
    """Return how well each quantity is interpolated."""
    notes = []
    for misfit in posterior.misfits:
        if misfit.tag == "predicted" and np.isfinite(misfit.left_out):
            size = f"a factor of {np.exp(misfit.left_out):.3g}"
            if misfit.datum.quantity == "spacing_nm":
                size = f"{misfit.left_out:.2g} nm"
            notes.append(
                f"The emulator misses the {NAMES[misfit.datum.quantity]} of a state that is left "
                f"out by {size} (root mean square of {posterior.states} states)."
            )
    return notes


def _data_notes(
    posterior: Posterior, results: StudyResults, reference: Reference | None
) -> list[str]:
    """Return what limits the jobs and the measurements."""
    notes = []
    if posterior.censored:
        notes.append(
            f"{posterior.censored} of {posterior.states} states have fewer than {FEWEST_CHAINS} "
            "chains in a box or still grow: their lengths count as lower bounds."
        )
    unsettled = sum(not row["equilibrated"] for row in results.rows)
    if unsettled:
        notes.append(
            f"{unsettled} of {len(results.rows)} jobs are not equilibrated: their wires may still "
            "grow."
        )
    if results.left_out:
        notes.append(describe_left_out(results.left_out))
    if any(misfit.datum.projected and misfit.tag == "predicted" for misfit in posterior.misfits):
        notes.append("What was seen in projection is taken for the wires' own: lying flat.")
    clusters = frozenset[str]().union(*(result.job.cluster_names for result in results.results))
    if reference and not clusters <= set(reference.clusters):
        notes.append(
            f"The reference is of {', '.join(reference.clusters)}, this study of "
            f"{', '.join(sorted(clusters))}."
        )
    return notes


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


def axis_label(axis: AxisPosterior) -> str:
    """Return the name of an axis for a figure, with its unit in brackets."""
    name, unit = split_unit(axis.name)
    return f"{name} ({unit})" if unit else name


def _draw(posterior: Posterior, rows: list[Row], path: Path) -> Path:
    """Draw all marginals and, below the diagonal, the axes by twos; return the file's path."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from dipolar_md import plots

    axes, d = posterior.axes, len(posterior.axes)
    columns = max(d, 1)
    heights = [1.0] * d + [0.25 + 0.12 * len(shares) for shares in posterior.words.values()]
    with rc_context(plots.STYLE):
        figure = Figure(figsize=(max(3.35, 2.3 * columns), 0.5 + 2.2 * sum(heights)))
        grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
        panels = []
        for k, axis in enumerate(axes):
            panels.append(
                plots.draw_marginal(
                    figure.add_subplot(grid[k, k]),
                    axis.edges,
                    axis.probability,
                    axis.interval_95,
                    axis_label(axis),
                    axis.logarithmic,
                )
            )
            for j in range(k):
                panels.append(_draw_pair(figure.add_subplot(grid[k, j]), posterior, (j, k), rows))
        for k, (name, shares) in enumerate(posterior.words.items(), start=d):
            shown = plots.draw_shares(figure.add_subplot(grid[k, :]), shares, name)
            panels += [] if axes else [shown]  # marginals have the same keys
        keys: dict[str, Artist] = {}
        for panel in panels:
            handles, labels = panel.get_legend_handles_labels()
            keys |= dict(zip(labels, handles, strict=True))
        figure.legend(list(keys.values()), list(keys), loc="outside upper left", ncols=3)
        return save_figure(path, figure)


def _draw_pair(ax: "Axes", posterior: Posterior, pair: tuple[int, int], rows: list[Row]) -> "Axes":
    """Draw the posterior of two axes, by their numbers."""
    from dipolar_md import plots

    first, second = (posterior.axes[k] for k in pair)
    others = tuple(i for i in range(posterior.joint.ndim) if i - 1 not in pair)
    return plots.draw_joint(
        ax,
        (first.edges, second.edges),
        posterior.joint.sum(others),
        ([row[first.name] for row in rows], [row[second.name] for row in rows]),
        (axis_label(first), axis_label(second)),
        (first.logarithmic, second.logarithmic),
    )
