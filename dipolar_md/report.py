"""What a run or a study leaves for people: `summary.json`, tables and figures."""

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dipolar_md.analysis.chains import find_chains
from dipolar_md.analysis.growth import Growth, growth
from dipolar_md.analysis.nanowires import (
    ChainRow,
    NanowireStatistics,
    energy_minimum,
    nanowire_statistics,
)
from dipolar_md.analysis.reference import Comparison, Reference, compare, load_reference
from dipolar_md.errors import InputError, RunDirectoryError
from dipolar_md.model.body import Body, coarse_grain
from dipolar_md.model.cluster import Cluster, load_cluster
from dipolar_md.model.outlook import (
    Outlook,
    chain_onset_dipole,
    expected_mean_length,
    phase_estimate,
)
from dipolar_md.simulation.assembly import Run, write_file
from dipolar_md.study.aggregation import (
    THRESHOLD_LENGTH,
    StatePointMean,
    Threshold,
    dipole_series,
    over_replicas,
    seed_systems,
    study_rows,
    thresholds,
    to_csv,
)
from dipolar_md.study.grid import Study, load_study, said
from dipolar_md.trajectory import Frame
from dipolar_md.units import REFERENCE_TEMPERATURE_K


class Analysis(NamedTuple):
    """What `analyze` found and where it was written."""

    statistics: NanowireStatistics
    comparison: Comparison | None
    expected_mean_length: float | None
    summary: dict[str, Any]
    figures: tuple[Path, ...]


def analyze(
    run: Run | str | Path,
    reference: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Analysis:
    """Analyse a run and write `summary.json`, `chains.csv` and `figures/*.png` into it.

    Args:
        run: a run or its directory.
        reference: name or file to compare with, default the recipe's.
        progress: called with (frames done, frames in all).

    Raises:
        InputError: no run there, no frames, or an unknown reference.
        RunDirectoryError: the directory can't be written.
    """
    run = run if isinstance(run, Run) else Run(Path(run))
    trajectory = run.trajectory
    name = reference or run.recipe.reference
    loaded = load_reference(name) if name else None
    statistics = nanowire_statistics(trajectory, progress=progress)
    comparison = compare(statistics, loaded) if loaded else None
    last = trajectory[-1]
    expected: float | None = None
    if len(last.system.bodies) == 1:
        expected = expected_mean_length(
            last.system.bodies[0],
            last.relative_permittivity,
            last.temperature_K,
            last.system.concentration_mM,
        )
    if expected is not None and not math.isfinite(expected):
        expected = None
    summary: dict[str, Any] = {
        **statistics.summary(),
        "engine": run.manifest["sessions"][-1]["engine"],
        "seed": run.recipe.seed,
        "finished": run.finished,
        "times": run.manifest.get("times"),
        "expected_mean_chain_length": expected,
        "pair_energy_minimum": energy_minimum(statistics.reduced_energies),
        "reference": comparison.summary() if comparison else None,
    }
    if summary["times"] != "physical friction":  # a life in ns would be taken for a physical one
        for key in [key for key in summary if "_lifetime_ns" in key]:
            summary[key.replace("_lifetime_ns", "_lifetime_accelerated_ns")] = summary.pop(key)
    band = _spacing_band(loaded)
    inside = statistics.spacing_fraction(*band) if band else None
    summary["spacing_nm"]["fraction_in_reference"] = inside
    try:
        write_file(run.path / "summary.json", (json.dumps(summary, indent=2) + "\n").encode())
        write_file(run.path / "chains.csv", _table(statistics.chains))
        figures = _draw(run, last, statistics, growth(trajectory), expected, band)
    except OSError as error:
        raise RunDirectoryError(f"{run.path}: can't be written: {error}") from error
    return Analysis(statistics, comparison, expected, summary, figures)


def _spacing_band(reference: Reference | None) -> tuple[float, float] | None:
    """Return the range (nm) of spacings that a reference gives, None where it gives none."""
    spacing = reference.quantity("spacing_nm") if reference else None
    return (spacing.low, spacing.high) if spacing and spacing.low and spacing.high else None


def _draw(
    run: Run,
    last: Frame,
    statistics: NanowireStatistics,
    course: Growth,
    expected: float | None,
    band: tuple[float, float] | None,
) -> tuple[Path, ...]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from dipolar_md import plots

    folder = run.path / "figures"
    folder.mkdir(exist_ok=True)
    graph = find_chains(last)
    bodies = last.system.bodies
    contact = max(body.axial_contact_nm for body in bodies)
    paths = []

    def save(figure: Figure, name: str) -> None:
        picture = io.BytesIO()
        figure.savefig(picture, format="png")
        write_file(folder / name, picture.getvalue())
        paths.append(folder / name)

    with rc_context(plots.STYLE):
        figure = Figure(figsize=(3.35, 3.1))
        plots.draw_film(
            figure.add_subplot(),
            last.system.positions,
            last.system.box,
            graph.sizes[graph.labels],
            graph.bonds,
            contact,
        )
        save(figure, "film.png")
        figure = Figure()
        plots.draw_length_distribution(
            figure.add_subplot(),
            statistics.sizes,
            statistics.n_frames,
            statistics.mean_chain_length.value,
            expected,
        )
        save(figure, "chain_lengths.png")
        figure = Figure()
        plots.draw_spacing(
            figure.add_subplot(),
            statistics.spacings_nm,
            band,
            _marks(bodies),
            contact,
        )
        save(figure, "spacing.png")
        figure = Figure(figsize=(3.35, 2.9))
        plots.draw_growth(
            list(figure.subplots(2, sharex=True, height_ratios=[3, 2])),
            course.time_ns,
            course.mean_length,
            relative_permittivity=course.relative_permittivity,
            concentration_mM=course.concentration_mM,
            stages=_stages(course),
        )
        save(figure, "growth.png")
        figure = Figure()
        plots.draw_pair_energy(
            figure.add_subplot(),
            statistics.reduced_energies,
            minimum=energy_minimum(statistics.reduced_energies),
        )
        save(figure, "pair_energy.png")
    return tuple(paths)


class StudyReport(NamedTuple):
    """What `report_study` found and where it was written."""

    path: Path
    axes: list[str]
    means: list[StatePointMean]
    thresholds: list[Threshold]
    files: tuple[Path, ...]


def report_study(study: Study | str | Path, out: str | Path | None = None) -> StudyReport:
    """Gather the finished jobs of a study; write `results.csv`, `thresholds.csv` and figures.

    Args:
        study: shipped name, file, or `Study`.
        out: its directory, default `studies/NAME`.

    Raises:
        InputError: unknown study, or no job finished yet.
        RunDirectoryError: the directory holds something else, or can't be written.
    """
    study = study if isinstance(study, Study) else load_study(study)
    path = Path(out) if out is not None else Path("studies") / study.name
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
    try:
        (path / "figures").mkdir(exist_ok=True)
        write_file(path / "results.csv", to_csv(rows))
        if table:
            write_file(path / "thresholds.csv", to_csv(table))
    except OSError as error:
        raise RunDirectoryError(f"{path}: can't be written: {error}") from error
    tables = [path / "results.csv", *([path / "thresholds.csv"] if table else [])]
    drawn = _draw_study(path / "figures", means, axes, found)
    return StudyReport(path, axes, means, found, (*tables, *drawn))


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
            _drawn(
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
    x = [mean.row["dipole_D"] for mean in means]
    y = [mean.row["relative_permittivity"] for mean in means]
    if len(set(x)) > 1 and len(set(y)) > 1:
        length = [mean.length.value for mean in means]
        onsets = [(_onset_D(first, eps), eps) for eps in np.linspace(min(y), max(y), 25).tolist()]
        paths.append(
            _drawn(
                lambda ax: plots.draw_phase_map(
                    ax,
                    x,
                    y,
                    length,
                    ([d for d, _ in onsets], [eps for _, eps in onsets]),
                    THRESHOLD_LENGTH,
                    marks,
                ),
                folder / "phase_map.png",
            )
        )
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
    paths.append(
        _drawn(lambda ax: plots.draw_collapse(ax, points, curves), folder / "collapse.png")
    )
    return paths


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


def draw_outlook(outlook: Outlook, path: Path) -> Path:
    """Draw expected mean length against concentration in each medium; return the PNG's path.

    Raises:
        RunDirectoryError: the file can't be written.
    """
    concentrations = np.geomspace(0.1, 200, 60)
    curves = {
        f"{row.name}, $\\varepsilon_r$ {row.relative_permittivity:.3g}": [
            expected_mean_length(
                outlook.body, row.relative_permittivity, REFERENCE_TEMPERATURE_K, float(c)
            )
            for c in concentrations
        ]
        for row in outlook.solvents
    }
    from dipolar_md import plots

    return _drawn(lambda ax: plots.draw_expectation(ax, concentrations, curves), path)


def draw_phase_estimate(outlook: Outlook, path: Path) -> Path:
    """Draw where theory expects chains and where a cluster stands in it; return the PNG's path.

    Raises:
        RunDirectoryError: the file can't be written.
    """
    from dipolar_md import plots

    points = {row.name: row.coupling for row in outlook.solvents}
    by_contact = [contact.coupling for contact in outlook.contacts]
    most = min(100.0, max(12.0, 1.1 * max(*points.values(), *by_contact)))
    estimate = phase_estimate(outlook.body, most)
    return _drawn(
        lambda ax: plots.draw_phase_estimate(
            ax, *estimate, points, outlook.concentration_mM, (min(by_contact), max(by_contact))
        ),
        path,
    )


def draw_bodies(cluster: Cluster, folder: Path) -> list[Path]:
    """Draw each janus body of a cluster, R and S where it is racemic; return the PNGs' paths.

    Raises:
        RunDirectoryError: a file can't be written.
    """
    from dipolar_md import plots

    hands = ("R", "S") if cluster.handedness == "racemic" else (None,)
    paths = []
    for hand in hands if cluster.janus is not None else ():
        body = coarse_grain(cluster, "janus", "charges", handedness=hand)

        def draw(axes: Any, body: Body = body) -> object:
            return plots.draw_body(axes[0], axes[1], body)

        paths.append(_drawn(draw, folder / f"{body.name}-body.png", panels=2))
    return paths


def _drawn(draw: Callable[[Any], object], path: Path, panels: int = 1) -> Path:
    """Write the picture of one panel or of several side by side; return its path."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from dipolar_md import plots

    with rc_context(plots.STYLE):
        figure = Figure(figsize=(3.35 if panels == 1 else 7.0, 3.0))
        draw(figure.add_subplot() if panels == 1 else figure.subplots(1, panels))
        picture = io.BytesIO()
        figure.savefig(picture, format="png")
    try:
        write_file(path, picture.getvalue())
    except OSError as error:
        raise RunDirectoryError(f"{path}: can't be written: {error}") from error
    return path


def write_cluster(cluster: Cluster, path: Path, overwrite: bool = False) -> Path:
    """Write a cluster file that `load_cluster` reads; return its path.

    Raises:
        InputError: the file exists and `overwrite` is false.
        RunDirectoryError: the file can't be written.
    """
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists already: choose another name, or say --overwrite")
    import tomli_w

    text = tomli_w.dumps(cluster.model_dump(exclude_none=True))
    try:
        write_file(path, text.encode())
    except OSError as error:
        raise RunDirectoryError(f"{path}: can't be written: {error}") from error
    return path


def _marks(bodies: Sequence[Body]) -> dict[str, float]:
    """Return the crystal's spacings where the shipped crystal is of these clusters."""
    crystal = load_reference("crystal-r-au-cu")
    if not {body.name for body in bodies} <= set(crystal.clusters):
        return {}
    names = {"spacing_nm": "crystal c", "lateral_spacing_nm": "crystal b"}
    return {
        label: quantity.value
        for key, label in names.items()
        if (quantity := crystal.quantity(key)) and quantity.value
    }


def _stages(course: Growth) -> list[tuple[str, float, float]]:
    """Return (name, start, end) in ns of each stretch of frames of one stage."""
    stages: list[tuple[str, float, float]] = []
    for time, name in zip(course.time_ns, course.stage, strict=True):
        if stages and stages[-1][0] == name:
            stages[-1] = (name, stages[-1][1], float(time))
        else:
            stages.append((name, stages[-1][2] if stages else float(time), float(time)))
    return stages


def _table(rows: Sequence[ChainRow]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(ChainRow._fields)
    for row in rows:
        writer.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row])
    return text.getvalue().encode()
