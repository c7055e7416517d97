"""The state of an assembly: box, centres, orientations, momenta and the table of bodies.

Builders return exact states (pair, chain, ring, lattice) or a random gas; all take `{body: count}`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import rowan
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from dipolar_md.errors import InputError
from dipolar_md.model.body import Body
from dipolar_md.units import MILLIMOLAR, REFERENCE_TEMPERATURE_K, thermal_energy

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class System:
    """N rigid bodies in a periodic box centred at the origin.

    Attributes:
        box: (6,) Lx, Ly, Lz in nm and tilt factors xy, xz, yz.
        positions: (N, 3) centres of mass, nm, wrapped into the box.
        orientations: (N, 4) unit quaternions (w, x, y, z), body to space frame.
        types: (N,) indices into `bodies`.
        bodies: the body table.
        velocities: (N, 3) nm/ps.
        angular_velocities: (N, 3) space frame, rad/ps.
        thickness_nm: distance between two walls at z = ±thickness/2 that hold the clusters in a
            film; None in bulk. The box is higher than the film, so that images don't interact.
    """

    box: Floats
    positions: Floats
    orientations: Floats
    types: NDArray[np.int64]
    bodies: tuple[Body, ...]
    velocities: Floats
    angular_velocities: Floats
    thickness_nm: float | None = None

    def __post_init__(self) -> None:
        n = len(np.atleast_1d(self.positions))
        shapes = {
            "box": (6,),
            "positions": (n, 3),
            "orientations": (n, 4),
            "types": (n,),
            "velocities": (n, 3),
            "angular_velocities": (n, 3),
        }
        for name, shape in shapes.items():
            array = np.asarray(getattr(self, name))
            if array.shape != shape:
                raise InputError(f"{name} must have shape {shape} (found {array.shape})")
            if not np.isfinite(array).all():
                raise InputError(f"{name} must be finite")
        if n and not (self.types.min() >= 0 and self.types.max() < len(self.bodies)):
            raise InputError(f"types must index the {len(self.bodies)} bodies")
        if not (self.box[:3] > 0).all():
            raise InputError(f"box lengths must be positive (found {self.box[:3]} nm)")
        if self.thickness_nm is not None and not 0 < self.thickness_nm <= self.box[2]:
            raise InputError(
                f"thickness_nm must be positive and at most the height of the box, "
                f"{self.box[2]:.4g} nm (found {self.thickness_nm})"
            )

    @classmethod
    def from_arrays(
        cls,
        box: ArrayLike,
        positions: ArrayLike,
        orientations: ArrayLike,
        bodies: Body | tuple[Body, ...],
        types: ArrayLike | None = None,
        velocities: ArrayLike | None = None,
        angular_velocities: ArrayLike | None = None,
        thickness_nm: float | None = None,
    ) -> Self:
        """Return a system from plain arrays: positions are wrapped, quaternions normalised.

        Args:
            box: (3,) lengths in nm, or (6,) with tilt factors.
            positions: (N, 3) nm.
            orientations: (N, 4) quaternions (w, x, y, z), not zero.
            bodies: one body, or the table that `types` indexes.
            types: (N,) indices, default all 0.
            velocities: (N, 3) nm/ps, default at rest.
            angular_velocities: (N, 3) rad/ps in the space frame, default at rest.
            thickness_nm: of a film between walls, default bulk.

        Raises:
            InputError: a wrong shape or a value that is not finite; the argument is named.
        """
        edges = np.asarray(box, dtype=np.float64)
        if edges.shape == (3,):
            edges = np.concatenate([edges, np.zeros(3)])
        x = np.array(positions, dtype=np.float64)
        q = np.array(orientations, dtype=np.float64)
        if q.ndim != 2 or q.shape[1:] != (4,):
            raise InputError(f"orientations must have shape (N, 4) (found {q.shape})")
        norms = np.linalg.norm(q, axis=1, keepdims=True)
        if not ((norms > 0) & np.isfinite(norms)).all():
            raise InputError("orientations must be finite and not zero")
        still = np.zeros_like(x)
        checked = cls(
            box=edges,
            positions=x,
            orientations=q / norms,
            types=np.zeros(len(q), np.int64) if types is None else np.asarray(types, np.int64),
            bodies=(bodies,) if isinstance(bodies, Body) else tuple(bodies),
            velocities=still if velocities is None else np.asarray(velocities, np.float64),
            angular_velocities=still
            if angular_velocities is None
            else np.asarray(angular_velocities, np.float64),
            thickness_nm=thickness_nm,
        )
        return replace(checked, positions=wrap(x, edges))

    def __len__(self) -> int:
        return len(self.positions)

    def __repr__(self) -> str:
        counts = np.bincount(self.types, minlength=len(self.bodies))
        bodies = ", ".join(f"{n} {body.name}" for n, body in zip(counts, self.bodies, strict=True))
        edges = " × ".join(f"{edge:.4g}" for edge in self.box[:3])
        film = "" if self.thickness_nm is None else f", film of {self.thickness_nm:g} nm"
        return f"<System of {bodies}: {edges} nm{film}, {self.concentration_mM:.3g} mM>"

    @property
    def volume_nm3(self) -> float:
        """Volume in nm³: of the box, or of the film between the walls."""
        height = self.box[2] if self.thickness_nm is None else self.thickness_nm
        return float(self.box[0] * self.box[1] * height)

    @property
    def concentration_mM(self) -> float:
        """Clusters per volume in mmol/L."""
        return len(self) / self.volume_nm3 / MILLIMOLAR

    def per_cluster(self, values: ArrayLike) -> Floats:
        """Return a value per body, (n_bodies, ...), spread over the clusters, (N, ...)."""
        return np.asarray(values, dtype=np.float64)[self.types]

    @property
    def dipoles(self) -> Floats:
        """(N, 3) dipole vectors in the space frame, e nm."""
        in_body = self.per_cluster([body.dipole_e_nm for body in self.bodies])
        return rotated(self.orientations, in_body)

    @property
    def site_owners(self) -> NDArray[np.int64]:
        """(M,) cluster of every site: the N centres first, then the others cluster by cluster."""
        counts = np.array([len(body.sites) - 1 for body in self.bodies])[self.types]
        clusters = np.arange(len(self))
        return np.concatenate([clusters, np.repeat(clusters, counts)])

    @property
    def site_arms(self) -> Floats:
        """(M, 3) vectors from the centres to the sites, nm, in the order of `site_owners`."""
        n = len(self)
        local = self.per_site([[site.position_nm for site in body.sites] for body in self.bodies])
        local[:n] = 0.0  # a body's first site is its centre of mass
        local[n:] = rotated(self.orientations[self.site_owners[n:]], local[n:])
        return local

    def per_site(self, tables: Sequence[ArrayLike]) -> Floats:
        """Return a value per site of each body, tables (n_sites, ...), for all sites (M, ...).

        They are in the order of `site_owners`.
        """
        sizes = np.array([len(body.sites) for body in self.bodies])
        starts, others = (np.cumsum(sizes) - sizes)[self.types], sizes[self.types] - 1
        within = np.arange(others.sum()) - np.repeat(np.cumsum(others) - others, others)
        rows = np.concatenate([starts, np.repeat(starts, others) + 1 + within])
        flat = np.concatenate([np.asarray(table, dtype=np.float64) for table in tables])
        return np.asarray(flat[rows])

    @property
    def quaternion_momenta(self) -> Floats:
        """(N, 4) angular momenta 2 q (0, I ω) of HOOMD and GSD, with ω in the body frame."""
        inertia = self.per_cluster([body.inertia_Da_nm2 for body in self.bodies])
        spin = rotated(self.orientations, self.angular_velocities, inverse=True)
        pure = np.concatenate([np.zeros((len(self), 1)), inertia * spin], axis=1)
        return np.asarray(2 * rowan.multiply(self.orientations, pure))

    def with_quaternion_momenta(self, momenta: ArrayLike) -> "System":
        """Return the system turning with the quaternion momenta (N, 4) of HOOMD and GSD."""
        inertia = self.per_cluster([body.inertia_Da_nm2 for body in self.bodies])
        spin = rowan.multiply(rowan.conjugate(self.orientations), momenta)[:, 1:] / 2
        turning = rotated(self.orientations, spin / inertia)
        return replace(self, angular_velocities=turning)

    def kinetic_temperatures_K(self) -> tuple[float, float]:
        """Return the translational and the rotational kinetic temperature (K), 3N modes each."""
        mass = self.per_cluster([body.mass_Da for body in self.bodies])
        inertia = self.per_cluster([body.inertia_Da_nm2 for body in self.bodies])
        spin = rotated(self.orientations, self.angular_velocities, inverse=True)
        modes = 3 * len(self) * thermal_energy(1.0)
        translational = float((mass[:, None] * self.velocities**2).sum())
        return translational / modes, float((inertia * spin**2).sum()) / modes

    def thermalized(self, temperature_K: float, seed: int) -> "System":
        """Return the system with Maxwell–Boltzmann momenta at `temperature_K`."""
        rng = np.random.default_rng(seed)
        kT = thermal_energy(temperature_K)
        mass = self.per_cluster([body.mass_Da for body in self.bodies])
        inertia = self.per_cluster([body.inertia_Da_nm2 for body in self.bodies])
        spin = rng.normal(size=(len(self), 3)) * np.sqrt(kT / inertia)
        return replace(
            self,
            velocities=rng.normal(size=(len(self), 3)) * np.sqrt(kT / mass)[:, None],
            angular_velocities=rotated(self.orientations, spin),
        )


def cell_matrix(box: Floats) -> Floats:
    """Return the (3, 3) matrix whose columns are the box vectors (nm) of a (6,) box."""
    lx, ly, lz, xy, xz, yz = box
    return np.array([[lx, xy * ly, xz * lz], [0.0, ly, yz * lz], [0.0, 0.0, lz]])


def rotated(orientations: Floats, vectors: ArrayLike, inverse: bool = False) -> Floats:
    """Return vectors (N, 3) turned by quaternions (N, 4), or back: scipy takes a fifth of rowan."""
    turns = Rotation.from_quat(orientations[:, [1, 2, 3, 0]])
    return np.asarray(turns.apply(vectors, inverse), dtype=np.float64).reshape(-1, 3)


def fractions(vectors: Floats, box: Floats) -> Floats:
    """Return vectors (..., 3) in units of the edges of a (6,) box."""
    if not box[3:].any():  # no matrix product: its threads stall where others use the cores
        return np.asarray(vectors / box[:3])
    return np.asarray(vectors @ np.linalg.inv(cell_matrix(box)).T)


def wrap(vectors: Floats, box: Floats) -> Floats:
    """Return vectors (..., 3) wrapped into the periodic box centred at the origin."""
    images = np.floor(fractions(vectors, box) + 0.5)
    return np.asarray(
        vectors - (images @ cell_matrix(box).T if box[3:].any() else images * box[:3])
    )


def _table(counts: Mapping[Body, int]) -> tuple[tuple[Body, ...], NDArray[np.int64]]:
    """Return the bodies and the types (N,) of `{body: count}`."""
    if not counts or any(not isinstance(n, int | np.integer) or n < 0 for n in counts.values()):
        raise InputError(f"body counts must be whole numbers >= 0 (found {list(counts.values())})")
    if sum(counts.values()) < 1:
        raise InputError("at least one cluster is needed")
    bodies = tuple(counts)
    return bodies, np.repeat(np.arange(len(bodies)), [counts[body] for body in bodies])


def _diameter(bodies: tuple[Body, ...]) -> float:
    """Return the distance (nm) at which no two of the bodies overlap, however they are turned."""
    return max(
        body.axial_contact_nm
        if len(body.sites) == 1
        else max(body.axial_contact_nm, 2 * body.extent_nm)
        for body in bodies
    )


def random_gas(
    counts: Mapping[Body, int],
    concentration_mM: float,
    seed: int,
    temperature_K: float = REFERENCE_TEMPERATURE_K,
    thickness_nm: float | None = None,
    gap_nm: float = 0.0,
) -> System:
    """Return a gas of non-overlapping, randomly oriented bodies with thermal momenta.

    Centres keep twice the largest reach of a body from each other and one from the walls; types
    are shuffled over the positions.

    Args:
        counts: bodies and how many of each.
        concentration_mM: all clusters together, mmol/L; sets a cubic box, or the area of a film.
        seed: of positions, orientations and momenta.
        temperature_K: of the momenta.
        thickness_nm: of a film between walls; None for bulk.
        gap_nm: empty height of the box beyond the film.

    Raises:
        InputError: too dense to place at random; the densest that is sure to work is named.
    """
    if not (np.isfinite(concentration_mM) and concentration_mM > 0):
        raise InputError(f"concentration_mM must be positive (found {concentration_mM})")
    bodies, types = _table(counts)
    rng = np.random.default_rng(seed)
    rng.shuffle(types)
    n, diameter = len(types), _diameter(bodies)
    volume = n / (concentration_mM * MILLIMOLAR)
    if thickness_nm is None:
        box = np.full(3, volume ** (1 / 3))
        room = box.copy()
    else:
        if not (np.isfinite(thickness_nm) and thickness_nm > diameter):
            raise InputError(
                f"thickness_nm must exceed the diameter {diameter:.4g} nm (found {thickness_nm})"
            )
        edge = (volume / thickness_nm) ** 0.5
        box = np.array([edge, edge, thickness_nm + gap_nm])
        room = np.array([edge, edge, thickness_nm - diameter])
    filled = n * np.pi / 6 * diameter**3 / volume
    images = np.append(box[:2], max(box[2], 4 * diameter) if thickness_nm else box[2])
    positions = np.empty((0, 3))
    for _ in range(500 if filled < 0.35 else 0):  # random sequential addition jams at 0.38
        new = rng.uniform(0, 1, (n - len(positions), 3)) * room
        positions = np.concatenate([positions, new])
        clashes = cKDTree(positions, boxsize=images).query_pairs(diameter, output_type="ndarray")
        if not len(clashes):
            break
        keep = np.ones(n, dtype=bool)
        keep[clashes.max(axis=1)] = False
        positions = positions[keep]
    if len(positions) < n:
        limit = 0.2 / (np.pi / 6 * diameter**3) / MILLIMOLAR
        raise InputError(
            f"concentration_mM = {concentration_mM:g} is too dense to place at random: volume "
            f"fraction {filled:.2f} of spheres of {diameter:g} nm; start below {limit:.0f} mM and "
            "let a later stage concentrate the system"
        )
    system = System.from_arrays(
        box=box,
        positions=positions - room / 2,
        orientations=rowan.normalize(rng.normal(size=(n, 4))),
        bodies=bodies,
        types=types,
        thickness_nm=thickness_nm,
    )
    return system.thermalized(temperature_K, int(rng.integers(2**31)))


def lattice(counts: Mapping[Body, int], spacing_nm: float) -> System:
    """Return a simple cubic lattice that fills its periodic box, all bodies in body orientation.

    Args:
        counts: bodies and how many of each; the total must be a cube m³.
        spacing_nm: lattice constant.

    Raises:
        InputError: the total is no cube.
    """
    bodies, types = _table(counts)
    side = round(len(types) ** (1 / 3))
    if side**3 != len(types):
        raise InputError(f"a cubic lattice needs m³ clusters (found {len(types)})")
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return System.from_arrays(
        box=(side * spacing_nm,) * 3,
        positions=(grid + 0.5 - side / 2) * spacing_nm,
        orientations=_upright(len(types)),
        bodies=bodies,
        types=types,
    )


def pair(
    counts: Mapping[Body, int],
    separation_nm: ArrayLike,
    orientations: ArrayLike | None = None,
    box_nm: float | None = None,
) -> System:
    """Return two bodies, the second at `separation_nm` from the first.

    Args:
        counts: `{body: 2}` or `{first: 1, second: 1}`.
        separation_nm: distance along z, or a vector (3,).
        orientations: (2, 4) quaternions, default both upright: head to tail along z.
        box_nm: edge of the cubic box, default 20 separations.

    Raises:
        InputError: not two bodies.
    """
    bodies, types = _table(counts)
    if len(types) != 2:
        raise InputError(f"a pair needs two clusters (found {len(types)})")
    step = np.asarray(separation_nm, dtype=np.float64)
    step = np.array([0.0, 0.0, float(step)]) if step.ndim == 0 else step
    return System.from_arrays(
        box=(20 * float(np.linalg.norm(step)) if box_nm is None else box_nm,) * 3,
        positions=np.stack([-step / 2, step / 2]),
        orientations=_upright(2) if orientations is None else orientations,
        bodies=bodies,
        types=types,
    )


def chain(counts: Mapping[Body, int], spacing_nm: float, box_nm: float | None = None) -> System:
    """Return a straight head-to-tail chain along z, the bodies in the order of `counts`.

    Args:
        counts: bodies and how many of each.
        spacing_nm: between neighbours.
        box_nm: edge of the cubic box, default three times the chain's length.
    """
    bodies, types = _table(counts)
    n = len(types)
    heights = (np.arange(n) - (n - 1) / 2) * spacing_nm
    return System.from_arrays(
        box=(3 * n * spacing_nm if box_nm is None else box_nm,) * 3,
        positions=np.stack([np.zeros(n), np.zeros(n), heights], axis=1),
        orientations=_upright(n),
        bodies=bodies,
        types=types,
    )


def ring(counts: Mapping[Body, int], spacing_nm: float, box_nm: float | None = None) -> System:
    """Return a flat ring in the xy plane with tangential dipoles, head to tail.

    Args:
        counts: bodies and how many of each, at least 3.
        spacing_nm: straight distance between neighbours.
        box_nm: edge of the cubic box, default five times the ring's diameter.

    Raises:
        InputError: fewer than three clusters.
    """
    bodies, types = _table(counts)
    n = len(types)
    if n < 3:
        raise InputError(f"a ring needs at least three clusters (found {n})")
    angle = 2 * np.pi * np.arange(n) / n
    radius = spacing_nm / (2 * np.sin(np.pi / n))
    tangent = np.stack([-np.sin(angle), np.cos(angle), np.zeros(n)], axis=1)
    return System.from_arrays(
        box=(10 * radius if box_nm is None else box_nm,) * 3,
        positions=radius * np.stack([np.cos(angle), np.sin(angle), np.zeros(n)], axis=1),
        orientations=align_z(tangent),
        bodies=bodies,
        types=types,
    )


def align_z(directions: ArrayLike) -> Floats:
    """Return the quaternions (..., 4) of the shortest rotations that turn +z to `directions`."""
    x, y, z = np.moveaxis(np.asarray(directions, dtype=np.float64), -1, 0)
    length = np.sqrt(x**2 + y**2 + z**2)
    # length + z, without cancellation where the direction points almost straight down
    up = np.where(z < 0, (x**2 + y**2) / (length + np.abs(z)), length + z)
    q = np.stack([up, -y, x, np.zeros_like(z)], axis=-1)
    q[np.linalg.norm(q, axis=-1) < 1e-12 * length] = [0.0, 1.0, 0.0, 0.0]  # straight down
    return np.asarray(q / np.linalg.norm(q, axis=-1, keepdims=True))


def _upright(n: int) -> Floats:
    return np.tile([1.0, 0.0, 0.0, 0.0], (n, 1))
