"""Long statistical checks of bodies and Ewald sums, run with --validate; each passes or fails."""

import math

import numpy as np
import pytest

import dipolar_md as dm
from dipolar_md.units import DEBYE, KE, thermal_energy

pytestmark = pytest.mark.validate
ENGINES = ["lammps", pytest.param("hoomd", marks=pytest.mark.hoomd)]
KT = thermal_energy(298.15)


def blocks(samples, count=20):
    """Means over successive blocks, (count, ...)."""
    return np.array([block.mean(axis=0) for block in np.array_split(np.array(samples), count)])


def estimate(samples, count=20):
    """Mean and standard error from block means."""
    means = blocks(samples, count)
    return means.mean(axis=0), means.std(axis=0, ddof=1) / math.sqrt(count)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("dipole", "electrostatics"), [("point", "cutoff"), ("charges", "ewald")], ids=["point", "mesh"]
)
def test_bodies_translate_and_turn_at_the_bath_temperature(engine, dipole, electrostatics):
    """Janus bodies in the dry, chained state, 0.5 ps: each kinetic temperature within 1 %."""
    recipe = dm.load_recipe("r-au-cu")
    body = dm.coarse_grain(dm.load_cluster("r-au-cu"), shape="janus", dipole=dipole)
    wet, dry = dm.Environment(300.0, 4.0, 10.0), dm.Environment(300.0, 1.0, 10.0)
    common = {"viscosity_mPa_s": 0.413, "friction_scale": recipe.friction_scale, "skin_nm": 1.5}
    terms = dm.Interactions(300.0, 1.0, electrostatics, cutoff_nm=10.0)
    chosen, _ = dm.choose_engine(engine, "cpu")
    gas = dm.random_gas({body: 100}, 10.0, seed=1, temperature_K=300.0)
    drying = dm.Stage("drying", 4000, 0.5, wet, dry, chunk_steps=500, seed=1, **common)
    chained = chosen.run(gas, terms, drying, lambda report: False)
    samples, totals = [], []

    def observe(report):
        samples.append(report.read().kinetic_temperatures_K())
        totals.append(report.energies["total"])
        return False

    hold = dm.Stage("dry", 30_000, 0.5, dry, dry, chunk_steps=50, seed=2, **common)
    chosen.run(chained, terms, hold, observe)
    means, errors = estimate(np.array(samples) / 300.0)
    print(
        f"\n{engine} {dipole}: T/T0 translation {means[0]:.4f} ± {errors[0]:.4f}, rotation "
        f"{means[1]:.4f} ± {errors[1]:.4f}; energy per cluster "
        f"{np.mean(totals[300:]) / 100:.2f} kJ/mol"
    )
    print(chosen.settings.ewald.get("dry"))  # fmt: skip
    assert max(errors) < 0.005
    assert means == pytest.approx(1.0, abs=0.01)


def chain_lengths(engine, integrator, time_step_ps, friction_scale, steps, seeds=4):
    """Per seed: mean chain length, and fractions of clusters in chains of 1, 2, 3 and more."""
    body = dm.coarse_grain(dm.load_cluster("r-au-cu"), shape="janus")
    here = dm.Environment(298.15, 1.6, 60.0)
    terms = dm.Interactions(298.15, 1.6, cutoff_nm=5.0)
    chosen, _ = dm.choose_engine(engine, "cpu")
    found = []
    for seed in range(seeds):
        gas = dm.random_gas({body: 64}, 60.0, seed=100 + seed)
        seen = []

        def observe(report, seen=seen):
            if report.step > 0.25 * steps:
                sizes = np.bincount(dm.find_chains(report.read()).labels)
                fractions = [(sizes * (sizes == k)).sum() / 64 for k in (1, 2, 3)]
                seen.append([64 / len(sizes), *fractions, (sizes * (sizes > 3)).sum() / 64])
            return False

        stage = dm.Stage("chains", steps, time_step_ps, here, here, viscosity_mPa_s=0.413,
                         friction_scale=friction_scale, integrator=integrator, chunk_steps=1000,
                         skin_nm=1.0, seed=seed)  # fmt: skip
        chosen.run(gas, terms, stage, observe)
        found.append(np.mean(seen, axis=0))
    return np.array(found)


@pytest.mark.hoomd
def test_brownian_and_langevin_dynamics_give_the_same_chains():
    """Weak coupling, short chains: mean length and distribution within three combined errors."""
    runs = {
        "langevin lammps": chain_lengths("lammps", "langevin", 0.8, 0.02, 30_000),
        "langevin hoomd": chain_lengths("hoomd", "langevin", 0.8, 0.02, 30_000),
        "brownian hoomd": chain_lengths("hoomd", "brownian", 0.025, 0.05, 60_000),
    }
    means = {name: values.mean(axis=0) for name, values in runs.items()}
    errors = {n: v.std(axis=0, ddof=1) / math.sqrt(len(v)) for n, v in runs.items()}
    for name, mean in means.items():
        numbers = ", ".join(f"{m:.4f} ± {e:.4f}" for m, e in zip(mean, errors[name], strict=True))
        print(f"\n{name}: mean length and fractions in chains of 1, 2, 3, more: {numbers}")
    reference = "langevin lammps"
    assert means[reference][0] > 1.15  # there are chains to compare
    for name in ("langevin hoomd", "brownian hoomd"):
        combined = np.hypot(errors[name], errors[reference])
        assert combined[0] < 0.05 * means[reference][0]
        assert (np.abs(means[name] - means[reference]) < 3 * np.maximum(combined, 0.002)).all()


def test_initial_susceptibility_of_the_dipolar_fluid():
    """WCA ε = kT, λ = 3, φ = 0.0262, conducting boundary: χ = 0.822 ± 0.017.

    χ = (λ ρσ³ 4π/3) <M²>/(N μ²), which is Langevin's 8 λ φ = 0.629 where dipoles don't correlate.
    Reference: Z. Wang, C. Holm, H. W. Müller, Phys. Rev. E 66, 021405 (2002),
    https://doi.org/10.1103/PhysRevE.66.021405, as quoted by ESPResSo's ferrofluid tutorial.
    """
    n, coupling, fraction, sigma = 500, 3.0, 0.0262, 1.8
    mu = math.sqrt(coupling * sigma**3 * KT / KE)
    assert 20 < mu / DEBYE < 40
    body = dm.Body(
        name="ferrofluid",
        sites=(dm.Site((0.0, 0.0, 0.0), sigma, KT),),
        mass_Da=4000.0,
        inertia_Da_nm2=(0.4 * 4000.0 * 0.9**2,) * 3,
        dipole_e_nm=(0.0, 0.0, mu),
        axial_contact_nm=sigma,
        hydrodynamic_radius_nm=0.9,
    )
    density = fraction / (math.pi / 6 * sigma**3)
    gas = dm.random_gas({body: n}, density / (6.02214076e23 * 1e-27), seed=3)
    here = dm.Environment(298.15, 1.0, gas.concentration_mM)
    terms = dm.Interactions(298.15, 1.0, "ewald", ewald_accuracy=1e-3)
    chosen, _ = dm.choose_engine("lammps")
    stage = dm.Stage("soak", 5000, 0.8, here, here, 0.413, 0.02, chunk_steps=1000, skin_nm=1.0)
    gas = chosen.run(gas, terms, stage, lambda report: False)
    squares = []

    def observe(report):
        squares.append((report.read().dipoles.sum(axis=0) ** 2).sum())
        return False

    hold = dm.Stage("hold", 100_000, 0.8, here, here, 0.413, 0.02, chunk_steps=25, skin_nm=1.0,
                    seed=1)  # fmt: skip
    chosen.run(gas, terms, hold, observe)
    unit = coupling * density * sigma**3 * 4 * math.pi / 3 / (n * mu**2)
    chi, error = estimate(unit * np.array(squares))
    print(f"\nχ = {chi:.3f} ± {error:.3f} (Langevin {8 * coupling * fraction:.3f}); "
          f"{chosen.settings.ewald['hold']}")  # fmt: skip
    assert error <= 0.03
    assert abs(chi - 0.822) < 2 * math.hypot(error, 0.017)
