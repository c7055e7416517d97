"""The closed forms against exact states, finite differences, brute force and published numbers."""

import math
from itertools import pairwise

import numpy as np
import pytest
import rowan
import scipy.constants as si
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import induced_dipoles
from scipy.integrate import quad
from scipy.special import zeta

from dipolar_md import theory
from dipolar_md.errors import InputError
from dipolar_md.units import DEBYE, KE, MILLIMOLAR, thermal_energy

T = 298.15
KT = thermal_energy(T)
X, Y, Z = np.eye(3)
R_AU_CU = 43.42 * DEBYE  # e nm
CONTACT = 1.822  # nm, axial contact of R-Au-Cu
DA = si.atomic_mass

rotations = (
    st.tuples(*[st.floats(-1, 1)] * 4)
    .filter(lambda q: np.linalg.norm(q) > 0.1)
    .map(rowan.normalize)
)
vectors = st.tuples(*[st.floats(-2, 2)] * 3).map(np.array)
separations = vectors.filter(lambda r: np.linalg.norm(r) > 0.5)
properties = settings(max_examples=50, deadline=None)


def printed(value, decimals):
    """What `value` reads when printed like the published number."""
    return pytest.approx(value, abs=0.5000001 * 10.0**-decimals, rel=0)


# --- Two dipoles ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("separation", "a", "b", "energy"),
    [
        (Z, Z, Z, -2),  # head to tail
        (Z, Z, -Z, 2),  # head to head
        (X, Z, -Z, -1),  # antiparallel side by side
        (X, Z, Z, 1),  # parallel side by side
        (X, Y, Z, 0),
        (X, X, Z, 0),
        ((X + Y + Z) / math.sqrt(3), X, Y, -1),
    ],
)
def test_pair_states_are_exact(separation, a, b, energy):
    scale = theory.dipole_energy_scale(0.3, 0.7, 2.5)
    pair = theory.dipole_pair(1.6 * separation, 0.3 * a, 0.7 * b, 2.5)
    assert pair.energy == pytest.approx(energy * scale / 1.6**3, rel=1e-14, abs=1e-13)


def test_head_to_tail_force_is_the_contact_force():
    pair = theory.dipole_pair(CONTACT * Z, R_AU_CU * Z, R_AU_CU * Z)
    scale = theory.dipole_energy_scale(R_AU_CU)
    np.testing.assert_allclose(pair.force_on_b, -6 * scale / CONTACT**4 * Z, rtol=1e-14)
    np.testing.assert_array_equal(pair.torque_on_a, 0)
    np.testing.assert_array_equal(pair.torque_on_b, 0)


@pytest.fixture
def random_pairs():
    rng = np.random.default_rng(1)
    separation, a, b = rng.normal(size=(3, 20, 3))
    separation *= (rng.uniform(0.8, 3, 20) / np.linalg.norm(separation, axis=1))[:, None]
    return separation, a, b, rng.uniform(1, 5, 20)


def test_forces_and_torques_are_energy_gradients(random_pairs):
    separation, a, b, permittivity = random_pairs
    pair = theory.dipole_pair(*random_pairs)
    h = 1e-5

    def energy(shift=0.0, turn_a=0.0 * X, turn_b=0.0 * X):
        turned = [
            rowan.rotate(rowan.from_axis_angle(turn, h), v) if np.any(turn) else v
            for turn, v in ((turn_a, a), (turn_b, b))
        ]
        return theory.dipole_pair(separation + h * shift, *turned, permittivity).energy

    for i, axis in enumerate((X, Y, Z)):
        for name, exact in (
            ("shift", pair.force_on_b),
            ("turn_a", pair.torque_on_a),
            ("turn_b", pair.torque_on_b),
        ):
            slope = (energy(**{name: axis}) - energy(**{name: -axis})) / (2 * h)
            largest = np.abs(exact).max(axis=1)
            assert np.all(np.abs(exact[:, i] + slope) < 1e-8 * largest + 1e-7), name


def test_forces_are_mutual_and_angular_momentum_is_kept(random_pairs):
    separation, a, b, permittivity = random_pairs
    pair = theory.dipole_pair(separation, a, b, permittivity)
    seen_from_b = theory.dipole_pair(-separation, b, a, permittivity)
    np.testing.assert_allclose(seen_from_b.energy, pair.energy, rtol=1e-14)
    np.testing.assert_allclose(seen_from_b.force_on_b, -pair.force_on_b, rtol=1e-13)
    np.testing.assert_allclose(seen_from_b.torque_on_b, pair.torque_on_a, rtol=1e-13)
    lever = np.cross(separation, pair.force_on_b)
    scale = np.abs(lever).max()
    np.testing.assert_allclose(pair.torque_on_a + pair.torque_on_b, -lever, atol=1e-14 * scale)


def test_pair_matches_the_charges_that_make_it(random_pairs):
    separation, a, b, permittivity = random_pairs
    extent = 1e-3  # ±q at ±extent/2 of each unit of dipole: the error is of its square
    energy = np.zeros(len(a))
    for sign_a in (-1, 1):
        for sign_b in (-1, 1):
            between = separation + extent / 2 * (sign_b * b - sign_a * a)
            energy += sign_a * sign_b * KE / permittivity / np.linalg.norm(between, axis=1)
    pair = theory.dipole_pair(separation, a, b, permittivity)
    largest = KE / permittivity / np.linalg.norm(separation, axis=1) ** 3
    assert np.all(np.abs(energy / extent**2 - pair.energy) < 1e-4 * largest)


@properties
@given(separations, vectors, vectors, rotations)
def test_pair_turns_with_its_frame(separation, a, b, rotation):
    pair = theory.dipole_pair(separation, a, b)
    turned = theory.dipole_pair(*(rowan.rotate(rotation, v) for v in (separation, a, b)))
    scale = KE / np.linalg.norm(separation) ** 3 * 12 * (1 + 3 / np.linalg.norm(separation))
    assert turned.energy == pytest.approx(pair.energy, abs=1e-13 * scale)
    for before, after in zip(pair[1:], turned[1:], strict=True):
        np.testing.assert_allclose(after, rowan.rotate(rotation, before), atol=1e-12 * scale)


@properties
@given(separations, vectors, vectors)
def test_no_orientation_is_lower_than_head_to_tail(separation, a, b):
    energy = theory.dipole_pair(separation, a, b).energy
    scale = theory.dipole_energy_scale(np.linalg.norm(a), np.linalg.norm(b))
    assert abs(energy) <= 2 * scale / np.linalg.norm(separation) ** 3 * (1 + 1e-12) + 1e-100


def test_pair_broadcasts():
    separation = np.array([1.0, 1.5, 2.0])[:, None] * X
    pair = theory.dipole_pair(separation, Z, np.stack([Y, Z])[:, None], [[1.0], [2.0]])
    assert pair.energy.shape == (2, 3)
    assert pair.force_on_b.shape == pair.torque_on_a.shape == pair.torque_on_b.shape == (2, 3, 3)
    one = theory.dipole_pair(separation[2], Z, Z, 2.0)
    assert isinstance(one.energy, float)
    assert pair.energy[1, 2] == one.energy
    np.testing.assert_array_equal(pair.force_on_b[1, 2], one.force_on_b)


def test_energy_scale_in_si_units():
    joules = (43.42e-21 / si.c) ** 2 / (4 * math.pi * si.epsilon_0)  # J m³
    scale = theory.dipole_energy_scale(R_AU_CU)
    assert scale == pytest.approx(joules * si.N_A * 1e-3 * 1e27, rel=1e-8)
    assert scale == printed(113.535, 3)
    mixed = theory.dipole_energy_scale(R_AU_CU, 2 * R_AU_CU, 4.0)
    assert mixed == pytest.approx(scale / 2, rel=1e-15)
    assert theory.dipole_energy_scale(0.0) == 0


def test_head_to_tail_energies_of_r_au_cu():
    assert theory.head_to_tail_energy(R_AU_CU, CONTACT) == printed(-37.54, 2)
    assert theory.two_charge_head_to_tail_energy(R_AU_CU, 2, CONTACT) == printed(-40.0, 1)
    # At the crystal's 1.61 nm the same energy needs an orientation factor of 1.38 instead of 2.
    assert 37.54 * 1.61**3 / theory.dipole_energy_scale(R_AU_CU) == printed(1.38, 2)


@pytest.mark.parametrize("function", ["point", "charges"])
def test_head_to_tail_energies_are_sums_of_pairs(function):
    distance, dipole, permittivity = np.array([1.2, 1.8, 4.0]), 0.6, 3.0
    if function == "point":
        along = dipole * Z
        expected = theory.dipole_pair(distance[:, None] * Z, along, along, permittivity).energy
        energy = theory.head_to_tail_energy(dipole, distance, permittivity)
    else:
        extent = dipole / 1.5
        coulomb = 2 / distance - 1 / (distance - extent) - 1 / (distance + extent)
        expected = KE / permittivity * 1.5**2 * coulomb
        energy = theory.two_charge_head_to_tail_energy(dipole, 1.5, distance, permittivity)
    np.testing.assert_allclose(energy, expected, rtol=1e-13)


def test_two_charges_far_apart_are_a_point_dipole():
    point = theory.head_to_tail_energy(0.6, 1000.0)
    assert theory.two_charge_head_to_tail_energy(0.6, 1.0, 1000.0) == pytest.approx(
        point * (1 + 0.6e-3**2), rel=1e-12
    )


@pytest.mark.parametrize(
    ("dipole_D", "charge", "extent"), [(43.42, 2, 0.452), (44.6, 2, 0.464), (21.85, 1, 0.455)]
)
def test_charge_separations(dipole_D, charge, extent):
    assert theory.charge_separation(dipole_D * DEBYE, charge) == printed(extent, 3)


@pytest.mark.parametrize(
    ("dipole_D", "distance", "permittivity", "coupling", "decimals"),
    [
        (43.42, 1.8, 1.0, 7.85, 2),
        (43.42, 1.8, 8.93, 0.88, 2),
        (43.42, 1.61, 1.0, 11, 0),
        (44.6, 1.78, 1.0, 8.6, 1),
        (21.85, 1.44, 1.0, 3.9, 1),
    ],
)
def test_couplings_of_the_clusters(dipole_D, distance, permittivity, coupling, decimals):
    scale = theory.dipole_energy_scale(dipole_D * DEBYE, relative_permittivity=permittivity)
    assert theory.dipolar_coupling(scale, distance, T) == printed(coupling, decimals)


# --- Two spheres ----------------------------------------------------------------------------------


def test_wca_is_exact_at_sigma_and_at_its_cutoff():
    assert theory.wca_energy(1.7, 1.7, 2.5) == 2.5
    assert theory.wca_force(1.7, 1.7, 2.5) == pytest.approx(24 * 2.5 / 1.7, rel=1e-15)
    outside = 2 ** (1 / 6) * 1.7 * np.array([1 + 1e-12, 1.1, 50])
    np.testing.assert_array_equal(theory.wca_energy(outside, 1.7, 2.5), 0)
    np.testing.assert_array_equal(theory.wca_force(outside, 1.7, 2.5), 0)
    textbook = 4 * 2.5 * ((1.7 / 1.8) ** 12 - (1.7 / 1.8) ** 6) + 2.5
    assert theory.wca_energy(1.8, 1.7, 2.5) == pytest.approx(textbook, rel=1e-13)


def test_wca_force_is_the_energy_gradient():
    distance, h = np.linspace(1.3, 2.2, 30), 1e-6
    slope = (
        theory.wca_energy(distance + h, 1.7, 2.5) - theory.wca_energy(distance - h, 1.7, 2.5)
    ) / (2 * h)
    np.testing.assert_allclose(theory.wca_force(distance, 1.7, 2.5), -slope, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("coupling", "distance", "energy"),
    [(4, 1.0, -7.0), (6, 0.9717, -11.1861), (8, 0.9503, -15.7007)],
)
def test_pair_minima_of_the_table(coupling, distance, energy):
    found = theory.pair_minimum(1.5, KT, coupling * KT * 1.5**3)
    assert found[0] / 1.5 == printed(distance, 4)
    assert found[1] / KT == printed(energy, 4)


@properties
@given(st.floats(0.5, 3), st.floats(0.1, 20), st.floats(0, 500))
def test_pair_minimum_and_wca_sigma_are_inverse(contact, epsilon, scale):
    sigma = theory.wca_sigma(contact, epsilon, scale)
    distance, energy = theory.pair_minimum(sigma, epsilon, scale)
    assert distance == pytest.approx(contact, rel=1e-12)
    attraction = 6 * scale / contact**4
    assert theory.wca_force(contact, sigma, epsilon) == pytest.approx(
        attraction, rel=1e-11, abs=1e-11 * epsilon
    )
    assert energy == pytest.approx(
        theory.wca_energy(contact, sigma, epsilon) - 2 * scale / contact**3, rel=1e-11, abs=1e-12
    )


def test_pair_minimum_is_a_minimum_in_every_regime():
    scale = np.array([0.01, 1.0, 8.0, 11.0, 300.0])  # k = 1 lies between the middle ones
    distance, energy = theory.pair_minimum(1.2, 2.0, scale)
    for factor in (0.999, 1.001):
        r = distance * factor
        assert np.all(theory.wca_energy(r, 1.2, 2.0) - 2 * scale / r**3 > energy)


def test_without_a_dipole_the_contact_is_the_wca_cutoff():
    assert theory.wca_sigma(CONTACT, KT, 0.0) == pytest.approx(CONTACT / 2 ** (1 / 6), rel=1e-15)
    distance, energy = theory.pair_minimum(1.7, KT, 0.0)
    assert distance == pytest.approx(1.7 * 2 ** (1 / 6), rel=1e-15)
    assert energy == pytest.approx(0, abs=1e-28)


# --- Many touching dipoles ------------------------------------------------------------------------

CHAINS = [(2, -2, 6), (3, -4.25, 6), (4, -6.574074, 6), (5, -8.929398, 6)]
CHAINS += [(10, -20.851104, 6), (20, -44.842387, 6)]
RINGS = [(3, -3.75, 6), (4, -6.707107, 6), (5, -9.565595, 6)]
RINGS += [(10, -22.722369, 6), (20, -47.410892, 6)]


@pytest.mark.parametrize(("n", "energy", "decimals"), CHAINS)
def test_chains_of_the_table(n, energy, decimals):
    assert theory.chain_energy(n) == printed(energy, decimals)


@pytest.mark.parametrize(("n", "energy", "decimals"), RINGS)
def test_rings_of_the_table(n, energy, decimals):
    assert theory.ring_energy(n) == printed(energy, decimals)


@pytest.mark.parametrize("n", [2, 3, 7, 12])
@pytest.mark.parametrize("shape", ["chain", "ring"])
def test_chains_and_rings_are_sums_of_pairs(n, shape):
    if shape == "chain":
        positions, dipoles = np.arange(n)[:, None] * X, np.tile(X, (n, 1))
        energy = theory.chain_energy(n)
    else:
        angle = 2 * math.pi * np.arange(n) / n
        radius = 0.5 / math.sin(math.pi / n)
        positions = radius * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
        dipoles = np.stack([-np.sin(angle), np.cos(angle), 0 * angle], axis=1)
        energy = theory.ring_energy(n)
    i, j = np.triu_indices(n, k=1)
    pairs = theory.dipole_pair(positions[j] - positions[i], dipoles[i], dipoles[j])
    assert energy == pytest.approx(np.sum(pairs.energy) / KE, rel=1e-13)


def test_chains_win_up_to_three_and_rings_from_four():
    assert theory.chain_energy(1) == 0
    wins = [theory.ring_energy(n) < theory.chain_energy(n) for n in range(2, 12)]
    assert wins == [n >= 4 for n in range(2, 12)]


def test_long_chains_gain_apery_constant_a_bond():
    gain = theory.chain_energy(20001) - theory.chain_energy(20000)
    assert gain == pytest.approx(-2 * zeta(3.0), rel=1e-8)


# --- Statistics of pairs --------------------------------------------------------------------------


def test_orientational_average_by_brute_force():
    c, weight = np.polynomial.legendre.leggauss(24)
    angle = 2 * math.pi * np.arange(24) / 24
    s = np.sqrt(1 - c**2)
    a = np.stack([s, 0 * s, c], axis=1)[:, None, None]
    b = np.empty((24, 24, 3))
    b[..., 0], b[..., 1], b[..., 2] = (
        np.outer(s, np.cos(angle)),
        np.outer(s, np.sin(angle)),
        c[:, None],
    )
    u = theory.dipole_pair(Z, a, b).energy / KE
    for x in (0.5, 2.0, 5.0):
        mean = np.einsum("abf,a,b->", np.exp(-x * u), weight, weight) / (4 * 24)
        assert theory.log_orientational_average(x) == pytest.approx(math.log(mean), rel=1e-11)


def test_orientational_average_is_safe_from_zero_to_its_limit():
    assert theory.log_orientational_average(0.0) == pytest.approx(0, abs=1e-14)
    assert theory.log_orientational_average(1e-3) == pytest.approx(1e-6 / 3, rel=1e-6)
    x = np.array([1e-4, 0.3, 20, 100, 250])
    for value, average in zip(x, theory.log_orientational_average(x), strict=True):
        # e^(−2x) is taken out so that quad sees numbers of order 1.
        def scaled(c, x=value):
            y = x * math.sqrt(1 + 3 * c**2)
            return (math.exp(y - 2 * x) - math.exp(-y - 2 * x)) / (2 * y)

        exact, _ = quad(scaled, 0, 1, epsabs=0, epsrel=1e-12, limit=200)
        assert math.exp(average - 2 * value) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(
    ("coupling", "virial", "decimals"),
    [
        (1, 1.367202, 6),  # 1.3672024; the design notes print 1.367203
        (2, -1.224775, 6),
        (3, -7.524261, 6),
        (4, -23.98694, 5),
        (5, -75.14316, 5),
        (8, -4738.499, 3),
    ],
)
def test_hard_sphere_virials_of_the_table(coupling, virial, decimals):
    assert theory.second_virial_hard_sphere(coupling) == printed(virial, decimals)


def test_hard_sphere_virial_equals_its_exact_series():
    # Term by term: ⟨s^2n⟩ = Σ_k C(n,k) 3^k/(2k+1), and ∫₁^∞ r² r^(−6n) dr = 1/(3(2n − 1)).
    coupling = np.array([0.0, 0.05, 1.0, 4.0, 8.0])
    series = np.zeros(5)
    for n in range(1, 60):
        mean = sum(math.comb(n, k) * 3**k / (2 * k + 1) for k in range(n + 1))
        series += coupling ** (2 * n) * mean / (math.factorial(2 * n + 1) * (2 * n - 1))
    exact = 2 * math.pi / 3 * (1 - series)
    np.testing.assert_allclose(theory.second_virial_hard_sphere(coupling), exact, rtol=1e-12)


def test_hard_sphere_virial_at_strong_coupling():
    # −π e^(2λ)/(18λ³), the known leading term; the next is of relative order 1/λ.
    coupling = np.array([125.0, 250.0])
    leading = -math.pi * np.exp(2 * coupling) / (18 * coupling**3)
    excess = theory.second_virial_hard_sphere(coupling) / leading - 1
    assert np.all((excess > 0) & (excess < 3 / coupling))
    assert excess[0] / excess[1] == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(
    ("coupling", "virial", "decimals"),
    [
        (1, 1.504469, 6),
        (2, -0.983533, 6),
        (3, -7.038332, 6),
        (4, -23.281166, 6),
        (6, -311.704953, 6),
        (8, -9122.34, 2),
    ],
)
def test_soft_sphere_virials_of_the_table(coupling, virial, decimals):
    assert theory.second_virial(1.0, KT, coupling * KT, T) == printed(virial, decimals)


@pytest.mark.parametrize(
    ("epsilon", "coupling"), [(0.2, 0.0), (0.2, 3.0), (1.0, 10.0), (30.0, 2.0), (1e4, 6.0)]
)
def test_soft_sphere_virial_by_quadrature(epsilon, coupling):
    sigma, temperature = 1.7, 350.0
    kT = thermal_energy(temperature)
    scale = coupling * kT * sigma**3

    def mayer(r):
        wall = math.exp(-theory.wca_energy(r, sigma, epsilon * kT) / kT)
        coupling = theory.dipolar_coupling(scale, r, temperature)
        average = math.exp(theory.log_orientational_average(coupling))
        return (1 - wall * average) * r**2

    least, cutoff = 0.3 * sigma if epsilon < 1 else 0.6 * sigma, 2 ** (1 / 6) * sigma
    points = np.linspace(least, cutoff, 5)
    pieces = [quad(mayer, *ends, epsrel=1e-11, epsabs=0)[0] for ends in pairwise(points)]
    tail = quad(lambda t: mayer(1 / t) / t**2, 0.01, 1 / cutoff, epsrel=1e-9, epsabs=1e-14)[0]
    tail += -((scale / kT) ** 2) / 9 * 0.01**3  # x²/3 beyond r = 100 nm
    exact = 2 * math.pi * (least**3 / 3 + sum(pieces) + tail)
    found = theory.second_virial(sigma, epsilon * kT, scale, temperature)
    assert found == pytest.approx(exact, rel=1e-9)


def test_soft_sphere_virial_broadcasts():
    scale = KT * np.array([0.0, 2.0, 8.0])
    virials = theory.second_virial(1.0, KT, scale, T)
    assert virials.shape == (3,)
    assert virials[2] == pytest.approx(theory.second_virial(1.0, KT, scale[2], T), rel=1e-14)
    assert isinstance(theory.second_virial(1.0, KT, 1.0, T), float)


# --- Association ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coupling", "virial", "distance"), [(4, -23.281166, 1.0), (8, -9122.34, 0.9503)]
)
def test_bonding_volume_takes_lambda_at_the_pair_minimum(coupling, virial, distance):
    sigma = 1.4
    volume = theory.bonding_volume(sigma, KT, coupling * KT * sigma**3, T) / sigma**3
    empty = 2 * math.pi * 2**0.5 / 3  # B₂(0): the cutoff sphere less what thermal motion enters
    empty -= (
        2
        * math.pi
        * quad(lambda r: math.exp(-theory.wca_energy(r, 1, 1)) * r**2, 0.3, 2 ** (1 / 6))[0]
    )
    gain = math.exp((2 * zeta(3.0) - 2) * coupling / distance**3)
    assert volume == pytest.approx((empty - virial) * gain, rel=1e-7 if distance == 1 else 1e-3)


def test_bonding_volume_vanishes_without_a_dipole():
    scale = np.array([0.0, 1e-12, 1e-9, 1e-6, 1e-3])
    volume = theory.bonding_volume(1.7, KT, scale, T)
    assert volume[0] == 0
    assert np.all(volume >= 0)
    assert np.all(volume < 1e-6)


@pytest.mark.parametrize(("concentration_mM", "coupling"), [(3, 11.7), (10, 11.0)])
def test_a_micrometre_needs_a_coupling_of_eleven_to_twelve(concentration_mM, coupling):
    scale = coupling * KT * CONTACT**3
    sigma = theory.wca_sigma(CONTACT, KT, scale)
    volume = theory.bonding_volume(sigma, KT, scale, T)
    mean = theory.association_mean_length(concentration_mM * MILLIMOLAR, volume)
    assert mean * CONTACT == pytest.approx(1000, rel=0.05)


def test_mean_length_follows_from_mass_action():
    volume, monomers = 40.0, 0.015  # K ρ_1 = 0.6
    n = np.arange(1, 200)
    chains = (volume * monomers) ** (n - 1) * monomers
    mean = theory.association_mean_length(np.sum(n * chains), volume)
    assert mean == pytest.approx(np.sum(n * chains) / np.sum(chains), rel=1e-12)
    assert mean == pytest.approx(1 / (1 - 0.6), rel=1e-12)
    fractions = theory.chain_length_distribution(mean, n)
    np.testing.assert_allclose(fractions, chains / np.sum(chains), rtol=1e-10)


def test_mean_length_at_infinite_dilution_is_one():
    assert theory.association_mean_length(0.0, 1e6) == 1
    assert theory.association_mean_length(1e-12, 10.0) == pytest.approx(1 + 1e-11, rel=1e-14)


@pytest.mark.parametrize("mean", [1.0, 1.01, 2.5, 30.0])
def test_chain_length_distribution_is_normalised_with_its_mean(mean):
    n = np.arange(1, 2000)
    fractions = theory.chain_length_distribution(mean, n)
    assert np.sum(fractions) == pytest.approx(1, rel=1e-12)
    assert np.sum(n * fractions) == pytest.approx(mean, rel=1e-12)
    assert fractions[0] == pytest.approx(1 / mean, rel=1e-14)


# --- Friction -------------------------------------------------------------------------------------


def test_stokes_friction_in_si_units():
    translation, rotation = theory.stokes_friction(0.9, 0.413)
    assert translation == pytest.approx(6 * math.pi * 0.413e-3 * 0.9e-9 / DA * 1e-12, rel=1e-8)
    assert rotation == pytest.approx(
        8 * math.pi * 0.413e-3 * 0.9e-9**3 / DA * 1e18 * 1e-12, rel=1e-8
    )


# --- Refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "culprit"),
    [
        ("dipole_energy_scale", (-1.0,), "dipole_a_e_nm"),
        ("dipole_energy_scale", (1.0, -1.0), "dipole_b_e_nm"),
        ("dipole_energy_scale", (1.0, 1.0, 0.0), "relative_permittivity"),
        ("dipole_energy_scale", ("strong",), "dipole_a_e_nm"),
        ("dipole_pair", (0 * X, X, X), "separation_nm"),
        ("dipole_pair", (X, X[:2], X), "dipole_a_e_nm"),
        ("dipole_pair", (X, X, 1.0), "dipole_b_e_nm"),
        ("dipole_pair", (X, X, X, -1.0), "relative_permittivity"),
        ("head_to_tail_energy", (1.0, 0.0), "distance_nm"),
        ("head_to_tail_energy", (1.0, [1.0, math.nan]), "distance_nm"),
        ("two_charge_head_to_tail_energy", (1.0, 2.0, 0.5), "distance_nm"),
        ("two_charge_head_to_tail_energy", (1.0, 2.0, -1.0), "distance_nm"),
        ("charge_separation", (1.0, 0.0), "charge_e"),
        ("charge_separation", (-1.0, 1.0), "dipole_e_nm"),
        ("dipolar_coupling", (1.0, -1.0, T), "distance_nm"),
        ("dipolar_coupling", (1.0, 1.0, 0.0), "temperature_K"),
        ("dipolar_coupling", (-1.0, 1.0, T), "energy_scale"),
        ("wca_energy", (0.0, 1.0, 1.0), "distance_nm"),
        ("wca_sigma", (1.0, 0.0, 1.0), "epsilon_kJ_mol"),
        ("wca_sigma", (1.0, 1.0, -1.0), "energy_scale"),
        ("pair_minimum", (0.0, 1.0, 1.0), "sigma_nm"),
        ("pair_minimum", (1.0, 1.0, -1.0), "energy_scale"),
        ("log_orientational_average", (-0.1,), "coupling"),
        ("second_virial_hard_sphere", (251.0,), "coupling"),
        ("second_virial", (1.0, KT, 300 * KT, T), "pair minimum"),
        ("second_virial", (1.0, KT, KT, -T), "temperature_K"),
        ("bonding_volume", (0.0, KT, KT, T), "sigma_nm"),
        ("association_mean_length", (-1.0, 1.0), "number_density_per_nm3"),
        ("association_mean_length", (1.0, -1.0), "bonding_volume_nm3"),
        ("chain_length_distribution", (0.9, 1), "mean_length"),
        ("chain_length_distribution", (2.0, 0.5), "lengths"),
        ("chain_length_distribution", (2.0, 1.5), "lengths"),
        ("stokes_friction", (0.0, 1.0), "radius_nm"),
        ("stokes_friction", (1.0, 0.0), "viscosity_mPa_s"),
    ],
)
def test_nonsense_is_refused_by_name(name, arguments, culprit):
    with pytest.raises(InputError, match=culprit):
        getattr(theory, name)(*arguments)


def test_no_result_overflows_at_the_limits():
    depth = 499 * KT
    # Scan to the deepest pair that is accepted.
    for scale in np.geomspace(1, 400, 60) * KT:
        if -theory.pair_minimum(1.0, KT, scale)[1] < depth:
            assert math.isfinite(theory.bonding_volume(1.0, KT, scale, T))
    assert math.isfinite(theory.second_virial_hard_sphere(250.0))


# --- Mutual polarisation --------------------------------------------------------------------------


def test_polarisation_gain_is_the_self_consistent_field_of_a_long_chain():
    """α = 0.125 nm³ at 1.822 nm adds 11 %; the field summed dipole by dipole says the same."""
    assert theory.polarisation_gain(0.125, 1.822) == pytest.approx(1.11, abs=0.005)
    assert theory.polarisation_gain(0.0, 1.0) == 1.0
    alpha, distance = 0.125, 1.822
    moment = 1.0
    k = np.arange(1, 4001)
    for _ in range(60):
        moment = 1.0 + alpha * np.sum(2 * 2 * moment / (k * distance) ** 3)
    assert theory.polarisation_gain(alpha, distance) == pytest.approx(moment, rel=1e-6)


@pytest.mark.parametrize(("alpha", "distance"), [(1.3, 1.822), (-0.1, 1.0), (0.1, 0.0)])
def test_polarisation_beyond_its_range_is_refused(alpha, distance):
    with pytest.raises(InputError, match="theory"):
        theory.polarisation_gain(alpha, distance)


# --- Induced dipoles ------------------------------------------------------------------------------


def solved(places, dipoles, alphas):
    """Energies of point dipoles with point polarisabilities, by the oracle's loops."""
    permanent = [(i, x, 0.0, mu) for i, (x, mu) in enumerate(zip(places, dipoles, strict=True))]
    polarisable = [(i, x, a, 0.0) for i, (x, a) in enumerate(zip(places, alphas, strict=True))]
    return sum(induced_dipoles.solve(permanent, polarisable)[:2])


@properties
@given(separations, vectors, vectors, st.floats(1e-3, 0.04), st.floats(1e-3, 0.04))
def test_polarised_pairs_are_the_solution_of_their_linear_system(r, a, b, alpha, beta):
    energy = theory.polarised_dipole_pair_energy(r, a, b, alpha, beta)
    expected = solved([np.zeros(3), r], [a, b], [alpha, beta])
    assert energy == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_polarised_pairs_head_to_tail():
    scale = theory.dipole_energy_scale(R_AU_CU)
    r, mu = CONTACT * Z, R_AU_CU * Z
    for alpha in (0.0, 0.2, 0.33):
        expected = -2 * scale / CONTACT**3 / (1 - 2 * alpha / CONTACT**3)
        found = theory.polarised_dipole_pair_energy(r, mu, mu, alpha, alpha)
        assert found == pytest.approx(expected, rel=1e-13)
    stacked = theory.polarised_dipole_pair_energy(
        np.array([r, r]), mu, mu, [0.1, 0.2], [[0.0], [0.3]]
    )
    assert stacked.shape == (2, 2)


def test_polarised_chains():
    for n in (1, 2, 10, 20):
        assert theory.polarised_chain_energy(n, 0.0) == pytest.approx(theory.chain_energy(n))
    x = 0.33 / CONTACT**3
    assert theory.polarised_chain_energy(2, x) == pytest.approx(-2 / (1 - 2 * x), rel=1e-13)
    chain = [k * Z for k in range(7)]
    expected = solved(chain, [Z] * 7, [x] * 7) / KE
    assert theory.polarised_chain_energy(7, x) == pytest.approx(expected, rel=1e-9)
    bond = theory.polarised_chain_energy(401, x) - theory.polarised_chain_energy(400, x)
    gain = theory.polarisation_gain(0.33, CONTACT)
    assert bond == pytest.approx(-2 * zeta(3.0) * gain, rel=1e-4)


@pytest.mark.parametrize("n", [2, 3, 4, 10])
def test_polarised_rings(n):
    x, angle = 0.06, 2 * np.pi * np.arange(n) / n
    radius = 0.5 / np.sin(np.pi / n)
    places = radius * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    tangents = np.stack([-np.sin(angle), np.cos(angle), 0 * angle], axis=1)
    expected = solved(places, tangents, [x] * n) / KE
    assert theory.polarised_ring_energy(n, x) == pytest.approx(expected, rel=1e-9)
    assert theory.polarised_ring_energy(n, 0.0) == theory.ring_energy(n)
    assert theory.polarised_ring_energy(n, [0.0, x]).shape == (2,)


def test_polarised_lattices_and_clausius_mossotti_belong_together():
    """The energy of aligned moments μ + p in the Lorentz field, and ε that follows from p alone."""
    density, alpha = 0.1, 0.3
    share = 4 * math.pi / 3 * density * alpha
    energy = theory.polarised_lattice_energy(50.0, density, alpha)
    assert energy == pytest.approx(-2 * math.pi / 3 * density * 50 / (1 - share))
    permittivity = theory.clausius_mossotti_permittivity(alpha, density)
    assert (permittivity - 1) / (permittivity + 2) == pytest.approx(share)
    assert theory.clausius_mossotti_permittivity(0.0, density) == 1.0


def test_catastrophes_are_named():
    alpha = theory.critical_polarisability(CONTACT)
    assert theory.polarisation_gain(0.999 * alpha, CONTACT) > 500
    x = 1.0 / (2 * zeta(3.0))  # above every finite chain's bound
    for call in (
        lambda: theory.polarisation_gain(1.001 * alpha, CONTACT),
        lambda: theory.polarised_chain_energy(5, x),
        lambda: theory.polarised_ring_energy(4, 1.0),
        lambda: theory.polarised_dipole_pair_energy(Z, Z, Z, 0.5, 0.5),
        lambda: theory.polarised_lattice_energy(1.0, 1.0, 0.3),
        lambda: theory.clausius_mossotti_permittivity(0.3, 1.0),
    ):
        with pytest.raises(InputError, match="must be less than 1"):
            call()


def test_tholes_factors_belong_to_one_smeared_charge():
    """λ₅ and λ₇ follow from λ₃ by differentiation, and all become 1 far away."""
    h, r = 1e-5, 0.9

    def factors(distance):
        return theory.thole_damping(distance, 0.13, 0.17)

    _, l5, l7 = factors(r)
    slope3 = (factors(r + h)[0] / (r + h) ** 3 - factors(r - h)[0] / (r - h) ** 3) / (2 * h)
    assert slope3 == pytest.approx(-3 * l5 / r**4, rel=1e-6)
    slope5 = (factors(r + h)[1] / (r + h) ** 5 - factors(r - h)[1] / (r - h) ** 5) / (2 * h)
    assert slope5 == pytest.approx(-5 * l7 / r**6, rel=1e-6)
    assert factors(5.0) == pytest.approx((1, 1, 1))
    step = np.array([0.3, -0.5, 0.7])
    found = induced_dipoles.thole(step, 0.13, 0.17, 0.39)
    assert found == pytest.approx(theory.thole_damping(np.linalg.norm(step), 0.13, 0.17)[:2])


def brute_second_virial(sigma, epsilon, dipole, alpha):
    """B₂ by the Gaussian integral over both induced dipoles, orientation by orientation."""
    nodes, weights = np.polynomial.legendre.leggauss(16)
    phi = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    c1, c2, f = np.meshgrid(nodes, nodes, phi, indexing="ij")
    weight = (weights[:, None, None] * weights[:, None] * np.ones(16) / 64).ravel()
    a = np.stack([np.sqrt(1 - c1**2), 0 * c1, c1], axis=-1).reshape(-1, 3)
    b = np.stack([np.sqrt(1 - c2**2) * np.cos(f), np.sqrt(1 - c2**2) * np.sin(f), c2], axis=-1)
    b = b.reshape(-1, 3)

    def mean_factor(r):
        tensor = KE / r**3 * np.diag([1.0, 1.0, -2.0])
        quadratic = np.block([[KE / alpha * np.eye(3), tensor], [tensor, KE / alpha * np.eye(3)]])
        free = np.linalg.det(quadratic * alpha / KE) ** -0.5
        drive = -dipole * np.concatenate([b @ tensor, a @ tensor], axis=1)
        energy = dipole**2 * np.einsum("ni,ij,nj->n", a, tensor, b)
        energy -= 0.5 * np.einsum("ni,ij,nj->n", drive, np.linalg.inv(quadratic), drive)
        return free * (weight @ np.exp(-energy / KT))

    def integrand(r):
        wall = float(theory.wca_energy(r, sigma, epsilon))
        return r**2 * (1 - math.exp(-wall / KT) * mean_factor(r))

    cut = 2 ** (1 / 6) * sigma
    inside = quad(integrand, 0.6 * sigma, cut, epsabs=1e-10)[0] + (0.6 * sigma) ** 3 / 3
    outside = quad(integrand, cut, 40 * sigma, epsabs=1e-10, limit=200)[0]
    return 2 * math.pi * (inside + outside)


def test_polarised_second_virial_is_the_gaussian_integral():
    sigma, dipole, alpha = 1.8, 0.45, 0.3
    scale = theory.dipole_energy_scale(dipole)
    found = theory.polarised_second_virial(sigma, KT, scale, T, alpha)
    # The tail beyond 40 σ falls as r⁻³ of the integral.
    assert found == pytest.approx(brute_second_virial(sigma, KT, dipole, alpha), rel=1e-4)
    bare = theory.second_virial(sigma, KT, scale, T)
    assert found < bare
    assert theory.polarised_second_virial(sigma, KT, scale, T, 0.0) == pytest.approx(bare, rel=1e-9)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.33])
def test_polarised_pair_minimum_is_one(alpha):
    sigma, scale = 1.89, theory.dipole_energy_scale(R_AU_CU)

    def energy(r):
        return float(theory.wca_energy(r, sigma, KT)) - 2 * scale / (r**3 - 2 * alpha)

    r, depth = theory.polarised_pair_minimum(sigma, KT, scale, alpha)
    assert depth == pytest.approx(energy(r), rel=1e-12)
    assert min(energy(r - 1e-3), energy(r + 1e-3)) > depth
    assert r <= theory.pair_minimum(sigma, KT, scale)[0]
    assert theory.polarised_pair_minimum(sigma, KT, 0.0, alpha)[1] == 0.0


def test_polarised_bonds_are_stronger():
    sigma, scale = 1.89, theory.dipole_energy_scale(R_AU_CU)
    bonds = [theory.polarised_bonding_volume(sigma, KT, scale, T, a) for a in (0.0, 0.2, 0.33)]
    assert bonds[0] == pytest.approx(theory.bonding_volume(sigma, KT, scale, T), rel=1e-9)
    assert bonds[0] < bonds[1] < bonds[2]
    stiffer = theory.polarised_bonding_volume(sigma, KT, scale, T, 0.2, chain_gain=1.4)
    assert stiffer > bonds[1]
    with pytest.raises(InputError, match="no pair minimum"):
        theory.polarised_pair_minimum(sigma, KT, scale, 3.0)
    with pytest.raises(InputError, match="no deeper than 500 kT"):
        theory.polarised_second_virial(sigma, KT, 30 * scale, T, 0.3)
