"""A stretch of dynamics as data: its environments, its chunks, and the box they ask for.

The engine interprets a stage chunk by chunk; what a stage that blew up is told stands here, too.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dipolar_md.model.body import Body
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System
from dipolar_md.theory import stokes_friction
from dipolar_md.units import MILLIMOLAR

Floats = NDArray[np.float64]


class Environment(NamedTuple):
    """What the clusters feel at one moment.

    Attributes:
        temperature_K: Temperature, K.
        relative_permittivity: ε_r of the medium.
        concentration_mM: Clusters per volume, mmol/L.
        thickness_nm: Thickness of the film between two walls, nm; None in bulk.
        field_V_nm: Uniform electric field inside the medium, V/nm.
    """

    temperature_K: float
    relative_permittivity: float
    concentration_mM: float
    thickness_nm: float | None = None
    field_V_nm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def applied_to(self, interactions: Interactions) -> Interactions:
        """Return the interactions in this environment: the only way in which a run changes them."""
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
        name: Name of the stage.
        steps: Number of time steps.
        time_step_ps: Time step Δt, ps.
        start: Environment from which the stage ramps.
        end: Environment in which it ends.
        viscosity_mPa_s: Viscosity of the medium, mPa s, for Stokes friction.
        friction_scale: Factor on both frictions; below 1 the dynamics is accelerated.
        integrator: `langevin`, `brownian` (overdamped), `nve` without a thermostat, or
            `equilibrium`: Monte Carlo, whose steps are sweeps and have no time.
        chunk_steps: Number of steps between two looks at the state.
        skin_nm: Buffer of the neighbour list, nm; None lets the engine tune it.
        seed: Seed of the thermal noise.
        first_step: Number of steps already done, when a stage is continued.
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

    def refusal(self, interactions: Interactions) -> str | None:
        """Return where interactions are not those of the start of the stage, or None."""
        acting = self.start.applied_to(interactions)
        for key in ("temperature_K", "relative_permittivity", "field_V_nm"):
            given, wanted = getattr(interactions, key), getattr(acting, key)
            if given != wanted:
                return (
                    f"stage '{self.name}' starts at {key} = {wanted}, its interactions are for "
                    f"{given}; pass stage.start.applied_to(interactions)"
                )
        return None

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
