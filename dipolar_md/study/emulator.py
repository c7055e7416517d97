"""Interpolates a noisy number between the state points of a study, and says how well.

Universal kriging: a plane plus a Gaussian process with a Matérn 5/2 covariance, whose scale and
lengths are those that best foretell each state point from the others (Rasmussen & Williams,
Gaussian Processes for Machine Learning, 2006, §5.4.2). The errors of leaving a point out, plane
included, are those of Dubrule (https://doi.org/10.1007/BF01033060): no refit is needed.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

from dipolar_md.errors import InputError

Floats = NDArray[np.float64]

LENGTHS = (0.2, 5.0)
"""Correlation lengths that are allowed, as parts of an axis' range."""
AT_ONCE = 20_000
"""Points predicted at a time, to bound the memory."""


class Emulator(NamedTuple):
    """A fitted interpolator; call it with points.

    Attributes:
        points: (n, d) state points, each axis scaled to 0 … 1.
        scale: Standard deviation of the process about its plane.
        lengths: (d,) correlation lengths of the process.
        inverse: (n + d + 1, n + d + 1) inverse of covariance and plane, bordered.
        weights: (n + d + 1,) weights of the values.
        left_out: (n,) value of each state point minus its prediction from the others; NaN where
            the others can't predict.
        left_out_error: (n,) standard deviations of these, as predicted.
    """

    points: Floats
    scale: float
    lengths: Floats
    inverse: Floats
    weights: Floats
    left_out: Floats
    left_out_error: Floats

    def __call__(self, points: ArrayLike) -> tuple[Floats, Floats]:
        """Return values (m,) and standard errors (m,) at points (m, d)."""
        x = np.asarray(points, dtype=np.float64)
        values, errors = np.empty(len(x)), np.empty(len(x))
        for first in range(0, len(x), AT_ONCE):
            part = slice(first, first + AT_ONCE)
            near = _covariance(x[part], self.points, self.scale, self.lengths)
            row = np.hstack([near, np.ones((len(near), 1)), x[part]])
            values[part] = row @ self.weights
            variance = self.scale**2 - np.einsum("ij,ij->i", row @ self.inverse, row)
            errors[part] = np.sqrt(np.maximum(variance, 0))
        return values, errors


def fit_emulator(points: ArrayLike, values: ArrayLike, errors: ArrayLike) -> Emulator:
    """Return the interpolator of values at state points.

    Args:
        points: (n, d) state points, each axis scaled to 0 … 1; with d = 0 there is just one.
        values: (n,) values in any unit.
        errors: (n,) standard errors of the values.

    Raises:
        InputError: Fewer than d + 2 state points, or points of which none differs along an axis
            independently of the others.
    """
    x, y, s = (np.asarray(array, dtype=np.float64) for array in (points, values, errors))
    n, d = x.shape
    trend = np.hstack([np.ones((n, 1)), x])
    if d and (n < d + 2 or np.linalg.matrix_rank(trend) < d + 1):
        raise InputError(
            f"{n} state points can't tell {d} axes apart: {d + 2} or more are needed, and no two "
            "axes may change only in step"
        )
    spread = float(np.std(y)) or 1.0

    def system(parameters: Floats) -> tuple[float, Floats, Floats]:
        scale, lengths = spread * float(np.exp(parameters[0])), np.exp(parameters[1:])
        bordered = np.zeros((n + d + 1, n + d + 1))
        noise = s**2 + (1e-6 * spread) ** 2  # the second keeps the matrix regular
        bordered[:n, :n] = _covariance(x, x, scale, lengths) + np.diag(noise)
        bordered[:n, n:], bordered[n:, :n] = trend, trend.T
        return scale, lengths, np.linalg.inv(bordered)

    def left_out(inverse: Floats) -> tuple[Floats, Floats]:
        own = np.diag(inverse)[:n].copy()
        own[own <= 1e-9 / spread**2] = np.nan  # the others leave the plane undetermined
        return (inverse[:n, :n] @ y) / own, own**-0.5

    def badness(parameters: Floats) -> float:
        """Minus the log probability of each value given the others; lengths near 1 preferred."""
        residual, error = left_out(system(parameters)[2])
        terms = 0.5 * (residual / error) ** 2 + np.log(error)
        return float(np.nansum(terms) + 0.5 * (parameters**2).sum())

    best = np.zeros(1 + d)
    if d:
        bounds = [(-5.0, 5.0), *[tuple(np.log(LENGTHS))] * d]
        starts = [np.array([a] + d * [b]) for a in (-2.0, 0.0) for b in np.log((0.3, 1.0, 3.0))]
        best = minimize(badness, min(starts, key=badness), method="L-BFGS-B", bounds=bounds).x
    scale, lengths, inverse = system(best)
    padded = np.append(y, np.zeros(d + 1))
    return Emulator(x, scale, lengths, inverse, inverse @ padded, *left_out(inverse))


def _covariance(a: Floats, b: Floats, scale: float, lengths: Floats) -> Floats:
    """Return the Matérn 5/2 covariance (n, m) of points (n, d) and (m, d)."""
    if not a.shape[1]:
        return np.full((len(a), len(b)), scale**2)
    r = np.sqrt(5) * cdist(a / lengths, b / lengths)
    return np.asarray(scale**2 * (1 + r + r**2 / 3) * np.exp(-r))
