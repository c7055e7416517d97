"""Follows a job while it runs: tells its progress, and when it may end before its budget."""

import time
from multiprocessing.connection import Connection
from pathlib import Path

from dipolar_md.analysis.bonds import DEFAULT_CRITERION, find_neighbours
from dipolar_md.analysis.chains import mean_length
from dipolar_md.analysis.timeseries import equilibration, mean_estimate
from dipolar_md.simulation.assembly import Progress
from dipolar_md.simulation.run_directory import Run
from dipolar_md.study.study_file import Stopping

CHECKS = 20
"""Looks at the stopping rule over the last stage."""


class Watch:
    """Follows a run chunk by chunk: tells its progress, and ends it where it may end.

    Attributes:
        path: Run directory.
        stopping: Rule by which the run may end.
        pipe: Way to the leader of the workers, who closes it to stop them.
        reached: Whether the rule has ended the run.
    """

    def __init__(self, path: Path, stopping: Stopping | None, pipe: Connection) -> None:
        self.path, self.stopping, self.pipe = path, stopping, pipe
        self.reached = False
        self.lengths: list[float] = []
        self.part = self.seen = self.told = 0.0
        self.frames = 0

    def __call__(self, now: Progress) -> bool:
        """Return whether the run is to stop, or may end; `assemble` then writes a checkpoint."""
        if self.told_to_stop(now.done_steps / now.total_steps):
            return True
        if self.stopping and self.time_to_look():
            self.reached = self.enough(self.stopping.relative_error)
        return self.reached

    def told_to_stop(self, part: float) -> bool:
        """Tell the part that is done; return whether the leader is gone or stops."""
        if self.pipe.poll():  # closed
            return True
        self.part = part
        if time.monotonic() - self.told > 1.0:
            self.told = time.monotonic()
            self.pipe.send((min(part, 0.99), "running"))  # 1 says that the job is over
        return False

    def time_to_look(self) -> bool:
        """Return whether the stopping rule is to be looked at again."""
        due = self.part - self.seen >= 1 / CHECKS
        if due:
            self.seen = self.part
        return due

    def enough(self, relative_error: float) -> bool:
        """Return whether the mean chain length is equilibrated and that precise."""
        run = Run(self.path)
        trajectory, last = run.trajectory, run.recipe.stages[-1].name
        for index in range(self.frames, len(trajectory)):
            frame = trajectory[index]
            if frame.stage == last:
                neighbours = find_neighbours(frame.system)
                self.lengths.append(mean_length(neighbours, len(frame.system), DEFAULT_CRITERION))
        self.frames = len(trajectory)
        if not self.lengths:
            return False
        settled = equilibration(self.lengths)
        if not settled.equilibrated:
            return False
        value, error = mean_estimate(self.lengths[settled.start :])[0]
        return error is not None and error <= relative_error * value
