"""The price of a study before anything runs: core time and disk."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dipolar_md.study.jobs import Job
from dipolar_md.study.study_file import Study, load_study
from dipolar_md.units import MILLIMOLAR

STEP_us = (75.0, 0.55, 0.038)
"""Core time of a step: fixed, per cluster, per neighbour inside the cutoff."""
FRAME_BYTES = (500, 80)
"""Disk per frame: fixed, per cluster."""


class CostEstimate(NamedTuple):
    """What jobs will cost at most.

    Attributes:
        jobs: Number of jobs.
        core_hours: Time on one core, within a factor of two.
        disk_MB: Size of trajectories and checkpoints.
    """

    jobs: int
    core_hours: float
    disk_MB: float


def estimate_cost(study: Study | str | Path, jobs: Sequence[Job] | None = None) -> CostEstimate:
    """Return number, core time and disk of the jobs of a study, run to their budget.

    The time of a step grows with the clusters and with the neighbours inside the cutoff; its three
    numbers (`STEP_us`) are a fit to LAMMPS on one core, 125 to 800 clusters, 5 to 50 mM.

    Args:
        study: Shipped name, file, or `Study`.
        jobs: The only jobs to count, default all.

    Returns:
        The estimate, an upper bound where jobs may stop before their budget.

    Raises:
        InputError: Unknown study.
    """
    chosen = load_study(study).jobs if jobs is None else jobs
    costs = [_cost(job) for job in chosen]
    seconds, size = (sum(part) for part in zip(*costs, strict=True)) if costs else (0.0, 0.0)
    return CostEstimate(len(chosen), seconds / 3600, size / 1e6)


def _cost(job: Job) -> tuple[float, float]:
    """Return core time in seconds and disk in bytes."""
    n, cutoff = job.plan.n_clusters, job.plan.interactions.cutoff_nm
    fixed, each, near = STEP_us
    seconds, frames = 0.0, 1.0
    for stage in job.plan.stages:
        density = MILLIMOLAR * math.sqrt(stage.start.concentration_mM * stage.end.concentration_mM)
        neighbours = min(n, density * 4 / 3 * math.pi * cutoff**3)
        seconds += stage.steps * (fixed + n * (each + near * neighbours)) * 1e-6
        frames += stage.steps / job.plan.frame_steps
    return seconds, (frames + 1) * (FRAME_BYTES[0] + FRAME_BYTES[1] * n)
