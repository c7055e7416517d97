"""The study file: a base recipe, the axes along which it is varied, replicas, a stopping rule.

An axis is a recipe key, or a word for one: an environment (`relative_permittivity`,
`concentration_mM`, `thickness_nm`) is the one that the recipe ends in, `solvent` is the
permittivity of that medium, `cluster` is the first component. A state point is one value per axis
and a replica.
"""

import hashlib
import json
import math
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from dipolar_md.chemistry.cluster import load_solvent
from dipolar_md.errors import InputError
from dipolar_md.parameters import (
    Number,
    Parameters,
    Positive,
    Text,
    parameter_file,
    read_toml,
    validate,
)
from dipolar_md.simulation.recipe import Recipe, load_recipe
from dipolar_md.study.ladder import SWEEP_STEPS, check_recipe
from dipolar_md.units import MILLIMOLAR

StatePoint = dict[str, float | int | str]

ENVIRONMENT = ("relative_permittivity", "concentration_mM", "thickness_nm")
STEP_us = (75.0, 0.55, 0.038)
"""Core time of a step: fixed, per cluster, per neighbour inside the cutoff; see `estimate`."""
FRAME_BYTES = (500, 80)
"""Disk per frame: fixed, per cluster."""


class Axis(Parameters):
    """A recipe key and its values: listed, or a range that a Latin hypercube samples."""

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

    In the last stage, once the mean chain length is equilibrated and its relative standard error is
    at most `relative_error`.
    """

    relative_error: float = Field(gt=0, lt=1, strict=True)
    source: Text


class Exchange(Parameters):
    """How often the rungs of a ladder swap: after `sweep_ns`."""

    sweep_ns: Positive
    source: Text


class Study(Parameters):
    """A study file; see `params/studies/dipole-strength.toml`.

    `settings` are recipe keys that hold at every state point, each with an entry in `sources`.
    `samples` belongs to `sampling = "latin-hypercube"`; `"list"` takes the values of all axes in
    step, `"grid"` all of their combinations. `"exchange"` is a grid whose dipoles swap
    configurations (`exchange.py`): those of the same other values and replica are one ladder.
    """

    name: Text
    title: Text
    recipe: Text
    sampling: Literal["grid", "list", "latin-hypercube", "exchange"] = "grid"
    samples: int | None = Field(default=None, ge=1, strict=True)
    replicas: int = Field(default=1, ge=1, strict=True)
    seed: int = Field(default=1, ge=0, strict=True)
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
            if "." in name or name in ("replica", "seed"):
                raise ValueError(
                    f"axes: '{name}' can't be the name of an axis; name it otherwise and give its "
                    "recipe keys in keys = […]"
                )
            if hypercube != (axis.values is None):
                wanted = "low and high" if hypercube else "values"
                raise ValueError(f"axes.{name}: sampling = '{self.sampling}' needs {wanted}")
        if self.sampling == "exchange":
            self._can_exchange()
        elif self.exchange is not None:
            raise ValueError("table 'exchange' belongs to sampling = 'exchange', and only there")
        lengths = {name: len(axis.values or ()) for name, axis in self.axes.items()}
        if self.sampling == "list" and len(set(lengths.values())) > 1:
            raise ValueError(f"sampling = 'list' needs as many values of each axis ({lengths})")
        if set(self.settings) != set(self.sources):
            odd = sorted(set(self.settings) ^ set(self.sources))
            raise ValueError(f"settings and sources must have the same keys (only in one: {odd})")
        return self

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
        names = list(self.axes)
        rows: list[tuple[Any, ...]]
        if self.sampling == "latin-hypercube":
            from scipy.stats import qmc

            low = [float(axis.low or 0.0) for axis in self.axes.values()]
            high = [float(axis.high or 0.0) for axis in self.axes.values()]
            unit = qmc.LatinHypercube(len(names), seed=self.seed).random(self.samples or 1)
            rows = [tuple(float(f"{x:.6g}") for x in row) for row in qmc.scale(unit, low, high)]
        else:
            values = [list(axis.values or ()) for axis in self.axes.values()]
            rows = list(zip(*values, strict=True) if self.sampling == "list" else product(*values))
        return [
            dict(zip(names, row, strict=True)) | {"replica": replica}
            for row in rows
            for replica in range(self.replicas)
        ]

    def units(self) -> list[list[StatePoint]]:
        """Return the state points that run together: ladders, or each alone."""
        if self.sampling != "exchange":
            return [[point] for point in self.points()]
        ladders: dict[str, list[StatePoint]] = {}
        for point in sorted(self.points(), key=lambda p: float(p["dipole_D"])):
            others = {key: value for key, value in point.items() if key != "dipole_D"}
            ladders.setdefault(json.dumps(others, sort_keys=True), []).append(point)
        return list(ladders.values())

    def sweep_steps(self, time_step_ps: float) -> int:
        """Return the steps between two swaps of a ladder."""
        if self.exchange is None:
            return SWEEP_STEPS
        return max(1, round(self.exchange.sweep_ns * 1000 / time_step_ps))

    def ladder_identity(self) -> dict[str, Any]:
        """Return what may not change in a study that exchanges: its dipoles and its sweep."""
        if self.sampling != "exchange":
            return {}
        dipoles = sorted(float(value) for value in self.axes["dipole_D"].values or ())
        sweep_ns = self.exchange.sweep_ns if self.exchange else None
        return {"ladder of dipoles": dipoles, "sweep of the ladder": sweep_ns}

    def recipe_of(self, point: StatePoint) -> Recipe:
        """Return the recipe of a state point; its seed follows from the point alone.

        Raises:
            InputError: a value that the recipe doesn't allow; the state point is named.
        """
        overrides: dict[str, Any] = {}
        for name, axis in self.axes.items():
            value = point[name]
            for key in axis.keys or [self._key(name)]:
                if name == "solvent":
                    value = load_solvent(str(point[name])).relative_permittivity.value
                overrides[key] = _as_recipe(key, value)
        text = json.dumps([self.seed, point], sort_keys=True)
        overrides["seed"] = int(hashlib.sha256(text.encode()).hexdigest()[:7], 16)
        try:
            recipe = load_recipe(self.base, overrides)
            if self.sampling == "exchange":
                check_recipe(recipe)
            return recipe
        except InputError as error:
            raise InputError(f"study '{self.name}' at {said(point)}: {error}") from error

    def _key(self, axis: str) -> str:
        """Return the recipe key behind the name of an axis."""
        if axis == "cluster":
            return "components.0.cluster"
        key = "relative_permittivity" if axis == "solvent" else axis
        if key not in ENVIRONMENT:
            return key
        stated = [stage.name for stage in self.base.stages if getattr(stage, key) is not None]
        return f"stages.{(stated or [self.base.stages[0].name])[-1]}.{key}"


class Estimate(NamedTuple):
    """What state points will cost at most.

    Attributes:
        jobs: how many.
        core_hours: on one core, within a factor of two.
        disk_MB: of trajectories and checkpoints.
    """

    jobs: int
    core_hours: float
    disk_MB: float


def estimate(study: Study, points: list[StatePoint]) -> Estimate:
    """Return count, core time and disk of some state points, run to their budget.

    The time of a step grows with the clusters and with the neighbours inside the cutoff; its three
    numbers (`STEP_us`) are a fit to LAMMPS on one core, 125 to 800 clusters, 5 to 50 mM.
    """
    seconds = size = 0.0
    for point in points:
        recipe = study.recipe_of(point)
        n, cutoff = recipe.n_clusters, recipe.cutoff_nm or 10.0
        fixed, each, near = STEP_us
        frames = 1.0
        for stage in recipe.plan():
            density = MILLIMOLAR * math.sqrt(
                stage.start.concentration_mM * stage.end.concentration_mM
            )
            neighbours = min(n, density * 4 / 3 * math.pi * cutoff**3)
            seconds += stage.steps * (fixed + n * (each + near * neighbours)) * 1e-6
            frames += stage.steps * recipe.time_step_ps / 1000 / recipe.frame_interval_ns
        size += (frames + 1) * (FRAME_BYTES[0] + FRAME_BYTES[1] * n)
    return Estimate(len(points), seconds / 3600, size / 1e6)


def load_study(name: str | Path) -> Study:
    """Return a study by shipped name (`dipole-strength`) or file.

    Raises:
        InputError: unknown name or key, a value out of range, or a recipe that doesn't allow it;
            file and key are named.
    """
    path = parameter_file("studies", name)
    data = read_toml(path)
    recipe = data.get("recipe")
    if isinstance(recipe, str) and (recipe.endswith(".toml") or "/" in recipe):
        data["recipe"] = str((path.parent / recipe).resolve())
    study = validate(Study, data, path)
    try:
        for axis in study.axes:  # one bad key or value is found before anything starts
            seen = {point[axis]: point for point in study.points()}
            for point in seen.values():
                study.recipe_of(point)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return study


def said(point: StatePoint) -> str:
    """Return a state point in words."""
    return ", ".join(
        f"{key} {value:g}" if isinstance(value, int | float) else f"{key} {value}"
        for key, value in point.items()
    )


def _as_recipe(key: str, value: float | str) -> float | int | str:
    """Return a value as the recipe wants it: whole numbers where its key takes only those."""
    field = Recipe.model_fields.get(key)
    if isinstance(value, str) or field is None or field.annotation is not int:
        return value
    return int(value) if np.isclose(value, round(value)) else value
