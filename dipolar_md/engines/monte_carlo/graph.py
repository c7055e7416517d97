"""The bond graph while clusters move, compiled: bonds, ends, what hangs together."""

import math

import numpy as np

from dipolar_md.engines.monte_carlo.kernel import (
    MOST_BONDS,
    N_BRANCHED,
    N_CLUSTERS,
    N_ENDS,
    STAMP,
)
from dipolar_md.engines.monte_carlo.random_numbers import (
    compiled,
    whole,
)


@compiled
def find_bonds(m, s, kind, ux, uy, uz, slot):  # type: ignore[no-untyped-def]
    """Keep the partners of a cluster at the place of `slot` in `fresh`; return how many."""
    count = 0
    for n in range(s.near_count[slot]):
        other = s.near_index[slot, n]
        rx, ry, rz = s.near_step[slot, n, 0], s.near_step[slot, n, 1], s.near_step[slot, n, 2]
        r2 = rx * rx + ry * ry + rz * rz
        if r2 >= m.bond_reach[kind, s.kind[other]] ** 2:
            continue
        vx, vy, vz = s.u[other, 0], s.u[other, 1], s.u[other, 2]
        dot = ux * vx + uy * vy + uz * vz
        along = (ux * rx + uy * ry + uz * rz) * (vx * rx + vy * ry + vz * rz) / r2
        ratio2 = m.contact[kind, s.kind[other]] ** 2 / r2
        if (dot - 3 * along) / 2 * ratio2 * math.sqrt(ratio2) < m.bond_energy:
            s.fresh[count] = other
            count += 1
    return count


@compiled
def note(s, i, change):  # type: ignore[no-untyped-def]
    """Change the number of a cluster's bonds, and keep the list of ends and the counts in step."""
    if s.degree[i] > 2:
        s.counts[N_BRANCHED] -= 1
    s.degree[i] += change
    if s.degree[i] > 2:
        s.counts[N_BRANCHED] += 1
    if s.degree[i] <= 1 and s.place[i] < 0:
        s.place[i] = s.counts[N_ENDS]
        s.ends[s.counts[N_ENDS]] = i
        s.counts[N_ENDS] += 1
    elif s.degree[i] > 1 and s.place[i] >= 0:
        forget_end(s, i)


@compiled
def forget_end(s, i):  # type: ignore[no-untyped-def]
    """Take a cluster off the list of ends."""
    s.counts[N_ENDS] -= 1
    last = s.ends[s.counts[N_ENDS]]
    s.ends[s.place[i]] = last
    s.place[last] = s.place[i]
    s.place[i] = -1


@compiled
def join(s, i, j):  # type: ignore[no-untyped-def]
    """Bond two clusters; return False, and do nothing, where one has no room for it."""
    if s.degree[i] == MOST_BONDS or s.degree[j] == MOST_BONDS:
        return False
    s.bond[i, s.degree[i]] = j
    s.bond[j, s.degree[j]] = i
    note(s, i, 1)
    note(s, j, 1)
    return True


@compiled
def part(s, i, j):  # type: ignore[no-untyped-def]
    """Take away the bond of two clusters."""
    for a, b in ((i, j), (j, i)):
        for k in range(s.degree[a]):
            if s.bond[a, k] == b:
                s.bond[a, k] = s.bond[a, s.degree[a] - 1]
                break
        note(s, a, -1)


@compiled
def rewire(s, i, count, partners):  # type: ignore[no-untyped-def]
    """Give a cluster other bonds; return False, and change nothing, where one has too many."""
    old = np.empty(s.degree[i], np.int64)
    for k in range(len(old)):
        old[k] = s.bond[i, k]
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
    s.counts[STAMP] += 1
    mark, total, reached, todo = s.counts[STAMP], 0, 0, 0
    for k in range(s.counts[N_CLUSTERS]):
        if s.member[s.alive[k]] == 0:
            total += 1
            s.piece[0] = s.alive[k]
    if total:
        s.stamp[s.piece[0]] = mark
        todo = 1
    while todo:
        todo -= 1
        i = s.piece[todo]
        reached += 1
        for k in range(s.degree[i]):
            j = s.bond[i, k]
            if s.stamp[j] != mark and s.member[j] == 0:
                s.stamp[j] = mark
                s.piece[todo] = j
                todo += 1
    return reached == total


@compiled
def left_degree(s, j):  # type: ignore[no-untyped-def]
    """Return how many bonds a cluster keeps when those being moved are taken away."""
    count = s.degree[j]
    for k in range(s.degree[j]):
        count -= s.member[s.bond[j, k]]
    return count


@compiled
def find_free_ends(s, count):  # type: ignore[no-untyped-def]
    """Return how many ends the graph has without the `count` clusters in `piece`, and keep the new.

    Returns:
        The number of all ends, and how many of them (in `freed`) are none while the piece is there.
    """
    total, new = s.counts[N_ENDS], 0
    for a in range(count):
        i = s.piece[a]
        if s.degree[i] <= 1:
            total -= 1
        for k in range(s.degree[i]):
            j = s.bond[i, k]
            if s.member[j] == 1 or s.degree[j] < 2 or left_degree(s, j) > 1:
                continue
            seen = False
            for b in range(new):
                seen = seen or s.freed[b] == j
            if not seen:
                s.freed[new] = j
                new += 1
    return total + new, new


@compiled
def draw_free_end(s, total, new):  # type: ignore[no-untyped-def]
    """Return one of the ends that `find_free_ends` counted."""
    number = whole(s.rng, total)
    if number < new:
        return s.freed[number]
    while True:
        j = s.ends[whole(s.rng, s.counts[N_ENDS])]
        if s.member[j] == 0:
            return j
