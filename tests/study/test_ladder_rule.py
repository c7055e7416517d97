"""The rule of replica exchange: hand-made numbers, joint weights, detailed balance, round trips."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from scipy.stats import chi2

from dipolar_md.study.ladder import (
    Tally,
    acceptance,
    decide_swaps,
    expected_acceptance,
    swap_in_rounds,
)


def test_acceptance_is_that_of_hand_made_numbers():
    # μ² = 1, 4, 9: Δ = [(1 - 4)(e_1 - e_0)]/kT = -3 (-1)/2, then (4 - 9)(-2 + 1)/2
    found = acceptance([1, 2, 3], [0.0, -1.0, -2.0], [0, 0, 0], 2.0)
    np.testing.assert_allclose(found, np.exp([-1.5, -2.5]), rtol=1e-15)
    assert acceptance([1, 2], [-1.0, 0.0], [0, 0], 2.0) == 1.0  # the lower energy climbs: always
    # in a field: Δ = (1 - 2)(f_1 - f_0)/kT
    assert acceptance([1, 2], [0, 0], [0.0, -0.5], 2.0) == pytest.approx(np.exp(-0.25), rel=1e-15)
    assert acceptance([1, 2], [0, 0], [-0.5, 0.0], 2.0) == 1.0


def test_acceptance_is_the_ratio_of_joint_weights():
    rng = np.random.default_rng(1)
    for _ in range(20):
        mu, e, f = rng.uniform(1, 2, 2), rng.normal(size=2), rng.normal(size=2)
        energy = mu[:, None] ** 2 * e + mu[:, None] * f  # of configuration j at rung i
        delta = energy[0, 1] + energy[1, 0] - energy[0, 0] - energy[1, 1]
        expected = min(1, np.exp(-delta / 0.7))
        assert acceptance(mu, e, f, 0.7)[0] == pytest.approx(expected, rel=1e-12)


def test_pairs_swap_by_parity_and_only_below_their_probability():
    never, always = np.full(4, 0.999), np.zeros(4)
    assert decide_swaps([1, 1, 1, 1], 0, always).tolist() == [1, 0, 3, 2, 4]
    assert decide_swaps([1, 1, 1, 1], 1, always).tolist() == [0, 2, 1, 4, 3]
    assert decide_swaps([0.5, 0.5, 0.5, 0.5], 0, never).tolist() == [0, 1, 2, 3, 4]
    assert decide_swaps([0, 0, 0, 0], 0, always).tolist() == [
        0,
        1,
        2,
        3,
        4,
    ]  # u = 0 is no swap at p = 0
    assert decide_swaps([0.5, 1, 0.2, 1], 0, [0.4, 0, 0.4, 0]).tolist() == [1, 0, 2, 3, 4]


def test_round_trips_go_through_both_ends():
    tally, swap = Tally.new(3), [np.array([1, 0, 2]), np.array([0, 2, 1])]
    for parity in (0, 1, 1, 0):  # walker 0 up, and back
        tally.add(swap[parity], parity)
    assert tally.walkers.tolist() == [0, 1, 2]
    assert tally.round_trips == 1
    assert tally.ratios() == [1.0, 1.0]
    half = Tally.new(3)
    for parity in (1, 0, 1, 0):  # walkers 2 and 1 come down from the top: half a trip each
        half.add(swap[parity], parity)
    assert (half.walkers.tolist(), half.round_trips) == ([1, 2, 0], 0)
    half.add(np.arange(3), 0)
    assert half.ratios() == [2 / 3, 1.0]
    assert Tally.new(3).ratios() == [None, None]


def test_swaps_keep_the_exact_product_distribution():
    """Three rungs with three states each: 27 joint states by exact enumeration, chi-square."""
    rng, mu, kT, count = np.random.default_rng(7), np.array([1.0, 1.3, 1.6]), 0.8, 40_000
    e, f = np.array([0.0, -0.7, -1.1]), np.array([0.3, -0.2, 0.1])
    weights = np.exp(-(mu[:, None] ** 2 * e + mu[:, None] * f) / kT)
    weights /= weights.sum(axis=1, keepdims=True)
    starts = np.stack([rng.choice(3, count, p=row) for row in weights], axis=1)
    tally, seen = Tally.new(3), Counter()
    for start in starts:
        order = swap_in_rounds(mu, e[start], f[start], kT, rng.random((3, 2)), tally)
        seen[tuple(start[order].tolist())] += 1
    states = list(product(range(3), repeat=3))
    expected = count * np.array([np.prod(weights[range(3), state]) for state in states])
    found = np.array([seen[state] for state in states])
    assert found.sum() == count
    assert ((found - expected) ** 2 / expected).sum() < chi2.ppf(0.999, 26)
    assert 0.3 < tally.ratios()[0] < 0.95


def test_the_guide_to_the_spacing():
    assert expected_acceptance(32, 40, 40) == 1.0
    assert expected_acceptance(32, 40, 42) > expected_acceptance(32, 40, 45)
    assert expected_acceptance(128, 40, 41) == pytest.approx(
        expected_acceptance(32, 40, 41**2 / 40), rel=1e-12
    )  # half the ratio's logarithm for four times the clusters
