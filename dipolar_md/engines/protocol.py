"""The vocabulary of engines: two verbs, what they are given and what they return."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dipolar_md.engines.stage import Environment, Stage
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System

Floats = NDArray[np.float64]
EngineName = Literal["auto", "hoomd", "lammps", "monte_carlo", "direct"]
DeviceName = Literal["auto", "cpu", "gpu"]


@dataclass(frozen=True)
class Evaluation:
    """Energies, forces and torques of one configuration.

    Attributes:
        energies: Energies in kJ/mol by name: steric, electrostatic (of permanent moments),
            induction, wall, field, total.
        forces: (N, 3) forces, kJ mol⁻¹ nm⁻¹.
        torques: (N, 3) torques about the centres in the space frame, kJ/mol.
        cluster_energies: (N,) energies, those of pairs shared half and half, with wall and field,
            kJ/mol; NaN with `ewald`, whose mesh part belongs to no cluster.
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
        stage: Stage under way.
        step: Steps of the stage that are done.
        environment: Environment at this moment.
        energies: Potential energies (kJ/mol) by name, as in `Evaluation`.
        read: Function that returns the present `System`; call it only when needed.
        spring_energy: Energy (kJ/mol) of what only springs of induced dipoles have: kinetic, and of
            motion that leaves the induced dipoles alone.
    """

    stage: Stage
    step: int
    environment: Environment
    energies: dict[str, float]
    read: Callable[[], System]
    spring_energy: float = 0.0


Observer = Callable[[Report], bool]
"""Called after every chunk; returning True stops the stage."""


@dataclass
class Settings:
    """What an engine decided for itself and a manifest should record, by stage.

    Attributes:
        skins_nm: Neighbour-list buffers.
        ewald: Real-space cutoff, mesh, order, and the measured errors of force and torque.
        springs: Charges and masses of induced dipoles on springs, and the mean temperature of their
            relative motion.
        moves: Widths and acceptance of Monte Carlo moves.
    """

    skins_nm: dict[str, float] = field(default_factory=dict)
    ewald: dict[str, dict[str, Any]] = field(default_factory=dict)
    springs: dict[str, dict[str, Any]] = field(default_factory=dict)
    moves: dict[str, dict[str, Any]] = field(default_factory=dict)


class Engine(Protocol):
    """The two verbs of an engine.

    Attributes:
        name: Name by which it is chosen.
        device: `cpu` or `gpu`.
        settings: What it decided for itself.
    """

    name: str
    device: str
    settings: Settings

    @property
    def version(self) -> str:
        """Version of the program behind it."""

    def evaluate(self, system: System, interactions: Interactions) -> Evaluation:
        """Return energies, forces and torques of one configuration."""

    def run(
        self, system: System, interactions: Interactions, stage: Stage, observer: Observer
    ) -> System:
        """Return the system after a stage, or after the chunk at which the observer stopped it.

        Args:
            system: State that the stage goes on from.
            interactions: What acts at the start of the stage; the stage ramps it from there.
            stage: Environments, duration, friction and integrator.
            observer: Function called after every chunk.

        Raises:
            InputError: Interactions of another environment than the stage starts in.
            BlowUpError: An energy left the physical range.
        """


class Finding(NamedTuple):
    """What is known about one engine on this machine.

    Attributes:
        name: Name of the engine.
        usable: Whether it can run here.
        version: Its version; empty where it isn't installed.
        device: Device that it would use; empty where there is none.
        note: Why it is usable or not, and how to get it.
    """

    name: str
    usable: bool
    version: str
    device: str
    note: str


def named_energies(
    steric: float,
    electrostatic: float,
    wall: float = 0.0,
    field: float = 0.0,
    induction: float = 0.0,
) -> dict[str, float]:
    """Return the energies (kJ/mol) under the names of `Evaluation`; what nothing acts by is 0."""
    parts = {"steric": steric, "electrostatic": electrostatic, "induction": induction}
    parts |= {"wall": wall, "field": field}
    return parts | {"total": math.fsum(parts.values())}
