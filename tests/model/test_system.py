"""Bodies, systems, interactions: exact states, invariances, and what a wrong argument is told."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import rowan
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import dipolar_md as dm
from dipolar_md.errors import InputError, UnsupportedError
from dipolar_md.model.system import align_z, cell_matrix, fractions, rotated, wrap
from dipolar_md.parameters import parameter_names
from dipolar_md.units import DEBYE, KB, KE

KT = KB * 298.15
BODY = dm.coarse_grain(dm.load_cluster("r-au-cu"))
SMALL = dm.coarse_grain(dm.load_cluster("au3cd"))
TOP = replace(BODY, name="top", inertia_Da_nm2=(900.0, 1400.0, 2500.0))
CUBE = np.array([20.0, 20.0, 20.0, 0.0, 0.0, 0.0])
UPRIGHT = [[1.0, 0.0, 0.0, 0.0]]
properties = settings(max_examples=50, deadline=None)

components = st.floats(-60, 60)
vectors = arrays(float, st.tuples(st.integers(1, 4), st.just(3)), elements=components)
boxes = st.tuples(*[st.floats(1, 30)] * 3, *[st.floats(-1.5, 1.5)] * 3).map(np.array)
quaternions = arrays(float, (3, 4), elements=st.floats(-1, 1)).filter(
    lambda q: (np.linalg.norm(q, axis=1) > 0.1).all()
)


def distances(system):
    """Nearest-image distances of all pairs."""
    i, j = np.triu_indices(len(system), 1)
    return np.linalg.norm(wrap(system.positions[j] - system.positions[i], system.box), axis=1)


def reduced_dipole_energy(system, spacing):
    """Dipole energy of all pairs without images, in μ²/4πε₀r³ at `spacing`."""
    mu = system.dipoles / np.linalg.norm(system.dipoles, axis=1, keepdims=True)
    i, j = np.triu_indices(len(system), 1)
    r = (system.positions[j] - system.positions[i]) / spacing
    d = np.linalg.norm(r, axis=1)
    n = r / d[:, None]
    along = (mu[i] * n).sum(1) * (mu[j] * n).sum(1)
    return (((mu[i] * mu[j]).sum(1) - 3 * along) / d**3).sum()


# --- Body -----------------------------------------------------------------------------------------


def slopes(body, dipole_e_nm, r):
    """Slope and curvature at r of WCA + head-to-tail energy, written out here."""
    ((site,), a) = body.sites, KE * dipole_e_nm**2
    u, s = 4 * site.epsilon_kJ_mol, site.sigma_nm
    slope = u * (-12 * s**12 / r**13 + 6 * s**6 / r**7) + 6 * a / r**4
    curvature = u * (156 * s**12 / r**14 - 42 * s**6 / r**8) - 24 * a / r**5
    return slope, curvature


NEUTRAL = [name for name in parameter_names("clusters") if name not in ("ag44", "au44")]


@pytest.mark.parametrize("name", NEUTRAL)
@pytest.mark.parametrize("contact", [None, 1.61, 2.2])
def test_sigma_puts_the_pair_minimum_at_the_axial_contact(name, contact):
    cluster = dm.load_cluster(name)
    body = dm.coarse_grain(cluster, axial_contact_nm=contact)
    r = contact or cluster.axial_contact_nm.value
    assert body.axial_contact_nm == r
    slope, curvature = slopes(body, cluster.dipole_e_nm, r)
    assert abs(slope) < 1e-9 * curvature * r
    assert curvature > 0
    assert r < 2 ** (1 / 6) * body.sites[0].sigma_nm  # the contact is where WCA acts
    assert body.sites[0].epsilon_kJ_mol == pytest.approx(KT, rel=1e-14)


def test_another_dipole_leaves_the_body_as_it_is():
    cluster = dm.load_cluster("r-au-cu")
    for debye in (21.85, 60.0):
        weaker = dm.coarse_grain(cluster, dipole_D=debye)
        assert weaker == replace(BODY, dipole_e_nm=(0.0, 0.0, debye * DEBYE))
        assert weaker.dipole_magnitude_e_nm == pytest.approx(debye * DEBYE, rel=1e-15)
    both = dm.coarse_grain(cluster, dipole_D=21.85, axial_contact_nm=1.61)
    assert both.sites == dm.coarse_grain(cluster, axial_contact_nm=1.61).sites


def test_sphere_is_uniform_and_counts_by_value():
    cluster = dm.load_cluster("r-au-cu")
    moment = 0.4 * cluster.mass_Da * 0.911**2
    assert BODY.inertia_Da_nm2 == pytest.approx((moment,) * 3, rel=1e-14)
    assert (BODY.mass_Da, BODY.handedness, BODY.name) == (cluster.mass_Da, "R", "r-au-cu")
    assert BODY.dipole_e_nm == (0, 0, cluster.dipole_e_nm)
    assert BODY.sites[0].position_nm == (0, 0, 0)
    assert {dm.coarse_grain(cluster): 3} == {BODY: 3}
    mirror = dm.coarse_grain(dm.load_cluster("s-au-cu"))
    assert replace(mirror, name=BODY.name, handedness="R") == BODY


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        ({"shape": "cube"}, UnsupportedError, r"shape must be sphere or janus .*found 'cube'"),
        ({"dipole": "quadrupole"}, UnsupportedError, "point or charges .*quadrupole"),
        ({"dipole_D": 0}, InputError, r"dipole_D must be positive and finite \(found 0\)"),
        ({"dipole_D": float("nan")}, InputError, r"dipole_D .*\(found nan\)"),
        ({"axial_contact_nm": -1.8}, InputError, r"axial_contact_nm .*\(found -1.8\)"),
        ({"axial_contact_nm": float("inf")}, InputError, r"axial_contact_nm .*\(found inf\)"),
    ],
)
def test_a_wrong_body_is_refused(options, kind, told):
    with pytest.raises(kind, match=told):
        dm.coarse_grain(dm.load_cluster("r-au-cu"), **options)


def test_a_charged_cluster_is_refused():
    charged = dm.load_cluster("r-au-cu").model_copy(update={"net_charge_e": -2})
    with pytest.raises(UnsupportedError, match=r"'r-au-cu' carries -2 e: .*counterions"):
        dm.coarse_grain(charged)


# --- Interactions ---------------------------------------------------------------------------------


def test_interactions_are_the_same_numbers_for_every_engine():
    terms = dm.Interactions(temperature_K=298.15, relative_permittivity=8.93, cutoff_nm=6.0)
    assert terms.coulomb_constant == pytest.approx(138.935458 / 8.93, rel=1e-8)
    stiff = replace(SMALL, sites=(replace(SMALL.sites[0], epsilon_kJ_mol=4 * KT),))
    table = terms.steric_table((BODY, stiff))
    one, two = BODY.sites[0].sigma_nm, SMALL.sites[0].sigma_nm
    mean = (one + two) / 2
    np.testing.assert_allclose(table.sigma_nm, [[one, mean], [mean, two]], rtol=1e-15)
    np.testing.assert_allclose(table.epsilon_kJ_mol, [[KT, 2 * KT], [2 * KT, 4 * KT]], rtol=1e-14)
    np.testing.assert_allclose(table.cutoff_nm, 2 ** (1 / 6) * table.sigma_nm, rtol=1e-15)


@pytest.mark.parametrize("key", ["temperature_K", "relative_permittivity", "cutoff_nm"])
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_interactions_refuse_impossible_numbers(key, value):
    good = {"temperature_K": 298.15, "relative_permittivity": 1.0, "cutoff_nm": 10.0}
    with pytest.raises(InputError, match=rf"{key} must be positive and finite \(found {value}\)"):
        dm.Interactions(**good | {key: value})


def test_permittivity_is_never_assumed_and_methods_are_known():
    with pytest.raises(TypeError, match="relative_permittivity"):
        dm.Interactions(298.15)
    with pytest.raises(UnsupportedError, match="cutoff or ewald"):
        dm.Interactions(298.15, 1.0, electrostatics="reaction-field")
    with pytest.raises(InputError, match="field_V_nm"):
        dm.Interactions(298.15, 1.0, field_V_nm=(0.0, 1.0))


# --- Exact systems --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "energy"), [(2, -2), (3, -4.25), (4, -6.574074), (10, -20.851104), (20, -44.842387)]
)
def test_chain_is_straight_and_head_to_tail(n, energy):
    system = dm.chain({BODY: n}, spacing_nm=1.85)
    np.testing.assert_allclose(np.diff(system.positions, axis=0), [[0, 0, 1.85]] * (n - 1))
    np.testing.assert_allclose(system.positions.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(system.dipoles, [BODY.dipole_e_nm] * n, atol=1e-15)
    assert reduced_dipole_energy(system, 1.85) == pytest.approx(energy, abs=5e-7)
    np.testing.assert_allclose(system.box, [3 * n * 1.85] * 3 + [0] * 3)
    assert system.kinetic_temperatures_K() == (0, 0)


@pytest.mark.parametrize(
    ("n", "energy"),
    [(3, -3.75), (4, -6.707107), (5, -9.565595), (10, -22.722369), (20, -47.410892)],
)
def test_ring_is_flat_and_tangential(n, energy):
    system = dm.ring({BODY: n}, spacing_nm=1.85)
    around = np.roll(system.positions, -1, axis=0) - system.positions
    np.testing.assert_allclose(np.linalg.norm(around, axis=1), 1.85, rtol=1e-12)
    np.testing.assert_allclose(system.positions[:, 2], 0, atol=1e-12)
    np.testing.assert_allclose((system.positions * system.dipoles).sum(1), 0, atol=1e-12)
    assert ((around * system.dipoles).sum(1) > 0).all()  # all run the same way round
    assert reduced_dipole_energy(system, 1.85) == pytest.approx(energy, abs=5e-7)


@pytest.mark.parametrize(
    ("separation", "orientations", "energy"),
    [
        (2.0, None, -2),
        ([0, 0, -2.0], None, -2),
        ([2.0, 0, 0], None, 1),
        ([2.0, 0, 0], [[1, 0, 0, 0], [0, 1, 0, 0]], -1),
        ([0, 1.2, 1.6], None, 1 - 3 * 0.64),
    ],
)
def test_pair_is_exact(separation, orientations, energy):
    system = dm.pair({BODY: 2}, separation, orientations)
    step = system.positions[1] - system.positions[0]
    np.testing.assert_allclose(step, separation if np.ndim(separation) else [0, 0, separation])
    np.testing.assert_allclose(system.positions.sum(0), 0, atol=1e-15)
    np.testing.assert_allclose(system.box, [40] * 3 + [0] * 3)
    assert reduced_dipole_energy(system, 2.0) == pytest.approx(energy, abs=1e-12)


def test_lattice_fills_its_box():
    system = dm.lattice({BODY: 20, SMALL: 7}, spacing_nm=2.5)
    np.testing.assert_allclose(system.box, [7.5] * 3 + [0] * 3)
    assert distances(system).min() == pytest.approx(2.5)
    moved = wrap(system.positions + np.array([2.5, 0, 0]), system.box)
    assert {tuple(x) for x in moved.round(9)} == {tuple(x) for x in system.positions.round(9)}
    assert system.types.tolist() == [0] * 20 + [1] * 7
    assert system.volume_nm3 == pytest.approx(7.5**3)
    assert system.concentration_mM == pytest.approx(27 / 7.5**3 / 6.02214076e-4)


def test_builders_keep_the_order_of_the_counts():
    for build in (dm.chain, dm.ring, dm.lattice):
        for one, two in ((SMALL, BODY), (BODY, SMALL)):
            system = build({one: 3, two: 5}, 2.0)
            assert system.bodies == (one, two)
            assert system.types.tolist() == [0] * 3 + [1] * 5
            expected = [one.dipole_magnitude_e_nm] * 3 + [two.dipole_magnitude_e_nm] * 5
            np.testing.assert_allclose(np.linalg.norm(system.dipoles, axis=1), expected)
    mixed = dm.pair({SMALL: 1, BODY: 1}, 2.0, box_nm=12.0)
    assert (mixed.types.tolist(), mixed.box[0]) == ([0, 1], 12.0)


# --- Fast formulas --------------------------------------------------------------------------------


@properties
@given(boxes, vectors)
def test_wrapping_by_edges_is_wrapping_by_the_cell(box, vectors):
    for tilted in (box, np.append(box[:3], np.zeros(3))):
        cell = cell_matrix(tilted)
        parts = vectors @ np.linalg.inv(cell).T
        np.testing.assert_allclose(fractions(vectors, tilted), parts, atol=1e-9)
        shift = (wrap(vectors, tilted) - vectors) @ np.linalg.inv(cell).T
        np.testing.assert_allclose(shift, np.rint(shift), atol=1e-9)
        assert np.abs(fractions(wrap(vectors, tilted), tilted)).max() <= 0.5 + 1e-9


@properties
@given(quaternions, arrays(float, (3, 3), elements=components))
def test_turning_by_scipy_is_turning_by_rowan(q, arrows):
    unit = rowan.normalize(q)
    np.testing.assert_allclose(rotated(q, arrows), rowan.rotate(unit, arrows), atol=1e-11)
    back = rowan.rotate(rowan.conjugate(unit), arrows)
    np.testing.assert_allclose(rotated(q, arrows, inverse=True), back, atol=1e-11)


def test_values_per_site_follow_their_owners():
    """Centres first, then the other sites cluster by cluster, in each body's own order."""
    janus = dm.coarse_grain(dm.load_cluster("r-au-cu"), "janus")
    system = dm.random_gas({BODY: 3, janus: 4}, 1.0, seed=2)
    tables = [[f"{i}.{k}" for k in range(len(b.sites))] for i, b in enumerate(system.bodies)]
    found = system.per_site([[float(name) for name in table] for table in tables])
    expected = [tables[kind][0] for kind in system.types]
    for kind in system.types:
        expected += tables[kind][1:]
    np.testing.assert_array_equal(found, [float(name) for name in expected])
    assert len(found) == len(system.site_owners) == 3 + 4 * 7
    for site, owner in enumerate(system.site_owners):
        kind = system.types[owner]
        assert int(found[site]) == kind
        arm = janus.sites[round(10 * (found[site] % 1))].position_nm if kind == 1 else (0, 0, 0)
        turned = rowan.rotate(system.orientations[owner], arm)
        np.testing.assert_allclose(system.site_arms[site], turned, atol=1e-12)


# --- Random gas -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "concentration"), [(2, 100.0), (64, 5.0), (500, 60.0), (300, 104.8)])
def test_random_gas_keeps_contacts_and_concentration(n, concentration):
    system = dm.random_gas({BODY: n}, concentration, seed=3)
    assert len(system) == n
    assert distances(system).min() >= BODY.axial_contact_nm
    assert system.concentration_mM == pytest.approx(concentration, rel=1e-12)
    assert (np.abs(system.positions) <= system.box[:3] / 2).all()
    np.testing.assert_allclose(np.linalg.norm(system.orientations, axis=1), 1, rtol=1e-12)


def test_random_gas_mixes_types_and_keeps_the_largest_contact():
    system = dm.random_gas({BODY: 200, SMALL: 100}, 60.0, seed=1)
    assert Counter(system.types.tolist()) == {0: 200, 1: 100}
    assert distances(system).min() >= BODY.axial_contact_nm
    runs = 1 + np.count_nonzero(np.diff(system.types))
    assert 100 < runs < 170  # 133 expected of a random order, 2 of a sorted one


def test_random_gas_is_isotropic_uniform_and_thermal():
    system = dm.random_gas({BODY: 4000}, 1.0, seed=5, temperature_K=400.0)
    directions = system.dipoles / BODY.dipole_magnitude_e_nm
    assert np.abs(directions.mean(0)).max() < 4 / np.sqrt(3 * 4000)
    second = directions.T @ directions / 4000
    np.testing.assert_allclose(second, np.eye(3) / 3, atol=0.02)
    assert np.abs(system.positions.mean(0)).max() < 4 * system.box[0] / np.sqrt(12 * 4000)
    assert system.kinetic_temperatures_K() == pytest.approx((400, 400), rel=4 * np.sqrt(2 / 12000))


def test_random_gas_is_its_seed():
    first, same = (dm.random_gas({BODY: 30, SMALL: 30}, 5.0, seed=7) for _ in range(2))
    other = dm.random_gas({BODY: 30, SMALL: 30}, 5.0, seed=8)
    for key in ("positions", "orientations", "types", "velocities", "angular_velocities"):
        assert np.array_equal(getattr(first, key), getattr(same, key))
        assert not np.array_equal(getattr(first, key), getattr(other, key))


@pytest.mark.parametrize("n", [2, 10, 100, 1000])
def test_a_gas_too_dense_to_place_is_told_what_works(n):
    with pytest.raises(InputError, match="too dense to place at random") as error:
        dm.random_gas({BODY: n}, 250.0, seed=1)
    limit = float(str(error.value).split("start below ")[1].split(" mM")[0])
    for seed in range(3):
        system = dm.random_gas({BODY: n}, limit, seed=seed)
        assert distances(system).min() >= BODY.axial_contact_nm


# --- Momenta --------------------------------------------------------------------------------------


def test_kinetic_temperatures_are_exact():
    system = dm.System.from_arrays(
        CUBE,
        [[0, 0, 0], [5, 0, 0]],
        [[1, 0, 0, 0], rowan.from_axis_angle([1, 0, 0], np.pi / 2)],  # body y lies along space z
        (BODY, TOP),
        types=[0, 1],
        velocities=[[0.1, 0, 0], [0, 0.2, 0]],
        angular_velocities=[[0, 0, 0.3], [0, 0, 0.4]],
    )
    moment = BODY.inertia_Da_nm2[0]
    translation = BODY.mass_Da * (0.1**2 + 0.2**2) / (6 * KB)
    rotation = (moment * 0.3**2 + 1400 * 0.4**2) / (6 * KB)
    assert system.kinetic_temperatures_K() == pytest.approx((translation, rotation), rel=1e-12)


def test_thermal_momenta_obey_equipartition_along_every_body_axis():
    n = 20000
    rng = np.random.default_rng(1)
    system = dm.System.from_arrays(
        CUBE, rng.uniform(-10, 10, (n, 3)), rng.normal(size=(n, 4)), TOP
    ).thermalized(250.0, seed=2)
    tolerance = 4 * np.sqrt(2 / (3 * n))
    assert system.kinetic_temperatures_K() == pytest.approx((250, 250), rel=tolerance)
    spin = rowan.rotate(rowan.conjugate(system.orientations), system.angular_velocities)
    modes = np.array(TOP.inertia_Da_nm2) * (spin**2).mean(0) / KB
    np.testing.assert_allclose(modes, 250, rtol=4 * np.sqrt(2 / n))
    np.testing.assert_allclose(
        TOP.mass_Da * (system.velocities**2).mean(0) / KB, 250, rtol=4 * np.sqrt(2 / n)
    )
    again = system.thermalized(250.0, seed=2)
    assert np.array_equal(again.angular_velocities, system.angular_velocities)
    assert np.array_equal(again.positions, system.positions)
    assert not np.array_equal(system.thermalized(250.0, 3).velocities, system.velocities)


@given(quaternions, arrays(float, (3, 3), elements=st.floats(-2, 2)))
@properties
def test_quaternion_momenta_invert(q, spins):
    system = dm.System.from_arrays(
        CUBE, np.zeros((3, 3)), q, (BODY, TOP), [0, 1, 1], angular_velocities=spins
    )
    momenta = system.quaternion_momenta
    still = replace(system, angular_velocities=np.zeros((3, 3)))
    np.testing.assert_allclose(
        still.with_quaternion_momenta(momenta).angular_velocities, spins, atol=1e-12
    )
    # HOOMD's definition: s = q* p / 2 is the body-frame angular momentum I ω
    local = rowan.rotate(rowan.conjugate(system.orientations), spins)
    moments = np.array([BODY.inertia_Da_nm2, TOP.inertia_Da_nm2, TOP.inertia_Da_nm2])
    product = rowan.multiply(rowan.conjugate(system.orientations), momenta) / 2
    np.testing.assert_allclose(product[:, 1:], moments * local, atol=1e-8)
    np.testing.assert_allclose(product[:, 0], 0, atol=1e-8)


# --- Geometry -------------------------------------------------------------------------------------


@given(vectors, boxes)
@properties
def test_wrap_moves_by_whole_box_vectors_into_the_box(points, box):
    cell = cell_matrix(box)
    wrapped = wrap(points, box)
    fractions = wrapped @ np.linalg.inv(cell).T
    assert (np.abs(fractions) <= 0.5 + 1e-9).all()
    images = (points - wrapped) @ np.linalg.inv(cell).T
    np.testing.assert_allclose(images, np.round(images), atol=1e-9)


def test_cell_and_wrap_of_a_tilted_box_are_exact():
    box = np.array([4.0, 3.0, 2.0, 0.5, -0.25, 1.0])
    columns = [[4, 0, 0], [1.5, 3, 0], [-0.5, 2, 2]]
    np.testing.assert_allclose(cell_matrix(box).T, columns)
    inside = np.array([0.3, -0.2, 0.1])
    for i in range(3):
        moved = inside + 2 * np.array(columns[i])
        np.testing.assert_allclose(wrap(moved, box), inside, atol=1e-12)
    assert wrap(np.array([2.0, 0, 0]), CUBE)[0] == 2
    assert wrap(np.array([10.0, 0, 0]), CUBE)[0] == -10
    system = dm.System.from_arrays(box, [[9.0, 7, 5]], UPRIGHT, BODY)
    np.testing.assert_allclose(system.positions, wrap(np.array([[9.0, 7, 5]]), box))
    assert system.volume_nm3 == pytest.approx(24)


@given(arrays(float, (3,), elements=st.floats(-5, 5)).filter(lambda v: np.linalg.norm(v) > 0.01))
@properties
def test_align_z_turns_z(direction):
    turned = rowan.rotate(align_z(direction[None])[0], [0, 0, 1])
    np.testing.assert_allclose(turned, direction / np.linalg.norm(direction), atol=1e-9)


def test_align_z_takes_the_shortest_way_and_the_poles():
    np.testing.assert_allclose(align_z([[0.0, 0, 3]]), UPRIGHT)
    np.testing.assert_allclose(rowan.rotate(align_z([[0.0, 0, -3]]), [0, 0, 1]), [[0, 0, -1]])
    np.testing.assert_allclose(align_z([[2.0, 0, 0]])[0, [0, 2]], [np.sqrt(0.5)] * 2)


@given(quaternions)
@properties
def test_dipoles_turn_with_their_bodies(q):
    tilted = replace(BODY, dipole_e_nm=(0.1, -0.2, 0.3))
    system = dm.System.from_arrays(CUBE, np.zeros((3, 3)), 7 * q, (SMALL, tilted), [1, 0, 1])
    np.testing.assert_allclose(np.linalg.norm(system.orientations, axis=1), 1, rtol=1e-12)
    for i, body in enumerate((tilted, SMALL, tilted)):
        w, *v = q[i] / np.linalg.norm(q[i])
        d = np.array(body.dipole_e_nm)
        t = 2 * np.cross(v, d)
        np.testing.assert_allclose(system.dipoles[i], d + w * t + np.cross(v, t), atol=1e-12)


NAN, INF = float("nan"), float("inf")
GOOD = {"box": (5, 5, 5), "positions": np.zeros((2, 3)), "orientations": UPRIGHT * 2}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"box": (5, 5)}, r"box must have shape \(6,\) \(found \(2,\)\)"),
        ({"box": (5, 0, 5)}, r"box lengths must be positive \(found \[5. 0. 5.\] nm\)"),
        ({"box": (5, -5, 5, 0, 0, 0)}, "box lengths must be positive"),
        ({"box": (5, NAN, 5)}, "box must be finite"),
        ({"box": (5, INF, 5)}, "box must be finite"),
        ({"positions": np.zeros((2, 2))}, r"positions must have shape \(2, 3\) \(found \(2, 2\)\)"),
        ({"positions": np.zeros(3)}, r"positions must have shape .* \(found \(3,\)\)"),
        ({"positions": 1.0}, r"positions must have shape .* \(found \(\)\)"),
        ({"positions": [[0, 0, 0], [0, NAN, 0]]}, "positions must be finite"),
        ({"positions": [[0, 0, 0], [0, INF, 0]]}, "positions must be finite"),
        ({"orientations": np.zeros((2, 4))}, "orientations must be finite and not zero"),
        ({"orientations": [[1, 0, 0, 0], [NAN, 0, 0, 0]]}, "orientations must be finite"),
        ({"orientations": np.ones((2, 3))}, r"orientations must have shape \(N, 4\)"),
        ({"orientations": UPRIGHT * 3}, r"orientations must have shape \(2, 4\) \(found \(3, 4\)"),
        ({"types": [0, 1]}, "types must index the 1 bodies"),
        ({"types": [0, -1]}, "types must index the 1 bodies"),
        ({"types": [0]}, r"types must have shape \(2,\) \(found \(1,\)\)"),
        ({"velocities": np.zeros((3, 3))}, r"velocities must have shape \(2, 3\)"),
        ({"velocities": [[0, 0, 0], [NAN, 0, 0]]}, "velocities must be finite"),
        ({"angular_velocities": np.zeros((2, 4))}, r"angular_velocities must have shape \(2, 3\)"),
    ],
)
def test_wrong_arrays_are_named(change, told):
    with pytest.raises(InputError, match=told):
        dm.System.from_arrays(**GOOD | change, bodies=BODY)


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: dm.pair({BODY: 3}, 2.0), r"a pair needs two clusters \(found 3\)"),
        (lambda: dm.ring({BODY: 2}, 2.0), r"at least three clusters \(found 2\)"),
        (lambda: dm.lattice({BODY: 9}, 2.0), r"needs m³ clusters \(found 9\)"),
        (lambda: dm.lattice({BODY: 8}, 0.0), "box lengths must be positive"),
        (lambda: dm.chain({BODY: 8}, NAN), "must be finite"),
        (lambda: dm.chain({}, 2.0), "body counts must be whole numbers"),
        (lambda: dm.chain({BODY: -1}, 2.0), r"whole numbers >= 0 \(found \[-1\]\)"),
        (lambda: dm.chain({BODY: 1.5}, 2.0), r"whole numbers >= 0 \(found \[1.5\]\)"),
        (lambda: dm.chain({BODY: 0}, 2.0), "at least one cluster is needed"),
        (lambda: dm.random_gas({BODY: 8}, 0.0, 1), r"concentration_mM must be positive \(found 0"),
        (
            lambda: dm.random_gas({BODY: 8}, NAN, 1),
            r"concentration_mM must be positive \(found nan",
        ),
    ],
)
def test_wrong_builders_are_told(build, told):
    with pytest.raises(InputError, match=told):
        build()
