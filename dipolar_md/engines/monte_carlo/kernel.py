"""Model and state as arrays; fields, energies and the exact draw of dipoles, compiled.

Every cluster carries a total dipole d = μ u + p. Its field at another place, E, is what matters:
the weight of a cluster there, with its direction u and its induced dipole p integrated out, is

W = exp(-βU) · sinh κ/κ · exp(βαE²/2k), κ = βμ|E|,

U the steric and wall energy and k = 1/4πε₀ε_r. Given the place, u follows a von Mises-Fisher law
about E and p a Gaussian, p = αE/k + √(αkT/k) ξ: both are drawn exactly.

A model is one record, as is the work space, and clusters are an array of them: a compiled function
that is handed thirty arrays spends its time on counting their references.

Numba keeps compiled code by the date of the file that a function stands in: after a change here,
the files that import it must be touched, too.
"""

import math
from typing import Any, NamedTuple

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

MOST_KINDS = 4
"""Kinds of clusters in one box."""
MOST_BONDS = 12
"""Bonds of one cluster; a state with more is never entered."""
NEAR = 96
"""Clusters within the reach of bonds of one place; a place with more is never taken."""
LONGEST_PIECE = 1024
"""Clusters of a piece that moves as a whole."""
RINGS, COLUMNS = 96, 64
"""Bins of distance and of cos θ in the table of places beside a cluster."""
N_ENDS, N_CLUSTERS, N_BRANCHED, STAMP, N_LOOSE = range(5)

_K = MOST_KINDS
MODEL = np.dtype(
    [
        ("edges", "f8", 3),  # box, nm
        ("room", "f8", 3),  # edges within which clusters may be, nm
        ("cells", "i8", 3),  # per edge
        ("film", "?"),  # whether walls stand at z = ±room/2
        ("beta", "f8"),  # 1/kT, mol/kJ
        ("coulomb", "f8"),  # 1/4πε₀ε_r, kJ mol⁻¹ nm e⁻²
        ("cutoff", "f8"),  # of the dipole sum, nm
        ("field", "f8", 3),  # uniform, kJ mol⁻¹ nm⁻¹ e⁻¹
        ("moment", "f8", _K),  # μ, e nm
        ("polarisability", "f8", _K),  # α, nm³
        ("sigma", "f8", (_K, _K)),  # steric terms: nm
        ("epsilon", "f8", (_K, _K)),  # kJ/mol
        ("reach", "f8", (_K, _K)),  # nm
        ("shift", "f8", (_K, _K)),  # kJ/mol
        ("wall", "f8", (_K, 3)),  # σ, ε and cutoff towards a wall
        ("bond_reach", "f8", (_K, _K)),  # farthest bond, nm
        ("contact", "f8", (_K, _K)),  # nm
        ("bond_energy", "f8"),  # highest reduced dipole energy of a bond
        ("near", "f8"),  # longest reach of bonds and steric terms, nm
        ("first", "f8"),  # of the distances of `density`, nm
        ("step", "f8"),  # nm
        ("density", "f8", (_K, _K, RINGS, COLUMNS)),  # of places proposed beside a cluster, nm⁻³
        ("chance", "f8", (_K, _K, RINGS * COLUMNS)),  # Walker's tables, to draw from it
        ("alias", "i8", (_K, _K, RINGS * COLUMNS)),
        ("coupling", "f8", (_K, _K)),  # βμμk times a gain, nm³, of the directions proposed
    ],
    align=True,
)
"""What acts, as one record; tables are by kind or by pair of kinds."""

CLUSTER = np.dtype(
    [
        ("x", "f8", 3),  # place, nm; what a sum over pairs needs fills one line of the cache
        ("d", "f8", 3),  # total dipole, e nm
        ("after", "i4"),  # next in the list of its cell, or -1
        ("kind", "i2"),  # row of the tables
        ("member", "i1"),  # whether it is being moved
        ("place", "i4"),  # where it stands in the list of ends, or -1
        ("degree", "i4"),  # bonds
        ("u", "f8", 3),  # direction
        ("p", "f8", 3),  # induced dipole, e nm
        ("before", "i4"),  # in the list of its cell, or -1
        ("cell", "i4"),
        ("bond", "i4", MOST_BONDS),  # partners
        ("stamp", "i8"),  # last visit
        ("alive", "i4"),  # row k of this column: the k-th cluster that is there
        ("end", "i4"),  # row k of this column: the k-th cluster with at most one bond
    ],
    align=True,
)
"""A cluster and its place in the lists and in the bond graph."""

WORK = np.dtype(
    [
        ("counts", "i8", 5),  # ends, clusters, branch points, stamp, pairs that hold on loosely
        ("energy", "f8"),  # running total, kJ/mol
        ("rng", "u8", 4),  # state of xoshiro256++
        ("near_count", "i8", 2),  # clusters near two places
        ("near_index", "i8", (2, NEAR)),
        ("near_step", "f8", (2, NEAR, 3)),
        ("fresh", "i8", NEAR),  # bonds of a place
        ("piece", "i8", LONGEST_PIECE),  # clusters that move together
        ("path", "f8", (LONGEST_PIECE, 3)),  # their places relative to the first, nm
        ("freed", "i8", NEAR),  # ends that are none while the piece is there
        ("trial", "f8", (LONGEST_PIECE, 12)),  # x, u, p and d that are proposed
        ("cross", "i8", (2 * LONGEST_PIECE, 2)),  # bonds of the piece at its new place
        ("turn", "f8", (3, 3)),
    ],
    align=True,
)
"""Counts, random numbers and scratch."""


class State(NamedTuple):
    """What a run changes.

    Attributes:
        cluster: (N,) records `CLUSTER`.
        head: (cells,) first cluster of each cell, or -1.
        work: one record `WORK`.
    """

    cluster: NDArray[Any]
    head: NDArray[np.int32]
    work: Any


@compiled
def nearest(m, axis, distance):  # type: ignore[no-untyped-def]
    """Return the nearest image of a component of a separation."""
    edge = m.edges[axis]
    return distance - edge * np.floor(distance / edge + 0.5)


@compiled
def cell_of(m, axis, coordinate):  # type: ignore[no-untyped-def]
    """Return the cell of a coordinate in the box; rounding may put it just outside."""
    count = m.cells[axis]
    return min(max(int((coordinate / m.edges[axis] + 0.5) * count), 0), count - 1)


@compiled
def cell_beside(m, axis, cell, number):  # type: ignore[no-untyped-def]
    """Return the cell before, at or after a cell (number 0, 1, 2), and by how much it is shifted.

    With fewer than three cells along an axis every cell is listed once, and images are looked for.
    """
    count = m.cells[axis]
    if count < 3:
        return number, 0.0
    beside = cell + number - 1
    if beside < 0:
        return count - 1, -m.edges[axis]
    if beside >= count:
        return 0, m.edges[axis]
    return beside, 0.0


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
def surroundings(m, s, kind, place, slot):  # type: ignore[no-untyped-def]
    """Return the field (3 numbers) and the steric and wall energy of a kind at a place.

    Clusters that are being moved are left out; those near enough for a bond are kept in `slot`.
    """
    x, y, z = place[0], place[1], place[2]
    ex, ey, ez = m.field[0], m.field[1], m.field[2]
    steric = wall_energy(m, kind, z)
    cutoff2, near2 = m.cutoff**2, m.near**2
    nx, ny, nz = m.cells
    few = min(nx, ny, nz) < 3
    cx, cy, cz = cell_of(m, 0, x), cell_of(m, 1, y), cell_of(m, 2, z)
    found = 0
    for i in range(min(nx, 3)):
        ix, shift_x = cell_beside(m, 0, cx, i)
        for j in range(min(ny, 3)):
            iy, shift_y = cell_beside(m, 1, cy, j)
            for k in range(min(nz, 3)):
                iz, shift_z = cell_beside(m, 2, cz, k)
                other = s.head[(ix * ny + iy) * nz + iz]
                while other >= 0:
                    c = s.cluster[other]
                    rx, ry, rz = x - c.x[0] - shift_x, y - c.x[1] - shift_y, z - c.x[2] - shift_z
                    if few:
                        rx, ry, rz = nearest(m, 0, rx), nearest(m, 1, ry), nearest(m, 2, rz)
                    r2 = rx * rx + ry * ry + rz * rz
                    if r2 < cutoff2 and c.member == 0:
                        along = 3 * (c.d[0] * rx + c.d[1] * ry + c.d[2] * rz) / r2
                        scale = m.coulomb / (r2 * math.sqrt(r2))
                        ex += scale * (along * rx - c.d[0])
                        ey += scale * (along * ry - c.d[1])
                        ez += scale * (along * rz - c.d[2])
                    if r2 < near2 and c.member == 0:
                        if found == NEAR:
                            steric, found = np.inf, 0
                        s.work.near_index[slot, found] = other
                        step = s.work.near_step[slot, found]
                        step[0], step[1], step[2] = rx, ry, rz
                        found += 1
                        steric += pair_energy(m, kind, c.kind, r2)
                    other = c.after
    s.work.near_count[slot] = found
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
    ux, uy, uz = direction(s.work.rng, fx, fy, fz, m.beta * moment * strength)
    px = py = pz = 0.0
    if alpha > 0:
        noise = math.sqrt(alpha / (m.beta * m.coulomb))
        g1, g2 = gauss(s.work.rng)
        g3, _ = gauss(s.work.rng)
        scale = alpha / m.coulomb
        px, py, pz = scale * ex + noise * g1, scale * ey + noise * g2, scale * ez + noise * g3
    dx, dy, dz = moment * ux + px, moment * uy + py, moment * uz + pz
    t = s.work.trial[row]
    t[3], t[4], t[5] = ux, uy, uz
    t[6], t[7], t[8] = px, py, pz
    t[9], t[10], t[11] = dx, dy, dz
    return own_energy(m, kind, px, py, pz) - dx * ex - dy * ey - dz * ez


@compiled
def wrap_trial(m, s, row):  # type: ignore[no-untyped-def]
    """Bring the place in a row of `trial` into the box."""
    for axis in range(3):
        s.work.trial[row, axis] = nearest(m, axis, s.work.trial[row, axis])


@compiled
def energy_in(m, s, i, ex, ey, ez, steric):  # type: ignore[no-untyped-def]
    """Return the energy of a cluster in a field, its induced dipole's own included."""
    own = own_energy(m, s.cluster[i].kind, s.cluster[i].p[0], s.cluster[i].p[1], s.cluster[i].p[2])
    return steric + own - s.cluster[i].d[0] * ex - s.cluster[i].d[1] * ey - s.cluster[i].d[2] * ez


# --- Lists of cells -------------------------------------------------------------------------------


@compiled
def enter_cell(m, s, i):  # type: ignore[no-untyped-def]
    """Enter a cluster into the list of its cell."""
    cx, cy, cz = (
        cell_of(m, 0, s.cluster[i].x[0]),
        cell_of(m, 1, s.cluster[i].x[1]),
        cell_of(m, 2, s.cluster[i].x[2]),
    )
    cell = (cx * m.cells[1] + cy) * m.cells[2] + cz
    first = s.head[cell]
    s.cluster[i].cell, s.cluster[i].before, s.cluster[i].after = cell, -1, first
    if first >= 0:
        s.cluster[first].before = i
    s.head[cell] = i


@compiled
def leave_cell(s, i):  # type: ignore[no-untyped-def]
    """Take a cluster out of the list of its cell."""
    if s.cluster[i].before >= 0:
        s.cluster[s.cluster[i].before].after = s.cluster[i].after
    else:
        s.head[s.cluster[i].cell] = s.cluster[i].after
    if s.cluster[i].after >= 0:
        s.cluster[s.cluster[i].after].before = s.cluster[i].before


@compiled
def put(m, s, i, row):  # type: ignore[no-untyped-def]
    """Give a cluster the place and dipoles of a row of `trial`."""
    leave_cell(s, i)
    for axis in range(3):
        s.cluster[i].x[axis] = s.work.trial[row, axis]
        s.cluster[i].u[axis] = s.work.trial[row, 3 + axis]
        s.cluster[i].p[axis] = s.work.trial[row, 6 + axis]
        s.cluster[i].d[axis] = s.work.trial[row, 9 + axis]
    enter_cell(m, s, i)


@compiled
def energies_of(m, s, per_cluster):  # type: ignore[no-untyped-def]
    """Return steric, dipole, wall, field and induction energy (kJ/mol), summed from scratch.

    What is a cluster's own, pairs half and half, is added to `per_cluster` (N,).
    """
    parts = np.zeros(5)
    for n in range(s.work.counts[N_CLUSTERS]):
        i = s.cluster[n].alive
        kind = s.cluster[i].kind
        s.cluster[i].member = 1
        ex, ey, ez, steric = surroundings(m, s, kind, s.cluster[i].x, 0)
        s.cluster[i].member = 0
        dx, dy, dz = s.cluster[i].d[0], s.cluster[i].d[1], s.cluster[i].d[2]
        wall = wall_energy(m, kind, s.cluster[i].x[2])
        outer = -dx * m.field[0] - dy * m.field[1] - dz * m.field[2]
        pairs = -dx * ex - dy * ey - dz * ez - outer
        own = own_energy(m, kind, s.cluster[i].p[0], s.cluster[i].p[1], s.cluster[i].p[2])
        parts += np.array([(steric - wall) / 2, pairs / 2, wall, outer, own])
        per_cluster[i] += (steric - wall + pairs) / 2 + wall + outer + own
    return parts


@compiled
def redraw_dipoles(m, s):  # type: ignore[no-untyped-def]
    """Draw every induced dipole anew, given all others, direction and place kept."""
    for n in range(s.work.counts[N_CLUSTERS]):
        i = s.cluster[n].alive
        kind = s.cluster[i].kind
        if m.polarisability[kind] == 0:
            continue
        s.cluster[i].member = 1
        ex, ey, ez, steric = surroundings(m, s, kind, s.cluster[i].x, 0)
        s.cluster[i].member = 0
        before = energy_in(m, s, i, ex, ey, ez, steric)
        noise = math.sqrt(m.polarisability[kind] / (m.beta * m.coulomb))
        scale = m.polarisability[kind] / m.coulomb
        g1, g2 = gauss(s.work.rng)
        g3, _ = gauss(s.work.rng)
        s.cluster[i].p[0], s.cluster[i].p[1], s.cluster[i].p[2] = (
            scale * ex + noise * g1,
            scale * ey + noise * g2,
            scale * ez + noise * g3,
        )
        for axis in range(3):
            s.cluster[i].d[axis] = m.moment[kind] * s.cluster[i].u[axis] + s.cluster[i].p[axis]
        s.work.energy += energy_in(m, s, i, ex, ey, ez, steric) - before
