"""Real processes that are told to stop: after the chunk, at once, by a closed terminal, ranks."""

import os
import signal
import subprocess
import sys
import time

import pytest

import dipolar_md as dm
from dipolar_md.engines.lammps import ranks as team
from dipolar_md.errors import DipolarMDError

PROGRAM = [sys.executable, "-c", "import dipolar_md.commands.main as m; m.main()"]


def started(toy, path, **more):
    """Start a run that doesn't end, and wait for its first checkpoint."""
    settings = toy | {"stages.dry.time_ns": 1e6} | more
    options = [f"--set={key}={value}" for key, value in settings.items()]
    process = subprocess.Popen(
        [
            *PROGRAM,
            "assemble",
            "r-au-cu",
            "--engine=lammps",
            "--threads=1",
            f"--out={path}",
            *options,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not (path / "restart.gsd").exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process


def test_a_closed_terminal_stops_with_a_checkpoint(toy, tmp_path):
    process = started(toy, tmp_path / "run")
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert dm.Run(tmp_path / "run").manifest["status"] == "interrupted"


def test_the_second_signal_stops_at_once_and_keeps_the_checkpoint(toy, tmp_path):
    """In the last stage a chunk is of hours: the engine doesn't come back."""
    path = tmp_path / "run"
    long = {"chunk_steps": 10**8, "frame_interval_ns": 8e4, "stages.solution.time_ns": 0.04}
    long |= {"stages.evaporation.concentration_mM": 0.5}
    process = started(toy, path, **long)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert process.returncode == 130
    assert b"interrupted at once; the last checkpoint is kept" in err
    assert b"Traceback" not in err
    assert dm.Trajectory(path / "restart.gsd")[0].step > 0
    assert dm.Run(path).trajectory.steps[-1] > 0


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_stopped_or_dead_rank_is_told(toy, tmp_path, monkeypatch, number):
    monkeypatch.setattr(team, "STOPPED_s", 1.0)
    monkeypatch.setattr(team, "LOOK_s", 0.2)

    def hurt(progress):
        if progress.done_steps == 100:
            mine = subprocess.run(
                ["pgrep", "-f", f"rank_worker.*{os.environ['TMPDIR']}"],
                capture_output=True,
                text=True,
            ).stdout.split()
            os.kill(int(mine[-1]), number)

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(team.tempfile, "tempdir", str(tmp_path))
    told = "is stopped, and" if number == signal.SIGSTOP else "ended"
    with pytest.raises(DipolarMDError, match=told):
        dm.assemble("r-au-cu", tmp_path / "run", "lammps", ranks=2, overrides=toy, progress=hurt)
    assert dm.Run(tmp_path / "run").manifest["status"] == "failed"
    assert dm.Trajectory(tmp_path / "run" / "restart.gsd")[0].step == 100
