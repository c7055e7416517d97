"""Reports of studies: clusters of one's own, theory at the axes' own values, values taken out."""

import csv
import math

import numpy as np
import pytest
import tomli_w
from study.toy_studies import finish, finished_row

import dipolar_md as dm
from dipolar_md.parameters import parameter_file, read_toml

CLUSTERS = ("mine", "au3cd-R + au3cd-S")


def write(path, data):
    path.write_bytes(tomli_w.dumps(data).encode())
    return path


def study_file(folder, axes, recipe="r-au-cu-dichloromethane", settings=()):
    """A study file in a folder; axes by name and values, settings by key."""
    told = {"source": "a test"}
    return write(
        folder / "study.toml",
        {
            "name": "study",
            "title": "A test",
            "recipe": str(recipe),
            "settings": dict(settings),
            "sources": dict.fromkeys(dict(settings), "a test"),
            "axes": {name: {"values": list(values)} | told for name, values in axes.items()},
        },
    )


def own_cluster(folder):
    """A recipe of a cluster that isn't shipped: its file."""
    cluster = read_toml(parameter_file("clusters", "r-au-cu")) | {"name": "mine"}
    write(folder / "mine.toml", cluster)
    recipe = read_toml(parameter_file("recipes", "r-au-cu-dichloromethane"))
    recipe["components"][0]["cluster"] = "mine.toml"
    return write(folder / "recipe.toml", recipe)


def sigmoid(point):
    return 1 + math.exp((point["dipole_D"] - 33) / 4)


# --- The cluster is the study's, never looked up by a word ----------------------------------------


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_clusters_of_any_kind_are_reported_and_inferred_from(tmp_path, cluster, command):
    recipe = own_cluster(tmp_path) if cluster == "mine" else "au3cd-janus"
    file = study_file(tmp_path, {"dipole_D": [20.0, 30.0, 40.0, 50.0]}, recipe)
    study = dm.load_study(file)
    out = finish(
        study,
        tmp_path / "out",
        lambda point: finished_row(sigmoid(point), cluster=cluster, dipole_D=point["dipole_D"]),
    )
    report = dm.report_study(file, out)
    assert report.thresholds[0].dipole_D.value == pytest.approx(33, abs=0.01)
    table = tmp_path / "lengths.csv"
    table.write_text("contour_length_nm\n" + "6.0\n7.0\n8.0\n" * 10, encoding="utf-8")
    answer = dm.infer_study(file, "tem-r-au-cu", lengths=table, out=out)
    assert answer.posterior.verdict == "explained"
    name = "mine" if cluster == "mine" else "au3cd"
    assert any(f", this study of {name}." in note for note in answer.notes)
    assert command("study", "report", file, f"--out={out}").code == 0


# --- Theory at the state point's own body ---------------------------------------------------------


def test_theory_is_that_of_each_contact(tmp_path, monkeypatch):
    from dipolar_md import plots

    drawn = {}
    for name in ("draw_dipole_scan", "draw_collapse"):
        monkeypatch.setattr(plots, name, lambda ax, name=name, **what: drawn.setdefault(name, what))
    contacts = (1.61, 1.822, 2.1)
    file = study_file(
        tmp_path,
        {"dipole_D": [30.0, 43.42], "axial_contact_nm": contacts},
        settings={
            "stages.solution.concentration_mM": 10.0,
            "stages.solution.relative_permittivity": 1.0,
        },
    )
    out = finish(
        dm.load_study(file), tmp_path / "out", lambda point: finished_row(sigmoid(point), **point)
    )
    dm.report_study(file, out)
    curves = drawn["draw_dipole_scan"]["expected"]
    # numbers of ideal association for R-Au-Cu's dipole at 10 mM, one quadrature per contact
    for (label, (dipoles, lengths)), length in zip(curves.items(), (451, 30.5, 5.6), strict=True):
        assert dipoles[-1] == pytest.approx(43.42)
        assert lengths[-1] == pytest.approx(length, rel=0.01), label
    collapse = drawn["draw_collapse"]["expected"]
    assert len(collapse) == 3  # one line per contact: theory is no function of λ alone
    at_five = [np.interp(5.0, *curve) for curve in collapse.values()]
    assert len(set(at_five)) == 3


# --- Values taken out of an axis ------------------------------------------------------------------


def test_values_taken_out_of_an_axis_are_left_out(tmp_path, command):
    file = study_file(tmp_path, {"dipole_D": [20.0, 30.0, 40.0, 50.0, 60.0]})
    out = finish(
        dm.load_study(file), tmp_path / "out", lambda point: finished_row(sigmoid(point), **point)
    )
    study_file(tmp_path, {"dipole_D": [20.0, 30.0, 40.0, 50.0]})
    report = dm.report_study(file, out)
    assert [mean.point["dipole_D"] for mean in report.means] == [20, 30, 40, 50]
    with (out / "results.csv").open(encoding="utf-8") as table:
        assert [float(row["dipole_D"]) for row in csv.DictReader(table)] == [20, 30, 40, 50]
    table = tmp_path / "lengths.csv"
    table.write_text("contour_length_nm\n" + "6.0\n7.0\n8.0\n" * 10, encoding="utf-8")
    (axis,) = dm.infer_study(file, lengths=table, out=out).posterior.axes
    assert (axis.edges[0], axis.edges[-1]) == (20, 50)
    told = "1 finished job of values that the study file no longer has is left out"
    assert told in command("study", "report", file, f"--out={out}").words
    assert told in command("study", "infer", file, f"--lengths={table}", f"--out={out}").words
