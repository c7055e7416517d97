"""The bond graph while clusters move, compiled: bonds, ends, what hangs together."""

import math

import numpy as np

from dipolar_md.engines.monte_carlo.kernel import (
    MOST_BONDS,
    N_BRANCHED,
    N_CLUSTERS,
    N_ENDS,
    STAMP,
    nearest,
)
from dipolar_md.engines.monte_carlo.random_numbers import (
    compiled,
    whole,
)

OPEN, FOLDED, RING, BRANCHED, KNOTTED, BENT = range(6)
"""Kinds of an aggregate: a lone cluster or a linear chain, held by its bonds alone; a chain folded
back so that others hold on loosely, too; a ring, or any other aggregate without an end; a branched
tree; an aggregate with ends and a ring in it. From `BENT` on: chains as the first, by the distance
of their ends, on the way to a ring."""
BENDS, STRAIGHT, BEND_STEP = 6, 0.7, 0.1
"""Number of kinds of bent chains; distance of the ends over the length below which they begin, and
the width of each."""
GAPS, WIDEST_GAP, GAP_STEP = 4, 3.0, 0.5
"""Number of kinds of chains that are almost closed; distance of the ends in contacts below which
they begin, and the width of each. Strong dipoles pull such ends together."""
KINDS = BENT + BENDS + GAPS
LOOSE = 0.5
"""Of the dipole energy of a bond, at least: a pair that holds on loosely."""
SHORTEST_BENT = 5
"""Clusters of the shortest chain that can be almost closed."""


@compiled
def find_bonds(m, s, kind, u, slot):  # type: ignore[no-untyped-def]
    """Keep the partners of a cluster at the place of `slot` in `fresh`; return how many."""
    count = 0
    for n in range(s.work.near_count[slot]):
        other = s.work.near_index[slot, n]
        step = s.work.near_step[slot, n]
        rx, ry, rz = step[0], step[1], step[2]
        r2 = rx * rx + ry * ry + rz * rz
        if r2 >= m.bond_reach[kind, s.cluster[other].kind] ** 2:
            continue
        vx, vy, vz = s.cluster[other].u[0], s.cluster[other].u[1], s.cluster[other].u[2]
        dot = u[0] * vx + u[1] * vy + u[2] * vz
        along = (u[0] * rx + u[1] * ry + u[2] * rz) * (vx * rx + vy * ry + vz * rz) / r2
        ratio2 = m.contact[kind, s.cluster[other].kind] ** 2 / r2
        if (dot - 3 * along) / 2 * ratio2 * math.sqrt(ratio2) < m.bond_energy:
            s.work.fresh[count] = other
            count += 1
    return count


@compiled
def count_loose(m, s, kind, u, slot):  # type: ignore[no-untyped-def]
    """Return how many clusters hold on to one at the place of `slot`, were it only loosely."""
    count = 0
    for n in range(s.work.near_count[slot]):
        c, step = s.cluster[s.work.near_index[slot, n]], s.work.near_step[slot, n]
        rx, ry, rz = step[0], step[1], step[2]
        r2 = rx * rx + ry * ry + rz * rz
        dot = u[0] * c.u[0] + u[1] * c.u[1] + u[2] * c.u[2]
        along = (u[0] * rx + u[1] * ry + u[2] * rz) * (c.u[0] * rx + c.u[1] * ry + c.u[2] * rz)
        ratio2 = m.contact[kind, c.kind] ** 2 / r2
        energy = (dot - 3 * along / r2) / 2 * ratio2 * math.sqrt(ratio2)
        if energy < LOOSE * m.bond_energy and r2 < m.bond_reach[kind, c.kind] ** 2:
            count += 1
    return count


@compiled
def note(s, i, change):  # type: ignore[no-untyped-def]
    """Change the number of a cluster's bonds, and keep the list of ends and the counts in step."""
    if s.cluster[i].degree > 2:
        s.work.counts[N_BRANCHED] -= 1
    s.cluster[i].degree += change
    if s.cluster[i].degree > 2:
        s.work.counts[N_BRANCHED] += 1
    if s.cluster[i].degree <= 1 and s.cluster[i].place < 0:
        s.cluster[i].place = s.work.counts[N_ENDS]
        s.cluster[s.work.counts[N_ENDS]].end = i
        s.work.counts[N_ENDS] += 1
    elif s.cluster[i].degree > 1 and s.cluster[i].place >= 0:
        forget_end(s, i)


@compiled
def forget_end(s, i):  # type: ignore[no-untyped-def]
    """Take a cluster off the list of ends."""
    s.work.counts[N_ENDS] -= 1
    last = s.cluster[s.work.counts[N_ENDS]].end
    s.cluster[s.cluster[i].place].end = last
    s.cluster[last].place = s.cluster[i].place
    s.cluster[i].place = -1


@compiled
def join(s, i, j):  # type: ignore[no-untyped-def]
    """Bond two clusters; return False, and do nothing, where one has no room for it."""
    if s.cluster[i].degree == MOST_BONDS or s.cluster[j].degree == MOST_BONDS:
        return False
    s.cluster[i].bond[s.cluster[i].degree] = j
    s.cluster[j].bond[s.cluster[j].degree] = i
    note(s, i, 1)
    note(s, j, 1)
    return True


@compiled
def part(s, i, j):  # type: ignore[no-untyped-def]
    """Take away the bond of two clusters."""
    forget_partner(s, i, j)
    forget_partner(s, j, i)


@compiled
def forget_partner(s, i, j):  # type: ignore[no-untyped-def]
    """Take one partner off the list of a cluster."""
    for k in range(s.cluster[i].degree):
        if s.cluster[i].bond[k] == j:
            s.cluster[i].bond[k] = s.cluster[i].bond[s.cluster[i].degree - 1]
            break
    note(s, i, -1)


@compiled
def partners_of(s, i):  # type: ignore[no-untyped-def]
    """Return a copy of the list of a cluster's partners."""
    found = np.empty(s.cluster[i].degree, np.int64)
    for k in range(len(found)):
        found[k] = s.cluster[i].bond[k]
    return found


@compiled
def rewire(s, i, count, partners):  # type: ignore[no-untyped-def]
    """Give a cluster other bonds; return False, and change nothing, where one has too many."""
    old = partners_of(s, i)
    for j in old:
        part(s, i, j)
    for k in range(count):
        if not join(s, i, partners[k]):
            for done in range(k):
                part(s, i, partners[done])
            for j in old:
                join(s, i, j)
            return False
    return True


@compiled
def connected(s):  # type: ignore[no-untyped-def]
    """Return whether all clusters but those being moved hang together."""
    s.work.counts[STAMP] += 1
    mark, total, reached, todo = s.work.counts[STAMP], 0, 0, 0
    for k in range(s.work.counts[N_CLUSTERS]):
        if s.cluster[s.cluster[k].alive].member == 0:
            total += 1
            s.work.piece[0] = s.cluster[k].alive
    if total:
        s.cluster[s.work.piece[0]].stamp = mark
        todo = 1
    while todo:
        todo -= 1
        i = s.work.piece[todo]
        reached += 1
        for k in range(s.cluster[i].degree):
            j = s.cluster[i].bond[k]
            if s.cluster[j].stamp != mark and s.cluster[j].member == 0:
                s.cluster[j].stamp = mark
                s.work.piece[todo] = j
                todo += 1
    return reached == total


@compiled
def left_degree(s, j):  # type: ignore[no-untyped-def]
    """Return how many bonds a cluster keeps when those being moved are taken away."""
    count = s.cluster[j].degree
    for k in range(s.cluster[j].degree):
        count -= s.cluster[s.cluster[j].bond[k]].member
    return count


@compiled
def find_free_ends(s, count):  # type: ignore[no-untyped-def]
    """Return how many ends the graph has without the `count` clusters in `piece`, and keep the new.

    Returns:
        The number of all ends, and how many of them (in `freed`) are none while the piece is there.
    """
    total, new = s.work.counts[N_ENDS], 0
    for a in range(count):
        i = s.work.piece[a]
        if s.cluster[i].degree <= 1:
            total -= 1
        for k in range(s.cluster[i].degree):
            j = s.cluster[i].bond[k]
            if s.cluster[j].member == 1 or s.cluster[j].degree < 2 or left_degree(s, j) > 1:
                continue
            seen = False
            for b in range(new):
                seen = seen or s.work.freed[b] == j
            if not seen:
                s.work.freed[new] = j
                new += 1
    return total + new, new


@compiled
def draw_free_end(s, total, new):  # type: ignore[no-untyped-def]
    """Return one of the ends that `find_free_ends` counted."""
    number = whole(s.work.rng, total)
    if number < new:
        return s.work.freed[number]
    while True:
        j = s.cluster[whole(s.work.rng, s.work.counts[N_ENDS])].end
        if s.cluster[j].member == 0:
            return j


@compiled
def kind_of_aggregate(m, s, number, ends, loose, moved, row):  # type: ignore[no-untyped-def]
    """Return the kind of an aggregate of so many clusters, ends and pairs that hold on.

    Of cluster `moved` (-1 for none) the place in that row of `trial` counts; a member that isn't
    `moved` is left out.
    """
    if ends == 0:
        return RING
    if s.work.counts[N_BRANCHED]:
        bonds = 0
        for k in range(s.work.counts[N_CLUSTERS]):
            bonds += s.cluster[s.cluster[k].alive].degree
        return BRANCHED if bonds < 2 * number else KNOTTED
    distance = distance_of_ends(m, s, moved, row) if number >= SHORTEST_BENT else 0.0
    if 0 < distance < WIDEST_GAP:
        return BENT + BENDS + min(int((WIDEST_GAP - distance) / GAP_STEP), GAPS - 1)
    if loose > number - 1:
        return FOLDED
    bend = (STRAIGHT - distance / (number - 1)) / BEND_STEP if distance > 0 else -1.0
    return OPEN if bend < 0 else BENT + min(int(bend), BENDS - 1)


@compiled
def distance_of_ends(m, s, moved, row):  # type: ignore[no-untyped-def]
    """Return how many contacts the two ends of a chain are apart; see `kind_of_aggregate`."""
    first, distance2 = -1, 0.0
    for k in range(s.work.counts[N_ENDS]):
        i = s.cluster[k].end
        if s.cluster[i].member == 1 and i != moved:
            continue
        if first < 0:
            first = i
            continue
        for axis in range(3):
            a = s.work.trial[row, axis] if first == moved else s.cluster[first].x[axis]
            b = s.work.trial[row, axis] if i == moved else s.cluster[i].x[axis]
            distance2 += nearest(m, axis, a - b) ** 2
    kind = s.cluster[first].kind
    return math.sqrt(distance2) / m.contact[kind, kind]
