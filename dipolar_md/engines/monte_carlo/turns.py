"""Turns of pieces of one aggregate about the clusters that hold them, compiled.

The part of a chain behind a cluster turns about it; the part between two turns about the line
through both. Bonds stay as they are, so the way back is chosen as often as the way there. Bending
by shifts of single clusters takes the fourth power of the length; by such turns hardly more than
the first. Sources: Lal 1969, https://doi.org/10.1080/00268976900100781 (pivots); Baumgärtner &
Binder 1979, https://doi.org/10.1063/1.438608 (pieces between two).
"""

import math

from dipolar_md.engines.monte_carlo.graph import count_loose, find_bonds, kind_of_aggregate
from dipolar_md.engines.monte_carlo.kernel import (
    N_CLUSTERS,
    N_ENDS,
    N_LOOSE,
    nearest,
    put,
    surroundings,
    wrap_trial,
)
from dipolar_md.engines.monte_carlo.pieces import carry, set_turn
from dipolar_md.engines.monte_carlo.random_numbers import compiled, direction, uniform, whole

_TAKEN = 1e4  # kT of repulsion: the place is another's


@compiled
def walk_beyond(s, start, most):  # type: ignore[no-untyped-def]
    """Keep up to `most` clusters along a chain beyond `start`, over one of its bonds, in `piece`.

    Returns:
        How many, and the cluster behind the last: -1 where the chain ends. None where it branches.
    """
    last = start
    here = s.cluster[start].bond[whole(s.work.rng, s.cluster[start].degree)]
    for count in range(1, most + 1):
        if s.cluster[here].degree > 2:
            return 0, -1
        s.work.piece[count - 1] = here
        onwards = -1
        for k in range(s.cluster[here].degree):
            if s.cluster[here].bond[k] != last:
                onwards = s.cluster[here].bond[k]
        if onwards < 0 or count == most or onwards == start:
            return count, onwards
        last, here = here, onwards
    return 0, -1


@compiled
def draw_turn(m, s, count, joint, other):  # type: ignore[no-untyped-def]
    """Draw the places and dipoles of the piece into `trial`: turned about a joint, or two.

    Angles up to a half turn, small ones more often: their cube is uniform.
    """
    if other < 0 or other == joint:
        nx, ny, nz = direction(s.work.rng, 0.0, 0.0, 1.0, 0.0)
    else:
        nx, ny, nz = (
            nearest(m, 0, s.cluster[other].x[0] - s.cluster[joint].x[0]),
            nearest(m, 1, s.cluster[other].x[1] - s.cluster[joint].x[1]),
            nearest(m, 2, s.cluster[other].x[2] - s.cluster[joint].x[2]),
        )
    half = math.pi / 2 * (2 * uniform(s.work.rng) - 1) ** 3
    scale = math.sin(half) / math.sqrt(nx * nx + ny * ny + nz * nz)
    set_turn(s, math.cos(half), nx * scale, ny * scale, nz * scale)
    s.work.piece[count] = joint
    for axis in range(3):
        s.work.trial[count, axis] = s.cluster[joint].x[axis]
        s.work.path[count, axis] = 0.0
        for k in range(count):
            s.work.path[k, axis] = nearest(
                m, axis, s.cluster[s.work.piece[k]].x[axis] - s.cluster[joint].x[axis]
            )
    carry(s, count + 1, count)
    for k in range(count):
        wrap_trial(m, s, k)


@compiled
def compare_turned(m, s, count):  # type: ignore[no-untyped-def]
    """Return by how much energy (kJ/mol) and loosely held pairs change, and whether bonds stay."""
    change, loose = 0.0, 0
    for k in range(count):
        c, row = s.cluster[s.work.piece[k]], s.work.trial[k]
        ex, ey, ez, steric = surroundings(m, s, c.kind, row, 1)
        if m.beta * steric > _TAKEN:
            return 0.0, 0, False
        change += steric - row[9] * ex - row[10] * ey - row[11] * ez
        loose += count_loose(m, s, c.kind, row[3:6], 1)
        bonds = find_bonds(m, s, c.kind, row[3:6], 1)
        for n in range(bonds):
            known = False
            for b in range(c.degree):
                known = known or c.bond[b] == s.work.fresh[n]
            if not known:
                return 0.0, 0, False
        for b in range(c.degree):
            bonds -= 1 - s.cluster[c.bond[b]].member
        if bonds != 0:
            return 0.0, 0, False
        ex, ey, ez, steric = surroundings(m, s, c.kind, c.x, 0)
        change -= steric - c.d[0] * ex - c.d[1] * ey - c.d[2] * ez
        loose -= count_loose(m, s, c.kind, c.u, 0)
    return change, loose, True


@compiled
def turn_some(m, s, bias, now):  # type: ignore[no-untyped-def]
    """Try to turn a part of an aggregate of kind `now`, its dipoles with it."""
    number = s.work.counts[N_CLUSTERS]
    joint = s.cluster[whole(s.work.rng, number)].alive
    if s.cluster[joint].degree == 0:
        return
    count, other = walk_beyond(s, joint, 1 + whole(s.work.rng, number - 1))
    if count == 0:
        return
    draw_turn(m, s, count, joint, other)
    for k in range(count):
        s.cluster[s.work.piece[k]].member = 1
    change, loose, same = compare_turned(m, s, count)
    for k in range(count):
        s.cluster[s.work.piece[k]].member = 0
    loose += s.work.counts[N_LOOSE]
    last = s.work.piece[count - 1]
    then = kind_of_aggregate(m, s, number, s.work.counts[N_ENDS], loose, last, count - 1)
    step = bias[number, then] - bias[number, now] - m.beta * change
    if same and math.log(uniform(s.work.rng)) < step:
        s.work.energy += change
        s.work.counts[N_LOOSE] = loose
        for k in range(count):
            put(m, s, s.work.piece[k], k)
