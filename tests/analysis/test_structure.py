"""Order of dipoles: exact states, invariances, then plain linear algebra."""

import freud
import numpy as np
import pytest
import rowan
from hypothesis import given, settings
from hypothesis import strategies as st

import dipolar_md as dm
from dipolar_md.analysis import structure
from dipolar_md.analysis.structure import core_form_factor
from dipolar_md.model.system import align_z

BODIES = tuple(dm.coarse_grain(dm.load_cluster(name)) for name in ("r-au-cu", "au3cd"))
X, Y, Z = np.eye(3)


def pointing(dipoles):
    """Clusters of alternating kinds, so that dipoles differ in strength."""
    n = len(dipoles)
    positions = np.linspace(-15, 15, n)[:, None] * X
    types = np.arange(n) % 2
    return dm.Frame.from_arrays((40,) * 3, positions, align_z(dipoles), BODIES, types).system


@pytest.mark.parametrize(
    ("dipoles", "polar", "nematic"),
    [
        ([Z], 1, 1),
        ([(X - 2 * Y + Z)] * 6, 1, 1),
        ([Z, -Z] * 4, 0, 1),
        ([X, X, X, -X], 0.5, 1),
        ([X, Y, Z], 1 / np.sqrt(3), 0),
        ([X, Y] * 3, 1 / np.sqrt(2), 0.25),  # the largest eigenvalue of diag(1, 1, -2)/4
        ([X, -X, Y, -Y, Z, -Z], 0, 0),
    ],
)
def test_order_is_exact(dipoles, polar, nematic):
    system = pointing(np.array(dipoles))
    assert dm.polar_order(system) == pytest.approx(polar, abs=1e-12)
    assert dm.nematic_order(system) == pytest.approx(nematic, abs=1e-6)


def test_random_dipoles_have_little_order():
    """⟨P1⟩ of N random dipoles is √(8/3πN) = 0.92/√N; P2 is of order 1/√N."""
    rng, n = np.random.default_rng(5), 200
    gases = [pointing(rng.normal(size=(n, 3))) for _ in range(300)]
    polar = np.mean([dm.polar_order(gas) for gas in gases])
    assert polar == pytest.approx(np.sqrt(8 / (3 * np.pi * n)), rel=0.06)
    assert 0 < np.mean([dm.nematic_order(gas) for gas in gases]) < 2 / np.sqrt(n)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1),
    st.booleans(),
)
def test_order_is_invariant_and_agrees_with_linear_algebra(seed, rotation, mirrored):
    rng = np.random.default_rng(seed)
    dipoles = rng.normal(size=(30, 3)) + rng.normal(size=3)
    directions = dipoles / np.linalg.norm(dipoles, axis=1, keepdims=True)
    tensor = 1.5 * np.einsum("ni,nj->ij", directions, directions) / 30 - 0.5 * np.eye(3)
    hand = [1, -1, 1] if mirrored else [1, 1, 1]
    turned = rowan.rotate(rowan.normalize(rotation), dipoles * hand)
    seen = pointing(rng.permutation(turned))
    assert dm.polar_order(seen) == pytest.approx(np.linalg.norm(directions.sum(axis=0)) / 30)
    assert dm.nematic_order(seen) == pytest.approx(np.linalg.eigvalsh(tensor).max(), abs=1e-5)


# --- Pair correlations ----------------------------------------------------------------------------


def test_pair_correlation_of_a_chain_is_exact():
    """Four clusters in a row: 6, 4 and 2 ordered pairs at one, two and three spacings."""
    step, box = 2.0, 40.0
    line = dm.Frame.from_arrays(
        (box,) * 3, np.arange(4)[:, None] * step * Z, np.tile([1, 0, 0, 0], (4, 1)), BODIES[0]
    ).system
    found = dm.pair_correlation(line, 10.0, bins=20)
    full = found.pairs > 0
    assert found.pairs[full].tolist() == [6, 4, 2]
    assert found.r_nm[full] == pytest.approx([2.25, 4.25, 6.25])
    edges = np.array([[2.0, 2.5], [4.0, 4.5], [6.0, 6.5]])
    shells = 4 / 3 * np.pi * np.diff(edges**3, axis=1)[:, 0]
    assert found.g[full] == pytest.approx(np.array([6, 4, 2]) * box**3 / (12 * shells))
    assert found.h110[full] == pytest.approx(3 * found.g[full])  # parallel
    assert found.h112[full] == pytest.approx(3 * found.g[full])  # head to tail
    assert not found.h110[~full].any()


@pytest.mark.parametrize(
    ("apart", "second", "h110", "h112"),
    [(X, Z, 3, -1.5), (X, -Z, -3, 1.5), (Z, -Z, -3, -3), (Z, X, 0, 0)],
)
def test_dipolar_projections_are_exact(apart, second, h110, h112):
    pair = dm.Frame.from_arrays(
        (40,) * 3, [0 * X, 2.1 * apart], align_z([Z, second]), BODIES[0]
    ).system
    found = dm.pair_correlation(pair, 4.0, bins=8)
    k = int(np.argmax(found.pairs))
    assert found.h110[k] / found.g[k] == pytest.approx(h110, abs=1e-9)
    assert found.h112[k] / found.g[k] == pytest.approx(h112, abs=1e-9)


@pytest.mark.parametrize("box", [(30.0, 26.0, 24.0), (30.0, 26.0, 24.0, 0.2, -0.1, 0.15)])
def test_pair_correlation_agrees_with_freud_in_pieces_too(box, monkeypatch):
    rng = np.random.default_rng(3)
    gas = dm.Frame.from_arrays(
        box, rng.uniform(-15, 15, (400, 3)), rng.normal(size=(400, 4)), BODIES[0]
    ).system
    theirs = freud.density.RDF(50, 10.0, normalization_mode="finite_size")
    theirs.compute((freud.box.Box(*gas.box), gas.positions))
    whole = dm.pair_correlation(gas, 10.0, bins=50)
    assert whole.g == pytest.approx(theirs.rdf, rel=1e-4, abs=0.02)
    assert (whole.pairs.sum(), len(whole.g)) == (theirs.bin_counts.sum(), 50)
    monkeypatch.setattr(structure, "MOST_PAIRS", 300)
    pieces = dm.pair_correlation(gas, 10.0, bins=50)
    np.testing.assert_allclose(pieces.h112, whole.h112, atol=1e-12)
    np.testing.assert_array_equal(pieces.pairs, whole.pairs)


def test_wrong_ranges_are_refused():
    pair = pointing([Z, Z])
    for r_max in (0.0, 20.0, 25.0):
        with pytest.raises(dm.InputError, match="half the box, 20 nm"):
            dm.pair_correlation(pair, r_max)
    with pytest.raises(dm.InputError, match="two clusters"):
        dm.pair_correlation(pointing([Z]), 3.0)
    with pytest.raises(dm.InputError, match=r"above 2π/L = 0\.157"):
        dm.scattering(pair, q_max_per_nm=0.1)


# --- Scattering -----------------------------------------------------------------------------------


def test_form_factor_is_that_of_a_sphere():
    d = 1.2
    assert core_form_factor(0.0, d) == 1
    assert core_form_factor([1e-3, 0.9e-2], d) == pytest.approx(
        1 - (np.array([1e-3, 0.9e-2]) * d / 2) ** 2 / 5, rel=1e-9
    )  # Guinier: q²Rg²/3 with Rg² = 3R²/5
    zero = 4.493409457909064 / (d / 2)  # tan x = x
    assert core_form_factor(zero, d) == pytest.approx(0, abs=1e-25)
    left, right = core_form_factor(np.array([0.9999e-2, 1.0001e-2]) * 2 / d, d)
    assert left == pytest.approx(right, rel=1e-6)  # the series meets the closed form


def test_scattering_of_known_arrangements():
    """A gas scatters as itself, a lattice in its Bragg peak alone, as strongly as N."""
    gas = dm.random_gas({BODIES[0]: 800}, 5.0, seed=4)
    found = dm.scattering(gas, 6.0, bins=30, core_diameter_nm=0.9)
    assert found.structure_factor[5:].mean() == pytest.approx(1, abs=0.05)
    form = core_form_factor(found.q_per_nm, 0.9)
    np.testing.assert_allclose(found.intensity, form * found.structure_factor)
    n = 6
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3), axis=-1).reshape(-1, 3) * 3.0
    cube = dm.Frame.from_arrays(
        (3.0 * n,) * 3, grid, np.tile([1, 0, 0, 0], (n**3, 1)), BODIES[0]
    ).system
    bragg = dm.scattering(cube, 2.4, bins=60, wave_vectors=10**6)
    peak = int(np.argmax(bragg.structure_factor))
    assert bragg.q_per_nm[peak] == pytest.approx(2 * np.pi / 3.0, abs=0.02)
    assert bragg.structure_factor[bragg.q_per_nm < 2.0].max(initial=0) < 1e-3
