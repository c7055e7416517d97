"""What a cluster is expected to do before any simulation, against the paper's numbers."""

import numpy as np
import pytest
from oracles.association import mean_length

import dipolar_md as dm
from dipolar_md import theory
from dipolar_md.errors import InputError
from dipolar_md.model.expectation import (
    chain_onset_dipole,
    contact_coupling,
    expected_mean_length,
    phase_estimate,
)
from dipolar_md.parameters import parameter_names


def media(outlook):
    return {row.name: row for row in outlook.solvents}


def test_r_au_cu_attracts_as_the_paper_says():
    outlook = dm.describe(dm.load_cluster("r-au-cu"))
    assert outlook.contact_energy_kJ_mol == pytest.approx(-37.54, abs=0.02)
    assert outlook.contact_energy_kT == pytest.approx(-37.54 / 2.478957, abs=0.01)
    assert outlook.two_charge_energy_kJ_mol == pytest.approx(-40.0, abs=0.05)
    assert outlook.charge_separation_nm == pytest.approx(0.452, abs=0.0005)
    assert media(outlook)["vacuum"].coupling == pytest.approx(37.54 / 2.478957 / 2, abs=0.01)


@pytest.mark.parametrize(("name", "coupling"), [("r-1", 8.6), ("au3cd", 3.9), ("r-au-cu", 7.57)])
def test_coupling_at_contact_in_vacuum(name, coupling):
    found = media(dm.describe(dm.load_cluster(name)))["vacuum"].coupling
    assert found == pytest.approx(coupling, abs=0.05)


@pytest.mark.parametrize(("permittivity", "coupling"), [(1.0, 7.85), (8.93, 0.88)])
def test_coupling_at_another_contact(permittivity, coupling):
    body = dm.coarse_grain(dm.load_cluster("r-au-cu"), axial_contact_nm=1.8)
    assert contact_coupling(body, permittivity, 298.15) == pytest.approx(coupling, abs=0.005)
    assert contact_coupling(body, permittivity, 2 * 298.15) == pytest.approx(
        coupling / 2, abs=0.003
    )
    half = dm.coarse_grain(dm.load_cluster("r-au-cu"), axial_contact_nm=1.8, dipole_D=21.71)
    assert contact_coupling(half, permittivity, 298.15) == pytest.approx(coupling / 4, abs=0.003)


def test_media_are_all_shipped_ones_from_weak_to_strong_screening():
    outlook = dm.describe(dm.load_cluster("r-au-cu"))
    rows = outlook.solvents
    assert sorted(row.name for row in rows) == parameter_names("solvents")
    assert [row.title for row in rows] == [dm.load_solvent(row.name).title for row in rows]
    screening = [row.relative_permittivity for row in rows]
    assert screening == sorted(screening)
    for row in rows:
        vacuum = media(outlook)["vacuum"].coupling
        assert row.coupling == pytest.approx(vacuum / row.relative_permittivity, rel=1e-12)


def test_solvents_decide_whether_chains_are_expected():
    lengths = [row.expected_mean_length for row in dm.describe(dm.load_cluster("r-au-cu")).solvents]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > 10  # simulated: 14 and more at 10 mM in vacuum
    found = media(dm.describe(dm.load_cluster("r-au-cu"), 0.5))
    assert 1 <= found["dichloromethane"].expected_mean_length < 1.01
    thin, thick = (
        media(dm.describe(dm.load_cluster("au3cd"), c))["vacuum"].expected_mean_length
        for c in (10.0, 100.0)
    )
    assert 1 < thin < thick < lengths[0]


@pytest.mark.parametrize("concentration", [0.5, 10.0])
def test_expected_length_is_of_the_body_and_its_environment(concentration):
    outlook = dm.describe(dm.load_cluster("r-au-cu"), concentration, ["toluene", "vacuum"])
    assert [row.name for row in outlook.solvents] == ["vacuum", "toluene"]
    assert outlook.concentration_mM == concentration
    (site,) = outlook.body.sites
    for row in outlook.solvents:
        expected = mean_length(
            site.sigma_nm, 43.42, row.relative_permittivity, 298.15, concentration
        )
        assert row.expected_mean_length == pytest.approx(expected, rel=1e-5)
    assert outlook.body == dm.coarse_grain(outlook.cluster)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_concentration_is_named(value):
    told = rf"concentration_mM must be positive and at most 1e6 \(found {value}\)"
    with pytest.raises(InputError, match=told):
        dm.describe(dm.load_cluster("r-au-cu"), value)


def test_unknown_solvent_is_told_the_nearest():
    with pytest.raises(InputError, match="did you mean dichloromethane"):
        dm.describe(dm.load_cluster("r-au-cu"), solvents=["dichlormethane"])


# --- B₂, the onset of chains, the range of contacts -----------------------------------------------


def test_second_virial_is_that_of_theory_and_turns_with_the_coupling():
    outlook = dm.describe(dm.load_cluster("au3cd"))
    site = outlook.body.sites[0]
    for row in outlook.solvents:
        scale = theory.dipole_energy_scale(
            outlook.cluster.dipole_e_nm, relative_permittivity=row.relative_permittivity
        )
        expected = theory.second_virial(site.sigma_nm, site.epsilon_kJ_mol, scale, 298.15)
        assert row.second_virial_nm3 == pytest.approx(expected, rel=1e-12)
    found = [row.second_virial_nm3 for row in outlook.solvents]
    assert found == sorted(found)  # from strong attraction to excluded volume
    assert found[0] < 0 < found[-1]


@pytest.mark.parametrize("name", ["r-au-cu", "au3cd"])
@pytest.mark.parametrize("concentration", [0.5, 100.0])
def test_at_the_onset_dipole_the_mean_length_is_two(name, concentration):
    cluster = dm.load_cluster(name)
    for row in dm.describe(cluster, concentration).solvents:
        body = dm.coarse_grain(cluster, dipole_D=row.chain_onset_dipole_D)
        length = expected_mean_length(body, row.relative_permittivity, 298.15, concentration)
        assert length == pytest.approx(2.0, rel=1e-6)


def test_the_onset_goes_with_the_root_of_the_permittivity():
    """Only μ²/ε_r enters."""
    body = dm.coarse_grain(dm.load_cluster("r-au-cu"))
    one, four = (chain_onset_dipole(body, eps, 298.15, 10.0) for eps in (1.0, 4.0))
    assert four == pytest.approx(2 * one, rel=1e-9)


def test_the_range_of_contacts_is_carried_into_the_outlook():
    outlook = dm.describe(dm.load_cluster("au3cd"), 10.0)
    rows = {row.origin: row for row in outlook.contacts}
    assert list(rows) == ["file", "molar mass", "molecular volume"]
    for row in outlook.contacts:
        body = dm.coarse_grain(outlook.cluster, axial_contact_nm=row.axial_contact_nm)
        assert row.coupling == contact_coupling(body, 1.0, 298.15)
        assert row.energy_kJ_mol == pytest.approx(-2 * 2.478957 * row.coupling, rel=1e-5)
        expected = mean_length(body.sites[0].sigma_nm, 21.85, 1.0, 298.15, 10.0)
        assert row.expected_mean_length == pytest.approx(expected, rel=1e-5)
    assert rows["file"].coupling == media(outlook)["vacuum"].coupling
    assert rows["molar mass"].coupling == pytest.approx(3.89, abs=0.01)
    assert rows["molecular volume"].coupling == pytest.approx(3.39, abs=0.01)


def test_the_phase_estimate_goes_through_the_clusters_own_point():
    outlook = dm.describe(dm.load_cluster("r-au-cu"), 10.0)
    estimate = phase_estimate(outlook.body)
    lengths = estimate.mean_length
    assert lengths.shape == (len(estimate.coupling), len(estimate.concentration_mM))
    assert np.all(np.diff(lengths, axis=0) > 0)
    assert np.all(np.diff(lengths, axis=1) > 0)
    at = np.array([np.interp(1.0, np.log10(estimate.concentration_mM), row) for row in lengths])
    for row in outlook.solvents:
        if row.coupling > estimate.coupling[0]:
            log = np.interp(row.coupling, estimate.coupling, np.log(at))
            assert log == pytest.approx(np.log(row.expected_mean_length), abs=0.02)
