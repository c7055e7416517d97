"""The figures by their contents: what is drawn, where and under which name, never by pixels."""

import ast
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle, StepPatch

from dipolar_md import plots, theory
from dipolar_md.plots.run import MONOMER

BOX = np.array([20.0, 20.0, 20.0, 0.0, 0.0, 0.0])


@pytest.fixture
def figure():
    """A figure of column width that is drawn at the end, where warnings would show."""
    # The layout takes most of the time and is left to the test of legends.
    with matplotlib.rc_context(plots.STYLE | {"figure.constrained_layout.use": False}):
        figure = Figure()
        yield figure
        figure.draw_without_rendering()


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def line(ax, label):
    (found,) = (line for line in ax.lines if label in line.get_label())
    return found


def histogram(ax):
    (steps,) = (patch for patch in ax.patches if isinstance(patch, StepPatch))
    return steps.get_data()


def collections(ax, kind):
    return [c for c in ax.collections if isinstance(c, kind)]


# --- Style ----------------------------------------------------------------------------------------


def test_style_fits_a_column():
    assert plots.STYLE["figure.figsize"][0] == pytest.approx(8.5 / 2.54, abs=0.01)
    assert plots.STYLE["figure.dpi"] >= 200
    sizes = [
        v for k, v in plots.STYLE.items() if k.endswith(("font.size", "fontsize", "labelsize"))
    ]
    assert min(sizes) >= 7


def test_legends_fit_the_column_and_cover_no_data():
    solvents = ("vacuum", "toluene", "chloroform", "dichloromethane", "DMF", "DMSO", "water")
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(3.35, 10))
        axes = figure.subplots(4)
        plots.draw_length_distribution(axes[0], [1, 2, 1000], 100, 334.3, 1234.5)
        marks = {"crystal c": 1.61, "crystal b": 2.68}
        plots.draw_spacing(axes[1], [1.8, 1.9], (1.8, 2.5), marks, 1.822)
        plots.draw_pair_energy(axes[2], [-0.9, 0.0], minimum=-0.45)
        plots.draw_expectation(axes[3], [1.0, 10.0], {name: [1.0, 9.0] for name in solvents})
        figure.draw_without_rendering()
    for ax in axes:
        legend = ax.get_legend().get_window_extent()
        assert legend.y0 >= ax.bbox.y1
        assert legend.x1 <= figure.bbox.x1
        assert ax.bbox.width > 0.7 * figure.bbox.width  # not squeezed by a wide legend


@pytest.mark.parametrize("path", sorted(Path(plots.__file__).parent.glob("*.py")))
def test_modules_keep_no_pyplot_state_and_import_theory_alone(path):
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    assert not [name for name in modules if "pyplot" in name]
    ours = {name for name in modules if name.startswith("dipolar_md")}
    assert {name for name in ours if not name.startswith("dipolar_md.plots.")} <= {
        "dipolar_md.theory"
    }


# --- Film -----------------------------------------------------------------------------------------


@pytest.fixture
def film():
    """A trimer, a dimer across the x boundary, a dimer across z and a monomer."""
    positions = [[-2, 0, 0], [0, 0, 0], [2, 0, 0], [9.5, 5, 0], [-9.5, 5, 0], [0, -5, 9.5]]
    positions += [[0.5, -5, -9.5], [5, -5, 0]]
    return np.array(positions), np.array([3, 3, 3, 2, 2, 2, 2, 1]), [[0, 1], [1, 2], [3, 4], [5, 6]]


def test_film_draws_every_cluster_once_in_its_true_size(figure, film):
    ax = figure.subplots()
    assert plots.draw_film(ax, film[0], BOX, film[1], film[2], 1.82) is ax
    circles = collections(ax, EllipseCollection)
    drawn = np.concatenate([c.get_offsets() for c in circles])
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, film[0][:, :2]))
    figure.draw_without_rendering()
    (start, _), (end, _) = ax.transData.transform([[0, 0], [1.82, 0]])
    for c in circles:
        unit_circle = c.get_transforms()[0] @ c.get_transform().get_matrix()
        np.testing.assert_allclose(2 * np.diag(unit_circle)[:2], end - start)  # in pixels


def test_film_leaves_out_bonds_that_cross_a_drawn_edge(figure, film):
    ax = figure.subplots()
    plots.draw_film(ax, film[0], BOX, film[1], film[2], 1.82)
    segments = [s for c in collections(ax, LineCollection) for s in c.get_segments()]
    drawn = {tuple(map(tuple, segment)) for segment in segments}
    expected = {((-2, 0), (0, 0)), ((0, 0), (2, 0)), ((0, -5), (0.5, -5))}
    assert drawn == expected


def test_film_in_a_leaning_box(figure):
    box = [20, 20, 20, 0.5, 0, 0]
    positions = [[-5.5, -9.5, 0], [4.5, 9.5, 0], [-5.5, -8.0, 0]]  # the first two touch through y
    ax = figure.subplots()
    plots.draw_film(ax, positions, box, [3, 3, 3], [[0, 1], [0, 2]], 1.0)
    (bonds,) = collections(ax, LineCollection)
    np.testing.assert_allclose(bonds.get_segments(), [[[-5.5, -9.5], [-5.5, -8.0]]])
    (outline,) = (patch for patch in ax.patches if isinstance(patch, Polygon))
    np.testing.assert_allclose(
        outline.get_xy()[:4], [[-15, -10], [5, -10], [15, 10], [-5, 10]], atol=1e-12
    )
    assert ax.get_xlim() == pytest.approx((-15.5, 15.5))


def test_film_lays_long_chains_on_top_and_monomers_grey(figure, film):
    ax = figure.subplots()
    plots.draw_film(ax, film[0], BOX, film[1], film[2], 1.82)
    artists = sorted(ax.collections, key=lambda artist: artist.get_zorder())  # as they are drawn
    circles = [c for c in artists if isinstance(c, EllipseCollection)]
    assert [len(c.get_offsets()) for c in circles] == [1, 4, 3]
    assert to_rgba(MONOMER) == tuple(circles[0].get_facecolor()[0])
    colours = [tuple(c.get_facecolor()[0]) for c in circles]
    assert len(set(colours)) == 3
    # Bonds lie on their own chain and under longer ones.
    assert [type(c) for c in artists] == [EllipseCollection, LineCollection] * 3


def test_film_is_read_by_a_scale_bar_and_a_logarithmic_colour_bar(figure, film):
    ax = figure.subplots()
    plots.draw_film(ax, film[0], 2.75 * BOX, film[1], film[2], 1.82)
    (bar,) = ax.lines
    assert np.ptp(bar.get_xdata()) == pytest.approx(10)
    assert texts(ax) == ["10 nm"]
    assert bar.get_ydata()[0] < -27.5 - 0.91  # below every circle
    assert not ax.axison
    scale = figure.axes[1]
    assert scale.get_ylabel() == "clusters in the chain"
    assert scale.get_yscale() == "log"
    assert scale.get_ylim() == pytest.approx((2, 10))
    assert texts(scale) == ["1"]


@pytest.mark.parametrize(
    ("length", "expected"), [(3.0, "0.5 nm"), (55.0, "10 nm"), (110.0, "20 nm"), (300.0, "50 nm")]
)
def test_film_scale_bar_is_round(figure, length, expected):
    ax = figure.subplots()
    plots.draw_film(ax, [[0, 0, 0]], [length, length, 5, 0, 0, 0], [1], [], 0.1)
    assert expected in texts(ax)


@pytest.mark.parametrize("n", [0, 5])
def test_film_without_chains(figure, n):
    ax = figure.subplots()
    plots.draw_film(ax, np.zeros((n, 3)), BOX, np.ones(n), [], 1.82)
    assert sum(len(c.get_offsets()) for c in collections(ax, EllipseCollection)) == n
    assert ("no clusters" in texts(ax)) == (n == 0)


def test_film_of_a_thousand_clusters(figure):
    rng = np.random.default_rng(1)
    sizes = np.repeat([1, 4, 25, 50], [100, 200, 300, 400])
    bonds = np.array([[i, i + 1] for i in range(100, 999)])
    ax = figure.subplots()
    plots.draw_film(ax, rng.uniform(-10, 10, (1000, 3)), BOX, sizes, bonds, 1.82)
    assert sum(len(c.get_offsets()) for c in collections(ax, EllipseCollection)) == 1000
    assert figure.axes[1].get_ylim() == pytest.approx((2, 50))


# --- Lengths --------------------------------------------------------------------------------------


def test_length_distribution_is_normalised_and_beside_its_exponentials(figure):
    sizes = np.random.default_rng(2).geometric(1 / 13, 500)
    ax = figure.subplots()
    assert plots.draw_length_distribution(ax, sizes, 4, 13.0, 60.0) is ax
    density, edges, _ = histogram(ax)
    assert np.sum(density * np.diff(edges)) == pytest.approx(1)
    assert edges[0] == 0.5
    assert edges[-1] > sizes.max()
    assert np.all(np.diff(edges)[1:] >= np.diff(edges)[:-1])  # wider at large n
    assert density[0] == pytest.approx(np.mean(sizes == 1))
    assert ax.get_yscale() == "log"
    assert ax.get_xlabel() == "chain length $n$ (clusters)"
    assert ax.get_ylabel() == "fraction of chains"
    for mean, dashes in ((13.0, "--"), (60.0, ":")):
        curve = line(ax, f"= {mean:g}")
        assert curve.get_linestyle() == dashes
        n, p = curve.get_data()
        np.testing.assert_allclose(p, theory.chain_length_distribution(mean, n))
    assert labels(ax)[0] == "simulation, 4 frames"
    assert len(labels(ax)) == 3


def test_length_error_bars_are_those_of_one_frame(figure):
    sizes = np.repeat([1, 2], [300, 100])
    ax = figure.subplots()
    plots.draw_length_distribution(ax, sizes, 4, 1.25)
    (bars,) = collections(ax, LineCollection)
    lengths = [np.ptp(segment[:, 1]) / 2 for segment in bars.get_segments()]
    # 75 and 25 chains in each frame of 100
    assert lengths == pytest.approx([np.sqrt(75) / 100, np.sqrt(25) / 100])


def test_length_bins_are_no_finer_than_a_tenth_of_the_mean(figure):
    ax = figure.subplots()
    plots.draw_length_distribution(ax, np.arange(1, 400), 1, 200.0)
    assert np.diff(histogram(ax)[1]).min() == 20


@pytest.mark.parametrize("expected", [None, 1.0, 1e4])
def test_length_distribution_of_monomers(figure, expected):
    ax = figure.subplots()
    plots.draw_length_distribution(ax, np.ones(50), 1, 1.0, expected)
    density, edges, _ = histogram(ax)
    assert density[0] == 1
    assert edges[:2] == pytest.approx([0.5, 1.5])
    assert "simulation, 1 frame" in labels(ax)
    assert (line(ax, "same mean").get_ydata() > 0).all()  # p(2) = 0 would break the line off
    low, high = ax.get_ylim()
    assert low < 1 / (expected or 1) < high


def test_length_distribution_without_chains(figure):
    ax = figure.subplots()
    assert plots.draw_length_distribution(ax, [], 0, float("nan")) is ax
    assert texts(ax) == ["no chains"]


# --- Spacing --------------------------------------------------------------------------------------


def test_spacing_is_a_density_beside_what_was_measured(figure):
    spacings = np.random.default_rng(3).normal(1.85, 0.08, 800)
    marks = {"crystal c": 1.61, "crystal b": 2.68}
    ax = figure.subplots()
    assert plots.draw_spacing(ax, spacings, (1.8, 2.5), marks, 1.822) is ax
    density, edges, _ = histogram(ax)
    assert np.sum(density * np.diff(edges)) == pytest.approx(1)
    assert edges[0] < spacings.min()
    assert edges[-1] > spacings.max()
    assert ax.get_xlabel() == "spacing of bonded clusters (nm)"
    assert ax.get_ylabel() == "probability density (nm$^{-1}$)"
    (band,) = (patch for patch in ax.patches if isinstance(patch, Rectangle))
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((1.8, 2.5))
    assert band.get_label() == "TEM 1.8–2.5 nm"
    for label, x in (("crystal c", 1.61), ("crystal b", 2.68), ("contact", 1.822)):
        assert line(ax, label).get_xdata()[0] == x
    assert labels(ax) == [
        "simulation",
        "TEM 1.8–2.5 nm",
        "contact 1.82 nm",
        "crystal c 1.61 nm",
        "crystal b 2.68 nm",
    ]
    low, high = ax.get_xlim()
    assert low < 1.61
    assert high > 2.68


@pytest.mark.parametrize("spacings", [[1.85], [1.85] * 50, [1.8, 1.9], np.arange(180, 200) / 100])
def test_spacing_keeps_every_value(figure, spacings):
    ax = figure.subplots()
    plots.draw_spacing(ax, spacings)
    density, edges, _ = histogram(ax)
    counts = density * np.diff(edges) * len(spacings)
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-9)
    assert counts.sum() == pytest.approx(len(spacings))


@pytest.mark.parametrize("reference", [None, (1.8, 2.5)])
def test_spacing_without_bonds(figure, reference):
    ax = figure.subplots()
    plots.draw_spacing(ax, [], reference)
    assert texts(ax) == ["no bonded pairs"]
    assert (ax.get_legend() is not None) == (reference is not None)


# --- Growth ---------------------------------------------------------------------------------------

TIME = np.linspace(0, 400, 41)
RAMP = np.interp(TIME, [100, 200], [8.93, 1.0])
STAGES = [("solution", 0, 100), ("evaporate", 100, 200), ("dry", 200, 400)]


def test_growth_draws_length_above_and_environment_below(figure):
    axes = figure.subplots(2, sharex=True)
    concentration = np.interp(TIME, [100, 200], [0.5, 10])
    returned = plots.draw_growth(
        axes,
        TIME,
        1 + TIME / 40,
        np.full(41, 0.3),
        relative_permittivity=RAMP,
        concentration_mM=concentration,
        stages=STAGES,
    )
    upper, lower = axes
    assert returned == (upper, lower)
    np.testing.assert_allclose(upper.lines[0].get_data(), [TIME, 1 + TIME / 40])
    (band,) = upper.collections
    height = band.get_paths()[0].vertices
    assert height[:, 1].min() == pytest.approx(0.7)
    assert height[:, 1].max() == pytest.approx(11.3)
    np.testing.assert_allclose(lower.lines[0].get_data(), [TIME, RAMP])
    (right,) = (ax for ax in figure.axes if ax not in axes)
    np.testing.assert_allclose(right.lines[0].get_ydata(), concentration)
    assert "(clusters)" in upper.get_ylabel()
    assert "permittivity" in lower.get_ylabel()
    assert "(mM)" in right.get_ylabel()
    assert lower.get_xlabel() == "time (ns)"
    assert lower.get_yscale() == right.get_yscale() == "log"
    assert set(texts(upper)) == {"solution", "evaporate", "dry"}
    for ax in axes:  # every other stage is shaded
        (shade,) = (patch for patch in ax.patches if isinstance(patch, Rectangle))
        assert (shade.get_x(), shade.get_width()) == (100, 100)


def test_growth_at_constant_permittivity_is_linear(figure):
    upper, lower = figure.subplots(2, sharex=True)
    plots.draw_growth((upper, lower), TIME, TIME + 1, relative_permittivity=np.full(41, 1.0))
    assert lower.get_yscale() == "linear"
    assert len(figure.axes) == 2
    assert not texts(upper)


def test_growth_names_short_stages_aslant_and_skips_empty_ones(figure):
    stages = [("minimise", 0, 0), ("solution", 0, 20), ("concentrate", 20, 40)]
    stages += [("evaporate", 40, 60), ("dry", 60, 300)]
    upper, lower = figure.subplots(2, sharex=True)
    plots.draw_growth((upper, lower), TIME, TIME + 1, relative_permittivity=RAMP, stages=stages)
    assert set(texts(upper)) == {"solution", "concentrate", "evaporate", "dry"}
    shades = sorted(patch.get_x() for patch in lower.patches)
    assert shades == [0, 40]  # the last stage, the one to be read, is always clear
    assert {text.get_rotation() for text in upper.texts} == {40}
    assert upper.get_xlim() == (0, 400)  # no frame is hidden


def test_growth_of_one_frame(figure):
    upper, lower = figure.subplots(2, sharex=True)
    plots.draw_growth(
        (upper, lower), [5.0], [3.0], [0.2], relative_permittivity=[1.0], concentration_mM=[10.0]
    )
    assert upper.lines[0].get_marker() == "o"
    assert lower.lines[0].get_marker() == "o"


def test_growth_without_frames(figure):
    upper, lower = figure.subplots(2, sharex=True)
    plots.draw_growth((upper, lower), [], [], relative_permittivity=[], stages=STAGES)
    assert texts(upper) == ["no frames"]


# --- Pair energies --------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [40, 4000])
def test_pair_energy_shows_thresholds_and_minimum(figure, n):
    rng = np.random.default_rng(4)
    energies = np.concatenate([rng.normal(-0.9, 0.1, n), rng.normal(0, 0.1, n), [-3.0, 5.0]])
    ax = figure.subplots()
    assert plots.draw_pair_energy(ax, energies, minimum=-0.45) is ax
    fractions, edges, _ = histogram(ax)
    inside = np.mean((energies >= -1.4) & (energies <= 0.6))
    assert fractions.sum() == pytest.approx(inside)
    assert (edges[0], edges[-1]) == pytest.approx((-1.4, 0.6))
    assert ax.get_xlim() == pytest.approx((-1.4, 0.6))
    assert ax.get_yscale() == "log"
    assert "contact" in ax.get_xlabel()
    assert ax.get_ylabel() == "fraction of pairs"
    vertical = {
        line.get_xdata()[0]: line.get_linewidth() for line in ax.lines if len(line.get_xdata()) == 2
    }
    assert sorted(vertical) == [-0.7, -0.6, -0.5, -0.4]
    assert vertical[-0.5] > max(width for x, width in vertical.items() if x != -0.5)
    marker = line(ax, "minimum")
    assert marker.get_xdata() == pytest.approx([-0.45])
    assert labels(ax) == [
        "bonded below −0.5 (default)",
        "also shown: −0.4, −0.6, −0.7",
        "minimum at −0.45",
    ]


def test_pair_energy_marks_a_minimum_in_an_empty_bin_and_other_thresholds(figure):
    ax = figure.subplots()
    plots.draw_pair_energy(ax, [-1.0, -0.9, 0.0], thresholds=(0.3,), minimum=-0.5)
    assert line(ax, "minimum").get_ydata()[0] == pytest.approx(ax.get_ylim()[0])
    assert labels(ax) == ["also shown: −0.3", "minimum at −0.50"]


@pytest.mark.parametrize("energies", [[], [-5.0]])
def test_pair_energy_without_pairs(figure, energies):
    ax = figure.subplots()
    plots.draw_pair_energy(ax, energies)
    assert texts(ax) == ["no pairs"]


# --- Expectation ----------------------------------------------------------------------------------


def test_expectation_draws_one_curve_for_each_solvent(figure):
    concentration = np.geomspace(0.1, 100, 20)
    curves = {"DMF": np.ones(20), "vacuum": np.sqrt(1 + 1e4 * concentration)}
    ax = figure.subplots()
    assert plots.draw_expectation(ax, concentration, curves) is ax
    for name, curve in curves.items():
        np.testing.assert_allclose(line(ax, name).get_data(), [concentration, curve])
    assert labels(ax) == ["vacuum", "DMF"]  # from top to bottom
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert ax.get_xlabel() == "concentration (mM)"
    assert "(clusters)" in ax.get_ylabel()
    assert len({line.get_color() for line in ax.lines}) == 2


def test_expectation_spans_a_decade_where_nothing_chains(figure):
    ax = figure.subplots()
    plots.draw_expectation(ax, [1.0, 10.0], {"DMF": [1.0, 1.01]})
    figure.draw_without_rendering()
    assert ax.get_ylim() == pytest.approx((0.85, 10))
    shown = [text.get_text() for text in ax.get_yticklabels()]
    assert {"1", "2", "5", "10"} <= set(shown)


@pytest.mark.parametrize(("concentration", "curves"), [([1.0], {}), ([], {"DMF": []})])
def test_expectation_without_solvents(figure, concentration, curves):
    ax = figure.subplots()
    plots.draw_expectation(ax, concentration, curves)
    assert texts(ax) == ["no solvents"]


def test_expectation_at_one_concentration(figure):
    ax = figure.subplots()
    plots.draw_expectation(ax, [5.0], {"vacuum": [30.0]})
    assert ax.lines[0].get_marker() == "o"


# --- Beside a measurement -------------------------------------------------------------------------


def test_micrograph_overlay(figure):
    ax = figure.add_subplot()
    image = np.random.default_rng(1).normal(100, 5, (40, 60))
    centres = np.array([[1.0, 1.0], [2.5, 1.0], [5.0, 3.0]])
    assert plots.draw_micrograph(ax, image, 0.1, centres, [np.array([0, 1])], 0.8) is ax
    assert ax.images[0].get_extent() == pytest.approx((0, 6, 4, 0))
    (circles,) = collections(ax, EllipseCollection)
    np.testing.assert_array_equal(circles.get_offsets(), centres)
    (wires,) = collections(ax, LineCollection)
    np.testing.assert_array_equal(wires.get_segments()[0], centres[:2])
    assert texts(ax) == ["1 nm", "3 cores, 1 wire"]
    assert ax.get_ylim() == (4, 0)  # row 0 at the top


@pytest.mark.parametrize(
    ("limits", "words"),
    [((1.8, 2.5), "published 1.8–2.5 nm"), ((1.0, None), "published ≥ 1 nm"), (None, "")],
)
def test_comparison_of_samples(figure, limits, words):
    ax = figure.add_subplot()
    samples = {"simulated": [1.9, 1.7, 1.8, 2.0], "measured": [2.2, 2.4], "nobody's": []}
    plots.draw_comparison(ax, samples, limits, "spacing (nm)")
    assert line(ax, "simulated").get_xdata().tolist() == [1.7, 1.8, 1.9, 2.0]
    assert line(ax, "simulated").get_ydata().tolist() == [0.25, 0.5, 0.75, 1.0]
    assert [text for text in labels(ax) if "published" in text] == ([words] if words else [])
    assert "measured (2)" in labels(ax)
    assert not [text for text in labels(ax) if "nobody" in text]


def test_bands_scattering_growth_and_tangents(figure):
    axes = figure.subplots(5)
    edges, density = np.array([0.5, 1.5, 2.5, 4.5]), np.array([0.5, 0.0, 0.1])
    plots.draw_length_bands(axes[0], {"run": (edges, density, density / 2, 2 * density)})
    assert line(axes[0], "run").get_xdata().tolist() == [1.0, 3.5]  # empty bins have no logarithm
    q = np.geomspace(0.1, 8, 9)
    curves = {"run": (q, q**-1.0, 0.1 / q), "core": (q, np.ones(9), None)}
    plots.draw_scattering(axes[1], curves, {"1.85 nm": 3.4})
    assert labels(axes[1]) == ["run", "core", "1.85 nm"]
    assert len(axes[1].collections) == 1
    time = np.arange(1.0, 9)
    plots.draw_growth_law(axes[2], time, 2 * time**0.5, (0.5, 2.0))
    np.testing.assert_allclose(line(axes[2], "0.50").get_ydata(), 2 * time**0.5)
    plots.draw_tangents(axes[3], [0, 2, 4, 6, 8], [1.0, 0.5, 0.2, -0.1, 0.3], 3.0)
    assert line(axes[3], "simulation").get_xdata().tolist() == [0, 2, 4]  # up to where it vanishes
    assert line(axes[3], "3 nm").get_ydata()[-1] == pytest.approx(np.exp(-4 / 3))
    assert axes[2].get_xscale() == axes[1].get_yscale() == axes[3].get_yscale() == "log"
    plots.draw_tangents(axes[4], [], [])
    assert "no linear chains" in texts(axes[4])


@pytest.mark.parametrize(
    ("draw", "arguments", "words"),
    [
        (plots.draw_comparison, ({"a": []},), "nothing to compare"),
        (plots.draw_length_bands, ({},), "no runs"),
        (plots.draw_scattering, ({},), "no runs"),
        (plots.draw_growth_law, ([], []), "no frames"),
    ],
)
def test_nothing_to_draw_is_said(figure, draw, arguments, words):
    ax = figure.add_subplot()
    assert draw(ax, *arguments) is ax
    assert words in texts(ax)


def test_all_names_of_the_plots_are_there():
    assert all(hasattr(plots, name) for name in plots.__all__)
    drawn = {name for name in vars(plots) if name.startswith("draw_")}
    assert drawn <= set(plots.__all__)


# --- Induction ------------------------------------------------------------------------------------


def test_dipoles_stand_at_their_place(figure):
    places = {"end": [44.0, 47.0, 50.0, 53.0, 58.0], "inner": [48.0, 53.0, 57.0, 60.0, 66.0]}
    ax = plots.draw_dipoles(figure.subplots(), places, 43.4)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["end", "inner"]
    assert line(ax, "permanent dipole").get_ydata() == pytest.approx([43.4, 43.4])
    boxes = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert [(b.get_y(), b.get_height()) for b in boxes] == [(47.0, 6.0), (53.0, 7.0)]
    whiskers, medians = collections(ax, LineCollection)
    assert [s[:, 1].tolist() for s in whiskers.get_segments()] == [[44.0, 58.0], [48.0, 66.0]]
    assert [s[0, 1] for s in medians.get_segments()] == [50.0, 57.0]


def test_the_parts_of_the_energy_have_their_errors(figure):
    parts = {"steric": (8.0, 0.1), "permanent": (-60.0, 0.5), "induction": (-12.0, None)}
    ax = plots.draw_energy_split(figure.subplots(), parts)
    assert [text.get_text() for text in ax.get_xticklabels()] == list(parts)
    bars = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert [bar.get_height() for bar in bars] == [8.0, -60.0, -12.0]
    (errors,) = collections(ax, LineCollection)
    lengths = [np.ptp(s[:, 1]) for s in errors.get_segments()]
    assert lengths == pytest.approx([0.2, 1.0, 0.0])
