"""Bonds and chains: states known exactly, invariances, then brute force and networkx."""

from collections import Counter

import networkx as nx
import numpy as np
import pytest
import rowan
from hypothesis import given, settings
from hypothesis import strategies as st

import dipolar_md as dm
from dipolar_md import theory
from dipolar_md.analysis.bonds import CRITERIA, DEFAULT_CRITERION
from dipolar_md.analysis.chains import mean_length
from dipolar_md.model.system import align_z, cell_matrix

LARGE = dm.coarse_grain(dm.load_cluster("r-au-cu"))
SMALL = dm.coarse_grain(dm.load_cluster("au3cd"))
CONTACT = LARGE.axial_contact_nm
SIGMA = LARGE.sites[0].sigma_nm
S = 1.85  # spacing along chains, nm
X, Y, Z = np.eye(3)
CUBE = (20.0, 20.0, 20.0)
TILTED = (24.0, 20.0, 22.0, 0.3, -0.2, 0.25)


def system(positions, dipoles, box=CUBE, bodies=LARGE, types=None):
    return dm.Frame.from_arrays(box, positions, align_z(dipoles), bodies, types).system


def y_junction(stem, spacing=CONTACT):
    """A stem of some clusters along z and, from its top, arms of 2 and of 3 at 40° to it."""
    c, s = np.cos(np.radians(40)), np.sin(np.radians(40))
    left, right = np.array([-s, 0, c]), np.array([s, 0, c])
    steps = [-k * Z for k in range(stem + 1)]
    steps += [left, 2 * left, right, 2 * right, 3 * right]
    return system(spacing * np.array(steps), [Z] * (stem + 1) + [left] * 2 + [right] * 3)


def scene(*parts, gap=40.0):
    """Separate structures far apart in one box, which is twice as wide as they need."""
    places = [gap * (k - (len(parts) - 1) / 2) * X for k in range(len(parts))]
    positions = [part.positions + place for part, place in zip(parts, places, strict=True)]
    return dm.System.from_arrays(
        (2 * gap * len(parts),) * 3,
        np.concatenate(positions),
        np.concatenate([part.orientations for part in parts]),
        (LARGE,),
    )


def lone():
    return system(np.zeros((1, 3)), [X])


def one(graph):
    """The kind, size, contour and end-to-end distance of the only chain."""
    assert len(graph.sizes) == 1
    return graph.kinds[0], int(graph.sizes[0]), graph.contour_nm[0], graph.end_to_end_nm[0]


# --- Energies of pairs ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "first", "second", "energy"),
    [
        (Z, Z, Z, -1.0),  # head to tail
        (Z, Z, -Z, 1.0),
        (X, Z, -Z, -0.5),  # antiparallel side by side
        (X, Z, Z, 0.5),  # parallel side by side
        (X, Y, Z, 0.0),
        ((X + Y + Z) / np.sqrt(3), X, Y, -0.5),
    ],
)
@pytest.mark.parametrize("bodies", [(LARGE, LARGE), (LARGE, SMALL)])
@pytest.mark.parametrize("stretch", [0.95, 1.0, 1.2])
def test_reduced_energy_is_exact(direction, first, second, energy, bodies, stretch):
    contact = np.mean([body.axial_contact_nm for body in bodies])
    sigma = np.mean([body.sites[0].sigma_nm for body in bodies])
    pair = system([0 * X, stretch * contact * direction], [first, second], CUBE, bodies, [0, 1])
    found = dm.find_neighbours(pair)
    assert found.pairs.tolist() == [[0, 1]]
    assert found.separations[0] == pytest.approx(stretch * contact * direction, abs=1e-12)
    assert found.contacts[0] == pytest.approx(stretch, rel=1e-12)
    assert found.diameters[0] == pytest.approx(stretch * contact / sigma, rel=1e-12)
    assert found.reduced_energy[0] == pytest.approx(energy / stretch**3, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("permittivity", [1.0, 8.93])
def test_bonds_do_not_depend_on_the_medium(permittivity):
    gas = dm.random_gas({LARGE: 60}, 100.0, seed=3)
    frame = dm.Frame(gas, relative_permittivity=permittivity)
    found, energy = dm.find_neighbours(frame), LARGE.dipole_magnitude_e_nm
    i, j = found.pairs.T
    real = theory.dipole_pair(found.separations, gas.dipoles[i], gas.dipoles[j], permittivity)
    contact = theory.head_to_tail_energy(energy, CONTACT, relative_permittivity=permittivity)
    np.testing.assert_allclose(found.reduced_energy, real.energy / abs(contact), atol=1e-12)
    np.testing.assert_array_equal(dm.find_chains(frame).labels, dm.find_chains(gas).labels)


@pytest.mark.parametrize(
    ("criterion", "contacts"),
    [(f"energy_0.{k}", (10 / k) ** (1 / 3)) for k in (4, 5, 6, 7)]
    + [(name, 1.3 * SIGMA / CONTACT) for name in ("distance_1.3", "distance_1.3_attractive")],
)
def test_criteria_end_where_their_names_say(criterion, contacts):
    for factor, length in ((0.999, 2), (1.001, 1)):
        pair = dm.pair({LARGE: 2}, factor * contacts * CONTACT)
        assert dm.find_chains(pair, criterion).mean_length == length
    # Repulsion bonds by distance alone, and only where nobody looks at the energy.
    repelling = system([0 * X, CONTACT * X], [Z, Z])
    expected = 2 if criterion == "distance_1.3" else 1
    assert dm.find_chains(repelling, criterion).mean_length == expected


def test_default_criterion_is_half_the_contact_energy():
    assert DEFAULT_CRITERION == "energy_0.5"
    pair = dm.pair({LARGE: 2}, 1.27 * CONTACT)  # -0.49
    assert dm.find_chains(pair).mean_length == 1


# --- Chains whose answer is exact -----------------------------------------------------------------


@pytest.mark.parametrize("counts", [{LARGE: 2}, {LARGE: 3}, {LARGE: 9}])
def test_straight_chain(counts):
    n = sum(counts.values())
    graph = dm.find_chains(dm.chain(counts, S))
    assert one(graph) == ("linear", n, pytest.approx((n - 1) * S), pytest.approx((n - 1) * S))
    assert graph.spacings_nm == pytest.approx([S] * (n - 1))
    assert graph.bonds.tolist() == [[k, k + 1] for k in range(n - 1)]
    assert graph.members[0].tolist() in (list(range(n)), list(range(n))[::-1])


def test_chain_of_two_kinds_at_their_mean_contact():
    a, b = LARGE.axial_contact_nm, SMALL.axial_contact_nm
    heights = np.cumsum([0, a, (a + b) / 2, b])
    mixed = system(heights[:, None] * Z, [Z] * 4, CUBE, (LARGE, SMALL), [0, 0, 1, 1])
    graph = dm.find_chains(mixed, "energy_0.7")
    assert one(graph) == ("linear", 4, pytest.approx(heights[-1]), pytest.approx(heights[-1]))
    assert graph.neighbours.reduced_energy == pytest.approx([-1, -1, -1])


@pytest.mark.parametrize("n", [4, 5, 12])
def test_ring(n):
    graph = dm.find_chains(dm.ring({LARGE: n}, S))
    assert one(graph) == ("ring", n, pytest.approx(n * S), 0)
    assert set(np.diff(graph.members[0]) % n) in ({1}, {n - 1})


def test_ring_of_three_by_distance():
    graph = dm.find_chains(dm.ring({LARGE: 3}, S), "distance_1.3")
    assert one(graph) == ("ring", 3, pytest.approx(3 * S), 0)
    assert sorted(graph.members[0]) == [0, 1, 2]


@pytest.mark.parametrize("stem", [1, 3])
def test_branched_chain_is_as_long_as_its_longest_path(stem):
    kind, size, contour, straight = one(dm.find_chains(y_junction(stem)))
    assert (kind, size) == ("branched", stem + 6)
    if stem == 3:  # down the stem and up the arm of 3, at 140°
        assert contour == pytest.approx(6 * CONTACT)
        assert straight == pytest.approx(6 * CONTACT * np.cos(np.radians(20)))
    else:  # from arm to arm, at 80°
        assert contour == pytest.approx(5 * CONTACT)
        assert straight == pytest.approx(
            CONTACT * np.sqrt(13 - 12 * np.cos(np.radians(80))), rel=1e-12
        )


def test_monomers_only():
    graph = dm.find_chains(system([[0, 0, 0], [0, 0, 5], [5, 0, 0]], [Z] * 3))
    assert graph.kinds == ("monomer",) * 3
    assert graph.sizes.tolist() == [1, 1, 1]
    assert graph.contour_nm.tolist() == graph.end_to_end_nm.tolist() == [0, 0, 0]
    assert (graph.bonds.shape, graph.spacings_nm.shape) == ((0, 2), (0,))
    assert (graph.mean_length, graph.weight_mean_length, graph.fraction("monomer")) == (1, 1, 1)


@pytest.mark.parametrize("box", [CUBE, TILTED])
@pytest.mark.parametrize("direction", [X, -Y, Z, (X + Y + Z) / np.sqrt(3), (X - Z) / np.sqrt(2)])
def test_chain_and_ring_across_a_periodic_corner(box, direction):
    cell = cell_matrix(np.resize(np.append(box, [0, 0, 0]), 6))
    corner = cell @ [0.5, -0.5, 0.5]
    steps = (np.arange(7) - 3)[:, None] * S * direction
    chain = system(corner + steps, np.tile(direction, (7, 1)), box)
    graph = dm.find_chains(chain)
    assert one(graph) == ("linear", 7, pytest.approx(6 * S), pytest.approx(6 * S))
    assert np.abs(np.diff(chain.positions, axis=0)).max() > 5  # it was cut by the box
    unwrapped = np.diff(graph.positions_nm[graph.members[0]], axis=0)
    assert np.abs(unwrapped) == pytest.approx(np.abs(np.tile(S * direction, (6, 1))))

    ring = dm.ring({LARGE: 8}, S)
    turned = rowan.rotate(align_z(direction), ring.positions) + corner
    dipoles = rowan.rotate(align_z(direction), ring.dipoles)
    assert one(dm.find_chains(system(turned, dipoles, box)))[:3] == (
        "ring",
        8,
        pytest.approx(8 * S),
    )


@pytest.mark.parametrize("n", [4, 6])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("tilts", [(0, 0, 0), (0.3, -0.2, 0.25)])
def test_chain_that_fills_the_box_percolates(n, axis, tilts):
    lengths = np.full(3, 15.0)
    unit = cell_matrix(np.array([1, 1, 1, *tilts]))
    lengths[axis] = n * S / np.linalg.norm(unit[:, axis])
    box = np.array([*lengths, *tilts])
    edge = cell_matrix(box)[:, axis]
    full = system((np.arange(n) / n)[:, None] * edge + 1.0, np.tile(edge, (n, 1)), box)
    graph = dm.find_chains(full)
    assert one(graph) == ("percolating", n, pytest.approx(n * S), 0)
    assert not graph.branched[0]
    gap = dm.find_chains(system(full.positions[1:], full.dipoles[1:], box))  # one cluster less
    assert one(gap)[:3] == ("linear", n - 1, pytest.approx((n - 2) * S))


def test_percolating_chain_with_a_branch():
    arm = CONTACT * np.array([np.sin(np.radians(50)), 0, np.cos(np.radians(50))])
    positions = [*(np.arange(8)[:, None] * CONTACT * Z), arm, 2 * arm]
    dipoles = [Z] * 8 + [arm] * 2
    graph = dm.find_chains(system(positions, dipoles, (20, 20, 8 * CONTACT)))
    # Half way round and up the arm.
    assert one(graph)[:3] == ("percolating", 10, pytest.approx(6 * CONTACT))
    assert graph.branched[0]


def test_many_structures_in_one_frame():
    parts = [lone(), dm.chain({LARGE: 4}, S), y_junction(3), dm.ring({LARGE: 6}, S), lone()]
    graph = dm.find_chains(scene(*parts, dm.chain({LARGE: 2}, S)))
    assert graph.sizes.tolist() == [9, 6, 4, 2, 1, 1]
    assert graph.kinds == ("branched", "ring", "linear", "linear", "monomer", "monomer")
    assert graph.branched.tolist() == [True] + [False] * 5
    assert graph.contour_nm == pytest.approx([6 * CONTACT, 6 * S, 3 * S, S, 0, 0])
    assert graph.mean_length == pytest.approx(23 / 6)
    assert graph.weight_mean_length == pytest.approx((81 + 36 + 16 + 4 + 1 + 1) / 23)
    assert graph.fraction("linear", "monomer") == pytest.approx(8 / 23)
    assert graph.fraction("percolating") == 0


# --- Invariance -----------------------------------------------------------------------------------

STRUCTURES = scene(
    dm.chain({LARGE: 7}, S),
    lone(),
    y_junction(3),
    dm.ring({LARGE: 5}, S),
    dm.chain({LARGE: 7}, CONTACT),
    y_junction(1, S),
    lone(),
)


def fingerprint(graph):
    """What must not depend on labels or the frame of reference."""
    rounded = zip(graph.contour_nm.round(6), graph.end_to_end_nm.round(6), strict=True)
    return Counter(zip(graph.kinds, graph.sizes.tolist(), rounded, strict=True))


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1),
    st.tuples(*[st.floats(-500, 500)] * 3),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_chains_are_invariant(rotation, shift, shuffle, mirrored):
    turn = rowan.normalize(rotation)
    order = np.random.default_rng(shuffle).permutation(len(STRUCTURES))
    hand = [-1, 1, 1] if mirrored else [1, 1, 1]
    positions = rowan.rotate(turn, STRUCTURES.positions * hand)[order] + shift
    dipoles = rowan.rotate(turn, STRUCTURES.dipoles * hand)[order]
    seen = dm.find_chains(system(positions, dipoles, STRUCTURES.box))
    plain = dm.find_chains(STRUCTURES)
    assert fingerprint(seen) == fingerprint(plain)
    assert (np.diff(seen.sizes) <= 0).all()
    np.testing.assert_array_equal(np.bincount(seen.labels), seen.sizes)
    # The same clusters are together, and members walk along their chain.
    together = plain.labels[order]
    for chain, members in enumerate(seen.members):
        assert set(members) == set(np.flatnonzero(seen.labels == chain))
        assert len(set(together[members])) == 1
        if seen.kinds[chain] in ("linear", "ring"):
            walk = seen.positions_nm[members]
            if seen.kinds[chain] == "ring":
                walk = np.append(walk, walk[:1], axis=0)
            lengths = np.linalg.norm(np.diff(walk, axis=0), axis=1)
            assert lengths.sum() == pytest.approx(seen.contour_nm[chain], rel=1e-6)


# --- Brute force and networkx ---------------------------------------------------------------------


def brute_force_bonds(gas, criterion):
    """{(i, j): separation} from all 27 images of all pairs and the energies of `theory`."""
    reach, limit = CRITERIA[criterion]
    contacts = gas.per_cluster([body.axial_contact_nm for body in gas.bodies])
    sigmas = gas.per_cluster([body.sites[0].sigma_nm for body in gas.bodies])
    strength = gas.per_cluster([body.dipole_magnitude_e_nm for body in gas.bodies])
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), axis=-1).reshape(-1, 3)
    images = shifts @ cell_matrix(gas.box).T
    bonds = {}
    for i, j in np.stack(np.triu_indices(len(gas), k=1), axis=1):
        around = gas.positions[j] - gas.positions[i] + images
        separation = around[np.argmin(np.linalg.norm(around, axis=1))]
        contact = (contacts[i] + contacts[j]) / 2
        unit = contact if criterion.startswith("energy") else (sigmas[i] + sigmas[j]) / 2
        if np.linalg.norm(separation) >= reach * unit:
            continue
        energy = theory.dipole_pair(separation, gas.dipoles[i], gas.dipoles[j]).energy
        deepest = theory.head_to_tail_energy(np.sqrt(strength[i] * strength[j]), contact)
        if limit is None or energy < limit * abs(deepest):
            bonds[int(i), int(j)] = separation
    return bonds


def kind_of(chain, bonds):
    """Chain kinds from the degrees, and percolation from loops whose steps don't close."""
    for loop in nx.cycle_basis(chain):
        ends = zip(loop, loop[1:] + loop[:1], strict=True)
        steps = [bonds[i, j] if (i, j) in bonds else -bonds[j, i] for i, j in ends]
        if np.linalg.norm(np.sum(steps, axis=0)) > 0.1:
            return "percolating"
    degrees = [degree for _, degree in chain.degree]
    if len(degrees) == 1:
        return "monomer"
    if max(degrees) > 2:
        return "branched"
    return "linear" if min(degrees) == 1 else "ring"


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize(
    ("seed", "n", "box"),
    [(0, 80, (8.0, 8.0, 8.0)), (1, 90, (10.0, 9.0, 8.0, 0.4, -0.3, 0.2))],
)
def test_dense_gases_agree_with_networkx(criterion, seed, n, box):
    rng = np.random.default_rng(seed)
    cell = cell_matrix(np.resize(np.append(box, [0, 0, 0]), 6))
    gas = dm.Frame.from_arrays(
        box,
        rng.uniform(-0.5, 0.5, (n, 3)) @ cell.T,
        rng.normal(size=(n, 4)),
        (LARGE, SMALL),
        rng.integers(0, 2, n),
    ).system
    bonds = brute_force_bonds(gas, criterion)
    network = nx.Graph()
    network.add_nodes_from(range(n))
    for pair, separation in bonds.items():
        network.add_edge(*pair, weight=np.linalg.norm(separation))
    graph = dm.find_chains(gas, criterion)
    assert len(bonds) > 10
    assert [tuple(bond) for bond in graph.bonds.tolist()] == sorted(bonds)
    found = {frozenset(members.tolist()) for members in graph.members}
    assert found == {frozenset(chain) for chain in nx.connected_components(network)}
    assert mean_length(graph.neighbours, n, criterion) == graph.mean_length == n / len(found)
    for chain, members in enumerate(graph.members):
        part = network.subgraph(members.tolist())
        assert graph.kinds[chain] == kind_of(part, bonds)
        assert graph.branched[chain] == (max(degree for _, degree in part.degree) > 2)
        longest = max(max(d.values()) for _, d in nx.all_pairs_dijkstra_path_length(part))
        if nx.is_tree(part):
            assert graph.contour_nm[chain] == pytest.approx(longest)
        elif not graph.branched[chain]:
            assert graph.contour_nm[chain] == pytest.approx(part.size("weight"))
        else:
            assert longest / 2 <= graph.contour_nm[chain] <= longest * (1 + 1e-12)


# --- Refusals -------------------------------------------------------------------------------------


def test_unknown_criterion_names_the_known_ones():
    with pytest.raises(dm.InputError, match=r"'bonds'.*energy_0\.5"):
        dm.find_chains(dm.chain({LARGE: 2}, S), "bonds")


@pytest.mark.parametrize(
    "box",
    [
        (20.0, 20.0, 5.4),
        (3 * CONTACT,) * 3,  # exactly twice the reach
        (3 * CONTACT * (1 + 1e-8),) * 3,  # the same in single precision
        (6.0, 6.0, 6.0, 2.0, 0.0, 0.0),  # its faces are 2.7 nm apart
    ],
)
def test_box_too_small_to_find_bonds(box):
    with pytest.raises(dm.InputError, match=r"too small to find bonds up to 2\.733 nm"):
        dm.find_chains(system([0 * X, S * Z], [Z, Z], box))


def test_smallest_box_finds_bonds():
    assert one(dm.find_chains(dm.pair({LARGE: 2}, S, box_nm=3.01 * CONTACT)))[0] == "linear"
