"""What a study says of a measurement: synthetic studies whose truth is known; no simulation."""

import json
import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import iv
from scipy.stats import qmc
from study.toy_studies import finish

import dipolar_md as dm
from dipolar_md.errors import InputError
from dipolar_md.reports.inference import conclusions, read_measurements
from dipolar_md.study.emulator import fit_emulator
from dipolar_md.study.inference import FEWEST_CHAINS, LENGTH_FACTOR, _log_interval, infer
from dipolar_md.study.posterior import Datum

CONTACT = 1.8


def row_of(point, excess, noise=0.0, rng=None, contact=CONTACT, scale=1.0, **more):
    """A finished job whose wires have the mean length contact · (1 + excess), known to `noise`."""
    excess = excess * math.exp(rng.normal(0, noise)) if rng else excess
    length = contact * (1 + excess)
    return {
        "replica": 0,
        "cluster": "r-au-cu",
        "n_clusters": 10_000,
        "axial_contact_nm": scale * contact,
        "mean_chain_length": 1 + excess,
        "contour_length_mean_nm": scale * length,
        "contour_length_mean_nm_err": scale * max(noise, 1e-6) * contact * excess,
        "spacing_median_nm": scale * 1.01 * contact,
        "spacing_median_nm_err": scale * 0.001,
        "equilibrated": True,
        "ended": "complete",
        **point,
        **more,
    }


def wires(length, error=0.0, **more):
    return Datum("contour_length_nm", "a test", length, error, **more)


def line(dipole):
    """log of the excess of a synthetic study with one axis from 20 to 60 D."""
    return -2 + 0.15 * (dipole - 20)


def one_axis(dipoles=(20, 25, 30, 40, 50, 60), **more):
    return [row_of({"dipole_D": float(d)}, math.exp(line(d)), **more) for d in dipoles]


def mean_length(dipole):
    return CONTACT * (1 + math.exp(line(dipole)))


# --- The emulator ---------------------------------------------------------------------------------


def test_the_emulator_goes_through_exact_values_and_reverts_to_their_errors():
    x = np.linspace(0, 1, 7)[:, None]
    found = fit_emulator(x, np.sin(3 * x[:, 0]), np.full(7, 1e-6))
    value, error = found(x)
    assert value == pytest.approx(np.sin(3 * x[:, 0]), abs=1e-5)
    assert (error < 1e-4).all()
    middle, spread = found(x[1:] - 1 / 12)
    assert np.abs(middle - np.sin(3 * (x[1:, 0] - 1 / 12))).max() < 3 * spread.max() < 0.1
    one = fit_emulator(np.zeros((1, 0)), [2.0], [0.1])(np.zeros((3, 0)))
    assert one[0] == pytest.approx([2.0] * 3)
    assert one[1] == pytest.approx([0.1] * 3, rel=1e-3)


def test_leaving_a_state_out_is_the_same_as_never_having_had_it():
    rng = np.random.default_rng(1)
    x, s = rng.uniform(size=(12, 2)), np.full(12, 0.05)
    y = x[:, 0] - 2 * x[:, 1] ** 2 + rng.normal(0, s)
    whole = fit_emulator(x, y, s)
    for k in (0, 5, 11):
        kept = np.arange(12) != k
        bordered = np.linalg.inv(whole.inverse)[np.ix_([*kept, *3 * [True]], [*kept, *3 * [True]])]
        weights = np.linalg.inv(bordered) @ np.append(y[kept], np.zeros(3))
        without = whole._replace(points=x[kept], weights=weights, inverse=np.linalg.inv(bordered))
        value, error = (float(one[0]) for one in without(x[k : k + 1]))
        assert whole.left_out[k] == pytest.approx(y[k] - value)
        assert whole.left_out_error[k] == pytest.approx(np.hypot(error, s[k]), rel=1e-4)


@pytest.mark.parametrize(
    "truth",
    [lambda x: 2 * x[:, 0] - x[:, 1], lambda x: np.sin(4 * x[:, 0]) * x[:, 1]],
)
def test_the_emulator_knows_its_error_on_a_hypercube(truth):
    z = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, g = qmc.LatinHypercube(2, seed=seed).random(25), rng.uniform(size=(20, 2))
        found = fit_emulator(x, truth(x) + rng.normal(0, 0.05, 25), np.full(25, 0.05))
        value, error = found(g)
        z += list((value - truth(g)) / error)
    assert np.mean(np.abs(z) < 1) == pytest.approx(0.68, abs=0.12)  # neighbours err alike
    assert np.mean(np.abs(z) < 1.96) == pytest.approx(0.95, abs=0.05)


@pytest.mark.parametrize(
    "points", [[[0.0], [1.0]], [[0.0, 0.0], [0.3, 0.3], [0.5, 0.5], [0.7, 0.7], [1.0, 1.0]]]
)
def test_too_few_states_or_axes_in_step_are_refused(points):
    with pytest.raises(InputError, match="are needed, and no two axes may change only in step"):
        fit_emulator(points, np.arange(len(points)), np.ones(len(points)))


# --- The posterior --------------------------------------------------------------------------------


@pytest.mark.parametrize(("dipole", "error"), [(42.0, 1.0), (58.0, 30.0)])
def test_closed_form_of_a_line_and_a_gaussian(dipole, error):
    length, factor = mean_length(dipole), 1.3
    found = infer(one_axis(), {"dipole_D": False}, [wires(length, error)], factor)
    sigma = math.hypot(error / (length - CONTACT), math.log(factor)) / 0.15
    exact = stats.truncnorm((20 - dipole) / sigma, (60 - dipole) / sigma, dipole, sigma)
    (axis,) = found.axes
    width = 40 * 1e-3
    assert axis.median == pytest.approx(exact.median(), abs=width)
    assert axis.interval_68 == pytest.approx(exact.ppf([0.16, 0.84]), abs=width)
    assert axis.interval_95 == pytest.approx(exact.ppf([0.025, 0.975]), abs=width)
    assert axis.bits == pytest.approx(math.log2(40) - exact.entropy() / math.log(2), abs=2e-3)
    assert axis.width_ratio == pytest.approx(np.diff(exact.ppf([0.025, 0.975]))[0] / 38, abs=2e-3)
    assert found.best["dipole_D"] == pytest.approx(dipole, abs=width)
    assert axis.probability.sum() == pytest.approx(1)
    assert (axis.unit, found.verdict) == ("D", "explained")


@pytest.mark.parametrize(
    ("low", "high", "limit"), [(mean_length(50), None, (50, 60)), (None, mean_length(30), (20, 30))]
)
def test_a_range_is_met_by_every_value_inside(low, high, limit):
    found = infer(one_axis(), {"dipole_D": False}, [wires(None, low=low, high=high)], 1.001)
    (axis,) = found.axes
    assert axis.interval_95 == pytest.approx(
        (limit[0] + 0.025 * 10, limit[0] + 0.975 * 10), abs=0.05
    )
    assert axis.bits == pytest.approx(2, abs=0.02)  # a quarter of the range is left
    # a soft edge: half of the likelihood is left at the edge itself
    soft = infer(one_axis(), {"dipole_D": False}, [wires(None, low=low, high=high)], 1.5).axes[0]
    edge = limit[0] if low else limit[1]
    at = int(np.searchsorted(soft.edges, edge))
    assert soft.probability[at] / soft.probability.max() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("seeds", [100, pytest.param(500, marks=pytest.mark.validate)])
def test_the_truth_is_inside_as_often_as_said(seeds):
    inside = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        truth = rng.uniform(20, 60)
        dipoles = (20, 28, 36, 44, 52, 60)
        rows = [
            row_of({"dipole_D": float(d), "replica": k}, math.exp(line(d) + 0.5 * math.sin(d / 8)),
                   0.2, rng)
            for d in dipoles for k in range(3)
        ]  # fmt: skip
        mean = math.exp(line(truth) + 0.5 * math.sin(truth / 8) + rng.normal(0, math.log(1.05)))
        sample = CONTACT * (1 + rng.exponential(mean, 300))
        measured = wires(sample.mean(), sample.std() / math.sqrt(300))
        (axis,) = infer(rows, {"dipole_D": False}, [measured], 1.05).axes
        inside.append([low < truth < high for low, high in (axis.interval_68, axis.interval_95)])
    for part, share in zip((0.68, 0.95), np.mean(inside, axis=0), strict=True):
        assert share == pytest.approx(part, abs=3 * math.sqrt(part * (1 - part) / seeds))


def test_intervals_keep_their_digits_in_both_tails():
    for a, b in ((11.0, 10.0), (-10.0, -11.0), (40.0, 39.0), (1.0, -1.0), (math.inf, 12.0)):
        exact = stats.norm.logsf(max(b, -a)) if abs(b) > 30 else None
        low, high = (b, a) if b > 0 else (-a, -b)
        exact = exact or math.log(stats.norm.sf(low) - stats.norm.sf(high))
        assert float(_log_interval(np.array(a), np.array(b))) == pytest.approx(exact, rel=1e-9)


def test_data_that_say_nothing_decide_nothing():
    found = infer(one_axis(), {"dipole_D": False}, [wires(20.0, 1.0)], 1e6)
    assert found.axes[0].bits < 0.01
    assert found.axes[0].width_ratio == pytest.approx(1, abs=0.01)
    assert found.verdict == "explained"
    assert not found.decided("dipole_D")
    assert "The data can't decide dipole_D: the 95 % interval, 21 to 59 D" in conclusions(found)[1]
    assert infer(one_axis(), {"dipole_D": False}, [wires(20.0, 1.0)]).decided("dipole_D")


@pytest.mark.parametrize(
    ("datum", "told"),
    [
        (wires(None, low=1e4), ("of at least 10000 nm", "end of what was simulated of dipole_D")),
        (wires(1e4, 10.0), ("too short by a factor of 100",)),
        (wires(None, high=1.0), ("of at most 1 nm", "too long by a factor of 2.0")),
    ],
)
def test_what_no_state_gives_is_said_to_be_unexplained(datum, told):
    found = infer(one_axis(), {"dipole_D": False}, [datum], 1.1)
    if datum.high:  # shorter than a contact: nothing is, though its own error may be large
        found = infer(one_axis(dipoles=(35, 40, 45, 50)), {"dipole_D": False}, [datum], 1.1)
        told = told[:1]
    assert found.verdict == "unexplained"
    assert not found.decided("dipole_D")
    (answer,) = conclusions(found)
    for words in ("No state of this study explains a mean wire length", *told):
        assert words in answer


def test_a_misfit_is_likely_in_the_middle_and_not_beyond():
    inside = infer(one_axis(), {"dipole_D": False}, [wires(mean_length(40), 0.1)], 1.2)
    assert inside.misfits[0].probability == pytest.approx(0.5, abs=0.01)
    assert inside.misfits[0].value == pytest.approx(mean_length(40), rel=2e-3)
    beyond = infer(one_axis(), {"dipole_D": False}, [wires(mean_length(65), 0.1)], 1.2)
    z = 0.15 * 5 / math.log(1.2)  # of the end of the range; ∫ φ(z) 2Φ(−z) / ∫ φ(z) = Φ(−z)
    assert beyond.misfits[0].probability == pytest.approx(stats.norm.sf(z), rel=0.03)


# --- Censoring ------------------------------------------------------------------------------------


def test_few_ideal_chains_in_a_box_are_too_short_by_what_is_said():
    # weights of c chains of N clusters: z^c / c! · (ways to cut N into c) → Bessel functions
    few = 2 * FEWEST_CHAINS
    assert iv(0, few) / iv(1, few) - 1 == pytest.approx(0.026, abs=0.0005)
    longest = np.random.default_rng(1).dirichlet(np.ones(FEWEST_CHAINS), 20_000).max(axis=1)
    assert longest.mean() == pytest.approx(0.29, abs=0.005)


def test_a_box_with_few_chains_shows_a_lower_bound():
    rows = one_axis(dipoles=(20, 25, 30, 35, 40, 45, 50))
    longest = rows[-1]["mean_chain_length"]
    wanted = [wires(CONTACT * 2 * longest, 0.1)]
    # whole: twice as long as any is found nowhere
    assert infer(rows, {"dipole_D": False}, wanted, 1.1).verdict == "unexplained"
    small = [row | {"n_clusters": round(9 * longest)} for row in rows]
    found = infer(small, {"dipole_D": False}, wanted, 1.1)
    assert (found.verdict, found.censored, found.states) == ("open", 1, 7)
    assert found.misfits[0].bound
    assert found.axes[0].interval_95[0] > 46  # nearer to the last state than to the one before
    assert not found.decided("dipole_D")
    missed, still = conclusions(found)
    assert f"gives at least {CONTACT * longest:.3g} nm, a lower bound: too short" in missed
    assert "It isn't excluded either: the lengths of 1 of its 7 states are lower bounds" in still
    # what the whole box in one chain can't show is excluded, and said to be cut short
    beyond = infer(small, {"dipole_D": False}, [wires(100 * CONTACT * longest, 0.1)], 1.1)
    assert beyond.verdict == "unexplained"
    assert "fewer than 10 chains in a box" in conclusions(beyond)[1]
    # a bound explains what it shows
    same = infer(small, {"dipole_D": False}, [wires(CONTACT * longest, 0.1)], 1.1)
    assert same.verdict == "explained"


def test_chains_that_still_grow_show_a_lower_bound():
    rows = [row | {"equilibrated": row["dipole_D"] != 50} for row in one_axis()]
    wanted = [wires(2 * mean_length(60), 0.1)]
    grown = infer(rows, {"dipole_D": False}, wanted, 1.1)
    assert (grown.verdict, grown.censored) == ("open", 1)
    assert 45 < grown.axes[0].median < 55
    settled = [*rows, row_of({"dipole_D": 50.0, "replica": 1}, math.exp(line(50)))]
    assert infer(settled, {"dipole_D": False}, wanted, 1.1).censored == 0
    short = [row | {"equilibrated": row["dipole_D"] != 20} for row in one_axis()]
    assert infer(short, {"dipole_D": False}, wanted, 1.1).censored == 0  # hardly any chains


# --- Spacing --------------------------------------------------------------------------------------


def test_a_calibrated_spacing_informs_nothing():
    spacing = Datum("spacing_nm", "a test", 1.9, 0.01)
    found = infer(one_axis(), {"dipole_D": False}, [spacing])
    assert found.bits == found.axes[0].bits == 0
    assert not found.informed
    assert not found.decided("dipole_D")
    first, last = conclusions(found)
    assert "informs nothing here (calibrated)" in first
    assert "nothing was measured that could decide" in last
    both = [infer(one_axis(), {"dipole_D": False}, data).axes[0].median
            for data in ([wires(20.0, 1.0)], [wires(20.0, 1.0), spacing])]  # fmt: skip
    assert both[0] == both[1]


def test_contacts_that_differ_only_between_clusters_are_inputs_too():
    rows = [
        row_of({"cluster_kind": name}, 5.0, 0.1, contact=contact)
        for name, contact in (("r-au-cu", 1.8), ("au3cd", 1.4))
    ]
    spacing = Datum("spacing_nm", "a test", 1.42, 0.01)
    found = infer(rows, {"cluster_kind": False}, [spacing])
    assert not found.informed
    assert found.words["cluster_kind"] == {"au3cd": 0.5, "r-au-cu": 0.5}


def test_a_spacing_informs_a_contact_that_is_varied():
    rows = [row_of({"axial_contact_nm": c}, 5.0, contact=c) for c in (1.5, 1.6, 1.7, 1.8, 1.9, 2.0)]
    spacing = Datum("spacing_nm", "a test", 1.01 * 1.73, 0.002)
    found = infer(rows, {"axial_contact_nm": False}, [spacing], spacing_error=0.0)
    (axis,) = found.axes
    assert axis.median == pytest.approx(1.73, abs=0.002)
    half = np.diff(axis.interval_68)[0] / 2
    assert half == pytest.approx(0.9945 * 0.002 / 1.01, rel=0.1)
    assert found.decided("axial_contact_nm")
    assert axis.unit == "nm"


# --- Axes -----------------------------------------------------------------------------------------


def two_axes(dipoles, permittivities, **more):
    """Only dipole² / permittivity counts."""
    return [
        row_of(
            {"dipole_D": float(d), "relative_permittivity": float(e)},
            math.exp(-3 + 0.002 * d * d / e),
            **more,
        )
        for d, e in zip(dipoles, permittivities, strict=True)
    ]


def test_axes_that_trade_are_decided_only_together():
    grid = np.array(list(product((20, 30, 40, 50, 60), (1.0, 1.5, 2.0, 3.0)))).T
    axes = {"dipole_D": False, "relative_permittivity": True}
    found = infer(two_axes(*grid), axes, [wires(CONTACT * (1 + math.exp(-1)), 0.02)], 1.1)
    assert found.bits > sum(axis.bits for axis in found.axes) + 0.5
    assert any("trade against each other" in words for words in conclusions(found))
    best = found.best
    assert best["dipole_D"] ** 2 / best["relative_permittivity"] == pytest.approx(1000, rel=0.05)
    dipole, permittivity = found.axes
    assert permittivity.logarithmic
    assert permittivity.edges[100] == pytest.approx(math.sqrt(3))  # flat in the logarithm
    assert dipole.edges[100] == pytest.approx(40)
    scattered = qmc.scale(qmc.LatinHypercube(2, seed=1).random(30), [20, 1], [60, 3]).T
    again = infer(two_axes(*scattered), axes, [wires(CONTACT * (1 + math.exp(-1)), 0.02)], 1.1)
    for one, other in zip(found.axes, again.axes, strict=True):
        assert one.median == pytest.approx(other.median, rel=0.05)


def test_axes_in_words_are_branches_weighed_by_their_evidence():
    rows = [
        row_of({"solvent": name}, excess, 0.1, axial_contact_nm=CONTACT)
        for name, excess in (("vacuum", 10.0), ("toluene", 5.0), ("water", 0.05))
    ]
    found = infer(rows, {"solvent": False}, [wires(CONTACT * 11, 0.1)], 1.5)
    sigma = math.hypot(math.log(1.5), 0.1, 0.1 / (CONTACT * 10))
    weights = {
        name: math.exp(-0.5 * (math.log(excess / 10) / sigma) ** 2)
        for name, excess in (("vacuum", 10.0), ("toluene", 5.0), ("water", 0.05))
    }
    for name, share in found.words["solvent"].items():
        assert share == pytest.approx(weights[name] / sum(weights.values()), abs=1e-3)
    assert not found.decided("solvent")  # four fifths are no decision
    assert found.best == {"solvent": "vacuum"}
    assert infer(rows, {"solvent": False}, [wires(CONTACT * 11, 0.1)], 1.1).decided("solvent")
    mixed = [
        row_of({"solvent": name, "dipole_D": float(d)}, math.exp(line(d) - shift))
        for name, shift in (("vacuum", 0.0), ("toluene", 3.0)) for d in (20, 30, 40, 50, 60)
    ]  # fmt: skip
    both = infer(mixed, {"solvent": False, "dipole_D": False}, [wires(mean_length(55), 0.1)], 1.1)
    # vacuum at 55 D; toluene would need 75 D
    assert both.words["solvent"]["vacuum"] > 0.99
    assert both.axes[0].median == pytest.approx(55, abs=0.1)
    assert both.joint.shape == (2, 2000)


def test_what_can_not_be_inferred_from_is_refused():
    with pytest.raises(InputError, match="takes 1 to 4 axes"):
        infer(one_axis(dipoles=(20,)), {"dipole_D": False}, [wires(20.0, 1.0)])
    with pytest.raises(InputError, match="length_factor must be at least 1"):
        infer(one_axis(), {"dipole_D": False}, [wires(20.0, 1.0)], 0.5)


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(12)), scale=st.floats(0.01, 100))
def test_the_order_of_rows_and_the_unit_of_lengths_do_not_matter(order, scale):
    def answer(unit, kept):
        rng = np.random.default_rng(1)
        rows = [
            row_of({"contact_nm": unit * c, "replica": k}, math.exp(6 * (c - 1.5)), 0.1, rng,
                   contact=c, scale=unit)
            for c in (1.5, 1.6, 1.7, 1.8, 1.9, 2.0) for k in range(2)
        ]  # fmt: skip
        data = [wires(unit * 12.0, unit), Datum("spacing_nm", "", unit * 1.8, unit * 0.01)]
        found = infer([rows[k] for k in kept], {"contact_nm": False}, data)
        return found.axes[0].median / unit, found.axes[0].bits, found.misfits[0].probability

    assert answer(scale, order) == pytest.approx(answer(1.0, range(12)), rel=1e-3)


# --- Files and the command ------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path):
    """A study of four dipoles whose jobs are done, and where it is."""
    chosen = dm.load_study("demo")

    def row(point):
        return row_of(point, math.exp(line(point["dipole_D"])), 0.05, np.random.default_rng(1))

    return chosen, finish(chosen, tmp_path / "demo", row)


def test_infer_leaves_an_answer_and_a_figure(study, tmp_path):
    chosen, path = study
    table = tmp_path / "mine.csv"
    table.write_text("spacing_nm,projected_length_nm\n" + "1.9,6.5\n1.8,5.5\n1.9,7.5\n" * 20)
    found = dm.infer_study(chosen, "tem-r-au-cu", table, table, path)
    record = json.loads((path / "inference.json").read_text(encoding="utf-8"))
    assert record["verdict"] == "explained"
    axis = record["axes"]["dipole_D"]
    assert axis["prior"] == [21.85, 43.42]
    assert axis["interval_95"][0] < axis["interval_68"][0] < axis["median"]
    own, spacing = sorted(record["measured"], key=lambda one: one["quantity"])
    assert own["value"] == pytest.approx(6.5)
    assert own["error"] == pytest.approx(np.std([5.5, 6.5, 7.5]) / math.sqrt(60), rel=0.1)
    assert (spacing["tag"], spacing["value"]) == ("calibrated", 1.9)
    assert own["source"] == "60 values of projected_length_nm in mine.csv"
    assert any("lying flat" in note for note in record["notes"])
    assert found.files[1].stat().st_size > 5000
    assert found.sentences == tuple(record["sentences"])


def test_the_command(command, study):
    _, path = study
    answer = command("study", "infer", "demo", "--reference=tem-r-au-cu", f"--out={path}")
    assert answer.code == 0
    for words in (
        "dipole / D",
        "informs nothing here (calibrated)",
        "No state of this study explains a mean wire length of at least 1000 nm",
        "Prior: flat over what was simulated (dipole_D 21.85 to 43.42 D)",
        "inference.json",
    ):
        assert words in answer.words
    help = command("study", "infer", "--help")
    assert "Example: dipolar-md study infer demo --reference tem-r-au-cu" in help.words
    assert f"[default: {LENGTH_FACTOR}]" in help.words
    assert "…" not in help.out
    assert command("study", "infer", "demo", f"--out={path}").code == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("contour_length_nm\n10\n20\nlong\n", "line 4, contour_length_nm: 'long' is no number"),
        ("contour_length_nm\n10\n-1\n", "line 3, contour_length_nm: must be positive"),
        ("spacing_nm\n1.8\n", "no column contour_length_nm or projected_length_nm"),
        ("contour_length_nm\n10\n20\n", "2 values of contour_length_nm are too few"),
        ("length\n10\n", "the first line names no column"),
    ],
)
def test_a_wrong_table_is_told_by_file_and_line(tmp_path, text, told):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=told) as refused:
        read_measurements(None, path)
    assert str(path) in str(refused.value)


def test_own_measurements_replace_published_ones(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("contour_length_nm\n" + "10\n20\n" * 5)
    length, spacing = sorted(
        read_measurements(dm.load_reference("tem-r-au-cu"), path), key=lambda one: one.quantity
    )
    assert (length.value, spacing.low, spacing.high) == (15.0, 1.8, 2.5)
    assert spacing.projected
    with pytest.raises(InputError, match="nothing was measured"):
        read_measurements(None)
