"""A cluster coarse-grained into a rigid body: sites, dipole, mass, inertia, principal frame.

Body frame: centre of mass at the origin, axes along the principal axes, z nearest to the dipole,
which points from the negative (Cu/Cd-MNT) to the positive (Au-phosphine) hemisphere.
"""

from dataclasses import dataclass

import numpy as np

from dipolar_md import theory
from dipolar_md.errors import InputError, UnsupportedError
from dipolar_md.model.cluster import Cluster
from dipolar_md.units import DEBYE, REFERENCE_TEMPERATURE_K, thermal_energy

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Site:
    """A steric site of a body: body-frame position and WCA parameters."""

    position_nm: Vector
    sigma_nm: float
    epsilon_kJ_mol: float


@dataclass(frozen=True)
class Body:
    """A rigid dipolar body in its principal frame; hashable, so `{body: 400}` counts bodies.

    Attributes:
        name: type name in trajectories and engines.
        sites: steric sites.
        mass_Da: mass.
        inertia_Da_nm2: three principal moments of inertia.
        dipole_e_nm: body-frame dipole vector (point dipole at the origin).
        axial_contact_nm: head-to-tail contact, the length scale of bonding.
        hydrodynamic_radius_nm: radius for Stokes friction.
        handedness: `R`, `S`, `racemic` or `achiral`, carried along for analysis.
    """

    name: str
    sites: tuple[Site, ...]
    mass_Da: float
    inertia_Da_nm2: Vector
    dipole_e_nm: Vector
    axial_contact_nm: float
    hydrodynamic_radius_nm: float
    handedness: str = "achiral"

    @property
    def dipole_magnitude_e_nm(self) -> float:
        """|μ| in e nm."""
        return float(np.linalg.norm(self.dipole_e_nm))


def coarse_grain(
    cluster: Cluster,
    shape: str = "sphere",
    dipole: str = "point",
    *,
    dipole_D: float | None = None,
    axial_contact_nm: float | None = None,
) -> Body:
    """Return the rigid body of a cluster.

    `shape="sphere"` is one WCA site (ε = kT at 298.15 K) with a point dipole at its centre; its σ
    puts the minimum of WCA + head-to-tail dipole energy, in vacuum at 298.15 K, at the axial
    contact. The inertia is that of a uniform sphere with the hydrodynamic radius.

    Args:
        cluster: chemistry and sizes.
        shape: `sphere`.
        dipole: `point`.
        dipole_D: another dipole (debye) on the same body: σ stays solved for the cluster's own.
        axial_contact_nm: another axial contact; σ is solved for it with the cluster's own dipole.

    Raises:
        UnsupportedError: another shape or dipole model, or a charged cluster.
        InputError: a dipole or contact that is not positive and finite.
    """
    if shape != "sphere" or dipole != "point":
        raise UnsupportedError(
            f"shape='{shape}' with dipole='{dipole}' is not part of this version; "
            "use shape='sphere', dipole='point'"
        )
    if cluster.net_charge_e:
        raise UnsupportedError(
            f"'{cluster.name}' carries {cluster.net_charge_e:+d} e: charged clusters need screened "
            "charges or counterions, which are not part of this version"
        )
    contact = cluster.axial_contact_nm.value if axial_contact_nm is None else axial_contact_nm
    debye = cluster.dipole_D.value if dipole_D is None else dipole_D
    for key, value in (("axial_contact_nm", contact), ("dipole_D", debye)):
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"{key} must be positive and finite (found {value})")
    epsilon = thermal_energy(REFERENCE_TEMPERATURE_K)
    sigma = float(
        theory.wca_sigma(contact, epsilon, theory.dipole_energy_scale(cluster.dipole_e_nm))
    )
    radius = cluster.hydrodynamic_radius_nm.value
    inertia = 0.4 * cluster.mass_Da * radius**2
    return Body(
        name=cluster.name,
        sites=(Site((0.0, 0.0, 0.0), sigma, epsilon),),
        mass_Da=cluster.mass_Da,
        inertia_Da_nm2=(inertia, inertia, inertia),
        dipole_e_nm=(0.0, 0.0, debye * DEBYE),
        axial_contact_nm=contact,
        hydrodynamic_radius_nm=radius,
        handedness=cluster.handedness,
    )
