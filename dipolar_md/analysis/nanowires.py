"""Statistics of the chains over the frames of a trajectory, each with an error where possible."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dipolar_md.analysis.bonds import CRITERIA, DEFAULT_CRITERION
from dipolar_md.analysis.bundles import find_bundles
from dipolar_md.analysis.chains import ChainGraph, find_chains, mean_length
from dipolar_md.analysis.stiffness import (
    TangentCorrelation,
    end_to_end_persistence_nm,
    persistence_length_nm,
    tangent_correlation,
)
from dipolar_md.analysis.structure import nematic_order, polar_order
from dipolar_md.analysis.timeseries import (
    Equilibration,
    Estimate,
    distribution,
    equilibration,
    lifetime_ns,
    mean_estimate,
)
from dipolar_md.errors import InputError
from dipolar_md.model.expectation import contact_coupling
from dipolar_md.model.system import System
from dipolar_md.trajectory import Frame, Frames, frames_of

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
MOST_SAMPLES = 4_000_000
"""Spacings, and pair energies, that are pooled over frames; more are thinned evenly."""


class ChainRow(NamedTuple):
    """One chain of one frame, a row of `chains.csv`.

    Attributes:
        frame: Number of the frame in the trajectory.
        time_ns: Time of the frame, ns.
        chain: Number of the chain in the frame, the longest first.
        kind: Kind of the chain, see `ChainGraph.kinds`.
        n_clusters: Number of clusters.
        contour_length_nm: Length along the bonds, nm.
        end_to_end_nm: Straight distance between the ends, nm.
    """

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
        cluster: Kinds of cluster, joined by ` + `.
        n_clusters: Number of clusters in each frame.
        n_frames: Number of analysed frames.
        equilibration: Whether the mean chain length has settled over the last stage, and from where
            on; its `start` counts from the first frame of that stage.
        independent_samples: Number of independent samples of each mean, by its key in
            `summary.json`.
        window_ns: Times of the first and last analysed frame, ns.
        stage: Name of their stage.
        temperature_K: Temperature of the last frame, K.
        relative_permittivity: ε_r of the last frame.
        concentration_mM: Clusters per volume of the last frame, mmol/L.
        lambda_contact: Mean over clusters of λ at their own axial contact.
        mean_chain_length: Number mean, clusters; monomers count.
        weight_mean_chain_length: Weight mean, clusters.
        max_chain_length: Longest chain of a frame, clusters.
        chained_fraction: Fraction of clusters in chains of two or more.
        ring_fraction: Fraction of clusters in rings.
        branched_fraction: Fraction of clusters in chains in which one has more than two bonds.
        percolating: Whether any chain of any frame wraps the periodic box.
        contour_mean_nm: Mean length along the chains of two or more of a frame, nm.
        contour_p95_nm: Its 95th percentile, nm.
        contour_max_nm: Its maximum, nm.
        end_to_end_mean_nm: Mean straight distance between the ends of the same chains, nm.
        radius_of_gyration_mean_nm: Mean radius of gyration of the same chains, nm; percolating ones
            have none.
        spacing_median_nm: Median spacing of bonded neighbours, nm.
        projected_spacing_median_nm: The same seen along z as on a micrograph, nm.
        persistence_length_nm: Persistence length from the decay of tangent correlations along
            linear chains, nm.
        persistence_length_end_to_end_nm: Persistence length from the worm-like chain's end-to-end
            distance, nm.
        bond_lifetime_ns: Mean life of a bond, ns of simulated time, which is physical only where
            the friction is.
        chain_lifetime_ns: Mean life of a chain that neither gains nor loses a cluster, likewise.
        bundled_fraction: Fraction of clusters in bundles of two chains or more.
        parallel_fraction: Fraction of contacts between chains of a bundle with parallel dipoles.
        lateral_spacing_nm: Median lateral distance of these contacts, nm.
        polar_order: Polar order P1 of the dipoles.
        nematic_order: Nematic order P2 of the dipoles.
        mean_chain_length_by_criterion: Number mean by each bond criterion, clusters.
        sizes: (K,) clusters of each chain, pooled over the frames.
        spacings_nm: (K,) bonded spacings, nm, pooled and thinned evenly to `MOST_SAMPLES`.
        projected_spacings_nm: (K,) the same spacings seen along z, nm.
        reduced_energies: (K,) pair energies in contact energies, pooled and thinned likewise.
        chain_counts: (n_frames,) number of chains of each frame among `sizes`.
        tangents: Correlation of tangents along linear chains.
        chains: Every chain of two or more.
    """

    cluster: str
    n_clusters: int
    n_frames: int
    equilibration: Equilibration
    independent_samples: dict[str, float]
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
    end_to_end_mean_nm: Estimate | None
    radius_of_gyration_mean_nm: Estimate | None
    spacing_median_nm: Estimate | None
    projected_spacing_median_nm: Estimate | None
    persistence_length_nm: Estimate | None
    persistence_length_end_to_end_nm: Estimate | None
    bond_lifetime_ns: Estimate | None
    chain_lifetime_ns: Estimate | None
    bundled_fraction: Estimate
    parallel_fraction: Estimate | None
    lateral_spacing_nm: Estimate | None
    polar_order: Estimate
    nematic_order: Estimate
    mean_chain_length_by_criterion: dict[str, Estimate]
    sizes: Integers
    spacings_nm: Floats
    projected_spacings_nm: Floats
    reduced_energies: Floats
    chain_counts: Integers
    tangents: TangentCorrelation
    chains: tuple[ChainRow, ...]

    def __repr__(self) -> str:
        first, last = self.window_ns
        return (
            f"<NanowireStatistics of {self.n_clusters} x {self.cluster}, {self.n_frames} frames at "
            f"{first:g}-{last:g} ns: mean chain length {self.mean_chain_length}>"
        )

    def spacing_percentile_nm(self, percent: float) -> float | None:
        """Return a percentile of the pooled bonded spacings.

        Args:
            percent: Percentile, 0 to 100.

        Returns:
            The percentile in nm; None without bonds.
        """
        return float(np.percentile(self.spacings_nm, percent)) if len(self.spacings_nm) else None

    def spacing_fraction(self, low_nm: float, high_nm: float) -> float | None:
        """Return the fraction of bonded spacings inside a range.

        Args:
            low_nm: Lower limit of the range, nm.
            high_nm: Upper limit of the range, nm.

        Returns:
            The fraction; None without bonds.
        """
        if not len(self.spacings_nm):
            return None
        return float(((self.spacings_nm >= low_nm) & (self.spacings_nm <= high_nm)).mean())

    def length_fractions(self) -> dict[int, Estimate]:
        """Return the fraction of chains, by number, of up to 1, 2, 4, 8 … clusters.

        Returns:
            Fractions by the length of the longest chain counted; those of the key before are not
            among them. Errors are a quarter of the 95 % band of `distribution`, None where it has
            none.
        """
        longest = 2 ** np.arange(int(np.ceil(np.log2(self.sizes.max()))) + 1)
        edges = np.concatenate([[0.5], longest + 0.5])
        frames = np.split(self.sizes, np.cumsum(self.chain_counts)[:-1])
        band = distribution(frames, edges, self.equilibration.inefficiency_frames)
        width = np.diff(edges)
        fraction, error = band.density * width, (band.high - band.low) / 4 * width
        return {
            int(n): Estimate(float(f), float(e) if np.isfinite(e) else None)
            for n, f, e in zip(longest, fraction, error, strict=True)
        }

    def summary(self) -> dict[str, Any]:
        """Return the statistics as plain values.

        Returns:
            Values by the keys of `summary.json`; errors under `…_err`.
        """
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
            "equilibrated": self.equilibration.equilibrated,
            "equilibration_note": self.equilibration.reason,
            "statistical_inefficiency_frames": self.equilibration.inefficiency_frames,
            "independent_samples": self.independent_samples,
        }
        for key in (
            "mean_chain_length",
            "weight_mean_chain_length",
            "max_chain_length",
            "chained_fraction",
            "ring_fraction",
            "branched_fraction",
            "persistence_length_nm",
            "persistence_length_end_to_end_nm",
            "polar_order",
            "nematic_order",
            "end_to_end_mean_nm",
            "radius_of_gyration_mean_nm",
            "projected_spacing_median_nm",
            "bond_lifetime_ns",
            "chain_lifetime_ns",
            "bundled_fraction",
            "parallel_fraction",
            "lateral_spacing_nm",
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


def analysis_window(trajectory: Sequence[Frame], discard: float = 0.5) -> range:
    """Return the frames of the last stage without its first part.

    Args:
        trajectory: Frames in order of time.
        discard: Part of the stage that is left out as not equilibrated, 0 to below 1.

    Returns:
        The numbers of the frames.

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


class _Record(NamedTuple):
    """What is kept of a frame: one number per statistic, and samples."""

    time_ns: float
    mean_chain_length: float
    numbers: dict[str, float | None]
    percolating: bool
    sizes: Integers
    spacings_nm: Floats
    projected_spacings_nm: Floats
    reduced_energies: Floats
    bonds: Integers
    chains: Integers
    tangents: TangentCorrelation
    rows: list[ChainRow]


def nanowire_statistics(
    trajectory: Frames,
    criterion: str = DEFAULT_CRITERION,
    discard: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NanowireStatistics:
    """Return chain statistics of the last stage of a trajectory.

    Frames are read one at a time and what is kept of each is bounded. Errors are s·√(g/F) with the
    statistical inefficiency g of each series, or block errors below ten frames.

    Args:
        trajectory: Frames in order of time (anyone's `Frame.from_arrays` too), a run, its directory
            or a trajectory file.
        criterion: Bond criterion, see `find_chains`.
        discard: Part of the last stage left out as not equilibrated; default, all up to the point
            from which the mean chain length is stationary (half of fewer than ten frames).
        progress: Function called with (frames done, frames in all).

    Returns:
        `NanowireStatistics`.

    Raises:
        InputError: no frames, an unknown criterion, or `discard` out of range.
    """
    frames = frames_of(trajectory)
    window = analysis_window(frames, 0.0 if discard is None else discard)
    records: list[_Record] = []
    for done, index in enumerate(window, start=1):
        frame = frames[index]
        records.append(_record(frame, index, criterion, len(window)))
        if progress:
            progress(done, len(window))
    settled = equilibration([record.mean_chain_length for record in records])
    records = records[settled.start if discard is None else 0 :]
    means, independent = _means(records)
    return NanowireStatistics(
        cluster=" + ".join(body.name for body in frame.system.bodies),
        n_clusters=len(frame.system),
        n_frames=len(records),
        equilibration=settled,
        independent_samples=independent,
        window_ns=(records[0].time_ns, records[-1].time_ns),
        stage=frame.stage,
        temperature_K=frame.temperature_K,
        relative_permittivity=frame.relative_permittivity,
        concentration_mM=frame.system.concentration_mM,
        lambda_contact=_coupling(frame.system, frame.relative_permittivity, frame.temperature_K),
        mean_chain_length_by_criterion={name: means.pop(name) for name in CRITERIA},
        **means,
        **_pooled(records),
    )


def _means(records: Sequence[_Record]) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the mean of each number over the frames that have it, and its independent samples."""
    means: dict[str, Any] = {}
    independent: dict[str, float] = {}
    for key in records[0].numbers:
        means[key] = None
        if known := [value for r in records if (value := r.numbers[key]) is not None]:
            means[key], independent[key] = mean_estimate(known)
    return means, independent


def _pooled(records: Sequence[_Record]) -> dict[str, Any]:
    """Return what is pooled over frames, by the attributes of `NanowireStatistics`."""
    times = [record.time_ns for record in records]
    samples = ("sizes", "spacings_nm", "projected_spacings_nm", "reduced_energies")
    return {
        **{key: np.concatenate([getattr(record, key) for record in records]) for key in samples},
        "percolating": any(record.percolating for record in records),
        "bond_lifetime_ns": lifetime_ns([record.bonds for record in records], times),
        "chain_lifetime_ns": lifetime_ns([record.chains for record in records], times),
        "chain_counts": np.array([len(record.sizes) for record in records]),
        "tangents": _pooled_tangents([record.tangents for record in records]),
        "chains": tuple(row for record in records for row in record.rows),
    }


def _record(frame: Frame, index: int, criterion: str, n_frames: int) -> _Record:
    """Return what is kept of frame `index`, one of `n_frames`."""
    system, n = frame.system, len(frame.system)
    graph = find_chains(frame, criterion)
    bundles = find_bundles(frame, graph)
    chained = graph.sizes > 1
    contour, straight = graph.contour_nm[chained], graph.end_to_end_nm[chained]
    radii = graph.radius_of_gyration_nm[chained]
    radii = radii[np.isfinite(radii)]
    i, j = graph.bonds.T
    projected = np.linalg.norm(graph.bond_vectors_nm[:, :2], axis=1)
    some = slice(None, None, max(1, len(i) * n_frames // MOST_SAMPLES))
    few = slice(None, None, max(1, len(graph.neighbours.pairs) * n_frames // MOST_SAMPLES))
    numbers: dict[str, float | None] = {
        "mean_chain_length": graph.mean_length,
        "weight_mean_chain_length": graph.weight_mean_length,
        "max_chain_length": float(graph.sizes[0]),
        "chained_fraction": 1 - graph.fraction("monomer"),
        "ring_fraction": graph.fraction("ring"),
        "branched_fraction": float(graph.sizes[graph.branched].sum() / n),
        "contour_mean_nm": _of(np.mean, contour),
        "contour_p95_nm": _of(lambda lengths: np.percentile(lengths, 95), contour),
        "contour_max_nm": _of(np.max, contour),
        "end_to_end_mean_nm": _of(np.mean, straight),
        "radius_of_gyration_mean_nm": _of(np.mean, radii),
        "spacing_median_nm": _of(np.median, graph.spacings_nm),
        "projected_spacing_median_nm": _of(np.median, projected),
        "persistence_length_nm": persistence_length_nm([graph]),
        "persistence_length_end_to_end_nm": end_to_end_persistence_nm([graph], fewest=10),
        "bundled_fraction": bundles.bundled_fraction,
        "parallel_fraction": bundles.parallel_fraction,
        "lateral_spacing_nm": _of(np.median, bundles.lateral_nm),
        "polar_order": polar_order(system),
        "nematic_order": nematic_order(system),
        **{name: mean_length(graph.neighbours, n, name) for name in CRITERIA},
    }
    bonds = i * n + j
    return _Record(
        time_ns=frame.time_ns,
        mean_chain_length=graph.mean_length,
        numbers=numbers,
        percolating=bool(graph.wraps.any()),
        sizes=graph.sizes,
        spacings_nm=graph.spacings_nm[some],
        projected_spacings_nm=projected[some],
        reduced_energies=graph.neighbours.reduced_energy[few],
        bonds=bonds[bonds % max(1, n * n_frames // MOST_SAMPLES) == 0],  # the same ones throughout
        chains=_signatures(graph)[chained],
        tangents=tangent_correlation([graph]),
        rows=[
            ChainRow(
                index,
                frame.time_ns,
                chain,
                graph.kinds[chain],
                int(graph.sizes[chain]),
                float(graph.contour_nm[chain]),
                float(graph.end_to_end_nm[chain]),
            )
            for chain in range(len(contour))
        ],
    )


def _signatures(graph: ChainGraph) -> Integers:
    """Return a number (C,) for each chain that only the same clusters give (but for 1 in 10¹⁸)."""
    marks = np.random.default_rng(0).integers(0, 2**63, len(graph.order), dtype=np.int64)
    starts = np.cumsum(graph.sizes) - graph.sizes
    return np.asarray(np.add.reduceat(marks[graph.order], starts), dtype=np.int64)


def _pooled_tangents(parts: Sequence[TangentCorrelation]) -> TangentCorrelation:
    """Return the tangent correlation of all frames."""
    longest = max(parts, key=lambda part: len(part.samples))
    sums, samples = np.zeros(len(longest.samples)), np.zeros(len(longest.samples), dtype=np.int64)
    for part in parts:
        sums[: len(part.samples)] += part.correlation * part.samples
        samples[: len(part.samples)] += part.samples
    return TangentCorrelation(longest.separation_nm, sums / np.maximum(samples, 1), samples)


def _coupling(system: System, relative_permittivity: float, temperature_K: float) -> float:
    if not (relative_permittivity > 0 and temperature_K > 0):
        return float("nan")  # a frame of plain arrays, without an environment
    couplings = [contact_coupling(b, relative_permittivity, temperature_K) for b in system.bodies]
    return float(system.per_cluster(couplings).mean())


def _of(statistic: Callable[[Floats], Any], values: Floats) -> float | None:
    """Return a statistic of values, None of none."""
    return float(statistic(values)) if len(values) else None
