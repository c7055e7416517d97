"""One aggregate whose size fluctuates: the partition functions of chains of every size, compiled.

The aggregate floats in empty space and always hangs together by its bonds. Clusters are added
beside it and taken away; every size has the weight q_n e^{η_n} of its configurational integral

b_n = q_n/V = (1/n!) ∫ e^{-βU} dx₂…dx_n (directions and induced dipoles normalised to 1),

in nm^{3(n-1)}, so that c_n = b_n zⁿ in an ideal mixture of aggregates with activity z. With the
mean chances a of going from one linear aggregate to another, b_{n+1}/b_n = e^{η_n - η_{n+1}}
a(n → n+1)/a(n+1 → n), whatever was accepted (transition matrix, Fitzgerald, Picard & Silver 1999,
https://doi.org/10.1209/epl/i1999-00257-1). Every size is sampled about equally often.

Sources: F. H. Stillinger, J. Chem. Phys. 38, 1486 (1963), https://doi.org/10.1063/1.1776907.
"""

import math

from dipolar_md.engines.monte_carlo.graph import (
    LINEAR,
    connected,
    find_bonds,
    find_free_ends,
    forget_end,
    join,
    kind_of_aggregate,
    part,
    partners_of,
)
from dipolar_md.engines.monte_carlo.kernel import (
    N_CLUSTERS,
    N_ENDS,
    draw_dipole,
    energy_in,
    enter_cell,
    leave_cell,
    log_weight,
    surroundings,
    wrap_trial,
)
from dipolar_md.engines.monte_carlo.moves import move_locally
from dipolar_md.engines.monte_carlo.proposals import density_of_places, draw_beside
from dipolar_md.engines.monte_carlo.random_numbers import compiled, uniform, whole

SHARE_ENDS = 0.85
"""Of the clusters to be added beside an end or taken away from one, while there are ends."""
UP, DOWN, TRIED_UP, TRIED_DOWN = range(4)
"""Columns of the sums of chances."""
ENERGY, CONTOUR, END_TO_END2, SEEN = range(4)
"""Columns of the sums over aggregates."""


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
    if bonds == 0:
        return -math.inf, now
    s.cluster[i].kind = kind
    appear(m, s, i)
    for k in range(bonds):
        if not join(s, i, s.work.fresh[k]):
            vanish(s, i)
            return -math.inf, now
    ends = s.work.counts[N_ENDS]
    then = kind_of_aggregate(s, ends)
    log_ratio += math.log(of_both(number + 1, ends, 1.0 if s.cluster[i].place >= 0 else 0.0, 1.0))
    if log_chance < log_ratio + bias[number + 1, then] - bias[number, now]:
        s.work.energy += after
    else:
        vanish(s, i)
    return log_ratio, then


@compiled
def take_one(m, s, bias, now):  # type: ignore[no-untyped-def]
    """Try to take a cluster away from an aggregate of kind `now`; return as `add_one`."""
    number = s.work.counts[N_CLUSTERS]
    i = draw_of_both(s)
    c = s.cluster[i]
    chosen = of_both(number, s.work.counts[N_ENDS], 1.0 if c.place >= 0 else 0.0, 1.0)
    c.member = 1
    s.work.piece[0] = i
    ends, _ = find_free_ends(s, 1)
    near_ends, near_all = density_of_places(m, s, c.kind, c.x, c.u, False)
    ex, ey, ez, steric = surroundings(m, s, c.kind, c.x, 0)
    whole_without = c.degree <= 1 or connected(s)
    c.member = 0
    proposed = of_both(number - 1, ends, near_ends, near_all)
    if not (whole_without and proposed > 0):
        return -math.inf
    log_ratio = math.log(proposed / chosen) - log_weight(m, c.kind, ex, ey, ez, steric)
    partners = partners_of(s, i)
    for j in partners:
        part(s, i, j)
    step = bias[number - 1, kind_of_aggregate(s, ends)] - bias[number, now]
    if math.log(uniform(s.work.rng)) < log_ratio + step:
        s.work.energy -= energy_in(m, s, i, ex, ey, ez, steric)
        vanish(s, i)
    else:
        for j in partners:
            join(s, i, j)
    return log_ratio


@compiled
def add_measures(m, s, measures):  # type: ignore[no-untyped-def]
    """Add energy, contour length and squared end-to-end distance of a linear aggregate."""
    number = s.work.counts[N_CLUSTERS]
    row = measures[number]
    row[ENERGY] += s.work.energy
    row[SEEN] += 1
    here, last = s.cluster[0].end, -1
    contour = rx = ry = rz = 0.0
    for _ in range(number - 1):
        onwards = s.cluster[here].bond[0]
        if onwards == last:
            onwards = s.cluster[here].bond[1]
        a, b = s.cluster[here].x, s.cluster[onwards].x
        dx, dy, dz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        contour += math.sqrt(dx * dx + dy * dy + dz * dz)
        rx, ry, rz = rx + dx, ry + dy, rz + dz
        last, here = here, onwards
    row[CONTOUR] += contour
    row[END_TO_END2] += rx * rx + ry * ry + rz * rz


@compiled
def grow(m, s, trials, bias, penalty, steps, width, chances, histogram, measures):  # type: ignore[no-untyped-def]
    """Do a number of trials on one aggregate, a third each local, adding and taking away.

    Sizes run from 1 to len(bias) - 1, with ln weights `bias` (sizes, 3) by kind, of which each
    visit of a size takes `penalty` (Wang & Landau 2001, https://doi.org/10.1103/
    PhysRevLett.86.2050; 0 to sample). Local moves keep the kind. Added to: `chances` (sizes, 4) of
    steps between linear aggregates if their weights were e^`steps` apart, whatever the bias is;
    `histogram` (sizes, 3) of kinds; `measures` (sizes, 4) of linear aggregates.
    """
    most = len(bias) - 1
    for trial in range(trials):
        number = s.work.counts[N_CLUSTERS]
        now = kind_of_aggregate(s, s.work.counts[N_ENDS])
        move = uniform(s.work.rng)
        if move < 1 / 3:
            move_locally(m, s, width, now)
        elif move < 2 / 3:
            if number < most:
                ratio, then = add_one(m, s, bias, now)
                if now == LINEAR:
                    chances[number, TRIED_UP] += 1
                    if then == LINEAR:
                        chances[number, UP] += math.exp(min(0.0, ratio - steps[number]))
        elif number > 1:
            ratio = take_one(m, s, bias, now)
            if now == LINEAR:
                chances[number, TRIED_DOWN] += 1
                chances[number, DOWN] += math.exp(min(0.0, ratio + steps[number - 1]))
        number = s.work.counts[N_CLUSTERS]
        kind = kind_of_aggregate(s, s.work.counts[N_ENDS])
        histogram[number, kind] += 1
        for other in range(3):
            bias[number, other] -= penalty
        if kind == LINEAR and trial % 10 == 0:
            add_measures(m, s, measures)
