"""Rigid bodies in both engines: against sums over sites, derivatives and their mirror image."""

from dataclasses import replace

import numpy as np
import pytest
import rowan
from oracles.direct_sums import random_quaternions, rotation, site_by_site

import dipolar_md as dm
from dipolar_md.units import thermal_energy

ENGINES = ["lammps", pytest.param("hoomd", marks=pytest.mark.hoomd)]
KT = thermal_energy(298.15)
R = dm.coarse_grain(dm.load_cluster("r-au-cu"), shape="janus")
S = dm.coarse_grain(dm.load_cluster("s-au-cu"), shape="janus")
CD_R = dm.coarse_grain(dm.load_cluster("au3cd"), shape="janus", handedness="R")
CD_S = dm.coarse_grain(dm.load_cluster("au3cd"), shape="janus", handedness="S")
CHARGED = dm.coarse_grain(dm.load_cluster("r-au-cu"), shape="janus", dipole="charges")
STOCKMAYER = dm.coarse_grain(dm.load_cluster("r-au-cu"), attraction_kT=2.0)
STICKY = dm.coarse_grain(dm.load_cluster("r-au-cu"), shape="janus", attraction_kT=1.5)
ODD = dm.Body(  # nothing about it is symmetric; its core is attractive and off the centre
    name="odd",
    sites=(
        dm.Site((0.0, 0.0, 0.0), 0.9, 1.7 * KT),
        dm.Site((0.5, -0.2, 0.3), 1.1, 0.6 * KT),
        dm.Site((-0.3, 0.4, -0.1), 0.7, 2.5 * KT, attractive=True),
        dm.Site((-0.1, -0.3, -0.6), 1.3, KT),
        dm.Site((0.2, 0.5, -0.2), 0.0, 0.0),
    ),
    mass_Da=5000.0,
    inertia_Da_nm2=(900.0, 1300.0, 1700.0),
    dipole_e_nm=(0.3, -0.4, 0.7),
    axial_contact_nm=1.8,
    hydrodynamic_radius_nm=0.95,
)
FIELD = (0.03, -0.02, 0.05)


def pairs_apart(bodies, kinds, nearest, farthest, seed, cell=12.0):
    """Isolated pairs of given kinds (n, 2): random steps and orientations on a grid."""
    rng = np.random.default_rng(seed)
    n = len(kinds)
    side = int(np.ceil(n ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3), axis=-1).reshape(-1, 3)[:n] * cell
    grid -= cell * (side - 1) / 2
    steps = rng.normal(size=(n, 3))
    steps *= (rng.uniform(nearest, farthest, n) / np.linalg.norm(steps, axis=1))[:, None]
    places = np.stack([grid - steps / 2, grid + steps / 2], axis=1).reshape(-1, 3)
    return dm.System.from_arrays(
        (cell * side,) * 3, places, random_quaternions(2 * n, seed + 1), bodies, np.ravel(kinds)
    )


def assert_same(found, expected, rel=1e-9):
    """Relative to the value itself, or to a thousandth of the largest of its kind."""
    for name, value in expected.energies.items():
        assert found.energies[name] == pytest.approx(value, rel=rel, abs=1e-9), name
    for name in ("forces", "torques", "cluster_energies"):
        a, b = getattr(found, name), getattr(expected, name)
        np.testing.assert_allclose(a, b, rtol=rel, atol=rel * 1e-3 * np.abs(b).max(), err_msg=name)


BODIES = {
    "janus": ((R,), 1.6),
    "unequal": ((R, CD_R, CD_S), 1.5),
    "mirrored": ((R, S), 1.6),
    "odd": ((R, ODD), 1.7),
    "attractive": ((STICKY, ODD), 1.7),
    "stockmayer": ((STOCKMAYER,), 1.6),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", BODIES)
def test_pairs_of_bodies_equal_the_sum_over_their_sites(engine, case):
    """Random orientations, overlapping to apart: energies, forces and torques to 1e-9."""
    bodies, nearest = BODIES[case]
    kinds = np.random.default_rng(11).integers(0, len(bodies), size=(40, 2))
    system = pairs_apart(bodies, kinds, nearest, 3.6, seed=12)
    terms = dm.Interactions(298.15, 2.5, cutoff_nm=4.5)
    expected = site_by_site(system, [(2 * i, 2 * i + 1) for i in range(len(kinds))], 2.5)
    assert expected.energies["steric"] != 0
    assert_same(dm.evaluate(system, terms, engine=engine), expected)


@pytest.mark.hoomd
def test_spheres_beside_bodies_are_refused_by_lammps_and_summed_right_by_hoomd():
    sphere = dm.coarse_grain(dm.load_cluster("r-au-cu"))
    kinds = np.random.default_rng(13).integers(0, 2, size=(20, 2))
    system = pairs_apart((sphere, ODD), kinds, 1.7, 3.6, seed=14)
    terms = dm.Interactions(298.15, 2.5, cutoff_nm=4.5)
    expected = site_by_site(system, [(2 * i, 2 * i + 1) for i in range(20)], 2.5)
    assert_same(dm.evaluate(system, terms, engine="hoomd"), expected)
    with pytest.raises(dm.UnsupportedError, match="spheres and bodies"):
        dm.evaluate(system, terms, engine="lammps")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_uniform_field_acts_on_the_dipoles(engine):
    bodies = (R, ODD)
    kinds = np.random.default_rng(15).integers(0, 2, size=(12, 2))
    system = pairs_apart(bodies, kinds, 1.7, 3.6, seed=16)
    terms = dm.Interactions(298.15, 2.5, cutoff_nm=4.5, field_V_nm=FIELD)
    expected = site_by_site(system, [(2 * i, 2 * i + 1) for i in range(12)], 2.5, FIELD)
    assert abs(expected.energies["field"]) > KT
    assert_same(dm.evaluate(system, terms, engine=engine), expected)


def small_film(bodies, n=7, seed=17, box=(40.0, 40.0, 40.0)):
    """A few bodies between walls that they touch, some of them overlapping with each other."""
    thickness = 2 * bodies[0].extent_nm + 0.9
    rng = np.random.default_rng(seed)
    places = np.column_stack([1.9 * np.arange(n) - 0.95 * (n - 1), np.zeros((n, 2))])
    places += rng.uniform(-0.25, 0.25, (n, 3))
    places[:, 2] = np.where(np.arange(n) % 2, 1, -1) * rng.uniform(0.5, 0.7, n)
    return dm.System.from_arrays(
        box,
        places,
        random_quaternions(n, seed + 1),
        bodies,
        np.arange(n) % len(bodies),
        thickness_nm=thickness,
    )


def every_pair(n):
    return list(zip(*np.triu_indices(n, 1), strict=True))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("bodies", [(R, CD_S), (ODD,), (STOCKMAYER,)], ids=["janus", "odd", "one"])
def test_a_film_between_walls_equals_the_sum_over_its_sites(engine, bodies):
    """Every site meets two planes with its surface: WCA with half its diameter."""
    film = small_film(bodies)
    terms = dm.Interactions(298.15, 2.0, cutoff_nm=19.0, field_V_nm=FIELD)
    expected = site_by_site(film, every_pair(len(film)), 2.0, FIELD)
    assert expected.energies["wall"] > 0.1 * KT
    assert_same(dm.evaluate(film, terms, engine=engine), expected)


def slopes(system, terms, engine, cluster, axis, h=1e-5):
    """Central differences of the energy: by moving a cluster, and by turning it."""
    unit, ends = np.eye(3)[axis], []
    for sign in (1, -1):
        moved, turned = system.positions.copy(), system.orientations.copy()
        moved[cluster] += sign * h * unit
        turned[cluster] = rowan.multiply(rowan.from_axis_angle(unit, sign * h), turned[cluster])
        changed = replace(system, positions=moved), replace(system, orientations=turned)
        ends.append([dm.evaluate(s, terms, engine=engine).energies["total"] for s in changed])
    return (np.array(ends[0]) - np.array(ends[1])) / (2 * h)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("where", ["bulk", "film"])
def test_forces_and_torques_of_bodies_are_derivatives_of_the_energy(engine, where):
    system = small_film((R, CD_S, ODD), n=6)
    if where == "bulk":
        system = replace(system, thickness_nm=None)
    terms = dm.Interactions(298.15, 1.0, cutoff_nm=19.0, field_V_nm=FIELD)
    found = dm.evaluate(system, terms, engine=engine)
    for cluster, axis in [(0, 0), (1, 1), (2, 2), (3, 2), (4, 0), (5, 1)]:
        slope = slopes(system, terms, engine, cluster, axis)
        expected = [-found.forces[cluster, axis], -found.torques[cluster, axis]]
        np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-4)


def mirror(system, partner):
    """Mirror image (y to -y): places, orientations, and each body's by `partner`.

    With M = diag(1, -1, 1), a body's sites R s become M R s = (M R M)(M s): the mirrored body's
    sites M s, turned by M R M. For R with the quaternion (w, v) that is (w, -M v): the axis v is
    a pseudovector, so the mirror keeps what lies in y and flips x and z.
    """
    return replace(
        system,
        positions=system.positions * [1, -1, 1],
        orientations=system.orientations * [1, -1, 1, -1],
        bodies=tuple(partner[body] for body in system.bodies),
    )


def test_the_mirrored_quaternion_turns_by_the_mirrored_rotation():
    q, m = random_quaternions(20, 5), np.diag([1.0, -1.0, 1.0])
    np.testing.assert_allclose(rotation(q * [1, -1, 1, -1]), m @ rotation(q) @ m, atol=1e-14)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_mirror_image_has_the_same_energy(engine):
    """R and S swapped with everything else mirrored: 1e-10; without swapping them it is not."""
    partner = {R: S, S: R, CD_R: CD_S, CD_S: CD_R}
    gas = dm.random_gas({R: 20, S: 12, CD_R: 14, CD_S: 6}, concentration_mM=70.0, seed=3)
    gas = replace(gas, box=np.array([30.0, 30.0, 30.0, 0, 0, 0]), positions=0.7 * gas.positions)
    terms = dm.Interactions(298.15, 1.5, cutoff_nm=14.0)
    one, other, wrong = (
        dm.evaluate(system, terms, engine=engine)
        for system in (gas, mirror(gas, partner), mirror(gas, {body: body for body in partner}))
    )
    assert one.energies["steric"] > KT
    for name in ("steric", "electrostatic", "total"):
        assert other.energies[name] == pytest.approx(one.energies[name], rel=1e-10)
    scale = np.abs(one.forces).max()
    np.testing.assert_allclose(other.forces, one.forces * [1, -1, 1], atol=1e-10 * scale)
    assert abs(wrong.energies["steric"] / one.energies["steric"] - 1) > 1e-6
