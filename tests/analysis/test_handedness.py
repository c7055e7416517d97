"""Alternation and twist on hand-built helices and chains whose answers are exact."""

from dataclasses import replace

import numpy as np
import pytest
import rowan

import dipolar_md as dm
from dipolar_md.analysis.handedness import bond_twists, fold, handedness

R = dm.coarse_grain(dm.load_cluster("r-au-cu"), "janus")
S = dm.coarse_grain(dm.load_cluster("s-au-cu"), "janus")
SPHERE = dm.coarse_grain(dm.load_cluster("r-au-cu"))


def helix(bodies, types, twist_deg):
    """A straight chain along z in which each body is turned by a fixed angle against the last."""
    n = len(types)
    turns = rowan.from_axis_angle([0.0, 0.0, 1.0], np.radians(twist_deg) * np.arange(n))
    positions = np.stack([np.zeros(n), np.zeros(n), 1.85 * (np.arange(n) - n / 2)], axis=1)
    return dm.System.from_arrays((60.0,) * 3, positions, turns, bodies, types)


def rotated(system, q):
    return replace(
        system,
        positions=rowan.rotate(q, system.positions),
        orientations=rowan.multiply(q, system.orientations),
    )


def test_rings_tell_the_symmetry():
    assert fold(R) == fold(S) == 3
    assert fold(SPHERE) == 1


@pytest.mark.parametrize("twist", [0.0, 17.0, -17.0, 60.0, -59.0, 100.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_twist_of_a_helix_however_it_lies(twist, seed):
    """Exact, modulo 120 degrees, whatever the rotation of the whole and the order of a bond."""
    q = rowan.normalize(np.random.default_rng(seed).normal(size=4))
    system = rotated(helix(R, [0] * 12, twist), q)
    bonds = np.stack([np.arange(11), np.arange(1, 12)], axis=1)
    bonds[::2] = bonds[::2, ::-1]
    pairs, found = bond_twists(system, bonds)
    expected = 60 - (60 - twist) % 120
    difference = (found - expected + 60) % 120 - 60  # 60 and -60 are the same twist
    np.testing.assert_allclose(difference, 0, atol=1e-6)
    assert (pairs[:, 1] == pairs[:, 0] + 1).all()  # from tail to head, along the dipoles


def test_the_mirror_image_has_the_opposite_twist():
    right, left = helix(R, [0] * 8, 25.0), helix(S, [0] * 8, -25.0)
    one, two = (handedness([dm.Frame(system)]) for system in (right, left))
    assert one.alternation is None
    assert one.twists.keys() == {"R-R"}
    assert two.twists.keys() == {"S-S"}
    assert one.twists["R-R"].mean_deg == pytest.approx(25.0, abs=1e-6)
    assert two.twists["S-S"].mean_deg == pytest.approx(-25.0, abs=1e-6)
    assert one.twists["R-R"].sine.value == pytest.approx(np.sin(np.radians(75)), abs=1e-9)
    assert two.twists["S-S"].sine.value == pytest.approx(-one.twists["R-R"].sine.value, abs=1e-9)
    assert one.twists["R-R"].order == pytest.approx(1.0, abs=1e-9)


def test_alternation_counts_the_bonds_between_r_and_s():
    frames = [
        dm.Frame(helix((R, S), types, 10.0))
        for types in ([0, 1] * 5, [0] * 5 + [1] * 5, [0, 1] * 5, [0] * 5 + [1] * 5)
    ]
    found = handedness(frames)
    assert found.alternation.value == pytest.approx((1 + 1 / 9) / 2)
    assert found.random_alternation == pytest.approx(2 * 0.25 * 10 / 9)
    assert {kind: twist.n_bonds for kind, twist in found.twists.items()} == {
        "R-R": 8,
        "S-S": 8,
        "R-S": 20,
    }


def test_free_rotation_has_no_order():
    rng = np.random.default_rng(3)
    system = helix(R, [0] * 30, 0.0)
    turns = rowan.from_axis_angle([0.0, 0.0, 1.0], rng.uniform(0, 2 * np.pi, 30))
    frames = [dm.Frame(replace(system, orientations=np.roll(turns, k, axis=0))) for k in range(4)]
    twist = handedness(frames).twists["R-R"]
    assert twist.n_bonds == 4 * 29
    assert twist.order < 0.4


def test_antiparallel_neighbours_have_no_twist():
    q = np.array([[1.0, 0, 0, 0], [0, 1.0, 0, 0]])
    pair = dm.pair({R: 2}, (1.8, 0.0, 0.0), q, box_nm=30.0)
    pairs, found = bond_twists(pair, np.array([[0, 1]]))
    assert pairs.shape == (0, 2)
    assert found.shape == (0,)


def test_spheres_and_achiral_bodies_tell_nothing():
    assert handedness([dm.Frame(helix(SPHERE, [0] * 4, 0.0))]) is None
    achiral = replace(R, handedness="achiral")
    assert handedness([dm.Frame(helix(achiral, [0] * 4, 0.0))]) is None
