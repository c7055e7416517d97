"""The simulation file: which clusters, in which environments, for how long.

A stage states the environment it *ends* in; what it leaves out stays as it was. The first stage
holds what it states. So `concentration_mM = 10` in a stage that follows one at 0.5 mM is a ramp.
"""

import tomllib
from collections.abc import Mapping
from copy import deepcopy
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import tomli_w
from pydantic import Field, model_validator

from dipolar_md.chemistry.cluster import Cluster, load_cluster
from dipolar_md.engines.stage import Environment, Stage
from dipolar_md.errors import InputError
from dipolar_md.model.body import Body, coarse_grain
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System, random_gas
from dipolar_md.parameters import (
    Number,
    Parameters,
    Positive,
    Text,
    closest,
    parameter_file,
    read_toml,
    validate,
)

PHYSICAL = (
    "dipole_D",
    "axial_contact_nm",
    "attraction_kT",
    "temperature_K",
    "cutoff_nm",
    "viscosity_mPa_s",
    "friction_scale",
    "time_step_ps",
)
"""Keys of a recipe whose value needs an entry in `sources`."""


class Component(Parameters):
    """A kind of cluster and its share (by number) of the mixture.

    `handedness` takes a cluster whose file is racemic as its R or its S enantiomer.
    """

    cluster: Cluster
    share: Positive = 1.0
    handedness: Literal["R", "S"] | None = None


class StageSpec(Parameters):
    """A stage of a recipe: its duration and the environment it ends in."""

    name: Text
    time_ns: Positive
    concentration_mM: Positive | None = None
    relative_permittivity: float | None = Field(default=None, ge=1, strict=True)
    temperature_K: Positive | None = None
    thickness_nm: Positive | None = None
    field_V_nm: tuple[Number, Number, Number] | None = None
    skin_nm: Positive | None = None
    source: Text


class Recipe(Parameters):
    """A simulation file; see `params/recipes/r-au-cu.toml` for one with every number explained.

    `dipole_D` and `axial_contact_nm`, where given, replace the values of every cluster; the steric
    diameter stays solved for the cluster's own dipole. `thickness_nm` in the stages holds the
    clusters in a film between two walls, from the first stage on; `cutoff_nm` belongs to
    `electrostatics = "cutoff"`, `ewald_accuracy` to `"ewald"`.
    """

    name: Text
    title: Text
    n_clusters: int = Field(ge=1, le=10_000_000, strict=True)
    seed: int = Field(ge=0, default=1, strict=True)
    shape: Literal["sphere", "janus"] = "sphere"
    dipole: Literal["point", "charges"] = "point"
    dipole_D: Positive | None = None
    axial_contact_nm: Positive | None = None
    attraction_kT: Positive | None = None
    temperature_K: Positive
    electrostatics: Literal["cutoff", "ewald"] = "cutoff"
    cutoff_nm: Positive | None = None
    ewald_accuracy: float = Field(default=1e-3, ge=1e-6, le=0.1, strict=True)
    integrator: Literal["langevin", "brownian"] = "langevin"
    viscosity_mPa_s: Positive
    friction_scale: Positive
    time_step_ps: Positive
    frame_interval_ns: Positive
    chunk_steps: int = Field(ge=1, default=1000, strict=True)
    reference: str | None = None
    sources: dict[str, Text]
    components: list[Component] = Field(min_length=1)
    stages: list[StageSpec] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        first = self.stages[0]
        for key in ("concentration_mM", "relative_permittivity"):
            if getattr(first, key) is None:
                raise ValueError(
                    f"stages.{first.name}.{key} is missing: the first stage must state it "
                    "(the permittivity decides whether chains form, so it is never assumed)"
                )
        if any(stage.thickness_nm for stage in self.stages) and not first.thickness_nm:
            raise ValueError(
                f"stages.{first.name}.thickness_nm is missing: a film has its walls from the first "
                "stage on (let them come together in a later one)"
            )
        if self.electrostatics == "cutoff" and self.cutoff_nm is None:
            raise ValueError("key 'cutoff_nm' is missing: electrostatics = 'cutoff' needs it")
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"stage names must differ (found {names})")
        kinds = [component.cluster.name for component in self.components]
        hands = [(c.cluster.name, c.handedness) for c in self.components]
        if len(set(hands)) < len(hands):
            raise ValueError(f"cluster names must differ (found {kinds})")
        if unknown := set(self.sources) - set(type(self).model_fields):
            raise ValueError(f"sources names unknown keys {sorted(unknown)}")
        stated = {key for key in PHYSICAL if getattr(self, key) is not None}
        if missing := sorted(stated - set(self.sources)):
            raise ValueError(f"sources.{missing[0]} is missing: a physical number needs its source")
        return self

    def bodies(self) -> dict[Body, int]:
        """Return how many of each coarse-grained body `n_clusters` makes."""
        shares = np.array([component.share for component in self.components])
        edges = np.round(np.cumsum(shares) / shares.sum() * self.n_clusters).astype(int)
        return {
            coarse_grain(
                component.cluster,
                self.shape,
                self.dipole,
                dipole_D=self.dipole_D,
                axial_contact_nm=self.axial_contact_nm,
                attraction_kT=self.attraction_kT or 0.0,
                handedness=component.handedness,
            ): int(count)
            for component, count in zip(self.components, np.diff(edges, prepend=0), strict=True)
            if count
        }

    def plan(self) -> list[Stage]:
        """Return the stages as engines take them, environments filled in."""
        environments = list(
            accumulate(
                self.stages,
                lambda before, spec: Environment(
                    spec.temperature_K or before.temperature_K,
                    spec.relative_permittivity or before.relative_permittivity,
                    spec.concentration_mM or before.concentration_mM,
                    spec.thickness_nm or before.thickness_nm,
                    spec.field_V_nm or before.field_V_nm,
                ),
                initial=Environment(self.temperature_K, 0.0, 0.0),
            )
        )
        starts = [environments[1], *environments[1:-1]]
        return [
            Stage(
                name=spec.name,
                steps=max(1, round(spec.time_ns * 1000 / self.time_step_ps)),
                time_step_ps=self.time_step_ps,
                start=start,
                end=end,
                viscosity_mPa_s=self.viscosity_mPa_s,
                friction_scale=self.friction_scale,
                integrator=self.integrator,
                chunk_steps=self.chunk_steps,
                skin_nm=spec.skin_nm,
                seed=int(np.random.SeedSequence((self.seed, index)).generate_state(1)[0]),
            )
            for index, (spec, start, end) in enumerate(
                zip(self.stages, starts, environments[1:], strict=True)
            )
        ]

    def interactions(self, environment: Environment) -> Interactions:
        """Return what acts between clusters in an environment."""
        return environment.applied_to(
            Interactions(
                environment.temperature_K,
                environment.relative_permittivity,
                self.electrostatics,
                self.cutoff_nm or 10.0,
                self.ewald_accuracy,
            )
        )

    def initial(self, at: Environment | None = None) -> System:
        """Return the random gas that the first stage starts from, or one in another environment."""
        start = at or self.plan()[0].start
        reach = self.cutoff_nm if self.cutoff_nm and self.electrostatics == "cutoff" else 0.4
        return random_gas(
            self.bodies(),
            start.concentration_mM,
            self.seed,
            start.temperature_K,
            start.thickness_nm,
            gap_nm=2.5
            * reach,  # images of a film don't interact, and HOOMD finds its box high enough
        )

    def to_toml(self) -> str:
        """Return the fully resolved file, clusters included, ready to be run again."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def load_recipe(name: str | Path | Recipe, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Return a recipe by shipped name or file, with overrides applied.

    Args:
        name: shipped name, path, or a recipe.
        overrides: values by dotted key (`dipole_D`, `stages.dry.time_ns`); items of a list are
            named by their `name` or by number. Strings are read as TOML values.

    Raises:
        InputError: unknown name, key or cluster, or a value out of range.
    """
    if isinstance(name, Recipe):
        where: str | Path = name.name
        data = name.model_dump(exclude_none=True)
    else:
        where = parameter_file("recipes", name)
        data = read_toml(where)
        _resolve_paths(data, where.parent)
    for key, value in (overrides or {}).items():
        _set(data, key, deepcopy(value), where)
    components = data.get("components")
    if isinstance(components, list):
        for number, component in enumerate(components):
            if isinstance(component, dict) and isinstance(component.get("cluster"), str):
                try:
                    component["cluster"] = load_cluster(component["cluster"])
                except InputError as error:
                    key = f"components.{number}.cluster"
                    raise InputError(f"{where}: key '{key}': {error}") from error
    return validate(Recipe, data, where)


def _set(data: dict[str, Any], key: str, value: Any, where: str | Path) -> None:
    """Set a dotted key in nested tables and lists of named tables."""
    *path, last = key.split(".")
    table: Any = data
    for i, part in enumerate(path):
        here = ".".join(path[: i + 1])
        if isinstance(table, list):
            names = [
                str(item.get("name", number) if isinstance(item, dict) else number)
                for number, item in enumerate(table)
            ]
            if part.isdigit() and int(part) < len(table):
                table = table[int(part)]
            elif part in names:
                table = table[names.index(part)]
            else:
                raise InputError(f"{where}: no '{here}' to set; {closest(part, names)}")
        elif isinstance(table, dict) and isinstance(table.get(part), dict | list):
            table = table[part]
        else:
            items = table.items() if isinstance(table, dict) else ()
            inner = [name for name, item in items if isinstance(item, dict | list)]
            raise InputError(f"{where}: no table '{here}' to set; {closest(part, inner)}")
    if not isinstance(table, dict):
        raise InputError(f"{where}: '{key}' must name a key (as in stages.dry.time_ns)")
    table[last] = _toml_value(value) if isinstance(value, str) else value
    said = f"{last} = {table[last]} was set for this run"
    if table is data and last in PHYSICAL and isinstance(data.get("sources"), dict):
        data["sources"][last] = said
    elif last != "source" and isinstance(table.get("source"), str):
        table["source"] = f"{said}; before: {table['source']}"


def _resolve_paths(data: dict[str, Any], folder: Path) -> None:
    """Make relative paths in a recipe's file start from that file's folder; names stay."""

    def beside(name: Any) -> Any:
        if not isinstance(name, str) or (len(Path(name).parts) == 1 and not Path(name).suffix):
            return name
        return str((folder / name).resolve())

    if "reference" in data:
        data["reference"] = beside(data["reference"])
    if isinstance(data.get("components"), list):
        for component in data["components"]:
            if isinstance(component, dict) and "cluster" in component:
                component["cluster"] = beside(component["cluster"])


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
