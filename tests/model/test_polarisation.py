"""Gains of pairs and chains, contacts solved with induction, attraction from C6."""

from dataclasses import replace

import numpy as np
import pytest

import dipolar_md as dm
from dipolar_md import theory
from dipolar_md.errors import InputError, UnsupportedError
from dipolar_md.model.body import Site
from dipolar_md.model.expectation import expected_mean_length, polarised_outlooks
from dipolar_md.model.polarisation import (
    PolarisablePoints,
    axial_pull_scale,
    catastrophe_share,
    chain_gain,
    pair_gain,
)
from dipolar_md.units import REFERENCE_TEMPERATURE_K, thermal_energy

CLUSTER = dm.load_cluster("r-au-cu")
CONTACT = CLUSTER.axial_contact_nm.value
T = REFERENCE_TEMPERATURE_K
KT = thermal_energy(T)
SCALE = theory.dipole_energy_scale(CLUSTER.dipole_e_nm)
HARD = dm.coarse_grain(CLUSTER)


def centre(alpha):
    return PolarisablePoints(np.zeros((1, 3)), np.array([alpha]), False)


def on_axis(alpha, height, damped):
    places = np.array([[0.0, 0.0, height], [0.0, 0.0, -height]])
    return PolarisablePoints(places, np.full(2, alpha / 2), damped)


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.27, 0.33])
def test_points_at_the_centre_are_the_closed_forms(alpha):
    points = centre(alpha)
    assert pair_gain(points, CONTACT) == pytest.approx(1 / (1 - 2 * alpha / CONTACT**3), rel=1e-12)
    gain = theory.polarisation_gain(alpha, CONTACT)
    assert chain_gain(points, CONTACT) == pytest.approx(gain, rel=1e-9)
    share = alpha / theory.critical_polarisability(CONTACT)
    assert catastrophe_share(points, CONTACT) == pytest.approx(share, rel=1e-9)
    pull = SCALE / (1 - 2 * alpha / CONTACT**3) ** 2
    assert axial_pull_scale(points, SCALE, CONTACT) == pytest.approx(pull, rel=1e-6)


@pytest.mark.parametrize(("alpha", "gain"), [(0.20, 1.31), (0.27, 1.47), (0.33, 1.65)])
def test_two_points_on_the_axis_gain_more(alpha, gain):
    """Undamped at ±0.35 nm, by an independent sum over 2000 neighbours."""
    assert chain_gain(on_axis(alpha, 0.35, False), CONTACT) == pytest.approx(gain, abs=0.005)
    assert chain_gain(on_axis(alpha, 0.35, True), CONTACT) < chain_gain(
        on_axis(alpha, 0.35, False), CONTACT
    )
    together = on_axis(alpha, 1e-6, False)
    expected = theory.polarisation_gain(alpha, CONTACT)
    assert chain_gain(together, CONTACT) == pytest.approx(expected, rel=1e-6)


def test_nothing_to_polarise_gains_nothing():
    points = HARD.polarisable_points
    assert pair_gain(points, CONTACT) == chain_gain(points, CONTACT) == 1.0
    assert catastrophe_share(points, CONTACT) == 0.0


def test_a_catastrophe_says_what_is_possible():
    with pytest.raises(InputError, match=r"2 nm3 .* at 1.822 nm; at most 1.26 nm3"):
        chain_gain(centre(2.0), CONTACT)
    with pytest.raises(InputError, match="catastrophe"):
        pair_gain(centre(4.0), CONTACT)
    assert catastrophe_share(centre(2.0), CONTACT) > 1


# --- Bodies ---------------------------------------------------------------------------------------


def test_polarisation_sits_where_it_is_put():
    body = dm.coarse_grain(CLUSTER, polarisation="centre")
    assert replace(body, polarisability_nm3=0.0) == HARD
    assert body.polarisability_nm3 == CLUSTER.polarisability_nm3.value
    assert not body.polarisable_points.damped
    for shape, extra in (("sphere", 6), ("janus", 0)):
        body = dm.coarse_grain(CLUSTER, shape, polarisation="sites", polarisability_nm3=0.3)
        plain = dm.coarse_grain(CLUSTER, shape)
        points = body.polarisable_points
        assert points.damped
        assert points.polarisabilities_nm3 == pytest.approx([0.05] * 6)
        assert len(body.sites) == len(plain.sites) + extra
        assert (body.mass_Da, body.inertia_Da_nm2) == (plain.mass_Da, plain.inertia_Da_nm2)
        assert np.hypot(*points.positions_nm[:, :2].T) == pytest.approx([0.4] * 6)
    janus, sphere = (
        dm.coarse_grain(CLUSTER, shape, polarisation="sites").polarisable_points.positions_nm
        for shape in ("janus", "sphere")
    )
    assert janus == pytest.approx(sphere, abs=1e-9)
    mirror = dm.coarse_grain(dm.load_cluster("s-au-cu"), polarisation="sites")
    assert mirror.polarisable_points.positions_nm == pytest.approx(sphere * [1, -1, 1])


def test_sites_must_make_up_the_polarisability():
    half = Site((0.0, 0.0, 0.4), 0.0, 0.0, polarisability_nm3=0.1)
    with pytest.raises(InputError, match=r"sum to 0.1 nm3, not to polarisability_nm3 = 0.3"):
        replace(HARD, sites=(*HARD.sites, half), polarisability_nm3=0.3)


@pytest.mark.parametrize("polarisation", ["centre", "sites"])
def test_contacts_can_be_solved_with_induction(polarisation):
    options = {"polarisation": polarisation, "contact_calibration": "with-polarisation"}
    body = dm.coarse_grain(CLUSTER, **options)
    points, sigma = body.polarisable_points, body.sites[0].sigma_nm
    assert sigma > HARD.sites[0].sigma_nm

    def energy(r):
        return float(theory.wca_energy(r, sigma, KT)) - 2 * SCALE / r**3 * pair_gain(points, r)

    h = 1e-3
    assert min(energy(CONTACT - h), energy(CONTACT + h)) > energy(CONTACT)
    assert energy(CONTACT - h) == pytest.approx(energy(CONTACT + h), rel=1e-4)
    janus = dm.coarse_grain(CLUSTER, "janus", **options)
    plain = dm.coarse_grain(CLUSTER, "janus")
    assert janus.sites[1].sigma_nm != plain.sites[1].sigma_nm


def test_attraction_from_c6_keeps_contact_and_coefficient():
    body = dm.coarse_grain(CLUSTER, attraction="c6")
    site = body.sites[0]
    assert site.attractive
    c6 = CLUSTER.c6_kJ_mol_nm6.value
    assert 4 * site.epsilon_kJ_mol * site.sigma_nm**6 == pytest.approx(c6, rel=1e-9)
    s6 = (site.sigma_nm / CONTACT) ** 6
    push = 24 * site.epsilon_kJ_mol / CONTACT * (2 * s6**2 - s6)
    assert push == pytest.approx(6 * SCALE / CONTACT**4, rel=1e-9)
    with pytest.raises(InputError, match="leave out attraction_kT"):
        dm.coarse_grain(CLUSTER, attraction="c6", attraction_kT=1.0)
    with pytest.raises(UnsupportedError, match="needs shape='sphere'"):
        dm.coarse_grain(CLUSTER, "janus", attraction="c6")
    without = CLUSTER.model_copy(update={"c6_kJ_mol_nm6": None})
    with pytest.raises(InputError, match="states no c6_kJ_mol_nm6"):
        dm.coarse_grain(without, attraction="c6")


# --- Expectation ----------------------------------------------------------------------------------


def test_expected_lengths_grow_with_the_polarisability():
    bodies = [
        dm.coarse_grain(CLUSTER, polarisation="centre", polarisability_nm3=a) for a in (0.2, 0.33)
    ]
    lengths = [expected_mean_length(body, 1.0, T, 10.0) for body in (HARD, *bodies)]
    assert lengths == pytest.approx([30.5, 167, 950], rel=0.01)
    screened = expected_mean_length(bodies[0], 8.93, T, 10.0)
    assert screened == pytest.approx(expected_mean_length(HARD, 8.93, T, 10.0), rel=1e-2)


def test_outlooks_of_both_placements_and_contacts():
    rows = {(r.origin, r.placement): r for r in polarised_outlooks(CLUSTER, 10.0, 0.27)}
    assert len(rows) == 6
    none, middle, shared = (rows["file", key] for key in ("none", "centre", "sites"))
    assert none.chain_gain == none.pair_gain == 1.0
    assert none.contact_minimum_nm == pytest.approx(CONTACT)
    assert none.contact_minimum_nm > middle.contact_minimum_nm > shared.contact_minimum_nm
    assert none.coupling < middle.coupling < shared.coupling
    assert none.expected_mean_length < middle.expected_mean_length < shared.expected_mean_length
    gain = theory.polarisation_gain(0.27, middle.contact_minimum_nm)
    assert middle.chain_gain == pytest.approx(gain, rel=1e-6)
    bare = CLUSTER.model_copy(update={"polarisability_nm3": None})
    assert polarised_outlooks(bare, 10.0) == ()
    lost = {r.placement: r for r in polarised_outlooks(CLUSTER, 10.0, 1.2) if r.origin == "file"}
    assert np.isinf(lost["centre"].chain_gain)
    assert np.isnan(lost["centre"].expected_mean_length)
