"""Oracles of the engine tests, written from the formulas alone: loops over sites, Ewald's sum.

Nothing here calls the package's own energies, forces, mixing rules or rotations.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
from scipy.special import erfc

import dipolar_md as dm

COULOMB = 138.93545755  # kJ mol⁻¹ nm e⁻², CODATA 2022
VOLT = 96.48533212331  # kJ/mol per e V


class Sums(NamedTuple):
    """Energies by name and per cluster; forces and torques (N, 3)."""

    energies: dict
    forces: np.ndarray
    torques: np.ndarray
    cluster_energies: np.ndarray


def rotation(q):
    """Rotation matrices (..., 3, 3) of quaternions (..., 4)."""
    w, x, y, z = np.moveaxis(np.asarray(q, dtype=float), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def well(r, sigma, epsilon, attractive):
    """Energy and -du/dr: WCA, or Lennard-Jones cut at 3 sigma and shifted."""
    cut = 3.0 * sigma if attractive else 2.0 ** (1 / 6) * sigma
    if r >= cut:
        return 0.0, 0.0

    def lj(x):
        return 4 * epsilon * ((sigma / x) ** 12 - (sigma / x) ** 6)

    return lj(r) - lj(cut), 4 * epsilon * (12 * sigma**12 / r**13 - 6 * sigma**6 / r**7)


def point_dipoles(step, a, b, k):
    """Energy, force on b, torques on a and b of dipoles a (at the origin) and b (at `step`)."""
    r = math.sqrt(step @ step)
    energy = k * (a @ b / r**3 - 3 * (a @ step) * (b @ step) / r**5)
    force = 3 * k / r**5 * ((a @ b) * step + (a @ step) * b + (b @ step) * a)
    force -= 15 * k * (a @ step) * (b @ step) / r**7 * step
    field_at_b = k * (3 * (a @ step) * step / r**5 - a / r**3)
    field_at_a = k * (3 * (b @ step) * step / r**5 - b / r**3)
    return energy, force, np.cross(a, field_at_a), np.cross(b, field_at_b)


def site_by_site(system, pairs, relative_permittivity=1.0, field_V_nm=(0.0, 0.0, 0.0)):
    """Sum over every pair of sites of the given pairs of clusters, walls and field; no images."""
    n = len(system)
    turns = rotation(system.orientations)
    bodies = [system.bodies[kind] for kind in system.types]
    arms = [[turns[i] @ np.array(site.position_nm) for site in bodies[i].sites] for i in range(n)]
    dipoles = [turns[i] @ np.array(bodies[i].dipole_e_nm) for i in range(n)]
    k = COULOMB / relative_permittivity
    energies = dict.fromkeys(("steric", "electrostatic", "wall", "field"), 0.0)
    forces, torques, each = np.zeros((n, 3)), np.zeros((n, 3)), np.zeros(n)
    for i, j in pairs:
        step = system.positions[j] - system.positions[i]
        for (arm_i, one), (arm_j, other) in itertools.product(
            zip(arms[i], bodies[i].sites, strict=True), zip(arms[j], bodies[j].sites, strict=True)
        ):
            if not (one.sigma_nm and other.sigma_nm):
                continue
            d = step + arm_j - arm_i
            r = math.sqrt(d @ d)
            energy, push = well(
                r,
                (one.sigma_nm + other.sigma_nm) / 2,
                math.sqrt(one.epsilon_kJ_mol * other.epsilon_kJ_mol),
                one.attractive and other.attractive,
            )
            force = push * d / r
            energies["steric"] += energy
            each[[i, j]] += energy / 2
            forces[j] += force
            forces[i] -= force
            torques[j] += np.cross(arm_j, force)
            torques[i] -= np.cross(arm_i, force)
        energy, force, torque_i, torque_j = point_dipoles(step, dipoles[i], dipoles[j], k)
        energies["electrostatic"] += energy
        each[[i, j]] += energy / 2
        forces[j] += force
        forces[i] -= force
        torques[i] += torque_i
        torques[j] += torque_j
    strength = VOLT * np.array(field_V_nm)
    for i in range(n):
        energy = -(dipoles[i] @ strength)
        energies["field"] += energy
        each[i] += energy
        torques[i] += np.cross(dipoles[i], strength)
        if system.thickness_nm is None:
            continue
        for arm, site in zip(arms[i], bodies[i].sites, strict=True):
            for side in (-1, 1):
                gap = system.thickness_nm / 2 - side * (system.positions[i][2] + arm[2])
                if site.sigma_nm:
                    energy, push = well(gap, site.sigma_nm / 2, site.epsilon_kJ_mol, False)
                    force = np.array([0.0, 0.0, -side * push])
                    energies["wall"] += energy
                    each[i] += energy
                    forces[i] += force
                    torques[i] += np.cross(arm, force)
    energies["total"] = sum(energies.values())
    return Sums(energies, forces, torques, each)


def ewald(box, x, q=None, mu=None, reach=5.5, images=1, split=None):
    """Ewald's sum (conducting boundary) of charges q or of dipoles mu, in units of e²/nm.

    Args:
        box: (3,) edges.
        x: (M, 3) places.
        q: (M,) charges, or None.
        mu: (M, 3) dipoles, or None; one of the two.
        reach: alpha times the real-space cutoff; both sums end where exp(-reach²) is left.
        images: cells to each side in the real-space sum.
        split: alpha; default such that the real-space sum reaches half the shortest edge.

    Returns:
        energy, forces (M, 3) and the field at each place from everything else (M, 3).
    """
    box, x = np.asarray(box, dtype=float), np.asarray(x, dtype=float)
    m = len(x)
    charges = np.zeros(m) if q is None else np.asarray(q, dtype=float)
    dipoles = np.zeros((m, 3)) if mu is None else np.asarray(mu, dtype=float)
    assert q is None or mu is None
    alpha = reach / (box.min() / 2) if split is None else split
    cutoff = reach / alpha
    energy, forces, field = 0.0, np.zeros((m, 3)), np.zeros((m, 3))

    d0 = x[:, None] - x[None]
    d0 -= box * np.rint(d0 / box)
    for cell in itertools.product(range(-images, images + 1), repeat=3):
        d = d0 + np.array(cell) * box
        r = np.sqrt((d**2).sum(-1))
        i, j = np.nonzero((r > 0) & (r < cutoff) if cell == (0, 0, 0) else r < cutoff)
        d, r = d[i, j], r[i, j]
        gauss = 2 * alpha / math.sqrt(math.pi) * np.exp(-((alpha * r) ** 2))
        a = erfc(alpha * r) / r
        b = (a + gauss) / r**2
        c = (3 * b + 2 * alpha**2 * gauss) / r**2
        e = (5 * c + 4 * alpha**4 * gauss) / r**2
        if q is not None:
            energy += 0.5 * (charges[i] * charges[j] * a).sum()
            np.add.at(forces, i, (charges[i] * charges[j] * b)[:, None] * d)
            np.add.at(field, i, (charges[j] * b)[:, None] * d)
        else:
            one, other = dipoles[i], dipoles[j]
            od, pd = (one * d).sum(-1), (other * d).sum(-1)
            dot = (one * other).sum(-1)
            energy += 0.5 * (dot * b - od * pd * c).sum()
            pull = (dot * c - od * pd * e)[:, None] * d
            pull += c[:, None] * (od[:, None] * other + pd[:, None] * one)
            np.add.at(forces, i, pull)
            np.add.at(field, i, (pd * c)[:, None] * d - b[:, None] * other)

    most = np.ceil(2 * alpha * reach * box / (2 * math.pi)).astype(int)
    grid = np.meshgrid(*(np.arange(-n, n + 1) for n in most), indexing="ij")
    waves = 2 * math.pi * np.stack(grid, axis=-1).reshape(-1, 3) / box
    waves = waves[len(waves) // 2 + 1 :]  # half of them; the others are their negatives
    waves = waves[(waves**2).sum(-1) < (2 * alpha * reach) ** 2]
    for k in np.array_split(waves, max(1, len(waves) * m // 1_000_000)):
        k2 = (k**2).sum(-1)
        weight = 2 * 4 * math.pi / k2 * np.exp(-k2 / (4 * alpha**2)) / box.prod()
        phase = np.exp(1j * (x @ k.T))
        sources = (charges[:, None] + 1j * (dipoles @ k.T)) * phase
        total = sources.sum(axis=0)
        energy += 0.5 * (weight * np.abs(total) ** 2).sum()
        forces += (weight * (np.conj(total) * sources).imag) @ k
        field += (weight * (np.conj(total) * phase).imag) @ k
    energy -= alpha / math.sqrt(math.pi) * (charges**2).sum()
    energy -= 2 * alpha**3 / (3 * math.sqrt(math.pi)) * (dipoles**2).sum()
    field += 4 * alpha**3 / (3 * math.sqrt(math.pi)) * dipoles
    return energy, forces, field


def ewald_of(system, relative_permittivity=1.0, slab_height=None, **options):
    """Ewald's sum of a system's charges or point dipoles, without what acts within a body.

    `slab_height` puts a film into a box of that height, with the correction of Yeh and Berkowitz,
    2π M_z²/V, so that its images along z don't act.
    """
    n, box = len(system), system.box[:3].copy()
    if slab_height is not None:
        box[2] = slab_height
    turns = rotation(system.orientations)
    bodies = [system.bodies[kind] for kind in system.types]
    owners, places, arms, charges = [], [], [], []
    for i, body in enumerate(bodies):
        for site in body.sites:
            if site.charge_e:
                arm = turns[i] @ np.array(site.position_nm)
                owners.append(i)
                arms.append(arm)
                places.append(system.positions[i] + arm)
                charges.append(site.charge_e)
    forces, torques = np.zeros((n, 3)), np.zeros((n, 3))
    if charges:
        q, x, arms = np.array(charges), np.array(places), np.array(arms)
        energy, on_sites, _ = ewald(box, x, q=q, **options)
        if slab_height is not None:
            moment = (q * x[:, 2]).sum()
            energy += 2 * math.pi * moment**2 / box.prod()
            on_sites[:, 2] -= 4 * math.pi * q * moment / box.prod()
        for i, j in itertools.combinations(range(len(q)), 2):
            if owners[i] == owners[j]:
                energy -= q[i] * q[j] / math.dist(arms[i], arms[j])
        np.add.at(forces, owners, on_sites)
        np.add.at(torques, owners, np.cross(arms, on_sites))
    else:
        mu = np.array([turns[i] @ np.array(body.dipole_e_nm) for i, body in enumerate(bodies)])
        energy, forces, field = ewald(box, system.positions, mu=mu, **options)
        torques = np.cross(mu, field)
    k = COULOMB / relative_permittivity
    return k * energy, k * forces, k * torques


def rms_errors(found, forces, torques, terms, bodies):
    """Rms errors of force and torque over those at contact."""
    scales = terms.contact_scales(bodies)
    pairs = zip((found.forces, found.torques), (forces, torques), scales, strict=True)
    return [float(np.sqrt(((a - b) ** 2).sum(-1).mean())) / scale for a, b, scale in pairs]


def random_quaternions(n, seed):
    q = np.random.default_rng(seed).normal(size=(n, 4))
    return q / np.linalg.norm(q, axis=1, keepdims=True)


def evaluate_bare(system, terms, engine):
    """Evaluate with the electrostatics alone: steric diameters 0."""
    from dipolar_md.engines.capabilities import without_steric

    return dm.evaluate(without_steric(system), terms, engine=engine)
