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
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from dipolar_md.engines.protocol import DeviceName
from dipolar_md.errors import DipolarMDError, InputError, RunDirectoryError
from dipolar_md.simulation.assembly import Run, assemble, locked
from dipolar_md.simulation.recipe import Recipe
from dipolar_md.study.devices import divide, environment_of
from dipolar_md.study.ladder import run_ladder
from dipolar_md.study.project import (
    directory,
    document_of,
    open_project,
    prepare,
    state_of,
    units_of,
)
from dipolar_md.study.stopping import Watch
from dipolar_md.study.study_file import StatePoint, Study, load_study
from dipolar_md.study.table import row_of

MOST_DEATHS = 5
"""Times that a job may lose its worker in one session before it is left for the next."""


class StudyStatus(NamedTuple):
    """Where a study is.

    Attributes:
        name, path: of the study and its signac project.
        states: `done`, `failed`, `running`, `interrupted` or `waiting` by job id.
        errors: what went wrong, in words, by job id of the failed.
        budget: finished jobs that ended at their budget short of the error asked for.
        unsettled: finished jobs whose mean chain length isn't equilibrated.
        others: jobs in the project that the study file doesn't ask for (any more).
        points: state points by job id.
    """

    name: str
    path: Path
    states: dict[str, str]
    errors: dict[str, str]
    budget: int
    unsettled: int
    others: int
    points: dict[str, StatePoint]

    @property
    def counts(self) -> Counter[str]:
        """How many jobs are in each state."""
        return Counter(self.states.values())

    @property
    def to_run(self) -> list[StatePoint]:
        """State points that aren't done."""
        return [self.points[id] for id, state in self.states.items() if state != "done"]


def study_status(
    study: Study | str | Path, out: str | Path | None = None, jobs: Collection[str] | None = None
) -> StudyStatus:
    """Return where a study is; nothing is written.

    Args:
        study: shipped name, file, or `Study`.
        out: its directory, default `studies/NAME`.
        jobs: ids of the only jobs to tell of.

    Raises:
        InputError: unknown study, or it has none of these jobs.
        RunDirectoryError: the directory holds something else.
    """
    study = study if isinstance(study, Study) else load_study(study)
    path = directory(study, out)
    if not path.exists() and not jobs:
        waiting = {str(i): point for i, point in enumerate(study.points())}
        return StudyStatus(
            study.name, path, dict.fromkeys(waiting, "waiting"), {}, 0, 0, 0, waiting
        )
    project = open_project(study, path)
    every = {job.id: job for job in map(project.open_job, study.points())}
    chosen = [job for id, job in every.items() if jobs is None or id in jobs]
    if not chosen:
        raise InputError(f"{path}: none of these jobs is in the study: {', '.join(jobs or ())}")
    documents = {job.id: document_of(job) for job in chosen}
    states = {job.id: state_of(Path(job.path), documents[job.id]) for job in chosen}
    rows = [documents[id]["row"] for id, state in states.items() if state == "done"]
    return StudyStatus(
        study.name,
        path,
        states,
        {id: str(documents[id]["error"]) for id, state in states.items() if state == "failed"},
        sum(row["ended"] == "budget" for row in rows),
        sum(not row["equilibrated"] for row in rows),
        len({job.id for job in project} - set(every)),
        {job.id: dict(job.cached_statepoint) for job in chosen},
    )


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
        study: shipped name, file, or `Study`.
        out: its directory, a signac project; default `studies/NAME`.
        workers: jobs at a time, default one per GPU, or one per `ranks` cores of this process.
        progress: called with the part of all jobs done so far (0 to 1) and the jobs per state.
        device: `cpu`, `gpu`, or `auto`: GPUs where HOOMD-blue can use enough of them.
        ranks: MPI ranks per job (LAMMPS, on cores).
        jobs: ids of the only jobs to run.

    Raises:
        InputError: unknown study or jobs, no workers, or more than there are cores or GPUs for.
        EngineMissingError: device 'gpu', but none is usable.
        RunDirectoryError: the directory holds something else, or can't be written.
    """
    study = study if isinstance(study, Study) else load_study(study)
    slots = divide(workers, ranks, device)
    path = (
        directory(study, out) if jobs else prepare(study, out)
    )  # array tasks needn't queue for it
    ladders = units_of(study, path)
    if jobs:  # a ladder runs as a whole
        jobs = [id for ids in ladders if set(ids) & set(jobs) for id in ids] or jobs
    status = study_status(study, path, jobs)
    units = {ids[0]: ids for ids in ladders if ids[0] in status.states}
    found = {id: {status.states[one] for one in ids} for id, ids in units.items()}
    todo = deque(
        id for id, states in found.items() if states != {"done"} and "running" not in states
    )
    parts = dict.fromkeys(status.states, 0.0) | {
        id: 1.0 for id, state in status.states.items() if state == "done"
    }

    def tell(id: str, part: float, states: Counter[str]) -> None:
        for one in units[id]:
            parts[one] = max(parts[one], part)
        if progress:
            progress(sum(parts.values()) / len(parts), states)

    with _terminable():
        _work_off(study, path, status, units, todo, slots[: len(todo)], ranks, tell)
    return study_status(study, path, jobs)


def _work_off(
    study: Study,
    path: Path,
    status: StudyStatus,
    units: dict[str, list[str]],
    todo: deque[str],
    slots: list[str | None],
    ranks: int,
    tell: Callable[[str, float, Counter[str]], None],
) -> None:
    """Keep one worker per slot busy until no job is left; a dead one is replaced, its job goes on.

    A slot is the name of a GPU, or None for cores.
    """
    context = multiprocessing.get_context("spawn")
    states, deaths = dict(status.states), Counter[str]()
    team: dict[Connection, tuple[Any, str, str | None]] = {}

    def mark(unit: str, state: str) -> None:
        states.update(dict.fromkeys(units[unit], state))

    def hire(slot: str | None) -> None:
        """Start a worker with the next job."""
        mine, theirs = context.Pipe()
        device = "cpu" if slot is None else "gpu"
        with environment_of(slot):
            process = context.Process(target=_work, args=(theirs, study, path, device, ranks))
            process.start()
        theirs.close()
        assign(mine, process, slot)

    def assign(pipe: Connection, process: Any, slot: str | None) -> None:
        job = todo.popleft()
        mark(job, "running")
        team[pipe] = (process, job, slot)
        pipe.send(units[job])

    def dismiss(pipe: Connection) -> Any:
        process, _, _ = team.pop(pipe)
        pipe.close()
        process.join()
        return process.exitcode

    try:
        for slot in slots:
            hire(slot)
        while team:
            for pipe in wait(list(team)):
                assert isinstance(pipe, Connection)
                process, job, slot = team[pipe]
                try:
                    part, state = pipe.recv()
                except (EOFError, OSError):  # it was killed, or crashed
                    code, part, state = dismiss(pipe), 0.0, "interrupted"
                    deaths[job] += 1
                    if deaths[job] < MOST_DEATHS:
                        todo.append(job)  # not next: what ends workers may be passing
                    else:
                        for id in units[job]:
                            _give_up(path, id, code)
                        state = "failed"
                    if todo:
                        hire(slot)
                else:
                    if part == 1.0 and todo:
                        assign(pipe, process, slot)
                    elif part == 1.0:
                        dismiss(pipe)
                mark(job, state)
                tell(job, part, Counter(states.values()))
    finally:  # on an error or signal, too: a closed pipe makes a worker stop with a checkpoint
        for pipe in team:
            pipe.close()
        for process, _, _ in team.values():
            process.join()


def _work(pipe: Connection, study: Study, path: Path, device: DeviceName, ranks: int) -> None:
    """Do jobs as they come, until the pipe closes: then stop after the present chunk."""
    import freud

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the leader decides
    freud.parallel.set_num_threads(1)
    project = open_project(study, path)
    try:
        while True:
            jobs = [project.open_job(id=id) for id in pipe.recv()]
            pipe.send((1.0, _do(jobs, study, pipe, device, ranks)))
    except (EOFError, OSError):
        return


def _do(jobs: list[Any], study: Study, pipe: Connection, device: DeviceName, ranks: int) -> str:
    """Run a job, or the jobs of a ladder, to the end; return their state.

    Nothing happens where they are done, or another process is at them.
    """
    try:
        with ExitStack() as locks:
            for job in jobs:
                locks.enter_context(_patiently_locked(Path(job.path)))
            if all(
                document_of(job).get("status") == "done" for job in jobs
            ):  # meanwhile, elsewhere
                return "done"
            watches = [Watch(Path(job.path) / "run", study.stopping, pipe) for job in jobs]
            began = time.perf_counter()
            try:
                recipes = [study.recipe_of(dict(job.cached_statepoint)) for job in jobs]
                if study.sampling == "exchange":
                    learnt = _run_ladder(study, jobs, recipes, watches, device, ranks)
                else:
                    (recipe,), (watch,) = recipes, watches
                    run = assemble(
                        recipe, watch.path, device=device, threads=1, ranks=ranks, progress=watch
                    )
                    learnt = [{}] if run.finished or watch.reached else None
                if learnt is None:
                    return "interrupted"
                runs = [(Run(watch.path), study.stopping, watch.reached) for watch in watches]
                rows = [row_of(*one) | more for one, more in zip(runs, learnt, strict=True)]
            except Exception as error:  # whatever it is, it is told and the other jobs go on
                kind = "" if isinstance(error, DipolarMDError) else f"{type(error).__name__}: "
                for job in jobs:
                    job.document.reset({"status": "failed", "error": f"{kind}{error}"})
                return "failed"
            seconds = (time.perf_counter() - began) / len(jobs)
            for job, row in zip(jobs, rows, strict=True):
                document = {"status": "done", "error": "", "row": row | {"seconds": seconds}}
                job.document.reset(document)
            return "done"
    except RunDirectoryError:
        return "running"  # elsewhere


def _run_ladder(
    study: Study,
    jobs: list[Any],
    recipes: list[Recipe],
    watches: list[Watch],
    device: DeviceName,
    ranks: int,
) -> list[dict[str, Any]] | None:
    """Run the jobs of a ladder; return what their rows hold of the exchange."""
    first, rule = watches[0], study.stopping

    def enough() -> bool:
        if not (rule and first.time_to_look()):
            return False
        return all(watch.enough(rule.relative_error) for watch in watches)

    ladder = run_ladder(
        recipes,
        [watch.path for watch in watches],
        Path(jobs[0].path) / "ladder.npz",
        recipes[0].seed,
        study.sweep_steps(recipes[0].time_step_ps),
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


def _give_up(path: Path, id: str, code: int | None) -> None:
    """Note that a job keeps losing its workers."""
    import signac

    how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    job = signac.get_project(path, search=False).open_job(id=id)
    with locked(Path(job.path)):
        job.document.reset(
            {
                "status": "failed",
                "error": f"its worker died {MOST_DEATHS} times, last by {how} (out of memory?); "
                "repeat study run to go on from its checkpoint",
            }
        )


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
    """Take SIGTERM, by which a queue ends a job, like SIGINT."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
