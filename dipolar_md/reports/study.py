"""What a study leaves for people: `results.csv` (and Parquet), `thresholds.csv`, figures."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dipolar_md.analysis.bonds import DEFAULT_CRITERION
from dipolar_md.files import write_bytes, write_csv
from dipolar_md.model.expectation import chain_onset_dipole, expected_mean_length, phase_estimate
from dipolar_md.reports.run import save_drawing
from dipolar_md.study.jobs import Job, StatePoint, format_value, split_unit
from dipolar_md.study.project import study_directory
from dipolar_md.study.study_file import Study, load_study
from dipolar_md.study.table import (
    THRESHOLD_LENGTH,
    ExchangePair,
    SeedSystem,
    StatePointMean,
    Threshold,
    average_replicas,
    dipole_series,
    exchange_pairs,
    find_thresholds,
    read_results,
    seed_systems,
    to_parquet,
)
from dipolar_md.units import DEBYE

Series = list[tuple[str, list[StatePointMean]]]
"""State points that differ in the dipole alone, by a label for the other axes."""

MOST_SERIES = 7
"""Series that a panel can tell apart by their colours."""
MOST_CURVES = 5
"""Curves that a panel can tell apart by their dashes."""


class PhaseMap(NamedTuple):
    """Mean chain length over dipole and permittivity, as `plots.draw_phase_map` takes it.

    Attributes:
        dipole_D: Dipole of each state point, in debye.
        relative_permittivity: ε_r of each state point.
        length: Mean chain length at each state point.
        threshold: Dipoles and ε_r at which `at_length` was found; None where it wasn't.
        expected: Dipoles and ε_r at which theory expects it; None where a third axis matters.
        at_length: Mean chain length that counts as chains.
        systems: Published clusters; none where state points differ in cluster or contact.
    """

    dipole_D: list[float]
    relative_permittivity: list[float]
    length: list[float]
    threshold: tuple[list[float], list[float]] | None
    expected: tuple[list[float], list[float]] | None
    at_length: float
    systems: list[SeedSystem]


class StudyReport(NamedTuple):
    """What came of a study and where it was written.

    Attributes:
        path: Directory of the study.
        axes: Names of the axes.
        means: Means over the replicas of each state point.
        thresholds: Threshold dipoles by series and bond criterion.
        files: Files that were written.
        exchange: Neighbouring dipoles that swapped, of a study that exchanges.
        left_out: Number of finished jobs of values that the study file no longer has.
    """

    path: Path
    axes: list[str]
    means: list[StatePointMean]
    thresholds: list[Threshold]
    files: tuple[Path, ...]
    exchange: list[ExchangePair]
    left_out: int


def report_study(study: Study | str | Path, out: str | Path | None = None) -> StudyReport:
    """Gather the finished jobs of a study; write `results.csv`, `thresholds.csv` and figures.

    With pyarrow installed `results.parquet` is written, too: the same table with its types. Jobs of
    values that were taken out of an axis are left out.

    Args:
        study: Shipped name, file, or `Study`.
        out: Its directory, default `studies/NAME`.

    Returns:
        `StudyReport`.

    Raises:
        InputError: Unknown study, or no job finished yet.
        RunDirectoryError: The directory holds something else, or can't be written.
    """
    study = load_study(study)
    path = study_directory(study, out)
    results, left_out = read_results(study, path)
    rows = [result.row for result in results]
    means = average_replicas(results)
    thresholds = find_thresholds(means)
    tables = [write_csv(path / "results.csv", rows)]
    parquet = to_parquet(rows)
    if parquet:
        tables.append(write_bytes(path / "results.parquet", parquet))
    if thresholds:
        table = [_threshold_row(threshold) for threshold in thresholds]
        tables.append(write_csv(path / "thresholds.csv", table))
    pictures = [
        save_drawing(draw, path / "figures" / name) for name, draw in _figures(means, thresholds)
    ]
    pairs = exchange_pairs(results)
    files = (*tables, *pictures)
    return StudyReport(path, list(study.axes), means, thresholds, files, pairs, left_out)


def _threshold_row(threshold: Threshold) -> dict[str, Any]:
    dipole = threshold.dipole_D
    return {
        **threshold.series,
        "criterion": threshold.criterion,
        "mean_length": THRESHOLD_LENGTH,
        "threshold_dipole_D": dipole.value if dipole else None,
        "threshold_dipole_D_err": dipole.error if dipole else None,
        "above_D": threshold.low_D,
        "below_D": threshold.high_D,
    }


def _figures(
    means: list[StatePointMean], thresholds: list[Threshold]
) -> Iterator[tuple[str, Callable[[Any], object]]]:
    """Yield names and drawings of the figures that the axes allow."""
    from dipolar_md import plots

    series = _labelled_series(means)
    if series:
        yield "length_against_dipole.png", _scan(series, means, thresholds)
    if series and (distributions := _distributions(series[0][1])):
        where = series[0][0] if len(series) > 1 else ""
        draw = partial(plots.draw_length_series, series=distributions, where=where)
        yield "length_distributions.png", draw
    chart = phase_map(means, thresholds)
    if chart:
        yield "phase_map.png", partial(plots.draw_phase_map, **chart._asdict())
    yield "collapse.png", _collapse(means)


def _labelled_series(means: list[StatePointMean]) -> Series:
    """Return the series of two dipoles or more."""
    return [
        (_label(values), members) for values, members in dipole_series(means) if len(members) > 1
    ]


def _label(point: StatePoint) -> str:
    """Return values of axes for a figure, such as `axial contact 1.61 nm`."""
    parts = []
    for axis, value in point.items():
        name, unit = split_unit(axis)
        name = r"$\varepsilon_r$" if axis == "relative_permittivity" else name
        parts.append(f"{name} {format_value(value)} {unit}".rstrip())
    return ", ".join(parts)


def _scan(
    series: Series, means: list[StatePointMean], thresholds: list[Threshold]
) -> Callable[[Any], object]:
    """Return the drawing of mean chain length against dipole, beside theory."""
    from dipolar_md import plots

    shown = [(label or "simulation", members) for label, members in series[:MOST_SERIES]]
    onset = thresholds[0].dipole_D
    marks = seed_systems(means[0].job.body) if _alike(means) else []
    return partial(
        plots.draw_dipole_scan,
        series={label: _lengths(members, lambda mean: mean.dipole_D) for label, members in shown},
        expected={
            label: curve for label, members in shown if (curve := _expected(members)) is not None
        },
        threshold=(onset.value, onset.error or 0.0) if onset else None,
        at_length=THRESHOLD_LENGTH,
        marks={mark.name: mark.dipole_D for mark in marks},
    )


def _lengths(
    members: list[StatePointMean], abscissa: Callable[[StatePointMean], float]
) -> tuple[list[float], list[float], list[float]]:
    """Return abscissae, mean chain lengths and their errors."""
    return (
        [abscissa(mean) for mean in members],
        [mean.length.value for mean in members],
        [mean.length.error or 0.0 for mean in members],
    )


def _expected(members: list[StatePointMean]) -> tuple[list[float], list[float]] | None:
    """Return dipoles over the range of a series and the mean lengths that theory expects of them.

    Of bodies other than plain spheres, whose theory takes seconds, what the jobs noted; None where
    theory says nothing.
    """
    job = members[0].job
    if _is_plain(job):
        ends = [mean.dipole_D for mean in members]
        dipoles = np.linspace(min(ends), max(ends), 30).tolist()
        return dipoles, [_expected_length(job, dipole) for dipole in dipoles]
    column = "expected_mean_chain_length"
    known = [mean for mean in members if mean.row.get(column) is not None]
    if not known:
        return None
    return [mean.dipole_D for mean in known], [mean.row[column] for mean in known]


def _expected_length(job: Job, dipole_D: float) -> float:
    """Return the mean length that theory expects of a job's body with another dipole."""
    here, body = job.environment, replace(job.body, dipole_e_nm=(0.0, 0.0, dipole_D * DEBYE))
    return expected_mean_length(
        body, here.relative_permittivity, here.temperature_K, here.concentration_mM
    )


def _is_plain(job: Job) -> bool:
    """Return whether theory is a closed form: spheres that only repel, with a point dipole."""
    body = job.only_body
    if body is None or body.polarisability_nm3 or len(body.sites) > 1:
        return False
    return not body.sites[0].attractive


def _distributions(
    members: list[StatePointMean],
) -> dict[str, tuple[list[int], list[float], list[float], float]]:
    """Return the distribution of chain lengths at up to seven dipoles, the highest among them."""
    known = [mean for mean in members if mean.fractions]
    some = known[:: -max(1, math.ceil(len(known) / MOST_SERIES))][::-1]
    return {
        f"{mean.dipole_D:g} D": (
            list(mean.fractions),
            [fraction.value for fraction in mean.fractions.values()],
            [fraction.error or 0.0 for fraction in mean.fractions.values()],
            mean.length.value,
        )
        for mean in some
    }


def _collapse(means: list[StatePointMean]) -> Callable[[Any], object]:
    """Return the drawing of mean chain length against λ, by concentration and contact."""
    from dipolar_md import plots

    groups: dict[tuple[float, float], list[StatePointMean]] = defaultdict(list)
    for mean in means:
        here = mean.job.environment.concentration_mM, mean.job.body.axial_contact_nm
        groups[here].append(mean)
    several = len({contact for _, contact in groups}) > 1
    strongest = max(1.0, *(mean.row["lambda_contact"] for mean in means))
    points: dict[str, tuple[ArrayLike, ArrayLike, ArrayLike]] = {}
    curves: dict[str, tuple[ArrayLike, ArrayLike]] = {}
    for (concentration, contact), members in sorted(groups.items()):
        label = f"{concentration:g} mM" + f", {contact:g} nm" * several
        points[label] = _lengths(members, lambda mean: mean.row["lambda_contact"])
        if _is_plain(members[0].job) and len(curves) < MOST_CURVES and _same_theory(members):
            estimate = phase_estimate(members[0].job.body, 1.05 * strongest)
            lengths = [
                np.interp(concentration, estimate.concentration_mM, row)
                for row in estimate.mean_length
            ]
            curves[f"theory, {label}"] = estimate.coupling, lengths
    return partial(plots.draw_collapse, series=points, expected=curves)


def phase_map(means: list[StatePointMean], thresholds: list[Threshold]) -> PhaseMap | None:
    """Return the map of mean chain length over dipole and permittivity, published clusters on it.

    Args:
        means: State points, see `StudyReport`.
        thresholds: Threshold dipoles of the same study.

    Returns:
        The map; None where a study varies only one of the two.
    """
    dipoles = [mean.dipole_D for mean in means]
    permittivities = [mean.job.environment.relative_permittivity for mean in means]
    if len(set(dipoles)) == 1 or len(set(permittivities)) == 1:
        return None
    range_of_y = np.linspace(min(permittivities), max(permittivities), 25).tolist()
    return PhaseMap(
        dipoles,
        permittivities,
        [mean.length.value for mean in means],
        _threshold_line(thresholds),
        _onset_line(means, range_of_y),
        THRESHOLD_LENGTH,
        seed_systems(means[0].job.body) if _alike(means) else [],
    )


def _threshold_line(thresholds: list[Threshold]) -> tuple[list[float], list[float]] | None:
    """Return dipoles and permittivities of the thresholds; None where there is a third axis."""
    edge = [
        (threshold.dipole_D.value, float(threshold.series["relative_permittivity"]))
        for threshold in thresholds
        if threshold.criterion == DEFAULT_CRITERION
        and threshold.dipole_D
        and set(threshold.series) == {"relative_permittivity"}
    ]
    return ([dipole for dipole, _ in edge], [eps for _, eps in edge]) if edge else None


def _onset_line(
    means: list[StatePointMean], permittivities: list[float]
) -> tuple[list[float], list[float]] | None:
    """Return where theory expects chains of plain spheres; None where a third axis matters."""
    job = means[0].job
    here = job.environment
    surroundings = {
        (mean.job.environment.temperature_K, mean.job.environment.concentration_mM)
        for mean in means
    }
    if len(surroundings) > 1 or not (_is_plain(job) and _same_theory(means)):
        return None
    dipoles = [
        chain_onset_dipole(job.body, eps, here.temperature_K, here.concentration_mM)
        for eps in permittivities
    ]
    return dipoles, permittivities


def _same_theory(means: list[StatePointMean]) -> bool:
    """Return whether state points share contact and sites, so that one theory is for all."""
    kinds = set()
    for mean in means:
        body = mean.job.body
        sites = tuple((s.sigma_nm, s.epsilon_kJ_mol, s.attractive) for s in body.sites)
        kinds.add((body.axial_contact_nm, sites))
    return len(kinds) == 1


def _alike(means: list[StatePointMean]) -> bool:
    """Return whether all state points are of the same clusters with the same contact."""
    kinds = {(mean.job.cluster_names, mean.job.body.axial_contact_nm) for mean in means}
    return len(kinds) == 1
