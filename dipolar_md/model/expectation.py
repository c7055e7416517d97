"""What theory says of a cluster before any simulation: couplings, energies, expected lengths."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dipolar_md import theory
from dipolar_md.chemistry.cluster import Cluster, Solvent, load_cluster, load_solvent
from dipolar_md.chemistry.sizes import contact_estimates
from dipolar_md.errors import InputError
from dipolar_md.model.body import Body, coarse_grain
from dipolar_md.model.contacts import bond, torsional_barrier
from dipolar_md.model.polarisation import chain_gain, pair_gain
from dipolar_md.model.virial import bonding_volume, second_virial
from dipolar_md.parameters import parameter_names
from dipolar_md.units import DEBYE, KE, MILLIMOLAR, REFERENCE_TEMPERATURE_K, thermal_energy


def contact_coupling(body: Body, relative_permittivity: float, temperature_K: float) -> float:
    """Return the dipolar coupling of a body at its axial contact.

    λ = μ²/(4πε₀ε_r r³ kT)

    Args:
        body: The body.
        relative_permittivity: ε_r of the medium.
        temperature_K: Temperature, K.

    Returns:
        λ, dimensionless.
    """
    scale = theory.dipole_energy_scale(
        body.dipole_magnitude_e_nm, relative_permittivity=relative_permittivity
    )
    return float(theory.dipolar_coupling(scale, body.axial_contact_nm, temperature_K))


def expected_mean_length(
    body: Body, relative_permittivity: float, temperature_K: float, concentration_mM: float
) -> float:
    """Return the mean chain length that ideal association expects of one kind of body.

    n̄ = [1 + √(1 + 4ρK)]/2, with the body's own `bonding_volume` K

    A rough guide to equilibrium: linear chains without rings, branches or interaction, in a box
    without end.

    Args:
        body: The body; its true pair potential counts.
        relative_permittivity: ε_r of the medium.
        temperature_K: Temperature, K.
        concentration_mM: Clusters per volume, mmol/L.

    Returns:
        n̄, clusters per chain; NaN where pairs bind by more than 200 kT, beyond the range of the
        theory's numbers.

    Raises:
        InputError: A polarisation catastrophe.
    """
    bonding = bonding_volume(body.unpolarised, relative_permittivity, temperature_K)
    if math.isnan(bonding):
        return math.nan
    if body.polarisability_nm3:
        bonding *= _gained_by_induction(body, relative_permittivity, temperature_K)
    return float(theory.association_mean_length(concentration_mM * MILLIMOLAR, bonding))


class _Bond(NamedTuple):
    """A polarised pair at its minimum: distance, polarisability at the centre alike, gains."""

    distance_nm: float
    polarisability_nm3: float
    pair_gain: float
    chain_gain: float


def _sphere(body: Body, relative_permittivity: float) -> tuple[float, float, float]:
    """Return σ, ε and energy scale of the WCA sphere with a point dipole nearest to a body.

    Its pair has its minimum where the body's bond has its length.
    """
    scale = float(
        theory.dipole_energy_scale(
            body.dipole_magnitude_e_nm, relative_permittivity=relative_permittivity
        )
    )
    epsilon = body.sites[0].epsilon_kJ_mol or thermal_energy(REFERENCE_TEMPERATURE_K)
    length, _ = bond(body, scale)
    return float(theory.wca_sigma(length, epsilon, scale)), epsilon, scale


def _polarised_bond(body: Body, relative_permittivity: float) -> _Bond:
    """Return the bond of polarised bodies head to tail.

    Points off the centre count as the polarisability at the centre with the same pair energy.
    """
    points = body.polarisable_points.screened(relative_permittivity)
    sigma, epsilon, scale = _sphere(body, relative_permittivity)
    r = float(theory.pair_minimum(sigma, epsilon, scale)[0])
    alpha, before = 0.0, math.inf
    while abs(r - before) > 1e-9 * r:  # converges in a few rounds: the gain hardly moves with r
        alpha = r**3 * (1 - 1 / pair_gain(points, r)) / 2
        before, r = r, theory.polarised_pair_minimum(sigma, epsilon, scale, alpha)[0]
    return _Bond(r, alpha, pair_gain(points, r), chain_gain(points, r))


def _gained_by_induction(body: Body, relative_permittivity: float, temperature_K: float) -> float:
    """Return the factor of induction on a bonding volume: that of the nearest sphere."""
    sphere = (*_sphere(body, relative_permittivity), temperature_K)
    polarised = _polarised_bond(body, relative_permittivity)
    gained = theory.polarised_bonding_volume(
        *sphere, polarised.polarisability_nm3, polarised.chain_gain
    )
    return gained / float(theory.bonding_volume(*sphere))


def chain_onset_dipole(
    body: Body, relative_permittivity: float, temperature_K: float, concentration_mM: float
) -> float:
    """Return the dipole at which a body would reach an expected mean chain length of 2.

    ρ K(μ²/ε_r) = 2; only μ²/ε_r enters, so the permittivity is sought in place of the dipole.

    Args:
        body: The body; its steric sites stay.
        relative_permittivity: ε_r of the medium.
        temperature_K: Temperature, K.
        concentration_mM: Clusters per volume, mmol/L.

    Returns:
        The dipole in debye; NaN where even pairs bound by some 100 kT stay apart.
    """
    from scipy.optimize import brentq

    vacuum = contact_coupling(body, 1.0, temperature_K)

    def excess(log_coupling: float) -> float:
        bonding = bonding_volume(body, vacuum / math.exp(log_coupling), temperature_K)
        return math.log(max(concentration_mM * MILLIMOLAR * bonding / 2, 1e-300))

    weakest, strongest = math.log(1e-3), math.log(40.0)
    if excess(strongest) < 0:
        return math.nan
    coupling = math.exp(brentq(excess, weakest, strongest))
    own = body.dipole_magnitude_e_nm / DEBYE
    return own * math.sqrt(coupling * relative_permittivity / vacuum)


class SolventOutlook(NamedTuple):
    """What theory expects of a cluster in one medium; NaN where it expects nothing.

    Attributes:
        name: Name of the medium.
        title: One line for people.
        relative_permittivity: ε_r.
        coupling: λ at contact.
        second_virial_nm3: B₂, nm³; negative where attraction wins.
        expected_mean_length: Clusters per chain, from ideal association.
        chain_onset_dipole_D: Dipole at which the same body would reach a mean length of 2, debye.
    """

    name: str
    title: str
    relative_permittivity: float
    coupling: float
    second_virial_nm3: float
    expected_mean_length: float
    chain_onset_dipole_D: float


class ContactOutlook(NamedTuple):
    """What one estimate of the axial contact would mean in vacuum.

    Attributes:
        origin: Where the estimate comes from, see `contact_estimates`.
        axial_contact_nm: The contact, nm.
        coupling: λ there.
        energy_kJ_mol: Energy of point dipoles head to tail there, kJ/mol (negative).
        expected_mean_length: Clusters per chain, from ideal association; NaN where it expects none.
    """

    origin: str
    axial_contact_nm: float
    coupling: float
    energy_kJ_mol: float
    expected_mean_length: float


class PolarisedOutlook(NamedTuple):
    """What induced dipoles would mean in vacuum, at one contact and one placement.

    Attributes:
        origin: origin of the axial contact.
        axial_contact_nm: contact for which σ was solved, without induction.
        placement: `none`, `centre` or `sites`.
        contact_minimum_nm: minimum of the pair's energy head to tail.
        pair_gain: factor on the dipolar energy of the pair there.
        chain_gain: factor on that of a long chain at the same distance.
        coupling: λ at the minimum times the chain's gain.
        expected_mean_length: clusters per chain, from ideal association.
    """

    origin: str
    axial_contact_nm: float
    placement: str
    contact_minimum_nm: float
    pair_gain: float
    chain_gain: float
    coupling: float
    expected_mean_length: float


class Outlook(NamedTuple):
    """What theory says of a cluster at 298.15 K.

    Attributes:
        cluster: The cluster.
        body: Its sphere; that of a charged cluster leaves the net charge out.
        charge_separation_nm: Distance d of the two-charge equivalent ±q, q·d = μ, nm.
        contact_energy_kJ_mol: Energy of point dipoles head to tail at the axial contact in vacuum,
            kJ/mol (negative).
        contact_energy_kT: The same in kT.
        two_charge_energy_kJ_mol: Energy of the two-charge equivalents at the same distance, kJ/mol;
            None where their charges would lie farther apart than that.
        charge_repulsion_kJ_mol: Energy of two bare net charges at the axial contact in vacuum,
            kJ/mol; 0 for a neutral cluster. A charged one has no expected lengths: they hang on
            counterions or screening, which the model leaves out.
        concentration_mM: Concentration at which the lengths are expected, mmol/L.
        solvents: One outlook per medium, from weak to strong screening.
        contacts: One outlook per estimate of the axial contact, the file's first.
        polarisation_gain: Factor by which mutual polarisation strengthens a long chain at contact,
            in vacuum; None without a polarisability.
        torsional_barrier_kT: Barrier to turning a janus body on top of another, kT; None without
            rings.
        polarised: One outlook per placement of the polarisability and contact (the file's, the
            alternative); none without a polarisability. Gains are infinite in a catastrophe.
    """

    cluster: Cluster
    body: Body
    charge_separation_nm: float
    contact_energy_kJ_mol: float
    contact_energy_kT: float
    two_charge_energy_kJ_mol: float | None
    charge_repulsion_kJ_mol: float
    concentration_mM: float
    solvents: tuple[SolventOutlook, ...]
    contacts: tuple[ContactOutlook, ...]
    polarisation_gain: float | None
    torsional_barrier_kT: float | None
    polarised: tuple[PolarisedOutlook, ...]

    def __repr__(self) -> str:
        return (
            f"<Outlook of {self.cluster.name} at {self.concentration_mM:g} mM and 298.15 K: "
            f"{self.contact_energy_kJ_mol:.1f} kJ/mol at {self.body.axial_contact_nm:g} nm in "
            f"vacuum, {len(self.solvents)} media>"
        )


class PhaseEstimate(NamedTuple):
    """Expected mean chain length over concentration and coupling, for one body at 298.15 K.

    Attributes:
        concentration_mM: (n,) concentrations, mmol/L.
        coupling: (m,) λ at contact.
        mean_length: (m, n) clusters per chain.
    """

    concentration_mM: NDArray[np.float64]
    coupling: NDArray[np.float64]
    mean_length: NDArray[np.float64]


def phase_estimate(body: Body, most_coupling: float = 12.0) -> PhaseEstimate:
    """Return where ideal association expects chains of a body whose dipole is screened or scaled.

    Args:
        body: The body; its steric sites stay.
        most_coupling: Largest λ at contact.

    Returns:
        `PhaseEstimate` from 0.1 to 200 mM; K is worked out at some couplings and a cubic spline
        through ln(K/λ²) gives those between.
    """
    from scipy.interpolate import CubicSpline

    concentration = np.geomspace(0.1, 200, 61)
    coupling = np.linspace(0.05, most_coupling, 60)
    nodes = np.linspace(0.05, most_coupling, 20)
    vacuum = contact_coupling(body, 1.0, REFERENCE_TEMPERATURE_K)
    volumes = [bonding_volume(body, vacuum / x, REFERENCE_TEMPERATURE_K) for x in nodes]
    curve = CubicSpline(nodes, np.log(np.array(volumes) / nodes**2))
    bonding = np.exp(curve(coupling)) * coupling**2
    lengths = theory.association_mean_length(concentration * MILLIMOLAR, bonding[:, None])
    return PhaseEstimate(concentration, coupling, np.asarray(lengths))


def describe(
    cluster: str | Path | Cluster,
    concentration_mM: float = 10.0,
    solvents: Sequence[str | Path | Solvent] | None = None,
) -> Outlook:
    """Return what theory says of a cluster, without any simulation.

    Args:
        cluster: Shipped name, cluster file or cluster.
        concentration_mM: Concentration for the expected mean chain lengths, mmol/L.
        solvents: Names, files or media, default all shipped media.

    Returns:
        `Outlook`; of a charged cluster the energies, and no lengths.

    Raises:
        InputError: an unknown cluster or solvent, a cluster without a dipole, or a concentration
            that is not positive.
    """
    cluster = load_cluster(cluster)
    if not 1e-12 <= concentration_mM <= 1e6:
        raise InputError(
            f"concentration_mM must be positive and at most 1e6 (found {concentration_mM})"
        )
    neutral = cluster.model_copy(update={"net_charge_e": 0})
    body = coarse_grain(neutral)
    contact, charge = body.axial_contact_nm, cluster.hemisphere_charge_e.value
    temperature = REFERENCE_TEMPERATURE_K
    separation = float(theory.charge_separation(cluster.dipole_e_nm, charge))
    energy = float(theory.head_to_tail_energy(cluster.dipole_e_nm, contact))
    media = [load_solvent(name) for name in (solvents or parameter_names("solvents"))]
    rows = [_in_medium(medium, body, concentration_mM, cluster.net_charge_e) for medium in media]
    alpha = cluster.polarisability_nm3
    return Outlook(
        cluster=cluster,
        body=body,
        charge_separation_nm=separation,
        contact_energy_kJ_mol=energy,
        contact_energy_kT=energy / thermal_energy(temperature),
        two_charge_energy_kJ_mol=float(
            theory.two_charge_head_to_tail_energy(cluster.dipole_e_nm, charge, contact)
        )
        if separation < contact
        else None,
        charge_repulsion_kJ_mol=KE * cluster.net_charge_e**2 / contact,
        concentration_mM=concentration_mM,
        solvents=tuple(sorted(rows, key=lambda row: row.relative_permittivity)),
        contacts=tuple(
            _at_contact(neutral, origin, distance, concentration_mM, cluster.net_charge_e)
            for origin, distance in contact_estimates(cluster).items()
        ),
        torsional_barrier_kT=_torsional_barrier_kT(neutral),
        polarisation_gain=float(theory.polarisation_gain(alpha.value, contact)) if alpha else None,
        polarised=() if cluster.net_charge_e else polarised_outlooks(cluster, concentration_mM),
    )


def polarised_outlooks(
    cluster: Cluster, concentration_mM: float, polarisability_nm3: float | None = None
) -> tuple[PolarisedOutlook, ...]:
    """Return what induced dipoles would mean in vacuum, for both contacts and both placements.

    Args:
        cluster: the cluster.
        concentration_mM: for the expected mean chain lengths.
        polarisability_nm3: another polarisability than the cluster's.
    """
    if polarisability_nm3 is None and cluster.polarisability_nm3 is None:
        return ()
    rows = []
    estimates = contact_estimates(cluster)
    for origin in ("file", "alternative"):
        for placement in ("none", "centre", "sites") if origin in estimates else ():
            if placement == "sites" and cluster.janus is None:
                continue
            body = coarse_grain(
                cluster,
                axial_contact_nm=estimates[origin],
                polarisation=placement,
                polarisability_nm3=None if placement == "none" else polarisability_nm3,
            )
            try:
                row = _polarised_outlook(origin, placement, body, concentration_mM)
            except InputError:  # bodies that fall into each other have no bond to tell of
                contact = body.axial_contact_nm
                row = PolarisedOutlook(
                    *(origin, contact, placement, math.nan, math.inf, math.inf, math.inf, math.nan)
                )
            rows.append(row)
    return tuple(rows)


def _polarised_outlook(
    origin: str, placement: str, body: Body, concentration_mM: float
) -> PolarisedOutlook:
    temperature = REFERENCE_TEMPERATURE_K
    polarised = _polarised_bond(body, 1.0)
    scale = theory.dipole_energy_scale(body.dipole_magnitude_e_nm)
    coupling = float(theory.dipolar_coupling(scale, polarised.distance_nm, temperature))
    return PolarisedOutlook(
        origin,
        body.axial_contact_nm,
        placement,
        polarised.distance_nm,
        polarised.pair_gain,
        polarised.chain_gain,
        coupling * polarised.chain_gain,
        expected_mean_length(body, 1.0, temperature, concentration_mM),
    )


def _in_medium(
    medium: Solvent, body: Body, concentration_mM: float, net_charge_e: int
) -> SolventOutlook:
    eps, temperature = medium.relative_permittivity.value, REFERENCE_TEMPERATURE_K
    coupling = contact_coupling(body, eps, temperature)
    expected = (math.nan, math.nan, math.nan)
    if not net_charge_e:
        expected = (
            second_virial(body, eps, temperature),
            expected_mean_length(body, eps, temperature, concentration_mM),
            chain_onset_dipole(body, eps, temperature, concentration_mM),
        )
    return SolventOutlook(medium.name, medium.title, eps, coupling, *expected)


def _at_contact(
    cluster: Cluster, origin: str, distance: float, concentration_mM: float, net_charge_e: int
) -> ContactOutlook:
    body = coarse_grain(cluster, axial_contact_nm=distance)
    environment = (1.0, REFERENCE_TEMPERATURE_K)
    return ContactOutlook(
        origin,
        distance,
        contact_coupling(body, *environment),
        float(theory.head_to_tail_energy(cluster.dipole_e_nm, distance)),
        math.nan if net_charge_e else expected_mean_length(body, *environment, concentration_mM),
    )


def _torsional_barrier_kT(cluster: Cluster) -> float | None:
    if cluster.janus is None:
        return None
    hand = "R" if cluster.handedness == "racemic" else None
    body = coarse_grain(cluster, "janus", handedness=hand)
    return torsional_barrier(body) / thermal_energy(REFERENCE_TEMPERATURE_K)
