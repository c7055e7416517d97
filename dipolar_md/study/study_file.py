"""The study file: a base recipe, the axes along which it is varied, replicas, a stopping rule.

A study is resolved once, into its `jobs`; what comes after takes these.

An axis is a recipe key, or a word for one: an environment (`relative_permittivity`,
`concentration_mM`, `thickness_nm`) is the one that the recipe ends in, `solvent` is the
permittivity of that medium, `cluster` is the first component. A state point is one value per axis
and a replica.
"""

import hashlib
import json
import math
from collections.abc import Iterable
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from dipolar_md.chemistry.cluster import load_solvent
from dipolar_md.errors import InputError
from dipolar_md.parameters import (
    Name,
    Number,
    Parameters,
    Positive,
    Seed,
    Text,
    parameter_file,
    read_toml,
    validate,
)
from dipolar_md.simulation.plan import Plan, make_plan
from dipolar_md.simulation.recipe import Recipe, load_recipe
from dipolar_md.study.jobs import Job, StatePoint, format_point
from dipolar_md.study.ladder import SWEEP_STEPS, check_plan

MOST_JOBS = 100_000
"""Jobs of a study."""
ENVIRONMENT = ("relative_permittivity", "concentration_mM", "thickness_nm")


class Axis(Parameters):
    """A recipe key and its values: listed, or a range that a Latin hypercube samples.

    Attributes:
        values: Values of the axis, each different.
        low: Lower end of a range.
        high: Upper end of a range.
        keys: Recipe keys that take the value, default the one that the axis is named after.
        source: Why these values.
    """

    values: list[Number | Text] | None = Field(default=None, min_length=1)
    low: Number | None = None
    high: Number | None = None
    keys: list[Text] = Field(default=[])
    source: Text

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        ranged = self.low is not None and self.high is not None
        if (self.values is None) != ranged or (self.low is None) != (self.high is None):
            raise ValueError("give either values = […] or both low and high")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low must be below high (found {self.low:g} and {self.high:g})")
        if self.values is not None and len(set(self.values)) < len(self.values):
            raise ValueError(f"values must differ (found {self.values})")
        return self


class Stopping(Parameters):
    """When a job may end before its budget, the recipe's own duration.

    In the last stage, once the mean chain length is equilibrated and precise enough.

    Attributes:
        relative_error: Largest standard error of the mean chain length over the length itself.
        source: Why this error.
    """

    relative_error: float = Field(gt=0, lt=1, strict=True)
    source: Text


class Exchange(Parameters):
    """How often the rungs of a ladder swap.

    Attributes:
        sweep_ns: Time between two swaps.
        source: Why this time.
    """

    sweep_ns: Positive
    source: Text


class Study(Parameters):
    """A study file; see `params/studies/dipole-strength.toml`.

    Attributes:
        name: Name of the study and of its directory.
        title: Title for people.
        recipe: Base recipe, a shipped name or a file.
        sampling: `grid` for all combinations of the axes' values, `list` for their values in step,
            `latin-hypercube` for random points in their ranges, `exchange` for a grid whose dipoles
            swap configurations (`ladder.py`): those of the same other values and replica are one
            ladder.
        samples: Number of state points of a Latin hypercube.
        replicas: Number of runs per state point.
        seed: Seed from which, with the state point, the seed of every job follows.
        settings: Values of recipe keys that hold at every state point.
        sources: Source of each setting.
        axes: Axes by name.
        stopping: Rule by which a job may end before its budget.
        exchange: Swaps of a ladder, where they aren't the default.
    """

    name: Name
    title: Text
    recipe: Text
    sampling: Literal["grid", "list", "latin-hypercube", "exchange"] = "grid"
    samples: int | None = Field(default=None, ge=1, le=MOST_JOBS, strict=True)
    replicas: int = Field(default=1, ge=1, le=MOST_JOBS, strict=True)
    seed: Seed = 1
    settings: dict[str, Number | Text] = Field(default={})
    sources: dict[str, Text] = Field(default={})
    axes: dict[str, Axis] = Field(min_length=1)
    stopping: Stopping | None = None
    exchange: Exchange | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        hypercube = self.sampling == "latin-hypercube"
        if hypercube != (self.samples is not None):
            raise ValueError(
                "key 'samples' belongs to sampling = 'latin-hypercube', and only there"
            )
        for name, axis in self.axes.items():
            self._check_axis(name, axis)
        if self.sampling == "exchange":
            self._can_exchange()
        elif self.exchange is not None:
            raise ValueError("table 'exchange' belongs to sampling = 'exchange', and only there")
        lengths = {name: len(axis.values or ()) for name, axis in self.axes.items()}
        if self.sampling == "list" and len(set(lengths.values())) > 1:
            raise ValueError(f"sampling = 'list' needs as many values of each axis ({lengths})")
        number = self.replicas * (self.samples or 1)
        if self.sampling in ("grid", "exchange"):
            number *= math.prod(lengths.values())
        if number > MOST_JOBS:
            raise ValueError(f"{number} jobs are asked for, at most {MOST_JOBS} are allowed")
        if odd := sorted(set(self.settings) ^ set(self.sources)):
            raise ValueError(f"settings and sources must have the same keys (only in one: {odd})")
        return self

    def _check_axis(self, name: str, axis: Axis) -> None:
        if "." in name or name in ("replica", "seed"):
            raise ValueError(
                f"axes: '{name}' can't be the name of an axis; name it otherwise and give its "
                "recipe keys in keys = […]"
            )
        hypercube = self.sampling == "latin-hypercube"
        if hypercube != (axis.values is None):
            wanted = "low and high" if hypercube else "values"
            raise ValueError(f"axes.{name}: sampling = '{self.sampling}' needs {wanted}")

    def _can_exchange(self) -> None:
        dipole = self.axes.get("dipole_D")
        dipoles = (dipole.values if dipole and not dipole.keys else None) or []
        if len(dipoles) < 2 or any(isinstance(value, str) for value in dipoles):
            raise ValueError(
                "sampling = 'exchange' needs axes.dipole_D with two dipoles or more (and no keys)"
            )
        if any("dipole_D" in axis.keys for axis in self.axes.values()):
            raise ValueError("sampling = 'exchange': no other axis may set dipole_D")

    @cached_property
    def base(self) -> Recipe:
        """The recipe that the axes vary."""
        return load_recipe(self.recipe, {k: _as_recipe(k, v) for k, v in self.settings.items()})

    def points(self) -> list[StatePoint]:
        """Return all state points, replicas of one after another."""
        hypercube = self.sampling == "latin-hypercube"
        return [
            dict(zip(self.axes, values, strict=True)) | {"replica": replica}
            for values in (self._hypercube() if hypercube else self._combinations())
            for replica in range(self.replicas)
        ]

    def _combinations(self) -> Iterable[tuple[float | str, ...]]:
        values = [axis.values or [] for axis in self.axes.values()]
        return zip(*values, strict=True) if self.sampling == "list" else product(*values)

    def _hypercube(self) -> Iterable[tuple[float, ...]]:
        from scipy.stats import qmc

        low, high = zip(*((axis.low, axis.high) for axis in self.axes.values()), strict=True)
        cube = qmc.LatinHypercube(len(low), seed=self.seed).random(self.samples or 1)
        return (tuple(float(f"{x:.6g}") for x in row) for row in qmc.scale(cube, low, high))

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        """All state points with their plans, replicas of one after another.

        Raises:
            InputError: A value that the recipe doesn't allow; the state point is named.
        """
        return tuple(Job(point, self._plan(point)) for point in self.points())

    def job_groups(self) -> list[list[Job]]:
        """Return the jobs that run together: those of a ladder, lowest dipole first, or each alone.

        Raises:
            InputError: A value that the recipe doesn't allow; the state point is named.
        """
        if self.sampling != "exchange":
            return [[job] for job in self.jobs]
        ladders: dict[str, list[Job]] = {}
        for job in sorted(self.jobs, key=lambda job: float(job.point["dipole_D"])):
            others = {key: value for key, value in job.point.items() if key != "dipole_D"}
            ladders.setdefault(json.dumps(others, sort_keys=True), []).append(job)
        return list(ladders.values())

    def sweep_steps(self, time_step_ps: float) -> int:
        """Return the steps between two swaps of a ladder."""
        if self.exchange is None:
            return SWEEP_STEPS
        return max(1, round(self.exchange.sweep_ns * 1000 / time_step_ps))

    def ladder_identity(self) -> dict[str, Any]:
        """Return dipoles and sweep of a ladder, which may not change; nothing of other studies."""
        if self.sampling != "exchange":
            return {}
        dipoles = sorted(float(value) for value in self.axes["dipole_D"].values or ())
        sweep_ns = self.exchange.sweep_ns if self.exchange else None
        return {"ladder of dipoles": dipoles, "sweep of the ladder": sweep_ns}

    def _plan(self, point: StatePoint) -> Plan:
        """Return the plan of a state point; its seed follows from the point alone."""
        overrides: dict[str, Any] = {}
        for name, axis in self.axes.items():
            value = point[name]
            for key in axis.keys or [self._key(name)]:
                if name == "solvent":
                    value = load_solvent(str(point[name])).relative_permittivity.value
                    overrides[key.replace("relative_permittivity", "solvent")] = point[name]
                overrides[key] = _as_recipe(key, value)
        text = json.dumps([self.seed, point], sort_keys=True)
        overrides["seed"] = int(hashlib.sha256(text.encode()).hexdigest()[:7], 16)
        try:
            plan = make_plan(self.base, overrides)
            if self.sampling == "exchange":
                check_plan(plan)
            return plan
        except InputError as error:
            raise InputError(f"study '{self.name}' at {format_point(point)}: {error}") from error

    def _key(self, axis: str) -> str:
        """Return the recipe key behind the name of an axis."""
        if axis == "cluster":
            return "components.0.cluster"
        key = "relative_permittivity" if axis == "solvent" else axis
        if key not in ENVIRONMENT:
            return key
        stated = [stage.name for stage in self.base.stages if getattr(stage, key) is not None]
        return f"stages.{(stated or [self.base.stages[0].name])[-1]}.{key}"


def load_study(name: str | Path | Study) -> Study:
    """Return a study with its jobs resolved: one bad key or value is found before anything starts.

    Args:
        name: Shipped name (`dipole-strength`), file, or a study, which is returned as it is.

    Returns:
        The validated study.

    Raises:
        InputError: An unknown name or key, a value out of range, or a recipe that doesn't allow it;
            file and key are named.
    """
    if isinstance(name, Study):
        return name
    path = parameter_file("studies", name)
    data = read_toml(path)
    recipe = data.get("recipe")
    if isinstance(recipe, str) and (recipe.endswith(".toml") or "/" in recipe):
        data["recipe"] = str((path.parent / recipe).resolve())
    study = validate(Study, data, path)
    try:
        _ = study.jobs
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return study


def _as_recipe(key: str, value: float | str) -> float | int | str:
    """Return a value as the recipe wants it: whole numbers where its key takes only those."""
    field = Recipe.model_fields.get(key)
    if isinstance(value, str) or field is None or field.annotation is not int:
        return value
    return int(value) if np.isclose(value, round(value)) else value
