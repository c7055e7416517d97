"""How a job is told to stop: by what its progress returns, never by a signal to its own process."""

import signal
from multiprocessing import Pipe

import pytest

import dipolar_md as dm
from dipolar_md.study.stopping import CHECKS, Watch
from dipolar_md.study.study_file import Stopping


@pytest.fixture
def no_signals():
    """Any SIGTERM to this process fails the test."""

    def refuse(*_):
        raise AssertionError("a signal was sent")

    before = signal.signal(signal.SIGTERM, refuse)
    yield
    signal.signal(signal.SIGTERM, before)


def progress(done):
    return dm.Progress("dry", done, 1900, 1.0, None, None)


def test_a_leader_that_is_gone_stops_the_run(toy, tmp_path, no_signals):
    """The pipe closes after 300 steps: the run stops there, with a checkpoint, and goes on."""
    leader, worker = Pipe()
    watch = Watch(tmp_path / "run", None, worker)

    def until(now):
        if now.done_steps == 300:
            leader.close()
        return watch(now)

    options = {"threads": 1, "overrides": toy}
    run = dm.assemble("r-au-cu", tmp_path / "run", "lammps", progress=until, **options)
    assert run.manifest["status"] == "interrupted"
    assert run.manifest["sessions"][0]["last_step"] == 300
    assert dm.assemble("r-au-cu", tmp_path / "run", "lammps", **options).finished


def test_the_stopping_rule_ends_the_run(finished, monkeypatch, no_signals):
    """It is looked at every twentieth of the run, and stays true once it was."""
    _, worker = Pipe()
    watch = Watch(finished.path, Stopping(relative_error=0.5, source="x"), worker)
    answers = [False, True]
    monkeypatch.setattr(watch, "enough", lambda error: answers.pop(0))
    monkeypatch.setattr(watch, "told_to_stop", lambda part: setattr(watch, "part", part))
    look = 1900 // CHECKS
    assert [bool(watch(progress(step))) for step in (look, look + 1, 2 * look, 2 * look + 1)] == [
        False,
        False,
        True,
        True,
    ]
    assert watch.reached
