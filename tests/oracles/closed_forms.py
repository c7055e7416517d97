"""Closed forms that only tests need; of touching dipoles, in units of A/σ³.

Chains and rings: I. S. Jacobs, C. P. Bean, https://doi.org/10.1103/PhysRev.100.1060.
"""

import numpy as np


def wca_force(distance, sigma, epsilon):
    """−dw/dr = (24ε/r) [2(σ/r)¹² − (σ/r)⁶] for r < 2^(1/6) σ, else 0."""
    s = np.asarray((sigma / distance) ** 6)
    return np.where(s > 0.5, 24 * epsilon / distance * (2 * s * s - s), 0.0)


def chain_energy(n):
    """E = −2 Σ_{k=1}^{n−1} (n − k)/k³ of a straight chain of n."""
    k = np.arange(1, n, dtype=float)
    return float(2 * np.sum((k - n) / k**3))


def ring_energy(n):
    """E = −(n/2) Σ_{k=1}^{n−1} (1 + cos²φ_k) (sin φ_1 / sin φ_k)³, φ_k = πk/n, of a ring."""
    angle = np.pi * np.arange(1, n) / n
    terms = (1 + np.cos(angle) ** 2) * (np.sin(angle[0]) / np.sin(angle)) ** 3
    return float(-n / 2 * np.sum(terms))
