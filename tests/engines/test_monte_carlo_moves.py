"""Every Monte Carlo move on its own against quadrature, for two clusters and for three."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import dipolar_md as dm
from dipolar_md.engines.direct import DirectEngine
from dipolar_md.engines.monte_carlo.kernel import energies_of
from dipolar_md.engines.monte_carlo.moves import run_moves
from dipolar_md.engines.monte_carlo.state import model_of, state_of, system_of
from dipolar_md.units import KE, thermal_energy

KT = thermal_energy(298.15)
LOCAL, FROM_ENDS, FROM_ALL, PIECE, PIECE_FROM_ALL, RIGID = range(6)
EACH = {  # a move, and what makes it reach every state
    "local": {LOCAL: 1.0},
    "ends": {FROM_ENDS: 1.0},
    "any": {FROM_ALL: 1.0},
    "pieces": {PIECE: 1.0},
    "nudges": {RIGID: 1.0},
    "inner pieces": {PIECE_FROM_ALL: 0.5, FROM_ALL: 0.5},
}


def particle(coupling, sigma=1.0, attractive=False):
    """A WCA sphere, ε = kT, with the dipole of a coupling λ at contact σ."""
    mu = math.sqrt(coupling * sigma**3 * KT / KE)
    site = dm.Site((0.0, 0.0, 0.0), sigma, KT, attractive=attractive)
    return dm.Body("sphere", (site,), 4000.0, (400.0,) * 3, (0.0, 0.0, mu), sigma, sigma / 2)


class Sampler:
    """A run of chosen moves that keeps what it is asked to look at."""

    def __init__(self, system, terms, moves, seed=1, widths=(0.6, 0.6, 2.0), **bonds):
        self.model = model_of(system, terms, **bonds)
        self.state = state_of(system, self.model, (seed,))
        self.state.work["energy"] = energies_of(self.model, self.state, np.zeros(len(system))).sum()
        chances = np.zeros(6)
        for move, share in moves.items():
            chances[move] = share
        self.upto, self.widths = np.cumsum(chances), np.array(widths)
        self.tally = np.zeros((6, 2), np.int64)

    def run(self, trials):
        run_moves(self.model, self.state, trials, self.upto, self.widths, 8, self.tally)

    def series(self, samples, every, look):
        self.run(200 * every)
        values = []
        for _ in range(samples):
            self.run(every)
            values.append(look(self.state))
        return np.array(values, dtype=float)


def mean_and_error(series):
    """The mean of a correlated series and its error from 32 blocks."""
    blocks = np.array([block.mean(axis=0) for block in np.array_split(series, 32)])
    return series.mean(axis=0), blocks.std(axis=0, ddof=1) / math.sqrt(len(blocks))


def bonds(state):
    return state.cluster["degree"].sum() / 2


def pair_box(coupling=5.0, edge=5.0):
    body = particle(coupling)
    return dm.random_gas({body: 2}, 2 / edge**3 / dm.units.MILLIMOLAR, seed=3), dm.Interactions(
        298.15, 1.0, cutoff_nm=edge / 2 * 0.999
    )


def wca(r):
    return np.where(r < 2 ** (1 / 6), 4 * (r**-12.0 - r**-6.0) + 1, 0.0)


@cache
def bonded_fraction(coupling, edge):
    """Of two spheres in a periodic box; the dipole sum is cut as above."""
    c = (np.arange(2000) + 0.5) / 2000  # cosine of the first to the line of centres
    s = np.sqrt(1 + 3 * c**2)
    r = (np.arange(6000) + 0.5) / 6000 * edge / 2 * 0.999
    width, all_of_it, bonded = r[1] - r[0], 0.0, 0.0
    for distance in r[r > 0.6]:
        x, steric = coupling / distance**3, math.exp(-wca(distance))
        mean = (np.sinh(x * s) / (x * s)).mean()
        all_of_it += 4 * math.pi * distance**2 * width * (steric * mean - 1)
        least = distance**3 / s  # energy -x s t below -λ, t uniform from -1 to 1
        if distance < 1.5:
            part = np.exp(x * s) - np.exp(x * s * np.minimum(least, 1.0))
            part = np.where(least < 1, part / (2 * x * s), 0.0).mean()
            bonded += 4 * math.pi * distance**2 * width * steric * part
    all_of_it -= 4 * math.pi / 3 * r[r <= 0.6][-1] ** 3
    return bonded / (edge**3 + all_of_it)


@pytest.mark.parametrize("name", EACH)
def test_each_move_bonds_two_clusters_as_often_as_quadrature_says(name):
    local = name in ("local", "nudges")
    sampler = Sampler(*pair_box(), EACH[name])
    mean, error = mean_and_error(sampler.series(40000, 60 if local else 20, bonds))
    known = bonded_fraction(5.0, 5.0)
    print(f"\n{name}: {mean:.4f} ± {error:.4f}, known {known:.4f}")
    assert error < 0.012 * known
    assert mean == pytest.approx(known, abs=3.5 * error)
    assert all(sampler.tally[move, 1] > 100 for move in EACH[name])


TRIPLE = {"coupling": 4.0, "edge": 4.4}


def by_bonds(state):
    """Which of 0, 1, 2 and 3 bonds there are."""
    return np.arange(4) == state.cluster["degree"].sum() // 2


@cache
def plain_metropolis():
    """Chances of 0 to 3 bonds among three clusters by textbook moves in numpy, and their errors.

    6000 boxes at once; a cluster is shifted by up to 0.35 σ and turned to a random direction, or
    put anywhere.
    """
    rng, boxes, edge = np.random.default_rng(5), 6000, TRIPLE["edge"]
    coupling, cutoff = TRIPLE["coupling"], TRIPLE["edge"] / 2 * 0.999

    def pairs(one, u, other, v):
        step = other - one
        step -= edge * np.rint(step / edge)
        r = np.linalg.norm(step, axis=-1)
        n = step / r[..., None]
        g = (u * v).sum(-1) - 3 * (u * n).sum(-1) * (v * n).sum(-1)
        energy = wca(r) + np.where(r < cutoff, coupling * g / r**3, 0.0)
        return energy, (g / 2 / r**3 < -0.5) & (r < 1.5)

    def directions():
        v = rng.normal(size=(boxes, 3))
        return v / np.linalg.norm(v, axis=-1, keepdims=True)

    x = rng.uniform(0, edge, (boxes, 3, 3))
    u = np.stack([directions() for _ in range(3)], axis=1)
    counts = []
    for step in range(1500):
        k = step % 3
        others = [n for n in range(3) if n != k]
        old, _ = pairs(x[:, k, None], u[:, k, None], x[:, others], u[:, others])
        anywhere = step % 4 == 0
        place = (
            rng.uniform(0, edge, (boxes, 3))
            if anywhere
            else x[:, k] + rng.uniform(-0.35, 0.35, (boxes, 3))
        )
        turned = directions() if step % 2 else u[:, k] + 0.4 * rng.normal(size=(boxes, 3))
        turned /= np.linalg.norm(turned, axis=-1, keepdims=True)
        new, _ = pairs(place[:, None], turned[:, None], x[:, others], u[:, others])
        taken = rng.uniform(size=boxes) < np.exp(np.minimum(0, (old - new).sum(axis=-1)))
        x[taken, k], u[taken, k] = place[taken], turned[taken]
        if step > 500 and step % 20 == 0:
            number = sum(
                pairs(x[:, a], u[:, a], x[:, b], u[:, b])[1].astype(int)
                for a, b in ((0, 1), (0, 2), (1, 2))
            )
            counts.append(number[:, None] == np.arange(4))
    by_box = np.mean(counts, axis=0)
    return by_box.mean(axis=0), by_box.std(axis=0) / math.sqrt(boxes)


def triple():
    system, _ = pair_box(TRIPLE["coupling"], TRIPLE["edge"])
    body = system.bodies[0]
    density = 3 / TRIPLE["edge"] ** 3 / dm.units.MILLIMOLAR
    return dm.random_gas({body: 3}, density, seed=3), dm.Interactions(
        298.15, 1.0, cutoff_nm=TRIPLE["edge"] / 2 * 0.999
    )


def disagreement(sampler, samples=40000, every=20):
    """Largest difference from plain Metropolis, in standard errors."""
    mean, error = mean_and_error(sampler.series(samples, every, by_bonds))
    known, uncertain = plain_metropolis()
    print(f"\n{mean.round(4)} ± {error.round(4)}, known {known.round(4)} ± {uncertain.round(4)}")
    return float(np.abs((mean - known) / np.hypot(error, uncertain))[:3].max())


THREE = {
    **{name: EACH[name] for name in ("local", "ends", "any")},
    "pieces": {PIECE: 0.7, LOCAL: 0.3},
    "nudges": {RIGID: 0.7, LOCAL: 0.3},
    "inner pieces": {PIECE_FROM_ALL: 0.7, FROM_ALL: 0.3},
}


@pytest.mark.parametrize("name", THREE)
def test_each_move_links_three_clusters_as_plain_metropolis_does(name):
    assert disagreement(Sampler(*triple(), THREE[name])) < 4


