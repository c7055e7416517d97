"""From a molecule to a cluster file that round-trips and is ready to be simulated."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest
from oracles.cluster_models import au3cd, au8cu4

import dipolar_md as dm
from dipolar_md.chemistry.dipole import has_gfn2
from dipolar_md.chemistry.shape import contacts, hydrodynamic_radius
from dipolar_md.errors import InputError
from dipolar_md.units import DEBYE

pytest.importorskip("ase", reason="ASE is not installed")


def drafted(molecule, **options):
    return dm.draft_cluster(molecule, dm.compute_dipole(molecule, "charges"), "mine", **options)


def test_the_file_says_what_was_found():
    model = au8cu4()
    draft = drafted(model)
    cluster, axis = draft.cluster, draft.dipole.vector_e_nm
    assert (cluster.name, cluster.formula) == ("mine", "C12H18Au8Cu4N6P6S6")
    assert cluster.mass_Da == pytest.approx(model.masses_Da.sum(), rel=1e-6)
    assert cluster.dipole_D.value == pytest.approx(np.linalg.norm(axis) / DEBYE, abs=5e-4)
    assert cluster.hemisphere_charge_e.value == pytest.approx(2.0)
    assert cluster.axial_contact_nm.value == pytest.approx(contacts(model, axis).axial_nm, abs=5e-4)
    assert cluster.lateral_contact_nm.value == pytest.approx(
        contacts(model, axis).lateral_nm, abs=5e-4
    )
    assert cluster.hydrodynamic_radius_nm.value == pytest.approx(
        hydrodynamic_radius(model, axis).value_nm, abs=5e-4
    )
    assert cluster.rotational_symmetry == 3
    assert {cluster.handedness, drafted(au8cu4(-30.0)).cluster.handedness} == {"R", "S"}
    assert "Hemispheres Au8H18P6 and C12Cu4N6S6" in cluster.notes
    assert "sum to +2.000 and -2.000 e" in cluster.notes
    assert "1.000, 0.000, 0.000 (0.0 degrees to the nearest)" in cluster.notes
    assert cluster.dipole_D.status == cluster.axial_contact_nm.status == "computed"
    assert any("twist" in warning for warning in draft.warnings)


def test_mirror_images_share_every_number():
    one, other = (drafted(au8cu4(twist)).cluster.model_dump() for twist in (30.0, -30.0))
    assert one.pop("handedness") != other.pop("handedness")
    assert one == other


def test_the_file_round_trips_and_is_ready_to_simulate(tmp_path):
    cluster = drafted(au8cu4()).cluster
    path = dm.write_cluster(cluster, tmp_path / "mine.toml")
    assert dm.load_cluster(path) == cluster
    assert tomllib.loads(path.read_text(encoding="utf-8"))["rotational_symmetry"] == 3
    body = dm.coarse_grain(dm.load_cluster(path))
    assert body.dipole_magnitude_e_nm == pytest.approx(cluster.dipole_e_nm)
    contact = cluster.axial_contact_nm.value
    terms = dm.Interactions(298.15, 1.0, cutoff_nm=4.0)
    energies = dm.evaluate(dm.chain({body: 2}, contact), terms, engine="lammps").energies
    expected = dm.describe(cluster).contact_energy_kJ_mol
    assert energies["electrostatic"] == pytest.approx(expected, rel=1e-4)
    with pytest.raises(InputError, match=r"mine.toml: exists already"):
        dm.write_cluster(cluster, path)
    changed = cluster.model_copy(update={"title": "another"})
    assert dm.load_cluster(dm.write_cluster(changed, path, overwrite=True)) == changed


def test_hemisphere_charges_fall_back_to_the_formal_ones():
    """Without partial charges: the whole charges whose distance is nearest to the published."""
    model = au8cu4()
    found = dm.compute_dipole(model, "charges")
    for debye, charge in ((43.42, 2.0), (44.6, 2.0), (21.85, 1.0), (2.0, 1.0), (65.0, 3.0)):
        vector = np.array([0, 0, debye * DEBYE])
        bare = found._replace(vector_e_nm=vector, charges_e=None, method="output")
        cluster = dm.draft_cluster(model, bare, "mine").cluster
        assert cluster.hemisphere_charge_e.value == charge
        assert cluster.hemisphere_charge_e.status == "estimated"
        assert "Formal" in cluster.hemisphere_charge_e.source
    weak = {s: q / 20 for s, q in (("Au", 0.25), ("S", -1 / 3))}
    faint = np.array([weak.get(symbol, 0.0) for symbol in model.symbols])
    far = found._replace(charges_e=faint)  # the same dipole would need 8 nm
    assert "Formal" in dm.draft_cluster(model, far, "x").cluster.hemisphere_charge_e.source


def test_the_polarisability_is_that_along_the_dipole():
    model = au8cu4()
    found = dm.compute_dipole(model, "charges")
    tensor = np.diag([0.1, 0.2, 0.125])  # the dipole lies along z
    given = dm.compute_polarisability(replace(model, polarisability_nm3=tensor), "output")
    cluster = dm.draft_cluster(model, found, "mine", polarisability=given).cluster
    assert cluster.polarisability_nm3.value == pytest.approx(0.125, abs=1e-4)
    assert cluster.polarisability_nm3.status == "computed"
    assert "a third of the trace is 0.141667 nm3" in cluster.polarisability_nm3.source
    outlook = dm.describe(cluster)
    share = 4 * 1.2020569 * cluster.polarisability_nm3.value / cluster.axial_contact_nm.value**3
    assert outlook.polarisation_gain == pytest.approx(1 / (1 - share), rel=1e-6)
    assert dm.describe(drafted(model).cluster).polarisation_gain is None


def test_linear_molecules_state_no_order():
    line = dm.point_charge_molecule(
        ["H", "C", "N"], [[0, 0, 0.1], [0, 0, 0], [0, 0, -0.12]], [0.2, 0.1, -0.3]
    )
    cluster = drafted(line).cluster
    assert cluster.rotational_symmetry is None
    assert cluster.handedness == "achiral"


def test_a_charged_cluster_says_so():
    ion = au3cd()
    ion = replace(ion, charges_e={"given": ion.charges_e["given"] + (ion.numbers == 79) / 3})
    found = dm.compute_dipole(ion, "charges", net_charge_e=1, allow_charged=True)
    draft = dm.draft_cluster(ion, found, "ion", net_charge_e=1)
    assert draft.cluster.net_charge_e == 1
    assert any("charged" in warning for warning in draft.warnings)


@pytest.mark.skipif(not has_gfn2(), reason="tblite is not installed")
def test_gfn2_of_metals_is_warned_of():
    model = au3cd()
    draft = dm.draft_cluster(model, dm.compute_dipole(model, "gfn2"), "mine")
    assert any("not validated for dipoles of clusters with Au, Cd" in w for w in draft.warnings)
    water = dm.point_charge_molecule(
        ["O", "H", "H"], [[0, 0, 0], [0, 0.0757, 0.0587], [0, -0.0757, 0.0587]], np.zeros(3)
    )
    assert not dm.draft_cluster(water, dm.compute_dipole(water, "gfn2"), "w").warnings


@pytest.mark.parametrize("name", ["", " ", "a/b"])
def test_a_name_is_a_word(name):
    model = au3cd()
    with pytest.raises(InputError, match="letters of ASCII"):
        dm.draft_cluster(model, dm.compute_dipole(model, "charges"), name)
