"""Real short runs: what they leave, how they stop, how they go on, and what they refuse."""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import gsd.fl
import numpy as np
import pytest

import dipolar_md as dm
from dipolar_md.engines.lammps.engine import LammpsEngine
from dipolar_md.engines.stage import Environment, Stage
from dipolar_md.errors import BlowUpError, InputError, RunDirectoryError
from dipolar_md.simulation import assembly

STEPS = list(range(0, 1901, 100))  # of the frames of the toy
FILES = {
    *(".lock", "manifest.json", "recipe.toml", "restart.gsd", "restart.prev.gsd"),
    "trajectory.gsd",
}


@pytest.fixture
def run(toy, tmp_path):
    """Run the toy, or what is left of it, in this test's own directory."""

    def assemble(progress=None, out=tmp_path / "run", recipe="r-au-cu", engine="lammps", **change):
        options = {key: change.pop(key) for key in ("seed", "resume") if key in change}
        overrides = toy | change.pop("overrides", {})
        return dm.assemble(
            recipe, out, engine, threads=1, overrides=overrides, progress=progress, **options
        )

    return assemble


def interrupt(step, name=signal.SIGINT):
    """A progress that sends a signal after `step` steps; the run stops one chunk later."""
    return lambda progress: progress.done_steps == step and signal.raise_signal(name)


def snapshot(path):
    """Everything in a directory, with contents and times."""
    if path.is_file():
        return path.read_bytes(), path.stat().st_mtime_ns
    return {p.name: (p.stat().st_mtime_ns, p.is_file() and p.read_bytes()) for p in path.iterdir()}


def chunks_of(path):
    """The bytes of every frame, but for the id of the run and what follows from it."""
    with gsd.fl.open(str(path), "r") as file:
        names = {*file.find_matching_chunk_names("")} - {"log/run_id", "log/checksum"}
        return [
            {name: np.asarray(file.read_chunk(i, name)).tobytes()
             for name in names if file.chunk_exists(i, name)}
            for i in range(file.nframes)
        ]  # fmt: skip


def assert_sound(path):
    """Whatever has its final name is whole: frames in order, the checkpoint among them."""
    if (path / "manifest.json").exists():
        assert dm.Run(path).recipe == dm.load_recipe(path / "recipe.toml")
        assert dm.Run(path).manifest["sessions"]
    steps = []
    if (path / "trajectory.gsd").exists():
        trajectory = dm.Trajectory(path / "trajectory.gsd")
        steps = [frame.step for frame in trajectory]
        assert steps == trajectory.steps == STEPS[: len(steps)]
    if (path / "restart.gsd").exists():
        (checkpoint,) = dm.Trajectory(path / "restart.gsd")
        assert np.isfinite(checkpoint.system.positions).all()
        assert checkpoint.step >= steps[-2]
    return steps


# --- What a run leaves ----------------------------------------------------------------------------


def test_run_directory(finished, toy):
    assert {p.name for p in finished.path.iterdir()} == FILES
    text = (finished.path / "recipe.toml").read_text(encoding="utf-8")
    assert finished.recipe == dm.load_recipe("r-au-cu", toy)
    assert finished.finished
    manifest = finished.manifest
    assert manifest["inputs_sha256"] == {"recipe.toml": hashlib.sha256(text.encode()).hexdigest()}
    assert (manifest["recipe"], manifest["status"], manifest["seed"]) == ("r-au-cu", "finished", 1)
    assert manifest["versions"].keys() >= {"dipolar-md", "numpy", "gsd", "lammps", "python"}
    assert manifest["versions"]["dipolar-md"] == dm.__version__
    assert manifest["electrostatics"] == "point dipoles, truncated at 4 nm"
    assert manifest["times"] == "accelerated: friction scaled by 0.02"
    assert manifest["platform"]
    assert "skin_nm" in manifest["reproducibility"]
    (session,) = manifest["sessions"]
    assert (session["engine"], session["device"], session["threads"]) == ("lammps", "cpu", 1)
    assert (session["first_step"], session["last_step"]) == (0, 1900)
    assert session["skins_nm"] == dict.fromkeys(("solution", "evaporation", "dry"), 1.0)
    assert session["engine_version"] == manifest["versions"]["lammps"]
    assert "asked for" in session["reason"]
    assert session["started"] <= session["ended"]


def test_frames_tell_time_stage_and_environment(finished):
    trajectory, plan = finished.trajectory, dm.make_plan(finished.recipe)
    assert trajectory.steps == STEPS
    offsets = {"solution": 0, "evaporation": 400, "dry": 1400}
    for frame in trajectory:
        (stage,) = (s for s in plan.stages if s.name == frame.stage)
        done = frame.step - offsets[frame.stage]
        assert (0 if frame.step == 0 else 1) <= done <= stage.steps
        assert frame.time_ns == pytest.approx(frame.step * 0.8e-3)
        now = stage.environment(done)
        assert frame.temperature_K == pytest.approx(now.temperature_K)
        assert frame.relative_permittivity == pytest.approx(now.relative_permittivity)
        assert frame.system.concentration_mM == pytest.approx(now.concentration_mM, rel=1e-5)
        terms = ("steric", "electrostatic", "wall", "field")
        assert frame.energies["total"] == pytest.approx(sum(frame.energies[t] for t in terms))
        assert len(frame.system) == 64
    (checkpoint,) = dm.Trajectory(finished.path / "restart.gsd")
    assert checkpoint.step == 1900
    np.testing.assert_array_equal(checkpoint.system.positions, trajectory[-1].system.positions)
    start = dm.random_gas(plan.counts, 0.5, seed=1)
    np.testing.assert_allclose(trajectory[0].system.positions, start.positions, atol=1e-5)
    energies = dm.evaluate(start, plan.interactions, "lammps").energies
    assert trajectory[0].energies["total"] == pytest.approx(energies["total"], rel=1e-9)
    assert finished.manifest["sessions"][0]["last_step"] == 1900


def test_progress_tells_every_chunk(run):
    seen = []

    def watch(progress):
        seen.append(progress)
        if progress.done_steps in (50, 1900):
            system = progress.read()
            now = progress.environment
            assert system.concentration_mM == pytest.approx(now.concentration_mM, rel=1e-9)

    run(watch)
    assert [p.done_steps for p in seen] == list(range(50, 1901, 50))
    assert {p.total_steps for p in seen} == {1900}
    stages = [p.stage for p in seen]
    assert stages == ["solution"] * 8 + ["evaporation"] * 20 + ["dry"] * 10
    assert all(p.steps_per_second > 0 for p in seen)


@pytest.mark.parametrize("interval_ns", [0.02, 0.0301, 0.008])
def test_frames_come_when_asked_for(run, interval_ns):
    """An interval shorter than a chunk: a frame for each, at most a chunk late."""
    short = {"stages.solution.time_ns": 0.16, "stages.dry.time_ns": 0.08}
    short |= {"stages.evaporation.time_ns": 0.4, "stages.evaporation.concentration_mM": 10.0}
    done = run(overrides=short | {"frame_interval_ns": interval_ns})
    times = [frame.time_ns for frame in done.trajectory]
    assert len(times) == pytest.approx(0.64 / interval_ns, abs=3)
    assert max(np.diff(times)) < 2 * interval_ns
    if interval_ns == 0.02:
        assert done.trajectory.steps == list(range(0, 801, 25))


def test_a_recipe_is_resolved_once(run, monkeypatch):
    """Preflight, placement, start, stages and manifest take the bodies of one plan."""
    from dipolar_md.simulation import plan

    asked, coarse_grain = [], plan.coarse_grain

    def counted(*arguments, **options):
        asked.append(arguments[0].name)
        return coarse_grain(*arguments, **options)

    monkeypatch.setattr(plan, "coarse_grain", counted)
    assert run(overrides={"stages.solution.time_ns": 0.08}).finished
    assert asked == ["r-au-cu"]


# --- Stopping and going on ------------------------------------------------------------------------


def test_an_interrupted_run_goes_on_to_the_same_end(run, tmp_path):
    """Stops inside and at the end of frame intervals, ramps and stages; no frame twice or lost."""
    names = (signal.SIGINT, signal.SIGTERM)
    path, handlers = tmp_path / "run", [signal.getsignal(name) for name in names]
    signals = [50, 150, 300, 400, 450, 600, 800, 1350, 1800]
    stops = [100, 200, 350, 400, 500, 650, 850, 1400, 1850]  # at 400 a stage ends
    for number, (at, stop) in enumerate(zip(signals, stops, strict=True)):
        stopped = run(interrupt(at, names[number % 2]))
        assert not stopped.finished
        assert stopped.manifest["status"] == "interrupted"
        assert dm.Trajectory(path / "restart.gsd")[0].step == stop
        assert assert_sound(path) == [step for step in STEPS if step <= stop]
    done = run(interrupt(1850))
    assert done.finished  # the last chunk was under way
    assert done.trajectory.steps == STEPS
    sessions = done.manifest["sessions"]
    assert [s["first_step"] for s in sessions] == [0, *stops]
    assert [s["last_step"] for s in sessions] == [*stops, 1900]
    assert len(done.manifest["inputs_sha256"]) == 1
    assert {p.name for p in path.iterdir()} == FILES
    assert [signal.getsignal(name) for name in names] == handlers
    energies = [frame.energies["total"] / 64 for frame in done.trajectory]
    assert max(np.abs(energies)) < 40  # kJ/mol: nothing jumps where a session begins


@pytest.mark.hoomd
def test_a_run_moves_from_one_engine_to_the_other(run, tmp_path):
    assert not run(interrupt(550)).finished
    assert not run(interrupt(1200), engine="hoomd").finished
    done = run()
    assert done.finished
    assert assert_sound(tmp_path / "run") == STEPS
    sessions = done.manifest["sessions"]
    assert [session["engine"] for session in sessions] == ["lammps", "hoomd", "lammps"]
    assert [session["last_step"] for session in sessions] == [600, 1250, 1900]
    before, after = (next(f for f in done.trajectory if f.step == step) for step in (600, 700))
    per_cluster = [frame.energies["total"] / 64 for frame in (before, after)]
    assert abs(per_cluster[1] - per_cluster[0]) < 5  # kJ/mol: a state that moved, not a new one
    for frame in done.trajectory[1:]:
        assert frame.system.kinetic_temperatures_K() == pytest.approx((298.15,) * 2, rel=0.4)


def test_a_progress_that_returns_true_stops_the_run(run):
    """At once, with a checkpoint; anything else than True goes on."""
    calls = []

    def watch(progress):
        calls.append(progress.done_steps)
        return True if progress.done_steps in (150, 200) else "go on"

    for stop in (150, 200):
        stopped = run(watch)
        assert not stopped.finished
        assert stopped.manifest["status"] == "interrupted"
        assert dm.Trajectory(stopped.path / "restart.gsd")[0].step == stop == calls[-1]
    assert run().trajectory.steps == STEPS


def test_an_error_of_the_callers_is_the_callers(run):
    """A progress that fails: its own error comes back, and the manifest says what happened."""

    def fails(progress):
        if progress.done_steps == 150:
            raise FileNotFoundError("my notes are gone")

    with pytest.raises(FileNotFoundError, match="my notes are gone"):
        run(fails)
    failed = dm.Run(run(lambda progress: True).path)  # it goes on from its checkpoint, a chunk far
    first, second = failed.manifest["sessions"]
    assert (first["first_step"], first["last_step"]) == (0, 150)
    assert "ended" in first
    assert second["first_step"] == 100
    with pytest.raises(FileNotFoundError):
        run(lambda progress: fails(replace(progress, done_steps=150)))
    manifest = dm.Run(failed.path).manifest
    assert (manifest["status"], manifest["error"]) == (
        "failed",
        "FileNotFoundError: my notes are gone",
    )
    assert run().trajectory.steps == STEPS
    assert "error" not in dm.Run(failed.path).manifest


def test_a_finished_run_is_kept(finished, toy):
    before = snapshot(finished.path)
    calls = []
    again = dm.assemble(
        "r-au-cu", finished.path, "lammps", threads=1, overrides=toy, progress=calls.append
    )
    assert again.finished
    assert snapshot(finished.path) == before
    assert not calls


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"overrides": {"dipole_D": 21.85}}, ["dipole_D: not set -> 21.85"]),
        ({"overrides": {"stages.dry.time_ns": 0.8}}, ["stages.2.time_ns: 0.4 -> 0.8"]),
        ({"seed": 2}, ["seed: 1 -> 2"]),
        (
            {"overrides": {"n_clusters": 65, "friction_scale": 0.03}},
            ["n_clusters: 64 -> 65", "friction_scale: 0.02 -> 0.03"],
        ),
        (
            {"recipe": "au3cd"},
            ["name: r-au-cu -> au3cd", "formula: Au8", "time_step_ps: 0.8 -> 0.5"],
        ),
        (
            {"overrides": {"components": [{"cluster": "r-1"}, {"cluster": "s-1"}]}},
            ["components: [{'cluster': {'name': 'r-au-cu'"],
        ),
    ],
)
def test_another_recipe_is_refused_with_the_difference(finished, run, change, told):
    before = snapshot(finished.path)
    with pytest.raises(RunDirectoryError, match="holds a run of another recipe") as error:
        run(out=finished.path, **change)
    for words in [str(finished.path), "choose another --out", *told]:
        assert words in str(error.value)
    assert "; cutoff_nm: " not in str(error.value)  # only what differs
    assert snapshot(finished.path) == before


def test_an_existing_run_can_be_refused(finished, run):
    before = snapshot(finished.path)
    with pytest.raises(RunDirectoryError, match="a run is here already"):
        run(out=finished.path, resume=False)
    assert snapshot(finished.path) == before


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["thesis.tex"], "not empty and no run of dipolar_md; nothing was changed"),
        (["recipe.toml"], "not empty and no run of dipolar_md"),
        (["trajectory.gsd"], "not empty and no run of dipolar_md"),
        ([".lock", "notes"], "not empty and no run of dipolar_md"),
        (["manifest.json"], r"recipe.toml: can't be read"),
        (["manifest.json", "recipe.toml"], r"recipe.toml"),
        ([], "is a file, not a run directory"),
    ],
)
def test_a_foreign_directory_is_left_alone(run, tmp_path, names, told):
    path = tmp_path / "run"
    if not names:
        path.write_text("mine")
    for name in names:
        path.mkdir(exist_ok=True)
        (path / name).write_text('{"mine": 1}' if name.endswith("json") else "mine = 1\n")
    before = snapshot(path)
    with pytest.raises((RunDirectoryError, InputError), match=told):
        run()
    assert snapshot(path) == before


def test_two_runs_at_once_are_refused(run, tmp_path):
    refused = []

    def second(progress):
        if progress.done_steps == 500:
            before = snapshot(tmp_path / "run")
            with pytest.raises(RunDirectoryError, match="another process is running here"):
                run()
            after = snapshot(tmp_path / "run")
            assert {n: c for n, c in after.items() if n != ".lock"} == {
                n: c for n, c in before.items() if n != ".lock"
            }
            refused.append(True)

    assert run(second).trajectory.steps == STEPS
    assert refused


def test_a_lock_of_another_process_is_seen(run, tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    with (path / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(RunDirectoryError, match="another process is running here"):
            run()
    assert os.listdir(path) == [".lock"]
    assert run(interrupt(50)).manifest["status"] == "interrupted"  # a stale lock binds no one


@pytest.mark.parametrize("stop", [50, None])
def test_a_run_that_another_process_just_made_is_not_overwritten(run, tmp_path, monkeypatch, stop):
    """The other process starts and ends between our look at the directory and our lock."""
    start, steps = dm.Plan.start, []

    def meanwhile(plan):
        monkeypatch.setattr(dm.Plan, "start", start)
        steps.extend(run(interrupt(stop) if stop else None).trajectory.steps)
        return start(plan)

    monkeypatch.setattr(dm.Plan, "start", meanwhile)
    ours = run()
    assert steps == (STEPS[:2] if stop else STEPS)
    assert ours.trajectory.steps == STEPS
    assert [s["first_step"] for s in ours.manifest["sessions"]] == ([0, 100] if stop else [0])


def test_a_run_works_outside_the_main_thread(run):
    results = []
    thread = threading.Thread(target=lambda: results.append(run()))
    thread.start()
    thread.join()
    assert results[0].trajectory.steps == STEPS


# --- Signals and kills of real processes ----------------------------------------------------------


def arguments(overrides, path):
    settings = [f"--set={key}={value}" for key, value in overrides.items()]
    return ["assemble", "r-au-cu", "--engine=lammps", "--threads=1", f"--out={path}", *settings]


@pytest.mark.parametrize(
    ("name", "program"),
    [
        (signal.SIGINT, [str(Path(sys.executable).with_name("dipolar-md"))]),
        (
            signal.SIGTERM,
            [sys.executable, "-c", "import dipolar_md.commands.main as m; m.main()"],
        ),
    ],
)
def test_a_signal_stops_the_command_with_a_checkpoint(toy, tmp_path, name, program):
    path, endless = tmp_path / "run", toy | {"stages.dry.time_ns": 1e6}
    process = subprocess.Popen(
        [*program, *arguments(endless, path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + 60
        while not (path / "restart.gsd").exists() and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(name)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert b"interrupted; repeat the command to continue" in err
    assert b"Traceback" not in out + err
    stopped = dm.Run(path)
    assert stopped.manifest["status"] == "interrupted"
    step = stopped.manifest["sessions"][0]["last_step"]
    assert dm.Trajectory(path / "restart.gsd")[0].step == step > 0
    assert stopped.trajectory.steps == list(range(0, step + 1, 100))
    again = dm.assemble(
        "r-au-cu", path, "lammps", threads=1, overrides=endless, progress=interrupt(step + 50)
    )
    assert again.manifest["sessions"][1]["first_step"] == step
    assert again.trajectory.steps == list(range(0, step + 101, 100))


KILLED = """
import json, os, shutil, signal, sys
import dipolar_md as dm
from dipolar_md.engines.lammps.engine import _lammps
from dipolar_md.simulation import session

_lammps()  # loaded once for all children
path, overrides, kills = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
left = 0

def mortal(function):
    def call(*arguments):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    return call

os.replace, session.append_frame = mortal(os.replace), mortal(session.append_frame)
for number, left in enumerate(kills):
    child = os.fork()
    if child == 0:
        dm.assemble("r-au-cu", path, "lammps", threads=1, overrides=overrides)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status))
    shutil.copytree(path, f"{path}-{number}")
"""


def test_a_killed_run_goes_on_from_whatever_it_left(toy, tmp_path):
    """Killed before its n-th rename or append: first file, manifest, frames, checkpoints, resume.

    The fifth session dies between the renames of a checkpoint, the sixth between a frame and its
    checkpoint: the frame then serves as one.
    """
    path, kills = tmp_path / "run", [1, 2, 3, 4, 8, 5, 12, 0]
    result = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), json.dumps(toy), json.dumps(kills)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.stderr == ""
    assert result.stdout.split() == ["-9"] * 7 + ["0"]
    copies = [tmp_path / f"run-{number}" for number in range(len(kills))]
    assert [len(assert_sound(copy)) for copy in copies] == [0, 0, 0, 1, 3, 5, 9, 20]
    assert "manifest.json" not in os.listdir(copies[1])
    assert {p.name for p in path.iterdir()} == FILES
    done = dm.Run(path)
    assert done.finished
    assert [s["first_step"] for s in done.manifest["sessions"]] == [0, 0, 0, 200, 400, 800]
    assert [len(s.get("recovered", ())) for s in done.manifest["sessions"]] == [0, 0, 0, 1, 0, 0]


# --- Repeatable -----------------------------------------------------------------------------------


def test_the_same_settings_give_the_same_trajectory_bit_by_bit(finished, run, tmp_path):
    again = run()
    for name in ("trajectory.gsd", "restart.gsd"):
        assert chunks_of(again.path / name) == chunks_of(finished.path / name)
    assert again.manifest["run_id"] != finished.manifest["run_id"]
    other = run(interrupt(50), out=tmp_path / "other", seed=2)
    assert other.manifest["seed"] == other.recipe.seed == 2
    assert not np.array_equal(
        other.trajectory[0].system.positions, finished.trajectory[0].system.positions
    )
    restarted = run(interrupt(50), out=tmp_path / "restarted", overrides={"seed": 2})
    for key in ("positions", "orientations", "velocities", "angular_velocities"):
        one, two = (getattr(r.trajectory[1].system, key) for r in (other, restarted))
        assert np.array_equal(one, two)


def test_tuned_skins_are_recorded(run):
    free = {f"stages.{name}.skin_nm": None for name in ("solution", "evaporation", "dry")}
    skins = run(overrides=free).manifest["sessions"][0]["skins_nm"]
    assert skins.keys() == {"solution", "evaporation", "dry"}
    assert all(0 < skin <= 2.0 for skin in skins.values())


# --- Blow-ups -------------------------------------------------------------------------------------


def test_a_blow_up_keeps_the_last_good_checkpoint(run, tmp_path, monkeypatch):
    """A time step far too long for chains, past the preflight that would refuse it."""
    monkeypatch.setattr(assembly, "preflight", lambda recipe: None)
    path = tmp_path / "run"
    wild = {"time_step_ps": 3.0, "chunk_steps": 10, "frame_interval_ns": 0.03}
    told = r"(?s)stage '(evaporation|dry)' blew up .*lower time_step_ps \(now 3\)"
    with pytest.raises(BlowUpError, match=told):
        run(overrides=wild)
    failed = dm.Run(path)
    assert failed.manifest["status"] == "failed"
    assert "lower time_step_ps" in failed.manifest["error"]
    assert not failed.finished
    (checkpoint,) = dm.Trajectory(path / "restart.gsd")
    last = failed.manifest["sessions"][0]["last_step"]
    assert 0 < checkpoint.step == failed.trajectory.steps[-1] <= last < checkpoint.step + 10
    for frame in (checkpoint, *failed.trajectory):
        assert np.isfinite(frame.system.positions).all()
        assert abs(frame.energies["total"]) < 1000 * 2.5 * 64
    assert {p.name for p in path.iterdir()} == FILES


def test_overlapping_clusters_stop_at_once():
    body = dm.coarse_grain(dm.load_cluster("r-au-cu"))
    system = dm.lattice({body: 27}, spacing_nm=2.5)
    close = system.positions.copy()
    close[1] = close[0] + [0, 0, 0.3]
    now = Environment(298.15, 1.0, system.concentration_mM)
    stage = Stage("dry", 1000, 0.8, now, now, 0.4, chunk_steps=10, skin_nm=0.5)
    terms = dm.Interactions(298.15, 1.0, cutoff_nm=3.7)
    reports = []
    with pytest.raises(
        BlowUpError, match=r"(?s)stage 'dry' blew up .*lower time_step_ps \(now 0.8\)"
    ):
        LammpsEngine().run(replace(system, positions=close), terms, stage, reports.append)
    assert not reports


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"threads": 0}, r"threads must be at least 1 \(found 0\)"),
        ({"engine": "gromacs"}, "engine must be auto, hoomd, lammps or monte_carlo"),
        ({"device": "tpu"}, "device auto, cpu or gpu"),
        ({"seed": -1}, r"key 'seed'.*\(found -1\)"),
        ({"overrides": {"n_clusters": 10}}, "box too small for the cutoff"),
    ],
)
def test_wrong_arguments_write_nothing(tmp_path, options, told):
    with pytest.raises(InputError, match=told):
        dm.assemble("r-au-cu", tmp_path / "run", **options)
    assert not os.listdir(tmp_path)


# --- Opening runs ---------------------------------------------------------------------------------


def test_a_directory_without_a_run_is_told(tmp_path):
    with pytest.raises(InputError, match="no run here"):
        dm.Run(tmp_path)
    with pytest.raises(InputError, match="no run here"):
        dm.Run(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("manifest.json", lambda run: run.manifest),
        ("recipe.toml", lambda run: run.recipe),
        ("trajectory.gsd", lambda run: run.trajectory),
    ],
)
@pytest.mark.parametrize("content", [b"\xff {", None])
def test_a_spoilt_run_is_told(finished, tmp_path, name, read, content):
    path = tmp_path / "copy"
    shutil.copytree(finished.path, path)
    opened = dm.Run(path)
    (path / name).unlink() if content is None else (path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: (can't be read|no readable|not valid)"):
        read(opened)
