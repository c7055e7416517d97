"""A molecule's dipole: its file's own value, from partial charges, from a density, or GFN2-xTB.

A neutral molecule's dipole has no origin. A charged one's does, μ(O') = μ(O) − Q (O' − O): it is
refused unless asked for, and then refers to the centre of mass. Vectors point from negative to
positive charge.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from dipolar_md.chemistry.molecule import Floats, Molecule, need
from dipolar_md.chemistry.read_structure import read_molecule
from dipolar_md.errors import InputError
from dipolar_md.units import BOHR, DEBYE

Method: TypeAlias = Literal["auto", "output", "density", "charges", "gfn2"]
"""How to get a dipole; `auto` takes the first of output, density and charges that the file has."""

METHODS: tuple[Method, ...] = get_args(Method)

LEAST_DIPOLE_D = 0.01
"""Below this a molecule has no dipole axis, in debye."""

_LAST_ELEMENT = 86  # of the GFN2-xTB parametrisation


class Dipole(NamedTuple):
    """A dipole moment and where it comes from.

    Attributes:
        method: `output`, `density`, `charges` or `gfn2`.
        vector_e_nm: (3,) in the coordinates of the molecule, about its centre of mass.
        source: One sentence for the cluster file.
        charges_e: (n,) partial charges of the same source; None where there are none.
    """

    method: str
    vector_e_nm: Floats
    source: str
    charges_e: Floats | None = None

    @property
    def magnitude_D(self) -> float:
        """|μ| in debye."""
        return float(np.linalg.norm(self.vector_e_nm)) / DEBYE


def charge_dipole(positions_nm: ArrayLike, charges_e: ArrayLike, origin_nm: ArrayLike) -> Floats:
    """Return the dipole of point charges.

    μ = Σ q_i (r_i − O)

    Args:
        positions_nm: (n, 3) places of the charges.
        charges_e: (n,) charges.
        origin_nm: (3,) the origin O; without effect where the charges sum to zero.

    Returns:
        (3,) vector in e nm.

    Raises:
        InputError: shapes that don't fit, or values that aren't finite.
    """
    positions, charges = np.asarray(positions_nm, float), np.asarray(charges_e, float)
    if positions.shape != (len(charges), 3):
        raise InputError(
            f"charge_dipole: {charges.shape} charges need positions ({len(charges)}, 3); found "
            f"{positions.shape}"
        )
    if not (np.all(np.isfinite(positions)) and np.all(np.isfinite(charges))):
        raise InputError("charge_dipole: positions and charges must be finite")
    moment: Floats = charges @ (positions - np.asarray(origin_nm, float))
    return moment


def compute_dipole(
    molecule: str | Path | Molecule,
    method: Method = "auto",
    *,
    net_charge_e: int | None = None,
    allow_charged: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Dipole:
    """Return the dipole of a molecule by one method.

    Args:
        molecule: Atoms, and what its file gives; or a file that `read_molecule` reads.
        method: How to get the dipole, see `Method`.
        net_charge_e: The molecule's charge; None takes the file's, or 0 where it states none.
        allow_charged: Whether a charged molecule is accepted; its dipole is about the centre of
            mass.
        progress: Function called with a line of text while GFN2-xTB runs.

    Returns:
        `Dipole`, with its source in a sentence.

    Raises:
        InputError: the file has no such dipole, its charge is another, partial charges don't sum
            to it, the molecule is charged, or its dipole vanishes.
        EngineMissingError: `gfn2` without tblite.
    """
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)} (found '{method}')")
    molecule = read_molecule(molecule)
    charge = _net_charge(molecule, net_charge_e, allow_charged)
    if method == "auto":
        available = available_methods(molecule)
        if not available:
            raise InputError(
                f"{molecule.path}: no dipole and no partial charges in it: give --charges FILE, or "
                "compute it with --method gfn2"
            )
        method = available[0]
    found = _by(molecule, method, charge, progress)
    if not found.magnitude_D >= LEAST_DIPOLE_D:
        raise InputError(
            f"{molecule.path}: zero dipole ({found.magnitude_D:.4f} D by {method}), no axis: not a "
            "dipolar cluster"
        )
    return found


def available_methods(molecule: Molecule) -> list[Method]:
    """Return the methods that need no calculation, the most direct first."""
    routes: list[Method] = []
    if molecule.dipole is not None:
        routes.append("density" if molecule.dipole.route == "density" else "output")
    if molecule.charges_e:
        routes.append("charges")
    return routes


def compare_dipoles(
    molecule: str | Path | Molecule,
    *,
    net_charge_e: int | None = None,
    allow_charged: bool = False,
    progress: Callable[[str], None] | None = None,
) -> list[Dipole]:
    """Return the dipole by every available source: output, density, each kind of charges, GFN2-xTB.

    Args:
        molecule: Atoms, and what its file gives; or a file that `read_molecule` reads.
        net_charge_e: The molecule's charge; None takes the file's, or 0 where it states none.
        allow_charged: Whether a charged molecule is accepted; its dipole is about the centre of
            mass.
        progress: Function called with a line of text while GFN2-xTB runs.

    Returns:
        One `Dipole` per source, the most direct first.

    Raises:
        InputError: as `compute_dipole`, but a vanishing dipole is shown.
    """
    molecule = read_molecule(molecule)
    charge = _net_charge(molecule, net_charge_e, allow_charged)
    routes = [r for r in available_methods(molecule) if r != "charges"]
    found = [_by(molecule, route, charge, progress) for route in routes]
    found += [_from_charges(molecule, kind, charge) for kind in molecule.charges_e]
    if has_gfn2():
        found.append(_gfn2(molecule, charge, progress))
    return found


def has_gfn2() -> bool:
    """Return whether GFN2-xTB (tblite) is installed."""
    from importlib.util import find_spec

    return find_spec("tblite") is not None


def _net_charge(molecule: Molecule, stated: int | None, allow_charged: bool) -> int:
    own = molecule.net_charge_e
    if stated is not None and own is not None and stated != own:
        raise InputError(f"{molecule.path}: its charge is {own:+d} e, not the {stated:+d} e stated")
    charge = stated if stated is not None else own or 0
    if charge and not allow_charged:
        raise InputError(
            f"{molecule.path}: a charge of {charge:+d} e makes the dipole depend on the origin "
            f"({abs(charge) * 0.1 / DEBYE:.1f} D per Å): --allow-charged takes it about the centre "
            "of mass"
        )
    return charge


def _by(
    molecule: Molecule,
    method: str,
    charge: int,
    progress: Callable[[str], None] | None,
) -> Dipole:
    if method == "gfn2":
        return _gfn2(molecule, charge, progress)
    if method == "charges":
        if not molecule.charges_e:
            raise InputError(f"{molecule.path}: no partial charges in it: give --charges FILE")
        return _from_charges(molecule, next(iter(molecule.charges_e)), charge)
    own = molecule.dipole
    if own is None or (own.route == "density") != (method == "density"):
        raise InputError(
            f"{molecule.path}: no {method} with a dipole in it; available: "
            f"{', '.join(available_methods(molecule)) or 'none'}; or compute it with --method gfn2"
        )
    vector = own.vector_e_nm - charge * (molecule.centre_of_mass_nm - own.origin_nm)
    if not np.all(np.isfinite(vector)):
        raise InputError(f"{molecule.path}: its dipole is not finite")
    what = "Integral of the density" if method == "density" else "Dipole printed"
    by = f" by {molecule.method}" if molecule.method else ""
    charges = next(iter(molecule.charges_e.values()), None)
    source = f"{what} in {_name(molecule)}{by}{_about(charge)}."
    return Dipole(method, vector, source, charges)


def _name(molecule: Molecule) -> str:
    return molecule.path.rsplit("/", 1)[-1]


def _about(charge: int) -> str:
    return f", charge {charge:+d} e, about the centre of mass" if charge else ""


def _from_charges(molecule: Molecule, kind: str, charge: int) -> Dipole:
    charges = molecule.charges_e[kind]
    total = float(charges.sum())
    allowed = max(0.01, 0.001 * len(charges) ** 0.5)  # rounding to three decimals
    if not abs(total - charge) <= allowed:
        raise InputError(
            f"{molecule.path}: the {kind} charges sum to {total:+.4f} e, not to the stated "
            f"{charge:+d} e (± {allowed:.3f}): give the right --charge, or mend the charges"
        )
    vector = charge_dipole(molecule.positions_nm, charges, molecule.centre_of_mass_nm)
    words = {"file": "partial charges given with", "given": "partial charges of"}
    what = words.get(kind, f"{kind} charges in")
    return Dipole(
        "charges", vector, f"Sum of q r over the {what} {_name(molecule)}{_about(charge)}.", charges
    )


# --- GFN2-xTB -------------------------------------------------------------------------------------


def _gfn2(
    molecule: Molecule,
    charge: int,
    progress: Callable[[str], None] | None,
) -> Dipole:
    """Return the GFN2-xTB dipole.

    C. Bannwarth, S. Ehlert, S. Grimme, J. Chem. Theory Comput. 2019, 15, 1652,
    https://doi.org/10.1021/acs.jctc.8b01176. No polarisability: its minimal basis gives water a
    quarter of the measured one.
    """
    need("tblite", molecule.path)
    if np.any(molecule.numbers > _LAST_ELEMENT):
        raise InputError(f"{molecule.path}: GFN2-xTB ends at radon; it holds heavier elements")
    moment, charges = _singlepoint(molecule, charge, progress or (lambda line: None))
    source = (
        f"GFN2-xTB (tblite) at the coordinates of {_name(molecule)}{_about(charge)}; Bannwarth et "
        "al., J. Chem. Theory Comput. 2019, 15, 1652 (doi:10.1021/acs.jctc.8b01176)."
    )
    return Dipole("gfn2", moment * BOHR, source, charges)


def _singlepoint(
    molecule: Molecule,
    charge: int,
    report: Callable[[str], None],
) -> tuple[Floats, Floats]:
    """Return dipole (e bohr) and Mulliken charges of one calculation.

    It runs in a thread of its own, because the library doesn't return to Python before it is done:
    so an interrupt is heard at once, and the abandoned thread ends with the program.
    """
    from tblite.interface import Calculator

    centred = (molecule.positions_nm - molecule.centre_of_mass_nm) / BOHR
    unpaired = int(molecule.numbers.sum() - charge) % 2
    cycle = ["0"]
    outcome: list[tuple[Floats, Floats] | BaseException] = []

    def log(line: str) -> None:
        if (words := line.split()) and words[0].isdigit():
            cycle[0] = words[0]

    def work() -> None:
        try:
            calculator = Calculator(
                "GFN2-xTB", molecule.numbers, centred, float(charge), unpaired, logger=log
            )
            result = calculator.singlepoint()
            outcome.append((result.get("dipole"), result.get("charges")))
        except Exception as error:  # handed to the caller's thread
            outcome.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.2)
        report(f"GFN2-xTB of {len(molecule)} atoms, cycle {cycle[0]}")
    (found,) = outcome
    if isinstance(found, BaseException):
        raise InputError(
            f"{molecule.path}: GFN2-xTB failed after {cycle[0]} cycles ({found}): check the charge "
            f"({charge:+d} e), the hydrogens and the geometry"
        ) from found
    if not all(np.all(np.isfinite(values)) for values in found):
        raise InputError(f"{molecule.path}: GFN2-xTB gave numbers that aren't finite")
    return found
