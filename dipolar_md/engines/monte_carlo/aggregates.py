"""Configurational integrals of aggregates of one to some dozens of clusters, with their errors."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from dipolar_md.engines.monte_carlo.graph import OPEN
from dipolar_md.engines.monte_carlo.growth import (
    DOWN,
    PARTS,
    SEEN,
    TRIED_DOWN,
    TRIED_UP,
    UP,
    grow,
)
from dipolar_md.engines.monte_carlo.state import model_of, state_of
from dipolar_md.engines.protocol import Floats
from dipolar_md.model.body import Body
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System
from dipolar_md.units import thermal_energy

REACH_CONTACTS, HIGHEST_ENERGY = 1.5, -0.2
"""What holds an aggregate together: pairs nearer than 1.5 contacts with a dipole energy below -0.2
contact energies. Looser than any bond that is counted, so that what is left out, pairs beyond,
hardly attracts."""
_EDGE = 1e5  # nm: of a box in which no aggregate meets its image
_OTHERS = -15.0  # ln weight of kinds that aren't open chains, before anything is known
_FREE_STEP, _HIGHEST = 9.0, -2.0  # later: this less ln b_{n+1}/b_n, as a ring has one bond more
_SHARE_OF_OTHERS = 0.06  # share of visits of each that is allowed
_REFINEMENTS = 20
_PENALTIES = (0.1, 0.03, 0.01)  # taken from the weight of a size at every visit


@dataclass(frozen=True)
class Aggregates:
    """Isolated aggregates of every size: from all blocks of the sampling, then without each.

    The first axis has 1 + blocks entries: the estimate, and those of the jackknife. The next has
    sizes n = 1 … n_max, and a third of four kinds: open chains, chains that are folded back on
    themselves, rings, branched aggregates. c_n = b_n zⁿ.

    Attributes:
        log_integral: ln b_n of open chains, b in nm^{3(n-1)}.
        over_open: Integrals of each kind over that of open chains; NaN where those were not seen.
        energy_kJ_mol: Mean potential energy by kind, induced dipoles integrated out.
        contour_nm: Mean length of all bonds by kind.
        end_to_end2_nm2: Mean square of the distance of the ends, by kind.
        parts: By criterion, mean number of parts into which an aggregate of a kind falls when
            bonds are counted by it.
        ring_share: By criterion, share of rings that are rings by it.
        trials: Number of trials of the sampling.
        acceptance: Share of additions and removals that were accepted, on average.
    """

    log_integral: Floats
    over_open: Floats
    energy_kJ_mol: Floats
    contour_nm: Floats
    end_to_end2_nm2: Floats
    parts: Mapping[str, Floats]
    ring_share: Mapping[str, Floats]
    trials: int
    acceptance: float


class Criterion(NamedTuple):
    """A stricter bond criterion: a farthest distance and a highest dipole energy.

    Attributes:
        reach_nm: Farthest distance of a bond.
        energy: Highest dipole energy over |contact energy|.
    """

    reach_nm: float
    energy: float


def sample_aggregates(
    body: Body,
    interactions: Interactions,
    criteria: Mapping[str, Criterion] = MappingProxyType({}),
    largest: int = 24,
    seconds: float = 10.0,
    seed: int = 1,
    blocks: int = 10,
    trials: int | None = None,
    polarisability_nm3: float | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Aggregates:
    """Return the configurational integrals of isolated aggregates of one kind of sphere.

    Args:
        body: Sphere of which they are made.
        interactions: Interactions in their environment; no field.
        criteria: Bond criteria by which parts are counted, none looser than what holds an
            aggregate together.
        largest: Clusters of the largest aggregate.
        seconds: Time of the sampling, about; the numbers then depend on the machine.
        seed: Seed of the random numbers.
        blocks: Number of independent estimates.
        trials: Trials of each block, instead of a time.
        polarisability_nm3: Polarisability volume, default that of the body.
        stop: Question asked after every block; True ends the sampling with what there is.
    """
    system = System.from_arrays((_EDGE,) * 3, np.zeros((1, 3)), [[1.0, 0, 0, 0]], body)
    model = model_of(system, interactions, REACH_CONTACTS, HIGHEST_ENERGY, polarisability_nm3)
    state = state_of(system, model, (seed, 0), capacity=largest)
    table = np.array(list(criteria.values()), dtype=np.float64).reshape(-1, 2)
    run = _Run(model, state, 0.06 * body.axial_contact_nm, table, largest)
    run.tune()
    if trials is None:
        begin = time.perf_counter()
        run.sample(20000)
        trials = max(20000, int(seconds / blocks * 20000 / (time.perf_counter() - begin)))
    kept = []
    for _ in range(blocks):
        kept.append(run.sample(trials))
        if stop():
            break
    induced = 1.5 * thermal_energy(interactions.temperature_K)
    own = induced if model["polarisability"][0] else 0.0
    without = [kept[:k] + kept[k + 1 :] for k in range(len(kept))] if len(kept) > 1 else []
    pooled = [_Pool(some) for some in (kept, *without)]
    means = np.array([pool.means() for pool in pooled])
    sizes = np.arange(1, largest + 1)[:, None]
    return Aggregates(
        log_integral=np.array([pool.log_integral() for pool in pooled]),
        over_open=np.array([pool.over_open() for pool in pooled]),
        energy_kJ_mol=means[..., 1] - own * sizes,
        contour_nm=means[..., 2],
        end_to_end2_nm2=means[..., 3],
        parts={name: means[..., PARTS + 2 * k] for k, name in enumerate(criteria)},
        ring_share={name: means[:, :, 2, PARTS + 2 * k + 1] for k, name in enumerate(criteria)},
        trials=trials * len(kept),
        acceptance=pooled[0].acceptance(),
    )


class _Sums:
    """What a stretch of sampling adds up, by size.

    `steps` (n_max,) are the differences of ln weight, from size n to n + 1, of the chances; `bias`
    (n_max + 1, 4) the ln weights by kind with which it was sampled.
    """

    def __init__(self, steps: Floats, bias: Floats, columns: int) -> None:
        self.steps, self.bias = steps, bias.copy()
        self.chances = np.zeros((len(bias), 4))
        self.histogram = np.zeros((len(bias), 4), np.int64)
        self.measures = np.zeros((len(bias), 4, columns))

    def counts(self) -> Floats:
        """Return (n_max, 4) visits, of each kind as if it had the weight of open chains."""
        return np.asarray(self.histogram[1:] * np.exp(self.bias[1:, OPEN, None] - self.bias[1:]))


class _Pool:
    """What several stretches of sampling say together."""

    def __init__(self, some: Sequence[_Sums]) -> None:
        self.steps = some[0].steps
        self.chances = np.sum([sums.chances for sums in some], axis=0)
        self.counts = np.sum([sums.counts() for sums in some], axis=0)
        self.measures = np.sum([sums.measures for sums in some], axis=0)

    def log_ratios(self) -> Floats:
        """Return ln b_{n+1}/b_n for n = 1 … n_max - 1; NaN where one direction was never tried."""
        c = self.chances
        with np.errstate(divide="ignore", invalid="ignore"):
            up = np.log(c[1:-1, UP] / c[1:-1, TRIED_UP])
            down = np.log(c[2:, DOWN] / c[2:, TRIED_DOWN])
            ratios = up - down + self.steps[1:]
        return np.where(np.isfinite(ratios), ratios, np.nan)

    def log_integral(self) -> Floats:
        return np.concatenate([[0.0], np.cumsum(self.log_ratios())])

    def over_open(self) -> Floats:
        """Return (n_max, 4) integrals of each kind over that of open chains; NaN where unseen."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = self.counts / self.counts[:, OPEN, None]
        return np.where(np.isfinite(ratios), ratios, np.nan)

    def means(self) -> Floats:
        """Return (n_max, 4, columns) means; 0 where a kind was never seen."""
        measures = self.measures[1:]
        return np.asarray(measures / np.maximum(measures[..., SEEN, None], 1))

    def acceptance(self) -> float:
        c = self.chances.sum(axis=0)
        return float((c[UP] + c[DOWN]) / max(1.0, c[TRIED_UP] + c[TRIED_DOWN]))


class _Run:
    """A growing aggregate and the ln weights (n_max + 1, 4) with which sizes are seen alike."""

    def __init__(
        self, model: object, state: object, width: float, criteria: Floats, largest: int
    ) -> None:
        self.model, self.state, self.width, self.criteria = model, state, width, criteria
        self.largest = largest
        self.bias = np.zeros((largest + 1, 4))
        self.bias[:, 1:] = _OTHERS
        self.steps = np.zeros(largest)
        self.known: list[_Sums] = []

    def grow(self, trials: int, penalty: float = 0.0) -> _Sums:
        sums = _Sums(self.steps, self.bias, PARTS + 2 * len(self.criteria))
        kept = sums.chances, sums.histogram, sums.measures
        grow(
            self.model,
            self.state,
            trials,
            self.bias,
            penalty,
            self.steps,
            self.width,
            self.criteria,
            *kept,
        )
        return sums

    def tune(self) -> None:
        """Find ln weights: first from visits (Wang and Landau), then from chances."""
        for penalty in _PENALTIES:
            for _ in range(20):  # until every size was seen
                sums = self.grow(1000 * self.largest, penalty)
                self.lower_others(sums)
                seen = sums.histogram[1:].sum(axis=1)
                if seen.min() > 0.2 * seen.mean():
                    break
        steps = -np.diff(self.bias[1:, OPEN])
        steps[4:] = np.median(steps[4:]) if len(steps) > 4 else 0.0
        self.steps = np.concatenate([[0.0], steps])
        self.bias[:, 1:] += min(_HIGHEST, _FREE_STEP - float(steps[-1])) - _OTHERS
        self.set_steps(steps)
        for _ in range(_REFINEMENTS):
            self.sample(500 * self.largest)

    def sample(self, trials: int) -> _Sums:
        """Return the sums of a stretch at fixed weights; then make the weights better by it."""
        sums = self.grow(trials)
        self.lower_others(sums)
        self.known.append(sums)
        ratios = _Pool(self.known).log_ratios()
        self.set_steps(np.where(np.isfinite(ratios), ratios, self.steps[1:]))
        return sums

    def set_steps(self, ratios: Floats) -> None:
        others = self.bias[1:] - self.bias[1:, OPEN, None]
        self.bias[1:] = np.concatenate([[0.0], -np.cumsum(ratios)])[:, None] + others

    def lower_others(self, sums: _Sums) -> None:
        """Lower the weight of each kind but open chains until little of it is seen.

        A ring or a folded chain opens seldom unless it weighs little.
        """
        shares = np.maximum(sums.histogram.sum(axis=0) / sums.histogram.sum(), 1e-9)
        self.bias[:, 1:] -= np.maximum(0.0, np.log(shares[1:] / _SHARE_OF_OTHERS))
