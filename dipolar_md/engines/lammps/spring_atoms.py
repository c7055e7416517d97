"""Springs as atoms of LAMMPS: two particles a body, bonded to its centre.

They come after all sites, with a type of their own, and belong to the molecule of their body, so
that no pair within it is in any neighbour list. What the mesh counts within it all the same,
q q' erf(αr)/(4πε₀ε_r r), tabulated bonds take away: exact at every distance, where a pair style's
approximate erfc would not be.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import erf

from dipolar_md.engines.springs import Springs
from dipolar_md.files import nameless
from dipolar_md.model.interactions import site_kinds
from dipolar_md.model.system import Floats, System, wrap
from dipolar_md.units import KE

_REACH_NM, _POINTS = 3.0, 3000  # of the tabulated bonds


def box_options(bond_kinds: int) -> str:
    """Return what `create_box` needs to know of the bonds."""
    return f" bond/types {bond_kinds} extra/bond/per/atom 20 extra/special/per/atom 40"


def create(lmp: Any, system: System, springs: Springs, velocities: Floats | None) -> None:
    """Add the particles, displaced by the induced dipoles of the system.

    Args:
        lmp: an instance that holds the sites.
        system: the system.
        springs: their charges and masses.
        velocities: (2S, 3) of the particles, nm/ps; None at rest.
    """
    owners, sites = springs.owners(system), len(system.site_owners)
    kind = len(site_kinds(system.bodies)) + 1
    places = wrap(system.positions, system.box)[owners] + springs.arms(system)
    lmp.create_atoms(
        len(owners),
        list(range(sites + 1, sites + len(owners) + 1)),
        [kind] * len(owners),
        places.ravel().tolist(),
        v=(np.zeros_like(places) if velocities is None else velocities).ravel().tolist(),
    )
    index = lmp.numpy.extract_atom("id") - 1
    local = np.flatnonzero(index >= sites)
    which = index[local] - sites
    lmp.numpy.extract_atom("q")[local] = springs.charges(system)[which] * KE**0.5
    lmp.numpy.extract_atom("rmass")[local] = springs.masses(system)[which]
    lmp.numpy.extract_atom("radius")[local] = 0.0
    lmp.numpy.extract_atom("molecule")[local] = owners[which] + 1
    lmp.command(f"group springs type {kind}")


def bind(
    lmp: Any, system: System, springs: Springs, coulomb_constant: float, alpha_per_nm: float
) -> None:
    """Add the springs, and the bonds that undo the mesh within bodies."""
    bonds = list(_bonds(system, springs))
    kinds = sorted({value for *_, value in bonds if isinstance(value, float)})
    n = len(springs.stiffness)
    commands = [
        "special_bonds lj/coul 1 1 1",
        "suffix off",  # threaded bonds keep no energies by style
        "bond_style hybrid harmonic table spline 3000",
        "suffix on",
    ]
    for index, stiffness in enumerate(springs.stiffness, start=1):
        commands.append(f"bond_coeff {index} harmonic {stiffness / 2:.17g} 0.0")
    tables = (
        _table(f"B{k}", -coulomb_constant * product, alpha_per_nm)
        for k, product in enumerate(kinds)
    )
    with nameless("".join(tables)) as path:
        commands += [f"bond_coeff {n + 1 + k} table {path} B{k}" for k in range(len(kinds))]
        lmp.commands_list(commands)
    numbers = {product: n + 1 + k for k, product in enumerate(kinds)}
    commands = [
        f"create_bonds single/bond {numbers[kind] if isinstance(kind, float) else kind + 1} "
        f"{one + 1} {other + 1} special no"
        for one, other, kind in bonds
    ]
    lmp.commands_list([*commands, "compute bonds all bond"])


def bond_kinds(system: System, springs: Springs) -> int:
    """Return the number of kinds of bonds."""
    products = {value for *_, value in _bonds(system, springs) if isinstance(value, float)}
    return len(springs.stiffness) + len(products)


def _bonds(system: System, springs: Springs) -> Iterator[tuple[int, int, int | float]]:
    """Yield atoms (from 0) and body of every spring, atoms and q q' (e²) of what to undo."""
    owners, n = system.site_owners, len(system)
    charges = system.per_site([[site.charge_e for site in b.sites] for b in system.bodies])
    order = np.argsort(owners[n:], kind="stable") + n
    starts = np.searchsorted(owners[order], np.arange(n + 1))
    hung = springs.charges(system)
    for number, cluster in enumerate(springs.clusters(system)):
        pair = (2 * number, 2 * number + 1)
        for particle in pair:
            atom = len(owners) + particle
            yield int(cluster), atom, int(system.types[cluster])
            for site in (cluster, *order[starts[cluster] : starts[cluster + 1]]):
                if charges[site]:
                    yield int(site), atom, float(hung[particle] * charges[site])
        yield len(owners) + pair[0], len(owners) + pair[1], float(hung[pair[0]] * hung[pair[1]])


def _table(name: str, factor: float, alpha: float) -> str:
    """Return a section of a bond table: factor erf(αr)/r and minus its slope."""
    r = np.linspace(0.0, _REACH_NM, _POINTS)
    gauss = 2 * alpha / np.sqrt(np.pi) * np.exp(-((alpha * r) ** 2))
    energy, force = np.full(len(r), 2 * alpha / np.sqrt(np.pi)), np.zeros(len(r))
    energy[1:] = erf(alpha * r[1:]) / r[1:]
    force[1:] = (energy[1:] - gauss[1:]) / r[1:]
    near = alpha * r < 0.02  # where the difference cancels
    force[near] = 4 * alpha**3 / (3 * np.sqrt(np.pi)) * r[near] * (1 - 0.6 * (alpha * r[near]) ** 2)
    slope = 4 * alpha**3 / (3 * np.sqrt(np.pi))
    end = (force[-1] - force[-2]) / (r[-1] - r[-2])
    rows = (
        f"{k} {x:.17g} {factor * e:.17g} {factor * f:.17g}"
        for k, (x, e, f) in enumerate(zip(r, energy, force, strict=True), start=1)
    )
    head = f"{name}\nN {len(r)} FP {factor * slope:.17g} {factor * end:.17g}\n\n"
    return head + "\n".join(rows) + "\n\n"


def add_bath(lmp: Any, damping_ps: float, kT: float, seed: int) -> None:
    """Add friction and noise on the particles, or replace them."""
    lmp.command(f"fix spring_bath springs langevin {kT:.17g} {kT:.17g} {damping_ps:.17g} {seed}")
