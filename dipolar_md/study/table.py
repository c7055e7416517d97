"""What came of a study: one tidy table, means over replicas, threshold dipoles."""

import csv
import io
import math
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dipolar_md.analysis.chains import DEFAULT_CRITERION
from dipolar_md.analysis.nanowires import nanowire_statistics
from dipolar_md.analysis.timeseries import Estimate
from dipolar_md.chemistry.cluster import load_cluster
from dipolar_md.errors import InputError
from dipolar_md.model.body import Body, coarse_grain
from dipolar_md.model.expectation import contact_coupling, expected_mean_length
from dipolar_md.simulation.assembly import Run
from dipolar_md.study.ladder import LEAST_ACCEPTANCE
from dipolar_md.study.project import open_project
from dipolar_md.study.study_file import Stopping, Study
from dipolar_md.units import DEBYE

Row = dict[str, Any]

THRESHOLD_LENGTH = 2.0
"""Mean chain length at which chains are said to form, as `describe` takes it."""
THRESHOLD_CRITERIA = (DEFAULT_CRITERION, "energy_0.7", "distance_1.3_attractive")
"""Bond criteria by which thresholds are given: the default, a stricter and a looser one."""
SEED_SYSTEMS = {"r-au-cu": "R-Au-Cu", "r-1": "R-1", "au3cd": "Au3Cd"}


def study_rows(study: Study, path: Path) -> list[Row]:
    """Return one flat row per finished job of a study, axes first, in order of the axes.

    Raises:
        RunDirectoryError: no study there, or another one.
        InputError: no job is finished yet.
    """
    rows = []
    for job in open_project(study, path):
        document = dict(job.document())
        if document.get("status") == "done":
            rows.append({**job.cached_statepoint, **document["row"], "job": job.id})
    if not rows:
        raise InputError(
            f"{path}: no job is finished yet; run it with: dipolar-md study run {study.name}"
        )
    axes = [*study.axes, "replica"]
    return sorted(rows, key=lambda row: [(str(type(row[a])), row[a]) for a in axes])


def to_csv(rows: list[Row]) -> bytes:
    """Return the rows as CSV, one column for every key of any row; None is empty."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    return text.getvalue().encode()


def to_parquet(rows: list[Row]) -> bytes | None:
    """Return the rows as Parquet, columns as in `to_csv` with their types; None without pyarrow."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return None
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(name) for row in rows]
        if any(isinstance(value, str) for value in values):
            values = [None if value is None else str(value) for value in values]
        column = pyarrow.array(values)
        unknown = pyarrow.types.is_null(column.type)
        columns[name] = column.cast(pyarrow.float64()) if unknown else column
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


class StatePointMean(NamedTuple):
    """The replicas of one state point together.

    Attributes:
        row: of its first replica, for what all of them share.
        replicas: how many.
        lengths: mean chain length by bond criterion.
        settled: whether every replica is equilibrated.
        fractions: of chains by number, by the longest of each bin, see
            `NanowireStatistics.length_fractions`; empty where jobs of an earlier version lack it.
    """

    row: Row
    replicas: int
    lengths: dict[str, Estimate]
    settled: bool
    fractions: dict[int, Estimate]

    @property
    def length(self) -> Estimate:
        """Mean chain length by the default criterion."""
        return self.lengths[column_name(DEFAULT_CRITERION)]


def over_replicas(rows: list[Row], axes: list[str]) -> list[StatePointMean]:
    """Return the mean over the replicas of each state point.

    The error is the larger of what the replicas' own errors make and of what they scatter.
    """
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[axis] for axis in axes)].append(row)
    prefix = "mean_chain_length_"
    names = [key.removeprefix(prefix) for key in rows[0] if key.startswith(prefix)]
    names = [name for name in names if not name.endswith("err")]
    return [
        StatePointMean(
            group[0],
            len(group),
            {
                name: replica_mean(
                    [row[prefix + name] for row in group],
                    [row.get(f"{prefix}{name}_err") for row in group],
                )
                for name in names
            },
            all(row["equilibrated"] for row in group),
            _fractions(group),
        )
        for group in groups.values()
    ]


def _fractions(group: list[Row]) -> dict[int, Estimate]:
    """Return the fractions of chains over replicas; lengths that one never saw count as 0 there."""
    prefix = "chain_fraction_to_"
    keys = {key for row in group for key in row if key.startswith(prefix)}
    found = sorted(int(key.removeprefix(prefix)) for key in keys if not key.endswith("_err"))
    return {
        n: replica_mean(
            [row.get(f"{prefix}{n}", 0.0) for row in group],
            [row.get(f"{prefix}{n}_err", 0.0) for row in group],
        )
        for n in found
    }


def replica_mean(values: list[float], errors: list[float | None]) -> Estimate:
    """Return the mean of replicas; its error is the larger of what they say and scatter."""
    known = [error for error in errors if error is not None]
    made = math.sqrt(sum(e * e for e in known)) / len(values) if len(known) == len(values) else None
    if len(values) == 1:
        return Estimate(values[0], made)
    scatter = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Estimate(float(np.mean(values)), max(made or 0.0, scatter))


class Threshold(NamedTuple):
    """The dipole at which the mean chain length reaches `THRESHOLD_LENGTH`.

    Attributes:
        criterion: of the bonds.
        series: the other axes' values.
        dipole_D: and its standard error; None where the study doesn't bracket it.
        low_D, high_D: the dipoles of the study on either side of it.
    """

    criterion: str
    series: dict[str, Any]
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
        draws: samples for the error.
        seed: of the samples.
    """
    x, y, s = (np.asarray(values, dtype=np.float64) for values in (dipole_D, length, error))
    above = np.flatnonzero(y >= THRESHOLD_LENGTH)
    if not len(above) or above[0] == 0:
        return (
            None,
            (float(x[-1]) if not len(above) else None),
            (float(x[0]) if len(above) else None),
        )
    k = int(above[0])
    rng = np.random.default_rng(seed)
    pair = np.maximum(rng.normal(y[k - 1 : k + 1], s[k - 1 : k + 1], (draws, 2)) - 1, 1e-6)
    found = [_crossing(x[k - 1], x[k], a, b) for a, b in np.log(pair)]
    value = _crossing(x[k - 1], x[k], *np.log(np.maximum(y[k - 1 : k + 1] - 1, 1e-6)))
    return Estimate(value, float(np.std(found))), float(x[k - 1]), float(x[k])


def _crossing(low: float, high: float, a: float, b: float) -> float:
    """Return where the line through (low, a) and (high, b) is log(`THRESHOLD_LENGTH` − 1)."""
    goal = math.log(THRESHOLD_LENGTH - 1)
    if not a < b:
        return (low + high) / 2
    return float(np.clip(low + (high - low) * (goal - a) / (b - a), low, high))


def thresholds(means: list[StatePointMean], axes: list[str]) -> list[Threshold]:
    """Return the threshold dipole along every series of state points, by three bond criteria.

    Empty where the dipole is no axis with two values or more.
    """
    found = []
    for series, members in dipole_series(means, axes):
        x = [mean.row["dipole_D"] for mean in members]
        for criterion in THRESHOLD_CRITERIA if len(x) > 1 else ():
            lengths = [mean.lengths[column_name(criterion)] for mean in members]
            errors = [estimate.error or 0.0 for estimate in lengths]
            found.append(
                Threshold(
                    criterion, series, *threshold_dipole(x, [one.value for one in lengths], errors)
                )
            )
    return found


def dipole_series(
    means: list[StatePointMean], axes: list[str]
) -> list[tuple[dict[str, Any], list[StatePointMean]]]:
    """Return state points that differ in the dipole alone, by the values of the other axes."""
    if "dipole_D" not in axes:
        return []
    groups: dict[tuple[Any, ...], list[StatePointMean]] = defaultdict(list)
    others = [axis for axis in axes if axis != "dipole_D"]
    for mean in means:
        groups[tuple(mean.row[axis] for axis in others)].append(mean)
    return [
        (dict(zip(others, key, strict=True)), sorted(group, key=lambda m: m.row["dipole_D"]))
        for key, group in groups.items()
    ]


class ExchangePair(NamedTuple):
    """Two neighbouring dipoles of a ladder.

    Attributes:
        series: the other axes' values.
        low_D, high_D: the dipoles.
        acceptance: accepted part of the swaps tried, mean over replicas; None before the first.
        round_trips: of the whole ladder, lowest dipole to highest and back, all replicas together.
    """

    series: dict[str, Any]
    low_D: float
    high_D: float
    acceptance: float | None
    round_trips: int

    @property
    def too_far(self) -> bool:
        """Whether too few swaps are accepted."""
        return self.acceptance is not None and self.acceptance < LEAST_ACCEPTANCE


def exchange_pairs(rows: list[Row], axes: list[str]) -> list[ExchangePair]:
    """Return what swapped along every series of a study that exchanges; empty for any other."""
    ladders: dict[tuple[Any, ...], dict[float, list[Row]]] = defaultdict(lambda: defaultdict(list))
    others = [axis for axis in axes if axis != "dipole_D"]
    for row in rows:
        if "exchange_round_trips" in row:
            ladders[tuple(row[axis] for axis in others)][row["dipole_D"]].append(row)
    found = []
    for key, rungs in ladders.items():
        dipoles = sorted(rungs)
        for low, high in pairwise(dipoles):
            ratios = [row["exchange_acceptance"] for row in rungs[low]]
            known = [ratio for ratio in ratios if ratio is not None]
            trips = sum(row["exchange_round_trips"] for row in rungs[low])
            mean = float(np.mean(known)) if known else None
            series = dict(zip(others, key, strict=True))
            found.append(ExchangePair(series, low, high, mean, trips))
    return found


class SeedSystem(NamedTuple):
    """A published cluster on the map of another body.

    Attributes:
        name: its name.
        dipole_D: its own.
        equivalent_D: the dipole that gives the other body the same λ at contact; the two differ
            because the sizes do.
    """

    name: str
    dipole_D: float
    equivalent_D: float


def seed_systems(body: Body) -> list[SeedSystem]:
    """Return where the published clusters stand on the dipole axis of a body."""
    own = contact_coupling(body, 1.0, 298.15)
    found = []
    for file, name in SEED_SYSTEMS.items():
        other = coarse_grain(load_cluster(file))
        ratio = math.sqrt(contact_coupling(other, 1.0, 298.15) / own)
        own_D, other_D = (b.dipole_magnitude_e_nm / DEBYE for b in (body, other))
        found.append(SeedSystem(name, other_D, own_D * ratio))
    return found


def row_of(run: Run, stopping: Stopping | None, reached: bool) -> dict[str, Any]:
    """Return what a finished run says; `reached` where the stopping rule ended it."""
    recipe, statistics = run.recipe, nanowire_statistics(run.trajectory)
    summary, counts = statistics.summary(), recipe.bodies()
    body = max(counts, key=lambda one: counts[one])
    expected = expected_mean_length(
        body,
        statistics.relative_permittivity,
        statistics.temperature_K,
        statistics.concentration_mM,
    )
    value, error = statistics.mean_chain_length
    ended = "complete"
    if stopping:
        precise = error is not None and error <= stopping.relative_error * value
        good = precise and statistics.equilibration.equilibrated
        ended = "target" if reached or good else "budget"
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
        "expected_mean_chain_length": expected if math.isfinite(expected) else None,
        "independent_samples": statistics.independent_samples["mean_chain_length"],
        "equilibrated": statistics.equilibration.equilibrated,
        "ended": ended,
        "steps": run.manifest["sessions"][-1]["last_step"],
        "seed": recipe.seed,
    }


def column_name(criterion: str) -> str:
    """Return a bond criterion as part of a column's name; signac's keys hold no dots."""
    return criterion.replace(".", "_")


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
