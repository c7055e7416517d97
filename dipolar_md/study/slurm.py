"""Runs a study through Slurm: bundles of state points, each a task of one array job.

The script in the study's directory holds everything: `sbatch DIR/submit.sh` works by hand. Each
task is `dipolar-md study run` on its bundle; what Slurm was given is in `slurm/submitted.json`.
"""

import re
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import NamedTuple

import tomli_w

from dipolar_md.errors import DipolarMDError, EngineMissingError, InputError
from dipolar_md.files import locked, read_json, write_json, write_text
from dipolar_md.simulation.assembly import walltime_seconds
from dipolar_md.study.cost import estimate_cost
from dipolar_md.study.project import (
    JobState,
    StudyProject,
    open_project,
    prepare,
    study_directory,
)
from dipolar_md.study.study_file import Study, load_study
from dipolar_md.study.workers import project_status

WARNING_s = 120
"""Time before the end of the walltime at which Slurm asks a job to stop with checkpoints."""
FILL = 0.5
"""Part of the walltime that a task may take by the estimate, which is good to a factor of two."""


class SlurmBatch(NamedTuple):
    """What was given to Slurm: one array job.

    Attributes:
        script: File of the array job; None where nothing was left to run.
        slurm_id: Slurm's id of the array job; None where nothing was submitted.
        tasks: Ids of the study's jobs that each array task does.
        held: Number of unfinished jobs that Slurm holds from before, queued or running.
    """

    script: Path | None
    slurm_id: str | None
    tasks: list[list[str]]
    held: int


class _Request(NamedTuple):
    """What one array task asks of Slurm.

    Attributes:
        partition: Partition, None for Slurm's default.
        account: Account, None for Slurm's default.
        walltime: Time limit as Slurm takes it.
        hours: The same in hours.
        cpus: Cores.
        ranks: MPI ranks per job.
        gpus: GPUs.
    """

    partition: str | None
    account: str | None
    walltime: str
    hours: float
    cpus: int
    ranks: int
    gpus: int

    @property
    def workers(self) -> int:
        """Jobs at a time."""
        return self.gpus or self.cpus // self.ranks


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
) -> SlurmBatch:
    """Run what is new or unfinished of a study through Slurm, as one array job.

    Two minutes before its walltime a task stops with checkpoints; submit again to go on from them.
    What Slurm still holds from before isn't submitted again.

    Args:
        study: Shipped name, file, or `Study`.
        out: Its directory, seen by all nodes; default `studies/NAME`.
        partition: Partition of the cluster, default Slurm's.
        account: Account that the time is charged to, default Slurm's.
        walltime: Time limit of an array task, `HH:MM:SS` or `D-HH:MM:SS`.
        cpus: Cores per array task, default one per rank or GPU.
        ranks: MPI ranks per job of the study; `cpus // ranks` of these run at a time.
        gpus_per_job: GPUs per array task, each with a job of the study at a time (HOOMD-blue).
        bundle: Jobs of the study per array task, default as many as take half of the walltime by
            `estimate_cost`.
        dry_run: Whether to write the script only.

    Returns:
        `SlurmBatch`: what was submitted, or would be.

    Raises:
        InputError: Unknown study, a wrong number or walltime, or what Slurm refuses.
        EngineMissingError: No `sbatch` here.
        RunDirectoryError: The directory holds something else, or another submission is under way.
    """
    request = _request(partition, account, walltime, cpus, ranks, gpus_per_job)
    if bundle is not None and bundle < 1:
        raise InputError(f"bundle must be at least 1 (found {bundle})")
    if not dry_run:
        _check_slurm()
    study = load_study(study)
    path = study_directory(study, out).resolve()
    if not str(path).isprintable():  # a new line would end a comment that Slurm reads
        raise InputError(f"{str(path)!r}: has a control character; choose another --out")
    prepare(study, path)
    folder = path / "slurm"
    folder.mkdir(exist_ok=True)
    with locked(folder):
        project, held = open_project(study, path), slurm_states(path)
        states = project_status(study.name, project).states
        known = sum(state != "done" and id in held for id, state in states.items())
        groups = [group for group in project.groups if _is_new(group, states, held)]
        if not groups:
            return SlurmBatch(None, None, [], known)
        size = _groups_per_task(study, project, groups, bundle, request)
        parts = (groups[first : first + size] for first in range(0, len(groups), size))
        tasks = [[id for group in part for id in group] for part in parts]
        script = _write_script(study, path, tasks, request)
        slurm_id = None if dry_run else _submit(script, tasks, held)
    return SlurmBatch(script, slurm_id, tasks, known)


def _check_slurm() -> None:
    """Raise where jobs can't be submitted."""
    if not shutil.which("sbatch"):
        raise EngineMissingError(
            "no sbatch here, so this is no login node of a Slurm cluster; --dry-run only writes "
            "the script, and study run uses this machine"
        )


def _request(
    partition: str | None,
    account: str | None,
    walltime: str,
    cpus: int | None,
    ranks: int,
    gpus: int,
) -> _Request:
    """Return what a task asks for; raise where it makes no sense."""
    hours = _hours(walltime)
    for option, word in {"partition": partition, "account": account}.items():
        if word is not None and not re.fullmatch(r"[\w.,+@:-]+", word, re.ASCII):
            raise InputError(
                f"{option} must be a word of letters, digits and . _ , + @ : - (found {word!r})"
            )
    if ranks < 1:
        raise InputError(f"ranks must be at least 1 (found {ranks})")
    if gpus < 0 or (gpus and ranks > 1):
        raise InputError(
            f"gpus_per_job must be 0 or more, and ranks 1 with GPUs (found {gpus} and {ranks} "
            "ranks)"
        )
    least = max(ranks, gpus)
    if cpus is not None and cpus < least:
        raise InputError(f"cpus must be at least {least}, one per rank or GPU (found {cpus})")
    return _Request(partition, account, walltime, hours, cpus or least, ranks, gpus)


def _is_new(group: list[str], states: dict[str, JobState], held: dict[str, str]) -> bool:
    """Return whether jobs that run together are to be submitted."""
    if all(states[id] == "done" for id in group):
        return False
    return not any(id in held or states[id] == "running" for id in group)


def _groups_per_task(
    study: Study,
    project: StudyProject,
    groups: list[list[str]],
    bundle: int | None,
    request: _Request,
) -> int:
    """Return how many jobs, or ladders, an array task does: what was asked for, or what fits."""
    if bundle:
        return max(1, bundle // len(groups[0]))
    jobs = [[project.jobs[id] for id in group] for group in groups]
    longest = max(estimate_cost(study, group).core_hours for group in jobs)
    return request.workers * max(1, int(FILL * request.hours * request.ranks / longest))


def _submit(script: Path, tasks: list[list[str]], held: dict[str, str]) -> str:
    """Give a script to Slurm and note what it holds; return Slurm's id of the array job."""
    slurm_id = _call("sbatch", "--parsable", str(script)).split(";")[0].strip()
    path = script.parent
    record = {  # what no task is left of is forgotten
        id: old for id, old in _submitted(path).items() if held.keys() & set().union(*old)
    }
    write_json(path / "slurm" / "submitted.json", record | {slurm_id: tasks})
    return slurm_id


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
        for id, array in given.items()
        for task, group in enumerate(array)
        for job in group
        if f"{id}_{task}" in tasks
    }


def _submitted(path: Path) -> dict[str, list[list[str]]]:
    """Return the tasks of each array job that was submitted, by its Slurm id."""
    record = path / "slurm" / "submitted.json"
    if not record.exists():
        return {}
    given = read_json(record)
    for array in given.values():
        if not (isinstance(array, list) and all(_is_task(task) for task in array)):
            raise InputError(
                f"{record}: is damaged, so nobody knows what Slurm holds of this study; look with "
                "squeue, then remove the file and submit again"
            )
    return given


def _is_task(task: object) -> bool:
    return isinstance(task, list) and all(isinstance(id, str) for id in task)


def _hours(walltime: str) -> float:
    total = walltime_seconds(walltime)
    if total <= WARNING_s:
        raise InputError(
            f"walltime must be longer than the {WARNING_s} seconds in which jobs stop "
            f"(found '{walltime}')"
        )
    return total / 3600


def _write_script(study: Study, path: Path, tasks: list[list[str]], request: _Request) -> Path:
    """Write the script of an array job, and the study as it is now for tasks that start later."""
    data = study.model_dump(exclude_none=True)
    if study.recipe.endswith(".toml"):
        data["recipe"] = str(Path(study.recipe).resolve())
    write_text(path / "study.toml", tomli_w.dumps(data))
    return write_text(path / "submit.sh", _script(study, path, tasks, request))


def _script(study: Study, path: Path, tasks: list[list[str]], request: _Request) -> str:
    program = Path(sysconfig.get_path("scripts")) / "dipolar-md"
    run = shlex.join([str(program), "study", "run", str(path / "study.toml"), f"--out={path}"])
    device = "gpu" if request.gpus else "cpu"
    options = {
        "job-name": study.name,
        "array": f"0-{len(tasks) - 1}",
        "ntasks": 1,
        "cpus-per-task": request.cpus,
        "gres": f"gpu:{request.gpus}" if request.gpus else None,
        "time": request.walltime,
        "signal": f"B:TERM@{WARNING_s}",
        "partition": request.partition,
        "account": request.account,
        "output": f"{path}/slurm/%A_%a.log",
    }
    return "\n".join(
        [
            "#!/bin/bash",
            "# Written by dipolar-md study submit: what was left, a bundle per array task.",
            "# By hand: sbatch submit.sh. A task stops with checkpoints before its time is over.",
            *(
                f"#SBATCH --{name}={shlex.quote(str(value))}"
                for name, value in options.items()
                if value is not None
            ),
            "",
            "bundles=(",
            *("    " + ",".join(task) for task in tasks),
            ")",
            "# exec: Slurm's signal goes to this shell, so the program has to take its place",
            f"exec {run} \\",
            f"    --workers={request.workers} --ranks={request.ranks} --device={device} "
            '--jobs="${bundles[$SLURM_ARRAY_TASK_ID]}"',
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
