"""B₂ and what follows from it, for every kind of body, against plain Monte Carlo."""

import math
from dataclasses import replace

import numpy as np
import pytest
from oracles.sampled_virial import sampled_virial

import dipolar_md as dm
from dipolar_md import theory
from dipolar_md.model.expectation import chain_onset_dipole, expected_mean_length, phase_estimate
from dipolar_md.model.virial import bonding_volume, second_virial
from dipolar_md.units import MILLIMOLAR

KINDS = {
    "janus": {"shape": "janus"},
    "janus with charges": {"shape": "janus", "dipole": "charges"},
    "sphere with charges": {"dipole": "charges"},
    "sphere with a well of 4 kT": {"attraction_kT": 4.0},
    "sphere": {},
}


@pytest.fixture(params=KINDS, scope="module")
def body(request):
    return dm.coarse_grain("r-au-cu", **KINDS[request.param])


@pytest.mark.parametrize("permittivity", [1.5, 4.0])
def test_second_virial_is_that_of_random_turns(body, permittivity):
    sampled, error = sampled_virial(body, permittivity, 5.0, 100_000)
    found = second_virial(body, permittivity, 298.15)
    assert abs(found - sampled) < 3 * error
    assert error < max(0.06 * abs(sampled), 0.5)


@pytest.mark.validate
def test_second_virial_of_a_janus_body_in_vacuum():
    """Bonds of 15 kT: few of the random turns count, so many are needed."""
    body = dm.coarse_grain("r-au-cu", shape="janus")
    sampled, error = sampled_virial(body, 1.0, 4.0, 4_000_000)
    assert error < 0.05 * abs(sampled)
    assert abs(second_virial(body, 1.0, 298.15) - sampled) < 3 * error


def test_a_well_of_a_sphere_is_that_of_lennard_jones():
    """Where its dipole is screened away: B₂ = 2π ∫ r² (1 − e^(−u/kT)) dr, midpoint rule."""
    body = dm.coarse_grain("r-au-cu", attraction_kT=1.0)
    sigma, n = body.sites[0].sigma_nm, 400_000
    r = 3 * sigma * (np.arange(n) + 0.5) / n
    s6 = (sigma / r) ** 6
    u = 4 * (s6**2 - s6 - (3.0**-12 - 3.0**-6))
    expected = 2 * math.pi * float((r**2 * (1 - np.exp(-u))).mean()) * 3 * sigma
    assert second_virial(body, 1e9, 298.15) == pytest.approx(expected, rel=1e-4)


def test_a_sphere_has_the_closed_form_by_either_way():
    """Charges ever nearer to each other go through the average over orientations."""
    plain = dm.coarse_grain("r-au-cu")
    (site,) = plain.sites
    scale = theory.dipole_energy_scale(plain.dipole_magnitude_e_nm)
    closed = theory.second_virial(site.sigma_nm, site.epsilon_kJ_mol, scale, 298.15)
    assert second_virial(plain, 1.0, 298.15) == closed
    tips = dm.coarse_grain("r-au-cu", dipole="charges")
    tiny = [second_virial(_squeezed(tips, factor), 1.0, 298.15) for factor in (0.3, 0.03)]
    assert abs(tiny[1] - closed) < abs(tiny[0] - closed) / 20
    assert tiny[1] == pytest.approx(closed, rel=2e-3)


def _squeezed(body, factor):
    core, *tips = body.sites
    nearer = [
        replace(
            tip,
            position_nm=tuple(factor * x for x in tip.position_nm),
            charge_e=tip.charge_e / factor,
        )
        for tip in tips
    ]
    return replace(body, sites=(core, *nearer))


@pytest.mark.parametrize(
    ("kind", "length"),
    [("sphere", 30.5), ("janus", 26.9), ("sphere with a well of 4 kT", 287.0)],
)
def test_expected_length_counts_the_true_pair_potential(kind, length):
    """n̄ by hand from the B₂ of random turns; the figures in vacuum at 10 mM are kept beside it."""
    body = dm.coarse_grain("r-au-cu", **KINDS[kind])
    assert expected_mean_length(body, 1.0, 298.15, 10.0) == pytest.approx(length, rel=0.01)
    bound, error = sampled_virial(body, 1.5, 5.0, 100_000)
    free, _ = sampled_virial(body, 1e9, 5.0, 100_000)
    coupling = 37.54 / 2.478957 / 2 / 1.5
    volume = (free - bound) * math.exp(2 * 0.2020569 * coupling)
    expected = (1 + math.sqrt(1 + 4 * 10.0 * MILLIMOLAR * volume)) / 2
    found = expected_mean_length(body, 1.5, 298.15, 10.0)
    # The bond is a little longer than the contact at ε_r = 1.5, its λ a few per cent less.
    assert found == pytest.approx(expected, rel=0.05 + 1.5 * error / abs(bound))


def test_bonding_vanishes_without_a_dipole_and_grows_with_it(body):
    volumes = [bonding_volume(body, eps, 298.15) for eps in (1.5, 4.0, 1e7)]
    assert volumes == sorted(volumes, reverse=True)
    assert volumes[-1] == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("kind", ["sphere", "sphere with a well of 4 kT"])
def test_the_onset_and_the_phase_estimate_are_of_the_same_body(kind):
    body = dm.coarse_grain("r-au-cu", **KINDS[kind])
    debye = chain_onset_dipole(body, 2.0, 298.15, 10.0)
    # μ²/ε_r is what counts: the cluster's own dipole in a medium that screens it down to that
    own = 43.42
    length = expected_mean_length(body, 2.0 * (own / debye) ** 2, 298.15, 10.0)
    assert length == pytest.approx(2.0, rel=1e-6)
    estimate = phase_estimate(body, 8.0)
    at = [np.interp(1.0, np.log10(estimate.concentration_mM), row) for row in estimate.mean_length]
    vacuum = np.interp(37.54 / 2.478957 / 2, estimate.coupling, np.log(at))
    expected = expected_mean_length(body, 1.0, 298.15, 10.0)
    assert vacuum == pytest.approx(math.log(expected), abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_beyond_the_range_expect_nothing(kind):
    body = dm.coarse_grain("r-au-cu", **KINDS[kind])
    assert math.isnan(expected_mean_length(body, 0.01, 298.15, 10.0))
    assert math.isnan(second_virial(body, 0.01, 298.15))
