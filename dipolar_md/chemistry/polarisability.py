"""A molecule's polarisability and dispersion: its file's own tensor, DFT-D4, or a stated number.

Polarisabilities are volumes, α/(4πε₀). DFT-D4 sums atomic values that know their neighbours and
their partial charge; for neutral closed-shell molecules they agree with measurement within 10 %
(C₆₀, benzene, naphthalene and acetonitrile within 4 %, water 7 %). Its answer to a net charge is
too weak to be used: it gives 2.5 Å³ for Cl⁻ (5.5 measured), 0.9 Å³ for F⁻ (2.5) and 23 Å³ for Na⁺
(0.15), and the same within 3 % for a hemisphere of charge 0 and ±2 e. So charged molecules are
refused, and a hemisphere's share is taken out of the neutral whole.

Source: E. Caldeweyher et al., J. Chem. Phys. 150, 154122 (2019),
https://doi.org/10.1063/1.5090222 (DFT-D4).
"""

import math
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from dipolar_md.chemistry.molecule import Floats, Molecule, need
from dipolar_md.chemistry.shape import hemispheres
from dipolar_md.errors import InputError
from dipolar_md.units import BOHR, HARTREE

PolarisabilityMethod: TypeAlias = Literal["auto", "output", "d4"]
"""Source of a polarisability; `auto` takes the file's own tensor, else DFT-D4."""

LARGEST_DENSITY = 2.0
"""Largest polarisability volume allowed, in units of the volume of the molecule's atoms (spheres of
their van der Waals radii); a conducting sphere reaches 1, conjugated chains up to about 2."""

_LAST_ELEMENT = 103  # of the DFT-D4 parametrisation
_D4 = "DFT-D4 atomic values (Caldeweyher et al. 2019, doi:10.1063/1.5090222)"


class Polarisability(NamedTuple):
    """Static dipole polarisability and dispersion coefficient of a molecule.

    Attributes:
        method: `output`, `d4` or `stated`.
        mean_nm3: Polarisability volume, a third of the trace of the tensor.
        source: One sentence for the cluster file.
        tensor_nm3: (3, 3) in the coordinates of the molecule; None where the source has none.
        c6_kJ_mol_nm6: C₆ of two such molecules, U = −C₆/r⁶; None where it is unknown.
        c6_source: One sentence for the cluster file.
        atomic_nm3: (n,) shares of the atoms; None where the source has none.
    """

    method: str
    mean_nm3: float
    source: str
    tensor_nm3: Floats | None = None
    c6_kJ_mol_nm6: float | None = None
    c6_source: str = ""
    atomic_nm3: Floats | None = None

    def along(self, axis: Floats) -> float:
        """Return the polarisability along a direction (3,), in nm³: the mean without a tensor."""
        if self.tensor_nm3 is None:
            return self.mean_nm3
        unit = np.asarray(axis, float) / np.linalg.norm(axis)
        return float(unit @ self.tensor_nm3 @ unit)


class HemisphereShares(NamedTuple):
    """Polarisabilities of the two halves of a Janus cluster and where they are centred.

    Attributes:
        gold_nm3: Share of the gold half.
        partner_nm3: Share of the other half.
        gold_height_nm: Centre of the gold half's polarisability along the dipole, from the centre
            of mass.
        partner_height_nm: The same of the other half.
    """

    gold_nm3: float
    partner_nm3: float
    gold_height_nm: float
    partner_height_nm: float


def compute_polarisability(
    molecule: Molecule,
    method: PolarisabilityMethod = "auto",
    *,
    net_charge_e: int | None = None,
    stated_nm3: float | None = None,
    stated_source: str = "Given by the user.",
) -> Polarisability:
    """Return the static polarisability of a molecule and its dispersion coefficient.

    α = Σ_i α_i and C₆ = Σ_ij C₆,ij over the atoms (DFT-D4), or the trace of a computed tensor

    Args:
        molecule: Atoms, and what their file gives.
        method: Source of the polarisability; C₆ is always that of DFT-D4.
        net_charge_e: Charge of the molecule; None takes the file's, or 0 where it states none.
        stated_nm3: Polarisability volume that replaces a computed one.
        stated_source: Source of the stated number.

    Returns:
        `Polarisability`. Without dftd4, or of a charged molecule, a tensor or a stated number comes
        without C₆.

    Raises:
        InputError: Another method, no tensor in the file or a broken one, a charged molecule or an
            element that DFT-D4 can't treat, or a value that is negative, not finite or absurd.
        EngineMissingError: `d4` without dftd4.

    Valid for DFT-D4 within about 10 % for neutral molecules (see the module); a lower bound where
    one half of a neutral molecule holds excess electrons, whose diffuse density it doesn't see.
    """
    if method not in get_args(PolarisabilityMethod):
        known = ", ".join(get_args(PolarisabilityMethod))
        raise InputError(
            f"polarisability method must be one of {known}, or a number in nm3 (found '{method}')"
        )
    charge = net_charge_e if net_charge_e is not None else molecule.net_charge_e or 0
    name = molecule.path.rsplit("/", 1)[-1]
    if stated_nm3 is not None:
        alpha, tensor, source, how = stated_nm3, None, stated_source, "stated"
    elif method == "output" or (method == "auto" and molecule.polarisability_nm3 is not None):
        tensor = _tensor(molecule)
        alpha, how = float(np.trace(tensor)) / 3, "output"
        by = f" by {molecule.method}" if molecule.method else ""
        source = f"Static polarisability tensor printed in {name}{by}."
    else:
        found = _by_d4(molecule, charge, name)
        check_polarisability(found.mean_nm3, molecule)
        return found
    check_polarisability(alpha, molecule)
    plain = Polarisability(how, alpha, source, tensor)
    if charge or not has_d4():
        return plain
    d4 = _by_d4(molecule, charge, name)
    return plain._replace(
        c6_kJ_mol_nm6=d4.c6_kJ_mol_nm6, c6_source=d4.c6_source, atomic_nm3=d4.atomic_nm3
    )


def hemisphere_shares(
    molecule: Molecule, polarisability: Polarisability, axis: Floats
) -> HemisphereShares | None:
    """Return what each half of a cluster contributes; None without two metals or atomic values.

    Args:
        molecule: The cluster.
        polarisability: With atomic values, which are scaled to its mean.
        axis: (3,) direction of the dipole.
    """
    halves = hemispheres(molecule)
    atomic = polarisability.atomic_nm3
    if halves is None or atomic is None:
        return None
    atomic = atomic * (polarisability.mean_nm3 / atomic.sum())
    unit = np.asarray(axis, float) / np.linalg.norm(axis)
    heights = (molecule.positions_nm - molecule.centre_of_mass_nm) @ unit
    gold = halves.gold
    return HemisphereShares(
        float(atomic[gold].sum()),
        float(atomic[~gold].sum()),
        float(np.average(heights[gold], weights=atomic[gold])),
        float(np.average(heights[~gold], weights=atomic[~gold])),
    )


def has_d4() -> bool:
    """Return whether DFT-D4 (dftd4) is installed."""
    from importlib.util import find_spec

    return find_spec("dftd4") is not None


def check_polarisability(alpha_nm3: float, molecule: Molecule) -> None:
    """Refuse a polarisability that no molecule of these atoms can have.

    Raises:
        InputError: Not positive, not finite, or larger than `LARGEST_DENSITY` allows.
    """
    if not (math.isfinite(alpha_nm3) and alpha_nm3 > 0):
        raise InputError(
            f"{molecule.path}: polarisability_nm3 must be positive and finite (found {alpha_nm3:g})"
        )
    most = LARGEST_DENSITY * float((molecule.van_der_waals_nm**3).sum())
    if alpha_nm3 > most:
        raise InputError(
            f"{molecule.path}: a polarisability of {alpha_nm3:.4g} nm3 is more than the "
            f"{most:.3g} nm3 that {len(molecule)} such atoms can have: is it in nm3 "
            "(1 Å3 = 0.001 nm3, 1 bohr3 = 0.000148 nm3)?"
        )


def _tensor(molecule: Molecule) -> Floats:
    tensor = molecule.polarisability_nm3
    if tensor is None:
        raise InputError(
            f"{molecule.path}: no polarisability in it: repeat the calculation with its keyword "
            "(Gaussian Polar, ORCA %elprop Polar 1), compute it by DFT-D4 "
            "(--polarisability d4), or state a number"
        )
    if not (np.shape(tensor) == (3, 3) and np.isfinite(tensor).all()):
        raise InputError(f"{molecule.path}: its polarisability is no finite 3 x 3 tensor: {tensor}")
    return (tensor + tensor.T) / 2


def _by_d4(molecule: Molecule, charge: int, name: str) -> Polarisability:
    need("dftd4", molecule.path, "qm")
    if charge:
        raise InputError(
            f"{molecule.path}: a charge of {charge:+d} e: DFT-D4 misses what excess or lacking "
            "electrons do (Cl-: 2.5 of the measured 5.5 Å3): take a tensor computed with diffuse "
            "functions (a quantum-chemistry output), or state a number"
        )
    if np.any(molecule.numbers > _LAST_ELEMENT):
        raise InputError(f"{molecule.path}: DFT-D4 ends at lawrencium; it holds heavier elements")
    from dftd4.interface import DispersionModel

    try:
        model = DispersionModel(molecule.numbers, molecule.positions_nm / BOHR, float(charge))
        found = model.get_properties()
    except RuntimeError as error:  # what the library raises of whatever it can't treat
        raise InputError(f"{molecule.path}: DFT-D4 failed ({error})") from error
    atomic = np.asarray(found["polarizabilities"], float) * BOHR**3
    c6 = float(np.sum(found["c6 coefficients"])) * HARTREE * BOHR**6
    source = f"Sum of {_D4} at the coordinates of {name}; within about 10 % for neutral molecules."
    return Polarisability(
        "d4",
        float(atomic.sum()),
        source,
        c6_kJ_mol_nm6=c6,
        c6_source=f"Sum over all pairs of atoms of {_D4} at the coordinates of {name}.",
        atomic_nm3=atomic,
    )
