"""Ewald sums of both engines against the direct sum that `direct_sums.py` writes out."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from oracles.direct_sums import (
    COULOMB,
    evaluate_bare,
    ewald,
    ewald_of,
    random_quaternions,
    rms_errors,
)

import dipolar_md as dm
from dipolar_md.engines.ewald import Mesh, errors_of, levels, plan

ENGINES = ["lammps", pytest.param("hoomd", marks=pytest.mark.hoomd)]
POINT = dm.coarse_grain(dm.load_cluster("r-au-cu"))
CHARGED = dm.coarse_grain(dm.load_cluster("r-au-cu"), dipole="charges")
JANUS = dm.coarse_grain(dm.load_cluster("r-au-cu"), shape="janus")
CHARGED_JANUS = dm.coarse_grain(dm.load_cluster("r-au-cu"), shape="janus", dipole="charges")
CD_JANUS = dm.coarse_grain(
    dm.load_cluster("au3cd"), shape="janus", dipole="charges", handedness="S"
)
LONG_1E_4 = pytest.param(1e-4, marks=pytest.mark.validate)
METHODS = [
    ("point", "lammps"),
    ("charges", "lammps"),
    pytest.param("charges", "hoomd", marks=pytest.mark.hoomd),
]


def gas_of(counts, concentration_mM=20.0, seed=4):
    """A gas drawn together until neighbours nearly touch."""
    gas = dm.random_gas(counts, concentration_mM, seed)
    return replace(
        gas, box=gas.box * np.array([0.85] * 3 + [1] * 3), positions=gas.positions * 0.85
    )


def contact_energy(body, relative_permittivity=1.0):
    mu2 = body.dipole_magnitude_e_nm**2
    return 2 * COULOMB * mu2 / relative_permittivity / body.axial_contact_nm**3


# --- The oracle itself ----------------------------------------------------------------------------


def test_the_direct_sum_gives_the_madelung_constant_of_rock_salt():
    x = np.array(list(itertools.product(range(2), repeat=3)), dtype=float)
    q = (-1.0) ** x.sum(axis=1)
    energy, forces, _ = ewald((2, 2, 2), x, q=q)
    assert energy / 4 == pytest.approx(-1.747564594633, abs=1e-12)
    assert np.abs(forces).max() < 1e-12


@pytest.mark.parametrize("kind", ["q", "mu"])
def test_the_direct_sum_does_not_depend_on_its_splitting(kind):
    rng = np.random.default_rng(1)
    x, box = rng.uniform(0, 5, (10, 3)), (5.0, 6.0, 7.0)
    sources = {"q": (-1.0) ** np.arange(10), "mu": rng.normal(size=(10, 3))}
    one = ewald(box, x, **{kind: sources[kind]})
    other = ewald(box, x, split=1.4, images=2, **{kind: sources[kind]})
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-9)
    h, moved = 1e-5, []
    for sign in (1, -1):
        shifted = x.copy()
        shifted[3, 1] += sign * h
        moved.append(ewald(box, shifted, **{kind: sources[kind]})[0])
    assert -(moved[0] - moved[1]) / (2 * h) == pytest.approx(one[1][3, 1], rel=1e-7)


def test_the_direct_sum_of_close_charges_is_that_of_dipoles():
    """Charges ±q at ±d/2: the dipole sum plus terms of the order of d²."""
    rng, box = np.random.default_rng(2), (6.0, 6.0, 6.0)
    grid = np.array(list(itertools.product((-1.5, 1.5), repeat=3)))
    x, mu = grid + rng.uniform(-0.4, 0.4, (8, 3)), rng.normal(size=(8, 3))
    energy = ewald(box, x, mu=mu)[0]
    off = []
    for d in (0.2, 0.1):
        arms = d / 2 * mu / np.linalg.norm(mu, axis=1, keepdims=True)
        q = np.repeat(np.linalg.norm(mu, axis=1) / d, 2) * np.tile([1.0, -1.0], 8)
        places = np.stack([x + arms, x - arms], axis=1).reshape(-1, 3)
        own = -(q[::2] ** 2 / d).sum()
        off.append(ewald(box, places, q=q)[0] - own - energy)
    assert off[0] / off[1] == pytest.approx(4.0, rel=0.05)


# --- Engines against it ---------------------------------------------------------------------------

BODIES = {("point", 1): POINT, ("charges", 1): CHARGED, ("point", 7): JANUS,
          ("charges", 7): CHARGED_JANUS}  # fmt: skip


@pytest.mark.parametrize("accuracy", [1e-3, LONG_1E_4])
@pytest.mark.parametrize("sites", [1, 7], ids=["sphere", "janus"])
@pytest.mark.parametrize(("dipole", "engine"), METHODS)
def test_an_ewald_sum_is_as_accurate_as_stated(dipole, engine, sites, accuracy):
    """Rms errors of force and torque over those at contact; energy per cluster, too."""
    body = BODIES[dipole, sites]
    gas = gas_of({body: 30})
    terms = dm.Interactions(298.15, 2.0, "ewald", ewald_accuracy=accuracy)
    energy, forces, torques = ewald_of(gas, 2.0)
    found = evaluate_bare(gas, terms, engine)
    errors = rms_errors(found, forces, torques, terms, gas.bodies)
    off = abs(found.energies["electrostatic"] - energy) / len(gas) / contact_energy(body, 2.0)
    print(f"\n{engine} {dipole} {sites} {accuracy:g}: force {errors[0]:.1e}, torque "
          f"{errors[1]:.1e}, energy {off:.1e}")  # fmt: skip
    assert max(errors) <= accuracy
    assert off <= accuracy
    assert np.isnan(found.cluster_energies).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_an_ewald_sum_of_unequal_bodies(engine):
    gas = gas_of({CHARGED_JANUS: 14, CD_JANUS: 12})
    terms = dm.Interactions(298.15, 1.0, "ewald", ewald_accuracy=3e-4)
    energy, forces, torques = ewald_of(gas)
    found = evaluate_bare(gas, terms, engine)
    assert max(rms_errors(found, forces, torques, terms, gas.bodies)) <= 3e-4
    off = abs(found.energies["electrostatic"] - energy) / len(gas)
    assert off <= 3e-4 * contact_energy(CD_JANUS)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_constant_within_a_body_is_left_out(engine):
    """Two far bodies: nothing of q²/d (614 kJ/mol each) is left, only their own pair energy."""
    pair = dm.pair({CHARGED_JANUS: 2}, 6.0, box_nm=60.0)
    terms = dm.Interactions(298.15, 1.0, "ewald", ewald_accuracy=1e-4)
    found = dm.evaluate(pair, terms, engine=engine).energies
    energy, *_ = ewald_of(pair)
    mu2 = CHARGED.dipole_magnitude_e_nm**2
    assert energy == pytest.approx(-2 * COULOMB * mu2 / 6.0**3, rel=0.02)  # images, d²: 1 %
    assert found["electrostatic"] == pytest.approx(energy, abs=2e-4 * contact_energy(CHARGED))


def test_accuracy_is_relative_to_the_weakest_contact():
    terms = dm.Interactions(298.15, 2.0, "ewald")
    a = COULOMB / 2.0 * CD_JANUS.dipole_magnitude_e_nm**2
    expected = 6 * a / 1.44**4, 2 * a / 1.44**3
    assert terms.contact_scales((CHARGED_JANUS, CD_JANUS)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_field_acts_on_charges_as_on_their_dipole(engine):
    """-μ·E and μ x E, no net force; the rest is as without the field."""
    gas, strength = gas_of({CHARGED_JANUS: 20}), (0.02, -0.01, 0.03)
    terms = dm.Interactions(298.15, 1.0, "ewald")
    without = dm.evaluate(gas, terms, engine=engine)
    found = dm.evaluate(gas, replace(terms, field_V_nm=strength), engine=engine)
    pull = 96.48533212331 * np.array(strength)
    assert found.energies["field"] == pytest.approx(-(gas.dipoles @ pull).sum(), rel=1e-9)
    turn = np.cross(gas.dipoles, pull)
    scale = np.abs(without.torques).max()
    np.testing.assert_allclose(found.torques - without.torques, turn, atol=1e-9 * scale)
    np.testing.assert_allclose(found.forces, without.forces, atol=1e-9 * scale)


def stretched(charge_e):
    """R-Au-Cu's sphere with its dipole made of charges ±q at ±d/2 = ±μ/2q."""
    half = POINT.dipole_magnitude_e_nm / charge_e / 2
    tips = [dm.Site((0.0, 0.0, s * half), 0.0, 0.0, charge_e=s * charge_e) for s in (1.0, -1.0)]
    return replace(POINT, sites=(*POINT.sites, *tips))


@pytest.mark.validate
@pytest.mark.parametrize("engine", ENGINES)
def test_charges_that_draw_together_become_a_point_dipole(engine):
    """Charges + Ewald against LAMMPS' point dipoles + Ewald: the difference falls as d²."""
    gas = gas_of({POINT: 30})
    terms = dm.Interactions(298.15, 1.0, "ewald", ewald_accuracy=3e-5)
    point = evaluate_bare(gas, terms, "lammps")
    off = []
    for charge in (2.0, 4.0, 8.0):
        charged = evaluate_bare(replace(gas, bodies=(stretched(charge),)), terms, engine)
        off.append(rms_errors(charged, point.forces, point.torques, terms, gas.bodies))
    off = np.array(off)
    print(f"\n{engine}: d = 0.452, 0.226, 0.113 nm: force {off[:, 0]}, torque {off[:, 1]}")
    assert (off[0] > 5e-3).all()
    np.testing.assert_allclose(off[0] / off[1], 4.0, rtol=0.25)
    np.testing.assert_allclose(off[1] / off[2], 4.0, rtol=0.25)


# --- Crystals of aligned dipoles ------------------------------------------------------------------


SIMPLE = [(0, 0, 0)]
BODY_CENTRED = [(0, 0, 0), (0.5, 0.5, 0.5)]


def crystal(body, basis, edge, cells, direction):
    """Aligned bodies on a cubic lattice with a basis; axes along `direction`."""
    from dipolar_md.model.system import align_z

    grid = np.array(list(itertools.product(range(cells), repeat=3)), dtype=float)
    places = (grid[:, None] + np.array(basis)).reshape(-1, 3) * edge
    turned = np.tile(align_z(np.array(direction, dtype=float)), (len(places), 1))
    return dm.System.from_arrays((cells * edge,) * 3, places, turned, body)


@pytest.mark.parametrize(
    ("basis", "direction"),
    [
        pytest.param(SIMPLE, (0, 0, 1), id="simple along an edge", marks=pytest.mark.validate),
        pytest.param(SIMPLE, (1, 2, 3), id="simple askew"),
        pytest.param(BODY_CENTRED, (0, 0, 1), id="body-centred", marks=pytest.mark.validate),
        pytest.param(BODY_CENTRED, (1, 2, 3), id="body-centred askew", marks=pytest.mark.validate),
    ],
)
@pytest.mark.parametrize(("dipole", "engine"), METHODS)
def test_cubic_crystals_of_aligned_dipoles_have_the_lorentz_field(dipole, engine, basis, direction):
    """-(2π/3) μ²ρ/4πε₀ per dipole at a conducting boundary, whichever way the dipoles point."""
    body = {"point": POINT, "charges": stretched(12.0)}[dipole]
    system = crystal(body, basis, 3.2, 3, direction)
    terms = dm.Interactions(298.15, 1.0, "ewald")
    n, volume = len(system), system.box[:3].prod()
    energy = evaluate_bare(system, terms, engine).energies["electrostatic"]
    direct, *_ = ewald_of(system)
    mu2 = body.dipole_magnitude_e_nm**2
    lorentz = -2 * math.pi / 3 * COULOMB * mu2 * n / volume
    off = (energy - direct) / n / contact_energy(body)
    print(f"\n{engine} {dipole}: per dipole {energy / n:.4f}, direct {direct / n:.4f}, "
          f"Lorentz {lorentz:.4f} kJ/mol; off by {off:.1e}")  # fmt: skip
    assert direct / n == pytest.approx(lorentz, rel=1e-9 if dipole == "point" else 2e-3)
    assert abs(off) <= terms.ewald_accuracy


# --- Films ----------------------------------------------------------------------------------------


def charged_film(n=24, thickness=4.0, gap=2.0, seed=6, concentration_mM=60.0):
    film = dm.random_gas(
        {CHARGED_JANUS: n}, concentration_mM, seed, thickness_nm=thickness, gap_nm=gap
    )
    return replace(film, orientations=random_quaternions(n, seed))


@pytest.mark.parametrize(
    ("concentration_mM", "accuracy"),
    [
        (15.0, 1e-3),
        pytest.param(60.0, 1e-4, marks=pytest.mark.validate),
        pytest.param(15.0, 1e-4, marks=pytest.mark.validate),
    ],
)
def test_a_film_does_not_feel_its_images(concentration_mM, accuracy):
    """LAMMPS with charges, against a direct sum in a high box with its dipole correction.

    At 15 mM the film is six times wider than high.
    """
    film = charged_film(16, concentration_mM=concentration_mM)
    edge = film.box[0]
    terms = dm.Interactions(298.15, 1.0, "ewald", ewald_accuracy=accuracy)
    reference, higher = (ewald_of(film, slab_height=h * edge) for h in (2.5, 3.0))
    assert reference[0] == pytest.approx(higher[0], abs=1e-4)
    np.testing.assert_allclose(reference[1], higher[1], atol=1e-4)
    bulk = ewald_of(film)
    scale = terms.contact_scales(film.bodies)[0]
    found = evaluate_bare(film, terms, "lammps")
    errors = rms_errors(found, *reference[1:], terms, film.bodies)
    off = abs(found.energies["electrostatic"] - reference[0]) / len(film)
    print(f"\nfilm {accuracy:g}: errors {errors}, energy {off / contact_energy(CHARGED):.1e}")
    assert np.abs(bulk[1] - reference[1]).max() > accuracy * scale  # images would be felt
    assert max(errors) <= accuracy
    assert off <= accuracy * contact_energy(CHARGED)
    wider = replace(film, box=film.box + np.array([0, 0, film.box[2], 0, 0, 0]))
    again = evaluate_bare(wider, terms, "lammps")
    assert max(rms_errors(again, found.forces, found.torques, terms, film.bodies)) <= 2 * accuracy


@pytest.mark.hoomd
def test_what_has_no_ewald_sum_is_refused():
    terms = dm.Interactions(298.15, 1.0, "ewald")
    with pytest.raises(dm.UnsupportedError, match="engine 'lammps' can"):
        dm.evaluate(gas_of({JANUS: 20}), terms, engine="hoomd")
    with pytest.raises(dm.UnsupportedError, match="film between walls"):
        dm.evaluate(charged_film(), terms, engine="hoomd")
    points = replace(charged_film(), bodies=(JANUS,))
    with pytest.raises(dm.UnsupportedError, match="dipole = 'charges'"):
        dm.evaluate(points, terms, engine="lammps")
    for engine in ("lammps", "hoomd"):
        with pytest.raises(dm.UnsupportedError, match="electrostatics = 'ewald'"):
            dm.evaluate(gas_of({CHARGED: 20}), dm.Interactions(298.15, 1.0), engine=engine)


# --- What is reported -----------------------------------------------------------------------------


@pytest.mark.parametrize(("dipole", "engine"), METHODS)
def test_reported_errors_are_real(dipole, engine):
    """The errors that a stage logs, measured again against the direct sum with the same mesh."""
    body = {"point": JANUS, "charges": CHARGED_JANUS}[dipole]
    gas = gas_of({body: 30})
    here = dm.Environment(298.15, 1.0, gas.concentration_mM)
    terms = dm.Interactions(298.15, 1.0, "ewald")
    stage = dm.Stage("still", 1, 1e-6, here, here, 0.413, 0.02, skin_nm=0.5)
    chosen, _ = dm.choose_engine(engine, "cpu")
    chosen.run(gas, terms, stage, lambda report: False)
    logged = chosen.settings.ewald["still"]
    [mesh] = [
        mesh
        for mesh in levels(logged["cutoff_nm"] / gas.box[0])
        if list(mesh.points(gas)) == logged["mesh"]
        and errors_match(chosen, gas, terms, mesh, logged)
    ]
    assert mesh.order == logged["order"]
    assert max(logged["relative_force_error"], logged["relative_torque_error"]) <= 1e-3


def errors_match(chosen, gas, terms, mesh: Mesh, logged):
    """Whether a mesh has the logged errors against the direct sum, within 10 %."""
    from dipolar_md.engines.capabilities import without_steric

    _, forces, torques = ewald_of(gas)
    found = chosen.evaluate(without_steric(gas), terms, mesh)
    errors = rms_errors(found, forces, torques, terms, gas.bodies)
    said = [logged["relative_force_error"], logged["relative_torque_error"]]
    print(f"\n{chosen.name}: logged {said}, against the direct sum {errors}")
    return errors == pytest.approx(said, rel=0.1)


def test_errors_of_a_large_system_are_those_of_a_part_of_it():
    """5,000 clusters: the mesh chosen on a part holds on the whole, by the engine's own finest."""
    body = dm.coarse_grain(dm.load_cluster("r-au-cu"))
    gas = dm.random_gas({body: 5000}, concentration_mM=10.0, seed=1)
    terms = dm.Interactions(298.15, 1.0, "ewald")
    engine, _ = dm.choose_engine("lammps")
    mesh, errors = plan(gas, terms, lambda s, m: engine.evaluate(s, terms, m))
    fine = Mesh(mesh.cutoff_fraction, 4.6, 0.4, 7)
    whole = errors_of(
        *(engine.evaluate(gas, terms, m) for m in (mesh, fine)), terms.contact_scales((body,))
    )
    assert max(whole) <= terms.ewald_accuracy
    assert whole == pytest.approx(errors, rel=0.5)


@pytest.mark.validate
def test_neighbour_lists_hold_the_sites_of_many_bodies():
    """250 bodies of nine sites within the cutoff and its skin: more than LAMMPS expects."""
    body = dm.coarse_grain(dm.load_cluster("r-au-cu"), "janus", "charges")
    gas = dm.random_gas({body: 5000}, concentration_mM=10.0, seed=1)
    terms = dm.Interactions(298.15, 1.0, "ewald")
    here = dm.Environment(298.15, 1.0, 10.0)
    engine, _ = dm.choose_engine("lammps")
    engine._planned = lambda *_: Mesh(21.5 / gas.box[0], 2.6, 0.7)
    stage = dm.Stage("s", 2, 0.1, here, here, integrator="nve", chunk_steps=2, skin_nm=1.5)
    assert engine.run(gas, terms, stage, lambda report: False).concentration_mM == pytest.approx(10)
