"""Induced dipoles on springs: against direct sums, against each other, in motion, and refused."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import rowan
from oracles.polarisable_pair import pair_law

import dipolar_md as dm
from dipolar_md import theory
from dipolar_md.engines.capabilities import Feature, Support, capability
from dipolar_md.engines.choice import choose_engine
from dipolar_md.engines.direct import induced_dipoles
from dipolar_md.engines.ewald import Mesh
from dipolar_md.engines.springs import make_springs
from dipolar_md.errors import BlowUpError, UnsupportedError
from dipolar_md.model.system import wrap
from dipolar_md.units import KE, thermal_energy

ENGINES = ["lammps", pytest.param("hoomd", marks=pytest.mark.hoomd)]
T = 298.15
KT = thermal_energy(T)
CLUSTER = dm.load_cluster("r-au-cu")
SOFT = dm.coarse_grain(CLUSTER, dipole="charges", polarisation="centre")
HARD = dm.coarse_grain(CLUSTER, dipole="charges", dipole_D=30.0)
FINE = Mesh(0.38, 5.2, 0.2, 7)
TERMS = dm.Interactions(T, 1.0, electrostatics="ewald")


def crowd(bodies, seed=5):
    """Bodies at random in a box of 12 nm, none nearer than 1.7 nm."""
    rng = np.random.default_rng(seed)
    places = np.zeros((0, 3))
    while len(places) < len(bodies):
        new = rng.uniform(-3.0, 3.0, 3)
        if all(np.linalg.norm(new - x) > 1.7 for x in places):
            places = np.concatenate([places, [new]])
    kinds = tuple(dict.fromkeys(bodies))
    return dm.System.from_arrays(
        [12.0] * 3,
        places,
        rowan.normalize(rng.normal(size=(len(bodies), 4))),
        kinds,
        [kinds.index(body) for body in bodies],
    )


def on_springs(engine, system, charge_e, terms=TERMS):
    return choose_engine(engine, "cpu")[0].evaluate(system, terms, FINE, charge_e)


def worst(one, other):
    return float(np.abs(one - other).max() / np.abs(other).max())


# --- Statics --------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", ["soft", "mixture", "chain"])
def test_relaxed_springs_are_the_direct_sum_but_for_their_length_squared(engine, case):
    system = {
        "soft": lambda: crowd([SOFT] * 8),
        "mixture": lambda: crowd([SOFT, HARD] * 4),
        "chain": lambda: dm.chain({SOFT: 4, HARD: 1}, 1.822, box_nm=14.0),
    }[case]()
    exact = dm.evaluate(system, TERMS, engine="direct")
    errors = []
    for charge in (0.5, 1.0, 16.0):
        found = on_springs(engine, system, charge)
        errors.append(np.linalg.norm(found.forces - exact.forces))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)
    assert worst(found.forces, exact.forces) < 1e-4
    if case != "chain":  # straight: no torques
        assert worst(found.torques, exact.torques) < 1e-4
    energies, expected = found.energies, exact.energies
    assert energies["electrostatic"] == pytest.approx(expected["electrostatic"], rel=1e-5)
    assert energies["induction"] == pytest.approx(expected["induction"], rel=1e-4)
    assert energies["total"] == pytest.approx(expected["total"], rel=1e-4)


@pytest.mark.hoomd
@pytest.mark.parametrize("charge", [2.0, 8.0])
def test_engines_agree_at_the_same_spring_positions(charge):
    system = crowd([SOFT, HARD, SOFT, SOFT, HARD, SOFT])
    soft = np.array([body is SOFT for body in (SOFT, HARD, SOFT, SOFT, HARD, SOFT)])
    induced = np.random.default_rng(1).normal(size=(6, 3)) * 0.2 * soft[:, None]
    system = replace(system, induced_dipoles=induced)
    lammps, hoomd = (on_springs(name, system, charge) for name in ("lammps", "hoomd"))
    assert worst(lammps.forces, hoomd.forces) < 1e-6
    assert worst(lammps.torques, hoomd.torques) < 1e-6
    assert lammps.energies["total"] == pytest.approx(hoomd.energies["total"], rel=1e-6, abs=1e-4)
    direct = dm.evaluate(system, TERMS, engine="direct")
    assert worst(hoomd.forces, direct.forces) < (2e-3 if charge == 2.0 else 1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_mesh_is_chosen_and_a_medium_screens(engine):
    system = crowd([SOFT] * 6)
    terms = replace(TERMS, relative_permittivity=2.0)
    found = dm.evaluate(system, terms, engine=engine)
    exact = dm.evaluate(system, terms, engine="direct")
    largest = terms.contact_scales(system.bodies)
    assert np.abs(found.forces - exact.forces).max() < 5e-3 * largest[0]
    assert np.abs(found.torques - exact.torques).max() < 5e-3 * largest[1]
    assert found.energies["induction"] == pytest.approx(exact.energies["induction"], rel=0.02)


def test_springs_follow_from_the_time_step():
    here = dm.Environment(T, 1.0, 10.0)
    stage = dm.Stage("dry", 10, 0.2, here, here)
    springs = make_springs((SOFT, HARD), stage)
    assert springs.charges_e[1] == springs.stiffness[1] == 0.0
    rate = np.sqrt(3 * springs.stiffness[0] / springs.masses_Da[0])
    assert rate * stage.time_step_ps == pytest.approx(0.2)
    alpha = 2 * KE * springs.charges_e[0] ** 2 / springs.stiffness[0]
    assert alpha == pytest.approx(SOFT.polarisability_nm3)
    half = make_springs((SOFT,), replace(stage, time_step_ps=0.1))
    assert half.charges_e[0] == pytest.approx(2 * springs.charges_e[0])
    assert make_springs((HARD,), stage) is None
    system = crowd([SOFT, HARD, SOFT])
    system = replace(system, induced_dipoles=np.array([[0.1, 0, 0.2], [0, 0, 0], [0, 0.3, 0]]))
    positions = system.positions[[0, 0, 2, 2]] + springs.arms(system)
    assert springs.induced(system, positions) == pytest.approx(system.induced_dipoles)
    velocities = springs.thermal_velocities(system, stage, 0)
    assert velocities.shape == (4, 3)


# --- Motion ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_energy_is_conserved(engine):
    """Drift at most 1e-4 kT per cluster per ps, as for bodies without springs."""
    system = dm.chain({SOFT: 4}, 1.95, box_nm=10.0).thermalized(100.0, seed=1)
    system = replace(system, induced_dipoles=induced_dipoles(system, TERMS))
    here = dm.Environment(100.0, 1.0, system.concentration_mM)
    stage = dm.Stage("free", 375, 0.2, here, here, integrator="nve", chunk_steps=15, skin_nm=0.5)
    totals = []

    def observe(report):
        state = report.read()
        kinetic = 1.5 * len(state) * thermal_energy(sum(state.kinetic_temperatures_K()))
        totals.append(report.energies["total"] + kinetic + report.spring_energy)
        return False

    chosen = choose_engine(engine, "cpu")[0]
    terms = replace(TERMS, ewald_accuracy=1e-4, temperature_K=100.0)
    last = chosen.run(system, terms, stage, observe)
    times = 3.0 * np.arange(len(totals))  # ps
    slope = np.polyfit(times, totals, 1)[0] / len(system) / KT
    print(f"\n{engine}: drift {slope:.1e} kT per cluster per ps")
    assert abs(slope) < 1e-4
    assert np.ptp(totals) < 0.05 * KT * len(system)
    assert np.abs(last.induced_dipoles - system.induced_dipoles).max() > 0.01
    noted = chosen.settings.springs["free"]
    assert noted["phase_per_step"] == pytest.approx([0.2])
    assert noted["samples"] == len(totals)


@pytest.mark.parametrize("engine", ENGINES)
def test_ramps_carry_the_induced_dipoles_along(engine):
    """A chunk is a new model: springs start where they were, at the ramp's temperature."""
    system = dm.random_gas({SOFT: 12, HARD: 8}, 8.0, seed=7)
    wet, dry = dm.Environment(260.0, 4.0, 8.0), dm.Environment(340.0, 1.0, 12.0)
    stage = dm.Stage("ramp", 200, 0.2, wet, dry, 0.413, 0.02, chunk_steps=50, skin_nm=0.8)
    seen = []

    def observe(report):
        seen.append((report.energies, report.read()))
        return False

    chosen = choose_engine(engine, "cpu")[0]
    wetted = replace(TERMS, temperature_K=260.0, relative_permittivity=4.0)
    last = chosen.run(system, wetted, stage, observe)
    assert last.concentration_mM == pytest.approx(12.0)
    energies, state = seen[-1]
    assert np.array_equal(state.induced_dipoles, last.induced_dipoles)
    assert not state.induced_dipoles[last.types == last.bodies.index(HARD)].any()
    direct = dm.evaluate(state, replace(TERMS, temperature_K=340.0), engine="direct").energies
    assert energies["electrostatic"] == pytest.approx(direct["electrostatic"], rel=0.02, abs=0.5)
    assert energies["induction"] == pytest.approx(direct["induction"], rel=0.05, abs=1.0)


@pytest.mark.parametrize("engine", ENGINES)
def test_springs_that_run_over_to_a_neighbour_end_a_run_with_advice(engine):
    """At twice the time step that the preflight allows, in a chain pressed together."""
    system = dm.chain({SOFT: 6}, 1.55, box_nm=12.0)
    here = dm.Environment(T, 1.0, system.concentration_mM)
    stage = dm.Stage("tight", 400, 0.25, here, here, 0.413, 0.02, chunk_steps=20, skin_nm=0.5)
    with pytest.raises(BlowUpError, match=r"'tight' blew up.*lower time_step_ps"):
        choose_engine(engine, "cpu")[0].run(
            system, replace(TERMS, ewald_accuracy=1e-2), stage, lambda report: False
        )


@pytest.mark.validate
@pytest.mark.parametrize("engine", ENGINES)
def test_all_three_motions_have_the_temperature(engine):
    system = dm.random_gas({SOFT: 100}, 20.0, seed=2)
    here = dm.Environment(T, 4.0, 20.0)
    stage = dm.Stage("hot", 20_000, 0.2, here, here, 0.413, 0.5, chunk_steps=25, skin_nm=0.8)
    seen = []

    def observe(report):
        seen.append(report.read().kinetic_temperatures_K())
        return False

    chosen = choose_engine(engine, "cpu")[0]
    terms = replace(TERMS, ewald_accuracy=1e-2, relative_permittivity=4.0)
    chosen.run(system, terms, stage, observe)
    translation, rotation = np.mean(seen[20:], axis=0)
    springs = chosen.settings.springs["hot"]["mean_temperature_K"]
    print(f"\n{engine}: {translation:.2f}, {rotation:.2f}, {springs:.2f} K")
    for found in (translation, rotation, springs):
        assert found == pytest.approx(T, rel=0.01)


PAIR_EDGES_NM = np.array([1.6, 1.85, 1.95, 2.05, 2.2, 2.5, 3.0, 3.6, 4.2, 4.7])
NEAR = slice(0, 4)
"""Bins in which orders and induced dipoles are compared."""


@pytest.mark.validate
@pytest.mark.parametrize("engine", ENGINES)
def test_two_clusters_follow_the_gaussian_integral(engine):
    """One pair at T: distances, directions and induced dipoles against quadrature.

    28 D and α = 0.6 nm³ in a box of 9.6 nm: a pair that meets and parts every nanosecond, and that
    without induced dipoles would be together two thirds as often. Images act by Lorentz's field;
    what that leaves out of them is 0.02 kT of either sign.
    """
    alpha, box_nm = 0.6, 9.6
    options = {"dipole": "charges", "dipole_D": 28.0}
    body = dm.coarse_grain(CLUSTER, **options, polarisation="centre", polarisability_nm3=alpha)
    system = dm.pair({body: 2}, 2.5, box_nm=box_nm).thermalized(T, seed=4)
    here = dm.Environment(T, 1.0, system.concentration_mM)
    stage = dm.Stage(
        "pair", 1_000_000, 0.2, here, here, 0.413, 0.05, chunk_steps=100, skin_nm=0.5, seed=3
    )
    seen = []

    def observe(report):
        state = report.read()
        step = wrap(state.positions[1] - state.positions[0], state.box)
        u = state.dipoles / body.dipole_magnitude_e_nm
        c = u @ step / np.linalg.norm(step)
        along = (u * state.induced_dipoles).sum(axis=1).mean()
        seen.append((np.linalg.norm(step), 3 * c[0] * c[1] - u[0] @ u[1], along))
        return False

    choose_engine(engine, "cpu")[0].run(system, replace(TERMS, ewald_accuracy=1e-2), stage, observe)
    law = pair_law_in_bins(body, alpha, box_nm)
    parts = np.array_split(np.array(seen[100:]), 20)

    def found(kept):
        """Part of the distances in each bin; mean order and induced dipole of the near ones."""
        r, order, along = np.concatenate(kept).T
        counts, _ = np.histogram(r, PAIR_EDGES_NM)
        near = (r >= PAIR_EDGES_NM[0]) & (r < PAIR_EDGES_NM[NEAR.stop])
        return np.array([*(counts / counts.sum()), order[near].mean(), along[near].mean()])

    mean = found(parts)
    without = np.array([found(parts[:k] + parts[k + 1 :]) for k in range(20)])
    error = np.sqrt(19 * without.var(axis=0))  # jackknife
    deviations = (mean - law) / error
    for name, values in (("found", mean), ("error", error), ("law", law), ("off", deviations)):
        print(f"\n{engine} {name}: {np.round(values, 4)}", end="")
    assert np.abs(deviations).max() < 3.5
    assert np.sqrt((deviations**2).mean()) < 1.8
    hard = pair_law_in_bins(dm.coarse_grain(CLUSTER, **options), 1e-9, box_nm)
    assert np.abs((mean - hard) / error).max() > 6


def pair_law_in_bins(body, alpha, box_nm):
    """What the integral says of each bin's part, and of the order and induced dipole when near."""
    charged = [site.position_nm[2] for site in body.sites if site.charge_e]
    sigma, epsilon = body.sites[0].sigma_nm, body.sites[0].epsilon_kJ_mol
    nodes, weights = np.polynomial.legendre.leggauss(10)
    dipole, bins = body.dipole_magnitude_e_nm, []
    for low, high in pairwise(PAIR_EDGES_NM):
        r = low + (nodes + 1) / 2 * (high - low)
        rows = np.array([pair_law(x, alpha, dipole, KT, np.ptp(charged), box_nm) for x in r])
        mass = weights * np.exp(-theory.wca_energy(r, sigma, epsilon) / KT) * rows[:, 0] * r**2
        bins.append((high - low) * np.array([mass.sum(), mass @ rows[:, 1], mass @ rows[:, 2]]))
    mass, order, along = np.array(bins).T
    near = mass[NEAR].sum()
    return np.array([*mass / mass.sum(), order[NEAR].sum() / near, along[NEAR].sum() / near])


# --- What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_what_springs_cannot_do_is_refused(engine):
    chosen = choose_engine(engine, "cpu")[0]
    point = dm.coarse_grain(CLUSTER, polarisation="centre")
    shared = dm.coarse_grain(CLUSTER, dipole="charges", polarisation="sites")
    words = "polarisability .*; engine 'direct' evaluates it.*molecular dynamics needs .*'centre'"
    for body, terms in (
        (point, dm.Interactions(T, 1.0, cutoff_nm=5.0)),
        (point, TERMS),
        (shared, TERMS),
    ):
        with pytest.raises(UnsupportedError, match=words):
            chosen.evaluate(dm.chain({body: 3}, 2.0, box_nm=14.0), terms)
    field = replace(TERMS, field_V_nm=(0.0, 0.0, 0.01))
    system = dm.chain({SOFT: 3}, 2.0, box_nm=14.0)
    if engine == "hoomd":
        with pytest.raises(UnsupportedError, match="field on induced dipoles; engine 'lammps'"):
            chosen.evaluate(system, field)
    else:
        found = on_springs(engine, system, 4.0, field)
        exact = dm.evaluate(system, field, engine="direct")
        assert found.energies["total"] == pytest.approx(exact.energies["total"], rel=1e-4)
        assert worst(found.forces, exact.forces) < 1e-4
        assert worst(found.torques + 1e-3, exact.torques + 1e-3) < 1e-2
    assert capability(Feature.POLARISED_SITES, engine).support is Support.NO


def test_theory_is_what_the_pair_law_says():
    """The closed quadrature of `theory.polarised_second_virial` and the one here are one."""
    r = np.array([1.9, 2.5])
    law = np.log([pair_law(x, 0.3, 0.3, KT)[0] for x in r])
    scale = theory.dipole_energy_scale(0.3) / KT
    assert law == pytest.approx(theory._log_polarised_average(r, scale, 0.3), rel=1e-9)
