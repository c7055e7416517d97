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
from dipolar_md.model.polarisation import (
    PolarisablePoints,
    axial_pull_scale,
    lateral_pull_scale,
)
from dipolar_md.model.steric import solve_diameters
from dipolar_md.units import DEBYE, REFERENCE_TEMPERATURE_K, thermal_energy

Vector = tuple[float, float, float]
_MIRROR = np.array([1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Site:
    """A site of a body: where it is, how it repels, what it carries.

    Attributes:
        position_nm: Position in the body frame, nm.
        sigma_nm: Steric diameter; 0 for a site without steric term.
        epsilon_kJ_mol: WCA strength; the depth of the well between two attractive sites.
        attractive: Lennard-Jones instead of WCA towards other attractive sites.
        charge_e: Site charge.
        polarisability_nm3: Polarisability volume of the site.
    """

    position_nm: Vector
    sigma_nm: float
    epsilon_kJ_mol: float
    attractive: bool = False
    charge_e: float = 0.0
    polarisability_nm3: float = 0.0


@dataclass(frozen=True)
class Body:
    """A rigid dipolar body in its principal frame; hashable, so `{body: 400}` counts bodies.

    Attributes:
        name: Type name in trajectories and engines.
        sites: Steric and charged sites, the first at the origin, the centre of mass.
        mass_Da: Mass, Da.
        inertia_Da_nm2: Three principal moments of inertia.
        dipole_e_nm: Body-frame dipole vector: that of the site charges where there are any, else a
            point dipole at the origin.
        axial_contact_nm: Head-to-tail contact, the length scale of bonding.
        hydrodynamic_radius_nm: Radius for Stokes friction.
        handedness: `R`, `S`, `racemic` or `achiral`, carried along for analysis.
        polarisability_nm3: Isotropic polarisability volume: the sum over polarisable sites where
            there are any, else a point polarisability at the origin. Polarisable sites of one body
            do not polarise each other.

    Raises:
        InputError: no site at the origin, charges that don't make up the dipole, or a
            polarisability that is negative, not finite or not that of the sites.
    """

    name: str
    sites: tuple[Site, ...]
    mass_Da: float
    inertia_Da_nm2: Vector
    dipole_e_nm: Vector
    axial_contact_nm: float
    hydrodynamic_radius_nm: float
    handedness: str = "achiral"
    polarisability_nm3: float = 0.0

    def __post_init__(self) -> None:
        if not self.sites or any(self.sites[0].position_nm):
            raise InputError(f"body '{self.name}': its first site must lie at the origin")
        self._check_polarisability()
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

    def _check_polarisability(self) -> None:
        alpha = self.polarisability_nm3
        parts = [site.polarisability_nm3 for site in self.sites]
        if not all(math.isfinite(part) and part >= 0 for part in (alpha, *parts)):
            raise InputError(
                f"body '{self.name}': polarisability_nm3 must be finite and not negative (found "
                f"{alpha:g}, sites {parts})"
            )
        if any(parts) and not math.isclose(sum(parts), alpha, rel_tol=1e-9):
            raise InputError(
                f"body '{self.name}': its sites' polarisabilities sum to {sum(parts):g} nm3, not "
                f"to polarisability_nm3 = {alpha:g}"
            )

    @property
    def polarisable_points(self) -> PolarisablePoints:
        """What of the body is polarised: its polarisable sites, else its centre; may be nothing."""
        parts = [(s.position_nm, s.polarisability_nm3) for s in self.sites if s.polarisability_nm3]
        damped = bool(parts)
        if not parts and self.polarisability_nm3:
            parts = [((0.0, 0.0, 0.0), self.polarisability_nm3)]
        return PolarisablePoints(
            np.array([place for place, _ in parts]).reshape(-1, 3),
            np.array([alpha for _, alpha in parts]),
            damped,
        )

    @property
    def unpolarised(self) -> "Body":
        """The body without polarisability, and without sites that have nothing else."""
        first, *others = self.sites
        kept = [s for s in others if s.sigma_nm or s.charge_e or not s.polarisability_nm3]
        sites = tuple(replace(s, polarisability_nm3=0.0) for s in (first, *kept))
        return replace(self, sites=sites, polarisability_nm3=0.0)

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
    attraction: str = "none",
    handedness: str | None = None,
    polarisation: str = "none",
    polarisability_nm3: float | None = None,
    contact_calibration: str = "permanent",
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

    `polarisation="centre"` puts the cluster's polarisability at the centre, as a point;
    `polarisation="sites"` shares it out evenly over the beads of the two rings (`Cluster.janus`,
    also for a sphere), with Thole's damping between bodies.

    Args:
        cluster: Shipped name, cluster file or cluster: chemistry and sizes.
        shape: `sphere` or `janus`.
        dipole: `point` or `charges`.
        dipole_D: Another dipole (debye) on the same body: σ stays solved for the cluster's own.
        axial_contact_nm: Another axial contact; σ is solved for it with the cluster's own dipole.
        attraction_kT: Depth, in kT at 298.15 K, of a Lennard-Jones well between cores instead of
            WCA (a sphere is then a Stockmayer particle); σ is solved with it, for the same contact.
        attraction: `none`, or `c6` for a Lennard-Jones well between cores whose C₆ = 4εσ⁶ is the
            cluster's own, at the same contact (spheres only).
        handedness: `R` or `S` of a cluster that the file calls racemic; needed for `janus`.
        polarisation: `none`, `centre` or `sites`.
        polarisability_nm3: Another polarisability than the cluster's.
        contact_calibration: `permanent` solves σ without induction; `with-polarisation` solves it
            with the pair's induction (side by side as if it came from the centre).

    Returns:
        `Body`, in its principal frame.

    Raises:
        UnsupportedError: another model of shape, dipole, polarisation or attraction, or a charged
            cluster.
        InputError: a dipole, contact, attraction or polarisability that is missing or not positive
            and finite, an impossible geometry, a polarisation catastrophe at the contact, or a
            handedness that the file contradicts.
    """
    _check_options(shape, dipole, polarisation, attraction, contact_calibration)
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
    alpha = _polarisability(cluster, polarisation, polarisability_nm3)
    points = _points(cluster, polarisation, alpha, hand)
    scale = float(theory.dipole_energy_scale(cluster.dipole_e_nm))
    scales = [scale, scale]
    if contact_calibration == "with-polarisation":
        lateral = cluster.lateral_contact_nm.value
        scales = [
            axial_pull_scale(points, scale, contact),
            lateral_pull_scale(points, scale, lateral),
        ]
    core = _core(cluster, attraction, attraction_kT, shape, contact, scales[0])
    radius = cluster.hydrodynamic_radius_nm.value
    if shape == "sphere":
        sigma = float(theory.wca_sigma(contact, core.epsilon_kJ_mol, scales[0]))
        sites: tuple[Site, ...] = (replace(core, sigma_nm=sigma),)
        inertia = (0.4 * cluster.mass_Da * radius**2,) * 3
    else:
        sites, inertia = _janus(cluster, core, contact, (scales[0], scales[1]), hand)
    if polarisation == "sites":
        sites = _with_polarisable_beads(sites, points)
    if dipole == "charges":
        sites = (*sites, *_charges(cluster, debye, contact))
    return Body(
        name=cluster.name if hand == cluster.handedness else f"{cluster.name}-{hand}",
        sites=sites,
        mass_Da=cluster.mass_Da,
        inertia_Da_nm2=inertia,
        dipole_e_nm=(0.0, 0.0, debye * DEBYE),
        axial_contact_nm=contact,
        hydrodynamic_radius_nm=radius,
        handedness=hand,
        polarisability_nm3=alpha,
    )


def _check_options(
    shape: str, dipole: str, polarisation: str, attraction: str, contact_calibration: str
) -> None:
    for option, chosen, known in (
        ("shape", shape, ("sphere", "janus")),
        ("dipole", dipole, ("point", "charges")),
        ("polarisation", polarisation, ("none", "centre", "sites")),
        ("attraction", attraction, ("none", "c6")),
        ("contact_calibration", contact_calibration, ("permanent", "with-polarisation")),
    ):
        if chosen not in known:
            raise UnsupportedError(f"{option} must be {' or '.join(known)} (found '{chosen}')")


def _charges(cluster: Cluster, debye: float, contact: float) -> tuple[Site, Site]:
    """Return the two charges of an extended dipole."""
    charge = cluster.hemisphere_charge_e.value
    half = debye * DEBYE / charge / 2
    if 2 * half >= contact:
        raise InputError(
            f"hemisphere_charge_e = {charge:g}: charges {2 * half:.3f} nm apart would meet "
            f"those of a neighbour at {contact:g} nm; use dipole='point'"
        )
    up, down = (Site((0.0, 0.0, s * half), 0.0, 0.0, charge_e=s * charge) for s in (1.0, -1.0))
    return up, down


def _core(
    cluster: Cluster,
    attraction: str,
    attraction_kT: float,
    shape: str,
    contact: float,
    energy_scale: float,
) -> Site:
    """Return the core's steric term, its σ left open.

    With `c6`, C₆ = 4εσ⁶ and the minimum at the contact c give 4εσ¹² = (c⁶C₆ + A c⁹)/2.
    """
    kT = thermal_energy(REFERENCE_TEMPERATURE_K)
    centre = (0.0, 0.0, 0.0)
    if attraction == "none":
        return Site(centre, 0.0, (attraction_kT or 1.0) * kT, attractive=attraction_kT > 0)
    if attraction_kT:
        raise InputError("attraction='c6' computes the depth itself: leave out attraction_kT")
    if shape != "sphere":
        raise UnsupportedError(
            "attraction='c6' needs shape='sphere': a janus core hides under its rings; give "
            "attraction_kT"
        )
    if cluster.c6_kJ_mol_nm6 is None:
        raise InputError(
            f"'{cluster.name}' states no c6_kJ_mol_nm6, which attraction='c6' needs: compute it "
            "(dipolar-md dipole FILE) or give attraction_kT"
        )
    c6 = cluster.c6_kJ_mol_nm6.value
    repulsion = (c6 * contact**6 + energy_scale * contact**9) / 2
    return Site(centre, 0.0, c6**2 / (4 * repulsion), attractive=True)


def _polarisability(cluster: Cluster, polarisation: str, stated: float | None) -> float:
    if polarisation == "none":
        if stated is not None:
            raise InputError("polarisability_nm3 needs polarisation='centre' or 'sites'")
        return 0.0
    own = cluster.polarisability_nm3
    if stated is None and own is None:
        raise InputError(
            f"'{cluster.name}' states no polarisability_nm3, which polarisation='{polarisation}' "
            "needs: compute it (dipolar-md dipole FILE), or give polarisability_nm3"
        )
    alpha = stated if stated is not None or own is None else own.value
    if not (alpha is not None and np.isfinite(alpha) and alpha > 0):
        raise InputError(f"polarisability_nm3 must be positive and finite (found {alpha})")
    return float(alpha)


def _points(cluster: Cluster, polarisation: str, alpha: float, hand: str) -> PolarisablePoints:
    """Return the polarisable points of a cluster: none, its centre, or the beads of its rings."""
    if polarisation == "none":
        places = np.zeros((0, 3))
    elif polarisation == "centre":
        places = np.zeros((1, 3))
    else:
        places = _ring_beads(cluster, hand)
    return PolarisablePoints(
        places, np.full(len(places), alpha / max(len(places), 1)), polarisation == "sites"
    )


def _with_polarisable_beads(sites: tuple[Site, ...], points: PolarisablePoints) -> tuple[Site, ...]:
    """Return the sites with the polarisability on the ring beads, which a sphere gets as well."""
    alphas = points.polarisabilities_nm3
    beads = [site for site in sites if site.sigma_nm][1:]
    if not beads:
        return (
            *sites,
            *(
                Site(_vector(place), 0.0, 0.0, polarisability_nm3=float(alpha))
                for place, alpha in zip(points.positions_nm, alphas, strict=True)
            ),
        )
    others = sites[: len(sites) - len(beads)]
    return (
        *others,
        *(replace(s, polarisability_nm3=float(a)) for s, a in zip(beads, alphas, strict=True)),
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


def _ring_beads(cluster: Cluster, hand: str) -> NDArray[np.float64]:
    """Return the beads (2n, 3) of the two rings about the core; S is the mirror image of R."""
    shape = cluster.janus
    if shape is None:
        raise InputError(
            f"'{cluster.name}' has no [janus] table: shape='janus' and polarisation='sites' "
            "need one"
        )
    turns = 2 * np.pi * np.arange(shape.beads_per_ring) / shape.beads_per_ring
    twist = 0.0 if hand in ("achiral", "racemic") else math.radians(shape.twist_deg.value)
    rings = [
        np.stack([r * np.cos(turns + a), r * np.sin(turns + a), np.full(len(turns), z)], axis=1)
        for r, z, a in (
            (shape.au_ring_radius_nm.value, shape.au_ring_height_nm.value, 0.0),
            (shape.partner_ring_radius_nm.value, -shape.partner_ring_height_nm.value, twist),
        )
    ]
    beads = np.concatenate(rings)
    return beads * _MIRROR if hand == "S" else beads


def _janus(
    cluster: Cluster, core: Site, contact: float, scales: tuple[float, float], hand: str
) -> tuple[tuple[Site, ...], Vector]:
    """Return the sites of a core with two rings, centre of mass at the origin, and the inertia."""
    if hand == "racemic":
        raise InputError(
            f"'{cluster.name}' is racemic: a janus body is R or S; give handedness, and mix both"
        )
    beads = _ring_beads(cluster, "R" if hand == "S" else hand)
    sigma, core_sigma = solve_diameters(
        beads,
        core.epsilon_kJ_mol,
        core.attractive,
        scales,
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
