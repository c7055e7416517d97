"""One damaged file of a study costs its job, and never the others."""

import json

import pytest
from study.toy_studies import finished_row, toy, write

import dipolar_md as dm
from dipolar_md.errors import InputError, RunDirectoryError
from dipolar_md.study.project import JobFolder, open_project, prepare
from dipolar_md.study.slurm import slurm_states
from dipolar_md.study.table import read_results

DIPOLES = [20.0, 25.0, 30.0]
DOCUMENT, POINT = "signac_job_document.json", "signac_statepoint.json"


@pytest.fixture
def study(tmp_path):
    """A study of three finished jobs, without their runs; the folder of the second."""
    chosen = toy(DIPOLES)
    out = prepare(chosen, tmp_path / "study")
    project = open_project(chosen, out)
    for id in project.jobs:
        row = finished_row(2.5) | {"ended": "complete", "equilibrated": True}
        project.folder(id).write_document({"status": "done", "error": "", "row": row})
    return chosen, out, project.folder(list(project.jobs)[1])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\0" * 40,
        b'{"status": "done"}',
        b'{"status": "done", "row": {}}',
        b'{"status": "maybe"}',
        b'{"status": "done", "row": ' + b"[" * 10_000,
    ],
)
def test_a_damaged_document_is_one_damaged_job(study, content):
    chosen, out, folder = study
    (folder.path / DOCUMENT).write_bytes(content)
    status = dm.study_status(chosen, out)
    assert status.counts == {"done": 2, "damaged": 1}
    assert DOCUMENT in status.errors[folder.id]
    assert [job.point["dipole_D"] for job in status.to_run] == [25.0]
    assert [row["dipole_D"] for row in read_results(chosen, out).rows] == [20.0, 30.0]


def test_a_damaged_job_is_mended_by_running_it(study):
    chosen, out, folder = study
    (folder.path / DOCUMENT).write_bytes(b"{")
    ended = dm.run_study(chosen, out, workers=1)
    assert ended.counts == {"done": 3}
    row = json.loads((folder.path / DOCUMENT).read_bytes())["row"]
    assert row["dipole_D"] == pytest.approx(25.0)


@pytest.mark.parametrize("content", [b"", b"{", b'{"dipole_D": 7.0}'])
def test_a_damaged_state_point_is_written_again(study, content):
    chosen, out, folder = study
    whole = (folder.path / POINT).read_bytes()
    (folder.path / POINT).write_bytes(content)
    assert dm.study_status(chosen, out).counts == {"done": 3}
    prepare(chosen, out)
    assert json.loads((folder.path / POINT).read_bytes()) == json.loads(whole)


@pytest.mark.parametrize("content", [b"", b"{", b'{"7": "all"}', b'{"7": [[1]]}'])
def test_a_damaged_record_of_slurm_blocks_nothing_else(study, tmp_path, content, command):
    chosen, out, _ = study
    record = out / "slurm" / "submitted.json"
    record.parent.mkdir()
    record.write_bytes(content)
    with pytest.raises(InputError, match=r"submitted\.json"):
        slurm_states(out)
    answer = command("study", "status", write(chosen, tmp_path / "toy.toml"), "--out", out)
    assert answer.code == 0
    assert "3 done" in answer.out
    assert "submitted.json" in answer.err.replace("\n", "")


def test_a_damaged_project_says_what_it_is(study):
    chosen, out, _ = study
    (out / "signac_project_document.json").write_bytes(b"{")
    with pytest.raises((InputError, RunDirectoryError), match="signac_project_document"):
        dm.study_status(chosen, out)


def test_numbers_that_are_none_are_written_as_none(tmp_path):
    JobFolder(tmp_path).write_document({"row": {"a": float("nan"), "b": [float("inf"), 1]}})
    assert json.loads((tmp_path / DOCUMENT).read_bytes()) == {"row": {"a": None, "b": [None, 1]}}
