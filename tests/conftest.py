"""Options, visible skips, and what several test files share: a toy recipe, a run, the command."""

import sys
from functools import cache
from typing import NamedTuple

import pytest

import dipolar_md as dm
from dipolar_md.commands.main import main
from dipolar_md.engines.choice import inspect_engine

FAULTS = pytest.StashKey[dict]()
"""Counts of the faults that were tried, by row of the table."""


def pytest_addoption(parser):
    parser.addoption("--validate", action="store_true", help="run the long statistical checks, too")
    parser.addoption("--faults", action="store_true", help="run the whole campaign of faults")


def pytest_collection_modifyitems(config, items):
    reasons = {
        "validate": lambda: "" if config.getoption("--validate") else "needs --validate",
        "hoomd": _no_hoomd,
        "gpu": _no_gpu,
    }
    for item in items:
        for name, reason in reasons.items():
            if item.get_closest_marker(name) and reason():
                item.add_marker(pytest.mark.skip(reason=reason()))


def pytest_terminal_summary(terminalreporter, config):
    """Print the table of the faults that were tried."""
    table = config.stash.get(FAULTS, {})
    if table:
        columns = ("tried", "survived", "lost", "silently wrong", "tracebacks", "hangs")
        terminalreporter.section("faults")
        terminalreporter.write_line(f"| {'fault':<34} | {' | '.join(columns)} |")
        terminalreporter.write_line(f"|---|{'---:|' * len(columns)}")
        for name, counts in sorted(table.items()):
            cells = " | ".join(str(counts[column]) for column in columns)
            terminalreporter.write_line(f"| {name:<34} | {cells} |")


@cache
def _no_hoomd():
    try:
        import hoomd  # noqa: F401 - being importable is the question
    except (ImportError, OSError) as error:
        return f"HOOMD-blue can't be imported: {error}"
    return ""


@cache
def _no_gpu():
    if _no_hoomd():
        return _no_hoomd()
    found = inspect_engine("hoomd", "gpu")
    return "" if found.usable else f"HOOMD-blue has no usable GPU: {found.note}"


@pytest.fixture(scope="session")
def toy():
    """Overrides that make a second of the shipped drop-cast: 1900 steps, a frame every 100."""
    return {
        "n_clusters": 64,
        "cutoff_nm": 4.0,
        "chunk_steps": 50,
        "frame_interval_ns": 0.08,
        "stages.solution.time_ns": 0.32,
        "stages.evaporation.time_ns": 0.8,
        "stages.evaporation.concentration_mM": 60.0,
        "stages.dry.time_ns": 0.4,
        **{f"stages.{name}.skin_nm": 1.0 for name in ("solution", "evaporation", "dry")},
    }


@pytest.fixture(scope="session")
def finished(toy, tmp_path_factory):
    """A finished run; don't write into it."""
    out = tmp_path_factory.mktemp("finished") / "run"
    return dm.assemble("r-au-cu", out, "lammps", threads=1, overrides=toy)


class Answer(NamedTuple):
    """What a command left on the terminal."""

    code: int
    out: str
    err: str

    @property
    def words(self):
        """Standard output with every run of blanks as one."""
        return " ".join(self.out.split())


@pytest.fixture
def command(monkeypatch, capsys):
    """The command line in this process, as a terminal of 80 columns shows it."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["dipolar-md", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        return Answer(code, *capsys.readouterr())

    return run
