"""Systems to start from: a random gas, a lattice, a pair, a chain, a ring.

All take `{body: count}`; all but the gas return exact states.
"""

from collections.abc import Mapping

import numpy as np
import rowan
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from dipolar_md.errors import InputError
from dipolar_md.model.body import Body
from dipolar_md.model.system import Floats, System, align_z
from dipolar_md.units import MILLIMOLAR, REFERENCE_TEMPERATURE_K


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
        counts: Bodies and how many of each.
        concentration_mM: Clusters of all kinds per volume, mmol/L; sets a cubic box, or the area of
            a film.
        seed: Seed of positions, orientations and momenta.
        temperature_K: Temperature of the momenta, K.
        thickness_nm: Thickness of a film between walls, nm; None for bulk.
        gap_nm: Empty height of the box beyond the film, nm.

    Returns:
        `System`.

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
        counts: Bodies and how many of each; the total must be a cube m³.
        spacing_nm: Lattice constant, nm.

    Returns:
        `System`.

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
        separation_nm: Distance along z, or a vector (3,), nm.
        orientations: (2, 4) quaternions, default both upright: head to tail along z.
        box_nm: Edge of the cubic box, nm, default 20 separations.

    Returns:
        `System`, centred in its box.

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
        counts: Bodies and how many of each.
        spacing_nm: Distance between neighbours, nm.
        box_nm: Edge of the cubic box, nm, default three times the chain's length.

    Returns:
        `System`, centred in its box.
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
        counts: Bodies and how many of each, at least 3.
        spacing_nm: Straight distance between neighbours, nm.
        box_nm: Edge of the cubic box, nm, default five times the ring's diameter.

    Returns:
        `System`, centred in its box.

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


def _upright(n: int) -> Floats:
    return np.tile([1.0, 0.0, 0.0, 0.0], (n, 1))
