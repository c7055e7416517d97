"""Reads one molecule from a structure file or a quantum-chemistry output: atoms, charges, dipole.

Coordinates come through ASE (XYZ, extended XYZ, CIF, PDB, POSCAR, cube), outputs through cclib
(Gaussian, ORCA, Q-Chem, NWChem, ADF, GAMESS, Psi4 …); MOPAC's text, which cclib no longer follows,
is read here. Both libraries are optional and imported only when a file is read.
"""

import io
import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dipolar_md.chemistry.molecule import (
    Floats,
    Molecule,
    OwnDipole,
    need,
    one_molecule,
    refuse_overlaps,
    suspect_missing_hydrogens,
)
from dipolar_md.errors import InputError
from dipolar_md.files import read_bytes
from dipolar_md.units import ANGSTROM, BOHR, DEBYE

FORMATS = ".xyz, .extxyz, .cif, .pdb, .vasp/POSCAR/CONTCAR, .cube"
MOST_MB = 1000
"""Largest size of a file."""
MOST_ATOMS = 20_000
"""Largest number of atoms: distances between all of them are taken."""
_ASE_FORMATS = {
    **dict.fromkeys((".xyz", ".extxyz"), "extxyz"),
    **dict.fromkeys((".pdb", ".ent"), "proteindatabank"),
    **dict.fromkeys((".vasp", ".poscar", ".contcar", "poscar", "contcar"), "vasp"),
}
_SAME_SITE_ANGSTROM = 0.2  # images of a site on a symmetry element fall together
_PREFERRED_CHARGES = ("resp", "chelpg", "esp", "hirshfeld", "cm5", "npa", "lowdin", "mulliken")


def read_molecule(
    path: str | Path | Molecule,
    *,
    molecule: int | str | None = None,
    charges: str | Path | None = None,
    hydrogens_complete: bool = False,
) -> Molecule:
    """Return one molecule of a structure file or a quantum-chemistry output.

    In a periodic file symmetry is applied and every molecule is made whole across cell borders.

    Args:
        path: XYZ, extended XYZ, CIF, PDB, POSCAR, cube, or an output that cclib or this module
            reads (the last geometry in it); a molecule is returned as it is.
        molecule: Number from 1 of one molecule, largest first, or `all` to take everything as one;
            needed where the file holds molecules of different formulas.
        charges: Text of two columns, symbol (or number from 1) and partial charge in e, one line
            an atom in the file's order.
        hydrogens_complete: Whether missing hydrogens are not to be suspected.

    Returns:
        `Molecule`, whole and checked.

    Raises:
        InputError: unknown format, disorder, several molecules, a polymer, overlapping atoms,
            coordinates that aren't finite, missing hydrogens suspected.
        EngineMissingError: ASE or cclib isn't installed.
    """
    if isinstance(path, Molecule):
        return path
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file (a structure or an output is expected)")
    if path.stat().st_size > MOST_MB * 1e6:
        raise InputError(f"{path}: can't be read: too large (at most {MOST_MB} MB)")
    kind = path.suffix.lower() or path.name.lower()
    if kind == ".cif":
        found, cell = _read_cif(path)
    elif kind in (".cube", ".cub"):
        found, cell = _read_cube(path), None
    elif kind in _ASE_FORMATS:
        found, cell = _read_ase(path, _ASE_FORMATS[kind])
    else:
        found, cell = _read_output(path), None
    if not len(found):
        raise InputError(f"{path}: no atoms in it")
    if len(found) > MOST_ATOMS:
        raise InputError(f"{path}: {len(found)} atoms; at most {MOST_ATOMS} are taken")
    if not np.all(np.isfinite(found.positions_nm)):
        bad = np.flatnonzero(~np.isfinite(found.positions_nm).all(axis=1))
        names = ", ".join(found.label(i) for i in bad[:5])
        raise InputError(f"{path}: coordinates that are not finite ({names}): mend the file")
    if charges is not None:
        found = replace(found, charges_e={"file": _read_charges(Path(charges), found)})
    whole = one_molecule(found, cell, molecule)
    refuse_overlaps(whole)
    if not hydrogens_complete:
        suspect_missing_hydrogens(whole)
    return whole


# --- Files ----------------------------------------------------------------------------------------


def _foreign(path: Path, read: Callable[[], Any]) -> tuple[Any, tuple[str, ...]]:
    """Return what a library reads and its warnings; whatever it raises becomes an `InputError`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = read()
        except Exception as error:  # parsers of text raise whatever a broken line makes of them
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(
                f"{path}: can't be read: {text} (coordinates: {FORMATS}; anything else is tried as "
                "a quantum-chemistry output)"
            ) from error
    return found, tuple(dict.fromkeys(str(w.message).splitlines()[0] for w in caught))


def _read_ase(path: Path, form: str) -> tuple[Molecule, Floats | None]:
    need("ase", path)
    from ase.io import read

    frames, notes = _foreign(path, lambda: read(path, index=":", format=form))
    if len(frames) != 1:
        raise InputError(f"{path}: {len(frames)} structures in it: keep one in a file of its own")
    atoms = frames[0]
    if form == "proteindatabank":
        _refuse_pdb_disorder(path)
    results = atoms.calc.results if atoms.calc else {}
    arrays = {**atoms.arrays, **results}
    names = ("charges", "initial_charges", "charge", "q")
    charge = next((arrays[name] for name in names if np.any(arrays.get(name))), None)
    own = None
    if "dipole" in results:
        vector = np.asarray(results["dipole"], float) * ANGSTROM
        own = OwnDipole("output", vector, np.zeros(3))
    return _with_atoms(
        path,
        atoms,
        charges_e={} if charge is None else {"file": np.asarray(charge, float)},
        dipole=own,
        notes=notes,
    ), _cell(atoms)


def _with_atoms(path: Path, atoms: Any, **rest: Any) -> Molecule:
    return Molecule(str(path), atoms.numbers.astype(int), atoms.positions * ANGSTROM, **rest)


def _cell(atoms: Any) -> Floats | None:
    """Return the lattice vectors in nm; None for a molecule, or a PDB file's dummy cell."""
    periodic = atoms.pbc.all() and atoms.cell.volume > 2.0 * len(atoms)
    return np.asarray(atoms.cell) * ANGSTROM if periodic else None


def _refuse_pdb_disorder(path: Path) -> None:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    atoms = [line for line in lines if line.startswith(("ATOM  ", "HETATM"))]
    sites = [
        line[12:16].strip()
        for line in atoms
        if line[16:17].strip() or float(line[54:60].strip() or 1) < 1
    ]
    _refuse_disorder(path, sites)


def _refuse_disorder(path: Path, sites: list[str]) -> None:
    if sites:
        shown = ", ".join(dict.fromkeys(sites[:12])) + (" …" if len(sites) > 12 else "")
        raise InputError(
            f"{path}: disordered or partly occupied sites ({shown}): keep one component of the "
            "disorder with occupancy 1 in a copy of the file (Mercury, Olex2), and leave out "
            "disordered solvent"
        )


def _read_cif(path: Path) -> tuple[Molecule, Floats | None]:
    need("ase", path)
    from ase.io.cif import parse_cif

    blocks, _ = _foreign(path, lambda: [b for b in parse_cif(str(path)) if b.has_structure()])
    if len(blocks) != 1:
        names = ", ".join(block.name for block in blocks) or "none"
        raise InputError(f"{path}: one structure is needed, found {len(blocks)} ({names})")
    (block,) = blocks
    labels = [str(label) for label in block.get("_atom_site_label") or []]
    partial = block.get("_atom_site_occupancy") or [1] * len(labels)
    groups = block.get("_atom_site_disorder_group") or ["."] * len(labels)
    disordered = [
        label
        for label, share, group in zip(labels, partial, groups, strict=True)
        if (isinstance(share, int | float) and share < 1) or str(group) not in (".", "?", "")
    ]
    _refuse_disorder(path, disordered)
    atoms, notes = _foreign(path, lambda: _symmetric(block))
    return _with_atoms(path, atoms, notes=notes), np.asarray(atoms.cell) * ANGSTROM


def _symmetric(block: Any) -> Any:
    """Return the atoms of a whole cell.

    The operations that a CIF lists are applied as they stand: in any setting, whatever its name.
    """
    from ase import Atoms
    from ase.spacegroup.spacegroup import parse_sitesym

    keys = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
    listed = next((block.get(key) for key in keys if block.get(key)), None)
    if listed is None:
        return block.get_atoms(fractional_occupancies=False)
    asymmetric = block.get_unsymmetrized_structure()
    cell = np.asarray(asymmetric.cell)
    turns, shifts = parse_sitesym([listed] if isinstance(listed, str) else listed)
    numbers, places = [], []
    for number, site in zip(
        asymmetric.numbers, asymmetric.get_scaled_positions(wrap=False), strict=True
    ):
        kept: list[Floats] = []
        for image in (turns @ site + shifts) % 1.0:
            gaps = [(image - other) - np.round(image - other) for other in kept]
            if all(np.linalg.norm(gap @ cell) > _SAME_SITE_ANGSTROM for gap in gaps):
                kept.append(image)
        numbers += [number] * len(kept)
        places += kept
    return Atoms(numbers, scaled_positions=places, cell=cell, pbc=True)


def _read_cube(path: Path) -> Molecule:
    """Return atoms and dipole of a density cube: μ = e [Σ Z R − ∫ ρ r dV]."""
    need("ase", path)
    from ase.io.cube import read_cube

    def read() -> Any:
        with path.open(encoding="utf-8") as stream:
            return read_cube(stream)

    cube, notes = _foreign(path, read)
    atoms, density = cube["atoms"], np.asarray(cube["data"], float)
    steps = np.asarray(atoms.cell) / np.array(density.shape)[:, None] * ANGSTROM
    volume = abs(np.linalg.det(steps)) / BOHR**3
    electrons = float(density.sum() * volume)
    nuclei = int(atoms.numbers.sum())
    if not (np.isfinite(electrons) and abs(nuclei - electrons - round(nuclei - electrons)) < 0.25):
        raise InputError(
            f"{path}: the density holds {electrons:.2f} electrons beside nuclei of {nuclei} e, no "
            "whole charge: use an all-electron density in e/bohr³ on a finer or larger grid"
        )
    net = round(nuclei - electrons)
    if abs(net) > 0.2 * nuclei:
        raise InputError(
            f"{path}: the density holds {electrons:.2f} electrons beside nuclei of {nuclei} e: it "
            "is a valence density, another quantity, or not in e/bohr³"
        )
    origin = np.asarray(cube["origin"], float) * ANGSTROM
    indices = np.indices(density.shape).reshape(3, -1).T
    first = (density.reshape(-1) @ (indices @ steps)) * volume + electrons * origin
    scale = (nuclei - net) / electrons  # the grid's error spread over the whole density
    moment = atoms.numbers @ (atoms.positions * ANGSTROM) - first * scale
    error = f"grid: {electrons:.3f} of {nuclei - net} electrons"
    own = OwnDipole("density", moment, np.zeros(3))
    return _with_atoms(path, atoms, dipole=own, net_charge_e=net, notes=(*notes, error))


def _read_output(path: Path) -> Molecule:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error})") from error
    if "MOPAC" in text[:2000]:
        return _read_mopac(path, text)
    # A build without a revision makes a version number that cclib refuses; it isn't needed here.
    text = re.sub(r"(?m)^\s*Git: Rev .*$", "", text)
    data, origin, notes = _parsed_output(path, text)
    package = str(data.metadata.get("package", "the program"))
    if not np.size(getattr(data, "atomcoords", ())):
        raise InputError(
            f"{path}: {package} printed no coordinates that cclib reads: print them, or take the "
            "structure file with --method gfn2 or --charges"
        )
    tensors: Any = getattr(data, "polarizabilities", ())
    words = (package, *data.metadata.get("methods", ())[-1:], data.metadata.get("functional"))
    return Molecule(
        str(path),
        np.asarray(data.atomnos, int),
        np.asarray(data.atomcoords[-1], float) * ANGSTROM,
        charges_e=_output_charges(data),
        net_charge_e=getattr(data, "charge", None),
        dipole=_output_dipole(data, origin, text),
        polarisability_nm3=np.asarray(tensors[-1], float) * BOHR**3 if len(tensors) else None,
        method=" ".join(str(word) for word in words if word),
        notes=notes,
    )


def _parsed_output(path: Path, text: str) -> tuple[Any, Floats, tuple[str, ...]]:
    """Return what cclib reads in an output, the origin (Å) of its dipole, and its warnings."""
    need("cclib", path)
    from cclib.io import ccopen

    logging.getLogger("cclib").setLevel(logging.CRITICAL)
    with io.StringIO(text) as stream:
        log, _ = _foreign(path, lambda: ccopen(stream, loglevel=logging.CRITICAL))
        if log is None:
            raise InputError(
                f"{path}: unknown format; coordinates: {FORMATS}; outputs: those of Gaussian, "
                "ORCA, Q-Chem, NWChem, ADF, GAMESS, Psi4 and others that cclib reads, and MOPAC"
            )
        data, notes = _foreign(path, log.parse)
    return data, np.asarray(getattr(log, "origin", np.zeros(3)), float), notes


def _output_dipole(data: Any, origin: Floats, text: str) -> OwnDipole | None:
    """Return the last dipole that an output prints."""
    moments: Any = getattr(data, "moments", ())
    if len(moments) > 1 and moments[1] is not None:
        vector = np.asarray(moments[1], float) * DEBYE
        return OwnDipole("output", vector, np.asarray(moments[0], float) * ANGSTROM)
    # Psi4 since 1.3, whose units cclib doesn't know.
    later = re.findall(r"Dipole Moment: \[D\]\s+X:(.+?)Y:(.+?)Z:(.+?)Total", text)
    if not later:
        return None
    vector = np.array([float(value) for value in later[-1]]) * DEBYE
    return OwnDipole("output", vector, origin * ANGSTROM)


def _output_charges(data: Any) -> dict[str, Floats]:
    """Return the partial charges of an output by kind, the preferred kind first."""
    found = {k.lower(): np.asarray(v, float) for k, v in getattr(data, "atomcharges", {}).items()}
    rank = {name: i for i, name in enumerate(_PREFERRED_CHARGES)}
    kinds = sorted((k for k in found if not k.endswith("_sum")), key=lambda k: rank.get(k, 99))
    return {kind: found[kind] for kind in kinds}


def _read_mopac(path: Path, text: str) -> Molecule:
    """Return the last geometry, charges and dipole (`SUM` line) of a MOPAC output."""
    from molmass import ELEMENTS

    number = r"\s+(-?\d+\.\d+)"
    row = r"[ \t]+\d+[ \t]+([A-Z][a-z]?)" + 3 * number + r"[^\n]*\n"
    tables = text.split("CARTESIAN COORDINATES")
    first = re.search(f"(?m)(?:^{row})+", tables[-1])
    last = re.findall(f"(?m)^{row}", first[0]) if first else []
    if len(tables) < 2 or not last:
        raise InputError(f"{path}: no coordinates in this MOPAC output: run it with XYZ")
    numbers = np.array([ELEMENTS[symbol].number for symbol, *_ in last], int)
    positions = np.array([[float(v) for v in row[1:]] for row in last]) * ANGSTROM
    sums = re.findall(r"(?m)^\s*SUM" + 4 * number, text)
    vector = np.array([float(v) for v in sums[-1][:3]]) * DEBYE if sums else None
    charge = re.findall(r"CHARGE ON SYSTEM\s*=\s*([-+]?\d+)", text)
    model = re.search(r"(\S+) CALCULATION RESULTS", text)
    return Molecule(
        str(path),
        numbers,
        positions,
        net_charge_e=int(charge[-1]) if charge else 0,
        dipole=None if vector is None else OwnDipole("output", vector, np.zeros(3)),
        method=f"MOPAC {model[1] if model else ''}".strip(),
    )


def _read_charges(path: Path, molecule: Molecule) -> Floats:
    """Return the partial charges of a text of two columns, checked against the atoms."""
    try:
        rows = [line.split("#")[0].split() for line in read_bytes(path).decode().splitlines()]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: can't be read ({error})") from error
    rows = [row for row in rows if row]
    if len(rows) != len(molecule):
        raise InputError(
            f"{path}: {len(rows)} charges for the {len(molecule)} atoms of {molecule.path}: one "
            "line an atom, symbol (or number) and charge"
        )
    values = []
    for atom, row in enumerate(rows):
        expected = (molecule.symbols[atom], str(atom + 1))
        if len(row) != 2 or row[0] not in expected:
            raise InputError(
                f"{path}: line of atom {atom + 1}: '{' '.join(row)}' found, '{expected[0]} CHARGE' "
                f"or '{expected[1]} CHARGE' expected"
            )
        try:
            values.append(float(row[1]))
        except ValueError as error:
            raise InputError(f"{path}: atom {atom + 1}: no number '{row[1]}'") from error
    if not np.all(np.isfinite(values)):
        raise InputError(f"{path}: charges must be finite")
    return np.array(values)
