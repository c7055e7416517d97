"""What a study leaves beside its CSV: Parquet, distributions of lengths, the phase map."""

import io
import math
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from matplotlib.figure import Figure

import dipolar_md as dm
from dipolar_md import plots
from dipolar_md.parameters import parameter_file, read_toml
from dipolar_md.study.project import open_project, prepare
from dipolar_md.study.table import over_replicas, study_rows, thresholds, to_parquet

ROOT = Path(__file__).parents[2]


def row_of(point, length, fractions=None, **more):
    """A finished job with ideal chains of a mean length."""
    q = 1 - 1 / length
    known = {n: q ** (n // 2) - q**n for n in (1, 2, 4, 8)} if fractions is None else fractions
    return {
        "cluster": "r-au-cu",
        "relative_permittivity": 1.0,
        "temperature_K": 298.15,
        "concentration_mM": 5.0,
        "lambda_contact": 7.0,
        "expected_mean_chain_length": None,
        "equilibrated": True,
        **{f"mean_chain_length_{key}": length for key in ("energy_0_5", "energy_0_7")},
        "mean_chain_length_distance_1_3_attractive": length,
        **{f"chain_fraction_to_{n}": value for n, value in known.items()},
        **{f"chain_fraction_to_{n}_err": 0.01 for n in known},
        **point,
        **more,
    }


def test_parquet_keeps_types_and_what_is_missing():
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [
        {
            "dipole_D": 20,
            "solvent": "water",
            "equilibrated": True,
            "n": 3,
            "never": None,
            "persistence": "stiff",
        },
        {"dipole_D": 21.5, "solvent": "vacuum", "equilibrated": False, "n": 4, "late": 0.5},
    ]
    table = parquet.read_table(io.BytesIO(to_parquet(rows)))
    assert {field.name: str(field.type) for field in table.schema} == {
        "dipole_D": "double", "solvent": "string", "equilibrated": "bool", "n": "int64",
        "never": "double", "persistence": "string", "late": "double",
    }  # fmt: skip
    back = table.to_pylist()
    assert back[0] == {**rows[0], "dipole_D": 20.0, "late": None}
    assert back[1] == {**rows[1], "never": None, "persistence": None}


def test_without_pyarrow_there_is_no_parquet(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert to_parquet([{"a": 1}]) is None


def test_fractions_of_chains_are_those_of_the_frames(finished):
    statistics = dm.nanowire_statistics(finished.trajectory)
    found = statistics.length_fractions()
    low = 0
    for high, share in found.items():
        inside = (statistics.sizes > low) & (statistics.sizes <= high)
        assert share.value == pytest.approx(inside.mean())
        low = high
    assert list(found) == [2**k for k in range(len(found))]
    assert sum(share.value for share in found.values()) == pytest.approx(1)
    assert any(share.error for share in found.values())


def test_a_length_that_one_replica_never_saw_counts_as_none_there():
    rows = [
        row_of({"dipole_D": 20.0, "replica": 0}, 1.5, {1: 0.5, 2: 0.5}),
        row_of({"dipole_D": 20.0, "replica": 1}, 1.5, {1: 0.5, 2: 0.3, 4: 0.2}),
    ]
    (mean,) = over_replicas(rows, ["dipole_D"])
    assert {n: one.value for n, one in mean.fractions.items()} == pytest.approx(
        {1: 0.5, 2: 0.4, 4: 0.1}
    )
    assert mean.fractions[4].error == pytest.approx(0.1)  # they scatter: 0 and 0.2
    old = {k: v for k, v in rows[0].items() if not k.startswith("chain_fraction")}
    assert over_replicas([old], ["dipole_D"])[0].fractions == {}


def test_ideal_chains_lie_on_their_line():
    mean, high = 6.0, np.array([1, 2, 4, 8, 16])
    q = 1 - 1 / mean
    low = np.array([0, 1, 2, 4, 8])
    shares = q**low - q**high
    ax = plots.draw_length_series(
        Figure().subplots(), {"30 D": (high, shares, 0.1 * shares, mean)}, "here"
    )
    points, ideal = ax.lines[:2]
    assert points.get_ydata() == pytest.approx(ideal.get_ydata())
    assert points.get_xdata() == pytest.approx(np.sqrt((low + 1) * high))
    n = np.arange(1, 17)
    exact = q ** (n - 1) / mean  # Flory's, averaged over the clusters of each bin
    for k in range(5):
        inside = (n > low[k]) & (n <= high[k])
        assert ideal.get_ydata()[k] == pytest.approx(exact[inside].mean())


@pytest.fixture
def mapped(tmp_path):
    """A study file of dipoles and permittivities, its finished jobs, and where they are."""
    data = read_toml(parameter_file("studies", "demo"))
    axis = {"values": [1.0, 2.0], "source": "a test"}
    data["axes"] = data["axes"] | {"relative_permittivity": axis}
    for part in ("settings", "sources"):
        del data[part]["stages.solution.relative_permittivity"]
    file = tmp_path / "mine.toml"
    file.write_bytes(tomli_w.dumps(data).encode())
    study, path = dm.load_study(file), tmp_path / "study"
    path.mkdir()
    prepare(study, path)
    for job in open_project(study, path):
        point = dict(job.cached_statepoint)
        length = 1 + math.exp(0.2 * (point["dipole_D"] - 30) / point["relative_permittivity"])
        job.document.reset({"status": "done", "error": "", "row": row_of(point, length)})
    return file, path


def test_the_phase_map_is_drawn_from_a_study(mapped, monkeypatch, capsys):
    file, path = mapped
    out = path / "map.png"
    line = ["phase_map.py", str(file), "--dir", str(path), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", line)
    runpy.run_path(str(ROOT / "analysis/phase_map.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert "relative_permittivity 1.0, bonds by energy_0.5: threshold 30.00 ±" in said
    assert "Au3Cd: 21.85 D, like 31.10 D here" in said
    assert out.stat().st_size > 5000


def test_the_report_tells_what_parquet_needs(mapped, monkeypatch, command):
    file, path = mapped
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = command("study", "report", file, f"--out={path}")
    assert "results.parquet needs pyarrow: pip install 'dipolar-md[parquet]'" in answer.words
    assert "figures/length_distributions.png" in answer.words
    rows = study_rows(dm.load_study(file), path)
    means = over_replicas(rows, ["dipole_D", "relative_permittivity"])
    found = thresholds(means, ["dipole_D", "relative_permittivity"])
    chart = dm.phase_map(means, found)
    assert chart.found == (
        [pytest.approx(one.dipole_D.value) for one in found if one.criterion == "energy_0.5"],
        [1.0, 2.0],
    )
    assert chart.systems[0].name == "R-Au-Cu"
    assert sorted(set(chart.relative_permittivity)) == [1.0, 2.0]
    one = [mean for mean in means if mean.row["relative_permittivity"] == 1]
    assert dm.phase_map(one, found) is None
