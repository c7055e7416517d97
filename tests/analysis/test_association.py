"""Association laws with known answers: isodesmic, cooperative, with rings, with breaks."""

import math

import numpy as np
import pytest

import dipolar_md as dm
from dipolar_md.analysis.association import HELD, AssociationLaw
from dipolar_md.units import MILLIMOLAR

SIZES = np.arange(1, 25)
LOG_K = 11.0  # ln κ, nm³


def law(log_b=None, rings=0.0, breaks=0.0):
    """Open chains alone, but for rings with b_n = rings κⁿ n^(-5/2) from n = 4 on."""
    log_b = LOG_K * (SIZES - 1) if log_b is None else np.asarray(log_b)
    over = np.zeros((24, 4))
    over[:, 0] = 1
    with np.errstate(divide="ignore"):
        ring = np.where(SIZES >= 4, rings * np.exp(LOG_K * SIZES - 2.5 * np.log(SIZES)), 0.0)
    over[:, 2] = ring / np.exp(log_b)
    parts = np.repeat(1 + breaks * (SIZES - 1.0)[:, None], 4, axis=1)
    contour = np.repeat(1.85 * (SIZES - 1.0)[:, None], 4, axis=1)
    return AssociationLaw.from_kinds(
        log_b, over, {"strict": parts}, {"strict": np.ones(24)}, contour
    )


@pytest.mark.parametrize("concentration", [1e-3, 0.1, 10.0, 1000.0])
def test_where_every_bond_is_worth_the_same_the_law_is_isodesmic(concentration):
    found = law()
    K = math.exp(LOG_K) * MILLIMOLAR
    assert found.association_constant_per_mM == pytest.approx(K)
    assert found.tail_amplitude_mM == pytest.approx(1 / K)
    assert found.log_cooperativity == pytest.approx(0, abs=1e-9)
    known = (1 + math.sqrt(1 + 4 * K * concentration)) / 2
    mixture = found.at(concentration)
    assert mixture.mean_chain_length[HELD] == pytest.approx(known)
    assert mixture.tail_mean_length[HELD] == pytest.approx(known)
    assert mixture.monomer_fraction == pytest.approx(1 / known**2)
    assert mixture.ring_fraction[HELD] == 0
    assert found.spacing_nm == pytest.approx(1.85)


def test_a_costly_start_makes_free_clusters_and_long_chains():
    price = 6.0  # kT of the first bond
    log_b = LOG_K * (SIZES - 1) - price * (SIZES > 1)
    found = law(log_b)
    assert found.log_cooperativity == pytest.approx(-price)
    mixture = found.at(10.0)
    long = math.sqrt(10.0 / found.tail_amplitude_mM)
    assert mixture.tail_mean_length[HELD] == pytest.approx(long, rel=0.02)
    x = 1 - 1 / mixture.tail_mean_length[HELD]
    sizes = np.arange(1, 200_000)
    populations = found.tail_amplitude_mM * x**sizes
    populations[0] *= math.exp(price)
    assert (sizes * populations).sum() == pytest.approx(10.0)
    assert mixture.mean_chain_length[HELD] == pytest.approx(10.0 / populations.sum())
    assert mixture.free_mM == pytest.approx(populations[0])


def test_rings_hold_no_more_than_their_sum():
    rings = 1e-6  # nm⁻³
    mixture = law(rings=rings).at(1e6)
    sizes = np.arange(4, 200_001)
    x = 1 - 1 / mixture.tail_mean_length[HELD]
    known = rings * (sizes**-1.5 * x**sizes).sum() / MILLIMOLAR
    assert mixture.ring_fraction[HELD] * 1e6 == pytest.approx(known, rel=1e-3)
    assert mixture.ring_fraction[HELD] < law(rings=rings).at(0.01).ring_fraction[HELD]


def test_bonds_that_are_stretched_for_the_moment_cut_long_chains():
    found = law(breaks=0.02)
    assert found.breaks_per_bond("strict") == pytest.approx(0.02)
    mixture = found.at(1e4)
    assert mixture.tail_mean_length[HELD] > 500
    assert mixture.tail_mean_length["strict"] == pytest.approx(1 / 0.02, rel=0.1)
    n = mixture.mean_chain_length[HELD]
    assert mixture.mean_chain_length["strict"] == pytest.approx(n / (1 + 0.02 * (n - 1)))


def test_concentrations_out_of_range_are_refused():
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(dm.InputError, match="concentration_mM must be positive"):
            law().at(wrong)
    few = np.ones((4, 4))
    with pytest.raises(dm.InputError, match="at least eight sizes"):
        AssociationLaw.from_kinds(few[0], few, {}, {}, few)
