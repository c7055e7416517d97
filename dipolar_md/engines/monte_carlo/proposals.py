"""Places and directions proposed beside other clusters, and with which density, compiled."""

import math

from dipolar_md.engines.monte_carlo.graph import (
    left_degree,
)
from dipolar_md.engines.monte_carlo.kernel import (
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
    a, b = kind, s.kind[j]
    bins = m.density.shape[3]
    number = whole(s.rng, m.chance.shape[2])
    if uniform(s.rng) >= m.chance[a, b, number]:
        number = m.alias[a, b, number]
    inner = m.first + m.step * (number // bins)
    outer = inner + m.step
    r = (inner**3 + uniform(s.rng) * (outer**3 - inner**3)) ** (1 / 3)
    cosine = -1 + 2 * (number % bins + uniform(s.rng)) / bins
    azimuth = 2 * math.pi * uniform(s.rng)
    nx, ny, nz = around(s.rng, s.u[j, 0], s.u[j, 1], s.u[j, 2], cosine, azimuth)
    s.trial[row, 0] = s.x[j, 0] + r * nx
    s.trial[row, 1] = s.x[j, 1] + r * ny
    s.trial[row, 2] = s.x[j, 2] + r * nz
    return r


@compiled
def density_beside(m, a, b, r, cosine):  # type: ignore[no-untyped-def]
    """Return the density (nm⁻³) with which `draw_beside` proposes a place."""
    ring = math.floor((r - m.first) / m.step)
    if ring < 0 or ring >= m.density.shape[2]:
        return 0.0
    bins = m.density.shape[3]
    column = min(int((cosine + 1) / 2 * bins), bins - 1)
    return m.density[a, b, ring, column]


@compiled
def field_beside(m, a, b, r, cosine):  # type: ignore[no-untyped-def]
    """Return κ of a cluster of kind a in the field of one of kind b."""
    return m.coupling[a, b] / r**3 * math.sqrt(1 + 3 * cosine * cosine)


@compiled
def density_of_places(m, s, kind, x, y, z, ux, uy, uz, turned):  # type: ignore[no-untyped-def]
    """Return two sums of the densities (nm⁻³) with which clusters propose a place beside them.

    The first is over the ends of the graph without the clusters being moved, the second over all.
    With `turned` each is times the density of direction (ux, uy, uz), over that of a random one.
    """
    over_ends = over_all = 0.0
    near2 = (m.first + m.step * m.density.shape[2]) ** 2
    nx, ny, nz = m.cells
    cx, cy, cz = cell_of(m, 0, x), cell_of(m, 1, y), cell_of(m, 2, z)
    for i in range(min(nx, 3)):
        ix = (cx + i - 1) % nx if nx > 2 else i
        for j in range(min(ny, 3)):
            iy = (cy + j - 1) % ny if ny > 2 else j
            for k in range(min(nz, 3)):
                iz = (cz + k - 1) % nz if nz > 2 else k
                other = s.head[(ix * ny + iy) * nz + iz]
                while other >= 0:
                    here, other = other, s.after[other]
                    rx = nearest(m, 0, x - s.x[here, 0])
                    ry = nearest(m, 1, y - s.x[here, 1])
                    rz = nearest(m, 2, z - s.x[here, 2])
                    r2 = rx * rx + ry * ry + rz * rz
                    if r2 >= near2 or s.member[here] == 1:
                        continue
                    r = math.sqrt(r2)
                    vx, vy, vz = s.u[here, 0], s.u[here, 1], s.u[here, 2]
                    cosine = (vx * rx + vy * ry + vz * rz) / r
                    value = density_beside(m, kind, s.kind[here], r, cosine)
                    if turned and value > 0:
                        kappa = field_beside(m, kind, s.kind[here], r, cosine)
                        root = math.sqrt(1 + 3 * cosine * cosine)
                        fx = (3 * cosine * rx / r - vx) / root
                        fy = (3 * cosine * ry / r - vy) / root
                        fz = (3 * cosine * rz / r - vz) / root
                        aligned = kappa * (ux * fx + uy * fy + uz * fz)
                        value *= math.exp(aligned - log_sinhc(kappa))
                    over_all += value
                    if left_degree(s, here) <= 1:
                        over_ends += value
    return over_ends, over_all


@compiled
def draw_anywhere(m, s, row):  # type: ignore[no-untyped-def]
    """Draw a place anywhere in the room into a row of `trial`."""
    for axis in range(3):
        s.trial[row, axis] = m.room[axis] * (uniform(s.rng) - 0.5)


@compiled
def mixture(m, share, total, over_ends):  # type: ignore[no-untyped-def]
    """Return the density Q (nm⁻³) of places: uniform, or beside one of `total` ends."""
    volume = m.room[0] * m.room[1] * m.room[2]
    return share / volume + ((1 - share) * over_ends / total if total else 0.0)
