"""Handedness along chains: alternation of R and S, and the helical twist between neighbours.

The twist of a bond is the angle by which its head is turned against its tail about their common
dipole axis, reduced by the n-fold symmetry of the bodies to (-180°/n, 180°/n]; positive is a
right-handed screw along the dipole. Mirror images have opposite twists.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dipolar_md.analysis.bonds import DEFAULT_CRITERION, dipole_directions
from dipolar_md.analysis.chains import find_chains
from dipolar_md.analysis.timeseries import Estimate, block_estimate
from dipolar_md.model.body import Body
from dipolar_md.model.system import System, rotated, wrap
from dipolar_md.trajectory import Configuration, Frames, frames_of, system_of

Floats = NDArray[np.float64]
_KINDS = ("R-R", "S-S", "R-S")


class Twist(NamedTuple):
    """Twist of the bonds between two kinds of handedness.

    Attributes:
        n_bonds: Number of head-to-tail bonds in all frames.
        mean_deg: Circular mean of the twist, degrees; without meaning where `order` is about 0.
        sine: Signed helicity ⟨sin nθ⟩: 0 without handedness, opposite for mirror images.
        order: |⟨exp(inθ)⟩|, 1 for one fixed twist, about 0 for free rotation.
    """

    n_bonds: int
    mean_deg: float
    sine: Estimate
    order: float


class Handedness(NamedTuple):
    """Handedness along the chains of several frames.

    Attributes:
        alternation: Fraction of head-to-tail bonds that join R and S; None without both.
        random_alternation: The same for a random order, 2 x_R x_S N/(N-1).
        twists: Twists by kind of bond, `R-R`, `S-S` or `R-S` (either order), where there are any.
    """

    alternation: Estimate | None
    random_alternation: float | None
    twists: dict[str, Twist]


def fold(body: Body) -> int:
    """Return how many sites the ring of a body that lies farthest along +z has.

    Args:
        body: Any body.

    Returns:
        The number of sites; 1 without rings.
    """
    rings = [s.position_nm for s in body.sites if np.hypot(*s.position_nm[:2]) > 1e-9]
    highest = max((z for _, _, z in rings), default=0.0)
    return max(1, sum(abs(z - highest) < 1e-9 for _, _, z in rings))


def bond_twists(frame: Configuration, bonds: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """Return the head-to-tail bonds of a frame, tail first, and their twists.

    Args:
        frame: A frame or a system, of bodies with rings.
        bonds: (B, 2) pairs of clusters; those whose dipoles don't follow each other are left out.

    Returns:
        (H, 2) bonds from tail to head along the dipoles, and (H,) twists in degrees, reduced by the
        smaller symmetry of the two bodies.
    """
    system = system_of(frame)
    up = dipole_directions(system)
    side = rotated(system.orientations, np.tile([1.0, 0.0, 0.0], (len(system), 1)))
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


def handedness(frames: Frames, criterion: str = DEFAULT_CRITERION) -> Handedness | None:
    """Return alternation and twist along the chains of several frames of one run.

    Args:
        frames: Frames of the same clusters, a run, its directory or a trajectory file; errors are
            those of blocks of consecutive frames.
        criterion: Bond criterion, see `find_chains`.

    Returns:
        `Handedness`; None where no cluster is R or S, or where no body has rings to tell its
        rotation.

    Raises:
        InputError: no readable trajectory, an unknown criterion, or a box too small to find bonds.
    """
    frames = frames_of(frames)
    first = frames[0].system
    hands = np.array([body.handedness for body in first.bodies])
    folds = [fold(body) for body in first.bodies]
    if max(folds) < 2 or not set(hands) & {"R", "S"}:
        return None
    found = [_phases_by_kind(frame.system, hands, min(folds), criterion) for frame in frames]
    phases = {kind: [each[kind] for each, _ in found] for kind in _KINDS}
    mixed = [fraction for _, fraction in found if fraction is not None]
    expected = _random_alternation(hands[first.types])
    return Handedness(
        alternation=block_estimate(mixed) if expected is not None and mixed else None,
        random_alternation=expected,
        twists={
            kind: _twist(each, min(folds)) for kind, each in phases.items() if any(map(len, each))
        },
    )


def _phases_by_kind(
    system: System, hands: NDArray[np.str_], symmetry: int, criterion: str
) -> tuple[dict[str, Floats], float | None]:
    """Return the phases nθ of a frame's head-to-tail bonds, by kind, and which part is mixed."""
    pairs, angles = bond_twists(system, find_chains(system, criterion).bonds)
    ends = hands[system.types[pairs]]
    mixed = ends[:, 0] != ends[:, 1]
    phases = symmetry * np.radians(angles)
    by_kind = {
        kind: phases[mixed if kind == "R-S" else ~mixed & (ends[:, 0] == kind[0])]
        for kind in _KINDS
    }
    return by_kind, float(mixed.mean()) if len(mixed) else None


def _random_alternation(hands: NDArray[np.str_]) -> float | None:
    """Return the fraction of neighbours of opposite hand in a random order; None without both."""
    n, right = len(hands), float((hands == "R").mean())
    return 2 * right * (1 - right) * n / (n - 1) if 0 < right < 1 else None


def _twist(phases: list[Floats], symmetry: int) -> Twist:
    mean = np.exp(1j * np.concatenate(phases)).mean()
    return Twist(
        n_bonds=sum(map(len, phases)),
        mean_deg=float(np.degrees(np.angle(mean))) / symmetry,
        sine=block_estimate([float(np.sin(p).mean()) for p in phases if len(p)]),
        order=float(abs(mean)),
    )
