"""The phase estimate by its contents: contours at the lengths, points where the media are."""

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

import dipolar_md as dm
from dipolar_md import plots
from dipolar_md.plots.phase import draw_phase_estimate

CONCENTRATION = np.geomspace(0.1, 200, 40)
COUPLING = np.linspace(0.1, 12, 50)
LENGTH = 1 + 0.01 * np.outer(np.exp(COUPLING), CONCENTRATION**0.5)


@pytest.fixture
def figure():
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure()
        yield figure
        figure.draw_without_rendering()


def drawn(figure, points, at_mM=10.0, coupling_range=None):
    return draw_phase_estimate(
        figure.add_subplot(), CONCENTRATION, COUPLING, LENGTH, points, at_mM, coupling_range
    )


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_points_stand_at_their_coupling_and_concentration(figure):
    ax = drawn(figure, {"vacuum": 8.0, "toluene": 3.0}, 30.0)
    (points,) = ax.lines
    assert points.get_xdata() == pytest.approx([30.0, 30.0])
    assert sorted(points.get_ydata()) == [3.0, 8.0]
    assert {"vacuum", "toluene"} <= set(texts(ax))
    assert ax.get_xscale() == "log"
    assert "mM" in ax.get_xlabel()
    assert "λ" in ax.get_ylabel()


def test_contours_lie_where_the_lengths_are(figure):
    ax = drawn(figure, {})
    levels = {2.0: 0, 10.0: 0, 100.0: 0}
    lines = [c for c in ax.collections if len(c.get_paths()) == 4]
    paths = dict(zip((1.1, 2.0, 10.0, 100.0), lines[-1].get_paths(), strict=True))
    for level in levels:
        for x, y in paths[level].vertices[:: max(1, len(paths[level].vertices) // 7)]:
            assert 1 + 0.01 * np.exp(y) * x**0.5 == pytest.approx(level, rel=0.03)
    assert {"1.1", "2", "10", "100"} <= set(texts(ax))


def test_the_range_of_contacts_is_a_bar(figure):
    ax = drawn(figure, {"vacuum": 4.0}, 10.0, (3.4, 3.9))
    bar = ax.lines[0]
    assert list(bar.get_xdata()) == [10.0, 10.0]
    assert tuple(bar.get_ydata()) == (3.4, 3.9)
    assert "range of contact estimates" in ax.get_title()


def test_crowded_media_share_a_label(figure):
    ax = drawn(figure, {"water": 0.05, "dmso": 0.1, "dmf": 0.2, "vacuum": 6.0})
    assert {"dmf … water", "vacuum"} <= set(texts(ax))
    assert "dmso" not in " ".join(texts(ax))


def test_axes_reach_the_clusters_own_concentration(figure):
    ax = drawn(figure, {"vacuum": 4.0}, 500.0)
    assert ax.get_xlim()[1] == pytest.approx(500.0)


def test_the_picture_is_written(tmp_path):
    outlook = dm.describe(dm.load_cluster("au3cd"))
    path = dm.draw_phase_estimate(outlook, tmp_path / "phase.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(dm.RunDirectoryError, match="can't be written"):
        dm.draw_phase_estimate(outlook, tmp_path / "phase.png" / "no.png")
