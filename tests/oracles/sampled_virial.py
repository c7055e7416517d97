"""B₂ of two equal bodies by plain Monte Carlo: random places and turns, energies summed by hand."""

import numpy as np
from scipy.spatial.transform import Rotation

from dipolar_md import units


def pair_energies(body, separations, first, second, permittivity):
    """(K,) kJ/mol of two bodies turned by rotations, apart by (K, 3) nm; loops over their sites."""
    energy = np.zeros(len(separations))
    k = units.KE / permittivity
    for a in body.sites:
        for b in body.sites:
            step = separations + second.apply(b.position_nm) - first.apply(a.position_nm)
            r = np.maximum(np.linalg.norm(step, axis=1), 1e-3)
            if a.sigma_nm and b.sigma_nm:
                s6 = ((a.sigma_nm + b.sigma_nm) / 2 / r) ** 6
                depth = np.sqrt(a.epsilon_kJ_mol * b.epsilon_kJ_mol)
                if a.attractive and b.attractive:
                    shift = 3.0**-12 - 3.0**-6
                    energy += np.where(s6 > 3.0**-6, 4 * depth * (s6**2 - s6 - shift), 0.0)
                else:
                    energy += np.where(s6 > 0.5, 4 * depth * (s6**2 - s6) + depth, 0.0)
            energy += k * a.charge_e * b.charge_e / r
    if not body.has_charges:
        r = np.linalg.norm(separations, axis=1)
        n = separations / r[:, None]
        one, other = first.apply(body.dipole_e_nm), second.apply(body.dipole_e_nm)
        along = (one * n).sum(axis=1) * (other * n).sum(axis=1)
        energy += k * ((one * other).sum(axis=1) - 3 * along) / r**3
    return energy


def sampled_virial(body, permittivity, farthest_nm, samples=400_000, seed=1, temperature_K=298.15):
    """B₂ (nm³) up to a distance and its standard error, from half as many antithetic turns.

    Dipoles beyond attract by u²/3 on average: ∫ 2π r² dr (A/r³kT)²/3 is added.
    """
    rng = np.random.default_rng(seed)
    kT = units.thermal_energy(temperature_K)
    sums = []
    for _ in range(20):
        n = samples // 20
        edges = (np.arange(n) + rng.uniform(size=n)) / n  # one distance in each of n shells
        r = farthest_nm * edges
        places = np.stack([np.zeros(n), np.zeros(n), r], axis=1)
        turns = (Rotation.random(n, rng=rng), Rotation.random(n, rng=rng))
        factor = np.exp(-pair_energies(body, places, *turns, permittivity) / kT)
        sums.append(2 * np.pi * farthest_nm * float((r**2 * (1 - factor)).mean()))
    scale = units.KE * body.dipole_magnitude_e_nm**2 / permittivity / kT
    tail = -2 * np.pi / 9 * scale**2 / farthest_nm**3
    return float(np.mean(sums)) + tail, float(np.std(sums, ddof=1) / np.sqrt(20))
