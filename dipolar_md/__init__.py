"""Dipolar Janus nanoclusters: from a computed dipole to the nanowires it forms.

The public names below are loaded on first use, so that `import dipolar_md` is quick and needs no
engine.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_NAMES = {
    "analysis.bundles": ("Bundles", "find_bundles"),
    "analysis.chains": ("CRITERIA", "ChainGraph", "find_chains", "find_neighbours"),
    "analysis.growth": ("GrowthLaw", "growth", "growth_law"),
    "analysis.handedness": ("Handedness", "handedness"),
    "analysis.micrograph": (
        "Measurement",
        "Micrograph",
        "measure_micrograph",
        "simulate_micrograph",
    ),
    "analysis.nanowires": ("NanowireStatistics", "nanowire_statistics"),
    "analysis.reference": (
        "Comparison",
        "Reference",
        "compare",
        "compare_samples",
        "load_reference",
        "read_measured",
    ),
    "analysis.stiffness": (
        "end_to_end_persistence_nm",
        "persistence_length_nm",
        "tangent_correlation",
    ),
    "analysis.structure": ("nematic_order", "pair_correlation", "polar_order", "scattering"),
    "analysis.timeseries": ("Band", "Estimate", "distribution", "equilibration"),
    "engines.choice": ("choose_engine", "evaluate"),
    "engines.protocol": ("Evaluation",),
    "engines.stage": ("Environment", "Stage"),
    "engines.verification": (
        "Verification",
        "verify",
    ),
    "errors": (
        "BlowUpError",
        "DipolarMDError",
        "EngineMissingError",
        "InputError",
        "RunDirectoryError",
        "UnsupportedError",
    ),
    "chemistry.alloy": ("Alloy", "alloy44"),
    "model.body": ("Body", "Site", "coarse_grain"),
    "chemistry.cluster": ("Cluster", "Solvent", "load_cluster", "load_solvent"),
    "chemistry.dipole": ("Dipole", "charge_dipole", "compare_dipoles", "compute_dipole"),
    "chemistry.draft": ("Draft", "draft_cluster"),
    "model.interactions": ("Interactions",),
    "chemistry.molecule": ("Molecule", "point_charge_molecule"),
    "model.expectation": ("describe",),
    "chemistry.read_structure": ("read_molecule",),
    "model.system": ("System", "chain", "lattice", "pair", "random_gas", "ring"),
    "reports.run": (
        "Analysis",
        "analyze",
        "draw_bodies",
        "draw_outlook",
        "draw_phase_estimate",
        "write_cluster",
    ),
    "simulation.assembly": ("Progress", "Run", "assemble"),
    "simulation.configurations": ("configurations",),
    "simulation.preflight": ("preflight",),
    "simulation.recipe": ("Recipe", "load_recipe"),
    "study.workers": ("StudyStatus", "run_study", "study_status"),
    "study.study_file": ("Study", "estimate", "load_study"),
    "study.slurm": ("Submission", "submit_study"),
    "reports.inference": ("StudyInference", "infer_study"),
    "reports.study": ("PhaseMap", "StudyReport", "phase_map", "report_study"),
    "reports.micrograph": ("compare_run", "image_run", "measure_image"),
    "trajectory": ("Frame", "Trajectory"),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}
__all__ = sorted(_HOME)

if TYPE_CHECKING:
    from dipolar_md.analysis.bundles import Bundles as Bundles
    from dipolar_md.analysis.bundles import find_bundles as find_bundles
    from dipolar_md.analysis.chains import CRITERIA as CRITERIA
    from dipolar_md.analysis.chains import ChainGraph as ChainGraph
    from dipolar_md.analysis.chains import find_chains as find_chains
    from dipolar_md.analysis.chains import find_neighbours as find_neighbours
    from dipolar_md.analysis.growth import GrowthLaw as GrowthLaw
    from dipolar_md.analysis.growth import growth as growth
    from dipolar_md.analysis.growth import growth_law as growth_law
    from dipolar_md.analysis.handedness import Handedness as Handedness
    from dipolar_md.analysis.handedness import handedness as handedness
    from dipolar_md.analysis.micrograph import Measurement as Measurement
    from dipolar_md.analysis.micrograph import Micrograph as Micrograph
    from dipolar_md.analysis.micrograph import measure_micrograph as measure_micrograph
    from dipolar_md.analysis.micrograph import simulate_micrograph as simulate_micrograph
    from dipolar_md.analysis.nanowires import NanowireStatistics as NanowireStatistics
    from dipolar_md.analysis.nanowires import nanowire_statistics as nanowire_statistics
    from dipolar_md.analysis.reference import Comparison as Comparison
    from dipolar_md.analysis.reference import Reference as Reference
    from dipolar_md.analysis.reference import compare as compare
    from dipolar_md.analysis.reference import compare_samples as compare_samples
    from dipolar_md.analysis.reference import load_reference as load_reference
    from dipolar_md.analysis.reference import read_measured as read_measured
    from dipolar_md.analysis.stiffness import end_to_end_persistence_nm as end_to_end_persistence_nm
    from dipolar_md.analysis.stiffness import persistence_length_nm as persistence_length_nm
    from dipolar_md.analysis.stiffness import tangent_correlation as tangent_correlation
    from dipolar_md.analysis.structure import nematic_order as nematic_order
    from dipolar_md.analysis.structure import pair_correlation as pair_correlation
    from dipolar_md.analysis.structure import polar_order as polar_order
    from dipolar_md.analysis.structure import scattering as scattering
    from dipolar_md.analysis.timeseries import Band as Band
    from dipolar_md.analysis.timeseries import Estimate as Estimate
    from dipolar_md.analysis.timeseries import distribution as distribution
    from dipolar_md.analysis.timeseries import equilibration as equilibration
    from dipolar_md.chemistry.alloy import Alloy as Alloy
    from dipolar_md.chemistry.alloy import alloy44 as alloy44
    from dipolar_md.chemistry.cluster import Cluster as Cluster
    from dipolar_md.chemistry.cluster import Solvent as Solvent
    from dipolar_md.chemistry.cluster import load_cluster as load_cluster
    from dipolar_md.chemistry.cluster import load_solvent as load_solvent
    from dipolar_md.chemistry.dipole import Dipole as Dipole
    from dipolar_md.chemistry.dipole import charge_dipole as charge_dipole
    from dipolar_md.chemistry.dipole import compare_dipoles as compare_dipoles
    from dipolar_md.chemistry.dipole import compute_dipole as compute_dipole
    from dipolar_md.chemistry.draft import Draft as Draft
    from dipolar_md.chemistry.draft import draft_cluster as draft_cluster
    from dipolar_md.chemistry.molecule import Molecule as Molecule
    from dipolar_md.chemistry.molecule import point_charge_molecule as point_charge_molecule
    from dipolar_md.chemistry.read_structure import read_molecule as read_molecule
    from dipolar_md.engines.choice import choose_engine as choose_engine
    from dipolar_md.engines.choice import evaluate as evaluate
    from dipolar_md.engines.protocol import Evaluation as Evaluation
    from dipolar_md.engines.stage import Environment as Environment
    from dipolar_md.engines.stage import Stage as Stage
    from dipolar_md.engines.verification import Verification as Verification
    from dipolar_md.engines.verification import verify as verify
    from dipolar_md.errors import BlowUpError as BlowUpError
    from dipolar_md.errors import DipolarMDError as DipolarMDError
    from dipolar_md.errors import EngineMissingError as EngineMissingError
    from dipolar_md.errors import InputError as InputError
    from dipolar_md.errors import RunDirectoryError as RunDirectoryError
    from dipolar_md.errors import UnsupportedError as UnsupportedError
    from dipolar_md.model.body import Body as Body
    from dipolar_md.model.body import Site as Site
    from dipolar_md.model.body import coarse_grain as coarse_grain
    from dipolar_md.model.expectation import describe as describe
    from dipolar_md.model.interactions import Interactions as Interactions
    from dipolar_md.model.system import System as System
    from dipolar_md.model.system import chain as chain
    from dipolar_md.model.system import lattice as lattice
    from dipolar_md.model.system import pair as pair
    from dipolar_md.model.system import random_gas as random_gas
    from dipolar_md.model.system import ring as ring
    from dipolar_md.reports.inference import StudyInference as StudyInference
    from dipolar_md.reports.inference import infer_study as infer_study
    from dipolar_md.reports.micrograph import compare_run as compare_run
    from dipolar_md.reports.micrograph import image_run as image_run
    from dipolar_md.reports.micrograph import measure_image as measure_image
    from dipolar_md.reports.run import Analysis as Analysis
    from dipolar_md.reports.run import analyze as analyze
    from dipolar_md.reports.run import draw_bodies as draw_bodies
    from dipolar_md.reports.run import draw_outlook as draw_outlook
    from dipolar_md.reports.run import draw_phase_estimate as draw_phase_estimate
    from dipolar_md.reports.run import write_cluster as write_cluster
    from dipolar_md.reports.study import PhaseMap as PhaseMap
    from dipolar_md.reports.study import StudyReport as StudyReport
    from dipolar_md.reports.study import phase_map as phase_map
    from dipolar_md.reports.study import report_study as report_study
    from dipolar_md.simulation.assembly import Progress as Progress
    from dipolar_md.simulation.assembly import Run as Run
    from dipolar_md.simulation.assembly import assemble as assemble
    from dipolar_md.simulation.configurations import configurations as configurations
    from dipolar_md.simulation.preflight import preflight as preflight
    from dipolar_md.simulation.recipe import Recipe as Recipe
    from dipolar_md.simulation.recipe import load_recipe as load_recipe
    from dipolar_md.study.slurm import Submission as Submission
    from dipolar_md.study.slurm import submit_study as submit_study
    from dipolar_md.study.study_file import Study as Study
    from dipolar_md.study.study_file import estimate as estimate
    from dipolar_md.study.study_file import load_study as load_study
    from dipolar_md.study.workers import StudyStatus as StudyStatus
    from dipolar_md.study.workers import run_study as run_study
    from dipolar_md.study.workers import study_status as study_status
    from dipolar_md.trajectory import Frame as Frame
    from dipolar_md.trajectory import Trajectory as Trajectory


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'dipolar_md' has no attribute '{name}'")
    return getattr(import_module(f"dipolar_md.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
