"""The scripts, as a user starts them, at toy size; the Slurm script with a Slurm made up here."""

import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import dipolar_md as dm
from dipolar_md.analysis.timeseries import Estimate

SCRIPTS = Path(__file__).parent.parent / "scripts"
PYTHON = sorted([*SCRIPTS.glob("*.py"), *SCRIPTS.parent.glob("analysis/*.py")])
BENCHMARKS = ("analysis", "engines", "models", "output", "overhead", "scaling", "startup")
OUTSIDE = {k: v for k, v in os.environ.items() if not k.startswith(("PMI", "OMPI"))}


def script(name, *arguments, **more):
    """Run a script to its end."""
    command = [sys.executable, SCRIPTS / name, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=240, env=OUTSIDE | more, check=False
    )


def settings(toy):
    """The toy's overrides as words for --set; the number of clusters is an option of its own."""
    return [f"{key}={value}" for key, value in toy.items() if key != "n_clusters"]


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: path.name)
def test_a_script_says_what_it_does_and_uses_public_names_only(path):
    done = script(path, "--help")
    assert done.returncode == 0, done.stderr
    text = path.read_text(encoding="utf-8")
    first = text.split('"""')[1].split(".\n")[0]
    assert first in " ".join(done.stdout.split())
    inner = re.findall(r"^\s*(?:from|import) (dipolar_md.*)$", text, re.MULTILINE)
    assert set(inner) == {"dipolar_md as dm"}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_can_be_started_and_says_what_it_measures(name):
    done = script(f"../benchmarks/{name}.py", "--help")
    assert done.returncode == 0, done.stderr
    assert {"--json", "--markdown"} <= set(done.stdout.split())


def test_a_benchmark_leaves_a_table_and_json(tmp_path):
    """The smallest of them at toy size; what it measured is nobody's business here."""
    (tmp_path / "table.md").write_text(
        "before\n<!-- scaling -->\nold\n<!-- end -->\nafter\n", encoding="utf-8"
    )
    files = ["--markdown", tmp_path / "table.md", "--json", tmp_path / "found.json"]
    words = ["--clusters", 64, "--ranks", 1, "--seconds", 0, "--repeats", 1, *files]
    done = script("../benchmarks/scaling.py", *words)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found["sizes"]["64, 1 ranks"]["runs"][0]["steps_per_second"] > 0
    assert len(found["load_before_and_after"]) == 2
    page = (tmp_path / "table.md").read_text(encoding="utf-8").splitlines()
    assert page[:2] == ["before", "<!-- scaling -->"]
    assert page[2].startswith("| N | ranks |")
    assert "load" in page[-3]
    assert page[-2:] == ["<!-- end -->", "after"]


def test_settings_of_the_drying_script_add_up(toy, tmp_path):
    words = ["--concentrations", 60, "--seeds", 1, "--clusters", 64, "--out", tmp_path / "out"]
    words += [word for setting in settings(toy) for word in ("--set", setting)]
    done = script("dry_concentrations.py", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("| 1.822 | 60 | ")
    recipe = dm.Run(tmp_path / "out" / "1.822nm-60mM-1").recipe
    assert recipe.cutoff_nm == toy["cutoff_nm"]
    assert recipe.stages[-1].time_ns == toy["stages.dry.time_ns"]


def test_growth_is_extrapolated_to_a_micrometre(finished, tmp_path):
    done = script("../analysis/growth.py", finished.path, "--out", tmp_path / "growth.png")
    assert done.returncode == 0, done.stderr
    assert "a mean of 1 µm" in done.stdout
    time_to = runpy.run_path(str(SCRIPTS.parent / "analysis" / "growth.py"))["time_to"]
    law = dm.GrowthLaw(Estimate(0.5, 0.1), 2.0, 0.0, 9)  # n = 2 sqrt(t)
    assert time_to(20.0, law) == pytest.approx(100.0)
    assert time_to(20.0, law, 2) == pytest.approx(10 ** (1 / 0.7))
    assert time_to(20.0, law, -2) == pytest.approx(10 ** (1 / 0.3))


@pytest.mark.parametrize(
    "name", ["growth.py", "nanowire_lengths.py", "scattering.py", "spacing_vs_tem.py"]
)
def test_runs_whose_folders_have_one_name_are_told_apart(finished, tmp_path, name):
    runs = [tmp_path / part / "run" for part in ("one", "other")]
    for run in runs:
        run.parent.mkdir()
        run.symlink_to(finished.path)
    done = script(f"../analysis/{name}", *runs, "--out", tmp_path / "figure.png")
    assert done.returncode == 0, done.stderr
    for run in runs:
        assert any(line.startswith(str(run)) for line in done.stdout.splitlines()), run
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def job(folder, *command, **more):
    """Start the Slurm script as Slurm does, with a `sbatch` that only notes what it is told."""
    folder.mkdir(exist_ok=True)
    fake = folder / "sbatch"
    fake.write_text(f'#!/bin/bash\necho "$@" >> {folder}/submitted\n', encoding="utf-8")
    fake.chmod(0o755)
    path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.Popen(
        ["bash", SCRIPTS / "submit_assembly.sbatch", *map(str, command)],
        env=OUTSIDE | {"PATH": path} | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    "options",
    [
        ("--engine=lammps", "--ranks=2"),
        pytest.param(("--engine=hoomd", "--device=cpu"), marks=pytest.mark.hoomd),
        pytest.param(("--engine=hoomd", "--device=gpu"), marks=pytest.mark.gpu),
    ],
)
def test_a_slurm_job_stops_at_a_stated_walltime_and_goes_on(toy, tmp_path, options):
    command = ["dipolar-md", "assemble", "r-au-cu", "--clusters=64", f"--out={tmp_path / 'run'}"]
    command += [*options, *(f"--set={words}" for words in settings(toy))]
    for limit, code in (["--walltime=00:00:00"], 130), ([], 0):
        program = job(tmp_path / "slurm", *command, *limit, RESUBMIT="")
        said, _ = program.communicate(timeout=240)
        assert program.returncode == code, said
    run = dm.Run(tmp_path / "run")
    assert run.finished
    used = [(session["engine"], session["ranks"]) for session in run.manifest["sessions"]]
    assert used == [("lammps", 2) if "--ranks=2" in options else ("hoomd", 1)] * 2


@pytest.mark.parametrize("resubmit", ["", "1"])
def test_a_slurm_job_stops_before_its_walltime_and_goes_on(toy, tmp_path, resubmit):
    out = tmp_path / "run"
    endless = toy | {"stages.dry.time_ns": 4000.0}
    command = ["dipolar-md", "assemble", "r-au-cu", "--clusters=64", "--threads=1", f"--out={out}"]
    command += [f"--set={words}" for words in settings(endless)]
    first = job(tmp_path / "slurm", *command, RESUBMIT=resubmit)
    for _ in range(600):
        if (out / "restart.gsd").exists():
            break
        time.sleep(0.1)
    first.send_signal(signal.SIGTERM)  # what Slurm does some minutes before the walltime
    said, _ = first.communicate(timeout=60)
    assert first.returncode == 130, said
    assert dm.Run(out).manifest["status"] == "interrupted"
    reached = dm.Run(out).manifest["sessions"][-1]["last_step"]
    assert dm.Trajectory(out / "restart.gsd")[0].step == reached > 0
    told = tmp_path / "slurm" / "submitted"
    assert told.exists() == bool(resubmit)
    if resubmit:
        assert told.read_text(encoding="utf-8").split()[1:] == [str(word) for word in command]
    second = job(tmp_path / "slurm", *command, RESUBMIT="")
    for _ in range(600):
        if len(dm.Run(out).manifest["sessions"]) == 2:
            break
        time.sleep(0.1)
    second.send_signal(signal.SIGTERM)
    second.communicate(timeout=60)
    assert dm.Run(out).manifest["sessions"][1]["first_step"] == reached


def test_a_slurm_job_ends_as_its_program_does(tmp_path):
    for code in (0, 1, 2):
        program = job(tmp_path, "bash", "-c", f"exit {code}", RESUBMIT="1")
        program.communicate(timeout=20)
        assert program.returncode == code
    assert not (tmp_path / "submitted").exists()
    said, _ = job(tmp_path, "--help").communicate(timeout=20)
    assert "sbatch" in said
    text = (SCRIPTS / "submit_assembly.sbatch").read_text(encoding="utf-8")
    assert "#SBATCH --signal=B:TERM@" in text
