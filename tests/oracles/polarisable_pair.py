"""Two polarisable dipoles at a temperature: the Gaussian integral over their induced dipoles.

Each has a permanent dipole, at a point or as two charges on its axis, and a point polarisability at
its centre. Periodic images act as by Lorentz: a cubic box under conducting boundary adds −2πM²/3V
for the total dipole M. What is left is quadratic in the induced dipoles, component by component, so
that their integral is a closed form; permanent directions are summed numerically.
"""

import numpy as np

from dipolar_md.units import KE

POLAR, AZIMUTH = 24, 24


def pair_law(r, alpha, dipole, kT, separation_nm=0.0, edge_nm=np.inf):
    """Boltzmann factor at r, averaged over directions, and two means there.

    They are 3(u₁·r̂)(u₂·r̂) − u₁·u₂, and the induced dipole along the permanent one, e nm.
    """
    nodes, weights = np.polynomial.legendre.leggauss(POLAR)
    phi = (np.arange(AZIMUTH) + 0.5) * np.pi / AZIMUTH
    c1, c2, phi = np.meshgrid(nodes, nodes, phi, indexing="ij")
    u1 = np.stack([np.sqrt(1 - c1**2), 0 * c1, c1], axis=-1)
    across = np.sqrt(1 - c2**2)
    u2 = np.stack([across * np.cos(phi), across * np.sin(phi), c2], axis=-1)
    step, lorentz = np.array([0.0, 0.0, r]), 4 * np.pi / 3 / edge_nm**3
    moment = dipole * (u1 + u2)
    energy = permanent_energy(u1, u2, step, dipole, separation_nm)
    energy = energy - lorentz / 2 * (moment**2).sum(axis=-1)
    field1 = field(u2, -step, dipole, separation_nm) + lorentz * moment
    field2 = field(u1, step, dipole, separation_nm) + lorentz * moment
    # Σ p²/2α − t p₁p₂ − lorentz (p₁² + p₂²)/2 − E₁p₁ − E₂p₂, of each component
    stiff, bind = 1 / alpha - lorentz, np.array([-1, -1, 2]) / r**3 + lorentz
    stiffness = stiff**2 - bind**2
    p1 = (stiff * field1 + bind * field2) / stiffness
    p2 = (stiff * field2 + bind * field1) / stiffness
    energy = energy - ((field1 * p1).sum(axis=-1) + (field2 * p2).sum(axis=-1)) / 2
    weight = np.exp(-KE * energy / kT) * weights[:, None, None] * weights[:, None]
    total = weight.sum()
    order = (weight * (3 * c1 * c2 - (u1 * u2).sum(axis=-1))).sum() / total
    induced = (weight * ((p1 * u1).sum(axis=-1) + (p2 * u2).sum(axis=-1))).sum() / 2 / total
    plain = total / (4 * AZIMUTH) / alpha**3 / np.sqrt(np.prod(stiffness))
    return plain, order, induced


def permanent_energy(u1, u2, step, dipole, separation):
    """Energy of two permanent dipoles, the second at `step` from the first, over 1/4πε₀."""
    if not separation:
        r = np.linalg.norm(step)
        dots = (u1 * u2).sum(axis=-1) - 3 * (u1 @ step) * (u2 @ step) / r**2
        return dipole**2 * dots / r**3
    q, a = dipole / separation, separation / 2
    return sum(
        s * t * q**2 / np.linalg.norm(step + t * a * u2 - s * a * u1, axis=-1)
        for s in (1, -1)
        for t in (1, -1)
    )


def field(u, step, dipole, separation):
    """Field of a permanent dipole along u at `step` from it, over 1/4πε₀."""
    if not separation:
        r = np.linalg.norm(step)
        return dipole * (3 * (u @ step)[..., None] * step / r**2 - u) / r**3
    found = np.zeros_like(u)
    for sign in (1, -1):
        away = step - sign * separation / 2 * u
        found += (
            sign * dipole / separation * away / np.linalg.norm(away, axis=-1, keepdims=True) ** 3
        )
    return found
