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
from study.toy_studies import finish, finished_row

import dipolar_md as dm
from dipolar_md import plots
from dipolar_md.parameters import parameter_file, read_toml
from dipolar_md.study.table import (
    JobResult,
    average_replicas,
    find_thresholds,
    read_results,
    to_parquet,
)

ROOT = Path(__file__).parents[2]


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
    def result(job, fractions):
        row = finished_row(1.5, dipole_D=20.0)
        row = {key: value for key, value in row.items() if not key.startswith("chain_fraction")}
        for n, value in fractions.items():
            row |= {f"chain_fraction_to_{n}": value, f"chain_fraction_to_{n}_err": 0.01}
        return JobResult(job, row)

    jobs = dm.load_study("demo").jobs
    first = result(jobs[0], {1: 0.5, 2: 0.5})
    (mean,) = average_replicas([first, result(jobs[1], {1: 0.5, 2: 0.3, 4: 0.2})])
    assert {n: one.value for n, one in mean.fractions.items()} == pytest.approx(
        {1: 0.5, 2: 0.4, 4: 0.1}
    )
    assert mean.fractions[4].error == pytest.approx(0.1)  # they scatter: 0 and 0.2
    assert average_replicas([result(jobs[0], {})])[0].fractions == {}


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

    def row(point):
        length = 1 + math.exp(0.2 * (point["dipole_D"] - 30) / point["relative_permittivity"])
        return finished_row(length, **point)

    return file, finish(dm.load_study(file), tmp_path / "study", row)


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
    for name in ("length_distributions", "phase_map"):
        assert f"figures/{name}.png" in answer.words
    means = average_replicas(read_results(dm.load_study(file), path).results)
    found = find_thresholds(means)
    chart = dm.phase_map(means, found)
    assert chart.threshold == (
        [pytest.approx(one.dipole_D.value) for one in found if one.criterion == "energy_0.5"],
        [1.0, 2.0],
    )
    assert chart.systems[0].name == "R-Au-Cu"
    assert sorted(set(chart.relative_permittivity)) == [1.0, 2.0]
    one = [mean for mean in means if mean.point["relative_permittivity"] == 1]
    assert dm.phase_map(one, found) is None
