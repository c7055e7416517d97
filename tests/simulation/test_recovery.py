"""Runs whose files were damaged, lost or exchanged: what is sound is kept, nothing is believed."""

import json
import os
import shutil
from dataclasses import replace

import gsd.hoomd
import numpy as np
import pytest

import dipolar_md as dm
from dipolar_md.errors import InputError, RunDirectoryError
from dipolar_md.frame_checks import CHECKSUM, RUN_ID, FrameTable
from dipolar_md.simulation import session
from dipolar_md.trajectory import append_frame, write_frame

STEPS = list(range(0, 1901, 100))


@pytest.fixture(scope="module")
def stopped(toy, tmp_path_factory):
    """A run that was stopped at step 950; don't write into it."""
    out = tmp_path_factory.mktemp("stopped") / "run"
    halt = lambda progress: progress.done_steps == 950  # noqa: E731
    return dm.assemble("r-au-cu", out, "lammps", threads=1, overrides=toy, progress=halt)


@pytest.fixture(scope="module")
def other(toy, tmp_path_factory):
    """A run of 20 D, stopped at step 500."""
    out, weak = tmp_path_factory.mktemp("other") / "run", toy | {"dipole_D": 20.0}
    halt = lambda progress: progress.done_steps == 500  # noqa: E731
    return dm.assemble("r-au-cu", out, "lammps", threads=1, overrides=weak, progress=halt)


@pytest.fixture
def copied(tmp_path):
    def copy(run):
        return shutil.copytree(run.path, tmp_path / "run", dirs_exist_ok=True)

    return copy


@pytest.fixture
def go_on(toy):
    def assemble(path, **options):
        return dm.assemble(
            "r-au-cu", path, "lammps", threads=1, overrides=toy | options.pop("set", {}), **options
        )

    return assemble


def flip(path, fraction, bit=1):
    """Flip a bit at a place in a file."""
    data = bytearray(path.read_bytes())
    data[int(fraction * len(data))] ^= bit
    path.write_bytes(data)


def flip_frame(path, index):
    """Flip a bit of the positions of a frame."""
    table = FrameTable(path)
    row = table._ends[index] + [
        table._names[i] for i in table._entries["name"][table._ends[index] :]
    ].index("particles/position")
    data = bytearray(path.read_bytes())
    data[int(table._entries["place"][row]) + 5] ^= 4
    path.write_bytes(data)


def recovered(run):
    return run.manifest["sessions"][-1].get("recovered", [])


# --- Readers --------------------------------------------------------------------------------------


def test_a_run_names_itself_in_every_frame(finished):
    identity = finished.identity
    assert len(identity.run_id) == 16
    assert finished.trajectory.identity == identity
    assert finished.trajectory.proven
    assert FrameTable(finished.path / "trajectory.gsd").identities() == [identity] * 20
    assert dm.Trajectory(finished.path / "restart.gsd").identity == identity
    assert identity.recipe_sha256 == finished.manifest["inputs_sha256"]["recipe.toml"]


def test_a_flipped_bit_is_never_read(finished, copied):
    path = copied(finished) / "trajectory.gsd"
    flip_frame(path, 12)
    trajectory = dm.Trajectory(path)
    assert trajectory[11].step == 1100
    with pytest.raises(InputError, match=r"frame 12 \(step 1200\) is damaged: its checksum"):
        trajectory[12]
    with pytest.raises(InputError, match="frame 12"):
        dm.analyze(path.parent)
    flip_frame(path, 0)  # every frame rests on the first
    with pytest.raises(InputError, match=r"frame 0 \(step 0\) is damaged"):
        dm.Trajectory(path)[3]


@pytest.mark.parametrize("order", [[0, 1, 1, 2], [0, 2, 1], [3, 2, 1, 0]])
def test_doubled_and_reversed_frames_are_refused(finished, copied, order):
    path = copied(finished) / "trajectory.gsd"
    FrameTable(path).save_frames(order, path)
    with pytest.raises(InputError, match=r"doubled or out of order|leans on another"):
        dm.Trajectory(path)


def test_a_frame_that_leans_on_another_is_no_first_frame(finished, copied):
    """GSD leaves out what equals the first frame, so it would read no clusters at all."""
    path = copied(finished) / "trajectory.gsd"
    FrameTable(path).save_frames([3, 4], path)
    assert FrameTable(path).checks() == [True, True]
    with pytest.raises(InputError, match="its first frame leans on another"):
        dm.Trajectory(path)
    assert "can't be read without the one that was first" in dm.check_run(path.parent)[1]


@pytest.mark.parametrize("kept", [[0, 1, 2, 4, 5], range(19)])
def test_missing_frames_are_told(finished, copied, kept):
    """Of a finished run all must be there, the last as well; of others all up to the last."""
    path = copied(finished) / "trajectory.gsd"
    FrameTable(path).save_frames(list(kept), path)
    with pytest.raises(InputError, match=rf"{20 - len(kept)} of 20 frames are missing \(step"):
        _ = dm.Run(path.parent).trajectory


def test_frames_of_another_run_are_refused(finished, other, copied):
    path = copied(finished)
    shutil.copy(other.path / "trajectory.gsd", path)
    with pytest.raises(InputError, match="frames are of another run"):
        _ = dm.Run(path).trajectory
    mixed = path / "trajectory.gsd"
    shutil.copy(finished.path / "trajectory.gsd", path)
    append_frame(mixed, replace(other.trajectory[1], step=2000), other.identity)
    with pytest.raises(InputError, match=r"frame 20 is of run .*, frame 0 of run"):
        dm.Trajectory(mixed)


def test_a_changed_recipe_is_not_the_run_s(finished, copied, go_on):
    path = copied(finished) / "recipe.toml"
    text = path.read_text().replace("n_clusters = 64", "n_clusters = 65")
    path.write_text(text)
    with pytest.raises(InputError, match="changed after the run had begun"):
        dm.analyze(path.parent)
    with pytest.raises(RunDirectoryError, match="changed after the run had begun"):
        go_on(path.parent, seed=2)


def test_a_file_that_claims_more_than_it_holds_is_refused_unread(finished, tmp_path, monkeypatch):
    """GSD never sees an index beyond the file, data beyond it, or billions of particles."""
    source, path = finished.path / "trajectory.gsd", tmp_path / "t.gsd"
    monkeypatch.setattr(gsd.hoomd, "open", lambda *_: pytest.fail("GSD was asked"))
    whole, table = source.read_bytes(), FrameTable(source)
    for at, value, told in [
        (16, 2**40, "its index lies beyond"),
        (32, 2**40, "its list of names lies beyond"),
        (table._place + 8, 2**40, "data that the file doesn't hold"),
        (table._place, 7, "its index is damaged"),
        (0, 7, "not a GSD file"),
    ]:
        path.write_bytes(whole[:at] + value.to_bytes(8, "little") + whole[at + 8 :])
        with pytest.raises(InputError, match=f"no readable trajectory .*{told}"):
            dm.Trajectory(path)
    number = table._names.index("particles/N")
    place = int(table._entries["place"][table._entries["name"] == number][0])
    path.write_bytes(whole[:place] + b"\xff\xff\xff\xff" + whole[place + 4 :])
    with pytest.raises(InputError, match="claims more particles/N"):
        dm.Trajectory(path)


# --- Going on -------------------------------------------------------------------------------------


def test_a_lost_checkpoint_costs_nothing(stopped, copied, go_on):
    """The checkpoint before and the last frame both serve; here they are the same step."""
    for number, names in enumerate([["restart.gsd"], ["restart.gsd", "restart.prev.gsd"]]):
        path = copied(stopped)
        for name in names:
            (path / name).unlink()
        done = go_on(path, progress=lambda progress: progress.done_steps >= 1000)
        assert done.manifest["sessions"][-1]["first_step"] == 900, number
        assert "restart.gsd is missing; went on from" in recovered(done)[0]
        assert done.trajectory.steps == STEPS[:11]


@pytest.mark.parametrize("content", [b"", b"rubbish", None])
def test_a_damaged_checkpoint_is_replaced(stopped, copied, go_on, content):
    path = copied(stopped)
    if content is None:
        flip_frame(path / "restart.gsd", 0)
    else:
        (path / "restart.gsd").write_bytes(content)
    done = go_on(path, progress=lambda progress: True)
    assert done.manifest["sessions"][-1]["first_step"] == 900
    assert "went on from" in recovered(done)[0]


def test_a_checkpoint_of_another_dipole_is_no_checkpoint(stopped, other, copied, go_on):
    path = copied(stopped)
    for name in ("restart.gsd", "restart.prev.gsd"):
        shutil.copy(other.path / "restart.gsd", path / name)
    done = go_on(path, progress=lambda progress: True)
    assert done.manifest["sessions"][-1]["first_step"] == 900
    assert "is of another run" in recovered(done)[0]
    weak = other.trajectory[3]  # in this run's name: its bodies are others all the same
    for name in ("restart.gsd", "restart.prev.gsd"):
        write_frame(path / name, replace(weak, step=1000), stopped.identity)
    done = go_on(path, progress=lambda progress: True)
    assert "holds other clusters than the recipe" in recovered(done)[0]
    (body,) = done.trajectory[-1].system.bodies
    assert body.dipole_magnitude_e_nm == pytest.approx(43.42 * 0.0208194, rel=1e-4)


def test_a_truncated_trajectory_is_run_again_from_its_last_frame(finished, copied, go_on):
    path = copied(finished)
    whole = (path / "trajectory.gsd").read_bytes()
    (path / "trajectory.gsd").write_bytes(whole[: int(0.6 * len(whole))])
    done = go_on(path)
    assert done.finished
    assert done.trajectory.steps == STEPS
    first = done.manifest["sessions"][-1]["first_step"]
    assert 0 < first < 1900
    assert "sound frames kept, the file as it was is trajectory.damaged.gsd" in recovered(done)[0]
    assert (path / "trajectory.damaged.gsd").stat().st_size == int(0.6 * len(whole))
    before = {frame.step: frame for frame in finished.trajectory}
    for frame in done.trajectory:
        if frame.step <= first:
            same = before[frame.step].system.positions
            np.testing.assert_array_equal(frame.system.positions, same)


def test_a_finished_run_without_frames_is_refused(finished, copied, go_on):
    path = copied(finished)
    (path / "trajectory.gsd").unlink()
    with pytest.raises(RunDirectoryError, match="ran to its end, and no frame of it is left"):
        go_on(path)


def test_a_finished_manifest_is_not_believed(finished, copied, go_on):
    path = copied(finished)
    FrameTable(path / "trajectory.gsd").save_frames(range(7), path / "trajectory.gsd")
    done = go_on(path)
    assert done.manifest["sessions"][-1]["first_step"] == 600
    assert done.trajectory.steps == STEPS


def test_a_frame_that_is_lost_is_recorded(finished, copied, go_on):
    """Frames after it are kept, and the run is finished but for what it says is missing."""
    path = copied(finished)
    flip_frame(path / "trajectory.gsd", 5)
    done = go_on(path)
    assert done.finished
    assert done.manifest["missing_steps"] == [500]
    assert done.trajectory.steps == [step for step in STEPS if step != 500]
    assert "frame 5 (step 500) is damaged" in recovered(done)[0]
    assert "1 frames before step 1900 are missing: step 500" in recovered(done)[1]
    assert go_on(path).manifest == done.manifest  # it is settled


def test_a_lost_trajectory_leaves_the_checkpoint(stopped, copied, go_on):
    path = copied(stopped)
    (path / "trajectory.gsd").unlink()
    done = go_on(path)
    assert done.manifest["sessions"][-1]["first_step"] == 950
    assert done.manifest["missing_steps"] == STEPS[:10]
    assert done.trajectory.steps == STEPS[10:]


@pytest.mark.parametrize("content", [b"", b"\0" * 300, b"{", None])
def test_a_lost_manifest_is_made_anew(stopped, copied, go_on, content):
    path = copied(stopped)
    (path / "manifest.json").unlink()
    if content is not None:
        (path / "manifest.json").write_bytes(content)
    done = go_on(path, progress=lambda progress: True)
    assert done.identity == stopped.identity
    (only,) = done.manifest["sessions"]
    assert only["first_step"] == 950
    assert "made anew from the recipe and the frames" in only["recovered"][0]
    assert done.trajectory.steps == STEPS[:11][: len(done.trajectory)]


def test_an_empty_manifest_of_a_run_that_never_began_is_no_obstacle(stopped, copied, go_on):
    path = copied(stopped)
    for name in ("restart.gsd", "restart.prev.gsd", "trajectory.gsd"):
        (path / name).unlink()
    (path / "manifest.json").write_bytes(b"")
    done = go_on(path, progress=lambda progress: True)
    assert done.manifest["sessions"][-1]["first_step"] == 0


def test_a_recipe_that_was_lost_or_changed_is_written_again(stopped, copied, go_on):
    for content in (None, b"n_clusters = 1"):
        path = copied(stopped)
        (path / "recipe.toml").unlink()
        if content:
            (path / "recipe.toml").write_bytes(content)
        done = go_on(path, progress=lambda progress: True)
        assert "recipe.toml: was changed or lost; written again" in recovered(done)[0]
        assert done.recipe == stopped.recipe


def test_nothing_sound_is_refused_and_nothing_deleted(stopped, copied, go_on):
    path = copied(stopped)
    for name in ("restart.gsd", "restart.prev.gsd", "trajectory.gsd"):
        flip(path / name, 0.0)
    before = {p.name: p.read_bytes() for p in path.iterdir()}
    with pytest.raises(RunDirectoryError, match=r"nothing to go on from.*from a copy"):
        go_on(path)
    kept = {p.name: p.read_bytes() for p in path.iterdir()}
    assert kept["trajectory.damaged.gsd"] == before["trajectory.gsd"]
    for name in ("restart.gsd", "restart.prev.gsd", "manifest.json"):
        assert kept[name] == before[name]
    path = copied(stopped)
    for name in ("restart.gsd", "restart.prev.gsd", "trajectory.gsd"):
        (path / name).unlink()
    with pytest.raises(RunDirectoryError, match="ran to step 950, and all its frames"):
        go_on(path)


def test_frames_are_checked_before_finished_is_said(stopped, copied, go_on, monkeypatch):
    path, add = copied(stopped), session.append_frame

    def spoil(file, frame, identity):
        add(file, frame, identity)
        if frame.step == 1500:
            flip_frame(file, 15)

    monkeypatch.setattr(session, "append_frame", spoil)
    with pytest.raises(RunDirectoryError, match=r"frame 15 \(step 1500\) is damaged.*repeat"):
        go_on(path)
    assert dm.Run(path).manifest["status"] == "failed"
    assert go_on(path).manifest["missing_steps"] == [1500]


# --- Runs of the version before -------------------------------------------------------------------


def unsigned(path):
    """Make a run what the version before would have left: no ids, no checksums."""
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["run_id"]
    (path / "manifest.json").write_text(json.dumps(manifest))
    for name in ("trajectory.gsd", "restart.gsd"):
        os.replace(path / name, path / "old")
        with (
            gsd.hoomd.open(str(path / "old"), "r") as old,
            gsd.hoomd.open(str(path / name), "w") as new,
        ):
            for frame in old:
                for key in (RUN_ID, "log/recipe_sha256", CHECKSUM):
                    del frame.log[key.removeprefix("log/")]
                new.append(frame)
    for name in ("old", "restart.prev.gsd"):
        (path / name).unlink()
    return path


def test_a_run_of_the_version_before_is_read_and_goes_on_unproven(stopped, copied, go_on):
    path = unsigned(copied(stopped))
    run = dm.Run(path)
    assert run.identity is None
    assert not run.trajectory.proven
    assert run.trajectory[-1].step == 900
    done = go_on(path)
    assert done.manifest["sessions"][-1]["first_step"] == 950
    assert done.trajectory.steps == STEPS
    assert not done.trajectory.proven
    assert go_on(path).finished


# --- Checking -------------------------------------------------------------------------------------


def test_check_tells_what_is_wrong(finished, stopped, copied, command):
    for run in (finished, stopped):
        assert dm.check_run(run.path) == []
    answer = command("check", finished.path)
    assert (answer.code, answer.err) == (0, "")
    assert "is sound" in answer.words
    path = copied(finished)
    flip_frame(path / "trajectory.gsd", 12)
    FrameTable(path / "trajectory.gsd").save_frames(range(18), path / "trajectory.gsd")
    (path / "restart.gsd").unlink()
    damaged, missing, restart = dm.check_run(path)
    assert "frame 12 (step 1200) is damaged" in damaged
    assert "3 of 20 frames are missing (steps 1200, 1800, 1900)" in missing
    assert "restart.gsd is missing" in restart
    assert command("check", path).code == 1
    old = unsigned(copied(stopped))
    assert "unproven" in " ".join(dm.check_run(old))
    assert "this run is unproven" in command("analyze", old).err


def test_what_was_recovered_is_printed(stopped, copied, command, toy):
    path = copied(stopped)
    flip_frame(path / "trajectory.gsd", 5)
    settings = [f"--set={key}={value}" for key, value in toy.items()]
    line = ["assemble", "r-au-cu", "--out", path, "--engine=lammps", "--threads=1", *settings]
    answer = command(*line)
    assert answer.code == 0
    assert "recovered: " in answer.err
    assert "frame 5 (step 500) is damaged" in answer.err.replace("\n", " ")
    assert "1 frames of this run are lost" in answer.err
