"""Statistics over frames: series and trajectories whose answers are known beforehand."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dipolar_md as dm
from dipolar_md.analysis.bonds import energy_minimum
from dipolar_md.analysis.nanowires import analysis_window
from dipolar_md.analysis.timeseries import block_estimate
from dipolar_md.model.system import align_z

LARGE = dm.coarse_grain(dm.load_cluster("r-au-cu"))
SMALL = dm.coarse_grain(dm.load_cluster("au3cd"))
S = 1.85  # spacing along chains, nm


def scene(*sizes, rings=(), body=LARGE):
    """Straight chains along z and flat rings of given sizes, far apart in one box."""
    parts = [dm.chain({body: n}, S) for n in sizes] + [dm.ring({body: n}, S) for n in rings]
    edge = 60.0 * len(parts)
    places = [[60.0 * (k + 0.5) - edge / 2, 0, 0] for k in range(len(parts))]
    return dm.System.from_arrays(
        (edge,) * 3,
        np.concatenate([part.positions + place for part, place in zip(parts, places, strict=True)]),
        np.concatenate([part.orientations for part in parts]),
        (body,),
    )


def frames(*stages):
    """A frame per 0.5 ns of each (stage, systems)."""
    flat = [(stage, system) for stage, systems in stages for system in systems]
    return [
        dm.Frame(system, k, 0.5 * k, stage, 298.15, 1.0) for k, (stage, system) in enumerate(flat)
    ]


# --- Errors of means ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("series", "mean", "error"),
    [
        ([3.0], 3.0, None),
        ([2.0] * 7, 2.0, 0.0),
        ([1, 3], 2.0, 1.0),
        (np.arange(10), 4.5, np.sqrt(2)),  # blocks of two: 0.5, 2.5, 4.5, 6.5, 8.5
        ([0, 1] * 50, 0.5, 0.0),
        ([0] * 40 + [1] * 10, 0.2, 0.2),
    ],
)
def test_block_estimate_is_exact(series, mean, error):
    found = block_estimate(series)
    assert found.value == pytest.approx(mean)
    assert found.error is None if error is None else found.error == pytest.approx(error)


@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_block_estimate_of_noise(memory):
    """White noise and an AR(1) series, whose mean is (1 + φ)/(1 − φ) times as uncertain."""
    rng, n = np.random.default_rng(1), 1000
    series = np.empty((1000, n))
    series[:, 0] = rng.normal(size=1000)
    kicks = np.sqrt(1 - memory**2) * rng.normal(size=(1000, n))
    for k in range(1, n):
        series[:, k] = memory * series[:, k - 1] + kicks[:, k]
    found = [block_estimate(row) for row in series]
    exact = np.sqrt((1 + memory) / (1 - memory) / n)
    assert np.sqrt(np.mean([e.error**2 for e in found])) == pytest.approx(exact, rel=0.06)
    assert np.std([e.value for e in found]) == pytest.approx(exact, rel=0.06)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=60), st.floats(-50, 50), st.floats(0, 9))
def test_block_estimate_shifts_and_scales(series, shift, scale):
    plain, moved = block_estimate(series), block_estimate(np.array(series) * scale + shift)
    assert moved.value == pytest.approx(plain.value * scale + shift, rel=1e-9, abs=1e-9)
    assert moved.error == pytest.approx(plain.error * scale, rel=1e-9, abs=1e-9)


# --- The analysed frames --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stages", "discard", "window"),
    [
        ("aaaaabbbb", 0.5, range(7, 9)),
        ("aaaaabbbb", 0.0, range(5, 9)),
        ("aaaaabbbb", 0.3, range(6, 9)),
        ("aaaaabbbb", 0.99, range(8, 9)),
        ("aaaaab", 0.5, range(5, 6)),
        ("bbbaabb", 0.0, range(5, 7)),  # an earlier stage of the same name is another
        ("aaaa", 0.5, range(2, 4)),
    ],
)
def test_window_is_the_end_of_the_last_stage(stages, discard, window):
    single = scene(1)
    trajectory = frames(*[(stage, [single]) for stage in stages])
    assert analysis_window(trajectory, discard) == window
    table = dm.nanowire_statistics(trajectory, discard=discard)
    assert table.n_frames == len(window)
    assert table.window_ns == (0.5 * window[0], 0.5 * window[-1])
    assert table.stage == stages[-1]


@pytest.mark.parametrize("discard", [-0.1, 1.0, float("nan")])
def test_window_refuses_nonsense(discard):
    with pytest.raises(dm.InputError, match="discard"):
        dm.nanowire_statistics(frames(("a", [scene(1)])), discard=discard)


def test_no_frames_are_refused():
    with pytest.raises(dm.InputError, match="no frames"):
        dm.nanowire_statistics([])


# --- Known trajectories ---------------------------------------------------------------------------

FIRST = scene(7, 3, 1, rings=(4,))  # 15 clusters in 4 chains
SECOND = scene(11, 1, 1, 1, 1)  # 15 clusters in 5 chains


def test_statistics_of_known_chains():
    trajectory = frames(("wet", [scene(15)] * 3), ("dry", [scene(*[1] * 15)] * 4 + [FIRST, SECOND]))
    done = []
    table = dm.nanowire_statistics(
        trajectory, discard=0.67, progress=lambda *count: done.append(count)
    )
    assert done == [(1, 2), (2, 2)]
    assert (table.cluster, table.n_clusters, table.n_frames) == ("r-au-cu", 15, 2)
    assert table.window_ns == (3.5, 4.0)

    def mean(first, second):
        """Of two frames: their mean, and half their difference as its error."""
        return pytest.approx(((first + second) / 2, abs(first - second) / 2))

    assert table.mean_chain_length == mean(15 / 4, 15 / 5)
    assert table.weight_mean_chain_length == mean((49 + 9 + 1 + 16) / 15, (121 + 4) / 15)
    assert table.max_chain_length == mean(7, 11)
    assert table.chained_fraction == mean(14 / 15, 11 / 15)
    assert table.ring_fraction == mean(4 / 15, 0)
    assert table.branched_fraction == mean(0, 0)
    assert not table.percolating
    assert table.contour_mean_nm == mean((6 + 4 + 2) / 3 * S, 10 * S)
    assert table.contour_p95_nm == mean(5.8 * S, 10 * S)
    assert table.contour_max_nm == mean(6 * S, 10 * S)
    assert table.spacing_median_nm == mean(S, S)
    assert table.polar_order == mean(11 / 15, 1)
    assert table.nematic_order.value == pytest.approx((0.6 + 1) / 2, abs=1e-6)  # 4/15 lie flat
    for estimate in table.mean_chain_length_by_criterion.values():
        assert estimate == mean(15 / 4, 15 / 5)  # spacing S is within every criterion
    assert sorted(table.sizes) == sorted([7, 4, 3, 1, 11, 1, 1, 1, 1])
    assert table.spacings_nm == pytest.approx([S] * 22)
    assert (table.reduced_energies < -0.5).sum() == 22
    assert table.reduced_energies.min() == pytest.approx(-((LARGE.axial_contact_nm / S) ** 3))
    assert [
        (row.frame, row.time_ns, row.chain, row.kind, row.n_clusters) for row in table.chains
    ] == [
        (7, 3.5, 0, "linear", 7),
        (7, 3.5, 1, "ring", 4),
        (7, 3.5, 2, "linear", 3),
        (8, 4.0, 0, "linear", 11),
    ]
    lengths = [(row.contour_length_nm, row.end_to_end_nm) for row in table.chains]
    flat = [6 * S, 6 * S, 4 * S, 0, 2 * S, 2 * S, 10 * S, 10 * S]
    assert np.ravel(lengths) == pytest.approx(flat, abs=1e-9)


def test_branched_and_percolating_frames_count():
    filled = dm.chain({LARGE: 5}, S, box_nm=5 * S)
    table = dm.nanowire_statistics(frames(("dry", [filled] * 2)))
    assert table.percolating
    assert (table.branched_fraction.value, table.ring_fraction.value) == (0, 0)
    assert table.contour_mean_nm.value == pytest.approx(5 * S)
    c, s = np.cos(np.radians(40)), np.sin(np.radians(40))
    steps = np.array([[0, 0, -1], [0, 0, 0], [s, 0, c], [-s, 0, c], [4, 4, 4]])
    dipoles = np.array([[0, 0, 1], [0, 0, 1], [s, 0, c], [-s, 0, c], [1, 0, 0]])
    contact = LARGE.axial_contact_nm
    fork = dm.Frame.from_arrays((20,) * 3, contact * steps, align_z(dipoles), LARGE)
    table = dm.nanowire_statistics([fork])
    assert not table.percolating
    assert table.branched_fraction == (0.8, None)


def test_criterion_is_chosen():
    loose = dm.pair({LARGE: 2}, 1.24 * LARGE.axial_contact_nm)  # -0.524
    assert dm.nanowire_statistics([dm.Frame(loose)]).mean_chain_length.value == 2
    table = dm.nanowire_statistics([dm.Frame(loose)], criterion="energy_0.6")
    assert table.mean_chain_length.value == 1
    by_criterion = {k: v.value for k, v in table.mean_chain_length_by_criterion.items()}
    assert by_criterion == {
        "energy_0.4": 2,
        "energy_0.5": 2,
        "energy_0.6": 1,
        "energy_0.7": 1,
        "distance_1.3_attractive": 2,
        "distance_1.3": 2,
    }


def test_spacings_of_bonds():
    heights = np.cumsum([0, 1.7, 1.8, 1.9, 2.1])
    uneven = dm.Frame.from_arrays(
        (40,) * 3, heights[:, None] * [0, 0, 1], np.tile([1, 0, 0, 0], (5, 1)), LARGE
    )
    table = dm.nanowire_statistics([uneven])
    assert table.spacing_median_nm.value == pytest.approx(1.85)
    assert table.spacing_percentile_nm(25) == pytest.approx(1.775)
    assert table.spacing_fraction(1.75, 1.95) == 0.5
    assert table.spacing_fraction(2.5, 3.0) == 0


def test_coupling_at_contact():
    """37.54 kJ/mol head to tail (Li et al. 2022) is 2 λ kT; twice the permittivity halves it."""
    published = 37.54 / 2 / 2.478957
    frame = dm.Frame(scene(2), temperature_K=298.15, relative_permittivity=1.0)
    assert dm.nanowire_statistics([frame]).lambda_contact == pytest.approx(published, rel=1e-3)
    screened = dm.nanowire_statistics([replace(frame, relative_permittivity=2.0)])
    assert screened.lambda_contact == pytest.approx(published / 2, rel=1e-3)
    mixed = dm.Frame(dm.lattice({LARGE: 6, SMALL: 2}, 5.0), 0, 0.0, "", 298.15, 1.0)
    pure = dm.nanowire_statistics([dm.Frame(scene(1, body=SMALL), 0, 0.0, "", 298.15, 1.0)])
    table = dm.nanowire_statistics([mixed])
    assert table.cluster == "r-au-cu + au3cd"
    expected = 0.75 * published + 0.25 * pure.lambda_contact
    assert table.lambda_contact == pytest.approx(expected, rel=1e-3)
    assert np.isnan(dm.nanowire_statistics([dm.Frame(scene(1))]).lambda_contact)


def test_concentration_is_that_of_the_box():
    table = dm.nanowire_statistics([dm.Frame(dm.random_gas({LARGE: 30}, 12.5, seed=1))])
    assert table.concentration_mM == pytest.approx(12.5)


# --- summary.json ---------------------------------------------------------------------------------

SUMMARY = (  # as the architecture fixes it
    "cluster n_clusters time_ns temperature_K relative_permittivity lambda_contact "
    "mean_chain_length weight_mean_chain_length max_chain_length chained_fraction ring_fraction "
    "branched_fraction percolating contour_length_nm spacing_nm persistence_length_nm polar_order "
    "nematic_order mean_chain_length_by_criterion"
)
KEYS = set(SUMMARY.split())
ESTIMATES = [key for key in KEYS if key.endswith(("chain_length", "fraction", "order"))]


@pytest.mark.parametrize("n_frames", [1, 4])
def test_summary_has_the_agreed_keys(n_frames):
    table = dm.nanowire_statistics(frames(("dry", [FIRST] * n_frames)), discard=0.0)
    summary = json.loads(json.dumps(table.summary(), allow_nan=False))
    assert set(summary) >= KEYS
    assert set(summary["spacing_nm"]) >= {"median", "p05", "p25", "p75", "p95"}
    assert set(summary["contour_length_nm"]) >= {"mean", "p95", "max"}
    assert set(summary["mean_chain_length_by_criterion"]) >= set(dm.CRITERIA)
    assert summary["time_ns"] == 0.5 * (n_frames - 1)
    assert summary["mean_chain_length"] == 15 / 4
    several = n_frames > 1  # errors where several frames allow them
    assert all((f"{key}_err" in summary) is several for key in ESTIMATES)
    assert ("mean_err" in summary["contour_length_nm"]) is several
    assert ("median_err" in summary["spacing_nm"]) is several
    assert ("energy_0.5_err" in summary["mean_chain_length_by_criterion"]) is several


def test_summary_without_bonds():
    table = dm.nanowire_statistics(frames(("dry", [scene(1, 1)] * 2)))
    summary = json.loads(json.dumps(table.summary(), allow_nan=False))
    assert summary["mean_chain_length"] == 1
    assert summary["contour_length_nm"] == {"mean": None, "p95": None, "max": None}
    assert set(summary["spacing_nm"].values()) == {None}
    assert summary["persistence_length_nm"] is None
    assert table.spacing_fraction(1, 3) is None
    assert table.chains == ()


# --- Pair energies and growth ---------------------------------------------------------------------


def test_energy_minimum_between_two_peaks():
    rng = np.random.default_rng(4)
    bonded, free = rng.normal(-0.9, 0.12, 30_000), rng.normal(0, 0.15, 60_000)
    minimum = energy_minimum(np.concatenate([bonded, free]))
    # Where the two densities, 1:2, sum to least.
    u = np.linspace(-0.8, -0.1, 7001)
    density = np.exp(-(((u + 0.9) / 0.12) ** 2) / 2) / 0.12
    density += 2 * np.exp(-((u / 0.15) ** 2) / 2) / 0.15
    assert minimum == pytest.approx(u[np.argmin(density)], abs=0.03)
    # A lone empty bin is no minimum.
    pitted = bonded[(bonded < -0.7) | (bonded > -0.675)]
    assert energy_minimum(np.concatenate([pitted, free])) == pytest.approx(minimum, abs=0.03)


@pytest.mark.parametrize(
    "energies",
    [
        [],
        [-0.9] * 199 + [-0.1] * 1000,  # too few pairs
        -(np.linspace(0, 1, 5000) ** 2),  # ever more towards 0
        np.linspace(0, 1, 200_000) ** 2 - 1,  # ever fewer towards 0
        np.linspace(0.1, 0.5, 900),
    ],
)
def test_energy_minimum_is_none_where_there_is_none(energies):
    assert energy_minimum(energies) is None


def test_growth_follows_the_trajectory():
    trajectory = frames(("wet", [scene(*[1] * 6)]), ("dry", [scene(2, 2, 1, 1), scene(6)]))
    trajectory[0] = replace(trajectory[0], relative_permittivity=8.93)
    course = dm.growth(trajectory)
    assert course.time_ns.tolist() == [0, 0.5, 1]
    assert course.mean_length.tolist() == [1, 1.5, 6]
    assert course.relative_permittivity.tolist() == [8.93, 1, 1]
    assert course.stage == ("wet", "dry", "dry")
    expected = [frame.system.concentration_mM for frame in trajectory]
    assert course.concentration_mM.tolist() == expected
    loose = [dm.Frame(dm.pair({LARGE: 2}, 1.24 * LARGE.axial_contact_nm))]  # -0.524
    lengths = [dm.growth(loose, name).mean_length[0] for name in ("energy_0.5", "energy_0.6")]
    assert lengths == [2, 1]
    assert dm.growth([]).time_ns.shape == (0,)


# --- Equilibration, lives, bundles ----------------------------------------------------------------


def test_window_starts_where_the_run_has_settled():
    """Chains that grow over eight frames and then stay as they are, with some noise."""
    growing = [scene(*[2**k] * (16 // 2**k)) for k in (0, 0, 1, 1, 2, 2, 3, 3)]
    settled = [scene(16) if k % 3 else scene(15, 1) for k in range(40)]
    table = dm.nanowire_statistics(frames(("dry", growing + settled)))
    assert table.equilibration.equilibrated
    assert 6 <= table.equilibration.start <= 10
    assert table.n_frames == 48 - table.equilibration.start
    assert table.independent_samples["mean_chain_length"] > 10
    summary = json.loads(json.dumps(table.summary(), allow_nan=False))
    assert summary["equilibrated"] is True
    assert summary["independent_samples"]["mean_chain_length"] > 10
    halfway = dm.nanowire_statistics(frames(("dry", growing + settled)), discard=0.5)
    assert halfway.n_frames == 24
    young = dm.nanowire_statistics(frames(("dry", growing)))
    assert not young.equilibration.equilibrated
    assert "too few" in young.summary()["equilibration_note"]


def test_lives_of_bonds_and_chains_are_counted():
    """A chain of 4 breaks in the middle and joins again: 3 bonds, 2, 3, 2 … every 0.5 ns."""
    whole, broken = dm.chain({LARGE: 4}, S), None
    apart = whole.positions + np.where(np.arange(4)[:, None] > 1, [0, 0, 5.0], [0, 0, 0.0])
    broken = replace(whole, positions=apart)
    table = dm.nanowire_statistics(frames(("dry", [whole, broken, whole])), discard=0.0)
    # Of 3 + 2 bonds 2 + 2 remain; of 1 + 2 chains none.
    assert table.bond_lifetime_ns.value == pytest.approx(-0.5 / np.log(4 / 5))
    assert table.chain_lifetime_ns is None
    still = dm.nanowire_statistics(frames(("dry", [whole] * 3)), discard=0.0)
    assert still.bond_lifetime_ns is None  # nothing breaks
    assert still.summary()["bond_lifetime_ns"] is None


def test_projected_spacing_shrinks_by_the_sine():
    tilt = np.array([np.sin(0.4), 0, np.cos(0.4)])
    line = np.arange(5)[:, None] * S * tilt
    frame = dm.Frame.from_arrays((40,) * 3, line, align_z(np.tile(tilt, (5, 1))), LARGE)
    table = dm.nanowire_statistics([frame])
    assert table.spacing_median_nm.value == pytest.approx(S)
    assert table.projected_spacing_median_nm.value == pytest.approx(S * np.sin(0.4))
    assert table.end_to_end_mean_nm.value == pytest.approx(4 * S)
    assert table.radius_of_gyration_mean_nm.value == pytest.approx(S * np.sqrt(2))
    assert table.bundled_fraction.value == 0
    assert table.parallel_fraction is None


def test_samples_are_bounded(monkeypatch):
    """With room for 20 values the pooled samples are thinned evenly; means don't change."""
    from dipolar_md.analysis import nanowires

    trajectory = frames(("dry", [scene(30, 20)] * 4))
    plain = dm.nanowire_statistics(trajectory, discard=0.0)
    monkeypatch.setattr(nanowires, "MOST_SAMPLES", 20)
    few = dm.nanowire_statistics(trajectory, discard=0.0)
    assert len(few.spacings_nm) < 40 < len(plain.spacings_nm)
    assert len(few.projected_spacings_nm) == len(few.spacings_nm)
    assert few.spacing_median_nm == plain.spacing_median_nm
    assert few.mean_chain_length == plain.mean_chain_length
    assert few.chain_counts.tolist() == [2] * 4
