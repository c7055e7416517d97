"""Frames through GSD and back, files as others read them, and arrays from anyone."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import gsd.hoomd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import dipolar_md as dm
from dipolar_md.frame_checks import FrameTable, Identity
from dipolar_md.model.system import cell_matrix
from dipolar_md.parameters import parameter_folder
from dipolar_md.trajectory import append_frame, write_frame

R1, S1 = (dm.coarse_grain(dm.load_cluster(name)) for name in ("r-1", "s-1"))
LARGE = dm.coarse_grain(dm.load_cluster("r-au-cu"))
TOP = replace(LARGE, name="top", inertia_Da_nm2=(900.0, 1300.0, 2100.0))  # three unequal moments
ENERGIES = {
    "steric": 1.5,
    "electrostatic": -20.25,
    "induction": -3.25,
    "wall": 0.0,
    "field": 0.5,
    "total": -18.25,
}
OURS = Identity("0123456789abcdef", 64 * "0")
UP = np.tile([1.0, 0.0, 0.0, 0.0], (2, 1))


def random_frame(seed, n=12, box=(20.0, 18.0, 16.0, 0.3, -0.2, 0.25), bodies=(TOP, LARGE), **kept):
    """Random everything, of kinds of unequal inertia."""
    rng = np.random.default_rng(seed)
    system = dm.System.from_arrays(
        box,
        rng.uniform(-30, 30, (n, 3)),
        rng.normal(size=(n, 4)),
        bodies,
        rng.integers(0, len(bodies), n),
        velocities=rng.normal(size=(n, 3)) * 0.02,
        angular_velocities=rng.normal(size=(n, 3)) * 0.05,
    )
    return dm.Frame(system, **kept)


def assert_same(read, written):
    """State agrees to single precision, records and bodies exactly."""
    a, b = read.system, written.system
    np.testing.assert_allclose(a.box, b.box, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(a.positions, b.positions, atol=3e-6 * b.box[:3].max())
    np.testing.assert_allclose(a.orientations, b.orientations, atol=3e-7)
    np.testing.assert_allclose(a.velocities, b.velocities, atol=3e-8)
    np.testing.assert_allclose(a.angular_velocities, b.angular_velocities, atol=2e-7)
    np.testing.assert_array_equal(a.types, b.types)
    assert a.bodies == b.bodies
    assert (a.induced_dipoles is None) == (b.induced_dipoles is None)
    for name in ("step", "time_ns", "stage", "energies"):
        assert getattr(read, name) == getattr(written, name)
    for name in ("temperature_K", "relative_permittivity"):
        assert getattr(read, name) == pytest.approx(getattr(written, name), nan_ok=True, rel=0)


# --- Round trips ----------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 30),
    st.tuples(*[st.floats(5, 60)] * 3, *[st.floats(-0.6, 0.6)] * 3),
    st.text(r"ab ö\n", max_size=8).map(str.strip),
)
def test_frame_round_trip(seed, n, box, words):
    known = {"step": seed, "time_ns": 1.5 * n, "stage": words, "energies": ENERGIES}
    bodies = (TOP, replace(LARGE, name=words + "µ"))
    known |= {"temperature_K": 298.15, "relative_permittivity": 8.93}
    frame = random_frame(seed, n, box, bodies, **known)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.gsd"
        write_frame(path, frame)
        assert_same(dm.Trajectory(path)[0], frame)
        assert [p.name for p in path.parent.iterdir()] == ["one.gsd"]


def test_trajectory_is_a_sequence_of_different_frames(tmp_path):
    path = tmp_path / "t.gsd"
    frames = [
        random_frame(
            k,
            box=(20.0 - k,) * 3,  # evaporating
            step=100 * k,
            time_ns=0.1 * k,
            stage="solution" if k < 2 else "dry",
            relative_permittivity=8.0 - k,
            temperature_K=290.0 + k,
            energies={name: value * k for name, value in ENERGIES.items()},
        )
        for k in range(4)
    ]
    for frame in frames:
        append_frame(path, frame)
    trajectory = dm.Trajectory(path)
    assert len(trajectory) == len(list(trajectory)) == 4
    assert trajectory.steps == [0, 100, 200, 300]
    for read, frame in zip(trajectory, frames, strict=True):
        assert_same(read, frame)
    assert_same(trajectory[-1], frames[3])
    assert [frame.step for frame in trajectory[1:3]] == [100, 200]
    for index in (4, -5):
        with pytest.raises(IndexError, match=r"t\.gsd: frame"):
            trajectory[index]


def test_write_frame_replaces_what_was_there(tmp_path):
    path = tmp_path / "restart.gsd"
    for k in range(2):
        write_frame(path, random_frame(k, step=k))
        assert dm.Trajectory(path).steps == [k]
        assert [p.name for p in tmp_path.iterdir()] == ["restart.gsd"]


def test_mixture_keeps_both_hands(tmp_path):
    mixture = dm.random_gas({R1: 5, S1: 5}, 5.0, seed=2)
    write_frame(tmp_path / "m.gsd", dm.Frame(mixture))
    read = dm.Trajectory(tmp_path / "m.gsd")[0].system
    assert read.bodies == (R1, S1)
    assert [body.handedness for body in read.bodies] == ["R", "S"]
    np.testing.assert_array_equal(read.types, mixture.types)
    assert sorted(read.types) == [0] * 5 + [1] * 5


def test_angular_momenta_are_those_of_hoomd(tmp_path):
    """angmom = 2 q (0, I ω) in the body frame: half q* angmom turns into L = R I Rᵀ ω."""
    frame = random_frame(7, bodies=(TOP,))
    write_frame(tmp_path / "l.gsd", frame)
    with gsd.hoomd.open(str(tmp_path / "l.gsd"), "r") as plain:
        momenta = plain[0].particles.angmom.astype(float)
    w, x, y, z = frame.system.orientations.T
    turn = Rotation.from_quat(np.stack([x, y, z, w], axis=1))
    inertia = turn.as_matrix() * TOP.inertia_Da_nm2 @ np.swapaxes(turn.as_matrix(), 1, 2)
    space = np.einsum("nij,nj->ni", inertia, frame.system.angular_velocities)
    body = turn.inv().apply(space)
    # Quaternion product q (0, L), written out.
    scalar = -(x * body[:, 0] + y * body[:, 1] + z * body[:, 2])
    axis = w[:, None] * body + np.cross(np.stack([x, y, z], axis=1), body)
    expected = 2 * np.concatenate([scalar[:, None], axis], axis=1)
    np.testing.assert_allclose(momenta, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_temperatures_survive(tmp_path):
    gas = dm.random_gas({LARGE: 50}, 5.0, seed=1, temperature_K=310.0)
    write_frame(tmp_path / "g.gsd", dm.Frame(gas))
    read = dm.Trajectory(tmp_path / "g.gsd")[0].system
    assert read.kinetic_temperatures_K() == pytest.approx(gas.kinetic_temperatures_K(), rel=1e-5)


# --- The files, as others read them ---------------------------------------------------------------


def test_plain_gsd_reads_every_frame(tmp_path):
    path = tmp_path / "t.gsd"
    for k in range(3):
        kept = {"step": k, "time_ns": 0.5 * k, "stage": "dry" * k, "energies": ENERGIES}
        append_frame(path, random_frame(k, bodies=(R1, LARGE), temperature_K=300.0, **kept))
    with gsd.hoomd.open(str(path), "r") as plain:
        assert len(plain) == 3
        for k, frame in enumerate(plain):
            particles, log = frame.particles, frame.log
            assert (frame.configuration.step, particles.N) == (k, 12)
            assert particles.types == ["r-1", "r-au-cu"]
            assert particles.type_shapes == [
                {"type": "Sphere", "diameter": body.axial_contact_nm} for body in (R1, LARGE)
            ]
            kinds = [(R1, LARGE)[i] for i in particles.typeid]
            np.testing.assert_allclose(particles.mass, [b.mass_Da for b in kinds])
            np.testing.assert_allclose(particles.moment_inertia, [b.inertia_Da_nm2 for b in kinds])
            np.testing.assert_allclose(particles.diameter, [b.axial_contact_nm for b in kinds])
            assert log["time_ns"] == 0.5 * k
            assert log["stage"].strip() == "dry" * k
            assert log["temperature_K"] == 300
            assert np.isnan(log["relative_permittivity"])
            np.testing.assert_allclose(log["box_nm"], (20, 18, 16, 0.3, -0.2, 0.25))
            for name, energy in ENERGIES.items():
                assert log[f"energy_kJ_mol/{name}"] == energy


@pytest.mark.parametrize("edge", [10.1, 123.4567, 33.3333])
def test_rounding_keeps_clusters_in_the_box(tmp_path, edge):
    """HOOMD refuses a cluster beyond the box, were it by one bit of single precision."""
    close = 0.5 * (1 - 1e-12)
    fractions = np.stack(np.meshgrid(*[[-close, close]] * 3), axis=-1).reshape(-1, 3)
    box = np.array([edge, edge * 0.9, edge * 1.1, 0.3, -0.2, 0.25])
    orientations = np.tile([1.0, 0.0, 0.0, 0.0], (8, 1))
    corners = dm.Frame.from_arrays(box, fractions @ cell_matrix(box).T, orientations, LARGE)
    write_frame(tmp_path / "c.gsd", corners)
    with gsd.hoomd.open(str(tmp_path / "c.gsd"), "r") as plain:
        stored, positions = plain[0].configuration.box, plain[0].particles.position
    inside = positions.astype(float) @ np.linalg.inv(cell_matrix(stored.astype(float))).T
    assert (np.abs(inside) < 0.5).all()
    assert np.abs(inside) == pytest.approx(0.5, abs=2e-6)


# --- Saving frames --------------------------------------------------------------------------------


def test_saved_frames_keep_their_bytes(tmp_path):
    path, saved = tmp_path / "t.gsd", tmp_path / "saved.gsd"
    frames = [random_frame(k, step=100 * k, energies=ENERGIES) for k in range(5)]
    for frame in frames:
        append_frame(path, frame, OURS)
    FrameTable(path).save_frames([0, 2, 3], saved)
    trajectory = dm.Trajectory(saved)
    assert trajectory.steps == [0, 200, 300]
    assert trajectory.identity == OURS
    for read, k in zip(trajectory, (0, 2, 3), strict=True):
        assert_same(read, frames[k])
    append_frame(saved, random_frame(9, step=900, energies=ENERGIES), OURS)
    assert dm.Trajectory(saved).steps == [0, 200, 300, 900]
    assert FrameTable(saved).checks() == [True] * 4


def test_full_disk_leaves_the_trajectory_whole(tmp_path, monkeypatch):
    path = tmp_path / "t.gsd"
    append_frame(path, random_frame(0))
    before, room = path.read_bytes(), shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room._replace(free=100_000))
    for write in (append_frame, write_frame):
        with pytest.raises(OSError, match="MB free"):
            write(path, random_frame(1))
    assert path.read_bytes() == before


# --- Foreign files --------------------------------------------------------------------------------


def test_files_that_are_no_trajectories(tmp_path):
    text = tmp_path / "text.gsd"
    text.write_text("not GSD at all" * 50)
    empty = tmp_path / "empty.gsd"
    empty.touch()
    for path in (tmp_path / "missing.gsd", text, empty, tmp_path):
        with pytest.raises(dm.InputError, match=rf"{path.name}: no readable trajectory"):
            dm.Trajectory(path)


def test_foreign_gsd_points_to_from_arrays(tmp_path):
    path = tmp_path / "foreign.gsd"
    stored = gsd.hoomd.Frame()
    stored.particles.N = 2
    stored.configuration.box = [10, 10, 10, 0, 0, 0]
    with gsd.hoomd.open(str(path), "w") as foreign:
        foreign.append(stored)
    with pytest.raises(dm.InputError, match=r"foreign\.gsd: .*Frame\.from_arrays"):
        dm.Trajectory(path)[0]


# --- Anyone's arrays ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cluster",
    [
        "r-au-cu",
        str(parameter_folder() / "clusters" / "r-au-cu.toml"),
        parameter_folder() / "clusters" / "r-au-cu.toml",
        dm.load_cluster("r-au-cu"),
        LARGE,
        (LARGE,),
        [LARGE],
    ],
)
def test_every_form_of_cluster_gives_the_same_frame(cluster):
    frame = dm.Frame.from_arrays([10, 10, 10], [[0, 0, 6], [0, 0, 1]], 2 * UP, cluster, time_ns=2.5)
    assert frame.system.bodies == (LARGE,)
    assert frame.time_ns == 2.5
    assert frame.system.box.tolist() == [10, 10, 10, 0, 0, 0]
    np.testing.assert_allclose(frame.system.positions, [[0, 0, -4], [0, 0, 1]])  # wrapped
    np.testing.assert_array_equal(frame.system.orientations, UP)  # normalised
    np.testing.assert_allclose(frame.system.dipoles, [LARGE.dipole_e_nm] * 2)


def test_types_choose_bodies():
    frame = dm.Frame.from_arrays((10, 10, 10), [[0, 0, 0], [0, 0, 3]], UP, (R1, LARGE), [1, 0])
    expected = [LARGE.dipole_e_nm, R1.dipole_e_nm]
    np.testing.assert_allclose(frame.system.dipoles, expected)


TWO = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"box": (10, 10, 10, 0)}, r"box must have shape \(6,\) \(found \(4,\)\)"),
        ({"box": 10.0}, "box must have shape"),
        ({"box": (10, 10, 0)}, "box lengths must be positive"),
        ({"box": (10, -10, 10)}, "box lengths must be positive"),
        ({"box": (10, 10, np.inf)}, "box must be finite"),
        ({"positions": TWO[:, :2]}, r"positions must have shape \(2, 3\) \(found \(2, 2\)\)"),
        ({"positions": TWO.ravel()}, "positions must have shape"),
        ({"positions": TWO[:1]}, r"orientations must have shape \(1, 4\)"),
        ({"positions": TWO * np.nan}, "positions must be finite"),
        ({"positions": TWO + np.inf}, "positions must be finite"),
        ({"orientations": UP[:, :3]}, r"orientations must have shape \(N, 4\)"),
        ({"orientations": UP[0]}, r"orientations must have shape \(N, 4\)"),
        ({"orientations": 0 * UP}, "orientations must be finite and not zero"),
        ({"orientations": UP + np.inf}, "orientations must be finite and not zero"),
        ({"types": [0]}, r"types must have shape \(2,\)"),
        ({"types": [0, 1]}, "types must index the 1 bodies"),
        ({"types": [0, -1]}, "types must index the 1 bodies"),
        ({"cluster": "r-au-cd"}, "unknown cluster 'r-au-cd'"),
        ({"cluster": "no/such.toml"}, "no such file"),
    ],
)
def test_wrong_arrays_are_named(arguments, words):
    good = {"box": (10, 10, 10), "positions": TWO, "orientations": UP, "cluster": LARGE}
    dm.Frame.from_arrays(**good)
    with pytest.raises(dm.InputError, match=words):
        dm.Frame.from_arrays(**good | arguments)


def test_total_dipoles_are_kept(tmp_path):
    """Permanent and induced, of every cluster; nothing is written of hard clusters."""
    soft = replace(TOP, polarisability_nm3=0.3)
    frame = random_frame(3, bodies=(soft, LARGE))
    induced = np.random.default_rng(1).normal(size=(12, 3)) * 0.1
    induced[frame.system.types == 1] = 0.0
    frame = replace(frame, system=replace(frame.system, induced_dipoles=induced))
    path = tmp_path / "soft.gsd"
    write_frame(path, frame)
    read = dm.Trajectory(path)[0].system
    np.testing.assert_allclose(read.total_dipoles, frame.system.total_dipoles, atol=1e-6)
    np.testing.assert_allclose(read.induced_dipoles, induced, atol=2e-6)
    unknown = replace(frame, system=replace(frame.system, induced_dipoles=None))
    write_frame(path, unknown)
    assert dm.Trajectory(path)[0].system.induced_dipoles is None
    hard = random_frame(3)
    write_frame(path, hard)
    assert dm.Trajectory(path)[0].system.induced_dipoles is None
    np.testing.assert_array_equal(hard.system.total_dipoles, hard.system.dipoles)
