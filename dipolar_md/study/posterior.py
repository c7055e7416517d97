"""What measurements say of the states of a study: the posterior over its axes, in values."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DECIDED = 0.5
"""An axis is decided where its 95 % interval is at most this part of the prior's, or one word has
95 % of the probability."""
UNLIKELY = 0.05
"""Probability of a misfit as large from which on a measurement is explained."""
NAMES = {"contour_length_nm": "mean wire length", "spacing_nm": "median spacing"}


class Datum(NamedTuple):
    """A measured quantity: a value with its error, or a range.

    Attributes:
        quantity: `contour_length_nm` (mean of wires of two or more) or `spacing_nm` (median).
        source: Where it is from, in words.
        value: Measured value in nm; None for a range.
        error: Standard error in nm.
        low: Lower end of a range in nm; None where open.
        high: Upper end of a range in nm; None where open.
        projected: Whether it was seen on a micrograph.
    """

    quantity: str
    source: str
    value: float | None = None
    error: float = 0.0
    low: float | None = None
    high: float | None = None
    projected: bool = False

    def __str__(self) -> str:
        if self.value is not None:
            digits = max(0, 1 - math.floor(math.log10(self.error))) if self.error else 2
            return f"{self.value:.{digits}f} ± {self.error:.{digits}f} nm"
        if self.low is not None and self.high is not None:
            return f"{self.low:g}–{self.high:g} nm"
        return f"at least {self.low:g} nm" if self.high is None else f"at most {self.high:g} nm"


class Misfit(NamedTuple):
    """A measured quantity beside what the best state gives.

    Attributes:
        datum: The measurement.
        tag: `predicted`, or `calibrated` where the contact is an input: then it informs nothing.
        value: What the best state gives, in nm; None where the measurement informs nothing.
        low: Lower end of its 68 % range, errors of emulator and model included, in nm.
        high: Upper end of that range.
        bound: Whether the value is a lower bound, cut short by the box.
        probability: Posterior predictive probability of a misfit as large as the measured one.
        shown: The same where lower bounds are taken for the lengths themselves.
        left_out: Error of the emulator, root mean square of leaving one state point out: the
            logarithm of a factor for lengths, nm for spacings; NaN where it can't be told.
    """

    datum: Datum
    tag: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    bound: bool = False
    probability: float = 1.0
    shown: float = 1.0
    left_out: float = math.nan


class AxisPosterior(NamedTuple):
    """What is known of one axis of numbers after the measurement.

    Attributes:
        name: Name of the axis.
        unit: Its unit; empty where it has none.
        logarithmic: Whether the prior is flat in the logarithm.
        edges: (m + 1,) edges of the cells of its grid, over the range simulated, in its unit.
        probability: (m,) probabilities of the cells; the prior gives each 1/m.
        median: Median in its unit.
        interval_68: Credible interval of 68 % with equal tails.
        interval_95: Credible interval of 95 % with equal tails.
        bits: Information gained over the prior.
        width_ratio: Width of the 95 % interval over that of the prior (logarithms where so).
    """

    name: str
    unit: str
    logarithmic: bool
    edges: Floats
    probability: Floats
    median: float
    interval_68: tuple[float, float]
    interval_95: tuple[float, float]
    bits: float
    width_ratio: float

    @property
    def decided(self) -> bool:
        """Whether the 95 % interval is at most `DECIDED` of the prior's."""
        return self.width_ratio <= DECIDED


class Posterior(NamedTuple):
    """What measurements say of the state points of a study.

    Attributes:
        axes: Axes of numbers that were varied.
        words: Probability of each value of each axis in words.
        word_bits: Information gained on each of these.
        joint: (branches, m, …) probabilities of the cells, first of the combinations of words.
        bits: Information gained on all axes together.
        best: State of highest likelihood, lower bounds taken for the lengths themselves.
        misfits: The measurements beside it.
        states: Number of finished state points.
        censored: Number of these that show a lower bound of the length.
    """

    axes: tuple[AxisPosterior, ...]
    words: dict[str, dict[str, float]]
    word_bits: dict[str, float]
    joint: Floats
    bits: float
    best: dict[str, float | str]
    misfits: tuple[Misfit, ...]
    states: int
    censored: int

    @property
    def informed(self) -> bool:
        """Whether any measurement could inform."""
        return any(misfit.tag == "predicted" for misfit in self.misfits)

    @property
    def verdict(self) -> str:
        """`explained` by some state, `open` where only lower bounds reach it, or `unexplained`."""
        if any(misfit.probability < UNLIKELY for misfit in self.misfits):
            return "unexplained"
        shown = all(misfit.shown >= UNLIKELY for misfit in self.misfits)
        return "explained" if shown else "open"

    def decided(self, axis: str) -> bool:
        """Whether the measurements decide an axis, by its name."""
        if not self.informed or self.verdict != "explained":
            return False
        if axis in self.words:
            return max(self.words[axis].values()) >= 0.95
        return {posterior.name: posterior.decided for posterior in self.axes}[axis]
