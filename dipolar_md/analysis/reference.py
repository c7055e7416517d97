"""Published values and how a simulation stands beside them."""

from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from dipolar_md.analysis.nanowires import NanowireStatistics
from dipolar_md.analysis.timeseries import Estimate
from dipolar_md.parameters import Parameters, Positive, Text, load


class ReferenceQuantity(Parameters):
    """A measured range (`low`, `high`, either may be missing) or a single `value`."""

    quantity: Literal["spacing_nm", "contour_length_nm", "core_diameter_nm", "lateral_spacing_nm"]
    low: Positive | None = None
    high: Positive | None = None
    value: Positive | None = None
    source: Text

    @model_validator(mode="after")
    def _states_something(self) -> Self:
        if (self.value is None) == (self.low is None and self.high is None):
            raise ValueError("state either value, or low and/or high")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low must not exceed high (found {self.low} > {self.high})")
        return self

    def __str__(self) -> str:
        if self.value is not None:
            return f"{self.value:g} nm"
        if self.low is not None and self.high is not None:
            return f"{self.low:g}–{self.high:g} nm"
        return f"≥ {self.low:g} nm" if self.low is not None else f"≤ {self.high:g} nm"


class Reference(Parameters):
    """A published measurement of some clusters."""

    name: Text
    title: Text
    source: Text
    clusters: list[Text]
    quantities: list[ReferenceQuantity] = Field(min_length=1)

    def quantity(self, name: str) -> ReferenceQuantity | None:
        """Return a quantity by name, None where the reference doesn't have it."""
        return next((q for q in self.quantities if q.quantity == name), None)


def load_reference(name: str | Path) -> Reference:
    """Return the reference of a shipped name (`tem-r-au-cu`) or of a TOML file.

    Raises:
        InputError: unknown name (the nearest are listed), or a wrong file (each key is named).
    """
    return load(Reference, "references", name)


class Verdict(NamedTuple):
    """One quantity of a simulation beside a reference.

    Attributes:
        quantity: name, with its unit.
        value, error: of the simulation; None where it has none.
        reference: range or value in words.
        verdict: `inside`, `below`, `above`, `agrees`, `differs`, `no bonds` or `not predicted`.
        tag: `calibrated` where an input fixes the answer, `predicted` where the model does.
    """

    quantity: str
    value: float | None
    error: float | None
    reference: str
    verdict: str
    tag: str


class Comparison(NamedTuple):
    """The verdicts on a run by one reference; `applies` is False for other clusters."""

    reference: Reference
    applies: bool
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Whether every predicted quantity lies inside its range or agrees."""
        good = ("inside", "agrees", "not predicted")
        return all(v.verdict in good for v in self.verdicts if v.tag == "predicted")

    def summary(self) -> dict[str, Any]:
        """Return the `reference` entry of `summary.json`."""
        return {
            "name": self.reference.name,
            "applies": self.applies,
            "verdicts": [verdict._asdict() for verdict in self.verdicts],
        }


def compare(statistics: NanowireStatistics, reference: Reference) -> Comparison:
    """Return how chain statistics stand beside a reference.

    Spacing is compared by its median and tagged `calibrated`: the axial contact is an input of the
    cluster file. Length is compared by the mean contour length of chains of two or more and tagged
    `predicted`. Sizes of cores and lateral spacings are `not predicted` by a sphere model.
    """
    estimates: dict[str, tuple[Estimate | None, str]] = {
        "spacing_nm": (statistics.spacing_median_nm, "calibrated"),
        "contour_length_nm": (statistics.contour_mean_nm, "predicted"),
    }
    verdicts = []
    for quantity in reference.quantities:
        estimate, tag = estimates.get(quantity.quantity, (None, "predicted"))
        if quantity.quantity not in estimates:
            word = "not predicted"
        elif estimate is None:
            word = "no bonds"
        else:
            word = _judge(quantity, estimate)
        verdicts.append(
            Verdict(
                quantity.quantity,
                estimate.value if estimate else None,
                estimate.error if estimate else None,
                str(quantity),
                word,
                tag,
            )
        )
    names = statistics.cluster.split(" + ")
    return Comparison(reference, set(names) <= set(reference.clusters), tuple(verdicts))


def _judge(quantity: ReferenceQuantity, estimate: Estimate) -> str:
    if quantity.value is not None:
        resolution = max(2 * (estimate.error or 0.0), 0.01)  # single values are given to 0.01 nm
        return "agrees" if abs(estimate.value - quantity.value) <= resolution else "differs"
    if quantity.low is not None and estimate.value < quantity.low:
        return "below"
    if quantity.high is not None and estimate.value > quantity.high:
        return "above"
    return "inside"
