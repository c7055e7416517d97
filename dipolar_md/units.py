"""The only physical constants: everything inside is nm, kJ/mol, Da, ps and e.

These units close: 1 Da nm² ps⁻² = 1 kJ/mol, so a force is kJ mol⁻¹ nm⁻¹ = Da nm ps⁻² and no
conversion factor appears in an equation of motion. The values follow CODATA 2022
(https://doi.org/10.1103/RevModPhys.97.025002); e, N_A and k are exact in the SI.
"""

import math

_E = 1.602176634e-19  # C, exact
_N_A = 6.02214076e23  # 1/mol, exact
_K_B = 1.380649e-23  # J/K, exact
_C = 299792458.0  # m/s, exact
_EPSILON_0 = 8.8541878188e-12  # F/m

KB = _K_B * _N_A * 1e-3
"""Boltzmann constant (gas constant) in kJ mol⁻¹ K⁻¹."""

KE = _E**2 / (4 * math.pi * _EPSILON_0) * _N_A * 1e-3 * 1e9
"""Coulomb constant e²/4πε₀ in kJ mol⁻¹ nm."""

DEBYE = 1e-21 / _C / _E * 1e9
"""One debye (10⁻²¹/c C m) in e nm."""

ANGSTROM = 0.1
"""One ångström in nm."""

BOHR = 0.0529177210544
"""One bohr in nm."""

HARTREE = KE / BOHR
"""One hartree in kJ/mol."""

MILLIMOLAR = _N_A * 1e-27
"""One mmol/L (= mol m⁻³) in clusters per nm³."""

MPA_S = 1e-3 * _N_A * 1e-18
"""One mPa s in Da nm⁻¹ ps⁻¹."""

VOLT = _E * _N_A * 1e-3
"""One e V in kJ/mol."""

REFERENCE_TEMPERATURE_K = 298.15
"""Temperature at which steric parameters are defined, in K."""


def thermal_energy(temperature_K: float) -> float:
    """Return kT in kJ/mol at `temperature_K` (K)."""
    return KB * temperature_K
