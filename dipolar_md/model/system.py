"""The state of an assembly: box, centres, orientations, momenta and the table of bodies."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import rowan
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from dipolar_md.errors import InputError
from dipolar_md.model.body import Body
from dipolar_md.units import MILLIMOLAR, thermal_energy

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class System:
    """N rigid bodies in a periodic box centred at the origin.

    Attributes:
        box: (6,) Lx, Ly, Lz in nm and tilt factors xy, xz, yz.
        positions: (N, 3) centres of mass, nm, wrapped into the box.
        orientations: (N, 4) unit quaternions (w, x, y, z), body to space frame.
        types: (N,) indices into `bodies`.
        bodies: Table of the bodies that `types` indexes.
        velocities: (N, 3) nm/ps.
        angular_velocities: (N, 3) space frame, rad/ps.
        thickness_nm: Distance between two walls at z = ±thickness/2 that hold the clusters in a
            film; None in bulk. The box is higher than the film, so that images don't interact.
        induced_dipoles: (N, 3) space frame, e nm, of bodies with a point polarisability at the
            centre; None where they follow from the positions (self-consistent), or there are none.
    """

    box: Floats
    positions: Floats
    orientations: Floats
    types: NDArray[np.int64]
    bodies: tuple[Body, ...]
    velocities: Floats
    angular_velocities: Floats
    thickness_nm: float | None = None
    induced_dipoles: Floats | None = None

    def __post_init__(self) -> None:
        n = len(np.atleast_1d(self.positions))
        shapes = {
            "box": (6,),
            "positions": (n, 3),
            "orientations": (n, 4),
            "types": (n,),
            "velocities": (n, 3),
            "angular_velocities": (n, 3),
        } | ({} if self.induced_dipoles is None else {"induced_dipoles": (n, 3)})
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
        induced_dipoles: ArrayLike | None = None,
    ) -> Self:
        """Return a system from plain arrays: positions are wrapped, quaternions normalised.

        Args:
            box: (3,) lengths in nm, or (6,) with tilt factors.
            positions: (N, 3) nm.
            orientations: (N, 4) quaternions (w, x, y, z), not zero.
            bodies: One body, or the table that `types` indexes.
            types: (N,) indices, default all 0.
            velocities: (N, 3) nm/ps, default at rest.
            angular_velocities: (N, 3) rad/ps in the space frame, default at rest.
            thickness_nm: Thickness of a film between walls, nm, default bulk.
            induced_dipoles: (N, 3) e nm in the space frame, default what follows from positions.

        Returns:
            `System`, wrapped into its box.

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
            induced_dipoles=None
            if induced_dipoles is None
            else np.asarray(induced_dipoles, np.float64),
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
        """Return a value per body spread over the clusters.

        Args:
            values: (n_bodies, ...) values.

        Returns:
            (N, ...) values.
        """
        return np.asarray(values, dtype=np.float64)[self.types]

    @property
    def dipoles(self) -> Floats:
        """(N, 3) dipole vectors in the space frame, e nm."""
        in_body = self.per_cluster([body.dipole_e_nm for body in self.bodies])
        return rotated(self.orientations, in_body)

    @property
    def total_dipoles(self) -> Floats:
        """(N, 3) permanent and induced dipole vectors, e nm; NaN where the induced are unknown."""
        if self.induced_dipoles is not None:
            return self.dipoles + self.induced_dipoles
        soft = self.per_cluster([body.polarisability_nm3 > 0 for body in self.bodies])
        return self.dipoles + np.where(soft > 0, np.nan, 0.0)[:, None]

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
        """Return a value per site of each body spread over all sites.

        Args:
            tables: Values (n_sites, ...) of the sites of each body.

        Returns:
            (M, ...) values in the order of `site_owners`.
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
        """Return the system with angular velocities from the momenta of HOOMD and GSD.

        Args:
            momenta: (N, 4) quaternion momenta 2 q (0, I ω), ω in the body frame.

        Returns:
            The turning system.
        """
        inertia = self.per_cluster([body.inertia_Da_nm2 for body in self.bodies])
        spin = rowan.multiply(rowan.conjugate(self.orientations), momenta)[:, 1:] / 2
        turning = rotated(self.orientations, spin / inertia)
        return replace(self, angular_velocities=turning)

    def kinetic_temperatures_K(self) -> tuple[float, float]:
        """Return the kinetic temperatures, 3N modes each.

        Returns:
            Temperature of translation and of rotation, K.
        """
        mass = self.per_cluster([body.mass_Da for body in self.bodies])
        inertia = self.per_cluster([body.inertia_Da_nm2 for body in self.bodies])
        spin = rotated(self.orientations, self.angular_velocities, inverse=True)
        modes = 3 * len(self) * thermal_energy(1.0)
        translational = float((mass[:, None] * self.velocities**2).sum())
        return translational / modes, float((inertia * spin**2).sum()) / modes

    def thermalized(self, temperature_K: float, seed: int) -> "System":
        """Return the system with Maxwell–Boltzmann momenta.

        Args:
            temperature_K: Temperature of the momenta, K.
            seed: Seed of the momenta.

        Returns:
            The moving system.
        """
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
    return np.asarray(
        turns.apply(np.asarray(vectors, np.float64), inverse), dtype=np.float64
    ).reshape(-1, 3)


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


def align_z(directions: ArrayLike) -> Floats:
    """Return the quaternions (..., 4) of the shortest rotations that turn +z to `directions`."""
    x, y, z = np.moveaxis(np.asarray(directions, dtype=np.float64), -1, 0)
    length = np.sqrt(x**2 + y**2 + z**2)
    # length + z, without cancellation where the direction points almost straight down
    up = np.where(z < 0, (x**2 + y**2) / (length + np.abs(z)), length + z)
    q = np.stack([up, -y, x, np.zeros_like(z)], axis=-1)
    q[np.linalg.norm(q, axis=-1) < 1e-12 * length] = [0.0, 1.0, 0.0, 0.0]  # straight down
    return np.asarray(q / np.linalg.norm(q, axis=-1, keepdims=True))
