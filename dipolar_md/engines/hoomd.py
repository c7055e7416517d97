"""HOOMD-blue as an engine: point dipoles on CPU or GPU. The only module that imports hoomd.

Steric terms are `md.pair.LJ` cut and shifted at its minimum, dipoles `md.pair.aniso.Dipole` with
κ = 0 and A = e²/4πε₀ε_r. Site charges stay zero, because HOOMD's dipole formula counts them too.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import hoomd
import numpy as np
import rowan

from dipolar_md.engines import (
    HOOMD_INSTALL,
    Evaluation,
    Finding,
    Observer,
    Report,
    Settings,
    Stage,
    advice,
    blow_up_reason,
    check_stage,
    check_system,
    hoomd_refusal,
    named_energies,
    scaled_box,
)
from dipolar_md.errors import BlowUpError, InputError
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System, wrap
from dipolar_md.units import thermal_energy

_TRIALS, _TRIAL_STEPS = 4, 100  # neighbour-list buffers that the tuner tries


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


def make(device: str, threads: int) -> "HoomdEngine":
    """Return the engine."""
    return HoomdEngine(device)


@dataclass
class HoomdEngine:
    """Spheres with point dipoles by `md.pair.LJ` and `md.pair.aniso.Dipole`."""

    device: str = "cpu"
    settings: Settings = field(default_factory=Settings)
    name: str = "hoomd"
    version: str = hoomd.version.version

    def evaluate(self, system: System, interactions: Interactions) -> Evaluation:
        """Return energies, forces and torques of one configuration."""
        check_system(system, interactions, self.name)
        _check_skin(float(system.box[:3].min()), interactions, 0.0)
        model = _Model(self.device, system, interactions, skin=0.0, time_step=0.0)
        model.simulation.run(0)
        return Evaluation(
            energies=model.energies(),
            forces=np.array(model.steric.forces + model.dipole.forces),
            torques=np.array(model.dipole.torques),
            cluster_energies=np.array(model.steric.energies + model.dipole.energies),
        )

    def run(
        self, system: System, interactions: Interactions, stage: Stage, observer: Observer
    ) -> System:
        """Return the system after a stage, or after the chunk at which the observer stopped it.

        Raises:
            BlowUpError: an energy left the physical range.
        """
        check_stage(system, interactions, stage, self.name)
        edge = _smallest_edge(system, stage)
        skin = stage.skin_nm
        if skin is None:
            skin = self._tuned_skin(system, interactions, stage)
        _check_skin(edge, interactions, skin)
        self.settings.skins_nm[stage.name] = skin
        model = _Model(self.device, system, interactions, skin, stage.time_step_ps)
        model.integrate(system, stage)
        model.set_environment(stage, stage.first_step, system)
        for todo, done in stage.chunks():
            now = stage.environment(done)
            if stage.ramps:
                model.set_environment(stage, done, system)
            try:
                model.simulation.run(todo)
            except RuntimeError as error:
                if "too small" in str(error):
                    raise
                raise BlowUpError(advice(stage, done, str(error).strip())) from error
            energies = model.energies()
            trouble = blow_up_reason(energies, len(system), thermal_energy(now.temperature_K))
            if trouble:
                raise BlowUpError(advice(stage, done, trouble))
            if observer(Report(stage, done, now, energies, lambda: model.read(system))):
                break
        return model.read(system)

    def _tuned_skin(self, system: System, interactions: Interactions, stage: Stage) -> float:
        """Return the neighbour-list buffer (nm) that HOOMD's own tuner finds on a copy."""
        room = _smallest_edge(system, stage) / 2 - interactions.cutoff_nm
        widest = min(0.5 * interactions.cutoff_nm, 0.99 * room)
        _check_skin(_smallest_edge(system, stage), interactions, 0.2 * widest)
        model = _Model(self.device, system, interactions, 0.2 * widest, stage.time_step_ps)
        model.integrate(system, stage)
        model.set_environment(stage, stage.first_step, system)
        trigger = hoomd.trigger.Periodic(_TRIAL_STEPS)
        tuner = hoomd.md.tune.NeighborListBuffer.with_grid(
            trigger, model.neighbours, maximum_buffer=widest, n_bins=_TRIALS
        )
        model.simulation.operations.tuners.append(tuner)
        model.simulation.run((_TRIALS + 4) * _TRIAL_STEPS)  # it measures within one run only
        return float(model.neighbours.buffer)


def _smallest_edge(system: System, stage: Stage) -> float:
    """Return the shortest box edge (nm) that occurs in a stage."""
    densest = max(stage.environment(stage.first_step)[2], stage.end.concentration_mM)
    return float(scaled_box(system, densest)[:3].min())


def _check_skin(edge: float, interactions: Interactions, skin: float) -> None:
    """Raise where HOOMD's neighbour list doesn't fit into the box: 2 (cutoff + skin) < edge."""
    if skin < 0 or 2 * (interactions.cutoff_nm + skin) >= edge:
        raise InputError(
            f"box too small for the cutoff and the neighbour-list skin of HOOMD: shortest edge "
            f"{edge:.4g} nm <= 2 x ({interactions.cutoff_nm:.4g} + {max(skin, 0):.4g}) nm; lower "
            "skin_nm or cutoff_nm, or raise n_clusters"
        )


class _Model:
    """A HOOMD simulation of one system: composition, never a subclass of HOOMD's classes."""

    def __init__(
        self, device: str, system: System, interactions: Interactions, skin: float, time_step: float
    ) -> None:
        kind = hoomd.device.GPU if device == "gpu" else hoomd.device.CPU
        self.simulation = hoomd.Simulation(device=kind(notice_level=0), seed=0)
        self.simulation.create_state_from_snapshot(_snapshot(system))
        names = [str(i) for i in range(len(system.bodies))]
        self.neighbours = hoomd.md.nlist.Cell(buffer=skin)
        self.steric = hoomd.md.pair.LJ(self.neighbours, mode="shift")
        self.dipole = hoomd.md.pair.aniso.Dipole(
            self.neighbours, default_r_cut=interactions.cutoff_nm
        )
        steric = interactions.steric_table(system.bodies)
        for i, j in zip(*np.triu_indices(len(names)), strict=True):
            pair = (names[i], names[j])
            self.steric.params[pair] = {
                "epsilon": steric.epsilon_kJ_mol[i, j],
                "sigma": steric.sigma_nm[i, j],
            }
            self.steric.r_cut[pair] = steric.cutoff_nm[i, j]
        for name, body in zip(names, system.bodies, strict=True):
            self.dipole.mu[name] = body.dipole_e_nm
        self._names = names
        self._set_coulomb(interactions.coulomb_constant)
        self.simulation.operations.integrator = hoomd.md.Integrator(
            dt=time_step, forces=[self.steric, self.dipole], integrate_rotational_dof=True
        )

    def _set_coulomb(self, constant: float) -> None:
        for i, j in zip(*np.triu_indices(len(self._names)), strict=True):
            self.dipole.params[self._names[i], self._names[j]] = {"A": constant, "kappa": 0.0}

    def integrate(self, system: System, stage: Stage) -> None:
        """Add the integration method, its friction and its noise."""
        everything = hoomd.filter.All()
        self.method: Any
        if stage.integrator == "nve":
            self.method = hoomd.md.methods.ConstantVolume(filter=everything)
        else:
            self.method = hoomd.md.methods.Langevin(filter=everything, kT=1.0)
            for name, body in zip(self._names, system.bodies, strict=True):
                gamma, gamma_r = stage.frictions_of(body)
                self.method.gamma[name] = gamma
                self.method.gamma_r[name] = (gamma_r,) * 3
            seed = np.random.SeedSequence((stage.seed, stage.first_step)).generate_state(1)[0]
            self.simulation.seed = int(seed % 2**16)
        self.simulation.operations.integrator.methods.append(self.method)

    def set_environment(self, stage: Stage, step: int, system: System) -> None:
        """Set box, permittivity and temperature of a stage after `step` steps."""
        now = stage.environment(step)
        box = scaled_box(system, now.concentration_mM)
        hoomd.update.BoxResize.update(state=self.simulation.state, box=hoomd.Box(*box))
        self._set_coulomb(
            Interactions(now.temperature_K, now.relative_permittivity).coulomb_constant
        )
        if stage.integrator != "nve":
            self.method.kT = thermal_energy(now.temperature_K)

    def energies(self) -> dict[str, float]:
        """Return the potential energies in kJ/mol."""
        return named_energies(float(self.steric.energy), float(self.dipole.energy))

    def read(self, template: System) -> System:
        """Return the present state."""
        snapshot = self.simulation.state.get_snapshot()
        particles = snapshot.particles
        box = np.array(snapshot.configuration.box, dtype=np.float64)
        moved = replace(
            template,
            box=box,
            positions=wrap(np.array(particles.position, dtype=np.float64), box),
            orientations=rowan.normalize(np.array(particles.orientation, dtype=np.float64)),
            velocities=np.array(particles.velocity, dtype=np.float64),
        )
        return moved.with_quaternion_momenta(np.array(particles.angmom, dtype=np.float64))


def _snapshot(system: System) -> hoomd.Snapshot:
    n = len(system)
    snapshot = hoomd.Snapshot()
    snapshot.configuration.box = system.box
    snapshot.particles.N = n
    snapshot.particles.types = [str(i) for i in range(len(system.bodies))]
    snapshot.particles.typeid[:] = system.types
    snapshot.particles.position[:] = wrap(system.positions, system.box)
    snapshot.particles.orientation[:] = system.orientations
    snapshot.particles.velocity[:] = system.velocities
    snapshot.particles.mass[:] = system.per_cluster([b.mass_Da for b in system.bodies])
    snapshot.particles.moment_inertia[:] = system.per_cluster(
        [b.inertia_Da_nm2 for b in system.bodies]
    )
    snapshot.particles.angmom[:] = system.quaternion_momenta
    return snapshot
