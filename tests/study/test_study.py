"""Parameter studies: the file, the jobs, what survives a kill, thresholds, tables, the commands."""

import csv
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from study.toy_studies import SETTINGS, STEPS, steps_of, write

import dipolar_md as dm
from dipolar_md.analysis.timeseries import Estimate
from dipolar_md.errors import InputError, RunDirectoryError
from dipolar_md.files import locked
from dipolar_md.parameters import parameter_file, parameter_names, read_toml
from dipolar_md.study import workers
from dipolar_md.study.project import open_project, prepare
from dipolar_md.study.stopping import Watch
from dipolar_md.study.study_file import Stopping
from dipolar_md.study.table import JobResult, average_replicas, seed_systems, threshold_dipole


@pytest.fixture(scope="session")
def toy_study():
    """A study of half a second per job, with any changes: its `Study`."""

    def make(**changes):
        data = {
            "name": "toy",
            "title": "A toy",
            "recipe": "r-au-cu-dichloromethane",
            "replicas": 2,
            "settings": SETTINGS,
            "sources": dict.fromkeys(SETTINGS, "a toy"),
            "axes": {"dipole_D": {"values": [20.0, 43.42], "source": "a toy"}},
        } | changes
        return dm.Study.model_validate(data)

    return make


@pytest.fixture(scope="module")
def ran(toy_study, tmp_path_factory):
    """A finished study, grown by one more dipole; and what the first run left."""
    out = tmp_path_factory.mktemp("ran") / "study"
    first = dm.run_study(toy_study(), out, workers=2)
    before = stamps(out)
    axes = {"dipole_D": {"values": [20, 30.0, 43.42], "source": "a toy"}}
    second = dm.run_study(toy_study(axes=axes), out, workers=2)
    return first, before, second


def stamps(out):
    found = [*Path(out).glob("workspace/*/run/*"), *Path(out).glob("workspace/*/*.json")]
    return {path: path.stat().st_mtime_ns for path in found}


@pytest.mark.parametrize("name", parameter_names("studies"))
def test_shipped_studies_are_meaningful(name):
    study = dm.load_study(name)
    assert study.name == name
    for job in study.jobs:
        if job.point["replica"] == 0:
            dm.preflight(job.plan)


def test_a_grid_a_list_and_a_hypercube(toy_study):
    axes = {
        "dipole_D": {"values": [20, 40.0], "source": "x"},
        "temperature_K": {"values": [280.0, 300.0], "source": "x"},
    }
    grid = toy_study(axes=axes, replicas=3).points()
    assert len(grid) == 12
    assert len({json.dumps(point) for point in grid}) == 12
    assert grid[0] == {"dipole_D": 20.0, "temperature_K": 280.0, "replica": 0}
    assert isinstance(grid[0]["dipole_D"], float)  # 20 and 20.0 are one state point
    pairs = toy_study(axes=axes, sampling="list", replicas=1).points()
    assert [(p["dipole_D"], p["temperature_K"]) for p in pairs] == [(20, 280), (40, 300)]
    ranges = {name: {"low": 10.0, "high": 60.0, "source": "x"} for name in axes}
    cube = toy_study(axes=ranges, sampling="latin-hypercube", samples=10, replicas=1)
    for name in axes:  # one sample in each tenth of every range
        cells = sorted(int((p[name] - 10) / 5) for p in cube.points())
        assert cells == list(range(10))
    assert cube.points() == cube.points()


def test_an_axis_reaches_the_recipe_and_nothing_else(toy_study):
    study = toy_study(
        axes={
            "solvent": {"values": ["toluene"], "source": "x"},
            "n_clusters": {"values": [100, 200], "source": "x"},
            "dipole_D": {"values": [20.0], "source": "x"},
            "warm": {"values": [300.0], "keys": ["temperature_K"], "source": "x"},
        },
    )
    recipe = study.jobs[0].plan.recipe
    assert recipe.stages[0].relative_permittivity == 2.374
    assert (recipe.n_clusters, recipe.dipole_D, recipe.temperature_K) == (100, 20.0, 300.0)
    own, scanned = (next(iter(dm.make_plan(r).counts)) for r in (study.base, recipe))
    assert scanned.sites[0].sigma_nm == own.sites[0].sigma_nm  # never solved again
    drying = dm.load_study("drying")
    assert drying.jobs[-1].plan.recipe.stages[1].relative_permittivity == 3.0
    assert drying.jobs[-1].environment.relative_permittivity == 3.0


def test_seeds_follow_from_the_state_point_alone(toy_study):
    more = toy_study(axes={"dipole_D": {"values": [10.0, 20.0, 43.42], "source": "x"}})
    few = toy_study()
    seeds = [{json.dumps(job.point): job.plan.recipe.seed for job in s.jobs} for s in (few, more)]
    assert seeds[1].items() >= seeds[0].items()
    assert len(set(seeds[1].values())) == 6


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"axes": {"dipol_D": {"values": [1.0], "source": "x"}}}, "did you mean dipole_D"),
        ({"axes": {"dipole_D": {"values": [-1.0], "source": "x"}}}, "greater than 0"),
        ({"axes": {"dipole_D": {"values": [1.0]}}}, "source' is missing"),
        ({"axes": {"dipole_D": {"values": [1.0, 1], "source": "x"}}}, "must differ"),
        ({"axes": {"dipole_D": {"low": 1.0, "source": "x"}}}, "both low and high"),
        ({"axes": {"stages.dry": {"values": [1.0], "source": "x"}}}, "can't be the name"),
        ({"axes": {"solvent": {"values": ["tolune"], "source": "x"}}}, "did you mean toluene"),
        ({"samples": 3}, "latin-hypercube"),
        ({"sources": {}}, "n_clusters"),
        ({"replica": 3}, "did you mean replicas"),
        ({"recipe": "r-au"}, "did you mean r-au-cu"),
    ],
)
def test_wrong_files_are_refused_by_key(tmp_path, change, told):
    data = read_toml(parameter_file("studies", "demo")) | change
    path = tmp_path / "mine.toml"
    path.write_bytes(tomli_w.dumps(data).encode())
    with pytest.raises(InputError, match=told) as refused:
        dm.load_study(path)
    assert str(path) in str(refused.value)


def test_estimate_counts_steps_and_frames(toy_study):
    study = toy_study()
    one, all_of_them = dm.estimate_cost(study, study.jobs[:1]), dm.estimate_cost(study)
    assert all_of_them.jobs == 4
    assert all_of_them.core_hours == pytest.approx(4 * one.core_hours)
    assert 0.01 < one.core_hours * 3600 < 1
    assert 0 < one.disk_MB < 1


# --- Jobs -----------------------------------------------------------------------------------------


def test_more_values_run_only_what_is_new(ran):
    first, before, second = ran
    assert first.counts == Counter(done=4)
    assert second.counts == Counter(done=6)
    after = stamps(second.path)
    assert before.items() <= after.items()  # nothing that was done was touched
    assert len(after) == len(before) * 6 / 4
    assert steps_of(second.path) == [STEPS] * 6


def test_signac_opens_the_data(ran):
    import signac

    project = signac.get_project(ran[2].path)
    jobs = project.find_jobs({"sp.dipole_D": 43.42, "doc.status": "done"})
    assert sorted(job.sp.replica for job in jobs) == [0, 1]
    for job in jobs:
        assert job.document.row.mean_chain_length >= 1
        assert dm.Run(Path(job.path) / "run").finished


def test_disk_estimate_is_near(ran, toy_study):
    used = sum(p.stat().st_size for p in Path(ran[2].path).glob("workspace/*/run/*.gsd")) / 1e6
    assert dm.estimate_cost(toy_study()).disk_MB * 6 / 4 == pytest.approx(used, rel=1)


def test_another_study_in_the_same_place_is_refused(ran, toy_study, tmp_path):
    out = ran[2].path
    with pytest.raises(RunDirectoryError, match="another seed"):
        dm.study_status(toy_study(seed=2), out)
    with pytest.raises(RunDirectoryError, match="another base recipe"):
        dm.run_study(toy_study(settings=SETTINGS | {"n_clusters": 70}), out)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(RunDirectoryError, match="not empty"):
        dm.run_study(toy_study(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failing_state_point_is_told_and_the_others_go_on(toy_study, tmp_path):
    axes = {"dipole_D": {"values": [200.0, 20.0], "source": "x"}}
    status = dm.run_study(toy_study(axes=axes, replicas=1), tmp_path / "out", workers=1)
    assert status.counts == Counter(done=1, failed=1)
    ((id, error),) = status.errors.items()
    assert "time_step_ps = 0.8 is too long" in error
    assert status.jobs[id].point["dipole_D"] == 200.0


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.validate)])
def test_killed_workers_lose_nothing(toy_study, tmp_path, kills):
    rng, left, done = random.Random(1), [kills], [0]

    def kill(part, states):
        if left[0] and states["done"] > done[0]:
            time.sleep(rng.uniform(0, 0.3))
            os.kill(rng.choice(multiprocessing.active_children()).pid, signal.SIGKILL)
            left[0] -= 1
        done[0] = states["done"]

    study = toy_study(replicas=kills + 1)
    status = dm.run_study(study, tmp_path / "out", workers=2, progress=kill)
    assert left == [0]
    assert status.counts == Counter(done=2 * kills + 2)
    assert steps_of(status.path) == [STEPS] * (2 * kills + 2)  # no frame lost, none twice
    assert len(dm.report_study(study, status.path).means) == 2


def test_two_at_once_and_a_killed_leader(toy_study, tmp_path):
    path, out = write(toy_study(), tmp_path / "toy.toml"), tmp_path / "out"
    main = [sys.executable, "-c", "from dipolar_md.commands.main import main; main()"]
    line = [*main, "study", "run", path, "--out", out, "--workers=1"]
    leaders = [
        subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)
    ]
    limit = time.monotonic() + 60
    children, workers = Path(f"/proc/{leaders[0].pid}/task/{leaders[0].pid}/children"), []
    while not (workers and list(out.glob("workspace/*/run/trajectory.gsd"))):
        assert time.monotonic() < limit
        time.sleep(0.05)
        workers = children.read_text(encoding="utf-8").split()
    leaders[0].kill()
    said = [leader.communicate(timeout=60)[0].decode() for leader in leaders]
    assert leaders[1].returncode in (0, 130), said[1]
    limit = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in workers):  # they end by themselves
        assert time.monotonic() < limit
        time.sleep(0.05)
    status = dm.run_study(path, out, workers=1)
    assert status.counts == Counter(done=4)
    assert steps_of(out) == [STEPS] * 4


def test_a_job_that_another_process_holds_is_left_to_it(toy_study, tmp_path):
    study = toy_study(replicas=1)
    project = open_project(study, prepare(study, tmp_path / "out"))
    held, other = (project.folder(id) for id in project.jobs)
    with locked(held.path):
        status = dm.run_study(study, tmp_path / "out", workers=1)
        assert status.states == {held.id: "running", other.id: "done"}
        # the same where it was taken after this study looked
        assert workers._do([(held, study.jobs[0])], study, None, "cpu", 1) == "running"
        assert not (held.path / "run").exists()
        assert not held.document()
    assert dm.study_status(study, tmp_path / "out").states[held.id] == "waiting"


def test_a_job_that_keeps_losing_its_worker_is_left(toy_study, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "MOST_DEATHS", 1)

    def kill(part, states):
        if states["running"]:
            (worker,) = multiprocessing.active_children()
            os.kill(worker.pid, signal.SIGKILL)

    study = toy_study(replicas=1, axes={"dipole_D": {"values": [20.0], "source": "x"}})
    status = dm.run_study(study, tmp_path / "out", workers=1, progress=kill)
    (error,) = status.errors.values()
    assert "died 1 times, last by signal 9" in error
    assert "repeat study run" in error


# --- The stopping rule ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lengths", "enough"),
    [
        (np.random.default_rng(1).normal(3.0, 0.1, 200), True),
        (np.random.default_rng(1).normal(3.0, 9.0, 20), False),  # the error is too large
        (np.linspace(1, 5, 200), False),  # it still grows
        ([3.0] * 5, False),  # too few to tell
    ],
)
def test_a_job_may_end_when_settled_and_precise(lengths, enough, finished):
    watch = Watch(finished.path, Stopping(relative_error=0.05, source="x"), None)
    watch.lengths, watch.frames = list(lengths), len(finished.trajectory)
    assert watch.enough(0.05) is enough


def test_jobs_end_at_the_target_or_are_flagged(toy_study, tmp_path):
    change = {"stages.solution.time_ns": 2.0, "frame_interval_ns": 0.04}
    study = toy_study(
        settings=SETTINGS | change,
        replicas=1,
        stopping={"relative_error": 0.5, "source": "x"},
        axes={"dipole_D": {"values": [10.0], "source": "x"}},
    )
    status = dm.run_study(study, tmp_path / "early", workers=1)
    (row,) = dm.report_study(study, status.path).means
    assert row.row["ended"] == "target"
    assert row.row["steps"] < 2500
    assert status.budget == 0


# --- Tables, thresholds, figures ------------------------------------------------------------------


def test_the_threshold_is_where_the_length_passes_two():
    dipoles = np.array([20.0, 30.0, 40.0])
    lengths = 1 + np.exp((dipoles - 33.0) / 4)  # 2 at 33 D
    found, low, high = threshold_dipole(dipoles, lengths, 0.01 * lengths)
    assert found.value == pytest.approx(33.0)
    assert (low, high) == (30.0, 40.0)
    # the error is that of the interpolation, to first order
    a, b = np.log(lengths[1:] - 1)
    s = 0.01 * lengths[1:] / (lengths[1:] - 1)
    expected = 10 / (b - a) ** 2 * np.hypot(b * s[0], a * s[1])
    assert found.error == pytest.approx(expected, rel=0.1)
    assert threshold_dipole([20.0, 30.0], [1.1, 1.5], [0.1, 0.1]) == (None, 30.0, None)
    assert threshold_dipole([20.0, 30.0], [3.0, 5.0], [0.1, 0.1]) == (None, None, 20.0)


def test_replicas_are_one_state_point(toy_study):
    def row(length, error):
        return {
            "mean_chain_length_energy_0_5": length,
            "mean_chain_length_energy_0_5_err": error,
            "equilibrated": True,
        }

    rows = [row(2.0, 0.1), row(4.0, 0.1), row(5.0, 0.2)]
    results = [JobResult(*each) for each in zip(toy_study().jobs, rows, strict=False)]
    two, one = average_replicas(results)
    assert (two.point, one.point) == ({"dipole_D": 20.0}, {"dipole_D": 43.42})
    assert (two.replicas, two.length) == (
        2,
        Estimate(3.0, 1.0),
    )  # they scatter by more than they say
    assert one.length == Estimate(5.0, 0.2)
    rows[1]["mean_chain_length_energy_0_5"] = 2.0
    assert average_replicas(results)[0].length.error == pytest.approx(0.1 / np.sqrt(2))


def test_seed_systems_stand_at_the_same_coupling():
    body = dm.coarse_grain(dm.load_cluster("r-au-cu"))
    same, *others = seed_systems(body)
    assert (same.name, same.dipole_D) == ("R-Au-Cu", pytest.approx(43.42))
    assert same.equivalent_D == pytest.approx(43.42)
    for system, file in zip(others, ("r-1", "au3cd"), strict=True):
        contact = dm.coarse_grain(dm.load_cluster(file)).axial_contact_nm
        ratio = (body.axial_contact_nm / contact) ** 1.5
        assert system.equivalent_D == pytest.approx(system.dipole_D * ratio)


def test_the_report_holds_every_job_once(ran, toy_study):
    axes = {"dipole_D": {"values": [20, 30.0, 43.42], "source": "a toy"}}
    report = dm.report_study(toy_study(axes=axes), ran[2].path)
    with (report.path / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(float(r["dipole_D"]), r["replica"]) for r in rows] == [
        (d, r) for d in (20.0, 30.0, 43.42) for r in "01"
    ]
    for row in rows:
        assert float(row["mean_chain_length_err"]) >= 0
        assert row["ended"] == "complete"
        assert float(row["mean_chain_length"]) == float(row["mean_chain_length_energy_0_5"])
    criteria = {one.criterion for one in report.thresholds}
    assert len(criteria) >= 2
    assert (report.path / "thresholds.csv").read_text().count("\n") == 1 + len(criteria)
    for path in report.files:
        assert path.is_file()
    assert {"length_against_dipole.png", "length_distributions.png", "collapse.png"} == {
        p.name for p in report.files if p.suffix == ".png"
    }


# --- The commands ---------------------------------------------------------------------------------


def test_commands(command, ran, toy_study, tmp_path):
    axes = {"dipole_D": {"values": [20, 30.0, 43.42], "source": "a toy"}}
    path = write(toy_study(axes=axes), tmp_path / "toy.toml")
    out = f"--out={ran[2].path}"
    answer = command("study", "run", path, out)
    assert answer.code == 0
    assert "6 jobs, 0 to run" in answer.words
    assert "6 done" in answer.words
    answer = command("study", "status", path, out)
    assert "6 done" in answer.words
    answer = command("study", "report", path, out)
    assert answer.code == 0
    for words in ("Mean chain length (clusters)", "dipole / D λ", "43.42 7.57", "±", "results.csv"):
        assert words in answer.words
    assert command("study", "status", path, f"--out={tmp_path / 'new'}").words.endswith("6 waiting")
    answer = command("study", "report", path, f"--out={tmp_path / 'new'}")
    assert answer.code == 2
    assert "study run toy" in answer.err
    begun = prepare(dm.load_study(path), tmp_path / "begun")
    answer = command("study", "report", path, f"--out={begun}")
    assert answer.code == 2
    assert "no job is finished yet" in answer.err
    for name in ("run", "submit", "status", "report"):
        shown = command("study", name, "--help")
        assert f"Example: dipolar-md study {name} demo" in shown.words
        assert "…" not in shown.out
