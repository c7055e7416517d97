"""Contacts from molar mass and from molecular volume, and the charged alloy family."""

import pytest

import dipolar_md as dm
from dipolar_md.chemistry.sizes import contact_estimates, molecular_volume_nm3, scaled_sizes
from dipolar_md.errors import InputError, UnsupportedError


def test_volumes_are_sums_of_the_published_ones():
    assert molecular_volume_nm3("C6H6") == pytest.approx((6 * 13.87 + 6 * 5.08) / 1000)
    # Benzene's crystal at 270 K has four molecules in the cell (Cox, Cruickshank, Smith 1958).
    cell = 0.7460 * 0.9666 * 0.7034
    assert molecular_volume_nm3("C6H6") * 1.026 == pytest.approx(cell / 4, rel=0.1)
    density = 4118.5 / molecular_volume_nm3("Au8(C44H32P2)3Cu4(C4N2S2)3") / 602.214
    assert 2.0 < density < 2.6  # g/cm³, the range that the cluster's file takes


@pytest.mark.parametrize(
    ("name", "mass", "volume"), [("au3cd", 1.440, 1.507), ("r-1", 1.778, 1.753)]
)
def test_contacts_by_mass_and_by_volume_side_by_side(name, mass, volume):
    found = contact_estimates(dm.load_cluster(name))
    assert list(found) == ["file", "molar mass", "molecular volume"]
    assert found["molar mass"] == pytest.approx(mass, abs=6e-4)
    assert found["molecular volume"] == pytest.approx(volume, abs=6e-4)
    assert found["file"] == pytest.approx(found["molar mass"], abs=6e-4)  # as its source says


def test_r_au_cu_scales_from_itself():
    for name in ("r-au-cu", "s-au-cu"):
        assert contact_estimates(dm.load_cluster(name)) == {"file": 1.822, "alternative": 1.61}
    for by in ("mass", "volume"):
        sizes = scaled_sizes(dm.load_cluster("r-au-cu").formula, by)
        assert sizes.factor == pytest.approx(1)
        assert sizes.axial_contact_nm == pytest.approx(1.822)
        eightfold = scaled_sizes(f"({dm.load_cluster('r-au-cu').formula})8", by)
        assert eightfold.axial_contact_nm == pytest.approx(2 * 1.822)
        assert eightfold.hydrodynamic_radius_nm == pytest.approx(2 * 0.911)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: molecular_volume_nm3("U2C"), r"no mean volume .* \['U'\]"),
        (lambda: molecular_volume_nm3("Xx"), "not a chemical formula"),
        (lambda: scaled_sizes("C6H6", "length"), "'mass' or 'volume'"),
    ],
)
def test_what_cannot_be_estimated_is_told(call, told):
    with pytest.raises(InputError, match=told):
        call()


# --- [AuxAg44−x(p-MBA)y]^z ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_gold", "ligands", "charge", "electrons"),
    [
        *((x, 30, -4, 18) for x in (0, 1, 12)),
        *((x, 27, -3, 20) for x in (19, 22, 24)),
        *((x, 26, -2, 20) for x in (40, 43, 44)),
    ],
)
def test_the_family_is_that_of_the_paper(n_gold, ligands, charge, electrons):
    alloy = dm.alloy44(n_gold)
    assert (alloy.n_ligands, alloy.net_charge_e) == (ligands, charge)
    assert alloy.valence_electrons == electrons
    assert f"S{ligands}" in alloy.framework
    cluster = alloy.cluster(dipole_D=25.0)
    metals = 196.96657 * n_gold + 107.8682 * (44 - n_gold)
    assert cluster.mass_Da == pytest.approx(metals + ligands * 153.18, rel=1e-4)
    assert (cluster.net_charge_e, cluster.dipole_D.value) == (charge, 25.0)
    with pytest.raises(UnsupportedError, match="counterions"):
        dm.coarse_grain(cluster)


@pytest.mark.parametrize("n_gold", [-1, 13, 18, 25, 39, 45, 2.5, "12"])
def test_between_the_families_there_is_none(n_gold):
    told = r"0–12 \(y = 30, z = -4\), 19–24 \(y = 27, z = -3\), 40–44 \(y = 26, z = -2\)"
    with pytest.raises(InputError, match=told):
        dm.alloy44(n_gold)


@pytest.mark.parametrize("dipole_D", [0.0, -3.0, float("nan")])
def test_an_alloy_needs_a_dipole(dipole_D):
    with pytest.raises(InputError, match=r"dipole_D.value"):
        dm.alloy44(22).cluster(dipole_D)
    with pytest.raises(TypeError):
        dm.alloy44(22).cluster()


@pytest.mark.parametrize(("name", "n_gold"), [("ag44", 0), ("au44", 44)])
def test_the_shipped_controls_are_the_ends_of_the_family(name, n_gold):
    shipped = dm.load_cluster(name, 20.0).model_dump()
    made = dm.alloy44(n_gold).cluster(20.0).model_dump()
    for key in ("name", "title", "notes", "dipole_D"):
        shipped.pop(key), made.pop(key)
    assert shipped == made
