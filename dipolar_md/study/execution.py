"""Runs the state points of a study on the cores of this machine; each is a job of a signac project.

A worker process takes one job at a time, on a core, some MPI ranks or a GPU, under the job's own
lock. What a job has learnt is in its document, written in one piece when it ends; until then its
run directory resumes. So a worker or the whole study may be killed at any moment, and two may run
at once.
"""

import math
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from dipolar_md.analysis.chains import DEFAULT_CRITERION, find_neighbours, mean_length
from dipolar_md.analysis.nanowires import nanowire_statistics
from dipolar_md.analysis.timeseries import equilibration, mean_estimate
from dipolar_md.engines import DeviceName
from dipolar_md.errors import DipolarMDError, InputError, RunDirectoryError
from dipolar_md.model.outlook import expected_mean_length
from dipolar_md.simulation.assembly import Progress, Run, assemble, locked
from dipolar_md.study.grid import StatePoint, Stopping, Study, load_study
from dipolar_md.study.project import directory, document_of, open_project, prepare, state_of
from dipolar_md.study.resources import divide, environment_of
from dipolar_md.units import DEBYE

MOST_DEATHS = 5
"""Times that a job may lose its worker in one session before it is left for the next."""
CHECKS = 20
"""Looks at the stopping rule over the last stage."""


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
    status = study_status(study, path, jobs)
    todo = deque(id for id, state in status.states.items() if state not in ("done", "running"))
    parts = dict.fromkeys(status.states, 0.0) | {
        id: 1.0 for id, state in status.states.items() if state == "done"
    }

    def tell(id: str, part: float, states: Counter[str]) -> None:
        parts[id] = max(parts[id], part)
        if progress:
            progress(sum(parts.values()) / len(parts), states)

    with _terminable():
        _work_off(study, path, status, todo, slots[: len(todo)], ranks, tell)
    return study_status(study, path, jobs)


def _work_off(
    study: Study,
    path: Path,
    status: StudyStatus,
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
        states[job] = "running"
        team[pipe] = (process, job, slot)
        pipe.send(job)

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
                    part, states[job] = pipe.recv()
                except (EOFError, OSError):  # it was killed, or crashed
                    code, part, states[job] = dismiss(pipe), 0.0, "interrupted"
                    deaths[job] += 1
                    if deaths[job] < MOST_DEATHS:
                        todo.append(job)  # not next: what ends workers may be passing
                    else:
                        _give_up(path, job, code)
                        states[job] = "failed"
                    if todo:
                        hire(slot)
                else:
                    if part == 1.0 and todo:
                        assign(pipe, process, slot)
                    elif part == 1.0:
                        dismiss(pipe)
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
            job = project.open_job(id=pipe.recv())
            pipe.send((1.0, _do(job, study, pipe, device, ranks)))
    except (EOFError, OSError):
        return


def _do(job: Any, study: Study, pipe: Connection, device: DeviceName, ranks: int) -> str:
    """Run one job to its end, unless it is done or another process is at it; return its state."""
    folder = Path(job.path)
    try:
        with _patiently_locked(folder):
            if document_of(job).get("status") == "done":  # by another process, meanwhile
                return "done"
            watch = _Watch(folder / "run", study.stopping, pipe)
            began = time.perf_counter()
            try:
                recipe = study.recipe_of(dict(job.cached_statepoint))
                run = assemble(
                    recipe, watch.path, device=device, threads=1, ranks=ranks, progress=watch
                )
                if not (run.finished or watch.reached):
                    return "interrupted"
                row = _row(run, study.stopping, watch.reached)
            except Exception as error:  # whatever it is, it is told and the other jobs go on
                kind = "" if isinstance(error, DipolarMDError) else f"{type(error).__name__}: "
                job.document.reset({"status": "failed", "error": f"{kind}{error}"})
                return "failed"
            row["seconds"] = time.perf_counter() - began
            job.document.reset({"status": "done", "error": "", "row": row})
            return "done"
    except RunDirectoryError:
        return "running"  # elsewhere


class _Watch:
    """Follows a run chunk by chunk: tells its progress, and ends it where it may end."""

    def __init__(self, path: Path, stopping: Stopping | None, pipe: Connection) -> None:
        self.path, self.stopping, self.pipe = path, stopping, pipe
        self.reached = False
        self.lengths: list[float] = []
        self.seen = self.told = 0.0
        self.frames = 0

    def __call__(self, now: Progress) -> None:
        if self.pipe.poll():  # closed: the leader is gone or stops
            os.kill(os.getpid(), signal.SIGTERM)  # `assemble` stops with a checkpoint
            return
        part = now.done_steps / now.total_steps
        if time.monotonic() - self.told > 1.0:
            self.told = time.monotonic()
            self.pipe.send((min(part, 0.99), "running"))  # 1 says that the job is over
        if self.stopping and not self.reached and part - self.seen >= 1 / CHECKS:
            self.seen = part
            if self._enough(self.stopping.relative_error):
                self.reached = True
                os.kill(os.getpid(), signal.SIGTERM)

    def _enough(self, relative_error: float) -> bool:
        run = Run(self.path)
        trajectory, last = run.trajectory, run.recipe.stages[-1].name
        for index in range(self.frames, len(trajectory)):
            frame = trajectory[index]
            if frame.stage == last:
                found = find_neighbours(frame.system)
                self.lengths.append(mean_length(found, len(frame.system), DEFAULT_CRITERION))
        self.frames = len(trajectory)
        if not self.lengths:
            return False
        settled = equilibration(self.lengths)
        if not settled.equilibrated:
            return False
        value, error = mean_estimate(self.lengths[settled.start :])[0]
        return error is not None and error <= relative_error * value


def _row(run: Run, stopping: Stopping | None, reached: bool) -> dict[str, Any]:
    """Return what a finished run says, as one flat row."""
    recipe, statistics = run.recipe, nanowire_statistics(run.trajectory)
    summary, counts = statistics.summary(), recipe.bodies()
    body = max(counts, key=lambda one: counts[one])
    expected = expected_mean_length(
        body,
        statistics.relative_permittivity,
        statistics.temperature_K,
        statistics.concentration_mM,
    )
    value, error = statistics.mean_chain_length
    ended = "complete"
    if stopping:
        precise = error is not None and error <= stopping.relative_error * value
        good = precise and statistics.equilibration.equilibrated
        ended = "target" if reached or good else "budget"
    by_criterion = summary["mean_chain_length_by_criterion"]
    return {
        "cluster": statistics.cluster,
        "n_clusters": statistics.n_clusters,
        "dipole_D": body.dipole_magnitude_e_nm / DEBYE,
        "axial_contact_nm": body.axial_contact_nm,
        **{key: summary[key] for key in _KEPT if key in summary},
        **{f"mean_chain_length_{column_name(key)}": number for key, number in by_criterion.items()},
        **_flat("contour_length", summary["contour_length_nm"]),
        **_flat("spacing", summary["spacing_nm"]),
        **{
            f"chain_fraction_to_{longest}{suffix}": number
            for longest, share in statistics.length_fractions().items()
            for suffix, number in zip(("", "_err"), share, strict=True)
        },
        "expected_mean_chain_length": expected if math.isfinite(expected) else None,
        "independent_samples": statistics.independent_samples["mean_chain_length"],
        "equilibrated": statistics.equilibration.equilibrated,
        "ended": ended,
        "steps": run.manifest["sessions"][-1]["last_step"],
        "seed": recipe.seed,
    }


def column_name(criterion: str) -> str:
    """Return a bond criterion as part of a column's name; signac's keys hold no dots."""
    return criterion.replace(".", "_")


def _flat(name: str, table: dict[str, Any]) -> dict[str, Any]:
    """Return lengths by `NAME_KEY_nm`, their errors by `NAME_KEY_nm_err`."""
    return {
        f"{name}_{key.removesuffix('_err')}_nm{'_err' * key.endswith('_err')}": number
        for key, number in table.items()
    }


_KEPT = tuple(
    name + suffix
    for name in (
        *("temperature_K", "relative_permittivity", "concentration_mM", "lambda_contact"),
        *("mean_chain_length", "weight_mean_chain_length", "max_chain_length"),
        *("chained_fraction", "ring_fraction", "branched_fraction", "percolating"),
        *("persistence_length_nm", "polar_order", "nematic_order", "n_frames", "time_ns"),
    )
    for suffix in ("", "_err")
)


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
