"""Rigid moves of pieces of chains and of whole chains, compiled: cut, rejoin, turn, shift."""

import math

import numpy as np

from dipolar_md.engines.monte_carlo.graph import (
    draw_free_end,
    find_bonds,
    find_free_ends,
    join,
    part,
)
from dipolar_md.engines.monte_carlo.kernel import (
    LONGEST_PIECE,
    MOST_BONDS,
    N_CLUSTERS,
    N_ENDS,
    nearest,
    put,
    surroundings,
    wrap_trial,
)
from dipolar_md.engines.monte_carlo.proposals import (
    SHARE_UNIFORM,
    density_of_places,
    draw_anywhere,
    draw_beside,
    field_beside,
    mixture,
)
from dipolar_md.engines.monte_carlo.random_numbers import (
    around,
    compiled,
    direction,
    gauss,
    uniform,
    whole,
)

WHOLE_CHAINS = 0.3
"""Of the pieces that are whole chains."""
LOCAL, FROM_ENDS, FROM_ALL, PIECE, PIECE_FROM_ALL, RIGID, REATTACH = range(7)
"""Kinds of moves, as rows of the tally."""


@compiled
def walk(s, start, step, most):  # type: ignore[no-untyped-def]
    """Keep the clusters along a chain in `piece`, from `start` over its bond number `step`.

    Returns:
        How many: `most`, or fewer where the chain ends; 0 where it branches or closes.
    """
    last, here, count = -1, start, 0
    while True:
        if s.cluster[here].degree > 2 or (count and here == start):
            return 0
        s.work.piece[count] = here
        count += 1
        onwards = -1
        if count == 1:
            if s.cluster[here].degree > step:
                onwards = s.cluster[here].bond[step]
        else:
            for k in range(s.cluster[here].degree):
                if s.cluster[here].bond[k] != last:
                    onwards = s.cluster[here].bond[k]
        if count == most or onwards < 0:
            return count
        last, here = here, onwards


@compiled
def ways(s, count, chance, from_ends):  # type: ignore[no-untyped-def]
    """Return the chance, up to constants, of choosing the clusters in `piece` in the present state.

    From an end: 1/ends for each of the two that is one, times the chance of this length, and of
    asking for a whole chain where it is one. From anywhere: 1/bonds for the direction.
    """
    first, last = s.cluster[s.work.piece[0]].degree, s.cluster[s.work.piece[count - 1]].degree
    for k in range(count):
        if s.cluster[s.work.piece[k]].degree > 2:
            return 0.0
    if not from_ends:
        return chance * (1 / first + 1 / last)
    if first > 1 and last > 1:
        return 0.0
    ends = float(s.work.counts[N_ENDS])
    if count == 1:
        free = WHOLE_CHAINS if first == 0 else 0.0
        return (free + (1 - WHOLE_CHAINS) * chance) / ends
    both = first == 1 and last == 1
    number = (1.0 if first == 1 else 0.0) + (1.0 if last == 1 else 0.0)
    return ((1 - WHOLE_CHAINS) * chance * number + (2 * WHOLE_CHAINS if both else 0.0)) / ends


@compiled
def choose_piece(s, longest, from_ends):  # type: ignore[no-untyped-def]
    """Choose a piece of a chain; return its clusters and the chance of its length, or 0.

    Lengths k have the chance ln((k+1)/k)/ln(longest+1), from anywhere only those of two and more.
    """
    scale = math.log(longest + 1.0)
    length = min(int(math.exp(uniform(s.work.rng) * scale)), longest)
    if from_ends:
        if s.work.counts[N_ENDS] == 0:
            return 0, 0.0
        start = s.cluster[whole(s.work.rng, s.work.counts[N_ENDS])].end
        if uniform(s.work.rng) < WHOLE_CHAINS:
            count = walk(s, start, 0, LONGEST_PIECE)
            last = s.cluster[s.work.piece[count - 1]].degree if count else 2
            if last > 1 or (count > 1 and last != 1):
                return 0, 0.0
        else:
            count = walk(s, start, 0, length)
            if count < length:
                return 0, 0.0
    else:
        start = s.cluster[whole(s.work.rng, s.work.counts[N_CLUSTERS])].alive
        if length < 2 or s.cluster[start].degree == 0:
            return 0, 0.0
        count = walk(s, start, whole(s.work.rng, s.cluster[start].degree), length)
        if count < length:
            return 0, 0.0
    if count > longest:
        return count, 0.0
    return count, math.log((count + 1) / count) / scale


@compiled
def unwrap_piece(m, s, count):  # type: ignore[no-untyped-def]
    """Keep the places of a piece relative to its first in `path`; return whether it may turn.

    It may where it can't meet its own image: twice its reach from its middle and the range of the
    interactions fit into the box.
    """
    mx = my = mz = 0.0
    for axis in range(3):
        s.work.path[0, axis] = 0.0
    for k in range(1, count):
        a, b = s.work.piece[k - 1], s.work.piece[k]
        for axis in range(3):
            step = nearest(m, axis, s.cluster[b].x[axis] - s.cluster[a].x[axis])
            s.work.path[k, axis] = s.work.path[k - 1, axis] + step
        mx += s.work.path[k, 0] / count
        my += s.work.path[k, 1] / count
        mz += s.work.path[k, 2] / count
    farthest = 0.0
    for k in range(count):
        dx, dy, dz = s.work.path[k, 0] - mx, s.work.path[k, 1] - my, s.work.path[k, 2] - mz
        farthest = max(farthest, dx * dx + dy * dy + dz * dz)
    room = min(m.edges[0], m.edges[1], m.edges[2])
    return 2 * math.sqrt(farthest) + max(m.cutoff, m.near) < room


@compiled
def set_turn(s, w, x, y, z):  # type: ignore[no-untyped-def]
    """Set `turn` to the rotation of a quaternion of any length."""
    n = 2 / (w * w + x * x + y * y + z * z)
    t = s.work.turn
    t[0, 0], t[0, 1], t[0, 2] = 1 - n * (y * y + z * z), n * (x * y - w * z), n * (x * z + w * y)
    t[1, 0], t[1, 1], t[1, 2] = n * (x * y + w * z), 1 - n * (x * x + z * z), n * (y * z - w * x)
    t[2, 0], t[2, 1], t[2, 2] = n * (x * z - w * y), n * (y * z + w * x), 1 - n * (x * x + y * y)


@compiled
def turn_any(s):  # type: ignore[no-untyped-def]
    """Set `turn` to a uniformly random rotation."""
    a, b = gauss(s.work.rng)
    c, d = gauss(s.work.rng)
    set_turn(s, a, b, c, d)


@compiled
def turn_onto(s, i, vx, vy, vz):  # type: ignore[no-untyped-def]
    """Set `turn` to a rotation of cluster i's direction onto (vx, vy, vz), the azimuth random.

    A half turn about the middle of the two vectors, after a turn about the first: (0, middle) times
    (cos ψ/2, u sin ψ/2) as quaternions.
    """
    ux, uy, uz = s.cluster[i].u
    hx, hy, hz = ux + vx, uy + vy, uz + vz
    norm = math.sqrt(hx * hx + hy * hy + hz * hz)
    if norm < 1e-9:  # opposite: any axis across
        hx, hy, hz = around(ux, uy, uz, 0.0, 0.0)
        norm = 1.0
    hx, hy, hz = hx / norm, hy / norm, hz / norm
    angle = math.pi * uniform(s.work.rng)
    c, d = math.cos(angle), math.sin(angle)
    w = -d * (hx * ux + hy * uy + hz * uz)
    x = c * hx + d * (hy * uz - hz * uy)
    y = c * hy + d * (hz * ux - hx * uz)
    z = c * hz + d * (hx * uy - hy * ux)
    set_turn(s, w, x, y, z)


@compiled
def carry(s, count, anchor):  # type: ignore[no-untyped-def]
    """Fill `trial` with the piece, turned by `turn` about its cluster number `anchor`.

    The row of that cluster holds its new place.
    """
    ax, ay, az = s.work.trial[anchor, 0], s.work.trial[anchor, 1], s.work.trial[anchor, 2]
    bx, by, bz = s.work.path[anchor, 0], s.work.path[anchor, 1], s.work.path[anchor, 2]
    for k in range(count):
        row, t = s.work.trial[k], s.work.turn
        c = s.cluster[s.work.piece[k]]
        dx, dy, dz = s.work.path[k, 0] - bx, s.work.path[k, 1] - by, s.work.path[k, 2] - bz
        row[0] = ax + t[0, 0] * dx + t[0, 1] * dy + t[0, 2] * dz
        row[1] = ay + t[1, 0] * dx + t[1, 1] * dy + t[1, 2] * dz
        row[2] = az + t[2, 0] * dx + t[2, 1] * dy + t[2, 2] * dz
        for first, source in ((3, c.u), (6, c.p), (9, c.d)):
            vx, vy, vz = source[0], source[1], source[2]
            for axis in range(3):
                row[first + axis] = t[axis, 0] * vx + t[axis, 1] * vy + t[axis, 2] * vz


@compiled
def density_of_piece(m, s, count, total, moved):  # type: ignore[no-untyped-def]
    """Return the density Q (nm⁻³, over that of a random rotation) of a piece's place and turn.

    Either of its two ends lies beside a free end, its direction along the field there.
    """
    if total == 0:
        return mixture(m, 1.0, 0, 0.0)
    value = 0.0
    for k in (0, count - 1):
        i = s.work.piece[k]
        place = s.work.trial[k, :3] if moved else s.cluster[i].x[:]
        u = s.work.trial[k, 3:6] if moved else s.cluster[i].u[:]
        over_ends, _ = density_of_places(m, s, s.cluster[i].kind, place, u, True)
        value += over_ends / 2
    return mixture(m, SHARE_UNIFORM, total, value)


@compiled
def propose_piece(m, s, count, total, new):  # type: ignore[no-untyped-def]
    """Draw a place and a turn of the piece from Q, into `trial`."""
    share = SHARE_UNIFORM if total else 1.0
    if uniform(s.work.rng) < share:
        draw_anywhere(m, s, 0)
        turn_any(s)
        carry(s, count, 0)
        return
    k = 0 if uniform(s.work.rng) < 0.5 else count - 1
    i, j = s.work.piece[k], draw_free_end(s, total, new)
    r = draw_beside(m, s, s.cluster[i].kind, j, k)
    nx = (s.work.trial[k, 0] - s.cluster[j].x[0]) / r
    ny = (s.work.trial[k, 1] - s.cluster[j].x[1]) / r
    nz = (s.work.trial[k, 2] - s.cluster[j].x[2]) / r
    ux, uy, uz = s.cluster[j].u
    cosine = nx * ux + ny * uy + nz * uz
    root = math.sqrt(1 + 3 * cosine * cosine)
    fx, fy, fz = (
        (3 * cosine * nx - ux) / root,
        (3 * cosine * ny - uy) / root,
        (3 * cosine * nz - uz) / root,
    )
    kappa = field_beside(m, s.cluster[i].kind, s.cluster[j].kind, r, cosine)
    vx, vy, vz = direction(s.work.rng, fx, fy, fz, kappa)
    turn_onto(s, i, vx, vy, vz)
    carry(s, count, k)


@compiled
def nudge_piece(s, count, width, angle):  # type: ignore[no-untyped-def]
    """Shift the piece a little, and turn it a little about one of its two ends, into `trial`."""
    k = 0 if uniform(s.work.rng) < 0.5 else count - 1
    for axis in range(3):
        s.work.trial[k, axis] = s.cluster[s.work.piece[k]].x[axis] + width * (
            2 * uniform(s.work.rng) - 1
        )
    half = angle * (uniform(s.work.rng) - 0.5)
    a, b = gauss(s.work.rng)
    c, _ = gauss(s.work.rng)
    scale = math.sin(half) / math.sqrt(a * a + b * b + c * c)
    set_turn(s, math.cos(half), a * scale, b * scale, c * scale)
    carry(s, count, k)


@compiled
def energy_of_move(m, s, count):  # type: ignore[no-untyped-def]
    """Return by how much the move of the piece to `trial` changes the energy, and its new bonds.

    Returns:
        The change (kJ/mol) and how many bonds between piece and rest there will be (`cross`);
        infinite where they are too many or the place is taken.
    """
    change, crossing = 0.0, 0
    for k in range(count):
        i, kind, row = s.work.piece[k], s.cluster[s.work.piece[k]].kind, s.work.trial[k]
        wrap_trial(m, s, k)
        ex, ey, ez, steric = surroundings(m, s, kind, row, 1)
        if m.beta * steric > 1e4:
            return np.inf, 0
        change += steric - row[9] * ex - row[10] * ey - row[11] * ez
        found = find_bonds(m, s, kind, row[3:6], 1)
        if crossing + found > len(s.work.cross):
            return np.inf, 0
        for n in range(found):
            s.work.cross[crossing, 0], s.work.cross[crossing, 1] = i, s.work.fresh[n]
            crossing += 1
        ex, ey, ez, steric = surroundings(m, s, kind, s.cluster[i].x, 0)
        change -= steric - s.cluster[i].d[0] * ex - s.cluster[i].d[1] * ey - s.cluster[i].d[2] * ez
    return change, crossing


@compiled
def set_cross_bonds(s, count, bonds):  # type: ignore[no-untyped-def]
    """Give the piece other bonds to the rest; return the old ones and whether there was room."""
    old = np.empty((count * MOST_BONDS, 2), np.int64)
    many = 0
    for k in range(count):
        i = s.work.piece[k]
        for n in range(s.cluster[i].degree):
            if s.cluster[s.cluster[i].bond[n]].member == 0:
                old[many, 0], old[many, 1] = i, s.cluster[i].bond[n]
                many += 1
    for n in range(many):
        part(s, old[n, 0], old[n, 1])
    for n in range(len(bonds)):
        if not join(s, bonds[n, 0], bonds[n, 1]):
            for done in range(n):
                part(s, bonds[done, 0], bonds[done, 1])
            for k in range(many):
                join(s, old[k, 0], old[k, 1])
            return old[:0], False
    return old[:many], True


@compiled
def move_piece(m, s, longest, kind_of_move, width, angle):  # type: ignore[no-untyped-def]
    """Cut a piece off a chain (or take a whole one) and put it elsewhere, or nudge it.

    Returns:
        1 or 0, whether it was accepted; -1 where no such piece was found.
    """
    from_ends = kind_of_move != PIECE_FROM_ALL
    count, chance = choose_piece(s, longest, from_ends)
    if count == 0:
        return -1
    for k in range(count):
        s.cluster[s.work.piece[k]].member = 1
    accepted = False
    if unwrap_piece(m, s, count):
        log_ratio = -math.log(ways(s, count, chance, from_ends))
        if kind_of_move == RIGID:
            nudge_piece(s, count, width, angle)
        else:
            total, new = find_free_ends(s, count)
            here = density_of_piece(m, s, count, total, False)
            propose_piece(m, s, count, total, new)
            for k in range(count):
                wrap_trial(m, s, k)
            log_ratio += math.log(here / density_of_piece(m, s, count, total, True))
        accepted = settle_piece(m, s, count, chance, from_ends, log_ratio)
    for k in range(count):
        s.cluster[s.work.piece[k]].member = 0
    return 1 if accepted else 0


@compiled
def settle_piece(m, s, count, chance, from_ends, log_ratio):  # type: ignore[no-untyped-def]
    """Accept or refuse the piece in `trial`."""
    change, crossing = energy_of_move(m, s, count)
    log_chance = math.log(uniform(s.work.rng))
    if not change < np.inf:
        return False
    old, fits = set_cross_bonds(s, count, s.work.cross[:crossing].copy())
    if not fits:
        return False
    now = ways(s, count, chance, from_ends)
    if now == 0 or log_chance >= log_ratio + math.log(now) - m.beta * change:
        set_cross_bonds(s, count, old)
        return False
    s.work.energy += change
    for k in range(count):
        put(m, s, s.work.piece[k], k)
    return True
