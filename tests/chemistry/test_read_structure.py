"""Files of every kind become the same molecule: whole, chosen, checked, or refused with a mend."""

from pathlib import Path

import numpy as np
import pytest

import dipolar_md as dm
from dipolar_md.errors import EngineMissingError, InputError
from dipolar_md.units import BOHR, DEBYE

ase = pytest.importorskip("ase", reason="ASE is not installed")
pytest.importorskip("cclib", reason="cclib is not installed")
from ase import Atoms  # noqa: E402
from ase.io import write  # noqa: E402

DATA = Path(__file__).parents[1] / "data"
ACETONITRILE = Atoms(
    "CCNHHH",
    [
        (0.0, 0.0, -1.1808),
        (0.0, 0.0, 0.2801),
        (0.0, 0.0, 1.4404),
        (1.0248, 0.0, -1.5501),
        (-0.5124, 0.8875, -1.5501),
        (-0.5124, -0.8875, -1.5501),
    ],
)


def distances(molecule):
    return np.linalg.norm(molecule.positions_nm[:, None] - molecule.positions_nm, axis=-1)


def cif(atoms, cell=(6.0, 7.0, 8.0, 90.0, 100.0, 90.0), extra="", columns="", rows=None):
    """A CIF in P2₁ (two molecules a cell) with atoms at given fractional coordinates."""
    lengths = zip(("a", "b", "c"), cell[:3], strict=True)
    angles = zip(("alpha", "beta", "gamma"), cell[3:], strict=True)
    text = ["data_test", *(f"_cell_length_{n} {v}" for n, v in lengths)]
    text += [f"_cell_angle_{n} {v}" for n, v in angles]
    text += ["loop_", "_symmetry_equiv_pos_as_xyz", "'x,y,z'", "'-x,y+1/2,-z'", "loop_"]
    text += ["_atom_site_label", "_atom_site_type_symbol"]
    text += [f"_atom_site_fract_{axis}" for axis in "xyz"] + ([columns] if columns else [])
    scaled = np.mod(Atoms(atoms, cell=list(cell), pbc=True).get_scaled_positions(wrap=False), 1.0)
    for i, (symbol, place) in enumerate(zip(atoms.symbols, scaled, strict=True)):
        row = f"{symbol}{i + 1} {symbol} {place[0]:.6f} {place[1]:.6f} {place[2]:.6f}"
        text.append(f"{row} {rows[i]}" if rows else row)
    return "\n".join([*text, extra, ""])


# --- Outputs of real programs ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "formula", "printed", "digits", "method"),
    [
        ("water-nwchem.out", "H2O", "2.0738227774 DEBYE", 5e-5, "NWChem"),
        ("ammonia-psi4.out", "H3N", "Total:     1.9700", 5e-5, "Psi4"),
        ("acetonitrile-mopac.out", "C2H3N", "-3.791     3.791", 5e-4, "MOPAC PM7"),
    ],
)
def test_outputs_give_the_dipole_that_they_print(name, formula, printed, digits, method):
    text = (DATA / name).read_text(encoding="utf-8")
    assert printed in text
    debye = float(printed.removesuffix("DEBYE").split()[-1])
    molecule = dm.read_molecule(DATA / name)
    assert molecule.formula == formula
    assert method in molecule.method
    assert molecule.net_charge_e == 0
    assert dm.compute_dipole(molecule).magnitude_D == pytest.approx(debye, abs=digits)
    found = dm.compute_dipole(molecule, "output")
    assert name in found.source
    # From the negative N, O to the positive H: the coordinates are those of the dipole.
    heavy = molecule.numbers > 6
    away = molecule.positions_nm[~heavy].mean(axis=0) - molecule.positions_nm[heavy].mean(axis=0)
    cosine = found.vector_e_nm @ away / np.linalg.norm(found.vector_e_nm) / np.linalg.norm(away)
    assert cosine == pytest.approx(1.0, abs=1e-5)


def test_output_gives_charges_and_polarisability_too():
    molecule = dm.read_molecule(DATA / "water-nwchem.out")
    assert molecule.charges_e["mulliken"] == pytest.approx([-0.7977, 0.39885, 0.39885])
    printed = np.diag([2.7523341, 7.1126997, 5.1915789]) * BOHR**3
    assert molecule.polarisability_nm3 == pytest.approx(printed, rel=1e-5, abs=1e-12)
    by_charges = dm.compute_dipole(molecule, "charges")
    assert by_charges.magnitude_D == pytest.approx(0.7977 * 0.05865 / DEBYE, rel=1e-4)


# --- Coordinates ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["xyz", "extxyz", "pdb", "vasp", "cif"])
def test_every_format_gives_the_same_molecule(suffix, tmp_path):
    atoms = ACETONITRILE.copy()
    if suffix in ("vasp", "cif"):
        atoms.set_cell([12, 13, 14])
        atoms.pbc = True
        atoms.center()
    path = tmp_path / f"molecule.{suffix}"
    write(path, atoms)
    molecule = dm.read_molecule(path)
    assert molecule.formula == "C2H3N"
    expected = np.sort(ACETONITRILE.get_all_distances().ravel()) / 10
    assert np.sort(distances(molecule).ravel()) == pytest.approx(expected, abs=2e-4)


def test_poscar_is_known_by_its_name(tmp_path):
    atoms = ACETONITRILE.copy()
    atoms.set_cell([12, 13, 14])
    write(tmp_path / "POSCAR", atoms, format="vasp")
    assert dm.read_molecule(tmp_path / "POSCAR").formula == "C2H3N"


@pytest.mark.parametrize("place", [(3.0, 2.0, 4.0), (0.0, 0.0, 0.0), (5.9, 6.9, 7.9)])
def test_a_crystal_gives_a_whole_molecule_from_across_the_border(place, tmp_path):
    atoms = ACETONITRILE.copy()
    atoms.rotate(25, (1, 2, 3))
    atoms.translate(place)
    path = tmp_path / "crystal.cif"
    path.write_text(cif(atoms), encoding="utf-8")
    molecules = [dm.read_molecule(path), dm.read_molecule(path, molecule=2)]
    for molecule in molecules:  # the other is made by the screw axis
        assert molecule.formula == "C2H3N"
        sequence = [list(molecule.symbols).index("N"), *np.flatnonzero(molecule.numbers == 6)]
        reach = distances(molecule)[np.ix_(sequence, sequence)]
        assert np.sort(reach[0]) == pytest.approx([0, 0.11603, 0.26212], abs=2e-5)
        assert distances(molecule).max() == pytest.approx(0.31609, abs=2e-4)
    assert any("first of 2 molecules" in note for note in molecules[0].notes)
    gap = molecules[0].centre_of_mass_nm - molecules[1].centre_of_mass_nm
    assert np.linalg.norm(gap) > 0.2
    everything = dm.read_molecule(path, molecule="all", hydrogens_complete=True)
    assert everything.formula == "C4H6N2"


def test_a_molecule_on_a_symmetry_element_is_counted_once(tmp_path):
    """Water on a twofold axis of P2/n, a setting that no table names: half of it is given."""
    rows = ["data_w", "_symmetry_space_group_name_H-M 'P 1 2/n 1 (own origin)'"]
    rows += [f"_cell_length_{n} {v}" for n, v in zip("abc", (5, 6, 7), strict=True)]
    rows += [f"_cell_angle_{n} 90" for n in ("alpha", "beta", "gamma")]
    rows += ["loop_", "_space_group_symop_operation_xyz"]
    rows += ["'x,y,z'", "'1/2-x,y,1/2-z'", "'-x,-y,-z'", "'1/2+x,-y,1/2+z'", "loop_"]
    rows += [f"_atom_site_{k}" for k in ("label", "type_symbol", "fract_x", "fract_y", "fract_z")]
    rows += [f"O1 O 0.25 {0.1 / 6:.6f} 0.25", f"H1 H {0.25 + 0.757 / 5:.6f} {0.687 / 6:.6f} 0.25"]
    path = tmp_path / "water.cif"
    path.write_text("\n".join([*rows, ""]), encoding="utf-8")
    molecule = dm.read_molecule(path)
    assert molecule.formula == "H2O"
    assert any("first of 2 molecules" in note for note in molecule.notes)
    assert np.sort(distances(molecule)[0]) == pytest.approx([0, 0.09579, 0.09579], abs=2e-5)


def test_a_chosen_molecule_of_several(tmp_path):
    water = Atoms("OHH", [(0, 0, 0), (0, 0.757, 0.587), (0, -0.757, 0.587)])
    water.translate((6, 0, 0))
    path = tmp_path / "two.xyz"
    write(path, ACETONITRILE + water)
    with pytest.raises(InputError, match=r"several molecules in it \(1: C2H3N, 2: H2O\): choose"):
        dm.read_molecule(path)
    assert dm.read_molecule(path, molecule="2").formula == "H2O"
    assert dm.read_molecule(path, molecule=1).formula == "C2H3N"
    assert dm.read_molecule(path, molecule="all").formula == "C2H5NO"
    for wrong, told in ((3, "no molecule 3"), ("0", "number from 1"), ("x", "number from 1")):
        with pytest.raises(InputError, match=told):
            dm.read_molecule(path, molecule=wrong)


def test_the_dipole_of_several_molecules_is_of_none(tmp_path):
    water = Atoms("OHH", [(0, 0, 0), (0, 0.757, 0.587), (0, -0.757, 0.587)])
    pair = water + Atoms(water.symbols, water.positions + np.array([6, 0, 0]))
    path = tmp_path / "pair.extxyz"
    header = 'Properties=species:S:1:pos:R:3 dipole="0 0 0.5"'
    rows = [
        f"{s} {x:.4f} {y:.4f} {z:.4f}"
        for s, (x, y, z) in zip(pair.symbols, pair.positions, strict=True)
    ]
    path.write_text("\n".join([str(len(pair)), header, *rows, ""]), encoding="utf-8")
    with pytest.raises(InputError, match="belongs to all 2 molecules"):
        dm.read_molecule(path, molecule=1)
    whole = dm.read_molecule(path, molecule="all")
    assert dm.compute_dipole(whole).magnitude_D == pytest.approx(0.05 / DEBYE)


def test_extended_xyz_brings_its_charges(tmp_path):
    path = tmp_path / "charged.extxyz"
    rows = ["3", "Properties=species:S:1:pos:R:3:charge:R:1", "O 0 0 0 -0.8"]
    rows += ["H 0 0.757 0.587 0.4", "H 0 -0.757 0.587 0.4", ""]
    path.write_text("\n".join(rows), encoding="utf-8")
    molecule = dm.read_molecule(path)
    assert molecule.charges_e["file"] == pytest.approx([-0.8, 0.4, 0.4])
    assert dm.compute_dipole(molecule).magnitude_D == pytest.approx(0.8 * 0.0587 / DEBYE)


@pytest.mark.parametrize("label", ["{symbol}", "{number}"])
def test_charges_from_a_text_of_two_columns(label, tmp_path):
    write(tmp_path / "m.xyz", ACETONITRILE)
    values = [-0.4072, 0.1248, -0.2611, 0.1812, 0.1812, 0.1811]
    lines = [
        f"{label.format(symbol=s, number=i)} {q}  # {s}"
        for i, (s, q) in enumerate(zip(ACETONITRILE.symbols, values, strict=True), 1)
    ]
    (tmp_path / "q.txt").write_text("# charges\n\n" + "\n".join(lines), encoding="utf-8")
    molecule = dm.read_molecule(tmp_path / "m.xyz", charges=tmp_path / "q.txt")
    found = dm.compute_dipole(molecule)
    assert found.method == "charges"
    assert found.vector_e_nm == pytest.approx(np.array(values) @ ACETONITRILE.positions / 10)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("C 1\n", "1 charges for the 6 atoms"),
        ("C 0\nC 0\nC 0\nH 0\nH 0\nH 0", "line of atom 3: 'C 0' found, 'N CHARGE' or '3 CHARGE'"),
        ("C 0\nC x\nN 0\nH 0\nH 0\nH 0", "atom 2: no number 'x'"),
        ("C 0\nC nan\nN 0\nH 0\nH 0\nH 0", "charges must be finite"),
        ("C 0 1\nC 0\nN 0\nH 0\nH 0\nH 0", "line of atom 1: 'C 0 1' found"),
    ],
)
def test_wrong_charges_are_told(text, told, tmp_path):
    write(tmp_path / "m.xyz", ACETONITRILE)
    (tmp_path / "q.txt").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=told):
        dm.read_molecule(tmp_path / "m.xyz", charges=tmp_path / "q.txt")


# --- A density ------------------------------------------------------------------------------------


def density_cube(path, electrons=10.0, offset=0.02, width=0.35):
    """Water's nuclei and one Gaussian cloud, whose centre gives the dipole exactly."""
    nuclei = np.array([(0.0, 0.0, 0.01173), (0.0, 0.07572, -0.04692), (0.0, -0.07572, -0.04692)])
    numbers = np.array([8, 1, 1])
    centre = numbers @ nuclei / 10 + np.array([0.0, 0.0, offset])
    n, step = 48, 0.25
    axis = (np.arange(n) - (n - 1) / 2) * step
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    far = (x - centre[0] / BOHR) ** 2 + (y - centre[1] / BOHR) ** 2 + (z - centre[2] / BOHR) ** 2
    w = width / 0.529177
    rho = electrons * np.exp(-far / (2 * w**2)) / (2 * np.pi * w**2) ** 1.5
    head = ["density", "electrons per cubic bohr", f"3 {axis[0]} {axis[0]} {axis[0]}"]
    head += [f"{n} {a} {b} {c}" for a, b, c in np.eye(3) * step]
    head += [
        f"{q} {q}.0 " + " ".join(f"{v / BOHR:.8f}" for v in r)
        for q, r in zip(numbers, nuclei, strict=True)
    ]
    body = [" ".join(f"{v:.8e}" for v in row) for row in rho.reshape(-1, 6)]
    path.write_text("\n".join([*head, *body, ""]), encoding="utf-8")


def test_a_density_gives_nuclei_less_electrons(tmp_path):
    density_cube(tmp_path / "water.cube")
    molecule = dm.read_molecule(tmp_path / "water.cube")
    found = dm.compute_dipole(molecule)
    assert (found.method, molecule.net_charge_e) == ("density", 0)
    assert found.vector_e_nm == pytest.approx([0, 0, -10 * 0.02], abs=2e-5)
    assert any("10.000 of 10 electrons" in note for note in molecule.notes)


@pytest.mark.parametrize(
    ("electrons", "told"), [(8.5, "8.50 electrons beside nuclei of 10 e"), (4.0, "valence density")]
)
def test_a_density_that_is_none_is_refused(electrons, told, tmp_path):
    density_cube(tmp_path / "w.cube", electrons)
    with pytest.raises(InputError, match=told):
        dm.read_molecule(tmp_path / "w.cube")


# --- Refusals -------------------------------------------------------------------------------------


def xyz(*rows):
    return "\n".join([str(len(rows)), "", *rows, ""])


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("notes.doc", "nothing\n", "notes.doc: unknown format; coordinates: .xyz"),
        ("broken.xyz", "3\n\nO 0 0\n", "broken.xyz: can't be read"),
        ("empty.xyz", "", "empty.xyz"),
        ("nan.xyz", xyz("O 0 0 0", "H nan 0 0"), r"not finite \(H2\)"),
        ("inf.xyz", xyz("O 0 0 inf", "H 1 0 0"), r"not finite \(O1\)"),
        ("near.xyz", xyz("O 0 0 0", "O 0 0 0.3"), r"O1 and O2 overlap \(0.0300 nm apart, 1 such"),
        ("same.xyz", xyz("O 0 0 0", "O 0 0 0"), r"O1 and O2 overlap"),
        ("bare.xyz", xyz("C 0 0 0", "C 1.5 0 0", "O 2.1 1.2 0"), "missing hydrogens .* C1, C2"),
        (
            "benzene.xyz",
            xyz(
                *(
                    f"C {1.4 * np.cos(a):.4f} {1.4 * np.sin(a):.4f} 0"
                    for a in np.arange(6) * np.pi / 3
                )
            ),
            "missing hydrogens .* C6",
        ),
        (
            "methyl.xyz",
            xyz("C 0 0 -1.18", "C 0 0 0.28", "N 0 0 1.44", "H 1.02 0 -1.55", "H -0.51 0.89 -1.55"),
            "missing hydrogens .* C1:",
        ),
        ("two.xyz", xyz("O 0 0 0") * 2, "2 structures in it"),
        ("m.out", " MOPAC v22\n nothing", "no coordinates in this MOPAC output"),
    ],
)
def test_what_cannot_be_read_is_told_with_the_mend(name, text, told, tmp_path):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=told):
        dm.read_molecule(tmp_path / name)


def test_no_file_is_told(tmp_path):
    with pytest.raises(InputError, match=r"gone.xyz: no such file"):
        dm.read_molecule(tmp_path / "gone.xyz")


def test_complete_hydrogens_can_be_stated(tmp_path):
    path = tmp_path / "bare.xyz"
    path.write_text(xyz("C 0 0 0", "C 1.5 0 0", "O 2.1 1.2 0"), encoding="utf-8")
    assert dm.read_molecule(path, hydrogens_complete=True).formula == "C2O"


@pytest.mark.parametrize(
    ("columns", "rows", "sites"),
    [
        ("_atom_site_occupancy", ["1"] * 3 + ["0.5"] * 3, "H4, H5, H6"),
        ("_atom_site_disorder_group", [".", ".", "1", ".", ".", "."], "N3"),
    ],
)
def test_disorder_is_refused_with_its_sites(columns, rows, sites, tmp_path):
    path = tmp_path / "disorder.cif"
    path.write_text(cif(ACETONITRILE, columns=columns, rows=rows), encoding="utf-8")
    with pytest.raises(InputError, match=rf"partly occupied sites \({sites}\): keep one"):
        dm.read_molecule(path)


def test_disorder_of_a_pdb_is_refused(tmp_path):
    path = tmp_path / "m.pdb"
    write(path, ACETONITRILE)
    lines = path.read_text(encoding="utf-8").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("ATOM"))
    lines[first] = lines[first][:16] + "A" + lines[first][17:]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InputError, match="disordered or partly occupied sites"):
        dm.read_molecule(path)


def test_a_polymer_is_no_molecule(tmp_path):
    path = tmp_path / "chain.cif"
    chain = Atoms("Au", [(0.5, 0.5, 0.5)])
    path.write_text(cif(chain, (2.8, 15.0, 15.0, 90.0, 90.0, 90.0)), encoding="utf-8")
    with pytest.raises(InputError, match="from cell to cell through Au1–Au1: a polymer"):
        dm.read_molecule(path)


def test_a_missing_library_is_told_with_its_extra(monkeypatch, tmp_path):
    write(tmp_path / "m.xyz", ACETONITRILE)
    monkeypatch.setattr("dipolar_md.chemistry.molecule.find_spec", lambda name: None)
    with pytest.raises(EngineMissingError, match=r"ase .*pip install 'dipolar-md\[structures\]'"):
        dm.read_molecule(tmp_path / "m.xyz")
    with pytest.raises(EngineMissingError, match="cclib"):
        dm.read_molecule(DATA / "water-nwchem.out")
