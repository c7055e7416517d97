"""The closed forms as an engine that only evaluates: direct sums over all pairs, in plain numpy.

The reference that `dipolar-md verify` holds the other engines against; for a few thousand sites.
Ewald sums (conducting boundary) take the real space to half the shortest edge and all wave vectors
that matter at double precision, so their error is about 1e-9 of a contact. Truncated sums take all
of a pair of clusters whose centres are within the cutoff.

Induced dipoles p minimise Σ p²/(2α) + U(μ + p): a linear system, solved by conjugate gradients, in
which a direction that gains energy without end is a polarisation catastrophe. Then forces are those
at constant p, and torques act on the permanent moments alone.

Source: de Leeuw, Perram & Smith 1980, https://doi.org/10.1098/rspa.1980.0135 (charges);
Toukmaji et al. 2000, https://doi.org/10.1063/1.1324708 (dipoles, permanent and induced).
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import erfc

from dipolar_md import theory
from dipolar_md.engines.capabilities import check_system
from dipolar_md.engines.protocol import Evaluation, Floats, Settings, gathered, named_energies
from dipolar_md.errors import InputError
from dipolar_md.model.interactions import Interactions, kinds_of_sites, site_kinds
from dipolar_md.model.steric import site_energies, site_forces
from dipolar_md.model.system import System, rotated, wrap
from dipolar_md.units import KE

Integers = NDArray[np.int64]

_SPLITTING = 4.8  # α r_c: erfc(4.8) = 1e-11
_WAVES_AT_ONCE = 256
_RESIDUAL = 1e-13  # of the induced dipoles, relative; the energy's error goes with its square


@dataclass
class DirectEngine:
    """Direct sums; evaluates, never runs."""

    settings: Settings = field(default_factory=Settings)
    name: str = "direct"
    version: str = ""
    device: str = "cpu"

    def evaluate(self, system: System, interactions: Interactions) -> Evaluation:
        """Return energies, forces and torques of one configuration.

        Induced dipoles are those of the system, or self-consistent where it has none.

        Raises:
            InputError: the box is too small for the cutoff, or a polarisation catastrophe.
            UnsupportedError: charges without Ewald sum, films with one, tilted boxes.
        """
        check_system(system, interactions, self.name)
        sites = _Sites(system, interactions)
        parts = [sites.steric(), sites.wall(), sites.uniform_field()]
        steric, wall, uniform = (float(part.energies.sum()) for part in parts)
        electric = sites.electric(sites.dipoles)
        permanent = float(electric.energies.sum())
        induction = np.zeros(sites.count)
        if sites.polarisabilities.any():
            electric, induction = sites.polarised(electric)
        forces = sum((part.forces for part in parts), electric.forces)
        torques = sum((part.torques for part in parts), np.cross(sites.dipoles, electric.fields))
        energies = sum((part.energies for part in parts), electric.energies + induction)
        total = float(electric.energies.sum() + induction.sum())
        named = named_energies(steric, permanent, wall, uniform, total - permanent)
        long_range = interactions.electrostatics == "ewald"
        return gathered(system, named, forces, torques, energies, long_range)


def induced_dipoles(system: System, interactions: Interactions) -> Floats:
    """Return the self-consistent induced dipole (N, 3) of every cluster, e nm, space frame.

    Raises:
        InputError: the box is too small for the cutoff, or a polarisation catastrophe.
        UnsupportedError: what direct sums can't do.
    """
    check_system(system, interactions, "direct")
    sites = _Sites(system, interactions)
    found = sites.relaxed(sites.electric(sites.dipoles).fields + sites.strength)
    total = np.zeros((len(system), 3))
    np.add.at(total, sites.owners, found)
    return total


@dataclass
class _Acting:
    """Energies (M,), forces and torques (M, 3) on the sites by one term."""

    energies: Floats
    forces: Floats
    torques: Floats

    @classmethod
    def nothing(cls, count: int) -> "_Acting":
        return cls(np.zeros(count), np.zeros((count, 3)), np.zeros((count, 3)))


@dataclass
class _Electric:
    """Energies (M,), forces and fields (M, 3) at the sites."""

    energies: Floats
    forces: Floats
    fields: Floats

    @classmethod
    def nothing(cls, count: int) -> "_Electric":
        return cls(np.zeros(count), np.zeros((count, 3)), np.zeros((count, 3)))

    def scaled(self, factor: float) -> "_Electric":
        return _Electric(factor * self.energies, factor * self.forces, factor * self.fields)


class _Pairs(NamedTuple):
    """Pairs of sites i, j, separations from i to j, and what acts between their multipoles.

    a between charges, b, c and d with each further gradient: 1/r, 1/r³, 3/r⁵, 15/r⁷ in vacuum.
    """

    i: Integers
    j: Integers
    steps: Floats
    a: Floats
    b: Floats
    c: Floats
    d: Floats


class _Sites:
    """The sites of a system as arrays, in the order of `System.site_owners`."""

    def __init__(self, system: System, interactions: Interactions) -> None:
        self.system, self.interactions = system, interactions
        n = len(system)
        table = kinds_of_sites(system.bodies)
        self.owners = system.site_owners
        self.count = len(self.owners)
        first = [table[kind][0] for kind in system.types]
        rest = [kind for body in system.types for kind in table[body][1:]]
        self.kinds = np.array(first + rest)
        kinds = [site for _, site in site_kinds(system.bodies)]
        self.charges = np.array([site.charge_e for site in kinds])[self.kinds]
        self.arms = system.site_arms
        self.positions = wrap(system.positions, system.box)[self.owners] + self.arms
        self.dipoles = np.zeros((self.count, 3))
        point = system.per_cluster([body.point_dipole_e_nm for body in system.bodies])
        self.dipoles[:n] = rotated(system.orientations, point)
        self.polarisabilities = np.array([site.polarisability_nm3 for site in kinds])[self.kinds]
        self.damped = self.polarisabilities > 0
        central = [
            0.0 if b.polarisable_points.damped else b.polarisability_nm3 for b in system.bodies
        ]
        self.polarisabilities[:n] += system.per_cluster(central)
        self.strength = interactions.field_kJ_mol_e_nm

    def pairs(self, reach: float) -> tuple[Integers, Integers, Floats, Floats]:
        """Return i, j, separations from i to j and distances of pairs of different clusters."""
        edges = self.system.box[:3]
        inside = np.mod(self.positions, edges)
        inside[inside >= edges] = 0.0  # a tiny negative number rounds up to the edge
        found = cKDTree(inside, boxsize=edges).query_pairs(reach, output_type="ndarray")
        i, j = found.T
        different = self.owners[i] != self.owners[j]
        i, j = i[different], j[different]
        steps = wrap(self.positions[j] - self.positions[i], self.system.box)
        return i, j, steps, np.linalg.norm(steps, axis=1)

    def steric(self) -> _Acting:
        found = _Acting.nothing(self.count)
        table = self.interactions.steric_table(self.system.bodies)
        reach = float(table.cutoff_nm.max())
        if not reach:
            return found
        i, j, steps, r = self.pairs(reach)
        pair = self.kinds[i], self.kinds[j]
        sigma, epsilon = table.sigma_nm[pair], table.epsilon_kJ_mol[pair]
        attractive = table.cutoff_nm[pair] > 2 * sigma
        energies = site_energies(r, sigma, epsilon, attractive)
        forces = (site_forces(r, sigma, epsilon, attractive) / r)[:, None] * steps
        _share(found, i, j, energies, forces)
        return found

    def wall(self) -> _Acting:
        found = _Acting.nothing(self.count)
        if self.system.thickness_nm is None:
            return found
        tables = self.interactions.wall_table(self.system.bodies)
        sigma, epsilon, _ = (values[self.kinds] for values in tables)
        never = np.zeros(self.count, dtype=bool)
        for side in (1.0, -1.0):
            height = self.system.thickness_nm / 2 + side * self.positions[:, 2]
            found.energies += site_energies(height, sigma, epsilon, never)
            found.forces[:, 2] += side * site_forces(height, sigma, epsilon, never)
        return found

    def uniform_field(self) -> _Acting:
        """Return what the field does to the permanent dipoles."""
        found, n = _Acting.nothing(self.count), len(self.system)
        moments = self.system.dipoles
        found.energies[:n] = -moments @ self.strength
        found.torques[:n] = np.cross(moments, self.strength)
        return found

    # --- Induced dipoles ---

    def polarised(self, permanent: _Electric) -> tuple[_Electric, Floats]:
        """Return what acts with induced dipoles, and the energy (M,) of making them."""
        given = self.system.induced_dipoles
        if given is None:
            induced = self.relaxed(permanent.fields + self.strength)
        else:
            induced = self._given(given)
        whole = self.electric(self.dipoles + induced)
        damping = self._evaluated(self._damping, np.zeros(self.count), induced)
        damping = damping.scaled(self.interactions.coulomb_constant)
        whole.energies += damping.energies
        whole.forces += damping.forces
        whole.fields += damping.fields
        made = np.zeros(self.count)
        acts = self.polarisabilities > 0
        made[acts] = KE * (induced[acts] ** 2).sum(axis=1) / (2 * self.polarisabilities[acts])
        return whole, made - induced @ self.strength

    def _given(self, induced: Floats) -> Floats:
        n = len(self.system)
        if self.damped.any() or np.any(induced[self.polarisabilities[:n] == 0]):
            raise InputError(
                "System.induced_dipoles are those of bodies with polarisation = 'centre'; leave "
                "them out (None) where there are others"
            )
        return np.concatenate([induced, np.zeros((self.count - n, 3))])

    def relaxed(self, fields: Floats) -> Floats:
        """Return the induced dipoles (M, 3) in equilibrium with fields (M, 3) of all else."""
        acts = self.polarisabilities > 0
        stiffness = np.zeros((self.count, 1))
        stiffness[acts, 0] = KE / self.polarisabilities[acts]
        softness = np.zeros_like(stiffness)
        softness[acts] = 1 / stiffness[acts]

        def resistance(dipoles: Floats) -> Floats:
            answer = self.electric(dipoles, charges=False).fields
            damping = self._evaluated(self._damping, np.zeros(self.count), dipoles).fields
            answer = answer + self.interactions.coulomb_constant * damping
            return np.where(acts[:, None], stiffness * dipoles - answer, 0.0)

        induced = softness * fields
        residual = np.where(acts[:, None], fields, 0.0) - resistance(induced)
        first = float(((softness * fields) * fields).sum())
        direction = softness * residual
        left = float((residual * direction).sum())
        while left > _RESIDUAL**2 * first:
            resisted = resistance(direction)
            curvature = float((direction * resisted).sum())
            if curvature <= 0:
                raise InputError(self._catastrophe())
            induced = induced + left / curvature * direction
            residual = residual - left / curvature * resisted
            before, left = left, float((residual * softness * residual).sum())
            direction = softness * residual + left / before * direction
        return induced

    def _catastrophe(self) -> str:
        """Return what to say of dipoles that grow without end: the nearest pair that does it."""
        acts = np.flatnonzero(self.polarisabilities > 0)
        places = self.positions[acts]
        steps = wrap(places[:, None] - places, self.system.box)
        r = np.linalg.norm(steps, axis=-1)
        r[self.owners[acts][:, None] == self.owners[acts]] = np.inf
        one, other = np.unravel_index(int(np.argmin(r)), r.shape)
        distance = float(r[one, other])
        names = [
            self.system.bodies[self.system.types[self.owners[acts[k]]]].name for k in (one, other)
        ]
        allowed = self.interactions.relative_permittivity * theory.critical_polarisability(distance)
        return (
            f"polarisation catastrophe: induced dipoles grow without end; nearest are '{names[0]}' "
            f"({self.owners[acts[one]]}) and '{names[1]}' ({self.owners[acts[other]]}) at "
            f"{distance:.4g} nm, where a straight chain allows at most {allowed:.3g} nm3 each; "
            "lower polarisability_nm3, or use polarisation = 'sites', which is damped"
        )

    @cached_property
    def _damping(self) -> _Pairs:
        """What Thole's damping takes off the interaction of two induced dipoles."""
        i, j, steps, r = self._near
        both = self.damped[i] & self.damped[j]
        i, j, steps, r = i[both], j[both], steps[both], r[both]
        if not len(i):
            return _Pairs(i, j, steps, r, r, r, r)
        three, five, seven = theory.thole_damping(
            r, self.polarisabilities[i], self.polarisabilities[j]
        )
        return _Pairs(
            *(i, j, steps, np.zeros(len(r))),
            *((three - 1) / r**3, 3 * (five - 1) / r**5, 15 * (seven - 1) / r**7),
        )

    # --- Charges and dipoles ---

    def electric(self, dipoles: Floats, charges: bool = True) -> _Electric:
        """Return what charges and given dipoles (M, 3) do to each other."""
        q = self.charges if charges else np.zeros(self.count)
        if self.interactions.electrostatics == "ewald":
            found = self._ewald(q, dipoles)
        else:
            found = self._evaluated(self._truncated, q, dipoles)
        return found.scaled(self.interactions.coulomb_constant)

    @cached_property
    def _near(self) -> tuple[Integers, Integers, Floats, Floats]:
        """Pairs of sites with charges, dipoles or polarisabilities, of clusters within reach."""
        centres, n = wrap(self.system.positions, self.system.box), len(self.system)
        edges = self.system.box[:3]
        inside = np.mod(centres, edges)
        inside[inside >= edges] = 0.0
        reach = self.interactions.cutoff_nm
        if self.interactions.electrostatics == "ewald":
            reach = float(edges.min()) / 2
        tree = cKDTree(inside, boxsize=edges)
        one, other = tree.query_pairs(reach, output_type="ndarray").T
        gaps = wrap(centres[other] - centres[one], self.system.box)
        electric = (self.charges != 0) | (self.polarisabilities > 0)
        electric[:n] |= self.dipoles[:n].any(axis=1)
        members: list[list[int]] = [[] for _ in range(n)]
        for site in np.flatnonzero(electric):
            members[self.owners[site]].append(int(site))
        widest = max(map(len, members), default=0)
        table = np.array([m + [-1] * (widest - len(m)) for m in members]).reshape(n, widest)
        i, j = np.repeat(table[one], widest, axis=1), np.tile(table[other], widest)
        there = (i >= 0) & (j >= 0)
        pair = np.broadcast_to(np.arange(len(one))[:, None], i.shape)[there]
        i, j = i[there], j[there]
        steps = gaps[pair] + self.arms[j] - self.arms[i]
        return i, j, steps, np.linalg.norm(steps, axis=1)

    @cached_property
    def _truncated(self) -> _Pairs:
        i, j, steps, r = self._near
        return _Pairs(i, j, steps, 1 / r, 1 / r**3, 3 / r**5, 15 / r**7)

    def _evaluated(self, pairs: _Pairs, q: Floats, mu: Floats) -> _Electric:
        """Return what acts between charges q (M,) and dipoles mu (M, 3), without 1/4πε₀ε_r."""
        i, j, steps, a, b, c, d = pairs
        found = _Electric.nothing(self.count)
        dots = np.einsum("ij,ij->i", mu[i], mu[j])
        mu_i, mu_j = (np.einsum("ij,ij->i", mu[k], steps) for k in (i, j))
        mixed = q[j] * mu_i - q[i] * mu_j
        energies = q[i] * q[j] * a + (dots + mixed) * b - mu_i * mu_j * c
        along = q[i] * q[j] * b + (dots + mixed) * c - mu_i * mu_j * d
        sides = c * mu_j - b * q[j], c * mu_i + b * q[i]
        forces = along[:, None] * steps + sides[0][:, None] * mu[i] + sides[1][:, None] * mu[j]
        _share(found, i, j, energies, forces)
        np.add.at(found.fields, j, sides[1][:, None] * steps - b[:, None] * mu[i])
        np.add.at(found.fields, i, sides[0][:, None] * steps - b[:, None] * mu[j])
        return found

    @cached_property
    def _splitting(self) -> float:
        return 2 * _SPLITTING / float(self.system.box[:3].min())

    @cached_property
    def _real_space(self) -> tuple[_Pairs, _Pairs]:
        """The screened pairs of different clusters, and what waves count within clusters."""
        alpha = self._splitting
        cutoff = _SPLITTING / alpha
        i, j, steps, r = self.pairs(cutoff)
        between = _Pairs(i, j, steps, *_screened(r, alpha))
        order = np.argsort(self.owners, kind="stable")
        starts = np.flatnonzero(np.diff(self.owners[order], prepend=-1))
        inner = [
            np.stack([members[k] for k in np.triu_indices(len(members), 1)])
            for members in np.split(order, starts[1:])
            if len(members) > 1
        ]
        i, j = np.concatenate(inner, axis=1) if inner else np.zeros((2, 0), int)
        steps = self.arms[j] - self.arms[i]
        r = np.linalg.norm(steps, axis=1)
        apart = r > 1e-9  # a charge and a point polarisability at one place don't act on each other
        i, j, steps, r = i[apart], j[apart], steps[apart], r[apart]
        bare = (1 / r, 1 / r**3, 3 / r**5, 15 / r**7)
        lost = (x - y for x, y in zip(_screened(r, alpha), bare, strict=True))
        return between, _Pairs(i, j, steps, *lost)

    def _ewald(self, q: Floats, mu: Floats) -> _Electric:
        alpha = self._splitting
        between, within = self._real_space
        found = self._evaluated(between, q, mu)
        self._add_waves(found, q, mu)
        inner = self._evaluated(within, q, mu)
        found.energies += inner.energies - alpha / np.sqrt(np.pi) * q**2
        found.energies -= 2 * alpha**3 / (3 * np.sqrt(np.pi)) * (mu**2).sum(axis=1)
        found.forces += inner.forces
        found.fields += inner.fields + 4 * alpha**3 / (3 * np.sqrt(np.pi)) * mu
        return found

    def _add_waves(self, found: _Electric, q: Floats, mu: Floats) -> None:
        """Add the reciprocal sum, over half of the wave vectors."""
        alpha = self._splitting
        edges = self.system.box[:3]
        most = np.ceil(_SPLITTING * alpha * edges / np.pi).astype(int)
        grid = np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij")
        numbers = np.stack(grid, axis=-1).reshape(-1, 3)
        numbers = numbers[len(numbers) // 2 + 1 :]  # the other half is their negatives
        waves = 2 * np.pi * numbers / edges
        squares = (waves**2).sum(axis=1)
        waves, squares = (
            values[squares < (2 * _SPLITTING * alpha) ** 2] for values in (waves, squares)
        )
        weights = 8 * np.pi / self.system.volume_nm3 * np.exp(-squares / (4 * alpha**2)) / squares
        for start in range(0, len(waves), _WAVES_AT_ONCE):
            k, w = waves[start : start + _WAVES_AT_ONCE], weights[start : start + _WAVES_AT_ONCE]
            phases = np.exp(1j * self.positions @ k.T)
            sources = (q[:, None] + 1j * mu @ k.T) * phases
            back = w * np.conj(sources.sum(axis=0))
            found.energies += (sources * back).real.sum(axis=1) / 2
            found.forces += (sources * back).imag @ k
            found.fields += (phases * back).imag @ k


def _screened(r: Floats, alpha: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Return erfc(αr)/r and its further gradients, as in `_Pairs`."""
    gauss = 2 * alpha / np.sqrt(np.pi) * np.exp(-((alpha * r) ** 2)) / r**2
    a = erfc(alpha * r) / r
    b = a / r**2 + gauss
    c = 3 * b / r**2 + 2 * alpha**2 * gauss
    d = 5 * c / r**2 + 4 * alpha**4 * gauss
    return a, b, c, d


def _share(
    found: "_Acting | _Electric", i: Integers, j: Integers, energies: Floats, force_on_j: Floats
) -> None:
    """Add a pair term, energies shared half and half."""
    np.add.at(found.energies, i, energies / 2)
    np.add.at(found.energies, j, energies / 2)
    np.add.at(found.forces, j, force_on_j)
    np.add.at(found.forces, i, -force_on_j)
