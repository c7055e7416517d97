"""`verify`: direct sums beside the engines, and what it says when an engine is wrong."""

from dataclasses import replace

import numpy as np
import pytest

import dipolar_md as dm
from dipolar_md import theory
from dipolar_md.engines.direct import DirectEngine
from dipolar_md.engines.verification import truncation_bias

CLUSTER = dm.load_cluster("r-au-cu")
SPHERE = dm.coarse_grain(CLUSTER)


def test_direct_sums_of_a_chain_are_the_closed_form():
    chain = dm.chain({SPHERE: 10}, spacing_nm=2.2, box_nm=200.0)
    found = DirectEngine().evaluate(chain, dm.Interactions(298.15, 2.0, cutoff_nm=60.0))
    unit = theory.dipole_energy_scale(SPHERE.dipole_magnitude_e_nm) / 2.0 / 2.2**3
    assert found.energies["electrostatic"] / unit == pytest.approx(-20.851104, abs=1e-6)
    assert found.energies["steric"] == 0
    np.testing.assert_allclose(found.forces.sum(axis=0), 0, atol=1e-9)


def test_direct_ewald_sum_of_a_cubic_crystal_is_the_lorentz_field():
    """Conducting boundary: every dipole feels 4πρμ/3, so u = -(2π/3) ρ μ²/4πε₀."""
    crystal = dm.lattice({SPHERE: 64}, spacing_nm=3.0)
    terms = dm.Interactions(298.15, 1.0, "ewald")
    found = DirectEngine().evaluate(crystal, terms).energies["electrostatic"] / 64
    scale = theory.dipole_energy_scale(SPHERE.dipole_magnitude_e_nm)
    assert found == pytest.approx(-2 * np.pi / 3 * scale / 27.0, rel=1e-8)


def test_truncation_bias_is_the_missing_far_field():
    gas = dm.random_gas({SPHERE: 40}, concentration_mM=20.0, seed=3)
    terms = dm.Interactions(298.15, 1.0, cutoff_nm=6.0)
    truncated, whole = (
        DirectEngine().evaluate(gas, replace(terms, electrostatics=method))
        for method in ("cutoff", "ewald")
    )
    expected = (truncated.energies["electrostatic"] - whole.energies["electrostatic"]) / 40
    assert truncation_bias(gas, terms, truncated) == pytest.approx(expected, rel=1e-12)
    assert expected != 0
    assert truncation_bias(gas, replace(terms, electrostatics="ewald"), whole) is None


@pytest.mark.parametrize("electrostatics", ["cutoff", "ewald"])
def test_lammps_agrees_with_direct_sums(electrostatics):
    gas = dm.random_gas({SPHERE: 40}, concentration_mM=20.0, seed=3)
    found = dm.verify(gas, dm.Interactions(298.15, 1.0, electrostatics, cutoff_nm=6.0))
    assert found.passed
    assert found.reference == "direct"
    (lammps,) = [d for d in found.differences if d.engine == "lammps"]
    assert max(lammps.force, lammps.torque) <= lammps.tolerance
    assert lammps.tolerance == (1e-9 if electrostatics == "cutoff" else 1e-3)


def test_a_wrong_engine_is_found_and_exits_1(command, monkeypatch):
    engine, _ = dm.choose_engine("lammps")
    right = type(engine).evaluate

    def wrong(self, *arguments):
        found = right(self, *arguments)
        return replace(found, torques=1.001 * found.torques)

    monkeypatch.setattr(type(engine), "evaluate", wrong)
    answer = command("verify", "r-au-cu")
    assert answer.code == 1
    assert "beyond" in answer.out


def test_verify_of_a_run_and_of_a_cluster(command, finished):
    answer = command("verify", finished.path)
    assert answer.code == 0
    assert "Truncated minus Ewald sum" in answer.words
    answer = command("verify", "au3cd")
    assert answer.code == 0
    for title in ("sphere, point, cutoff", "sphere, charges, ewald", "janus, charges, ewald"):
        assert title in answer.words
    assert command("verify", "gold").code == 2
