"""Runs a study through Slurm: bundles of state points, each a task of one array job.

The script in the study's directory holds everything: `sbatch DIR/submit.sh` works by hand. Each
task is `dipolar-md study run` on its bundle; what Slurm was given is in `slurm/submitted.json`.
"""

import json
import re
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import NamedTuple

import tomli_w

from dipolar_md.errors import DipolarMDError, EngineMissingError, InputError
from dipolar_md.simulation.assembly import locked, write_file
from dipolar_md.study.project import prepare, units_of
from dipolar_md.study.study_file import StatePoint, Study, estimate, load_study
from dipolar_md.study.workers import study_status

WARNING_s = 120
"""Time before the end of the walltime at which Slurm asks a job to stop with checkpoints."""
FILL = 0.5
"""Part of the walltime that a bundle may take by the estimate, which is good to a factor of two."""


class Submission(NamedTuple):
    """What was given to Slurm.

    Attributes:
        script: the array job; None where nothing was left to run.
        slurm_id: of the array job; None where nothing was submitted.
        bundles: ids of the signac jobs of each array task.
        held: unfinished state points that Slurm holds from before, queued or running.
    """

    script: Path | None
    slurm_id: str | None
    bundles: list[list[str]]
    held: int


def submit_study(
    study: Study | str | Path,
    out: str | Path | None = None,
    *,
    partition: str | None = None,
    account: str | None = None,
    walltime: str = "01:00:00",
    cpus: int | None = None,
    ranks: int = 1,
    gpus_per_job: int = 0,
    bundle: int | None = None,
    dry_run: bool = False,
) -> Submission:
    """Run what is new or unfinished of a study through Slurm, as one array job.

    Two minutes before its walltime a task stops with checkpoints; submit again to go on from them.
    What Slurm still holds from before isn't submitted again.

    Args:
        study: shipped name, file, or `Study`.
        out: its directory, seen by all nodes; default `studies/NAME`.
        partition: of the cluster, default Slurm's.
        account: that the time is charged to, default Slurm's.
        walltime: of an array task, `HH:MM:SS` or `D-HH:MM:SS`.
        cpus: cores per array task, default one per rank or GPU.
        ranks: MPI ranks per state point; `cpus // ranks` of them run at a time.
        gpus_per_job: GPUs per array task, a state point each at a time (HOOMD-blue).
        bundle: state points per array task, default as many as take half of the walltime by
            `estimate`.
        dry_run: only write the script.

    Raises:
        InputError: unknown study, a wrong number or walltime, or what Slurm refuses.
        EngineMissingError: no `sbatch` here.
        RunDirectoryError: the directory holds something else, or another submission is under way.
    """
    hours = _hours(walltime)
    for name, number in (("ranks", ranks), ("bundle", bundle)):
        if number is not None and number < 1:
            raise InputError(f"{name} must be at least 1 (found {number})")
    if gpus_per_job < 0 or (gpus_per_job and ranks > 1):
        raise InputError(
            f"gpus_per_job must be 0 or more, and ranks 1 with GPUs (found {gpus_per_job} and "
            f"{ranks} ranks)"
        )
    least = max(ranks, gpus_per_job)
    cpus = least if cpus is None else cpus
    if cpus < least:
        raise InputError(f"cpus must be at least {least}, one per rank or GPU (found {cpus})")
    workers = gpus_per_job or cpus // ranks
    if not dry_run and not shutil.which("sbatch"):
        raise EngineMissingError(
            "no sbatch here, so this is no login node of a Slurm cluster; --dry-run only writes "
            "the script, and study run uses this machine"
        )
    study = study if isinstance(study, Study) else load_study(study)
    path = prepare(study, out).resolve()
    folder = path / "slurm"
    folder.mkdir(exist_ok=True)
    with locked(folder):
        held = slurm_states(path)
        status = study_status(study, path)
        todo = [
            unit
            for unit in units_of(study, path)
            if {status.states[id] for id in unit} != {"done"}
            and not any(id in held or status.states[id] == "running" for id in unit)
        ]
        known = len([id for id, state in status.states.items() if state != "done" and id in held])
        if not todo:
            return Submission(None, None, [], known)
        if bundle:
            size = max(1, bundle // len(todo[0]))
        else:
            points = [[status.points[id] for id in unit] for unit in todo]
            size = workers * _in_turn(study, points, hours * ranks)
        parts = (todo[i : i + size] for i in range(0, len(todo), size))
        bundles = [[id for unit in part for id in unit] for part in parts]
        requests = {
            "job-name": study.name,
            "array": f"0-{len(bundles) - 1}",
            "ntasks": 1,
            "cpus-per-task": cpus,
            "gres": f"gpu:{gpus_per_job}" if gpus_per_job else None,
            "time": walltime,
            "signal": f"B:TERM@{WARNING_s}",
            "partition": partition,
            "account": account,
            "output": f"{folder}/%A_%a.log",
        }
        device = "gpu" if gpus_per_job else "cpu"
        options = f"--workers={workers} --ranks={ranks} --device={device}"
        _keep(study, path / "study.toml")
        script = path / "submit.sh"
        write_file(script, _script(path, bundles, requests, options).encode())
        if dry_run:
            return Submission(script, None, bundles, known)
        slurm_id = _call("sbatch", "--parsable", str(script)).split(";")[0].strip()
        given = {  # what no task is left of is forgotten
            id: old for id, old in _submitted(path).items() if held.keys() & set().union(*old)
        }
        write_file(
            folder / "submitted.json",
            (json.dumps(given | {slurm_id: bundles}, indent=1) + "\n").encode(),
        )
    return Submission(script, slurm_id, bundles, known)


def slurm_states(path: Path) -> dict[str, str]:
    """Return what Slurm says (PENDING, RUNNING, …) of the state points that it holds, by job id.

    Raises:
        DipolarMDError: Slurm doesn't answer.
    """
    given = _submitted(path)
    if not given or not shutil.which("squeue"):
        return {}
    lines = _call("squeue", "--me", "--array", "--noheader", "--format=%i %T").splitlines()
    tasks = dict(line.split() for line in lines)
    return {
        job: tasks[f"{id}_{task}"]
        for id, bundles in given.items()
        for task, bundle in enumerate(bundles)
        for job in bundle
        if f"{id}_{task}" in tasks
    }


def _submitted(path: Path) -> dict[str, list[list[str]]]:
    """Return the bundles of each array job that was submitted, by its Slurm id."""
    record = path / "slurm" / "submitted.json"
    return dict(json.loads(record.read_text(encoding="utf-8"))) if record.exists() else {}


def _hours(walltime: str) -> float:
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", walltime)
    total = 0
    if found:
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        total = (days * 24 + hours) * 3600 + minutes * 60 + seconds
    if total <= WARNING_s:
        raise InputError(
            f"walltime must be HH:MM:SS or D-HH:MM:SS, and longer than the {WARNING_s} seconds in "
            f"which jobs stop (found '{walltime}')"
        )
    return total / 3600


def _in_turn(study: Study, units: list[list[StatePoint]], core_hours: float) -> int:
    """Return how many units one worker can do one after another in that time; at least 1."""
    longest = max(estimate(study, unit).core_hours for unit in units)
    return max(1, int(FILL * core_hours / longest))


def _keep(study: Study, file: Path) -> None:
    """Write a study as it is now, for tasks that start later."""
    data = study.model_dump(exclude_none=True)
    if study.recipe.endswith(".toml"):
        data["recipe"] = str(Path(study.recipe).resolve())
    write_file(file, tomli_w.dumps(data).encode())


def _script(path: Path, bundles: list[list[str]], requests: dict[str, object], options: str) -> str:
    program = Path(sysconfig.get_path("scripts")) / "dipolar-md"
    run = shlex.join([str(program), "study", "run", str(path / "study.toml"), f"--out={path}"])
    return "\n".join(
        [
            "#!/bin/bash",
            "# Written by dipolar-md study submit: what was left, a bundle per array task.",
            "# By hand: sbatch submit.sh. A task stops with checkpoints before its time is over.",
            *(
                f"#SBATCH --{name}={shlex.quote(str(value))}"
                for name, value in requests.items()
                if value is not None
            ),
            "",
            "bundles=(",
            *("    " + ",".join(bundle) for bundle in bundles),
            ")",
            "# exec: Slurm's signal goes to this shell, so the program has to take its place",
            f"exec {run} \\",
            f'    {options} --jobs="${{bundles[$SLURM_ARRAY_TASK_ID]}}"',
            "",
        ]
    )


def _call(*command: str) -> str:
    """Return what a command of Slurm prints.

    Raises:
        InputError: what sbatch refuses.
        DipolarMDError: Slurm doesn't answer.
    """
    answer = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if answer.returncode:
        kind = InputError if command[0] == "sbatch" else DipolarMDError
        raise kind(f"{command[0]} says: {' '.join(answer.stderr.split())}")
    return answer.stdout
