"""Order of the dipoles in one frame."""

import freud
import numpy as np

from dipolar_md.model.system import System


def polar_order(system: System) -> float:
    """Return P1 = |Σ μ̂|/N: 1 for parallel dipoles, about 0.92/√N for random ones."""
    directions = system.dipoles / np.linalg.norm(system.dipoles, axis=1, keepdims=True)
    return float(np.linalg.norm(directions.mean(axis=0)))


def nematic_order(system: System) -> float:
    """Return P2, the largest eigenvalue of the dipoles' Q tensor (`freud.order.Nematic`).

    1 where all dipoles share an axis, of order 1/√N for random ones.
    """
    order = freud.order.Nematic()
    order.compute(system.dipoles / np.linalg.norm(system.dipoles, axis=1, keepdims=True))
    return float(order.order)
