"""Runs the state points of a study on the cores of this machine; each is a job of a signac project.

A worker process takes one job at a time, on a core, some MPI ranks or a GPU, under the job's own
lock. What a job has learnt is in its document, written in one piece when it ends; until then its
run directory resumes. So a worker or the whole study may be killed at any moment, and two may run
at once.
"""

import multiprocessing
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import NamedTuple

from dipolar_md.engines.protocol import DeviceName
from dipolar_md.errors import DipolarMDError, InputError, RunDirectoryError
from dipolar_md.files import locked
from dipolar_md.simulation.assembly import assemble
from dipolar_md.simulation.run_directory import Run
from dipolar_md.study.devices import assign_devices, environment_of
from dipolar_md.study.jobs import Job
from dipolar_md.study.ladder import run_ladder
from dipolar_md.study.project import (
    JobFolder,
    JobState,
    StudyProject,
    open_project,
    prepare,
    study_directory,
)
from dipolar_md.study.stopping import Watch
from dipolar_md.study.study_file import Study, load_study
from dipolar_md.study.table import Row, make_row

Group = list[tuple[JobFolder, Job]]
"""Jobs that run together, those of a ladder or one alone, with their folders."""
MOST_DEATHS = 5
"""Times that a job may lose its worker in one session before it is left for the next."""


class StudyStatus(NamedTuple):
    """Where a study is.

    Attributes:
        name: Name of the study.
        path: Directory of its signac project.
        states: State of each job by id: `done`, `failed`, `damaged`, `running`, `interrupted` or
            `waiting`.
        errors: What went wrong, in words, by id of the jobs that failed or are damaged.
        budget: Number of finished jobs that ended at their budget, short of the error asked for.
        unsettled: Number of finished jobs whose mean chain length isn't equilibrated.
        others: Number of jobs in the project that the study file doesn't ask for (any more).
        jobs: Jobs by id.
    """

    name: str
    path: Path
    states: dict[str, JobState]
    errors: dict[str, str]
    budget: int
    unsettled: int
    others: int
    jobs: dict[str, Job]

    @property
    def counts(self) -> Counter[str]:
        """Number of jobs in each state."""
        return Counter(self.states.values())

    @property
    def to_run(self) -> list[Job]:
        """Jobs that aren't done."""
        return [self.jobs[id] for id, state in self.states.items() if state != "done"]


def study_status(
    study: Study | str | Path, out: str | Path | None = None, jobs: Collection[str] | None = None
) -> StudyStatus:
    """Return where a study is; nothing is written.

    Args:
        study: Shipped name, file, or `Study`.
        out: Its directory, default `studies/NAME`.
        jobs: Ids of the only jobs to tell of.

    Returns:
        `StudyStatus`.

    Raises:
        InputError: Unknown study, or it has none of these jobs.
        RunDirectoryError: The directory holds something else.
    """
    study = load_study(study)
    path = study_directory(study, out)
    if path.exists() or jobs:
        return project_status(study.name, open_project(study, path), jobs)
    waiting = {str(number): job for number, job in enumerate(study.jobs)}
    return StudyStatus(study.name, path, dict.fromkeys(waiting, "waiting"), {}, 0, 0, 0, waiting)


def project_status(
    name: str, project: StudyProject, jobs: Collection[str] | None = None
) -> StudyStatus:
    """Return where the study of a project is; arguments as in `study_status`."""
    chosen = {id: job for id, job in project.jobs.items() if jobs is None or id in jobs}
    if not chosen:
        known = ", ".join(jobs or ())
        raise InputError(f"{project.path}: none of these jobs is in the study: {known}")
    on_disk = {id: project.folder(id).read() for id in chosen}
    rows = [document["row"] for state, document in on_disk.values() if state == "done"]
    return StudyStatus(
        name,
        project.path,
        {id: state for id, (state, _) in on_disk.items()},
        {id: str(document["error"]) for id, (state, document) in on_disk.items()
         if state in ("failed", "damaged")},
        sum(row["ended"] == "budget" for row in rows),
        sum(not row["equilibrated"] for row in rows),
        len(project.others),
        chosen,
    )  # fmt: skip


def run_study(
    study: Study | str | Path,
    out: str | Path | None = None,
    workers: int | None = None,
    progress: Callable[[float, Counter[str]], None] | None = None,
    *,
    device: DeviceName = "auto",
    ranks: int = 1,
    jobs: Collection[str] | None = None,
) -> StudyStatus:
    """Run what is new or unfinished of a study, one job per core or GPU; return where it is then.

    Failed jobs are tried again; those of another process are left to it. SIGINT and SIGTERM let the
    jobs write a checkpoint and raise `KeyboardInterrupt`. Worker processes import the caller's main
    module: a script needs its `if __name__ == "__main__":`.

    Args:
        study: Shipped name, file, or `Study`.
        out: Its directory, a signac project; default `studies/NAME`.
        workers: Jobs at a time, default one per GPU, or one per `ranks` cores of this process.
        progress: Function called with the part of all jobs done so far (0 to 1) and the number of
            jobs in each state.
        device: `cpu`, `gpu`, or `auto`: GPUs where HOOMD-blue can use enough of them.
        ranks: MPI ranks per job (LAMMPS, on cores).
        jobs: Ids of the only jobs to run; a ladder runs as a whole.

    Returns:
        The status when the work ended.

    Raises:
        InputError: Unknown study or jobs, no workers, or more than there are cores or GPUs for.
        EngineMissingError: Device 'gpu', but none is usable.
        RunDirectoryError: The directory holds something else, or can't be written.
    """
    study = load_study(study)
    slots = assign_devices(workers, ranks, device)
    # tasks of an array job needn't queue for the lock of the project: their jobs are made
    project = open_project(study, study_directory(study, out) if jobs else prepare(study, out))
    groups = {group[0]: group for group in project.groups if jobs is None or set(jobs) & set(group)}
    if jobs:
        jobs = [id for group in groups.values() for id in group] or jobs
    status = project_status(study.name, project, jobs)
    pool = _Pool(study, project, groups, status.states, ranks, progress)
    with _terminable():
        pool.run(slots)
    return project_status(study.name, project, jobs)


class _Worker(NamedTuple):
    """A worker process, the group of jobs that it does, and its GPU (None for cores)."""

    process: SpawnProcess
    group: str
    slot: str | None


class _Pool:
    """One worker per slot, busy until no group of jobs is left.

    A group goes by the id of its first job. A worker that dies is replaced, its group goes on.
    """

    def __init__(
        self,
        study: Study,
        project: StudyProject,
        groups: dict[str, list[str]],
        states: Mapping[str, JobState],
        ranks: int,
        progress: Callable[[float, Counter[str]], None] | None,
    ) -> None:
        self.study, self.project, self.groups = study, project, groups
        self.states, self.ranks, self.progress = dict(states), ranks, progress
        self.parts = {id: float(state == "done") for id, state in states.items()}
        self.deaths = Counter[str]()
        self.team: dict[Connection, _Worker] = {}
        self.todo = deque(group for group in groups if self._is_open(group))

    def _is_open(self, group: str) -> bool:
        states = {self.states[id] for id in self.groups[group]}
        return states != {"done"} and "running" not in states

    def run(self, slots: list[str | None]) -> None:
        """Do all groups; stop the workers on an error or signal, each with a checkpoint."""
        try:
            for slot in slots[: len(self.todo)]:
                self._hire(slot)
            while self.team:
                for pipe in wait(list(self.team)):
                    assert isinstance(pipe, Connection)
                    self._hear(pipe)
        finally:  # a closed pipe makes a worker stop
            for pipe in self.team:
                pipe.close()
            try:
                for worker in self.team.values():
                    worker.process.join()
            except KeyboardInterrupt:  # the second: at once, each with its last checkpoint
                for worker in self.team.values():
                    worker.process.kill()
                raise

    def _hear(self, pipe: Connection) -> None:
        """Take what a worker tells: how far it is, that its group is over, or nothing any more."""
        worker, part = self.team[pipe], 0.0
        try:
            part, state = pipe.recv()
        except (EOFError, OSError):  # it was killed, or crashed
            self._replace(pipe)
        else:
            self._mark(worker.group, state)
            if part == 1.0 and self.todo:
                self._assign(pipe, worker.process, worker.slot)
            elif part == 1.0:
                self._dismiss(pipe)
        self._tell(worker.group, part)

    def _hire(self, slot: str | None) -> None:
        """Start a worker with the next group."""
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe()
        device = "cpu" if slot is None else "gpu"
        with environment_of(slot):
            process = context.Process(target=_work, args=(theirs, self.study, device, self.ranks))
            process.start()
        theirs.close()
        self._assign(mine, process, slot)

    def _assign(self, pipe: Connection, process: SpawnProcess, slot: str | None) -> None:
        group = self.todo.popleft()
        self._mark(group, "running")
        self.team[pipe] = _Worker(process, group, slot)
        pipe.send([(self.project.folder(id), self.project.jobs[id]) for id in self.groups[group]])

    def _dismiss(self, pipe: Connection) -> int | None:
        """Let a worker end; return its exit code."""
        worker = self.team.pop(pipe)
        pipe.close()
        worker.process.join()
        return worker.process.exitcode

    def _replace(self, pipe: Connection) -> None:
        """Hire another worker for one that died; give its group up where that happens often."""
        worker, code = self.team[pipe], self._dismiss(pipe)
        self.deaths[worker.group] += 1
        if self.deaths[worker.group] < MOST_DEATHS:
            self._mark(worker.group, "interrupted")
            self.todo.append(worker.group)  # not next: what ends workers may be passing
        else:
            self._mark(worker.group, "failed")
            for id in self.groups[worker.group]:
                _give_up(self.project.folder(id), code)
        if self.todo:
            self._hire(worker.slot)

    def _mark(self, group: str, state: JobState) -> None:
        self.states.update(dict.fromkeys(self.groups[group], state))

    def _tell(self, group: str, part: float) -> None:
        for id in self.groups[group]:
            self.parts[id] = max(self.parts[id], part)
        if self.progress:
            self.progress(sum(self.parts.values()) / len(self.parts), Counter(self.states.values()))


def _work(pipe: Connection, study: Study, device: DeviceName, ranks: int) -> None:
    """Do groups of jobs as they come, until the pipe closes: then stop after the present chunk."""
    import freud

    for name in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all; the leader decides
        signal.signal(name, signal.SIG_IGN)
    freud.parallel.set_num_threads(1)
    try:
        while True:
            group = pipe.recv()
            pipe.send((1.0, _do(group, study, pipe, device, ranks)))
    except (EOFError, OSError):
        return


def _do(group: Group, study: Study, pipe: Connection, device: DeviceName, ranks: int) -> JobState:
    """Run a job, or the jobs of a ladder, to the end; return their state.

    Nothing happens where they are done, or another process is at them.
    """
    try:
        with ExitStack() as locks:
            for folder, _ in group:
                locks.enter_context(_patiently_locked(folder.path))
            if all(folder.read()[0] == "done" for folder, _ in group):
                return "done"  # meanwhile, elsewhere
            return _run_and_record(group, study, pipe, device, ranks)
    except RunDirectoryError:
        return "running"  # elsewhere


def _run_and_record(
    group: Group, study: Study, pipe: Connection, device: DeviceName, ranks: int
) -> JobState:
    """Run jobs whose locks are held and write into their documents what came of it."""
    began = time.perf_counter()
    try:
        rows = _run_group(group, study, pipe, device, ranks)
    except Exception as error:  # whatever it is, it is told and the other jobs go on
        kind = "" if isinstance(error, DipolarMDError) else f"{type(error).__name__}: "
        for folder, _ in group:
            folder.write_document({"status": "failed", "error": f"{kind}{error}"})
        return "failed"
    seconds = (time.perf_counter() - began) / len(group)
    for (folder, _), row in zip(group, rows, strict=False):
        row["seconds"] = seconds
        folder.write_document({"status": "done", "error": "", "row": row})
    return "done" if rows else "interrupted"


def _run_group(
    group: Group, study: Study, pipe: Connection, device: DeviceName, ranks: int
) -> list[Row]:
    """Return the rows of a job, or of the jobs of a ladder; empty where they were interrupted."""
    watches = [Watch(folder.path / "run", study.stopping, pipe) for folder, _ in group]
    more: list[Row] | None
    if study.sampling == "exchange":
        more = _run_ladder(study, group, watches, device, ranks)
    else:
        ((_, job),), (watch,) = group, watches
        run = assemble(job.plan, watch.path, device=device, threads=1, ranks=ranks, progress=watch)
        more = [{}] if run.finished or watch.reached else None
    if more is None:
        return []
    return [
        make_row(job, Run(watch.path), study.stopping, watch.reached) | extra
        for (_, job), watch, extra in zip(group, watches, more, strict=True)
    ]


def _run_ladder(
    study: Study, group: Group, watches: list[Watch], device: DeviceName, ranks: int
) -> list[Row] | None:
    """Run the jobs of a ladder; return what their rows hold of the exchange."""
    plans = [job.plan for _, job in group]
    first, rule, recipe = watches[0], study.stopping, plans[0].recipe

    def enough() -> bool:
        if not (rule and first.time_to_look()):
            return False
        return all(watch.enough(rule.relative_error) for watch in watches)

    ladder = run_ladder(
        plans,
        [watch.path for watch in watches],
        group[0][0].path / "ladder.npz",
        recipe.seed,
        study.sweep_steps(plans[0].stages[0].time_step_ps),
        first.told_to_stop,
        enough,
        device=device,
        ranks=ranks,
    )
    if not ladder.finished:
        return None
    for watch in watches:
        watch.reached = ladder.enough
    return [
        {
            "exchange_acceptance": ratio,
            "exchange_round_trips": ladder.tally.round_trips,
            "exchange_attempts": int(ladder.tally.attempts.max()),
        }
        for ratio in [*ladder.tally.ratios(), None]
    ]


def _give_up(folder: JobFolder, code: int | None) -> None:
    """Note that a job keeps losing its workers."""
    how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    error = (
        f"its worker died {MOST_DEATHS} times, last by {how} (out of memory?); repeat study run to "
        "go on from its checkpoint"
    )
    with locked(folder.path):
        folder.write_document({"status": "failed", "error": error})


@contextmanager
def _patiently_locked(folder: Path) -> Iterator[None]:
    """Hold a job; who only looks at its state holds it for an instant, so ask three times."""
    for again in (True, True, False):
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(folder))
            except RunDirectoryError:
                if not again:
                    raise
                time.sleep(0.1)
            else:
                yield
                return


@contextmanager
def _terminable() -> Iterator[None]:
    """Take SIGTERM, by which a queue ends a job, and SIGHUP of a closed terminal, like SIGINT."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [
        name
        for name in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(name) is not signal.SIG_IGN
    ]
    before = {name: signal.signal(name, signal.default_int_handler) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
