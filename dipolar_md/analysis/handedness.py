"""Handedness along chains: alternation of R and S, and the helical twist between neighbours.

The twist of a bond is the angle by which its head is turned against its tail about their common
dipole axis, reduced by the n-fold symmetry of the bodies to (-180°/n, 180°/n]; positive is a
right-handed screw along the dipole. Mirror images have opposite twists.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import rowan
from numpy.typing import NDArray

from dipolar_md.analysis.chains import DEFAULT_CRITERION, ChainGraph, find_chains
from dipolar_md.analysis.timeseries import Estimate, block_estimate
from dipolar_md.model.body import Body
from dipolar_md.model.system import System, wrap
from dipolar_md.trajectory import Frame

Floats = NDArray[np.float64]


class Twist(NamedTuple):
    """Twist of the bonds between two kinds of handedness.

    Attributes:
        n_bonds: head-to-tail bonds in all frames.
        mean_deg: circular mean of the twist, degrees; without meaning where `order` is about 0.
        sine: ⟨sin nθ⟩, the signed helicity: 0 without handedness, opposite for mirror images.
        order: |⟨exp(inθ)⟩|, 1 for one fixed twist, about 0 for free rotation.
    """

    n_bonds: int
    mean_deg: float
    sine: Estimate
    order: float


class Handedness(NamedTuple):
    """Handedness along the chains of several frames.

    Attributes:
        alternation: fraction of head-to-tail bonds that join R and S; None without both.
        random_alternation: the same for a random order, 2 x_R x_S N/(N-1).
        twists: by kind of bond: `R-R`, `S-S`, `R-S` (either order), where there are any.
    """

    alternation: Estimate | None
    random_alternation: float | None
    twists: dict[str, Twist]


def fold(body: Body) -> int:
    """Return how many sites the ring of a body that lies farthest along +z has; 1 without rings."""
    rings = [s.position_nm for s in body.sites if np.hypot(*s.position_nm[:2]) > 1e-9]
    highest = max((z for _, _, z in rings), default=0.0)
    return max(1, sum(abs(z - highest) < 1e-9 for _, _, z in rings))


def bond_twists(system: System, bonds: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """Return the head-to-tail bonds, tail first, and their twists.

    Args:
        system: whose bodies have rings.
        bonds: (B, 2) pairs of clusters; those whose dipoles don't follow each other are left out.

    Returns:
        (H, 2) bonds from tail to head along the dipoles, and (H,) twists in degrees, reduced by the
        smaller symmetry of the two bodies.
    """
    up = system.dipoles / np.linalg.norm(system.dipoles, axis=1, keepdims=True)
    side = rowan.rotate(system.orientations, np.array([1.0, 0.0, 0.0]))
    i, j = np.asarray(bonds).T
    steps = wrap(system.positions[j] - system.positions[i], system.box)
    along_i = np.einsum("ij,ij->i", up[i], steps)
    along_j = np.einsum("ij,ij->i", up[j], steps)
    follows = (along_i * along_j > 0) & (np.einsum("ij,ij->i", up[i], up[j]) > 0)
    tail = np.where(along_i > 0, i, j)[follows]
    head = np.where(along_i > 0, j, i)[follows]
    axis = up[tail] + up[head]
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    a, b = (x - np.einsum("ij,ij->i", x, axis)[:, None] * axis for x in (side[tail], side[head]))
    angle = np.degrees(
        np.arctan2(np.einsum("ij,ij->i", axis, np.cross(a, b)), np.einsum("ij,ij->i", a, b))
    )
    folds = np.array([fold(body) for body in system.bodies])
    period = 360 / np.minimum(folds[system.types[tail]], folds[system.types[head]])
    return np.stack([tail, head], axis=1), period / 2 - (period / 2 - angle) % period


def handedness(frames: Sequence[Frame], criterion: str = DEFAULT_CRITERION) -> Handedness | None:
    """Return alternation and twist along the chains of several frames of one run.

    Args:
        frames: of the same clusters; errors are those of blocks of consecutive frames.
        criterion: bond criterion, a key of `CRITERIA`.

    Returns:
        None where no cluster is R or S, or where no body has rings to tell its rotation.
    """
    hands = np.array([body.handedness for body in frames[0].system.bodies])
    folds = [fold(body) for body in frames[0].system.bodies]
    if max(folds) < 2 or not set(hands) & {"R", "S"}:
        return None
    kinds: dict[str, list[Floats]] = {"R-R": [], "S-S": [], "R-S": []}
    alternations = []
    for frame in frames:
        graph: ChainGraph = find_chains(frame, criterion)
        pairs, angles = bond_twists(frame.system, graph.bonds)
        ends = hands[frame.system.types[pairs]]
        mixed = ends[:, 0] != ends[:, 1]
        for kind in kinds:
            chosen = mixed if kind == "R-S" else ~mixed & (ends[:, 0] == kind[0])
            kinds[kind].append(min(folds) * np.radians(angles[chosen]))
        if len(mixed):
            alternations.append(float(mixed.mean()))
    of_cluster = hands[frames[0].system.types]
    n, right = len(of_cluster), float((of_cluster == "R").mean())
    both = 0 < right < 1
    return Handedness(
        alternation=block_estimate(alternations) if both and alternations else None,
        random_alternation=2 * right * (1 - right) * n / (n - 1) if both else None,
        twists={
            kind: _twist(found, min(folds)) for kind, found in kinds.items() if any(map(len, found))
        },
    )


def _twist(phases: list[Floats], symmetry: int) -> Twist:
    mean = np.exp(1j * np.concatenate(phases)).mean()
    return Twist(
        n_bonds=sum(map(len, phases)),
        mean_deg=float(np.degrees(np.angle(mean))) / symmetry,
        sine=block_estimate([float(np.sin(p).mean()) for p in phases if len(p)]),
        order=float(abs(mean)),
    )
