"""Induced dipoles in open space, from the formulas alone: loops over sites and one dense solve.

Permanent moments are charges and dipoles at places; what is polarised are isotropic points.
Nothing within one cluster acts on itself. Between polarisable points of two clusters Thole's
damping may act.
"""

import numpy as np

COULOMB = 138.93545755  # kJ mol⁻¹ nm e⁻², CODATA 2022


def tensor(step, damping=(1.0, 1.0)):
    """T with field = −T p of a dipole p, and energy a·T·b."""
    r = np.sqrt(step @ step)
    return damping[0] * np.eye(3) / r**3 - 3 * damping[1] * np.outer(step, step) / r**5


def thole(step, alpha_a, alpha_b, width):
    """Damping factors of T."""
    v = width * np.sqrt(step @ step) ** 3 / np.sqrt(alpha_a * alpha_b)
    return 1 - np.exp(-v), 1 - (1 + v) * np.exp(-v)


def solve(permanent, polarisable, field=(0.0, 0.0, 0.0), constant=COULOMB):
    """Return permanent energy, induction energy and induced dipoles (e nm).

    permanent: (cluster, place, charge, dipole); polarisable: (cluster, place, alpha in nm³,
    Thole's width or 0);
    field in kJ/mol/nm per e, acting on everything; constant: Coulomb's, over the permittivity.
    """
    permanent_energy = 0.0
    for a, (one, x, q, mu) in enumerate(permanent):
        permanent_energy -= (q * np.asarray(x) + mu) @ np.asarray(field)
        for other, y, p, nu in permanent[a + 1 :]:
            if one == other:
                continue
            step = np.asarray(y) - x
            r = np.sqrt(step @ step)
            pair = q * p / r + (p * (mu @ step) - q * (nu @ step)) / r**3 + mu @ tensor(step) @ nu
            permanent_energy += constant * pair
    n = len(polarisable)
    fields, matrix = np.zeros(3 * n), np.zeros((3 * n, 3 * n))
    for i, (one, x, alpha, width) in enumerate(polarisable):
        at = slice(3 * i, 3 * i + 3)
        matrix[at, at] = COULOMB / alpha * np.eye(3)
        fields[at] += field
        for other, y, q, mu in permanent:
            if other != one:
                step = np.asarray(x) - y
                r = np.sqrt(step @ step)
                fields[at] += constant * (q * step / r**3 - tensor(step) @ mu)
        for j, (other, y, beta, wide) in enumerate(polarisable):
            if other != one:
                step = np.asarray(y) - x
                damped = width and wide
                damping = thole(step, alpha, beta, width) if damped else (1.0, 1.0)
                matrix[at, 3 * j : 3 * j + 3] = constant * tensor(step, damping)
    induced = np.linalg.solve(matrix, fields)
    return permanent_energy, -0.5 * induced @ fields, induced.reshape(n, 3)
