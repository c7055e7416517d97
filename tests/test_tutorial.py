"""The whole way once, as a user walks it: from a cluster's dipole to a comparison with TEM."""

import json

import numpy as np
import pytest

import dipolar_md as dm


def test_from_a_dipole_to_nanowires(toy, tmp_path):
    # A cluster is a file of numbers, each with its source.
    cluster = dm.load_cluster("r-au-cu")
    assert cluster.dipole_D.value == 43.42
    assert cluster.dipole_D.source

    # Coarse-grained into a sphere with a point dipole, it touches its neighbour at 1.822 nm, where
    # two of them attract each other by the 37.54 kJ/mol that the paper gives.
    body = dm.coarse_grain(cluster)
    pair = dm.pair({body: 2}, separation_nm=body.axial_contact_nm)
    terms = dm.Interactions(temperature_K=298.15, relative_permittivity=1.0, cutoff_nm=10.0)
    state = dm.evaluate(pair, terms, engine="lammps")
    assert state.energies["electrostatic"] == pytest.approx(-37.54, abs=0.02)
    assert state.forces == pytest.approx(np.zeros((2, 3)), abs=1e-6)  # a contact is a balance

    # In dichloromethane that is less than 2 kT and nothing wires; dry, theory expects chains.
    outlook = {medium.name: medium for medium in dm.describe(cluster).solvents}
    assert outlook["dichloromethane"].expected_mean_length < 1.1
    assert outlook["vacuum"].expected_mean_length > 10

    # A drop-cast in a second: solution, evaporation, dry film.
    run = dm.assemble(cluster.name, tmp_path / "run", "lammps", threads=1, overrides=toy)
    assert run.finished
    assert {frame.stage for frame in run.trajectory} == {"solution", "evaporation", "dry"}

    # The chains of a frame, and what the last frames say of them.
    wet, dry = dm.find_chains(run.trajectory[0]), dm.find_chains(run.trajectory[-1])
    assert dry.sizes.sum() == wet.sizes.sum() == toy["n_clusters"]
    assert dry.mean_length > wet.mean_length
    bonded = dry.spacings_nm
    assert 1.5 < np.median(bonded) < 2.1
    statistics = dm.nanowire_statistics(run)
    assert statistics.stage == "dry"
    assert statistics.mean_chain_length.value == pytest.approx(dry.mean_length, rel=0.5)
    assert not statistics.equilibration.equilibrated  # a second is no equilibrium, and it says so

    # Beside the micrographs: the spacing was put in, the length is the model's own.
    comparison = dm.compare(statistics, "tem-r-au-cu")
    tags = {verdict.quantity: verdict.tag for verdict in comparison.verdicts}
    assert comparison.applies
    assert tags["spacing_nm"] == "calibrated"
    assert "predicted" in tags.values()

    # All of it on disk, for people and for tools.
    analysis = dm.analyze(run)
    summary = json.loads((run.path / "summary.json").read_text(encoding="utf-8"))
    assert summary["mean_chain_length"] == analysis.statistics.mean_chain_length.value
    assert summary["cluster"] == "r-au-cu"
    assert (run.path / "figures" / "film.png").stat().st_size > 1000
