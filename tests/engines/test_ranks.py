"""Two MPI ranks do what one does; what a rank raises reaches the parent; nothing is left behind."""

import os

import numpy as np
import pytest

import dipolar_md as dm
from dipolar_md.engines.lammps.ranks import mpiexec

CLUSTER = dm.load_cluster("r-au-cu")
MODELS = [
    ("sphere", "point", "cutoff"),
    ("janus", "point", "cutoff"),
    ("janus", "charges", "ewald"),
]


@pytest.mark.parametrize(("shape", "dipole", "electrostatics"), MODELS)
def test_two_ranks_follow_the_same_path_without_noise(shape, dipole, electrostatics):
    """At constant energy, so that no noise differs: the same energies and positions."""
    body = dm.coarse_grain(CLUSTER, shape, dipole)
    gas = dm.random_gas({body: 60}, concentration_mM=10.0, seed=1)
    here = dm.Environment(298.15, 1.0, 10.0)
    stage = dm.Stage("s", 60, 0.2, here, here, integrator="nve", chunk_steps=20, skin_nm=1.0)
    terms = dm.Interactions(298.15, 1.0, electrostatics, 6.0, ewald_accuracy=1e-4)
    seen, ends = {}, {}
    for ranks in (1, 2):
        engine, _ = dm.choose_engine("lammps", ranks=ranks)

        def observe(report, ranks=ranks):
            seen.setdefault(ranks, []).append((report.step, report.energies["total"]))
            return False

        ends[ranks] = engine.run(gas, terms, stage, observe)
        assert engine.settings.skins_nm == {"s": 1.0}
    assert [step for step, _ in seen[2]] == [20, 40, 60]
    accuracy = 1e-9 if electrostatics == "cutoff" else 1e-3  # meshes are chosen by timing
    one, two = (np.array([energy for _, energy in seen[ranks]]) for ranks in (1, 2))
    np.testing.assert_allclose(one, two, rtol=accuracy, atol=accuracy * abs(one).max())
    distance = np.abs(ends[1].positions - ends[2].positions)
    assert np.minimum(distance, gas.box[0] - distance).max() < 10 * accuracy


def test_an_observer_stops_the_ranks_and_reads_the_state():
    gas = dm.random_gas({dm.coarse_grain(CLUSTER): 60}, concentration_mM=10.0, seed=1)
    here = dm.Environment(298.15, 1.0, 10.0)
    stage = dm.Stage("s", 100, 0.5, here, here, 0.413, 0.02, chunk_steps=10)
    engine, _ = dm.choose_engine("lammps", ranks=2)
    states = []

    def observe(report):
        states.append(report.read())
        return report.step == 20

    last = engine.run(gas, dm.Interactions(298.15, 1.0, cutoff_nm=6.0), stage, observe)
    assert len(states) == 2
    np.testing.assert_array_equal(last.positions, states[-1].positions)
    assert 0 < engine.settings.skins_nm["s"] <= 3.0  # tuned, by rank 0 for both


def test_what_a_rank_raises_is_raised_here():
    body = dm.coarse_grain(CLUSTER)
    clash = dm.System.from_arrays(
        (40.0,) * 3, [[0, 0, 0], [0, 0, 0.4], [9, 0, 0]], [[1, 0, 0, 0]] * 3, body
    )
    here = dm.Environment(298.15, 1.0, clash.concentration_mM)
    stage = dm.Stage("clash", 100, 5.0, here, here, 0.413, 0.02, chunk_steps=5, skin_nm=2.0)
    engine, _ = dm.choose_engine("lammps", ranks=2)
    with pytest.raises(dm.BlowUpError, match="time_step_ps"):
        engine.run(clash, dm.Interactions(298.15, 1.0, cutoff_nm=6.0), stage, lambda report: False)


def test_a_recipe_runs_on_two_ranks(toy, tmp_path):
    run = dm.assemble("r-au-cu", tmp_path / "run", "lammps", ranks=2, overrides=toy)
    assert run.finished
    assert run.manifest["sessions"][-1]["ranks"] == 2
    assert len(run.trajectory) == 20


def test_ranks_are_for_lammps(toy, tmp_path):
    assert os.access(mpiexec(), os.X_OK)
    with pytest.raises(dm.InputError, match="ranks must be at least 1"):
        dm.assemble("r-au-cu", tmp_path / "none", ranks=0, overrides=toy)


@pytest.mark.hoomd
def test_hoomd_refuses_ranks():
    with pytest.raises(dm.UnsupportedError, match="ranks"):
        dm.choose_engine("hoomd", "cpu", ranks=2)
