"""Monte Carlo as an engine and as runs: repeats bitwise, resumes, refuses what it can't."""

from dataclasses import replace

import numpy as np
import pytest

import dipolar_md as dm
from dipolar_md.engines.capabilities import refusal

BODY = dm.coarse_grain(dm.load_cluster("r-au-cu"))
TERMS = dm.Interactions(298.15, 1.0, cutoff_nm=6.0)
HERE = dm.Environment(298.15, 1.0, 20.0)
STAGE = dm.Stage("s", 30, 0.0, HERE, HERE, integrator="equilibrium", chunk_steps=10, seed=4)
RECIPE = {
    "name": "sampled",
    "title": "R-Au-Cu at equilibrium",
    "n_clusters": 64,
    "temperature_K": 298.15,
    "cutoff_nm": 6.0,
    "frame_interval_sweeps": 10,
    "sources": {"temperature_K": "room", "cutoff_nm": "small"},
    "components": [{"cluster": "r-au-cu"}],
    "stages": [
        {"name": "dry", "sampling": "equilibrium", "sweeps": 30, "concentration_mM": 20.0,
         "relative_permittivity": 1.0, "source": "a choice"},
    ],
}  # fmt: skip


def gas():
    return dm.random_gas({BODY: 64}, 20.0, seed=1)


def test_a_stage_repeats_and_goes_on_bit_by_bit():
    engine, reason = dm.choose_engine("monte_carlo")
    assert "monte_carlo" in reason
    seen = {}

    def keep(report):
        seen[report.step] = report.read()
        return False

    last = engine.run(gas(), TERMS, STAGE, keep)
    assert sorted(seen) == [10, 20, 30]
    on = engine.run(seen[20], TERMS, replace(STAGE, first_step=20), lambda report: False)
    for other in (on, engine.run(gas(), TERMS, STAGE, lambda report: False)):
        assert (other.positions == last.positions).all()
        assert (other.orientations == last.orientations).all()
    assert set(engine.settings.moves["s"]) >= {"local_width_nm", "acceptance"}
    first = engine.run(gas(), TERMS, STAGE, lambda report: True)
    assert (first.positions == seen[10].positions).all()  # the observer may stop


def test_evaluations_are_those_of_lammps():
    known, found = (dm.evaluate(gas(), TERMS, engine=e) for e in ("lammps", "monte_carlo"))
    assert found.energies["total"] == pytest.approx(known.energies["total"], rel=1e-9)
    assert found.forces == pytest.approx(known.forces, rel=1e-7, abs=1e-9)


def test_a_recipe_of_sweeps_is_run_by_monte_carlo_and_read_as_any_other(tmp_path):
    import tomli_w

    path = tmp_path / "sampled.toml"
    path.write_text(tomli_w.dumps(RECIPE), encoding="utf-8")
    run = dm.assemble(path, tmp_path / "run")
    assert run.finished
    assert run.manifest["sessions"][-1]["engine"] == "monte_carlo"
    assert run.manifest["times"] == "none: sweeps of Monte Carlo"
    assert [frame.step for frame in run.trajectory] == [0, 10, 20, 30]
    assert len(dm.nanowire_statistics(run.trajectory).mean_chain_length) == 2
    stopped = tmp_path / "stopped"
    dm.assemble(path, stopped, progress=lambda now: now.done_steps == 20)
    assert not dm.Run(stopped).finished
    again = dm.assemble(path, stopped)
    for name in ("positions", "orientations"):
        one, other = (getattr(each.trajectory[-1].system, name) for each in (run, again))
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sweeps": None}, "sweeps is missing: sampling = 'equilibrium' needs it"),
        ({"time_ns": 1.0}, "time_ns is of no use with sampling = 'equilibrium'"),
        ({"sampling": "dynamics", "sweeps": None, "time_ns": 1.0}, "key 'viscosity_mPa_s' is mis"),
    ],
)
def test_durations_that_make_no_sense_are_refused(change, told):
    stage = {k: v for k, v in (RECIPE["stages"][0] | change).items() if v is not None}
    data = RECIPE | {"stages": [stage], "components": [{"cluster": dm.load_cluster("r-au-cu")}]}
    from dipolar_md.parameters import validate

    with pytest.raises(dm.InputError, match=told):
        validate(dm.Recipe, data, "sampled")


def test_what_it_can_not_do_names_the_engine_that_can():
    janus = dm.random_gas({dm.coarse_grain(dm.load_cluster("r-au-cu"), "janus"): 8}, 1.0, seed=1)
    charged = dm.coarse_grain(dm.load_cluster("r-au-cu"), dipole="charges")
    ewald = replace(TERMS, electrostatics="ewald")
    assert "bodies of several sites; engine 'hoomd' can" in refusal("monte_carlo", janus, TERMS)
    assert "Ewald; engine 'lammps' can" in refusal("monte_carlo", gas(), ewald)
    charges = dm.random_gas({charged: 8}, 1.0, seed=1)
    assert "engine 'hoomd' can" in refusal("monte_carlo", charges, ewald)
    timed = replace(STAGE, integrator="langevin")
    assert "Langevin dynamics; engine 'hoomd' can" in refusal("monte_carlo", gas(), TERMS, timed)
    assert "engine 'monte_carlo' can" in refusal("lammps", gas(), TERMS, STAGE)
    with pytest.raises(dm.UnsupportedError, match="runs on one core"):
        dm.choose_engine("monte_carlo", threads=2)
