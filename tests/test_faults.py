"""The campaign of faults: what is done to runs and to input, and that nothing comes of it unsaid.

`pytest --faults tests/test_faults.py` tries all and prints the table of docs/reliability.md; plain
`pytest` a part of it. Each row is a test: `-k run-trajectory-bits`. After a fault to a run
directory whatever is read must be what was written, or be refused; going on keeps every sound
frame, or refuses and deletes nothing. Bad input ends in an error of this package, one sentence.
"""

import json
import random
import re
import shutil
import signal
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import dipolar_md as dm
from dipolar_md.errors import DipolarMDError
from dipolar_md.files import read_json
from dipolar_md.frame_checks import FrameTable
from dipolar_md.parameters import parameter_folder
from dipolar_md.simulation.plan import make_plan
from dipolar_md.simulation.run_directory import SoundFrames

ROUNDS, INPUTS, COMMANDS = 12, 450, 300  # of every row with --faults
LONGEST_s = 60
STATE = ("positions", "orientations", "velocities", "angular_velocities", "box")


class Hang(BaseException):
    """Something took longer than any answer may."""


@contextmanager
def patience():
    """End what hangs."""

    def late(*_):
        raise Hang

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST_s)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def tally(request):
    """Count the outcomes of a row, and hold them against what is allowed."""
    counts, row = Counter(), request.node.callspec.id
    yield counts
    counts["tried"] = sum(counts.values())
    table = request.config.stash.setdefault(request.config.stash_key, {})
    table[row] = counts


@pytest.fixture(autouse=True)
def _stash(request):
    request.config.stash_key = next(
        plugin.FAULTS
        for plugin in request.config.pluginmanager.get_plugins()
        if hasattr(plugin, "FAULTS")
    )


def outcome(counts, act):
    """Count how an action ends: what it returns, an error of ours, a traceback or a hang."""
    try:
        with patience(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            word = act()
    except DipolarMDError as error:
        word = "survived" if len(str(error)) < 4000 else "tracebacks"
    except Hang:
        word = "hangs"
    except Exception as error:
        word = "tracebacks"
        counts.failures = [*getattr(counts, "failures", []), f"{error!r} {act.__defaults__}"]
    counts[word] += 1


def assert_all_survived(counts):
    """Nothing lost, nothing wrong, no traceback, no hang."""
    bad = {key: n for key, n in counts.items() if key != "survived" and n}
    assert not bad, (bad, getattr(counts, "failures", [])[:3])


# --- Faults of a run directory --------------------------------------------------------------------


def bits(name, number):
    def flip(path, rng, other):
        data = bytearray((path / name).read_bytes())
        for _ in range(number):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (path / name).write_bytes(data)

    return flip


def cut(name):
    def truncate(path, rng, other):
        data = (path / name).read_bytes()
        (path / name).write_bytes(data[: rng.randrange(len(data))])

    return truncate


def zeros(name):
    def blank(path, rng, other):  # a block that never reached the disk
        data = bytearray((path / name).read_bytes())
        at = rng.randrange(len(data))
        data[at : at + 4096] = bytes(len(data[at : at + 4096]))
        (path / name).write_bytes(data)

    return blank


def gone(*names):
    def remove(path, rng, other):
        for name in names:
            (path / name).unlink(missing_ok=True)

    return remove


def foreign(*names):
    def exchange(path, rng, other):
        for name in names:
            shutil.copy(other / name, path / name)

    return exchange


def frames(order):
    def reorder(path, rng, other):
        table = FrameTable(path / "trajectory.gsd")
        table.save_frames(order(list(range(len(table))), rng), path / "trajectory.gsd")

    return reorder


def doubled(all_of_them, rng):
    at = rng.choice(all_of_them)
    return [*all_of_them[: at + 1], *all_of_them[at:]]


def without(all_of_them, rng):
    at = rng.choice(all_of_them[1:])
    return [i for i in all_of_them if i != at]


def swapped(all_of_them, rng):
    a, b = rng.sample(all_of_them[1:], 2)
    order = list(all_of_them)
    order[a], order[b] = b, a
    return order


def rewritten(key, *values):
    def rewrite(path, rng, other):
        manifest = json.loads((path / "manifest.json").read_text())
        manifest[key] = rng.choice(values)
        (path / "manifest.json").write_text(json.dumps(manifest))

    return rewrite


def edited(path, rng, other):
    text = (path / "recipe.toml").read_text()
    numbers = list(re.finditer(r"(?<= = )\d+\.?\d*(?=\n)", text))
    chosen = rng.choice(numbers)
    text = text[: chosen.start()] + "7.5" + text[chosen.end() :]
    (path / "recipe.toml").write_text(text)


RUN_FAULTS = {
    "trajectory-bit": bits("trajectory.gsd", 1),
    "trajectory-bits": bits("trajectory.gsd", 360),
    "trajectory-cut": cut("trajectory.gsd"),
    "trajectory-block-of-zeros": zeros("trajectory.gsd"),
    "trajectory-lost": gone("trajectory.gsd"),
    "trajectory-of-another-run": foreign("trajectory.gsd"),
    "frame-missing": frames(without),
    "frames-doubled": frames(doubled),
    "frames-swapped": frames(swapped),
    "frames-reversed": frames(lambda order, rng: order[::-1]),
    "last-frames-missing": frames(lambda order, rng: order[: rng.randrange(1, len(order))]),
    "checkpoint-bit": bits("restart.gsd", 1),
    "checkpoint-cut": cut("restart.gsd"),
    "checkpoint-lost": gone("restart.gsd"),
    "both-checkpoints-lost": gone("restart.gsd", "restart.prev.gsd"),
    "checkpoint-of-another-run": foreign("restart.gsd", "restart.prev.gsd"),
    "checkpoint-and-trajectory-lost": gone("restart.gsd", "restart.prev.gsd", "trajectory.gsd"),
    "manifest-bit": bits("manifest.json", 1),
    "manifest-cut": cut("manifest.json"),
    "manifest-lost": gone("manifest.json"),
    "manifest-of-another-run": foreign("manifest.json"),
    "manifest-says-finished": rewritten("status", "finished"),
    "manifest-nonsense": rewritten("sessions", None, 7, [7], "x", {"a": 1}),
    "recipe-edited": edited,
    "recipe-cut": cut("recipe.toml"),
    "recipe-lost": gone("recipe.toml"),
    "everything-of-another-run": foreign("trajectory.gsd", "manifest.json", "restart.gsd"),
}


@pytest.fixture(scope="module")
def runs(toy, tmp_path_factory):
    """A finished run, one that was stopped, and one of another dipole: directory and frames."""
    out = tmp_path_factory.mktemp("faults")
    stop = lambda progress: progress.done_steps == 950  # noqa: E731
    made = {
        "finished": dm.assemble("r-au-cu", out / "a", "lammps", threads=1, overrides=toy),
        "stopped": dm.assemble(
            "r-au-cu", out / "b", "lammps", threads=1, overrides=toy, progress=stop
        ),
        "other": dm.assemble(
            *("r-au-cu", out / "c", "lammps"),
            threads=1,
            overrides=toy | {"dipole_D": 20.0},
            progress=stop,
        ),
    }
    return {name: (run.path, states(run.trajectory)) for name, run in made.items()}


def states(trajectory):
    """What every frame says, by step."""
    return {
        frame.step: (
            *(getattr(frame.system, key).tobytes() for key in STATE),
            repr((frame.stage, frame.time_ns, frame.energies, frame.temperature_K)),
            frame.system.bodies,
        )
        for frame in trajectory
    }


def read(path, written):
    """Read a run as every analysis does; tell whether it says what was written."""
    run = dm.Run(path)
    found = states(run.trajectory)
    if any(written.get(step) != state for step, state in found.items()):
        return "silently wrong"
    if run.finished and set(found) | set(run.manifest.get("missing_steps", ())) != set(written):
        return "silently wrong"
    return "survived"


def go_on(path, written, toy, trusted):
    """Go on with a run for a chunk; tell whether its sound frames are still there."""
    plan = make_plan("r-au-cu", toy)
    sound = SoundFrames(path / "trajectory.gsd", trusted, plan.frame_schedule(1900)).steps
    kept = [file.read_bytes() for file in path.glob("*.gsd")]
    try:
        run = dm.assemble(
            "r-au-cu", path, "lammps", threads=1, overrides=toy, progress=lambda _: True
        )
        found = states(run.trajectory)
    except DipolarMDError:
        left = [file.read_bytes() for file in path.glob("*.gsd")]
        return "survived" if all(data in left for data in kept) else "lost"
    if run.finished:
        return "lost" if {*sound} - {*found} else "survived"
    first = run.manifest["sessions"][-1]["first_step"]
    if any(written.get(step) != state for step, state in found.items() if step <= first):
        return "silently wrong"
    if first and {step for step in sound if step <= first} - set(found):
        return "lost"
    return "lost" if not first and any(sound) else "survived"


@pytest.mark.parametrize("fault", [pytest.param(name, id=f"run-{name}") for name in RUN_FAULTS])
def test_faults_of_runs(fault, runs, toy, tmp_path, tally, pytestconfig):
    other, _ = runs["other"]
    rounds = ROUNDS if pytestconfig.getoption("--faults") else 1
    for number in range(rounds):
        rng = random.Random(f"{fault} {number}")
        kinds = ["finished", "stopped"]
        for kind in kinds if rounds > 1 else rng.sample(kinds, 1):
            source, written = runs[kind]
            path = tmp_path / f"{kind}{number}"
            shutil.copytree(source, path)
            RUN_FAULTS[fault](path, rng, other)
            outcome(tally, lambda path=path, written=written: read(path, written))
            trusted = dm.Run(source).identity
            outcome(
                tally,
                lambda path=path, written=written, trusted=trusted: go_on(
                    path, written, toy, trusted
                ),
            )
            shutil.rmtree(path)
    assert_all_survived(tally)


# --- Bad input ------------------------------------------------------------------------------------

SPECIAL = [
    *(b"1e308", b"-1", b"0", b"nan", b"inf", b"9" * 5000, b"[" * 2000, b'"', b"\0", b"\xff"),
    *(b"true", b'""', b"{}", b"1_85", b"1,842", b"\n\n", b"]]", b"1e-300", b"9" * 20, b"../x"),
]


def mutated(data, rng):
    """Return bytes with a few changes: bits, cuts, special values, copies, lines exchanged."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        if not data:
            break
        at, kind = rng.randrange(len(data)), rng.randrange(7)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at : at + rng.randrange(1, 40)]
        elif kind == 2:
            data[at:at] = rng.choice(SPECIAL)
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            start = rng.randrange(len(data))
            data[at:at] = data[start : start + rng.randrange(1, 60)]
        elif kind == 5 and (numbers := list(re.finditer(rb"-?\d+(\.\d+)?", bytes(data)))):
            number = rng.choice(numbers)
            data[number.start() : number.end()] = rng.choice(SPECIAL)
        else:
            lines = bytes(data).split(b"\n")
            a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[a], lines[b] = lines[b], lines[a]
            data = bytearray(b"\n".join(lines))
    return bytes(data)


def toml(kind, pattern="*"):
    return [
        file.read_bytes() for file in sorted((parameter_folder() / kind).glob(f"{pattern}.toml"))
    ]


def structures(*suffixes):
    folder = Path(__file__).parent / "data"
    return [file.read_bytes() for file in sorted(folder.iterdir()) if file.suffix in suffixes]


def describe(path):
    dm.describe(dm.load_cluster(path, 43.0 if b"44" in path.read_bytes()[:40] else None))


def plan_study(path):
    study = dm.load_study(path)
    dm.estimate_cost(study, list(study.jobs[:2]))


INPUT_FAULTS = {  # originals, ending, reader
    "cluster": (lambda: toml("clusters", "*-au-cu"), ".toml", dm.load_cluster),
    "described-cluster": (lambda: toml("clusters", "ag44"), ".toml", describe),
    "recipe": (lambda: toml("recipes"), ".toml", dm.load_recipe),
    "preflight": (lambda: toml("recipes", "r-au-cu"), ".toml", dm.preflight),
    "study": (lambda: toml("studies"), ".toml", plan_study),
    "reference": (lambda: toml("references"), ".toml", dm.load_reference),
    "solvent": (lambda: toml("solvents"), ".toml", dm.load_solvent),
    "table-of-commas": (
        lambda: [b"spacing_nm,contour_length_nm\n1.8,20\n1.9,30.5\n1.85,\n"],
        ".csv",
        dm.read_measured,
    ),
    "table-of-semicolons": (
        lambda: [b"spacing_nm;contour_length_nm\n1,8;20\n1,9;30,5\n1,85;\n"],
        ".csv",
        dm.read_measured,
    ),
    "json": (
        lambda: [b'{"status": "done", "row": {"ended": "complete", "n": [1, 2.5]}}'],
        ".json",
        read_json,
    ),
    "structure": (lambda: structures(".xyz"), ".xyz", dm.read_molecule),
    "output": (lambda: structures(".out"), ".out", dm.read_molecule),
}


@pytest.mark.parametrize("fault", [pytest.param(name, id=f"input-{name}") for name in INPUT_FAULTS])
def test_bad_input(fault, tmp_path, tally, pytestconfig):
    originals, ending, reader = INPUT_FAULTS[fault]
    originals = originals()
    whole = pytestconfig.getoption("--faults")
    numbers = INPUTS if ending in (".toml", ".csv", ".json") else INPUTS // 4
    for number in range(numbers if whole else 8):
        rng = random.Random(f"{fault} {number}")
        path = tmp_path / f"mutated{ending}"
        path.write_bytes(mutated(rng.choice(originals), rng))
        outcome(tally, lambda path=path: (reader(path) and None) or "survived")
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"mutated{ending}"]  # nothing written
    assert_all_survived(tally)


WORDS = [
    "",
    "1e308",
    "-1",
    "nan",
    "9" * 30,
    "../../x",
    "a b",
    "\n",
    "none.toml",
    "/dev/zero",
    "=",
    "é",
]
LINES = [
    ["describe", "{}"],
    ["describe", "ag44", "--dipole-D", "{}"],
    ["describe", "r-au-cu", "--concentration-mM", "{}"],
    ["describe", "r-au-cu", "--solvent", "{}"],
    ["assemble", "{}", "--preflight"],
    ["assemble", "r-au-cu", "--preflight", "--set", "{}"],
    ["assemble", "r-au-cu", "--preflight", "--set", "seed={}"],
    ["assemble", "r-au-cu", "--preflight", "--set", "stages.dry.time_ns={}"],
    ["assemble", "r-au-cu", "--out", "run", "--threads", "{}", "--clusters", "3"],
    ["assemble", "r-au-cu", "--out", "run", "--walltime", "{}", "--clusters", "3"],
    ["analyze", "{}"],
    ["compare", "{}"],
    ["verify", "{}"],
    ["study", "status", "{}"],
    ["study", "run", "demo", "--out", "study", "--jobs", "{}"],
    ["study", "run", "demo", "--out", "study", "--workers", "{}"],
    ["study", "submit", "demo", "--out", "study", "--partition", "{}"],
    ["study", "infer", "demo", "--out", "study", "--lengths", "{}"],
    ["dipole", "{}"],
]


@pytest.mark.parametrize("fault", [pytest.param("line", id="command-line")])
def test_bad_lines(fault, tmp_path, tally, pytestconfig, command, monkeypatch):
    """Every command with words that mean nothing: 0, 1, 2 or 130, no traceback, nothing written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    rng = random.Random(fault)
    for _ in range(COMMANDS if pytestconfig.getoption("--faults") else 20):
        word = rng.choice(WORDS)
        line = [part.replace("{}", word) for part in rng.choice(LINES)]

        def act(line=line):
            answer = command(*line)
            assert answer.code in (0, 1, 2), line
            assert "Traceback" not in answer.err, line
            assert answer.code == 0 or len(answer.err) < 4000, line
            return "survived"

        outcome(tally, act)
    assert not list(tmp_path.iterdir())
    assert_all_survived(tally)


def test_states_tell_frames_apart(runs):
    """The campaign would see a frame that isn't its own."""
    (_, one), (_, other) = runs["finished"], runs["other"]
    assert len(one) == 20
    assert all(one[step] != other[step] for step in other)
    assert np.unique([hash(state) for state in one.values()]).size == 20
