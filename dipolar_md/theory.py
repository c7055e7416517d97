"""Closed forms for dipoles, chains and association: the tests' oracle; no I/O.

Arguments named with a unit suffix carry that unit. Three letters recur in the equations:

- A = μ_a μ_b / (4πε₀ε_r), the `energy_scale` in kJ/mol nm³ (`dipole_energy_scale`): two touching
  dipoles have the energy −2A/r³ head to tail, −A/r³ antiparallel and +A/r³ parallel side by side;
- x or λ = A/(r³ kT), the dimensionless `coupling` (`dipolar_coupling`);
- w, the WCA repulsion of `sigma_nm` and `epsilon_kJ_mol`.

Unless a docstring says otherwise, arguments may be arrays of any shapes that broadcast, and the
result is a float for scalars and an array of the broadcast shape otherwise. Every function raises
`InputError` for an argument that is not finite or lies outside the range that it states.
"""

import math
import operator
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dipolar_md import units
from dipolar_md.errors import InputError

FloatOrArray: TypeAlias = float | NDArray[np.float64]
"""A float for scalar arguments, otherwise a float array of the broadcast shape."""

_MAX_EXPONENT = 500.0  # exp() of it leaves room for every prefactor below 1.8e308
_MAX_COUPLING = _MAX_EXPONENT / 2


class DipolePair(NamedTuple):
    """Energy, force and torques of two point dipoles: kJ/mol, kJ/mol/nm, kJ/mol."""

    energy: FloatOrArray
    force_on_b: NDArray[np.float64]
    torque_on_a: NDArray[np.float64]
    torque_on_b: NDArray[np.float64]


# --- Two dipoles ----------------------------------------------------------------------------------


def dipole_energy_scale(
    dipole_a_e_nm: ArrayLike,
    dipole_b_e_nm: ArrayLike | None = None,
    relative_permittivity: ArrayLike = 1.0,
) -> FloatOrArray:
    """Return the strength of a dipole–dipole interaction.

    A = μ_a μ_b / (4πε₀ε_r)

    Args:
        dipole_a_e_nm: Magnitude of the one dipole, in e nm, not negative.
        dipole_b_e_nm: Magnitude of the other; the same as the first if omitted.
        relative_permittivity: ε_r of the uniform medium, positive.

    Returns:
        A in kJ/mol nm³.

    Raises:
        InputError: a negative dipole or a permittivity that is not positive.
    """
    (a,) = _not_negative(dipole_a_e_nm=dipole_a_e_nm)
    (b,) = (a,) if dipole_b_e_nm is None else _not_negative(dipole_b_e_nm=dipole_b_e_nm)
    (permittivity,) = _positive(relative_permittivity=relative_permittivity)
    return units.KE * a * b / permittivity


def dipole_pair(
    separation_nm: ArrayLike,
    dipole_a_e_nm: ArrayLike,
    dipole_b_e_nm: ArrayLike,
    relative_permittivity: ArrayLike = 1.0,
) -> DipolePair:
    """Return energy, force and torques of two point dipoles in any orientation.

    U = k [a·b − 3(a·n)(b·n)] / r³, with k = 1/(4πε₀ε_r) and r = r n from a to b;
    F_b = 3k [(a·b)n + (a·n)b + (b·n)a − 5(a·n)(b·n)n] / r⁴ = −F_a;
    τ_b = b × E_a(b), τ_a = a × E_b(a), with the field E_a(b) = k [3(a·n)n − a] / r³.

    Args:
        separation_nm: (..., 3) vectors from dipole a to dipole b, in nm, not zero.
        dipole_a_e_nm: (..., 3) dipole vectors a, in e nm.
        dipole_b_e_nm: (..., 3) dipole vectors b, in e nm.
        relative_permittivity: ε_r of the uniform medium, (...) and positive.

    Returns:
        `DipolePair`: energy (...) in kJ/mol, force_on_b (..., 3) in kJ/mol/nm, torque_on_a and
        torque_on_b (..., 3) in kJ/mol. Momenta balance: F_a = −F_b, τ_a + τ_b + r × F_b = 0.

    Raises:
        InputError: vectors without three components, or a zero separation.

    Valid for separations well above the extent of the charges that make up the dipoles; see
    `two_charge_head_to_tail_energy`.
    Source: A. J. Stone, The Theory of Intermolecular Forces (2013),
    https://doi.org/10.1093/acprof:oso/9780199672394.001.0001.
    """
    separation, a, b = _vectors(
        separation_nm=separation_nm, dipole_a_e_nm=dipole_a_e_nm, dipole_b_e_nm=dipole_b_e_nm
    )
    (permittivity,) = _positive(relative_permittivity=relative_permittivity)
    (r,) = _positive(separation_nm=np.linalg.norm(separation, axis=-1))
    r = np.asarray(r)[..., None]
    n = separation / r
    k = units.KE / np.asarray(permittivity)[..., None] / r**3
    ab, an, bn = (np.sum(u * v, axis=-1, keepdims=True) for u, v in ((a, b), (a, n), (b, n)))
    energy = k * (ab - 3 * an * bn)
    force_on_b = 3 * k / r * (ab * n + an * b + bn * a - 5 * an * bn * n)
    torque_on_a = np.cross(a, k * (3 * bn * n - b))
    torque_on_b = np.cross(b, k * (3 * an * n - a))
    return DipolePair(energy[..., 0][()], force_on_b, torque_on_a, torque_on_b)


def head_to_tail_energy(
    dipole_e_nm: ArrayLike, distance_nm: ArrayLike, relative_permittivity: ArrayLike = 1.0
) -> FloatOrArray:
    """Return the energy of two equal point dipoles in line, the lowest at their distance.

    U = −2A/r³

    Args:
        dipole_e_nm: Magnitude μ of each dipole, in e nm, not negative.
        distance_nm: Centre-to-centre distance r, in nm, positive.
        relative_permittivity: ε_r of the uniform medium, positive.

    Returns:
        The energy in kJ/mol.

    Raises:
        InputError: a negative dipole, or a distance or permittivity that is not positive.

    Valid for point dipoles; `two_charge_head_to_tail_energy` has a finite extent.
    """
    (distance,) = _positive(distance_nm=distance_nm)
    scale = dipole_energy_scale(dipole_e_nm, relative_permittivity=relative_permittivity)
    return -2 * scale / distance**3


def two_charge_head_to_tail_energy(
    dipole_e_nm: ArrayLike,
    charge_e: ArrayLike,
    distance_nm: ArrayLike,
    relative_permittivity: ArrayLike = 1.0,
) -> FloatOrArray:
    """Return the energy of two equal dipoles in line, each made of two charges ±q.

    U = −2A / (r (r² − d²)) = −2A/r³ · 1/(1 − (d/r)²), with d = μ/q

    Args:
        dipole_e_nm: Magnitude μ of each dipole, in e nm, not negative.
        charge_e: Magnitude q of each charge, in e, positive.
        distance_nm: Centre-to-centre distance r, in nm, greater than d.
        relative_permittivity: ε_r of the uniform medium, positive.

    Returns:
        The energy in kJ/mol; the constant within each dipole is left out.

    Raises:
        InputError: a negative dipole, another argument that is not positive, or r ≤ d.

    Valid for r > d, where the inner charges have not met; the point dipole is its limit r ≫ d.
    """
    separation = charge_separation(dipole_e_nm, charge_e)
    point = head_to_tail_energy(dipole_e_nm, distance_nm, relative_permittivity)
    ratio = separation / np.asarray(distance_nm, dtype=float)
    if np.any(ratio >= 1):
        raise InputError(
            f"theory: `distance_nm` must exceed the charge separation dipole_e_nm/charge_e; found "
            f"a separation of {np.max(ratio):.6g} distances. Use a larger distance or charge."
        )
    return point / (1 - ratio**2)


def charge_separation(dipole_e_nm: ArrayLike, charge_e: ArrayLike) -> FloatOrArray:
    """Return the distance at which charges ±q make up a dipole.

    d = μ/q

    Args:
        dipole_e_nm: Magnitude μ of the dipole, in e nm, not negative.
        charge_e: Magnitude q of each charge, in e, positive.

    Returns:
        d in nm.

    Raises:
        InputError: a negative dipole or a charge that is not positive.
    """
    (dipole,) = _not_negative(dipole_e_nm=dipole_e_nm)
    (charge,) = _positive(charge_e=charge_e)
    return dipole / charge


def dipolar_coupling(
    energy_scale: ArrayLike, distance_nm: ArrayLike, temperature_K: ArrayLike
) -> FloatOrArray:
    """Return the dipolar coupling constant: half the head-to-tail attraction in units of kT.

    λ = A/(r³ kT)

    Args:
        energy_scale: A in kJ/mol nm³, not negative.
        distance_nm: Centre-to-centre distance r, in nm, positive.
        temperature_K: Temperature in K, positive.

    Returns:
        λ, dimensionless.

    Raises:
        InputError: a negative energy scale, or another argument that is not positive.
    """
    (scale,) = _not_negative(energy_scale=energy_scale)
    distance, temperature = _positive(distance_nm=distance_nm, temperature_K=temperature_K)
    return scale / (distance**3 * (units.KB * temperature))


# --- Two spheres ----------------------------------------------------------------------------------


def wca_energy(
    distance_nm: ArrayLike, sigma_nm: ArrayLike, epsilon_kJ_mol: ArrayLike
) -> FloatOrArray:
    """Return the Weeks–Chandler–Andersen repulsion.

    w = 4ε[(σ/r)¹² − (σ/r)⁶] + ε for r < 2^(1/6) σ, else 0

    Args:
        distance_nm: Distance r, in nm, positive.
        sigma_nm: σ in nm, positive.
        epsilon_kJ_mol: ε in kJ/mol, positive.

    Returns:
        The energy in kJ/mol.

    Raises:
        InputError: an argument that is not positive.

    Source: J. D. Weeks, D. Chandler, H. C. Andersen, J. Chem. Phys. 54, 5237 (1971),
    https://doi.org/10.1063/1.1674820.
    """
    distance, sigma, epsilon = _positive(
        distance_nm=distance_nm, sigma_nm=sigma_nm, epsilon_kJ_mol=epsilon_kJ_mol
    )
    s = np.maximum((sigma / distance) ** 6, 0.5)  # the cutoff, 2^(1/6) σ, is s = 1/2
    return epsilon * (2 * s - 1) ** 2


def wca_force(
    distance_nm: ArrayLike, sigma_nm: ArrayLike, epsilon_kJ_mol: ArrayLike
) -> FloatOrArray:
    """Return the radial force of the Weeks–Chandler–Andersen repulsion, positive = repulsive.

    −dw/dr = (24ε/r) [2(σ/r)¹² − (σ/r)⁶] for r < 2^(1/6) σ, else 0

    Args:
        distance_nm: distance r, in nm, positive.
        sigma_nm: σ in nm, positive.
        epsilon_kJ_mol: ε in kJ/mol, positive.

    Returns:
        The force in kJ/mol/nm.

    Raises:
        InputError: an argument that is not positive.

    Source: as `wca_energy`.
    """
    distance, sigma, epsilon = _positive(
        distance_nm=distance_nm, sigma_nm=sigma_nm, epsilon_kJ_mol=epsilon_kJ_mol
    )
    s = np.maximum((sigma / distance) ** 6, 0.5)
    force: FloatOrArray = 24 * epsilon / distance * s * (2 * s - 1)
    return force


def wca_sigma(
    contact_nm: ArrayLike, epsilon_kJ_mol: ArrayLike, energy_scale: ArrayLike
) -> FloatOrArray:
    """Return the σ that puts the minimum of WCA plus head-to-tail dipole energy at a contact.

    d/dr [w − 2A/r³] = 0 at r = c:  2s² − s = A/(4εc³), with s = (σ/c)⁶, hence
    σ = c s^(1/6), s = [1 + √(1 + 2A/(εc³))]/4

    Args:
        contact_nm: Wanted distance c of the minimum, in nm, positive.
        epsilon_kJ_mol: ε of the WCA term, in kJ/mol, positive.
        energy_scale: A in kJ/mol nm³, not negative; 0 puts the WCA cutoff at the contact.

    Returns:
        σ in nm.

    Raises:
        InputError: a negative energy scale, or another argument that is not positive.

    The inverse of `pair_minimum`. Source: derived here.
    """
    contact, epsilon = _positive(contact_nm=contact_nm, epsilon_kJ_mol=epsilon_kJ_mol)
    (scale,) = _not_negative(energy_scale=energy_scale)
    s = (1 + np.sqrt(1 + 2 * scale / (epsilon * contact**3))) / 4
    return contact * s ** (1 / 6)


def pair_minimum(
    sigma_nm: ArrayLike, epsilon_kJ_mol: ArrayLike, energy_scale: ArrayLike
) -> tuple[FloatOrArray, FloatOrArray]:
    """Return the minimum of WCA plus point-dipole energy, which lies head to tail.

    d/dr [w − 2A/r³] = 0:  2q³ − q = A/(4εσ³), with q = (σ/r)³, whose one positive root is
    q = √(2/3) cosh(arcosh(k)/3), k = √6 · 3A/(8εσ³)

    Args:
        sigma_nm: σ of the WCA term, in nm, positive.
        epsilon_kJ_mol: ε of the WCA term, in kJ/mol, positive.
        energy_scale: A in kJ/mol nm³, not negative; 0 gives the WCA cutoff and no energy.

    Returns:
        Distance in nm and energy in kJ/mol.

    Raises:
        InputError: a negative energy scale, or another argument that is not positive.

    Source: derived here.
    """
    sigma, epsilon = _positive(sigma_nm=sigma_nm, epsilon_kJ_mol=epsilon_kJ_mol)
    (scale,) = _not_negative(energy_scale=energy_scale)
    k = math.sqrt(6) * 3 * scale / (8 * epsilon * sigma**3)
    # For k < 1 arcosh is imaginary and cosh becomes cos: one complex formula serves both.
    q = math.sqrt(2 / 3) * np.real(np.cosh(np.arccosh(k + 0j) / 3))
    distance = sigma / np.cbrt(q)
    return distance, wca_energy(distance, sigma, epsilon) - 2 * scale / distance**3


# --- Many touching dipoles ------------------------------------------------------------------------


def chain_energy(n: int) -> float:
    """Return the energy of a straight chain of n touching dipoles, head to tail.

    E = −2 Σ_{k=1}^{n−1} (n − k)/k³

    Args:
        n: number of dipoles, at least 1.

    Returns:
        The energy in units of A/σ³, σ the distance of neighbours.

    Raises:
        InputError: n is no integer or less than 1.

    Valid for all n; −2ζ(3) n for long chains.
    Source: I. S. Jacobs, C. P. Bean, Phys. Rev. 100, 1060 (1955),
    https://doi.org/10.1103/PhysRev.100.1060.
    """
    k = np.arange(1, _count(n, least=1), dtype=float)
    return float(2 * np.sum((k - n) / k**3))


def ring_energy(n: int) -> float:
    """Return the energy of a ring of n touching dipoles, each along the tangent.

    E = −(n/2) Σ_{k=1}^{n−1} (1 + cos²φ_k) (sin φ_1 / sin φ_k)³, with φ_k = πk/n

    Args:
        n: number of dipoles, at least 2 (an antiparallel pair side by side).

    Returns:
        The energy in units of A/σ³, σ the distance of neighbours.

    Raises:
        InputError: n is no integer or less than 2.

    Below `chain_energy` from n = 4 on.
    Source: I. S. Jacobs, C. P. Bean, Phys. Rev. 100, 1060 (1955),
    https://doi.org/10.1103/PhysRev.100.1060.
    """
    angle = math.pi * np.arange(1, _count(n, least=2)) / n
    terms = (1 + np.cos(angle) ** 2) * (np.sin(angle[0]) / np.sin(angle)) ** 3
    return float(-n / 2 * np.sum(terms))


def polarisation_gain(polarisability_nm3: ArrayLike, distance_nm: ArrayLike) -> FloatOrArray:
    """Return by how much mutual polarisation strengthens a long chain of dipoles, in vacuum.

    E_pol/E = μ_pol/μ = 1/(1 − 4ζ(3) α/r³), from μ_pol = μ + 4ζ(3) (α/r³) μ_pol

    Args:
        polarisability_nm3: Polarisability volume α along the dipole, in nm³, not negative.
        distance_nm: Distance r of neighbours, in nm, positive.

    Returns:
        The factor on the dipole of each member, and on the energy of the chain.

    Raises:
        InputError: an argument out of range, or 4ζ(3) α ≥ r³, where point polarisabilities
            polarise each other without end.

    Valid for an infinite straight chain of point polarisabilities, α ≪ r³/4ζ(3).
    Source: derived here; the field of a long chain is 4ζ(3)μ/r³.
    """
    from scipy.special import zeta

    (alpha,) = _not_negative(polarisability_nm3=polarisability_nm3)
    (distance,) = _positive(distance_nm=distance_nm)
    share = 4 * float(zeta(3.0)) * alpha / distance**3
    if np.any(share >= 1):
        raise InputError(
            f"theory: 4ζ(3) α/r³ must be less than 1; found {np.max(share):.6g}. Is "
            f"`polarisability_nm3` a volume in nm³ (1 Å³ = 0.001 nm³)?"
        )
    return 1 / (1 - share)


# --- Induced dipoles ------------------------------------------------------------------------------
#
# x = α/r³ is the reduced polarisability. In a medium of relative permittivity ε_r the scale A holds
# 1/ε_r already, and α is to be divided by it, too.


def polarised_dipole_pair_energy(
    separation_nm: ArrayLike,
    dipole_a_e_nm: ArrayLike,
    dipole_b_e_nm: ArrayLike,
    polarisability_a_nm3: ArrayLike,
    polarisability_b_nm3: ArrayLike,
) -> FloatOrArray:
    """Return the self-consistent energy of two polarisable point dipoles in any orientation.

    U = k Σ_c T_c [a_c b_c − T_c (α_a b_c² + α_b a_c²)/2] / (1 − α_a α_b T_c²), with k = 1/(4πε₀),
    T = −2/r³ along the line of centres and 1/r³ across it; the minimum over the induced dipoles of
    Σ p²/(2α) + k (a + p_a) T (b + p_b)

    Args:
        separation_nm: (..., 3) vectors from a to b, in nm, not zero.
        dipole_a_e_nm: (..., 3) permanent dipoles a, in e nm.
        dipole_b_e_nm: (..., 3) permanent dipoles b, in e nm.
        polarisability_a_nm3: polarisability volumes α_a (...), in nm³, not negative.
        polarisability_b_nm3: polarisability volumes α_b (...), in nm³, not negative.

    Returns:
        U (...) in kJ/mol.

    Raises:
        InputError: vectors without three components, a zero separation, a negative polarisability,
            or 4 α_a α_b ≥ r⁶, where the two polarise each other without end.

    Source: A. J. Stone, The Theory of Intermolecular Forces (2013),
    https://doi.org/10.1093/acprof:oso/9780199672394.001.0001.
    """
    separation, a, b = _vectors(
        separation_nm=separation_nm, dipole_a_e_nm=dipole_a_e_nm, dipole_b_e_nm=dipole_b_e_nm
    )
    alpha_a, alpha_b = _not_negative(
        polarisability_a_nm3=polarisability_a_nm3, polarisability_b_nm3=polarisability_b_nm3
    )
    r = np.asarray(_positive(separation_nm=np.linalg.norm(separation, axis=-1))[0])
    _below_catastrophe("4 α_a α_b/r⁶", 4 * alpha_a * alpha_b / r**6)
    n = separation / np.asarray(r)[..., None]
    along_a, along_b = np.sum(a * n, axis=-1), np.sum(b * n, axis=-1)
    energy = np.zeros(np.shape(r))
    for T, ab, aa, bb in (
        (-2 / r**3, along_a * along_b, along_a**2, along_b**2),
        (
            1 / r**3,
            np.sum(a * b, axis=-1) - along_a * along_b,
            np.sum(a * a, axis=-1) - along_a**2,
            np.sum(b * b, axis=-1) - along_b**2,
        ),
    ):
        bent = (alpha_a * bb + alpha_b * aa) / 2
        energy = energy + T * (ab - T * bent) / (1 - alpha_a * alpha_b * T**2)
    return (units.KE * energy)[()]


def polarised_chain_energy(n: int, reduced_polarisability: float) -> float:
    """Return the self-consistent energy of a straight chain of n touching polarisable dipoles.

    E = −½ 1ᵀM1 − (x/2) (M1)ᵀ (1 − xM)⁻¹ (M1), with M_ij = 2/|i − j|³ and x = α/σ³

    Args:
        n: number of dipoles, at least 1.
        reduced_polarisability: x, not negative.

    Returns:
        The energy in units of A/σ³, σ the distance of neighbours: `chain_energy` at x = 0,
        −2/(1 − 2x) for n = 2, and −2ζ(3) n `polarisation_gain` for long chains.

    Raises:
        InputError: n is no integer or less than 1, a negative x, or one that polarises the chain
            without end.

    Source: derived here.
    """
    (x,) = _not_negative(reduced_polarisability=reduced_polarisability)
    k = np.arange(_count(n, least=1), dtype=float)
    gaps = np.abs(k[:, None] - k)
    np.fill_diagonal(gaps, np.inf)
    fields = 2 / gaps**3
    _below_catastrophe("x times the strongest mode of the chain", x * _largest_eigenvalue(fields))
    moments = np.linalg.solve(np.eye(len(k)) - x * fields, np.ones(len(k)))
    return float(-(fields.sum(axis=1) @ moments) / 2)


def polarised_ring_energy(n: int, reduced_polarisability: ArrayLike) -> FloatOrArray:
    """Return the self-consistent energy of a ring of n touching polarisable dipoles.

    E = E₀/(1 + 2xE₀/n), with E₀ = `ring_energy`; −2E₀/n is the tangential field of the others

    Args:
        n: number of dipoles, at least 2.
        reduced_polarisability: x = α/σ³, not negative.

    Returns:
        The energy in units of A/σ³, σ the distance of neighbours.

    Raises:
        InputError: n is no integer or less than 2, a negative x, or one that polarises the ring
            without end.

    Source: derived here.
    """
    (x,) = _not_negative(reduced_polarisability=reduced_polarisability)
    bare = ring_energy(n)
    _below_catastrophe("x times the field in the ring", -2 * x * bare / n)
    return bare / (1 + 2 * x * bare / n)


def polarised_lattice_energy(
    energy_scale: ArrayLike, number_density_per_nm3: ArrayLike, polarisability_nm3: ArrayLike
) -> FloatOrArray:
    """Return the energy per dipole of aligned polarisable dipoles on a cubic lattice.

    E/N = −(2π/3) ρA / (1 − 4πρα/3): each feels the Lorentz field 4πρ(μ + p)/3 (conducting boundary)

    Args:
        energy_scale: A in kJ/mol nm³, not negative.
        number_density_per_nm3: density ρ, in nm⁻³, not negative.
        polarisability_nm3: polarisability volume α, in nm³, not negative.

    Returns:
        The energy in kJ/mol.

    Raises:
        InputError: a negative argument, or 4πρα/3 ≥ 1.

    Valid for simple, body-centred and face-centred cubic lattices with Ewald sums.
    Source: H. A. Lorentz; C. Kittel, Introduction to Solid State Physics (2005), chapter 16.
    """
    scale, density, alpha = _not_negative(
        energy_scale=energy_scale,
        number_density_per_nm3=number_density_per_nm3,
        polarisability_nm3=polarisability_nm3,
    )
    share = 4 * math.pi / 3 * density * alpha
    _below_catastrophe("4πρα/3", share)
    return -2 * math.pi / 3 * density * scale / (1 - share)


def polarised_pair_minimum(
    sigma_nm: float, epsilon_kJ_mol: float, energy_scale: float, polarisability_nm3: float
) -> tuple[float, float]:
    """Return the minimum of WCA plus the energy of two polarisable dipoles head to tail.

    d/dr [w − 2A/(r³ − 2α)] = 0, the outermost solution

    Args:
        sigma_nm: σ of the WCA term, in nm, positive.
        epsilon_kJ_mol: ε of the WCA term, in kJ/mol, positive.
        energy_scale: A in kJ/mol nm³, not negative.
        polarisability_nm3: polarisability volume α of both, in nm³, not negative.

    Returns:
        Distance in nm and energy in kJ/mol, `pair_minimum` at α = 0.

    Raises:
        InputError: an argument out of range, or no minimum: the pair falls into its polarisation
            catastrophe at r³ = 2α.

    For single numbers. Source: derived here.
    """
    from scipy.optimize import brentq

    (alpha,) = _not_negative(polarisability_nm3=polarisability_nm3)
    found = pair_minimum(sigma_nm, epsilon_kJ_mol, energy_scale)
    bare = float(found[0])
    if not alpha or not energy_scale:
        return bare, float(found[1])

    def force(r: float) -> float:
        pull = 6 * energy_scale * r**2 / (r**3 - 2 * alpha) ** 2
        return float(wca_force(r, sigma_nm, epsilon_kJ_mol) - pull)

    # The outermost minimum: walk inwards from the bare one, where the pull wins.
    steps = np.linspace(bare, float(np.cbrt(2 * alpha)) * 1.001, 400)
    pushed = next((k for k, r in enumerate(steps) if force(r) > 0), None)
    if bare**3 <= 2 * alpha or pushed is None:
        raise InputError(
            f"theory: no pair minimum: two polarisabilities of {alpha:.4g} nm³ pull each other "
            f"into the polarisation catastrophe at {np.cbrt(2 * alpha):.4g} nm. Is "
            "`polarisability_nm3` a volume in nm³ (1 Å³ = 0.001 nm³)?"
        )
    r = float(brentq(force, steps[pushed], steps[max(pushed - 1, 0)])) if pushed else bare
    energy = wca_energy(r, sigma_nm, epsilon_kJ_mol) - 2 * energy_scale / (r**3 - 2 * alpha)
    return r, float(energy)


def polarised_second_virial(
    sigma_nm: float,
    epsilon_kJ_mol: float,
    energy_scale: float,
    temperature_K: float,
    polarisability_nm3: float,
) -> float:
    """Return the second virial coefficient of WCA spheres with a polarisable point dipole.

    B₂ = 2π ∫₀^∞ dr r² [1 − e^(−w/kT) ⟨e^(−U/kT)⟩ / √((1 − 4x²)(1 − x²)²)], x = α/r³

    U is the self-consistent energy (`polarised_dipole_pair_energy`); the root is what the thermal
    fluctuations of classical induced dipoles add, the zero-frequency van der Waals attraction.

    Args:
        sigma_nm: σ of the WCA term, in nm, positive.
        epsilon_kJ_mol: ε of the WCA term, in kJ/mol, positive.
        energy_scale: A in kJ/mol nm³, not negative.
        temperature_K: temperature in K, positive.
        polarisability_nm3: polarisability volume α of both, in nm³, not negative.

    Returns:
        B₂ in nm³.

    Raises:
        InputError: as `polarised_pair_minimum`, or a minimum deeper than 500 kT.

    For single numbers. Valid where the repulsion hides the catastrophe at r³ = 2α.
    Source: derived here.
    """
    kT = float(units.thermal_energy(temperature_K))
    depth = -polarised_pair_minimum(sigma_nm, epsilon_kJ_mol, energy_scale, polarisability_nm3)[1]
    if depth > _MAX_EXPONENT * kT:
        raise InputError(
            f"theory: the pair minimum must be no deeper than {_MAX_EXPONENT:g} kT; found "
            f"{depth / kT:.6g} kT. Lower `energy_scale` or `polarisability_nm3`."
        )
    cutoff = 2 ** (1 / 6) * sigma_nm
    u, weights = _gauss_legendre(256)
    r = cutoff * u
    hidden = r**3 <= max(2.2 * polarisability_nm3, (sigma_nm / 2) ** 3)  # under the repulsion
    exponent = np.full(len(r), -np.inf)
    seen = r[~hidden]
    exponent[~hidden] = _log_polarised_average(seen, energy_scale / kT, polarisability_nm3)
    exponent[~hidden] -= wca_energy(seen, sigma_nm, epsilon_kJ_mol) / kT
    inner = weights @ (r**2 * (1 - np.exp(exponent)))
    t, weights = _gauss_legendre(64)  # t = (cutoff/r)³
    outer = -np.expm1(
        _log_polarised_average(cutoff / np.cbrt(t), energy_scale / kT, polarisability_nm3)
    )
    return float(2 * math.pi * (cutoff * inner + cutoff**3 / 3 * (weights @ (outer / t**2))))


def _log_polarised_average(
    distance: NDArray[np.float64], scale_kT: float, alpha: float
) -> NDArray[np.float64]:
    """Return ln of the Boltzmann factor of two polarisable dipoles averaged over orientations."""
    from scipy.special import ive

    c, weights = _gauss_legendre(32)
    both, weight = np.concatenate([-c, c]), np.concatenate([weights, weights]) / 2
    c1, c2 = c[:, None], both
    squares = c1**2 + c2**2
    across = np.sqrt((1 - c1**2) * (1 - c2**2))
    r3 = distance[:, None, None] ** 3
    x, strength = alpha / r3, scale_kT / r3
    along = 2 * strength * (c1 * c2 + x * squares) / (1 - 4 * x**2)
    side = strength / (1 - x**2)
    exponent = along + side * x * (2 - squares) / 2 + side * across
    most = exponent.max(axis=(1, 2), keepdims=True)
    mean = np.exp(exponent - most) * ive(0, side * across)
    free = np.log(mean @ weight @ weights) + most[:, 0, 0]
    x = x[:, 0, 0]
    return np.asarray(free - np.log1p(-4 * x**2) / 2 - np.log1p(-(x**2)))


def critical_polarisability(distance_nm: ArrayLike) -> FloatOrArray:
    """Return the polarisability at which a long straight chain polarises itself without end.

    α = r³/(4ζ(3))

    Args:
        distance_nm: distance r of neighbours, in nm, positive.

    Returns:
        The polarisability volume in nm³.

    Raises:
        InputError: a distance that is not positive.

    Valid for point polarisabilities at the centres; see `polarisation_gain`.
    """
    from scipy.special import zeta

    (distance,) = _positive(distance_nm=distance_nm)
    return distance**3 / (4 * float(zeta(3.0)))


def clausius_mossotti_permittivity(
    polarisability_nm3: ArrayLike, number_density_per_nm3: ArrayLike
) -> FloatOrArray:
    """Return the relative permittivity of polarisable molecules, the square of their index.

    (ε − 1)/(ε + 2) = 4πρα/3

    Args:
        polarisability_nm3: polarisability volume α, in nm³, not negative.
        number_density_per_nm3: density ρ, in nm⁻³, not negative.

    Returns:
        ε, at least 1.

    Raises:
        InputError: a negative argument, or 4πρα/3 ≥ 1.

    Valid for cubic lattices exactly, for liquids of non-polar molecules within a few per cent.
    Source: C. J. F. Böttcher, Theory of Electric Polarization (1973), volume 1.
    """
    alpha, density = _not_negative(
        polarisability_nm3=polarisability_nm3, number_density_per_nm3=number_density_per_nm3
    )
    share = 4 * math.pi / 3 * density * alpha
    _below_catastrophe("4πρα/3", share)
    return (1 + 2 * share) / (1 - share)


def thole_damping(
    distance_nm: ArrayLike,
    polarisability_a_nm3: ArrayLike,
    polarisability_b_nm3: ArrayLike,
    width: float = 0.39,
) -> tuple[FloatOrArray, FloatOrArray, FloatOrArray]:
    """Return Thole's factors on the field of one polarisable site at another and on its gradient.

    λ₃ = 1 − e^(−v), λ₅ = 1 − (1 + v) e^(−v), λ₇ = 1 − (1 + v + 3v²/5) e^(−v), with
    v = a r³/√(α_a α_b): the dipole tensor becomes λ₃ 1/r³ − 3 λ₅ r r/r⁵

    Args:
        distance_nm: distance r, in nm, positive.
        polarisability_a_nm3: polarisability volume of the one site, in nm³, positive.
        polarisability_b_nm3: that of the other, in nm³, positive.
        width: a, dimensionless.

    Returns:
        λ₃, λ₅ and λ₇ (for the force), each between 0 and 1.

    Raises:
        InputError: an argument that is not positive.

    Source: B. T. Thole, Chem. Phys. 59, 341 (1981),
    https://doi.org/10.1016/0301-0104(81)85176-2; P. Ren, J. W. Ponder, J. Phys. Chem. B 107, 5933
    (2003), https://doi.org/10.1021/jp027815+ (a = 0.39).
    """
    distance, alpha_a, alpha_b = _positive(
        distance_nm=distance_nm,
        polarisability_a_nm3=polarisability_a_nm3,
        polarisability_b_nm3=polarisability_b_nm3,
    )
    v = width * distance**3 / np.sqrt(alpha_a * alpha_b)
    decay = np.exp(-v)
    return 1 - decay, 1 - (1 + v) * decay, 1 - (1 + v + 0.6 * v**2) * decay


def _largest_eigenvalue(matrix: NDArray[np.float64]) -> float:
    return float(np.linalg.eigvalsh(matrix)[-1])


def _below_catastrophe(name: str, share: FloatOrArray) -> None:
    if np.any(share >= 1):
        raise InputError(
            f"theory: polarisation catastrophe: {name} must be less than 1; found "
            f"{np.max(share):.6g}. Is the polarisability a volume in nm³ (1 Å³ = 0.001 nm³)?"
        )


# --- Statistics of pairs --------------------------------------------------------------------------


def log_orientational_average(coupling: ArrayLike) -> FloatOrArray:
    """Return the logarithm of the Boltzmann factor of two dipoles, averaged over both orientations.

    ln ⟨e^(−u/kT)⟩ = ln ∫₀¹ dc sinh(xs)/(xs), s = √(1 + 3c²), x = A/(r³kT)

    Args:
        coupling: x, dimensionless, not negative.

    Returns:
        The logarithm: 0 at x = 0, x²/3 for weak and 2x − ln 6x² for strong coupling; to eleven
        digits up to x = 250, beyond which no pair that repels at all comes.

    Raises:
        InputError: a negative coupling.

    Source: A. P. Philipse, B. W. M. Kuipers, J. Phys.: Condens. Matter 22, 325104 (2010),
    https://doi.org/10.1088/0953-8984/22/32/325104.
    """
    (x,) = _not_negative(coupling=coupling)
    return _log_orientational_average(x)


def second_virial_hard_sphere(coupling: ArrayLike) -> FloatOrArray:
    """Return the second virial coefficient of dipolar hard spheres.

    B₂/σ³ = (2π/3) [1 − ∫₀¹ dc T(λs)], s = √(1 + 3c²),
    T(y) = Σ_{n≥1} y^(2n)/((2n+1)!(2n−1)) = 1 + ½[y Shi(y) − cosh y − sinh(y)/y]

    Args:
        coupling: λ = A/(σ³kT), dimensionless, from 0 to 250.

    Returns:
        B₂/σ³, dimensionless: 2π/3 at λ = 0, −π e^(2λ)/(18λ³) for λ ≫ 1.

    Raises:
        InputError: a coupling outside its range.

    The integral over distances is done in closed form, after the average over orientations, without
    which it would not converge.
    Source: A. P. Philipse, B. W. M. Kuipers, J. Phys.: Condens. Matter 22, 325104 (2010),
    https://doi.org/10.1088/0953-8984/22/32/325104.
    """
    return 2 * math.pi / 3 * (1 - _long_range_part(_couplings(coupling)))


def second_virial(
    sigma_nm: ArrayLike,
    epsilon_kJ_mol: ArrayLike,
    energy_scale: ArrayLike,
    temperature_K: ArrayLike,
) -> FloatOrArray:
    """Return the second virial coefficient of WCA spheres with a point dipole.

    B₂ = 2π ∫₀^∞ dr r² [1 − e^(−w(r)/kT) ⟨e^(−u/kT)⟩]

    Args:
        sigma_nm: σ of the WCA term, in nm, positive.
        epsilon_kJ_mol: ε of the WCA term, in kJ/mol, positive.
        energy_scale: A in kJ/mol nm³, not negative.
        temperature_K: Temperature in K, positive.

    Returns:
        B₂ in nm³; beyond the WCA cutoff it is the closed form of `second_virial_hard_sphere`.

    Raises:
        InputError: a negative energy scale, another argument that is not positive, or a pair
            minimum deeper than 500 kT (`pair_minimum`).

    Valid for ε up to some 10⁴ kT, where the fixed quadrature still resolves the repulsion.
    """
    sigma, epsilon, temperature = _positive(
        sigma_nm=sigma_nm, epsilon_kJ_mol=epsilon_kJ_mol, temperature_K=temperature_K
    )
    kT = units.KB * temperature
    depth = -pair_minimum(sigma, epsilon, energy_scale)[1] / kT
    if np.any(depth > _MAX_EXPONENT):
        raise InputError(
            f"theory: the pair minimum must be no deeper than {_MAX_EXPONENT:g} kT, or e^(−U/kT) "
            f"nears the largest float; found {np.max(depth):.6g} kT. Lower `energy_scale` or raise "
            f"`sigma_nm` or `temperature_K`."
        )
    cutoff = 2 ** (1 / 6) * sigma
    coupling = dipolar_coupling(energy_scale, cutoff, temperature)
    u, weights = _gauss_legendre(256)  # u = r/cutoff
    wall = np.asarray(epsilon / kT)[..., None] * (u**-6 - 1) ** 2
    attraction = _log_orientational_average(np.asarray(coupling)[..., None] / u**3)
    inner = ((1 - np.exp(attraction - wall)) * u**2) @ weights
    return 2 * math.pi * cutoff**3 * (inner - _long_range_part(coupling) / 3)


# --- Association ----------------------------------------------------------------------------------


def bonding_volume(
    sigma_nm: ArrayLike,
    epsilon_kJ_mol: ArrayLike,
    energy_scale: ArrayLike,
    temperature_K: ArrayLike,
) -> FloatOrArray:
    """Return the association constant of one bond inside a long chain.

    K = [B₂(0) − B₂(λ)] e^{(2ζ(3) − 2) λ}, λ = A/(r³kT) at the pair-energy minimum r

    The difference is the association constant of a pair (WCA plus dipole), the exponential the gain
    of a bond in a straight, infinite chain (−2ζ(3) λ kT) over a lone pair (−2λ kT). λ is taken at
    the minimum of the pair energy (`pair_minimum`), where bonds sit, not at σ: the minimum lies
    inside σ, and gives the larger K, if A > 4εσ³, and outside otherwise.

    Args:
        sigma_nm: σ of the WCA term, in nm, positive.
        epsilon_kJ_mol: ε of the WCA term, in kJ/mol, positive.
        energy_scale: A in kJ/mol nm³, not negative; 0 gives K = 0.
        temperature_K: Temperature in K, positive.

    Returns:
        K in nm³, not negative.

    Raises:
        InputError: as `second_virial`.

    Valid as a rough guide for λ of about 3 and more; rings, branches, bending and the interaction
    of chains are left out.
    """
    from scipy.special import zeta

    distance, _ = pair_minimum(sigma_nm, epsilon_kJ_mol, energy_scale)
    coupling = dipolar_coupling(energy_scale, distance, temperature_K)
    none = np.zeros_like(np.asarray(energy_scale, dtype=float))  # alike, so that it cancels exactly
    without = second_virial(sigma_nm, epsilon_kJ_mol, none, temperature_K)
    pair = without - second_virial(sigma_nm, epsilon_kJ_mol, energy_scale, temperature_K)
    # A vanishing coupling may leave the difference a rounding error below zero.
    gain: FloatOrArray = np.exp(2 * (float(zeta(3.0)) - 1) * coupling)
    return np.maximum(pair, 0.0) * gain


def polarised_bonding_volume(
    sigma_nm: float,
    epsilon_kJ_mol: float,
    energy_scale: float,
    temperature_K: float,
    polarisability_nm3: float,
    chain_gain: float | None = None,
) -> float:
    """Return the association constant of one bond inside a long chain of polarisable dipoles.

    K = [B₂(0) − B₂(λ, α)] e^{2ζ(3) g_∞ λ − 2 g₂ λ}, with the gains g₂ = 1/(1 − 2α/r³) of a pair and
    g_∞ = 1/(1 − 4ζ(3)α/r³) of a chain at the minimum r of the pair energy

    Args:
        sigma_nm: σ of the WCA term, in nm, positive.
        epsilon_kJ_mol: ε of the WCA term, in kJ/mol, positive.
        energy_scale: A in kJ/mol nm³, not negative.
        temperature_K: temperature in K, positive.
        polarisability_nm3: polarisability volume α of both, in nm³, not negative.
        chain_gain: g_∞ of another placement of the polarisability; None for points at the centres.

    Returns:
        K in nm³, not negative; `bonding_volume` at α = 0.

    Raises:
        InputError: as `polarised_second_virial` and `polarisation_gain`.

    For single numbers. Valid as `bonding_volume`; chains are taken to keep the pair's distance.
    """
    from scipy.special import zeta

    alpha = polarisability_nm3
    r, _ = polarised_pair_minimum(sigma_nm, epsilon_kJ_mol, energy_scale, alpha)
    coupling = float(dipolar_coupling(energy_scale, r, temperature_K))
    gain = float(polarisation_gain(alpha, r)) if chain_gain is None else chain_gain
    without = second_virial(sigma_nm, epsilon_kJ_mol, 0.0, temperature_K)
    pair = without - polarised_second_virial(
        sigma_nm, epsilon_kJ_mol, energy_scale, temperature_K, alpha
    )
    exponent = 2 * coupling * (float(zeta(3.0)) * gain - 1 / (1 - 2 * alpha / r**3))
    return float(max(pair, 0.0) * math.exp(min(exponent, _MAX_EXPONENT)))


def association_mean_length(
    number_density_per_nm3: ArrayLike, bonding_volume_nm3: ArrayLike
) -> FloatOrArray:
    """Return the number-averaged chain length of ideal linear association.

    n̄ = [1 + √(1 + 4ρK)]/2, from ρ_n = K^(n−1) ρ_1^n and ρ = Σ n ρ_n

    Args:
        number_density_per_nm3: Clusters per nm³, monomers included, not negative.
        bonding_volume_nm3: Association constant K in nm³ (`bonding_volume`), not negative.

    Returns:
        n̄, at least 1; monomers count as chains of length 1.

    Raises:
        InputError: a negative argument.

    Valid for dilute chains without rings or branches.
    Source: M. E. Cates, S. J. Candau, J. Phys.: Condens. Matter 2, 6869 (1990),
    https://doi.org/10.1088/0953-8984/2/33/001.
    """
    density, volume = _not_negative(
        number_density_per_nm3=number_density_per_nm3, bonding_volume_nm3=bonding_volume_nm3
    )
    return (1 + np.sqrt(1 + 4 * density * volume)) / 2


def chain_length_distribution(mean_length: ArrayLike, lengths: ArrayLike) -> FloatOrArray:
    """Return the number fraction of chains of each length in ideal linear association.

    p(n) = (1/n̄) (1 − 1/n̄)^(n−1), normalised over n = 1, 2, … with mean n̄

    Args:
        mean_length: n̄, at least 1.
        lengths: Chain lengths n, whole numbers of at least 1.

    Returns:
        p(n), dimensionless.

    Raises:
        InputError: a mean below 1, or a length that is no whole number of at least 1.

    Valid as `association_mean_length`, whose mean it takes. Source: as there.
    """
    mean, n = _positive(mean_length=mean_length, lengths=lengths)
    if np.any(mean < 1) or np.any(n < 1) or np.any(n != np.round(n)):
        raise InputError(
            f"theory: `mean_length` must be at least 1 and `lengths` whole numbers of at least 1; "
            f"found a mean of {np.min(mean):.6g} and a least length of {np.min(n):.6g}. Count "
            f"monomers as chains of length 1."
        )
    return (1 - 1 / mean) ** (n - 1) / mean


# --- Friction -------------------------------------------------------------------------------------


def stokes_friction(
    radius_nm: ArrayLike, viscosity_mPa_s: ArrayLike
) -> tuple[FloatOrArray, FloatOrArray]:
    """Return the friction coefficients of a sphere in a viscous liquid, no slip.

    γ_t = 6πηR, γ_r = 8πηR³

    Args:
        radius_nm: Hydrodynamic radius R, in nm, positive.
        viscosity_mPa_s: Viscosity η, in mPa s, positive.

    Returns:
        Translational γ_t in Da/ps and rotational γ_r in Da nm²/ps.

    Raises:
        InputError: an argument that is not positive.

    Valid at low Reynolds number and for a body large beside the solvent molecules.
    """
    radius, viscosity = _positive(radius_nm=radius_nm, viscosity_mPa_s=viscosity_mPa_s)
    eta = viscosity * units.MPA_S
    return 6 * math.pi * eta * radius, 8 * math.pi * eta * radius**3


# --- Shared parts ---------------------------------------------------------------------------------


@lru_cache
def _gauss_legendre(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes and weights for the interval from 0 to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (nodes + 1) / 2, weights / 2


def _orientations() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return s = √(1 + 3c²), the field of a dipole at angle c = cos θ, with quadrature weights."""
    c, weights = _gauss_legendre(64)
    return np.sqrt(1 + 3 * c**2), weights


def _log_orientational_average(coupling: ArrayLike) -> FloatOrArray:
    """Return ln ⟨e^(−u/kT)⟩ for any coupling that is not negative, without overflow."""
    s, weights = _orientations()
    x = np.asarray(coupling, dtype=float)[..., None]
    y = np.maximum(x * s, np.finfo(float).tiny)  # sinh(y)/y → 1 at 0
    # sinh(y)/y = e^y (1 − e^(−2y))/(2y), with e^(2x), its largest value, taken out.
    scaled = np.exp(x * (s - 2)) * -np.expm1(-2 * y) / (2 * y)
    # All terms underflow only deep inside the repulsion, where the value doesn't matter.
    average: FloatOrArray = np.log(np.maximum(scaled @ weights, np.finfo(float).tiny))
    return 2 * x[..., 0] + average


def _long_range_part(coupling: FloatOrArray) -> FloatOrArray:
    """Return 3 ∫₁^∞ dr r² [⟨e^(−u/kT)⟩ − 1], where u/kT has strength `coupling` at r = 1."""
    from scipy.special import shichi

    s, weights = _orientations()
    y = np.maximum(np.asarray(coupling)[..., None] * s, 1e-300)
    kernel = 1 + (y * shichi(y)[0] - np.cosh(y) - np.sinh(y) / y) / 2
    part: FloatOrArray = kernel @ weights
    return part


def _couplings(coupling: ArrayLike) -> FloatOrArray:
    (x,) = _not_negative(coupling=coupling)
    if np.any(x > _MAX_COUPLING):
        raise InputError(
            f"theory: `coupling` must not exceed {_MAX_COUPLING:g}, or e^(2·coupling) nears the "
            f"largest float; found {np.max(x):.6g}. Is it A/(r³kT), dimensionless?"
        )
    return x


def _count(n: int, least: int) -> int:
    try:
        count = operator.index(n)
    except TypeError:
        count = least - 1
    if count < least:
        raise InputError(f"theory: `n` must be a whole number of at least {least}; found {n!r}.")
    return count


def _floats(arguments: dict[str, ArrayLike]) -> list[FloatOrArray]:
    """Return the arguments as finite floats or float arrays."""
    values: list[FloatOrArray] = []
    for name, argument in arguments.items():
        try:
            value = np.asarray(argument, dtype=float)[()]
        except (TypeError, ValueError) as error:
            raise InputError(f"theory: `{name}` must be numeric; found {argument!r}.") from error
        if not np.all(np.isfinite(value)):
            raise InputError(f"theory: `{name}` must be finite; found {argument!r}.")
        values.append(value)
    return values


def _positive(**arguments: ArrayLike) -> list[FloatOrArray]:
    values = _floats(arguments)
    for name, value in zip(arguments, values, strict=True):
        if np.any(value <= 0):
            raise InputError(f"theory: `{name}` must be positive; found {np.min(value):.6g}.")
    return values


def _not_negative(**arguments: ArrayLike) -> list[FloatOrArray]:
    values = _floats(arguments)
    for name, value in zip(arguments, values, strict=True):
        if np.any(value < 0):
            raise InputError(f"theory: `{name}` must not be negative; found {np.min(value):.6g}.")
    return values


def _vectors(**arguments: ArrayLike) -> list[FloatOrArray]:
    values = _floats(arguments)
    for name, value in zip(arguments, values, strict=True):
        if np.shape(value)[-1:] != (3,):
            raise InputError(
                f"theory: `{name}` must have the shape (..., 3), one vector a row; found "
                f"{np.shape(value)}."
            )
    return values
