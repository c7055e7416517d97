"""Equilibrium is shown, not claimed: two opposite starts, until both say the same.

One starts from a random gas, the other from loosely coiled chains of a hundred clusters.
They are done when mean chain length and rings agree and each has enough independent samples; until
then the result says what is missing.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dipolar_md.analysis.chains import find_chains
from dipolar_md.analysis.timeseries import Equilibration, Estimate, equilibration, mean_estimate
from dipolar_md.engines.choice import choose_engine
from dipolar_md.engines.protocol import Engine, Floats, Report
from dipolar_md.engines.stage import Environment, Stage
from dipolar_md.errors import InputError
from dipolar_md.model.body import Body
from dipolar_md.model.builders import random_gas
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System, align_z
from dipolar_md.units import MILLIMOLAR

STARTS = ("monomers", "chains")
_CLOSEST, _BEND = 1.3, 0.25  # contacts between clusters that aren't neighbours; per step of a chain
_AGREE = 2.5  # standard errors of the difference


class Equilibrium(NamedTuple):
    """What two opposite starts say of the mean chain length.

    Attributes:
        value: Mean of both starts, each from where it is stationary, and its error.
        starts: The same by start.
        judged: Where each start became stationary, and how many independent samples it has.
        series: Mean chain length by start, after every chunk of sweeps.
        rings: Share of clusters in rings by start, at the same moments; they open and close slowly.
        sweeps: Number of sweeps of each start.
        missing: What is missing, in words; empty at equilibrium.
        last: The last system by start.
    """

    value: Estimate
    starts: dict[str, Estimate]
    judged: dict[str, Equilibration]
    series: dict[str, list[float]]
    rings: dict[str, list[float]]
    sweeps: int
    missing: str
    last: dict[str, System]

    @property
    def equilibrated(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing


def coiled_chains(
    body: Body, count: int, concentration_mM: float, seed: int, length: int = 100
) -> System:
    """Return clusters in long, loosely coiled head-to-tail chains that don't touch.

    Straight ones would lie side by side or bite their own tail through the periodic box, and stay
    so for long.

    Args:
        body: Sphere of which they are made.
        count: Clusters.
        concentration_mM: Concentration; sets a cubic box.
        seed: Seed of their ways.
        length: Clusters of a chain; the last one may be shorter.

    Raises:
        InputError: Too dense for chains that don't touch.
    """
    rng = np.random.default_rng(seed)
    contact = body.axial_contact_nm
    edge = (count / (concentration_mM * MILLIMOLAR)) ** (1 / 3)
    places, directions = np.empty((0, 3)), np.empty((0, 3))
    for _ in range(20 * -(-count // length)):
        found = _coil(rng, places, min(length, count - len(places)), contact, edge)
        if found is not None:
            places = np.concatenate([places, found[0]])
            directions = np.concatenate([directions, found[1]])
        if len(places) == count:
            return System.from_arrays((edge,) * 3, places, align_z(directions), body)
    raise InputError(
        f"concentration_mM = {concentration_mM:g} is too dense for a start from chains of {length} "
        f"clusters that don't touch (placed {len(places)} of {count}); lower it"
    )


def _coil(
    rng: np.random.Generator, others: Floats, length: int, contact: float, edge: float
) -> tuple[Floats, Floats] | None:
    """Return places and directions (length, 3) of a chain that keeps clear; None where it can't."""
    chain = [rng.uniform(-edge / 2, edge / 2, 3)]
    steps = [_unit(rng.normal(size=3))]
    for _ in range(20 * length):
        if len(chain) == length:
            return np.array(chain), np.array(steps)
        step = _unit(steps[-1] + _BEND * rng.normal(size=3))
        place = chain[-1] + contact * step
        around = np.concatenate([others, np.array(chain[:-1]).reshape(-1, 3)]) - place
        around -= edge * np.rint(around / edge)
        if len(around) == 0 or (around**2).sum(axis=1).min() > (_CLOSEST * contact) ** 2:
            chain.append(place)
            steps.append(step)
    return None


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector))


def find_equilibrium(
    body: Body,
    interactions: Interactions,
    count: int,
    concentration_mM: float,
    sweeps: int = 20000,
    chunk: int = 20,
    relative_error: float = 0.03,
    seed: int = 1,
    engine: Engine | None = None,
    stop: Callable[[Equilibrium], bool] = lambda state: False,
) -> Equilibrium:
    """Return the mean chain length at equilibrium, from two opposite starts.

    Both go on in turn until they agree within 2.5 standard errors, each is stationary with at least
    ten independent samples, and their mean is known to `relative_error`.

    Args:
        body: Sphere of which all clusters are.
        interactions: Interactions in their environment.
        count: Clusters.
        concentration_mM: Concentration.
        sweeps: Most sweeps of each start.
        chunk: Sweeps between two looks.
        relative_error: Error of the mean at which it ends.
        seed: Seed of the starts and of the sampling.
        engine: Engine to sample with, default Monte Carlo.
        stop: Asked with what there is after every turn; True ends it.

    Returns:
        `Equilibrium`, with what is missing where the two starts don't agree.

    Raises:
        InputError: too dense for the start from chains, or a box too small for the cutoff.
    """
    sampler = choose_engine("monte_carlo")[0] if engine is None else engine
    here = Environment(
        interactions.temperature_K, interactions.relative_permittivity, concentration_mM
    )
    now = {
        "monomers": random_gas({body: count}, concentration_mM, seed),
        "chains": coiled_chains(body, count, concentration_mM, seed),
    }
    series: dict[str, list[float]] = {name: [] for name in STARTS}
    rings: dict[str, list[float]] = {name: [] for name in STARTS}
    turn, done = 20 * chunk, 0
    while True:
        for number, name in enumerate(STARTS):
            stage = Stage(
                name, done + turn, 0.0, here, here, integrator="equilibrium", chunk_steps=chunk,
                seed=2 * seed + number, first_step=done,
            )  # fmt: skip
            now[name] = sampler.run(
                now[name], interactions, stage, _keeper(series[name], rings[name])
            )
        done += turn
        state = judge(series, rings, done, relative_error, now)
        if state.equilibrated or done >= sweeps or stop(state):
            return state
        turn = min(done // 2 // chunk * chunk or chunk, sweeps - done)  # judging costs, too


def _keeper(series: list[float], rings: list[float]) -> Callable[[Report], bool]:
    def keep(report: Report) -> bool:
        graph = find_chains(report.read())
        series.append(graph.mean_length)
        rings.append(graph.fraction("ring"))
        return False

    return keep


def judge(
    series: dict[str, list[float]],
    rings: dict[str, list[float]],
    sweeps: int,
    relative_error: float,
    last: dict[str, System],
) -> Equilibrium:
    """Return what series of two starts say together, and what is missing."""
    judged = {name: equilibration(values) for name, values in series.items()}
    starts = _means(series)
    (a, da), (b, db) = ((one.value, one.error or math.inf) for one in starts.values())
    value = Estimate((a + b) / 2, math.hypot(da, db) / 2)
    reasons = _differences("mean chain length", series) + _differences("rings", rings)
    if not (value.error or math.inf) <= relative_error * value.value:
        reasons.append(f"an error of {value.error:.2g}, {relative_error:.0%} was asked for")
    return Equilibrium(value, starts, judged, series, rings, sweeps, "; ".join(reasons), last)


def _means(series: dict[str, list[float]]) -> dict[str, Estimate]:
    """Return the mean of each series from where it is stationary."""
    return {
        name: mean_estimate(values[equilibration(values).start :])[0]
        for name, values in series.items()
    }


def _differences(quantity: str, series: dict[str, list[float]]) -> list[str]:
    """Return what keeps the series of two starts from being one."""
    reasons = [
        f"{quantity} of the start from {name}: {found.reason}"
        for name, values in series.items()
        if not (found := equilibration(values)).equilibrated
    ]
    (a, da), (b, db) = ((one.value, one.error or 0.0) for one in _means(series).values())
    if abs(a - b) > _AGREE * math.hypot(da, db):
        reasons.append(
            f"the starts disagree in {quantity}: {a:.4g} ± {da:.2g} from {STARTS[0]}, "
            f"{b:.4g} ± {db:.2g} from {STARTS[1]}"
        )
    return reasons
