"""Means of correlated series: series whose inefficiency, start and lives are known."""

import numpy as np
import pytest
from scipy import stats

import dipolar_md as dm
from dipolar_md.analysis.growth import growth_law
from dipolar_md.analysis.timeseries import (
    distribution,
    equilibration,
    lifetime_ns,
    mean_estimate,
    statistical_inefficiency,
)


def remembering(n, memory, rng):
    """An AR(1) series of variance 1, whose inefficiency is (1 + φ)/(1 − φ)."""
    noise = np.sqrt(1 - memory**2) * rng.normal(size=n)
    series = np.empty(n)
    series[0] = rng.normal()
    for k in range(1, n):
        series[k] = memory * series[k - 1] + noise[k]
    return series


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.8])
def test_inefficiency_and_error_of_known_memory(memory):
    rng, n = np.random.default_rng(11), 2000
    exact = (1 + memory) / (1 - memory)
    rows = [remembering(n, memory, rng) for _ in range(60)]
    assert np.mean([statistical_inefficiency(row) for row in rows]) == pytest.approx(exact, rel=0.1)
    found = [mean_estimate(row) for row in rows]
    error = np.sqrt(np.mean([estimate.error**2 for estimate, _ in found]))
    assert error == pytest.approx(np.sqrt(exact / n), rel=0.1)
    independent = np.mean([1 / number for _, number in found])
    assert 1 / independent == pytest.approx(n / exact, rel=0.1)


def test_short_and_constant_series():
    assert statistical_inefficiency([3.0] * 50) == 1
    assert mean_estimate([3.0] * 50) == ((3.0, 0.0), 50.0)
    assert mean_estimate([1.0, 3.0]) == ((2.0, 1.0), 2.0)
    assert mean_estimate([4.0]) == ((4.0, None), 1.0)


def test_equilibration_finds_the_plateau():
    """A rise of 20 standard deviations over 60 frames, then 240 at rest."""
    rng = np.random.default_rng(5)
    series = np.concatenate([np.linspace(-20, 0, 60), np.zeros(240)]) + rng.normal(size=300)
    found = equilibration(series)
    assert 50 <= found.start <= 80
    assert found.equilibrated
    assert found.reason == ""
    assert found.independent_samples == pytest.approx(240, rel=0.2)


def test_what_has_not_settled_is_said_so():
    rng = np.random.default_rng(5)
    few = equilibration([1.0, 2.0, 3.0])
    assert (few.start, few.equilibrated) == (1, False)
    assert "3 frames are too few" in few.reason
    rising = equilibration(np.linspace(0, 50, 40) + 0.1 * rng.normal(size=40))
    assert not rising.equilibrated
    assert "independent samples" in rising.reason or "drifts" in rising.reason
    assert equilibration([2.0] * 12) == (0, 1.0, 12.0, True, "")
    for wrong in ([], [1.0, np.nan]):
        with pytest.raises(dm.InputError, match="finite values"):
            equilibration(wrong)


def test_lifetime_of_decaying_things():
    """3,000 things that die at a rate 1/τ and are replaced: τ to three standard errors."""
    rng, tau, step = np.random.default_rng(2), 2.5, 0.4
    alive = np.arange(3000)
    fresh, keys = 3000, []
    for _ in range(40):
        keys.append(alive)
        survives = rng.random(3000) < np.exp(-step / tau)
        alive = np.where(survives, alive, fresh + np.arange(3000))
        fresh += 3000
    found = lifetime_ns(keys, step * np.arange(40))
    assert found.error < 0.03 * tau
    assert found.value == pytest.approx(tau, abs=3 * found.error)


def test_lifetime_is_exact_or_none():
    keys = [np.array([1, 2, 3, 4]), np.array([1, 2, 5, 6])]
    assert lifetime_ns(keys, [0.0, 2.0]).value == pytest.approx(2 / np.log(2))
    assert lifetime_ns(keys[:1], [0.0]) is None
    assert lifetime_ns([keys[0], keys[0]], [0.0, 1.0]) is None  # nothing breaks
    assert lifetime_ns([keys[0], np.array([9])], [0.0, 1.0]) is None  # nothing remains
    # A long gap in the middle doesn't count: half are lost in each of the short intervals.
    uneven = [np.array([1, 2]), np.array([1, 3]), np.array([8, 9]), np.array([8, 7])]
    assert lifetime_ns(uneven, [0.0, 1.0, 9.0, 10.0]).value == pytest.approx(1 / np.log(2))


def test_distribution_is_exact_and_its_band_covers():
    band = distribution([[1, 1, 2], [1, 3, 9]], [0.5, 1.5, 2.5, 4.5])
    assert band.density == pytest.approx([3 / 6, 1 / 6, 1 / 6 / 2])  # 9 is outside, but counts
    assert (band.low <= band.density).all()
    assert (band.density <= band.high).all()
    lone = distribution([[1, 2]], [0, 1.5, 3])
    assert np.isnan(lone.low).all()
    rng, covered = np.random.default_rng(3), 0
    for seed in range(40):
        frames = [rng.normal(size=20) for _ in range(40)]
        found = distribution(frames, [-1, 0, 1], seed=seed)
        exact = stats.norm.cdf(1) - 0.5
        covered += int(((found.low <= exact) & (exact <= found.high)).sum())
    assert 0.88 <= covered / 80 <= 1.0
    correlated = [frame for frame in rng.normal(size=(12, 20)) for _ in range(6)]
    narrow = distribution(correlated, [-1, 0, 1])
    wide = distribution(correlated, [-1, 0, 1], inefficiency_frames=6)
    ratio = (wide.high - wide.low) / (narrow.high - narrow.low)
    assert ratio == pytest.approx(np.sqrt(6), rel=0.3)
    with pytest.raises(dm.InputError, match="increasing edges"):
        distribution([[1.0]], [1.0, 1.0])


def test_growth_law_is_recovered():
    time = np.linspace(1, 40, 80)
    law = growth_law(time + 5, 3.0 * time**0.5, origin_ns=5.0)
    assert law.exponent == pytest.approx((0.5, 0.0), abs=1e-12)
    assert (law.prefactor, law.origin_ns, law.frames) == (pytest.approx(3.0), 5.0, 80)
    rng = np.random.default_rng(1)
    noisy = growth_law(time, 3 * time**0.5 * np.exp(0.05 * rng.normal(size=80)), 0.0)
    assert noisy.exponent.value == pytest.approx(0.5, abs=3 * noisy.exponent.error)
    assert growth_law(time, time, 0.0, end_ns=1.5) is None
    assert growth_law([], [], 0.0) is None
