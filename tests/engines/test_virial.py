"""Second virial coefficients of WCA spheres with dipoles, from pairs that the engines evaluate."""

import math

import numpy as np
import pytest

import dipolar_md as dm
from dipolar_md.units import KE, thermal_energy

ENGINES = ["lammps", pytest.param("hoomd", marks=pytest.mark.hoomd)]
KT = thermal_energy(298.15)
B2 = {1: 1.504469, 2: -0.983533, 3: -7.038332, 4: -23.281166, 6: -311.704953}
NEAREST, FARTHEST = 0.7, 5.0  # σ; nearer pairs have a Boltzmann factor below e^-200


def particle(coupling, sigma=1.0):
    """A WCA sphere, ε = kT, with the dipole of a coupling λ at contact σ."""
    mu = math.sqrt(coupling * sigma**3 * KT / KE)
    return dm.Body("sphere", (dm.Site((0.0, 0.0, 0.0), sigma, KT),), 4000.0, (400.0,) * 3,
                   (0.0, 0.0, mu), sigma, sigma / 2)  # fmt: skip


def expected_factor(coupling, r, c1, c2, phi):
    """exp(-u/kT) - 1 from the closed form, in σ and kT: what the samples are drawn like."""
    wca = np.where(r < 2 ** (1 / 6), 4 * (r**-12.0 - r**-6.0) + 1, 0.0)
    s1, s2 = np.sqrt(1 - c1**2), np.sqrt(1 - c2**2)
    return np.expm1(-wca - coupling / r**3 * (s1 * s2 * np.cos(phi) - 2 * c1 * c2))


def samples(coupling, count, rng):
    """Pairs (r, cosines, azimuth) with their weights; and the integral over the grid's own values.

    r² |exp(-u) - 1| at the midpoints of a grid says how often each cell is drawn; within a cell,
    pairs are uniform and each comes with its reflection in the midpoint. The midpoint values are a
    control variate: engines supply what they miss.
    """
    shape = (90, 18, 18, 8)
    bounds = [(NEAREST, FARTHEST), (-1, 1), (-1, 1), (0, math.pi)]
    edges = [np.linspace(*bound, k + 1) for bound, k in zip(bounds, shape, strict=True)]
    edges[0] = NEAREST * (FARTHEST / NEAREST) ** np.linspace(0, 1, shape[0] + 1) ** 1.5
    middles = np.meshgrid(*[(e[1:] + e[:-1]) / 2 for e in edges], indexing="ij")
    widths = np.meshgrid(*[np.diff(e) for e in edges], indexing="ij")
    volume = np.prod(widths, axis=0)
    inside = (middles[0] ** 2 * expected_factor(coupling, *middles) * volume).ravel()
    chance = np.abs(inside) + 0.02 * np.abs(inside).sum() / inside.size
    chance /= chance.sum()
    steps = (np.arange(count) + rng.uniform()) / count  # systematic, along the grid
    cells = np.searchsorted(np.cumsum(chance), steps).clip(max=inside.size - 1)
    corners = np.unravel_index(cells, shape)
    low = [e[k] for e, k in zip(edges, corners, strict=True)]
    wide = [np.diff(e)[k] for e, k in zip(edges, corners, strict=True)]
    parts = [rng.uniform(size=count) for _ in shape]
    drawn, opposite = (
        [a + w * (1 - p if flip else p) for a, w, p in zip(low, wide, parts, strict=True)]
        for flip in (False, True)
    )
    drawn = [np.concatenate(both) for both in zip(drawn, opposite, strict=True)]
    cells = np.tile(cells, 2)
    return drawn, (volume.ravel() / chance)[cells], (inside / chance)[cells], inside.sum()


def frames(n, rng):
    """Random orthonormal frames (n, 3, 3)."""
    q = rng.normal(size=(n, 4))
    w, *v = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    v = np.stack(v, axis=1)
    cross = np.cross(np.eye(3), v[:, None])  # rows: e_i x v
    outer = v[:, :, None] * v[:, None]
    return (2 * w**2 - 1)[:, None, None] * np.eye(3) + 2 * outer + 2 * w[:, None, None] * cross


def energies_of_pairs(body, r, c1, c2, phi, engine, rng):
    """Energies in kT of isolated pairs, each in its own cell of a large box, randomly turned."""
    from dipolar_md.model.system import align_z

    n = len(r)
    cell, side = 2 * FARTHEST + 0.5, math.ceil(n ** (1 / 3))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3), axis=-1).reshape(-1, 3)[:n]
    places = (grid - (side - 1) / 2) * cell
    x, y, z = np.moveaxis(frames(n, rng), 1, 0)
    s1, s2 = np.sqrt(1 - c1**2)[:, None], np.sqrt(1 - c2**2)[:, None]
    one = s1 * x + c1[:, None] * z
    other = s2 * (np.cos(phi)[:, None] * x + np.sin(phi)[:, None] * y) + c2[:, None] * z
    half = r[:, None] * z / 2
    system = dm.System.from_arrays(
        (side * cell,) * 3,
        np.stack([places - half, places + half], axis=1).reshape(-1, 3),
        align_z(np.stack([one, other], axis=1).reshape(-1, 3)),
        body,
    )
    terms = dm.Interactions(298.15, 1.0, cutoff_nm=FARTHEST)
    found = dm.evaluate(system, terms, engine=engine).cluster_energies
    return found.reshape(n, 2).sum(axis=1) / KT


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "coupling", [1, 4, *(pytest.param(k, marks=pytest.mark.validate) for k in (2, 3, 6))]
)
def test_second_virial_coefficient(engine, coupling):
    """Within 1 % and with an error below 0.5 %; numbers of physics.md, in σ³."""
    rng, body = np.random.default_rng(coupling), particle(float(coupling))
    found = []
    for _ in range(8):
        drawn, weight, control, whole = samples(float(coupling), 1500, rng)
        energies = energies_of_pairs(body, *drawn, engine, rng)
        inside = np.expm1(-energies) * drawn[0] ** 2 * weight
        # B2 = -1/2 ∫ (e^-u - 1) d³r, averaged over orientations: 4π r² dr dc1 dc2 dφ / (2·2·π)
        mean = whole + (inside - control).mean()
        found.append(-0.5 * mean)
    core = 2 * math.pi / 3 * NEAREST**3
    tail = -2 * math.pi / 9 * coupling**2 / FARTHEST**3  # <u²>/2 = λ²/3r⁶ beyond; u³ averages out
    value = core + np.mean(found) + tail
    error = np.std(found, ddof=1) / math.sqrt(len(found))
    print(f"\n{engine} λ = {coupling}: B2 = {value:.4f} ± {error:.4f}, known {B2[coupling]:.4f}, "
          f"off by {value / B2[coupling] - 1:.2%}")  # fmt: skip
    assert error < 0.005 * abs(B2[coupling])
    assert value == pytest.approx(B2[coupling], rel=0.01)
