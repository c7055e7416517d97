"""A recipe resolved once: bodies, stages, what acts, and the start.

Preflight, placement, sessions and engines receive the plan and never ask the recipe again. Every
part is worked out on first use and kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from dipolar_md.engines.stage import Environment, Stage
from dipolar_md.model.body import Body, coarse_grain
from dipolar_md.model.builders import random_gas
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System
from dipolar_md.simulation.recipe import Recipe, load_recipe
from dipolar_md.trajectory import Frame


@dataclass(frozen=True)
class Plan:
    """What a recipe asks for, in the values that engines take.

    Attributes:
        recipe: File that the plan resolves, as a run directory records it.
    """

    recipe: Recipe

    @cached_property
    def counts(self) -> dict[Body, int]:
        """Number of each coarse-grained body; equal bodies of several components are one kind."""
        recipe = self.recipe
        shares = np.array([component.share for component in recipe.components])
        edges = np.round(np.cumsum(shares) / shares.sum() * recipe.n_clusters).astype(int)
        counts: dict[Body, int] = {}
        for component, count in zip(recipe.components, np.diff(edges, prepend=0), strict=True):
            if not count:
                continue
            body = coarse_grain(
                component.cluster,
                recipe.shape,
                recipe.dipole,
                dipole_D=recipe.dipole_D,
                axial_contact_nm=recipe.axial_contact_nm,
                attraction_kT=recipe.attraction_kT or 0.0,
                attraction=recipe.attraction,
                polarisation=recipe.polarisation,
                polarisability_nm3=recipe.polarisability_nm3,
                contact_calibration=recipe.contact_calibration,
                handedness=component.handedness,
            )
            counts[body] = counts.get(body, 0) + int(count)
        return counts

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """Stages with their environments filled in.

        A chunk is no longer than the interval of the frames, so that they come when asked for.
        """
        recipe = self.recipe
        environments = list(
            accumulate(
                recipe.stages,
                lambda before, spec: Environment(
                    spec.temperature_K or before.temperature_K,
                    spec.relative_permittivity or before.relative_permittivity,
                    spec.concentration_mM or before.concentration_mM,
                    spec.thickness_nm or before.thickness_nm,
                    spec.field_V_nm or before.field_V_nm,
                ),
                initial=Environment(recipe.temperature_K, 0.0, 0.0),
            )
        )
        starts = [environments[1], *environments[1:-1]]
        step = recipe.time_step_ps or 0.0
        return tuple(
            Stage(
                name=spec.name,
                steps=spec.sweeps or max(1, round((spec.time_ns or 0.0) * 1000 / step)),
                time_step_ps=step,
                start=start,
                end=end,
                viscosity_mPa_s=recipe.viscosity_mPa_s or 0.0,
                friction_scale=recipe.friction_scale or 1.0,
                integrator="equilibrium" if self.samples_equilibrium else recipe.integrator,
                chunk_steps=min(recipe.chunk_steps, self.frame_steps),
                skin_nm=spec.skin_nm,
                seed=int(np.random.SeedSequence((recipe.seed, index)).generate_state(1)[0]),
            )
            for index, (spec, start, end) in enumerate(
                zip(recipe.stages, starts, environments[1:], strict=True)
            )
        )

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Steps of the run before each stage."""
        return tuple(accumulate((stage.steps for stage in self.stages[:-1]), initial=0))

    @property
    def total_steps(self) -> int:
        """Steps of all stages."""
        return self.offsets[-1] + self.stages[-1].steps

    @property
    def samples_equilibrium(self) -> bool:
        """Whether stages are sweeps of Monte Carlo instead of stretches of time."""
        return self.recipe.stages[0].sampling == "equilibrium"

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return self.recipe.n_clusters

    @property
    def frame_steps(self) -> int:
        """Steps between two frames, rounded down."""
        recipe = self.recipe
        if recipe.time_step_ps is None or recipe.frame_interval_ns is None:
            return recipe.frame_interval_sweeps or 1
        return max(1, int(recipe.frame_interval_ns * 1000 / recipe.time_step_ps + 1e-6))

    @cached_property
    def interactions(self) -> Interactions:
        """What acts at the start of the first stage."""
        recipe, start = self.recipe, self.stages[0].start
        cutoff = {} if recipe.cutoff_nm is None else {"cutoff_nm": recipe.cutoff_nm}
        return Interactions(
            start.temperature_K,
            start.relative_permittivity,
            recipe.electrostatics,
            ewald_accuracy=recipe.ewald_accuracy,
            field_V_nm=start.field_V_nm,
            **cutoff,
        )

    def acting(self, stage: Stage) -> Interactions:
        """Return what acts at the start of a stage."""
        return stage.start.applied_to(self.interactions)

    def start(self, at: Environment | None = None) -> System:
        """Return the random gas that the first stage starts from, or one in another environment."""
        here = at or self.stages[0].start
        truncated = self.interactions.electrostatics == "cutoff"
        reach = self.interactions.cutoff_nm if truncated else 0.4
        return random_gas(
            self.counts,
            here.concentration_mM,
            self.recipe.seed,
            here.temperature_K,
            here.thickness_nm,
            gap_nm=2.5
            * reach,  # film and image don't interact, and HOOMD finds its box high enough
        )

    def frame(self, index: int, step: int, system: System, energies: dict[str, float]) -> Frame:
        """Return the frame after `step` steps of the stage with this index."""
        stage, done = self.stages[index], self.offsets[index] + step
        now = stage.environment(step)
        return Frame(
            system=system,
            step=done,
            time_ns=done * stage.time_step_ps / 1000,
            stage=stage.name,
            temperature_K=now.temperature_K,
            relative_permittivity=now.relative_permittivity,
            energies=energies,
            field_V_nm=now.field_V_nm,
        )

    def frame_schedule(self, until: int, chunk_steps: int | None = None) -> list[int]:
        """Return the steps at which the run leaves its frames.

        Args:
            until: Last step to tell of.
            chunk_steps: Steps between two looks at the state, default as in the stages.
        """
        steps = [0]
        for stage, offset in zip(self.stages, self.offsets, strict=True):
            chunk, last = chunk_steps or stage.chunk_steps, min(stage.steps, until - offset)
            ends = np.arange(chunk, last + 1, chunk)
            if last == stage.steps and last % chunk:
                ends = np.append(ends, last)
            if self.recipe.frame_interval_ns is None:
                count = ends // self.frame_steps
            else:
                interval = self.recipe.frame_interval_ns * 1000
                count = (ends * stage.time_step_ps / interval + 1e-9).astype(np.int64)
            due = (np.diff(count, prepend=0) > 0) | (ends == stage.steps)
            steps += (offset + ends[due]).tolist()
        return steps

    def frame_is_due(self, index: int, since: int, step: int) -> bool:
        """Return whether a frame belongs after `step` steps of a stage, looked at after `since`."""
        stage, recipe = self.stages[index], self.recipe
        if recipe.frame_interval_ns is None:
            before, now = since // self.frame_steps, step // self.frame_steps
        else:
            interval = recipe.frame_interval_ns * 1000
            before, now = (int(s * stage.time_step_ps / interval + 1e-9) for s in (since, step))
        return step == stage.steps or now > before


def make_plan(
    recipe: str | Path | Recipe | Plan, overrides: Mapping[str, Any] | None = None
) -> Plan:
    """Return the plan of a recipe, with overrides applied.

    Args:
        recipe: Shipped name, file, `Recipe` or `Plan`.
        overrides: Values by dotted key, as in `load_recipe`.

    Returns:
        `Plan`; a plan without overrides as it is.

    Raises:
        InputError: Unknown name, key or cluster, or a value out of range.
    """
    if isinstance(recipe, Plan):
        if not overrides:
            return recipe
        recipe = recipe.recipe
    return Plan(load_recipe(recipe, overrides))
