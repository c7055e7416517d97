"""What a run leaves for people: `summary.json`, `chains.csv` and figures."""

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dipolar_md.analysis.bonds import energy_minimum
from dipolar_md.analysis.chains import find_chains
from dipolar_md.analysis.growth import Growth, growth
from dipolar_md.analysis.handedness import Handedness, fold, handedness
from dipolar_md.analysis.nanowires import (
    ChainRow,
    NanowireStatistics,
    nanowire_statistics,
)
from dipolar_md.analysis.reference import Comparison, Reference, compare, load_reference
from dipolar_md.chemistry.cluster import Cluster
from dipolar_md.errors import InputError, RunDirectoryError
from dipolar_md.files import save_figure
from dipolar_md.model.body import Body, coarse_grain
from dipolar_md.model.contacts import contact_surface
from dipolar_md.model.expectation import Outlook, expected_mean_length, phase_estimate
from dipolar_md.simulation.assembly import write_file
from dipolar_md.simulation.session import Run
from dipolar_md.trajectory import Frame
from dipolar_md.units import REFERENCE_TEMPERATURE_K


class Analysis(NamedTuple):
    """What `analyze` found and where it was written."""

    statistics: NanowireStatistics
    comparison: Comparison | None
    expected_mean_length: float | None
    summary: dict[str, Any]
    figures: tuple[Path, ...]
    handedness: Handedness | None


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
    first, last_ns = statistics.window_ns
    inside_window = [f for f in trajectory if first <= f.time_ns <= last_ns] if _rings(last) else []
    turns = handedness(inside_window) if inside_window else None
    summary: dict[str, Any] = {
        **statistics.summary(),
        "engine": run.manifest["sessions"][-1]["engine"],
        "seed": run.recipe.seed,
        "finished": run.finished,
        "times": run.manifest.get("times"),
        "expected_mean_chain_length": expected,
        "pair_energy_minimum": energy_minimum(statistics.reduced_energies),
        "handedness": _turns_summary(turns) if turns else None,
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
    return Analysis(statistics, comparison, expected, summary, figures, turns)


def _rings(frame: Frame) -> bool:
    return any(fold(body) > 1 for body in frame.system.bodies)


def _turns_summary(turns: Handedness) -> dict[str, Any]:
    """Return handedness as `summary.json` has it."""
    found: dict[str, Any] = {
        "alternation": turns.alternation.value if turns.alternation else None,
        "alternation_err": turns.alternation.error if turns.alternation else None,
        "random_alternation": turns.random_alternation,
    }
    for kind, twist in turns.twists.items():
        found[kind] = {
            "n_bonds": twist.n_bonds,
            "mean_twist_deg": twist.mean_deg,
            "twist_order": twist.order,
            "sine": twist.sine.value,
            "sine_err": twist.sine.error,
        }
    return found


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

    return save_drawing(lambda ax: plots.draw_expectation(ax, concentrations, curves), path)


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
    return save_drawing(
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
    hands = ("R", "S") if cluster.handedness == "racemic" else (None,)
    bodies = [
        coarse_grain(cluster, "janus", "charges", handedness=hand)
        for hand in (hands if cluster.janus is not None else ())
    ]
    return [_draw_body(body, folder / f"{body.name}-body.png") for body in bodies]


def _draw_body(body: Body, path: Path) -> Path:
    """Draw the sites of a body and its contact surface."""
    from dipolar_md import plots

    azimuth, polar = np.arange(0.0, 361.0, 3.0), np.arange(0.0, 181.0, 3.0)
    surface = contact_surface(body, _directions(*np.meshgrid(azimuth, polar)))
    around = _directions(0.0, np.arange(0.0, 361.0))
    outline = (contact_surface(body, around)[:, None] * around)[:, [0, 2]]

    def draw(axes: Any) -> object:
        columns = ("position_nm", "sigma_nm", "charge_e")
        x, sigma, charges = ([getattr(site, key) for site in body.sites] for key in columns)
        plots.draw_sites(axes[0], x, sigma, charges, outline)
        axes[0].set_title(f"{body.name}, {body.handedness}")
        return plots.draw_contact_surface(axes[1], azimuth, polar, surface)

    return save_drawing(draw, path, panels=2)


def _directions(azimuth_deg: ArrayLike, polar_deg: ArrayLike) -> NDArray[np.float64]:
    """Return unit vectors (..., 3) of azimuth and polar angle, degrees."""
    phi, theta = np.radians(azimuth_deg), np.radians(polar_deg)
    return np.stack(
        [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta) + 0 * phi], axis=-1
    )


def save_drawing(draw: Callable[[Any], object], path: Path, panels: int = 1) -> Path:
    """Write the picture of one panel or of several side by side; return its path.

    Args:
        draw: Function that draws on the axes of one panel, or on those of all panels.
        path: File of the picture.
        panels: Number of panels.

    Raises:
        RunDirectoryError: The file can't be written.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from dipolar_md import plots

    with rc_context(plots.STYLE):
        figure = Figure(figsize=(3.35 if panels == 1 else 7.0, 3.0))
        draw(figure.add_subplot() if panels == 1 else figure.subplots(1, panels))
        return save_figure(path, figure)


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
