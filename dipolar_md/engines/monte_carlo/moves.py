"""Monte Carlo moves of one cluster and of pieces of chains, each of which obeys detailed balance.

The proposals that carry clusters from anywhere to anywhere are independence samplers: the new
state is drawn from a density Q that doesn't depend on the present state of what moves, so a move
is accepted with min(1, π(new) Q(old)/(π(old) Q(new))). Q is half uniform and half "beside an end":
an end of the graph *without* the moving clusters is chosen, and a place beside it from a table.

Where the moving clusters are chosen among the ends of the present graph, the chance of choosing
them again in the new state, by counting the ways, stands in the acceptance, too.

Sources: Chen & Siepmann 2000, https://doi.org/10.1021/jp001952u, and 2001, https://doi.org/10.1021/
jp011406l (aggregation-volume bias); Rovigatti, Russo & Sciortino 2011, https://doi.org/10.1103/
PhysRevLett.107.237801.
"""

import math

from dipolar_md.engines.monte_carlo.graph import (
    draw_free_end,
    find_bonds,
    find_free_ends,
    partners_of,
    rewire,
)
from dipolar_md.engines.monte_carlo.kernel import (
    N_CLUSTERS,
    N_ENDS,
    draw_dipole,
    energy_in,
    log_weight,
    put,
    surroundings,
    wrap_trial,
)
from dipolar_md.engines.monte_carlo.pieces import (
    FROM_ALL,
    FROM_ENDS,
    LOCAL,
    REATTACH,
    move_piece,
)
from dipolar_md.engines.monte_carlo.proposals import (
    SHARE_UNIFORM,
    density_beside_freed,
    density_of_places,
    draw_anywhere,
    draw_beside,
    find_near_ends,
    mixture,
)
from dipolar_md.engines.monte_carlo.random_numbers import (
    compiled,
    uniform,
    whole,
)

# --- One cluster ----------------------------------------------------------------------------------


@compiled
def move_one(m, s, i, log_bias, from_ends):  # type: ignore[no-untyped-def]
    """Move a cluster to the place in the first row of `trial`, with dipoles drawn there, or don't.

    Accepted with min(1, W(new)/W(old) · e^bias), times the ratio of the number of ends before and
    after where the cluster was chosen among them.
    """
    kind = s.cluster[i].kind
    log_chance = math.log(uniform(s.work.rng))
    ox, oy, oz, steric = surroundings(m, s, kind, s.cluster[i].x, 0)
    log_ratio = log_bias - log_weight(m, kind, ox, oy, oz, steric)
    before = energy_in(m, s, i, ox, oy, oz, steric)
    wrap_trial(m, s, 0)
    ex, ey, ez, steric = surroundings(m, s, kind, s.work.trial[0], 1)
    log_ratio += log_weight(m, kind, ex, ey, ez, steric)
    ends = s.work.counts[N_ENDS]
    if log_ratio + (math.log(ends) if from_ends else 0.0) < log_chance:
        return False
    after = steric + draw_dipole(m, s, 0, kind, ex, ey, ez)
    count = find_bonds(m, s, kind, s.work.trial[0, 3:6], 1)
    same = count == s.cluster[i].degree
    for k in range(count):
        known = False
        for n in range(s.cluster[i].degree):
            known = known or s.cluster[i].bond[n] == s.work.fresh[k]
        same = same and known
    if not same:
        partners = s.work.fresh[:count].copy()
        stale = partners_of(s, i)
        if not rewire(s, i, count, partners):
            return False
        accepted = True
        if from_ends:
            accepted = s.cluster[i].place >= 0
            if accepted:
                log_ratio += math.log(ends / s.work.counts[N_ENDS])
        if not (accepted and log_chance < log_ratio):
            rewire(s, i, len(stale), stale)
            return False
    elif log_ratio < log_chance:
        return False
    s.work.energy += after - before
    put(m, s, i, 0)
    return True


@compiled
def move_locally(m, s, width):  # type: ignore[no-untyped-def]
    """Shift any cluster by up to `width` along each axis."""
    i = s.cluster[whole(s.work.rng, s.work.counts[N_CLUSTERS])].alive
    s.cluster[i].member = 1
    for axis in range(3):
        s.work.trial[0, axis] = s.cluster[i].x[axis] + width * (2 * uniform(s.work.rng) - 1)
    accepted = move_one(m, s, i, 0.0, False)
    s.cluster[i].member = 0
    return accepted


@compiled
def swap(m, s, from_ends):  # type: ignore[no-untyped-def]
    """Move an end (or any cluster) to anywhere, or beside one of the ends that are left."""
    if from_ends:
        if s.work.counts[N_ENDS] == 0:
            return False
        i = s.cluster[whole(s.work.rng, s.work.counts[N_ENDS])].end
    else:
        i = s.cluster[whole(s.work.rng, s.work.counts[N_CLUSTERS])].alive
    kind = s.cluster[i].kind
    s.cluster[i].member = 1
    s.work.piece[0] = i
    total, new = find_free_ends(s, 1)
    share = SHARE_UNIFORM if total else 1.0
    if uniform(s.work.rng) < share:
        draw_anywhere(m, s, 0)
    else:
        draw_beside(m, s, kind, draw_free_end(s, total, new), 0)
        wrap_trial(m, s, 0)
    t = s.work.trial[0]
    there, _ = density_of_places(m, s, kind, t, t, False)
    accepted = False
    if abs(t[2]) <= m.room[2] / 2:
        here, _ = density_of_places(m, s, kind, s.cluster[i].x, s.cluster[i].u, False)
        log_bias = math.log(mixture(m, share, total, here) / mixture(m, share, total, there))
        accepted = move_one(m, s, i, log_bias, from_ends)
    s.cluster[i].member = 0
    return accepted


@compiled
def reattach(m, s):  # type: ignore[no-untyped-def]
    """Move any cluster to beside an end near it, in the graph without it.

    Its own neighbours are such ends, and the other end of its chain where that is near: rings open
    and close. The ends near the new place make the way back, so both lists stand in the acceptance.
    """
    i = s.cluster[whole(s.work.rng, s.work.counts[N_CLUSTERS])].alive
    kind = s.cluster[i].kind
    s.cluster[i].member = 1
    accepted = False
    count = find_near_ends(m, s, s.cluster[i].x)
    if count > 0:
        j = s.work.freed[whole(s.work.rng, count)]
        draw_beside(m, s, kind, j, 0)
        wrap_trial(m, s, 0)
        place = s.work.trial[0]
        there = density_beside_freed(m, s, kind, count, place)
        count = find_near_ends(m, s, place)
        here = density_beside_freed(m, s, kind, count, s.cluster[i].x) if count > 0 else 0.0
        if here > 0 and there > 0:
            accepted = move_one(m, s, i, math.log(here / there), False)
    s.cluster[i].member = 0
    return accepted


# --- Runs of moves --------------------------------------------------------------------------------


@compiled
def run_moves(m, s, trials, upto, widths, longest, tally):  # type: ignore[no-untyped-def]
    """Do a number of trial moves.

    Kinds come with the cumulative chances `upto` (7,); `widths` are those of a local shift (nm) and
    of a nudge (nm, rad); trials and acceptances, where there was
    something to move, are added to `tally` (7, 2).
    """
    for _ in range(trials):
        chance = uniform(s.work.rng)
        move = 0
        while move < 6 and chance >= upto[move]:
            move += 1
        if move == LOCAL:
            accepted = 1 if move_locally(m, s, widths[0]) else 0
        elif move in (FROM_ENDS, FROM_ALL):
            accepted = 1 if swap(m, s, move == FROM_ENDS) else 0
        elif move == REATTACH:
            accepted = 1 if reattach(m, s) else 0
        else:
            accepted = move_piece(m, s, longest, move, widths[1], widths[2])
        if accepted >= 0:
            tally[move, 0] += 1
            tally[move, 1] += accepted
