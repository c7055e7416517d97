"""Which state of a study explains a measured spacing and wire length: posterior over its axes.

The finished jobs train an emulator per quantity; the posterior is likelihood times prior on a dense
grid over the axes, so it is the same at every call. What is assumed, all of it said in the result:

- prior: flat over the range of each axis as simulated, of permittivity and concentration flat in
  the logarithm; values of an axis in words (solvents, clusters) are equally probable.
- wire length L (mean contour of chains of two or more) is emulated as log(L/a − 1), a the smallest
  contact of the study: log(n̄ − 1) of ideal chains, which nearly is a straight line. A chain with
  no bonds or hardly any counts as L = `SHORTEST` a.
- a published range is met by every value inside, with edges as soft as the errors; a sample by its
  mean (spacing: median) within its bootstrap error.
- errors are those of the emulator, of the measurement and of the model itself, in squares.
- a state shows a lower bound where a box holds fewer than `FEWEST_CHAINS` chains, or where chains
  have formed and no replica is equilibrated: it can't be excluded by longer wires, up to one chain
  of all clusters, but it doesn't explain them.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.special import log_ndtr, ndtr

from dipolar_md.errors import InputError
from dipolar_md.study.emulator import fit_emulator
from dipolar_md.study.table import THRESHOLD_LENGTH, Row, replica_mean

Floats = NDArray[np.float64]

LENGTH_FACTOR = 1.6
"""The model's own error of a mean wire length, as a factor: what a bond criterion of 0.4 or 0.6
instead of 0.5 of the contact energy makes of R-Au-Cu's chains."""
SPACING_ERROR = 0.01
"""The model's own error of a spacing, relative: the accuracy to which contacts are solved."""
FEWEST_CHAINS = 10
"""Chains per box from which on a mean length is one: of ten ideal chains the longest alone holds
29 % of all clusters (H₁₀/10), and the mean is 2.6 % too short (a ratio of Bessel functions)."""
SHORTEST = 1.05
GRID = {0: 1, 1: 2000, 2: 200, 3: 60, 4: 25}
"""Cells per axis, by the number of axes."""
DECIDED = 0.5
"""An axis is decided where its 95 % interval is at most this part of the prior's, or one word has
95 % of the probability."""
UNLIKELY = 0.05
"""Probability of a misfit as large from which on a measurement is explained."""
UNITS = ("nm", "D", "mM", "K", "kT", "ns", "ps")
LOGARITHMIC = ("relative_permittivity", "concentration_mM")
NAMES = {"contour_length_nm": "mean wire length", "spacing_nm": "median spacing"}
COLUMNS = {"contour_length_nm": "contour_length_mean_nm", "spacing_nm": "spacing_median_nm"}


class Datum(NamedTuple):
    """A measured quantity: a value with its error, or a range.

    Attributes:
        quantity: `contour_length_nm` (mean of wires of two or more) or `spacing_nm` (median).
        source: where it is from, in words.
        value, error: in nm; None for a range.
        low, high: of a range in nm; None where open.
        projected: whether it was seen on a micrograph.
    """

    quantity: str
    source: str
    value: float | None = None
    error: float = 0.0
    low: float | None = None
    high: float | None = None
    projected: bool = False

    def __str__(self) -> str:
        if self.value is not None:
            digits = max(0, 1 - math.floor(math.log10(self.error))) if self.error else 2
            return f"{self.value:.{digits}f} ± {self.error:.{digits}f} nm"
        if self.low is not None and self.high is not None:
            return f"{self.low:g}–{self.high:g} nm"
        return f"at least {self.low:g} nm" if self.high is None else f"at most {self.high:g} nm"


class Misfit(NamedTuple):
    """A measured quantity beside what the best state gives.

    Attributes:
        datum: the measurement.
        tag: `predicted`, or `calibrated` where the contact is an input: then it informs nothing.
        value, low, high: what the best state gives, and its 68 % range, errors of emulator and
            model included, in nm; None where it informs nothing.
        bound: whether that is a lower bound, cut short by the box.
        probability: posterior predictive probability of a misfit as large as the measured one.
        shown: the same where lower bounds are taken for the lengths themselves.
        left_out: of the emulator, root mean square of leaving one state point out: the logarithm
            of a factor for lengths, nm for spacings; NaN where it can't be told.
    """

    datum: Datum
    tag: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    bound: bool = False
    probability: float = 1.0
    shown: float = 1.0
    left_out: float = math.nan


class AxisPosterior(NamedTuple):
    """What is known of one axis of numbers after the measurement.

    Attributes:
        name, unit: of the axis; the unit is empty where it has none.
        logarithmic: whether the prior is flat in the logarithm.
        edges: (m + 1,) of the cells of its grid, over the range simulated, in its unit.
        probability: (m,) of the cells; the prior gives each 1/m.
        median: in its unit.
        interval_68, interval_95: credible intervals with equal tails.
        bits: information gained over the prior.
        width_ratio: width of the 95 % interval over that of the prior (logarithms where so).
    """

    name: str
    unit: str
    logarithmic: bool
    edges: Floats
    probability: Floats
    median: float
    interval_68: tuple[float, float]
    interval_95: tuple[float, float]
    bits: float
    width_ratio: float

    @property
    def decided(self) -> bool:
        """Whether the 95 % interval is at most `DECIDED` of the prior's."""
        return self.width_ratio <= DECIDED


class Posterior(NamedTuple):
    """What measurements say of the state points of a study.

    Attributes:
        axes: axes of numbers that were varied.
        words: probability of each value of each axis in words.
        word_bits: information gained on each of these.
        joint: (branches, m, …) probability of the cells, first of the combinations of words.
        bits: information gained on all axes together.
        best: the state of highest likelihood, lower bounds taken for the lengths themselves.
        misfits: the measurements beside it.
        states, censored: finished state points; how many of them show a lower bound of the length.
    """

    axes: tuple[AxisPosterior, ...]
    words: dict[str, dict[str, float]]
    word_bits: dict[str, float]
    joint: Floats
    bits: float
    best: dict[str, float | str]
    misfits: tuple[Misfit, ...]
    states: int
    censored: int

    @property
    def informed(self) -> bool:
        """Whether any measurement could inform."""
        return any(misfit.tag == "predicted" for misfit in self.misfits)

    @property
    def verdict(self) -> str:
        """`explained` by some state, `open` where only lower bounds reach it, or `unexplained`."""
        if any(misfit.probability < UNLIKELY for misfit in self.misfits):
            return "unexplained"
        shown = all(misfit.shown >= UNLIKELY for misfit in self.misfits)
        return "explained" if shown else "open"

    def decided(self, axis: str) -> bool:
        """Whether the measurements decide an axis, by its name."""
        if not self.informed or self.verdict != "explained":
            return False
        if axis in self.words:
            return max(self.words[axis].values()) >= 0.95
        return next(one for one in self.axes if one.name == axis).decided


def infer(
    rows: Sequence[Row],
    axes: Mapping[str, bool],
    data: Sequence[Datum],
    length_factor: float = LENGTH_FACTOR,
    spacing_error: float = SPACING_ERROR,
) -> Posterior:
    """Return the posterior over the axes of a study, given measurements.

    Args:
        rows: one per finished job, see `study_rows`.
        axes: names of the axes, and whether each is flat in the logarithm.
        data: the measurements.
        length_factor: the model's own error of a mean wire length, a factor of 1 or more.
        spacing_error: the model's own error of a spacing, relative.

    Raises:
        InputError: more than four axes of numbers, too few finished state points, or a wrong error.
    """
    if length_factor < 1 or spacing_error < 0:
        raise InputError(
            f"length_factor must be at least 1 and spacing_error not negative (found "
            f"{length_factor:g} and {spacing_error:g})"
        )
    values = {name: sorted({_value(row, name) for row in rows}, key=str) for name in axes}
    varied = [name for name in axes if len(values[name]) > 1]
    words = [name for name in varied if isinstance(values[name][0], str)]
    numbers = [name for name in varied if name not in words]
    if len(numbers) > max(GRID) or not varied:
        raise InputError(
            f"inferring takes 1 to {max(GRID)} axes of numbers with two finished values or more "
            f"(found {', '.join(numbers) or 'none'})"
        )
    unit = {
        name: _Scale(min(values[name], key=float), max(values[name], key=float), axes[name])
        for name in numbers
    }
    m, d = GRID[len(numbers)], len(numbers)
    middle = (np.arange(m) + 0.5) / m
    grid = middle[np.indices(d * (m,)).reshape(d, m**d).T]
    branches = list(product(*(values[name] for name in words)))
    parts = [
        _branch([row for row in rows if tuple(row[w] for w in words) == branch], unit)
        for branch in branches
    ]
    calibrated = all(
        len({row["axial_contact_nm"] for group in part.rows for row in group}) == 1
        for part in parts
    )
    contact = min(row["axial_contact_nm"] for row in rows)
    forms: dict[str, tuple[_Form, float]] = {
        "contour_length_nm": (_Form(contact), math.log(length_factor)),
        "spacing_nm": (_Form(None), spacing_error * contact),
    }
    used = [datum for datum in data if not (calibrated and datum.quantity == "spacing_nm")]
    fits = [[_fit(datum, part, grid, *forms[datum.quantity]) for part in parts] for datum in used]
    log_likelihood, as_shown = np.zeros((2, len(branches), m**d))
    for fit in fits:
        log_likelihood += [one.log_likelihood for one in fit]
        as_shown += [one.as_shown.log_likelihood for one in fit]
    posterior = np.exp(log_likelihood - log_likelihood.max())
    posterior /= posterior.sum()
    at = divmod(int(as_shown.argmax()), m**d)
    best: dict[str, float | str] = dict(zip(words, branches[at[0]], strict=True)) if used else {}
    if used:
        best |= {
            name: float(unit[name].back(x)) for name, x in zip(numbers, grid[at[1]], strict=True)
        }
    misfits = {
        id(datum): _misfit(datum, fit, forms[datum.quantity][0], at, posterior)
        for datum, fit in zip(used, fits, strict=True)
    }
    joint = posterior.reshape(len(branches), *[m] * d)
    shares = {
        name: {
            str(value): float(sum(
                posterior[b].sum() for b, branch in enumerate(branches) if branch[k] == value
            ))
            for value in values[name]
        }
        for k, name in enumerate(words)
    }  # fmt: skip
    return Posterior(
        tuple(
            _marginal(name, unit[name], joint.sum(tuple(i for i in range(d + 1) if i != k + 1)))
            for k, name in enumerate(numbers)
        ),
        shares,
        {name: _bits(np.array(list(found.values()))) for name, found in shares.items()},
        joint,
        _bits(posterior.ravel()),
        best,
        tuple(misfits.get(id(datum)) or Misfit(datum, "calibrated") for datum in data),
        sum(len(part.rows) for part in parts),
        sum(int(part.censored.sum()) for part in parts),
    )


class _Scale(NamedTuple):
    """An axis as simulated, scaled to 0 … 1."""

    low: float
    high: float
    logarithmic: bool

    def to(self, x: Any) -> Any:
        low, high, x = (np.log(v) if self.logarithmic else v for v in (self.low, self.high, x))
        return (x - low) / (high - low)

    def back(self, x: Any) -> Any:
        if self.logarithmic:
            return self.low * (self.high / self.low) ** x
        return self.low + (self.high - self.low) * x


class _Branch(NamedTuple):
    """The state points that share the values of the axes in words: numbers (n, d) and rows."""

    numbers: Floats
    rows: list[list[Row]]

    @property
    def censored(self) -> NDArray[np.bool_]:
        """State points (n,) that show a lower bound."""
        return np.array(
            [
                any(FEWEST_CHAINS * row["mean_chain_length"] > row["n_clusters"] for row in group)
                or all(
                    row["mean_chain_length"] >= THRESHOLD_LENGTH and not row["equilibrated"]
                    for row in group
                )
                for group in self.rows
            ]
        )

    def means(self, column: str) -> tuple[Floats, Floats]:
        """Return means over replicas and errors (n,); NaN where a state has none.

        Where an error is unknown it is taken for the median of the known ones.
        """
        found = np.full((len(self.rows), 2), np.nan)
        for k, group in enumerate(self.rows):
            kept = [row for row in group if row.get(column) is not None]
            if kept:
                errors = [row.get(f"{column}_err") for row in kept]
                found[k] = replica_mean([row[column] for row in kept], errors)
        value, error = found.T
        usual = np.nanmedian(error) if np.isfinite(error).any() else 0.0
        return value, np.where(np.isnan(error), usual, error)


def _branch(rows: Sequence[Row], unit: Mapping[str, _Scale]) -> _Branch:
    groups: dict[tuple[float, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(_value(row, name) for name in unit), []).append(row)
    points = np.array(sorted(groups), dtype=float).reshape(len(groups), len(unit))
    for k, scale in enumerate(unit.values()):
        points[:, k] = scale.to(points[:, k])
    members = [sorted(groups[key], key=lambda row: str(row["replica"])) for key in sorted(groups)]
    return _Branch(points, members)


def _value(row: Row, name: str) -> Any:
    """Return a row's value of an axis, rid of what single precision adds."""
    value = row[name]
    return value if isinstance(value, str) else float(f"{value:.6g}")


class _Fit(NamedTuple):
    """A measurement against one branch, in nm or, of lengths, the logarithm of the module's text.

    Attributes:
        low, high, error: the emulated range on the grid and the error of all.
        wanted: the measured range.
        left_out: see `Emulator`.
    """

    low: Floats
    high: Floats
    error: Floats
    wanted: tuple[float, float]
    left_out: Floats

    @property
    def as_shown(self) -> "_Fit":
        """The same without the benefit of lower bounds."""
        return self._replace(high=self.low)

    @property
    def gap(self) -> Floats:
        """How far the emulated range is from the measured, in standard errors."""
        low, high = self.wanted
        apart = np.maximum(np.maximum(low - self.high, self.low - high), 0)
        return np.asarray(apart / self.error)

    @property
    def log_likelihood(self) -> Floats:
        low, high = self.wanted
        if low == high:
            return np.asarray(-0.5 * self.gap**2 - np.log(self.error))
        return _log_interval((self.high - low) / self.error, (self.low - high) / self.error)


class _Form(NamedTuple):
    """What is emulated: the logarithm of the module's text or, without a contact, nm themselves."""

    contact: float | None

    def to(self, nm: Any) -> Any:
        return np.log(np.maximum(nm / self.contact, SHORTEST) - 1) if self.contact else nm

    def error(self, nm: Any, error: Any) -> Any:
        if self.contact is None:
            return error
        return error / np.maximum(nm - self.contact, (SHORTEST - 1) * self.contact)

    def back(self, x: Any) -> Any:
        return self.contact * (1 + np.exp(x)) if self.contact else x


def _fit(datum: Datum, branch: _Branch, grid: Floats, form: _Form, own_error: float) -> _Fit:
    """Emulate the measured quantity over the grid (m, d) of one branch."""
    value, error = branch.means(COLUMNS[datum.quantity])
    seen = np.isfinite(value)
    if form.contact:  # no bonds: as short as wires are
        value, error = np.where(seen, value, 0.0), np.where(seen, error, 0.0)
        seen = np.ones_like(seen)
    points = branch.numbers[seen]
    emulator = fit_emulator(points, form.to(value[seen]), form.error(value, error)[seen])
    found, spread = emulator(grid)
    high = found
    if form.contact and branch.censored.any():
        most = np.array([max(row["n_clusters"] for row in group) for group in branch.rows])
        cap = np.where(branch.censored, np.log(most - 1.0), -np.inf)
        high = np.maximum(found, cap[KDTree(branch.numbers).query(grid)[1]] if points.size else cap)
    measured, wanted = 0.0, (datum.value, datum.value)
    if datum.value is not None:
        measured = form.error(datum.value, datum.error)
    else:
        wanted = (datum.low, math.inf if datum.high is None else datum.high)
    low, top = (-math.inf if edge is None else float(form.to(edge)) for edge in wanted)
    total = np.sqrt(spread**2 + measured**2 + own_error**2)
    return _Fit(found, high, total, (low, top), emulator.left_out)


def _misfit(
    datum: Datum, fits: list[_Fit], form: _Form, at: tuple[int, int], posterior: Floats
) -> Misfit:
    """Return a measurement beside the best state, `at` a branch and a cell."""
    fit, cell = fits[at[0]], at[1]
    value, error = float(fit.low[cell]), float(fit.error[cell])
    tail, shown = (
        float((posterior * np.stack([2 * ndtr(-one.gap) for one in some])).sum())
        for some in (fits, [one.as_shown for one in fits])
    )
    squares = np.concatenate([one.left_out for one in fits]) ** 2
    known = squares[np.isfinite(squares)]
    middle, low, high = (float(form.back(value + k * error)) for k in (0, -1, 1))
    bound = bool(fit.high[cell] > value)
    left_out = float(np.sqrt(known.mean())) if known.size else math.nan
    return Misfit(datum, "predicted", middle, low, high, bound, tail, shown, left_out)


def _log_interval(a: Floats, b: Floats) -> Floats:
    """Return log(Φ(a) − Φ(b)) of a > b without loss in the tails."""
    right = b > 0
    a, b = np.where(right, -b, a), np.where(right, -a, b)
    top, bottom = log_ndtr(a), log_ndtr(b)
    return np.asarray(top + np.log1p(-np.exp(np.minimum(bottom - top, -1e-12))))


def _bits(probability: Floats) -> float:
    """Return the information of probabilities (m,) over equal ones, in bits."""
    seen = probability[probability > 0]
    return max(0.0, float((seen * np.log2(seen)).sum() + np.log2(probability.size)))


def _marginal(name: str, scale: _Scale, probability: Floats) -> AxisPosterior:
    edges = np.linspace(0, 1, len(probability) + 1)
    total = np.concatenate([[0.0], np.cumsum(probability)])
    cuts = np.interp([0.5, 0.16, 0.84, 0.025, 0.975], total / total[-1], edges)
    median, *ends = (float(scale.back(cut)) for cut in cuts)
    return AxisPosterior(
        name,
        next((unit for unit in UNITS if name.endswith(f"_{unit}")), ""),
        scale.logarithmic,
        scale.back(edges),
        probability,
        median,
        (ends[0], ends[1]),
        (ends[2], ends[3]),
        _bits(probability),
        float(cuts[4] - cuts[3]) / 0.95,
    )
