"""Names become files and words of a shell: only those that can't be anything else are taken."""

import os
import subprocess
import sys

import pytest

import dipolar_md as dm
from dipolar_md.errors import InputError, RunDirectoryError
from dipolar_md.files import is_locked, locked
from dipolar_md.parameters import is_name, parameter_folder

ODD = [
    "../../../x",
    "/tmp/x",
    "a b",
    "",
    ".",
    "..",
    "-rf",
    "a/b",
    "x\nsbatch",
    "a\0",
    "µ",
    "x" * 101,
]
LAMMPS = """
import sys
import dipolar_md as dm
from dipolar_md.engines.lammps.engine import LammpsEngine
from dipolar_md.engines.stage import Environment, Stage
body = dm.coarse_grain("r-au-cu", shape="janus", dipole="charges", polarisation="centre")
system = dm.lattice({body: 8}, spacing_nm=5.0)
now = Environment(298.15, 1.0, system.concentration_mM)
stage = Stage("s", 2, 0.01, now, now, 0.4, skin_nm=0.3, chunk_steps=2)
terms = dm.Interactions(298.15, 1.0, "ewald", ewald_accuracy=0.1)
LammpsEngine().run(system, terms, stage, lambda report: None)
"""


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize(
    ("kind", "read"),
    [
        ("clusters", dm.load_cluster),
        ("recipes", dm.load_recipe),
        ("studies", dm.load_study),
        ("references", dm.load_reference),
    ],
)
def test_a_name_is_a_word(tmp_path, kind, read, name):
    assert not is_name(name)
    shipped = sorted((parameter_folder() / kind).glob("*.toml"))[-1]
    text = shipped.read_text(encoding="utf-8")
    quoted = name.replace("\n", "\\n").replace("\0", "\\u0000")
    path = tmp_path / "odd.toml"
    first = next(line for line in text.splitlines() if line.startswith("name ="))
    path.write_text(text.replace(first, f'name = "{quoted}"', 1), encoding="utf-8")
    with pytest.raises(InputError, match=r"odd\.toml: key 'name': .*letters of ASCII"):
        read(path)
    assert os.listdir(tmp_path) == ["odd.toml"]


def test_titles_have_no_control_characters(tmp_path):
    text = (parameter_folder() / "studies" / "demo.toml").read_text(encoding="utf-8")
    first = next(line for line in text.splitlines() if line.startswith("title ="))
    path = tmp_path / "odd.toml"
    path.write_text(text.replace(first, 'title = "\\u001b]0;x\\u0007"', 1), encoding="utf-8")
    with pytest.raises(InputError, match="key 'title': has a control character"):
        dm.load_study(path)


@pytest.mark.parametrize("option", ["partition", "account"])
@pytest.mark.parametrize("word", ["gpu\ntouch x", "$(touch x)", "a b", "'", ""])
def test_words_for_slurm_are_words(tmp_path, option, word):
    with pytest.raises(InputError, match=f"{option} must be a word of letters"):
        dm.submit_study("demo", tmp_path / "study", dry_run=True, **{option: word})
    assert not os.listdir(tmp_path)


def test_a_directory_with_a_new_line_gets_no_script(tmp_path):
    with pytest.raises(InputError, match="has a control character; choose another --out"):
        dm.submit_study("demo", tmp_path / "x\ntouch y", dry_run=True)
    assert not os.listdir(tmp_path)


def test_no_jobs_are_no_jobs(command, tmp_path):
    answer = command("study", "run", "demo", "--out", tmp_path / "study", "--jobs", "")
    assert answer.code == 2
    assert "--jobs names no job" in answer.err
    assert "Traceback" not in answer.err


def test_lammps_takes_any_folder_of_temporary_files(tmp_path):
    folder = tmp_path / "a b'c\"d$e"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", LAMMPS],
        env=os.environ | {"TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert not os.listdir(folder)


# --- Locks ----------------------------------------------------------------------------------------


def test_a_lock_is_never_emptied_and_no_link(tmp_path):
    (tmp_path / ".lock").write_text("kept")
    with locked(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(RunDirectoryError, match="another process is running here"):
            locked(tmp_path).__enter__()
    assert not is_locked(tmp_path)
    assert (tmp_path / ".lock").read_text() == "kept"
    folder = tmp_path / "linked"
    folder.mkdir()
    (folder / ".lock").symlink_to(tmp_path / "target")
    with pytest.raises(RunDirectoryError, match=r"\.lock: is a link"):
        locked(folder).__enter__()
    assert not (tmp_path / "target").exists()
    assert not is_locked(folder)
