"""Monte Carlo as an engine: spheres with truncated point dipoles at equilibrium, without time.

A stage counts sweeps of one trial per cluster. Widths of the moves are tuned on a small gas of the
same bodies, whatever the state is, and then fixed; every chunk starts from a state in single
precision, as trajectories keep it, with random numbers of its own. So a run that is continued
repeats bit by bit.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numba
import numpy as np

from dipolar_md.engines.capabilities import check_stage, check_system
from dipolar_md.engines.direct import DirectEngine, induced_dipoles
from dipolar_md.engines.monte_carlo.kernel import (
    MOST_KINDS,
    State,
    energies_of,
    redraw_dipoles,
)
from dipolar_md.engines.monte_carlo.moves import run_moves
from dipolar_md.engines.monte_carlo.pieces import (
    FROM_ALL,
    FROM_ENDS,
    LOCAL,
    PIECE,
    PIECE_FROM_ALL,
    REATTACH,
    RIGID,
)
from dipolar_md.engines.monte_carlo.state import model_of, state_of, system_of
from dipolar_md.engines.protocol import (
    Evaluation,
    Finding,
    Floats,
    Observer,
    Report,
    Settings,
    named_energies,
)
from dipolar_md.engines.stage import Stage, advice, blow_up_reason, compressed
from dipolar_md.errors import BlowUpError, UnsupportedError
from dipolar_md.model.builders import random_gas
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System
from dipolar_md.units import MILLIMOLAR, thermal_energy

SHARES = {
    LOCAL: 0.35,
    FROM_ENDS: 0.2,
    FROM_ALL: 0.05,
    PIECE: 0.08,
    PIECE_FROM_ALL: 0.02,
    RIGID: 0.05,
    REATTACH: 0.25,
}
"""How often each kind of move is tried."""
NAMES = ("local", "ends", "any", "pieces", "inner pieces", "nudges", "nearby")
_LONGEST = 100  # clusters of a piece; whole chains may be longer
_REDRAWS = 20  # of all induced dipoles: each makes what is left of the start twenty times less
_REFERENCE, _ROUNDS = 32, 40  # clusters and rounds of the tuning
_TARGETS = (0.4, 0.3)  # acceptance of local shifts and of nudges


def inspect(device: str) -> Finding:
    """Return whether Monte Carlo can run here."""
    version = numba.__version__
    if device == "gpu":
        return Finding("monte_carlo", False, version, "", "runs on the CPU only; use HOOMD")
    return Finding("monte_carlo", True, version, "cpu", "usable on the CPU, compiled by numba")


def make(device: str, threads: int, ranks: int) -> "MonteCarloEngine":
    """Return the engine.

    Raises:
        UnsupportedError: several threads or ranks.
    """
    if threads > 1 or ranks > 1:
        raise UnsupportedError(
            f"engine 'monte_carlo' runs on one core (found {threads} threads, {ranks} ranks); run "
            "several seeds at a time instead"
        )
    return MonteCarloEngine()


@dataclass
class MonteCarloEngine:
    """Equilibrium of spheres by moves that carry clusters, chain ends and pieces of chains."""

    settings: Settings = field(default_factory=Settings)
    name: str = "monte_carlo"
    device: str = "cpu"

    @property
    def version(self) -> str:
        """Version of numba, which compiles it."""
        return str(numba.__version__)

    def evaluate(self, system: System, interactions: Interactions) -> Evaluation:
        """Return energies of one configuration, and forces and torques by direct sums."""
        check_system(system, interactions, self.name)
        polarisable = any(body.polarisability_nm3 for body in system.bodies)
        if polarisable and system.induced_dipoles is None:
            system = replace(system, induced_dipoles=induced_dipoles(system, interactions))
        direct = DirectEngine().evaluate(system, interactions)
        per_cluster = np.zeros(len(system))
        model = model_of(system, interactions)
        parts = energies_of(model, state_of(system, model, (0,)), per_cluster)
        return Evaluation(named(parts), direct.forces, direct.torques, per_cluster)

    def run(
        self, system: System, interactions: Interactions, stage: Stage, observer: Observer
    ) -> System:
        """Return the system after a stage, or after the chunk at which the observer stopped it.

        Raises:
            BlowUpError: the running energy and the energy from scratch disagree, or are absurd.
        """
        check_stage(system, interactions, stage, self.name)
        if len(system.bodies) > MOST_KINDS:
            raise UnsupportedError(
                f"engine 'monte_carlo' has room for {MOST_KINDS} kinds of clusters (found "
                f"{len(system.bodies)}); engine 'lammps' can"
            )
        widths = tuned_widths(system, stage.end.applied_to(interactions))
        tally = np.zeros((len(NAMES), 2), np.int64)
        for todo, done in stage.chunks():
            now = stage.environment(done)
            here = rounded(compressed(system, now))
            state, energies = _chunk(
                here,
                now.applied_to(interactions),
                (stage.seed, done - todo),
                todo * len(here),
                widths,
                tally,
            )
            kT = thermal_energy(now.temperature_K)
            if trouble := blow_up_reason(energies, len(system), kT):
                raise BlowUpError(advice(stage, done, trouble))
            system = rounded(system_of(state, here))
            self.settings.moves[stage.name] = record(widths, tally)
            if observer(Report(stage, done, now, energies, _reader(system))):
                break
        return system


def _reader(system: System) -> Callable[[], System]:
    return lambda: system


def _chunk(
    system: System,
    interactions: Interactions,
    seed: tuple[int, int],
    trials: int,
    widths: Floats,
    tally: Any,
) -> tuple[State, dict[str, float]]:
    """Return the state after a chunk, and its energies from scratch."""
    model = model_of(system, interactions)
    state = state_of(replace(system, induced_dipoles=None), model, seed)
    if model["polarisability"].any():
        for _ in range(_REDRAWS):
            redraw_dipoles(model, state)
    nothing = np.zeros(len(system))
    state.work["energy"] = energies_of(model, state, nothing).sum()
    chances = np.cumsum([SHARES[kind] for kind in range(len(SHARES))])
    run_moves(model, state, trials, chances, widths, _LONGEST, tally)
    parts = energies_of(model, state, nothing)
    total, running = float(parts.sum()), float(state.work["energy"])
    if not abs(total - running) < 1e-7 * (len(system) / model["beta"] + abs(total)):
        raise BlowUpError(
            f"the running energy of {running:.10g} kJ/mol and that from scratch, {total:.10g} "
            "kJ/mol, disagree: a fault of the program, please report it"
        )
    return state, named(parts)


def named(parts: Floats) -> dict[str, float]:
    """Return energies under their names."""
    return named_energies(*(float(part) for part in parts))


def rounded(system: System) -> System:
    """Return the system in the single precision that trajectories keep."""

    def single(values: Floats) -> Floats:
        return np.asarray(values, np.float32).astype(np.float64)

    return System.from_arrays(
        box=single(system.box),
        positions=single(system.positions),
        orientations=single(system.orientations),
        bodies=system.bodies,
        types=system.types,
        velocities=system.velocities,
        angular_velocities=system.angular_velocities,
        thickness_nm=system.thickness_nm,
        induced_dipoles=system.induced_dipoles,
    )


def tuned_widths(system: System, interactions: Interactions) -> Floats:
    """Return the widths of local shifts (nm) and of nudges (nm, rad) for these bodies.

    They are tuned on a small gas of the same bodies in bulk, so that a run that is continued, from
    whatever state, has the same ones.
    """
    shares = np.bincount(system.types, minlength=len(system.bodies)) / len(system)
    counts = {
        body: max(1, round(_REFERENCE * share))
        for body, share in zip(system.bodies, shares, strict=True)
    }
    contact = max(body.axial_contact_nm for body in system.bodies)
    edge = max(2.001 * interactions.cutoff_nm, 8 * contact)
    density = sum(counts.values()) / edge**3 / MILLIMOLAR
    gas = random_gas(counts, density, seed=1)
    model = model_of(gas, replace(interactions, field_V_nm=(0.0, 0.0, 0.0)))
    state = state_of(gas, model, (1,))
    widths = np.array([0.08 * contact, 0.15 * contact, 0.4])
    chances = np.cumsum([SHARES[kind] for kind in range(len(SHARES))])
    for _ in range(_ROUNDS):
        tally = np.zeros((len(NAMES), 2), np.int64)
        run_moves(model, state, 50 * len(gas), chances, widths, _LONGEST, tally)
        shares = tally[:, 1] / np.maximum(tally[:, 0], 1)
        widths[0] *= np.clip(shares[LOCAL] / _TARGETS[0], 0.7, 1.4)
        widths[1:] *= np.clip(shares[RIGID] / _TARGETS[1], 0.7, 1.4)
        widths = np.minimum(widths, [contact, 2 * contact, np.pi])
    return widths


def record(widths: Floats, tally: Any) -> dict[str, Any]:
    """Return what a manifest keeps of the moves: their widths, and how many were accepted."""
    return {
        "local_width_nm": float(widths[0]),
        "nudge_width_nm": float(widths[1]),
        "nudge_angle_rad": float(widths[2]),
        "acceptance": {
            name: round(float(accepted / tried), 4)
            for name, (tried, accepted) in zip(NAMES, tally, strict=True)
            if tried
        },
    }
