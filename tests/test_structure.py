"""Order of dipoles: exact states, invariances, then plain linear algebra."""

import numpy as np
import pytest
import rowan
from hypothesis import given, settings
from hypothesis import strategies as st

import dipolar_md as dm
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
