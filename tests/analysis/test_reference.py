"""Published values: reading them, and every verdict that a run can get."""

from dataclasses import replace

import numpy as np
import pytest

import dipolar_md as dm
from dipolar_md.analysis.reference import ReferenceQuantity
from dipolar_md.parameters import parameter_names

BODY = dm.coarse_grain(dm.load_cluster("r-au-cu"))
CHAIN = dm.nanowire_statistics([dm.Frame(dm.chain({BODY: 3}, 1.85))])
HEAD = 'name = "mine"\ntitle = "Mine"\nsource = "notebook"\nclusters = ["r-au-cu"]\n'
ONE = '[[quantities]]\nquantity = "spacing_nm"\nsource = "p. 3"\n'


def reference(clusters=("r-au-cu",), **quantities):
    """A reference of {name: (low, high)} or {name: value}."""
    rows = []
    for name, limits in quantities.items():
        low, high, value = (*limits, None) if isinstance(limits, tuple) else (None, None, limits)
        limits = {"low": low, "high": high, "value": value}
        rows.append(ReferenceQuantity(quantity=name, source="p. 3", **limits))
    return dm.Reference(
        name="mine", title="Mine", source="us", clusters=list(clusters), quantities=rows
    )


def estimated(value, error=None):
    return None if value is None else dm.Estimate(value, error)


@pytest.mark.parametrize(
    ("limits", "value", "error", "verdict", "words"),
    [
        ((1.8, 2.5), 1.8, 0.1, "inside", "1.8–2.5 nm"),
        ((1.8, 2.5), 2.5, None, "inside", "1.8–2.5 nm"),
        ((1.8, 2.5), 1.79, 0.1, "below", "1.8–2.5 nm"),
        ((1.8, 2.5), 2.51, 0.1, "above", "1.8–2.5 nm"),
        ((1000.0, None), 1e4, 5.0, "inside", "≥ 1000 nm"),
        ((1000.0, None), 999.0, 5.0, "below", "≥ 1000 nm"),
        ((None, 2.0), 0.1, None, "inside", "≤ 2 nm"),
        ((None, 2.0), 2.1, None, "above", "≤ 2 nm"),
        (1.61, 1.618, None, "agrees", "1.61 nm"),  # to the digits given
        (1.61, 1.63, 0.009, "differs", "1.61 nm"),
        (1.61, 1.63, 0.011, "agrees", "1.61 nm"),  # to two errors
        (1.61, 1.59, 0.001, "differs", "1.61 nm"),
        ((1.8, 2.5), None, None, "no bonds", "1.8–2.5 nm"),
    ],
)
@pytest.mark.parametrize(
    ("quantity", "attribute", "tag"),
    [
        ("spacing_nm", "spacing_median_nm", "calibrated"),
        ("contour_length_nm", "contour_mean_nm", "predicted"),
    ],
)
def test_verdicts(quantity, attribute, tag, limits, value, error, verdict, words):
    table = replace(CHAIN, **{attribute: estimated(value, error)})
    found = dm.compare(table, reference(**{quantity: limits}))
    assert [v[:6] for v in found.verdicts] == [(quantity, value, error, words, verdict, tag)]
    assert found.passed is (tag == "calibrated" or verdict in ("inside", "agrees"))


@pytest.mark.parametrize("quantity", ["core_diameter_nm", "lateral_spacing_nm"])
def test_what_a_sphere_cannot_say_is_not_predicted(quantity):
    found = dm.compare(CHAIN, reference(**{quantity: 0.9}))
    expected = (quantity, None, None, "0.9 nm", "not predicted", "predicted")
    assert [v[:6] for v in found.verdicts] == [expected]
    assert found.passed


@pytest.mark.parametrize(
    ("simulated", "published", "applies"),
    [
        ("r-au-cu", ("r-au-cu", "s-au-cu"), True),
        ("r-au-cu + s-au-cu", ("r-au-cu", "s-au-cu"), True),
        ("r-au-cu + au3cd", ("r-au-cu", "s-au-cu"), False),
        ("au3cd", ("r-au-cu",), False),
    ],
)
def test_reference_applies_to_its_clusters(simulated, published, applies):
    found = dm.compare(replace(CHAIN, cluster=simulated), reference(published, spacing_nm=1.85))
    assert found.applies is applies
    summary = found.summary()
    assert (summary["name"], summary["applies"]) == ("mine", applies)
    assert summary["verdicts"][0]["verdict"] == "agrees"
    assert summary["verdicts"][0]["tag"] == "calibrated"


def test_verdicts_keep_the_order_of_the_file_and_one_failure_fails():
    limits = {"core_diameter_nm": 1.0, "contour_length_nm": (1000.0, None), "spacing_nm": 1.85}
    found = dm.compare(CHAIN, reference(**limits))
    assert [v.quantity for v in found.verdicts] == list(limits)
    assert [v.verdict for v in found.verdicts] == ["not predicted", "below", "agrees"]
    assert not found.passed


# --- Files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", parameter_names("references"))
def test_shipped_references_load(name):
    loaded = dm.load_reference(name)
    assert loaded.name == name
    assert set(loaded.clusters) <= set(parameter_names("clusters"))
    assert "10.1021/acscentsci.2c00754" in loaded.source


def test_shipped_numbers_are_those_of_the_paper():
    tem, crystal = dm.load_reference("tem-r-au-cu"), dm.load_reference("crystal-r-au-cu")
    assert (tem.quantity("spacing_nm").low, tem.quantity("spacing_nm").high) == (1.8, 2.5)
    assert str(tem.quantity("core_diameter_nm")) == "0.82–1.17 nm"
    assert tem.quantity("contour_length_nm").low == 1000
    assert crystal.quantity("spacing_nm").value == 1.61
    assert crystal.quantity("lateral_spacing_nm").value == 2.68
    assert tem.quantity("lateral_spacing_nm") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + ONE + "lowest = 1.0", r"unknown key 'quantities\.0\.lowest'; did you mean low"),
        (HEAD + ONE, r"'quantities\.0'.*either value, or low and/or high"),
        (HEAD + ONE + "value = 1.0\nlow = 0.5", r"'quantities\.0'.*either value, or low"),
        (HEAD + ONE + "low = 2.0\nhigh = 1.0", r"low must not exceed high \(found 2\.0 > 1\.0\)"),
        (HEAD + ONE + "low = -2.0", r"'quantities\.0\.low'.*greater than 0.*-2\.0"),
        (HEAD + ONE + "value = inf", r"'quantities\.0\.value'.*finite"),
        (HEAD + ONE.replace("spacing_nm", "colour") + "value = 1.0", r"'quantities\.0\.quantity'"),
        (HEAD + "quantities = []", "'quantities'.*at least 1"),
        (HEAD, "'quantities' is missing"),
        (HEAD.replace("name", "nome"), "unknown key 'nome'; did you mean name"),
        (HEAD + "quantities = [", "not valid TOML"),
    ],
)
def test_wrong_files_are_named_with_their_key(tmp_path, text, words):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(dm.InputError, match=rf"mine\.toml: (?s:.)*{words}"):
        dm.load_reference(path)


def test_unknown_reference_lists_the_nearest():
    with pytest.raises(dm.InputError, match="did you mean tem-r-au-cu"):
        dm.load_reference("tem-r-au-cd")


def test_equal_limits_are_a_range():
    point = ReferenceQuantity(quantity="spacing_nm", low=1.8, high=1.8, source="p. 3")
    assert str(point) == "1.8–1.8 nm"


def test_the_interval_of_the_distance_is_that_of_a_difference_of_means():
    """Shifted normals lie their shift apart, known to 1.96 √(2/N) as any difference of means."""
    rng = np.random.default_rng(8)
    x, y = rng.normal(11.0, 1.0, 400), rng.normal(8.0, 1.0, 400)
    found = dm.compare_samples(x, y)
    half = 1.96 * np.sqrt(2 / 400)
    assert found.distance_nm == pytest.approx(3.0, abs=half)
    ends = (found.distance_nm - found.distance_low_nm, found.distance_high_nm - found.distance_nm)
    assert ends == pytest.approx((half, half), rel=0.25)
