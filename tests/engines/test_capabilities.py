"""The table of the documentation is that of the code, which refuses what the table denies."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dipolar_md as dm
from dipolar_md.engines.capabilities import (
    CAPABILITIES,
    Feature,
    Support,
    capability,
    capability_table,
    refusal,
)

ROOT = Path(__file__).parents[2]
CLUSTER = dm.load_cluster("r-au-cu")


def system(shape="sphere", dipole="point", **options):
    body = dm.coarse_grain(CLUSTER, shape, dipole)
    return dm.random_gas({body: 8}, concentration_mM=1.0, seed=1, **options)


def terms(electrostatics="cutoff"):
    return dm.Interactions(298.15, 1.0, electrostatics, cutoff_nm=5.0)


def test_the_documentation_has_the_table_of_the_code():
    assert capability_table() in (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    assert set(CAPABILITIES) == set(Feature)
    for engines in CAPABILITIES.values():
        assert set(engines) >= {"hoomd", "lammps"}
        for support, reason in engines.values():
            assert bool(reason) == (support is not Support.YES)  # what can't says why


def test_an_engine_that_a_row_does_not_name_cannot():
    assert capability(Feature.SPHERES, "abacus").support is Support.NO
    assert "spheres; engine 'hoomd' can (it isn't made for it)" in refusal(
        "abacus", system(), terms()
    )


@pytest.mark.parametrize(
    ("engine", "kind", "electrostatics", "told"),
    [
        (
            "hoomd",
            ("sphere", "point"),
            "ewald",
            "point dipoles, Ewald; engine 'lammps' can (its mesh knows charges only)",
        ),
        ("hoomd", ("sphere", "charges"), "cutoff", "site charges, truncated; use electrostatics"),
        ("lammps", ("janus", "charges"), "cutoff", "site charges, truncated; use electrostatics"),
    ],
)
def test_models_are_refused_with_the_mend(engine, kind, electrostatics, told):
    assert told in refusal(engine, system(*kind), terms(electrostatics))


def test_films_with_ewald_need_lammps_and_charges():
    film = {"thickness_nm": 8.0, "gap_nm": 12.0}
    assert "use dipole = 'charges'" in refusal("lammps", system(**film), terms("ewald"))
    charged = system(dipole="charges", **film)
    assert refusal("lammps", charged, terms("ewald")) is None
    assert "engine 'lammps' can" in refusal("hoomd", charged, terms("ewald"))
    assert refusal("hoomd", system(**film), terms()) is None


def test_dynamics_are_refused_before_anything_starts():
    here = dm.Environment(298.15, 1.0, 1.0)
    stage = dm.Stage("s", 10, 0.5, here, here, integrator="brownian")
    gas = system()
    assert "Brownian dynamics; engine 'hoomd' can" in refusal("lammps", gas, terms(), stage)
    assert refusal("hoomd", gas, terms(), stage) is None
    tilted = replace(gas, box=np.append(gas.box[:3], [0.1, 0.0, 0.0]))
    assert "tilted boxes; no engine can" in refusal("lammps", tilted, terms())


def test_a_recipe_that_no_engine_can_run_is_refused_without_a_trace(toy, tmp_path):
    with pytest.raises(dm.UnsupportedError, match="electrostatics = 'ewald'"):
        dm.assemble("r-au-cu", tmp_path / "run", overrides=toy | {"dipole": "charges"})
    with pytest.raises(dm.UnsupportedError, match="Brownian"):
        dm.assemble(
            "r-au-cu",
            tmp_path / "run",
            "lammps",
            overrides=toy | {"integrator": "brownian", "friction_scale": 100.0},
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.hoomd
def test_auto_takes_the_engine_that_can(toy, tmp_path):
    run = dm.assemble(
        "r-au-cu",
        tmp_path / "run",
        overrides=toy | {"integrator": "brownian", "friction_scale": 100.0, "time_step_ps": 0.8},
    )
    session = run.manifest["sessions"][-1]
    assert session["engine"] == "hoomd"
    assert "Brownian" in session["reason"]
