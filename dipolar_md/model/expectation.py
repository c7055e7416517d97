"""What theory says of a cluster before any simulation: couplings, energies, expected lengths."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dipolar_md import theory
from dipolar_md.chemistry.cluster import Cluster, load_solvent
from dipolar_md.chemistry.sizes import contact_estimates
from dipolar_md.errors import InputError
from dipolar_md.model.body import Body, coarse_grain
from dipolar_md.model.contacts import torsional_barrier
from dipolar_md.parameters import parameter_names
from dipolar_md.units import DEBYE, MILLIMOLAR, REFERENCE_TEMPERATURE_K, thermal_energy


def contact_coupling(body: Body, relative_permittivity: float, temperature_K: float) -> float:
    """Return λ = μ²/(4πε₀ε_r r³ kT) at the axial contact r."""
    scale = theory.dipole_energy_scale(
        body.dipole_magnitude_e_nm, relative_permittivity=relative_permittivity
    )
    return float(theory.dipolar_coupling(scale, body.axial_contact_nm, temperature_K))


def expected_mean_length(
    body: Body, relative_permittivity: float, temperature_K: float, concentration_mM: float
) -> float:
    """Return the mean chain length that ideal association expects of one kind of body.

    A rough guide (`theory.bonding_volume`): linear chains without rings, branches or interaction.
    NaN where pairs bind by more than 200 kT, beyond the range of the theory's numbers.
    """
    pair = _pair(body, relative_permittivity, temperature_K)
    if pair is None:
        return math.nan
    bonding = theory.bonding_volume(*pair)
    return float(theory.association_mean_length(concentration_mM * MILLIMOLAR, bonding))


def second_virial(body: Body, relative_permittivity: float, temperature_K: float) -> float:
    """Return B₂ of one kind of body, in nm³; NaN as `expected_mean_length`."""
    pair = _pair(body, relative_permittivity, temperature_K)
    return math.nan if pair is None else float(theory.second_virial(*pair))


def _pair(
    body: Body, relative_permittivity: float, temperature_K: float
) -> tuple[float, float, float, float] | None:
    """Return σ, ε, energy scale and temperature of a pair; None where it binds beyond 200 kT."""
    scale = theory.dipole_energy_scale(
        body.dipole_magnitude_e_nm, relative_permittivity=relative_permittivity
    )
    site = max(body.sites, key=lambda s: s.sigma_nm)
    depth = -theory.pair_minimum(site.sigma_nm, site.epsilon_kJ_mol, scale)[1]
    if depth > 200 * thermal_energy(temperature_K):
        return None
    return site.sigma_nm, site.epsilon_kJ_mol, scale, temperature_K


def chain_onset_dipole(
    body: Body, relative_permittivity: float, temperature_K: float, concentration_mM: float
) -> float:
    """Return the dipole (debye) on the same body at which a mean chain length of 2 is expected.

    The steric diameter stays that of the body. NaN where even pairs bound by 200 kT stay apart.
    """
    from scipy.optimize import brentq

    site = body.sites[0]

    def excess(debye: float) -> float:
        scale = theory.dipole_energy_scale(
            debye * DEBYE, relative_permittivity=relative_permittivity
        )
        bonding = theory.bonding_volume(site.sigma_nm, site.epsilon_kJ_mol, scale, temperature_K)
        return math.log(max(concentration_mM * MILLIMOLAR * bonding / 2, 1e-300))

    # Twice σ³ kT of energy scale are a coupling of 2 at σ; pairs bound by some 100 kT are at 40.
    unit = theory.dipole_energy_scale(DEBYE, relative_permittivity=relative_permittivity)
    strong = 40 * site.sigma_nm**3 * thermal_energy(temperature_K) / unit
    most = math.sqrt(strong)
    return float(brentq(excess, 1e-3 * most, most)) if excess(most) > 0 else math.nan


class SolventOutlook(NamedTuple):
    """What theory expects of a cluster in one medium.

    Attributes:
        name: name of the medium.
        title: its title.
        relative_permittivity: ε_r.
        coupling: λ at contact.
        second_virial_nm3: B₂; negative where attraction wins.
        expected_mean_length: clusters per chain, from ideal association.
        chain_onset_dipole_D: dipole at which the same body would reach a mean length of 2.
    """

    name: str
    title: str
    relative_permittivity: float
    coupling: float
    second_virial_nm3: float
    expected_mean_length: float
    chain_onset_dipole_D: float


class ContactOutlook(NamedTuple):
    """What one estimate of the axial contact would mean in vacuum."""

    origin: str
    axial_contact_nm: float
    coupling: float
    energy_kJ_mol: float
    expected_mean_length: float


class Outlook(NamedTuple):
    """What theory says of a cluster at 298.15 K.

    Attributes:
        cluster: the cluster.
        body: its sphere.
        charge_separation_nm: d of the two-charge equivalent ±q, q·d = μ.
        contact_energy_kJ_mol: point dipoles head to tail at the axial contact in vacuum (negative).
        contact_energy_kT: the same in kT.
        two_charge_energy_kJ_mol: the two-charge equivalents at the same distance; None where
            their charges would lie farther apart than that.
        concentration_mM: at which the lengths are expected.
        solvents: one outlook per medium.
        contacts: one per estimate of the axial contact, the file's first.
        polarisation_gain: factor by which mutual polarisation strengthens a long chain at contact,
            in vacuum; None without a polarisability.
        torsional_barrier_kT: barrier to turning a janus body on top of another; None without rings.
    """

    cluster: Cluster
    body: Body
    charge_separation_nm: float
    contact_energy_kJ_mol: float
    contact_energy_kT: float
    two_charge_energy_kJ_mol: float | None
    concentration_mM: float
    solvents: tuple[SolventOutlook, ...]
    contacts: tuple[ContactOutlook, ...]
    polarisation_gain: float | None
    torsional_barrier_kT: float | None


class PhaseEstimate(NamedTuple):
    """Expected mean chain length over concentration and coupling, for one body at 298.15 K.

    Attributes:
        concentration_mM: (n,) concentrations.
        coupling: (m,) λ at contact.
        mean_length: (m, n) clusters per chain.
    """

    concentration_mM: NDArray[np.float64]
    coupling: NDArray[np.float64]
    mean_length: NDArray[np.float64]


def phase_estimate(body: Body, most_coupling: float = 12.0) -> PhaseEstimate:
    """Return where ideal association expects chains of a body whose dipole is screened or scaled.

    Args:
        body: the body; its steric diameter stays.
        most_coupling: largest λ at contact.
    """
    concentration = np.geomspace(0.1, 200, 61)
    coupling = np.linspace(0.05, most_coupling, 60)
    kT = thermal_energy(REFERENCE_TEMPERATURE_K)
    site = body.sites[0]
    scale = coupling * body.axial_contact_nm**3 * kT
    bonding = theory.bonding_volume(
        site.sigma_nm, site.epsilon_kJ_mol, scale, REFERENCE_TEMPERATURE_K
    )
    lengths = theory.association_mean_length(concentration * MILLIMOLAR, bonding[:, None])
    return PhaseEstimate(concentration, coupling, lengths)


def describe(
    cluster: Cluster, concentration_mM: float = 10.0, solvents: list[str] | None = None
) -> Outlook:
    """Return what theory says of a cluster, without any simulation.

    Args:
        cluster: the cluster.
        concentration_mM: for the expected mean chain lengths.
        solvents: names or files, default all shipped media.

    Raises:
        InputError: an unknown solvent, or a concentration that is not positive.
    """
    if not (math.isfinite(concentration_mM) and concentration_mM > 0):
        raise InputError(f"concentration_mM must be positive and finite (found {concentration_mM})")
    body = coarse_grain(cluster)
    contact, charge = body.axial_contact_nm, cluster.hemisphere_charge_e.value
    temperature = REFERENCE_TEMPERATURE_K
    separation = float(theory.charge_separation(cluster.dipole_e_nm, charge))
    energy = float(theory.head_to_tail_energy(cluster.dipole_e_nm, contact))
    media = [load_solvent(name) for name in (solvents or parameter_names("solvents"))]
    rows = [
        SolventOutlook(
            medium.name,
            medium.title,
            eps := medium.relative_permittivity.value,
            contact_coupling(body, eps, temperature),
            second_virial(body, eps, temperature),
            expected_mean_length(body, eps, temperature, concentration_mM),
            chain_onset_dipole(body, eps, temperature, concentration_mM),
        )
        for medium in media
    ]
    contacts = []
    for origin, distance in contact_estimates(cluster).items():
        other = coarse_grain(cluster, axial_contact_nm=distance)
        contacts.append(
            ContactOutlook(
                origin,
                distance,
                contact_coupling(other, 1.0, temperature),
                float(theory.head_to_tail_energy(cluster.dipole_e_nm, distance)),
                expected_mean_length(other, 1.0, temperature, concentration_mM),
            )
        )
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
        concentration_mM=concentration_mM,
        solvents=tuple(sorted(rows, key=lambda row: row.relative_permittivity)),
        contacts=tuple(contacts),
        torsional_barrier_kT=_torsional_barrier_kT(cluster),
        polarisation_gain=float(theory.polarisation_gain(alpha.value, contact)) if alpha else None,
    )


def _torsional_barrier_kT(cluster: Cluster) -> float | None:
    if cluster.janus is None:
        return None
    hand = "R" if cluster.handedness == "racemic" else None
    body = coarse_grain(cluster, "janus", handedness=hand)
    return torsional_barrier(body) / thermal_energy(REFERENCE_TEMPERATURE_K)
