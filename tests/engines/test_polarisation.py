"""Induced dipoles by direct sums: closed forms, a dense solve, AMOEBA, finite differences."""

from dataclasses import replace

import numpy as np
import pytest
import rowan
from oracles import induced_dipoles, openmm_amoeba
from oracles.direct_sums import rotation

import dipolar_md as dm
from dipolar_md import theory
from dipolar_md.engines.direct import induced_dipoles as relaxed
from dipolar_md.errors import InputError, UnsupportedError
from dipolar_md.units import KE

CLUSTER = dm.load_cluster("r-au-cu")
CONTACT = CLUSTER.axial_contact_nm.value
HARD = dm.coarse_grain(CLUSTER)
CENTRE = dm.coarse_grain(CLUSTER, polarisation="centre")
SITES = dm.coarse_grain(CLUSTER, polarisation="sites")
JANUS_SITES = dm.coarse_grain(CLUSTER, "janus", polarisation="sites")
CHARGES = dm.coarse_grain(CLUSTER, dipole="charges", polarisation="centre")
CHARGES_SITES = dm.coarse_grain(CLUSTER, dipole="charges", polarisation="sites")
SCALE = theory.dipole_energy_scale(CLUSTER.dipole_e_nm)
ALPHA = CENTRE.polarisability_nm3


def terms(**options):
    return dm.Interactions(298.15, **{"relative_permittivity": 1.0, "cutoff_nm": 100.0, **options})


def evaluate(system, **options):
    return dm.evaluate(system, terms(**options), engine="direct")


def answered(evaluation):
    """Electrostatic and induction energy together."""
    return evaluation.energies["electrostatic"] + evaluation.energies["induction"]


def random_system(bodies, seed=1, box_nm=220.0, spread_nm=3.6):
    """Bodies at random near the middle of a wide box, none nearer than 1.7 nm, turned at random."""
    rng = np.random.default_rng(seed)
    places = np.zeros((0, 3))
    while len(places) < len(bodies):
        new = rng.uniform(-spread_nm, spread_nm, 3)
        if all(np.linalg.norm(new - x) > 1.7 for x in places):
            places = np.concatenate([places, [new]])
    kinds = tuple(dict.fromkeys(bodies))
    return dm.System.from_arrays(
        [box_nm] * 3,
        places,
        rowan.normalize(rng.normal(size=(len(bodies), 4))),
        kinds,
        [kinds.index(body) for body in bodies],
    )


def moments(system):
    """The oracle's permanent and polarisable points of a system."""
    permanent, polarisable = [], []
    turns = rotation(system.orientations)
    for n, (x, turn) in enumerate(zip(system.positions, turns, strict=True)):
        body = system.bodies[system.types[n]]
        permanent.append((n, x, 0.0, turn @ body.point_dipole_e_nm))
        for site in body.sites:
            place = x + turn @ site.position_nm
            if site.charge_e:
                permanent.append((n, place, site.charge_e, np.zeros(3)))
            if site.polarisability_nm3:
                polarisable.append((n, place, site.polarisability_nm3, 0.39))
        if body.polarisability_nm3 and not any(s.polarisability_nm3 for s in body.sites):
            polarisable.append((n, x, body.polarisability_nm3, 0.0))
    return permanent, polarisable


# --- Closed forms ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 10, 30])
def test_chains_are_the_closed_form(n):
    found = evaluate(dm.chain({CENTRE: n}, CONTACT, box_nm=400.0))
    x = ALPHA / CONTACT**3
    expected = SCALE / CONTACT**3 * theory.polarised_chain_energy(n, x)
    assert answered(found) == pytest.approx(expected, rel=1e-10)
    bare = SCALE / CONTACT**3 * theory.chain_energy(n)
    assert found.energies["electrostatic"] == pytest.approx(bare, rel=1e-10)
    assert found.energies["induction"] < 0
    assert found.cluster_energies.sum() == pytest.approx(found.energies["total"], rel=1e-10)


@pytest.mark.parametrize("n", [3, 4, 10, 30])
def test_rings_are_the_closed_form(n):
    found = evaluate(dm.ring({CENTRE: n}, CONTACT, box_nm=400.0))
    x = ALPHA / CONTACT**3
    expected = SCALE / CONTACT**3 * theory.polarised_ring_energy(n, x)
    assert answered(found) == pytest.approx(expected, rel=1e-10)


def test_pairs_in_any_orientation_are_the_closed_form():
    rng = np.random.default_rng(3)
    other = replace(CENTRE, polarisability_nm3=0.1, name="other")
    for _ in range(5):
        step = rng.normal(size=3)
        step *= 1.9 / np.linalg.norm(step)
        system = dm.pair({CENTRE: 1, other: 1}, step, rowan.normalize(rng.normal(size=(2, 4))), 250)
        a, b = system.dipoles
        expected = theory.polarised_dipole_pair_energy(step, a, b, ALPHA, 0.1)
        assert answered(evaluate(system)) == pytest.approx(expected, rel=1e-10)


def test_a_medium_weakens_permanent_and_induced_dipoles():
    """p = α E keeps its meaning, the interactions are divided by ε_r: α counts as α/ε_r."""
    found = evaluate(dm.pair({CENTRE: 2}, CONTACT, box_nm=250), relative_permittivity=2.0)
    expected = -SCALE / CONTACT**3 / (1 - ALPHA / CONTACT**3)
    assert answered(found) == pytest.approx(expected, rel=1e-10)


def test_sites_gain_what_the_expectation_says():
    from dipolar_md.model.polarisation import pair_gain

    found = evaluate(dm.pair({SITES: 2}, CONTACT, box_nm=250))
    expected = -2 * SCALE / CONTACT**3 * pair_gain(SITES.polarisable_points, CONTACT)
    assert answered(found) == pytest.approx(expected, rel=1e-10)


def test_no_polarisability_gives_the_same_numbers_as_ever():
    system = random_system([HARD] * 6)
    faint = replace(HARD, polarisability_nm3=1e-12)
    weak = replace(system, bodies=(faint,))
    one, other = evaluate(system), evaluate(weak)
    assert one.energies["induction"] == 0.0
    assert other.energies["total"] == pytest.approx(one.energies["total"], rel=1e-10)
    assert other.forces == pytest.approx(one.forces, rel=1e-9, abs=1e-9)
    assert other.torques == pytest.approx(one.torques, rel=1e-9, abs=1e-9)


# --- Independent solutions ------------------------------------------------------------------------


@pytest.mark.parametrize("field", [(0, 0, 0), (0.05, -0.02, 0.03)])
@pytest.mark.parametrize(
    "bodies",
    [[CENTRE] * 12, [SITES] * 8, [JANUS_SITES] * 6, [HARD, CENTRE] * 5, [SITES, HARD, CENTRE] * 3],
    ids=["centre", "sites", "janus", "mixture", "three kinds"],
)
def test_random_configurations_are_the_solution_of_a_dense_system(bodies, field):
    system = random_system(bodies)
    found = evaluate(system, field_V_nm=field)
    strength = np.array(field) * 96.48533212331
    permanent, induction, induced = induced_dipoles.solve(*moments(system), strength)
    energies = found.energies
    assert energies["electrostatic"] + energies["field"] == pytest.approx(permanent, rel=1e-9)
    assert energies["induction"] == pytest.approx(induction, rel=1e-9)
    total = np.zeros((len(system), 3))
    for (owner, *_), p in zip(moments(system)[1], induced, strict=True):
        total[owner] += p
    assert relaxed(system, terms(field_V_nm=field)) == pytest.approx(total, abs=1e-9)


def test_amoeba_gives_the_same_energies_and_forces():
    kinds = tuple(
        replace(
            HARD,
            sites=(replace(HARD.sites[0], sigma_nm=0.0),),
            name=str(n),
            dipole_e_nm=(0.0, 0.0, openmm_amoeba.MU),
            polarisability_nm3=alpha,
        )
        for n, alpha in enumerate(openmm_amoeba.POLARISABILITIES)
    )
    from dipolar_md.model.system import align_z

    system = dm.System.from_arrays(
        [300.0] * 3, openmm_amoeba.PLACES, align_z(openmm_amoeba.AXES), kinds, range(5)
    )
    found, recorded = evaluate(system), openmm_amoeba.AMOEBA
    assert found.energies["electrostatic"] / KE == pytest.approx(recorded["permanent"], rel=1e-9)
    assert found.energies["total"] / KE == pytest.approx(recorded["total"], rel=1e-9)
    assert found.forces / KE == pytest.approx(np.array(recorded["forces"]), abs=1e-9)


def test_given_induced_dipoles_are_kept():
    """The energy of induced dipoles is a parabola about the self-consistent ones."""
    system = random_system([CENTRE] * 6)
    best = relaxed(system, terms())
    at_best = evaluate(replace(system, induced_dipoles=best))
    assert at_best.energies == pytest.approx(evaluate(system).energies, rel=1e-12)
    shift = np.random.default_rng(1).normal(size=best.shape) * 1e-2
    above = [
        evaluate(replace(system, induced_dipoles=best + s * shift)).energies["total"]
        - at_best.energies["total"]
        for s in (-1.0, 1.0, 2.0)
    ]
    assert above[0] > 0
    assert above[0] == pytest.approx(above[1], rel=1e-6)
    assert above[2] == pytest.approx(4 * above[1], rel=1e-6)


# --- Derivatives ----------------------------------------------------------------------------------

DERIVED = {
    "centre": ([CENTRE] * 4, {}),
    "sites": ([SITES] * 4, {}),
    "janus": ([JANUS_SITES, HARD, JANUS_SITES], {"field_V_nm": (0.1, 0.05, -0.1)}),
    "ewald": ([CENTRE] * 4, {"electrostatics": "ewald"}),
    "ewald sites": ([SITES] * 3, {"electrostatics": "ewald", "field_V_nm": (0.1, 0, 0.1)}),
    "ewald charges": ([CHARGES] * 4, {"electrostatics": "ewald"}),
    "ewald charges and sites": ([CHARGES_SITES] * 3, {"electrostatics": "ewald"}),
}


@pytest.mark.parametrize("case", DERIVED)
def test_forces_and_torques_are_derivatives_of_the_energy(case):
    bodies, options = DERIVED[case]
    ewald = "electrostatics" in options
    system = random_system(bodies, seed=5, box_nm=12.0 if ewald else 220.0, spread_nm=2.2)
    options = options if ewald else {**options, "cutoff_nm": 100.0}
    found, h = evaluate(system, **options), 1e-4

    def energy(moved):
        return evaluate(moved, **options).energies["total"]

    for n in (0, len(bodies) - 1):
        for axis in np.eye(3):
            shift = np.zeros((len(bodies), 3))
            shift[n] = h * axis
            up, down = (replace(system, positions=system.positions + s * shift) for s in (1, -1))
            slope = (energy(up) - energy(down)) / (2 * h)
            assert found.forces[n] @ axis == pytest.approx(-slope, rel=2e-6, abs=2e-5)
            turned = []
            for sign in (1, -1):
                q = system.orientations.copy()
                q[n] = rowan.multiply(rowan.from_axis_angle(axis, sign * h), q[n])
                turned.append(energy(replace(system, orientations=q)))
            slope = (turned[0] - turned[1]) / (2 * h)
            assert found.torques[n] @ axis == pytest.approx(-slope, rel=2e-6, abs=2e-5)


# --- Ewald sums -----------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [CENTRE, SITES, CHARGES, CHARGES_SITES])
def test_a_wide_box_is_open_space(body):
    """An Ewald sum's images and conducting boundary vanish with the volume: 1/L³."""
    small = random_system([body] * 4, spread_nm=2.2)
    exact = sum(induced_dipoles.solve(*moments(small))[:2])
    near, far = (
        answered(
            evaluate(replace(small, box=np.array([edge] * 3 + [0.0] * 3)), electrostatics="ewald")
        )
        for edge in (24.0, 48.0)
    )
    assert abs(far - exact) < 0.01 * abs(exact)
    assert (8 * far - near) / 7 == pytest.approx(exact, rel=2e-4)


def test_aligned_polarisable_dipoles_on_a_lattice_feel_the_lorentz_field():
    system = dm.lattice({CENTRE: 8}, 2.4)
    found = evaluate(system, electrostatics="ewald")
    expected = theory.polarised_lattice_energy(SCALE, 2.4**-3, ALPHA)
    assert answered(found) / 8 == pytest.approx(expected, rel=1e-8)


def test_a_lattice_of_pure_polarisabilities_obeys_clausius_mossotti():
    """The field of an Ewald sum with a conducting boundary is the mean field inside: P = χ ε₀ E."""
    pure = replace(CENTRE, dipole_e_nm=(0.0, 0.0, 0.0))
    system, field = dm.lattice({pure: 27}, 2.0), (0.0, 0.0, 1e-3)
    options = terms(electrostatics="ewald", field_V_nm=field)
    p = relaxed(system, options)
    mean = p.sum(axis=0)[2] / system.volume_nm3 * 4 * np.pi * KE
    permittivity = 1 + mean / options.field_kJ_mol_e_nm[2]
    expected = theory.clausius_mossotti_permittivity(ALPHA, 2.0**-3)
    assert permittivity == pytest.approx(expected, rel=1e-6)
    energy = dm.evaluate(system, options, engine="direct").energies["induction"]
    assert energy == pytest.approx(-p.sum(axis=0)[2] * options.field_kJ_mol_e_nm[2] / 2, rel=1e-9)


# --- What is refused ------------------------------------------------------------------------------


def test_a_catastrophe_names_the_pair_the_distance_and_what_is_allowed():
    huge = replace(CENTRE, polarisability_nm3=3.5)
    words = r"catastrophe.*'r-au-cu' \(\d\) and 'r-au-cu' \(\d\) at 1.822 nm.* at most 1.26 nm3"
    with pytest.raises(InputError, match=words):
        evaluate(dm.chain({huge: 4}, CONTACT, box_nm=250))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (-0.1, "polarisability_nm3 must be positive"),
        (0.0, "polarisability_nm3 must be positive"),
        (np.nan, "polarisability_nm3 must be positive"),
        (np.inf, "polarisability_nm3 must be positive"),
    ],
)
def test_a_wrong_polarisability_is_refused(value, words):
    with pytest.raises(InputError, match=words):
        dm.coarse_grain(CLUSTER, polarisation="centre", polarisability_nm3=value)
    with pytest.raises(InputError, match="finite and not negative"):
        replace(CENTRE, polarisability_nm3=value or -1.0)


def test_models_that_lack_something_say_so():
    bare = CLUSTER.model_copy(update={"polarisability_nm3": None, "janus": None})
    with pytest.raises(InputError, match=r"states no polarisability_nm3.*dipolar-md dipole FILE"):
        dm.coarse_grain(bare, polarisation="centre")
    with pytest.raises(InputError, match=r"no \[janus\] table"):
        dm.coarse_grain(bare, polarisation="sites", polarisability_nm3=0.3)
    with pytest.raises(InputError, match="needs polarisation="):
        dm.coarse_grain(CLUSTER, polarisability_nm3=0.3)
    with pytest.raises(UnsupportedError, match="none or centre or sites"):
        dm.coarse_grain(CLUSTER, polarisation="everywhere")
    with pytest.raises(InputError, match=r"polarisation = 'centre'; leave them out"):
        evaluate(replace(dm.chain({SITES: 2}, 2.0, 250), induced_dipoles=np.ones((2, 3))))
    with pytest.raises(InputError, match="induced_dipoles must have shape"):
        replace(dm.chain({CENTRE: 2}, 2.0, 250), induced_dipoles=np.ones((3, 3)))
