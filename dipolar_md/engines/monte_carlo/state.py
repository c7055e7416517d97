"""Systems and interactions as the arrays of the Monte Carlo kernel, and back."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from dipolar_md.engines.monte_carlo.graph import find_bonds, join
from dipolar_md.engines.monte_carlo.kernel import (
    CLUSTER,
    COLUMNS,
    MODEL,
    N_CLUSTERS,
    RINGS,
    WORK,
    Integers,
    State,
    enter_cell,
    surroundings,
)
from dipolar_md.engines.monte_carlo.random_numbers import compiled
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import Floats, System, align_z, rotated
from dipolar_md.units import KE, thermal_energy

_NEAREST = 0.6  # contacts: nearer, nothing is ever proposed


def model_of(
    system: System,
    interactions: Interactions,
    bond_reach_contacts: float = 1.5,
    bond_energy: float = -0.5,
    polarisability_nm3: float | None = None,
) -> Any:
    """Return the model of spheres with truncated point dipoles.

    Args:
        system: box and bodies.
        interactions: what acts.
        bond_reach_contacts: farthest bond, in contacts.
        bond_energy: highest dipole energy of a bond over |contact energy|.
        polarisability_nm3: Polarisability volume of every body, default its own.
    """
    bodies, kT = system.bodies, thermal_energy(interactions.temperature_K)
    table = interactions.steric_table(bodies)
    sigma, epsilon, reach = (np.ascontiguousarray(values) for values in table)
    cut6 = np.divide(sigma, reach, out=np.zeros_like(sigma), where=reach > 0) ** 6
    moment = np.array([body.dipole_magnitude_e_nm for body in bodies])
    own_alpha = [body.polarisability_nm3 for body in bodies]
    alpha = np.array(
        own_alpha if polarisability_nm3 is None else [polarisability_nm3] * len(bodies)
    )
    own = np.array([body.axial_contact_nm for body in bodies])
    contact = (own[:, None] + own) / 2
    bond_reach = bond_reach_contacts * contact
    near = max(float(bond_reach.max()), float(reach.max()))
    edges = system.box[:3].copy()
    film = system.thickness_nm is not None
    room = edges.copy()
    if system.thickness_nm is not None:
        room[2] = system.thickness_nm
    cell = max(interactions.cutoff_nm, near)
    most = max(1.0, (4.0 * len(system)) ** (1 / 3))
    cells = np.maximum(1, np.floor(np.minimum(edges / cell, 2 * most))).astype(np.int64)
    gain = 1 / (1 - 3 * (alpha[:, None] + alpha) / 2 / contact**3)
    coupling = interactions.coulomb_constant * np.outer(moment, moment) / kT * gain
    first = _NEAREST * float(contact.min())
    step = (float(bond_reach.max()) - first) / RINGS
    density, chance, alias = _places(coupling, sigma, epsilon, reach, cut6, kT, first, step)
    model = np.zeros(1, MODEL)
    values = {
        "edges": edges,
        "room": room,
        "film": film,
        "cells": cells,
        "beta": 1 / kT,
        "coulomb": interactions.coulomb_constant,
        "stiffness": KE,
        "cutoff": interactions.cutoff_nm,
        "field": interactions.field_kJ_mol_e_nm.copy(),
        "moment": moment,
        "polarisability": alpha,
        "sigma": sigma,
        "epsilon": epsilon,
        "reach": reach,
        "shift": -4 * epsilon * (cut6 * cut6 - cut6),
        "wall": np.stack(interactions.wall_table(bodies), axis=1),
        "bond_reach": bond_reach,
        "contact": contact,
        "bond_energy": bond_energy,
        "near": near,
        "first": first,
        "step": step,
        "density": density,
        "chance": chance,
        "alias": alias,
        "coupling": coupling,
    }
    for name, value in values.items():
        into = model[name][0]
        if np.ndim(value) and into.shape != np.shape(value):  # fewer kinds than there is room for
            into[tuple(slice(0, size) for size in np.shape(value))] = value
        else:
            model[name][0] = value
    return model[0]


def _places(
    coupling: Floats,
    sigma: Floats,
    epsilon: Floats,
    reach: Floats,
    cut6: Floats,
    kT: float,
    first: float,
    step: float,
) -> tuple[Floats, Floats, Integers]:
    """Return the densities of places beside a cluster, and their alias tables.

    In each bin of distance and cos θ the Boltzmann factor of a pair, averaged over the direction of
    the second, at the middle of the bin: e^(-U/kT) sinh κ/κ.
    """
    kinds = len(sigma)
    r = first + step * (np.arange(RINGS) + 0.5)
    c = -1 + 2 * (np.arange(COLUMNS) + 0.5) / COLUMNS
    shell = ((r + step / 2) ** 3 - (r - step / 2) ** 3) / 3
    volume = np.repeat(shell[:, None] * 4 * math.pi / COLUMNS, COLUMNS, axis=1)
    density = np.zeros((kinds, kinds, RINGS, COLUMNS))
    chance = np.zeros((kinds, kinds, RINGS * COLUMNS))
    alias = np.zeros((kinds, kinds, RINGS * COLUMNS), np.int64)
    for a, b in np.ndindex(kinds, kinds):
        s6 = (sigma[a, b] / r) ** 6
        steric = 4 * epsilon[a, b] * (s6 * s6 - s6 - (cut6[a, b] ** 2 - cut6[a, b])) / kT
        steric = np.where(r < reach[a, b], steric, 0.0)
        kappa = coupling[a, b] / r[:, None] ** 3 * np.sqrt(1 + 3 * c * c)
        log = kappa + np.log(-np.expm1(-2 * kappa) / (2 * kappa)) - steric[:, None]
        weight = np.exp(log - log.max()) * volume
        weight /= weight.sum()
        density[a, b] = weight / volume
        chance[a, b], alias[a, b] = _alias_table(weight.ravel())
    return density, chance, alias


def _alias_table(weights: Floats) -> tuple[Floats, Integers]:
    """Return Walker's tables for drawing a number with given weights, which sum to 1."""
    chance, alias = weights * len(weights), np.arange(len(weights))
    small = [i for i, x in enumerate(chance) if x < 1]
    large = [i for i, x in enumerate(chance) if x >= 1]
    while small and large:
        i, j = small.pop(), large[-1]
        alias[i] = j
        chance[j] -= 1 - chance[i]
        if chance[j] < 1:
            small.append(large.pop())
    for i in small + large:
        chance[i] = 1.0
    return chance, alias


def state_of(
    system: System, model: Any, seed: tuple[int, ...], capacity: int | None = None
) -> State:
    """Return the state of a system; induced dipoles that it doesn't know are zero.

    Args:
        system: the clusters.
        model: of the same system.
        seed: whole numbers that name the stream of random numbers.
        capacity: clusters there is room for, default as many as there are.
    """
    n = len(system)
    cluster = np.zeros(max(n, capacity or 0), CLUSTER)
    axes = [np.divide(body.dipole_e_nm, body.dipole_magnitude_e_nm) for body in system.bodies]
    cluster["x"][:n] = system.positions
    cluster["u"][:n] = rotated(system.orientations, system.per_cluster(axes))
    cluster["kind"][:n] = system.types
    if system.induced_dipoles is not None:
        cluster["p"][:n] = system.induced_dipoles
    cluster["d"][:n] = model["moment"][system.types, None] * cluster["u"][:n] + cluster["p"][:n]
    cluster["alive"] = np.arange(len(cluster))
    cluster["end"][:n] = np.arange(n)
    cluster["place"] = -1
    cluster["place"][:n] = np.arange(n)
    work = np.zeros(1, WORK)
    work["counts"][0] = (n, n, 0, 0, 0)
    work["rng"][0] = np.random.SeedSequence(seed).generate_state(4, np.uint64)
    head = np.full(int(np.prod(model["cells"])), -1, np.int32)
    state = State(cluster, head, work[0])
    _enter_all(model, state)
    return state


@compiled
def _enter_all(m, s):  # type: ignore[no-untyped-def]
    """Fill the cells and find all bonds."""
    for i in range(s.work.counts[N_CLUSTERS]):
        enter_cell(m, s, i)
    for i in range(s.work.counts[N_CLUSTERS]):
        s.cluster[i].member = 1
        surroundings(m, s, s.cluster[i].kind, s.cluster[i].x, 0)
        s.cluster[i].member = 0
        count = find_bonds(m, s, s.cluster[i].kind, s.cluster[i].u, 0)
        for k in range(count):
            if s.work.fresh[k] > i:
                join(s, i, s.work.fresh[k])


def system_of(state: State, system: System) -> System:
    """Return the system with the places, directions and induced dipoles of a state.

    What a cluster does about its own dipole axis has no meaning here: it is turned the short way.
    """
    axes = [np.divide(body.dipole_e_nm, body.dipole_magnitude_e_nm) for body in system.bodies]
    n = len(system)
    if any(abs(axis[2] - 1) > 1e-12 for axis in axes):
        from_axis = align_z(system.per_cluster(axes))
        from_axis[:, 1:] *= -1  # turns the dipole onto z
        from rowan import multiply

        orientations = multiply(align_z(state.cluster["u"][:n]), from_axis)
    else:
        orientations = align_z(state.cluster["u"][:n])
    polarisable = any(body.polarisability_nm3 for body in system.bodies)
    return replace(
        system,
        positions=state.cluster["x"][:n].copy(),
        orientations=np.asarray(orientations),
        induced_dipoles=state.cluster["p"][:n].copy() if polarisable else None,
    )
