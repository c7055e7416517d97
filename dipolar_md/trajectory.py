"""Frames and trajectories: the only place that knows the GSD schema.

One particle per cluster (position, quaternion, type, velocity, angular momentum), `type_shapes` so
that OVITO draws spheres, and under `log/` the total dipole of every cluster where clusters are
polarisable, the body table as JSON (in every frame: gsd doesn't
fall back to frame 0 for strings), time, stage, temperature, permittivity, box and each energy. GSD
stores state in single precision.
"""

import errno
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, Self, TypeAlias, overload

import gsd.fl
import gsd.hoomd
import numpy as np
from numpy.typing import ArrayLike

from dipolar_md.chemistry.cluster import Cluster
from dipolar_md.errors import InputError
from dipolar_md.files import replacing
from dipolar_md.frame_checks import CHECKSUM, RECIPE, RUN_ID, FrameTable, Identity, SignedFile
from dipolar_md.model.body import Body, Site, coarse_grain
from dipolar_md.model.system import System, cell_matrix, fractions

TRAJECTORY_FILE = "trajectory.gsd"
"""Name of the trajectory in a run directory."""

_ENERGY = "energy_kJ_mol/"
_DIPOLES = "particles/dipole_e_nm"
_MEND = (
    "repeat the assemble command that made the run to recover what is sound "
    "(dipolar-md check RUN tells more)"
)
_ENERGIES = ("steric", "electrostatic", "induction", "wall", "field", "total")


@dataclass(frozen=True, eq=False)
class Frame:
    """One moment of an assembly: a system and what was recorded with it.

    Attributes:
        system: Box, positions, orientations, types, momenta and bodies.
        step: Simulation step since the start of the run.
        time_ns: Simulated time, ns.
        stage: Name of the stage.
        temperature_K: Temperature, K; NaN where nobody said.
        relative_permittivity: ε_r of the medium; NaN where nobody said.
        energies: Potential energies by name (steric, electrostatic, induction, wall, field, total),
            kJ/mol.
        field_V_nm: Uniform electric field, V/nm.
    """

    system: System
    step: int = 0
    time_ns: float = 0.0
    stage: str = ""
    temperature_K: float = float("nan")
    relative_permittivity: float = float("nan")
    energies: dict[str, float] = field(default_factory=dict)
    field_V_nm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @classmethod
    def from_arrays(
        cls,
        box: ArrayLike,
        positions: ArrayLike,
        orientations: ArrayLike,
        cluster: str | Path | Cluster | Body | Sequence[Body],
        types: ArrayLike | None = None,
        **recorded: Any,
    ) -> Self:
        """Return a frame of anyone's arrays.

        Args:
            box: (3,) lengths in nm, or (6,) with tilt factors.
            positions: (N, 3) nm.
            orientations: (N, 4) quaternions (w, x, y, z); the dipole is +z in the body frame.
            cluster: Name, file, cluster or body of all clusters, or the bodies `types` indexes.
            types: (N,) indices, default all 0.
            recorded: Other attributes of the frame, such as `time_ns`.

        Returns:
            `Frame`, which every analysis takes.

        Raises:
            InputError: a wrong shape or value, or an unknown cluster.
        """
        if isinstance(cluster, str | Path | Cluster):
            cluster = coarse_grain(cluster)
        bodies = cluster if isinstance(cluster, Body) else tuple(cluster)
        system = System.from_arrays(box, positions, orientations, bodies, types)
        return cls(system, **recorded)

    def __repr__(self) -> str:
        stage = f", stage '{self.stage}'" if self.stage else ""
        return f"<Frame at {self.time_ns:g} ns{stage}: {self.system!r}>"


class Trajectory(Sequence[Frame]):
    """The frames of a GSD file, read one at a time, each held against its checksum.

    Attributes:
        path: The file.
        proven: Whether its frames are signed; those of earlier versions, and of others, aren't.
        identity: Run and recipe that the frames are of; None where they don't say.

    Raises:
        InputError: the file is missing, isn't a trajectory of this package, claims more than it
            holds, or its frames are of several runs, doubled or out of order.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._table = FrameTable(self.path)
        if self._table.trouble:
            raise InputError(f"{self.path}: no readable trajectory ({self._table.trouble})")
        try:
            self._file = gsd.hoomd.open(str(self.path), "r")
        except (OSError, RuntimeError) as error:
            raise InputError(f"{self.path}: no readable trajectory ({error})") from error
        self.steps = self._table.steps()
        identities = self._table.identities()
        self.identity = identities[0] if identities else None
        self._check_order(identities)
        self.proven = self._table.signed
        self._bodies: tuple[Body, ...] | None = None
        self._sound: set[int] = set()

    def _check_order(self, identities: Sequence[Identity | None]) -> None:
        """Raise where frames are of another run than the first, doubled or out of order."""
        for i, (before, now) in enumerate(pairwise(self.steps), 1):
            if now <= before:
                raise InputError(
                    f"{self.path}: frames are doubled or out of order: frame {i} is of step {now}, "
                    f"the one before of {before}; {_MEND}"
                )
        for i, identity in enumerate(identities):
            if identity != self.identity:
                raise InputError(
                    f"{self.path}: frame {i} is of {_run(identity)}, frame 0 of "
                    f"{_run(self.identity)}; {_MEND}"
                )

    def _check(self, index: int) -> None:
        """Raise where a frame isn't as it was written."""
        if index in self._sound:
            return
        if self._table.checks([index]) == [False]:
            raise InputError(
                f"{self.path}: frame {index} (step {self.steps[index]}) is damaged: its checksum "
                f"is another; {_MEND}"
            )
        if index == 0:  # on which all others rest
            self._sound.add(0)

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> "Sequence[Frame]": ...
    def __getitem__(self, index: int | slice) -> "Frame | Sequence[Frame]":
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.path}: frame {index} of {len(self)}")
        for i in (0, int(index) % len(self)):
            self._check(i)
        try:
            return self._frame(self._file[i])
        except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(f"{self.path}: frame {i} can't be read ({error})") from error

    def __iter__(self) -> Iterator[Frame]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<Trajectory {self.path} with {len(self)} frames>"

    def _frame(self, stored: Any) -> Frame:
        log, particles = stored.log, stored.particles
        if self._bodies is None:
            try:
                self._bodies = _bodies_from_json(log["bodies"])
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(
                    f"{self.path}: not written by this version of dipolar_md (no body table); "
                    "use Frame.from_arrays for other trajectories"
                ) from error
        system = System.from_arrays(
            box=stored.configuration.box,
            positions=particles.position,
            orientations=particles.orientation,
            bodies=self._bodies,
            types=particles.typeid,
            velocities=particles.velocity,
            thickness_nm=None
            if np.isnan(log["thickness_nm"][0])
            else float(log["thickness_nm"][0]),
        ).with_quaternion_momenta(np.asarray(particles.angmom, dtype=np.float64))
        if _DIPOLES in log and not np.isnan(log[_DIPOLES]).any():
            system = replace(system, induced_dipoles=log[_DIPOLES] - system.dipoles)
        return Frame(
            system=system,
            step=int(stored.configuration.step),
            time_ns=float(log["time_ns"][0]),
            stage=log["stage"].strip().encode().decode("unicode_escape"),
            temperature_K=float(log["temperature_K"][0]),
            relative_permittivity=float(log["relative_permittivity"][0]),
            energies={
                key.removeprefix(_ENERGY): float(value[0])
                for key, value in log.items()
                if key.startswith(_ENERGY)
            },
            field_V_nm=tuple(float(x) for x in log["field_V_nm"]),  # type: ignore[arg-type]
        )


class HasTrajectory(Protocol):
    """What keeps a trajectory, as a `Run` does."""

    @property
    def trajectory(self) -> Trajectory:
        """The frames."""


Configuration: TypeAlias = Frame | System
"""What an analysis of one configuration takes."""

Frames: TypeAlias = Sequence[Frame] | HasTrajectory | str | Path
"""What an analysis over frames takes: frames, a `Run`, its directory or a trajectory file."""


def system_of(frame: Configuration) -> System:
    """Return the system of a frame, or a system as it is."""
    return frame.system if isinstance(frame, Frame) else frame


def frames_of(frames: Frames) -> Sequence[Frame]:
    """Return the frames of a run, of its directory or of a trajectory file, or frames as they are.

    Raises:
        InputError: no readable trajectory there.
    """
    if isinstance(frames, str | Path):
        path = Path(frames)
        return Trajectory(path / TRAJECTORY_FILE if path.is_dir() else path)
    return frames.trajectory if hasattr(frames, "trajectory") else frames


def append_frame(path: Path, frame: Frame, identity: Identity | None = None) -> None:
    """Add a frame at the end of a trajectory; readers see it whole or not at all.

    Args:
        path: The trajectory, made where there is none.
        frame: The frame.
        identity: Run and recipe that it is of.

    Raises:
        OSError: The disk is full, or the file can't be written.
    """
    if not path.exists():
        write_frame(path, frame, identity)
        return
    _check_room(path, frame)
    with _explained(path), gsd.hoomd.open(str(path), "r+") as old:
        signed = bool(len(old)) and old.file.chunk_exists(0, CHECKSUM)
        file = SignedFile(old.file) if signed else old.file  # a file is signed as a whole
        gsd.hoomd.HOOMDTrajectory(file).append(_stored(frame, identity if signed else None))


def write_frame(path: Path, frame: Frame, identity: Identity | None = None) -> None:
    """Write a file of one frame, whole or not at all; arguments and errors as in `append_frame`.

    Raises:
        RunDirectoryError: The file can't be written.
    """
    _check_room(path, frame)
    with (
        replacing(path) as part,
        _explained(path),
        gsd.fl.open(str(part), "w", "dipolar_md", "hoomd", [2, 0]) as file,
    ):
        gsd.hoomd.HOOMDTrajectory(SignedFile(file)).append(_stored(frame, identity))


def _check_room(path: Path, frame: Frame) -> None:
    """Raise before a full disk can leave a broken file behind."""
    needed = 1_000_000 + 200 * len(frame.system)  # a frame and the growth of the file's index
    if shutil.disk_usage(path.parent).free < needed:
        raise OSError(errno.ENOSPC, f"less than {needed / 1e6:.1f} MB free", str(path))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn errors of GSD into those of files."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(errno.EIO, f"GSD: {error}", str(path)) from error


def _stored(frame: Frame, identity: Identity | None) -> gsd.hoomd.Frame:
    system = frame.system
    stored = gsd.hoomd.Frame()
    stored.configuration.step = frame.step
    stored.configuration.box = system.box
    particles = stored.particles
    particles.N = len(system)
    particles.types = [_ascii(body.name) for body in system.bodies]
    particles.type_shapes = [
        {"type": "Sphere", "diameter": body.axial_contact_nm} for body in system.bodies
    ]
    particles.typeid = system.types.astype(np.uint32)
    particles.position = _inside(system)
    particles.orientation = system.orientations
    particles.velocity = system.velocities
    particles.angmom = system.quaternion_momenta
    particles.mass = system.per_cluster([body.mass_Da for body in system.bodies])
    particles.moment_inertia = system.per_cluster([b.inertia_Da_nm2 for b in system.bodies])
    particles.diameter = system.per_cluster([body.axial_contact_nm for body in system.bodies])
    stored.log = {
        "bodies": json.dumps([asdict(body) for body in system.bodies]),
        "time_ns": np.array([frame.time_ns]),
        "stage": _ascii(frame.stage) or " ",
        "temperature_K": np.array([frame.temperature_K]),
        "relative_permittivity": np.array([frame.relative_permittivity]),
        "box_nm": system.box,
        "thickness_nm": np.array([np.nan if system.thickness_nm is None else system.thickness_nm]),
        "field_V_nm": np.array(frame.field_V_nm),
    }
    if any(body.polarisability_nm3 for body in system.bodies):
        stored.log[_DIPOLES] = system.total_dipoles
    if identity is not None:
        stored.log |= {RUN_ID[4:]: identity.run_id, RECIPE[4:]: identity.recipe_sha256}
    for name in _ENERGIES:  # GSD wants every quantity that a later frame logs in frame 0, too
        stored.log[_ENERGY + name] = np.array([frame.energies.get(name, np.nan)])
    return stored


def _inside(system: System) -> Any:
    """Return single-precision positions (N, 3) that rounding didn't push out of the box."""
    limit = 0.5 - 1e-6
    inside = np.clip(fractions(system.positions, system.box), -limit, limit)
    return inside @ cell_matrix(system.box).T if system.box[3:].any() else inside * system.box[:3]


def _run(identity: Identity | None) -> str:
    return "no run" if identity is None else f"run {identity.run_id}"


def _ascii(text: str) -> str:
    """Return a text with its other letters escaped: GSD strings are ASCII."""
    return text.encode("unicode_escape").decode()


def _bodies_from_json(text: str) -> tuple[Body, ...]:
    def body(table: dict[str, Any]) -> Body:
        sites = tuple(
            Site(**site | {"position_nm": tuple(site["position_nm"])}) for site in table["sites"]
        )
        vectors = {key: tuple(table[key]) for key in ("inertia_Da_nm2", "dipole_e_nm")}
        return Body(**table | vectors | {"sites": sites})

    return tuple(body(table) for table in json.loads(text))
