"""Model and state as arrays; fields, energies and the exact draw of dipoles, compiled.

Every cluster carries a total dipole d = μ u + p. Its field at another place, E, is what matters:
the weight of a cluster there, with its direction u and its induced dipole p integrated out, is

W = exp(-βU) · sinh κ/κ · exp(βαE²/2k), κ = βμ|E|,

U the steric and wall energy and k = 1/4πε₀ε_r. Given the place, u follows a von Mises-Fisher law
about E and p a Gaussian, p = αE/k + √(αkT/k) ξ: both are drawn exactly.

Numba keeps compiled code by the date of the file that a function stands in: after a change here,
the files that import it must be touched, too.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dipolar_md.engines.monte_carlo.random_numbers import (
    compiled,
    direction,
    gauss,
    log_sinhc,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MOST_BONDS = 12
"""Bonds of one cluster; a state with more is never entered."""
NEAR = 96
"""Clusters within the reach of bonds of one place; a place with more is never taken."""
LONGEST_PIECE = 2048
"""Clusters of a piece that moves as a whole."""
N_ENDS, N_CLUSTERS, N_BRANCHED, STAMP = 0, 1, 2, 3


class Model(NamedTuple):
    """What acts, as numbers; tables are by kind or by pair of kinds.

    Attributes:
        edges: (3,) box, nm.
        room: (3,) edges within which clusters may be, nm.
        film: whether walls stand at z = ±room/2.
        cells: (3,) cells per edge.
        beta: 1/kT, mol/kJ.
        coulomb: 1/4πε₀ε_r, kJ mol⁻¹ nm e⁻².
        cutoff: of the dipole sum, nm.
        field: (3,) uniform, kJ mol⁻¹ nm⁻¹ e⁻¹.
        moment: (K,) μ, e nm.
        polarisability: (K,) α, nm³.
        sigma, epsilon, reach, shift: (K, K) steric terms.
        wall: (K, 3) σ, ε and cutoff towards a wall.
        bond_reach: (K, K) farthest bond, nm.
        contact: (K, K) nm.
        bond_energy: highest reduced dipole energy of a bond.
        near: longest of `bond_reach`, nm.
        first, step: nm, of the distances of `density`.
        density: (K, K, R, C) of proposed places about a cluster, nm⁻³.
        chance, alias: (K, K, R C) to draw from it.
        coupling: (K, K) βμμk times a gain, nm³, of the directions proposed.
    """

    edges: Floats
    room: Floats
    film: bool
    cells: Integers
    beta: float
    coulomb: float
    cutoff: float
    field: Floats
    moment: Floats
    polarisability: Floats
    sigma: Floats
    epsilon: Floats
    reach: Floats
    shift: Floats
    wall: Floats
    bond_reach: Floats
    contact: Floats
    bond_energy: float
    near: float
    first: float
    step: float
    density: Floats
    chance: Floats
    alias: Integers
    coupling: Floats


class State(NamedTuple):
    """Clusters, their bond graph, and scratch.

    Attributes:
        x, u, p, d: (N, 3) places, directions, induced and total dipoles.
        kind: (N,) row of the tables.
        alive: (N,) the clusters that are there come first.
        head: (cells,) first cluster of a cell; after, before: (N,) its list; cell: (N,).
        bond: (N, MOST_BONDS) partners; degree: (N,) how many.
        ends: (N,) clusters with at most one bond; place: (N,) where each stands there, or -1.
        member: (N,) whether a cluster is being moved.
        counts: ends, clusters, branch points, stamp.
        stamp: (N,) last visit.
        energy: (1,) running total, kJ/mol.
        rng: (4,) state of xoshiro256++.
        near_count: (2,), near_index: (2, NEAR), near_step: (2, NEAR, 3) of two places.
        fresh: (NEAR,) bonds of a place.
        piece: clusters of a piece; path: (…, 3) their places relative to the first; freed: ends
            that are left where the piece is taken away; trial: (…, 12) x, u, p, d of each.
        cross: (…, 2) bonds of the piece at its new place; turn: (3, 3).
    """

    x: Floats
    u: Floats
    p: Floats
    d: Floats
    kind: Integers
    alive: Integers
    head: Integers
    after: Integers
    before: Integers
    cell: Integers
    bond: Integers
    degree: Integers
    ends: Integers
    place: Integers
    member: NDArray[np.int8]
    counts: Integers
    stamp: Integers
    energy: Floats
    rng: NDArray[np.uint64]
    near_count: Integers
    near_index: Integers
    near_step: Floats
    fresh: Integers
    piece: Integers
    path: Floats
    freed: Integers
    trial: Floats
    cross: Integers
    turn: Floats


@compiled
def nearest(m, axis, distance):  # type: ignore[no-untyped-def]
    """Return the nearest image of a component of a separation."""
    edge = m.edges[axis]
    return distance - edge * math.floor(distance / edge + 0.5)


@compiled
def cell_of(m, axis, coordinate):  # type: ignore[no-untyped-def]
    """Return the cell of a coordinate, which may lie outside the box by rounding."""
    count = m.cells[axis]
    return math.floor((coordinate / m.edges[axis] + 0.5) * count) % count


@compiled
def pair_energy(m, a, b, r2):  # type: ignore[no-untyped-def]
    """Return the steric energy of two kinds at a squared distance."""
    if r2 >= m.reach[a, b] ** 2:
        return 0.0
    s6 = (m.sigma[a, b] ** 2 / r2) ** 3
    return 4 * m.epsilon[a, b] * (s6 * s6 - s6) + m.shift[a, b]


@compiled
def wall_energy(m, kind, z):  # type: ignore[no-untyped-def]
    """Return the energy of a kind between two walls."""
    if not m.film:
        return 0.0
    total = 0.0
    for side in (-1.0, 1.0):
        height = m.room[2] / 2 + side * z
        if height <= 0:
            return np.inf
        if height < m.wall[kind, 2]:
            s6 = (m.wall[kind, 0] / height) ** 6
            total += 4 * m.wall[kind, 1] * (s6 * s6 - s6 + 0.25)
    return total


@compiled
def surroundings(m, s, kind, x, y, z, slot):  # type: ignore[no-untyped-def]
    """Return the field (3 numbers) and the steric and wall energy of a kind at a place.

    Clusters that are being moved are left out; those near enough for a bond are kept in `slot`.
    """
    ex, ey, ez = m.field[0], m.field[1], m.field[2]
    steric = wall_energy(m, kind, z)
    cutoff2, near2 = m.cutoff**2, m.near**2
    nx, ny, nz = m.cells
    cx, cy, cz = cell_of(m, 0, x), cell_of(m, 1, y), cell_of(m, 2, z)
    found = 0
    for i in range(min(nx, 3)):
        ix = (cx + i - 1) % nx if nx > 2 else i
        for j in range(min(ny, 3)):
            iy = (cy + j - 1) % ny if ny > 2 else j
            for k in range(min(nz, 3)):
                iz = (cz + k - 1) % nz if nz > 2 else k
                other = s.head[(ix * ny + iy) * nz + iz]
                while other >= 0:
                    rx = nearest(m, 0, x - s.x[other, 0])
                    ry = nearest(m, 1, y - s.x[other, 1])
                    rz = nearest(m, 2, z - s.x[other, 2])
                    r2 = rx * rx + ry * ry + rz * rz
                    if r2 < cutoff2 and s.member[other] == 0:
                        dx, dy, dz = s.d[other, 0], s.d[other, 1], s.d[other, 2]
                        along = 3 * (dx * rx + dy * ry + dz * rz) / r2
                        scale = m.coulomb / (r2 * math.sqrt(r2))
                        ex += scale * (along * rx - dx)
                        ey += scale * (along * ry - dy)
                        ez += scale * (along * rz - dz)
                    if r2 < near2 and s.member[other] == 0:
                        if found == NEAR:
                            steric = np.inf
                            found = 0
                        s.near_index[slot, found] = other
                        s.near_step[slot, found, 0] = rx
                        s.near_step[slot, found, 1] = ry
                        s.near_step[slot, found, 2] = rz
                        found += 1
                        steric += pair_energy(m, kind, s.kind[other], r2)
                    other = s.after[other]
    s.near_count[slot] = found
    return ex, ey, ez, steric


@compiled
def log_weight(m, kind, ex, ey, ez, steric):  # type: ignore[no-untyped-def]
    """Return ln W of a kind in a field: direction and induced dipole are integrated out."""
    e2 = ex * ex + ey * ey + ez * ez
    kappa = m.beta * m.moment[kind] * math.sqrt(e2)
    induced = m.beta * m.polarisability[kind] * e2 / (2 * m.coulomb)
    return -m.beta * steric + log_sinhc(kappa) + induced


@compiled
def own_energy(m, kind, px, py, pz):  # type: ignore[no-untyped-def]
    """Return what an induced dipole costs, k p²/2α."""
    alpha = m.polarisability[kind]
    return m.coulomb * (px * px + py * py + pz * pz) / (2 * alpha) if alpha > 0 else 0.0


@compiled
def draw_dipole(m, s, row, kind, ex, ey, ez):  # type: ignore[no-untyped-def]
    """Draw direction and induced dipole in a field into a row of `trial`; return their energy."""
    strength = math.sqrt(ex * ex + ey * ey + ez * ez)
    moment, alpha = m.moment[kind], m.polarisability[kind]
    if strength > 0:
        fx, fy, fz = ex / strength, ey / strength, ez / strength
    else:
        fx, fy, fz = 0.0, 0.0, 1.0
    ux, uy, uz = direction(s.rng, fx, fy, fz, m.beta * moment * strength)
    px = py = pz = 0.0
    if alpha > 0:
        noise = math.sqrt(alpha / (m.beta * m.coulomb))
        g1, g2 = gauss(s.rng)
        g3, _ = gauss(s.rng)
        scale = alpha / m.coulomb
        px, py, pz = scale * ex + noise * g1, scale * ey + noise * g2, scale * ez + noise * g3
    dx, dy, dz = moment * ux + px, moment * uy + py, moment * uz + pz
    t = s.trial[row]
    t[3], t[4], t[5] = ux, uy, uz
    t[6], t[7], t[8] = px, py, pz
    t[9], t[10], t[11] = dx, dy, dz
    return own_energy(m, kind, px, py, pz) - dx * ex - dy * ey - dz * ez


@compiled
def wrap_trial(m, s, row):  # type: ignore[no-untyped-def]
    """Bring the place in a row of `trial` into the box."""
    for axis in range(3):
        s.trial[row, axis] = nearest(m, axis, s.trial[row, axis])


@compiled
def energy_in(m, s, i, ex, ey, ez, steric):  # type: ignore[no-untyped-def]
    """Return the energy of a cluster in a field, its induced dipole's own included."""
    own = own_energy(m, s.kind[i], s.p[i, 0], s.p[i, 1], s.p[i, 2])
    return steric + own - s.d[i, 0] * ex - s.d[i, 1] * ey - s.d[i, 2] * ez


# --- Lists of cells -------------------------------------------------------------------------------


@compiled
def enter_cell(m, s, i):  # type: ignore[no-untyped-def]
    """Enter a cluster into the list of its cell."""
    cx, cy, cz = cell_of(m, 0, s.x[i, 0]), cell_of(m, 1, s.x[i, 1]), cell_of(m, 2, s.x[i, 2])
    cell = (cx * m.cells[1] + cy) * m.cells[2] + cz
    first = s.head[cell]
    s.cell[i], s.before[i], s.after[i] = cell, -1, first
    if first >= 0:
        s.before[first] = i
    s.head[cell] = i


@compiled
def leave_cell(s, i):  # type: ignore[no-untyped-def]
    """Take a cluster out of the list of its cell."""
    if s.before[i] >= 0:
        s.after[s.before[i]] = s.after[i]
    else:
        s.head[s.cell[i]] = s.after[i]
    if s.after[i] >= 0:
        s.before[s.after[i]] = s.before[i]


@compiled
def put(m, s, i, row):  # type: ignore[no-untyped-def]
    """Give a cluster the place and dipoles of a row of `trial`."""
    leave_cell(s, i)
    for axis in range(3):
        s.x[i, axis] = s.trial[row, axis]
        s.u[i, axis] = s.trial[row, 3 + axis]
        s.p[i, axis] = s.trial[row, 6 + axis]
        s.d[i, axis] = s.trial[row, 9 + axis]
    enter_cell(m, s, i)


@compiled
def energies_of(m, s, per_cluster):  # type: ignore[no-untyped-def]
    """Return steric, dipole, wall, field and induction energy (kJ/mol), summed from scratch.

    What is a cluster's own, pairs half and half, is added to `per_cluster` (N,).
    """
    parts = np.zeros(5)
    for n in range(s.counts[N_CLUSTERS]):
        i = s.alive[n]
        kind = s.kind[i]
        s.member[i] = 1
        ex, ey, ez, steric = surroundings(m, s, kind, s.x[i, 0], s.x[i, 1], s.x[i, 2], 0)
        s.member[i] = 0
        dx, dy, dz = s.d[i, 0], s.d[i, 1], s.d[i, 2]
        wall = wall_energy(m, kind, s.x[i, 2])
        outer = -dx * m.field[0] - dy * m.field[1] - dz * m.field[2]
        pairs = -dx * ex - dy * ey - dz * ez - outer
        own = own_energy(m, kind, s.p[i, 0], s.p[i, 1], s.p[i, 2])
        parts += np.array([(steric - wall) / 2, pairs / 2, wall, outer, own])
        per_cluster[i] += (steric - wall + pairs) / 2 + wall + outer + own
    return parts


@compiled
def redraw_dipoles(m, s):  # type: ignore[no-untyped-def]
    """Draw every induced dipole anew, given all others, direction and place kept."""
    for n in range(s.counts[N_CLUSTERS]):
        i = s.alive[n]
        kind = s.kind[i]
        if m.polarisability[kind] == 0:
            continue
        s.member[i] = 1
        ex, ey, ez, steric = surroundings(m, s, kind, s.x[i, 0], s.x[i, 1], s.x[i, 2], 0)
        s.member[i] = 0
        before = energy_in(m, s, i, ex, ey, ez, steric)
        noise = math.sqrt(m.polarisability[kind] / (m.beta * m.coulomb))
        scale = m.polarisability[kind] / m.coulomb
        g1, g2 = gauss(s.rng)
        g3, _ = gauss(s.rng)
        s.p[i, 0], s.p[i, 1], s.p[i, 2] = (
            scale * ex + noise * g1,
            scale * ey + noise * g2,
            scale * ez + noise * g3,
        )
        for axis in range(3):
            s.d[i, axis] = m.moment[kind] * s.u[i, axis] + s.p[i, axis]
        s.energy[0] += energy_in(m, s, i, ex, ey, ez, steric) - before
