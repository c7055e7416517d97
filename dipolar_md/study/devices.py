"""What each worker of a study computes with: cores of its own, or a GPU of its own."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile

from dipolar_md.engines.choice import inspect_engine
from dipolar_md.engines.protocol import DeviceName
from dipolar_md.errors import EngineMissingError, InputError


def assign_devices(
    workers: int | None = None, ranks: int = 1, device: DeviceName = "auto"
) -> list[str | None]:
    """Return one entry per worker: its GPU as `CUDA_VISIBLE_DEVICES` names it, or None for cores.

    Args:
        workers: Jobs at a time, default one per GPU, or one per `ranks` cores of this process.
        ranks: MPI ranks per job; several run on cores.
        device: `gpu`, `cpu`, or `auto`: GPUs where HOOMD-blue can use enough of them.

    Raises:
        InputError: Fewer than one worker or rank, or more than there are GPUs or cores for.
        EngineMissingError: GPUs asked for, but none is visible, or HOOMD-blue can't use it.
    """
    for name, number in (("workers", workers), ("ranks", ranks)):
        if number is not None and number < 1:
            raise InputError(f"{name} must be at least 1 (found {number})")
    if device not in ("auto", "cpu", "gpu"):
        raise InputError(f"device must be auto, cpu or gpu (found '{device}')")
    if device == "gpu" and ranks > 1:
        raise InputError(f"ranks = {ranks} are for cores; with device 'gpu' ranks must be 1")
    if device == "gpu" or (device == "auto" and ranks == 1):
        gpus = _usable_gpus(workers or 1, device == "gpu")
        if gpus:
            return list(gpus[:workers])
    return [None] * _workers_on_cores(workers, ranks)


def _usable_gpus(workers: int, needed: bool) -> list[str]:
    """Return the GPUs if there is one for each worker, otherwise none; raise where GPUs must be."""
    gpus, why = visible_gpus(), "none is visible (CUDA_VISIBLE_DEVICES, nvidia-smi -L)"
    if gpus:
        hoomd = inspect_engine("hoomd", "gpu")
        if not hoomd.usable:
            gpus, why = [], f"HOOMD-blue can't use it: {hoomd.note}"
    if workers <= len(gpus) or not needed:
        return gpus if workers <= len(gpus) else []
    if gpus:
        raise InputError(f"workers must be at most 1 per GPU, {len(gpus)} (found {workers})")
    raise EngineMissingError(f"device 'gpu' asked for, but {why}; or use device 'cpu'")


def _workers_on_cores(workers: int | None, ranks: int) -> int:
    """Return how many workers of so many ranks there are; ranks need a core each."""
    cores, least = len(os.sched_getaffinity(0)), workers or 1
    if ranks > 1 and least * ranks > cores:
        raise InputError(
            f"{least} workers of {ranks} ranks need {least * ranks} cores, and this process has "
            f"{cores}; ask for fewer"
        )
    return workers or cores // ranks


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them.

    What that variable lists, up to its first -1 as CUDA reads it; without it, what `nvidia-smi -L`
    lists.
    """
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return list(takewhile(lambda name: name not in ("", "-1"), listed.split(",")))
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    lines = subprocess.run([tool, "-L"], capture_output=True, text=True).stdout.splitlines()
    return [str(i) for i in range(sum(line.startswith("GPU ") for line in lines))]


@contextmanager
def environment_of(gpu: str | None) -> Iterator[None]:
    """Give processes that start meanwhile one thread in numerical libraries, and only this GPU."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    values = dict.fromkeys(names, "1") | ({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu})
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
