"""Published values and a user's own measurements, and how a simulation stands beside them."""

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator
from scipy import stats

from dipolar_md.analysis.nanowires import NanowireStatistics
from dipolar_md.analysis.timeseries import Estimate
from dipolar_md.errors import InputError
from dipolar_md.files import read_bytes
from dipolar_md.parameters import Name, Parameters, Positive, Text, load

Floats = NDArray[np.float64]

MEASURABLE = (
    "spacing_nm",
    "projected_spacing_nm",
    "contour_length_nm",
    "projected_length_nm",
)
"""Columns of a CSV of measurements; `projected_…` as seen on a micrograph."""
FEWEST_MEASURED = 5
MOST_RESAMPLED = 2000
"""Values of a sample that a bootstrap draws from; more are thinned evenly."""
SIGNIFICANCE = 0.05
"""Kolmogorov-Smirnov probability from which on two samples agree."""


class ReferenceQuantity(Parameters):
    """A measured range, open on one side where a limit is missing, or a single value.

    Attributes:
        quantity: Name of the quantity, with its unit.
        low: Lower limit of the range, nm.
        high: Upper limit of the range, nm.
        value: Single value, nm.
        projected: Whether it was seen on a micrograph, where what climbs looks shorter.
        source: Publication, with its DOI.
    """

    quantity: Literal["spacing_nm", "contour_length_nm", "core_diameter_nm", "lateral_spacing_nm"]
    low: Positive | None = None
    high: Positive | None = None
    value: Positive | None = None
    projected: bool = False
    source: Text

    @model_validator(mode="after")
    def _states_something(self) -> Self:
        if (self.value is None) == (self.low is None and self.high is None):
            raise ValueError("state either value, or low and/or high")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low must not exceed high (found {self.low} > {self.high})")
        return self

    def __str__(self) -> str:
        if self.value is not None:
            return f"{self.value:g} nm"
        if self.low is not None and self.high is not None:
            return f"{self.low:g}–{self.high:g} nm"
        return f"≥ {self.low:g} nm" if self.low is not None else f"≤ {self.high:g} nm"


class Reference(Parameters):
    """A published measurement of some clusters.

    Attributes:
        name: Name of the file.
        title: One line for people.
        source: Publication, with its DOI.
        clusters: Names of the clusters that were measured.
        quantities: What was measured.
    """

    name: Name
    title: Text
    source: Text
    clusters: list[Text]
    quantities: list[ReferenceQuantity] = Field(min_length=1)

    def quantity(self, name: str) -> ReferenceQuantity | None:
        """Return a quantity by its name.

        Args:
            name: One of the names that `ReferenceQuantity.quantity` allows.

        Returns:
            The quantity; None where the reference doesn't have it.
        """
        return next((q for q in self.quantities if q.quantity == name), None)


def load_reference(name: str | Path | Reference) -> Reference:
    """Return the reference of a shipped name (`tem-r-au-cu`) or of a TOML file.

    Args:
        name: Shipped name or path; a reference is returned as it is.

    Returns:
        The validated reference.

    Raises:
        InputError: unknown name (the nearest are listed), or a wrong file (each key is named).
    """
    return name if isinstance(name, Reference) else load(Reference, "references", name)


def read_measured(path: str | Path) -> dict[str, Floats]:
    """Return a user's own measurements: columns of a CSV by name, blank cells left out.

    The first line names the columns, those of `MEASURABLE`; others are ignored. Cells are separated
    by commas, semicolons or tabs; with one of the last two a decimal comma is read as such.

    Args:
        path: CSV file.

    Returns:
        (K,) lengths in nm by column.

    Raises:
        InputError: no such file, no such column, or a cell that is no positive number; its line is
            named.
    """
    path = Path(path)
    try:
        header, *lines = read_bytes(path).decode("utf-8-sig").splitlines() or [""]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: can't be read as text ({error})") from error
    separator = max(",;\t", key=header.count)
    try:
        names = [name.strip() for name in next(csv.reader([header], delimiter=separator), [])]
        reader = csv.reader(lines, delimiter=separator, strict=True)
        rows = [(reader.line_num + 1, row) for row in reader]
    except csv.Error as error:
        raise InputError(f"{path}: no table ({error})") from error
    if not set(names) & set(MEASURABLE):
        raise InputError(
            f"{path}: the first line names no column of {', '.join(MEASURABLE)} (found "
            f"'{header[:60]}')"
        )
    for line, row in rows:
        if len(row) > len(names):
            raise InputError(
                f"{path}, line {line}: {len(row)} cells for {len(names)} columns ('"
                f"{separator.join(row)[:60]}'); where commas are decimal, let semicolons or tabs "
                "separate the cells"
            )
    return {
        name: _column(rows, names, name, separator, path) for name in names if name in MEASURABLE
    }


def _column(
    rows: list[tuple[int, list[str]]], names: list[str], name: str, separator: str, path: Path
) -> Floats:
    """Return the positive numbers of a column of numbered rows."""
    if names.count(name) > 1:
        raise InputError(f"{path}: the first line names column {name} twice")
    place = names.index(name)
    lengths = [
        _length(row[place].strip(), separator, f"{path}, line {line}, {name}")
        for line, row in rows
        if len(row) > place and row[place].strip()
    ]
    if not lengths:
        raise InputError(f"{path}: column {name} has no numbers")
    return np.array(lengths)


def _length(text: str, separator: str, where: str) -> float:
    """Return a positive number; its decimal point may be a comma where that separates no cells."""
    plain = text.replace(",", ".") if separator != "," else text
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", plain, re.ASCII):
        raise InputError(
            f"{where}: '{text[:60]}' is no number; lengths in nm are expected, such as 1.85"
        )
    value = float(plain)
    if not 1e-6 < value < 1e9:
        raise InputError(f"{where}: must be positive and finite, in nm (found {text[:60]})")
    return value


class SampleComparison(NamedTuple):
    """Two samples of one quantity beside each other.

    Attributes:
        simulated: Number of simulated values.
        measured: Number of measured values.
        median_measured_nm: Median of the measured sample, nm.
        overlap: Part of the simulated values inside the 5-95 % range of the measured ones.
        ks: Kolmogorov-Smirnov distance of the two cumulative distributions, 0 to 1.
        ks_p: Probability of a distance as large if both were of one distribution.
        distance_nm: Earth mover's distance, nm: how far a value has to move on average.
        distance_low_nm: Lower end of its 95 % bootstrap interval, nm.
        distance_high_nm: Upper end, nm.
    """

    simulated: int
    measured: int
    median_measured_nm: float
    overlap: float
    ks: float
    ks_p: float
    distance_nm: float
    distance_low_nm: float
    distance_high_nm: float


def compare_samples(
    simulated_nm: ArrayLike, measured_nm: ArrayLike, independent: float | None = None
) -> SampleComparison:
    """Return how a simulated sample stands beside a measured one.

    The probability takes the measured values for independent; simulated values of successive frames
    are not.

    Args:
        simulated_nm: (N,) simulated values, nm.
        measured_nm: (M,) measured values, nm.
        independent: Number of independent values among the simulated ones, default all.

    Returns:
        `SampleComparison`. The interval is that of at most `MOST_RESAMPLED` values of each sample,
        which widens it.

    Raises:
        InputError: an empty sample, or values that are not finite.
    """
    x, y = np.asarray(simulated_nm, np.float64), np.asarray(measured_nm, np.float64)
    if not (x.size and y.size and np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError(f"samples need finite values (found {x.size} and {y.size} values)")
    distance = float(stats.ks_2samp(x, y, method="asymp").statistic)
    n = x.size if independent is None else float(np.clip(independent, 1, x.size))
    effective = max(round(n * y.size / (n + y.size)), 1)
    low, high = np.percentile(y, [5, 95])
    interval = stats.bootstrap(
        (_thinned(x), _thinned(y)),
        stats.wasserstein_distance,
        n_resamples=400,
        vectorized=False,
        confidence_level=0.95,
        method="percentile",
        random_state=np.random.default_rng(1),
    ).confidence_interval
    return SampleComparison(
        simulated=x.size,
        measured=y.size,
        median_measured_nm=float(np.median(y)),
        overlap=float(((x >= low) & (x <= high)).mean()),
        ks=distance,
        ks_p=float(stats.kstwo.sf(distance, effective)),
        distance_nm=float(stats.wasserstein_distance(x, y)),
        distance_low_nm=float(interval.low),
        distance_high_nm=float(interval.high),
    )


def _thinned(sample: Floats) -> Floats:
    return sample[:: -(-len(sample) // MOST_RESAMPLED)]


class Verdict(NamedTuple):
    """One quantity of a simulation beside a reference.

    Attributes:
        quantity: Name of the quantity, with its unit.
        value: Value of the simulation, nm; None where it has none.
        error: Standard error of that value, nm; None where it has none.
        reference: Range, value or sample in words.
        verdict: `inside`, `below`, `above`, `agrees`, `differs`, `no bonds`, `not predicted`
            or, of a sample of less than `FEWEST_MEASURED`, `too few`.
        tag: `calibrated` where an input fixes the answer, `predicted` where the model does.
        overlap: Part of the simulated values inside the range; None where there is none.
        sample: Comparison with a measured sample; None against a published value or range.
    """

    quantity: str
    value: float | None
    error: float | None
    reference: str
    verdict: str
    tag: str
    overlap: float | None = None
    sample: SampleComparison | None = None


class Comparison(NamedTuple):
    """The verdicts on a run; `applies` is False where the reference is of other clusters.

    Attributes:
        reference: Published values; None where only measurements were given.
        applies: Whether the reference is of these clusters.
        verdicts: One verdict per quantity, first the published, then the measured.
    """

    reference: Reference | None
    applies: bool
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Whether every predicted quantity lies inside its range or agrees."""
        good = ("inside", "agrees", "not predicted", "too few")
        return all(v.verdict in good for v in self.verdicts if v.tag == "predicted")

    def summary(self) -> dict[str, Any]:
        """Return the comparison as plain values.

        Returns:
            The `reference` entry of `summary.json`.
        """
        return {
            "name": self.reference.name if self.reference else None,
            "applies": self.applies,
            "verdicts": [
                verdict._asdict() | {"sample": verdict.sample and verdict.sample._asdict()}
                for verdict in self.verdicts
            ],
        }


def compare(
    statistics: NanowireStatistics,
    reference: str | Path | Reference | None,
    measured: Mapping[str, ArrayLike] | None = None,
    imaged: Mapping[str, ArrayLike] | None = None,
) -> Comparison:
    """Return how chain statistics stand beside published values and a user's measurements.

    Spacing is compared by its median and tagged `calibrated`: the axial contact is an input of the
    cluster file. Where it was seen in projection, the projected spacing stands beside it. Length is
    compared by the mean contour length of chains of two or more and tagged `predicted`. Sizes of
    cores are `not predicted` by a sphere model, nor is a crystal's lateral spacing, beside which
    the lateral spacing of bundles is given.

    Args:
        statistics: Statistics of the simulation.
        reference: Published values, as a shipped name, a file or a `Reference`; None for none.
        measured: The user's samples in nm by the names of `MEASURABLE`.
        imaged: The same quantities measured in simulated micrographs, which are then compared in
            place of the simulation's own, so that both were measured alike.

    Returns:
        `Comparison`, with a verdict per quantity.

    Raises:
        InputError: an unknown reference, a quantity that is not of `MEASURABLE`, or an empty
            sample.
    """
    if reference is not None:
        reference = load_reference(reference)
    verdicts = [
        _against_quantity(name, quantity, statistics)
        for quantity in (reference.quantities if reference else ())
        for name in _names(quantity)
    ]
    for name, values in (measured or {}).items():
        if name not in MEASURABLE:
            raise InputError(f"can't compare '{name}'; known: {', '.join(MEASURABLE)}")
        verdicts.append(_against_sample(name, statistics, values, (imaged or {}).get(name)))
    names = statistics.cluster.split(" + ")
    applies = reference is None or set(names) <= set(reference.clusters)
    return Comparison(reference, applies, tuple(verdicts))


def _names(quantity: ReferenceQuantity) -> list[str]:
    """Return the names under which a simulation knows a published quantity."""
    if quantity.projected and quantity.quantity == "spacing_nm":
        return ["spacing_nm", "projected_spacing_nm"]
    return [quantity.quantity]


def _against_quantity(
    name: str, quantity: ReferenceQuantity, statistics: NanowireStatistics
) -> Verdict:

    estimates: dict[str, tuple[Estimate | None, str]] = {
        "spacing_nm": (statistics.spacing_median_nm, "calibrated"),
        "projected_spacing_nm": (statistics.projected_spacing_median_nm, "calibrated"),
        "contour_length_nm": (statistics.contour_mean_nm, "predicted"),
        "lateral_spacing_nm": (statistics.lateral_spacing_nm, "predicted"),
    }
    estimate, tag = estimates.get(name, (None, "predicted"))
    if name not in ("spacing_nm", "projected_spacing_nm", "contour_length_nm"):
        word = "not predicted"
    else:
        word = "no bonds" if estimate is None else _judge(quantity, estimate)
    value, error = estimate or (None, None)
    inside = _inside(quantity, simulated_samples(statistics).get(name))
    return Verdict(name, value, error, str(quantity), word, tag, inside)


def simulated_samples(statistics: NanowireStatistics) -> dict[str, Floats]:
    """Return the pooled values of a simulation.

    Args:
        statistics: Statistics of the simulation.

    Returns:
        (K,) values in nm by the names of `MEASURABLE`.
    """
    return {
        "spacing_nm": statistics.spacings_nm,
        "projected_spacing_nm": statistics.projected_spacings_nm,
        "contour_length_nm": np.array([row.contour_length_nm for row in statistics.chains]),
    }


def _inside(quantity: ReferenceQuantity, values: Floats | None) -> float | None:
    """Return the part of the values inside a range; None without a range or values."""
    if values is None or not len(values) or quantity.value is not None:
        return None
    low, high = quantity.low or 0.0, quantity.high or np.inf
    return float(((values >= low) & (values <= high)).mean())


def _against_sample(
    name: str, statistics: NanowireStatistics, measured: ArrayLike, imaged: ArrayLike | None
) -> Verdict:
    values = simulated_samples(statistics).get(name) if imaged is None else np.asarray(imaged)
    tag = "calibrated" if "spacing" in name else "predicted"
    count = np.size(measured)
    if values is None or not len(values):
        word = "not predicted" if values is None else "no bonds"
        return Verdict(name, None, None, f"{count} measured", word, tag)
    key = "spacing_median_nm" if "spacing" in name else "contour_mean_nm"
    share = statistics.independent_samples.get(key, 1.0) / statistics.n_frames
    independent = max(len(values) * min(share, 1.0), 1.0)
    found = compare_samples(values, measured, independent)
    word = "agrees" if found.ks_p >= SIGNIFICANCE else "differs"
    word = word if count >= FEWEST_MEASURED else "too few"
    again = np.random.default_rng(1).choice(values, (200, int(min(independent, 5000))))
    center, spread = float(np.median(values)), float(np.median(again, axis=1).std())
    words = f"{found.median_measured_nm:.3g} nm of {count}"
    return Verdict(name, center, spread, words, word, tag, found.overlap, found)


def _judge(quantity: ReferenceQuantity, estimate: Estimate) -> str:
    if quantity.value is not None:
        resolution = max(2 * (estimate.error or 0.0), 0.01)  # single values are given to 0.01 nm
        return "agrees" if abs(estimate.value - quantity.value) <= resolution else "differs"
    if quantity.low is not None and estimate.value < quantity.low:
        return "below"
    if quantity.high is not None and estimate.value > quantity.high:
        return "above"
    return "inside"
