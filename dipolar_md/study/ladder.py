"""Replica exchange between dipole strengths: the rungs of a ladder swap configurations.

All rungs have the same steric bodies, box, temperature and permittivity; only the dipole μ differs.
The energy of a configuration x at rung i is U_i(x) = S(x) + μ_i² e(x) + μ_i f(x): steric energy,
electrostatic energy per μ², energy in a uniform field per μ. What one rung's engine reports
therefore says what the configuration holds at every other rung, and the steric energies cancel.

Between two swaps every rung runs one sweep of its own dynamics. The state after the swap is all
that a ladder remembers: noise and swaps follow from the seed and the step number, every sweep
starts a new engine instance, and the checkpoint is one file in double precision. So an interrupted
ladder goes on bit by bit as if it had not been.

The method: Sugita, Kitao and Okamoto, https://doi.org/10.1063/1.1308516; even and odd pairs in
turn: Lingenheil et al., https://doi.org/10.1016/j.cplett.2009.07.039; many rounds of them: Chodera
and Shirts, https://doi.org/10.1063/1.3660669.
"""

import io
import math
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dipolar_md.engines.protocol import DeviceName, Engine, Report
from dipolar_md.engines.stage import Stage
from dipolar_md.errors import InputError, RunDirectoryError
from dipolar_md.files import write_bytes
from dipolar_md.model.system import System
from dipolar_md.simulation.placement import choose_resources
from dipolar_md.simulation.plan import Plan, make_plan
from dipolar_md.simulation.preflight import preflight
from dipolar_md.simulation.recipe import Recipe
from dipolar_md.simulation.session import Session, open_session
from dipolar_md.units import thermal_energy

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SWEEP_STEPS = 1000
"""Steps between two swaps: a new engine instance (4 ms) is 2 % of them with 125 clusters, 5 % with
64, 20 % with 32."""
ROUNDS = 2
"""Rounds of swaps after a sweep, per rung."""
SKIN = 0.2
"""Neighbour-list buffer in cutoffs where the recipe states none; timed tuning can't be repeated."""
LEAST_ACCEPTANCE = 0.05
"""Acceptance below which two dipoles are said to lie too far apart."""
_MOVED = ("positions", "orientations", "velocities", "angular_velocities")
_SAVED = ("box", *_MOVED)
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error)


def acceptance(dipole: ArrayLike, e: ArrayLike, f: ArrayLike, kT: float) -> Floats:
    """Return the probability that each pair of neighbouring rungs swaps its configurations.

        min(1, exp(-Δ)), Δ = [(μ_i² - μ_j²)(e_j - e_i) + (μ_i - μ_j)(f_j - f_i)]/kT

    the ratio of the joint Boltzmann weights (Metropolis). Exact where the electrostatic energy
    scales as μ² at fixed positions, so not for charges that move apart with the dipole.

    Args:
        dipole: (R,) μ of the rungs, any unit.
        e: (R,) electrostatic energy per μ² of the configuration at each rung.
        f: (R,) its energy in a uniform field per μ.
        kT: Thermal energy in the unit of the energies.

    Returns:
        (R - 1,) probabilities, of rungs 0 and 1 first.
    """
    mu = np.asarray(dipole, dtype=np.float64)
    delta = -(np.diff(mu**2) * np.diff(e) + np.diff(mu) * np.diff(f)) / kT
    return np.asarray(np.exp(-np.maximum(delta, 0.0)))


def decide_swaps(probability: ArrayLike, parity: int, uniform: ArrayLike) -> Integers:
    """Return which configuration each rung holds after the swaps of one kind of pairs.

    Args:
        probability: (R - 1,) acceptance of each pair, from `acceptance`.
        parity: Kind of pairs: 0 for (0, 1), (2, 3) …, 1 for (1, 2), (3, 4) …
        uniform: (R - 1,) random numbers in [0, 1).

    Returns:
        (R,) a permutation: rung k gets the configuration that was at `order[k]`.
    """
    p, u = np.asarray(probability), np.asarray(uniform)
    order = np.arange(len(p) + 1)
    for k in range(parity, len(p), 2):
        if u[k] < p[k]:
            order[[k, k + 1]] = order[[k + 1, k]]
    return order


def expected_acceptance(n_clusters: int, low_D: float, high_D: float) -> float:
    """Return about which part of the swaps of two dipoles will be accepted, where chains form.

        erfc(√(3N) ln(λ_high/λ_low)), λ ∝ μ²

    Energies spread as Gaussians of variance ∝ N; the factor 3 is a fit to 32 clusters of R-Au-Cu's
    body at λ = 7 to 14 (within 4 % of all attempts, `benchmarks/sampling.py`); at the onset of
    chains, λ = 6 to 7, 0.6 of that were accepted.

    Args:
        n_clusters: Number of clusters N.
        low_D: Lower dipole.
        high_D: Higher dipole.

    Returns:
        Part of the swaps, 0 to 1.
    """
    return math.erfc(math.sqrt(3 * n_clusters) * 2 * math.log(high_D / low_D))


@dataclass
class Tally:
    """What the swaps of a ladder came to.

    Attributes:
        attempts: (R - 1,) swaps tried by pair of neighbouring rungs.
        accepted: (R - 1,) swaps accepted.
        walkers: (R,) numbers of the configurations of the start that the rungs hold.
        ends: (R,) by walker: 0 before it was at the lowest rung, 1 since then, 2 since it went on
            to the highest.
        round_trips: Returns of a walker to the lowest rung by way of the highest.
    """

    attempts: Integers
    accepted: Integers
    walkers: Integers
    ends: Integers
    round_trips: int = 0

    @classmethod
    def new(cls, rungs: int) -> Self:
        """Return the tally of a ladder that hasn't begun."""
        attempts, accepted = np.zeros((2, rungs - 1), dtype=np.int64)
        return cls(attempts, accepted, np.arange(rungs), np.eye(1, rungs, dtype=np.int64)[0])

    def add(self, order: Integers, parity: int) -> None:
        """Count one round of swaps, as `decide_swaps` returned it."""
        pairs = np.arange(parity, len(order) - 1, 2)
        self.attempts[pairs] += 1
        self.accepted[pairs] += order[pairs] != pairs
        self.walkers = self.walkers[order]
        low, high = self.walkers[[0, -1]]
        self.ends[high] = 2 * (self.ends[high] > 0)
        self.round_trips += int(self.ends[low] == 2)
        self.ends[low] = 1

    def ratios(self) -> list[float | None]:
        """Return the accepted part of each pair's attempts; None before the first."""
        return [
            int(yes) / int(all_of_them) if all_of_them else None
            for yes, all_of_them in zip(self.accepted, self.attempts, strict=True)
        ]


def swap_in_rounds(
    dipole: ArrayLike, e: ArrayLike, f: ArrayLike, kT: float, uniform: ArrayLike, tally: Tally
) -> Integers:
    """Return which configuration each rung holds after rounds of swaps; count them in `tally`.

    Even and odd pairs in turn. Rounds cost next to nothing, for the energies of every configuration
    at every rung are known; each of them leaves the joint distribution as it is.

    Args:
        dipole: (R,) μ of the rungs, any unit.
        e: (R,) electrostatic energies per μ² before the swaps.
        f: (R,) energies in a uniform field per μ before the swaps.
        kT: Thermal energy in the unit of the energies.
        uniform: (rounds, R - 1) random numbers in [0, 1).
        tally: Tally of the ladder.

    Returns:
        (R,) a permutation: rung k gets the configuration that was at `order[k]`.
    """
    first, second = np.asarray(e, dtype=np.float64), np.asarray(f, dtype=np.float64)
    order = np.arange(len(first))
    for number, row in enumerate(np.asarray(uniform)):
        probability = acceptance(dipole, first[order], second[order], kT)
        step = decide_swaps(probability, number % 2, row)
        tally.add(step, number % 2)
        order = order[step]
    return order


@dataclass(frozen=True)
class Ladder:
    """How a ladder ended.

    Attributes:
        tally: Tally of its swaps.
        finished: Whether its plan is done, or enough of it; False where it was stopped.
        enough: Whether it ended before its plan because that was enough.
    """

    tally: Tally
    finished: bool
    enough: bool


def run_ladder(
    recipes: Sequence[Recipe | Plan],
    paths: Sequence[Path],
    checkpoint: Path,
    seed: int,
    sweep_steps: int = SWEEP_STEPS,
    watch: Callable[[float], bool] = lambda part: False,
    enough: Callable[[], bool] = lambda: False,
    device: DeviceName = "cpu",
    ranks: int = 1,
) -> Ladder:
    """Run a ladder of recipes that differ in `dipole_D` and seed, or go on with it.

    Every rung leaves a run directory, whose frames are those at its dipole. Stages before the last
    run without swaps.

    Args:
        recipes: R ≥ 2 recipes, by increasing dipole.
        paths: Their run directories.
        checkpoint: File of the state of all rungs.
        seed: Seed of the swaps.
        sweep_steps: Steps between two swaps; no more than between two frames.
        watch: Function called after every sweep with the part that is done; True stops the ladder
            with a checkpoint.
        enough: Function called after every frame of the last stage; True ends the ladder.
        device: `cpu` or `gpu`.
        ranks: MPI ranks of each rung's engine.

    Raises:
        InputError: A recipe that can't exchange, or makes no sense.
        RunDirectoryError: A run directory is foreign, of another recipe, in use or unwritable.
        BlowUpError: A rung left the physical range; the last checkpoint is kept.
    """
    plans = [make_plan(recipe) for recipe in recipes]
    for plan in plans:
        check_plan(plan)
        preflight(plan)
    rungs = _Rungs(plans, checkpoint, seed, min(sweep_steps, plans[0].frame_steps))
    placement = choose_resources(plans[-1], rungs.systems[-1], "auto", device, 1, ranks)
    promise = (
        f"Bitwise identical trajectories for the same study, {placement.engine.name} version and "
        "machine, interrupted or not."
    )
    with ExitStack() as stack:
        sessions = []
        for plan, path in zip(plans, paths, strict=True):
            session = stack.enter_context(open_session(path, plan))
            session.manifest["exchange"] = rungs.exchange
            found = session.recover(rungs.done)
            stack.enter_context(session.running(placement, rungs.done, promise, found))
            sessions.append(session)
        rungs.run(placement.engine, sessions, watch, enough)
        finished = rungs.over or rungs.done >= plans[0].total_steps
        for session in sessions if finished else ():
            session.finish()
    return Ladder(rungs.tally, finished, rungs.over)


class _Rungs:
    """The rungs of a ladder: their plans and present state."""

    def __init__(
        self, plans: Sequence[Plan], checkpoint: Path, seed: int, sweep_steps: int
    ) -> None:
        self.plans, self.checkpoint, self.seed = plans, checkpoint, seed
        self.sweep_steps = sweep_steps
        self.systems, self.tally, self.done, self.over = _load(checkpoint, plans)
        self.exchange: dict[str, Any] = {
            "dipoles_D": [plan.recipe.dipole_D for plan in plans],
            "sweep_steps": sweep_steps,
        }
        self._record()

    def run(
        self,
        engine: Engine,
        sessions: Sequence[Session],
        watch: Callable[[float], bool],
        enough: Callable[[], bool],
    ) -> None:
        """Run what is left of the plans, sweep by sweep, until they end or one says so."""
        first_plan, last_stage = self.plans[0], len(self.plans[0].stages) - 1
        if not self.done:
            terms = [plan.acting(plan.stages[0]) for plan in self.plans]
            pairs = zip(self.systems, terms, strict=True)
            self._add_frames(sessions, 0, 0, [engine.evaluate(*pair).energies for pair in pairs])
        for index, first, last in _sweeps(first_plan, self.sweep_steps):
            if self.over:
                return
            if first_plan.offsets[index] + last <= self.done:
                continue
            energies = self._run_sweep(engine, index, first)
            self.done = first_plan.offsets[index] + last
            for session in sessions:
                session.last_step = self.done
            due = first_plan.frame_is_due(index, first, last)
            if due:
                self._add_frames(sessions, index, last, energies)
            if index == last_stage:
                self._swap(energies)
                self.over = due and enough()
            stopped = watch(self.done / first_plan.total_steps)
            if due or stopped:
                for session in sessions:
                    session.sync_frames()
                self._save()
            if stopped:
                return

    def _run_sweep(self, engine: Engine, index: int, first: int) -> list[dict[str, float]]:
        """Run one sweep of every rung; return their energies."""
        reports: list[Report] = []

        def stop(report: Report) -> bool:
            reports.append(report)
            return True

        for k, plan in enumerate(self.plans):
            stage = _sweep(plan, index, first, self.sweep_steps)
            self.systems[k] = engine.run(self.systems[k], plan.acting(stage), stage, stop)
        return [report.energies for report in reports]

    def _add_frames(
        self,
        sessions: Sequence[Session],
        index: int,
        step: int,
        energies: Sequence[dict[str, float]],
    ) -> None:
        for session, system, energy in zip(sessions, self.systems, energies, strict=True):
            session.add_frame(session.plan.frame(index, step, system, energy))

    def _swap(self, energies: Sequence[dict[str, float]]) -> None:
        """Swap configurations; each rung keeps its bodies."""
        kT = thermal_energy(self.plans[0].stages[-1].end.temperature_K)
        self.systems = swap(self.systems, energies, kT, self.tally, (self.seed, self.done))
        self._record()

    def _record(self) -> None:
        """Keep what the manifests of all rungs tell of the swaps."""
        self.exchange["acceptance"] = self.tally.ratios()
        self.exchange["round_trips"] = self.tally.round_trips

    def _save(self) -> None:
        """Write the state of all rungs as one file."""
        arrays: dict[str, Any] = {
            key: np.stack([getattr(system, key) for system in self.systems]) for key in _SAVED
        }
        arrays["dipoles_D"] = [plan.recipe.dipole_D for plan in self.plans]
        arrays["thickness_nm"] = [system.thickness_nm or math.nan for system in self.systems]
        data = io.BytesIO()
        state = {"done": self.done, "over": self.over} | vars(self.tally) | arrays
        np.savez(data, allow_pickle=False, **state)
        if self.checkpoint.exists():
            os.replace(self.checkpoint, _previous(self.checkpoint))
        write_bytes(self.checkpoint, data.getvalue())


def check_plan(plan: Plan) -> None:
    """Raise where a plan can't exchange, and say why.

    Raises:
        InputError: A last stage that ramps, charges, or an Ewald sum.
    """
    recipe = plan.recipe
    if plan.stages[-1].ramps:
        raise InputError(
            f"stages.{recipe.stages[-1].name}: the environment changes in the last stage, the one "
            "in which dipoles are exchanged; let it hold the environment, and ramp in one before"
        )
    if recipe.dipole != "point":
        raise InputError(
            f"dipole = '{recipe.dipole}': with charges the dipole changes where they are, so "
            "energies don't scale with its square; exchange needs dipole = 'point'"
        )
    if recipe.electrostatics != "cutoff":
        raise InputError(
            f"electrostatics = '{recipe.electrostatics}': a mesh would be chosen anew in every "
            "sweep; exchange needs electrostatics = 'cutoff'"
        )


def _sweep(plan: Plan, index: int, first: int, sweep_steps: int) -> Stage:
    """Return a stage as the engine runs its next sweep: one chunk, nothing tuned."""
    stage = plan.stages[index]
    skin = stage.skin_nm or SKIN * plan.interactions.cutoff_nm
    if not stage.ramps:  # engines list all chunks of a stage, which takes long of a long one
        stage = replace(stage, steps=min(stage.steps, first + sweep_steps))
    return replace(stage, first_step=first, chunk_steps=sweep_steps, skin_nm=skin)


def _sweeps(plan: Plan, sweep_steps: int) -> Iterator[tuple[int, int, int]]:
    """Yield stage, first and last step in it of every sweep."""
    for index, stage in enumerate(plan.stages):
        for todo, last in replace(stage, chunk_steps=sweep_steps).chunks():
            yield index, last - todo, last


def swap(
    systems: Sequence[System],
    energies: Sequence[dict[str, float]],
    kT: float,
    tally: Tally,
    seed: tuple[int, int],
) -> list[System]:
    """Return the systems after rounds of swaps, each with the bodies of its rung."""
    mu = np.array([system.bodies[0].dipole_magnitude_e_nm for system in systems])
    e = np.array([energy["electrostatic"] for energy in energies]) / mu**2
    f = np.array([energy["field"] for energy in energies]) / mu
    uniform = np.random.default_rng(seed).random((ROUNDS * len(mu), len(mu) - 1))
    order = swap_in_rounds(mu, e, f, kT, uniform, tally)
    return [
        replace(system, **{key: getattr(systems[source], key) for key in _MOVED})
        for system, source in zip(systems, order, strict=True)
    ]


def _previous(path: Path) -> Path:
    return path.with_name("ladder.prev.npz")


def _load(path: Path, plans: Sequence[Plan]) -> tuple[list[System], Tally, int, bool]:
    """Return the systems, tally, step and whether it is over, from a checkpoint or at the start.

    Raises:
        RunDirectoryError: Both checkpoints are damaged, or of another ladder.
    """
    errors = []
    for file in (path, _previous(path)):
        if not file.exists():
            continue
        try:
            with np.load(file, allow_pickle=False) as stored:  # zip has a checksum for each array
                return _unpacked(dict(stored), plans)
        except (*_UNREADABLE, InputError) as error:
            errors.append(f"{file}: can't be read ({error})")
    if errors:
        raise RunDirectoryError(
            f"{'; '.join(errors)}; restore ladder.npz from a copy, or choose another --out"
        )
    return [plan.start() for plan in plans], Tally.new(len(plans)), 0, False


def _unpacked(data: dict[str, Any], plans: Sequence[Plan]) -> tuple[list[System], Tally, int, bool]:
    """Return what a checkpoint holds.

    Raises:
        ValueError: It is of other rungs, or makes no sense.
        KeyError: It lacks something.
    """
    systems = [plan.start() for plan in plans]
    dipoles = [plan.recipe.dipole_D for plan in plans]
    if "dipoles_D" in data and data["dipoles_D"].tolist() != dipoles:
        raise ValueError(f"of dipoles {data['dipoles_D'].tolist()} D, not {dipoles}")
    for k, system in enumerate(systems):
        thickness = float(data["thickness_nm"][k])
        systems[k] = replace(
            system,
            **{key: data[key][k] for key in _SAVED},
            thickness_nm=None if math.isnan(thickness) else thickness,
        )
    counts = {key: data[key] for key in ("attempts", "accepted", "walkers", "ends")}
    tally = Tally(**counts, round_trips=int(data["round_trips"]))
    return systems, tally, int(data["done"]), bool(data["over"])
