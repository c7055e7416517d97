"""Steric, electrostatic and environment terms as the numbers that every engine receives alike."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dipolar_md.errors import InputError, UnsupportedError
from dipolar_md.model.body import Body
from dipolar_md.units import KE


class StericTable(NamedTuple):
    """WCA parameters between body types, each (n_bodies, n_bodies).

    Attributes:
        sigma_nm: arithmetic means σ_ij = (σ_i + σ_j)/2.
        epsilon_kJ_mol: geometric means.
        cutoff_nm: minima 2^(1/6) σ_ij.
    """

    sigma_nm: NDArray[np.float64]
    epsilon_kJ_mol: NDArray[np.float64]
    cutoff_nm: NDArray[np.float64]


@dataclass(frozen=True)
class Interactions:
    """What acts between clusters, and in which environment.

    Attributes:
        temperature_K: temperature.
        relative_permittivity: ε_r of the uniform medium; never defaulted.
        electrostatics: `cutoff`, a point-dipole sum truncated at `cutoff_nm` (no shift).
        cutoff_nm: truncation distance of the dipole sum, centre to centre.

    Raises:
        InputError: a number that is not positive and finite.
        UnsupportedError: an unknown electrostatic method.
    """

    temperature_K: float
    relative_permittivity: float
    electrostatics: str = "cutoff"
    cutoff_nm: float = 10.0

    def __post_init__(self) -> None:
        for key in ("temperature_K", "relative_permittivity", "cutoff_nm"):
            value = getattr(self, key)
            if not (np.isfinite(value) and value > 0):
                raise InputError(f"{key} must be positive and finite (found {value})")
        if self.electrostatics != "cutoff":
            raise UnsupportedError(
                f"electrostatics='{self.electrostatics}' is not part of this version; "
                "use electrostatics='cutoff'"
            )

    @property
    def coulomb_constant(self) -> float:
        """1/4πε₀ε_r in kJ mol⁻¹ nm e⁻²."""
        return KE / self.relative_permittivity

    @staticmethod
    def steric_table(bodies: tuple[Body, ...]) -> StericTable:
        """Return the WCA parameters between the types of `bodies`."""
        sites = [body.sites[0] for body in bodies]
        sigma = np.array([site.sigma_nm for site in sites])
        epsilon = np.array([site.epsilon_kJ_mol for site in sites])
        mixed = (sigma[:, None] + sigma[None, :]) / 2
        return StericTable(mixed, np.sqrt(np.outer(epsilon, epsilon)), 2 ** (1 / 6) * mixed)
