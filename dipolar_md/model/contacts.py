"""Where bodies touch: length and stiffness of a bond, torsional barrier, contact surface."""

import numpy as np
from numpy.typing import NDArray

from dipolar_md.errors import InputError
from dipolar_md.model.body import Body
from dipolar_md.model.steric import find_contact, mean_force, rotations_about_z, site_energies
from dipolar_md.units import DEBYE

Floats = NDArray[np.float64]


def bond(body: Body, energy_scale: float) -> tuple[float, float]:
    """Return length (nm) and stiffness (kJ/mol/nm²) of the head-to-tail bond of two equal bodies.

    Length: where the azimuth-averaged steric push equals the pull 6A/r⁴ of the point dipoles.
    Stiffness: minus the slope of the total force there.

    Args:
        body: with its dipole along z.
        energy_scale: A = μ²/4πε₀ε_r in kJ/mol nm³, positive.

    Raises:
        InputError: The dipole pulls bodies together beyond half of their contact.
    """
    arrays = steric_arrays(body)

    def total(r: float) -> float:
        push = mean_force(*arrays, r, False)
        return push - 6 * energy_scale / r**4

    r = find_contact(total, body.axial_contact_nm)
    if r is None:
        raise InputError(
            f"'{body.name}': no contact: bodies of {body.dipole_magnitude_e_nm / DEBYE:.4g} D pull "
            f"each other closer than {0.5 * body.axial_contact_nm:.3g} nm, half of their axial "
            "contact; lower the dipole (dipole_D)"
        )
    h = 1e-4 * r
    return r, -(total(r + h) - total(r - h)) / (2 * h)


def closest_approach(body: Body, energy_kJ_mol: float) -> float:
    """Return the distance (nm) head to tail at which two equal bodies repel with an energy.

    The energy is the azimuth-averaged steric one; nothing comes nearer that has no more to spend.

    Args:
        body: with its dipole along z.
        energy_kJ_mol: energy, positive.
    """
    from scipy.optimize import brentq

    sites, sigma, epsilon, attractive = steric_arrays(body)
    turns = rotations_about_z(2 * np.pi * np.arange(48) / 48)
    other = sites @ np.swapaxes(turns, -1, -2)
    mixed, strength = (sigma[:, None] + sigma) / 2, np.sqrt(np.outer(epsilon, epsilon))
    both = np.logical_and.outer(attractive, attractive)

    def excess(r: float) -> float:
        steps = other[:, None] - sites[:, None] + [0.0, 0.0, r]
        gaps = np.linalg.norm(steps, axis=-1)
        energies = site_energies(gaps, mixed, strength, both).sum(axis=(-1, -2))
        return float(np.log(max(energies.mean(), 1e-300) / energy_kJ_mol))

    outer = 2 * body.extent_nm
    inner = outer
    while excess(inner) < 0:  # walk inwards to where the repulsion is enough
        inner -= 0.02 * outer
    return float(brentq(excess, inner, inner + 0.02 * outer))


def steric_arrays(body: Body) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """Return positions (S, 3), σ, ε and attraction (S,) of a body's steric sites."""
    sites = [site for site in body.sites if site.sigma_nm > 0]
    return (
        np.array([site.position_nm for site in sites]),
        np.array([site.sigma_nm for site in sites]),
        np.array([site.epsilon_kJ_mol for site in sites]),
        np.array([site.attractive for site in sites]),
    )


def torsional_barrier(body: Body, azimuths: int = 180) -> float:
    """Return the barrier (kJ/mol) to turning one body about the axis on top of another.

    Highest minus lowest steric energy over the azimuth, head to tail at the axial contact. Far
    below kT, the rotation is free and handedness has no effect on how a chain stacks.
    """
    sites, sigma, epsilon, attractive = steric_arrays(body)
    angle = 2 * np.pi * np.arange(azimuths) / azimuths
    other = sites @ np.swapaxes(rotations_about_z(angle), -1, -2)
    steps = other[:, None] - sites[:, None] + [0.0, 0.0, body.axial_contact_nm]
    energies = site_energies(
        np.linalg.norm(steps, axis=-1),
        (sigma[:, None] + sigma) / 2,
        np.sqrt(np.outer(epsilon, epsilon)),
        np.logical_and.outer(attractive, attractive),
    ).sum(axis=(-1, -2))
    return float(np.ptp(energies))


def contact_surface(body: Body, directions: Floats) -> Floats:
    """Return the distance (nm) from the centre at which a bead touches a body.

    A bead like the body's smallest steric site touches where its steric energy with all sites is ε:
    the outermost such point along each direction.

    Args:
        body: Any body.
        directions: (..., 3) unit vectors in the body frame.
    """
    sites, sigma, epsilon, _ = steric_arrays(body)
    probe = int(np.argmin(sigma))
    mixed = (sigma + sigma[probe]) / 2
    strength = np.sqrt(epsilon * epsilon[probe])
    r = np.full(directions.shape[:-1], 2 * body.extent_nm + mixed.max())
    step = 0.01 * body.extent_nm
    found = np.zeros(directions.shape[:-1], dtype=bool)

    def energy(distance: Floats) -> Floats:
        gaps = np.linalg.norm(distance[..., None, None] * directions[..., None, :] - sites, axis=-1)
        never = np.zeros(len(sites), dtype=bool)
        return np.asarray(
            site_energies(np.maximum(gaps, 1e-6), mixed, strength, never).sum(axis=-1)
        )

    while not found.all():  # walk inwards, then bisect
        r = np.where(found, r, r - step)
        found |= (energy(r) >= strength[probe]) | (r <= step)
    inner, outer = r, r + step
    for _ in range(40):
        middle = (inner + outer) / 2
        touches = energy(middle) >= strength[probe]
        inner, outer = np.where(touches, middle, inner), np.where(touches, outer, middle)
    return np.asarray((inner + outer) / 2)
