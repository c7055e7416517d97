"""One MPI rank of LAMMPS: takes a stage, runs it, reports, answers (`ranks.py` leads)."""

import os
import pickle
import sys
from multiprocessing.connection import Client
from typing import Any

from dipolar_md.engines.lammps.engine import LammpsEngine
from dipolar_md.engines.lammps.ranks import KEY
from dipolar_md.engines.protocol import Report
from dipolar_md.errors import DipolarMDError


def serve(address: str) -> None:
    """Be one rank: take a stage, run it, report, answer."""
    rank = int(os.environ["PMI_RANK"])
    connection = Client(address, "AF_UNIX", authkey=os.environ[KEY].encode())
    connection.send((rank, os.getpid()))

    def say(kind: str, content: Any) -> None:
        if rank == 0:
            connection.send((kind, content))

    def agree(value: Any) -> Any:
        say("agree", value)
        return connection.recv()

    def observe(report: Report) -> bool:
        moving = report.spring_energy
        say("report", (report.step, report.environment, report.energies, moving))
        while (answer := connection.recv()) == "read":
            say("system", report.read())
        return bool(answer)

    try:
        threads, system, interactions, stage = connection.recv()
        engine = LammpsEngine(threads, agree=agree)
        last = engine.run(system, interactions, stage, observe)
        say("done", (last, engine.settings))
        connection.recv()  # the parent ends all ranks together
    except EOFError:
        os._exit(0)  # the parent is gone
    except Exception as error:
        try:
            pickle.dumps(error)
        except (TypeError, pickle.PicklingError):
            error = DipolarMDError(str(error))
        connection.send(("error", error))
        os._exit(1)


if __name__ == "__main__":
    serve(sys.argv[1])
