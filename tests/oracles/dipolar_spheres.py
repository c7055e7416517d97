"""Dipolar spheres in reduced units: σ = 1 nm, ε = kT at 298.15 K, the dipole of a coupling λ."""

import math

import numpy as np

import dipolar_md as dm
from dipolar_md.units import KE, thermal_energy

KT = thermal_energy(298.15)


def particle(coupling, sigma=1.0, attractive=False):
    """A WCA sphere, ε = kT, with the dipole of a coupling λ at contact σ."""
    mu = math.sqrt(coupling * sigma**3 * KT / KE)
    site = dm.Site((0.0, 0.0, 0.0), sigma, KT, attractive=attractive)
    return dm.Body("sphere", (site,), 4000.0, (400.0,) * 3, (0.0, 0.0, mu), sigma, sigma / 2)


def wca(r):
    """The energy of two of them without dipoles, in kT."""
    return np.where(r < 2 ** (1 / 6), 4 * (r**-12.0 - r**-6.0) + 1, 0.0)
