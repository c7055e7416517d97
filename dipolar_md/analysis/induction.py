"""Total dipoles of polarisable clusters by place in the chain, and what their energy is made of.

A cluster inside a chain feels neighbours on both sides, so its induced dipole is larger than that
of a cluster at the end. A place is counted from the nearer end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dipolar_md.analysis.bonds import DEFAULT_CRITERION
from dipolar_md.analysis.chains import ChainGraph, find_chains
from dipolar_md.analysis.timeseries import Estimate, mean_estimate
from dipolar_md.errors import InputError
from dipolar_md.model.system import System
from dipolar_md.trajectory import Configuration, Frame, Frames, frames_of, system_of
from dipolar_md.units import DEBYE

Floats = NDArray[np.float64]

PLACES = ("alone", "end", "second", "third", "fourth", "inner", "ring", "branched")
"""Where a cluster may be: in a linear chain counted from the nearer end, `inner` from the fifth on;
`branched` are all clusters of branched and percolating chains."""

_ENERGIES = {"steric": "steric", "electrostatic": "permanent", "induction": "induction"}
_PERCENT = (5, 25, 50, 75, 95)


class DipolesAt(NamedTuple):
    """Dipoles of the clusters at one place, over all frames.

    Attributes:
        total_D: Magnitude of permanent and induced dipole together, debye.
        induced_D: Induced dipole along the permanent one, debye; thermal fluctuations average out.
        percentiles_D: 5, 25, 50, 75 and 95 % of the magnitudes, debye.
        n_clusters: Number of clusters in all frames.
    """

    total_D: Estimate
    induced_D: Estimate
    percentiles_D: tuple[float, ...]
    n_clusters: int


@dataclass(frozen=True)
class ClusterDipoles:
    """What polarisable clusters do to each other, over several frames.

    Attributes:
        n_frames: Number of frames that recorded the dipoles.
        permanent_D: Mean permanent dipole of the polarisable clusters, debye.
        places: Dipoles by place, those of `PLACES` that occur.
        energies_kJ_mol: Mean energy per cluster, kJ/mol: steric, permanent (between permanent
            dipoles) and induction (all that induced dipoles add, what it costs to make them
            included); empty where no frame recorded energies.
    """

    n_frames: int
    permanent_D: float
    places: dict[str, DipolesAt]
    energies_kJ_mol: dict[str, Estimate]

    def summary(self) -> dict[str, Any]:
        """Return the dipoles and energies as plain values.

        Returns:
            Values by the keys of `summary.json`; errors under `…_err`.
        """
        return {
            "n_frames": self.n_frames,
            "permanent_dipole_D": self.permanent_D,
            "places": {
                place: {
                    "total_dipole_D": found.total_D.value,
                    "total_dipole_D_err": found.total_D.error,
                    "induced_dipole_D": found.induced_D.value,
                    "induced_dipole_D_err": found.induced_D.error,
                    **dict(zip((f"p{k:02d}" for k in _PERCENT), found.percentiles_D, strict=True)),
                    "n_clusters": found.n_clusters,
                }
                for place, found in self.places.items()
            },
            "energy_per_cluster_kJ_mol": {
                key: value
                for name, energy in self.energies_kJ_mol.items()
                for key, value in ((name, energy.value), (f"{name}_err", energy.error))
            },
        }


def cluster_dipoles(
    frames: Configuration | Frames, criterion: str = DEFAULT_CRITERION
) -> ClusterDipoles:
    """Return the total dipoles of polarisable clusters by place, and their energies.

    μ + p of each cluster; ends have one neighbour, clusters inside two

    Frames that didn't record induced dipoles are left out, and so are clusters that aren't
    polarisable.

    Args:
        frames: A frame or a system, frames in order of time, a run, its directory or a trajectory
            file; with induced dipoles.
        criterion: Bond criterion, see `find_chains`.

    Returns:
        `ClusterDipoles`.

    Raises:
        InputError: no frame recorded induced dipoles, or an unknown criterion.
    """
    records = [_record(frame, criterion) for frame in _with_induced(frames)]
    if not records:
        raise InputError(
            "no frame has induced dipoles: runs with polarisation = 'centre' record them, and "
            "System.induced_dipoles takes them"
        )
    found = {
        place: _dipoles_at(number, records)
        for number, place in enumerate(PLACES)
        if any((record.place == number).any() for record in records)
    }
    permanent = np.mean([record.permanent_D for record in records])
    return ClusterDipoles(len(records), float(permanent), found, _energies(records))


class _Record(NamedTuple):
    """What is kept of a frame: of K polarisable clusters, and of all."""

    place: NDArray[np.int64]
    total_D: Floats
    induced_D: Floats
    permanent_D: float
    energies_kJ_mol: dict[str, float]


def _with_induced(frames: Configuration | Frames) -> Iterator[Configuration]:
    """Yield the frames that know the induced dipoles of their clusters."""
    several = [frames] if isinstance(frames, Frame | System) else frames_of(frames)
    for frame in several:
        system = system_of(frame)
        if system.induced_dipoles is not None and _polarisable(system).any():
            yield frame


def _polarisable(system: System) -> NDArray[np.bool_]:
    alphas = system.per_cluster([body.polarisability_nm3 for body in system.bodies])
    return np.asarray(alphas > 0)


def _record(frame: Configuration, criterion: str) -> _Record:
    system = system_of(frame)
    soft = _polarisable(system)
    total, permanent = system.total_dipoles[soft] / DEBYE, system.dipoles[soft] / DEBYE
    strength = np.linalg.norm(permanent, axis=1)
    along = ((total - permanent) * permanent).sum(axis=1) / strength
    energies = frame.energies if isinstance(frame, Frame) else {}
    per_cluster = {
        name: energies[key] / len(system)
        for key, name in _ENERGIES.items()
        if np.isfinite(energies.get(key, np.nan))
    }
    return _Record(
        places_in_chains(find_chains(system, criterion))[soft],
        np.linalg.norm(total, axis=1),
        along,
        float(strength.mean()),
        per_cluster,
    )


def places_in_chains(graph: ChainGraph) -> NDArray[np.int64]:
    """Return the place of every cluster.

    Args:
        graph: Chain graph of a frame.

    Returns:
        (N,) numbers of `PLACES`.
    """
    sizes = graph.sizes
    along = np.arange(len(graph.order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    from_end = np.minimum(along, np.repeat(sizes, sizes) - 1 - along)
    inner, kinds = PLACES.index("inner"), np.repeat(graph.kinds, sizes)
    place = np.minimum(from_end + PLACES.index("end"), inner)
    place[kinds == "monomer"] = PLACES.index("alone")
    place[kinds == "ring"] = PLACES.index("ring")
    place[(kinds == "branched") | (kinds == "percolating")] = PLACES.index("branched")
    found = np.empty_like(place)
    found[graph.order] = place
    return np.asarray(found, dtype=np.int64)


def _dipoles_at(number: int, records: Sequence[_Record]) -> DipolesAt:
    """Return the dipoles at a place, means over the frames where it occurs."""
    totals = [record.total_D[record.place == number] for record in records]
    induced = [record.induced_D[record.place == number] for record in records]
    total, along = (
        mean_estimate([float(values.mean()) for values in column if len(values)])[0]
        for column in (totals, induced)
    )
    pooled = np.concatenate(totals)
    spread = tuple(float(value) for value in np.percentile(pooled, _PERCENT))
    return DipolesAt(total, along, spread, len(pooled))


def _energies(records: Sequence[_Record]) -> dict[str, Estimate]:
    """Return the mean energies per cluster over the frames that recorded them."""
    found = {}
    for name in _ENERGIES.values():
        known = [r.energies_kJ_mol[name] for r in records if name in r.energies_kJ_mol]
        if known:
            found[name] = mean_estimate(known)[0]
    return found
