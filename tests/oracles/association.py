"""Ideal association of WCA spheres with point dipoles by plain quadrature, from SI constants."""

import math

import numpy as np
import scipy.constants as si
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

DEBYE = 1e-21 / si.c  # C m


def orientations(x):
    """⟨e^(−u/kT)⟩ of two dipoles of coupling x = A/(r³kT): ∫₀¹ sinh(xs)/(xs) dc, s = √(1 + 3c²)."""

    def factor(c):
        y = x * math.sqrt(1 + 3 * c * c)
        return math.sinh(y) / y

    return quad(factor, 0, 1, epsrel=1e-9, limit=200)[0]


def mean_length(sigma_nm, dipole_D, permittivity, temperature_K, concentration_mM):
    """n̄ = [1 + √(1 + 4ρK)]/2, ε = kT at 298.15 K; K as `theory.bonding_volume` defines it."""
    kT = si.k * temperature_K
    scale = (dipole_D * DEBYE) ** 2 / (4 * math.pi * si.epsilon_0 * permittivity) / kT * 1e27  # nm³
    strength = 298.15 / temperature_K

    def wall(r):
        s6 = (sigma_nm / r) ** 6
        return 4 * strength * (s6 * s6 - s6) + strength if s6 > 0.5 else 0.0

    def gained(r):
        return r * r * math.exp(-wall(r)) * (orientations(scale / r**3) - 1)

    edge = 2 ** (1 / 6) * sigma_nm
    inside = quad(gained, 0.7 * sigma_nm, edge, epsrel=1e-8, limit=200)[0]
    outside = quad(gained, edge, 40 * sigma_nm, epsrel=1e-8, limit=400)[0]
    bond = minimize_scalar(
        lambda r: wall(r) - 2 * scale / r**3,
        bounds=(0.7 * sigma_nm, 1.3 * sigma_nm),
        method="bounded",
        options={"xatol": 1e-10},
    ).x
    apery = float(np.sum(1 / np.arange(1, 100_000.0) ** 3))
    volume = 2 * math.pi * (inside + outside) * math.exp(2 * (apery - 1) * scale / bond**3)
    density = concentration_mM * si.N_A * 1e-27
    return (1 + math.sqrt(1 + 4 * density * volume)) / 2
