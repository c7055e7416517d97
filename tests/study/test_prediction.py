"""Predicted lengths: what they say, what they refuse, and two starts that meet."""

import json
import math

import numpy as np
import pytest

import dipolar_md as dm
from dipolar_md.study.equilibrium import coiled_chains, find_equilibrium, judge

FEW = {"trials": 2000000, "concentration_mM": [1.0, 10.0]}


@pytest.fixture(scope="module")
def ahead():
    return dm.predict_lengths("r-au-cu", polarisation=[0.0, 0.2], axial_contact_nm=1.822, **FEW)


@pytest.mark.validate
def test_a_prediction_has_the_numbers_under_their_names(ahead):
    found = json.loads(json.dumps(ahead.to_dict()))
    plain, polarised = found["variants"]
    assert (plain["polarisability_nm3"], polarised["polarisability_nm3"]) == (0.0, 0.2)
    for key in ("association_constant_per_mM", "tail_amplitude_mM"):
        assert plain[key] > 0
        assert plain[f"{key}_err"] > 0
    row = plain["by_concentration"][1]
    assert row["concentration_mM"] == 10
    for key in ("mean_chain_length", "tail_mean_length", "mean_wire_length_nm",
                "monomer_fraction", "ring_fraction"):  # fmt: skip
        assert row[key] > 0
        assert row[f"{key}_err"] >= 0
    assert plain["spacing_nm"] == pytest.approx(1.86, abs=0.02)
    assert plain["law"] == polarised["law"] == "cooperative"
    assert polarised["association_constant_per_mM"] > 10 * plain["association_constant_per_mM"]
    assert "wires at 10 mM" in ahead.sentence
    assert "polarisability decides" in ahead.sentence


@pytest.mark.validate
def test_lengths_are_near_those_of_many_clusters(ahead):
    """R-Au-Cu at 10 mM: 21.5 ± 0.3 by Monte Carlo of 1,000 clusters from two starts."""
    row = ahead.variants[0].by_concentration[1]
    found, error = row.mean_chain_length
    assert error < 8
    assert found == pytest.approx(21.5, abs=3 * math.hypot(error, 1.0))


def test_a_short_prediction_repeats_and_is_near_many_clusters():
    quick = {"polarisation": 0.0, "axial_contact_nm": 1.822}
    one, other = (dm.predict_lengths("r-au-cu", 10.0, trials=8000, **quick) for _ in range(2))
    assert one.to_dict() == other.to_dict()
    one = dm.predict_lengths("r-au-cu", 10.0, trials=60000, **quick)
    found, error = one.variants[0].by_concentration[0].mean_chain_length
    assert 0 < error < 6
    assert found == pytest.approx(21.5, abs=3 * math.hypot(error, 1.0))


@pytest.mark.validate
def test_a_prediction_stops_where_it_is_told():
    both = dm.predict_lengths("r-au-cu", trials=60000, polarisation=0.0, progress=lambda text: True)
    assert len(both.variants) == 1


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"polarisation": -0.1}, "not negative"),
        ({"polarisation": 1.0}, "4ζ\\(3\\) α/r³ must be less than 1"),
        ({"concentration_mM": 0.0}, "concentration_mM must be positive"),
        ({"axial_contact_nm": -1.0}, "axial_contact_nm must be positive"),
    ],
)
def test_numbers_out_of_range_are_refused(asked, told):
    with pytest.raises(dm.InputError, match=told):
        dm.predict_lengths("r-au-cu", **({"trials": 60000} | asked))


def test_a_start_from_chains_has_long_chains_that_do_not_touch():
    body = dm.coarse_grain(dm.load_cluster("r-au-cu"))
    system = coiled_chains(body, 300, 10.0, seed=1)
    found = dm.find_chains(system)
    assert found.sizes.max() >= 50
    assert found.mean_length > 25
    with pytest.raises(dm.InputError, match="too dense for a start from chains"):
        coiled_chains(body, 300, 400.0, seed=1)


def test_two_starts_meet_where_they_can():
    body = dm.coarse_grain(dm.load_cluster("r-au-cu"), dipole_D=36.0)
    terms = dm.Interactions(298.15, 1.0, cutoff_nm=6.0)
    found = find_equilibrium(body, terms, 100, 10.0, sweeps=4000, chunk=10, relative_error=0.05)
    assert found.equilibrated, found.missing
    assert found.value.value == pytest.approx(2.5, abs=1.0)


def test_what_is_missing_is_said():
    rng = np.random.default_rng(1)
    apart = {"monomers": list(5 + rng.normal(size=200)), "chains": list(9 + rng.normal(size=200))}
    none = {"monomers": [0.0] * 200, "chains": [0.0] * 200}
    assert "the starts disagree in mean chain length" in judge(apart, none, 100, 0.1, {}).missing
    drifting = {"monomers": list(np.linspace(1, 9, 200)), "chains": apart["chains"]}
    assert "of the start from monomers" in judge(drifting, none, 100, 0.1, {}).missing
    same = {"monomers": apart["chains"], "chains": list(9 + rng.normal(size=200))}
    assert judge(same, none, 100, 0.1, {}).equilibrated
    rings = {"monomers": list(0.3 + 0.01 * rng.normal(size=200)), "chains": [0.0] * 200}
    assert "the starts disagree in rings" in judge(same, rings, 100, 0.1, {}).missing
