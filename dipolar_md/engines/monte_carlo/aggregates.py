"""Configurational integrals of aggregates of one to some dozens of clusters, with their errors."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dipolar_md.engines.monte_carlo.graph import OPEN
from dipolar_md.engines.monte_carlo.growth import DOWN, TRIED_DOWN, TRIED_UP, UP, grow
from dipolar_md.engines.monte_carlo.state import model_of, polarisability, state_of
from dipolar_md.engines.protocol import Floats
from dipolar_md.model.body import Body
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System
from dipolar_md.units import thermal_energy

_EDGE = 1e5  # nm: of a box in which no aggregate meets its image
_OTHERS, _SHARE_OF_OTHERS = -4.0, 0.1  # ln weight of what isn't open at first; share allowed
_REFINEMENTS = 10
_PENALTIES = (0.1, 0.03, 0.01)  # taken from the weight of a size at every visit


class Aggregates(NamedTuple):
    """Aggregates of every size, in blocks that are independent estimates.

    Rows are sizes n = 1 … n_max; b_n is the configurational integral per volume, c_n = b_n zⁿ.

    Attributes:
        log_integral: (blocks, n_max) ln b_n of open chains, b in nm^{3(n-1)}.
        over_open: (blocks, n_max, 4) integrals of open chains (1), of chains that are folded back
            on themselves, of rings and of branched aggregates over those of open chains.
        energy_kJ_mol: (blocks, n_max) mean potential energy of linear aggregates, induced dipoles
            integrated out.
        contour_nm: (blocks, n_max) mean length of linear aggregates along their bonds.
        end_to_end2_nm2: (blocks, n_max) mean square of the distance of their ends.
        trials: of the sampling.
        acceptance: shares of cluster additions and removals that were accepted, on average.
    """

    log_integral: Floats
    over_open: Floats
    energy_kJ_mol: Floats
    contour_nm: Floats
    end_to_end2_nm2: Floats
    trials: int
    acceptance: float


def sample_aggregates(
    body: Body,
    interactions: Interactions,
    largest: int = 40,
    seconds: float = 10.0,
    seed: int = 1,
    bond_reach_contacts: float = 1.5,
    bond_energy: float = -0.5,
    blocks: int = 10,
    trials: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Aggregates:
    """Return the configurational integrals of isolated aggregates of one kind of sphere.

    Args:
        body: the sphere.
        interactions: what acts; no field.
        largest: clusters of the largest aggregate.
        seconds: time of the sampling, about; the numbers then depend on the machine.
        seed: Seed of the random numbers.
        bond_reach_contacts: farthest bond, in contacts.
        bond_energy: highest dipole energy of a bond over |contact energy|.
        blocks: Number of independent estimates.
        trials: trials of each block, instead of a time.
        stop: asked after every block; True ends the sampling with what there is.
    """
    system = System.from_arrays((_EDGE,) * 3, np.zeros((1, 3)), [[1.0, 0, 0, 0]], body)
    model = model_of(system, interactions, bond_reach_contacts, bond_energy)
    state = state_of(system, model, (seed, 0), capacity=largest)
    width = 0.06 * body.axial_contact_nm
    bias, steps = _first_weights(model, state, largest, width)
    total = _Sums(steps)
    for _ in range(_REFINEMENTS):
        total.add(model, state, 500 * largest, bias, width)
        bias[2:] = total.flat_weights(bias)
    if trials is None:
        begin = time.perf_counter()
        total.add(model, state, 20000, bias, width)
        rate = 20000 / (time.perf_counter() - begin)
        trials = max(20000, int(seconds * rate / blocks))
    kept, weights = [], []
    for _ in range(blocks):
        kept.append(_Sums(steps))
        kept[-1].add(model, state, trials, bias, width)
        weights.append(bias.copy())
        total.include(kept[-1])
        bias[2:] = total.flat_weights(bias)
        if stop():
            break
    own = 1.5 * thermal_energy(interactions.temperature_K) if polarisability(body) else 0.0
    pairs = list(zip(kept, weights, strict=True))
    energy, contour, squares = (
        np.array([sums.mean(column, weight) for sums, weight in pairs]) for column in range(3)
    )
    return Aggregates(
        log_integral=np.array([sums.log_integral() for sums in kept]),
        over_open=np.array([sums.over_open(weight) for sums, weight in pairs]),
        energy_kJ_mol=energy - own * np.arange(1, largest + 1),
        contour_nm=contour,
        end_to_end2_nm2=squares,
        trials=trials * len(kept),
        acceptance=float(np.mean([sums.acceptance() for sums in kept])),
    )


def _first_weights(
    model: object, state: object, largest: int, width: float
) -> tuple[Floats, Floats]:
    """Return ln weights (n_max + 1, 4) with which every size is seen, and the steps they suggest.

    A ring or a folded chain opens seldom unless it weighs little: the weight of all that isn't an
    open chain is lowered until little of it is seen.
    """
    bias = np.zeros((largest + 1, 4))
    bias[:, 1:] = _OTHERS
    for penalty in _PENALTIES:
        for _ in range(20):  # until every size was seen
            sums = _Sums(np.zeros(largest))
            sums.add(model, state, 1000 * largest, bias, width, penalty)
            seen = sums.histogram[1:, OPEN]
            share = max(1 - seen.sum() / sums.histogram.sum(), 1e-9)
            bias[:, 1:] -= max(0.0, np.log(share / _SHARE_OF_OTHERS))
            if seen.min() > 0.2 * seen.mean():
                break
    steps = -np.diff(bias[1:, OPEN])
    steps[4:] = np.median(steps[4:]) if len(steps) > 4 else 0.0
    bias[2:] += (-np.cumsum(steps) - bias[2:, OPEN] + bias[1, OPEN])[:, None]
    return bias - bias[1, OPEN], np.concatenate([[0.0], steps])


class _Sums:
    """What a stretch of sampling adds up, by size.

    `steps` (n_max,) are the differences of ln weight, from size n to n + 1, of the chances.
    """

    def __init__(self, steps: Floats) -> None:
        self.steps = steps
        sizes = len(steps) + 1
        self.chances = np.zeros((sizes, 4))
        self.histogram = np.zeros((sizes, 4), np.int64)
        self.measures = np.zeros((sizes, 2, 4))

    def add(
        self,
        model: object,
        state: object,
        trials: int,
        bias: Floats,
        width: float,
        penalty: float = 0.0,
    ) -> None:
        sums = self.chances, self.histogram, self.measures
        grow(model, state, trials, bias, penalty, self.steps, width, *sums)

    def include(self, other: "_Sums") -> None:
        self.chances += other.chances

    def log_ratios(self) -> Floats:
        """Return ln b_{n+1}/b_n for n = 1 … n_max - 1; NaN where one direction was never tried."""
        c = self.chances
        with np.errstate(divide="ignore", invalid="ignore"):
            up = np.log(c[1:-1, UP] / c[1:-1, TRIED_UP])
            down = np.log(c[2:, DOWN] / c[2:, TRIED_DOWN])
            ratios = up - down + self.steps[1:]
        return np.where(np.isfinite(ratios), ratios, np.nan)

    def flat_weights(self, bias: Floats) -> Floats:
        """Return the ln weights (n_max - 1, 4) with which every size would be seen alike."""
        ratios = self.log_ratios()
        ratios = np.where(np.isfinite(ratios), ratios, self.steps[1:])
        return np.asarray(-np.cumsum(ratios)[:, None] + bias[2:] - bias[2:, OPEN, None])

    def log_integral(self) -> Floats:
        return np.concatenate([[0.0], np.cumsum(self.log_ratios())])

    def over_open(self, bias: Floats) -> Floats:
        """Return (n_max, 4) integrals of each kind over that of open chains."""
        counts = self.histogram[1:] * np.exp(bias[1:, OPEN, None] - bias[1:])
        return np.asarray(counts / np.maximum(counts[:, OPEN, None], 1))

    def mean(self, column: int, bias: Floats) -> Floats:
        """Return (n_max,) means over linear aggregates, open and folded; NaN where none was seen."""
        seen = self.measures[1:, :, 3]
        weights = self.over_open(bias)[:, :2]
        with np.errstate(invalid="ignore"):
            means = self.measures[1:, :, column] / seen
        weights = np.where(seen > 0, weights, 0.0)
        return np.asarray(np.nansum(weights * means, axis=1) / weights.sum(axis=1))

    def acceptance(self) -> float:
        c = self.chances.sum(axis=0)
        return float((c[UP] + c[DOWN]) / (c[TRIED_UP] + c[TRIED_DOWN]))
