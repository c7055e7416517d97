"""Ewald sums: mesh, order and real-space cutoff for a stated accuracy, chosen for speed.

Accuracy is relative to what binds: rms error of force over 6A/r⁴ and rms error of torque over 2A/r³
at the axial contact r, with A = μ²/4πε₀ε_r. Both are measured, on the system at hand, against the
same engine with a much finer mesh; meshes are refined until both are met, and until the energy per
cluster is as good over 2A/r³: in a crystal forces and torques vanish, whatever the mesh. Of several
real-space cutoffs, each with the coarsest mesh that is accurate enough, the fastest is taken.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from dipolar_md.engines.capabilities import without_steric
from dipolar_md.engines.protocol import Evaluation
from dipolar_md.errors import InputError
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System

_NEIGHBOURS = (15, 40, 100, 250)
"""Mean numbers of neighbours within the real-space cutoffs that are tried."""
_LARGEST = 0.38  # of the shortest periodic edge: leaves room for the neighbour list's skin
_LEVELS = 10
_SAMPLE = 1200  # clusters


@dataclass(frozen=True)
class Mesh:
    """How an Ewald sum is split; it scales with the box, so that a ramp keeps its mesh.

    Attributes:
        cutoff_fraction: real-space cutoff in units of the box's first edge.
        splitting: α r_c, Ewald's splitting parameter times the cutoff.
        resolution: α h, the same times the mesh spacing.
        order: of the charge assignment.
    """

    cutoff_fraction: float
    splitting: float
    resolution: float
    order: int = 5

    def cutoff_nm(self, system: System) -> float:
        """Return the real-space cutoff in a system's box."""
        return self.cutoff_fraction * float(system.box[0])

    def alpha_per_nm(self, system: System) -> float:
        """Return Ewald's α in a system's box, 1/nm."""
        return self.splitting / self.cutoff_nm(system)

    def points(self, system: System, height_factor: float = 1.0) -> tuple[int, int, int]:
        """Return the mesh points along each edge; the third edge is extended by a factor."""
        spacing = self.resolution / self.alpha_per_nm(system)
        edges = system.box[:3] * np.array([1.0, 1.0, height_factor])
        x, y, z = (max(8, next_fast_len(int(np.ceil(e / spacing)), real=True)) for e in edges)
        return x, y, z


class EwaldErrors(NamedTuple):
    """Measured rms errors of force and torque, relative to those at contact."""

    force: float
    torque: float


def levels(cutoff_fraction: float) -> Iterator[Mesh]:
    """Yield finer and finer meshes for a real-space cutoff."""
    for level in range(_LEVELS):
        yield Mesh(cutoff_fraction, 2.0 + 0.3 * level, 1.1 * 0.8**level)


def errors_of(found: Evaluation, exact: Evaluation, scales: tuple[float, float]) -> EwaldErrors:
    """Return rms errors relative to the contact force and torque `scales`."""

    def rms(a: NDArray[np.float64], b: NDArray[np.float64], scale: float) -> float:
        return float(np.sqrt(((a - b) ** 2).sum(axis=1).mean())) / scale

    return EwaldErrors(
        rms(found.forces, exact.forces, scales[0]), rms(found.torques, exact.torques, scales[1])
    )


def cutoffs(system: System, smallest_nm: float) -> list[float]:
    """Return the real-space cutoffs to try, as fractions of the box's first edge.

    Raises:
        InputError: the box is too small for any.
    """
    edge = float(system.box[:2].min() if system.thickness_nm else system.box[:3].min())
    if smallest_nm > _LARGEST * edge:
        raise InputError(
            f"box too small for an Ewald sum: shortest edge {edge:.4g} nm, at least "
            f"{smallest_nm / _LARGEST:.4g} nm; raise n_clusters or lower concentration_mM"
        )
    density = len(system) / system.volume_nm3
    wanted = [(3 * n / (4 * np.pi * density)) ** (1 / 3) for n in _NEIGHBOURS]
    inside = np.clip(wanted, smallest_nm, _LARGEST * edge) / system.box[0]
    return sorted({float(fraction) for fraction in inside})


def plan(
    system: System,
    interactions: Interactions,
    evaluate: Callable[[System, Mesh], Evaluation],
    seconds: Callable[[Mesh], float] | None = None,
) -> tuple[Mesh, EwaldErrors]:
    """Return the mesh to use and its measured errors.

    Args:
        system: where the errors are measured, or on a part of it of about 1,200 clusters: they
            depend on density and bodies, not on the number of clusters.
        interactions: state the accuracy.
        evaluate: an engine's evaluation with a given mesh.
        seconds: time per step with a mesh; None takes a middling cutoff without timing.

    Raises:
        InputError: the box is too small, or no mesh reaches the accuracy.
    """
    part, ratio = _sample(system)
    bare = without_steric(part)
    contacts = 2 * max(body.axial_contact_nm for body in system.bodies)
    fractions = cutoffs(part, contacts)
    exact = evaluate(bare, Mesh(fractions[-1], 4.6, 0.3, 7))
    scales = interactions.contact_scales(system.bodies)
    candidates = []
    for fraction in fractions if seconds else fractions[len(fractions) // 2 :][:1]:
        for mesh in levels(fraction):
            result = evaluate(bare, mesh)
            found = errors_of(result, exact, scales)
            energy = abs(result.energies["total"] - exact.energies["total"]) / len(part)
            if max(*found, energy / scales[1]) <= interactions.ewald_accuracy:
                whole = replace(mesh, cutoff_fraction=ratio * mesh.cutoff_fraction)
                candidates.append((whole, found))
                break
    if not candidates:
        raise InputError(
            f"ewald_accuracy = {interactions.ewald_accuracy:g} is out of reach; it is relative to "
            "the contact force, 1e-3 is the default"
        )
    if seconds is None or len(candidates) == 1:
        return candidates[0]
    best, quickest = candidates[0], seconds(candidates[0][0])
    for candidate in candidates[1:]:  # longer and longer cutoffs: past the best, each is slower
        elapsed = seconds(candidate[0])
        if elapsed > quickest:
            break
        best, quickest = candidate, elapsed
    return best


def trial_steps(clusters: int) -> int:
    """Return how many steps to time: fewer of large systems."""
    return max(3, min(50, 50_000 // clusters))


def _sample(system: System) -> tuple[System, float]:
    """Return a part of a system as a smaller periodic one, and its edge relative to the whole.

    A film is cut across its plane only. What the cut breaks at the border doesn't matter: the same
    part is evaluated twice.
    """
    if len(system) <= _SAMPLE:
        return system, 1.0
    axes = 3 if system.thickness_nm is None else 2
    ratio = (_SAMPLE / len(system)) ** (1 / axes)
    box = system.box.copy()
    box[:axes] *= ratio
    kept = (np.abs(system.positions[:, :axes]) < box[:axes] / 2).all(axis=1)
    names = ["positions", "orientations", "types", "velocities", "angular_velocities"]
    if system.induced_dipoles is not None:
        names.append("induced_dipoles")
    return replace(system, box=box, **{name: getattr(system, name)[kept] for name in names}), ratio


def record(
    mesh: Mesh, errors: EwaldErrors, system: System, points: tuple[int, int, int]
) -> dict[str, object]:
    """Return what a manifest says of an Ewald sum, at the densest state of a stage."""
    return {
        "cutoff_nm": mesh.cutoff_nm(system),
        "mesh": list(points),
        "order": mesh.order,
        "relative_force_error": errors.force,
        "relative_torque_error": errors.torque,
    }
