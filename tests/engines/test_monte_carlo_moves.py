"""Every Monte Carlo move on its own against quadrature, for two clusters and for three."""

import math
from functools import cache
from pathlib import Path

import numba
import numpy as np
import pytest
from scipy.special import i0e

import dipolar_md as dm
from dipolar_md.engines.direct import DirectEngine
from dipolar_md.engines.monte_carlo import moves
from dipolar_md.engines.monte_carlo.kernel import energies_of
from dipolar_md.engines.monte_carlo.moves import run_moves
from dipolar_md.engines.monte_carlo.state import model_of, state_of, system_of
from dipolar_md.units import KE, thermal_energy

KT = thermal_energy(298.15)
LOCAL, FROM_ENDS, FROM_ALL, PIECE, PIECE_FROM_ALL, RIGID, REATTACH = range(7)
EACH = {  # a move, and what makes it reach every state
    "local": {LOCAL: 1.0},
    "ends": {FROM_ENDS: 1.0},
    "any": {FROM_ALL: 1.0},
    "pieces": {PIECE: 1.0},
    "nudges": {RIGID: 1.0},
    "inner pieces": {PIECE_FROM_ALL: 0.5, FROM_ALL: 0.5},
    "nearby": {REATTACH: 0.5, FROM_ALL: 0.5},
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
        chances = np.zeros(7)
        for move, share in moves.items():
            chances[move] = share
        self.upto, self.widths = np.cumsum(chances), np.array(widths)
        self.tally = np.zeros((7, 2), np.int64)

    def run(self, trials):
        run_moves(self.model, self.state, trials, self.upto, self.widths, 8, self.tally)

    def series(self, samples, every, look):
        """What `look` makes of places and directions (samples, N, 3) and bonds (samples,)."""
        n = len(self.state.cluster)
        x, u, bonded = np.zeros((samples, n, 3)), np.zeros((samples, n, 3)), np.zeros(samples)
        self.run(200 * every)
        watch(self.model, self.state, every, self.upto, self.widths, self.tally, x, u, bonded)
        return np.asarray(look(x, u, bonded), dtype=float)


@numba.njit
def watch(model, state, every, upto, widths, tally, x, u, bonded):
    """Run and write places, directions and the number of bonds after every few trials."""
    for k in range(len(bonded)):
        run_moves(model, state, every, upto, widths, 8, tally)
        for i in range(len(state.cluster)):
            x[k, i], u[k, i] = state.cluster[i].x, state.cluster[i].u
            bonded[k] += state.cluster[i].degree / 2


def mean_and_error(series):
    """The mean of a correlated series and its error from 32 blocks."""
    blocks = np.array([block.mean(axis=0) for block in np.array_split(series, 32)])
    return series.mean(axis=0), blocks.std(axis=0, ddof=1) / math.sqrt(len(blocks))


def bonds(x, u, bonded):
    return bonded


def pair_box(coupling=5.0, edge=5.0):
    body = particle(coupling)
    return dm.random_gas({body: 2}, 2 / edge**3 / dm.units.MILLIMOLAR, seed=3), dm.Interactions(
        298.15, 1.0, cutoff_nm=edge / 2 * 0.999
    )


def wca(r):
    return np.where(r < 2 ** (1 / 6), 4 * (r**-12.0 - r**-6.0) + 1, 0.0)


@cache
def integrals(coupling, cutoff):
    """∫ (⟨e^-u⟩ - 1) d³r and its bonded part, ∫ ⟨e^-u⟩ d³r, of two spheres, u cut; in σ³."""
    c = (np.arange(2000) + 0.5) / 2000  # cosine of the first to the line of centres
    s = np.sqrt(1 + 3 * c**2)
    r = (np.arange(6000) + 0.5) / 6000 * cutoff
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
    return all_of_it - 4 * math.pi / 3 * (r[r > 0.6][0] - width / 2) ** 3, bonded


def bonded_fraction(coupling, edge):
    """Share of time that two spheres in a periodic box are bonded."""
    excess, bonded = integrals(coupling, edge / 2 * 0.999)
    return bonded / (edge**3 + excess)


@pytest.mark.parametrize(("coupling", "known"), [(4, -23.281166), (6, -311.704953), (8, -9122.34)])
def test_the_quadrature_gives_second_virial_coefficients_that_no_one_here_wrote(coupling, known):
    excess, _ = integrals(float(coupling), 8.0)
    tail = -2 * math.pi / 9 * coupling**2 / 8.0**3  # <u²>/2 beyond
    assert -excess / 2 + tail == pytest.approx(known, rel=1e-4)


@pytest.mark.parametrize("name", EACH)
def test_each_move_bonds_two_clusters_as_often_as_quadrature_says(name):
    local = name in ("local", "nudges")
    sampler = Sampler(*pair_box(), EACH[name])
    mean, error = mean_and_error(sampler.series(60000, 60 if local else 20, bonds))
    known = bonded_fraction(5.0, 5.0)
    print(f"\n{name}: {mean:.4f} ± {error:.4f}, known {known:.4f}")
    assert error < 0.012 * known
    assert mean == pytest.approx(known, abs=3.5 * error)
    assert all(sampler.tally[move, 1] > 100 for move in EACH[name])


@pytest.mark.parametrize(("coupling", "edge"), [(4, 4.0), (6, 7.0), (8, 22.0)])
def test_a_pair_is_bonded_as_often_as_its_second_virial_coefficient_wants(coupling, edge):
    sampler = Sampler(*pair_box(coupling, edge), {FROM_ENDS: 0.7, LOCAL: 0.3})
    mean, error = mean_and_error(sampler.series(20000, 20, bonds))
    known = bonded_fraction(float(coupling), edge)
    assert error < 0.02 * known
    assert mean == pytest.approx(known, abs=3.5 * error)


TRIPLE = {"coupling": 4.0, "edge": 4.4}


def by_bonds(x, u, bonded):
    """Which of 0, 1, 2 and 3 bonds there are."""
    return np.arange(4) == bonded[:, None]


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


def disagreement(series):
    """Largest difference from plain Metropolis, in standard errors."""
    mean, error = mean_and_error(series)
    known, uncertain = plain_metropolis()
    print(f"\n{mean.round(4)} ± {error.round(4)}, known {known.round(4)} ± {uncertain.round(4)}")
    return float(np.abs((mean - known) / np.hypot(error, uncertain))[:3].max())


THREE = {
    **{name: EACH[name] for name in ("local", "ends", "any")},
    "pieces": {PIECE: 0.7, LOCAL: 0.3},
    "nudges": {RIGID: 0.7, LOCAL: 0.3},
    "inner pieces": {PIECE_FROM_ALL: 0.7, FROM_ALL: 0.3},
    "nearby": {REATTACH: 0.7, FROM_ALL: 0.3},
}


@pytest.mark.parametrize("name", THREE)
def test_each_move_links_three_clusters_as_plain_metropolis_does(name):
    assert disagreement(Sampler(*triple(), THREE[name]).series(60000, 20, by_bonds)) < 4


def mutant_of_swap(old, new):
    """`swap` on its own, compiled from a source with a mistake in it."""
    source = Path(moves.__file__).read_text(encoding="utf-8")
    assert source.count(old) == 1
    names = {"__name__": "mutant"}
    exec(compile(source.replace(old, new), "<mutant>", "exec"), names)
    swap = names["swap"]

    @numba.njit
    def run(model, state, every, bonded):
        for k in range(len(bonded)):
            for _ in range(every):
                swap(model, state, True)
            for i in range(len(state.cluster)):
                bonded[k] += state.cluster[i].degree / 2

    return run


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("log_ratio += math.log(ends / s.work.counts[N_ENDS])", "log_ratio += 0.0"),
        ("log_bias = math.log(mixture(m, share, total, here) / mixture(m, share, total, there))",
         "log_bias = 0.0"),
    ],
    ids=["number of ends", "density of proposals"],
)  # fmt: skip
def test_a_wrong_acceptance_is_caught(old, new):
    sampler = Sampler(*triple(), {FROM_ENDS: 1.0})
    bonded = np.zeros(60000)
    mutant_of_swap(old, new)(sampler.model, sampler.state, 20, bonded)
    assert disagreement(by_bonds(None, None, bonded).astype(float)) > 8


def mixed(**options):
    """Two kinds, one of which attracts its like; unequal sizes and dipoles."""
    small, large = particle(3.0, 1.0), particle(4.0, 1.3, attractive=True)
    return dm.random_gas({small: 30, large: 30}, options.pop("concentration_mM", 60.0), seed=2,
                         **options)  # fmt: skip


@pytest.mark.parametrize("film", [False, True])
def test_energies_are_those_of_direct_sums_wherever_it_goes(film):
    film = {"thickness_nm": 5.0, "gap_nm": 5.0} if film else {}
    system = mixed(**film)
    terms = dm.Interactions(298.15, 1.3, cutoff_nm=4.0, field_V_nm=(0.05, 0.0, -0.1))
    sampler = Sampler(system, terms, dict.fromkeys(range(7), 1 / 7), widths=(0.3, 0.3, 0.5))
    for _ in range(10):
        sampler.run(2000)
        per_cluster = np.zeros(len(system))
        parts = energies_of(sampler.model, sampler.state, per_cluster)
        here = system_of(sampler.state, system)
        known = DirectEngine().evaluate(here, terms)
        names = ("steric", "electrostatic", "wall", "field")
        assert parts[:4] == pytest.approx([known.energies[n] for n in names], rel=1e-9, abs=1e-9)
        assert per_cluster == pytest.approx(known.cluster_energies, rel=1e-9, abs=1e-9)
        assert sampler.state.work["energy"] == pytest.approx(parts.sum(), rel=1e-9)
        bonded = dm.find_chains(here)
        assert sampler.state.cluster["degree"].tolist() == bonded.degree.tolist()
    assert (sampler.tally[:, 1] > 0).all()


ALPHA = 0.06  # σ³


def polarisable(coupling):
    body = particle(coupling)
    object.__setattr__(body, "polarisability_nm3", ALPHA)
    return body


def test_an_isolated_polarisable_sphere_has_the_energy_of_three_degrees_of_freedom():
    terms = dm.Interactions(298.15, 1.0, cutoff_nm=2.0)
    system = dm.random_gas({polarisable(1.0): 1}, 10.0, seed=1)
    sampler = Sampler(system, terms, {LOCAL: 1.0})
    squares = []
    for _ in range(4000):
        sampler.run(2)
        squares.append((sampler.state.cluster["p"] ** 2).sum())
    known, error = 3 * ALPHA * KT / KE, np.std(squares) / math.sqrt(len(squares))
    assert error < 0.015 * known
    assert np.mean(squares) == pytest.approx(known, abs=3.5 * error)


@cache
def polarisable_pair(coupling, edge, reach):
    """Share of time nearer than a distance, and mean squared cosine there, by quadrature.

    The Gaussian integral over both induced dipoles, axis by axis, is a determinant and an energy.
    """
    cutoff = edge / 2 * 0.999
    r = np.arange(0.6, cutoff, 0.004) + 0.002
    c, weight = np.polynomial.legendre.leggauss(60)
    c1, c2, r = np.meshgrid(c, c, r, indexing="ij")
    measure = np.multiply.outer(np.multiply.outer(weight, weight) / 4, np.ones(r.shape[2]))
    x, a = coupling / r**3, ALPHA / r**3
    s12 = np.sqrt((1 - c1**2) * (1 - c2**2))
    along, across = 1 / (1 - 4 * a**2), 1 / (1 - a**2)  # 1/(1 - (αT)²), T = -2/r³ and 1/r³
    # self terms: the energy of each other's field; cross terms: u and what it induces, n = 2
    squares = 2 * x * a * along * (c1**2 + c2**2) + 0.5 * x * a * across * (2 - c1**2 - c2**2)
    straight = 2 * x * c1 * c2 * (1 + 4 * a**2 * along)
    turned = x * s12 * (1 + a**2 * across)
    log = squares + straight + np.log(i0e(turned)) + turned - wca(r)
    factor = np.exp(log) * np.sqrt(along) * across
    shells = 4 * math.pi * r**2 * 0.004 * measure
    whole = edge**3 + (shells * (factor - 1)).sum() - 4 * math.pi / 3 * 0.6**3
    near = r < reach
    inside = (shells * factor)[near].sum()
    return inside / whole, (shells * factor * c1**2)[near].sum() / inside


@pytest.mark.parametrize("moves_taken", [{LOCAL: 1.0}, {FROM_ENDS: 1.0}, {PIECE: 0.6, LOCAL: 0.4}],
                         ids=["local", "ends", "pieces"])  # fmt: skip
def test_a_polarisable_pair_has_the_distances_and_directions_of_the_gaussian_integral(moves_taken):
    coupling, edge, reach = 3.5, 4.5, 1.3
    body = polarisable(coupling)
    system = dm.random_gas({body: 2}, 2 / edge**3 / dm.units.MILLIMOLAR, seed=3)
    terms = dm.Interactions(298.15, 1.0, cutoff_nm=edge / 2 * 0.999)
    sampler = Sampler(system, terms, moves_taken)

    def look(x, u, bonded):
        step = x[:, 1] - x[:, 0]
        step -= edge * np.rint(step / edge)
        r = np.linalg.norm(step, axis=1)
        return np.stack([r < reach, (r < reach) * ((u[:, 0] * step).sum(1) / r) ** 2], axis=1)

    series = sampler.series(40000, 30, look)
    (near, squares), (error, spread) = mean_and_error(series)
    known, cosines = polarisable_pair(coupling, edge, reach)
    print(f"\n{near:.4f} ± {error:.4f}, known {known:.4f}; {squares / near:.4f}, {cosines:.4f}")
    assert error < 0.02 * known
    assert near == pytest.approx(known, abs=3.5 * error)
    assert squares == pytest.approx(cosines * known, abs=3.5 * spread)


def test_runs_repeat_bit_by_bit_and_seeds_differ():
    found = []
    for seed in (1, 1, 2):
        sampler = Sampler(*triple(), dict.fromkeys(range(7), 1 / 7), seed=seed)
        sampler.run(5000)
        found.append(sampler.state.cluster["x"].copy())
    assert (found[0] == found[1]).all()
    assert (found[0] != found[2]).any()
