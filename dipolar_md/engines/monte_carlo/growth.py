"""One aggregate whose size fluctuates: the partition functions of chains of every size, compiled.

The aggregate floats in empty space and always hangs together by its bonds. Clusters are added
beside it and taken away; every size has the weight q_n e^{η_n} of its configurational integral

b_n = q_n/V = (1/n!) ∫ e^{-βU} dx₂…dx_n (directions and induced dipoles normalised to 1),

in nm^{3(n-1)}, so that c_n = b_n zⁿ in an ideal mixture of aggregates with activity z. With the
mean chances a of going from one open chain to another, b_{n+1}/b_n = e^{η_n - η_{n+1}}
a(n → n+1)/a(n+1 → n), whatever was accepted (transition matrix, Fitzgerald, Picard & Silver 1999,
https://doi.org/10.1209/epl/i1999-00257-1). Every size is sampled about equally often.

Sources: F. H. Stillinger, J. Chem. Phys. 38, 1486 (1963), https://doi.org/10.1063/1.1776907.
"""

import math

import numpy as np

from dipolar_md.engines.monte_carlo.graph import (
    BENT,
    FOLDED,
    OPEN,
    RING,
    connected,
    count_loose,
    find_bonds,
    find_free_ends,
    forget_end,
    join,
    kind_of_aggregate,
    part,
    partners_of,
    rewire,
)
from dipolar_md.engines.monte_carlo.kernel import (
    N_BRANCHED,
    N_CLUSTERS,
    N_ENDS,
    N_LOOSE,
    draw_dipole,
    energy_in,
    enter_cell,
    leave_cell,
    log_weight,
    put,
    surroundings,
    wrap_trial,
)
from dipolar_md.engines.monte_carlo.proposals import density_of_places, draw_beside
from dipolar_md.engines.monte_carlo.random_numbers import compiled, uniform, whole
from dipolar_md.engines.monte_carlo.turns import turn_some

SHARE_ENDS = 0.85
"""Of the clusters to be added beside an end or taken away from one, while there are ends."""
SHARE_SHIFTS, SHARE_TURNS = 0.3, 0.1
"""Of the trials; one half of the others add a cluster, one half take one away."""
RATIOS, LOWEST_RATIO, RATIO_STEP = 12000, -100.0, 0.02
"""Bins of ln of the ratios of closing and opening rings; lower ones are too small to count."""
MEASURED = 5
"""Trials from one aggregate that is measured to the next."""
UP, DOWN, TRIED_UP, TRIED_DOWN = range(4)
"""Columns of the sums of chances."""
SEEN, ENERGY, CONTOUR, END_TO_END2, PARTS = range(5)
"""Columns of the sums over aggregates; from `PARTS` on two for each stricter criterion: parts into
which the aggregate falls, and whether it is a ring."""


@compiled
def appear(m, s, i):  # type: ignore[no-untyped-def]
    """Put cluster i, unbonded, where the first row of `trial` says."""
    c, row = s.cluster[i], s.work.trial[0]
    for axis in range(3):
        c.x[axis], c.u[axis] = row[axis], row[3 + axis]
        c.p[axis], c.d[axis] = row[6 + axis], row[9 + axis]
    enter_cell(m, s, i)
    c.degree = 0
    ends = s.work.counts[N_ENDS]
    c.place = ends
    s.cluster[ends].end = i
    s.work.counts[N_ENDS] += 1
    s.work.counts[N_CLUSTERS] += 1


@compiled
def vanish(s, i):  # type: ignore[no-untyped-def]
    """Take cluster i away with its bonds."""
    for j in partners_of(s, i):
        part(s, i, j)
    forget_end(s, i)
    leave_cell(s, i)
    last = s.work.counts[N_CLUSTERS] - 1
    k = 0
    while s.cluster[k].alive != i:
        k += 1
    s.cluster[k].alive = s.cluster[last].alive
    s.cluster[last].alive = i
    s.work.counts[N_CLUSTERS] = last


@compiled
def of_both(number, ends, among_ends, among_all):  # type: ignore[no-untyped-def]
    """Return the mixture of a mean over ends and one over all `number` clusters."""
    if ends == 0:
        return among_all / number
    return SHARE_ENDS * among_ends / ends + (1 - SHARE_ENDS) * among_all / number


@compiled
def draw_of_both(s):  # type: ignore[no-untyped-def]
    """Return a cluster: an end or, more seldom, any."""
    ends = s.work.counts[N_ENDS]
    if ends and uniform(s.work.rng) < SHARE_ENDS:
        return s.cluster[whole(s.work.rng, ends)].end
    return s.cluster[whole(s.work.rng, s.work.counts[N_CLUSTERS])].alive


@compiled
def add_one(m, s, bias, now):  # type: ignore[no-untyped-def]
    """Try to add a cluster to an aggregate of kind `now`.

    Returns:
        ln of the ratio in the acceptance, without weights, and the kind there would be.
    """
    number = s.work.counts[N_CLUSTERS]
    i, j = s.cluster[number].alive, draw_of_both(s)
    kind = s.cluster[j].kind
    draw_beside(m, s, kind, j, 0)
    wrap_trial(m, s, 0)
    place = s.work.trial[0]
    near_ends, near_all = density_of_places(m, s, kind, place, place, False)
    proposed = of_both(number, s.work.counts[N_ENDS], near_ends, near_all)
    ex, ey, ez, steric = surroundings(m, s, kind, place, 1)
    log_ratio = log_weight(m, kind, ex, ey, ez, steric) - math.log(proposed)
    log_chance = math.log(uniform(s.work.rng))
    after = steric + draw_dipole(m, s, 0, kind, ex, ey, ez)
    bonds = find_bonds(m, s, kind, place[3:6], 1)
    loose = s.work.counts[N_LOOSE] + count_loose(m, s, kind, place[3:6], 1)
    if bonds == 0:
        return -math.inf, now
    s.cluster[i].kind = kind
    appear(m, s, i)
    for k in range(bonds):
        if not join(s, i, s.work.fresh[k]):
            vanish(s, i)
            return -math.inf, now
    ends = s.work.counts[N_ENDS]
    then = kind_of_aggregate(m, s, number + 1, ends, loose, -1, 0)
    log_ratio += math.log(of_both(number + 1, ends, 1.0 if s.cluster[i].place >= 0 else 0.0, 1.0))
    if log_chance < log_ratio + bias[number + 1, then] - bias[number, now]:
        s.work.energy += after
        s.work.counts[N_LOOSE] = loose
    else:
        vanish(s, i)
    return log_ratio, then


@compiled
def take_one(m, s, bias, now):  # type: ignore[no-untyped-def]
    """Try to take a cluster away from an aggregate of kind `now`; returns as `add_one`."""
    number = s.work.counts[N_CLUSTERS]
    i = draw_of_both(s)
    c = s.cluster[i]
    chosen = of_both(number, s.work.counts[N_ENDS], 1.0 if c.place >= 0 else 0.0, 1.0)
    c.member = 1
    s.work.piece[0] = i
    ends, _ = find_free_ends(s, 1)
    near_ends, near_all = density_of_places(m, s, c.kind, c.x, c.u, False)
    ex, ey, ez, steric = surroundings(m, s, c.kind, c.x, 0)
    loose = s.work.counts[N_LOOSE] - count_loose(m, s, c.kind, c.u, 0)
    whole_without = c.degree <= 1 or connected(s)
    c.member = 0
    proposed = of_both(number - 1, ends, near_ends, near_all)
    if not (whole_without and proposed > 0):
        return -math.inf, now
    log_ratio = math.log(proposed / chosen) - log_weight(m, c.kind, ex, ey, ez, steric)
    partners = partners_of(s, i)
    for j in partners:
        part(s, i, j)
    c.member = 1
    then = kind_of_aggregate(m, s, number - 1, ends, loose, -1, 0)
    c.member = 0
    step = bias[number - 1, then] - bias[number, now]
    if math.log(uniform(s.work.rng)) < log_ratio + step:
        s.work.counts[N_LOOSE] = loose
        s.work.energy -= energy_in(m, s, i, ex, ey, ez, steric)
        vanish(s, i)
    else:
        for j in partners:
            join(s, i, j)
    return log_ratio, then


@compiled
def shift_one(m, s, bias, now, width):  # type: ignore[no-untyped-def]
    """Try to shift a cluster of an aggregate of kind `now`, its dipoles drawn anew there."""
    number = s.work.counts[N_CLUSTERS]
    i = s.cluster[whole(s.work.rng, number)].alive
    c = s.cluster[i]
    c.member = 1
    ex, ey, ez, steric = surroundings(m, s, c.kind, c.x, 0)
    log_ratio = -log_weight(m, c.kind, ex, ey, ez, steric)
    before = energy_in(m, s, i, ex, ey, ez, steric)
    loose = s.work.counts[N_LOOSE] - count_loose(m, s, c.kind, c.u, 0)
    place = s.work.trial[0]
    for axis in range(3):
        place[axis] = c.x[axis] + width * (2 * uniform(s.work.rng) - 1)
    wrap_trial(m, s, 0)
    ex, ey, ez, steric = surroundings(m, s, c.kind, place, 1)
    log_ratio += log_weight(m, c.kind, ex, ey, ez, steric)
    after = steric + draw_dipole(m, s, 0, c.kind, ex, ey, ez)
    loose += count_loose(m, s, c.kind, place[3:6], 1)
    c.member = 0
    old = partners_of(s, i)
    if not rewire(s, i, find_bonds(m, s, c.kind, place[3:6], 1), s.work.fresh):
        return
    then = kind_of_aggregate(m, s, number, s.work.counts[N_ENDS], loose, i, 0)
    log_ratio += bias[number, then] - bias[number, now]
    if math.log(uniform(s.work.rng)) < log_ratio and connected(s):
        s.work.energy += after - before
        s.work.counts[N_LOOSE] = loose
        put(m, s, i, 0)
    else:
        rewire(s, i, len(old), old)


@compiled
def add_measures(m, s, kind, criteria, row):  # type: ignore[no-untyped-def]
    """Add what an aggregate measures: see the columns.

    Criteria (C, 2) are a farthest distance (nm) and a highest dipole energy over the contact's.
    Parts are counted as clusters less bonds, at least one: exact but for branched aggregates.
    """
    number = s.work.counts[N_CLUSTERS]
    row[SEEN] += 1
    row[ENERGY] += s.work.energy
    bonds = np.zeros(len(criteria), np.int64)
    contour = 0.0
    for k in range(number):
        i = s.cluster[k].alive
        a = s.cluster[i]
        for n in range(a.degree):
            j = a.bond[n]
            if j > i:
                continue
            b = s.cluster[j]
            rx, ry, rz = a.x[0] - b.x[0], a.x[1] - b.x[1], a.x[2] - b.x[2]
            r2 = rx * rx + ry * ry + rz * rz
            r = math.sqrt(r2)
            contour += r
            dot = a.u[0] * b.u[0] + a.u[1] * b.u[1] + a.u[2] * b.u[2]
            along = (a.u[0] * rx + a.u[1] * ry + a.u[2] * rz) / r2
            along *= b.u[0] * rx + b.u[1] * ry + b.u[2] * rz
            energy = (dot - 3 * along) / 2 * (m.contact[a.kind, b.kind] / r) ** 3
            for c in range(len(criteria)):
                if r < criteria[c, 0] and energy < criteria[c, 1]:
                    bonds[c] += 1
    row[CONTOUR] += contour
    if number > 1 and s.work.counts[N_ENDS] == 2 and s.work.counts[N_BRANCHED] == 0:
        a, b = s.cluster[s.cluster[0].end].x, s.cluster[s.cluster[1].end].x
        row[END_TO_END2] += (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2
    for c in range(len(criteria)):
        row[PARTS + 2 * c] += max(1, number - bonds[c])
        row[PARTS + 2 * c + 1] += 1.0 if kind == RING and bonds[c] == number else 0.0


@compiled
def is_open(kind, bends):  # type: ignore[no-untyped-def]
    """Return whether a kind is an open chain, or one of the first kinds of bent ones."""
    return kind == OPEN or BENT <= kind < BENT + bends


@compiled
def linear(kind):  # type: ignore[no-untyped-def]
    """Return whether a kind is a chain, of whatever shape."""
    return kind in (OPEN, FOLDED) or kind >= BENT


@compiled
def add_ratio(ratios, number, log_ratio, weight):  # type: ignore[no-untyped-def]
    """Add a weight to the bin of ln of a ratio in the row of a size; see `LOWEST_RATIO`."""
    column = int((log_ratio - LOWEST_RATIO) / RATIO_STEP) if log_ratio > LOWEST_RATIO else -1
    if column >= 0:
        ratios[number, min(column, RATIOS - 1)] += weight


@compiled
def kind_now(m, s):  # type: ignore[no-untyped-def]
    """Return the kind of the aggregate as it is."""
    number, ends = s.work.counts[N_CLUSTERS], s.work.counts[N_ENDS]
    return kind_of_aggregate(m, s, number, ends, s.work.counts[N_LOOSE], -1, 0)


@compiled
def grow(  # type: ignore[no-untyped-def]
    m,
    s,
    trials,
    bias,
    penalty,
    steps,
    bends,
    width,
    criteria,
    chances,
    histogram,
    measures,
    closings,
):
    """Do a number of trials on one aggregate: shift one, turn some, add one, take one away.

    Sizes run from 1 to len(bias) - 1, with ln weights `bias` (sizes, KINDS) by kind, of which each
    visit of a size and kind takes `penalty` (Wang & Landau 2001, https://doi.org/10.1103/
    PhysRevLett.86.2050; 0 to sample). Added to: `chances` (sizes, 4) of steps between open
    aggregates, the first `bends` kinds of bent ones included, if their weights were e^`steps`
    apart, whatever the bias is; `histogram` (sizes, KINDS); `measures` (sizes, KINDS, columns), by
    stricter bond `criteria`; `closings` (sizes, RATIOS) the ratios of additions by which chains
    would become rings, each with the weight of that chain over that of a straight one.
    """
    most = len(bias) - 1
    for trial in range(trials):
        number, now = s.work.counts[N_CLUSTERS], kind_now(m, s)
        move = uniform(s.work.rng)
        if move < SHARE_SHIFTS:
            shift_one(m, s, bias, now, width)
        elif move < SHARE_SHIFTS + SHARE_TURNS:
            turn_some(m, s, bias, now)
        elif move < (1 + SHARE_SHIFTS + SHARE_TURNS) / 2:
            if number < most:
                ratio, then = add_one(m, s, bias, now)
                if is_open(now, bends):
                    chances[number, TRIED_UP] += 1
                    if is_open(then, bends):
                        chances[number, UP] += math.exp(min(0.0, ratio - steps[number]))
                if then == RING and linear(now):
                    weight = math.exp(bias[number, OPEN] - bias[number, now])
                    add_ratio(closings, number, ratio, weight)
        elif number > 1:
            ratio, then = take_one(m, s, bias, now)
            if is_open(now, bends):
                chances[number, TRIED_DOWN] += 1
                if is_open(then, bends):
                    chances[number, DOWN] += math.exp(min(0.0, ratio + steps[number - 1]))
        number, kind = s.work.counts[N_CLUSTERS], kind_now(m, s)
        histogram[number, kind] += 1
        bias[number, kind] -= penalty
        if trial % MEASURED == 0:
            add_measures(m, s, kind, criteria, measures[number, kind])


@compiled
def turn_ring(m, s, trials, bias, width, criteria, measures, openings):  # type: ignore[no-untyped-def]
    """Do a number of trials on a ring, which stays one by `bias`, half of them shifts.

    Returns:
        How often a cluster was to be taken away; the ratios of those by which the ring would
        become a chain are added to `openings` (sizes, RATIOS), what it measures to `measures`.
    """
    number, tried = s.work.counts[N_CLUSTERS], 0
    for trial in range(trials):
        move = uniform(s.work.rng)
        if move < 0.5:
            shift_one(m, s, bias, RING, width)
        elif move < 0.7:
            turn_some(m, s, bias, RING)
        else:
            tried += 1
            ratio, then = take_one(m, s, bias, RING)
            if linear(then):
                add_ratio(openings, number, ratio, 1.0)
        if trial % MEASURED == 0:
            add_measures(m, s, RING, criteria, measures)
    return tried


@compiled
def count_all_loose(m, s):  # type: ignore[no-untyped-def]
    """Count the pairs that hold on to each other, were it only loosely."""
    total = 0
    for k in range(s.work.counts[N_CLUSTERS]):
        c = s.cluster[s.cluster[k].alive]
        c.member = 1
        surroundings(m, s, c.kind, c.x, 0)
        c.member = 0
        total += count_loose(m, s, c.kind, c.u, 0)
    s.work.counts[N_LOOSE] = total // 2
