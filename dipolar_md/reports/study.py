"""What a study leaves for people: `results.csv` (and Parquet), `thresholds.csv`, figures."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dipolar_md.analysis.chains import DEFAULT_CRITERION
from dipolar_md.chemistry.cluster import load_cluster
from dipolar_md.errors import RunDirectoryError
from dipolar_md.model.body import Body, coarse_grain
from dipolar_md.model.expectation import chain_onset_dipole, expected_mean_length, phase_estimate
from dipolar_md.reports.run import drawn
from dipolar_md.simulation.assembly import write_file
from dipolar_md.study.project import directory
from dipolar_md.study.study_file import Study, load_study, said
from dipolar_md.study.table import (
    THRESHOLD_LENGTH,
    ExchangePair,
    SeedSystem,
    StatePointMean,
    Threshold,
    dipole_series,
    exchange_pairs,
    over_replicas,
    seed_systems,
    study_rows,
    thresholds,
    to_csv,
    to_parquet,
)


class PhaseMap(NamedTuple):
    """What `plots.draw_phase_map` draws, in its order."""

    dipole_D: list[float]
    relative_permittivity: list[float]
    length: list[float]
    found: tuple[list[float], list[float]] | None
    expected: tuple[list[float], list[float]]
    at_length: float
    systems: list[SeedSystem]


class StudyReport(NamedTuple):
    """What `report_study` found and where it was written."""

    path: Path
    axes: list[str]
    means: list[StatePointMean]
    thresholds: list[Threshold]
    files: tuple[Path, ...]
    exchange: list[ExchangePair]


def report_study(study: Study | str | Path, out: str | Path | None = None) -> StudyReport:
    """Gather the finished jobs of a study; write `results.csv`, `thresholds.csv` and figures.

    With pyarrow installed `results.parquet` is written, too: the same table with its types.

    Args:
        study: shipped name, file, or `Study`.
        out: its directory, default `studies/NAME`.

    Raises:
        InputError: unknown study, or no job finished yet.
        RunDirectoryError: the directory holds something else, or can't be written.
    """
    study = study if isinstance(study, Study) else load_study(study)
    path = directory(study, out)
    rows, axes = study_rows(study, path), list(study.axes)
    means = over_replicas(rows, axes)
    found = thresholds(means, axes)
    table: list[dict[str, Any]] = [
        {
            **one.series,
            "criterion": one.criterion,
            "mean_length": THRESHOLD_LENGTH,
            "threshold_dipole_D": one.dipole_D.value if one.dipole_D else None,
            "threshold_dipole_D_err": one.dipole_D.error if one.dipole_D else None,
            "above_D": one.low_D,
            "below_D": one.high_D,
        }
        for one in found
    ]
    contents = {"results.csv": to_csv(rows), "results.parquet": to_parquet(rows)}
    contents |= {"thresholds.csv": to_csv(table)} if table else {}
    written = {path / name: content for name, content in contents.items() if content}
    try:
        (path / "figures").mkdir(exist_ok=True)
        for file, content in written.items():
            write_file(file, content)
    except OSError as error:
        raise RunDirectoryError(f"{path}: can't be written: {error}") from error
    pictures = _draw_study(path / "figures", means, axes, found)
    pairs = exchange_pairs(rows, axes)
    return StudyReport(path, axes, means, found, (*written, *pictures), pairs)


def _draw_study(
    folder: Path, means: list[StatePointMean], axes: list[str], found: list[Threshold]
) -> list[Path]:
    """Draw what the axes allow: the dipole scan, the phase map, and the collapse on λ."""
    from dipolar_md import plots

    series = [(said(values), members) for values, members in dipole_series(means, axes)]
    series = [
        (label.replace("relative_permittivity", r"$\varepsilon_r$") or "simulation", members)
        for label, members in series
        if len(members) > 1
    ]
    first = means[0].row
    alike = len({mean.row["cluster"] for mean in means}) == 1
    marks = seed_systems(_body_of(first)) if alike else []
    paths = []
    if series:
        shown = series[:7]
        scan = {
            label: (
                [m.row["dipole_D"] for m in members],
                [m.length.value for m in members],
                [m.length.error or 0.0 for m in members],
            )
            for label, members in shown
        }
        theory = {label: _expected(members) for label, members in shown}
        onset = found[0].dipole_D
        paths.append(
            drawn(
                lambda ax: plots.draw_dipole_scan(
                    ax,
                    scan,
                    theory,
                    (onset.value, onset.error or 0.0) if onset else None,
                    THRESHOLD_LENGTH,
                    {mark.name: mark.dipole_D for mark in marks},
                ),
                folder / "length_against_dipole.png",
            )
        )
        distributions = {
            f"{m.row['dipole_D']:g} D": (
                list(m.fractions),
                [one.value for one in m.fractions.values()],
                [one.error or 0.0 for one in m.fractions.values()],
                m.length.value,
            )
            for m in series[0][1]
            if m.fractions
        }
        if distributions:
            step = -(-len(distributions) // 7)
            some = dict(list(distributions.items())[::-step][::-1])
            where = "" if len(series) == 1 else series[0][0]
            paths.append(
                drawn(
                    lambda ax: plots.draw_length_series(ax, some, where),
                    folder / "length_distributions.png",
                )
            )
    chart = phase_map(means, found)
    if chart:
        paths.append(drawn(lambda ax: plots.draw_phase_map(ax, *chart), folder / "phase_map.png"))
    by_concentration: dict[float, list[StatePointMean]] = {}
    for mean in means:
        key = float(f"{mean.row['concentration_mM']:.3g}")
        by_concentration.setdefault(key, []).append(mean)
    strongest = max(1.0, *(mean.row["lambda_contact"] for mean in means))
    estimate = phase_estimate(_body_of(first), 1.05 * strongest)
    points = {
        f"{c:g} mM": (
            [m.row["lambda_contact"] for m in members],
            [m.length.value for m in members],
            [m.length.error or 0.0 for m in members],
        )
        for c, members in sorted(by_concentration.items())
    }
    curves = {
        f"theory, {c:g} mM": (
            estimate.coupling,
            [np.interp(c, estimate.concentration_mM, row) for row in estimate.mean_length],
        )
        for c in sorted(by_concentration)[:5]
    }
    paths.append(drawn(lambda ax: plots.draw_collapse(ax, points, curves), folder / "collapse.png"))
    return paths


def phase_map(means: list[StatePointMean], found: list[Threshold]) -> PhaseMap | None:
    """Return the map of mean chain length over dipole and permittivity, published clusters on it.

    None where a study varies only one of the two. Clusters are marked where all state points are of
    the same kind, the line of thresholds where the study has no third axis.
    """
    first = means[0].row
    x = [mean.row["dipole_D"] for mean in means]
    y = [mean.row["relative_permittivity"] for mean in means]
    if len(set(x)) == 1 or len(set(y)) == 1:
        return None
    edge = [
        (one.dipole_D.value, one.series["relative_permittivity"])
        for one in found
        if one.criterion == DEFAULT_CRITERION
        and one.dipole_D
        and set(one.series) == {"relative_permittivity"}
    ]
    range_of_y = np.linspace(min(y), max(y), 25).tolist()
    alike = len({mean.row["cluster"] for mean in means}) == 1
    return PhaseMap(
        x,
        y,
        [mean.length.value for mean in means],
        ([dipole for dipole, _ in edge], [eps for _, eps in edge]) if edge else None,
        ([_onset_D(first, eps) for eps in range_of_y], range_of_y),
        THRESHOLD_LENGTH,
        seed_systems(_body_of(first)) if alike else [],
    )


def _body_of(row: dict[str, Any]) -> Body:
    """Return the sphere behind a row: the cluster's own, with σ solved for its own dipole."""
    return coarse_grain(load_cluster(row["cluster"].split(" + ")[0]))


def _expected(members: list[StatePointMean]) -> tuple[list[float], list[float]]:
    """Return dipoles over the range of a series, and the mean lengths that theory expects."""
    row, ends = members[0].row, [m.row["dipole_D"] for m in members]
    cluster = load_cluster(row["cluster"].split(" + ")[0])
    dipoles = np.linspace(min(ends), max(ends), 30).tolist()
    environment = [row[k] for k in ("relative_permittivity", "temperature_K", "concentration_mM")]
    lengths = [
        expected_mean_length(coarse_grain(cluster, dipole_D=d), *environment) for d in dipoles
    ]
    return dipoles, lengths


def _onset_D(row: dict[str, Any], relative_permittivity: float) -> float:
    return chain_onset_dipole(
        _body_of(row), relative_permittivity, row["temperature_K"], row["concentration_mM"]
    )
