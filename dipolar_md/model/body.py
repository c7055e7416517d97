"""A cluster coarse-grained into a rigid body: sites, dipole, mass, inertia, principal frame.

Body frame: centre of mass at the origin, axes along the principal axes, z nearest to the dipole,
which points from the negative (Cu/Cd-MNT) to the positive (Au-phosphine) hemisphere. The inertia of
a symmetric top leaves x and y open: +x goes through the first bead of the Au ring.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dipolar_md import theory
from dipolar_md.chemistry.cluster import Cluster, load_cluster
from dipolar_md.errors import InputError, UnsupportedError
from dipolar_md.model.steric import solve_diameters
from dipolar_md.units import DEBYE, REFERENCE_TEMPERATURE_K, thermal_energy

Vector = tuple[float, float, float]
_MIRROR = np.array([1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Site:
    """A site of a body: where it is, how it repels, what it carries.

    Attributes:
        position_nm: in the body frame.
        sigma_nm: steric diameter; 0 for a site without steric term.
        epsilon_kJ_mol: WCA strength; the depth of the well between two attractive sites.
        attractive: Lennard-Jones instead of WCA towards other attractive sites.
        charge_e: site charge.
    """

    position_nm: Vector
    sigma_nm: float
    epsilon_kJ_mol: float
    attractive: bool = False
    charge_e: float = 0.0


@dataclass(frozen=True)
class Body:
    """A rigid dipolar body in its principal frame; hashable, so `{body: 400}` counts bodies.

    Attributes:
        name: type name in trajectories and engines.
        sites: the first lies at the origin, the centre of mass.
        mass_Da: mass.
        inertia_Da_nm2: three principal moments of inertia.
        dipole_e_nm: body-frame dipole vector: that of the site charges where there are any, else a
            point dipole at the origin.
        axial_contact_nm: head-to-tail contact, the length scale of bonding.
        hydrodynamic_radius_nm: radius for Stokes friction.
        handedness: `R`, `S`, `racemic` or `achiral`, carried along for analysis.

    Raises:
        InputError: no site at the origin, or charges that don't make up the dipole.
    """

    name: str
    sites: tuple[Site, ...]
    mass_Da: float
    inertia_Da_nm2: Vector
    dipole_e_nm: Vector
    axial_contact_nm: float
    hydrodynamic_radius_nm: float
    handedness: str = "achiral"

    def __post_init__(self) -> None:
        if not self.sites or any(self.sites[0].position_nm):
            raise InputError(f"body '{self.name}': its first site must lie at the origin")
        if self.has_charges:
            charges = np.array([site.charge_e for site in self.sites])
            sites = np.array([site.position_nm for site in self.sites])
            scale = np.abs(charges).sum()
            if abs(charges.sum()) > 1e-9 * scale:
                raise InputError(f"body '{self.name}': its charges sum to {charges.sum():g} e")
            if not np.allclose(charges @ sites, self.dipole_e_nm, rtol=1e-9, atol=1e-9 * scale):
                raise InputError(
                    f"body '{self.name}': its charges have the dipole {charges @ sites} e nm, "
                    f"not {self.dipole_e_nm}"
                )

    @property
    def has_charges(self) -> bool:
        """Whether the dipole is made of site charges."""
        return any(site.charge_e for site in self.sites)

    @property
    def point_dipole_e_nm(self) -> Vector:
        """Body-frame point dipole at the centre; zero where site charges make up the dipole."""
        return (0.0, 0.0, 0.0) if self.has_charges else self.dipole_e_nm

    @property
    def dipole_magnitude_e_nm(self) -> float:
        """|μ| in e nm."""
        return float(np.linalg.norm(self.dipole_e_nm))

    @property
    def steric_diameter_nm(self) -> float:
        """σ of the largest site: of the sphere, or of the core."""
        return max(site.sigma_nm for site in self.sites)

    @property
    def extent_nm(self) -> float:
        """Farthest reach of any site's minimum 2^(1/6) σ/2 from the centre."""
        return max(
            math.dist(site.position_nm, (0, 0, 0)) + 2 ** (1 / 6) * site.sigma_nm / 2
            for site in self.sites
        )


def coarse_grain(
    cluster: str | Path | Cluster,
    shape: str = "sphere",
    dipole: str = "point",
    *,
    dipole_D: float | None = None,
    axial_contact_nm: float | None = None,
    attraction_kT: float = 0.0,
    handedness: str | None = None,
) -> Body:
    """Return the rigid body of a cluster.

    `shape="sphere"` is one WCA site (ε = kT at 298.15 K); its σ puts the minimum of steric +
    head-to-tail dipole energy, in vacuum at 298.15 K, at the axial contact. Its inertia is that of
    a uniform sphere with the hydrodynamic radius.

    `shape="janus"` is a core, a ring of beads on the Au hemisphere and one on the Cu or Cd
    hemisphere, turned against each other by a signed angle (`Cluster.janus`): R and S are exact
    mirror images (y → -y). Bead and core σ are solved (`solve_diameters`) so that axial and lateral
    contact hold. Mass is spread evenly over the volumes of the sites.

    `dipole="point"` is a point dipole at the centre; `dipole="charges"` two charges ±q of
    `Cluster.hemisphere_charge_e` on the axis at ±d/2, q d = μ.

    Args:
        cluster: Shipped name, cluster file or cluster: chemistry and sizes.
        shape: `sphere` or `janus`.
        dipole: `point` or `charges`.
        dipole_D: another dipole (debye) on the same body: σ stays solved for the cluster's own.
        axial_contact_nm: another axial contact; σ is solved for it with the cluster's own dipole.
        attraction_kT: depth, in kT at 298.15 K, of a Lennard-Jones well between cores instead of
            WCA (a sphere is then a Stockmayer particle); σ is solved with it, for the same contact.
        handedness: `R` or `S` of a cluster that the file calls racemic; needed for `janus`.

    Raises:
        UnsupportedError: another shape or dipole model, or a charged cluster.
        InputError: a dipole, contact or attraction that is not positive and finite, an impossible
            geometry, or a handedness that the file contradicts.
    """
    if shape not in ("sphere", "janus") or dipole not in ("point", "charges"):
        raise UnsupportedError(
            f"shape must be sphere or janus and dipole point or charges "
            f"(found '{shape}' and '{dipole}')"
        )
    cluster = load_cluster(cluster)
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
    if not (np.isfinite(attraction_kT) and attraction_kT >= 0):
        raise InputError(f"attraction_kT must be finite and not negative (found {attraction_kT})")
    hand = _handedness(cluster, handedness)
    kT = thermal_energy(REFERENCE_TEMPERATURE_K)
    core = Site((0.0, 0.0, 0.0), 0.0, (attraction_kT or 1.0) * kT, attractive=attraction_kT > 0)
    scale = theory.dipole_energy_scale(cluster.dipole_e_nm)
    radius = cluster.hydrodynamic_radius_nm.value
    if shape == "sphere":
        sigma = float(theory.wca_sigma(contact, core.epsilon_kJ_mol, scale))
        sites: tuple[Site, ...] = (replace(core, sigma_nm=sigma),)
        inertia = (0.4 * cluster.mass_Da * radius**2,) * 3
    else:
        sites, inertia = _janus(cluster, core, contact, scale, hand)
    if dipole == "charges":
        charge = cluster.hemisphere_charge_e.value
        half = debye * DEBYE / charge / 2
        if 2 * half >= contact:
            raise InputError(
                f"hemisphere_charge_e = {charge:g}: charges {2 * half:.3f} nm apart would meet "
                f"those of a neighbour at {contact:g} nm; use dipole='point'"
            )
        tips = (Site((0.0, 0.0, s * half), 0.0, 0.0, charge_e=s * charge) for s in (1.0, -1.0))
        sites = (*sites, *tips)
    return Body(
        name=cluster.name if hand == cluster.handedness else f"{cluster.name}-{hand}",
        sites=sites,
        mass_Da=cluster.mass_Da,
        inertia_Da_nm2=inertia,
        dipole_e_nm=(0.0, 0.0, debye * DEBYE),
        axial_contact_nm=contact,
        hydrodynamic_radius_nm=radius,
        handedness=hand,
    )


def _handedness(cluster: Cluster, handedness: str | None) -> str:
    if handedness is None or handedness == cluster.handedness:
        return cluster.handedness
    if cluster.handedness != "racemic" or handedness not in ("R", "S"):
        raise InputError(
            f"handedness '{handedness}': '{cluster.name}' is {cluster.handedness}; only a racemic "
            "cluster can be taken as R or as S"
        )
    return handedness


def _janus(
    cluster: Cluster, core: Site, contact: float, scale: float, hand: str
) -> tuple[tuple[Site, ...], Vector]:
    """Return the sites of a core with two rings, centre of mass at the origin, and the inertia."""
    shape = cluster.janus
    if shape is None:
        raise InputError(f"'{cluster.name}' has no [janus] table; shape='janus' needs one")
    if hand == "racemic":
        raise InputError(
            f"'{cluster.name}' is racemic: a janus body is R or S; give handedness, and mix both"
        )
    turns = 2 * np.pi * np.arange(shape.beads_per_ring) / shape.beads_per_ring
    twist = 0.0 if hand == "achiral" else math.radians(shape.twist_deg.value)
    rings = [
        np.stack([r * np.cos(turns + a), r * np.sin(turns + a), np.full(len(turns), z)], axis=1)
        for r, z, a in (
            (shape.au_ring_radius_nm.value, shape.au_ring_height_nm.value, 0.0),
            (shape.partner_ring_radius_nm.value, -shape.partner_ring_height_nm.value, twist),
        )
    ]
    beads = np.concatenate(rings)
    sigma, core_sigma = solve_diameters(
        beads,
        core.epsilon_kJ_mol,
        core.attractive,
        scale,
        contact,
        cluster.lateral_contact_nm.value,
        cluster.name,
    )
    places = np.concatenate([np.zeros((1, 3)), beads])
    diameters = np.array([core_sigma] + [sigma] * len(beads))
    weights = diameters**3 / (diameters**3).sum()
    centre = weights @ places
    places = places - np.where(np.abs(centre) < 1e-12, 0.0, centre)
    if hand == "S":
        places = places * _MIRROR
    squares = np.square(places)
    moments = (
        weights @ (squares.sum(axis=1, keepdims=True) - squares) + 0.1 * weights @ diameters**2
    )
    kT = thermal_energy(REFERENCE_TEMPERATURE_K)
    first = replace(core, sigma_nm=core_sigma, position_nm=_vector(places[0]))
    sites = (first, *(Site(_vector(place), sigma, kT) for place in places[1:]))
    if any(first.position_nm):
        sites = (Site((0.0, 0.0, 0.0), 0.0, 0.0), *sites)
    return sites, _vector(cluster.mass_Da * moments)


def _vector(values: NDArray[np.float64]) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z
