"""Steric, electrostatic and environment terms as the numbers that every engine receives alike."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dipolar_md.errors import InputError, UnsupportedError
from dipolar_md.model.body import Body, Site
from dipolar_md.model.steric import ATTRACTION_REACH
from dipolar_md.units import KE, VOLT

Floats = NDArray[np.float64]


class StericTable(NamedTuple):
    """Pair parameters between kinds of sites, each (n_kinds, n_kinds).

    Attributes:
        sigma_nm: Arithmetic means σ_ij = (σ_i + σ_j)/2; 0 where either has no steric term.
        epsilon_kJ_mol: Geometric means.
        cutoff_nm: Minima 2^(1/6) σ_ij, or 3 σ_ij between two attractive sites.
    """

    sigma_nm: Floats
    epsilon_kJ_mol: Floats
    cutoff_nm: Floats


@dataclass(frozen=True)
class Interactions:
    """What acts between clusters, and in which environment.

    Attributes:
        temperature_K: Temperature, K.
        relative_permittivity: ε_r of the uniform medium; never defaulted.
        electrostatics: `cutoff`, a point-dipole sum truncated at `cutoff_nm` (no shift), or `ewald`
            (conducting boundary).
        cutoff_nm: Truncation distance of the dipole sum, centre to centre; with `ewald` the
            largest real-space cutoff to consider.
        ewald_accuracy: Rms errors of force and torque allowed, relative to those at contact.
        field_V_nm: Uniform electric field inside the medium, V/nm.

    Raises:
        InputError: a number that is not positive and finite.
        UnsupportedError: an unknown electrostatic method.
    """

    temperature_K: float
    relative_permittivity: float
    electrostatics: str = "cutoff"
    cutoff_nm: float = 10.0
    ewald_accuracy: float = 1e-3
    field_V_nm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        for key in ("temperature_K", "relative_permittivity", "cutoff_nm", "ewald_accuracy"):
            value = getattr(self, key)
            if not (np.isfinite(value) and value > 0):
                raise InputError(f"{key} must be positive and finite (found {value})")
        if self.electrostatics not in ("cutoff", "ewald"):
            raise UnsupportedError(
                f"electrostatics must be cutoff or ewald (found '{self.electrostatics}')"
            )
        if np.shape(self.field_V_nm) != (3,) or not np.isfinite(self.field_V_nm).all():
            raise InputError(f"field_V_nm must be three finite numbers (found {self.field_V_nm})")

    @property
    def coulomb_constant(self) -> float:
        """1/4πε₀ε_r in kJ mol⁻¹ nm e⁻²."""
        return KE / self.relative_permittivity

    @property
    def field_kJ_mol_e_nm(self) -> Floats:
        """(3,) field as force per charge, kJ mol⁻¹ nm⁻¹ e⁻¹."""
        return VOLT * np.asarray(self.field_V_nm, dtype=np.float64)

    def contact_scales(self, bodies: tuple[Body, ...]) -> tuple[float, float]:
        """Return the weakest contact force and torque, those by which errors are judged.

        6A/r⁴ and 2A/r³

        Args:
            bodies: Bodies of the system.

        Returns:
            Force in kJ/mol/nm and torque in kJ/mol.
        """
        pulls = [
            (body.axial_contact_nm, self.coulomb_constant * body.dipole_magnitude_e_nm**2)
            for body in bodies
        ]
        return min(6 * a / r**4 for r, a in pulls), min(2 * a / r**3 for r, a in pulls)

    @staticmethod
    def steric_table(bodies: tuple[Body, ...]) -> StericTable:
        """Return the pair parameters between the kinds of sites.

        Args:
            bodies: Bodies of the system; their kinds of sites are those of `site_kinds`.

        Returns:
            `StericTable`.
        """
        sites = [site for _, site in site_kinds(bodies)]
        sigma = np.array([site.sigma_nm for site in sites])
        epsilon = np.array([site.epsilon_kJ_mol for site in sites])
        attractive = np.array([site.attractive for site in sites])
        acts = np.logical_and.outer(sigma > 0, sigma > 0)
        mixed = np.where(acts, (sigma[:, None] + sigma) / 2, 0.0)
        both = np.logical_and.outer(attractive, attractive)
        reach = np.where(both, ATTRACTION_REACH, 2 ** (1 / 6)) * mixed
        return StericTable(mixed, np.sqrt(np.outer(epsilon, epsilon)), reach)

    @staticmethod
    def wall_table(bodies: tuple[Body, ...]) -> tuple[Floats, Floats, Floats]:
        """Return the WCA parameters of each kind of site towards a plane wall.

        The distance from the plane takes σ_i/2: a wall is a half-space that a site touches with its
        surface.

        Args:
            bodies: Bodies of the system; their kinds of sites are those of `site_kinds`.

        Returns:
            σ (nm), ε (kJ/mol) and cutoff (nm), (n_kinds,) each; ε and cutoff are 0 (σ is 1) for
            sites without steric term.
        """
        sites = [site for _, site in site_kinds(bodies)]
        half = np.array([site.sigma_nm / 2 for site in sites])
        epsilon = np.array([site.epsilon_kJ_mol for site in sites])
        acts = half > 0
        return np.where(acts, half, 1.0), np.where(acts, epsilon, 0.0), 2 ** (1 / 6) * half


def site_kinds(bodies: tuple[Body, ...]) -> list[tuple[int, Site]]:
    """Return (body index, a site of the kind) of every kind: the centres first, one per body.

    Sites of one body that differ in their position only are of one kind.
    """
    kinds = [(index, body.sites[0]) for index, body in enumerate(bodies)]
    for index, body in enumerate(bodies):
        seen: set[tuple[float | bool, ...]] = set()
        for site in body.sites[1:]:
            if (key := _key(site)) not in seen:
                seen.add(key)
                kinds.append((index, site))
    return kinds


def kinds_of_sites(bodies: tuple[Body, ...]) -> list[list[int]]:
    """Return, for each body, the index into `site_kinds` of each of its sites."""
    kinds = site_kinds(bodies)
    table = {(body, _key(site)): number for number, (body, site) in enumerate(kinds)}
    first = len(bodies)
    table = {key: number for key, number in table.items() if number >= first}
    return [
        [index, *(table[index, _key(site)] for site in body.sites[1:])]
        for index, body in enumerate(bodies)
    ]


def _key(site: Site) -> tuple[float | bool, ...]:
    return (
        *(site.sigma_nm, site.epsilon_kJ_mol, site.attractive),
        *(site.charge_e, site.polarisability_nm3),
    )
