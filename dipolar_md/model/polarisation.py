"""How polarisable bodies answer each other: gains of pairs and chains, and where they end.

Polarisable points of different bodies feel the permanent point dipoles, and each other; those that
share out one body's polarisability (`polarisation="sites"`) do so with Thole's damping. Points of
one body don't act on each other: the polarisability is the whole body's.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dipolar_md import theory
from dipolar_md.errors import InputError

Floats = NDArray[np.float64]
_IMAGES = 60  # neighbours on each side that are summed; the rest by their mean


class PolarisablePoints(NamedTuple):
    """What of a body is polarised.

    Attributes:
        positions_nm: (k, 3) in the body frame, the dipole along z.
        polarisabilities_nm3: (k,) polarisability volumes.
        damped: whether Thole's damping acts between such points of two bodies.
    """

    positions_nm: Floats
    polarisabilities_nm3: Floats
    damped: bool

    def screened(self, relative_permittivity: float) -> "PolarisablePoints":
        """Return the points as they count in a medium: α/ε_r."""
        return self._replace(polarisabilities_nm3=self.polarisabilities_nm3 / relative_permittivity)


def pair_gain(points: PolarisablePoints, distance_nm: float) -> float:
    """Return by how much induction strengthens two equal bodies head to tail.

    U/U₀, with U₀ = −2A/r³; 1/(1 − 2α/r³) for a point polarisability at the centre

    Args:
        points: polarisable points of a body (in a medium, `screened`).
        distance_nm: distance r of the centres.

    Raises:
        InputError: the two polarise each other without end.
    """
    return _gain(points, distance_nm, 1)


def chain_gain(points: PolarisablePoints, distance_nm: float) -> float:
    """Return by how much induction strengthens a long straight chain of equal bodies.

    U/U₀, with U₀ = −2ζ(3)A/r³ per body; 1/(1 − 4ζ(3)α/r³) for a point polarisability at the centre

    Args:
        points: polarisable points of a body (in a medium, `screened`).
        distance_nm: distance r of neighbours.

    Raises:
        InputError: the chain polarises itself without end.
    """
    return _gain(points, distance_nm, _IMAGES)


def catastrophe_share(points: PolarisablePoints, distance_nm: float) -> float:
    """Return the strongest answer of a long chain to itself; at 1 it polarises without end.

    4ζ(3)α/r³ for a point polarisability at the centre

    Args:
        points: polarisable points of a body (in a medium, `screened`).
        distance_nm: distance r of neighbours.
    """
    if not len(points.positions_nm):
        return 0.0
    response, _ = _chain_system(points, distance_nm)
    return float(np.linalg.eigvalsh(response)[-1])


def axial_pull_scale(points: PolarisablePoints, energy_scale: float, distance_nm: float) -> float:
    """Return the energy scale of permanent dipoles that pull as strongly, head to tail.

    A' = A r⁴/6 d/dr(−2 gain/r³); A/(1 − 2α/r³)² for a point polarisability at the centre

    Args:
        points: polarisable points of a body.
        energy_scale: A = μ²/4πε₀ in kJ/mol nm³.
        distance_nm: distance r of the centres.
    """
    h = 1e-4 * distance_nm

    def energy(r: float) -> float:
        return -2 * pair_gain(points, r) / r**3

    slope = (energy(distance_nm + h) - energy(distance_nm - h)) / (2 * h)
    return float(energy_scale * slope * distance_nm**4 / 6)


def lateral_pull_scale(points: PolarisablePoints, energy_scale: float, distance_nm: float) -> float:
    """Return the energy scale of permanent dipoles that pull as strongly side by side.

    A' = A/(1 − α/r³)² of antiparallel dipoles: all points are taken to lie at the centre

    Args:
        points: polarisable points of a body.
        energy_scale: A = μ²/4πε₀ in kJ/mol nm³.
        distance_nm: distance r of the centres.
    """
    alpha = float(points.polarisabilities_nm3.sum())
    return energy_scale / (1 - alpha / distance_nm**3) ** 2


def _gain(points: PolarisablePoints, distance: float, reach: int) -> float:
    if not len(points.positions_nm):
        return 1.0
    make = _pair_system if reach == 1 else _chain_system
    response, fields = make(points, distance)
    share = float(np.linalg.eigvalsh(response)[-1])
    if share >= 1:
        alpha = float(points.polarisabilities_nm3.sum())
        raise InputError(
            f"polarisation catastrophe: bodies of {alpha:g} nm3 polarise each other without end at "
            f"{distance:.4g} nm; at most {alpha / share:.3g} nm3 are possible there"
        )
    answer = fields @ np.linalg.solve(np.eye(len(fields)) - response, fields)
    neighbours = 2 if reach == 1 else 4 * _zeta3()
    return float(1 + answer / (neighbours / distance**3))


def _chain_system(points: PolarisablePoints, distance: float) -> tuple[Floats, Floats]:
    """Return the response matrix (3k, 3k) of k points in a long chain and what drives them (3k,).

    Induced dipoles p_i = √α_i P_i of all bodies alike obey P = f + M P; induction adds −f·P/2 times
    μ²/4πε₀ to the energy of each body.
    """
    places, alphas, damped = points
    k, axis = len(places), np.array([0.0, 0.0, 1.0])
    matrix, fields = np.zeros((k, 3, k, 3)), np.zeros((k, 3))
    for m in [m for m in range(-_IMAGES, _IMAGES + 1) if m]:
        fields -= _tensors(places - m * distance * axis) @ axis
        steps = places[None] - places[:, None] + m * distance * axis
        matrix -= _damped(steps, alphas, damped).transpose(0, 2, 1, 3)
    # The images beyond act like dipoles on the axis, 2/r³ each along it and −1/r³ across.
    near = float(np.sum(1 / np.arange(1, _IMAGES + 1.0) ** 3))
    rest = 2 * (_zeta3() - near) / distance**3
    fields += 2 * rest * axis
    matrix += (rest * np.diag([-1.0, -1.0, 2.0]))[None, :, None, :]
    roots = np.sqrt(alphas)
    scaled = roots[:, None, None, None] * matrix * roots[None, None, :, None]
    return scaled.reshape(3 * k, 3 * k), (roots[:, None] * fields).ravel()


def _pair_system(points: PolarisablePoints, distance: float) -> tuple[Floats, Floats]:
    """Return the response of both bodies of a pair and what drives them, (6k, 6k) and (6k,)."""
    places, alphas, damped = points
    k, axis = len(places), np.array([0.0, 0.0, 1.0])
    steps = places[None] - places[:, None] + distance * axis
    block = -_damped(steps, alphas, damped).transpose(0, 2, 1, 3).reshape(3 * k, 3 * k)
    matrix = np.zeros((6 * k, 6 * k))
    matrix[: 3 * k, 3 * k :] = block
    matrix[3 * k :, : 3 * k] = block.T
    lower = -_tensors(places - distance * axis) @ axis
    upper = -_tensors(places + distance * axis) @ axis
    roots = np.repeat(np.tile(np.sqrt(alphas), 2), 3)
    fields = np.concatenate([lower.ravel(), upper.ravel()])
    # Half of f·P is the energy of the pair; per pair it is to be held against 2/r³.
    return roots[:, None] * matrix * roots, roots * fields / math.sqrt(2)


def _tensors(steps: Floats) -> Floats:
    """Return 1/r³ − 3 r r/r⁵, (..., 3, 3), of separations (..., 3)."""
    r = np.linalg.norm(steps, axis=-1)[..., None, None]
    outer = steps[..., :, None] * steps[..., None, :]
    return np.asarray(np.eye(3) / r**3 - 3 * outer / r**5)


def _damped(steps: Floats, alphas: Floats, damped: bool) -> Floats:
    """Return the tensors (k, k, 3, 3) between polarisable points."""
    tensors = _tensors(steps)
    if not damped:
        return tensors
    r = np.linalg.norm(steps, axis=-1)
    three, five, _ = map(np.asarray, theory.thole_damping(r, alphas[:, None], alphas[None, :]))
    isotropic = np.eye(3) / r[..., None, None] ** 3
    return np.asarray(
        three[..., None, None] * isotropic + five[..., None, None] * (tensors - isotropic)
    )


def _zeta3() -> float:
    from scipy.special import zeta

    return float(zeta(3.0))
