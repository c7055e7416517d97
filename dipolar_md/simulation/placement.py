"""Which engine, how many threads and MPI ranks: timed on the recipe's own densest state.

Every combination that fits the cores runs a second or so of dynamics in a random gas at the highest
density of the recipe. Combinations take turns, so that other work on the machine meets all of them
alike, medians count, and what is far behind is dropped after a round.
"""

import math
import os
import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from dipolar_md.engines.capabilities import refusal
from dipolar_md.engines.choice import choose_engine, inspect_engine
from dipolar_md.engines.lammps.ranks import mpiexec
from dipolar_md.engines.protocol import DeviceName, Engine, EngineName, Report
from dipolar_md.engines.stage import Environment, Stage
from dipolar_md.errors import DipolarMDError, EngineMissingError, InputError, UnsupportedError
from dipolar_md.model.system import System
from dipolar_md.simulation.plan import Plan

WORTH_MEASURING = 2e8
"""Clusters times steps, some minutes of one core: shorter runs don't earn back the timing."""
FEWEST_PER_CORE = 200
"""Clusters; with fewer, cores wait for each other longer than they work."""
_ROUNDS, _FAR_BEHIND, _CLOSE = 3, 1.25, 1.1
_SECONDS, _CHUNKS = 1.0, 3  # of a trial, at least


class Resources(NamedTuple):
    """An engine on so many OpenMP threads in each of so many MPI ranks."""

    engine: EngineName
    threads: int = 1
    ranks: int = 1

    def __str__(self) -> str:
        return f"{self.engine}, threads x ranks = {self.threads} x {self.ranks}"


class Placement(NamedTuple):
    """Where a plan runs.

    Attributes:
        engine: Engine that can do the whole plan.
        reason: Why this one.
        used: What a manifest says of threads, ranks and measured rates.
    """

    engine: Engine
    reason: str
    used: dict[str, Any]


def worth_measuring(plan: Plan) -> bool:
    """Return whether a run is so long that a better choice saves more than finding it costs."""
    return plan.n_clusters * plan.total_steps >= WORTH_MEASURING


def unmeasured(cores: int, clusters: int) -> int:
    """Return the threads of a run that is too short to measure: all cores, 400 clusters each."""
    return max(1, min(cores, clusters // (2 * FEWEST_PER_CORE)))


def candidates(
    engines: Iterable[EngineName], cores: int, clusters: int, launcher: bool = True
) -> list[Resources]:
    """Return the combinations to time: one core, half of the cores, all of them.

    LAMMPS splits them into 1, 2 or 4 threads a rank, or into threads alone; HOOMD-blue has neither
    threads nor ranks here.

    Args:
        engines: names, the first one preferred.
        cores: that may be used.
        clusters: of the run; each core gets `FEWEST_PER_CORE` at least.
        launcher: whether ranks can be started.
    """
    most = max(1, min(cores, clusters // FEWEST_PER_CORE))
    found: list[Resources] = []
    for name in engines:
        for used in sorted({1, max(1, most // 2), most}) if name == "lammps" else [1]:
            for threads in (used, 1, 2, 4):
                ranks = used // threads
                if ranks >= 1 and (ranks == 1 or launcher):
                    found.append(Resources(name, threads, ranks))
    return list(dict.fromkeys(found))


def fastest(
    choices: list[Resources], measure: Callable[[Resources], float], rounds: int = _ROUNDS
) -> dict[Resources, float]:
    """Return median rates by combination, the fastest first.

    Args:
        choices: what to time.
        measure: returns steps per second of one combination, 0 where it can't run.
        rounds: in which they take turns; whatever is a quarter slower than the best is dropped.
            What then lies within a tenth of the best gets as many more.
    """
    rates: dict[Resources, list[float]] = {choice: [] for choice in choices}
    left = choices
    for number in range(1, 2 * rounds + 1):
        for choice in left:
            rates[choice].append(measure(choice))
        medians = {choice: statistics.median(rates[choice]) for choice in choices}
        margin = _FAR_BEHIND if number < rounds else _CLOSE
        left = [c for c in left if medians[c] * margin >= max(medians.values())]
        if len(left) == 1:
            break
    return {
        choice: medians[choice]
        for choice in sorted(choices, key=lambda c: (c in left, medians[c]), reverse=True)
    }


def ranks_can_start() -> bool:
    """Return whether there is a launcher for MPI ranks."""
    with suppress(EngineMissingError):
        return bool(mpiexec())
    return False


def trial_of(plan: Plan) -> Callable[[Resources], float]:
    """Return a function that times a combination (steps/s) on the plan's densest state."""
    stage, densest = max(
        ((stage, end) for stage in plan.stages for end in (stage.start, stage.end)),
        key=lambda pair: pair[1].concentration_mM,
    )
    system, here = _gas(plan, densest)
    trial = replace(
        stage,
        name="trial",
        steps=10**9,
        start=here,
        end=here,
        chunk_steps=max(20, min(100, 200_000 // len(system))),
        skin_nm=stage.skin_nm or 0.15 * plan.interactions.cutoff_nm,
        first_step=0,
    )
    return lambda resources: _rate(plan, system, trial, resources)


def _gas(plan: Plan, densest: Environment) -> tuple[System, Environment]:
    """Return a gas as dense as can be placed at random, up to the densest environment."""
    start = plan.stages[0].start
    for part in (1.0, 0.5):
        ratio = densest.concentration_mM / start.concentration_mM
        here = densest._replace(concentration_mM=start.concentration_mM * ratio**part)
        with suppress(InputError):
            return plan.start(here), here
    here = densest._replace(
        concentration_mM=start.concentration_mM, thickness_nm=start.thickness_nm
    )
    return plan.start(here), here


def _rate(plan: Plan, system: System, trial: Stage, resources: Resources) -> float:
    """Return the steps per second of a combination, 0.0 where it can't run."""
    clock: list[float] = []

    def observe(_: Report) -> bool:
        clock.append(time.perf_counter())
        return len(clock) > _CHUNKS and clock[-1] - clock[0] > _SECONDS

    try:
        engine, _ = choose_engine(resources.engine, "cpu", *resources[1:])
        engine.run(system, plan.acting(trial), trial, observe)
    except DipolarMDError:  # it is not chosen, then; if none can run, the run itself says why
        return 0.0
    return (len(clock) - 1) * trial.chunk_steps / max(clock[-1] - clock[0], math.ulp(1.0))


def choose_resources(
    plan: Plan,
    system: System,
    engine: EngineName,
    device: DeviceName,
    threads: int | None,
    ranks: int | None,
) -> Placement:
    """Return where a plan runs: an engine that can do all of it, its threads and ranks.

    A long run on a CPU times what fits its cores; stated threads and ranks are taken as they are.

    Args:
        plan: What is to be run.
        system: Its initial state.
        engine: `auto`, `hoomd`, `lammps` or `monte_carlo`.
        device: `auto`, `cpu` or `gpu`.
        threads: OpenMP threads of each rank, or None.
        ranks: MPI ranks, or None.

    Raises:
        EngineMissingError: Engine or device are not available.
        UnsupportedError: The engine can't do the plan.
    """
    chosen, reason = _able_engine(plan, system, engine, device, threads or 1, ranks or 1)
    stated = threads is not None or ranks is not None
    if stated or (chosen.name, chosen.device) != ("lammps", "cpu"):
        return Placement(chosen, reason, {"threads": threads or 1, "ranks": ranks or 1})
    cores = len(os.sched_getaffinity(0))
    best = Resources("lammps", unmeasured(cores, plan.n_clusters))
    rates = _measured(plan, system, cores, engine == "auto") if worth_measuring(plan) else {}
    if rates:
        best = next(iter(rates))
        reason += f"; {best}, the fastest of {len(rates)} that were timed"
    used: dict[str, Any] = {"threads": best.threads, "ranks": best.ranks}
    if rates:
        used["measured_steps_per_second"] = {str(one): round(r, 3) for one, r in rates.items()}
    return Placement(choose_engine(best.engine, "cpu", best.threads, best.ranks)[0], reason, used)


def _measured(plan: Plan, system: System, cores: int, any_engine: bool) -> dict[Resources, float]:
    """Return median rates (steps/s), the fastest first; none where there is no choice."""
    able: list[EngineName] = ["lammps"]
    if any_engine and inspect_engine("hoomd", "cpu").usable and not _trouble(plan, system, "hoomd"):
        able.append("hoomd")
    choices = candidates(able, cores, plan.n_clusters, ranks_can_start())
    if len(choices) < 2:
        return {}
    rounds = 1 if plan.interactions.electrostatics == "ewald" else _ROUNDS  # each plans a mesh
    return fastest(choices, trial_of(plan), rounds)


def _trouble(plan: Plan, system: System, name: str) -> str | None:
    """Return why an engine can't do a plan, or None."""
    reasons = (refusal(name, system, plan.acting(stage), stage) for stage in plan.stages)
    return next((reason for reason in reasons if reason), None)


def _able_engine(
    plan: Plan, system: System, engine: EngineName, device: DeviceName, threads: int, ranks: int
) -> tuple[Engine, str]:
    """Return an engine that can do the whole plan, or raise before anything starts."""
    if engine == "auto" and plan.samples_equilibrium:
        engine = "monte_carlo"
    chosen, reason = choose_engine(engine, device, threads, ranks)
    unable = _trouble(plan, system, chosen.name)
    other: EngineName = "hoomd" if chosen.name == "lammps" else "lammps"
    if engine == "auto" and unable and not _trouble(plan, system, other):
        there = "cpu" if device == "auto" else device
        chosen, reason = choose_engine(other, there, threads, ranks)
        return chosen, f"{reason} ({unable})"
    if unable:
        raise UnsupportedError(unable)
    return chosen, reason
