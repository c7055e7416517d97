"""Dipoles by place in the chain against an independent solve, and what counts as which place."""

from dataclasses import replace

import numpy as np
import pytest

import dipolar_md as dm
from dipolar_md.analysis.induction import PLACES, places_in_chains
from dipolar_md.engines.direct import induced_dipoles
from dipolar_md.errors import InputError
from dipolar_md.units import DEBYE, KE

SOFT = dm.coarse_grain("r-au-cu", polarisation="centre")
HARD = dm.coarse_grain("r-au-cu")
CONTACT = SOFT.axial_contact_nm
TERMS = dm.Interactions(298.15, 1.0, cutoff_nm=40.0)


def solved(system):
    """The system with self-consistent induced dipoles."""
    return replace(system, induced_dipoles=induced_dipoles(system, TERMS))


def frame_of(system, **recorded):
    energies = dm.evaluate(system, TERMS, engine="direct").energies
    return dm.Frame(system, energies=energies, **recorded)


def straight(n, alpha):
    """Total dipoles along a straight chain at contact, by the inverse of a small matrix."""
    steps = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) * CONTACT
    field = np.divide(2.0, steps**3, out=np.zeros_like(steps), where=steps > 0)
    mu = np.full(n, SOFT.dipole_magnitude_e_nm)
    return np.linalg.solve(np.eye(n) - alpha * field, mu), field


def test_a_chain_at_contact_is_the_inverse_of_a_small_matrix():
    frame = frame_of(solved(dm.chain({SOFT: 10}, CONTACT, box_nm=100.0)))
    found = dm.cluster_dipoles(frame)
    total, field = straight(10, SOFT.polarisability_nm3)
    mu = SOFT.dipole_magnitude_e_nm
    names = ["end", "second", "third", "fourth", "inner"]
    assert list(found.places) == names
    for place, moment in zip(names, total, strict=False):
        here = found.places[place]
        assert here.n_clusters == 2
        assert here.total_D.value == pytest.approx(moment / DEBYE, rel=1e-9)
        assert here.induced_D.value == pytest.approx((moment - mu) / DEBYE, rel=1e-9)
        assert here.percentiles_D == pytest.approx([moment / DEBYE] * 5, rel=1e-9)
    assert found.permanent_D == pytest.approx(43.42)
    assert (np.diff([here.total_D.value for here in found.places.values()]) > 0).all()
    permanent = -KE * mu**2 * field.sum() / 2
    induction = -KE * mu * (field @ (total - mu)).sum() / 2
    energies = {name: energy.value for name, energy in found.energies_kJ_mol.items()}
    assert energies["permanent"] == pytest.approx(permanent / 10, rel=1e-9)
    assert energies["induction"] == pytest.approx(induction / 10, rel=1e-9)
    whole = frame.energies["total"] / 10
    assert sum(energies.values()) == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize(
    ("n", "places"),
    [
        (1, ["alone"]),
        (2, ["end", "end"]),
        (3, ["end", "second", "end"]),
        (4, ["end", "second", "second", "end"]),
        (11, ["end", "second", "third", "fourth", *["inner"] * 3]),
    ],
)
def test_places_count_from_the_nearer_end(n, places):
    places = places if len(places) == n else [*places, *places[3::-1]]
    shuffled = np.random.default_rng(1).permutation(n)
    line = dm.chain({SOFT: n}, CONTACT, box_nm=100.0)
    line = replace(line, positions=line.positions[shuffled])
    found = places_in_chains(dm.find_chains(line))
    assert [PLACES[k] for k in found] == [places[k] for k in shuffled]


def test_rings_branches_and_clusters_without_polarisability_stand_apart():
    ring = dm.ring({SOFT: 6}, CONTACT, box_nm=100.0)
    assert list(dm.cluster_dipoles(solved(ring)).places) == ["ring"]
    chain = dm.chain({SOFT: 8}, CONTACT, box_nm=8 * CONTACT)  # joins its own image
    assert {PLACES[k] for k in places_in_chains(dm.find_chains(chain))} == {"branched"}
    mixed = solved(dm.chain({SOFT: 2, HARD: 1}, CONTACT, box_nm=100.0))
    found = dm.cluster_dipoles(mixed)
    assert sum(place.n_clusters for place in found.places.values()) == 2
    assert not found.energies_kJ_mol  # a system knows none


def test_means_and_errors_are_those_over_frames():
    near, far = (frame_of(solved(dm.chain({SOFT: 3}, r, box_nm=100.0))) for r in (1.8, 1.9))
    found = dm.cluster_dipoles([near, far, far, near])
    each = [dm.cluster_dipoles(frame).places["end"].total_D.value for frame in (near, far)]
    assert found.places["end"].total_D.value == pytest.approx(np.mean(each))
    assert found.places["end"].total_D.error > 0
    assert found.n_frames == 4
    summary = found.summary()
    assert summary["places"]["second"]["n_clusters"] == 4
    assert summary["places"]["second"]["p50"] > summary["places"]["end"]["p50"]
    assert summary["energy_per_cluster_kJ_mol"]["induction"] < 0


@pytest.mark.parametrize("body", [SOFT, HARD])
def test_frames_without_induced_dipoles_are_refused(body):
    with pytest.raises(InputError, match=r"no frame has induced dipoles.*polarisation = 'centre'"):
        dm.cluster_dipoles(dm.chain({body: 3}, CONTACT, box_nm=100.0))
