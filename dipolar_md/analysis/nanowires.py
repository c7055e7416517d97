"""Statistics of the chains over the frames of a trajectory, each with an error where possible."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dipolar_md.analysis.chains import (
    CRITERIA,
    DEFAULT_CRITERION,
    ChainGraph,
    find_chains,
    find_neighbours,
    mean_length,
)
from dipolar_md.analysis.structure import nematic_order, polar_order
from dipolar_md.errors import InputError
from dipolar_md.model.outlook import contact_coupling
from dipolar_md.model.system import System
from dipolar_md.trajectory import Frame

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
BLOCKS = 5


class Estimate(NamedTuple):
    """A mean over frames and its standard error; None where one frame gives no error."""

    value: float
    error: float | None


def block_estimate(series: ArrayLike) -> Estimate:
    """Return the mean of a correlated series (F,) and its error from block means.

    The series is cut into at most five consecutive blocks; the error is the standard error of their
    means. It is too small where the series remembers longer than a block.
    """
    values = np.asarray(series, dtype=np.float64)
    if len(values) < 2:
        return Estimate(float(values.mean()), None)
    blocks = [block.mean() for block in np.array_split(values, min(BLOCKS, len(values)))]
    return Estimate(float(values.mean()), float(np.std(blocks, ddof=1) / np.sqrt(len(blocks))))


class ChainRow(NamedTuple):
    """One chain of one frame, a row of `chains.csv`."""

    frame: int
    time_ns: float
    chain: int
    kind: str
    n_clusters: int
    contour_length_nm: float
    end_to_end_nm: float


@dataclass(frozen=True, eq=False)
class NanowireStatistics:
    """What the analysed frames say about chains; every `Estimate` is a mean over frames.

    Attributes:
        cluster: the kinds of cluster, joined by ` + `.
        n_clusters: in each frame.
        n_frames: analysed frames.
        window_ns: times of the first and last of them.
        stage: their stage.
        temperature_K, relative_permittivity, concentration_mM: of the last frame.
        lambda_contact: mean over clusters of λ at their own axial contact.
        mean_chain_length, weight_mean_chain_length: number and weight mean; monomers count.
        max_chain_length: the longest chain of a frame.
        chained_fraction: clusters in chains of two or more; ring_fraction and branched_fraction
            (chains in which a cluster has more than two bonds) likewise.
        percolating: whether any chain of any frame wraps the periodic box.
        contour_mean_nm, contour_p95_nm, contour_max_nm: over the chains of two or more of a frame.
        spacing_median_nm: of bonded neighbours.
        persistence_length_nm: from the decay of tangent correlations along linear chains.
        polar_order, nematic_order: of the dipoles.
        mean_chain_length_by_criterion: number mean by each bond criterion.
        sizes, spacings_nm, reduced_energies: pooled over the frames.
        chains: every chain of two or more.
    """

    cluster: str
    n_clusters: int
    n_frames: int
    window_ns: tuple[float, float]
    stage: str
    temperature_K: float
    relative_permittivity: float
    concentration_mM: float
    lambda_contact: float
    mean_chain_length: Estimate
    weight_mean_chain_length: Estimate
    max_chain_length: Estimate
    chained_fraction: Estimate
    ring_fraction: Estimate
    branched_fraction: Estimate
    percolating: bool
    contour_mean_nm: Estimate | None
    contour_p95_nm: Estimate | None
    contour_max_nm: Estimate | None
    spacing_median_nm: Estimate | None
    persistence_length_nm: Estimate | None
    polar_order: Estimate
    nematic_order: Estimate
    mean_chain_length_by_criterion: dict[str, Estimate]
    sizes: Integers
    spacings_nm: Floats
    reduced_energies: Floats
    chains: tuple[ChainRow, ...]

    def spacing_percentile_nm(self, percent: float) -> float | None:
        """Return a percentile of the pooled bonded spacings, None without bonds."""
        return float(np.percentile(self.spacings_nm, percent)) if len(self.spacings_nm) else None

    def spacing_fraction(self, low_nm: float, high_nm: float) -> float | None:
        """Return the fraction of bonded spacings inside a range, None without bonds."""
        if not len(self.spacings_nm):
            return None
        return float(((self.spacings_nm >= low_nm) & (self.spacings_nm <= high_nm)).mean())

    def summary(self) -> dict[str, Any]:
        """Return the statistics under the keys of `summary.json`; errors under `…_err`."""
        table: dict[str, Any] = {
            "cluster": self.cluster,
            "n_clusters": self.n_clusters,
            "n_frames": self.n_frames,
            "window_ns": list(self.window_ns),
            "stage": self.stage,
            "time_ns": self.window_ns[1],
            "temperature_K": self.temperature_K,
            "relative_permittivity": self.relative_permittivity,
            "concentration_mM": self.concentration_mM,
            "lambda_contact": self.lambda_contact,
            "percolating": self.percolating,
        }
        for key in (
            "mean_chain_length",
            "weight_mean_chain_length",
            "max_chain_length",
            "chained_fraction",
            "ring_fraction",
            "branched_fraction",
            "persistence_length_nm",
            "polar_order",
            "nematic_order",
        ):
            table |= _named(key, getattr(self, key))
        table["contour_length_nm"] = (
            _named("mean", self.contour_mean_nm)
            | _named("p95", self.contour_p95_nm)
            | _named("max", self.contour_max_nm)
        )
        table["spacing_nm"] = _named("median", self.spacing_median_nm) | {
            f"p{percent:02d}": self.spacing_percentile_nm(percent) for percent in (5, 25, 75, 95)
        }
        by_criterion: dict[str, Any] = {}
        for name, estimate in self.mean_chain_length_by_criterion.items():
            by_criterion |= _named(name, estimate)
        table["mean_chain_length_by_criterion"] = by_criterion
        return table


def _named(key: str, estimate: Estimate | None) -> dict[str, float | None]:
    if estimate is None:
        return {key: None}
    table: dict[str, float | None] = {key: estimate.value}
    return table if estimate.error is None else table | {f"{key}_err": estimate.error}


class Growth(NamedTuple):
    """Mean chain length and environment along a trajectory, (F,) each."""

    time_ns: Floats
    mean_length: Floats
    relative_permittivity: Floats
    concentration_mM: Floats
    stage: tuple[str, ...]


def growth(trajectory: Sequence[Frame], criterion: str = DEFAULT_CRITERION) -> Growth:
    """Return the number-mean chain length along a trajectory."""
    rows = [
        (
            frame.time_ns,
            mean_length(find_neighbours(frame), len(frame.system), criterion),
            frame.relative_permittivity,
            frame.system.concentration_mM,
        )
        for frame in trajectory
    ]
    columns = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    time, length, permittivity, concentration = columns
    stages = tuple(frame.stage for frame in trajectory)
    return Growth(time, length, permittivity, concentration, stages)


def analysis_window(trajectory: Sequence[Frame], discard: float = 0.5) -> range:
    """Return the frames of the last stage without its first part.

    Args:
        trajectory: frames in order of time.
        discard: part of the stage that is left out as not equilibrated, 0 to below 1.

    Raises:
        InputError: no frames, or `discard` outside its range.
    """
    if not 0 <= discard < 1:
        raise InputError(f"discard must be at least 0 and below 1 (found {discard})")
    if not len(trajectory):
        raise InputError("the trajectory has no frames")
    stage = trajectory[-1].stage
    first = len(trajectory) - 1
    while first > 0 and trajectory[first - 1].stage == stage:
        first -= 1
    return range(first + int(discard * (len(trajectory) - first)), len(trajectory))


def nanowire_statistics(
    trajectory: Sequence[Frame],
    criterion: str = DEFAULT_CRITERION,
    discard: float = 0.5,
    progress: Callable[[int, int], None] | None = None,
) -> NanowireStatistics:
    """Return chain statistics of the last stage of a trajectory.

    Args:
        trajectory: frames in order of time; anyone's `Frame.from_arrays` too.
        criterion: bond criterion, a key of `CRITERIA`.
        discard: part of the last stage left out as not equilibrated.
        progress: called with (frames done, frames in all).

    Raises:
        InputError: no frames, an unknown criterion, or `discard` out of range.
    """
    window = analysis_window(trajectory, discard)
    graphs: list[ChainGraph] = []
    orders: list[tuple[float, float]] = []
    by_criterion: list[list[float]] = []
    rows: list[ChainRow] = []
    for done, index in enumerate(window, start=1):
        frame = trajectory[index]
        graph = find_chains(frame, criterion)
        n = len(frame.system)
        graphs.append(graph)
        orders.append((polar_order(frame.system), nematic_order(frame.system)))
        by_criterion.append([mean_length(graph.neighbours, n, name) for name in CRITERIA])
        rows += [
            ChainRow(
                index,
                frame.time_ns,
                chain,
                graph.kinds[chain],
                int(graph.sizes[chain]),
                float(graph.contour_nm[chain]),
                float(graph.end_to_end_nm[chain]),
            )
            for chain in range(int((graph.sizes > 1).sum()))
        ]
        if progress:
            progress(done, len(window))
    return NanowireStatistics(
        cluster=" + ".join(body.name for body in frame.system.bodies),
        n_clusters=n,
        n_frames=len(graphs),
        window_ns=(trajectory[window[0]].time_ns, frame.time_ns),
        stage=frame.stage,
        temperature_K=frame.temperature_K,
        relative_permittivity=frame.relative_permittivity,
        concentration_mM=frame.system.concentration_mM,
        lambda_contact=_coupling(frame.system, frame.relative_permittivity, frame.temperature_K),
        mean_chain_length=block_estimate([g.mean_length for g in graphs]),
        weight_mean_chain_length=block_estimate([g.weight_mean_length for g in graphs]),
        max_chain_length=block_estimate([g.sizes[0] for g in graphs]),
        chained_fraction=block_estimate([1 - g.fraction("monomer") for g in graphs]),
        ring_fraction=block_estimate([g.fraction("ring") for g in graphs]),
        branched_fraction=block_estimate([g.sizes[g.branched].sum() / n for g in graphs]),
        percolating=any("percolating" in g.kinds for g in graphs),
        contour_mean_nm=_chained(graphs, lambda lengths: float(lengths.mean())),
        contour_p95_nm=_chained(graphs, lambda lengths: float(np.percentile(lengths, 95))),
        contour_max_nm=_chained(graphs, lambda lengths: float(lengths.max())),
        spacing_median_nm=_over([float(np.median(g.spacings_nm)) for g in graphs if len(g.bonds)]),
        persistence_length_nm=_over(
            [length for g in graphs if (length := persistence_length_nm([g])) is not None]
        ),
        polar_order=block_estimate([polar for polar, _ in orders]),
        nematic_order=block_estimate([nematic for _, nematic in orders]),
        mean_chain_length_by_criterion={
            name: block_estimate(column)
            for name, column in zip(CRITERIA, np.array(by_criterion).T, strict=True)
        },
        sizes=np.concatenate([g.sizes for g in graphs]),
        spacings_nm=np.concatenate([g.spacings_nm for g in graphs]),
        reduced_energies=np.concatenate([g.neighbours.reduced_energy for g in graphs]),
        chains=tuple(rows),
    )


def _coupling(system: System, relative_permittivity: float, temperature_K: float) -> float:
    if not (relative_permittivity > 0 and temperature_K > 0):
        return float("nan")  # a frame of plain arrays, without an environment
    couplings = [contact_coupling(b, relative_permittivity, temperature_K) for b in system.bodies]
    return float(system.per_cluster(couplings).mean())


def energy_minimum(reduced_energies: ArrayLike) -> float | None:
    """Return the emptiest pair energy between bonded and unbonded pairs, in contact energies.

    The minimum of a smoothed histogram between its bonded peak (below -0.5) and -0.05; None where
    there are too few pairs to tell, or no minimum inside.
    """
    edges = np.linspace(-1.5, 0.0, 61)
    counts, _ = np.histogram(np.asarray(reduced_energies), edges)
    centres = (edges[1:] + edges[:-1]) / 2
    if counts[centres < -0.5].sum() < 200:
        return None
    smooth = np.convolve(counts, np.ones(5) / 5, mode="same")
    peak = int(np.argmax(np.where(centres < -0.5, smooth, 0)))
    last = int(np.searchsorted(centres, -0.05))
    lowest = peak + int(np.argmin(smooth[peak:last]))
    return float(centres[lowest]) if peak < lowest < last - 1 else None


def _over(series: list[float]) -> Estimate | None:
    return block_estimate(series) if series else None


def _chained(graphs: list[ChainGraph], statistic: Callable[[Floats], float]) -> Estimate | None:
    """Return a statistic of the contour lengths of the chains of two or more, over frames."""
    return _over([statistic(g.contour_nm[g.sizes > 1]) for g in graphs if g.sizes[0] > 1])


def persistence_length_nm(graphs: Sequence[ChainGraph], fewest: int = 50) -> float | None:
    """Return the persistence length P of linear chains from ⟨t(0)·t(s)⟩ = exp(-s/P).

    Tangents are unit bond vectors; the logarithm of their correlation is fitted through the origin
    over the separations where it exceeds 1/e and has at least `fewest` samples. None where no
    separation does.
    """
    sums, counts, spacing = np.zeros(64), np.zeros(64), []
    for graph in graphs:
        for kind, members in zip(graph.kinds, graph.members, strict=True):
            if kind != "linear" or len(members) < 3:
                continue
            steps = np.diff(graph.positions_nm[members], axis=0)
            lengths = np.linalg.norm(steps, axis=1)
            tangents = steps / lengths[:, None]
            spacing.append(lengths)
            for k in range(1, min(len(tangents), 64)):
                products = np.einsum("ij,ij->i", tangents[:-k], tangents[k:])
                sums[k] += products.sum()
                counts[k] += len(products)
    if not spacing:
        return None
    correlation = np.divide(sums, counts, out=np.zeros_like(sums), where=counts >= fewest)
    usable = 1
    while usable < len(correlation) and correlation[usable] > np.exp(-1):
        usable += 1
    if usable == 1:
        return None
    s = np.arange(1, usable) * float(np.concatenate(spacing).mean())
    decay = -np.log(np.minimum(correlation[1:usable], 1.0))
    slope = float((counts[1:usable] * s * decay).sum() / (counts[1:usable] * s**2).sum())
    return 1 / slope if slope > 0 else None
