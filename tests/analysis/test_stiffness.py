"""Stiffness: chains of known persistence length, closed forms, MDAnalysis on the same frames."""

import MDAnalysis
import numpy as np
import pytest
import rowan
from MDAnalysis.analysis.polymer import PersistenceLength

import dipolar_md as dm
from dipolar_md.analysis.stiffness import tangent_correlation, worm_like_square_nm2
from dipolar_md.model.system import align_z

BODY = dm.coarse_grain(dm.load_cluster("r-au-cu"))
S = 1.85


def worm_like(persistence_nm, chains, n, seed):
    """Freely rotating chains far apart: ⟨t(0)·t(k)⟩ = exp(−k S/P) exactly. Tangents too."""
    rng = np.random.default_rng(seed)
    bend = np.arccos(np.exp(-S / persistence_nm))
    frame = align_z(rng.normal(size=(chains, 3)))
    tangents = np.empty((chains, n - 1, 3))
    for k in range(n - 1):
        tangents[:, k] = rowan.rotate(frame, [0, 0, 1])
        turn = rng.uniform(0, 2 * np.pi, chains)
        step = [
            np.sin(bend) * np.cos(turn),
            np.sin(bend) * np.sin(turn),
            np.full(chains, np.cos(bend)),
        ]
        frame = rowan.multiply(frame, align_z(np.stack(step, axis=1)))
    positions = np.concatenate([np.zeros((chains, 1, 3)), S * np.cumsum(tangents, axis=1)], axis=1)
    positions -= positions.mean(axis=1, keepdims=True)
    side, edge = int(np.ceil(chains ** (1 / 3))), (n + 2) * S
    grid = np.stack(np.unravel_index(np.arange(chains), (side,) * 3), axis=1) - side / 2
    dipoles = np.concatenate([tangents, tangents[:, -1:]], axis=1)
    return dm.Frame.from_arrays(
        (side * edge,) * 3,
        (positions + edge * grid[:, None]).reshape(-1, 3),
        align_z(dipoles.reshape(-1, 3)),
        BODY,
    )


@pytest.mark.parametrize("persistence", [20.0, 40.0, 80.0])
def test_both_ways_recover_known_chains(persistence):
    """1,000 chains of 30: stiff enough that few touch themselves, which biases neither estimate."""
    graph = dm.find_chains(worm_like(persistence, chains=1000, n=30, seed=4))
    assert graph.fraction("linear") > 0.95
    assert dm.persistence_length_nm([graph]) == pytest.approx(persistence, rel=0.05)
    assert dm.end_to_end_persistence_nm([graph]) == pytest.approx(persistence, rel=0.05)


@pytest.mark.parametrize("persistence", [12.0, 16.0])
def test_tangents_recover_flexible_chains_over_several_frames(persistence):
    """Chains of 60, some of which touch themselves; frames are pooled, not averaged."""
    graph = dm.find_chains(worm_like(persistence, chains=125, n=60, seed=2))
    assert graph.fraction("linear") > 0.9
    assert dm.persistence_length_nm([graph]) == pytest.approx(persistence, rel=0.05)
    pooled = dm.persistence_length_nm([graph, dm.find_chains(dm.pair({BODY: 2}, S))])
    assert pooled == dm.persistence_length_nm([graph])


def test_persistence_length_is_none_where_nothing_bends_or_is_known():
    straight = dm.find_chains(dm.chain({BODY: 60}, S))
    assert dm.persistence_length_nm([straight] * 3) is None
    assert dm.persistence_length_nm([dm.find_chains(dm.pair({BODY: 2}, S))]) is None
    few = dm.find_chains(worm_like(8.0, chains=1, n=12, seed=2))
    assert dm.persistence_length_nm([few]) is None
    assert dm.persistence_length_nm([few], fewest=5) is not None
    assert dm.persistence_length_nm([dm.find_chains(dm.ring({BODY: 30}, S))], fewest=5) is None
    assert dm.persistence_length_nm([]) is None


def test_worm_like_chain_has_its_limits():
    assert worm_like_square_nm2(1.0, 1e4) == pytest.approx(1.0, rel=1e-4)  # a rod
    assert worm_like_square_nm2(1e4, 1.0) == pytest.approx(2e4, rel=1e-3)  # a coil, 2PL
    # L = P: 2P²/e
    assert worm_like_square_nm2(3.0, 3.0) == pytest.approx(2 * 9 / np.e)


def test_end_to_end_is_none_where_it_can_not_be_told():
    straight = dm.find_chains(dm.chain({BODY: 9}, S))
    assert dm.end_to_end_persistence_nm([straight], fewest=1) is None
    assert dm.end_to_end_persistence_nm([straight] * 49) is None  # too few
    assert dm.end_to_end_persistence_nm([]) is None


def test_tangents_of_a_circle_arc_are_exact():
    """On an arc the angle between tangents grows evenly; a ring and a dimer beside don't count."""
    angle, n = 0.2, 12
    k = np.arange(n - 1) * angle
    tangents = np.stack([np.cos(k), np.sin(k), 0 * k], axis=1)
    arc = np.concatenate([np.zeros((1, 3)), S * np.cumsum(tangents, axis=0)])
    ring, pair = dm.ring({BODY: 6}, S), dm.pair({BODY: 2}, S)
    built = dm.Frame.from_arrays(
        (200.0,) * 3,
        np.concatenate([arc, ring.positions + 40, pair.positions - 40]),
        np.concatenate(
            [
                align_z(np.concatenate([tangents, tangents[-1:]])),
                ring.orientations,
                pair.orientations,
            ]
        ),
        BODY,
    )
    found = tangent_correlation([dm.find_chains(built)] * 2)
    assert found.separation_nm == pytest.approx(S * np.arange(n - 1))
    assert found.correlation == pytest.approx(np.cos(angle * np.arange(n - 1)))
    assert found.samples.tolist() == [2 * (n - 1 - k) for k in range(n - 1)]
    assert len(tangent_correlation([]).correlation) == 0


def test_agreement_with_mdanalysis():
    """The same chains in MDAnalysis: bond autocorrelations; P, which it fits otherwise, to 5 %."""
    n, system = 30, worm_like(30.0, chains=216, n=30, seed=9).system
    whole = dm.find_chains(system)
    alone = [m for m, kind in zip(whole.members, whole.kinds, strict=True) if kind == "linear"]
    chosen = np.concatenate([members for members in alone if len(members) == n])
    assert len(chosen) > 0.9 * len(system)  # the others touch themselves
    graph = dm.find_chains(
        dm.Frame.from_arrays(
            system.box, system.positions[chosen], system.orientations[chosen], BODY
        )
    )
    assert set(graph.kinds) == {"linear"}
    places = np.concatenate([graph.positions_nm[members] for members in graph.members])
    universe = MDAnalysis.Universe.empty(
        len(places),
        n_residues=len(graph.sizes),
        atom_resindex=np.repeat(np.arange(len(graph.sizes)), n),
        trajectory=True,
    )
    universe.atoms.positions = 10 * places  # Å
    theirs = PersistenceLength([residue.atoms for residue in universe.residues]).run().results
    ours = tangent_correlation([graph])
    # MDAnalysis sums in single precision: 6e-5 off at lag 1, where every cosine is the same.
    np.testing.assert_allclose(theirs.bond_autocorrelation, ours.correlation, atol=1e-4)
    assert theirs.lb / 10 == pytest.approx(S, rel=1e-4)
    assert dm.persistence_length_nm([graph]) == pytest.approx(theirs.lp / 10, rel=0.05)
