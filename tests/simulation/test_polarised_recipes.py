"""Recipes with polarisable clusters: what is refused before anything starts, and a short run."""

import json

import numpy as np
import pytest

import dipolar_md as dm
from dipolar_md.errors import InputError, UnsupportedError
from dipolar_md.model.contacts import closest_approach
from dipolar_md.units import DEBYE, thermal_energy

SOFT = {
    "dipole": "charges",
    "electrostatics": "ewald",
    "polarisation": "centre",
    "time_step_ps": 0.12,
    "n_clusters": 30,
}


def planned(**overrides):
    return dm.make_plan(dm.load_recipe("r-au-cu", SOFT | overrides))


def told(**overrides):
    with pytest.raises(InputError) as error:
        dm.preflight(planned(**overrides))
    return str(error.value)


def test_the_recipe_decides_the_bodies():
    (body,) = planned().counts
    assert body.polarisability_nm3 == 0.298
    (body,) = planned(polarisability_nm3=0.2).counts
    assert body.polarisability_nm3 == 0.2
    (hard,) = planned(polarisation="none").counts
    assert hard.polarisability_nm3 == 0.0
    (larger,) = planned(contact_calibration="with-polarisation").counts
    assert larger.sites[0].sigma_nm > hard.sites[0].sigma_nm
    (sticky,) = planned(attraction="c6").counts
    assert sticky.sites[0].attractive
    assert (
        "polarisability_nm3 = 0.2 was set"
        in planned(polarisability_nm3=0.2).recipe.sources["polarisability_nm3"]
    )


def test_expected_lengths_know_of_the_polarisability():
    lengths = [dm.preflight(planned(polarisability_nm3=a))[-1] for a in (0.1, 0.3)]
    assert lengths[0].expected_mean_length < lengths[1].expected_mean_length
    hard = dm.preflight(planned(polarisation="none"))[-1]
    assert hard.expected_mean_length < lengths[0].expected_mean_length


def test_a_dry_permittivity_beside_polarisation_is_refused_unless_named():
    dry = {"stages.evaporation.relative_permittivity": 2.0}
    text = told(**dry)
    assert "stage 'evaporation': relative_permittivity = 2 beside polarisation = 'centre'" in text
    assert "no solvent is named" in text
    assert "stages.evaporation.solvent" in text
    assert "screening_beside_polarisation = true" in text
    assert dm.preflight(planned(**dry, screening_beside_polarisation=True))
    assert dm.preflight(planned(**dry, polarisation="none"))
    # A solvent that stays is a solvent, if it is named and has its permittivity.
    wet = {"stages.evaporation.relative_permittivity": 8.93}
    assert "no solvent is named" in told(**wet)
    assert dm.preflight(planned(**wet | {"stages.evaporation.solvent": "dichloromethane"}))
    text = told(**wet | {"stages.evaporation.solvent": "toluene"})
    assert "relative_permittivity = 8.93" in text
    assert "solvent 'toluene' has 2.374" in text


def test_a_recipe_that_is_dry_from_the_start_is_refused_with_a_permittivity():
    """Nothing falls in it: only that no solvent is named tells a film from a solution."""
    stage = {"name": "film", "time_ns": 1.0, "concentration_mM": 5.0, "source": "A test."}
    film = {"stages": [stage | {"relative_permittivity": 2.0}]}
    assert "stage 'film'" in told(**film)
    assert dm.preflight(planned(**film, screening_beside_polarisation=True))
    assert dm.preflight(planned(stages=[stage | {"relative_permittivity": 1.0}]))
    solution = {"solvent": "toluene", "relative_permittivity": 2.374}
    assert dm.preflight(planned(stages=[stage | solution]))


def test_a_catastrophe_within_reach_is_refused_and_its_bound_passes():
    text = told(polarisability_nm3=1.2)
    assert "polarisation catastrophe within reach of 'r-au-cu' and 'r-au-cu'" in text
    (body,) = planned().counts
    nearest = closest_approach(body, 10 * thermal_energy(298.15))
    assert f"at {nearest:.4g} nm" in text
    allowed = nearest**3 / (4 * 1.2020569)
    assert f"at most {allowed:.3g} nm3" in text
    options = {"time_step_ps": 0.02, "friction_scale": 0.02}
    assert dm.preflight(planned(polarisability_nm3=0.8 * allowed, **options))
    # 10 kT of WCA: (2s − 1)² = 10 kT/ε, s = (σ/r)⁶
    sigma = body.sites[0].sigma_nm
    assert nearest == pytest.approx(sigma / ((1 + 10**0.5) / 2) ** (1 / 6), rel=1e-9)


def test_springs_that_would_reach_too_far_are_refused_and_the_bound_passes():
    text = told(time_step_ps=0.2)  # two of three drop-casts ran away with it
    assert "too long for the induced dipoles of 'r-au-cu'" in text
    allowed = float(text.split("at most ")[1].split(" ps")[0])
    assert 0.1 < allowed < 0.15
    assert dm.preflight(planned(time_step_ps=allowed))


def test_a_janus_body_comes_as_near_as_its_repulsion_allows():
    body = dm.coarse_grain(dm.load_cluster("r-au-cu"), "janus")
    near, far = (closest_approach(body, e) for e in (50.0, 5.0))
    assert 1.4 < near < far < body.axial_contact_nm + 0.2


@pytest.mark.parametrize(
    "overrides",
    [
        {"polarisation": "sites"},
        {"dipole": "point"},
        {"dipole": "point", "electrostatics": "cutoff"},
        {"stages": [], "frame_interval_sweeps": 10},
    ],
)
def test_induced_dipoles_that_no_engine_moves_are_refused_with_those_that_some_do(overrides):
    if "stages" in overrides:
        sweeps = {"name": "film", "sampling": "equilibrium", "sweeps": 20, "source": "A test."}
        environment = {"concentration_mM": 5.0, "relative_permittivity": 1.0}
        overrides = overrides | {"stages": [sweeps | environment]}
    words = "moves in no engine.*dynamics needs polarisation = 'centre'.*Monte Carlo polarisation"
    with pytest.raises(UnsupportedError, match=words):
        dm.preflight(planned(**overrides))
    if "stages" in overrides:
        points = {"dipole": "point", "electrostatics": "cutoff"}
        assert dm.preflight(planned(**overrides | points))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"polarisation": "everywhere"}, "polarisation"),
        ({"polarisability_nm3": -0.1}, "polarisability_nm3"),
        ({"polarisability_nm3": 0.0}, "polarisability_nm3"),
        ({"contact_calibration": "guessed"}, "contact_calibration"),
        ({"attraction": "c12"}, "attraction"),
        ({"stages.dry.solvent": "ether"}, "no solvents 'ether'|ether"),
    ],
)
def test_wrong_keys_are_named(overrides, words):
    with pytest.raises(InputError, match=words):
        planned(**overrides)


@pytest.mark.parametrize("engine", ["lammps", pytest.param("hoomd", marks=pytest.mark.hoomd)])
def test_a_short_run_keeps_dipoles_energies_and_springs(tmp_path, engine):
    quick = {"stages": [], "frame_interval_ns": 0.02, "chunk_steps": 100, "viscosity_mPa_s": 0.413}
    quick["stages"] = [
        {
            "name": "dry",
            "time_ns": 0.04,
            "concentration_mM": 5.0,
            "relative_permittivity": 1.0,
            "source": "A test.",
        }
    ]
    recipe = dm.load_recipe("r-au-cu", SOFT | quick | {"ewald_accuracy": 1e-2})
    run = dm.assemble(recipe, tmp_path / "run", engine=engine, threads=1)
    frames = list(run.trajectory)
    last = frames[-1]
    assert np.linalg.norm(last.system.induced_dipoles, axis=1).max() > 0.05
    terms = dm.Interactions(298.15, 1.0, electrostatics="ewald")
    direct = dm.evaluate(last.system, terms, engine="direct").energies
    # At a temperature induced dipoles hold 3 kT/2 each beside what the field makes of them.
    assert last.energies["induction"] == pytest.approx(direct["induction"], rel=0.02, abs=0.5)
    assert last.energies["induction"] == pytest.approx(30 * 1.5 * thermal_energy(298.15), rel=0.5)
    parts = (value for name, value in last.energies.items() if name != "total")
    assert sum(parts) == pytest.approx(last.energies["total"], rel=1e-6)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    springs = manifest["sessions"][-1]["springs"]["dry"]
    assert springs["phase_per_step"] == pytest.approx([0.2])
    assert springs["mean_temperature_K"] == pytest.approx(298, abs=90)
    assert "induced dipoles (centre)" in manifest["electrostatics"]
    analysis = dm.analyze(run)
    found = analysis.dipoles
    total = np.linalg.norm(last.system.total_dipoles, axis=1) / DEBYE
    pooled = sum(place.n_clusters for place in found.places.values())
    assert pooled == 30 * found.n_frames
    low, high = (found.places["alone"].percentiles_D[k] for k in (0, -1))
    assert low < np.median(total) < high
    # Along μ an induced dipole fluctuates by √(αkT·4πε₀) = 3.5 D; what a gas adds to it is less.
    assert found.places["alone"].induced_D.value == pytest.approx(0.0, abs=2.0)
    energies = found.energies_kJ_mol
    assert energies["induction"].value * 30 == pytest.approx(
        np.mean([f.energies["induction"] for f in frames[-found.n_frames :]]), rel=1e-6
    )
    written = json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))
    assert written["induction"] == found.summary()
    assert (tmp_path / "run" / "figures" / "dipoles.png").stat().st_size > 10_000
