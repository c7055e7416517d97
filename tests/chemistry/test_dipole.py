"""Dipoles of known charges, small molecules and ions: exact states, experiment, and invariances."""

import functools
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles.cluster_models import au8cu4
from scipy.spatial.transform import Rotation

import dipolar_md as dm
from dipolar_md import theory
from dipolar_md.chemistry.dipole import available_methods, has_gfn2
from dipolar_md.errors import EngineMissingError, InputError
from dipolar_md.units import DEBYE

gfn2 = pytest.mark.skipif(not has_gfn2(), reason="tblite is not installed")

THIRDS = 2 * np.pi * np.arange(3) / 3

# Experimental gas-phase geometries, Å: CRC Handbook of Chemistry and Physics, 97th ed., section 9.
MOLECULES = {
    "water": ("OHH", [(0, 0, 0), (0, 0.7572, 0.5865), (0, -0.7572, 0.5865)]),
    "ammonia": (
        "NHHH",
        [
            (0, 0, 0),
            *((0.9377 * np.cos(a), 0.9377 * np.sin(a), 0.3816) for a in THIRDS),
        ],
    ),
    "HCN": ("HCN", [(0, 0, 1.0655), (0, 0, 0), (0, 0, -1.1532)]),
    "acetonitrile": (
        "NCCHHH",
        [
            (0, 0, -2.617),
            (0, 0, -1.460),
            (0, 0, 0),
            *((1.0251 * np.cos(a), 1.0251 * np.sin(a), 0.3720) for a in THIRDS),
        ],
    ),
    "HF": ("FH", [(0, 0, 0), (0, 0, 0.9169)]),
    "CO": ("CO", [(0, 0, 0), (0, 0, 1.1283)]),
}


def molecule(name, charges=None):
    symbols, places = MOLECULES[name]
    charges = np.zeros(len(symbols)) if charges is None else charges
    made = dm.point_charge_molecule(list(symbols), np.array(places) / 10, charges, name)
    return made if np.any(charges) else replace(made, charges_e={})


# --- Exact ----------------------------------------------------------------------------------------


def test_two_hemispheres_of_two_charges_are_r_au_cu():
    """±2 e at 0.452 nm: 43.4 D."""
    ends = np.array([[0, 0, 0.226], [0, 0, -0.226]])
    vector = dm.charge_dipole(ends, [2.0, -2.0], [0, 0, 0])
    assert vector == pytest.approx([0, 0, 0.904])
    assert np.linalg.norm(vector) / DEBYE == pytest.approx(43.4, abs=0.05)
    made = dm.point_charge_molecule(["Au", "Cu"], ends, [2.0, -2.0])
    found = dm.compute_dipole(made)
    assert found.magnitude_D == pytest.approx(0.904 / DEBYE, rel=1e-12)
    assert found.vector_e_nm[2] > 0  # from minus to plus
    assert theory.charge_separation(np.linalg.norm(vector), 2.0) == pytest.approx(0.452)


def test_one_debye_is_its_definition():
    pair = dm.charge_dipole([[0, 0, DEBYE], [0, 0, 0]], [1.0, -1.0], [5.0, -3.0, 1.0])
    assert pair == pytest.approx([0, 0, DEBYE], rel=1e-12)


def test_ions_depend_on_the_origin_as_stated():
    """μ(O') = μ(O) − Q (O' − O); refused unless asked for, then about the centre of mass."""
    ion = dm.point_charge_molecule(["Au", "Cu"], [[0, 0, 0.3], [0, 0, 0]], [2.0, -1.0], "ion")
    places, charges = ion.positions_nm, ion.charges_e["given"]
    shift = np.array([0.1, 0.2, -0.3])
    moved = dm.charge_dipole(places, charges, shift) - dm.charge_dipole(places, charges, [0, 0, 0])
    assert moved == pytest.approx(-1.0 * shift)
    with pytest.raises(InputError, match=r"a charge of \+1 e .*4.8 D per Å.*--allow-charged"):
        dm.compute_dipole(ion, net_charge_e=1)
    found = dm.compute_dipole(ion, net_charge_e=1, allow_charged=True)
    centre = 0.3 * 196.96657 / (196.96657 + 63.546)
    assert found.vector_e_nm == pytest.approx([0, 0, 2 * (0.3 - centre) + centre], rel=1e-5)
    assert "about the centre of mass" in found.source


def test_an_own_dipole_of_an_ion_is_moved_to_the_centre_of_mass():
    from dipolar_md.chemistry.molecule import OwnDipole

    ion = dm.point_charge_molecule(["Au", "Cu"], [[0, 0, 0.3], [0, 0, 0]], [2.0, -1.0], "ion")
    origin = np.array([0.5, -0.2, 0.1])
    vector = dm.charge_dipole(ion.positions_nm, ion.charges_e["given"], origin)
    printed = replace(ion, dipole=OwnDipole("output", vector, origin), net_charge_e=1)
    by_output, by_charges = dm.compare_dipoles(printed, allow_charged=True)[:2]
    assert (by_output.method, by_charges.method) == ("output", "charges")
    assert by_output.vector_e_nm == pytest.approx(by_charges.vector_e_nm)


# --- Invariance -----------------------------------------------------------------------------------

charge_clouds = st.integers(0, 2**32 - 1).map(np.random.default_rng)
turns = st.tuples(*[st.floats(-3.14, 3.14)] * 3).map(lambda v: Rotation.from_rotvec(v).as_matrix())
shifts = st.tuples(*[st.floats(-5, 5)] * 3).map(np.array)


@given(charge_clouds, turns, shifts, st.booleans(), st.randoms(use_true_random=False))
def test_magnitude_does_not_depend_on_the_frame(random, turn, shift, mirror, shuffle):
    charges = random.normal(size=9)
    charges -= charges.mean()
    symbols = list(random.choice(["H", "C", "S", "Au", "Cu"], 9))
    places = random.normal(size=(9, 3))
    flip = np.diag([1.0, 1.0, -1.0 if mirror else 1.0])
    order = list(range(9))
    shuffle.shuffle(order)
    one = dm.point_charge_molecule(symbols, places, charges)
    moved = (places @ flip @ turn.T + shift)[order]
    other = dm.point_charge_molecule([symbols[i] for i in order], moved, charges[order])
    a, b = dm.compute_dipole(one), dm.compute_dipole(other)
    assert b.magnitude_D == pytest.approx(a.magnitude_D, rel=1e-9)
    assert b.vector_e_nm == pytest.approx(turn @ flip @ a.vector_e_nm, abs=1e-9)


# --- GFN2-xTB -------------------------------------------------------------------------------------


@gfn2
@pytest.mark.parametrize(
    ("name", "experiment", "within", "printed"),
    [  # CRC Handbook of Chemistry and Physics, 97th ed., section 9; printed by xtb 6.5.1
        ("water", 1.8546, 0.6, 2.271),
        ("ammonia", 1.4718, 0.6, 1.839),
        ("HCN", 2.985, 0.6, 2.654),
        ("acetonitrile", 3.92519, 0.6, 3.855),
        ("HF", 1.826178, 0.8, 2.514),
    ],
)
def test_gfn2_is_near_experiment(name, experiment, within, printed):
    found = dm.compute_dipole(molecule(name), "gfn2")
    assert abs(found.magnitude_D - experiment) < within
    assert found.magnitude_D == pytest.approx(printed, abs=0.001)
    assert found.vector_e_nm[2] > 0  # towards the hydrogens
    assert found.charges_e.sum() == pytest.approx(0, abs=1e-9)


@gfn2
def test_gfn2_gives_carbon_monoxide_its_sign():
    """Experiment: 0.110 D, C−O+. GFN2 has the sign, and five times the size."""
    found = dm.compute_dipole(molecule("CO"), "gfn2")
    assert found.vector_e_nm[2] > 0  # towards oxygen
    assert found.magnitude_D == pytest.approx(0.613, abs=0.001)  # xtb 6.5.1, too


@gfn2
def test_gfn2_does_not_depend_on_the_frame():
    one = molecule("acetonitrile")
    turn = Rotation.from_rotvec([0.3, -1.0, 0.7]).as_matrix()
    other = replace(one, positions_nm=one.positions_nm @ turn.T + 3.0)
    a, b = dm.compute_dipole(one, "gfn2"), dm.compute_dipole(other, "gfn2")
    assert b.vector_e_nm == pytest.approx(turn @ a.vector_e_nm, abs=1e-6)


@gfn2
def test_gfn2_of_an_ion_is_about_its_centre_of_mass():
    """HF+ moved away: only a dipole about the centre of mass stays."""
    one = molecule("HF")
    other = replace(one, positions_nm=one.positions_nm + 2.0)
    found = [dm.compute_dipole(m, "gfn2", net_charge_e=1, allow_charged=True) for m in (one, other)]
    assert found[0].vector_e_nm == pytest.approx(found[1].vector_e_nm, abs=1e-6)


@gfn2
def test_gfn2_of_the_built_au8cu4_points_to_gold():
    lines = []
    model = au8cu4()
    found = dm.compute_dipole(model, "gfn2", progress=lines.append)
    formal = dm.compute_dipole(model, "charges")
    assert found.magnitude_D == pytest.approx(28.3, abs=0.1)
    assert found.vector_e_nm @ formal.vector_e_nm > 0.99 * np.prod(
        [np.linalg.norm(d.vector_e_nm) for d in (found, formal)]
    )
    assert lines
    assert lines[-1].startswith("GFN2-xTB of 60 atoms, cycle ")


@gfn2
def test_gfn2_tells_what_it_cannot_do():
    heavy = dm.point_charge_molecule(["U", "F"], [[0, 0, 0], [0, 0, 0.2]], [0, 0], "uf.xyz")
    with pytest.raises(InputError, match=r"uf.xyz: GFN2-xTB ends at radon"):
        dm.compute_dipole(heavy, "gfn2")
    wide = replace(molecule("water"), positions_nm=np.zeros((3, 3)))
    with pytest.raises(InputError, match=r"water: GFN2-xTB (failed|gave)"):
        dm.compute_dipole(wide, "gfn2")


@gfn2
def test_an_interrupt_is_heard_while_gfn2_runs(tmp_path):
    """The library doesn't return before it is done: it mustn't hold the terminal meanwhile."""
    places = 3.1 * np.indices((7, 7, 7)).reshape(3, -1).T
    water = np.array(MOLECULES["water"][1])
    rows = [
        f"{s} {x:.4f} {y:.4f} {z:.4f}"
        for place in places
        for s, (x, y, z) in zip("OHH", water + place, strict=True)
    ]
    path = tmp_path / "big.xyz"
    path.write_text("\n".join([str(len(rows)), "", *rows]), encoding="utf-8")
    code = (
        "import sys; from dipolar_md.commands.main import main;"
        f"sys.argv = ['dipolar-md', 'dipole', {str(path)!r}, '--molecule=all', '--method=gfn2'];"
        "main()"
    )
    hear = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-c", code]  # in the background of a shell SIGINT would be ignored
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=hear) as run:
        try:
            time.sleep(6)
            assert run.poll() is None, run.stderr.read()
            asked = time.monotonic()
            run.send_signal(signal.SIGINT)
            run.communicate(timeout=60)
        finally:
            run.kill()
    assert run.returncode == 130
    assert time.monotonic() - asked < 5
    assert not list(tmp_path.glob("*.toml"))


# --- Choice and refusals --------------------------------------------------------------------------


def test_the_most_direct_source_is_taken():
    from dipolar_md.chemistry.molecule import OwnDipole

    given_charges = molecule("water", [-0.8, 0.4, 0.4])
    printed = OwnDipole("output", np.array([0, 0, 0.04]), np.zeros(3))
    assert available_methods(given_charges) == ["charges"]
    both = replace(given_charges, dipole=printed)
    assert available_methods(both) == ["output", "charges"]
    assert dm.compute_dipole(both).method == "output"
    assert dm.compute_dipole(both, "charges").method == "charges"
    density = replace(both, dipole=printed._replace(route="density"))
    assert dm.compute_dipole(density).method == "density"
    with pytest.raises(InputError, match="no output with a dipole in it; available: density, ch"):
        dm.compute_dipole(density, "output")
    found = dm.compare_dipoles(both)
    assert [d.method for d in found][:2] == ["output", "charges"]
    assert [d.method for d in found][2:] == (["gfn2"] if has_gfn2() else [])


@pytest.mark.parametrize(
    ("charges", "options", "told"),
    [
        (None, {}, "no dipole and no partial charges in it.*--charges FILE.*--method gfn2"),
        (None, {"method": "charges"}, "no partial charges"),
        (None, {"method": "output"}, "no output with a dipole in it; available: none"),
        ([-0.8, 0.4, 0.4], {"method": "density"}, "no density .*available: charges"),
        ([-0.8, 0.4, 0.4], {"method": "dft"}, "method must be one of auto, output"),
        ([-0.8, 0.4, 0.35], {}, r"sum to -0.0500 e, not to the stated \+0 e"),
        ([-0.8, 0.4, 0.4], {"net_charge_e": 1, "allow_charged": True}, r"not to the stated \+1 e"),
        ([0.0, 0.4, -0.4], {}, None),
    ],
)
def test_what_cannot_be_had_is_told(charges, options, told):
    water = molecule("water", charges)
    if told is None:
        assert dm.compute_dipole(water, **options).magnitude_D > 1
        return
    with pytest.raises(InputError, match=f"water: .*{told}|{told}"):
        dm.compute_dipole(water, **options)


def test_a_zero_dipole_is_no_axis():
    line = dm.point_charge_molecule(
        ["O", "C", "O"], [[0, 0, 0.116], [0, 0, 0], [0, 0, -0.116]], [-0.4, 0.8, -0.4], "co2.xyz"
    )
    with pytest.raises(InputError, match=r"co2.xyz: zero dipole \(0.0000 D by charges\), no axis"):
        dm.compute_dipole(line)


def test_a_charge_against_the_files_is_refused():
    stated = replace(molecule("water", [-0.8, 0.4, 0.4]), net_charge_e=0)
    with pytest.raises(InputError, match=r"its charge is \+0 e, not the -1 e stated"):
        dm.compute_dipole(stated, net_charge_e=-1, allow_charged=True)


def test_a_missing_tblite_is_told_with_its_extra(monkeypatch):
    monkeypatch.setattr("dipolar_md.chemistry.molecule.find_spec", lambda name: None)
    with pytest.raises(EngineMissingError, match=r"tblite .*'dipolar-md\[qm\]'"):
        dm.compute_dipole(molecule("water"), "gfn2")


@pytest.mark.parametrize(
    ("positions", "charges"),
    [([[0, 0, 0]], [1.0, 2.0]), ([[0, 0, np.nan]], [1.0]), ([[0, 0, 0]], [np.inf])],
)
def test_wrong_arrays_are_told(positions, charges):
    with pytest.raises(InputError, match="charge_dipole"):
        dm.charge_dipole(positions, charges, [0, 0, 0])
    with pytest.raises(InputError, match="given"):
        dm.point_charge_molecule(["Au"] * len(charges), positions, charges)
