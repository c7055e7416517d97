"""What theory says of a cluster before any simulation: couplings, energies, expected lengths."""

import math
from typing import NamedTuple

from dipolar_md import theory
from dipolar_md.errors import InputError
from dipolar_md.model.body import Body, coarse_grain
from dipolar_md.model.cluster import Cluster, load_solvent
from dipolar_md.parameters import parameter_names
from dipolar_md.units import MILLIMOLAR, REFERENCE_TEMPERATURE_K, thermal_energy


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
    scale = theory.dipole_energy_scale(
        body.dipole_magnitude_e_nm, relative_permittivity=relative_permittivity
    )
    site = max(body.sites, key=lambda s: s.sigma_nm)
    depth = -theory.pair_minimum(site.sigma_nm, site.epsilon_kJ_mol, scale)[1]
    if depth > 200 * thermal_energy(temperature_K):
        return math.nan
    bonding = theory.bonding_volume(site.sigma_nm, site.epsilon_kJ_mol, scale, temperature_K)
    return float(theory.association_mean_length(concentration_mM * MILLIMOLAR, bonding))


class SolventOutlook(NamedTuple):
    """λ at contact and expected mean chain length of a cluster in one medium."""

    name: str
    title: str
    relative_permittivity: float
    coupling: float
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
    """

    cluster: Cluster
    body: Body
    charge_separation_nm: float
    contact_energy_kJ_mol: float
    contact_energy_kT: float
    two_charge_energy_kJ_mol: float | None
    concentration_mM: float
    solvents: tuple[SolventOutlook, ...]


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
            expected_mean_length(body, eps, temperature, concentration_mM),
        )
        for medium in media
    ]
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
    )
