"""Ladders of dipoles: energies, permutations, closed forms, what survives a kill, studies."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tomli_w

import dipolar_md as dm
from dipolar_md import theory
from dipolar_md.analysis.timeseries import mean_estimate
from dipolar_md.errors import InputError, RunDirectoryError
from dipolar_md.simulation import session
from dipolar_md.study import ladder as ladders
from dipolar_md.study.ladder import (
    Tally,
    run_ladder,
)
from dipolar_md.units import KE, MILLIMOLAR, thermal_energy

DIPOLES = [33.0, 36.0, 39.0]
SETTINGS = {
    "n_clusters": 8,
    "cutoff_nm": 4.0,
    "frame_interval_ns": 0.32,
    "stages.solution.time_ns": 3.2,
    "stages.solution.concentration_mM": 20.0,
    "stages.solution.relative_permittivity": 1.0,
    "stages.solution.skin_nm": 1.0,
}
STEPS = list(range(0, 4001, 400))


@pytest.fixture(scope="session")
def ladder_study():
    """A study of one ladder of three dipoles, a few seconds long, with any changes."""

    def make(**changes):
        data = {
            "name": "ladder",
            "title": "A toy ladder",
            "recipe": "r-au-cu-dichloromethane",
            "sampling": "exchange",
            "settings": SETTINGS,
            "sources": dict.fromkeys(SETTINGS, "a toy"),
            "axes": {"dipole_D": {"values": DIPOLES, "source": "a toy"}},
            "exchange": {"sweep_ns": 0.16, "source": "a toy"},
        } | changes
        return dm.Study.model_validate(data)

    return make


@pytest.fixture(scope="module")
def ran(ladder_study, tmp_path_factory):
    """A finished study of two ladders."""
    out = tmp_path_factory.mktemp("ladders") / "study"
    return dm.run_study(ladder_study(replicas=2), out, workers=2)


def recipes(dipoles, seed=1, **settings):
    base = dm.load_recipe("r-au-cu-dichloromethane", SETTINGS | settings)
    return [
        dm.load_recipe(base, {"dipole_D": dipole, "seed": seed + k})
        for k, dipole in enumerate(dipoles)
    ]


def run(folder, rungs, sweep_steps=200, **rest):
    paths = [folder / str(k) for k in range(len(rungs))]
    return paths, run_ladder(rungs, paths, folder / "ladder.npz", 1, sweep_steps, **rest)


def arrays(path):
    """Step, positions, orientations, momenta and energies of all frames."""
    return [
        (
            frame.step,
            frame.system.positions.tolist(),
            frame.system.orientations.tolist(),
            frame.system.velocities.tolist(),
            frame.system.angular_velocities.tolist(),
            frame.energies,
        )
        for frame in dm.Trajectory(path / "trajectory.gsd")
    ]


def jobs_of(out):
    """Frames of every job, by dipole and replica."""
    found = {}
    for path in Path(out).glob("workspace/*"):
        point = json.loads((path / "signac_statepoint.json").read_text(encoding="utf-8"))
        found[point["dipole_D"], point["replica"]] = arrays(path / "run")
    return found


# --- Energies and configurations ------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["sphere", "janus"])
def test_energy_at_another_dipole_is_what_the_engine_evaluates(shape):
    cluster = dm.load_cluster("r-au-cu")
    bodies = [dm.coarse_grain(cluster, shape, dipole_D=d) for d in (20.0, 43.42)]
    terms = dm.Interactions(298.15, 1.0, cutoff_nm=4.0, field_V_nm=(0.01, 0.02, -0.03))
    low, high = (dm.random_gas({body: 40}, 100.0, seed=3, gap_nm=0.1) for body in bodies)
    np.testing.assert_array_equal(low.positions, high.positions)
    one, other = (dm.evaluate(system, terms, engine="lammps").energies for system in (low, high))
    ratio = 43.42 / 20.0
    assert other["electrostatic"] == pytest.approx(one["electrostatic"] * ratio**2, rel=1e-12)
    assert other["field"] == pytest.approx(one["field"] * ratio, rel=1e-12)
    assert other["steric"] == pytest.approx(one["steric"], rel=1e-12)
    assert one["electrostatic"] != 0


def test_configurations_are_permuted_and_rungs_keep_their_dipole():
    rungs = recipes([35.0, 36.0, 37.0, 38.0])
    systems = [dm.make_plan(recipe).start() for recipe in rungs]
    energies = [{"electrostatic": u, "field": 0.0} for u in (-4.0, -1.0, -3.0, -2.0)]
    moved, tally = systems, Tally.new(4)
    for step in range(20):
        moved = ladders.swap(moved, energies, thermal_energy(298.15), tally, (1, step))
        for new, old in zip(moved, systems, strict=True):
            assert new.bodies is old.bodies
        sources = [
            [k for k, old in enumerate(systems) if np.array_equal(new.positions, old.positions)]
            for new in moved
        ]
        found = np.concatenate(sources).tolist()
        assert sorted(found) == [0, 1, 2, 3]
        assert found == tally.walkers.tolist()
        for new, (source,) in zip(moved, sources, strict=True):
            for key in ("orientations", "velocities", "angular_velocities"):
                np.testing.assert_array_equal(getattr(new, key), getattr(systems[source], key))
    assert tally.accepted.min() > 0


# --- Ladders --------------------------------------------------------------------------------------


def pair_energy(dipole_D, volume_nm3, cutoff_nm):
    """Mean electrostatic energy (kT) of two clusters in a box, by integration of e^(-u/kT)."""
    body = dm.coarse_grain(dm.load_cluster("r-au-cu"), dipole_D=dipole_D)
    site, kT = body.sites[0], thermal_energy(298.15)
    r = np.linspace(0.55 * site.sigma_nm, cutoff_nm, 40_001)
    x = KE * body.dipole_magnitude_e_nm**2 / (kT * r**3)
    steric = np.exp(-theory.wca_energy(r, site.sigma_nm, site.epsilon_kJ_mol) / kT)

    def log_sum(scale):
        inside = np.trapezoid(
            4 * np.pi * r**2 * steric * np.exp(theory.log_orientational_average(scale * x)), r
        )
        return np.log(volume_nm3 - 4 / 3 * np.pi * cutoff_nm**3 + inside)

    return -(log_sum(1.001) - log_sum(0.999)) / 0.002


@pytest.mark.parametrize(
    "sweeps", [600, pytest.param(15_000, marks=pytest.mark.validate)], ids=["short", "long"]
)
def test_a_pair_in_a_box_has_its_exact_energy_at_every_rung(tmp_path, sweeps):
    dipoles = [30.0, 34.0, 38.0]
    settings = {
        "n_clusters": 2,
        "stages.solution.concentration_mM": 6.4,
        "stages.solution.time_ns": 0.08 * sweeps,
        "frame_interval_ns": 0.16,  # every second sweep: rarer frames need as many more sweeps
    }
    rungs = recipes(dipoles, **settings)
    paths, ladder = run(tmp_path, rungs, 100)  # too short to hide a wrong swap
    kT = thermal_energy(298.15)
    for recipe, path in zip(rungs, paths, strict=True):
        trajectory = dm.Trajectory(path / "trajectory.gsd")
        energies = [frame.energies["electrostatic"] / kT for frame in trajectory[20:]]
        mean, error = mean_estimate(energies)[0]
        expected = pair_energy(recipe.dipole_D, trajectory[0].system.volume_nm3, 4.0)
        assert abs(mean - expected) < 3.5 * error, (recipe.dipole_D, mean, error, expected)
        assert error < 0.2 * abs(expected)
    assert min(ladder.tally.ratios()) > 0.3
    assert ladder.tally.round_trips > 10


@pytest.mark.validate
def test_chains_are_as_long_as_in_plain_runs(tmp_path):
    settings = {"stages.solution.time_ns": 400.0, "frame_interval_ns": 0.8}
    rungs = recipes(DIPOLES, **settings)
    paths, _ = run(tmp_path, rungs, 500)
    for k, recipe in enumerate(recipes(DIPOLES, seed=11, **settings)):
        plain = dm.assemble(recipe, tmp_path / f"plain{k}", "lammps", threads=1)
        one, other = (
            dm.nanowire_statistics(dm.Run(path).trajectory).mean_chain_length
            for path in (paths[k], plain.path)
        )
        assert abs(one.value - other.value) < 3.5 * np.hypot(one.error, other.error)


def test_a_seed_repeats_bit_by_bit_and_another_does_not(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    settings = {"stages.solution.time_ns": 0.8}
    first, one = run(tmp_path / "a", recipes(DIPOLES, **settings))
    second, other = run(tmp_path / "b", recipes(DIPOLES, **settings))
    assert [arrays(path) for path in first] == [arrays(path) for path in second]
    assert one.tally.walkers.tolist() == other.tally.walkers.tolist()
    paths = [tmp_path / "c" / str(k) for k in range(3)]
    run_ladder(recipes(DIPOLES, **settings), paths, tmp_path / "c" / "l.npz", 2, 200)
    assert [arrays(path) for path in paths] != [arrays(path) for path in first]


def test_a_stopped_ladder_goes_on_bit_by_bit(tmp_path):
    settings = {"stages.solution.time_ns": 1.6}
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole, _ = run(tmp_path / "whole", recipes(DIPOLES, **settings))
    for _ in range(20):
        calls = []
        parts, ladder = run(
            tmp_path / "parts",
            recipes(DIPOLES, **settings),
            watch=lambda part, calls=calls: len(calls) == 2 or calls.append(part),
        )
        if ladder.finished:
            break
        assert dm.Run(parts[0]).manifest["status"] == "interrupted"
    assert ladder.finished
    assert len(dm.Run(parts[0]).manifest["sessions"]) == 4  # of three sweeps each, ten in all
    assert [arrays(path) for path in parts] == [arrays(path) for path in whole]


@pytest.mark.parametrize("writes", [1, 4, 7, 8])
def test_a_kill_between_two_files_mixes_no_sweeps(tmp_path, monkeypatch, writes):
    """Frames of some rungs are written when it dies, those of others and the checkpoint aren't."""
    settings = {"stages.solution.time_ns": 1.6}
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole, _ = run(tmp_path / "whole", recipes(DIPOLES, **settings))
    left, write = [writes], session.append_frame

    def dies(path, frame, identity):
        if not left[0]:
            raise MemoryError
        left[0] -= 1
        write(path, frame, identity)

    with monkeypatch.context() as patch:
        patch.setattr(session, "append_frame", dies)
        with pytest.raises(MemoryError):
            run(tmp_path / "parts", recipes(DIPOLES, **settings))
    parts, ladder = run(tmp_path / "parts", recipes(DIPOLES, **settings))
    assert ladder.finished
    assert [arrays(path) for path in parts] == [arrays(path) for path in whole]


def test_a_lost_checkpoint_of_a_ladder_is_that_before_or_refused(tmp_path):
    settings = {"stages.solution.time_ns": 1.6}
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole, _ = run(tmp_path / "whole", recipes(DIPOLES, **settings))
    parts, _ = run(tmp_path / "parts", recipes(DIPOLES, **settings), watch=lambda part: part > 0.7)
    checkpoint = next((tmp_path / "parts").rglob("ladder.npz"))
    data = bytearray(checkpoint.read_bytes())
    data[len(data) // 2] ^= 4
    checkpoint.write_bytes(data)
    _, ladder = run(tmp_path / "parts", recipes(DIPOLES, **settings), watch=lambda part: part > 0.8)
    assert not ladder.finished
    before = [frame.step for frame in dm.Run(parts[0]).trajectory]
    for path in (checkpoint, checkpoint.with_name("ladder.prev.npz")):
        path.rename(path.with_suffix(".away"))
    with pytest.raises(RunDirectoryError, match="checkpoint of its ladder is lost; restore"):
        run(tmp_path / "parts", recipes(DIPOLES, **settings))
    assert [frame.step for frame in dm.Run(parts[0]).trajectory] == before
    checkpoint.with_suffix(".away").rename(checkpoint)
    _, ladder = run(tmp_path / "parts", recipes(DIPOLES, **settings))
    assert ladder.finished
    assert [arrays(path) for path in parts] == [arrays(path) for path in whole]


def test_a_sweep_is_no_longer_than_the_frames_are_apart(tmp_path):
    settings = {"stages.solution.time_ns": 0.8, "frame_interval_ns": 0.16}
    paths, _ = run(tmp_path, recipes([36.0, 37.0], **settings), 1000)
    assert dm.Trajectory(paths[0] / "trajectory.gsd").steps == list(range(0, 1001, 200))
    assert dm.Run(paths[0]).manifest["exchange"]["sweep_steps"] == 200


def test_stages_before_the_last_run_without_swaps(tmp_path):
    base = dm.load_recipe(
        "r-au-cu",
        {
            "n_clusters": 27,
            "cutoff_nm": 4.0,
            "frame_interval_ns": 0.08,
            "stages.solution.time_ns": 0.16,
            "stages.evaporation.time_ns": 0.4,
            "stages.evaporation.concentration_mM": 20.0,
            "stages.dry.time_ns": 0.4,
            "chunk_steps": 20,
        },
    )
    rungs = [dm.load_recipe(base, {"dipole_D": dipole}) for dipole in (42.0, 43.42)]
    parts = []
    paths, ladder = run(tmp_path, rungs, 20, watch=parts.append)
    sweeps = -(-dm.make_plan(rungs[0]).stages[-1].steps // 20)
    assert ladder.tally.attempts.tolist() == [sweeps * ladders.ROUNDS]  # even pairs of 2 rungs
    trajectory = dm.Trajectory(paths[1] / "trajectory.gsd")
    assert {frame.stage for frame in trajectory} == {"solution", "evaporation", "dry"}
    assert trajectory[-1].relative_permittivity == 1.0
    volume = 27 / (20.0 * MILLIMOLAR)
    assert trajectory[-1].system.volume_nm3 == pytest.approx(volume, rel=1e-6)
    assert parts[-1] == 1.0


# --- Studies --------------------------------------------------------------------------------------


def test_every_rung_is_a_job_with_its_own_run(ran, ladder_study):
    import signac

    assert ran.counts == Counter(done=6)
    found = jobs_of(ran.path)
    assert sorted(found) == [(d, r) for d in DIPOLES for r in (0, 1)]
    for frames in found.values():
        assert [step for step, *_ in frames] == STEPS
    project = signac.get_project(ran.path)
    for job in project:
        run = dm.Run(Path(job.path) / "run")
        assert run.finished
        assert run.recipe.dipole_D == job.sp.dipole_D
        assert run.manifest["exchange"]["dipoles_D"] == DIPOLES
        body = run.trajectory[-1].system.bodies[0]
        own = dm.coarse_grain(dm.load_cluster("r-au-cu"), dipole_D=job.sp.dipole_D)
        assert body.dipole_magnitude_e_nm == own.dipole_magnitude_e_nm
        row = job.document.row()
        assert (row["exchange_acceptance"] is None) == (job.sp.dipole_D == DIPOLES[-1])
    assert dm.run_study(ladder_study(replicas=2), ran.path).counts == Counter(done=6)


def test_a_ladder_is_submitted_and_run_as_a_whole(ladder_study, tmp_path):
    study, out = ladder_study(replicas=2), tmp_path / "out"
    bundles = dm.submit_study(study, out, bundle=2, dry_run=True).tasks
    points = {id: job.point for id, job in dm.study_status(study, out).jobs.items()}
    assert [[points[id]["dipole_D"] for id in bundle] for bundle in bundles] == [DIPOLES, DIPOLES]
    assert [{points[id]["replica"] for id in bundle} for bundle in bundles] == [{0}, {1}]
    assert dm.run_study(study, out, jobs=bundles[1][1:2]).counts == Counter(done=3)
    states = dm.study_status(study, out).states
    assert sorted(id for id, state in states.items() if state == "done") == sorted(bundles[1])


def test_the_report_shows_the_exchange(ran, ladder_study, command, tmp_path):
    report = dm.report_study(ladder_study(replicas=2), ran.path)
    assert [(pair.low_D, pair.high_D) for pair in report.exchange] == [(33, 36), (36, 39)]
    for pair in report.exchange:
        assert 0 <= pair.acceptance <= 1
    far = report.exchange[0]._replace(acceptance=0.04)
    assert far.too_far
    assert not far._replace(acceptance=0.06).too_far
    path = tmp_path / "ladder.toml"
    data = ladder_study(replicas=2).model_dump(exclude_none=True)
    path.write_bytes(tomli_w.dumps(data).encode())
    answer = command("study", "report", path, f"--out={ran.path}")
    for words in ("Exchange", "33 and 36 D", "round trips", "results.csv"):
        assert words in answer.words
    assert "exchange_acceptance" in (ran.path / "results.csv").read_text(encoding="utf-8")


def test_a_kill_in_the_middle_loses_and_doubles_nothing(ran, ladder_study, tmp_path):
    study, out = ladder_study(replicas=2), tmp_path / "out"
    path = tmp_path / "ladder.toml"
    path.write_bytes(tomli_w.dumps(study.model_dump(exclude_none=True)).encode())
    main = [sys.executable, "-c", "from dipolar_md.commands.main import main; main()"]
    for count in (1, 2):
        leader = subprocess.Popen(
            [*main, "study", "run", path, "--out", out, "--workers=1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        limit = time.monotonic() + 60
        while len(list(out.glob("workspace/*/ladder.npz"))) < count:
            assert time.monotonic() < limit
            assert leader.poll() is None
            time.sleep(0.01)
        os.killpg(leader.pid, signal.SIGKILL)  # its workers, too: nobody writes a checkpoint
        leader.wait()
        while dm.study_status(study, out).counts["running"]:  # until they are gone
            assert time.monotonic() < limit
            time.sleep(0.01)
    assert dm.study_status(study, out).counts["interrupted"] > 0
    status = dm.run_study(study, out, workers=1)
    assert status.counts == Counter(done=6)
    assert jobs_of(out) == jobs_of(ran.path)  # bit by bit what was never killed


@pytest.mark.parametrize(
    ("dipoles", "relative_error", "ended"),
    [([10.0, 11.0], 0.5, ["target", "target"]), ([10.0, 39.0], 0.02, ["target", "budget"])],
)
def test_a_ladder_ends_when_every_rung_is_precise(
    ladder_study, tmp_path, dipoles, relative_error, ended
):
    study = ladder_study(
        settings=SETTINGS | {"stages.solution.time_ns": 12.8},
        axes={"dipole_D": {"values": dipoles, "source": "x"}},
        stopping={"relative_error": relative_error, "source": "x"},
    )
    status = dm.run_study(study, tmp_path / "early", workers=1)
    rows = [mean.row for mean in dm.report_study(study, status.path).means]
    assert [row["ended"] for row in rows] == ended
    assert rows[0]["steps"] == rows[1]["steps"]
    assert (rows[0]["steps"] < 16_000) == (ended == ["target", "target"])
    assert dm.run_study(study, status.path, workers=1).counts == Counter(done=2)


def test_enough_is_asked_of_all_rungs(monkeypatch, tmp_path):
    said = iter([False, True, False])
    _, ladder = run(tmp_path, recipes(DIPOLES), enough=lambda: next(said))
    assert ladder.enough
    assert ladder.finished
    steps = [dm.Trajectory(tmp_path / str(k) / "trajectory.gsd").steps for k in range(3)]
    assert steps == [[0, 400, 800]] * 3
    _, again = run(tmp_path, recipes(DIPOLES), enough=lambda: next(said))
    assert again.finished  # what is over stays over
    assert dm.Trajectory(tmp_path / "0" / "trajectory.gsd").steps == [0, 400, 800]


def test_another_ladder_in_the_same_place_is_refused(ran, ladder_study):
    axes = {"dipole_D": {"values": [*DIPOLES, 42.0], "source": "x"}}
    with pytest.raises(RunDirectoryError, match="another ladder of dipoles"):
        dm.study_status(ladder_study(axes=axes), ran.path)
    with pytest.raises(RunDirectoryError, match="ladder of dipoles"):
        dm.study_status(ladder_study(sampling="grid", exchange=None), ran.path)
    with pytest.raises(RunDirectoryError, match="sweep of the ladder"):
        dm.study_status(ladder_study(exchange=None), ran.path)
    more = ladder_study(replicas=3)
    assert dm.study_status(more, ran.path).counts == Counter(done=6, waiting=3)


def test_ladders_are_made_of_what_differs_in_the_dipole_alone(ladder_study):
    axes = {
        "dipole_D": {"values": [40.0, 30.0], "source": "x"},
        "temperature_K": {"values": [280.0, 300.0], "source": "x"},
    }
    ladders = ladder_study(axes=axes, replicas=2).job_groups()
    assert len(ladders) == 4
    for ladder in ladders:
        points = [job.point for job in ladder]
        assert [point["dipole_D"] for point in points] == [30.0, 40.0]
        assert len({(point["temperature_K"], point["replica"]) for point in points}) == 1
    grid = ladder_study(axes=axes, sampling="grid", exchange=None)
    assert grid.job_groups() == [[job] for job in grid.jobs]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"axes": {"temperature_K": {"values": [280.0, 300.0], "source": "x"}}}, "dipole_D"),
        ({"axes": {"dipole_D": {"values": [30.0], "source": "x"}}}, "two dipoles or more"),
        (
            {"axes": {"dipole_D": {"values": [3.0, 4.0], "keys": ["dipole_D"], "source": "x"}}},
            "no keys",
        ),
        ({"sampling": "grid"}, "table 'exchange'"),
        ({"exchange": {"sweep_ns": 0.16}}, "source"),
        (
            {
                "settings": SETTINGS | {"electrostatics": "ewald"},
                "sources": dict.fromkeys([*SETTINGS, "electrostatics"], "x"),
            },
            "a mesh would be chosen anew",
        ),
    ],
)
def test_what_cannot_exchange_is_refused(tmp_path, ladder_study, change, told):
    data = ladder_study().model_dump(exclude_none=True) | change
    path = tmp_path / "mine.toml"
    path.write_bytes(tomli_w.dumps(data).encode())
    with pytest.raises(InputError, match=told):
        dm.load_study(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"electrostatics": "ewald"}, "a mesh would be chosen anew"),
        ({"dipole": "charges", "electrostatics": "ewald"}, "needs dipole = 'point'"),
    ],
)
def test_recipes_that_cannot_exchange_are_refused(change, told):
    with pytest.raises(InputError, match=told):
        ladders.check_plan(dm.make_plan("r-au-cu", change))


def test_a_last_stage_that_ramps_is_refused():
    recipe = dm.load_recipe("r-au-cu", {"stages.dry.temperature_K": 310.0})
    with pytest.raises(InputError, match="ramp in one before"):
        ladders.check_plan(dm.make_plan(recipe))
