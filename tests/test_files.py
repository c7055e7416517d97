"""Files appear whole or not at all, under nobody else's name, and one sentence says why not."""

import csv
import json
import os
import stat
import subprocess
import sys

import pytest
from matplotlib.figure import Figure

import dipolar_md as dm
from dipolar_md import files

SAVED_UMASK = """
import os, sys
from pathlib import Path
from dipolar_md.files import write_text
os.umask(int(sys.argv[1], 8))
write_text(Path(sys.argv[2]), "x")
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_the_place_of_the_old_one_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    assert files.write_text(path, "λ = 1\n") == path
    assert path.read_bytes() == "λ = 1\n".encode()
    files.write_bytes(path, b"\x00\x01")
    assert path.read_bytes() == b"\x00\x01"
    assert names(path.parent) == ["a.txt"]


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole_and_on_the_disk(
    tmp_path, monkeypatch
):
    path = files.write_text(tmp_path / "a.txt", "old")
    reader = path.open()
    synced = []
    monkeypatch.setattr(files.os, "fsync", lambda handle: synced.append(os.fstat(handle)))
    with files.replacing(path) as part:
        part.write_text("newer")
        assert path.read_text() == "old"
        assert part.parent == path.parent
        assert files.is_partial(part)
        assert not synced
    file, folder = synced
    assert file.st_size == 5
    assert stat.S_ISDIR(folder.st_mode)  # the name is on the disk, too
    assert path.read_text() == "newer"
    assert not files.is_partial(path)
    with reader:
        assert reader.read() == "old"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_is_interrupted_leaves_the_old_file_alone(tmp_path, error):
    path = files.write_text(tmp_path / "a.txt", "old")

    def interrupted():
        with files.replacing(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_two_writers_of_one_file_have_different_names(tmp_path):
    path = tmp_path / "a.txt"
    with files.replacing(path) as one:
        one.write_text("one")
        with files.replacing(path) as other:
            other.write_text("other")
        assert path.read_text() == "other"
    assert path.read_text() == "one"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("planted", ["file", "link"])
def test_a_foreign_file_under_the_temporary_name_is_left_alone(tmp_path, monkeypatch, planted):
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: "abcd")
    foreign = tmp_path / ".a.txt.abcd.part"
    treasure = tmp_path / "treasure"
    treasure.write_text("mine")
    foreign.symlink_to(treasure) if planted == "link" else foreign.write_text("mine")
    with pytest.raises(dm.RunDirectoryError, match=r"a\.txt: can't be written: File exists"):
        files.write_text(tmp_path / "a.txt", "x")
    assert foreign.read_text() == treasure.read_text() == "mine"
    assert names(tmp_path) == [".a.txt.abcd.part", "treasure"]


def test_a_link_stays_a_link_to_the_new_file(tmp_path):
    target = files.write_text(tmp_path / "store" / "a.txt", "old")
    link = tmp_path / "link.txt"
    link.symlink_to(target)
    files.write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert names(target.parent) == ["a.txt"]


def test_a_pipe_is_written_straight(tmp_path):
    line = "from pathlib import Path; from dipolar_md import files\n"
    line += "files.write_text(Path('/dev/stdout'), 'hello')\n"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == "hello"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        files.write_text(pipe, "hello")
        assert reader.communicate(timeout=20)[0] == b"hello"
    assert pipe.is_fifo()


@pytest.mark.parametrize(("umask", "mode"), [("022", 0o644), ("077", 0o600)])
def test_permissions_are_those_of_any_new_file(tmp_path, umask, mode):
    path = tmp_path / "a.txt"
    subprocess.run([sys.executable, "-c", SAVED_UMASK, umask, str(path)], check=True)
    assert path.stat().st_mode & 0o777 == mode


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("in-the-way/a.txt", "Not a directory|File exists"),
        ("folder", "Is a directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_one_sentence_says_why_a_file_can_not_be_written(tmp_path, place, told):
    (tmp_path / "in-the-way").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(dm.RunDirectoryError, match=rf"{place}: can't be written: ({told})$"):
        files.write_text(tmp_path / place, "x")
    assert names(tmp_path) == ["folder", "in-the-way"]


def test_json_is_strict(tmp_path):
    path = files.write_json(tmp_path / "a.json", {"λ": [1.5, None]})
    assert json.loads(path.read_text()) == {"λ": [1.5, None]}
    assert path.read_text().endswith("}\n")
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, float("nan"))
    assert json.loads(path.read_text()) == {"λ": [1.5, None]}


def test_csv_has_one_column_for_every_key(tmp_path):
    rows = [{"a": 1 / 3, "b": "x, y"}, {"a": None, "c": 7}]
    path = files.write_csv(tmp_path / "a.csv", rows)
    with path.open(newline="") as stream:
        read = list(csv.DictReader(stream))
    assert read == [{"a": "0.333333", "b": "x, y", "c": ""}, {"a": "", "b": "", "c": "7"}]
    files.write_csv(path, [], ["a", "b"])
    assert path.read_bytes() == b"a,b\n"


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_a_figure_has_the_format_of_its_name(tmp_path, ending, start):
    path = files.save_figure(tmp_path / f"a.{ending}", Figure())
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize("name", ["a.xyz", "a"])
def test_an_unknown_format_is_refused_with_those_that_are_known(tmp_path, name):
    with pytest.raises(dm.InputError, match=rf"{name}: '.*' is no format of figures .*\.png"):
        files.save_figure(tmp_path / name, Figure())
    assert not names(tmp_path)
