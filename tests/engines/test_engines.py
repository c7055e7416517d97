"""Both engines against closed forms, finite differences and each other."""

from dataclasses import replace

import numpy as np
import pytest
import rowan

import dipolar_md as dm
from dipolar_md import theory
from dipolar_md.engines.stage import scaled_box
from dipolar_md.engines.versions import hoomd_refusal, known_bad
from dipolar_md.units import thermal_energy

ENGINES = ["lammps", pytest.param("hoomd", marks=pytest.mark.hoomd)]
R_AU_CU = dm.coarse_grain(dm.load_cluster("r-au-cu"))
AU3CD = dm.coarse_grain(dm.load_cluster("au3cd"))
VACUUM = dm.Interactions(298.15, 1.0, cutoff_nm=10.0)


def random_orientations(n, seed):
    return rowan.normalize(np.random.default_rng(seed).normal(size=(n, 4)))


def small_gas(seed=2):
    """Ten clusters of two kinds, close enough to overlap, attract and turn each other."""
    gas = dm.random_gas({R_AU_CU: 6, AU3CD: 4}, concentration_mM=120.0, seed=seed)
    box = np.array([60.0, 60.0, 60.0, 0.0, 0.0, 0.0])
    return replace(gas, box=box, positions=gas.positions * 0.93)


@pytest.mark.parametrize("engine", ENGINES)
def test_pairs_equal_the_closed_form(engine):
    """Isolated pairs of equal and unequal bodies: energy, forces and torques to 1e-9."""
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(*[np.arange(4.0)] * 3), axis=-1).reshape(-1, 3) * 12 - 18
    kinds = rng.integers(0, 2, size=(64, 2))
    steps = rng.normal(size=(64, 3))
    steps *= (rng.uniform(1.45, 3.9, 64) / np.linalg.norm(steps, axis=1))[:, None]
    positions = np.stack([grid - steps / 2, grid + steps / 2], axis=1).reshape(-1, 3)
    system = dm.System.from_arrays(
        (48.0,) * 3, positions, random_orientations(128, 4), (R_AU_CU, AU3CD), kinds.ravel()
    )
    terms = dm.Interactions(298.15, 2.5, cutoff_nm=4.0)
    found = dm.evaluate(system, terms, engine=engine)

    mu = system.dipoles.reshape(64, 2, 3)
    dipole = theory.dipole_pair(steps, mu[:, 0], mu[:, 1], 2.5)
    steric = terms.steric_table(system.bodies)
    sigma = steric.sigma_nm[kinds[:, 0], kinds[:, 1]]
    epsilon = steric.epsilon_kJ_mol[0, 0]
    distance = np.linalg.norm(steps, axis=1)
    wca = theory.wca_energy(distance, sigma, epsilon)
    push = (theory.wca_force(distance, sigma, epsilon) / distance)[:, None] * steps
    assert (wca > 0).any()
    assert (wca == 0).any()

    close = {"rtol": 1e-9, "atol": 1e-9}
    np.testing.assert_allclose(found.energies["steric"], wca.sum(), **close)
    np.testing.assert_allclose(found.energies["electrostatic"], dipole.energy.sum(), **close)
    np.testing.assert_allclose(
        found.energies["total"], found.energies["steric"] + found.energies["electrostatic"], **close
    )
    pair_energies = found.cluster_energies.reshape(64, 2)
    np.testing.assert_allclose(pair_energies.sum(axis=1), wca + dipole.energy, **close)
    forces = found.forces.reshape(64, 2, 3)
    np.testing.assert_allclose(forces[:, 1], dipole.force_on_b + push, **close)
    np.testing.assert_allclose(forces[:, 0], -forces[:, 1], **close)
    torques = found.torques.reshape(64, 2, 3)
    np.testing.assert_allclose(torques[:, 0], dipole.torque_on_a, **close)
    np.testing.assert_allclose(torques[:, 1], dipole.torque_on_b, **close)


@pytest.mark.parametrize("engine", ENGINES)
def test_forces_and_torques_are_derivatives_of_the_energy(engine):
    system, h = small_gas(), 1e-5
    terms = dm.Interactions(298.15, 1.0, cutoff_nm=25.0)
    found = dm.evaluate(system, terms, engine=engine)

    def energy(changed):
        return dm.evaluate(changed, terms, engine=engine).energies["total"]

    for cluster, axis in [(0, 0), (3, 1), (7, 2), (9, 0)]:
        unit = np.eye(3)[axis]
        ends = []
        for sign in (1, -1):
            moved = system.positions.copy()
            moved[cluster] += sign * h * unit
            turned = system.orientations.copy()
            turned[cluster] = rowan.multiply(rowan.from_axis_angle(unit, sign * h), turned[cluster])
            ends.append(
                (
                    energy(replace(system, positions=moved)),
                    energy(replace(system, orientations=turned)),
                )
            )
        slope = (np.array(ends[0]) - np.array(ends[1])) / (2 * h)
        expected = [-found.forces[cluster, axis], -found.torques[cluster, axis]]
        np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("build", "n", "sum_"),
    [
        (dm.chain, 2, -2.0),
        (dm.chain, 3, -4.25),
        (dm.chain, 4, -6.574074),
        (dm.chain, 5, -8.929398),
        (dm.chain, 10, -20.851104),
        (dm.chain, 20, -44.842387),
        (dm.ring, 3, -3.75),
        (dm.ring, 4, -6.707107),
        (dm.ring, 5, -9.565595),
        (dm.ring, 10, -22.722369),
        (dm.ring, 20, -47.410892),
    ],
)
def test_chain_and_ring_sums(engine, build, n, sum_):
    spacing = 2.2
    system = build({R_AU_CU: n}, spacing_nm=spacing, box_nm=200.0)
    terms = dm.Interactions(298.15, 1.0, cutoff_nm=60.0)
    found = dm.evaluate(system, terms, engine=engine).energies
    unit = theory.dipole_energy_scale(R_AU_CU.dipole_magnitude_e_nm) / spacing**3
    assert found["electrostatic"] / unit == pytest.approx(sum_, abs=1e-6)
    assert found["steric"] == 0


@pytest.mark.hoomd
def test_engines_agree_on_a_dense_mixture():
    gas = dm.random_gas({R_AU_CU: 300, AU3CD: 200}, concentration_mM=40.0, seed=5)
    terms = dm.Interactions(298.15, 2.0, cutoff_nm=10.0)
    one, other = (dm.evaluate(gas, terms, engine=name) for name in ("lammps", "hoomd"))
    assert one.energies == pytest.approx(other.energies, rel=1e-12)
    for name in ("forces", "torques", "cluster_energies"):
        a, b = getattr(one, name), getattr(other, name)
        assert np.abs(a - b).max() < 1e-12 * np.abs(a).max()


@pytest.mark.parametrize("engine", ENGINES)
def test_the_dipole_sum_is_truncated_and_not_shifted(engine):
    def energy(separation):
        pair = dm.pair({R_AU_CU: 2}, separation, box_nm=40.0)
        return dm.evaluate(pair, VACUUM, engine=engine).energies["electrostatic"]

    inside = theory.head_to_tail_energy(R_AU_CU.dipole_magnitude_e_nm, 9.999)
    assert energy(9.999) == pytest.approx(inside, rel=1e-9)
    assert energy(10.001) == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_energy_is_conserved_without_a_thermostat(engine):
    """Cutoff beyond all pairs: drift at most 1e-4 kT per cluster per ps."""
    system = dm.chain({R_AU_CU: 8}, spacing_nm=1.9, box_nm=120.0).thermalized(100.0, seed=1)
    terms = dm.Interactions(298.15, 1.0, cutoff_nm=50.0)
    here = dm.Environment(298.15, 1.0, system.concentration_mM)
    stage = dm.Stage("free", 8000, 0.1, here, here, integrator="nve", chunk_steps=1000, skin_nm=5.0)
    totals = []

    def observe(report):
        state = report.read()
        kinetic = 1.5 * len(state) * thermal_energy(sum(state.kinetic_temperatures_K()))
        totals.append(report.energies["total"] + kinetic)
        return False

    chosen, _ = dm.choose_engine(engine)
    chosen.run(system, terms, stage, observe)
    slope = np.polyfit(100.0 * np.arange(len(totals)), totals, 1)[0]
    assert abs(slope) / len(system) / thermal_energy(298.15) < 1e-4
    assert np.ptp(totals) < 0.02 * thermal_energy(298.15) * len(system)


@pytest.mark.parametrize("engine", ENGINES)
def test_friction_is_stokes_friction(engine):
    """Without noise, momenta decay by exp(-γt/m) and exp(-γ_r t/I), per kind of body."""
    bodies = (R_AU_CU, AU3CD)
    system = dm.System.from_arrays(
        (80.0,) * 3,
        [[-20.0, 0.0, 0.0], [20.0, 0.0, 0.0]],
        random_orientations(2, 6),
        bodies,
        [0, 1],
        velocities=[[1e-3, 0.0, 2e-3], [0.0, 1e-3, 0.0]],
        angular_velocities=[[1e-3, 2e-3, 0.0], [0.0, 1e-3, 3e-3]],
    )
    cold = dm.Environment(1e-15, 1.0, system.concentration_mM)
    stage = dm.Stage(
        "cold", 1000, 0.02, cold, cold, viscosity_mPa_s=0.413, friction_scale=0.02, skin_nm=2.0
    )
    chosen, _ = dm.choose_engine(engine)
    terms = dm.Interactions(1e-15, 1.0, cutoff_nm=10.0)
    after = chosen.run(system, terms, stage, lambda report: False)
    for i, body in enumerate(bodies):
        gamma, gamma_r = stage.frictions_of(body)
        slowed = np.exp(-gamma * 20.0 / body.mass_Da)
        calmed = np.exp(-gamma_r * 20.0 / body.inertia_Da_nm2[0])
        close = {"rtol": 5e-3, "atol": 1e-8}  # the integrators' own error at this step
        np.testing.assert_allclose(after.velocities[i], slowed * system.velocities[i], **close)
        np.testing.assert_allclose(
            after.angular_velocities[i], calmed * system.angular_velocities[i], **close
        )
        assert 0.05 < calmed < slowed < 0.9


@pytest.mark.parametrize("engine", ENGINES)
def test_ramps_end_where_they_should(engine):
    gas = dm.random_gas({R_AU_CU: 100}, concentration_mM=1.0, seed=7)
    start, end = dm.Environment(250.0, 8.0, 1.0), dm.Environment(350.0, 2.0, 4.0)
    stage = dm.Stage("ramp", 400, 0.8, start, end, 0.413, 0.02, chunk_steps=100, skin_nm=2.0)
    terms = dm.Interactions(250.0, 8.0, cutoff_nm=8.0)
    seen = []

    def observe(report):
        seen.append((report.environment, report.energies, report.read()))
        return False

    chosen, _ = dm.choose_engine(engine)
    last = chosen.run(gas, terms, stage, observe)
    assert [e.concentration_mM for e, _, _ in seen] == pytest.approx([2**0.5, 2, 2**1.5, 4])
    assert [e.relative_permittivity for e, _, _ in seen] == pytest.approx([2**2.5, 4, 2**1.5, 2])
    assert [e.temperature_K for e, _, _ in seen] == pytest.approx([275, 300, 325, 350])
    assert last.concentration_mM == pytest.approx(4.0)
    np.testing.assert_allclose(last.box[:3], gas.box[:3] / 4 ** (1 / 3), rtol=1e-6)
    for environment, energies, state in seen:
        terms = dm.Interactions(*environment[:2], cutoff_nm=8.0)
        again = dm.evaluate(state, terms, engine=engine).energies
        assert energies == pytest.approx(again, rel=1e-9, abs=1e-9)
    assert chosen.settings.skins_nm == {"ramp": 2.0}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_observer_stops_a_stage_which_then_continues(engine):
    gas = dm.random_gas({R_AU_CU: 60}, concentration_mM=2.0, seed=8)
    here = dm.Environment(298.15, 4.0, 2.0)
    stage = dm.Stage("s", 1000, 0.8, here, here, 0.413, 0.02, chunk_steps=300, skin_nm=2.0)
    terms = dm.Interactions(298.15, 4.0, cutoff_nm=8.0)
    chosen, _ = dm.choose_engine(engine)
    steps = []

    def stop_at_600(report):
        steps.append(report.step)
        return report.step == 600

    halfway = chosen.run(gas, terms, stage, stop_at_600)
    assert steps == [300, 600]
    chosen.run(halfway, terms, replace(stage, first_step=600), stop_at_600)
    assert steps == [300, 600, 900, 1000]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_skin_is_tuned_and_does_not_move_the_clusters(engine):
    gas = dm.random_gas({R_AU_CU: 60}, concentration_mM=2.0, seed=9)
    here = dm.Environment(298.15, 4.0, 2.0)
    stage = dm.Stage("s", 50, 0.8, here, here, 0.413, 0.02, chunk_steps=50, seed=4)
    terms = dm.Interactions(298.15, 4.0, cutoff_nm=8.0)
    chosen, _ = dm.choose_engine(engine)
    tuned = chosen.run(gas, terms, stage, lambda report: False)
    skin = chosen.settings.skins_nm["s"]
    assert 0 < skin <= 0.5 * terms.cutoff_nm
    stated = chosen.run(gas, terms, replace(stage, skin_nm=skin), lambda report: False)
    np.testing.assert_array_equal(tuned.positions, stated.positions)
    other = chosen.run(gas, terms, replace(stage, skin_nm=skin, seed=5), lambda report: False)
    assert np.abs(other.positions - stated.positions).max() > 1e-3


@pytest.mark.parametrize("engine", ENGINES)
def test_overlap_stops_a_run_at_once(engine):
    box = (40.0,) * 3
    system = dm.System.from_arrays(
        box, [[0, 0, 0], [0, 0, 0.4], [9, 0, 0]], random_orientations(3, 1), R_AU_CU
    )
    here = dm.Environment(298.15, 1.0, system.concentration_mM)
    stage = dm.Stage("clash", 100, 5.0, here, here, 0.413, 0.02, chunk_steps=5, skin_nm=2.0)
    chosen, _ = dm.choose_engine(engine)
    with pytest.raises(dm.BlowUpError, match="time_step_ps"):
        chosen.run(system, VACUUM, stage, lambda report: False)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_an_engine_cannot_do_is_refused_before_anything_starts(engine):
    chosen, _ = dm.choose_engine(engine)
    gas = dm.random_gas({R_AU_CU: 20}, concentration_mM=5.0, seed=1)
    with pytest.raises(dm.InputError, match="box too small for the cutoff"):
        chosen.evaluate(gas, dm.Interactions(298.15, 1.0, cutoff_nm=0.6 * gas.box[0]))
    tilted = replace(gas, box=np.append(gas.box[:3] * 3, [0.1, 0, 0]))
    with pytest.raises(dm.UnsupportedError, match="tilted"):
        chosen.evaluate(tilted, dm.Interactions(298.15, 1.0, cutoff_nm=5.0))
    here = dm.Environment(298.15, 1.0, gas.concentration_mM)
    stage = dm.Stage("s", 10, 0.8, here, here, 0.413, integrator="verlet")
    with pytest.raises(dm.UnsupportedError, match="verlet"):
        chosen.run(gas, dm.Interactions(298.15, 1.0, cutoff_nm=5.0), stage, lambda report: True)
    brownian = replace(stage, integrator="brownian")
    if engine == "lammps":
        with pytest.raises(dm.UnsupportedError, match=r"Brownian dynamics; engine 'hoomd' can"):
            chosen.run(gas, dm.Interactions(298.15, 1.0, cutoff_nm=5.0), brownian, lambda r: True)
    denser = replace(stage, integrator="langevin", end=here._replace(concentration_mM=5000.0))
    with pytest.raises(dm.InputError, match="box too small"):
        chosen.run(gas, dm.Interactions(298.15, 1.0, cutoff_nm=5.0), denser, lambda report: True)
    assert scaled_box(gas, gas.concentration_mM) == pytest.approx(gas.box)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "other",
    [{"temperature_K": 310.0}, {"relative_permittivity": 2.0}, {"field_V_nm": (0.0, 0.0, 0.1)}],
    ids=lambda other: next(iter(other)),
)
def test_interactions_of_another_environment_than_the_stage_are_refused(engine, other):
    """Nothing is replaced silently: neither the stage's environment nor the interactions'."""
    chosen, _ = dm.choose_engine(engine)
    gas = dm.random_gas({R_AU_CU: 20}, concentration_mM=1.0, seed=1)
    start, end = dm.Environment(298.15, 4.0, 1.0), dm.Environment(298.15, 1.0, 2.0)
    stage = dm.Stage("dry", 40, 0.8, start, end, 0.413, 0.02, chunk_steps=20, skin_nm=1.0)
    terms = dm.Interactions(298.15, 4.0, cutoff_nm=5.0)
    (key,) = other
    with pytest.raises(dm.InputError, match=f"stage 'dry' starts at {key} = "):
        chosen.run(gas, replace(terms, **other), stage, lambda report: False)
    half = chosen.run(gas, terms, stage, lambda report: True)
    seen = []
    continued = replace(stage, first_step=20)  # the interactions of its start, wherever it goes on
    chosen.run(half, terms, continued, lambda report: bool(seen.append(report)))
    assert [report.environment for report in seen] == [end]


def test_lammps_refuses_inertia_whose_friction_it_cannot_match():
    odd = replace(R_AU_CU, inertia_Da_nm2=(1000.0, 1000.0, 1000.0))
    gas = dm.random_gas({odd: 20}, concentration_mM=5.0, seed=1)
    here = dm.Environment(298.15, 1.0, 5.0)
    stage = dm.Stage("s", 10, 0.8, here, here, 0.413, 0.02)
    chosen, _ = dm.choose_engine("lammps")
    with pytest.raises(dm.UnsupportedError, match="hoomd"):
        chosen.run(gas, dm.Interactions(298.15, 1.0, cutoff_nm=5.0), stage, lambda report: True)


def test_the_choice_of_engine_says_why(monkeypatch):
    chosen, reason = dm.choose_engine("auto", "cpu")
    assert chosen.name == "lammps"
    assert "LAMMPS" in reason
    with pytest.raises(dm.InputError, match="lamps"):
        dm.choose_engine("lamps")
    with pytest.raises(dm.EngineMissingError, match="CPU only"):
        dm.choose_engine("lammps", "gpu")
    monkeypatch.setattr("dipolar_md.engines.choice.find_spec", lambda name: None)
    with pytest.raises(dm.EngineMissingError, match="conda-forge"):
        dm.choose_engine("hoomd")
    with pytest.raises(dm.EngineMissingError, match=r"gpu.*conda-forge"):
        dm.choose_engine("auto", "gpu")
    with pytest.raises(dm.EngineMissingError, match="conda-forge"):
        dm.choose_engine("auto")
    assert any("5.3.0" in line for line in known_bad())


@pytest.mark.parametrize(
    ("version", "device", "reason"),
    [
        ("4.8.0", "cpu", None),
        ("4.8.2", "gpu", "race"),
        ("4.7.0", "cpu", "too old"),
        ("5.0.0", "gpu", None),
        ("5.3.0", "cpu", "segmentation"),
        ("7.0.1", "gpu", None),
        ("8.0.0", "cpu", "newer"),
    ],
)
def test_known_bad_hoomd_versions_are_refused(version, device, reason):
    found = hoomd_refusal(version, device)
    assert found is None if reason is None else reason in found


@pytest.mark.gpu
def test_gpu_and_cpu_agree():
    gas = dm.random_gas({R_AU_CU: 300, AU3CD: 200}, concentration_mM=40.0, seed=5)
    one, other = (dm.evaluate(gas, VACUUM, engine="hoomd", device=d) for d in ("cpu", "gpu"))
    for name in ("forces", "torques", "cluster_energies"):
        a, b = getattr(one, name), getattr(other, name)
        assert np.abs(a - b).max() < 1e-5 * np.abs(a).max()
