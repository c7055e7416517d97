"""Bodies: contacts, mirror images, mass and inertia, and what is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest
from oracles.direct_sums import COULOMB, well

import dipolar_md as dm
from dipolar_md.units import DEBYE, thermal_energy

KT = thermal_energy(298.15)
SHIPPED = [("r-au-cu", None), ("s-au-cu", None), ("r-1", None), ("s-1", None), ("au3cd", "R"),
           ("au3cd", "S")]  # fmt: skip


def janus(name="r-au-cu", handedness=None, **options):
    return dm.coarse_grain(dm.load_cluster(name), shape="janus", handedness=handedness, **options)


def places(body):
    return np.array([site.position_nm for site in body.sites])


def about_z(angle):
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def mean_pull(body, distance, side_by_side, dipole_e_nm, turns=(17, 20)):
    """Force along the line of centres, averaged over both azimuths; positive pushes apart.

    No symmetry is used; 17 and 20 share no factor with the three beads of a ring, so that they are
    17 and 20 different angles between beads, where the solution takes 16.
    """
    flip = np.diag([1.0, -1.0, -1.0]) if side_by_side else np.eye(3)
    axis = np.array([1.0, 0, 0]) if side_by_side else np.array([0, 0, 1.0])
    sites, total = places(body), 0.0
    sigma = np.array([s.sigma_nm for s in body.sites])
    epsilon = np.array([s.epsilon_kJ_mol for s in body.sites])
    attractive = np.array([s.attractive for s in body.sites])
    acts = np.logical_and.outer(sigma > 0, sigma > 0)
    mixed = np.where(acts, (sigma[:, None] + sigma) / 2, 1.0)
    strength = np.where(acts, np.sqrt(np.outer(epsilon, epsilon)), 0.0)
    cut = np.where(np.logical_and.outer(attractive, attractive), 3.0, 2 ** (1 / 6)) * mixed
    if not side_by_side:
        turns = (1, 100)  # only the angle between the two matters
    angles = 2 * np.pi * np.arange(turns[1]) / turns[1]
    others = np.array([sites @ about_z(b).T @ flip.T for b in angles])
    for a in 2 * np.pi * np.arange(turns[0]) / turns[0] + 0.01:
        d = others[:, None] - (sites @ about_z(a).T)[:, None] + distance * axis
        r = np.linalg.norm(d, axis=-1)
        force = 4 * strength * (12 * mixed**12 / r**13 - 6 * mixed**6 / r**7)
        total += (np.where(r < cut, force, 0.0) * (d @ axis) / r).sum()
    factor = 3 if side_by_side else 6
    return total / math.prod(turns) - factor * COULOMB * dipole_e_nm**2 / distance**4


@pytest.mark.parametrize("side_by_side", [False, True], ids=["axial", "lateral"])
@pytest.mark.parametrize(("name", "hand"), SHIPPED)
def test_contacts_lie_where_the_file_says(name, hand, side_by_side):
    """The averaged force pushes 1 % inside the contact and pulls 1 % outside of it."""
    cluster = dm.load_cluster(name)
    body = janus(name, hand)
    quantity = cluster.lateral_contact_nm if side_by_side else cluster.axial_contact_nm
    inside, outside = (
        mean_pull(body, f * quantity.value, side_by_side, cluster.dipole_e_nm) for f in (0.99, 1.01)
    )
    assert inside > 0 > outside


def test_contacts_hold_with_an_attractive_core_and_another_contact():
    cluster = dm.load_cluster("r-au-cu")
    for body, axial in (
        (janus(attraction_kT=1.5), 1.822),
        (janus(axial_contact_nm=1.9), 1.9),
    ):
        for side, contact in ((False, axial), (True, cluster.lateral_contact_nm.value)):
            inside, outside = (
                mean_pull(body, f * contact, side, cluster.dipole_e_nm) for f in (0.99, 1.01)
            )
            assert inside > 0 > outside


@pytest.mark.parametrize(("one", "other"), [(("r-au-cu", None), ("s-au-cu", None)),
                                            (("r-1", None), ("s-1", None)),
                                            (("au3cd", "R"), ("au3cd", "S"))])  # fmt: skip
@pytest.mark.parametrize("dipole", ["point", "charges"])
def test_enantiomers_are_exact_mirror_images(one, other, dipole):
    """y to -y, bit for bit, and nothing else differs."""
    a, b = janus(*one, dipole=dipole), janus(*other, dipole=dipole)
    np.testing.assert_array_equal(places(a) * [1, -1, 1], places(b))
    at_origin = {"position_nm": (0.0, 0.0, 0.0)}
    assert [replace(s, **at_origin) for s in a.sites] == [replace(s, **at_origin) for s in b.sites]
    for name in ("mass_Da", "inertia_Da_nm2", "dipole_e_nm", "axial_contact_nm"):
        assert getattr(a, name) == getattr(b, name)
    assert (a.handedness, b.handedness) == ("R", "S")


def is_chiral(body):
    """Whether no rotation about z lays the mirror image onto the body (the dipole fixes z)."""
    sites = places(body)
    image = sites * [1, -1, 1]
    turns = np.array([about_z(angle) for angle in np.radians(np.arange(360))])
    turned = image @ np.swapaxes(turns, 1, 2)
    apart = np.linalg.norm(turned[:, :, None] - sites, axis=-1)
    return bool(apart.min(axis=2).max(axis=1).min() > 1e-9)


def twisted(cluster, degrees, beads=3):
    shape = cluster.janus
    shape = shape.model_copy(
        update={
            "beads_per_ring": beads,
            "twist_deg": shape.twist_deg.model_copy(update={"value": degrees}),
        }
    )
    return cluster.model_copy(update={"janus": shape})


@pytest.mark.parametrize(
    ("degrees", "beads", "chiral"),
    [(30.0, 3, True), (10.0, 3, True), (59.0, 3, True), (0.0, 3, False), (60.0, 3, False),
     (45.0, 4, False), (30.0, 4, True), (120.0, 3, False)],
)  # fmt: skip
def test_a_body_is_chiral_unless_its_twist_is_a_multiple_of_180_over_n(degrees, beads, chiral):
    cluster = twisted(dm.load_cluster("r-au-cu"), degrees, beads)
    assert is_chiral(dm.coarse_grain(cluster, shape="janus")) is chiral


def test_the_sign_of_the_twist_makes_r_and_s():
    """Looking down +z, the partner ring of R is turned counterclockwise by +30°."""
    for body, sign in ((janus("r-au-cu"), 1), (janus("s-au-cu"), -1)):
        sites = places(body)
        au, partner = sites[sites[:, 2] > 0.3], sites[sites[:, 2] < -0.3]
        assert math.degrees(math.atan2(au[0, 1], au[0, 0])) == pytest.approx(0, abs=1e-12)
        turn = math.degrees(math.atan2(partner[0, 1], partner[0, 0]))
        assert turn == pytest.approx(30.0 * sign)


@pytest.mark.parametrize(("name", "hand"), SHIPPED)
def test_mass_centre_and_inertia_are_those_of_uniform_spheres(name, hand):
    """Site masses by volume; the tensor from the sites: diagonal, centre at the origin."""
    body = janus(name, hand)
    sites = places(body)
    volume = np.array([site.sigma_nm for site in body.sites]) ** 3
    mass = body.mass_Da * volume / volume.sum()
    assert body.mass_Da == pytest.approx(dm.load_cluster(name).mass_Da)
    np.testing.assert_allclose(mass @ sites, 0, atol=1e-9 * body.mass_Da)
    tensor = np.zeros((3, 3))
    for m, x, site in zip(mass, sites, body.sites, strict=True):
        tensor += m * ((x @ x) * np.eye(3) - np.outer(x, x))
        tensor += 0.4 * m * (site.sigma_nm / 2) ** 2 * np.eye(3)
    np.testing.assert_allclose(tensor, np.diag(body.inertia_Da_nm2), atol=1e-9 * tensor[0, 0])
    assert body.dipole_e_nm[:2] == (0.0, 0.0)


def test_unequal_rings_shift_the_sites_to_the_centre_of_mass():
    cluster = dm.load_cluster("r-au-cu")
    high = cluster.janus.au_ring_height_nm.model_copy(update={"value": 0.6})
    shape = cluster.janus.model_copy(update={"au_ring_height_nm": high})
    cluster = cluster.model_copy(update={"janus": shape})
    body = dm.coarse_grain(cluster, shape="janus")
    volume = np.array([site.sigma_nm for site in body.sites]) ** 3
    np.testing.assert_allclose(volume @ places(body), 0, atol=1e-9)
    assert body.sites[0].position_nm == (0.0, 0.0, 0.0)
    assert body.sites[0].sigma_nm == 0  # the core has moved off the centre
    assert len(body.sites) == 8
    charged = dm.coarse_grain(cluster, shape="janus", dipole="charges")
    assert sum(site.charge_e != 0 for site in charged.sites) == 2


@pytest.mark.parametrize("shape", ["sphere", "janus"])
def test_charges_make_up_the_dipole(shape):
    cluster = dm.load_cluster("r-au-cu")
    body = dm.coarse_grain(cluster, shape=shape, dipole="charges")
    charges = np.array([site.charge_e for site in body.sites])
    assert sorted(charges[charges != 0]) == [-2.0, 2.0]
    np.testing.assert_allclose(charges @ places(body), [0, 0, 43.42 * DEBYE], atol=1e-12)
    tips = places(body)[charges != 0]
    assert np.linalg.norm(tips[0] - tips[1]) == pytest.approx(0.452, abs=5e-4)
    assert body.point_dipole_e_nm == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("shape", ["sphere", "janus"])
def test_diameters_are_solved_once_at_the_clusters_own_dipole(shape):
    """Another dipole moves the charges and nothing else."""
    cluster = dm.load_cluster("r-au-cu")
    own, weak = (dm.coarse_grain(cluster, shape=shape, dipole_D=d) for d in (None, 20.0))
    assert own.sites == weak.sites
    assert own.inertia_Da_nm2 == weak.inertia_Da_nm2
    assert weak.dipole_e_nm[2] == pytest.approx(20.0 * DEBYE)
    charged = dm.coarse_grain(cluster, shape=shape, dipole="charges", dipole_D=20.0)
    assert charged.sites[:-2] == own.sites
    moved = dm.coarse_grain(cluster, shape=shape, axial_contact_nm=1.9)
    assert moved.sites[0].sigma_nm != own.sites[0].sigma_nm


@pytest.mark.parametrize("depth", [0.5, 2.0, 5.0])
def test_an_attractive_sphere_keeps_its_contact(depth):
    """Lennard-Jones of that depth plus the dipole, head to tail: its minimum is the contact."""
    cluster = dm.load_cluster("r-au-cu")
    body = dm.coarse_grain(cluster, attraction_kT=depth)
    [site] = body.sites
    assert site.epsilon_kJ_mol == pytest.approx(depth * KT)
    scale = COULOMB * cluster.dipole_e_nm**2

    def energy(r):
        return well(r, site.sigma_nm, site.epsilon_kJ_mol, True)[0] - 2 * scale / r**3

    r = np.linspace(1.5, 3.0, 15001)
    lowest = r[np.argmin([energy(x) for x in r])]
    assert lowest == pytest.approx(1.822, abs=2e-4)
    pair = dm.Interactions.steric_table((body,))
    assert pair.cutoff_nm[0, 0] == pytest.approx(3 * site.sigma_nm)


def test_only_the_cores_of_a_janus_body_attract():
    body = janus(attraction_kT=2.0)
    assert [site.attractive for site in body.sites] == [True] + [False] * 6
    assert body.sites[1].epsilon_kJ_mol == pytest.approx(KT)


# --- Refusals -------------------------------------------------------------------------------------


def test_impossible_contacts_are_refused_with_the_range_that_is_possible():
    cluster = dm.load_cluster("r-au-cu")
    far = cluster.lateral_contact_nm.model_copy(update={"value": 3.5})
    with pytest.raises(dm.InputError, match=r"lateral contact lies between [\d.]+ and [\d.]+ nm"):
        dm.coarse_grain(cluster.model_copy(update={"lateral_contact_nm": far}), shape="janus")


def test_a_racemic_janus_body_needs_a_handedness():
    with pytest.raises(dm.InputError, match="give handedness"):
        janus("au3cd")
    with pytest.raises(dm.InputError, match="'r-au-cu' is R"):
        janus("r-au-cu", "S")
    with pytest.raises(dm.InputError, match="only a racemic"):
        janus("au3cd", "left")


def test_charges_farther_apart_than_contact_are_refused():
    cluster = dm.load_cluster("r-au-cu")
    weak = cluster.hemisphere_charge_e.model_copy(update={"value": 0.4})
    with pytest.raises(dm.InputError, match="use dipole='point'"):
        dm.coarse_grain(cluster.model_copy(update={"hemisphere_charge_e": weak}), dipole="charges")


def test_inconsistent_bodies_are_refused():
    body = dm.coarse_grain(dm.load_cluster("r-au-cu"), dipole="charges")
    core, plus, minus = body.sites
    with pytest.raises(dm.InputError, match="first site must lie at the origin"):
        replace(body, sites=(plus, core, minus))
    with pytest.raises(dm.InputError, match="first site must lie at the origin"):
        replace(body, sites=())
    with pytest.raises(dm.InputError, match="sum to"):
        replace(body, sites=(core, replace(plus, charge_e=1.9), minus))
    with pytest.raises(dm.InputError, match="have the dipole"):
        replace(body, dipole_e_nm=(0.0, 0.0, 0.8))
    with pytest.raises(dm.InputError, match="have the dipole"):
        replace(body, dipole_e_nm=(0.1, 0.0, body.dipole_e_nm[2]))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"shape": "cube"}, dm.UnsupportedError, "sphere or janus"),
        ({"dipole": "quadrupole"}, dm.UnsupportedError, "point or charges"),
        ({"attraction_kT": -1.0}, dm.InputError, "attraction_kT"),
        ({"attraction_kT": math.inf}, dm.InputError, "attraction_kT"),
        ({"dipole_D": 0.0}, dm.InputError, "dipole_D"),
        ({"axial_contact_nm": math.nan}, dm.InputError, "axial_contact_nm"),
    ],
)
def test_wrong_options_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        dm.coarse_grain(dm.load_cluster("r-au-cu"), **options)
