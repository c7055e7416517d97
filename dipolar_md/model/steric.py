"""Contacts of rigid bodies: where steric push and dipole pull balance, and the surface they touch.

A contact is the distance at which the force along the line of centres, averaged over the rotation
of both bodies about their own dipole axes, is zero: steric sites plus point dipoles in vacuum, head
to tail for the axial contact, antiparallel side by side for the lateral one.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from dipolar_md import theory
from dipolar_md.errors import InputError
from dipolar_md.units import REFERENCE_TEMPERATURE_K, thermal_energy

Floats = NDArray[np.float64]
ATTRACTION_REACH = 3.0
"""Cut-off of the attraction between cores, in σ; the well is shifted to zero there."""
_AZIMUTHS = 16
_THINNEST = 1e-3  # nm, of a core that hardly is one


def site_energies(
    distance: Floats, sigma: Floats, epsilon: Floats, attractive: NDArray[np.bool_]
) -> Floats:
    """Return the steric energy (kJ/mol) of two sites: WCA, or Lennard-Jones cut at 3 σ and shifted.

    u = 4ε[(σ/r)¹² - (σ/r)⁶] - u(r_c) for r < r_c, else 0; r_c = 2^(1/6) σ, or 3 σ if attractive.
    """
    reach = np.where(attractive, ATTRACTION_REACH, 2 ** (1 / 6)) * sigma
    s6, c6 = (sigma / distance) ** 6, np.where(attractive, ATTRACTION_REACH**-6, 0.5)
    energy = 4 * epsilon * (s6 * s6 - s6 - (c6 * c6 - c6))
    return np.asarray(np.where(distance < reach, energy, 0.0))


def site_forces(
    distance: Floats, sigma: Floats, epsilon: Floats, attractive: NDArray[np.bool_]
) -> Floats:
    """Return -du/dr (kJ/mol/nm) of `site_energies`."""
    reach = np.where(attractive, ATTRACTION_REACH, 2 ** (1 / 6)) * sigma
    s6 = (sigma / distance) ** 6
    force = 24 * epsilon / distance * (2 * s6 * s6 - s6)
    return np.asarray(np.where(distance < reach, force, 0.0))


def solve_diameters(
    beads_nm: Floats,
    core_epsilon_kJ_mol: float,
    attractive: bool,
    energy_scales: tuple[float, float],
    axial_contact_nm: float,
    lateral_contact_nm: float,
    name: str,
) -> tuple[float, float]:
    """Return bead and core σ (nm) that give a body of two rings its two contacts.

    Args:
        beads_nm: (2n, 3) beads of the rings about the core at the origin, the dipole along +z.
        core_epsilon_kJ_mol: Strength of the core's steric term.
        attractive: Whether cores attract each other.
        energy_scales: A = μ²/4πε₀ in kJ/mol nm³, head to tail and side by side.
        axial_contact_nm: Contact head to tail.
        lateral_contact_nm: Contact side by side, antiparallel.
        name: of the cluster, for the message.

    Raises:
        InputError: no pair of diameters gives both contacts; the reachable range is named.
    """
    key = tuple(float(x) for x in beads_nm.ravel())
    return _solved(
        key,
        core_epsilon_kJ_mol,
        attractive,
        energy_scales,
        axial_contact_nm,
        lateral_contact_nm,
        name,
    )


@lru_cache(maxsize=64)
def _solved(
    beads: tuple[float, ...],
    epsilon: float,
    attractive: bool,
    scales: tuple[float, float],
    axial: float,
    lateral: float,
    name: str,
) -> tuple[float, float]:
    sites = np.concatenate([np.zeros((1, 3)), np.reshape(beads, (-1, 3))])
    kT = thermal_energy(REFERENCE_TEMPERATURE_K)
    epsilons = np.array([epsilon] + [kT] * (len(sites) - 1))
    attracts = np.array([attractive] + [False] * (len(sites) - 1))

    def excess(side: bool, core: float, bead: float, r: float) -> float:
        sigmas = np.array([core] + [bead] * (len(sites) - 1))
        push = mean_force(sites, sigmas, epsilons, attracts, r, side, len(sites) // 2)
        return push - (3 * scales[1] if side else 6 * scales[0]) / r**4

    widest = float(theory.wca_sigma(axial, epsilon, scales[0]))  # of a core without beads

    def core_of(bead: float) -> float:
        return float(brentq(lambda s: excess(False, s, bead, axial), _THINNEST, 1.001 * widest))

    thickest = _largest(lambda bead: excess(False, _THINNEST, bead, axial) < 0, 2 * axial)
    reached = [
        find_contact(partial(excess, True, core_of(bead), bead), axial) or 0.0
        for bead in (_THINNEST, thickest)
    ]
    if not min(reached) <= lateral <= max(reached):
        raise InputError(
            f"'{name}': no bead and core diameter give axial_contact_nm = {axial:g} and "
            f"lateral_contact_nm = {lateral:g}: with these rings the lateral contact lies between "
            f"{min(reached):.3f} and {max(reached):.3f} nm; narrower or higher rings lower it"
        )
    beads_of = np.linspace(_THINNEST, thickest, 40)  # the core hides thin beads: find the crossing
    signs = [excess(True, core_of(b), b, lateral) for b in beads_of]
    crossing = int(np.flatnonzero(np.diff(np.sign(signs)))[-1])
    bead = float(
        brentq(
            lambda b: excess(True, core_of(b), b, lateral),
            beads_of[crossing],
            beads_of[crossing + 1],
        )
    )
    return bead, core_of(bead)


def _largest(holds: Callable[[float], bool], upper: float) -> float:
    """Return the end of the range of positive numbers in which `holds` is true."""
    low, high = _THINNEST, upper
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def find_contact(force: Callable[[float], float], guess: float) -> float | None:
    """Return the outermost zero of a force that is attractive far away, None where there is none.

    It is looked for between half and one and a half of the guess.
    """
    distances = np.linspace(1.5 * guess, 0.5 * guess, 200)
    for outer, inner in pairwise(distances):
        if force(inner) > 0:
            return float(brentq(force, inner, outer))
    return None


def mean_force(
    sites_nm: Floats,
    sigma_nm: Floats,
    epsilon_kJ_mol: Floats,
    attractive: NDArray[np.bool_],
    distance_nm: float,
    side_by_side: bool,
    fold: int = 1,
) -> float:
    """Return the steric force (kJ/mol/nm) between two equal bodies, averaged over both azimuths.

    Args:
        sites_nm: (S, 3) sites, the axis along z.
        sigma_nm: (S,) steric diameters.
        epsilon_kJ_mol: (S,) strengths.
        attractive: (S,) whether sites attract each other.
        distance_nm: between the centres.
        side_by_side: Antiparallel along x instead of head to tail along z.
        fold: Rotational symmetry of the body about its axis.
    """
    turned = sites_nm @ np.swapaxes(_turns(fold), -1, -2)
    if side_by_side:
        one, other = turned[:, None], (turned * np.array([1.0, -1.0, -1.0]))[None]
        axis = np.array([1.0, 0.0, 0.0])
    else:
        one, other = sites_nm, turned
        axis = np.array([0.0, 0.0, 1.0])
    steps = other[..., None, :, :] - one[..., :, None, :] + distance_nm * axis
    r = np.linalg.norm(steps, axis=-1)
    mixed = (sigma_nm[:, None] + sigma_nm) / 2
    forces = site_forces(
        r,
        mixed,
        np.sqrt(np.outer(epsilon_kJ_mol, epsilon_kJ_mol)),
        np.logical_and.outer(attractive, attractive),
    )
    return float((forces * (steps @ axis) / r).sum(axis=(-1, -2)).mean())


def _turns(fold: int) -> Floats:
    """Return rotations (K, 3, 3) about z over a full turn, or what of it symmetry leaves."""
    count = _AZIMUTHS if fold > 1 else 3 * _AZIMUTHS
    return rotations_about_z(2 * np.pi * np.arange(count) / count / fold)


def rotations_about_z(angle: Floats) -> Floats:
    """Return rotation matrices (K, 3, 3) about z."""
    zero, one = np.zeros_like(angle), np.ones_like(angle)
    rows = [
        [np.cos(angle), -np.sin(angle), zero],
        [np.sin(angle), np.cos(angle), zero],
        [zero, zero, one],
    ]
    return np.moveaxis(np.array(rows), -1, 0)
