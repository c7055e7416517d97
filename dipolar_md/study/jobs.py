"""A job of a study: one state point and all that it stands for, resolved once."""

from dataclasses import dataclass
from functools import cached_property

from dipolar_md.engines.stage import Environment
from dipolar_md.model.body import Body
from dipolar_md.simulation.recipe import Recipe

UNITS = ("nm", "D", "mM", "K", "kT", "ns", "ps")
"""Units that the name of an axis may end in."""
StatePoint = dict[str, float | int | str]
"""Value of each axis, and the number of the replica."""


@dataclass(frozen=True, eq=False)
class Job:
    """A state point of a study with its recipe.

    Attributes:
        point: Value of each axis, and the number of the replica.
        recipe: Recipe with these values; its seed follows from the point alone.
    """

    point: StatePoint
    recipe: Recipe

    @property
    def values(self) -> StatePoint:
        """Value of each axis; replicas share them."""
        return {key: value for key, value in self.point.items() if key != "replica"}

    @cached_property
    def counts(self) -> dict[Body, int]:
        """Number of clusters of each body."""
        return self.recipe.bodies()

    @property
    def body(self) -> Body:
        """The body of most clusters."""
        return max(self.counts, key=lambda body: self.counts[body])

    @property
    def cluster_names(self) -> frozenset[str]:
        """Names of the clusters in the mixture."""
        return frozenset(component.cluster.name for component in self.recipe.components)

    @cached_property
    def environment(self) -> Environment:
        """Environment that the last stage ends in."""
        return self.recipe.plan()[-1].end


def format_point(point: StatePoint) -> str:
    """Return a state point in words, such as `dipole_D 43.42, solvent toluene`."""
    return ", ".join(f"{key} {format_value(value)}" for key, value in point.items())


def split_unit(axis: str) -> tuple[str, str]:
    """Return the name of an axis in words and its unit, such as `dipole` and `D`."""
    name, _, unit = axis.rpartition("_")
    words, unit = (name, unit) if unit in UNITS else (axis, "")
    return words.replace("_", " "), unit


def format_value(value: float | str) -> str:
    """Return the value of an axis in words."""
    return f"{value:g}" if isinstance(value, int | float) else value
