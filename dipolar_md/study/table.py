"""What came of a study: one tidy table, means over replicas, threshold dipoles."""

import io
import math
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dipolar_md.analysis.bonds import CRITERIA, DEFAULT_CRITERION
from dipolar_md.analysis.nanowires import NanowireStatistics, nanowire_statistics
from dipolar_md.analysis.timeseries import Estimate
from dipolar_md.chemistry.cluster import load_cluster
from dipolar_md.errors import InputError
from dipolar_md.model.body import Body, coarse_grain
from dipolar_md.model.expectation import contact_coupling, expected_mean_length
from dipolar_md.simulation.run_directory import Run
from dipolar_md.study.jobs import Job, StatePoint
from dipolar_md.study.ladder import LEAST_ACCEPTANCE
from dipolar_md.study.project import open_project
from dipolar_md.study.study_file import Stopping, Study
from dipolar_md.units import DEBYE, REFERENCE_TEMPERATURE_K

Row = dict[str, Any]
"""What a finished job tells: numbers and words by column."""

THRESHOLD_LENGTH = 2.0
"""Mean chain length at which chains are said to form, as `describe` takes it."""
THRESHOLD_CRITERIA = (DEFAULT_CRITERION, "energy_0.7", "distance_1.3_attractive")
"""Bond criteria by which thresholds are given: the default, a stricter and a looser one."""
PUBLISHED = {"r-au-cu": "R-Au-Cu", "r-1": "R-1", "au3cd": "Au3Cd"}
"""Files and names of the published clusters that are set beside a study."""


class JobResult(NamedTuple):
    """A finished job and what it tells.

    Attributes:
        job: The job.
        row: Its row: the axes first, their values as the study file states them.
    """

    job: Job
    row: Row


class StudyResults(NamedTuple):
    """The finished jobs of a study.

    Attributes:
        results: Finished jobs, sorted by the values of the axes.
        left_out: Number of finished jobs of values that the study file no longer has.
    """

    results: list[JobResult]
    left_out: int

    @property
    def rows(self) -> list[Row]:
        """One flat row per job."""
        return [result.row for result in self.results]


def read_results(study: Study, path: Path) -> StudyResults:
    """Return what the finished jobs of a study tell, of the values that the study file has.

    Raises:
        RunDirectoryError: No study there, or another one.
        InputError: No job is finished yet.
    """
    project = open_project(study, path)
    results = []
    for id, job in project.jobs.items():
        state, document = project.folder(id).read()
        if state == "done":
            results.append(JobResult(job, {**job.point, **document["row"], **job.point, "job": id}))
    if not results:
        raise InputError(
            f"{path}: no job is finished yet; run it with: dipolar-md study run {study.name}"
        )
    left_out = sum(folder.read()[0] == "done" for folder in project.others)
    return StudyResults(sorted(results, key=_place), left_out)


def describe_left_out(number: int) -> str:
    """Return in words how many finished jobs are left out, and why."""
    jobs = "1 finished job" if number == 1 else f"{number} finished jobs"
    verb = "is" if number == 1 else "are"
    return f"{jobs} of values that the study file no longer has {verb} left out."


def _place(result: JobResult) -> list[tuple[str, float | str]]:
    """Return what jobs are sorted by: the axes in their order, then the replica."""
    return [(str(type(value)), value) for value in result.job.point.values()]


def to_parquet(rows: list[Row]) -> bytes | None:
    """Return the rows as Parquet, a typed column for every key of any row; None without pyarrow."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return None

    def column(name: str) -> Any:
        values = [row.get(name) for row in rows]
        if any(isinstance(value, str) for value in values):
            values = [None if value is None else str(value) for value in values]
        array = pyarrow.array(values)
        return array.cast(pyarrow.float64()) if pyarrow.types.is_null(array.type) else array

    names = dict.fromkeys(key for row in rows for key in row)
    file = io.BytesIO()
    parquet.write_table(pyarrow.table({name: column(name) for name in names}), file)
    return file.getvalue()


class StatePointMean(NamedTuple):
    """The replicas of one state point together.

    Attributes:
        job: Job of the first replica; all share the values of the axes and the bodies.
        row: Row of the first replica, for what all of them share.
        replicas: Number of replicas.
        lengths: Mean chain length by bond criterion (`energy_0.5`).
        settled: Whether every replica is equilibrated.
        fractions: Fraction of chains by number, by the longest of each bin, see
            `NanowireStatistics.length_fractions`; empty where jobs of an earlier version lack it.
    """

    job: Job
    row: Row
    replicas: int
    lengths: dict[str, Estimate]
    settled: bool
    fractions: dict[int, Estimate]

    @property
    def point(self) -> StatePoint:
        """Value of each axis."""
        return self.job.values

    @property
    def dipole_D(self) -> float:
        """Dipole in debye."""
        return float(self.row["dipole_D"])

    @property
    def length(self) -> Estimate:
        """Mean chain length by the default criterion."""
        return self.lengths[DEFAULT_CRITERION]


def average_replicas(results: list[JobResult]) -> list[StatePointMean]:
    """Return the mean over the replicas of each state point.

    The error is the larger of what the replicas' own errors make and of what they scatter.
    """
    points: dict[tuple[float | str, ...], list[JobResult]] = defaultdict(list)
    for result in results:
        points[tuple(result.job.values.values())].append(result)
    return [_state_point_mean(members) for members in points.values()]


def _state_point_mean(members: list[JobResult]) -> StatePointMean:
    first, rows = members[0], [member.row for member in members]
    return StatePointMean(
        first.job,
        first.row,
        len(rows),
        {
            criterion: combine(
                [row[column] for row in rows], [row.get(f"{column}_err") for row in rows]
            )
            for criterion, column in LENGTH_COLUMNS.items()
            if column in first.row
        },
        all(row["equilibrated"] for row in rows),
        _fractions(rows),
    )


def _fractions(rows: list[Row]) -> dict[int, Estimate]:
    """Return the fractions of chains over replicas; lengths that one never saw count as 0 there."""
    prefix = "chain_fraction_to_"
    names = {key.removeprefix(prefix) for row in rows for key in row if key.startswith(prefix)}
    return {
        longest: combine(
            [row.get(f"{prefix}{longest}", 0.0) for row in rows],
            [row.get(f"{prefix}{longest}_err", 0.0) for row in rows],
        )
        for longest in sorted(int(name) for name in names if name.isdigit())
    }


def combine(values: list[float], errors: list[float | None]) -> Estimate:
    """Return the mean of replicas; its error is the larger of what they say and scatter."""
    known = [error for error in errors if error is not None]
    stated = None
    if len(known) == len(values):
        stated = math.sqrt(sum(e * e for e in known)) / len(values)
    if len(values) == 1:
        return Estimate(values[0], stated)
    scatter = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Estimate(float(np.mean(values)), max(stated or 0.0, scatter))


class Threshold(NamedTuple):
    """The dipole at which the mean chain length reaches `THRESHOLD_LENGTH`.

    Attributes:
        criterion: Bond criterion.
        series: Values of the other axes.
        dipole_D: Threshold and its standard error; None where the study doesn't bracket it.
        low_D: Highest dipole of the study below it; None where chains form at all of them.
        high_D: Lowest dipole of the study above it; None where chains form at none of them.
    """

    criterion: str
    series: StatePoint
    dipole_D: Estimate | None
    low_D: float | None
    high_D: float | None


def threshold_dipole(
    dipole_D: ArrayLike, length: ArrayLike, error: ArrayLike, draws: int = 1000, seed: int = 1
) -> tuple[Estimate | None, float | None, float | None]:
    """Return where a mean chain length first reaches `THRESHOLD_LENGTH`, and its neighbours.

    log(n̄ − 1) is interpolated linearly between the two dipoles on either side of it. The standard
    error is that of the same number from lengths drawn about the measured with their errors; what
    a wide step between the dipoles hides is not in it.

    Args:
        dipole_D: (n,) increasing, in debye.
        length: (n,) mean chain lengths.
        error: (n,) their standard errors.
        draws: Number of samples for the error.
        seed: Seed of the samples.

    Returns:
        Threshold, the dipole below and the dipole above, as in `Threshold`.
    """
    x, y, s = (np.asarray(values, dtype=np.float64) for values in (dipole_D, length, error))
    above = np.flatnonzero(y >= THRESHOLD_LENGTH)
    if not len(above):
        return None, float(x[-1]), None
    k = int(above[0])
    if k == 0:
        return None, None, float(x[0])
    rng = np.random.default_rng(seed)
    pair = np.maximum(rng.normal(y[k - 1 : k + 1], s[k - 1 : k + 1], (draws, 2)) - 1, 1e-6)
    samples = [_crossing(x[k - 1], x[k], a, b) for a, b in np.log(pair)]
    value = _crossing(x[k - 1], x[k], *np.log(np.maximum(y[k - 1 : k + 1] - 1, 1e-6)))
    return Estimate(value, float(np.std(samples))), float(x[k - 1]), float(x[k])


def _crossing(low: float, high: float, a: float, b: float) -> float:
    """Return where the line through (low, a) and (high, b) is log(`THRESHOLD_LENGTH` − 1)."""
    goal = math.log(THRESHOLD_LENGTH - 1)
    if not a < b:
        return (low + high) / 2
    return float(np.clip(low + (high - low) * (goal - a) / (b - a), low, high))


def find_thresholds(means: list[StatePointMean]) -> list[Threshold]:
    """Return the threshold dipole along every series of state points, by three bond criteria.

    Empty where the dipole is no axis with two values or more.
    """
    thresholds = []
    for series, members in dipole_series(means):
        if len(members) < 2:
            continue
        for criterion in THRESHOLD_CRITERIA:
            lengths = [mean.lengths[criterion] for mean in members]
            crossing = threshold_dipole(
                [mean.dipole_D for mean in members],
                [length.value for length in lengths],
                [length.error or 0.0 for length in lengths],
            )
            thresholds.append(Threshold(criterion, series, *crossing))
    return thresholds


def dipole_series(means: list[StatePointMean]) -> list[tuple[StatePoint, list[StatePointMean]]]:
    """Return state points that differ in the dipole alone, by the values of the other axes."""
    groups: dict[tuple[float | str, ...], list[StatePointMean]] = defaultdict(list)
    for mean in means:
        if "dipole_D" in mean.point:
            groups[tuple(_others(mean.job).values())].append(mean)
    return [
        (_others(members[0].job), sorted(members, key=lambda mean: mean.dipole_D))
        for members in groups.values()
    ]


def _others(job: Job) -> StatePoint:
    """Return the values of all axes but the dipole."""
    return {key: value for key, value in job.values.items() if key != "dipole_D"}


class ExchangePair(NamedTuple):
    """Two neighbouring dipoles of a ladder.

    Attributes:
        series: Values of the other axes.
        low_D: Lower dipole.
        high_D: Higher dipole.
        acceptance: Accepted part of the swaps tried, mean over replicas; None before the first.
        round_trips: Round trips of the whole ladder, lowest dipole to highest and back, all
            replicas together.
    """

    series: StatePoint
    low_D: float
    high_D: float
    acceptance: float | None
    round_trips: int

    @property
    def too_far(self) -> bool:
        """Whether too few swaps are accepted."""
        return self.acceptance is not None and self.acceptance < LEAST_ACCEPTANCE


def exchange_pairs(results: list[JobResult]) -> list[ExchangePair]:
    """Return what swapped along every series of a study that exchanges; empty for any other."""
    ladders: dict[tuple[float | str, ...], list[JobResult]] = defaultdict(list)
    for result in results:
        if "exchange_round_trips" in result.row:
            ladders[tuple(_others(result.job).values())].append(result)
    return [pair for members in ladders.values() for pair in _pairs(members)]


def _pairs(members: list[JobResult]) -> list[ExchangePair]:
    """Return the neighbouring dipoles of one ladder and its replicas."""
    rungs: dict[float, list[Row]] = defaultdict(list)
    for member in members:
        rungs[member.row["dipole_D"]].append(member.row)
    pairs = []
    for low, high in pairwise(sorted(rungs)):
        ratios = [row["exchange_acceptance"] for row in rungs[low]]
        known = [ratio for ratio in ratios if ratio is not None]
        trips = sum(row["exchange_round_trips"] for row in rungs[low])
        mean = float(np.mean(known)) if known else None
        pairs.append(ExchangePair(_others(members[0].job), low, high, mean, trips))
    return pairs


class SeedSystem(NamedTuple):
    """A published cluster on the map of another body.

    Attributes:
        name: Name of the cluster.
        dipole_D: Its own dipole.
        equivalent_D: Dipole that gives the other body the same λ at contact; the two differ because
            the sizes do.
    """

    name: str
    dipole_D: float
    equivalent_D: float


def seed_systems(body: Body) -> list[SeedSystem]:
    """Return where the published clusters stand on the dipole axis of a body."""
    own = contact_coupling(body, 1.0, REFERENCE_TEMPERATURE_K)
    own_D = body.dipole_magnitude_e_nm / DEBYE
    systems = []
    for file, name in PUBLISHED.items():
        other = coarse_grain(load_cluster(file))
        ratio = math.sqrt(contact_coupling(other, 1.0, REFERENCE_TEMPERATURE_K) / own)
        systems.append(SeedSystem(name, other.dipole_magnitude_e_nm / DEBYE, own_D * ratio))
    return systems


def make_row(job: Job, run: Run, stopping: Stopping | None, reached: bool) -> Row:
    """Return what a finished run tells.

    Args:
        job: The job that was run.
        run: Its run directory.
        stopping: Stopping rule of the study.
        reached: Whether that rule ended the run.
    """
    statistics = nanowire_statistics(run.trajectory)
    summary, body = statistics.summary(), job.body
    by_criterion = summary["mean_chain_length_by_criterion"]
    return {
        "cluster": statistics.cluster,
        "n_clusters": statistics.n_clusters,
        "dipole_D": body.dipole_magnitude_e_nm / DEBYE,
        "axial_contact_nm": body.axial_contact_nm,
        **{key: summary[key] for key in _KEPT if key in summary},
        **{f"mean_chain_length_{column_name(key)}": number for key, number in by_criterion.items()},
        **_flat("contour_length", summary["contour_length_nm"]),
        **_flat("spacing", summary["spacing_nm"]),
        **{
            f"chain_fraction_to_{longest}{suffix}": number
            for longest, share in statistics.length_fractions().items()
            for suffix, number in zip(("", "_err"), share, strict=True)
        },
        "expected_mean_chain_length": _expected(job, statistics),
        "independent_samples": statistics.independent_samples["mean_chain_length"],
        "equilibrated": statistics.equilibration.equilibrated,
        "ended": _ending(statistics, stopping, reached),
        "steps": run.manifest["sessions"][-1]["last_step"],
        "seed": job.plan.recipe.seed,
    }


def _expected(job: Job, statistics: NanowireStatistics) -> float | None:
    """Return the mean length that theory expects; None where it has no number, or of mixtures."""
    if job.only_body is None:
        return None
    length = expected_mean_length(
        job.only_body,
        statistics.relative_permittivity,
        statistics.temperature_K,
        statistics.concentration_mM,
    )
    return length if math.isfinite(length) else None


def _ending(statistics: NanowireStatistics, stopping: Stopping | None, reached: bool) -> str:
    """Return `complete`, or at which of `target` and `budget` a job with a stopping rule ended."""
    if not stopping:
        return "complete"
    value, error = statistics.mean_chain_length
    precise = error is not None and error <= stopping.relative_error * value
    return "target" if reached or (precise and statistics.equilibration.equilibrated) else "budget"


def column_name(criterion: str) -> str:
    """Return a bond criterion as part of a column's name; signac's keys hold no dots."""
    return criterion.replace(".", "_")


LENGTH_COLUMNS = {name: f"mean_chain_length_{column_name(name)}" for name in CRITERIA}
"""Column of the mean chain length by bond criterion."""


def _flat(name: str, table: dict[str, Any]) -> dict[str, Any]:
    """Return lengths by `NAME_KEY_nm`, their errors by `NAME_KEY_nm_err`."""
    return {
        f"{name}_{key.removesuffix('_err')}_nm{'_err' * key.endswith('_err')}": number
        for key, number in table.items()
    }


_KEPT = tuple(
    name + suffix
    for name in (
        *("temperature_K", "relative_permittivity", "concentration_mM", "lambda_contact"),
        *("mean_chain_length", "weight_mean_chain_length", "max_chain_length"),
        *("chained_fraction", "ring_fraction", "branched_fraction", "percolating"),
        *("persistence_length_nm", "polar_order", "nematic_order", "n_frames", "time_ns"),
    )
    for suffix in ("", "_err")
)
