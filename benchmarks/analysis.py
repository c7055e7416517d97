"""Speed and memory of the chain graph, beside a networkx pipeline on the same frame.

Frames hold straight chains of 20 clusters, shuffled in memory and in place, so that bonds cross the
periodic box. "Chain graph" is the whole of `find_chains`: bonds, order, kinds, contours, unwrapped
positions; "search alone" is a distance search by freud and its connected components, no more. The
networkx pipeline finds the same pairs with `scipy.spatial.cKDTree`, takes the same
energies, and does the rest per component in networkx: kinds, order, unwrapped positions, contours.
Its answers are checked against the chain graph's. Runs alternate; medians are printed as a table
and as JSON. Nothing is asserted: times belong to a machine.

    python benchmarks/analysis.py [--clusters 1000000] [--repeats 5] [--networkx 100000]
"""

import resource
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import freud
import networkx as nx
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from timing import arguments, finish

import dipolar_md as dm
from dipolar_md.analysis.bonds import CRITERIA
from dipolar_md.engines.versions import version_of
from dipolar_md.model.system import align_z

CHAIN, SPACING_NM = 20, 1.85


def frame_of(clusters: int, seed: int = 1) -> dm.System:
    """Return chains of 20 clusters in random directions on a lattice, across the box's faces."""
    rng = np.random.default_rng(seed)
    chains = clusters // CHAIN
    side = int(np.ceil(np.cbrt(chains)))
    edge = (CHAIN + 3) * SPACING_NM
    places = np.stack(np.unravel_index(rng.permutation(side**3)[:chains], (side,) * 3), axis=1)
    axis = rng.normal(size=(chains, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    along = SPACING_NM * (np.arange(CHAIN) - (CHAIN - 1) / 2)
    positions = places[:, None] * edge + along[None, :, None] * axis[:, None]
    positions += rng.normal(0, 0.04, positions.shape)
    shuffled = rng.permutation(chains * CHAIN)
    return dm.Frame.from_arrays(
        (side * edge,) * 3,
        positions.reshape(-1, 3)[shuffled],
        np.repeat(align_z(axis), CHAIN, axis=0)[shuffled],
        "r-au-cu",
    ).system


class Chain(NamedTuple):
    """What the chain graph says of each chain, by networkx."""

    kind: str
    members: list[int]
    contour_nm: float
    end_to_end_nm: float


def by_networkx(system: dm.System) -> list[Chain]:
    """Return kind, order, contour and end-to-end distance of every chain, by cKDTree and networkx.

    Nothing is presumed about the chains: rings, branches and percolation are looked for, positions
    are unwrapped along the bonds and contours are the longest shortest paths.
    """
    body = system.bodies[0]
    contact, box = body.axial_contact_nm, system.box[:3]
    reach, energy = CRITERIA["energy_0.5"]
    tree = cKDTree(np.mod(system.positions + box / 2, box), boxsize=box)
    i, j = tree.query_pairs(reach * contact, output_type="ndarray").T
    apart = system.positions[j] - system.positions[i]
    apart -= box * np.rint(apart / box)
    distance = np.linalg.norm(apart, axis=1)
    unit = apart / distance[:, None]
    directions = system.dipoles / body.dipole_magnitude_e_nm
    along = (directions[i] * unit).sum(axis=1) * (directions[j] * unit).sum(axis=1)
    reduced = ((directions[i] * directions[j]).sum(axis=1) - 3 * along) / 2
    bonded = reduced * (contact / distance) ** 3 < energy
    graph = nx.Graph()
    graph.add_nodes_from(range(len(system)))
    for a, b, step, length in zip(
        i[bonded].tolist(), j[bonded].tolist(), apart[bonded], distance[bonded], strict=True
    ):
        graph.add_edge(a, b, weight=length, step=step, start=a)
    return [chain_of(graph.subgraph(found), system) for found in nx.connected_components(graph)]


def chain_of(chain: nx.Graph, system: dm.System) -> Chain:
    """Return one connected component."""
    first = next(iter(chain))
    places = {first: system.positions[first]}
    for a, b in nx.bfs_edges(chain, first):
        edge = chain.edges[a, b]
        places[b] = places[a] + (edge["step"] if edge["start"] == a else -edge["step"])
    closed = all(
        np.abs(places[b] - places[a] - (e["step"] if e["start"] == a else -e["step"])).max() < 1e-6
        for a, b, e in chain.edges(data=True)
    )
    most = max(degree for _, degree in chain.degree)
    if len(chain) == 1:
        return Chain("monomer", [first], 0.0, 0.0)
    if closed and most == 2 and chain.number_of_edges() == len(chain):
        return Chain("ring", list(nx.dfs_preorder_nodes(chain, first)), chain.size("weight"), 0.0)
    lengths = nx.single_source_dijkstra_path_length(chain, first)
    end = max(lengths, key=lengths.__getitem__)
    lengths, paths = nx.single_source_dijkstra(chain, end)
    other = max(lengths, key=lengths.__getitem__)
    straight = float(np.linalg.norm(places[other] - places[end]))
    kind = "percolating" if not closed else "branched" if most > 2 else "linear"
    return Chain(kind, paths[other], lengths[other], straight)


def seconds(work: Callable[[], object]) -> float:
    """Return how long a piece of work takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def search_alone(system: dm.System) -> int:
    """Return the number of components of a plain distance search: freud and scipy, nothing else."""
    reach = 1.5 * system.bodies[0].axial_contact_nm
    query = freud.locality.AABBQuery(freud.box.Box(*system.box), system.positions)
    found = query.query(system.positions, {"r_max": reach, "exclude_ii": True}).toNeighborList()
    pairs = (found.query_point_indices, found.point_indices)
    links = coo_array((np.ones(len(pairs[0])), pairs), shape=(len(system),) * 2)
    return int(connected_components(links, directed=False)[0])


def graph_of(system: dm.System) -> dm.ChainGraph:
    """Return the chain graph with the members of every chain in order."""
    graph = dm.find_chains(system)
    _ = graph.members
    return graph


def time_frames(
    systems: list[dm.System], repeats: int
) -> tuple[list[list[float]], list[list[float]]]:
    """Return seconds of the chain graph and of the search alone, a row per system, alternated."""
    times: list[list[float]] = [[] for _ in systems]
    alone: list[list[float]] = [[] for _ in systems]
    for _ in range(repeats):
        for row, plain, system in zip(times, alone, systems, strict=True):
            row.append(seconds(lambda system=system: graph_of(system)))
            plain.append(seconds(lambda system=system: search_alone(system)))
    return times, alone


def time_networkx(beside: dm.System, repeats: int) -> list[tuple[float, float]]:
    """Return seconds of the chain graph and of networkx, alternated; their answers are the same."""
    pairs = []
    for _ in range(repeats):
        pairs.append((seconds(lambda: graph_of(beside)), seconds(lambda: by_networkx(beside))))
    ours, theirs = graph_of(beside), by_networkx(beside)
    assert sorted(chain.kind for chain in theirs) == sorted(ours.kinds)
    for name in ("contour_nm", "end_to_end_nm"):
        lengths = np.sort([getattr(chain, name) for chain in theirs])
        assert np.allclose(lengths, np.sort(getattr(ours, name)))
    return pairs


def main() -> None:
    """Time frames of several sizes, and networkx beside the chain graph."""
    parser = arguments(__doc__.splitlines()[0], repeats=5)
    parser.add_argument("--clusters", type=int, default=1_000_000, help="of the largest frame")
    parser.add_argument("--networkx", type=int, default=100_000, help="clusters for networkx")
    options = parser.parse_args()
    graph_of(frame_of(1000))  # loads the libraries

    sizes = [options.clusters // 100, options.clusters // 10, options.clusters]
    systems = [frame_of(size) for size in sizes]
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    times, alone = time_frames(systems, options.repeats)
    medians = [statistics.median(row) for row in times]
    exponent = float(np.polyfit(np.log([len(s) for s in systems]), np.log(medians), 1)[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6

    beside = frame_of(options.networkx)
    pairs = time_networkx(beside, min(options.repeats, 3))
    ratios = [slow / fast for fast, slow in pairs]

    lines = [
        f"| clusters | chain graph, median of {options.repeats} | range | search alone |",
        "|---|---|---|---|",
    ]
    for system, row, plain, median in zip(systems, times, alone, medians, strict=True):
        lines.append(
            f"| {len(system):,} | {median:.3f} s | {min(row):.3f}–{max(row):.3f} s "
            f"| {statistics.median(plain):.3f} s |"
        )
    lines += [
        "",
        f"cost exponent {exponent:.3f}; peak memory {peak:.2f} GB, {loaded:.2f} GB of it before",
        f"networkx at {len(beside):,}: {statistics.median(b for _, b in pairs):.2f} s, "
        f"{statistics.median(ratios):.1f} times as long ({min(ratios):.1f}–{max(ratios):.1f})",
    ]
    names = ("numpy", "scipy", "freud-analysis", "networkx")
    result = {
        **{name: version_of(name) for name in names},
        "clusters": [len(system) for system in systems],
        "seconds": [[round(t, 4) for t in row] for row in times],
        "search_alone_seconds": [[round(t, 4) for t in row] for row in alone],
        "exponent": round(exponent, 3),
        "peak_GB": round(peak, 3),
        "networkx_ratios": [round(ratio, 2) for ratio in ratios],
    }
    finish(options, lines, result)


if __name__ == "__main__":
    main()
