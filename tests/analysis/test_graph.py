"""The rest of the chain graph, and bundles: hand-built states known exactly, then networkx."""

import networkx as nx
import numpy as np
import pytest
import rowan
from hypothesis import given, settings
from hypothesis import strategies as st

import dipolar_md as dm
from dipolar_md.analysis.bonds import CRITERIA, bond_criterion
from dipolar_md.model.system import align_z, cell_matrix

BODY = dm.coarse_grain(dm.load_cluster("r-au-cu"))
CONTACT = BODY.axial_contact_nm
S = 1.85
X, Y, Z = np.eye(3)
TILTED = np.array([24.0, 20.0, 22.0, 0.3, -0.2, 0.25])


def system(positions, dipoles, box=(60.0,) * 3):
    return dm.Frame.from_arrays(box, positions, align_z(dipoles), BODY).system


def helix(n, radius=3.0, pitch=4.0):
    """Clusters at equal steps along a helix, dipoles along it, and the chord between them."""
    turn = 0.55
    k = np.arange(n) * turn
    rise = pitch / (2 * np.pi)
    positions = np.stack([radius * np.cos(k), radius * np.sin(k), rise * k], axis=1)
    dipoles = np.stack([-radius * np.sin(k), radius * np.cos(k), np.full(n, rise)], axis=1)
    chord = np.sqrt((2 * radius * np.sin(turn / 2)) ** 2 + (rise * turn) ** 2)
    return system(positions - positions.mean(axis=0), dipoles), chord


def test_helix_is_exact():
    n = 14
    built, chord = helix(n)
    graph = dm.find_chains(built)
    assert graph.kinds == ("linear",)
    assert graph.contour_nm[0] == pytest.approx((n - 1) * chord, rel=1e-12)
    ends = built.positions[-1] - built.positions[0]
    assert graph.end_to_end_nm[0] == pytest.approx(np.linalg.norm(ends), rel=1e-12)
    apart = built.positions - built.positions.mean(axis=0)
    expected = np.sqrt((apart**2).sum() / n)
    assert graph.radius_of_gyration_nm[0] == pytest.approx(expected, rel=1e-12)
    assert graph.members[0].tolist() in (list(range(n)), list(range(n))[::-1])
    assert sorted(graph.ends) == [0, n - 1]
    assert len(graph.branch_points) == 0


def test_ends_branch_points_and_radii_of_known_shapes():
    c, s = np.cos(np.radians(40)), np.sin(np.radians(40))
    fork = CONTACT * np.array([[0, 0, -1], [0, 0, 0], [s, 0, c], [-s, 0, c]])
    dipoles = [Z, Z, [s, 0, c], [-s, 0, c]]
    ring = dm.ring({BODY: 6}, S)
    line = np.arange(4)[:, None] * S * Z
    lone = [[0.0, 20.0, 0.0]]
    built = system(
        np.concatenate([fork, ring.positions + 15 * X, line - 15 * X, lone]),
        np.concatenate([dipoles, ring.dipoles, [Z] * 4, [X]]),
    )
    graph = dm.find_chains(built)
    assert graph.kinds == ("ring", "branched", "linear", "monomer")
    assert graph.branch_points.tolist() == [1]
    assert graph.ends.tolist() == [0, 2, 3, 10, 13]
    assert graph.degree.tolist() == [1, 3, 1, 1] + [2] * 6 + [1, 2, 2, 1, 0]
    assert not graph.wraps.any()
    apart = fork - fork.mean(axis=0)
    radii = [S, np.sqrt((apart**2).sum() / 4), S * np.sqrt(5 / 4), 0]  # a hexagon's radius is S
    assert graph.radius_of_gyration_nm == pytest.approx(radii, abs=1e-9)
    assert np.concatenate(graph.members).tolist() == graph.order.tolist()
    steps = graph.positions_nm[graph.bonds[:, 1]] - graph.positions_nm[graph.bonds[:, 0]]
    assert np.abs(steps - graph.bond_vectors_nm).max() < 1e-12


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_percolating_chain_says_along_which_axis(axis):
    lengths = np.full(3, 16.0)
    lengths[axis] = 6 * S
    edge = lengths[axis] * np.eye(3)[axis]
    full = system(np.arange(6)[:, None] / 6 * edge + 0.3, [edge] * 6, lengths)
    graph = dm.find_chains(full)
    assert graph.kinds == ("percolating",)
    assert graph.wraps.tolist() == [[k == axis for k in range(3)]]
    assert np.isnan(graph.radius_of_gyration_nm[0])
    inside = dm.find_chains(system(full.positions[1:], full.dipoles[1:], lengths))
    assert not inside.wraps.any()
    assert inside.radius_of_gyration_nm[0] == pytest.approx(S * np.sqrt(2))


def test_diagonal_chain_winds_along_two_axes():
    """A chain along the diagonal of a square box closes on itself after both axes."""
    n = 8
    edge = n * S / np.sqrt(2)
    diagonal = np.array([edge, edge, 0])
    built = system(np.arange(n)[:, None] / n * diagonal, [diagonal] * n, (edge, edge, 12.0))
    graph = dm.find_chains(built)
    assert graph.kinds == ("percolating",)
    assert graph.wraps.tolist() == [[True, True, False]]
    assert graph.contour_nm[0] == pytest.approx(n * S)


@pytest.mark.parametrize("box", [(24.0, 20.0, 22.0, 0, 0, 0), TILTED])
def test_long_chain_winds_through_many_images(box):
    """A straight chain several boxes long, which never meets itself, is unwrapped exactly."""
    box = np.array(box, dtype=float)
    direction = np.array([1.0, 0.31, 0.17]) / np.linalg.norm([1.0, 0.31, 0.17])
    line = np.arange(40)[:, None] * S * direction
    rng = np.random.default_rng(3)
    order = rng.permutation(40)
    graph = dm.find_chains(system(line[order], [direction] * 40, box))
    assert graph.kinds == ("linear",)
    walked = graph.positions_nm[graph.members[0]]
    assert np.linalg.norm(walked[-1] - walked[0]) == pytest.approx(39 * S, rel=1e-12)
    shifts = (graph.positions_nm - line[order]) @ np.linalg.inv(cell_matrix(box)).T
    assert np.abs(shifts - shifts[0]).max() < 1e-9  # one image for the whole chain


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1),
    st.tuples(*[st.floats(-300, 300)] * 3),
)
def test_radii_ends_and_bundles_are_invariant(seed, rotation, shift):
    built, _ = helix(9)
    pair = bundle(2, 6, 2.3)
    whole = system(
        np.concatenate([built.positions, pair.positions + 14 * X]),
        np.concatenate([built.dipoles, pair.dipoles]),
    )
    plain = dm.find_chains(whole)
    touching = dm.find_bundles(whole, plain)
    order = np.random.default_rng(seed).permutation(len(whole))
    turn = rowan.normalize(rotation)
    moved = system(
        rowan.rotate(turn, whole.positions)[order] + shift, rowan.rotate(turn, whole.dipoles)[order]
    )
    seen = dm.find_chains(moved)
    assert sorted(seen.radius_of_gyration_nm) == pytest.approx(sorted(plain.radius_of_gyration_nm))
    assert sorted(order[seen.ends]) == sorted(plain.ends)
    again = dm.find_bundles(moved, seen)
    assert again.sizes.tolist() == touching.sizes.tolist() == [2, 1]
    assert sorted(again.lateral_nm) == pytest.approx(sorted(touching.lateral_nm))
    assert again.parallel_fraction == touching.parallel_fraction


# --- Criteria in words ----------------------------------------------------------------------------


def test_words_of_criteria():
    for name, (reach, energy) in CRITERIA.items():
        assert bond_criterion(name) == (reach, energy, name.startswith("distance"))
    assert bond_criterion("energy_0.55") == (1.5, -0.55, False)
    assert bond_criterion("distance_1.2") == (1.2, None, True)
    assert bond_criterion("distance_1.2_energy_0.6") == (1.2, -0.6, True)


@pytest.mark.parametrize(
    ("criterion", "bonded"),
    [
        ("distance_1.45", True),  # beyond the usual reach of 1.3 σ
        ("distance_1.35", False),
        ("distance_1.45_attractive", True),
        ("distance_1.45_energy_0.3", True),
        ("distance_1.45_energy_0.4", False),
        ("energy_0.3", True),
    ],
)
def test_criteria_of_ones_own(criterion, bonded):
    """1.4 σ head to tail is 1.4⁻³ of the energy at σ, in contact energies."""
    sigma = BODY.sites[0].sigma_nm
    assert 0.3 < (CONTACT / (1.4 * sigma)) ** 3 < 0.4
    pair = dm.pair({BODY: 2}, 1.4 * sigma)
    assert (dm.find_chains(pair, criterion).mean_length == 2) is bonded


@pytest.mark.parametrize("name", ["", "energy", "energy_", "energy_x", "distance_1.2_energy", "r"])
def test_wrong_words_are_refused(name):
    with pytest.raises(dm.InputError, match=r"unknown bond criterion.*distance_1\.2_energy_0\.6"):
        dm.find_chains(dm.pair({BODY: 2}, S), name)


# --- networkx -------------------------------------------------------------------------------------


def test_to_networkx_is_the_same_graph():
    gas = dm.random_gas({BODY: 300}, 100.0, seed=2)
    graph = dm.find_chains(gas, "distance_1.3")
    network = graph.to_networkx()
    assert network.number_of_nodes() == 300
    assert sorted(map(sorted, network.edges)) == graph.bonds.tolist()
    found = sorted(map(len, nx.connected_components(network)), reverse=True)
    assert found == graph.sizes.tolist()
    lengths = nx.get_edge_attributes(network, "spacing_nm")
    for (i, j), spacing in zip(graph.bonds.tolist(), graph.spacings_nm, strict=True):
        assert lengths[i, j] == spacing
        places = [np.array(network.nodes[k]["position_nm"]) for k in (i, j)]
        assert network.nodes[i]["chain"] == network.nodes[j]["chain"] == graph.labels[i]
        if not graph.wraps[graph.labels[i]].any():
            assert np.linalg.norm(places[1] - places[0]) == pytest.approx(spacing)


def test_a_big_frame_agrees_with_networkx_chain_by_chain():
    """2,000 shuffled clusters in chains of 1 to 40: members in order and contours of each."""
    rng = np.random.default_rng(7)
    sizes = rng.integers(1, 41, 100)
    edge, side = 80.0, 5
    places = np.stack(np.unravel_index(np.arange(100), (side, side, 4)), axis=1) * edge
    axes = rng.normal(size=(100, 3))
    axes /= np.linalg.norm(axes, axis=1)[:, None]
    positions = np.concatenate(
        [p + np.arange(n)[:, None] * S * a for p, n, a in zip(places, sizes, axes, strict=True)]
    )
    shuffle = rng.permutation(len(positions))
    built = system(positions[shuffle], np.repeat(axes, sizes, axis=0)[shuffle], (side * edge,) * 3)
    graph = dm.find_chains(built)
    assert graph.sizes.tolist() == sorted(sizes.tolist(), reverse=True)
    assert graph.contour_nm == pytest.approx((graph.sizes - 1) * S)
    assert graph.end_to_end_nm == pytest.approx((graph.sizes - 1) * S, abs=1e-9)
    network = graph.to_networkx()
    for members in graph.members:
        walk = members.tolist()
        assert nx.is_path(network, walk)
        assert nx.node_connected_component(network, walk[0]) == set(walk)


# --- Bundles --------------------------------------------------------------------------------------


def bundle(chains, n, lateral, flip=(), shift=0.0):
    """Straight chains along z side by side; those in `flip` point down, every other is shifted."""
    heights = (np.arange(n) - (n - 1) / 2) * S
    positions, dipoles = [], []
    for k in range(chains):
        offset = shift * (k % 2)
        positions.append(np.stack([np.full(n, k * lateral), 0 * heights, heights + offset], axis=1))
        dipoles.append(np.tile(-Z if k in flip else Z, (n, 1)))
    return system(np.concatenate(positions), np.concatenate(dipoles))


@pytest.mark.parametrize(
    ("lateral", "shift"), [(1.9, 0.0), (2.3, 0.0), (2.68, 0.0), (2.3, S / 2), (2.68, S / 2)]
)
@pytest.mark.parametrize(("flip", "parallel"), [((), 1.0), ((1,), 0.0), ((2,), 0.5)])
def test_bundle_of_three(lateral, flip, parallel, shift):
    """Parallel chains, the middle one turned, the last one turned; in register and staggered."""
    built = bundle(3, 8, lateral, flip, shift)
    graph = dm.find_chains(built, "energy_0.6")
    assert graph.kinds == ("linear",) * 3
    found = dm.find_bundles(built, graph)
    assert found.sizes.tolist() == [3]
    assert found.clusters.tolist() == [24]
    assert found.bundled_fraction == 1
    assert found.parallel_fraction == pytest.approx(parallel)
    assert found.lateral_nm == pytest.approx(lateral, abs=1e-12)
    assert np.abs(found.alignment) == pytest.approx(1)


def test_chains_apart_or_crossing_are_no_bundle():
    row = (np.arange(8) - 3.5)[:, None] * S
    for built in (
        bundle(2, 8, 3.0),  # beyond the reach of 1.6 contacts, 2.92 nm
        # At right angles, 2 nm apart:
        system(np.concatenate([row * Z, 2 * Y + row * X]), [Z] * 8 + [X] * 8),
        system([[0, 0, 0], [2.2, 0, 0], [20, 0, 0]], [Z, -Z, Z]),  # monomers
    ):
        graph = dm.find_chains(built)
        found = dm.find_bundles(built, graph)
        assert set(found.sizes.tolist()) == {1}
        assert found.bundled_fraction == 0
        assert found.parallel_fraction is None
        assert len(found.contacts) == len(found.lateral_nm) == 0


def test_ends_that_overlap_by_one_are_no_bundle_unless_asked():
    lower, upper = np.arange(6)[:, None] * S * Z, (np.arange(6) + 5)[:, None] * S * Z + 2.4 * X
    built = system(np.concatenate([lower, upper]), [Z] * 6 + [-Z] * 6)
    graph = dm.find_chains(built)
    assert dm.find_bundles(built, graph).sizes.tolist() == [1, 1]
    assert dm.find_bundles(built, graph, fewest=1).sizes.tolist() == [2]


def test_bundles_of_another_frame_are_refused():
    built = bundle(2, 8, 2.3)
    with pytest.raises(dm.InputError, match="chains of 3 clusters in a frame of 16"):
        dm.find_bundles(built, dm.find_chains(dm.chain({BODY: 3}, S)))
