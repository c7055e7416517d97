"""Runs a recipe: stages, frames, checkpoints, progress; stops when told, goes on when repeated."""

import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dipolar_md.engines.protocol import DeviceName, EngineName, Report
from dipolar_md.engines.stage import Environment
from dipolar_md.errors import InputError
from dipolar_md.model.system import System
from dipolar_md.simulation.placement import Placement, choose_resources
from dipolar_md.simulation.plan import Plan, make_plan
from dipolar_md.simulation.preflight import preflight
from dipolar_md.simulation.recipe import Recipe
from dipolar_md.simulation.run_directory import Run
from dipolar_md.simulation.session import Session, is_finished, manifest_of, open_session
from dipolar_md.simulation.stop_signals import stop_signals

MOST_THREADS = 1024
"""Threads or ranks of one run."""


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Attributes:
        stage: Name of the stage.
        done_steps: Steps of the run that are done.
        total_steps: Steps of the whole run.
        steps_per_second: Rate since the stage was started or continued.
        environment: Environment at this moment.
        read: Function that returns the present `System`.
    """

    stage: str
    done_steps: int
    total_steps: int
    steps_per_second: float
    environment: Environment
    read: Callable[[], System]


def assemble(
    recipe: str | Path | Recipe | Plan,
    out: str | Path | None = None,
    engine: EngineName = "auto",
    device: DeviceName = "auto",
    seed: int | None = None,
    resume: bool = True,
    threads: int | None = None,
    ranks: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    progress: Callable[[Progress], bool | None] | None = None,
    walltime_s: float | None = None,
) -> Run:
    """Run a recipe and return the run; continue one that was interrupted, keep a finished one.

    SIGINT, SIGTERM and SIGHUP stop after the current chunk with a checkpoint (`run.finished` is
    False); a second one at once, with the checkpoint before.

    Where neither `threads` nor `ranks` is given, a long run on a CPU (2e8 clusters x steps) times
    the engines, threads and ranks that fit the cores for some seconds and takes the fastest; a
    short one takes LAMMPS on all cores, but at least 400 clusters each.

    Args:
        recipe: Shipped name, file, `Recipe` or `Plan`.
        out: Run directory, default `runs/NAME`.
        engine: `auto`, `hoomd` or `lammps`.
        device: `auto`, `cpu` or `gpu`.
        seed: Seed of positions and noise, default the recipe's.
        resume: Whether to continue a run of the same recipe; False refuses an existing directory.
        threads: CPU threads of the LAMMPS engine (of each rank), 1 where only `ranks` is given.
        ranks: MPI ranks of the LAMMPS engine, 1 where only `threads` is given.
        overrides: Recipe values by dotted key, as in `load_recipe`.
        progress: Function called after every chunk; True stops the run with a checkpoint.
        walltime_s: Time (s) before which to stop with a checkpoint, as a signal does; None: never.

    Returns:
        The run; `run.finished` is False where it was stopped.

    Raises:
        InputError: Recipe, or box, density or time step it implies, make no sense.
        EngineMissingError: Engine or device are not available.
        UnsupportedError: The engine can't do the recipe.
        RunDirectoryError: The directory is foreign, of another recipe, in use or unwritable.
        BlowUpError: The simulation left the physical range; the last checkpoint is kept.
    """
    deadline = None if walltime_s is None else time.perf_counter() + walltime_s
    plan = make_plan(recipe, dict(overrides or {}) | ({} if seed is None else {"seed": seed}))
    preflight(plan)
    for name, count in {"threads": threads, "ranks": ranks}.items():
        if count is not None and not 1 <= count <= MOST_THREADS:
            bound = "at least 1" if count < 1 else f"at most {MOST_THREADS}"
            raise InputError(f"{name} must be {bound} (found {f'{count}'[:20]})")
    path = Path(out) if out is not None else Path("runs") / plan.recipe.name
    if is_finished(path, plan, manifest_of(path, plan, resume)):
        return Run(path)
    start = plan.start()
    placement = choose_resources(plan, start, engine, device, threads, ranks)
    with open_session(path, plan, resume) as session, stop_signals() as stopped:
        if not session.finished:  # by another process, meanwhile
            _Runner(session, placement, stopped, progress, deadline).run(start)
    return Run(path)


def walltime_seconds(text: str) -> float:
    """Return the seconds of a walltime as Slurm writes it, `HH:MM:SS` or `D-HH:MM:SS`.

    Raises:
        InputError: Another text.
    """
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", text)
    if not found:
        raise InputError(f"walltime must be HH:MM:SS or D-HH:MM:SS (found '{text}')")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float((days * 24 + hours) * 3600 + minutes * 60 + seconds)


class _Runner:
    """The stages of a plan in one session."""

    def __init__(
        self,
        session: Session,
        placement: Placement,
        stopped: threading.Event,
        progress: Callable[[Progress], bool | None] | None,
        deadline: float | None,
    ) -> None:
        self.session, self.plan, self.placement = session, session.plan, placement
        self.stopped, self.progress = stopped, progress
        self.deadline, self.looked = deadline, math.inf
        self.index = self.reached = 0  # the present stage, and its steps at the last look
        self.began = (time.perf_counter(), 0)

    def run(self, start: System) -> None:
        """Run what is left of the plan, from its start or from the last checkpoint."""
        plan, session, found = self.plan, self.session, self.session.recover()
        system, done = found.checkpoint.system if found.checkpoint else start, found.step
        with session.running(self.placement, done, recovery=found):
            if not done:
                first = plan.acting(plan.stages[0])
                energies = self.placement.engine.evaluate(system, first).energies
                session.add_frame(plan.frame(0, 0, system, energies))
            for index, stage in enumerate(plan.stages):
                first_step = session.last_step - plan.offsets[index]
                if first_step < stage.steps and not self.stopped.is_set():
                    system = self._run_stage(index, system, first_step)
            if session.last_step >= plan.total_steps:
                session.finish()

    def _run_stage(self, index: int, system: System, first_step: int) -> System:
        stage = replace(self.plan.stages[index], first_step=first_step)
        self.index, self.reached = index, first_step
        self.began = (time.perf_counter(), first_step)
        return self.placement.engine.run(system, self.plan.acting(stage), stage, self._observe)

    def _observe(self, report: Report) -> bool:
        session, step = self.session, report.step
        session.last_step = self.plan.offsets[self.index] + step
        due = self.plan.frame_is_due(self.index, self.reached, step)
        self.reached = step
        stopping = self.stopped.is_set() or self._is_late()
        if due:
            frame = self.plan.frame(self.index, step, report.read(), report.energies)
            session.add_frame(frame)
            session.save_checkpoint(frame)
        if not (self._is_told_to_stop(report) or stopping):
            return False
        self.stopped.set()
        if not due:
            session.save_checkpoint(
                self.plan.frame(self.index, step, report.read(), report.energies)
            )
        return True

    def _is_late(self) -> bool:
        """Return whether the next chunk might not end before the deadline."""
        now = time.perf_counter()
        late = bool(self.deadline and now + 1.5 * max(now - self.looked, 0.0) > self.deadline)
        self.looked = now
        return late

    def _is_told_to_stop(self, report: Report) -> bool:
        """Tell the progress; return whether who watches it wants to stop."""
        if self.progress is None:
            return False
        began, first = self.began
        rate = (report.step - first) / max(time.perf_counter() - began, 1e-9)
        told = self.progress(
            Progress(
                report.stage.name,
                self.session.last_step,
                self.plan.total_steps,
                rate,
                report.environment,
                report.read,
            )
        )
        return told is True
