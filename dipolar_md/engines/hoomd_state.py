"""A system as a snapshot of HOOMD's: the centres, and induced dipoles on springs.

Springs are two free particles a body, bonded to its centre. They come after the centres and before
the constituents of rigid bodies. Bonds without stiffness join them to each other and to the charges
of their body: what is bonded is excluded from the Coulomb terms, for which PPPM corrects its
reciprocal part.
"""

from typing import Any

import numpy as np

from dipolar_md.engines.springs import Springs
from dipolar_md.model.system import Floats, System, wrap

SPRING = "spring"
"""Type of the particles."""


def filled(
    snapshot: Any,
    system: System,
    names: list[str],
    springs: Springs | None,
    spring_velocities: Floats | None,
    charge_unit: float,
) -> Any:
    """Return a snapshot with the centres of a system, and its springs after them.

    Args:
        snapshot: an empty one.
        system: the system.
        names: of the types: kinds of sites, and that of springs last.
        springs: of the system; None without induced dipoles.
        spring_velocities: (2S, 3) of the particles on springs, nm/ps; None at rest.
        charge_unit: HOOMD's charge of e.
    """
    n = len(system)
    particles = snapshot.particles
    snapshot.configuration.box = system.box
    particles.N = n + (0 if springs is None else len(springs.owners(system)))
    particles.types = names
    particles.typeid[:n] = system.types
    particles.position[:n] = wrap(system.positions, system.box)
    particles.orientation[:n] = system.orientations
    particles.velocity[:n] = system.velocities
    particles.mass[:n] = system.per_cluster([b.mass_Da for b in system.bodies])
    particles.moment_inertia[:n] = system.per_cluster([b.inertia_Da_nm2 for b in system.bodies])
    particles.angmom[:n] = system.quaternion_momenta
    if springs:
        _hang(snapshot, system, springs, charge_unit, spring_velocities)
    return snapshot


def _hang(
    snapshot: Any,
    system: System,
    springs: Springs,
    charge_unit: float,
    velocities: Floats | None,
) -> None:
    """Fill in the particles after the centres, displaced by the system's induced dipoles."""
    n, owners, particles = len(system), springs.owners(system), snapshot.particles
    snapshot.bonds.types = [str(kind) for kind in range(len(springs.stiffness) + 1)]
    places = wrap(system.positions, system.box)[owners] + springs.arms(system)
    particles.typeid[n:] = len(particles.types) - 1
    particles.position[n:] = wrap(places, system.box)
    particles.mass[n:] = springs.masses(system)
    particles.charge[n:] = springs.charges(system) * charge_unit
    if velocities is not None:
        particles.velocity[n:] = velocities


def bind(snapshot: Any, system: System, springs: Springs) -> None:
    """Add the springs, of one kind a body, and the bonds that only exclude, of the last kind."""
    n, owners = len(system), springs.owners(system)
    count, none = len(owners), len(springs.stiffness)
    charged = np.flatnonzero(snapshot.particles.charge)
    charged = charged[charged >= n + count]
    of_body = snapshot.particles.body[charged]  # tag of the centre
    hung = n + np.arange(count)
    pairs = [np.stack([owners, hung], axis=1), np.stack([hung[::2], hung[1::2]], axis=1)]
    order = np.argsort(of_body, kind="stable")
    starts, ends = (np.searchsorted(of_body[order], owners + k) for k in (0, 1))
    for particle, first, last in zip(hung, starts, ends, strict=True):
        others = charged[order[first:last]]
        pairs.append(np.stack([others, np.full(len(others), particle)], axis=1))
    group = np.concatenate(pairs)
    kinds = np.full(len(group), none)
    kinds[:count] = system.types[owners]
    snapshot.bonds.N = len(group)
    snapshot.bonds.group[:] = group
    snapshot.bonds.typeid[:] = kinds


def taken_down(
    system: System, springs: Springs, forces: Floats, torques: Floats, energies: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return what acts on sites alone; what pulls at a spring pulls at its centre."""
    n, owners = len(system), springs.owners(system)
    hung = slice(n, n + len(owners))
    np.add.at(forces, owners, forces[hung])
    found = (np.delete(values, hung, axis=0) for values in (forces, torques, energies))
    forces, torques, energies = found
    return forces, torques, energies
