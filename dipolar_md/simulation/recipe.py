"""The simulation file: which clusters, in which environments, for how long.

A stage states the environment it *ends* in; what it leaves out stays as it was. The first stage
holds what it states. So `concentration_mM = 10` in a stage that follows one at 0.5 mM is a ramp.
"""

import tomllib
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal, Self

import tomli_w
from pydantic import Field, model_validator

from dipolar_md.chemistry.cluster import Cluster, load_cluster, load_solvent
from dipolar_md.errors import InputError
from dipolar_md.parameters import (
    Count,
    Name,
    Number,
    Parameters,
    Positive,
    Seed,
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
    "polarisability_nm3",
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
    """A stage of a recipe: its duration and the environment it ends in.

    `sampling = "dynamics"` lasts `time_ns`; `"equilibrium"` is Monte Carlo without time, for so
    many `sweeps` of one trial per cluster. `solvent` says, by shipped name or file, whose
    permittivity is stated; one stated without it is a dry film's.
    """

    name: Text
    sampling: Literal["dynamics", "equilibrium"] = "dynamics"
    time_ns: Positive | None = None
    sweeps: Count | None = None
    concentration_mM: Positive | None = None
    relative_permittivity: float | None = Field(default=None, ge=1, le=1e6, strict=True)
    solvent: Text | None = None
    temperature_K: Positive | None = None
    thickness_nm: Positive | None = None
    field_V_nm: tuple[Number, Number, Number] | None = None
    skin_nm: Positive | None = None
    source: Text

    @model_validator(mode="after")
    def _has_its_duration(self) -> Self:
        timed = self.sampling == "dynamics"
        needed, other = ("time_ns", "sweeps") if timed else ("sweeps", "time_ns")
        if getattr(self, needed) is None:
            raise ValueError(f"{needed} is missing: sampling = '{self.sampling}' needs it")
        if getattr(self, other) is not None:
            raise ValueError(f"{other} is of no use with sampling = '{self.sampling}'")
        return self

    @model_validator(mode="after")
    def _knows_its_solvent(self) -> Self:
        try:
            _ = self.solvent_permittivity
        except InputError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def solvent_permittivity(self) -> float | None:
        """ε_r of the solvent; None without one."""
        if self.solvent is None:
            return None
        return load_solvent(self.solvent).relative_permittivity.value


class Recipe(Parameters):
    """A simulation file; see `params/recipes/r-au-cu.toml` for one with every number explained.

    Attributes:
        name: Name of the recipe, that of its file.
        title: One line for people.
        n_clusters: Number of clusters of all components.
        seed: Seed of the start and of the thermal noise.
        shape: Shape of the bodies, see `coarse_grain`.
        dipole: Model of the dipoles, see `coarse_grain`.
        dipole_D: Dipole in debye in place of every cluster's own; the steric diameter stays solved
            for that.
        axial_contact_nm: Axial contact in place of every cluster's own, nm.
        attraction_kT: Depth of the well between cores, kT at 298.15 K; none where not given.
        attraction: `none` or `c6`, see `coarse_grain`.
        polarisation: Where the clusters' polarisability sits, see `coarse_grain`; a permittivity
            above 1 is then refused in stages that name no solvent, since both would count the
            ligands.
        polarisability_nm3: Polarisability in place of every cluster's own, nm³.
        contact_calibration: Whether diameters are solved with induction, see `coarse_grain`.
        screening_beside_polarisation: Whether such a permittivity is allowed all the same.
        temperature_K: Temperature at the start, K.
        electrostatics: `cutoff` or `ewald`, see `Interactions`.
        cutoff_nm: Truncation distance of the dipole sum, nm, with `cutoff`.
        ewald_accuracy: Allowed errors of force and torque relative to contact, with `ewald`.
        integrator: `langevin` or `brownian`.
        viscosity_mPa_s: Viscosity of the medium, mPa s, for Stokes friction.
        friction_scale: Factor on the frictions; below 1 the dynamics is accelerated.
        time_step_ps: Time step, ps.
        frame_interval_ns: Time between two frames, ns.
        frame_interval_sweeps: Number of Monte Carlo sweeps between two frames.
        chunk_steps: Number of steps between two looks at the state, cut to the interval of the
            frames where that is shorter.
        reference: Name or file of the measurement to compare with.
        sources: Where choices come from, by key.
        components: Clusters and their fractions.
        stages: Stretches of dynamics; `thickness_nm` in them holds the clusters in a film between
            two walls, from the first stage on. Stages that sample equilibrium stand alone, and need
            `frame_interval_sweeps` in place of everything that belongs to time.
    """

    name: Name
    title: Text
    n_clusters: int = Field(ge=1, le=10_000_000, strict=True)
    seed: Seed = 1
    shape: Literal["sphere", "janus"] = "sphere"
    dipole: Literal["point", "charges"] = "point"
    dipole_D: Positive | None = None
    axial_contact_nm: Positive | None = None
    attraction_kT: Positive | None = None
    attraction: Literal["none", "c6"] = "none"
    polarisation: Literal["none", "centre", "sites"] = "none"
    polarisability_nm3: Positive | None = None
    contact_calibration: Literal["permanent", "with-polarisation"] = "permanent"
    screening_beside_polarisation: bool = False
    temperature_K: Positive
    electrostatics: Literal["cutoff", "ewald"] = "cutoff"
    cutoff_nm: Positive | None = None
    ewald_accuracy: float = Field(default=1e-3, ge=1e-6, le=0.1, strict=True)
    integrator: Literal["langevin", "brownian"] = "langevin"
    viscosity_mPa_s: Positive | None = None
    friction_scale: Positive | None = None
    time_step_ps: Positive | None = None
    frame_interval_ns: Positive | None = None
    frame_interval_sweeps: Count | None = None
    chunk_steps: int = Field(ge=1, le=10**9, default=1000, strict=True)
    reference: str | None = None
    sources: dict[str, Text]
    components: list[Component] = Field(min_length=1)
    stages: list[StageSpec] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        self._check_first_stage()
        self._check_sampling()
        self._check_names()
        self._check_sources()
        if self.electrostatics == "cutoff" and self.cutoff_nm is None:
            raise ValueError("key 'cutoff_nm' is missing: electrostatics = 'cutoff' needs it")
        return self

    def _check_first_stage(self) -> None:
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

    def _check_sampling(self) -> None:
        kinds = {stage.sampling for stage in self.stages}
        if len(kinds) > 1:
            raise ValueError(
                "stages must all have sampling = 'dynamics' or all 'equilibrium': a run has one "
                "engine (start a recipe of its own from where the other ended)"
            )
        timed = ("viscosity_mPa_s", "friction_scale", "time_step_ps", "frame_interval_ns")
        needed = timed if kinds == {"dynamics"} else ("frame_interval_sweeps",)
        for key in needed:
            if getattr(self, key) is None:
                raise ValueError(f"key '{key}' is missing: sampling = '{kinds.pop()}' needs it")

    def _check_names(self) -> None:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"stage names must differ (found {names})")
        hands = [(c.cluster.name, c.handedness) for c in self.components]
        if len(set(hands)) < len(hands):
            kinds = [component.cluster.name for component in self.components]
            raise ValueError(f"cluster names must differ (found {kinds})")

    def _check_sources(self) -> None:
        if unknown := set(self.sources) - set(type(self).model_fields):
            raise ValueError(f"sources names unknown keys {sorted(unknown)}")
        stated = {key for key in PHYSICAL if getattr(self, key) is not None}
        if missing := sorted(stated - set(self.sources)):
            raise ValueError(f"sources.{missing[0]} is missing: a physical number needs its source")

    def to_toml(self) -> str:
        """Return the fully resolved file, clusters included, ready to be run again."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def load_recipe(name: str | Path | Recipe, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Return a recipe by shipped name or file, with overrides applied.

    Args:
        name: Shipped name, path, or a recipe.
        overrides: Values by dotted key (`dipole_D`, `stages.dry.time_ns`); items of a list are
            named by their `name` or by number. Strings are read as TOML values.

    Returns:
        The validated recipe.

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
        table = (
            _item(table, part, here, where)
            if isinstance(table, list)
            else _table(table, part, here, where)
        )
    if not isinstance(table, dict):
        raise InputError(f"{where}: '{key}' must name a key (as in stages.dry.time_ns)")
    table[last] = _toml_value(value) if isinstance(value, str) else value
    said = f"{last} = {table[last]} was set for this run"
    if table is data and last in PHYSICAL and isinstance(data.get("sources"), dict):
        data["sources"][last] = said
    elif last != "source" and isinstance(table.get("source"), str):
        table["source"] = f"{said}; before: {table['source']}"


def _item(tables: list[Any], part: str, here: str, where: str | Path) -> Any:
    """Return the table of a list by number or `name`."""
    names = [
        str(item.get("name", number) if isinstance(item, dict) else number)
        for number, item in enumerate(tables)
    ]
    if part.isdigit() and int(part) < len(tables):
        return tables[int(part)]
    if part in names:
        return tables[names.index(part)]
    raise InputError(f"{where}: no '{here}' to set; {closest(part, names)}")


def _table(table: Any, part: str, here: str, where: str | Path) -> Any:
    """Return the table or list inside a table."""
    inner = {
        name: item
        for name, item in (table.items() if isinstance(table, dict) else ())
        if isinstance(item, dict | list)
    }
    if part not in inner:
        raise InputError(f"{where}: no table '{here}' to set; {closest(part, list(inner))}")
    return inner[part]


def _resolve_paths(data: dict[str, Any], folder: Path) -> None:
    """Make relative paths in a recipe's file start from that file's folder; names stay."""

    def beside(name: Any) -> Any:
        if not isinstance(name, str) or (len(Path(name).parts) == 1 and not Path(name).suffix):
            return name
        return str((folder / name).resolve())

    for stage in data["stages"] if isinstance(data.get("stages"), list) else ():
        if isinstance(stage, dict) and "solvent" in stage:
            stage["solvent"] = beside(stage["solvent"])
    if "reference" in data:
        data["reference"] = beside(data["reference"])
    if isinstance(data.get("components"), list):
        for component in data["components"]:
            if isinstance(component, dict) and "cluster" in component:
                component["cluster"] = beside(component["cluster"])


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
