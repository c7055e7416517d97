"""What a run leaves for people: `summary.json`, `chains.csv` and figures."""

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
from dipolar_md.analysis.induction import ClusterDipoles, cluster_dipoles
from dipolar_md.analysis.nanowires import (
    ChainRow,
    NanowireStatistics,
    nanowire_statistics,
)
from dipolar_md.analysis.reference import Comparison, Reference, compare, load_reference
from dipolar_md.chemistry.cluster import Cluster, load_cluster
from dipolar_md.errors import InputError
from dipolar_md.files import save_figure, write_csv, write_json, write_text
from dipolar_md.model.body import Body, coarse_grain
from dipolar_md.model.contacts import contact_surface
from dipolar_md.model.expectation import Outlook, expected_mean_length, phase_estimate
from dipolar_md.simulation.run_directory import Run
from dipolar_md.trajectory import Frame, Trajectory
from dipolar_md.units import REFERENCE_TEMPERATURE_K


class Analysis(NamedTuple):
    """What the frames of a run say, and where it was written.

    Attributes:
        statistics: Statistics of the chains.
        comparison: Comparison with a reference; None without one.
        expected_mean_length: Clusters per chain, from ideal association in the last environment;
            None of mixtures and where it expects nothing. It knows no box: a run can't reach more
            than its number of clusters.
        summary: What `summary.json` holds.
        figures: Paths of the figures.
        handedness: Alternation and twist along the chains; None where nothing tells them.
        dipoles: Total dipoles by place in the chains, and what the energy is made of; None where no
            induced dipoles were recorded.
    """

    statistics: NanowireStatistics
    comparison: Comparison | None
    expected_mean_length: float | None
    summary: dict[str, Any]
    figures: tuple[Path, ...]
    handedness: Handedness | None
    dipoles: ClusterDipoles | None


def analyze(
    run: Run | str | Path,
    reference: str | Path | Reference | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Analysis:
    """Analyse a run and write `summary.json`, `chains.csv` and `figures/*.png` into it.

    Args:
        run: Run or its directory.
        reference: Name, file or `Reference` to compare with, default the recipe's.
        progress: Function called with (frames done, frames in all).

    Returns:
        `Analysis`.

    Raises:
        InputError: no run there, no frames, or an unknown reference.
        RunDirectoryError: the directory can't be written.
    """
    run = run if isinstance(run, Run) else Run(Path(run))
    trajectory = run.trajectory
    wanted = run.recipe.reference if reference is None else reference
    loaded = None if wanted is None else load_reference(wanted)
    statistics = nanowire_statistics(trajectory, progress=progress)
    comparison = compare(statistics, loaded) if loaded else None
    expected = _expected_mean_length(trajectory[-1])
    turns = _handedness(trajectory, statistics.window_ns)
    dipoles = _dipoles(trajectory, statistics.window_ns)
    band = _spacing_band(loaded)
    summary = {
        **statistics.summary(),
        "engine": run.manifest["sessions"][-1]["engine"],
        "seed": run.recipe.seed,
        "finished": run.finished,
        "times": run.manifest.get("times"),
        "expected_mean_chain_length": expected,
        "pair_energy_minimum": energy_minimum(statistics.reduced_energies),
        "handedness": _turns_summary(turns) if turns else None,
        "induction": dipoles.summary() if dipoles else None,
        "reference": comparison.summary() if comparison else None,
    }
    if summary["times"] != "physical friction":  # a life in ns would be taken for a physical one
        for key in [key for key in summary if "_lifetime_ns" in key]:
            summary[key.replace("_lifetime_ns", "_lifetime_accelerated_ns")] = summary.pop(key)
    inside = statistics.spacing_fraction(*band) if band else None
    summary["spacing_nm"]["fraction_in_reference"] = inside
    write_json(run.path / "summary.json", summary)
    rows = [row._asdict() for row in statistics.chains]
    write_csv(run.path / "chains.csv", rows, ChainRow._fields)
    figures = _draw(run, trajectory[-1], statistics, growth(trajectory), expected, band)
    if dipoles:
        figures = (*figures, _draw_dipoles(dipoles, run.path / "figures" / "dipoles.png"))
    return Analysis(statistics, comparison, expected, summary, figures, turns, dipoles)


def _expected_mean_length(last: Frame) -> float | None:
    """Return what ideal association expects of a frame; None of mixtures, and where nothing."""
    if len(last.system.bodies) > 1:
        return None
    expected = expected_mean_length(
        last.system.bodies[0],
        last.relative_permittivity,
        last.temperature_K,
        last.system.concentration_mM,
    )
    return expected if math.isfinite(expected) else None


def _handedness(trajectory: Trajectory, window_ns: tuple[float, float]) -> Handedness | None:
    """Return the handedness along the chains of the analysed frames; None without rings."""
    if all(fold(body) == 1 for body in trajectory[-1].system.bodies):
        return None
    return handedness(_within(trajectory, window_ns))


def _dipoles(trajectory: Trajectory, window_ns: tuple[float, float]) -> ClusterDipoles | None:
    """Return the dipoles of the analysed frames; None where no induced ones were recorded."""
    if trajectory[-1].system.induced_dipoles is None:
        return None
    return cluster_dipoles(_within(trajectory, window_ns))


def _within(trajectory: Trajectory, window_ns: tuple[float, float]) -> list[Frame]:
    first, last = window_ns
    return [frame for frame in trajectory if first <= frame.time_ns <= last]


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
    from dipolar_md import plots

    graph = find_chains(last)
    bodies = last.system.bodies
    contact = max(body.axial_contact_nm for body in bodies)
    reachable = expected if expected and expected <= statistics.n_clusters else None

    def film(ax: Any) -> object:
        sizes = graph.sizes[graph.labels]
        return plots.draw_film(
            ax, last.system.positions, last.system.box, sizes, graph.bonds, contact
        )

    def lengths(ax: Any) -> object:
        return plots.draw_length_distribution(
            ax,
            statistics.sizes,
            statistics.n_frames,
            statistics.mean_chain_length.value,
            reachable,
        )

    def spacing(ax: Any) -> object:
        return plots.draw_spacing(ax, statistics.spacings_nm, band, _marks(bodies), contact)

    def pair_energy(ax: Any) -> object:
        minimum = energy_minimum(statistics.reduced_energies)
        return plots.draw_pair_energy(ax, statistics.reduced_energies, minimum=minimum)

    def course_panels(axes: Any) -> object:
        return plots.draw_growth(
            list(axes),
            course.time_ns,
            course.mean_length,
            relative_permittivity=course.relative_permittivity,
            concentration_mM=course.concentration_mM,
            stages=_stages(course),
        )

    folder = run.path / "figures"
    return (
        save_drawing(film, folder / "film.png", size=(3.35, 3.1)),
        save_drawing(lengths, folder / "chain_lengths.png", size=None),
        save_drawing(spacing, folder / "spacing.png", size=None),
        save_drawing(course_panels, folder / "growth.png", size=(3.35, 2.9), rows=(3, 2)),
        save_drawing(pair_energy, folder / "pair_energy.png", size=None),
    )


def _draw_dipoles(dipoles: ClusterDipoles, path: Path) -> Path:
    """Draw dipoles by place, and the energies beside them."""
    from dipolar_md import plots

    spread = {place: found.percentiles_D for place, found in dipoles.places.items()}
    energies = {name: (e.value, e.error) for name, e in dipoles.energies_kJ_mol.items()}

    def draw(axes: Any) -> object:
        plots.draw_dipoles(axes[0], spread, dipoles.permanent_D)
        return plots.draw_energy_split(axes[1], energies)

    return save_drawing(draw, path, panels=2)


def draw_outlook(outlook: Outlook, path: str | Path) -> Path:
    """Draw expected mean length against concentration in each medium.

    Args:
        outlook: What theory says of a neutral cluster (`describe`).
        path: The figure's file; its ending names the format.

    Returns:
        The path.

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

    return save_drawing(lambda ax: plots.draw_expectation(ax, concentrations, curves), Path(path))


def draw_phase_estimate(outlook: Outlook, path: str | Path) -> Path:
    """Draw where theory expects chains and where a cluster stands in it.

    Args:
        outlook: What theory says of a neutral cluster (`describe`).
        path: The figure's file; its ending names the format.

    Returns:
        The path.

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
        Path(path),
    )


def draw_bodies(cluster: str | Path | Cluster, folder: str | Path) -> list[Path]:
    """Draw each janus body of a cluster, R and S where it is racemic.

    Args:
        cluster: Shipped name, cluster file or cluster.
        folder: Folder of the figures.

    Returns:
        Paths of the figures; none of a cluster without rings.

    Raises:
        RunDirectoryError: a file can't be written.
    """
    cluster = load_cluster(cluster)
    hands = ("R", "S") if cluster.handedness == "racemic" else (None,)
    bodies = [
        coarse_grain(cluster, "janus", "charges", handedness=hand)
        for hand in (hands if cluster.janus is not None else ())
    ]
    return [_draw_body(body, Path(folder) / f"{body.name}-body.png") for body in bodies]


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


def save_drawing(
    draw: Callable[[Any], object],
    path: Path,
    panels: int = 1,
    size: tuple[float, float] | None = (3.35, 3.0),
    rows: Sequence[float] = (1,),
) -> Path:
    """Write a picture of one panel, of several side by side or of several that share their x axis.

    Args:
        draw: Function that draws into an Axes, or into an array of them.
        path: The file; its ending names the format.
        panels: Number of panels side by side.
        size: Width and height in inches, twice as wide of several panels; None for the style's.
        rows: Relative heights of panels one above the other.

    Returns:
        The path.

    Raises:
        RunDirectoryError: the file can't be written.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from dipolar_md import plots

    with rc_context(plots.STYLE):
        figure = Figure(figsize=(7.0, 3.0) if panels > 1 else size)
        if panels == len(rows) == 1:
            draw(figure.add_subplot())
        else:
            draw(figure.subplots(len(rows), panels, sharex=len(rows) > 1, height_ratios=rows))
        return save_figure(path, figure)


def write_cluster(cluster: Cluster, path: str | Path, overwrite: bool = False) -> Path:
    """Write a cluster file that `load_cluster` reads.

    Args:
        cluster: The cluster.
        path: The file.
        overwrite: Whether a file that exists is replaced.

    Returns:
        The path.

    Raises:
        InputError: the file exists and `overwrite` is false.
        RunDirectoryError: the file can't be written.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists already: choose another name, or say --overwrite")
    import tomli_w

    return write_text(path, tomli_w.dumps(cluster.model_dump(exclude_none=True)))


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
