"""Association of isolated aggregates: how long chains are at any concentration, and by which law.

An ideal mixture of aggregates has c_n = b_n zⁿ of size n, b_n their configurational integral per
volume and z the concentration of free clusters, so that the total c = Σ n b_n zⁿ gives z. Long
chains have b_n = B κⁿ: κ is the association constant of a bond inside a chain, and B the price of
two ends. Where a bond is worth the same everywhere B = 1/κ (isodesmic, n̄(n̄ - 1) = κc over all
aggregates); where bonds of short chains are worth less, Bκ < 1 (cooperative): free clusters and
long chains coexist, and the chains of the tail are √(c/B) long. Rings cost no ends and have
b_n ∝ κⁿ n^(-5/2).

What hangs together is counted by a loose criterion; a stricter one cuts an aggregate into parts
wherever a bond is stretched for the moment, at a rate p per bond of a long chain. The length by it
can't exceed 1/p, however long the chain is.

Sources: F. H. Stillinger, J. Chem. Phys. 38, 1486 (1963), https://doi.org/10.1063/1.1776907;
M. E. Cates, S. J. Candau, J. Phys.: Condens. Matter 2, 6869 (1990),
https://doi.org/10.1088/0953-8984/2/33/001; H. Jacobson, W. H. Stockmayer, J. Chem. Phys. 18, 1600
(1950), https://doi.org/10.1063/1.1747547.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, least_squares

from dipolar_md.errors import DipolarMDError, InputError
from dipolar_md.units import MILLIMOLAR

Floats = NDArray[np.float64]
HELD = "held"
"""Name of the loose criterion: all that hangs together."""
_FIRST_SMOOTH, _FEWEST_RINGS = 6, 4
_LOG_MOST = -1e-12  # ln z κ: chains of 10¹² are long enough


class UnmeasuredError(DipolarMDError):
    """Bonds are so strong that the sampling didn't see them open often enough."""


class Line(NamedTuple):
    """A straight line through the values of long chains, intercept + slope n."""

    intercept: float
    slope: float


def _long(most: int) -> int:
    """Return from which index on sizes 1 … most are those of long chains."""
    return 2 * most // 5


def fitted_line(values: Floats) -> Line:
    """Return the line through the upper three fifths of values (n_max,) of sizes n = 1 … n_max."""
    sizes = np.arange(1, len(values) + 1)[_long(len(values)) :]
    slope, intercept = np.polyfit(sizes, values[_long(len(values)) :], 1)
    return Line(float(intercept), float(slope))


def smoothed_rings(log_rings: Floats, log_bond: float) -> Floats:
    """Return ln b_n of rings (n_max,), those of large ones from a smooth curve through all of them.

    ln b_n - n ln κ = ln R - 5/2 ln n - A/n²: the second term is that of flexible rings, the third,
    the strain of small ones, an expression that fits λ = 7.6 with and without polarisation.
    Single sizes are noisy, and some lie far off, which weigh little. Where fewer than four sizes
    have rings, they are returned as they are.

    Args:
        log_rings: ln b_n, n = 1 … n_max; -inf where there are none.
        log_bond: ln κ.
    """
    sizes = np.arange(1, len(log_rings) + 1.0)
    known = np.isfinite(log_rings) & (sizes >= _FIRST_SMOOTH)
    if known.sum() < _FEWEST_RINGS:
        return log_rings
    terms = np.stack([np.ones_like(sizes), 1 / sizes**2], axis=1)
    rest = log_rings + 2.5 * np.log(sizes) - log_bond * sizes
    start = np.array([np.median(rest[known]), 0.0])

    def misfit(x: Floats) -> Floats:
        return np.asarray(terms[known] @ x - rest[known])

    fit = least_squares(misfit, start, loss="soft_l1", f_scale=0.3)
    smooth = terms @ fit.x - 2.5 * np.log(sizes) + log_bond * sizes
    return np.where(sizes >= _FIRST_SMOOTH, smooth, log_rings)


class Populations(NamedTuple):
    """An ideal mixture of aggregates at one concentration.

    Attributes:
        free_mM: Concentration of free clusters.
        mean_chain_length: Number mean over all aggregates, free clusters included.
        tail_mean_length: Mean length of long chains, that of their exponential distribution.
        monomer_fraction: Share of clusters that are free.
        ring_fraction: Share of clusters in rings.
        branched_fraction: Share of clusters in branched aggregates of the sizes that were sampled.
    """

    free_mM: float
    mean_chain_length: Mapping[str, float]
    tail_mean_length: Mapping[str, float]
    monomer_fraction: float
    ring_fraction: Mapping[str, float]
    branched_fraction: float


@dataclass(frozen=True)
class AssociationLaw:
    """Configurational integrals of aggregates n = 1 … n_max, and what they say of longer ones.

    Attributes:
        log_open: (n_max,) ln b_n of open chains, b in nm^{3(n-1)}.
        log_chains: (n_max,) the same of all that isn't a ring.
        log_rings: (n_max,) ln b_n of rings; -inf where there are none.
        branched: (n_max,) share of branched aggregates among what isn't a ring.
        parts: (n_max,) by criterion: parts into which a chain falls.
        open_parts: (n_max,) by criterion: parts of chains that aren't folded back, from which the
            breaks of long ones follow.
        ring_parts: (n_max,) by criterion: parts into which a ring falls.
        ring_share: (n_max,) by criterion: share of rings that are rings by it.
        contour_nm: (n_max,) length of chains along their bonds.

    Raises:
        InputError: fewer than eight sizes, or values that are not finite.
    """

    log_open: Floats
    log_chains: Floats
    log_rings: Floats
    branched: Floats
    parts: Mapping[str, Floats]
    open_parts: Mapping[str, Floats]
    ring_parts: Mapping[str, Floats]
    ring_share: Mapping[str, Floats]
    contour_nm: Floats

    def __post_init__(self) -> None:
        if len(self.log_chains) < 8 or not np.isfinite(self.log_chains).all():
            raise InputError(
                "an association law needs the integrals of at least eight sizes, all finite (found "
                f"{np.isfinite(self.log_chains).sum()} of {len(self.log_chains)}); sample longer"
            )

    @classmethod
    def from_kinds(
        cls,
        log_integral: ArrayLike,
        over_open: ArrayLike,
        parts: Mapping[str, ArrayLike],
        ring_share: Mapping[str, ArrayLike],
        contour_nm: ArrayLike,
    ) -> "AssociationLaw":
        """Return the law of integrals by kind.

        Args:
            log_integral: (n_max,) ln b_n of open chains.
            over_open: (n_max, 4) integrals of open and folded chains, rings and branched
                aggregates over that of open chains.
            parts: (n_max, 4) by criterion, parts into which each kind falls.
            ring_share: (n_max,) by criterion, share of rings that are rings by it.
            contour_nm: (n_max, 4) length along the bonds.
        """
        log, ratios = np.asarray(log_integral, np.float64), np.asarray(over_open, np.float64)
        if not (np.isfinite(log).all() and np.isfinite(ratios).all()):
            raise UnmeasuredError(
                f"chains of some of {len(log)} sizes were never seen: bonds are too strong for the "
                "time of the sampling, so wires are longer than those of weaker ones; sample "
                "longer (seconds, trials)"
            )
        weights = ratios[:, [0, 1, 3]]
        total = weights.sum(axis=1)

        def mean(values: ArrayLike) -> Floats:
            by_kind = np.asarray(values, np.float64)[:, [0, 1, 3]]
            return np.asarray((weights * by_kind).sum(axis=1) / total)

        held = {HELD: np.ones(len(log))}
        with np.errstate(divide="ignore"):
            rings = log + np.log(ratios[:, 2])
        return cls(
            log_open=log,
            log_chains=log + np.log(total),
            log_rings=smoothed_rings(rings, fitted_line(log).slope),
            branched=ratios[:, 3] / total,
            parts={name: mean(values) for name, values in parts.items()} | held,
            open_parts={name: np.asarray(each)[:, 0] for name, each in parts.items()} | held,
            ring_parts={name: np.asarray(each)[:, 2] for name, each in parts.items()} | held,
            ring_share={name: np.asarray(each) for name, each in ring_share.items()} | held,
            contour_nm=np.asarray(contour_nm, np.float64)[:, 0],
        )

    @cached_property
    def tail(self) -> Line:
        """Ln b_n of long chains: intercept ln B (nm⁻³), slope ln κ (nm³).

        The slope is that of open chains; shares of folded and branched ones, which are noisy, are
        taken as the same for all long ones.
        """
        line = fitted_line(self.log_open)
        others = (self.log_chains - self.log_open)[_long(len(self.log_open)) :]
        return Line(line.intercept + float(others.mean()), line.slope)

    @property
    def association_constant_per_mM(self) -> float:
        """κ, the association constant of a bond inside a long chain."""
        return math.exp(self.tail.slope) * MILLIMOLAR

    @property
    def tail_amplitude_mM(self) -> float:
        """B, the price of two ends; 1/κ in an isodesmic law."""
        return math.exp(self.tail.intercept) / MILLIMOLAR

    @property
    def log_cooperativity(self) -> float:
        """Ln Bκ: 0 in an isodesmic law, negative where association is cooperative."""
        return self.tail.intercept + self.tail.slope

    @property
    def spacing_nm(self) -> float:
        """Length of a chain per bond."""
        return fitted_line(self.contour_nm).slope

    def breaks_per_bond(self, criterion: str) -> float:
        """Return p, the share of bonds of a long chain that are no bonds by a criterion."""
        return max(0.0, fitted_line(self.open_parts[criterion]).slope)

    @cached_property
    def _ring_level(self) -> float:
        """R of long rings, b_n = R κⁿ n^(-5/2), as in the largest size."""
        most = len(self.log_rings)
        return math.exp(self.log_rings[-1] - self.tail.slope * most + 2.5 * math.log(most))

    def _ring_populations(self, log_x: float) -> Floats:
        """Return the rings per nm³ of each size that was sampled, for x = zκ."""
        sizes = np.arange(1, len(self.log_rings) + 1)
        return np.asarray(np.exp(self.log_rings + sizes * (log_x - self.tail.slope)))

    def at(self, concentration_mM: float) -> Populations:
        """Return the ideal mixture at a concentration.

        Raises:
            InputError: a concentration that is not positive and finite.
        """
        if not (math.isfinite(concentration_mM) and concentration_mM > 0):
            raise InputError(
                f"concentration_mM must be positive and finite (found {concentration_mM})"
            )
        wanted = concentration_mM * MILLIMOLAR

        def excess(log_x: float) -> float:
            return math.log(sum(self._clusters(log_x)) / wanted)

        if excess(_LOG_MOST) < 0:
            log_x = _LOG_MOST
        else:
            log_x = float(brentq(excess, -200.0, _LOG_MOST, xtol=1e-15))
        chains, rings = self._clusters(log_x)
        total = chains + rings
        free = math.exp(log_x - self.tail.slope)
        sizes = np.arange(1, len(self.log_chains) + 1)
        weights = np.exp(self.log_chains + sizes * (log_x - self.tail.slope))
        return Populations(
            free_mM=free / MILLIMOLAR,
            mean_chain_length={
                name: total / self._parts(name, log_x, weights) for name in self.parts
            },
            tail_mean_length={
                name: 1 / -math.expm1(log_x + math.log1p(-self.breaks_per_bond(name)))
                for name in self.parts
            },
            monomer_fraction=free / total,
            ring_fraction={
                name: self._ring_clusters(log_x, share) / total
                for name, share in self.ring_share.items()
            },
            branched_fraction=float((sizes * weights * self.branched).sum() / total),
        )

    def _clusters(self, log_x: float) -> tuple[float, float]:
        """Return the clusters per nm³ in chains and in rings, for x = zκ."""
        most = len(self.log_chains)
        sizes = np.arange(1, most + 1)
        short = sizes * np.exp(self.log_chains + sizes * (log_x - self.tail.slope))
        _, first = _geometric_sums(log_x, most)
        chains = float(short.sum()) + math.exp(self.tail.intercept) * first
        return chains, self._ring_clusters(log_x, np.ones(most))

    def _ring_clusters(self, log_x: float, share: Floats) -> float:
        """Return the clusters per nm³ in rings, of which `share` (n_max,) count, by size.

        Shares of larger rings decay as in the upper half of the sizes.
        """
        most = len(share)
        known = float((np.arange(1, most + 1) * share * self._ring_populations(log_x)).sum())
        if not share[-1]:
            return known
        logs = np.log(np.maximum(share[most // 2 :], 1e-12))
        rate = min(0.0, float(np.polyfit(np.arange(len(logs)), logs, 1)[0]))
        last = float(share[-1]) * math.exp(-rate * most)
        beyond = last * _ring_sums(rate + log_x, most)[1]
        return known + self._ring_level * beyond

    def _parts(self, name: str, log_x: float, weights: Floats) -> float:
        """Return the parts per nm³ by a criterion."""
        most, breaks = len(weights), self.breaks_per_bond(name)
        upper = np.arange(1, most + 1)[most // 2 :]
        intercept = float((self.parts[name][most // 2 :] - breaks * upper).mean())
        zeroth, first = _geometric_sums(log_x, most)
        chains = float((weights * self.parts[name]).sum())
        chains += math.exp(self.tail.intercept) * (intercept * zeroth + breaks * first)
        rings = float((self._ring_populations(log_x) * self.ring_parts[name]).sum())
        # a ring of n falls into as many parts as it has breaks, pn, and stays one without any
        cut = breaks * _ring_sums(log_x, most)[1] + _ring_sums(log_x - breaks, most)[0]
        return chains + rings + self._ring_level * cut


def _geometric_sums(log_x: float, most: int) -> tuple[float, float]:
    """Return Σ xⁿ and Σ n xⁿ over n > most."""
    rest = -math.expm1(log_x)
    first = math.exp((most + 1) * log_x)
    return first / rest, first * ((most + 1) / rest + math.exp(log_x) / rest**2)


def _ring_sums(log_x: float, most: int) -> tuple[float, float]:
    """Return Σ n^(-5/2) xⁿ and Σ n^(-3/2) xⁿ over n > most, x < 1, as integrals from most + ½."""
    a, rate = most + 0.5, -log_x
    decay = math.exp(-rate * a)
    half = 2 * decay / math.sqrt(a) - 2 * math.sqrt(math.pi * rate) * math.erfc(math.sqrt(rate * a))
    return 2 / 3 * (decay / a**1.5 - rate * half), half
