"""Structure and order of one frame: polar and nematic order, g(r), S(q), small-angle intensity."""

from typing import NamedTuple

import freud
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dipolar_md.analysis.bonds import dipole_directions
from dipolar_md.errors import InputError
from dipolar_md.model.system import cell_matrix, wrap
from dipolar_md.trajectory import Configuration, system_of

Floats = NDArray[np.float64]

MOST_PAIRS = 2_000_000
"""Pairs of clusters held in memory at a time."""
MOST_TERMS = 2e8
"""Clusters times wave vectors of a structure factor: some ten seconds on two cores."""


def polar_order(frame: Configuration) -> float:
    """Return the polar order parameter of the dipoles.

    P1 = |Σ μ̂|/N

    Args:
        frame: A frame or a system of N clusters.

    Returns:
        P1: 1 for parallel dipoles, about 0.92/√N for random ones.
    """
    return float(np.linalg.norm(dipole_directions(system_of(frame)).mean(axis=0)))


def nematic_order(frame: Configuration) -> float:
    """Return the nematic order parameter of the dipoles.

    P2 is the largest eigenvalue of Q = (3/2)⟨μ̂ μ̂⟩ − 1/2 (`freud.order.Nematic`).

    Args:
        frame: A frame or a system of N clusters.

    Returns:
        P2: 1 where all dipoles share an axis, of order 1/√N for random ones.
    """
    order = freud.order.Nematic()
    order.compute(dipole_directions(system_of(frame)))
    return float(order.order)


class PairCorrelation(NamedTuple):
    """Pair correlations of one frame, (K,) each.

    Attributes:
        r_nm: Middle of each shell.
        g: Radial distribution function; 1 where nothing is ordered.
        h110: 3 ⟨û_i·û_j⟩ g(r): positive where neighbours point the same way.
        h112: 3/2 ⟨3 (û_i·r̂)(û_j·r̂) - û_i·û_j⟩ g(r): positive where they attract.
        pairs: Ordered pairs counted, 2 for each.
    """

    r_nm: Floats
    g: Floats
    h110: Floats
    h112: Floats
    pairs: NDArray[np.int64]


def pair_correlation(frame: Configuration, r_max_nm: float, bins: int = 200) -> PairCorrelation:
    """Return g(r) and its dipolar projections h110 and h112.

    g(r) = V n(r) / (N (N - 1) 4πr² dr), n(r) counting ordered pairs; the projections are those of
    M. S. Wertheim's expansion (J. Chem. Phys. 1971, 55, 4291). Valid below half the distance
    between the faces of the box. Neighbours are found piece by piece, in bounded memory.

    Args:
        frame: A frame or a system of N clusters, two or more.
        r_max_nm: Farthest distance, nm.
        bins: Number of shells of equal width.

    Returns:
        `PairCorrelation`, one value per shell.

    Raises:
        InputError: fewer than two clusters, or r_max_nm beyond half the box.
    """
    system = system_of(frame)
    n = len(system)
    if n < 2 or bins < 1:
        raise InputError(f"pair correlations need two clusters and a bin (found {n}, {bins})")
    faces = 1 / np.linalg.norm(np.linalg.inv(cell_matrix(system.box)), axis=1).max()
    if not 0 < r_max_nm < (1 - 1e-6) * faces / 2:
        raise InputError(
            f"r_max_nm must lie between 0 and half the box, {faces / 2:.4g} nm (found {r_max_nm:g})"
        )
    expected = max(n / system.volume_nm3 * 4 / 3 * np.pi * r_max_nm**3, 10.0)
    step = max(int(MOST_PAIRS / expected), 1)
    query = freud.locality.AABBQuery(freud.box.Box(*system.box), system.positions)
    directions = dipole_directions(system)
    edges = np.linspace(0, r_max_nm, bins + 1)
    sums = np.zeros((3, bins))
    for begin in range(0, n, step):
        here = np.arange(begin, min(begin + step, n))
        found = query.query(system.positions[here], {"r_max": r_max_nm}).toNeighborList()
        i, j = here[found.query_point_indices], np.asarray(found.point_indices, dtype=np.int64)
        i, j = i[i != j], j[i != j]
        apart = wrap(system.positions[j] - system.positions[i], system.box)
        distance = np.linalg.norm(apart, axis=1)
        unit = apart / np.maximum(distance, 1e-12)[:, None]
        together = np.einsum("ij,ij->i", directions[i], directions[j])
        along = np.einsum("ij,ij->i", directions[i], unit) * np.einsum(
            "ij,ij->i", directions[j], unit
        )
        for row, weight in enumerate((None, 3 * together, 1.5 * (3 * along - together))):
            sums[row] += np.histogram(distance, edges, weights=weight)[0]
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    g, h110, h112 = sums * system.volume_nm3 / (n * (n - 1) * shells)
    return PairCorrelation(
        (edges[1:] + edges[:-1]) / 2, g, h110, h112, sums[0].round().astype(np.int64)
    )


class Scattering(NamedTuple):
    """Structure factor and small-angle intensity of one frame, (K,) each.

    Attributes:
        q_per_nm: Wave number, nm⁻¹.
        structure_factor: S(q); 1 for a gas, N at q = 0.
        form_factor: P(q) of the core; 1 at q = 0.
        intensity: S(q) P(q), per cluster and relative to one cluster forward.
    """

    q_per_nm: Floats
    structure_factor: Floats
    form_factor: Floats
    intensity: Floats


def core_form_factor(q_per_nm: ArrayLike, diameter_nm: float) -> Floats:
    """Return the form factor of a homogeneous sphere.

    P(q) = [3 (sin x - x cos x)/x³]², x = q d/2

    Args:
        q_per_nm: Wave numbers q, nm⁻¹, of any shape.
        diameter_nm: Diameter d of the sphere, nm.

    Returns:
        P(q) of the same shape; 1 at q = 0.

    Source: A. Guinier, G. Fournet, Small-Angle Scattering of X-rays, Wiley 1955.
    """
    x = np.asarray(q_per_nm, dtype=np.float64) * diameter_nm / 2
    small = np.abs(x) < 1e-2
    safe = np.where(small, 1.0, x)
    amplitude = 3 * (np.sin(safe) - safe * np.cos(safe)) / safe**3
    return np.asarray(np.where(small, 1 - x**2 / 10, amplitude) ** 2)


def scattering(
    frame: Configuration,
    q_max_per_nm: float = 8.0,
    bins: int = 100,
    core_diameter_nm: float = 1.0,
    wave_vectors: int = 20_000,
) -> Scattering:
    """Return S(q) and the small-angle intensity of cores on the clusters' centres.

    S(q) = ⟨|Σ exp(iq·r)|²⟩/N over wave vectors of the box (`freud.diffraction`), which are sampled
    so that clusters times vectors stay below `MOST_TERMS`. I(q) = P(q) S(q) is exact for identical
    centred cores; ligands and solvent are invisible. Valid from q = 2π/L on: what is longer than
    the box isn't in it.

    Args:
        frame: A frame or a system of N clusters.
        q_max_per_nm: Largest wave number, nm⁻¹.
        bins: Number of bins of equal width from 2π/L to there; empty ones are left out.
        core_diameter_nm: Diameter of the scattering core, nm.
        wave_vectors: Approximate number of wave vectors to sample.

    Returns:
        `Scattering`, one value per bin that isn't empty.

    Raises:
        InputError: no clusters, or q_max_per_nm below the smallest wave number of the box.
    """
    system = system_of(frame)
    lowest = 2 * np.pi / float(system.box[:3].min())
    if not len(system) or not q_max_per_nm > lowest or bins < 1 or not core_diameter_nm > 0:
        raise InputError(
            f"scattering needs clusters, a core and q_max_per_nm above 2π/L = {lowest:.3g} nm⁻¹ "
            f"(found {len(system)} clusters, {core_diameter_nm:g} nm, {q_max_per_nm:g} nm⁻¹)"
        )
    vectors = int(min(wave_vectors, MOST_TERMS / len(system)))
    factor = freud.diffraction.StaticStructureFactorDirect(
        bins=bins, k_max=q_max_per_nm, k_min=lowest, num_sampled_k_points=vectors
    )
    factor.compute((freud.box.Box(*system.box), system.positions))
    q, s = np.asarray(factor.bin_centers, float), np.asarray(factor.S_k, float)
    seen = np.isfinite(s) & (s > 0)
    q, s = q[seen], s[seen]
    form = core_form_factor(q, core_diameter_nm)
    return Scattering(q, s, form, s * form)
