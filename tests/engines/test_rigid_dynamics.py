"""Bodies in motion: conserved energy, Stokes' friction, ramps, and moves between engines."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rowan
from oracles.direct_sums import random_quaternions

import dipolar_md as dm
from dipolar_md.units import thermal_energy

ENGINES = ["lammps", pytest.param("hoomd", marks=pytest.mark.hoomd)]
KT = thermal_energy(298.15)
R = dm.coarse_grain(dm.load_cluster("r-au-cu"), shape="janus")
CD_S = dm.coarse_grain(dm.load_cluster("au3cd"), shape="janus", handedness="S")
CHARGED = dm.coarse_grain(dm.load_cluster("r-au-cu"), shape="janus", dipole="charges")
CHARGED_CD = dm.coarse_grain(
    dm.load_cluster("au3cd"), shape="janus", dipole="charges", handedness="R"
)


def small_gas(counts, concentration_mM=8.0, seed=7, **options):
    return dm.random_gas(counts, concentration_mM, seed, **options)


def nothing(report):
    return False


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("electrostatics", ["cutoff", "ewald"])
def test_bodies_conserve_energy_without_a_thermostat(engine, electrostatics):
    """Drift at most 1e-4 kT per cluster per ps: cutoff beyond all pairs, and charges + Ewald."""
    body = R if electrostatics == "cutoff" else CHARGED
    box = 60.0 if electrostatics == "cutoff" else 14.0
    system = dm.chain({body: 6}, spacing_nm=1.95, box_nm=box).thermalized(100.0, seed=1)
    terms = dm.Interactions(298.15, 1.0, electrostatics, cutoff_nm=29.0, ewald_accuracy=1e-4)
    here = dm.Environment(298.15, 1.0, system.concentration_mM)
    steps = 3000 if electrostatics == "cutoff" else 800
    stage = dm.Stage("free", steps, 0.1, here, here, integrator="nve", chunk_steps=50, skin_nm=0.5)
    totals = []

    def observe(report):
        state = report.read()
        kinetic = 1.5 * len(state) * thermal_energy(sum(state.kinetic_temperatures_K()))
        totals.append(report.energies["total"] + kinetic)
        return False

    chosen, _ = dm.choose_engine(engine, "cpu")
    last = chosen.run(system, terms, stage, observe)
    times = 5.0 * np.arange(len(totals))
    slope = np.polyfit(times, totals, 1)[0] / len(system) / KT
    print(f"\n{engine} {electrostatics}: drift {slope:.1e} kT per cluster per ps")
    assert abs(slope) < 1e-4
    assert np.ptp(totals) < 0.02 * KT * len(system)
    assert np.abs(last.positions - system.positions).max() > 0.05  # it moved


@pytest.mark.parametrize("engine", ENGINES)
def test_friction_of_bodies_is_stokes_friction(engine):
    """Without noise, momenta decay by exp(-γt/m) and, about each principal axis, exp(-γ_r t/I)."""
    bodies = (R, CD_S)
    spins = [[1e-3, 0.0, 0.0], [0.0, 1e-3, 0.0], [0.0, 0.0, 1e-3]]
    system = dm.System.from_arrays(
        (120.0,) * 3,
        [[-45.0 + 18.0 * k, 20.0 * (k % 2), 0.0] for k in range(6)],
        [[1.0, 0.0, 0.0, 0.0]] * 6,
        bodies,
        [0, 0, 0, 1, 1, 1],
        velocities=np.random.default_rng(1).uniform(1e-3, 2e-3, (6, 3)),
        angular_velocities=spins * 2,
    )
    cold = dm.Environment(1e-15, 1.0, system.concentration_mM)
    stage = dm.Stage(
        "cold", 1000, 0.02, cold, cold, viscosity_mPa_s=0.413, friction_scale=0.02, skin_nm=2.0
    )
    chosen, _ = dm.choose_engine(engine, "cpu")
    terms = dm.Interactions(1e-15, 1.0, cutoff_nm=10.0)
    after = chosen.run(system, terms, stage, nothing)
    for i in range(6):
        body = bodies[system.types[i]]
        gamma, gamma_r = stage.frictions_of(body)
        slowed = np.exp(-gamma * 20.0 / body.mass_Da)
        calmed = np.exp(-gamma_r * 20.0 / np.array(body.inertia_Da_nm2))
        close = {"rtol": 5e-3, "atol": 2e-8}  # the integrators' own error at this step
        np.testing.assert_allclose(after.velocities[i], slowed * system.velocities[i], **close)
        np.testing.assert_allclose(
            after.angular_velocities[i], calmed * system.angular_velocities[i], **close
        )
        assert 0.05 < calmed.min() < slowed < 0.9


def as_driven(case, engine):
    """A system with its interactions and two ends of a ramp."""
    wet = dm.Environment(260.0, 4.0, 8.0)
    dry = dm.Environment(340.0, 2.0, 12.0)
    if case == "bulk":
        return small_gas({R: 14, CD_S: 8}), {"cutoff_nm": 6.0}, wet, dry
    if case == "mesh":
        return small_gas({CHARGED: 12, CHARGED_CD: 8}), {"electrostatics": "ewald"}, wet, dry
    if case == "field":
        ends = wet, dry._replace(field_V_nm=(0.0, 0.01, 0.02))
        return small_gas({R: 20}), {"cutoff_nm": 6.0}, *ends
    film = dm.random_gas({R: 12, CD_S: 8}, 8.0, seed=7, thickness_nm=5.0, gap_nm=10.0)
    ends = wet._replace(thickness_nm=5.0), dry._replace(thickness_nm=4.0)
    if case == "film":
        return film, {"cutoff_nm": 6.0}, *ends
    charged = dm.random_gas({CHARGED: 20}, 8.0, seed=7, thickness_nm=5.0, gap_nm=10.0)
    return charged, {"electrostatics": "ewald"}, *ends


CASES = [
    *(pytest.param(case, engine, id=f"{case}-{engine}", marks=marks)
      for case in ("bulk", "mesh", "field", "film")
      for engine, marks in (("lammps", ()), ("hoomd", pytest.mark.hoomd))),
    pytest.param("mesh film", "lammps", id="mesh film-lammps"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "engine"), CASES)
def test_ramps_of_bodies_end_where_they_should(case, engine):
    """Box, permittivity, temperature, thickness, field; energies are those of the state told."""
    system, options, start, end = as_driven(case, engine)
    stage = dm.Stage("ramp", 200, 0.5, start, end, 0.413, 0.02, chunk_steps=50, skin_nm=0.8)
    terms = dm.Interactions(260.0, 4.0, **options)
    seen = []

    def observe(report):
        seen.append((report.environment, report.energies, report.read()))
        return False

    chosen, _ = dm.choose_engine(engine, "cpu")
    last = chosen.run(system, terms, stage, observe)
    assert [e.temperature_K for e, *_ in seen] == pytest.approx([280, 300, 320, 340])
    ratio = [e.relative_permittivity for e, *_ in seen]
    assert ratio == pytest.approx([4 / 2**0.25, 4 / 2**0.5, 4 / 2**0.75, 2])
    for environment, _, state in seen:
        assert state.concentration_mM == pytest.approx(environment.concentration_mM)
        assert state.thickness_nm == pytest.approx(environment.thickness_nm)
    assert last.concentration_mM == pytest.approx(12.0)
    if end.thickness_nm:
        assert last.thickness_nm == pytest.approx(4.0)
        assert last.box[2] == pytest.approx(system.box[2] - 1.0)
        assert np.abs(last.positions[:, 2]).max() < 2.0
    assert np.array_equal(last.positions, seen[-1][2].positions)
    for environment, energies, state in seen:
        there = environment.applied_to(terms)
        again = dm.evaluate(state, there, engine=engine).energies
        if there.electrostatics == "cutoff":
            assert energies == pytest.approx(again, rel=1e-7, abs=1e-6)
        else:  # another mesh: both are within the accuracy, of the contact energy per cluster
            scale = 2e-3 * there.contact_scales(system.bodies)[1] * len(system)
            for name in energies:
                loose = name in ("electrostatic", "total")
                expected = pytest.approx(again[name], rel=1e-7, abs=scale if loose else 1e-6)
                assert energies[name] == expected
    if case == "field":
        direct = -(seen[-1][2].dipoles @ (96.48533212331 * np.array(end.field_V_nm))).sum()
        assert seen[-1][1]["field"] == pytest.approx(direct, rel=1e-9)
        assert seen[0][1]["field"] != 0
    if case.startswith("mesh"):
        assert chosen.settings.ewald["ramp"]["relative_force_error"] <= 1e-3


@pytest.mark.hoomd
@pytest.mark.parametrize(
    "bodies",
    [
        pytest.param((R, CD_S), id="point"),
        pytest.param((CHARGED,), id="charges", marks=pytest.mark.validate),
    ],
)
def test_a_state_moves_between_engines(bodies):
    """LAMMPS, then HOOMD, then LAMMPS: both evaluate each other's state to the same energies."""
    mesh = bodies == (CHARGED,)
    state = small_gas({body: 20 // len(bodies) for body in bodies})
    terms = dm.Interactions(298.15, 1.0, "ewald" if mesh else "cutoff", 6.0, ewald_accuracy=1e-4)
    here = dm.Environment(298.15, 1.0, state.concentration_mM)
    stage = dm.Stage("s", 200, 0.5, here, here, 0.413, 0.02, chunk_steps=200, skin_nm=0.8)
    for engine in ("lammps", "hoomd", "lammps"):
        chosen, _ = dm.choose_engine(engine, "cpu")
        told = []
        state = chosen.run(state, terms, stage, lambda r, told=told: told.append(r.energies))
        close = {"rel": 1e-8, "abs": 1e-7}
        if mesh:
            close = {"abs": 2e-4 * terms.contact_scales(bodies)[1] * len(state)}
        for other in ("lammps", "hoomd"):
            again = dm.evaluate(state, terms, engine=other).energies
            assert told[-1] == pytest.approx(again, **close)


HERE = Path(__file__).parent
SCRIPT = """
import sys
sys.path[:0] = {folders!r}
from test_rigid_dynamics import fingerprint
print(fingerprint({case!r}))
"""


def fingerprint(case):
    """What a short LAMMPS run with a ramp leaves, to the last bit."""
    system, options, start, end = as_driven(case, "lammps")
    stage = dm.Stage("s", 150, 0.5, start, end, 0.413, 0.02, chunk_steps=50, skin_nm=0.8, seed=3)
    chosen, _ = dm.choose_engine("lammps")
    last = chosen.run(system, dm.Interactions(260.0, 4.0, **options), stage, nothing)
    arrays = (last.box, last.positions, last.orientations, last.velocities, last.angular_velocities)
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


@pytest.mark.parametrize("case", ["bulk", pytest.param("film", marks=pytest.mark.validate)])
def test_the_same_seed_gives_the_same_trajectory_to_the_last_bit(case):
    """In a process that has run other systems before, twice, and in a fresh one."""
    used = [fingerprint(case) for _ in range(2)]
    script = SCRIPT.format(folders=[str(HERE), str(HERE.parent)], case=case)
    fresh = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert {*used, fresh.stdout.strip()} == {used[0]}


def test_another_seed_gives_another_trajectory():
    system = replace(small_gas({R: 10}), orientations=random_quaternions(10, 3))
    here = dm.Environment(298.15, 4.0, system.concentration_mM)
    stage = dm.Stage("s", 100, 0.5, here, here, 0.413, 0.02, chunk_steps=100, skin_nm=0.8)
    chosen, _ = dm.choose_engine("lammps")
    terms = dm.Interactions(298.15, 4.0, cutoff_nm=6.0)
    one, other = (chosen.run(system, terms, replace(stage, seed=k), nothing) for k in (1, 2))
    assert np.abs(one.positions - other.positions).max() > 1e-3


@pytest.mark.hoomd
def test_a_brownian_step_is_force_and_torque_over_friction():
    """Beside the noise, which is that of lone bodies: Δx = F Δt/γ and Δθ = τ Δt/γ_r."""
    near = np.array([[0, 0, 0], [1.9, 0.2, 0.3], [-0.4, 2.0, 0.5]])
    q, dt = random_quaternions(3, 8), 0.01
    terms, steps, turns = dm.Interactions(298.15, 1.0, cutoff_nm=8.0), [], []
    for places in (near, near * 10):
        system = dm.System.from_arrays((60.0,) * 3, places, q, (R, CD_S), [0, 1, 0])
        here = dm.Environment(298.15, 1.0, system.concentration_mM)
        stage = dm.Stage("one", 1, dt, here, here, 0.413, 0.1, "brownian", 1, skin_nm=1.0)
        after = dm.choose_engine("hoomd", "cpu")[0].run(system, terms, stage, nothing)
        steps.append(after.positions - system.positions)
        turned = rowan.multiply(after.orientations, rowan.conjugate(system.orientations))
        turns.append(2 * turned[:, 1:] * np.sign(turned[:, :1]))
    found = dm.evaluate(replace(system, positions=near), terms, engine="hoomd")
    frictions = [stage.frictions_of(body) for body in (R, CD_S, R)]
    gamma, gamma_r = np.array(frictions).T[:, :, None]
    drift, turn = found.forces * dt / gamma, found.torques * dt / gamma_r
    np.testing.assert_allclose(steps[0] - steps[1], drift, atol=1e-9)
    np.testing.assert_allclose(turns[0] - turns[1], turn, atol=0.03 * np.abs(turn).max())
    assert np.abs(drift).max() > 1e-4
    assert np.abs(steps[1]).min(axis=0).max() > 0  # there was noise
