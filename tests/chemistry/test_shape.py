"""Shape seen from the dipole: exact bodies, built clusters, invariance to frame and mirror."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.cluster_models import au3cd, au8cu4
from scipy.spatial.transform import Rotation

import dipolar_md as dm
from dipolar_md.chemistry.shape import (
    chirality,
    contacts,
    dipole_frame,
    first_touch,
    hemispheres,
    hydrodynamic_radius,
    principal_direction,
    rotational_symmetry,
)
from dipolar_md.errors import InputError

pytest.importorskip("ase", reason="ASE is not installed")

Z = np.array([0.0, 0.0, 1.0])
CARBON, CHLORINE, HYDROGEN = 0.177, 0.182, 0.120  # van der Waals radii, Alvarez 2013, nm


def rigid(symbols, places):
    return dm.point_charge_molecule(symbols, places, np.zeros(len(symbols)))


def axis_of(molecule):
    return dm.compute_dipole(molecule, "charges").vector_e_nm


# --- Exact bodies ---------------------------------------------------------------------------------


def test_two_atoms_touch_at_the_sum_of_their_radii():
    atom = rigid(["C"], [[1.0, 2.0, 3.0]])
    found = contacts(atom, [1.0, 1.0, 0.0])
    assert found.axial_nm == found.lateral_nm == pytest.approx(2 * CARBON)
    assert found.axial_range_nm == pytest.approx((2 * CARBON, 2 * CARBON))
    radius = hydrodynamic_radius(atom, Z)
    assert radius.value_nm == pytest.approx(CARBON, rel=1e-6)
    assert radius.volume_nm == pytest.approx(CARBON, rel=1e-6)
    assert radius.width_nm == pytest.approx(CARBON, rel=1e-6)


def test_dumbbells_touch_as_drawn():
    """Two C 0.5 nm apart: head to tail 0.5 + 2R, antiparallel side by side 2R."""
    rod = rigid(["C", "C"], [[0, 0, 0.25], [0, 0, -0.25]])
    found = contacts(rod, Z)
    assert found.axial_nm == pytest.approx(0.5 + 2 * CARBON)
    assert found.lateral_nm == pytest.approx(2 * CARBON)


def test_side_by_side_is_antiparallel():
    """C and O on the axis: the C of one meets the O of the other, not its like."""
    pair = rigid(["C", "O"], [[0, 0, 0.3], [0, 0, 0]])
    carbon, oxygen = np.abs(pair.positions_nm[:, 2] - pair.centre_of_mass_nm[2])
    touch = np.sqrt((CARBON + 0.150) ** 2 - (carbon - oxygen) ** 2)
    assert contacts(pair, Z).lateral_nm == pytest.approx(touch)
    assert touch < 2 * CARBON - 0.02  # what parallel dipoles would give


def test_an_atom_off_the_axis_touches_obliquely():
    """C on the axis, Cl 0.3 nm beside it at equal height; weights shift the centre only."""
    pair = rigid(["C", "Cl"], [[0, 0, 0], [0.3, 0, 0]])
    found = contacts(pair, Z)
    # Head to tail at turn 0: like touches like; the larger sphere decides. At half a turn both
    # atoms of one meet other places. The extremes are the first and an oblique one.
    assert found.axial_range_nm[1] == pytest.approx(2 * CHLORINE)
    turned = 2 * (0.3 - pair.centre_of_mass_nm[0])  # Cl to Cl across the axis, half a turn
    oblique = max(
        np.sqrt((2 * CHLORINE) ** 2 - turned**2),
        np.sqrt((CHLORINE + CARBON) ** 2 - (0.3 - turned) ** 2),
    )
    assert found.axial_range_nm[0] == pytest.approx(oblique)


def test_first_touch_is_exact_for_any_clouds():
    """At the distance found exactly one pair of spheres touches, and none overlaps."""
    random = np.random.default_rng(3)
    for _ in range(20):
        one, other = random.normal(size=(2, 7, 3))
        radii = random.uniform(0.3, 0.8, 7)
        reach = radii[:, None] + radii
        for along in (0, 2):
            shift = np.eye(3)[along] * first_touch(one, other, reach, along)
            gap = np.linalg.norm(one[:, None] - (other + shift), axis=-1) - reach
            assert gap.min() == pytest.approx(0, abs=1e-9)


def test_the_radius_lies_between_its_bounds():
    rod = rigid(["C"] * 5, np.outer(0.15 * np.arange(5), Z))
    radius = hydrodynamic_radius(rod, Z)
    length = 0.6  # of the axis of a spherocylinder
    volume = np.pi * CARBON**2 * length + 4 / 3 * np.pi * CARBON**3
    assert radius.volume_nm == pytest.approx((3 * volume / (4 * np.pi)) ** (1 / 3), rel=2e-3)
    assert radius.width_nm == pytest.approx(CARBON + length / 4, rel=2e-3)  # half mean width
    assert radius.volume_nm < radius.value_nm < radius.width_nm


def test_the_dipole_in_the_principal_frame():
    plate = rigid(["C"] * 4, [[0.3, 0, 0], [-0.3, 0, 0], [0, 0.1, 0], [0, -0.1, 0]])
    cosines, angle = principal_direction(plate, [1.0, 0, 0])
    assert cosines == pytest.approx([1, 0, 0])
    assert angle == pytest.approx(0, abs=1e-6)
    cosines, angle = principal_direction(plate, [0, 1.0, 1.0])
    assert cosines == pytest.approx([0, 0.5**0.5, 0.5**0.5])
    assert angle == pytest.approx(45)


def test_no_direction_is_no_frame():
    with pytest.raises(InputError, match="no dipole axis"):
        dipole_frame(rigid(["C"], [[0, 0, 0]]), [0, 0, 0])


def test_elements_without_a_radius_are_told():
    with pytest.raises(InputError, match="no van der Waals radius is known for"):
        contacts(rigid(["Po", "C"], [[0, 0, 0], [0, 0, 0.3]]), Z)


# --- Symmetry -------------------------------------------------------------------------------------


def crown(n, twist=0.0):
    """An n-fold crown of C with an n-fold ring of N above, turned by `twist` degrees."""
    turns = 2 * np.pi * np.arange(n) / n
    ring = np.column_stack([np.cos(turns), np.sin(turns), 0 * turns]) * 0.3
    t = np.radians(twist)
    upper = np.column_stack([np.cos(turns + t), np.sin(turns + t), 0 * turns + 1]) * 0.25
    return rigid(["C"] * n + ["N"] * n, np.vstack([ring, upper]))


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_rotational_symmetry_of_crowns(n):
    assert rotational_symmetry(crown(n), Z) == n
    assert rotational_symmetry(crown(n, 17.0), Z) == n


@pytest.mark.parametrize("n", [2, 3, 4])
def test_a_crown_is_chiral_exactly_between_its_mirrors(n):
    for twist in (0.0, 180.0 / n, 360.0 / n):
        assert chirality(crown(n, twist), Z) == 0
    right, left = chirality(crown(n, 40.0 / n), Z), chirality(crown(n, -40.0 / n), Z)
    assert {right, left} == {1, -1}
    assert chirality(crown(n, 80.0 / n), Z) == right


def test_linear_molecules_have_no_order_and_no_hand():
    line = rigid(["H", "C", "N"], [[0, 0, 0.1], [0, 0, 0], [0, 0, -0.12]])
    assert rotational_symmetry(line, Z) is None
    assert chirality(line, Z) == 0


def test_four_different_substituents_are_a_hand():
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 0.1
    symbols = ["C", "H", "F", "Cl", "Br"]
    places = np.vstack([np.zeros(3), corners])
    one = dm.point_charge_molecule(symbols, places, [0.1, 0.1, -0.2, -0.1, 0.1])
    other = dm.point_charge_molecule(symbols, places * [1, 1, -1], [0.1, 0.1, -0.2, -0.1, 0.1])
    assert chirality(one, axis_of(one)) == -chirality(other, axis_of(other)) != 0
    plain = dm.point_charge_molecule(["C", "H", "H", "Cl", "Br"], places, [0, 0.1, 0.1, -0.1, -0.1])
    assert chirality(plain, axis_of(plain)) == 0


# --- The built clusters ---------------------------------------------------------------------------


def test_the_built_au8cu4_is_two_hemispheres_with_a_threefold_axis():
    model = au8cu4()
    axis = axis_of(model)
    halves = hemispheres(model, model.charges_e["given"])
    assert halves.formulas == ("Au8H18P6", "C12Cu4N6S6")
    assert halves.charges_e == pytest.approx((2.0, -2.0))
    gold, copper = model.numbers == 79, model.numbers == 29
    centroids = [model.positions_nm[metal].mean(axis=0) for metal in (gold, copper)]
    assert halves.metal_separation_nm == pytest.approx(np.linalg.norm(np.subtract(*centroids)))
    assert np.array_equal(halves.gold[gold | copper], gold[gold | copper])
    assert rotational_symmetry(model, axis) == 3
    assert chirality(model, axis) == -chirality(au8cu4(-30.0), axis_of(au8cu4(-30.0))) != 0
    assert chirality(au8cu4(0.0), axis_of(au8cu4(0.0))) == 0
    assert axis @ Z > 0.999 * np.linalg.norm(axis)  # towards gold


def test_the_built_au3cd_has_a_cadmium_half_without_symmetry():
    model = au3cd()
    halves = hemispheres(model, model.charges_e["given"])
    assert halves.formulas == ("Au3H9P3", "C4CdClN2S2")
    assert halves.charges_e == pytest.approx((1.0, -1.0))
    assert rotational_symmetry(model, axis_of(model)) == 1


def test_one_metal_has_no_hemispheres():
    assert hemispheres(rigid(["Au", "S"], [[0, 0, 0], [0, 0, 0.24]])) is None
    assert hemispheres(rigid(["C", "O"], [[0, 0, 0], [0, 0, 0.12]])) is None


turns = st.tuples(*[st.floats(-3.14, 3.14)] * 3).map(lambda v: Rotation.from_rotvec(v).as_matrix())
shifts = st.tuples(*[st.floats(-5, 5)] * 3).map(np.array)


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([au8cu4, au3cd]),
    turns,
    shifts,
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_nothing_depends_on_frame_order_or_mirror_but_the_hand(make, turn, shift, mirror, shuffle):
    one = make()
    flip = np.diag([1.0, -1.0 if mirror else 1.0, 1.0])
    order = list(range(len(one)))
    shuffle.shuffle(order)
    moved = (one.positions_nm @ flip @ turn.T + shift)[order]
    charges = one.charges_e["given"]
    other = replace(
        one, numbers=one.numbers[order], positions_nm=moved, charges_e={"given": charges[order]}
    )
    a, b = axis_of(one), axis_of(other)
    first, second = contacts(one, a), contacts(other, b)
    assert second.axial_nm == pytest.approx(first.axial_nm, rel=1e-7)
    assert second.lateral_nm == pytest.approx(first.lateral_nm, rel=1e-7)
    radius = hydrodynamic_radius(one, a).value_nm
    assert hydrodynamic_radius(other, b).value_nm == pytest.approx(radius, rel=2e-3)
    assert rotational_symmetry(other, b) == rotational_symmetry(one, a)
    assert chirality(other, b) == (-1 if mirror else 1) * chirality(one, a)
    halves = [hemispheres(m, m.charges_e["given"]) for m in (one, other)]
    assert halves[1].formulas == halves[0].formulas
    assert halves[1].separation_nm == pytest.approx(halves[0].separation_nm)
    angles = [principal_direction(m, axis)[1] for m, axis in ((one, a), (other, b))]
    assert angles[1] == pytest.approx(angles[0], abs=1e-4)
