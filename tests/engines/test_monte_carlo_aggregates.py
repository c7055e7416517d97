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
    of_all = runs[0].log_integral[0] + np.log(runs[0].over_open[0].sum(axis=1))
    assert (np.diff(of_all, 2)[:4] > 0).all()  # each bond is worth more than the one before


def triples(coupling, count=2_000_000, seed=1):
    """Chains and rings of three by plain integration: integrals in σ⁶, and mean end-to-end² in σ².

    Two clusters are put anywhere within reach of the first, the middle of a chain, which is any of
    three; a pair holds together as in `dimer`.
    """
    rng, reach, sums = np.random.default_rng(seed), 1.5, np.zeros((2, 3))
    for _ in range(count // 100_000):
        x, u = rng.normal(size=(2, 3, 100_000, 3))
        u /= np.linalg.norm(u, axis=2, keepdims=True)
        x *= reach * rng.random((3, 100_000, 1)) ** (1 / 3) / np.linalg.norm(x, axis=2)[..., None]
        x[0] = 0.0
        total, bonds, r = np.zeros(x.shape[1]), [], []
        for i, j in ((0, 1), (0, 2), (1, 2)):
            step = x[i] - x[j]
            r.append(np.linalg.norm(step, axis=1))
            along = (u[i] * step).sum(axis=1) * (u[j] * step).sum(axis=1) / r[-1] ** 2
            pair = coupling / r[-1] ** 3 * ((u[i] * u[j]).sum(axis=1) - 3 * along)
            total += pair + wca(r[-1])
            bonds.append((r[-1] < reach) & (pair < 2 * coupling * HIGHEST_ENERGY))
        weight = np.exp(-total) * (4 / 3 * math.pi * reach**3) ** 2 / 6 / count
        held = bonds[0] & bonds[1]
        for ring, kind in enumerate((held & ~bonds[2], held & bonds[2])):
            w = weight[kind] * (1 if ring else 3)
            sums[ring] += [w.sum(), (w * r[2][kind] ** 2).sum(), (w**2).sum()]
    return sums[:, 0], sums[0, 1] / sums[0, 0], np.sqrt(sums[:, 2]) / sums[:, 0]


def test_triples_have_the_integrals_of_plain_integration():
    """Chains grow and turn, rings are joined to them by ratios of closing and opening."""
    terms = dm.Interactions(298.15, 1.0, cutoff_nm=6.0)
    found = sample_aggregates(particle(3.0), terms, largest=8, trials=60000)
    known, ends, doubt = triples(3.0)
    chains = found.log_integral[:, 2] + np.log(found.over_open[:, 2, :2].sum(axis=1))
    rings = found.log_integral[:, 2] + np.log(found.over_open[:, 2, 2])
    for ours, exact, own in zip((chains, rings), known, doubt, strict=True):
        value, error = jackknife(ours)
        print(f"\n{value:.3f} ± {error:.3f}, known {math.log(exact):.3f} ± {own:.3f}")
        assert max(error, own) < 0.2
        assert value == pytest.approx(math.log(exact), abs=4 * math.hypot(error, own))
    square, error = jackknife(found.end_to_end2_nm2[:, 2, 0])
    print(f"{square:.4f} ± {error:.4f}, known {ends:.4f}")
    assert square == pytest.approx(ends, abs=4 * error + 0.01 * ends)


def test_sampling_repeats_and_stops():
    terms = dm.Interactions(298.15, 1.0, cutoff_nm=3.0)
    again = [sample_aggregates(particle(5.0), terms, largest=8, trials=2000) for _ in range(2)]
    assert (again[0].log_integral == again[1].log_integral).all()
    early = sample_aggregates(particle(5.0), terms, largest=8, trials=2000, stop=lambda: True)
    assert len(early.log_integral) == 1
