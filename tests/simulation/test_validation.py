"""Long statistical checks of the shipped physics, run with --validate; each passes or fails."""

import numpy as np
import pytest

import dipolar_md as dm

pytestmark = pytest.mark.validate
ENGINES = ["lammps", pytest.param("hoomd", marks=pytest.mark.hoomd)]


def standard_error(values):
    return np.std(values, ddof=1) / np.sqrt(len(values))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("fraction_of_shipped_step", [1.0, 0.5])
def test_translation_and_rotation_have_the_bath_temperature(engine, fraction_of_shipped_step):
    """In the dry, chained state: each kinetic temperature within 1 %."""
    recipe = dm.load_recipe("r-au-cu", {"n_clusters": 200})
    dt = recipe.time_step_ps * fraction_of_shipped_step
    wet, dry = dm.Environment(298.15, 4.0, 10.0), dm.Environment(298.15, 1.0, 10.0)
    terms = dm.make_plan(recipe).interactions
    common = {"viscosity_mPa_s": 0.413, "friction_scale": recipe.friction_scale, "skin_nm": 2.0}
    chosen, _ = dm.choose_engine(engine)
    gas = dm.random_gas(dm.make_plan(recipe).counts, 10.0, seed=1)
    drying = dm.Stage("drying", round(4000 / dt), dt, wet, dry, chunk_steps=500, seed=1, **common)
    chained = chosen.run(gas, wet.applied_to(terms), drying, lambda report: False)
    samples = []

    def observe(report):
        samples.append(report.read().kinetic_temperatures_K())
        return False

    hold = dm.Stage("dry", round(20_000 / dt), dt, dry, dry, chunk_steps=50, seed=2, **common)
    chosen.run(chained, dry.applied_to(terms), hold, observe)
    relative = np.array(samples) / 298.15
    blocks = np.array([block.mean(axis=0) for block in np.array_split(relative, 20)])
    means, errors = blocks.mean(axis=0), [standard_error(column) for column in blocks.T]
    print(f"\n{engine}, {dt} ps: T/T0 translation {means[0]:.4f} ± {errors[0]:.4f}, "
          f"rotation {means[1]:.4f} ± {errors[1]:.4f}")  # fmt: skip
    assert max(errors) < 0.005
    assert means == pytest.approx(1.0, abs=0.01)


@pytest.mark.hoomd
def test_engines_give_the_same_dry_state(tmp_path):
    """Energy per cluster and mean chain length over five seeds, within three combined errors."""
    found = {}
    for engine in ("lammps", "hoomd"):
        energies, lengths = [], []
        for seed in range(5):
            run = dm.assemble(
                "r-au-cu",
                tmp_path / f"{engine}-{seed}",
                engine=engine,
                device="cpu",
                seed=seed,
                threads=1,
                overrides={
                    "n_clusters": 200,
                    "stages.solution.time_ns": 0.8,
                    "stages.evaporation.time_ns": 8.0,
                    "stages.dry.time_ns": 16.0,
                    **{
                        f"stages.{name}.skin_nm": 2.0 for name in ("solution", "evaporation", "dry")
                    },
                },
            )
            frames = run.trajectory[-20:]
            energies.append(np.mean([frame.energies["total"] for frame in frames]) / 200)
            lengths.append(dm.nanowire_statistics(run.trajectory).mean_chain_length.value)
        found[engine] = (energies, lengths)
    for name, one, other in zip(
        ("energy per cluster / kJ/mol", "mean chain length"),
        found["lammps"],
        found["hoomd"],
        strict=True,
    ):
        error = np.hypot(standard_error(one), standard_error(other))
        difference = np.mean(one) - np.mean(other)
        print(f"\n{name}: LAMMPS {np.mean(one):.3f} ± {standard_error(one):.3f}, "
              f"HOOMD {np.mean(other):.3f} ± {standard_error(other):.3f}")  # fmt: skip
        assert abs(difference) < 3 * error


def test_the_shipped_drop_cast_wires_and_its_controls_do_not(tmp_path):
    """The main job at full size: no chains in solution, wires when dry, none at half the dipole."""
    dry = dm.assemble("r-au-cu", tmp_path / "dry", engine="lammps")
    solution = [frame for frame in dry.trajectory if frame.stage == "solution"]
    assert dm.nanowire_statistics(solution).mean_chain_length.value <= 1.1
    statistics = dm.nanowire_statistics(dry.trajectory)
    assert statistics.mean_chain_length.value >= 8
    assert statistics.mean_chain_length_by_criterion["energy_0.7"].value >= 3
    assert statistics.chained_fraction.value >= 0.95
    assert statistics.spacing_median_nm.value == pytest.approx(1.822, rel=0.03)

    weak = dm.assemble("r-au-cu", tmp_path / "weak", overrides={"dipole_D": 21.85})
    assert dm.nanowire_statistics(weak.trajectory).mean_chain_length.value <= 1.2
    wet = dm.assemble("r-au-cu-dichloromethane", tmp_path / "wet")
    assert dm.nanowire_statistics(wet.trajectory).mean_chain_length.value <= 1.1
