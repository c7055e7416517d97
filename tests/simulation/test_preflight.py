"""Is a recipe meaningful? Every refusal names a bound that holds, and the bound itself passes."""

import re

import numpy as np
import pytest
from oracles.association import mean_length

import dipolar_md as dm
from dipolar_md.errors import InputError
from dipolar_md.units import KB, KE

MILLIMOLAR = 6.02214076e-4


def told(overrides, recipe="r-au-cu"):
    with pytest.raises(InputError) as error:
        dm.preflight(dm.load_recipe(recipe, overrides))
    return str(error.value)


def number(pattern, text):
    return float(re.search(pattern, text)[1])


def test_outlook_is_of_the_end_of_each_stage():
    recipe = dm.load_recipe("r-au-cu", {"stages.dry.temperature_K": 320.0})
    plan = dm.make_plan(recipe)
    plan, body = plan.stages, next(iter(plan.counts))
    for found, stage in zip(dm.preflight(recipe), plan, strict=True):
        assert (found.name, found.steps, found.environment) == (stage.name, stage.steps, stage.end)
        volume = 1000 / (stage.end.concentration_mM * MILLIMOLAR)
        assert found.box_nm == pytest.approx(volume ** (1 / 3), rel=1e-12)
        assert found.volume_fraction == pytest.approx(1000 * np.pi / 6 * 1.822**3 / volume)
        temperature, permittivity, concentration = stage.end[:3]
        coupling = 37.54 / 2 / (KB * temperature) / permittivity  # of the paper's contact energy
        assert found.coupling == pytest.approx(coupling, rel=1e-3)
        expected = mean_length(
            body.sites[0].sigma_nm, 43.42, permittivity, temperature, concentration
        )
        assert found.expected_mean_length == pytest.approx(expected, rel=1e-5)
    assert dm.preflight(recipe)[0].coupling < 1 < 3 < dm.preflight(recipe)[2].coupling


def test_outlook_of_a_mixture_is_of_its_strongest_component():
    components = [{"cluster": "au3cd", "share": 3}, {"cluster": "r-au-cu", "share": 1}]
    mixed = dm.preflight(dm.load_recipe("r-au-cu", {"components": components, "time_step_ps": 0.5}))
    pure = dm.preflight(dm.load_recipe("r-au-cu"))
    assert [s.coupling for s in mixed] == [s.coupling for s in pure]
    spheres = (750 * 1.44**3 + 250 * 1.822**3) / (1000 * 1.822**3)
    assert mixed[2].volume_fraction == pytest.approx(spheres * pure[2].volume_fraction)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"cutoff_nm": 6.3},
        {"stages.dry.concentration_mM": 33.0},
        {"stages.solution.concentration_mM": 55.0},
    ],
)
def test_a_box_too_small_for_the_cutoff_is_told_the_fewest_clusters(change):
    text = told({"n_clusters": 2} | change)
    assert "box too small for the cutoff" in text
    assert "2 x cutoff_nm" in text
    assert re.search(r"stage '(solution|evaporation|dry)'", text)
    assert "concentration_mM" in text
    fewest = int(number(r"n_clusters to at least (\d+)", text))
    while "box too small" in text and fewest < 1e5:  # the first stage that fails names its own
        change["n_clusters"] = fewest - 1
        assert f"at least {fewest}," in told(change)
        change["n_clusters"] = fewest
        try:
            dm.preflight(dm.load_recipe("r-au-cu", change))
            return
        except InputError as error:
            text = str(error)
            assert int(number(r"n_clusters to at least (\d+)", text)) > fewest
            fewest = int(number(r"n_clusters to at least (\d+)", text))
    pytest.fail(text)


@pytest.mark.parametrize("change", [{"stages.evaporation.time_ns": 0.8}, {}])
@pytest.mark.parametrize("end", [10.0, 0.01])
def test_a_box_that_jumps_is_told_chunks_that_work(change, end):
    change = change | {"stages.evaporation.concentration_mM": end, "chunk_steps": 8000}
    change["frame_interval_ns"] = 6.4  # a chunk is no longer than that
    text = told(change)
    assert re.search(r"stage 'evaporation': the box changes by \d+ % in length per chunk", text)
    longest = int(number(r"lower chunk_steps \(now 8000\) to (\d+) or raise time_ns", text))
    dm.preflight(dm.load_recipe("r-au-cu", change | {"chunk_steps": longest}))
    steps = dm.make_plan("r-au-cu", change).stages[1].steps
    most = abs(np.log(end / 0.5)) / 3 / 0.1  # chunks of 10 % that the ramp needs
    assert steps / longest == pytest.approx(np.ceil(most), rel=0.01)


def test_a_ramp_of_few_steps_is_told_to_last_longer():
    assert told({"stages.evaporation.time_ns": 0.004}).endswith("at most 10 %; raise time_ns")


def test_a_cutoff_inside_a_chain_is_refused():
    text = told({"cutoff_nm": 3.0})
    assert "cutoff_nm = 3 cuts off neighbours in a chain" in text
    assert number(r"at least two contacts, ([\d.]+) nm", text) == pytest.approx(3.644)
    dm.preflight(dm.load_recipe("r-au-cu", {"cutoff_nm": 3.644}))


@pytest.mark.parametrize("key", ["stages.dry.concentration_mM", "stages.solution.concentration_mM"])
def test_a_liquid_too_dense_to_flow_is_refused(key):
    packed = 0.45 / (np.pi / 6 * 1.822**3) / MILLIMOLAR
    common = {"n_clusters": 20000, "cutoff_nm": 5.0}
    text = told(common | {key: 1.01 * packed})
    assert re.search(
        r"concentration_mM = 23\d.*too dense: volume fraction 0.45, at most 0.45", text
    )
    dm.preflight(dm.load_recipe("r-au-cu", common | {key: 0.99 * packed}))


@pytest.mark.parametrize(
    "change",
    [
        {"time_step_ps": 5.0},
        {"dipole_D": 100.0},
        {"friction_scale": 100.0},
        {"viscosity_mPa_s": 60.0},
        {"axial_contact_nm": 1.2},
        {"components": [{"cluster": "r-au-cu"}, {"cluster": "au3cd"}], "time_step_ps": 1.0},
    ],
)
def test_a_time_step_too_long_is_told_one_that_works(change):
    text = told(change)
    assert re.search(r"time_step_ps = [\d.]+ is too long for '(r-au-cu|au3cd)'", text)
    longest = number(r"at most ([\d.]+) ps", text)
    dm.preflight(dm.load_recipe("r-au-cu", change | {"time_step_ps": longest}))
    assert told(change | {"time_step_ps": 1.1 * longest})


@pytest.mark.parametrize("debye", [30.0, 43.42, 80.0])
def test_the_time_step_follows_the_stiffest_motion_of_a_chain(debye):
    """ω Δt ≤ 0.5 for librations, ω² = 4A/r³I, vibrations between two neighbours, and collisions.

    The minimum and the stiffness come from a scan of the pair energy written out here.
    """
    body = dm.coarse_grain(dm.load_cluster("r-au-cu"), dipole_D=debye)
    (site,), scale = body.sites, KE * body.dipole_magnitude_e_nm**2
    h = 1e-4
    r = np.arange(1.2, 2 ** (1 / 6) * site.sigma_nm, h)
    s6 = (site.sigma_nm / r) ** 6
    wca = 4 * KB * 298.15 * (s6**2 - s6)
    lowest = np.argmin(wca - 2 * scale / r**3)
    bond = np.diff(wca - 2 * scale / r**3, 2)[lowest - 1] / h**2
    collision = np.diff(wca, 2)[np.argmin(wca**2) - 1] / h**2  # where WCA reaches kT
    vibration = np.sqrt(2 * max(bond, collision) / body.mass_Da)
    libration = np.sqrt(4 * scale / r[lowest] ** 3 / body.inertia_Da_nm2[0])
    longest = 0.5 / max(libration, vibration)
    change = {"dipole_D": debye}
    dm.preflight(dm.load_recipe("r-au-cu", change | {"time_step_ps": 0.99 * longest}))
    assert told(change | {"time_step_ps": 1.01 * longest})
    # where no stage is without a solvent, its screening softens the bonds, but not the collisions
    soft = {"stages.evaporation.relative_permittivity": 8.93, "time_step_ps": 1.01 * longest}
    if bond > 1.1 * collision:
        dm.preflight(dm.load_recipe("r-au-cu", change | soft))
    else:
        assert told(change | soft)


def test_the_time_step_follows_strong_friction():
    """Δt ≤ 0.5 I/γ_r with γ_r = 8πηR³; the translational rate is 10/3 times slower."""
    body = dm.coarse_grain(dm.load_cluster("r-au-cu"))
    friction = 8 * np.pi * (100 * 0.413 * 602.214076) * 0.911**3  # 1 mPa s in Da nm⁻¹ ps⁻¹
    longest = 0.5 * body.inertia_Da_nm2[0] / friction
    change = {"friction_scale": 100.0}
    dm.preflight(dm.load_recipe("r-au-cu", change | {"time_step_ps": 0.999 * longest}))
    assert told(change | {"time_step_ps": 1.001 * longest})


def test_a_dipole_beyond_every_contact_is_told():
    """2,000 D pull bodies further together than steric push is looked for: no bond to follow."""
    text = told({"dipole_D": 2000.0})
    assert re.search(r"'r-au-cu': no contact.*2000 D.*lower the dipole", text)


def test_a_name_a_path_a_recipe_and_a_plan_are_checked_alike(tmp_path):
    recipe = dm.load_recipe("r-au-cu")
    path = tmp_path / "mine.toml"
    path.write_text(recipe.to_toml(), encoding="utf-8")
    expected = dm.preflight(recipe)
    assert [stage.name for stage in expected] == ["solution", "evaporation", "dry"]
    for way in ("r-au-cu", path, str(path), dm.make_plan(recipe)):
        assert dm.preflight(way) == expected


def test_an_unknown_reference_is_told_before_the_run():
    assert "unknown reference 'tem-au': did you mean" in told({"reference": "tem-au"})
    assert "no such file (reference expected)" in told({"reference": "mine.toml"})
