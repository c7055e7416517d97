"""Wires: links of known cores, gaps and crossings, lengths that image edges cut."""

import numpy as np
import pytest

from dipolar_md.analysis.wires import (
    Interval,
    bridge_crossings,
    bridge_gaps,
    link_wires,
    mean_wire_length,
    median_interval,
    pooled,
    wire_fragments,
    wire_survival,
)

S = 1.85


def test_links_of_known_cores():
    line = np.stack([S * np.arange(5), np.zeros(5)], axis=1)
    angle = 2 * np.pi * np.arange(8) / 8
    circle = S / (2 * np.sin(np.pi / 8)) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lone = [[50.0, 50.0]]
    centres = np.concatenate([line, circle + 20 * np.eye(2)[0], lone])
    order = np.random.default_rng(1).permutation(len(centres))
    links, found = link_wires(centres[order])
    assert len(links) == 4 + 8
    chain, ring = sorted(found, key=len)
    assert order[chain].tolist() in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0])
    assert len(ring) == 9
    assert ring[0] == ring[-1]  # closed
    steps = np.diff(np.unwrap(2 * np.pi * order[ring] / 8)) / (2 * np.pi) * 8
    assert np.abs(steps) == pytest.approx(1)


def test_links_neither_branch_nor_fold():
    cross = np.array([[0, 0], [S, 0], [-S, 0], [0, 2.0], [0, -2.0]])
    links, found = link_wires(cross)
    assert sorted(map(len, found)) == [3]
    assert len(links) == 2
    hairpin = np.array([[0, 0], [S, 0], [0.2, 1.2]])  # the third would fold the second bond back
    links, _ = link_wires(hairpin)
    assert sorted(map(sorted, links.tolist())) == [[0, 2], [1, 2]] or len(links) == 1
    assert link_wires(np.zeros((0, 2)))[1] == []
    assert len(link_wires([[0, 0], [2.8, 0]])[0]) == 0
    assert len(link_wires([[0, 0], [2.8, 0]], reach_nm=2.9)[0]) == 1


def test_straight_wires_cross_without_breaking():
    """Two wires at 60°, half a bond apart where they meet: the nearest pairs are of both."""
    along = S * (np.arange(10) - 4.5)
    tilted = along[:, None] * np.array([0.5, np.sqrt(0.75)]) + np.array([0.1, 0.0])
    centres = np.concatenate([np.stack([along, 0 * along], axis=1), tilted])
    _, found = link_wires(centres)
    assert sorted(sorted(wire.tolist()) for wire in found) == [
        list(range(10)),
        list(range(10, 20)),
    ]


def test_a_core_that_another_wire_hides_does_not_break_its_own():
    along = S * np.arange(-5, 6)
    upright = np.stack([0 * along, 1.03 * along], axis=1)
    centres = np.concatenate([np.stack([along, 0 * along], axis=1), upright[along != 0]])
    _, pieces = link_wires(centres)
    assert sorted(map(len, pieces)) == [5, 5, 11]
    joined = bridge_crossings(centres, pieces)
    assert sorted(map(len, joined)) == [10, 11]
    steps = np.diff(centres[max(joined, key=lambda w: abs(centres[w][0, 1]))], axis=0)
    assert np.linalg.norm(steps, axis=1).sum() == pytest.approx(10.3 * S)
    apart = np.concatenate([upright[along < 0], upright[along > 0]])
    assert sorted(map(len, bridge_crossings(apart, link_wires(apart)[1]))) == [5, 5]


def test_weak_cores_count_where_they_close_a_gap():
    line = np.stack([S * np.arange(9), np.zeros(9)], axis=1)
    centres = np.append(line, [[4 * S, 3.0], [9 * S, 0.0]], axis=0)
    sure = np.ones(11, dtype=bool)
    sure[[4, 9, 10]] = False  # in the gap, beside it, beyond the end
    kept = bridge_gaps(centres, sure)
    assert kept.tolist() == [*[True] * 9, False, False]


# --- Lengths --------------------------------------------------------------------------------------

SIZE = (60.0, 60.0)


def film(rng, mean, exponential, size=SIZE, density=0.05):
    """Straight wires anywhere on a film: cores in the picture, wires, and which are whole."""
    pad = 5 * mean if exponential else mean
    count = rng.poisson(density * (size[0] + 2 * pad) * (size[1] + 2 * pad) / mean)
    lengths = rng.exponential(mean, count) if exponential else np.full(count, mean)
    angle, middle = rng.uniform(0, 2 * np.pi, count), rng.uniform(-pad, size[0] + pad, (count, 2))
    centres, wires, whole = [], [], []
    for length, turn, place in zip(lengths, angle, middle, strict=True):
        steps = np.linspace(-0.5, 0.5, max(int(length / S), 1) + 1) * length
        cores = place + steps[:, None] * [np.cos(turn), np.sin(turn)]
        seen = ((cores > 0) & (cores < np.array(size))).all(axis=1)
        if seen.sum() < 2:
            continue
        wires.append(len(centres) + np.arange(seen.sum()))
        centres.extend(cores[seen])
        whole.append(bool(seen.all()))
    return np.array(centres), wires, np.array(whole)


@pytest.mark.parametrize(("mean", "exponential"), [(15.0, False), (60.0, False), (30.0, True)])
def test_mean_length_has_no_bias_of_the_edges(mean, exponential):
    """Wires as long as the picture: those that fit are too short, the estimate is not."""
    rng = np.random.default_rng(1)
    fragments, whole, covered, tried = [], [], 0, 0
    for _ in range(80):
        centres, wires, complete = film(rng, mean, exponential)
        fragments.append(wire_fragments(centres, wires, SIZE, 2 * S))
        lengths = [np.linalg.norm(centres[w[0]] - centres[w[-1]]) for w in wires]
        whole.extend(np.array(lengths)[complete])
        if fragments[-1].ends >= 6:
            low, high = mean_wire_length(fragments[-1:])[1:]
            covered, tried = covered + (low < mean < high), tried + 1
    estimate = mean_wire_length(fragments)
    assert estimate.value == pytest.approx(mean, rel=0.08)
    assert estimate.low < mean < estimate.high
    assert 0.88 < covered / tried <= 1
    if exponential:
        assert np.mean(whole) < 0.9 * mean


def test_survival_is_that_of_the_lengths():
    rng = np.random.default_rng(2)
    size = (1000.0, 40.0)
    centres, wires, _ = film(rng, 30.0, True, size, 1.2)
    lengths, longer = wire_survival(centres, wires, size, 2 * S)
    for length in (20.0, 40.0):
        at = longer[np.searchsorted(lengths, length) - 1]
        assert at == pytest.approx(np.exp(-length / 30), abs=0.06)
    straight = np.stack([S * np.arange(5) + 10, np.full(5, 20.0)], axis=1)
    lengths, longer = wire_survival(straight, [np.arange(5)], SIZE, S)
    assert (lengths.tolist(), longer.tolist()) == ([pytest.approx(4 * S)], [0.0])
    assert len(wire_survival(straight - [9.5, 0], [np.arange(5)], (15.0, 60.0), 8.0)[0]) == 0


def test_a_ring_is_a_wire_without_ends():
    angle = 2 * np.pi * np.arange(12) / 12
    ring = 30 + 3.6 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    (wire,) = link_wires(ring)[1]
    fragments = wire_fragments(ring, [wire], SIZE, S)
    assert fragments.ends == 0
    assert fragments.counts == pytest.approx([1])
    assert fragments.lengths_nm == pytest.approx([12 * 2 * 3.6 * np.sin(np.pi / 12)])


def test_without_ends_there_is_a_lower_bound():
    through = np.stack([np.full(40, 30.0), S * np.arange(40) - 5], axis=1)
    estimate = mean_wire_length([wire_fragments(through, [np.arange(40)], SIZE, S)])
    assert np.isnan(estimate.value)
    assert estimate.low == pytest.approx(4 * 31 * S / 7.378, rel=0.02)  # χ²(97.5 %, 2)
    assert estimate.high == np.inf
    assert all(np.isnan(mean_wire_length([wire_fragments([], [], SIZE, S)])))


def test_intervals_of_medians_and_of_pictures_cover():
    rng = np.random.default_rng(3)
    samples = rng.exponential(size=(400, 60))
    inside = [low < np.log(2) < high for _, low, high in map(median_interval, samples)]
    assert 0.93 <= np.mean(inside) <= 0.99
    assert median_interval([1.0, 2.0, 3.0]) == Interval(2.0, 0.0, np.inf)
    pictures = [Interval(v, v - 0.01, v + 0.01) for v in (1.8, 1.9, 2.0)]
    value, low, high = pooled(pictures)
    assert value == pytest.approx(1.9)
    assert high - low == pytest.approx(2 * 4.303 * 0.1 / np.sqrt(3), rel=1e-3)  # Student, 2
    assert pooled(pictures[:1]) == pictures[0]
