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
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree
from scipy.special import log_ndtr, ndtr

from dipolar_md.errors import InputError
from dipolar_md.study.emulator import fit_emulator
from dipolar_md.study.jobs import split_unit
from dipolar_md.study.posterior import AxisPosterior, Datum, Misfit, Posterior
from dipolar_md.study.table import THRESHOLD_LENGTH, Row, combine

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
LOGARITHMIC = ("relative_permittivity", "concentration_mM")
COLUMNS = {"contour_length_nm": "contour_length_mean_nm", "spacing_nm": "spacing_median_nm"}


def infer(
    rows: Sequence[Row],
    axes: Mapping[str, bool],
    data: Sequence[Datum],
    length_factor: float = LENGTH_FACTOR,
    spacing_error: float = SPACING_ERROR,
) -> Posterior:
    """Return the posterior over the axes of a study, given measurements.

    Args:
        rows: One row per finished job, see `StudyResults`.
        axes: Names of the axes, and whether each is flat in the logarithm.
        data: The measurements.
        length_factor: The model's own error of a mean wire length, a factor of 1 or more.
        spacing_error: The model's own error of a spacing, relative.

    Raises:
        InputError: More than four axes of numbers, too few finished state points, or a wrong error.
    """
    if length_factor < 1 or spacing_error < 0:
        raise InputError(
            f"length_factor must be at least 1 and spacing_error not negative (found "
            f"{length_factor:g} and {spacing_error:g})"
        )
    design = _design(rows, axes)
    contact = min(row["axial_contact_nm"] for row in rows)
    models = {
        "contour_length_nm": _Model(_Form(contact), math.log(length_factor)),
        "spacing_nm": _Model(_Form(None), spacing_error * contact),
    }
    if design.calibrated:
        del models["spacing_nm"]
    fits = {
        datum: [
            _fit(datum, branch, design.grid, models[datum.quantity]) for branch in design.branches
        ]
        for datum in data
        if datum.quantity in models
    }
    density, cell = _density(list(fits.values()), design)
    misfits = {
        datum: _misfit(datum, fit, models[datum.quantity].form, cell, density)
        for datum, fit in fits.items()
    }
    words = {name: _shares(design, density, k) for k, name in enumerate(design.words)}
    joint = density.reshape(len(design.branches), *[design.cells] * len(design.scales))
    return Posterior(
        axes=_marginals(design, joint),
        words=words,
        word_bits={name: _bits(np.array(list(share.values()))) for name, share in words.items()},
        joint=joint,
        bits=_bits(density.ravel()),
        best=design.state(*cell) if fits else {},
        misfits=tuple(misfits.get(datum, Misfit(datum, "calibrated")) for datum in data),
        states=sum(len(branch.rows) for branch in design.branches),
        censored=sum(int(branch.censored.sum()) for branch in design.branches),
    )


class _Scale(NamedTuple):
    """An axis as simulated, scaled to 0 … 1."""

    low: float
    high: float
    logarithmic: bool

    def to(self, x: ArrayLike) -> Floats:
        low, high, x = (
            np.log(v) if self.logarithmic else np.asarray(v) for v in (self.low, self.high, x)
        )
        return np.asarray((x - low) / (high - low))

    def back(self, x: ArrayLike) -> Floats:
        if self.logarithmic:
            return np.asarray(self.low * (self.high / self.low) ** np.asarray(x))
        return np.asarray(self.low + (self.high - self.low) * np.asarray(x))


class _Branch(NamedTuple):
    """The state points that share the values of the axes in words.

    Attributes:
        words: Values of these axes.
        numbers: (n, d) values of the other axes, scaled.
        rows: Replicas of each state point.
    """

    words: tuple[str, ...]
    numbers: Floats
    rows: list[list[Row]]

    @property
    def censored(self) -> NDArray[np.bool_]:
        """State points (n,) that show a lower bound."""
        return np.array([_shows_bound(replicas) for replicas in self.rows])

    def means(self, column: str) -> tuple[Floats, Floats]:
        """Return means over replicas and errors (n,); NaN where a state has none.

        Where an error is unknown it is taken for the median of the known ones.
        """
        means = np.full((len(self.rows), 2), np.nan)
        for k, replicas in enumerate(self.rows):
            kept = [row for row in replicas if row.get(column) is not None]
            if kept:
                errors = [row.get(f"{column}_err") for row in kept]
                means[k] = combine([row[column] for row in kept], errors)
        value, error = means.T
        usual = np.nanmedian(error) if np.isfinite(error).any() else 0.0
        return value, np.where(np.isnan(error), usual, error)


def _shows_bound(replicas: list[Row]) -> bool:
    """Return whether a box is too small for its chains, or they still grow in every replica."""
    if any(FEWEST_CHAINS * row["mean_chain_length"] > row["n_clusters"] for row in replicas):
        return True
    return all(
        row["mean_chain_length"] >= THRESHOLD_LENGTH and not row["equilibrated"] for row in replicas
    )


class _Design(NamedTuple):
    """The axes that were varied and the state points on them.

    Attributes:
        words: Names of the axes in words.
        scales: Axes of numbers by name.
        branches: State points by values of the axes in words.
        cells: Cells of the grid per axis of numbers, m.
        grid: (m^d, d) middles of the cells, scaled.
    """

    words: list[str]
    scales: dict[str, _Scale]
    branches: list[_Branch]
    cells: int
    grid: Floats

    @property
    def calibrated(self) -> bool:
        """Whether the contact follows from the axes in words, so that spacings inform nothing."""
        return all(
            len({row["axial_contact_nm"] for replicas in branch.rows for row in replicas}) == 1
            for branch in self.branches
        )

    def state(self, branch: int, cell: int) -> dict[str, float | str]:
        """Return the values of the axes in a cell of a branch."""
        numbers = {
            name: float(scale.back(x))
            for (name, scale), x in zip(self.scales.items(), self.grid[cell], strict=True)
        }
        return dict(zip(self.words, self.branches[branch].words, strict=True)) | numbers


def _design(rows: Sequence[Row], axes: Mapping[str, bool]) -> _Design:
    values = {name: sorted({row[name] for row in rows}, key=str) for name in axes}
    values = {name: members for name, members in values.items() if len(members) > 1}
    words = {name: members for name, members in values.items() if isinstance(members[0], str)}
    scales = {
        name: _Scale(min(members), max(members), axes[name])
        for name, members in values.items()
        if name not in words
    }
    m = GRID.get(len(scales))
    if m is None or not values:
        raise InputError(
            f"inferring takes 1 to {max(GRID)} axes of numbers with two finished values or more "
            f"(found {', '.join(scales) or 'none'})"
        )
    d, names = len(scales), list(words)
    branches = [_branch(names, branch, rows, scales) for branch in product(*words.values())]
    grid = ((np.arange(m) + 0.5) / m)[np.indices(d * (m,)).reshape(d, m**d).T]
    return _Design(names, scales, [branch for branch in branches if branch.rows], m, grid)


def _branch(
    words: list[str], values: tuple[str, ...], rows: Sequence[Row], scales: Mapping[str, _Scale]
) -> _Branch:
    points: dict[tuple[float, ...], list[Row]] = {}
    for row in rows:
        if tuple(row[name] for name in words) == values:
            points.setdefault(tuple(row[name] for name in scales), []).append(row)
    numbers = np.array(sorted(points), dtype=float).reshape(len(points), len(scales))
    for k, scale in enumerate(scales.values()):
        numbers[:, k] = scale.to(numbers[:, k])
    members = [sorted(points[key], key=lambda row: str(row["replica"])) for key in sorted(points)]
    return _Branch(values, numbers, members)


class _Fit(NamedTuple):
    """A measurement against one branch, in nm or, of lengths, the logarithm of the module's text.

    Attributes:
        low: (m,) emulated values on the grid, the lower end where they are bounds.
        high: (m,) upper end; the same where they are no bounds.
        error: (m,) error of emulator, measurement and model together.
        wanted: Measured range.
        left_out: (n,) errors of leaving a state point out, see `Emulator`.
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

    def to(self, nm: ArrayLike) -> Floats:
        x = np.asarray(nm, dtype=np.float64)
        return np.log(np.maximum(x / self.contact, SHORTEST) - 1) if self.contact else x

    def error(self, nm: ArrayLike, error: ArrayLike) -> Floats:
        x, spread = np.asarray(nm, dtype=np.float64), np.asarray(error, dtype=np.float64)
        if self.contact is None:
            return spread
        return np.asarray(spread / np.maximum(x - self.contact, (SHORTEST - 1) * self.contact))

    def back(self, x: ArrayLike) -> Floats:
        values = np.asarray(x, dtype=np.float64)
        return np.asarray(self.contact * (1 + np.exp(values)) if self.contact else values)


class _Model(NamedTuple):
    """How a quantity is emulated, and the model's own error in that form."""

    form: _Form
    own_error: float


def _fit(datum: Datum, branch: _Branch, grid: Floats, model: _Model) -> _Fit:
    """Emulate the measured quantity over the grid (m, d) of one branch."""
    form = model.form
    value, error = branch.means(COLUMNS[datum.quantity])
    seen = np.isfinite(value)
    if form.contact:  # no bonds: as short as wires are
        value, error = np.where(seen, value, 0.0), np.where(seen, error, 0.0)
        seen = np.ones_like(seen)
    emulator = fit_emulator(
        branch.numbers[seen], form.to(value[seen]), form.error(value, error)[seen]
    )
    low, spread = emulator(grid)
    high = np.maximum(low, _box_limit(branch, grid)) if form.contact else low
    measured = 0.0 if datum.value is None else float(form.error(datum.value, datum.error))
    total = np.sqrt(spread**2 + measured**2 + model.own_error**2)
    return _Fit(low, high, total, _range(datum, form), emulator.left_out)


def _box_limit(branch: _Branch, grid: Floats) -> Floats:
    """Return over the grid the length, as emulated, of one chain of all clusters; -∞ where none.

    A cell belongs to the nearest state point; only one that shows a lower bound has a limit.
    """
    censored = branch.censored
    if not censored.any():
        return np.full(len(grid), -np.inf)
    most = np.array([max(row["n_clusters"] for row in replicas) for replicas in branch.rows])
    limit = np.where(censored, np.log(most - 1.0), -np.inf)
    if not grid.shape[1]:
        return limit
    return np.asarray(limit[KDTree(branch.numbers).query(grid)[1]])


def _range(datum: Datum, form: _Form) -> tuple[float, float]:
    """Return the measured range as emulated; a value is a range without width."""
    if datum.value is not None:
        value = float(form.to(datum.value))
        return value, value
    low = -math.inf if datum.low is None else float(form.to(datum.low))
    return low, math.inf if datum.high is None else float(form.to(datum.high))


def _density(fits: list[list[_Fit]], design: _Design) -> tuple[Floats, tuple[int, int]]:
    """Return the posterior (branches, cells) and branch and cell of highest likelihood.

    In the latter, lower bounds count as the lengths themselves.
    """
    log_likelihood, as_shown = np.zeros((2, len(design.branches), len(design.grid)))
    for fit in fits:
        log_likelihood += [branch.log_likelihood for branch in fit]
        as_shown += [branch.as_shown.log_likelihood for branch in fit]
    density = np.exp(log_likelihood - log_likelihood.max())
    branch, cell = divmod(int(as_shown.argmax()), len(design.grid))
    return density / density.sum(), (branch, cell)


def _shares(design: _Design, density: Floats, k: int) -> dict[str, float]:
    """Return the probability of each value of an axis in words, the k-th of them."""
    shares: dict[str, float] = {}
    for branch, probability in zip(design.branches, density.sum(axis=1), strict=True):
        shares[branch.words[k]] = shares.get(branch.words[k], 0.0) + float(probability)
    return shares


def _misfit(
    datum: Datum, fits: list[_Fit], form: _Form, best: tuple[int, int], density: Floats
) -> Misfit:
    """Return a measurement beside the best state, a branch and a cell."""
    fit, cell = fits[best[0]], best[1]
    value, error = float(fit.low[cell]), float(fit.error[cell])
    squares = np.concatenate([branch.left_out for branch in fits]) ** 2
    known = squares[np.isfinite(squares)]
    middle, low, high = (float(form.back(value + k * error)) for k in (0, -1, 1))
    return Misfit(
        datum,
        "predicted",
        middle,
        low,
        high,
        bound=bool(fit.high[cell] > value),
        probability=_tail(fits, density),
        shown=_tail([branch.as_shown for branch in fits], density),
        left_out=float(np.sqrt(known.mean())) if known.size else math.nan,
    )


def _tail(fits: list[_Fit], density: Floats) -> float:
    """Return the posterior predictive probability of a misfit as large as the measured one."""
    return float((density * np.stack([2 * ndtr(-branch.gap) for branch in fits])).sum())


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


def _marginals(design: _Design, joint: Floats) -> tuple[AxisPosterior, ...]:
    """Return the posterior of each axis of numbers by itself."""
    every = range(joint.ndim)
    return tuple(
        _marginal(name, scale, joint.sum(tuple(axis for axis in every if axis != k)))
        for k, (name, scale) in enumerate(design.scales.items(), start=1)
    )


def _marginal(name: str, scale: _Scale, probability: Floats) -> AxisPosterior:
    edges = np.linspace(0, 1, len(probability) + 1)
    total = np.concatenate([[0.0], np.cumsum(probability)])
    cuts = np.interp([0.5, 0.16, 0.84, 0.025, 0.975], total / total[-1], edges)
    median, *ends = (float(scale.back(cut)) for cut in cuts)
    return AxisPosterior(
        name=name,
        unit=split_unit(name)[1],
        logarithmic=scale.logarithmic,
        edges=scale.back(edges),
        probability=probability,
        median=median,
        interval_68=(ends[0], ends[1]),
        interval_95=(ends[2], ends[3]),
        bits=_bits(probability),
        width_ratio=float(cuts[4] - cuts[3]) / 0.95,
    )
