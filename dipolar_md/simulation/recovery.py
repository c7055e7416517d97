"""Where a run goes on: the latest sound state that it left, and what of its frames is lost.

Sound is what has its checksum, is of this run and fits its plan. Of the checkpoint, the one before
and the last sound frame, the latest is taken. Where frames before it are lost, all up to the last
sound one are kept, and what came after that is run again; nothing is deleted.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dipolar_md.errors import InputError, RunDirectoryError
from dipolar_md.frame_checks import FrameTable, Identity
from dipolar_md.simulation.plan import Plan
from dipolar_md.simulation.run_directory import SoundFrames, list_of_steps
from dipolar_md.trajectory import TRAJECTORY_FILE, Frame, Trajectory

CHECKPOINT_FILE, PREVIOUS_FILE = "restart.gsd", "restart.prev.gsd"


@dataclass
class Recovery:
    """Where a run goes on.

    Attributes:
        checkpoint: Frame from which it goes on; None where it starts.
        missing: Steps of the frames before it that are lost.
        notes: Sentences on what was lost and what serves instead; none where all was in order.
    """

    checkpoint: Frame | None = None
    missing: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def step(self) -> int:
        """Steps of the run that are done."""
        return self.checkpoint.step if self.checkpoint else 0


def recover(
    path: Path,
    plan: Plan,
    identity: Identity | None,
    schedule: Callable[[int], list[int]],
    done: int | None = None,
    ran: int = 0,
) -> Recovery:
    """Return where a run goes on; damaged frames are set aside, those beyond it dropped.

    Args:
        path: Run directory.
        plan: Plan of the run.
        identity: What its frames must tell.
        schedule: Function that returns the steps of the frames up to a step.
        done: Steps that are done where something else than frames is the checkpoint.
        ran: Steps that the manifest knows to have been run.

    Raises:
        RunDirectoryError: Something was run, and nothing of it is sound.
    """
    trajectory = path / TRAJECTORY_FILE
    frames = SoundFrames(trajectory, identity, schedule(plan.total_steps))
    found = Recovery()
    if frames.unsound:
        _set_aside(frames, found)
    if done is None:
        _choose(path, plan, identity, schedule, frames, found)
        done = found.step
        if ran and not done:
            raise RunDirectoryError(
                f"{path}: ran to step {ran}, and all its frames and checkpoints are gone; restore "
                "restart.gsd or trajectory.gsd from a copy, or choose another --out"
            )
    elif not done and len(frames.steps) > 2:  # killed before its first checkpoint it has two
        raise RunDirectoryError(
            f"{path}: holds frames up to step {frames.steps[-1]}, but the checkpoint of its ladder "
            "is lost; restore ladder.npz, or choose another --out"
        )
    _drop_frames_after(frames, done)
    if done and done >= plan.total_steps and not frames.steps:
        raise RunDirectoryError(
            f"{path}: ran to its end, and no frame of it is left; restore trajectory.gsd from a "
            "copy, or choose another --out to run it again"
        )
    found.missing = sorted({*schedule(done)} - {*frames.steps}) if done else []
    if found.missing:
        found.notes.append(
            f"{len(found.missing)} frames before step {done} are missing: "
            f"{list_of_steps(found.missing)}"
        )
    return found


def _set_aside(frames: SoundFrames, found: Recovery) -> None:
    """Keep the sound frames alone, and the file as it was beside them."""
    path, number = frames.path, 1
    aside = path.with_name("trajectory.damaged.gsd")
    while aside.exists():
        number += 1
        aside = path.with_name(f"trajectory.damaged-{number}.gsd")
    os.link(path, aside)
    if frames.table is not None and frames.sound:
        frames.table.save_frames(frames.sound, path)
    else:
        path.unlink()
    more = f" (and {len(frames.unsound) - 1} more)" if len(frames.unsound) > 1 else ""
    found.notes.append(
        f"{frames.unsound[0]}{more}; {len(frames.sound)} sound frames kept, the file as it was is "
        f"{aside.name}"
    )


def _drop_frames_after(frames: SoundFrames, done: int) -> None:
    """Drop the sound frames beyond the checkpoint, which will be run again."""
    kept = [step for step in frames.steps if step <= done] if done else []
    if kept and len(kept) < len(frames.steps):
        FrameTable(frames.path).save_frames(range(len(kept)), frames.path)
    elif frames.steps and not kept:
        frames.path.unlink()
    frames.steps = kept


def _choose(
    path: Path,
    plan: Plan,
    identity: Identity | None,
    schedule: Callable[[int], list[int]],
    frames: SoundFrames,
    found: Recovery,
) -> None:
    """Find the latest sound state."""
    states, lost = _checkpoints(path, plan, identity, any(frames.steps))
    best, name = max(states, key=lambda state: state[0].step, default=(None, ""))
    last = frames.steps[-1] if frames.steps else None
    if last and (best is None or _is_behind(best.step, last, schedule)):
        best, name = _read_state(frames.path, -1, plan, identity), f"the frame of step {last}"
    if best is None and (lost or frames.unsound):
        raise RunDirectoryError(
            f"{path}: nothing to go on from: {'; '.join([*lost, *frames.unsound[:1]])}; restore "
            "restart.gsd or trajectory.gsd from a copy, or choose another --out"
        )
    if lost and best is not None and best.step:
        found.notes.append(f"{lost[0]}; went on from {name} (step {best.step})")
    found.checkpoint = best if best is not None and best.step else None


def _checkpoints(
    path: Path, plan: Plan, identity: Identity | None, expected: bool
) -> tuple[list[tuple[Frame, str]], list[str]]:
    """Return the checkpoints that are sound, with their names, and what is wrong with others."""
    states: list[tuple[Frame, str]] = []
    lost: list[str] = []
    for name in (CHECKPOINT_FILE, PREVIOUS_FILE):
        try:
            states.append((_read_state(path / name, 0, plan, identity), name))
        except InputError as error:
            if (path / name).exists() or (name == CHECKPOINT_FILE and expected):
                lost.append(str(error))
    return states, lost


def _is_behind(step: int, last: int, schedule: Callable[[int], list[int]]) -> bool:
    """Return whether the last frame is the better state: later, or frames lie between the two."""
    return last > step or any(last < due for due in schedule(step))


def _read_state(path: Path, index: int, plan: Plan, identity: Identity | None) -> Frame:
    """Return a frame as a state of the plan, with the plan's own bodies.

    Raises:
        InputError: There is none, or it is damaged, of another run or of other bodies.
    """
    if not path.exists():
        raise InputError(f"{path} is missing")
    trajectory = Trajectory(path)
    if trajectory.identity != identity:
        raise InputError(f"{path}: is of another run")
    if not len(trajectory):
        raise InputError(f"{path}: holds no frame")
    frame = trajectory[index]
    bodies, counts = tuple(plan.counts), list(plan.counts.values())
    held = np.bincount(frame.system.types, minlength=len(bodies)).tolist()
    if frame.system.bodies != bodies or held != counts:
        raise InputError(f"{path}: holds other clusters than the recipe")
    if not 0 <= frame.step <= plan.total_steps:
        raise InputError(f"{path}: step {frame.step} lies beyond the plan")
    return replace(frame, system=replace(frame.system, bodies=bodies))
