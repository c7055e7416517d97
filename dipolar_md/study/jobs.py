"""A job of a study: one state point and all that it stands for, resolved once."""

from dataclasses import dataclass

from dipolar_md.engines.stage import Environment
from dipolar_md.model.body import Body
from dipolar_md.simulation.plan import Plan

UNITS = ("nm", "D", "mM", "K", "kT", "ns", "ps")
"""Units that the name of an axis may end in."""
StatePoint = dict[str, float | int | str]
"""Value of each axis, and the number of the replica."""


@dataclass(frozen=True, eq=False)
class Job:
    """A state point of a study with the plan that it stands for.

    Attributes:
        point: Value of each axis, and the number of the replica.
        plan: Recipe with these values, resolved; its seed follows from the point alone.
    """

    point: StatePoint
    plan: Plan

    @property
    def values(self) -> StatePoint:
        """Value of each axis; replicas share them."""
        return {key: value for key, value in self.point.items() if key != "replica"}

    @property
    def body(self) -> Body:
        """The body of most clusters."""
        counts = self.plan.counts
        return max(counts, key=lambda body: counts[body])

    @property
    def only_body(self) -> Body | None:
        """The body where all act alike, as spheres of R and S do; None for any other mixture."""
        kinds = {
            (body.sites, body.dipole_e_nm, body.polarisability_nm3, body.axial_contact_nm)
            for body in self.plan.counts
        }
        return self.body if len(kinds) == 1 else None

    @property
    def cluster_names(self) -> frozenset[str]:
        """Names of the clusters in the mixture."""
        return frozenset(component.cluster.name for component in self.plan.recipe.components)

    @property
    def environment(self) -> Environment:
        """Environment that the last stage ends in."""
        return self.plan.stages[-1].end


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
