"""Second virial coefficient and bonding volume of two equal bodies, by their true pair potential.

A WCA sphere with a point dipole has closed forms (`theory.second_virial`, `theory.bonding_volume`).
Any other body, with rings of beads, attraction or charges ±q, is averaged over its orientations:
they are drawn, at each distance, from what the point dipoles alone would do, which can be done
exactly, and weighed by what the body adds,

    ⟨e^(−u/kT)⟩ = ⟨e^(−u_μ/kT)⟩ · ⟨e^(−(u − u_μ)/kT)⟩_μ

The first factor is known; the second lies between 0 and about 1, so that some hundred quasi-random
orientations suffice.
"""

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dipolar_md import theory
from dipolar_md.model.body import Body
from dipolar_md.model.contacts import bond, steric_arrays
from dipolar_md.model.steric import ATTRACTION_REACH, site_energies
from dipolar_md.units import thermal_energy

Floats = NDArray[np.float64]

DEEPEST_KT = 200.0
"""Pairs that bind by more are beyond the range of the numbers here."""
_ORIENTATIONS = 512
_DISTANCES = 64


def second_virial(body: Body, relative_permittivity: float, temperature_K: float) -> float:
    """Return the second virial coefficient of one kind of body.

    B₂ = 2π ∫₀^∞ dr r² [1 − ⟨e^(−u/kT)⟩]

    Args:
        body: The body, with its dipole along z.
        relative_permittivity: ε_r of the medium.
        temperature_K: Temperature, K.

    Returns:
        B₂ in nm³; NaN where pairs bind by more than `DEEPEST_KT`.
    """
    pair = _pair(body, relative_permittivity, temperature_K)
    if pair.too_deep:
        return math.nan
    if pair.closed_form:
        return float(theory.second_virial(*pair.closed_form))
    return _averaged_virial(body, pair.energy_scale, temperature_K)


def bonding_volume(body: Body, relative_permittivity: float, temperature_K: float) -> float:
    """Return the association constant of one bond inside a long chain of one kind of body.

    K = [B₂(0) − B₂(λ)] e^{2(ζ(3) − 1) λ}, λ = A/(r³kT) at the bond length r

    B₂(0) is that of the same body without its dipole: an attraction counts in how it deepens the
    bonds of dipoles, not in the clumps that it makes by itself.

    Args:
        body: The body, with its dipole along z.
        relative_permittivity: ε_r of the medium.
        temperature_K: Temperature, K.

    Returns:
        K in nm³; NaN where pairs bind by more than `DEEPEST_KT`.

    Valid as a rough guide, see `theory.bonding_volume`, which it is for a WCA sphere.
    """
    from scipy.special import zeta

    pair = _pair(body, relative_permittivity, temperature_K)
    if pair.too_deep:
        return math.nan
    if pair.closed_form:
        return float(theory.bonding_volume(*pair.closed_form))
    gained = _averaged_virial(body, 0.0, temperature_K)
    gained -= _averaged_virial(body, pair.energy_scale, temperature_K)
    length, _ = bond(body, pair.energy_scale)
    coupling = theory.dipolar_coupling(pair.energy_scale, length, temperature_K)
    return float(max(gained, 0.0) * np.exp(2 * (zeta(3.0) - 1) * coupling))


class _Pair(NamedTuple):
    """Two equal bodies in a medium: energy scale, arguments of the closed forms, if there are."""

    energy_scale: float
    closed_form: tuple[float, float, float, float] | None
    too_deep: bool


def _pair(body: Body, relative_permittivity: float, temperature_K: float) -> _Pair:
    scale = float(
        theory.dipole_energy_scale(
            body.dipole_magnitude_e_nm, relative_permittivity=relative_permittivity
        )
    )
    kT = thermal_energy(temperature_K)
    (core, *others) = body.sites
    if not others and not core.attractive:
        depth = -theory.pair_minimum(core.sigma_nm, core.epsilon_kJ_mol, scale)[1]
        form = (core.sigma_nm, core.epsilon_kJ_mol, scale, temperature_K)
        return _Pair(scale, form, bool(depth > DEEPEST_KT * kT))
    depth = 2 * scale / body.axial_contact_nm**3
    return _Pair(scale, None, depth > DEEPEST_KT * kT)


@lru_cache(maxsize=256)
def _averaged_virial(body: Body, energy_scale: float, temperature_K: float) -> float:
    """Return B₂ (nm³) by quadrature over distances and quasi-random orientations.

    Beyond the reach R of the sites, B₂ is that of dipolar hard spheres of diameter R.
    """
    kT = thermal_energy(temperature_K)
    wells = [ATTRACTION_REACH * site.sigma_nm for site in body.sites if site.attractive]
    far = 3 * body.axial_contact_nm if body.has_charges else 0.0
    reach = max(2 * body.extent_nm, far, *wells)
    coupling = float(theory.dipolar_coupling(energy_scale, reach, temperature_K))
    nodes, weights = np.polynomial.legendre.leggauss(_DISTANCES)
    closest = 0.3 * body.axial_contact_nm  # nothing comes nearer
    distances = closest + (reach - closest) * (nodes + 1) / 2
    logs = _log_averages(body, energy_scale, distances, kT)
    inner = (reach - closest) / 2 * float(weights @ (distances**2 * np.exp(logs)))
    return reach**3 * float(theory.second_virial_hard_sphere(coupling)) - 2 * math.pi * inner


def _log_averages(body: Body, energy_scale: float, distances: Floats, kT: float) -> Floats:
    """Return ln ⟨e^(−u/kT)⟩ (D,) of two bodies at distances (D,) along z."""
    from scipy.special import logsumexp

    couplings = energy_scale / (distances**3 * kT)
    count = 1 if len(body.sites) == 1 else _ORIENTATIONS  # a sphere looks alike from all sides
    turns, other_turns, dipolar = _orientations(couplings, _quasi_random()[:, :count])
    shifts = distances[:, None, None, None] * [0.0, 0.0, 1.0]
    energy = np.zeros_like(dipolar)
    for sites, interaction in _site_terms(body, energy_scale):
        one = sites @ np.swapaxes(turns, -1, -2)
        other = sites @ np.swapaxes(other_turns, -1, -2) + shifts
        gaps = np.linalg.norm(other[..., None, :, :] - one[..., :, None, :], axis=-1)
        energy += interaction(np.maximum(gaps, 1e-3)).sum(axis=(-1, -2))
    if body.has_charges and energy_scale:
        energy -= kT * dipolar
    weights = logsumexp(-energy / kT, axis=1) - math.log(count)
    return np.asarray(theory.log_orientational_average(couplings) + weights)


def _site_terms(
    body: Body, energy_scale: float
) -> Iterator[tuple[Floats, Callable[[Floats], Floats]]]:
    """Yield the steric and the charged sites (S, 3), each with the energy of gaps (..., S, S)."""
    places, sigma, epsilon, attractive = steric_arrays(body)
    mixed = (sigma[:, None] + sigma) / 2
    strength, both = np.sqrt(np.outer(epsilon, epsilon)), np.logical_and.outer(*[attractive] * 2)
    yield places, lambda gaps: site_energies(gaps, mixed, strength, both)
    if body.has_charges and energy_scale:
        charged = [site for site in body.sites if site.charge_e]
        charges = np.array([site.charge_e for site in charged])
        products = energy_scale / body.dipole_magnitude_e_nm**2 * np.outer(charges, charges)
        yield np.array([site.position_nm for site in charged]), lambda gaps: products / gaps


def _orientations(couplings: Floats, points: Floats) -> tuple[Floats, Floats, Floats]:
    """Return turns (D, K, 3, 3) of two bodies along z, as their dipoles would have them; u_μ/kT.

    The cosine c of the first dipole to z has the density sinh(y)/y, y = x√(1 + 3c²); the second
    follows the field of the first, e^(y cos γ).

    Args:
        couplings: (D,) x of the distances.
        points: (5, K) points that fill the unit cube evenly.
    """
    from scipy.spatial.transform import Rotation

    first, second, *circles = points
    azimuth, spin, other_spin = (2 * np.pi * circle for circle in circles)
    c = np.stack([_first_cosines(x, first) for x in couplings])
    y = np.maximum(couplings[:, None] * np.sqrt(1 + 3 * c**2), 1e-9)
    # The field 3c z − μ̂ of μ̂ = (√(1 − c²), 0, c): its direction and two directions across it.
    along = np.stack([-np.sqrt(1 - c**2), np.zeros_like(c), 2 * c], axis=-1)
    along /= np.linalg.norm(along, axis=-1, keepdims=True)
    side = np.array([0.0, 1.0, 0.0])
    across = np.cross(along, side)
    inner = 1 + np.log1p((1 - second) * np.expm1(-2 * y)) / y
    outer = np.sqrt(np.maximum(1 - inner**2, 0.0))[..., None]
    circle = np.cos(azimuth)[:, None] * across + np.sin(azimuth)[:, None] * side
    dipole = inner[..., None] * along + outer * circle
    polar = np.arccos(np.clip(dipole[..., 2], -1, 1))
    zeros = np.zeros_like(c)
    one, other = (
        Rotation.from_euler("ZYZ", np.stack(angles, axis=-1).reshape(-1, 3))
        .as_matrix()
        .reshape(*c.shape, 3, 3)
        for angles in (
            (zeros, np.arccos(c), zeros + spin),
            (np.arctan2(dipole[..., 1], dipole[..., 0]), polar, zeros + other_spin),
        )
    )
    return one, other, -y * inner


def _first_cosines(coupling: float, quantiles: Floats) -> Floats:
    """Return the cosines (K,) of the first dipole to z at quantiles (K,) of their distribution."""
    grid = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 1025))  # finer at the ends
    y = np.maximum(coupling * np.sqrt(1 + 3 * grid**2), 1e-9)
    density = np.exp(y - y.max()) * -np.expm1(-2 * y) / y
    steps = (density[1:] + density[:-1]) / 2 * np.diff(grid)
    return np.interp(quantiles, np.append(0.0, np.cumsum(steps)) / steps.sum(), grid)


@lru_cache(maxsize=1)
def _quasi_random() -> Floats:
    """Return Sobol points (5, K) inside the unit cube."""
    from scipy.stats import qmc

    return np.asarray(qmc.Sobol(5, seed=1).random(_ORIENTATIONS).T)
