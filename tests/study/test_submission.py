"""What a study asks of a machine: cores, MPI ranks and GPUs here; a script for Slurm."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from multiprocessing import active_children
from pathlib import Path

import pytest
from study.toy_studies import toy, write

import dipolar_md as dm
from dipolar_md.engines.protocol import Finding
from dipolar_md.errors import EngineMissingError, InputError, RunDirectoryError
from dipolar_md.files import locked
from dipolar_md.study import devices, workers
from dipolar_md.study.devices import assign_devices, environment_of, visible_gpus


@pytest.fixture
def study():
    return toy([20.0, 25.0, 30.0, 43.42])


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many cores, these GPUs, and a HOOMD-blue that can use them or not."""

    def make(cores=8, gpus=None, usable=True):
        monkeypatch.setattr(devices.os, "sched_getaffinity", lambda _: range(cores))
        monkeypatch.setattr(
            devices,
            "inspect_engine",
            lambda *_: Finding("hoomd", usable, "5.0", "gpu", "too old"),
        )
        if gpus is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
            monkeypatch.setenv("PATH", "")
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)

    return make


# --- Cores, ranks and GPUs ------------------------------------------------------------------------


def test_each_worker_has_its_cores_or_its_gpu(machine):
    machine(cores=8)
    assert assign_devices() == [None] * 8
    assert assign_devices(ranks=3) == [None] * 2
    assert assign_devices(3) == [None] * 3
    assert assign_devices(2, 4) == [None] * 2
    machine(cores=8, gpus="0,2,GPU-1a2b")
    assert assign_devices() == ["0", "2", "GPU-1a2b"]  # auto takes them
    assert assign_devices(2, device="gpu") == ["0", "2"]
    assert assign_devices(4) == [None] * 4  # too few of them
    assert assign_devices(device="cpu") == [None] * 8
    assert assign_devices(ranks=4) == [None] * 2  # ranks are for cores
    machine(cores=8, gpus="0", usable=False)
    assert assign_devices() == [None] * 8


@pytest.mark.parametrize(
    ("asked", "gpus", "error", "told"),
    [
        ({"workers": 0}, None, InputError, "workers must be at least 1"),
        ({"ranks": 0}, None, InputError, "ranks must be at least 1"),
        ({"ranks": 9}, None, InputError, "need 9 cores, and this process has 8"),
        ({"workers": 3, "ranks": 3}, None, InputError, "3 workers of 3 ranks need 9 cores"),
        ({"device": "tpu"}, None, InputError, "auto, cpu or gpu"),
        ({"device": "gpu", "ranks": 2}, "0", InputError, "ranks must be 1"),
        ({"device": "gpu", "workers": 2}, "0", InputError, "1 per GPU"),
        ({"device": "gpu"}, None, EngineMissingError, "none is visible"),
        ({"device": "gpu"}, "", EngineMissingError, "none is visible"),
        ({"device": "gpu"}, "old", EngineMissingError, "HOOMD-blue can't use it: too old"),
    ],
)
def test_what_the_machine_lacks_is_refused(machine, asked, gpus, error, told):
    machine(8, gpus, usable=gpus != "old")
    with pytest.raises(error, match=told):
        assign_devices(**asked)


def test_gpus_are_those_of_the_environment_or_of_the_driver(machine, monkeypatch, tmp_path):
    machine(gpus="1,-1,0")
    assert visible_gpus() == ["1"]  # CUDA reads no further
    machine(gpus=None)
    assert visible_gpus() == []
    tool = tmp_path / "nvidia-smi"
    listed = "GPU 0: A (UUID: GPU-1)\n  MIG 1g\nGPU 1: A (UUID: GPU-2)"
    tool.write_text(f'#!/bin/sh\n[ "$1" = -L ] && echo "{listed}"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert visible_gpus() == ["0", "1"]


def test_the_environment_is_put_back(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    before = dict(os.environ)
    with environment_of("3"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
    assert dict(os.environ) == before


def test_workers_see_one_gpu_each_and_use_it(study, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "assign_devices", lambda *_: ["4", "7"])
    seen = set()

    def look(part, states):
        for worker in active_children():
            lines = Path(f"/proc/{worker.pid}/environ").read_text().split("\0")
            seen.update(line for line in lines if line.startswith("CUDA_VISIBLE_DEVICES"))

    status = dm.run_study(study, tmp_path / "out", progress=look)
    assert seen <= {"CUDA_VISIBLE_DEVICES=4", "CUDA_VISIBLE_DEVICES=7"}
    assert seen
    for error in status.errors.values():  # there is no such GPU
        assert "device 'gpu' asked for" in error
    assert status.counts == Counter(failed=4)


@pytest.mark.gpu
def test_a_study_on_gpus(study, tmp_path):
    status = dm.run_study(study, tmp_path / "out", device="gpu")
    assert status.counts == Counter(done=4)
    for path in (tmp_path / "out").glob("workspace/*/run"):
        assert dm.Run(path).manifest["sessions"][0]["device"] == "gpu"


def test_ranks_reach_the_engine_and_only_the_chosen_jobs_run(study, tmp_path):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("two ranks need two cores")
    one, *_ = dm.submit_study(study, tmp_path / "out", bundle=1, dry_run=True).tasks
    status = dm.run_study(study, tmp_path / "out", ranks=2, jobs=one)
    assert status.states == {one[0]: "done"}
    assert dm.study_status(study, tmp_path / "out").counts == Counter(done=1, waiting=3)
    (run,) = (tmp_path / "out").glob("workspace/*/run")
    assert dm.Run(run).manifest["sessions"][0]["ranks"] == 2
    with pytest.raises(InputError, match="none of these jobs is in the study: 12"):
        dm.run_study(study, tmp_path / "out", jobs=["12"])
    with pytest.raises(RunDirectoryError, match="no study here"):
        dm.run_study(study, tmp_path / "other", jobs=one)


def test_sigterm_stops_a_study_with_checkpoints(tmp_path):
    study = toy([20.0, 43.42], **{"stages.solution.time_ns": 16.0})
    path, out = write(study, tmp_path / "toy.toml"), tmp_path / "out"
    main = [sys.executable, "-c", "from dipolar_md.commands.main import main; main()"]
    leader = subprocess.Popen(
        [*main, "study", "run", path, "--out", out, "--workers=1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    limit = time.monotonic() + 60
    while not list(out.glob("workspace/*/run/restart.gsd")):
        assert time.monotonic() < limit
        time.sleep(0.05)
    leader.send_signal(signal.SIGTERM)
    said = leader.communicate(timeout=60)[0].decode()
    assert leader.returncode == 130, said
    assert "interrupted, with checkpoints" in said
    assert dm.study_status(study, out).counts == Counter(interrupted=1, waiting=1)
    (run,) = out.glob("workspace/*/run")
    assert dm.Run(run).manifest["status"] == "interrupted"  # stopped, not killed


# --- The script for Slurm -------------------------------------------------------------------------


def test_a_dry_run_needs_no_slurm(study, command, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/bin")
    file, out = write(study, tmp_path / "toy.toml"), tmp_path / "my study"
    line = ["study", "submit", file, "--out", out, "--dry-run", "--bundle", 3, "--cpus", 4]
    line += ["--ranks", 2, "--partition", "p-q", "--account", "a", "--walltime", "1-02:00:00"]
    answer = command(*line)
    assert answer.code == 0
    script = (out / "submit.sh").read_text()
    assert script in answer.out
    assert "4 jobs in 2 array tasks of up to 3, not submitted" in answer.words
    for asked in (
        *("array=0-1", "cpus-per-task=4", "time=1-02:00:00", "signal=B:TERM@120", "account=a"),
        *("partition=p-q", f"output='{out}/slurm/%A_%a.log'"),
    ):
        assert f"\n#SBATCH --{asked}\n" in script
    assert "--gres" not in script
    assert "--workers=2 --ranks=2 --device=cpu" in script
    ids = sorted(dm.study_status(file, out).states)
    assert sorted(script.split("(\n")[1].split(")")[0].replace(",", " ").split()) == ids
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EngineMissingError, match=r"no sbatch here.*--dry-run"):
        dm.submit_study(study, out)


def test_the_script_runs_a_bundle_of_the_study_as_it_was_submitted(study, tmp_path):
    file, out = write(study, tmp_path / "toy.toml"), tmp_path / "my study"
    given = dm.submit_study(file, out, bundle=3, dry_run=True)
    file.unlink()
    task = subprocess.run(["bash", given.script], env=os.environ | {"SLURM_ARRAY_TASK_ID": "1"})
    assert task.returncode == 0
    states = dm.study_status(study, out).states
    assert [id for id, state in states.items() if state == "done"] == given.tasks[1]


def test_two_submissions_at_once_are_one(study, tmp_path):
    script = dm.submit_study(study, tmp_path / "out", dry_run=True).script
    with (
        locked(script.parent / "slurm"),
        pytest.raises(RunDirectoryError, match="another process is running here"),
    ):
        dm.submit_study(study, tmp_path / "out", dry_run=True)


def test_gpus_are_asked_for(study, tmp_path):
    submission = dm.submit_study(study, tmp_path / "out", gpus_per_job=2, dry_run=True)
    script = submission.script.read_text()
    assert "\n#SBATCH --gres=gpu:2\n" in script
    assert "\n#SBATCH --cpus-per-task=2\n" in script
    assert "--workers=2 --ranks=1 --device=gpu" in script


def test_a_bundle_takes_half_of_the_walltime_by_the_estimate(study, tmp_path):
    hours = dm.estimate_cost(study, study.jobs[:1]).core_hours
    longer = round(0.6 / hours)  # of a job that takes 0.6 h
    study = toy([20.0, 25.0, 30.0, 43.42], **{"stages.solution.time_ns": 0.4 * longer})

    def size(**asked):
        return len(dm.submit_study(study, tmp_path / "out", dry_run=True, **asked).tasks[0])

    assert size(walltime="00:30:00") == 1  # never none
    assert size(walltime="03:00:00") == 2
    assert size(walltime="02:00:00", cpus=2) == 2  # one each
    assert size(walltime="03:00:00", cpus=2) == 4
    assert size(walltime="02:00:00", cpus=2, ranks=2) == 3  # twice as fast, one at a time
    assert size(walltime="03:00:00", bundle=3) == 3


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"walltime": "5h"}, "HH:MM:SS .*found '5h'"),
        ({"walltime": "00:02:00"}, "longer than the 120 seconds"),
        ({"walltime": "00:61:00"}, "HH:MM:SS"),
        ({"ranks": 0}, "ranks must be at least 1"),
        ({"bundle": 0}, "bundle must be at least 1"),
        ({"cpus": 1, "ranks": 2}, "cpus must be at least 2"),
        ({"cpus": 0}, "cpus must be at least 1"),
        ({"gpus_per_job": 1, "ranks": 2}, "ranks 1 with GPUs"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(study, tmp_path, asked, told):
    with pytest.raises(InputError, match=told):
        dm.submit_study(study, tmp_path / "out", dry_run=True, **asked)
    assert not (tmp_path / "out").exists()
