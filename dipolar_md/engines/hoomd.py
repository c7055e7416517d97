"""HOOMD-blue as an engine: rigid bodies with dipoles or charges, on CPU or GPU.

The only module that imports hoomd. Steric terms are `md.pair.LJ` cut and shifted, point dipoles
`md.pair.aniso.Dipole` with κ = 0 and A = e²/4πε₀ε_r on the centres, site charges (times
√(e²/4πε₀ε_r)) PPPM. HOOMD's dipole formula counts charges too, so a system has one or the other. A
uniform field acts on the whole dipole at the centre (`external.field.Magnetic`, whose energy is
-μ·B). Walls are Lennard-Jones planes cut and shifted at their minimum. Induced dipoles are free
particles on springs, after the centres (`hoomd_state.py`).
"""

import os
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import hoomd
import numpy as np
import rowan

from dipolar_md.engines.capabilities import check_stage, check_system
from dipolar_md.engines.ewald import Mesh, plan, record, trial_steps
from dipolar_md.engines.hoomd_state import SPRING, bind, filled, taken_down
from dipolar_md.engines.protocol import (
    Engine,
    Evaluation,
    Finding,
    Floats,
    Observer,
    Report,
    Settings,
    gathered,
    named_energies,
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
from dipolar_md.engines.stage import Stage, advice, blow_up_reason, compressed, scaled_box
from dipolar_md.engines.versions import HOOMD_INSTALL, hoomd_refusal
from dipolar_md.errors import BlowUpError, InputError, UnsupportedError
from dipolar_md.model.body import Body
from dipolar_md.model.interactions import Interactions, kinds_of_sites, site_kinds
from dipolar_md.model.system import System, wrap
from dipolar_md.units import thermal_energy

_TRIALS, _TRIAL_STEPS = 4, 100  # neighbour-list buffers that the tuner tries
_WARM_RUNS = 200  # of as many steps: kernels of a GPU need thousands to tune themselves


def inspect(device: str) -> Finding:
    """Return whether HOOMD can run on `device` here; `auto` prefers a GPU."""
    version = hoomd.version.version
    if not hoomd.version.gpu_enabled:
        trouble = "this build of HOOMD has no GPU support"
    elif not hoomd.device.GPU.get_available_devices():
        trouble = "no GPU found"
    else:
        trouble = hoomd_refusal(version, "gpu") or ""
    if device in ("auto", "gpu") and not trouble:
        return Finding("hoomd", True, version, "gpu", hoomd.device.GPU.get_available_devices()[0])
    if device == "gpu":
        return Finding("hoomd", False, version, "", f"{trouble}: {HOOMD_INSTALL}")
    reason = hoomd_refusal(version, "cpu")
    return Finding("hoomd", reason is None, version, "cpu", reason or "usable on the CPU")


def make(device: str, threads: int, ranks: int) -> Engine:
    """Return the engine.

    Raises:
        UnsupportedError: several ranks.
    """
    if ranks > 1:
        raise UnsupportedError(
            "engine 'hoomd' can't do several MPI ranks, even where it was built with MPI: it is "
            "driven on one GPU or one core; engine 'lammps' can"
        )
    return HoomdEngine(device)


@dataclass
class HoomdEngine:
    """Spheres and rigid bodies by `md.pair.LJ`, `md.pair.aniso.Dipole` or PPPM."""

    device: str = "cpu"
    settings: Settings = field(default_factory=Settings)
    name: str = "hoomd"
    version: str = hoomd.version.version

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
        _check_skin(system, interactions, 0.0)
        model = _Model(self.device, system, interactions, 0.0, 0.0, mesh, springs)
        model.simulation.run(0)
        return model.evaluation(system)

    def run(
        self, system: System, interactions: Interactions, stage: Stage, observer: Observer
    ) -> System:
        """Return the system after a stage, or after the chunk at which the observer stopped it.

        Raises:
            BlowUpError: an energy left the physical range.
        """
        check_stage(system, interactions, stage, self.name)
        if make_springs(system.bodies, stage):
            system = thermally_induced(system, stage)
        mesh = self._planned(system, interactions, stage)
        skin = stage.skin_nm
        if skin is None:
            skin = self._tuned_skin(system, interactions, stage, mesh)
        _check_skin(_densest(system, stage), interactions, skin)
        self.settings.skins_nm[stage.name] = skin
        rebuilds = stage.ramps and (mesh is not None or system.thickness_nm is not None)
        here = compressed(system, stage.environment(stage.first_step))
        model = self._started(here, interactions, stage, stage.first_step, skin, mesh)
        for todo, done in stage.chunks():
            now = stage.environment(done)
            if rebuilds:
                here = compressed(model.read(here), now)
                model = self._started(here, interactions, stage, done, skin, mesh)
            elif stage.ramps:
                model.set_environment(stage, done, system, interactions)
            try:
                model.simulation.run(todo)
            except RuntimeError as error:
                if "too small" in str(error):
                    raise
                raise BlowUpError(advice(stage, done, str(error).strip())) from error
            energies, moving = self._energies(model, here, interactions, stage, done)
            trouble = blow_up_reason(energies, len(system), thermal_energy(now.temperature_K))
            if trouble:
                raise BlowUpError(advice(stage, done, trouble))
            read = partial(model.read, here)
            if observer(Report(stage, done, now, energies, read, moving)):
                break
        return model.read(here)

    def _started(
        self,
        system: System,
        interactions: Interactions,
        stage: Stage,
        step: int,
        skin: float,
        mesh: Mesh | None,
    ) -> "_Model":
        """Return a model of a system that is ready to run a stage from `step` on."""
        now = stage.environment(step)
        here, springs = now.applied_to(interactions), make_springs(system.bodies, stage)
        velocities = springs and springs.thermal_velocities(system, stage, step)
        time_step = stage.time_step_ps
        model = _Model(self.device, system, here, skin, time_step, mesh, springs, velocities)
        model.integrate(system, stage, step)
        return model

    def _energies(
        self, model: "_Model", template: System, interactions: Interactions, stage: Stage, step: int
    ) -> tuple[dict[str, float], float]:
        """Return a model's energies, induction apart, and its springs' kinetic energy."""
        energies, springs = model.energies(), model.springs
        if not springs:
            return energies, 0.0
        velocities = model.spring_velocities()
        note_temperature(self.settings, stage, springs, template, velocities)
        state = model.read(template)
        here = stage.environment(step).applied_to(interactions)
        bare = without_polarisation(state)
        permanent = _Model(self.device, bare, here, 0.0, 0.0, model.mesh)
        permanent.simulation.run(0)
        alone = permanent.energies()["electrostatic"]
        return split_running(energies, alone, springs, state, velocities)

    def _planned(self, system: System, interactions: Interactions, stage: Stage) -> Mesh | None:
        """Return the mesh of a stage with an Ewald sum, chosen at its densest state."""
        if interactions.electrostatics != "ewald":
            return None
        densest = _densest(system, stage)
        springs = make_springs(system.bodies, stage)
        if springs:
            densest = typically_induced(densest)

        def seconds(mesh: Mesh) -> float:
            skin = 0.1 * mesh.cutoff_nm(densest)
            model = self._started(densest, interactions, still, 0, skin, mesh)
            _warm(model.simulation, 20)  # nothing moves: its neighbour list is never built again
            begin = time.perf_counter()
            model.simulation.run(trial_steps(len(system)))
            return time.perf_counter() - begin

        still = replace(stage, time_step_ps=1e-6)
        mesh, errors = plan(
            densest,
            interactions,
            lambda s, m: self._evaluate(s, interactions, m, springs),
            seconds,
        )
        self.settings.ewald[stage.name] = record(mesh, errors, densest, mesh.points(densest))
        return mesh

    def _tuned_skin(
        self, system: System, interactions: Interactions, stage: Stage, mesh: Mesh | None
    ) -> float:
        """Return the neighbour-list buffer (nm) that HOOMD's own tuner finds on a copy."""
        densest = _densest(system, stage)
        reach = _reach(densest, interactions, mesh)
        widest = min(0.5 * reach, 0.99 * (float(densest.box[:3].min()) / 2 - reach))
        _check_skin(densest, interactions, 0.2 * widest)
        here = compressed(system, stage.environment(stage.first_step))
        model = self._started(here, interactions, stage, stage.first_step, 0.2 * widest, mesh)
        _warm(model.simulation)
        trigger = hoomd.trigger.Periodic(_TRIAL_STEPS)
        tuner = hoomd.md.tune.NeighborListBuffer.with_grid(
            trigger, model.neighbours, maximum_buffer=widest, n_bins=_TRIALS
        )
        model.simulation.operations.tuners.append(tuner)
        model.simulation.run((_TRIALS + 4) * _TRIAL_STEPS)  # it measures within one run only
        return float(model.neighbours.buffer)


def _warm(simulation: hoomd.Simulation, runs: int = _WARM_RUNS) -> None:
    """Run until the kernels of a GPU have tuned themselves, so that what is timed next is steady.

    A CPU has none to tune. A kernel that is hardly ever called (a neighbour list of a wide buffer)
    is not waited for beyond `runs`.
    """
    simulation.run(1)
    for _ in range(runs):
        if simulation.operations.is_tuning_complete:
            return
        simulation.run(_TRIAL_STEPS)


def _densest(system: System, stage: Stage) -> System:
    """Return the system in the smaller of the boxes between which a stage runs."""
    ends = [compressed(system, e) for e in (stage.environment(stage.first_step), stage.end)]
    return min(ends, key=lambda s: float(s.box[:3].min()))


def _reach(system: System, interactions: Interactions, mesh: Mesh | None) -> float:
    """Return the farthest distance (nm) at which a pair is looked for."""
    steric = float(interactions.steric_table(system.bodies).cutoff_nm.max())
    return max(steric, mesh.cutoff_nm(system) if mesh else interactions.cutoff_nm)


def _check_skin(system: System, interactions: Interactions, skin: float) -> None:
    """Raise where HOOMD's neighbour list doesn't fit into the box: 2 (cutoff + skin) < edge."""
    edge = float(system.box[:3].min())
    cutoff = 0.0 if interactions.electrostatics == "ewald" else interactions.cutoff_nm
    if skin < 0 or 2 * (cutoff + skin) >= edge:
        raise InputError(
            f"box too small for the cutoff and the neighbour-list skin of HOOMD: shortest edge "
            f"{edge:.4g} nm <= 2 x ({cutoff:.4g} + {max(skin, 0):.4g}) nm; lower "
            "skin_nm or cutoff_nm, or raise n_clusters"
        )


class _Model:
    """A HOOMD simulation of one system: composition, never a subclass of HOOMD's classes."""

    def __init__(
        self,
        device: str,
        system: System,
        interactions: Interactions,
        skin: float,
        time_step: float,
        mesh: Mesh | None,
        springs: Springs | None = None,
        spring_velocities: Floats | None = None,
    ) -> None:
        self.system, self.mesh, self.springs = system, mesh, springs
        kind = hoomd.device.GPU if device == "gpu" else hoomd.device.CPU
        quiet = kind(
            notice_level=0, message_filename=os.devnull
        )  # its error estimate assumes unit charges
        self.simulation = hoomd.Simulation(device=quiet, seed=0)
        bodies = system.bodies
        self._kinds = site_kinds(bodies)
        self._names = [*map(str, range(len(self._kinds))), *([SPRING] if springs else [])]
        self._centres = self._names[: len(bodies)]
        unit = interactions.coulomb_constant**0.5
        state = filled(hoomd.Snapshot(), system, self._names, springs, spring_velocities, unit)
        self.simulation.create_state_from_snapshot(state)
        self.rigid = self._bodies(bodies, interactions.coulomb_constant)
        exclusions: tuple[str, ...] = ("body",) if self.rigid else ()
        self.bonds: list[Any] = []
        if springs:
            snapshot = self.simulation.state.get_snapshot()
            bind(snapshot, system, springs)
            self.simulation.state.set_snapshot(snapshot)
            exclusions = (*exclusions, "bond")
            self.bonds = [hoomd.md.bond.Harmonic()]
            for kind, stiffness in enumerate([*springs.stiffness, 0.0]):
                self.bonds[0].params[str(kind)] = {"k": float(stiffness), "r0": 0.0}
        self.neighbours = hoomd.md.nlist.Cell(buffer=skin, exclusions=exclusions)
        self.steric = [self._steric(interactions, bodies)]
        self.electrostatic: list[Any] = []
        self.dipole: Any = None
        if mesh is not None:
            self.electrostatic = list(
                hoomd.md.long_range.pppm.make_pppm_coulomb_forces(
                    self.neighbours, mesh.points(system), mesh.order, mesh.cutoff_nm(system)
                )
            )
        else:
            self.dipole = hoomd.md.pair.aniso.Dipole(self.neighbours, default_r_cut=0.0)
            for i, (index, _) in enumerate(self._kinds):
                centre = i < len(bodies)
                point = bodies[index].point_dipole_e_nm if centre else (0.0, 0.0, 0.0)
                self.dipole.mu[self._names[i]] = point
                for j in range(i, len(self._kinds)):
                    both = centre and j < len(bodies)
                    pair = (self._names[i], self._names[j])
                    self.dipole.r_cut[pair] = interactions.cutoff_nm if both else 0.0
            self._set_coulomb(interactions.coulomb_constant)
            self.electrostatic = [self.dipole]
        self.wall = self._walls(system, interactions) if system.thickness_nm else []
        self.field = hoomd.md.external.field.Magnetic()
        self._set_field(interactions, bodies)
        self._field_on = any(interactions.field_V_nm)
        forces = [*self.steric, *self.electrostatic, *self.wall, *self.bonds]
        if self._field_on:
            forces.append(self.field)
        self.integrator = hoomd.md.Integrator(
            dt=time_step, forces=forces, integrate_rotational_dof=True, rigid=self.rigid
        )
        self.simulation.operations.integrator = self.integrator

    def _bodies(self, bodies: tuple[Body, ...], coulomb_constant: float) -> Any:
        """Create the constituents of bodies of several sites; return the constraint or None."""
        if all(len(body.sites) == 1 for body in bodies):
            return None
        rigid = hoomd.md.constrain.Rigid()
        charges = {}
        for name, body, kinds in zip(self._centres, bodies, kinds_of_sites(bodies), strict=True):
            if len(body.sites) == 1:
                continue
            others = body.sites[1:]
            rigid.body[name] = {
                "constituent_types": [self._names[kind] for kind in kinds[1:]],
                "positions": [site.position_nm for site in others],
                "orientations": [(1.0, 0.0, 0.0, 0.0)] * len(others),
            }
            charges[name] = [site.charge_e * coulomb_constant**0.5 for site in others]
        rigid.create_bodies(self.simulation.state, charges=charges)
        return rigid

    def _steric(self, interactions: Interactions, bodies: tuple[Body, ...]) -> Any:
        force = hoomd.md.pair.LJ(self.neighbours, mode="shift")
        table = interactions.steric_table(bodies)
        for i, j in zip(*np.triu_indices(len(self._names)), strict=True):
            pair = (self._names[i], self._names[j])
            acts = j < len(self._kinds) and table.sigma_nm[i, j] > 0
            force.params[pair] = {
                "epsilon": table.epsilon_kJ_mol[i, j] if acts else 0.0,
                "sigma": table.sigma_nm[i, j] if acts else 1.0,
            }
            force.r_cut[pair] = table.cutoff_nm[i, j] if acts else 0.0
        return force

    def _walls(self, system: System, interactions: Interactions) -> list[Any]:
        half = system.thickness_nm / 2 if system.thickness_nm else 0.0
        planes = [
            hoomd.wall.Plane(origin=(0, 0, -half), normal=(0, 0, 1)),
            hoomd.wall.Plane(origin=(0, 0, half), normal=(0, 0, -1)),
        ]
        force = hoomd.md.external.wall.LJ(walls=planes)
        table = interactions.wall_table(system.bodies)
        for name, sigma, epsilon, cutoff in zip(self._names, *table, strict=False):
            force.params[name] = {"sigma": sigma, "epsilon": epsilon, "r_cut": cutoff}
        if self.springs:
            force.params[SPRING] = {"sigma": 1.0, "epsilon": 0.0, "r_cut": 0.0}
        return [force]

    def _set_coulomb(self, constant: float) -> None:
        for i, j in zip(*np.triu_indices(len(self._names)), strict=True):
            self.dipole.params[self._names[i], self._names[j]] = {"A": constant, "kappa": 0.0}

    def _set_field(self, interactions: Interactions, bodies: tuple[Body, ...]) -> None:
        strength = tuple(float(x) for x in interactions.field_kJ_mol_e_nm)
        for i, (index, _) in enumerate(self._kinds):
            centre = i < len(bodies)
            moment = bodies[index].dipole_e_nm if centre else (0.0, 0.0, 0.0)
            self.field.params[self._names[i]] = {"B": strength, "mu": moment}
        if self.springs:
            self.field.params[SPRING] = {"B": strength, "mu": (0.0, 0.0, 0.0)}

    def integrate(self, system: System, stage: Stage, step: int) -> None:
        """Add the integration method, its friction and its noise."""
        centres = hoomd.filter.Rigid(("center", "free")) if self.rigid else hoomd.filter.All()
        self.method: Any
        if stage.integrator == "nve":
            self.method = hoomd.md.methods.ConstantVolume(filter=centres)
        else:
            kT = thermal_energy(stage.environment(step).temperature_K)
            brownian = stage.integrator == "brownian"
            kind = hoomd.md.methods.Brownian if brownian else hoomd.md.methods.Langevin
            self.method = kind(filter=centres, kT=kT)
            for name, body in zip(self._centres, system.bodies, strict=True):
                gamma, gamma_r = stage.frictions_of(body)
                self.method.gamma[name] = gamma
                self.method.gamma_r[name] = (gamma_r,) * 3
            if self.springs:  # at the rate of the first body; their motion isn't kinetics
                body, mass = system.bodies[0], self.springs.masses_Da[0]
                self.method.gamma[SPRING] = stage.frictions_of(body)[0] / body.mass_Da * mass
            seed = np.random.SeedSequence((stage.seed, step)).generate_state(1)[0]
            self.simulation.seed = int(seed % 2**16)
        self.integrator.methods.append(self.method)

    def set_environment(
        self, stage: Stage, step: int, system: System, interactions: Interactions
    ) -> None:
        """Set box, permittivity, temperature and field of a stage after `step` steps."""
        now = stage.environment(step)
        box = scaled_box(system, now.concentration_mM, now.thickness_nm)
        hoomd.update.BoxResize.update(state=self.simulation.state, box=hoomd.Box(*box))
        here = now.applied_to(interactions)
        if self.dipole is not None:  # charges and meshes change with a new model only
            self._set_coulomb(here.coulomb_constant)
        self._set_field(here, system.bodies)
        if any(now.field_V_nm) and not self._field_on:
            self.integrator.forces.append(self.field)
            self._field_on = True
        if stage.integrator != "nve":
            self.method.kT = thermal_energy(now.temperature_K)

    def energies(self) -> dict[str, float]:
        """Return the potential energies in kJ/mol."""
        field = [self.field] if self._field_on else []
        groups = (self.steric, self.electrostatic, self.wall, field, self.bonds)
        return named_energies(*(sum(float(f.energy) for f in group) for group in groups))

    def evaluation(self, system: System) -> Evaluation:
        """Return energies, forces and torques about the centres."""
        acting = [*self.steric, *self.electrostatic, *self.wall]
        acting += [self.field] if self._field_on else []
        acting += self.bonds
        forces = np.sum([f.forces for f in acting], axis=0)
        torques = np.sum([f.torques for f in acting], axis=0)
        energies = np.sum([f.energies for f in acting], axis=0)
        if self.springs:
            forces, torques, energies = taken_down(system, self.springs, forces, torques, energies)
        return gathered(system, self.energies(), forces, torques, energies, self.dipole is None)

    def read(self, template: System) -> System:
        """Return the present state."""
        snapshot = self.simulation.state.get_snapshot()
        particles, n = snapshot.particles, len(template)
        box = np.array(snapshot.configuration.box, dtype=np.float64)
        moved = replace(
            template,
            box=box,
            positions=wrap(np.array(particles.position[:n], dtype=np.float64), box),
            orientations=rowan.normalize(np.array(particles.orientation[:n], dtype=np.float64)),
            velocities=np.array(particles.velocity[:n], dtype=np.float64),
        )
        if self.springs:
            hung = slice(n, n + len(self.springs.owners(template)))
            places = np.array(particles.position[hung], dtype=np.float64)
            moved = replace(moved, induced_dipoles=self.springs.induced(moved, places))
        return moved.with_quaternion_momenta(np.array(particles.angmom[:n], dtype=np.float64))

    def spring_velocities(self) -> Floats:
        """Return the velocities (2S, 3) of the particles on springs, nm/ps."""
        velocities = self.simulation.state.get_snapshot().particles.velocity
        n = len(self.system)
        count = 0 if self.springs is None else len(self.springs.owners(self.system))
        return np.array(velocities[n : n + count], dtype=np.float64)
