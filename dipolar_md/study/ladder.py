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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dipolar_md.engines.protocol import DeviceName, Report
from dipolar_md.engines.stage import Stage
from dipolar_md.errors import BlowUpError, InputError
from dipolar_md.model.system import System
from dipolar_md.simulation.assembly import (
    Run,
    begin_session,
    end_session,
    frame_is_due,
    save_manifest,
    stage_frame,
    write_file,
)
from dipolar_md.simulation.placement import choose_resources
from dipolar_md.simulation.preflight import preflight
from dipolar_md.simulation.recipe import Recipe
from dipolar_md.trajectory import append_frame, truncate
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


def acceptance(dipole: ArrayLike, e: ArrayLike, f: ArrayLike, kT: float) -> Floats:
    """Return the probability that each pair of neighbouring rungs swaps its configurations.

        min(1, exp(-Δ)), Δ = [(μ_i² - μ_j²)(e_j - e_i) + (μ_i - μ_j)(f_j - f_i)]/kT

    the ratio of the joint Boltzmann weights (Metropolis). Exact where the electrostatic energy
    scales as μ² at fixed positions, so not for charges that move apart with the dipole.

    Args:
        dipole: (R,) μ of the rungs, any unit.
        e: (R,) electrostatic energy per μ² of the configuration at each rung.
        f: (R,) its energy in a uniform field per μ.
        kT: in the unit of the energies.

    Returns:
        (R - 1,) probabilities, of rungs 0 and 1 first.
    """
    mu = np.asarray(dipole, dtype=np.float64)
    delta = -(np.diff(mu**2) * np.diff(e) + np.diff(mu) * np.diff(f)) / kT
    return np.asarray(np.exp(-np.maximum(delta, 0.0)))


def swapped(probability: ArrayLike, parity: int, uniform: ArrayLike) -> Integers:
    """Return which configuration each rung holds after the swaps of one kind of pairs.

    Args:
        probability: (R - 1,) of each pair, from `acceptance`.
        parity: 0 tries the pairs (0, 1), (2, 3) …, 1 the pairs (1, 2), (3, 4) …
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
        n_clusters: N.
        low_D: the lower dipole.
        high_D: the higher dipole.
    """
    return math.erfc(math.sqrt(3 * n_clusters) * 2 * math.log(high_D / low_D))


@dataclass
class Tally:
    """What the swaps of a ladder came to.

    Attributes:
        attempts, accepted: (R - 1,) by pair of neighbouring rungs.
        walkers: (R,) which of the configurations of the start each rung holds.
        ends: (R,) by walker: 0 before it was at the lowest rung, 1 since then, 2 since it went on
            to the highest.
        round_trips: returns of a walker to the lowest rung by way of the highest.
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
        """Count one round of swaps, as `swapped` returned it."""
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


def exchanged(
    dipole: ArrayLike, e: ArrayLike, f: ArrayLike, kT: float, uniform: ArrayLike, tally: Tally
) -> Integers:
    """Return which configuration each rung holds after rounds of swaps; count them in `tally`.

    Even and odd pairs in turn. Rounds cost next to nothing, for the energies of every configuration
    at every rung are known; each of them leaves the joint distribution as it is.

    Args:
        dipole: (R,) as in `acceptance`.
        e: (R,) likewise, before the swaps.
        f: (R,) likewise.
        kT: likewise.
        uniform: (rounds, R - 1) random numbers in [0, 1).
        tally: of the ladder.

    Returns:
        (R,) a permutation: rung k gets the configuration that was at `order[k]`.
    """
    first, second = np.asarray(e, dtype=np.float64), np.asarray(f, dtype=np.float64)
    order = np.arange(len(first))
    for number, row in enumerate(np.asarray(uniform)):
        probability = acceptance(dipole, first[order], second[order], kT)
        step = swapped(probability, number % 2, row)
        tally.add(step, number % 2)
        order = order[step]
    return order


@dataclass(frozen=True)
class Ladder:
    """How a ladder ended.

    Attributes:
        tally: of its swaps.
        finished: whether its plan is done or `enough` was said; False where it was stopped.
        enough: whether it ended before its plan because that was enough.
    """

    tally: Tally
    finished: bool
    enough: bool


def run_ladder(
    recipes: Sequence[Recipe],
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
    run without swaps. The caller holds the directories.

    Args:
        recipes: R ≥ 2, by increasing dipole.
        paths: their run directories.
        checkpoint: file of the state of all rungs.
        seed: of the swaps.
        sweep_steps: steps between two swaps.
        watch: called after every sweep with the part that is done; True stops with a checkpoint.
        enough: called after every frame of the last stage; True ends the ladder.
        device: `cpu` or `gpu`.
        ranks: MPI ranks of each rung's engine.

    Raises:
        InputError: a recipe that can't exchange, or makes no sense.
        BlowUpError: a rung left the physical range; the last checkpoint is kept.
    """
    for recipe in recipes:
        check_recipe(recipe)
        preflight(recipe)
    plans, last_stage = [recipe.plan() for recipe in recipes], len(recipes[0].stages) - 1
    total = sum(stage.steps for stage in plans[0])
    systems, tally, done, over = _load(checkpoint, recipes)
    engine, reason, used = choose_resources(recipes[-1], systems[-1], "auto", device, 1, ranks)
    manifests = []
    for recipe, path in zip(recipes, paths, strict=True):
        path.mkdir(parents=True, exist_ok=True)
        before = Run(path).manifest if done and (path / "manifest.json").is_file() else None
        manifests.append(begin_session(path, recipe, engine, reason, used, before))
        manifests[-1]["reproducibility"] = (
            f"Bitwise identical trajectories for the same study, {engine.name} version and "
            "machine, interrupted or not."
        )
        manifests[-1]["sessions"][-1]["first_step"] = done
        save_manifest(path, manifests[-1])
        if done:
            truncate(path / "trajectory.gsd", done)
        else:
            (path / "trajectory.gsd").unlink(missing_ok=True)

    def run_rung(k: int, index: int, first: int) -> tuple[System, dict[str, float]]:
        """Run one sweep of one rung; return its state and energies."""
        stage = _sweep(recipes[k], plans[k][index], first, sweep_steps)
        said: list[Report] = []

        def stop(report: Report) -> bool:
            said.append(report)
            return True

        terms = recipes[k].interactions(stage.environment(first))
        return engine.run(systems[k], terms, stage, stop), said[0].energies

    def keep_frames(index: int, offset: int, step: int, energies: list[dict[str, float]]) -> None:
        for k, path in enumerate(paths):
            frame = stage_frame(plans[k][index], offset, step, systems[k], energies[k])
            append_frame(path / "trajectory.gsd", frame)

    status = "interrupted"
    try:
        if not done:
            terms = [r.interactions(p[0].start) for r, p in zip(recipes, plans, strict=True)]
            start = [engine.evaluate(*pair).energies for pair in zip(systems, terms, strict=True)]
            keep_frames(0, 0, 0, start)
        for index, offset, first, last in _sweeps(plans[0], sweep_steps):
            if offset + last <= done or over:
                continue
            found = [run_rung(k, index, first) for k in range(len(recipes))]
            systems, energies = [system for system, _ in found], [e for _, e in found]
            done, stage = offset + last, plans[0][index]
            due = frame_is_due(recipes[0], stage, first, last)
            if due:
                keep_frames(index, offset, last, energies)
            if index == last_stage:
                systems = _swap(systems, energies, stage, tally, (seed, done))
                over = due and enough()
            stopped = watch(done / total)
            if due or stopped:
                _save(checkpoint, systems, tally, done, over)
            if stopped or over:
                break
        status = "finished" if over or done >= total else "interrupted"
    except BlowUpError as error:
        status = "failed"
        for manifest in manifests:
            manifest["error"] = str(error)
        raise
    finally:
        for path, manifest in zip(paths, manifests, strict=True):
            manifest["status"] = status
            manifest["exchange"] = {
                "dipoles_D": [recipe.dipole_D for recipe in recipes],
                "sweep_steps": sweep_steps,
                "acceptance": tally.ratios(),
                "round_trips": tally.round_trips,
            }
            end_session(path, manifest, done, engine)
    return Ladder(tally, status == "finished", over)


def check_recipe(recipe: Recipe) -> None:
    """Raise where a recipe can't exchange, and say why.

    Raises:
        InputError: a last stage that ramps, charges, or an Ewald sum.
    """
    if recipe.plan()[-1].ramps:
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


def _sweep(recipe: Recipe, stage: Stage, first: int, sweep_steps: int) -> Stage:
    """Return a stage as the engine runs its next sweep: one chunk, nothing tuned."""
    skin = stage.skin_nm or SKIN * (recipe.cutoff_nm or 10.0)
    if not stage.ramps:  # engines list all chunks of a stage, which takes long of a long one
        stage = replace(stage, steps=min(stage.steps, first + sweep_steps))
    return replace(stage, first_step=first, chunk_steps=sweep_steps, skin_nm=skin)


def _sweeps(plan: Sequence[Stage], sweep_steps: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield stage, steps of the stages before it, first and last step in it of every sweep."""
    offset = 0
    for index, stage in enumerate(plan):
        for todo, last in replace(stage, chunk_steps=sweep_steps).chunks():
            yield index, offset, last - todo, last
        offset += stage.steps


def _swap(
    systems: list[System],
    energies: list[dict[str, float]],
    stage: Stage,
    tally: Tally,
    seed: tuple[int, int],
) -> list[System]:
    """Return the systems after the swaps, each with the bodies of its rung."""
    mu = np.array([system.bodies[0].dipole_magnitude_e_nm for system in systems])
    e = np.array([energy["electrostatic"] for energy in energies]) / mu**2
    f = np.array([energy["field"] for energy in energies]) / mu
    uniform = np.random.default_rng(seed).random((ROUNDS * len(mu), len(mu) - 1))
    order = exchanged(mu, e, f, thermal_energy(stage.end.temperature_K), uniform, tally)
    return [
        replace(system, **{key: getattr(systems[source], key) for key in _MOVED})
        for system, source in zip(systems, order, strict=True)
    ]


def _save(path: Path, systems: list[System], tally: Tally, done: int, over: bool) -> None:
    """Write the state of all rungs as one file."""
    arrays: dict[str, Any] = {
        key: np.stack([getattr(system, key) for system in systems]) for key in _SAVED
    }
    arrays["thickness_nm"] = [system.thickness_nm or math.nan for system in systems]
    data = io.BytesIO()
    np.savez(data, allow_pickle=False, done=done, over=over, **vars(tally), **arrays)
    write_file(path, data.getvalue())


def _load(path: Path, recipes: Sequence[Recipe]) -> tuple[list[System], Tally, int, bool]:
    """Return the systems, tally, step and whether it is over, from a checkpoint or at the start."""
    systems = [recipe.initial() for recipe in recipes]
    if not path.exists():
        return systems, Tally.new(len(recipes)), 0, False
    with np.load(path, allow_pickle=False) as stored:
        data = dict(stored)
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
