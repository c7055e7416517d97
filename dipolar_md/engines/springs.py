"""Induced dipoles as charges on springs: what engines of molecular dynamics carry them by.

Two particles of charges Q and −Q hang on a polarisable body's centre, each by a harmonic spring of
stiffness k = 2Q²/(4πε₀α). Their separation s is the induced dipole, p = Q s; the springs hold
p²/(8πε₀α) where they stand to both sides alike. The Coulomb terms between them, and with their own
body, are left out. Two charges rather than one against a charged centre, so that the
error of their finite distance goes with its square. A larger Q is nearer to a point dipole, and
faster; masses don't matter in classical equilibrium: each particle weighs as much as its body. At a
temperature T induced dipoles fluctuate, which adds the classical van der Waals attraction to the
self-consistent (T = 0) limit of the direct sums.

Source: after G. Lamoureux, B. Roux, J. Chem. Phys. 119, 3025 (2003),
https://doi.org/10.1063/1.1589749, who hang one charge on each centre.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dipolar_md.engines.direct import induced_dipoles
from dipolar_md.engines.ewald import Mesh, plan
from dipolar_md.engines.protocol import Evaluation, Settings
from dipolar_md.engines.stage import Stage
from dipolar_md.model.body import Body
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.polarisation import chain_gain
from dipolar_md.model.system import Floats, System, wrap
from dipolar_md.units import KE, thermal_energy

EVALUATION_CHARGE_E = 8.0
"""Charge of springs where nothing moves, so that no time step limits it."""

PHASE_PER_STEP = 0.2
"""ω Δt of the springs' fastest motion: leapfrog integration is off by (ω Δt)²/4 = 1 %."""

_APART_NM = 1e-7

LARGEST_CHARGE_E = 30.0
"""Beyond it the mesh of an Ewald sum would have to resolve the charges against each other."""


LARGEST_ARM_NM = 0.1
"""Farthest that springs may reach in a long chain as tight as its repulsion allows.

Charges that reach farther run over to their neighbour's, where springs hold them no more: in a
straight chain of nine R-Au-Cu at 1.6 nm that takes 3 kT with arms of 0.25 nm (steps of 0.2 ps), and
94 kT with 0.13 nm (0.12 ps).
"""


class Springs(NamedTuple):
    """The springs of a table of bodies; a body without polarisability has none.

    Particles come in pairs, Q and −Q of one cluster after the other.

    Attributes:
        charges_e: (n_bodies,) Q.
        stiffness: (n_bodies,) k, kJ/mol/nm²; 0 without springs.
        masses_Da: (n_bodies,) mass of each particle.
    """

    charges_e: Floats
    stiffness: Floats
    masses_Da: Floats

    def clusters(self, system: System) -> NDArray[np.int64]:
        """Return the clusters (S,) that have springs."""
        return np.flatnonzero(self.stiffness[system.types] > 0)

    def owners(self, system: System) -> NDArray[np.int64]:
        """Return the cluster of every particle (2S,)."""
        return np.repeat(self.clusters(system), 2)

    def charges(self, system: System) -> Floats:
        """Return the charge of every particle (2S,), e."""
        owners = self.owners(system)
        return np.asarray(
            self.charges_e[system.types[owners]] * np.resize([1.0, -1.0], len(owners))
        )

    def masses(self, system: System) -> Floats:
        """Return the mass of every particle (2S,), Da."""
        return np.asarray(self.masses_Da[system.types[self.owners(system)]])

    def arms(self, system: System) -> Floats:
        """Return where the particles (2S, 3) stand from their centres, nm."""
        owners, charges = self.owners(system), self.charges(system)
        if system.induced_dipoles is None:
            induced = np.zeros((len(owners), 3))
        else:
            induced = system.induced_dipoles[owners]
        found = induced / (2 * charges[:, None])
        together = np.abs(found).max(axis=1) < _APART_NM  # charges in one place have no direction
        found[together] = np.sign(charges[together, None]) * [0.0, 0.0, _APART_NM]
        return np.asarray(found)

    def induced(self, system: System, positions: Floats) -> Floats:
        """Return the induced dipoles (N, 3), e nm, of particles (2S, 3) at positions."""
        mine = self.clusters(system)
        found = np.zeros((len(system), 3))
        apart = wrap(positions[::2] - positions[1::2], system.box)
        found[mine] = self.charges_e[system.types[mine], None] * apart
        return found

    def temperature_K(self, system: System, velocities: Floats) -> float:
        """Return the kinetic temperature of the motion of charges against each other.

        Args:
            system: the system.
            velocities: (2S, 3) of the particles, nm/ps.
        """
        relative = velocities[::2] - velocities[1::2]
        reduced = self.masses(system)[::2, None] / 2
        return float((reduced * relative**2).sum()) / (3 * len(relative) * thermal_energy(1.0))

    def energy(self, system: System) -> float:
        """Return Σ p²/(8πε₀α) of the induced dipoles of a system, kJ/mol."""
        if system.induced_dipoles is None:
            return 0.0
        mine = self.clusters(system)
        kinds = system.types[mine]
        stiffness = self.stiffness[kinds] / (2 * self.charges_e[kinds] ** 2)
        return float((stiffness[:, None] * system.induced_dipoles[mine] ** 2).sum() / 2)

    def kinetic_energy(self, system: System, velocities: Floats) -> float:
        """Return the kinetic energy of the particles, kJ/mol, from velocities (2S, 3)."""
        return float((self.masses(system)[:, None] * velocities**2).sum() / 2)

    def thermal_velocities(self, system: System, stage: Stage, step: int) -> Floats:
        """Return Maxwell–Boltzmann velocities (2S, 3) of the particles at a step, nm/ps."""
        kT = thermal_energy(stage.environment(step).temperature_K)
        spread = np.sqrt(kT / self.masses(system))[:, None]
        random = np.random.default_rng(_seed(stage, step))
        return np.asarray(random.normal(size=(len(spread), 3)) * spread)


def make_springs(
    bodies: tuple[Body, ...], stage: Stage | None = None, charge_e: float | None = None
) -> Springs | None:
    """Return the springs of bodies with a point polarisability at the centre; None without any.

    Q of a stage is the largest whose fastest motion, of both charges against the body with
    ω² = 3k/M, moves by `PHASE_PER_STEP` in a time step.

    Args:
        bodies: the table.
        stage: gives the time step; None where nothing moves.
        charge_e: another charge Q.
    """
    alphas = np.array([body.polarisability_nm3 for body in bodies])
    if not alphas.any():
        return None
    masses = np.array([body.mass_Da for body in bodies])
    if charge_e is not None:
        charges = np.full(len(bodies), charge_e)
    elif stage is None:
        charges = np.full(len(bodies), EVALUATION_CHARGE_E)
    else:
        rate = PHASE_PER_STEP / stage.time_step_ps
        charges = np.minimum(rate * np.sqrt(alphas * masses / (6 * KE)), LARGEST_CHARGE_E)
    charges = np.where(alphas > 0, charges, 0.0)
    stiffness = np.zeros(len(bodies))
    np.divide(2 * KE * charges**2, alphas, out=stiffness, where=alphas > 0)
    return Springs(charges, stiffness, masses)


def longest_time_step(body: Body, nearest_nm: float) -> float:
    """Return the time step (ps) above which a body's springs would reach too far in a chain.

    Args:
        body: polarisable at the centre.
        nearest_nm: distance of neighbours in the chain.
    """
    gain = chain_gain(body.polarisable_points, nearest_nm)
    least_charge = body.dipole_magnitude_e_nm * (gain - 1) / (2 * LARGEST_ARM_NM)
    rate = PHASE_PER_STEP * math.sqrt(body.polarisability_nm3 * body.mass_Da / (6 * KE))
    return rate / least_charge


SpringEvaluation = Callable[[System, Interactions, Mesh | None, Springs | None], Evaluation]
"""An engine's evaluation of a system with given springs, displaced by its induced dipoles."""


def evaluate_with_springs(
    evaluate: SpringEvaluation,
    system: System,
    interactions: Interactions,
    mesh: Mesh | None = None,
    charge_e: float | None = None,
) -> Evaluation:
    """Return an engine's evaluation, induced dipoles on springs, induction apart.

    Args:
        evaluate: an engine's evaluation.
        system: the configuration; its induced dipoles, or self-consistent ones, displace springs.
        interactions: what acts.
        mesh: of an Ewald sum; None chooses one.
        charge_e: charge on the springs; None takes the default.
    """
    springs = make_springs(system.bodies, charge_e=charge_e)
    if springs:
        system = with_induced_dipoles(system, interactions)
    if interactions.electrostatics == "ewald" and mesh is None:
        mesh, _ = plan(system, interactions, lambda s, m: evaluate(s, interactions, m, springs))
    found = evaluate(system, interactions, mesh, springs)
    if not springs:
        return found
    permanent = evaluate(without_polarisation(system), interactions, mesh, None)
    split = split_induction(found.energies, permanent.energies["electrostatic"])
    return replace(found, energies=split)


def with_induced_dipoles(system: System, interactions: Interactions) -> System:
    """Return the system with self-consistent induced dipoles where it has none of its own.

    Raises:
        InputError: a polarisation catastrophe.
    """
    if system.induced_dipoles is not None:
        return system
    return replace(system, induced_dipoles=induced_dipoles(system, interactions))


def without_polarisation(system: System) -> System:
    """Return the system with its permanent moments alone."""
    bodies = tuple(body.unpolarised for body in system.bodies)
    return replace(system, bodies=bodies, induced_dipoles=None)


def split_running(
    energies: dict[str, float],
    permanent: float,
    springs: Springs,
    system: System,
    velocities: Floats,
) -> tuple[dict[str, float], float]:
    """Return energies with induction apart, and the energy of what only springs have.

    That is their kinetic energy, and the energy of the motion that both charges of a body share: it
    takes no part in induced dipoles, and is left out of the potential energy.

    Args:
        energies: with all Coulomb terms as `electrostatic` and that of springs as `induction`.
        permanent: electrostatic energy of the permanent moments alone, kJ/mol.
        springs: their stiffness and masses.
        system: the system now, with its induced dipoles.
        velocities: (2S, 3) of the particles now, nm/ps.
    """
    shared = energies["induction"] - springs.energy(system)
    apart = energies | {
        "induction": energies["induction"] - shared,
        "total": energies["total"] - shared,
    }
    moving = shared + springs.kinetic_energy(system, velocities)
    return split_induction(apart, permanent), moving


def split_induction(energies: dict[str, float], permanent: float) -> dict[str, float]:
    """Return energies with induction apart from the permanent moments' electrostatic energy.

    Args:
        energies: with all Coulomb terms as `electrostatic` and that of springs as `induction`.
        permanent: electrostatic energy of the permanent moments alone, kJ/mol.
    """
    more = energies["electrostatic"] - permanent
    return energies | {"electrostatic": permanent, "induction": energies["induction"] + more}


def typically_induced(system: System) -> System:
    """Return the system with induced dipoles of a typical size, to choose a mesh by."""
    share = 0.3 * system.per_cluster([b.polarisability_nm3 > 0 for b in system.bodies])
    return replace(system, induced_dipoles=share[:, None] * system.dipoles)


def thermally_induced(system: System, stage: Stage) -> System:
    """Return the system with induced dipoles where it has none: free ones at the temperature.

    ⟨p²⟩ = 3 α kT · 4πε₀; those of the field follow within a few periods of the springs.
    """
    if system.induced_dipoles is not None:
        return system
    alphas = system.per_cluster([body.polarisability_nm3 for body in system.bodies])
    kT = thermal_energy(stage.environment(stage.first_step).temperature_K)
    spread = np.sqrt(alphas * kT / KE)[:, None]
    seed = _seed(stage, stage.first_step)
    random = np.random.default_rng(seed + 1).normal(size=(len(system), 3))
    return replace(system, induced_dipoles=spread * random)


def _seed(stage: Stage, step: int) -> int:
    """Return the seed of the springs' velocities at a step of a stage."""
    return int(np.random.SeedSequence((stage.seed, step, 1)).generate_state(1)[0])


def note_temperature(
    settings: Settings, stage: Stage, springs: Springs, system: System, velocities: Floats
) -> None:
    """Record what a stage's springs are, and the mean temperature of their relative motion.

    Args:
        settings: of the engine.
        stage: the stage under way.
        springs: its springs.
        system: its system.
        velocities: (2S, 3) of the particles now, nm/ps.
    """
    temperature_K = springs.temperature_K(system, velocities)
    noted = settings.springs.setdefault(stage.name, _record(springs, stage) | {"samples": 0})
    count, mean = noted["samples"], noted.get("mean_temperature_K", 0.0)
    noted["samples"] = count + 1
    noted["mean_temperature_K"] = (count * mean + temperature_K) / (count + 1)


def _record(springs: Springs, stage: Stage) -> dict[str, object]:
    """Return what a manifest says of the springs of a stage, one entry per kind of body."""
    charges, stiffness, masses = (values[springs.stiffness > 0] for values in springs)
    return {
        "charge_e": charges.tolist(),
        "mass_Da": masses.tolist(),
        "phase_per_step": (stage.time_step_ps * np.sqrt(3 * stiffness / masses)).tolist(),
    }
