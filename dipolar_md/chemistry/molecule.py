"""One molecule: atoms, bonds, partial charges; made whole, chosen out of several, and checked."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dipolar_md.errors import EngineMissingError, InputError
from dipolar_md.units import ANGSTROM

Floats = NDArray[np.float64]

BOND_TOLERANCE_NM = 0.04
"""Atoms are bonded up to the sum of their covalent radii and this, the rule of the Cambridge
Structural Database (radii: B. Cordero et al., Dalton Trans. 2008, 2832, doi:10.1039/b801115j)."""


class OwnDipole(NamedTuple):
    """The dipole that a file itself gives: how, vector in e nm, and the origin it refers to."""

    route: str
    vector_e_nm: Floats
    origin_nm: Floats


@dataclass(frozen=True, eq=False)
class Molecule:
    """One molecule as a file gives it.

    Attributes:
        path: File that it comes from.
        numbers: (n,) atomic numbers.
        positions_nm: (n, 3) coordinates.
        charges_e: (n,) partial charges by kind (`mulliken`, `file` …), the preferred kind first.
        net_charge_e: Net charge that the file states; None where it states none.
        dipole: The dipole that the file gives; None where it gives none.
        polarisability_nm3: (3, 3) polarisability volume; None where the file gives none.
        method: What the file says of its method, for the sources.
        notes: What a reader should know of how the molecule was made.
    """

    path: str
    numbers: NDArray[np.int64]
    positions_nm: Floats
    charges_e: Mapping[str, Floats] = field(default_factory=dict)
    net_charge_e: int | None = None
    dipole: OwnDipole | None = None
    polarisability_nm3: Floats | None = None
    method: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.numbers)

    @cached_property
    def symbols(self) -> list[str]:
        """Chemical symbols, (n,)."""
        from molmass import ELEMENTS

        return [ELEMENTS[int(z)].symbol for z in self.numbers]

    @cached_property
    def masses_Da(self) -> Floats:
        """Standard atomic weights, (n,)."""
        from molmass import ELEMENTS

        return np.array([ELEMENTS[int(z)].mass for z in self.numbers])

    @cached_property
    def formula(self) -> str:
        """Sum formula in Hill order."""
        return hill_formula(self.symbols)

    @cached_property
    def centre_of_mass_nm(self) -> Floats:
        """Centre of mass, (3,)."""
        return np.average(self.positions_nm, axis=0, weights=self.masses_Da)

    @cached_property
    def van_der_waals_nm(self) -> Floats:
        """Van der Waals radii, (n,), of S. Alvarez, Dalton Trans. 2013, 42, 8617.

        https://doi.org/10.1039/c3dt50599e

        Raises:
            InputError: an element without one.
        """
        need("ase", self.path)
        from ase.data.vdw_alvarez import vdw_radii

        radii = np.array([vdw_radii[z] if z < len(vdw_radii) else np.nan for z in self.numbers])
        if np.any(np.isnan(radii)):
            unknown = sorted({s for s, r in zip(self.symbols, radii, strict=True) if np.isnan(r)})
            raise InputError(f"{self.path}: no van der Waals radius is known for {unknown}")
        return radii * ANGSTROM

    @cached_property
    def bonds(self) -> NDArray[np.int64]:
        """Pairs of bonded atoms, (m, 2), each once (`BOND_TOLERANCE_NM`)."""
        first, second, _ = _bonds(self.numbers, self.positions_nm, None)
        pairs: NDArray[np.int64] = np.column_stack([first, second])[first < second]
        return pairs

    def label(self, atom: int) -> str:
        """Return the name of an atom in messages.

        Args:
            atom: Index of the atom, from 0.

        Returns:
            Symbol and number, from 1.
        """
        return f"{self.symbols[atom]}{atom + 1}"


def hill_formula(symbols: list[str]) -> str:
    """Return the sum formula of a list of symbols in Hill order: C, H, then by the alphabet."""
    from molmass import Formula

    return str(Formula("".join(f"{symbol}{n}" for symbol, n in Counter(symbols).items())).formula)


def need(package: str, what: str | Path, extra: str = "structures") -> None:
    """Raise `EngineMissingError` where a library of an optional extra isn't installed."""
    if find_spec(package) is None:
        more = " (with GFN2-xTB and DFT-D4: 'dipolar-md[qm]')" if extra == "structures" else ""
        raise EngineMissingError(
            f"{what}: {package} is needed for this and not installed: "
            f"pip install 'dipolar-md[{extra}]'{more}"
        )


# --- One whole molecule ---------------------------------------------------------------------------


def _bonds(numbers: NDArray[np.int64], positions_nm: Floats, cell_nm: Floats | None) -> Any:
    """Return bonded pairs, both ways, and the lattice translations of the second atoms."""
    need("ase", "the bonds of a molecule")
    from ase import Atoms
    from ase.data import covalent_radii
    from ase.neighborlist import neighbor_list

    atoms = Atoms(numbers, positions_nm / ANGSTROM)
    if cell_nm is not None:
        atoms.set_cell(cell_nm / ANGSTROM)
        atoms.pbc = True
    reach = covalent_radii[numbers] + BOND_TOLERANCE_NM / 2 / ANGSTROM
    return neighbor_list("ijS", atoms, list(reach))


def one_molecule(found: Molecule, cell: Floats | None, wanted: int | str | None) -> Molecule:
    """Return the wanted molecule of what a file holds, whole (see `structure.read_molecule`).

    Args:
        found: All atoms of the file.
        cell: (3, 3) lattice vectors in nm; None without periodicity.
        wanted: Number from 1, `all`, or None where there is no choice.

    Raises:
        InputError: several different molecules, no such number, or a polymer.
    """
    if wanted == "all" and cell is None:
        return found
    members, positions = _whole_molecules(found, cell)
    atoms, notes = _chosen_atoms(found, members, cell is not None, wanted)
    if len(atoms) < len(found) and found.dipole is not None:
        raise InputError(
            f"{found.path}: the dipole in it belongs to all {len(members)} molecules together: "
            "compute the chosen one alone, or take its coordinates with --method gfn2"
        )
    return replace(
        found,
        numbers=found.numbers[atoms],
        positions_nm=positions[atoms],
        charges_e={kind: charges[atoms] for kind, charges in found.charges_e.items()},
        net_charge_e=found.net_charge_e if len(atoms) == len(found) else None,
        notes=(*found.notes, *notes),
    )


def _chosen_atoms(
    found: Molecule, members: list[NDArray[np.int64]], periodic: bool, wanted: int | str | None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the atoms of the wanted molecule, and what a reader should know of the choice."""
    if wanted == "all":
        return np.arange(len(found)), ()
    formulas = [hill_formula([found.symbols[i] for i in group]) for group in members]
    listed = ", ".join(f"{i}: {formula}" for i, formula in enumerate(formulas[:12], 1))
    listed += " …" if len(formulas) > 12 else ""
    if wanted is not None:
        number = _number(wanted)
        if number > len(members):
            raise InputError(f"{found.path}: no molecule {wanted}; it holds {listed}")
        return members[number - 1], ()
    if len(set(formulas)) > 1 or (len(members) > 1 and not periodic):
        raise InputError(
            f"{found.path}: several molecules in it ({listed}): choose one with --molecule, or "
            "'--molecule all' where a long bond splits one"
        )
    note = f"the first of {len(members)} molecules {formulas[0]} in the cell"
    return members[0], (note,) if len(members) > 1 else ()


def _number(wanted: int | str) -> int:
    """Return a molecule's number, from 1; anything else is no molecule."""
    if not str(wanted).isdigit() or int(wanted) < 1:
        raise InputError(f"--molecule takes a number from 1 or 'all' (found '{wanted}')")
    return int(wanted)


def _whole_molecules(
    found: Molecule, cell: Floats | None
) -> tuple[list[NDArray[np.int64]], Floats]:
    """Return the atoms of each molecule, largest first, and coordinates with all of them whole."""
    first, second, shift = _bonds(found.numbers, found.positions_nm, cell)
    starts = np.searchsorted(first, np.arange(len(found) + 1))
    image: dict[int, NDArray[np.int64]] = {}
    groups = []
    for seed in range(len(found)):
        if seed in image:
            continue
        image[seed] = np.zeros(3, int)
        group = [seed]
        for atom in group:  # grows while it is walked: breadth first
            for bond in range(starts[atom], starts[atom + 1]):
                other, place = int(second[bond]), image[atom] + shift[bond]
                if other not in image:
                    image[other] = place
                    group.append(other)
                elif not np.array_equal(image[other], place):
                    raise InputError(
                        f"{found.path}: bonds run on from cell to cell through "
                        f"{found.label(atom)}–{found.label(other)}: a polymer or a solid, not a "
                        "molecule"
                    )
        groups.append(np.sort(group))
    positions = found.positions_nm
    if cell is not None:
        positions = positions + np.array([image[i] for i in range(len(found))]) @ cell
    return sorted(groups, key=len, reverse=True), positions


def refuse_overlaps(molecule: Molecule) -> None:
    """Refuse atoms nearer than 0.6 of the sum of their covalent radii."""
    from scipy.spatial import cKDTree

    need("ase", molecule.path)
    from ase.data import covalent_radii

    pairs = cKDTree(molecule.positions_nm).query_pairs(0.2, output_type="ndarray")
    gaps = np.linalg.norm(np.diff(molecule.positions_nm[pairs], axis=1)[:, 0], axis=-1)
    close = gaps < 0.6 * ANGSTROM * covalent_radii[molecule.numbers[pairs]].sum(axis=1)
    if np.any(close):
        a, b = (int(atom) for atom in pairs[close][0])
        gap = gaps[close][0]
        raise InputError(
            f"{molecule.path}: atoms {molecule.label(a)} and {molecule.label(b)} overlap "
            f"({gap:.4f} nm apart, {int(close.sum())} such pairs): units (ångström), disorder or "
            "duplicates in the file?"
        )


def suspect_missing_hydrogens(molecule: Molecule) -> None:
    """Refuse carbons with an open valence: bent with two neighbours, or pyramidal with three."""
    neighbours: list[list[int]] = [[] for _ in range(len(molecule))]
    for a, b in molecule.bonds:
        neighbours[a].append(b)
        neighbours[b].append(a)
    bare = []
    for atom in np.flatnonzero(molecule.numbers == 6):
        away = molecule.positions_nm[neighbours[atom]] - molecule.positions_nm[atom]
        lengths = np.linalg.norm(away, axis=1)
        cosines = np.clip((away @ away.T) / np.outer(lengths, lengths), -1, 1)
        angles = np.degrees(np.arccos(cosines[np.triu_indices(len(away), 1)]))
        if (
            (len(away) == 1 and lengths[0] > 0.125)
            or (len(away) == 2 and angles[0] < 150)
            or (len(away) == 3 and angles.sum() < 345)
        ):
            bare.append(molecule.label(int(atom)))
    if bare:
        shown = ", ".join(bare[:8]) + (" …" if len(bare) > 8 else "")
        raise InputError(
            f"{molecule.path}: missing hydrogens suspected at {shown}: add them (Mercury, "
            "Avogadro), or say --hydrogens-complete"
        )


def point_charge_molecule(
    symbols: list[str], positions_nm: ArrayLike, charges_e: ArrayLike, path: str = "given"
) -> Molecule:
    """Return a molecule of given atoms and charges.

    Args:
        symbols: (n,) chemical symbols.
        positions_nm: (n, 3) coordinates.
        charges_e: (n,) partial charges.
        path: Name of the molecule in messages.

    Returns:
        `Molecule`, with the charges under `given`.

    Raises:
        InputError: lengths that differ, or values that aren't finite.
    """
    from molmass import ELEMENTS

    positions = np.asarray(positions_nm, float)
    charges = np.asarray(charges_e, float)
    n = len(symbols)
    if positions.shape != (n, 3) or charges.shape != (n,):
        raise InputError(
            f"{path}: {n} symbols need coordinates ({n}, 3) and charges ({n},); found "
            f"{positions.shape} and {charges.shape}"
        )
    if not (np.all(np.isfinite(positions)) and np.all(np.isfinite(charges))):
        raise InputError(f"{path}: coordinates and charges must be finite")
    numbers = np.array([ELEMENTS[symbol].number for symbol in symbols], int)
    return Molecule(path, numbers, positions, {"given": charges})
