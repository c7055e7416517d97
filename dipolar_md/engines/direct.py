"""The closed forms as an engine that only evaluates: direct sums over all pairs, in plain numpy.

The reference that `dipolar-md verify` holds the other engines against; for a few thousand sites.
Ewald sums (conducting boundary) take the real space to half the shortest edge and all wave vectors
that matter at double precision, so their error is about 1e-9 of a contact.

Source: de Leeuw, Perram & Smith 1980, https://doi.org/10.1098/rspa.1980.0135 (charges);
Toukmaji et al. 2000, https://doi.org/10.1063/1.1324708 (dipoles).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import erf, erfc

from dipolar_md import theory
from dipolar_md.engines.capabilities import check_system
from dipolar_md.engines.protocol import Evaluation, Floats, Settings, gathered, named_energies
from dipolar_md.model.interactions import Interactions, kinds_of_sites, site_kinds
from dipolar_md.model.steric import site_energies, site_forces
from dipolar_md.model.system import System, rotated, wrap

Integers = NDArray[np.int64]

_SPLITTING = 4.8  # α r_c: erfc(4.8) = 1e-11
_WAVES_AT_ONCE = 256


@dataclass
class DirectEngine:
    """Direct sums; evaluates, never runs."""

    settings: Settings = field(default_factory=Settings)
    name: str = "direct"
    version: str = ""
    device: str = "cpu"

    def evaluate(self, system: System, interactions: Interactions) -> Evaluation:
        """Return energies, forces and torques of one configuration.

        Raises:
            InputError: the box is too small for the cutoff.
            UnsupportedError: charges without Ewald sum, films with one, tilted boxes.
        """
        check_system(system, interactions, self.name)
        sites = _Sites(system, interactions)
        parts = [sites.steric(), sites.wall(), sites.uniform_field()]
        long_range = interactions.electrostatics == "ewald"
        electric = sites.ewald() if long_range else sites.truncated()
        forces = sum((part.forces for part in parts), electric.forces)
        torques = sum((part.torques for part in parts), electric.torques)
        energies = sum((part.energies for part in parts), electric.energies)
        steric, wall, uniform = (float(part.energies.sum()) for part in parts)
        named = named_energies(steric, float(electric.energies.sum()), wall, uniform)
        return gathered(system, named, forces, torques, energies, long_range)


@dataclass
class _Acting:
    """Energies (M,), forces and torques (M, 3) on the sites by one term."""

    energies: Floats
    forces: Floats
    torques: Floats

    @classmethod
    def nothing(cls, count: int) -> "_Acting":
        return cls(np.zeros(count), np.zeros((count, 3)), np.zeros((count, 3)))


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
        self.charges = np.array([site.charge_e for _, site in site_kinds(system.bodies)])[
            self.kinds
        ]
        self.positions = wrap(system.positions, system.box)[self.owners] + system.site_arms
        self.dipoles = np.zeros((self.count, 3))
        point = system.per_cluster([body.point_dipole_e_nm for body in system.bodies])
        self.dipoles[:n] = rotated(system.orientations, point)

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

    def between(self, i: Integers, j: Integers, energies: Floats, force_on_j: Floats) -> _Acting:
        """Return a pair term, energies shared half and half."""
        found = _Acting.nothing(self.count)
        np.add.at(found.energies, i, energies / 2)
        np.add.at(found.energies, j, energies / 2)
        np.add.at(found.forces, j, force_on_j)
        np.add.at(found.forces, i, -force_on_j)
        return found

    def steric(self) -> _Acting:
        table = self.interactions.steric_table(self.system.bodies)
        reach = float(table.cutoff_nm.max())
        if not reach:
            return _Acting.nothing(self.count)
        i, j, steps, r = self.pairs(reach)
        pair = self.kinds[i], self.kinds[j]
        sigma, epsilon = table.sigma_nm[pair], table.epsilon_kJ_mol[pair]
        attractive = table.cutoff_nm[pair] > 2 * sigma
        energies = site_energies(r, sigma, epsilon, attractive)
        forces = (site_forces(r, sigma, epsilon, attractive) / r)[:, None] * steps
        return self.between(i, j, energies, forces)

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
        found, n = _Acting.nothing(self.count), len(self.system)
        strength = self.interactions.field_kJ_mol_e_nm
        moments = self.system.dipoles
        found.energies[:n] = -moments @ strength
        found.torques[:n] = np.cross(moments, strength)
        return found

    def truncated(self) -> _Acting:
        i, j, steps, r = self.pairs(self.interactions.cutoff_nm)
        n = len(self.system)
        both = (i < n) & (j < n) & (r < self.interactions.cutoff_nm)
        i, j, steps = i[both], j[both], steps[both]
        pair = theory.dipole_pair(
            steps, self.dipoles[i], self.dipoles[j], self.interactions.relative_permittivity
        )
        found = self.between(i, j, pair.energy, pair.force_on_b)
        np.add.at(found.torques, i, pair.torque_on_a)
        np.add.at(found.torques, j, pair.torque_on_b)
        return found

    def ewald(self) -> _Acting:
        cutoff = float(self.system.box[:3].min()) / 2
        alpha, constant = _SPLITTING / cutoff, self.interactions.coulomb_constant
        i, j, r_vec, r = self.pairs(cutoff)
        gauss = 2 * alpha / np.sqrt(np.pi) * np.exp(-((alpha * r) ** 2)) / r**2
        a = erfc(alpha * r) / r
        b = a / r**2 + gauss
        c = 3 * b / r**2 + 2 * alpha**2 * gauss
        d = 5 * c / r**2 + 4 * alpha**4 * gauss
        q, mu = self.charges, self.dipoles
        dots = np.einsum("ij,ij->i", mu[i], mu[j])
        mu_i, mu_j = (np.einsum("ij,ij->i", mu[k], r_vec) for k in (i, j))
        energies = q[i] * q[j] * a + dots * b - mu_i * mu_j * c
        along = q[i] * q[j] * b + dots * c - mu_i * mu_j * d
        forces = along[:, None] * r_vec + c[:, None] * (
            mu_j[:, None] * mu[i] + mu_i[:, None] * mu[j]
        )
        found = self.between(i, j, energies, forces)
        np.add.at(
            found.torques, j, np.cross(mu[j], (c * mu_i)[:, None] * r_vec - b[:, None] * mu[i])
        )
        np.add.at(
            found.torques, i, np.cross(mu[i], (c * mu_j)[:, None] * r_vec - b[:, None] * mu[j])
        )
        self._add_waves(found, alpha)
        found.energies -= alpha / np.sqrt(np.pi) * q**2
        found.energies -= 2 * alpha**3 / (3 * np.sqrt(np.pi)) * (mu**2).sum(axis=1)
        self._remove_bodies(found, alpha)
        return _Acting(constant * found.energies, constant * found.forces, constant * found.torques)

    def _add_waves(self, found: _Acting, alpha: float) -> None:
        """Add the reciprocal sum, over half of the wave vectors."""
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
            sources = (self.charges[:, None] + 1j * self.dipoles @ k.T) * phases
            back = w * np.conj(sources.sum(axis=0))
            found.energies += (sources * back).real.sum(axis=1) / 2
            found.forces += (sources * back).imag @ k
            field_on = (phases * back).imag @ k
            found.torques += np.cross(self.dipoles, field_on)

    def _remove_bodies(self, found: _Acting, alpha: float) -> None:
        """Take out what the waves count between the charges of one body: a constant."""
        charged = np.flatnonzero(self.charges)
        order = charged[np.argsort(self.owners[charged], kind="stable")]
        starts = np.flatnonzero(np.diff(self.owners[order], prepend=-1))
        for members in np.split(order, starts[1:]) if len(order) else []:
            i, j = (members[k] for k in np.triu_indices(len(members), 1))
            r = np.linalg.norm(self.positions[j] - self.positions[i], axis=1)
            inner = self.charges[i] * self.charges[j] * erf(alpha * r) / r
            np.add.at(found.energies, i, -inner / 2)
            np.add.at(found.energies, j, -inner / 2)
