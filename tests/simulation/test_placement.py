"""Engine, threads and ranks by measurement: with rates made up here, so that nothing is timed."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dipolar_md as dm
from dipolar_md.simulation import placement
from dipolar_md.simulation.placement import Resources, candidates, choose_resources, fastest

CLUSTER = dm.load_cluster("r-au-cu")
ENGINES = ("lammps", "hoomd")


def made_up(rates):
    """A measurement that returns made-up rates, and the list of what was asked."""
    asked = []

    def measure(choice):
        asked.append(choice)
        return rates(choice, asked.count(choice))

    return measure, asked


@given(st.integers(1, 256), st.integers(1, 1_000_000), st.booleans())
def test_no_candidate_takes_more_than_there_is(cores, clusters, launcher):
    found = candidates(ENGINES, cores, clusters, launcher)
    assert len(found) == len(set(found)) <= 14
    assert found[0] == Resources("lammps", 1, 1)
    assert Resources("hoomd", 1, 1) in found
    for choice in found:
        used = choice.threads * choice.ranks
        assert 1 <= used <= cores
        assert used == 1 or used * placement.FEWEST_PER_CORE <= clusters
        assert launcher or choice.ranks == 1
        assert choice.engine == "lammps" or used == 1


def test_candidates_of_two_cores_and_of_sixteen():
    assert candidates(["lammps"], 2, 4000) == [
        Resources("lammps", 1, 1),
        Resources("lammps", 2, 1),
        Resources("lammps", 1, 2),
    ]
    splits = {(c.threads, c.ranks) for c in candidates(["lammps"], 16, 10**5)}
    halves = {(8, 1), (1, 8), (2, 4), (4, 2)}
    assert splits == {(1, 1)} | halves | {(16, 1), (1, 16), (2, 8), (4, 4)}


@given(st.lists(st.floats(0.1, 1e4), min_size=4, max_size=4, unique=True))
def test_the_fastest_is_taken(rates):
    choices = candidates(ENGINES, 2, 4000)
    table = dict(zip(choices, rates, strict=True))
    found = fastest(choices, made_up(lambda choice, _: table[choice])[0])
    assert next(iter(found)) == max(table, key=table.get)
    assert found == table


def test_what_is_far_behind_is_timed_once_and_the_others_take_turns():
    one, two, three = candidates(["lammps"], 2, 4000)
    table = {one: 100.0, two: 190.0, three: 200.0}
    measure, asked = made_up(lambda choice, _: table[choice])
    fastest([one, two, three], measure)
    assert asked == [one, two, three, *[two, three] * 5]
    table[two] = 180.0  # a tenth behind, so there are no more rounds
    measure, asked = made_up(lambda choice, _: table[choice])
    fastest([one, two, three], measure)
    assert asked == [one, two, three, *[two, three] * 2]


def test_a_single_lucky_measurement_does_not_win():
    one, two, _ = candidates(["lammps"], 2, 4000)
    rates = {one: [100.0, 101.0, 99.0], two: [110.0, 90.0, 91.0]}
    found = fastest([one, two], made_up(lambda choice, time: rates[choice][(time - 1) % 3])[0])
    assert found == {one: 100.0, two: 91.0}
    assert next(iter(found)) == one


def test_what_cannot_run_is_not_taken():
    one, two, three = candidates(["lammps"], 2, 4000)
    found = fastest([one, two, three], made_up(lambda c, _: 0.0 if c == three else 10.0)[0])
    assert list(found)[-1] == three


@pytest.fixture
def two_cores(monkeypatch):
    """A machine of two cores, where two ranks are the fastest, and the list of what was timed."""
    measure, asked = made_up(lambda choice, _: 100.0 * choice.ranks**2 + choice.threads)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(placement, "trial_of", lambda plan: measure)
    monkeypatch.setattr(placement, "ranks_can_start", lambda: True)
    return asked


def chosen(recipe, engine="lammps", threads=None, ranks=None):
    """Engine, reason and the manifest's words for a recipe."""
    plan = dm.make_plan(recipe)
    return choose_resources(plan, plan.start(), engine, "cpu", threads, ranks)


def test_a_long_run_takes_the_fastest_and_says_so(two_cores):
    engine, reason, used = chosen(dm.load_recipe("r-au-cu", {"n_clusters": 4000}))
    assert (engine.name, engine.threads, engine.ranks) == ("lammps", 1, 2)
    assert "lammps, threads x ranks = 1 x 2, the fastest of 3 that were timed" in reason
    assert (used["threads"], used["ranks"]) == (1, 2)
    rates = used["measured_steps_per_second"]
    assert list(rates) == [f"lammps, threads x ranks = {s}" for s in ("1 x 2", "2 x 1", "1 x 1")]
    assert list(rates.values()) == [401.0, 102.0, 101.0]


@pytest.mark.parametrize(
    ("threads", "ranks", "expected"), [(1, None, (1, 1)), (2, None, (2, 1)), (None, 2, (1, 2))]
)
def test_what_is_stated_is_taken_and_nothing_is_timed(two_cores, threads, ranks, expected):
    engine, _, used = chosen(
        dm.load_recipe("r-au-cu", {"n_clusters": 4000}), threads=threads, ranks=ranks
    )
    assert (engine.threads, engine.ranks) == expected
    assert used == {"threads": expected[0], "ranks": expected[1]}
    assert not two_cores


@pytest.mark.parametrize(("clusters", "threads"), [(64, 1), (3999, 2), (700, 1)])
def test_a_short_run_is_not_timed(two_cores, clusters, threads):
    engine, _, used = chosen(dm.load_recipe("r-au-cu", {"n_clusters": clusters}))
    assert (engine.threads, engine.ranks) == (threads, 1)
    assert used == {"threads": threads, "ranks": 1}
    assert not two_cores


def test_a_trial_is_a_real_run_of_the_densest_state(monkeypatch):
    monkeypatch.setattr(placement, "_SECONDS", 0.0)
    seen = []

    class Engine:
        def run(self, system, terms, stage, observe):
            seen.append((system, terms, stage))
            while not observe(None):
                pass

    monkeypatch.setattr(
        placement, "choose_engine", lambda *words: seen.append(words) or (Engine(), "")
    )
    rate = placement.trial_of(dm.make_plan("r-au-cu", {"n_clusters": 100}))
    assert rate(Resources("lammps", 1, 2)) > 0
    words, (system, terms, stage) = seen
    assert words == ("lammps", "cpu", 1, 2)
    assert system.concentration_mM == pytest.approx(10.0)
    assert (terms.relative_permittivity, stage.skin_nm) == (1.0, 1.5)
    assert not stage.ramps


def test_a_trial_that_cannot_run_counts_nothing(monkeypatch):
    def missing(*_):
        raise dm.EngineMissingError("none here")

    monkeypatch.setattr(placement, "choose_engine", missing)
    assert placement.trial_of(dm.make_plan("r-au-cu"))(Resources("hoomd")) == 0.0


def test_too_dense_a_recipe_is_timed_in_a_thinner_gas(toy):
    plan = dm.make_plan("r-au-cu", toy | {"stages.evaporation.concentration_mM": 300.0})
    system, here = placement._gas(plan, plan.stages[-1].end)
    assert system.concentration_mM == pytest.approx(here.concentration_mM)
    assert here.concentration_mM == pytest.approx((0.5 * 300.0) ** 0.5)
    assert here.relative_permittivity == 1.0


def test_an_endless_stage_starts_at_once_and_stops_when_told():
    """Chunks are counted as they come: a list of those of 10^15 steps would never end."""
    gas = dm.random_gas({dm.coarse_grain(CLUSTER): 20}, concentration_mM=1.0, seed=1)
    here = dm.Environment(298.15, 1.0, 1.0)
    stage = dm.Stage("s", 10**15, 0.5, here, here, 0.413, 0.02, chunk_steps=10, skin_nm=1.0)
    engine, _ = dm.choose_engine("lammps")
    steps = []
    terms = dm.Interactions(298.15, 1.0, cutoff_nm=6.0)
    engine.run(gas, terms, stage, lambda report: steps.append(report.step) or len(steps) == 3)
    assert steps == [10, 20, 30]


def test_a_run_stops_before_its_walltime_and_goes_on(toy, tmp_path):
    stopped = dm.assemble("r-au-cu", tmp_path / "run", "lammps", overrides=toy, walltime_s=0.0)
    assert not stopped.finished
    assert stopped.manifest["status"] == "interrupted"
    assert stopped.manifest["sessions"][-1]["last_step"] == 50  # one chunk, with its checkpoint
    assert dm.Trajectory(stopped.path / "restart.gsd")[0].step == 50
    whole = dm.assemble("r-au-cu", tmp_path / "run", "lammps", overrides=toy, walltime_s=1e6)
    assert whole.finished
    assert whole.trajectory.steps == list(range(0, 1901, 100))


@pytest.mark.hoomd
def test_kernels_of_a_gpu_tune_themselves_before_anything_is_timed():
    """Runs go on until HOOMD says that its kernels are tuned, but not for ever."""
    from dipolar_md.engines import hoomd as engine

    class Simulation:
        def __init__(self, runs):
            self.done, self.runs = [], runs
            self.operations = self

        def run(self, steps):
            self.done.append(steps)

        @property
        def is_tuning_complete(self):
            return len(self.done) > self.runs

    for runs, expected in ((0, 1), (7, 8), (10**9, 1 + engine._WARM_RUNS)):
        simulation = Simulation(runs)
        engine._warm(simulation)
        assert len(simulation.done) == expected
        assert simulation.done[0] == 1  # attaches the kernels


LARGE = """
import resource, sys
import dipolar_md as dm

recipe = dm.load_recipe("r-au-cu", {"n_clusters": 100_000, "chunk_steps": 10})
change = {"time_ns": 0.016, "concentration_mM": 10.0, "relative_permittivity": 1.0}
stage = recipe.stages[0].model_copy(update=change)
recipe = recipe.model_copy(update={"stages": [stage], "frame_interval_ns": 0.008})
run = dm.assemble(recipe, sys.argv[1], "lammps", threads=1)
assert run.finished
assert len(run.trajectory) == 3
dm.find_chains(run.trajectory[-1]).sizes
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


@pytest.mark.validate
def test_a_hundred_thousand_clusters_need_less_than_two_gigabytes(tmp_path):
    """Preflight, initial state, tuner, frames, checkpoint and chains, in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-c", LARGE, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert 0.1 < float(done.stdout) < 2.0
