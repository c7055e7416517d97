"""A run directory as its readers see it: recipe, manifest and frames, each held against the others.

The manifest tells the id of the run and the hash of its recipe, and so does every frame. Frames are
complete where their steps are those that the plan asks for.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dipolar_md.errors import InputError
from dipolar_md.files import read_bytes, read_json
from dipolar_md.frame_checks import FrameTable, Identity
from dipolar_md.parameters import parse_toml, validate
from dipolar_md.simulation.plan import Plan
from dipolar_md.simulation.recipe import Recipe
from dipolar_md.trajectory import TRAJECTORY_FILE, Trajectory

MANIFEST_FILE, RECIPE_FILE = "manifest.json", "recipe.toml"
_STEPS = ("first_step", "last_step")
_REMEDY = "repeat the assemble command that made the run to recover what is sound"


@dataclass(frozen=True)
class Run:
    """A run directory.

    Attributes:
        path: Directory of the run.

    Raises:
        InputError: The directory holds no run.
    """

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        if not (self.path / MANIFEST_FILE).is_file():
            lost = (self.path / RECIPE_FILE).is_file() and (self.path / TRAJECTORY_FILE).is_file()
            more = f"; {_REMEDY}" if lost else ""
            raise InputError(f"{self.path}: no run here (no manifest.json){more}")

    @cached_property
    def recipe(self) -> Recipe:
        """The resolved recipe, that of the manifest.

        Raises:
            InputError: It can't be read, or was changed since.
        """
        path = self.path / RECIPE_FILE
        data = read_bytes(path)
        if recipe_hash(self.manifest) not in (None, hashlib.sha256(data).hexdigest()):
            raise InputError(
                f"{path}: can't be read as this run's: it was changed after the run had begun "
                "(manifest.json knows its SHA-256); undo the change, or give a changed copy to "
                "assemble with another --out"
            )
        return validate(Recipe, parse_toml(data, path), path)

    @property
    def manifest(self) -> dict[str, Any]:
        """What was run, when, with which versions and settings."""
        return read_manifest(self.path)

    @property
    def identity(self) -> Identity | None:
        """Run and recipe that its frames must be of; None of a run of an earlier version."""
        return identity_of(self.manifest)

    @property
    def finished(self) -> bool:
        """Whether all stages are done."""
        return bool(self.manifest.get("status") == "finished")

    @property
    def trajectory(self) -> Trajectory:
        """The frames: those of this run, and all that there should be.

        Raises:
            InputError: They can't be read, are of another run, or some are missing.
        """
        path, manifest = self.path / TRAJECTORY_FILE, self.manifest
        trajectory = Trajectory(path)
        if trajectory.identity != identity_of(manifest):
            raise InputError(
                f"{path}: its frames are of another run than {self.path / MANIFEST_FILE}; restore "
                "the trajectory of this run"
            )
        plan = Plan(self.recipe)
        finished = manifest.get("status") == "finished"
        last = last_step_of(plan, manifest) if finished else max([*trajectory.steps, 0])
        schedule = schedule_of(plan, manifest, last)
        absent = sorted({*schedule} - {*trajectory.steps} - missing_steps(manifest))
        if absent:
            raise InputError(
                f"{path}: {len(absent)} of {len(schedule)} frames are missing "
                f"({list_of_steps(absent)}); {_REMEDY}, or read those that are there with "
                "dm.Trajectory"
            )
        return trajectory


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest in a run directory.

    Raises:
        InputError: It can't be read, or makes no sense.
    """
    path = folder / MANIFEST_FILE
    manifest = read_json(path)
    kinds = {"sessions": list, "missing_steps": list, "exchange": dict, "inputs_sha256": dict}
    odd = [key for key, kind in kinds.items() if not isinstance(manifest.get(key, kind()), kind)]
    for session in manifest.get("sessions", []) if "sessions" not in odd else []:
        steps = [session.get(key, 0) for key in _STEPS] if isinstance(session, dict) else [None]
        odd += ["sessions"] * (not all(isinstance(step, int) for step in steps))
    sweep = manifest["exchange"].get("sweep_steps", 1) if manifest.get("exchange") else 1
    odd += ["exchange"] * (not isinstance(sweep, int) or sweep < 1)
    if odd:
        raise InputError(f"{path}: can't be read: '{odd[0]}' isn't what a run writes there")
    return manifest


def last_step_of(plan: Plan, manifest: dict[str, Any]) -> int:
    """Return where a run ends: a ladder may end before its plan does."""
    sessions = manifest.get("sessions") or [{}]
    return int(sessions[-1].get("last_step", 0)) if "exchange" in manifest else plan.total_steps


def recipe_hash(manifest: dict[str, Any]) -> str | None:
    """Return the SHA-256 that a manifest knows of its recipe; None where it knows none."""
    inputs = manifest.get("inputs_sha256")
    found = inputs.get(RECIPE_FILE) if isinstance(inputs, dict) else None
    return found if isinstance(found, str) else None


def identity_of(manifest: dict[str, Any]) -> Identity | None:
    """Return what the frames of a run must tell; None of a run of an earlier version."""
    run_id, recipe = manifest.get("run_id"), recipe_hash(manifest)
    return Identity(run_id, recipe) if isinstance(run_id, str) and recipe else None


def missing_steps(manifest: dict[str, Any]) -> set[int]:
    """Return the steps of the frames that are known to be lost."""
    return {step for step in manifest.get("missing_steps", ()) if isinstance(step, int)}


def schedule_of(plan: Plan, manifest: dict[str, Any], until: int) -> list[int]:
    """Return the steps at which a run leaves frames, those of a rung after its sweeps."""
    exchange = manifest.get("exchange", {})
    return plan.frame_schedule(until, exchange.get("sweep_steps"))


def list_of_steps(steps: Sequence[int]) -> str:
    """Return steps in words, not all of many."""
    shown = ", ".join(map(str, steps[:4]))
    return f"step{'s' * (len(steps) > 1)} {shown}{f' … {steps[-1]}' if len(steps) > 4 else ''}"


def check_run(path: str | Path) -> list[str]:
    """Return what is wrong with a run directory, in sentences; none where it is sound.

    Every byte of every frame is read, manifest and recipe are held against them, and frames against
    the plan. Nothing is written.

    Args:
        path: Run directory.

    Returns:
        Sentences.

    Raises:
        InputError: No run there.
    """
    run = Run(Path(path))
    try:
        plan, manifest = Plan(run.recipe), run.manifest
    except InputError as error:
        return [str(error)]
    file, finished = run.path / TRAJECTORY_FILE, manifest.get("status") == "finished"
    last = last_step_of(plan, manifest)
    frames = SoundFrames(file, identity_of(manifest), schedule_of(plan, manifest, last))
    due = schedule_of(plan, manifest, last if finished else max([0, *frames.steps]))
    absent = sorted({*due} - {*frames.steps} - missing_steps(manifest))
    found = list(frames.unsound)
    if absent:
        count = f"{len(absent)} of {len(due)} frames are missing"
        found.append(f"{file}: {count} ({list_of_steps(absent)})")
    if known := sorted(missing_steps(manifest)):
        found.append(f"{file}: {len(known)} frames were lost before ({list_of_steps(known)})")
    if frames.table is not None and not frames.table.signed:
        found.append(f"{file}: unproven: an earlier version wrote its frames without checksums")
    for name in ("restart.gsd",) if manifest.get("sessions") and len(frames.steps) > 1 else ():
        state = SoundFrames(run.path / name, identity_of(manifest), range(last + 1))
        if "exchange" not in manifest and not state.sound:
            found += state.unsound or [f"{run.path / name} is missing"]
    return found


class SoundFrames:
    """Which frames of a trajectory are whole, of a run, and where its plan has them.

    Attributes:
        path: The trajectory.
        table: Its index; None where there is none or it can't be read.
        sound: Indices of the sound frames.
        steps: Their steps.
        unsound: Sentences about the others, or about the file.
    """

    def __init__(self, path: Path, identity: Identity | None, schedule: Sequence[int]) -> None:
        self.path, self.table = path, None
        self.sound: list[int] = []
        self.steps: list[int] = []
        self.unsound: list[str] = []
        if not path.exists():
            return
        try:
            self.table = FrameTable(path)
        except InputError as error:
            self.unsound.append(str(error))
            return
        if self.table.trouble:
            self.unsound.append(f"{path}: {self.table.trouble}")
        allowed = {*schedule}
        columns = self.table.steps(), self.table.checks(), self.table.identities()
        for i, (step, whole, found) in enumerate(zip(*columns, strict=True)):
            reason = ""
            if not i and self.table.leans:
                reason = "can't be read without the one that was first"
            elif whole is False:
                reason = "is damaged: its checksum is another"
            elif found != identity:
                reason = "is of another run"
            reason = reason or self._misplaced(i, step, allowed)
            if reason:
                self.unsound.append(f"{path}: frame {i} (step {step}) {reason}")
            else:
                self.sound.append(i)
                self.steps.append(step)

    def _misplaced(self, index: int, step: int, allowed: set[int]) -> str:
        """Return why a frame can't follow the sound ones before it, or nothing."""
        if step not in allowed:
            return "is of a step at which the plan has no frame"
        if self.steps and step <= self.steps[-1]:
            return "is doubled or out of order"
        if index and 0 not in self.sound[:1]:
            return "can't be read without frame 0"
        return ""
