"""Configurational integrals of small aggregates against quadrature and closed forms."""

import math

import numpy as np
import pytest
from oracles.dipolar_spheres import particle, wca

import dipolar_md as dm
from dipolar_md.engines.monte_carlo.aggregates import HIGHEST_ENERGY, sample_aggregates


def dimer(coupling, alpha=0.0):
    """½ ∫ e^-u over pairs that hold together: nearer than 1.5 σ, energy below -0.2 · 2λ; in σ³.

    With α, both induced dipoles are integrated out axis by axis; the criterion is that of the
    permanent dipoles.
    """
    r = np.arange(0.6, 1.5, 0.005) + 0.0025
    c, weight = np.polynomial.legendre.leggauss(120)
    phi = (np.arange(60) + 0.5) / 60 * math.pi
    c1, c2, angle = np.meshgrid(c, c, np.cos(phi), indexing="ij")
    each = np.multiply.outer(np.multiply.outer(weight, weight) / 4, np.full(60, 1 / 60))
    across = np.sqrt((1 - c1**2) * (1 - c2**2)) * angle
    total = 0.0
    for distance in r:
        x, a = coupling / distance**3, alpha / distance**3
        u = x * (across - 2 * c1 * c2)
        parallel, side = 1 / (1 - 4 * a**2), 1 / (1 - a**2)
        energy = u - 2 * x * a * parallel * (c1**2 + c2**2)
        energy -= 0.5 * x * a * side * (2 - c1**2 - c2**2)
        energy -= 8 * x * a**2 * parallel * c1 * c2 - x * a**2 * side * across
        factor = np.exp(-energy - wca(distance)) * math.sqrt(parallel) * side
        holds = u < 2 * coupling * HIGHEST_ENERGY
        total += 4 * math.pi * distance**2 * 0.005 * (each * factor)[holds].sum()
    return total / 2


def jackknife(values):
    """The estimate and its error from those without each block."""
    rest = values[1:]
    spread = ((rest - rest.mean(axis=0)) ** 2).sum(axis=0)
    return values[0], np.sqrt((len(rest) - 1) / len(rest) * spread)


@pytest.mark.parametrize(("coupling", "alpha"), [(5.0, 0.0), (3.5, 0.06)])
def test_pairs_have_the_integral_of_quadrature(coupling, alpha):
    terms = dm.Interactions(298.15, 1.0, cutoff_nm=3.0)
    found = sample_aggregates(
        particle(coupling), terms, largest=8, trials=60000, polarisability_nm3=alpha
    )
    value, error = jackknife(found.log_integral[:, 1])
    known = math.log(dimer(coupling, alpha))
    print(f"\\nln b2 {value:.4f} ± {error:.4f}, known {known:.4f}")
    assert error < 0.01
    assert value == pytest.approx(known, abs=max(4 * error, 2e-3))
    assert found.over_open[0, 1] == pytest.approx([1, 0, 0, 0])


def test_longer_aggregates_agree_between_seeds_and_gain_with_every_bond():
    terms = dm.Interactions(298.15, 1.0, cutoff_nm=3.0)
    body = particle(5.0)
    runs = [sample_aggregates(body, terms, largest=8, trials=40000, seed=seed) for seed in (1, 2)]
    (first, error), (second, other) = (jackknife(run.log_integral[:, 2:]) for run in runs)
    assert np.abs(first - second) / np.hypot(error, other) == pytest.approx(0, abs=5)
    steps = np.diff(runs[0].log_integral[0])
    assert (np.diff(steps[:4]) > 0).all()  # each bond is worth more than the one before


def test_sampling_repeats_and_stops():
    terms = dm.Interactions(298.15, 1.0, cutoff_nm=3.0)
    again = [sample_aggregates(particle(5.0), terms, largest=8, trials=2000) for _ in range(2)]
    assert (again[0].log_integral == again[1].log_integral).all()
    early = sample_aggregates(particle(5.0), terms, largest=8, trials=2000, stop=lambda: True)
    assert len(early.log_integral) == 1
