"""The simulation file: what stages inherit, what overrides reach, and what a wrong one is told."""

import tomllib
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dipolar_md as dm
from dipolar_md.engines.stage import Environment
from dipolar_md.errors import InputError
from dipolar_md.parameters import parameter_file, parameter_names
from dipolar_md.units import DEBYE

SOURCE = "source = 'why not'"
MIXTURE = dm.load_recipe("racemate-au-cu")


def shares(n, *parts):
    names = ("r-au-cu", "s-au-cu", "r-1", "s-1", "au3cd")
    components = [
        {"cluster": name, "share": part} for name, part in zip(names, parts, strict=False)
    ]
    recipe = dm.load_recipe("r-au-cu", {"n_clusters": n, "components": components})
    counts = {body.name: count for body, count in dm.make_plan(recipe).counts.items()}
    assert 0 not in counts.values()  # a kind that gets no cluster is left out
    return [counts.get(component["cluster"], 0) for component in components]


# --- Stages ---------------------------------------------------------------------------------------


def test_the_shipped_drop_cast_dries():
    plan = dm.make_plan("r-au-cu").stages
    wet, dry = Environment(298.15, 8.93, 0.5), Environment(298.15, 1.0, 10.0)
    assert [(s.name, s.start, s.end) for s in plan] == [
        ("solution", wet, wet),
        ("evaporation", wet, dry),
        ("dry", dry, dry),
    ]
    assert [s.steps for s in plan] == [5000, 20000, 25000]
    assert [s.ramps for s in plan] == [False, True, False]
    middle = plan[1].environment(10000)
    assert middle.concentration_mM == pytest.approx((0.5 * 10.0) ** 0.5)
    assert middle.relative_permittivity == pytest.approx(8.93**0.5)


def test_a_stage_ends_in_what_it_states_and_inherits_the_rest():
    plan = dm.make_plan(
        "r-au-cu",
        {
            "temperature_K": 280.0,
            "stages.evaporation.temperature_K": 320.0,
            "stages.dry.relative_permittivity": 2.0,
            "stages.dry.skin_nm": 1.5,
        },
    ).stages
    assert plan[0].start == plan[0].end == Environment(280.0, 8.93, 0.5)
    assert (plan[1].start, plan[1].end) == (plan[0].end, Environment(320.0, 1.0, 10.0))
    assert (plan[2].start, plan[2].end) == (plan[1].end, Environment(320.0, 2.0, 10.0))
    assert plan[1].environment(plan[1].steps // 4).temperature_K == pytest.approx(290.0)
    assert [s.skin_nm for s in plan] == [None, None, 1.5]


def test_the_first_stage_holds_its_own_temperature():
    plan = dm.make_plan("r-au-cu", {"stages.solution.temperature_K": 250.0}).stages
    assert {s.start.temperature_K for s in plan} | {s.end.temperature_K for s in plan} == {250.0}


def test_every_stage_gets_the_numbers_of_the_recipe_and_noise_of_its_own():
    recipe = dm.load_recipe("r-au-cu", {"stages.dry.time_ns": 1e-6})
    plan = dm.make_plan(recipe)
    for stage in plan.stages:
        assert stage.time_step_ps == recipe.time_step_ps
        assert stage.viscosity_mPa_s == recipe.viscosity_mPa_s
        assert stage.friction_scale == recipe.friction_scale
        assert stage.chunk_steps == recipe.chunk_steps
        assert stage.first_step == 0
    assert plan.stages[2].steps == 1  # never none
    seeds = [s.seed for seed in (1, 2) for s in dm.make_plan(recipe, {"seed": seed}).stages]
    assert len(set(seeds)) == 6
    assert seeds[:3] == [s.seed for s in plan.stages]
    now = replace(plan.stages[0], start=Environment(310.0, 3.0, 20.0))
    assert plan.acting(now) == dm.Interactions(310.0, 3.0, "cutoff", recipe.cutoff_nm)


def test_a_chunk_is_no_longer_than_the_frames_are_apart():
    """The shipped `demo` asks for a frame every 0.1 ns of a recipe with chunks of 0.4 ns."""
    demo = dm.make_plan(dm.load_study("demo").base)
    (stage,) = demo.stages
    assert stage.chunk_steps * stage.time_step_ps == pytest.approx(100.0)
    steps = [done for _, done in stage.chunks()]
    due = [demo.frame_is_due(0, *pair) for pair in pairwise([0, *steps])]
    assert sum(due) == 120
    assert {s.chunk_steps for s in dm.make_plan("r-au-cu").stages} == {500}


# --- Components -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "parts", "counts"),
    [
        (1000, (1, 1), [500, 500]),
        (1000, (3, 1), [750, 250]),
        (100, (0.2, 0.3, 0.5), [20, 30, 50]),
        (7, (1,), [7]),
        (10, (1, 1, 1), [3, 4, 3]),
        (6, (1e-9, 1), [0, 6]),
    ],
)
def test_shares_split_as_stated(n, parts, counts):
    assert shares(n, *parts) == counts


@given(st.integers(1, 5000), st.lists(st.floats(0.01, 100), min_size=1, max_size=5))
@settings(max_examples=25, deadline=None)
def test_shares_split_exactly_and_within_one_cluster(n, parts):
    counts = shares(n, *parts)
    assert sum(counts) == n
    for count, part in zip(counts, parts, strict=True):
        assert abs(count - n * part / sum(parts)) < 1.001


def test_bodies_are_those_of_their_clusters():
    bodies = dm.make_plan(MIXTURE).counts
    assert {body.name: n for body, n in bodies.items()} == {"r-1": 500, "s-1": 500}
    assert list(bodies) == [dm.coarse_grain(dm.load_cluster(name)) for name in ("r-1", "s-1")]
    changed = dm.make_plan(MIXTURE, {"dipole_D": 30.0, "axial_contact_nm": 1.9}).counts
    for body in changed:
        assert body.dipole_e_nm == (0, 0, 30 * DEBYE)
        assert body.axial_contact_nm == 1.9


def test_components_that_make_equal_bodies_are_one_kind():
    """R-Au-Cu, and R-Au-Cu said to be R, are the same body: neither half may vanish."""
    same = [{"cluster": "r-au-cu"}, {"cluster": "r-au-cu", "handedness": "R"}]
    plan = dm.make_plan("r-au-cu", {"n_clusters": 1000, "components": same})
    assert list(plan.counts.values()) == [1000]
    assert len(plan.start()) == plan.n_clusters == 1000
    hands = [{"cluster": "au3cd", "handedness": hand} for hand in "RS"]
    mixed = dm.make_plan("au3cd", {"n_clusters": 1000, "components": hands})
    assert list(mixed.counts.values()) == [500, 500]


# --- Overrides ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "get", "expected"),
    [
        ("dipole_D", "21.85", lambda r: r.dipole_D, 21.85),
        ("dipole_D", 21.85, lambda r: r.dipole_D, 21.85),
        ("n_clusters", "64", lambda r: r.n_clusters, 64),
        ("title", "two words", lambda r: r.title, "two words"),
        ("title", '"quoted"', lambda r: r.title, "quoted"),
        ("stages.dry.time_ns", "3", lambda r: r.stages[2].time_ns, 3.0),
        ("stages.2.time_ns", "3", lambda r: r.stages[2].time_ns, 3.0),
        (
            "stages.dry.relative_permittivity",
            "2.5",
            lambda r: dm.make_plan(r).stages[2].end[1],
            2.5,
        ),
        ("components.0.cluster", "au3cd", lambda r: r.components[0].cluster.name, "au3cd"),
        ("components.0.share", "3", lambda r: r.components[0].share, 3.0),
        ("sources.dipole_D", "a guess", lambda r: r.sources["dipole_D"], "a guess"),
        ("reference", "crystal-r-au-cu", lambda r: r.reference, "crystal-r-au-cu"),
    ],
)
def test_overrides_reach_every_key(key, value, get, expected):
    plain = dm.load_recipe("r-au-cu")
    assert get(plain) != expected if key != "sources.dipole_D" else True
    assert get(dm.load_recipe("r-au-cu", {key: value})) == expected
    assert dm.load_recipe("r-au-cu") == plain
    if key != "components.0.cluster":  # of a resolved recipe the cluster is a table
        assert get(dm.load_recipe(plain, {key: value})) == expected


def test_overrides_stay_as_they_were():
    overrides = {"components": [{"cluster": "au3cd"}], "time_step_ps": 0.5}
    dm.load_recipe("r-au-cu", overrides)
    assert overrides == {"components": [{"cluster": "au3cd"}], "time_step_ps": 0.5}


def test_overrides_reach_into_the_clusters_of_a_resolved_recipe():
    recipe = dm.load_recipe(MIXTURE, {"components.1.cluster.dipole_D.value": 50.0})
    assert [c.cluster.dipole_D.value for c in recipe.components] == [44.6, 50.0]


def test_an_override_is_its_own_source():
    recipe = dm.load_recipe("r-au-cu", {"dipole_D": "21.85", "stages.dry.time_ns": 3.0})
    assert recipe.sources["dipole_D"] == "dipole_D = 21.85 was set for this run"
    assert recipe.stages[2].source.startswith("time_ns = 3.0 was set for this run; before: The dry")
    assert recipe.stages[1].source == dm.load_recipe("r-au-cu").stages[1].source


# --- Files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", parameter_names("recipes"))
def test_a_resolved_recipe_reads_back_as_itself(tmp_path, name):
    recipe = dm.load_recipe(
        name, {"dipole_D": 1 / 3, "stages.0.skin_nm": 0.1 + 0.2, "title": "é\n"}
    )
    path = tmp_path / "resolved.toml"
    path.write_text(recipe.to_toml(), encoding="utf-8")
    again = dm.load_recipe(path)
    assert again == recipe
    one, other = dm.make_plan(again), dm.make_plan(recipe)
    assert (one.stages, one.counts) == (other.stages, other.counts)
    assert again.to_toml() == recipe.to_toml()


@pytest.mark.parametrize("name", parameter_names("recipes"))
def test_shipped_recipes_are_meaningful(name):
    recipe = dm.load_recipe(name)
    assert [stage.steps for stage in dm.preflight(recipe)] == [
        s.steps for s in dm.make_plan(recipe).stages
    ]
    assert recipe.name == name
    # a frame falls on a chunk, so that frames come at even times
    assert recipe.frame_interval_ns * 1000 / recipe.time_step_ps % recipe.chunk_steps < 1e-6
    for component in recipe.components:
        assert component.cluster == dm.load_cluster(component.cluster.name)


def test_paths_in_a_recipe_start_from_its_folder(tmp_path, monkeypatch):
    folder = tmp_path / "study"
    folder.mkdir()
    cluster = parameter_file("clusters", "au3cd").read_text(encoding="utf-8")
    (folder / "mine.toml").write_text(cluster.replace('"au3cd"', '"mine"'), encoding="utf-8")
    text = parameter_file("recipes", "au3cd").read_text(encoding="utf-8")
    text = text.replace('cluster = "au3cd"', 'cluster = "mine.toml"')
    (folder / "recipe.toml").write_text('reference = "tem-r-au-cu"\n' + text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    recipe = dm.load_recipe("study/recipe.toml")
    assert [c.cluster.name for c in recipe.components] == ["mine"]
    assert recipe.reference == "tem-r-au-cu"
    with pytest.raises(InputError, match=r"components.0.cluster.*: mine.toml: no such file"):
        dm.load_recipe("study/recipe.toml", {"components.0.cluster": "mine.toml"})  # from here


def test_racemate_is_an_even_mixture_of_mirror_images():
    assert [c.cluster.handedness for c in MIXTURE.components] == ["R", "S"]
    assert len({c.share for c in MIXTURE.components}) == 1


# --- What a wrong recipe is told ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"dipole_d": 4}, ["unknown key 'dipole_d'", "did you mean dipole"]),
        ({"relative_permittivity": 2}, ["unknown key 'relative_permittivity'", "known: name,"]),
        ({"stages.dry.temprature_K": 4}, ["'stages.2.temprature_K'", "did you mean temperature_K"]),
        ({"dipole_D": -4}, ["key 'dipole_D'", "greater than 0", "(found -4)"]),
        ({"dipole_D": "nan"}, ["key 'dipole_D'", "finite number", "(found nan)"]),
        ({"time_step_ps": "inf"}, ["key 'time_step_ps'", "finite number", "(found inf)"]),
        ({"cutoff_nm": "wide"}, ["key 'cutoff_nm'", "valid number", "(found 'wide')"]),
        ({"n_clusters": 0}, ["key 'n_clusters'", "greater than or equal to 1", "(found 0)"]),
        ({"n_clusters": 10.5}, ["key 'n_clusters'", "integer", "(found 10.5)"]),
        ({"n_clusters": "true"}, ["key 'n_clusters'", "integer", "(found True)"]),
        ({"n_clusters": 10**8}, ["key 'n_clusters'", "or equal to 10000000", "(found 100000000)"]),
        ({"temperature_K": '"298"'}, ["key 'temperature_K'", "valid number", "(found '298')"]),
        ({"seed": -1}, ["key 'seed'", "greater than or equal to 0", "(found -1)"]),
        ({"shape": "cube"}, ["key 'shape'", "'sphere'", "(found 'cube')"]),
        ({"electrostatics": "none"}, ["key 'electrostatics'", "'cutoff'", "(found 'none')"]),
        ({"stages.dry.thickness_nm": 5.0}, ["stages.solution.thickness_nm is missing", "film"]),
        ({"stages.dry.time_ns": 0}, ["key 'stages.2.time_ns'", "greater than 0", "(found 0)"]),
        (
            {"stages.0.relative_permittivity": 0.9},
            ["key 'stages.0.relative_permittivity'", "greater than or equal to 1", "(found 0.9)"],
        ),
        ({"components.0.share": 0}, ["key 'components.0.share'", "greater than 0", "(found 0)"]),
        ({"components": []}, ["key 'components'", "at least 1 item"]),
        ({"stages": []}, ["key 'stages'", "at least 1 item"]),
        ({"stages": 3}, ["key 'stages'", "valid list", "(found 3)"]),
        ({"stages": [3]}, ["key 'stages.0'", "(found 3)"]),
        ({"sources": "none"}, ["key 'sources'", "valid dictionary"]),
        ({"sources": {}}, ["sources.cutoff_nm is missing: a physical number needs its source"]),
        ({"sources.dipol_D": "x"}, ["sources names unknown keys ['dipol_D']"]),
        (
            {"components.0.cluster": "r-au-cuu"},
            ["key 'components.0.cluster'", "unknown cluster 'r-au-cuu'", "did you mean r-au-cu"],
        ),
        ({"components.0.cluster": 5}, ["key 'components.0.cluster'", "(found 5)"]),
        ({"stages.wet.time_ns": 4}, ["no 'stages.wet' to set", "solution, evaporation, dry"]),
        ({"stages.drry.time_ns": 4}, ["no 'stages.drry' to set", "did you mean dry"]),
        ({"stages.7.time_ns": 4}, ["no 'stages.7' to set"]),
        ({"stage.dry.time_ns": 4}, ["no table 'stage' to set", "did you mean stages"]),
        ({"temperature_K.x": 4}, ["no table 'temperature_K' to set"]),
        ({"stages.dry": 4}, ["'stages.dry' must name a key (as in stages.dry.time_ns)"]),
        ({"stages": [3], "stages.dry.time_ns": 4}, ["no 'stages.dry' to set"]),
        ({"stages": [3], "stages.0.time_ns": 4}, ["'stages.0.time_ns' must name a key"]),
        ({"stages": [3], "stages.0.x.y": 4}, ["no table 'stages.0.x' to set"]),
        ({"stages.1.name": "dry"}, ["stage names must differ"]),
        (
            {"components": [{"cluster": "r-1"}, {"cluster": "r-1"}]},
            ["cluster names must differ (found ['r-1', 'r-1'])"],
        ),
    ],
)
def test_wrong_values_are_told_file_key_value_and_range(overrides, told):
    with pytest.raises(InputError) as error:
        dm.load_recipe("r-au-cu", overrides)
    for words in [f"{parameter_file('recipes', 'r-au-cu')}: ", *told]:
        assert words in str(error.value)
    assert "Traceback" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("relative_permittivity = 8.93", ["stages.solution.relative_permittivity is missing"]),
        ("concentration_mM = 0.5", ["stages.solution.concentration_mM is missing"]),
        ("temperature_K = 298.15", ["key 'temperature_K' is missing"]),
        ("cutoff_nm = 10.0", ["key 'cutoff_nm' is missing"]),
        ("time_ns = 4.0", ["key 'stages.0': time_ns is missing: sampling = 'dynamics' needs it"]),
        ("viscosity_mPa_s = 0.413", ["key 'viscosity_mPa_s' is missing: sampling = 'dynamics'"]),
        ("friction_scale = 0.02", ["key 'friction_scale' is missing: sampling = 'dynamics'"]),
        ("frame_interval_ns = 0.4", ["key 'frame_interval_ns' is missing: sampling = 'dyn"]),
        ("time_step_ps = 0.8", ["key 'time_step_ps' is missing"]),
        ('name = "dry"', ["key 'stages.2.name' is missing"]),
        ('cluster = "r-au-cu"', ["key 'components.0.cluster' is missing"]),
    ],
)
def test_a_missing_key_is_named(tmp_path, line, told):
    text = parameter_file("recipes", "r-au-cu").read_text(encoding="utf-8")
    assert text.count(f"\n{line}\n") == 1
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(f"\n{line}\n", "\n"), encoding="utf-8")
    with pytest.raises(InputError) as error:
        dm.load_recipe(path)
    for words in [f"{path}: ", *told]:
        assert words in str(error.value)


def test_permittivity_says_why_it_is_asked_for(tmp_path):
    data = tomllib.loads(parameter_file("recipes", "r-au-cu").read_text(encoding="utf-8"))
    del data["stages"][0]["relative_permittivity"]
    with pytest.raises(InputError, match=r"first stage must state it .*so it is never assumed"):
        dm.load_recipe("r-au-cu", {"stages": data["stages"]})


def test_defaults_are_few_and_physics_has_none():
    required = {name for name, field in dm.Recipe.model_fields.items() if field.is_required()}
    assert required == {
        *("name", "title", "n_clusters", "temperature_K", "sources", "components", "stages"),
    }  # what belongs to time is needed where there is time
