"""Configurational integrals of aggregates of one to some dozens of clusters, with their errors."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from dipolar_md.engines.monte_carlo.graph import (
    BENDS,
    BENT,
    BRANCHED,
    FOLDED,
    KINDS,
    KNOTTED,
    OPEN,
    RING,
)
from dipolar_md.engines.monte_carlo.growth import (
    DOWN,
    LOWEST_RATIO,
    PARTS,
    RATIO_STEP,
    RATIOS,
    TRIED_DOWN,
    TRIED_UP,
    UP,
    count_all_loose,
    grow,
    turn_ring,
)
from dipolar_md.engines.monte_carlo.kernel import State, energies_of, redraw_dipoles
from dipolar_md.engines.monte_carlo.state import model_of, state_of
from dipolar_md.engines.protocol import Floats
from dipolar_md.model.body import Body
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System, align_z
from dipolar_md.units import thermal_energy

REACH_CONTACTS, HIGHEST_ENERGY = 1.5, -0.2
"""What holds an aggregate together: pairs nearer than 1.5 contacts with a dipole energy below -0.2
contact energies. Looser than any bond that is counted, so that what is left out, pairs beyond,
hardly attracts."""
_EDGE = 1e5  # nm: of a box in which no aggregate meets its image
_LESS = -4.0  # ln weight of branched aggregates less that of open chains, at first and at least
_DAMPING, _RISE, _FALL = 0.5, 0.4, 3.0  # of the refinement of ln weights by visits
_REFINEMENTS = 40
_PENALTIES = (0.1, 0.03, 0.01)  # taken from the weight of a size at every visit
_CLOSED, _SMALLEST_RING = 2, 3
_SHARE_OF_RINGS = 0.25  # trials of rings over those of the growing aggregate
_REDRAWS = 20  # of a ring's induced dipoles before it is sampled


@dataclass(frozen=True)
class Aggregates:
    """Isolated aggregates of every size: from all blocks of the sampling, then without each.

    The first axis has 1 + blocks entries: the estimate, and those of the jackknife. The next has
    sizes n = 1 … n_max, and a third of four kinds: open chains, chains that are folded back on
    themselves, rings with chains whose ends are within three contacts, branched trees. Aggregates
    with both ends and a ring in them are left out. c_n = b_n zⁿ.

    Attributes:
        log_integral: ln b_n of open chains, b in nm^{3(n-1)}.
        over_open: Integrals of each kind over that of open chains; NaN where those were not seen.
        energy_kJ_mol: Mean potential energy by kind, induced dipoles integrated out.
        contour_nm: Mean length of all bonds by kind.
        end_to_end2_nm2: Mean square of the distance of the ends, by kind.
        parts: By criterion, mean number of parts into which an aggregate of a kind falls when
            bonds are counted by it.
        ring_share: By criterion, share of the third kind that are rings by it.
    """

    log_integral: Floats
    over_open: Floats
    energy_kJ_mol: Floats
    contour_nm: Floats
    end_to_end2_nm2: Floats
    parts: Mapping[str, Floats]
    ring_share: Mapping[str, Floats]


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
    chain, any_kind = (state_of(system, model, (seed, k), capacity=largest) for k in (0, 1))
    table = np.array(list(criteria.values()), dtype=np.float64).reshape(-1, 2)
    rings = {n: _ring(n, body, model, (seed, n)) for n in range(_SMALLEST_RING, largest + 1)}
    run = _Run(model, (chain, any_kind), rings, 0.06 * body.axial_contact_nm, table, largest)
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
    )


class _Sums:
    """What a stretch of sampling adds up, by size and kind.

    `steps` (n_max,) are the differences of ln weight, from size n to n + 1, of the chances; `bias`
    (n_max + 1, KINDS) the ln weights with which it was sampled. `closings` and `openings`
    (n_max + 1, RATIOS) are the ratios between chains and rings, `openings_tried` (n_max + 1,) how
    often one was.
    """

    def __init__(self, steps: Floats, bias: Floats, columns: int) -> None:
        self.steps, self.bias = steps, bias.copy()
        self.chances = np.zeros((len(bias), 4))
        self.histogram = np.zeros((len(bias), KINDS), np.int64)
        self.measures = np.zeros((len(bias), KINDS, columns))
        self.closings, self.openings = np.zeros((2, len(bias), RATIOS))
        self.openings_tried = np.zeros(len(bias))

    def reweighted(self, values: NDArray[Any]) -> Floats:
        """Return sums (n_max, KINDS, ...) as if every kind had the weight of straight chains."""
        excess = np.where(self.histogram > 0, self.bias[:, OPEN, None] - self.bias, 0.0)
        weights = np.exp(excess).reshape(excess.shape + (1,) * (values.ndim - 2))
        return np.asarray((values * weights)[1:])


class _Stretch(NamedTuple):
    """Sums over an open chain alone, and over an aggregate of any kind."""

    chain: _Sums
    any: _Sums


class _Pool:
    """What several stretches of sampling say together."""

    def __init__(self, some: Sequence[_Stretch]) -> None:
        chains, others = [each.chain for each in some], [each.any for each in some]
        self.steps = chains[0].steps
        self.chances = np.sum([sums.chances for sums in chains], axis=0)
        counts = np.sum([sums.reweighted(sums.histogram) for sums in others], axis=0)
        measures = np.sum([sums.reweighted(sums.measures) for sums in others], axis=0)
        self.straight = counts[:, OPEN]
        self.counts, self.measures = _by_kind(counts), _by_kind(measures)
        of_chains = np.sum([sums.reweighted(sums.measures) for sums in chains], axis=0)
        self.measures[:, OPEN] = _by_kind(of_chains)[:, OPEN]
        self.of_rings = measures[:, RING]
        self.closings = np.sum([sums.closings for sums in others], axis=0)
        self.closings_tried = np.sum([sums.chances[:, TRIED_UP] for sums in others], axis=0)
        self.openings = np.sum([sums.openings for sums in others], axis=0)
        self.openings_tried = np.sum([sums.openings_tried for sums in others], axis=0)

    def log_ratios(self) -> Floats:
        """Return ln b_{n+1}/b_n of open chains, n < n_max; NaN where one was never tried."""
        return _log_ratios(self.chances, self.steps)

    def log_integral(self) -> Floats:
        """Return (n_max,) ln b_n of open chains."""
        return np.concatenate([[0.0], np.cumsum(self.log_ratios())])

    def ring_over_straight(self, n: int) -> float:
        """Return the integral of rings of n over that of straight chains of n - 1.

        By the ratios r of closing one and r' of opening the other, Z'/Z = eˢ where ⟨f(r - s)⟩ over
        chains is ⟨f(r' + s)⟩ over rings, f = 1/(1 + e^-x) (Bennett 1976, https://doi.org/10.1016/
        0021-9991(76)90078-4).
        """
        ratio = LOWEST_RATIO + RATIO_STEP * (np.arange(RATIOS) + 0.5)
        there, back = self.closings[n - 1], self.openings[n]
        tried = self.closings_tried[n - 1], self.openings_tried[n]
        if not all(tried):
            return math.nan
        if not (there.any() and back.any()):
            return 0.0

        def excess(s: float) -> float:
            closed, opened = there @ expit(ratio - s), back @ expit(ratio + s)
            return math.log(closed / tried[0]) - math.log(opened / tried[1])

        return math.exp(float(brentq(excess, LOWEST_RATIO, -LOWEST_RATIO)))

    @cached_property
    def rings_over_open(self) -> Floats:
        """Return (n_max,) integrals of rings over those of open chains."""
        steps, ratios = self.log_ratios(), np.zeros(len(self.straight))
        with np.errstate(divide="ignore", invalid="ignore"):
            straight = self.straight / self.counts[:, OPEN]
        for n in range(_SMALLEST_RING, len(ratios) + 1):
            below = straight[n - 2] * np.exp(-steps[n - 2])  # straight of n - 1 over open of n
            ratios[n - 1] = self.ring_over_straight(n) * below
        return ratios

    def over_open(self) -> Floats:
        """Return (n_max, 4) integrals of each kind over that of open chains; NaN where unseen."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = self.counts / self.counts[:, OPEN, None]
        ratios[:, _CLOSED] += self.rings_over_open
        return np.where(np.isfinite(ratios), ratios, np.nan)

    def means(self) -> Floats:
        """Return (n_max, 4, columns) means; 0 where a kind was never seen."""
        found = self.measures / np.where(self.measures[..., :1] > 0, self.measures[..., :1], 1.0)
        rings = self.of_rings / np.maximum(self.of_rings[:, :1], 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = self.rings_over_open / self.over_open()[:, _CLOSED]
        share = np.where(np.isfinite(share), share, 0.0)[:, None]
        found[:, _CLOSED] = share * rings + (1 - share) * found[:, _CLOSED]
        return np.asarray(found)


class _Run:
    """An open chain, an aggregate of any kind but a ring, and a ring of every size.

    `bias` (n_max + 1, KINDS) are the ln weights of the aggregate.
    """

    def __init__(
        self,
        model: Any,
        states: tuple[State, State],
        rings: Mapping[int, State],
        width: float,
        criteria: Floats,
        largest: int,
    ) -> None:
        self.model, self.states, self.rings = model, states, rings
        self.width, self.criteria, self.largest = width, criteria, largest
        self.bias = np.zeros((largest + 1, KINDS))
        self.bias[:, [RING, KNOTTED]] = -np.inf
        self.bias[:, BRANCHED] = _LESS
        self.steps = np.zeros(largest)
        self.chances = np.zeros((largest + 1, 4))

    def grow(self, number: int, trials: int, bias: Floats, penalty: float = 0.0) -> _Sums:
        """Return the sums over the open chain (number 0) or the aggregate (1)."""
        sums = _Sums(self.steps, bias, PARTS + 2 * len(self.criteria))
        kept = sums.chances, sums.histogram, sums.measures, sums.closings
        numbers = bias, penalty, self.steps, 0 if number else BENDS, self.width, self.criteria
        grow(self.model, self.states[number], trials, *numbers, *kept)
        return sums

    def turn_rings(self, sums: _Sums, trials: int) -> None:
        for n, ring in self.rings.items():
            always = np.full_like(self.bias, -np.inf)
            always[n, RING] = 0.0
            kept = sums.measures[n, RING], sums.openings
            sums.openings_tried[n] += turn_ring(
                self.model, ring, trials, always, self.width, self.criteria, *kept
            )

    def tune(self) -> None:
        """Find ln weights: first from visits (Wang and Landau), then from chances and visits."""
        chain = self.chain_bias()
        for number, bias in ((0, chain), (1, self.bias)):
            for penalty in _PENALTIES:
                for _ in range(20):  # until every size was seen
                    visits = self.grow(number, 1000 * self.largest, bias, penalty).histogram
                    seen = visits[1:].sum(axis=1)
                    if seen.min() > 0.2 * seen.mean():
                        break
            if number == 0:
                self.bias[:, OPEN] = chain[:, OPEN]
                others = [kind for kind in range(KINDS) if kind not in (OPEN, RING, KNOTTED)]
                self.bias[:, others] += chain[:, OPEN, None]
        steps = -np.diff(chain[1:, OPEN])
        steps[4:] = np.median(steps[4:]) if len(steps) > 4 else 0.0
        self.steps = np.concatenate([[0.0], steps])
        for _ in range(_REFINEMENTS):
            self.sample(500 * self.largest)

    def chain_bias(self) -> Floats:
        """Return the ln weights of the open chain: those of straight ones for bent ones, too."""
        bias = np.full_like(self.bias, -np.inf)
        bias[:, [OPEN, *range(BENT, BENT + BENDS)]] = self.bias[:, OPEN, None]
        return bias

    def sample(self, trials: int) -> _Stretch:
        """Return the sums of a stretch at fixed weights; then make the weights better by it.

        Open chains by their chances, others by visits, so that they are seen as often; branched
        ones weigh no more than they do.
        """
        chain = self.grow(0, trials // 2, self.chain_bias())
        found = self.grow(1, trials // 2, self.bias)
        self.turn_rings(found, int(_SHARE_OF_RINGS * trials / self.largest))
        self.chances += chain.chances
        ratios = _log_ratios(self.chances, self.steps)
        ratios = np.where(np.isfinite(ratios), ratios, self.steps[1:])
        others = self.bias[1:] - self.bias[1:, OPEN, None]
        excess = np.log((found.histogram[1:] + 1) / (found.histogram[1:, OPEN, None] + 1))
        others -= np.clip(_DAMPING * excess, -_RISE, _FALL)
        others[:, OPEN] = 0.0
        others[:, BRANCHED] = np.minimum(others[:, BRANCHED], 0.0)
        self.bias[1:] = others + np.concatenate([[0.0], -np.cumsum(ratios)])[:, None]
        return _Stretch(chain, found)


def _log_ratios(chances: Floats, steps: Floats) -> Floats:
    """Return ln b_{n+1}/b_n, n < n_max, of sums of chances; NaN where one was never tried."""
    c = chances
    with np.errstate(divide="ignore", invalid="ignore"):
        up = np.log(c[1:-1, UP] / c[1:-1, TRIED_UP])
        down = np.log(c[2:, DOWN] / c[2:, TRIED_DOWN])
        ratios = up - down + steps[1:]
    return np.where(np.isfinite(ratios), ratios, np.nan)


def _by_kind(values: Floats) -> Floats:
    """Return sums (n_max, KINDS, ...) by four kinds: bent chains open, almost closed ones third."""
    kept = values[:, [OPEN, FOLDED, RING, BRANCHED]].copy()
    kept[:, OPEN] += values[:, BENT : BENT + BENDS].sum(axis=1)
    kept[:, _CLOSED] = values[:, BENT + BENDS :].sum(axis=1)
    return np.asarray(kept)


def _ring(n: int, body: Body, model: Any, seed: tuple[int, ...]) -> State:
    """Return the state of a round ring of n clusters at contact, with dipoles along it."""
    angle = 2 * np.pi * np.arange(n) / n
    radius = body.axial_contact_nm / (2 * np.sin(np.pi / n))
    places = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1) * radius
    along = np.stack([-np.sin(angle), np.cos(angle), 0 * angle], axis=1)
    system = System.from_arrays((_EDGE,) * 3, places, align_z(along), body)
    state = state_of(system, model, seed)
    count_all_loose(model, state)
    for _ in range(_REDRAWS if model["polarisability"][0] else 0):
        redraw_dipoles(model, state)
    state.work["energy"] = energies_of(model, state, np.zeros(n)).sum()
    return state
