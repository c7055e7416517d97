"""Places and directions proposed beside other clusters, and with which density, compiled."""

import math

from dipolar_md.engines.monte_carlo.graph import (
    left_degree,
)
from dipolar_md.engines.monte_carlo.kernel import (
    COLUMNS,
    NEAR,
    RINGS,
    cell_beside,
    cell_of,
    nearest,
)
from dipolar_md.engines.monte_carlo.random_numbers import (
    around,
    compiled,
    log_sinhc,
    uniform,
    whole,
)

SHARE_UNIFORM = 0.5
"""Of the proposals that go anywhere in the room, while there are ends to go to."""


@compiled
def draw_beside(m, s, kind, j, row):  # type: ignore[no-untyped-def]
    """Draw a place about cluster j from the table into a row of `trial`; return r and cos θ."""
    a, b = kind, s.cluster[j].kind
    bins = COLUMNS
    number = whole(s.work.rng, RINGS * COLUMNS)
    if uniform(s.work.rng) >= m.chance[a, b, number]:
        number = m.alias[a, b, number]
    inner = m.first + m.step * (number // bins)
    outer = inner + m.step
    r = (inner**3 + uniform(s.work.rng) * (outer**3 - inner**3)) ** (1 / 3)
    cosine = -1 + 2 * (number % bins + uniform(s.work.rng)) / bins
    azimuth = 2 * math.pi * uniform(s.work.rng)
    u = s.cluster[j].u
    nx, ny, nz = around(u[0], u[1], u[2], cosine, azimuth)
    s.work.trial[row, 0] = s.cluster[j].x[0] + r * nx
    s.work.trial[row, 1] = s.cluster[j].x[1] + r * ny
    s.work.trial[row, 2] = s.cluster[j].x[2] + r * nz
    return r


@compiled
def density_beside(m, a, b, r, cosine):  # type: ignore[no-untyped-def]
    """Return the density (nm⁻³) with which `draw_beside` proposes a place."""
    ring = math.floor((r - m.first) / m.step)
    if ring < 0 or ring >= RINGS:
        return 0.0
    bins = COLUMNS
    column = min(int((cosine + 1) / 2 * bins), bins - 1)
    return m.density[a, b, ring, column]


@compiled
def field_beside(m, a, b, r, cosine):  # type: ignore[no-untyped-def]
    """Return κ of a cluster of kind a in the field of one of kind b."""
    return m.coupling[a, b] / r**3 * math.sqrt(1 + 3 * cosine * cosine)


@compiled
def density_of_places(m, s, kind, place, u, turned):  # type: ignore[no-untyped-def]
    """Return two sums of the densities (nm⁻³) with which clusters propose a place beside them.

    The first is over the ends of the graph without the clusters being moved, the second over all.
    With `turned` each is times the density of direction u, over that of a random one.
    """
    x, y, z = place[0], place[1], place[2]
    over_ends = over_all = 0.0
    near2 = (m.first + m.step * RINGS) ** 2
    nx, ny, nz = m.cells
    few = min(nx, ny, nz) < 3
    cx, cy, cz = cell_of(m, 0, x), cell_of(m, 1, y), cell_of(m, 2, z)
    for i in range(min(nx, 3)):
        ix, shift_x = cell_beside(m, 0, cx, i)
        for j in range(min(ny, 3)):
            iy, shift_y = cell_beside(m, 1, cy, j)
            for k in range(min(nz, 3)):
                iz, shift_z = cell_beside(m, 2, cz, k)
                other = s.head[(ix * ny + iy) * nz + iz]
                while other >= 0:
                    here, other = other, s.cluster[other].after
                    c = s.cluster[here]
                    rx, ry, rz = x - c.x[0] - shift_x, y - c.x[1] - shift_y, z - c.x[2] - shift_z
                    if few:
                        rx, ry, rz = nearest(m, 0, rx), nearest(m, 1, ry), nearest(m, 2, rz)
                    r2 = rx * rx + ry * ry + rz * rz
                    if r2 >= near2 or s.cluster[here].member == 1:
                        continue
                    r = math.sqrt(r2)
                    vx, vy, vz = s.cluster[here].u[0], s.cluster[here].u[1], s.cluster[here].u[2]
                    cosine = (vx * rx + vy * ry + vz * rz) / r
                    value = density_beside(m, kind, s.cluster[here].kind, r, cosine)
                    if turned and value > 0:
                        kappa = field_beside(m, kind, s.cluster[here].kind, r, cosine)
                        root = math.sqrt(1 + 3 * cosine * cosine)
                        fx = (3 * cosine * rx / r - vx) / root
                        fy = (3 * cosine * ry / r - vy) / root
                        fz = (3 * cosine * rz / r - vz) / root
                        aligned = kappa * (u[0] * fx + u[1] * fy + u[2] * fz)
                        value *= math.exp(aligned - log_sinhc(kappa))
                    over_all += value
                    if left_degree(s, here) <= 1:
                        over_ends += value
    return over_ends, over_all


@compiled
def find_near_ends(m, s, place):  # type: ignore[no-untyped-def]
    """Keep the ends of the graph without those being moved within `m.near` of a place in `freed`.

    Returns:
        How many; -1 where they are more than there is room for.
    """
    x, y, z = place[0], place[1], place[2]
    count, near2 = 0, m.near**2
    nx, ny, nz = m.cells
    few = min(nx, ny, nz) < 3
    cx, cy, cz = cell_of(m, 0, x), cell_of(m, 1, y), cell_of(m, 2, z)
    for i in range(min(nx, 3)):
        ix, shift_x = cell_beside(m, 0, cx, i)
        for j in range(min(ny, 3)):
            iy, shift_y = cell_beside(m, 1, cy, j)
            for k in range(min(nz, 3)):
                iz, shift_z = cell_beside(m, 2, cz, k)
                other = s.head[(ix * ny + iy) * nz + iz]
                while other >= 0:
                    here, other = other, s.cluster[other].after
                    c = s.cluster[here]
                    rx, ry, rz = x - c.x[0] - shift_x, y - c.x[1] - shift_y, z - c.x[2] - shift_z
                    if few:
                        rx, ry, rz = nearest(m, 0, rx), nearest(m, 1, ry), nearest(m, 2, rz)
                    near = rx * rx + ry * ry + rz * rz < near2 and c.member == 0
                    if near and left_degree(s, here) <= 1:
                        if count == NEAR:
                            return -1
                        s.work.freed[count] = here
                        count += 1
    return count


@compiled
def density_beside_freed(m, s, kind, count, place):  # type: ignore[no-untyped-def]
    """Return the mean density (nm⁻³) with which the clusters in `freed` propose a place."""
    total = 0.0
    for n in range(count):
        c = s.cluster[s.work.freed[n]]
        rx = nearest(m, 0, place[0] - c.x[0])
        ry = nearest(m, 1, place[1] - c.x[1])
        rz = nearest(m, 2, place[2] - c.x[2])
        r = math.sqrt(rx * rx + ry * ry + rz * rz)
        cosine = (c.u[0] * rx + c.u[1] * ry + c.u[2] * rz) / r
        total += density_beside(m, kind, c.kind, r, cosine)
    return total / count


@compiled
def draw_anywhere(m, s, row):  # type: ignore[no-untyped-def]
    """Draw a place anywhere in the room into a row of `trial`."""
    for axis in range(3):
        s.work.trial[row, axis] = m.room[axis] * (uniform(s.work.rng) - 0.5)


@compiled
def mixture(m, share, total, over_ends):  # type: ignore[no-untyped-def]
    """Return the density Q (nm⁻³) of places: uniform, or beside one of `total` ends."""
    volume = m.room[0] * m.room[1] * m.room[2]
    return share / volume + ((1 - share) * over_ends / total if total else 0.0)
