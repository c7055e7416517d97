"""What a run leaves for people: every file of a real run, every number of a known one."""

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import dipolar_md as dm
from dipolar_md import plots
from dipolar_md.trajectory import append_frame

FIGURES = ["chain_lengths.png", "film.png", "growth.png", "pair_energy.png", "spacing.png"]
R1, S1 = (dm.coarse_grain(dm.load_cluster(name)) for name in ("r-1", "s-1"))
SUMMARY = (  # as the architecture fixes it
    "cluster engine n_clusters time_ns temperature_K relative_permittivity lambda_contact "
    "mean_chain_length weight_mean_chain_length max_chain_length chained_fraction ring_fraction "
    "branched_fraction percolating contour_length_nm spacing_nm persistence_length_nm polar_order "
    "nematic_order mean_chain_length_by_criterion reference"
)
S = 1.8  # spacing along chains, nm


def strict(text):
    """JSON without the NaN and Infinity that Python alone understands."""
    return json.loads(text, parse_constant=pytest.fail)


def leaves(table):
    values = table.values() if isinstance(table, dict) else table
    for value in values:
        yield from leaves(value) if isinstance(value, dict | list) else [value]


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a short real run."""
    return dm.Run(Path(shutil.copytree(finished.path, tmp_path / "run")))


@pytest.fixture
def known(tmp_path):
    """A hand-made run of a racemate: 8 monomers, then chains of 3 and 2 and 3 monomers."""
    heights = [0, S, 2 * S, 0, S, 0, 0, 0]
    columns = [0, 0, 0, 6, 6, -3, 9, -6]
    positions = np.stack([np.zeros(8), columns, heights], axis=1)
    upright = np.tile([1.0, 0.0, 0.0, 0.0], (8, 1))
    for k, stage in enumerate(["solution", "evaporation", "evaporation", "dry", "dry"]):
        frame = dm.Frame.from_arrays(
            (100,) * 3,
            positions if k else 5 * positions,
            upright,
            (R1, S1),
            np.arange(8) % 2,
            step=k,
            time_ns=0.5 * k,
            stage=stage,
            temperature_K=298.15,
            relative_permittivity=1.0,
        )
        append_frame(tmp_path / "trajectory.gsd", frame)
    (tmp_path / "recipe.toml").write_text(dm.load_recipe("racemate-au-cu", {"seed": 7}).to_toml())
    manifest = {"status": "interrupted", "sessions": [{"engine": "hoomd"}, {"engine": "lammps"}]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return dm.Run(tmp_path)


@pytest.fixture
def drawn(monkeypatch):
    """Arguments of every plot, by the name of its function; nothing is drawn."""
    calls = {}
    for name in ("film", "length_distribution", "spacing", "growth", "pair_energy"):

        def note(_, *arguments, name=name, **options):
            calls[name] = [*arguments, *options.values()]

        monkeypatch.setattr(plots, f"draw_{name}", note)
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: None)
    return calls


def test_real_run_leaves_all_files(run):
    before = files(run.path)
    done = []
    found = dm.analyze(run.path, progress=lambda *count: done.append(count))
    stage = sum(frame.stage == "dry" for frame in run.trajectory)
    assert done[-1] == (stage, stage)
    assert found.statistics.n_frames <= stage
    new = set(files(run.path)) - set(before)
    assert new == {"summary.json", "chains.csv", *(f"figures/{name}" for name in FIGURES)}
    assert not list(run.path.rglob("*.part"))
    assert sorted(path.name for path in found.figures) == FIGURES
    for path in found.figures:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 5000

    summary = strict((run.path / "summary.json").read_text())
    assert summary == json.loads(json.dumps(found.summary))
    assert set(summary) >= set(SUMMARY.split())
    assert all(math.isfinite(value) for value in leaves(summary) if isinstance(value, float))
    assert (summary["cluster"], summary["engine"], summary["n_clusters"]) == (
        "r-au-cu",
        "lammps",
        len(run.trajectory[-1].system),
    )
    assert summary["finished"] is True
    assert summary["stage"] == "dry"
    assert summary["times"] == "accelerated: friction scaled by 0.02"
    assert {"bond_lifetime_accelerated_ns", "chain_lifetime_accelerated_ns"} <= set(summary)
    assert not [key for key in summary if key.endswith("_lifetime_ns")]  # no physical time
    assert summary["reference"]["name"] == "tem-r-au-cu"
    tags = {v["quantity"]: v["tag"] for v in summary["reference"]["verdicts"]}
    assert (tags["spacing_nm"], tags["contour_length_nm"]) == ("calibrated", "predicted")
    spacings = found.statistics.spacings_nm
    share = np.mean((spacings >= 1.8) & (spacings <= 2.5))
    assert summary["spacing_nm"]["fraction_in_reference"] == pytest.approx(share)
    assert summary["expected_mean_chain_length"] > 1

    with (run.path / "chains.csv").open() as file:
        rows = list(csv.DictReader(file))
    last = dm.find_chains(run.trajectory[-1])
    index = str(len(run.trajectory) - 1)
    lengths = [float(row["contour_length_nm"]) for row in rows if row["frame"] == index]
    assert lengths == pytest.approx(last.contour_nm[last.sizes > 1], rel=1e-5)
    assert len(rows) == len(found.statistics.chains)


def test_analysis_can_be_repeated_with_another_reference(run, drawn):
    first = dm.analyze(run)
    again = dm.analyze(run, reference="crystal-r-au-cu")
    assert first.comparison.reference.name == "tem-r-au-cu"
    assert again.comparison.reference.name == "crystal-r-au-cu"
    summary = strict((run.path / "summary.json").read_text())
    assert [v["verdict"] for v in summary["reference"]["verdicts"]] == ["differs", "not predicted"]
    assert summary["spacing_nm"]["fraction_in_reference"] is None  # a value is no range
    assert drawn["spacing"][1:] == [None, {"crystal c": 1.61, "crystal b": 2.68}, 1.822]


def test_known_run(known, drawn):
    found = dm.analyze(known)
    assert (found.comparison, found.expected_mean_length) == (None, None)
    summary = strict((known.path / "summary.json").read_text())
    assert summary["cluster"] == "r-1 + s-1"
    assert (summary["engine"], summary["seed"], summary["finished"]) == ("lammps", 7, False)
    assert (summary["time_ns"], summary["window_ns"], summary["n_frames"]) == (2.0, [2.0, 2.0], 1)
    assert summary["mean_chain_length"] == pytest.approx(8 / 5)
    assert summary["spacing_nm"]["median"] == pytest.approx(S, rel=1e-5)
    assert summary["reference"] is None
    assert summary["spacing_nm"]["fraction_in_reference"] is None
    assert summary["pair_energy_minimum"] is None
    assert (known.path / "chains.csv").read_text() == (
        "frame,time_ns,chain,kind,n_clusters,contour_length_nm,end_to_end_nm\n"
        "4,2,0,linear,3,3.6,3.6\n"
        "4,2,1,linear,2,1.8,1.8\n"
    )


@pytest.mark.parametrize(
    ("times", "key"),
    [
        ("physical friction", "bond_lifetime_ns"),
        ("accelerated: friction scaled by 0.1", "bond_lifetime_accelerated_ns"),
    ],
)
def test_lives_are_physical_only_with_physical_friction(known, drawn, times, key):
    manifest = known.manifest | {"times": times}
    (known.path / "manifest.json").write_text(json.dumps(manifest))
    summary = dm.analyze(known.path).summary
    assert [name for name in summary if name.startswith("bond_lifetime")] == [key]


def test_plots_get_what_they_draw(known, drawn):
    dm.analyze(known)
    positions, box, sizes, bonds, contact = drawn["film"]
    system = known.trajectory[-1].system
    np.testing.assert_array_equal(positions, system.positions)
    np.testing.assert_array_equal(box, system.box)
    assert sizes.tolist() == [3, 3, 3, 2, 2, 1, 1, 1]
    assert bonds.tolist() == [[0, 1], [1, 2], [3, 4]]
    assert contact == R1.axial_contact_nm
    lengths, n_frames, mean, expected = drawn["length_distribution"]
    assert sorted(lengths) == [1, 1, 1, 2, 3]
    assert (n_frames, mean, expected) == (1, pytest.approx(1.6), None)
    spacings, band, marks, contact = drawn["spacing"]
    assert spacings == pytest.approx([S] * 3, rel=1e-5)
    assert (band, marks) == (None, {})  # neither the TEM nor the crystal is of these clusters
    times, mean_length, permittivity, concentration, stages = drawn["growth"]
    assert times.tolist() == [0, 0.5, 1, 1.5, 2]
    assert mean_length == pytest.approx([1, 1.6, 1.6, 1.6, 1.6])
    assert permittivity.tolist() == [1] * 5
    assert concentration == pytest.approx([system.concentration_mM] * 5)
    assert stages == [("solution", 0, 0), ("evaporation", 0, 1), ("dry", 1, 2)]
    energies, minimum = drawn["pair_energy"]
    assert energies == pytest.approx([-((R1.axial_contact_nm / S) ** 3)] * 3, rel=1e-5)
    assert minimum is None


def test_band_of_the_reference_is_drawn(run, drawn):
    found = dm.analyze(run)
    assert drawn["spacing"][1] == (1.8, 2.5)
    reached = found.expected_mean_length
    assert reached > found.statistics.n_clusters  # so it stands in no figure of so small a box
    assert drawn["length_distribution"][3] is None


def test_refusals(known, tmp_path):
    with pytest.raises(dm.InputError, match="no run here"):
        dm.analyze(tmp_path / "elsewhere")
    with pytest.raises(dm.InputError, match="unknown reference 'tem'"):
        dm.analyze(known, reference="tem")
    assert not (known.path / "summary.json").exists()
    (known.path / "figures").write_text("in the way")
    with pytest.raises(dm.RunDirectoryError, match="can't be written"):
        dm.analyze(known)
    (known.path / "trajectory.gsd").unlink()
    with pytest.raises(dm.InputError, match=r"trajectory\.gsd: no readable trajectory"):
        dm.analyze(known)


def test_outlook_is_drawn(tmp_path):
    cluster = dm.load_cluster("r-au-cu")
    outlook = dm.describe(cluster, solvents=["vacuum", "dichloromethane"])
    path = dm.draw_outlook(outlook, tmp_path / "outlook.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert files(tmp_path) == ["outlook.png"]
    with pytest.raises(dm.RunDirectoryError, match=r"outlook\.png: can't be written"):
        dm.draw_outlook(outlook, path / "outlook.png")
