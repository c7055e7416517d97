"""What a user may write: the interfaces line by line, every form of an argument, short answers."""

import re
from pathlib import Path

import numpy as np
import pytest

import dipolar_md as dm

CLUSTERS = Path(__file__).parents[1] / "params" / "clusters"
L = 40.0


@pytest.fixture(scope="module")
def frame():
    """A chain of three and one of two in a box, from plain arrays."""
    x = np.array([[0, 0, 0], [0, 0, 1.85], [0, 0, 3.7], [8, 0, 0], [8, 0, 1.85]])
    q = np.tile([1.0, 0.0, 0.0, 0.0], (5, 1))
    return dm.Frame.from_arrays(box=(L, L, L), positions=x, orientations=q, cluster="r-au-cu")


def test_the_interfaces_line_by_line(frame):
    cluster = dm.load_cluster("r-au-cu")
    body = dm.coarse_grain(cluster, shape="sphere", dipole="point")
    system = dm.random_gas({body: 400}, concentration_mM=5.0, seed=1)
    terms = dm.Interactions(
        temperature_K=298.15, relative_permittivity=1.0, electrostatics="cutoff", cutoff_nm=10.0
    )
    line = dm.chain({body: 10}, spacing_nm=1.85)
    assert dm.find_chains(line).sizes.tolist() == [10]
    state = dm.evaluate(system, terms, engine="lammps")
    assert set(state.energies) >= {"steric", "electrostatic", "wall", "field", "total"}
    assert state.forces.shape == state.torques.shape == (400, 3)
    assert state.cluster_energies.shape == (400,)
    graph = dm.find_chains(frame)
    assert graph.labels.shape == (5,)
    assert graph.sizes.tolist() == [3, 2]
    assert graph.kinds == ("linear", "linear")
    assert graph.contour_nm == pytest.approx([3.7, 1.85])
    assert graph.end_to_end_nm == pytest.approx([3.7, 1.85])
    assert graph.spacings_nm == pytest.approx([1.85] * 3)


def test_a_run_goes_through_the_interfaces(finished):
    graph = dm.find_chains(finished.trajectory[-1])
    table = dm.nanowire_statistics(finished.trajectory)
    verdict = dm.compare(table, dm.load_reference("tem-r-au-cu"))
    assert graph.sizes.sum() == table.n_clusters
    assert verdict.applies


# --- A name, a path or the object -----------------------------------------------------------------

FORMS = ["r-au-cu", CLUSTERS / "r-au-cu.toml", str(CLUSTERS / "r-au-cu.toml")]


@pytest.mark.parametrize("form", FORMS)
def test_clusters_are_named_or_given(form):
    cluster = dm.load_cluster("r-au-cu")
    assert dm.load_cluster(form) == cluster
    assert dm.coarse_grain(form) == dm.coarse_grain(cluster)
    assert dm.describe(form, solvents=["vacuum"]) == dm.describe(cluster, solvents=["vacuum"])
    assert dm.load_cluster(cluster) is cluster
    with pytest.raises(dm.InputError, match="has a dipole of its own"):
        dm.load_cluster(cluster, dipole_D=3.0)


def test_media_references_and_recipes_are_named_or_given(frame, tmp_path):
    solvent = dm.load_solvent("toluene")
    assert dm.load_solvent(solvent) is solvent
    assert dm.describe("r-au-cu", solvents=[solvent]).solvents[0].name == "toluene"
    reference = dm.load_reference("tem-r-au-cu")
    assert dm.load_reference(reference) is reference
    table = dm.nanowire_statistics([frame])
    assert dm.compare(table, "tem-r-au-cu") == dm.compare(table, reference)
    assert dm.preflight("r-au-cu") == dm.preflight(dm.load_recipe("r-au-cu"))
    (picture,) = dm.draw_bodies("r-au-cu", tmp_path)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_molecules_are_files_or_given(tmp_path):
    pytest.importorskip("ase")
    water = tmp_path / "water.xyz"
    water.write_text("3\n\nO 0 0 0\nH 0.0 0.757 0.587\nH 0.0 -0.757 0.587\n", encoding="utf-8")
    charges = tmp_path / "q.txt"
    charges.write_text("O -0.8\nH 0.4\nH 0.4\n", encoding="utf-8")
    molecule = dm.read_molecule(water, charges=charges)
    assert dm.read_molecule(molecule) is molecule
    moment = dm.compute_dipole(molecule)
    assert moment.magnitude_D == pytest.approx(0.8 * 0.587 * 4.80320, rel=1e-4)
    drafts = [dm.draft_cluster(form, moment, "water").cluster for form in (molecule, water)]
    assert drafts[0].axial_contact_nm == drafts[1].axial_contact_nm


# --- A frame or a system; a run, a path or a trajectory -------------------------------------------


@pytest.mark.parametrize(
    "analysis",
    [
        dm.polar_order,
        dm.nematic_order,
        lambda what: dm.pair_correlation(what, 5.0, bins=10).g,
        lambda what: dm.scattering(what, q_max_per_nm=2.0, bins=5).structure_factor,
        lambda what: dm.find_chains(what).sizes,
        lambda what: dm.find_neighbours(what).distance,
        lambda what: dm.find_bundles(what).sizes,
        lambda what: dm.simulate_micrograph(what, 0.2, dose_per_nm2=np.inf).image,
        lambda what: dm.tangent_correlation(what).samples,
    ],
)
def test_an_analysis_takes_a_frame_or_its_system(analysis, frame):
    np.testing.assert_allclose(analysis(frame), analysis(frame.system), rtol=1e-5)


@pytest.mark.parametrize(
    "analysis",
    [
        lambda what: dm.nanowire_statistics(what).mean_chain_length,
        lambda what: dm.growth(what).mean_length.tolist(),
        lambda what: dm.tangent_correlation(what).samples.tolist(),
        lambda what: dm.persistence_length_nm(what, fewest=2),
        lambda what: dm.end_to_end_persistence_nm(what, fewest=2),
        dm.handedness,
    ],
)
def test_an_analysis_over_frames_takes_a_run_a_path_or_frames(analysis, finished):
    trajectory = finished.trajectory
    answer = analysis(trajectory)
    for form in (finished, finished.path, str(finished.path), trajectory.path, list(trajectory)):
        assert analysis(form) == answer
    with pytest.raises(dm.InputError, match="no readable trajectory"):
        analysis(finished.path / "elsewhere.gsd")


# --- Short answers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (19.62, 0.68, "19.6 ± 0.7"),
        (19.62, 0.14, "19.62 ± 0.14"),
        (0.5012, 0.0196, "0.501 ± 0.020"),
        (1234.5, 27.0, "1234 ± 27"),
        (3.14159, None, "3.14"),
        (3.14159, 0.0, "3.14"),
        (3.14159, float("nan"), "3.14"),
    ],
)
def test_an_estimate_prints_with_its_error(value, error, text):
    assert str(dm.Estimate(value, error)) == text


def test_what_is_large_is_shown_short(frame, finished):
    assert repr(frame.system) == "<System of 5 r-au-cu: 40 × 40 × 40 nm, 0.13 mM>"
    assert repr(frame) == f"<Frame at 0 ns: {frame.system!r}>"
    film = dm.random_gas({dm.coarse_grain("r-1"): 9}, 5.0, seed=1, thickness_nm=6.0, gap_nm=2.0)
    assert "film of 6 nm" in repr(film)
    table = dm.nanowire_statistics(finished)
    assert repr(table) == (
        f"<NanowireStatistics of 64 x r-au-cu, {table.n_frames} frames at {table.window_ns[0]:g}-"
        f"{table.window_ns[1]:g} ns: mean chain length {table.mean_chain_length}>"
    )
    outlook = dm.describe("r-au-cu", solvents=["vacuum"])
    assert re.fullmatch(r"<Outlook of r-au-cu at 10 mM .* -37\.5 kJ/mol .*>", repr(outlook))
    for value in (frame, table, outlook, finished.trajectory):
        assert len(repr(value)) < 200
