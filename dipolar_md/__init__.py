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
    "engines": ("Environment", "Evaluation", "Stage", "choose_engine", "evaluate"),
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
    "model.alloy": ("Alloy", "alloy44"),
    "model.body": ("Body", "Site", "coarse_grain"),
    "model.cluster": ("Cluster", "Solvent", "load_cluster", "load_solvent"),
    "model.dipole": ("Dipole", "charge_dipole", "compare_dipoles", "compute_dipole"),
    "model.draft": ("Draft", "draft_cluster"),
    "model.interactions": ("Interactions",),
    "model.molecule": ("Molecule", "point_charge_molecule"),
    "model.outlook": ("describe",),
    "model.structure": ("read_molecule",),
    "model.system": ("System", "chain", "lattice", "pair", "random_gas", "ring"),
    "report": (
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
    "study.execution": ("StudyStatus", "run_study", "study_status"),
    "study.grid": ("Study", "estimate", "load_study"),
    "study.slurm": ("Submission", "submit_study"),
    "study_inference": ("StudyInference", "infer_study"),
    "study_report": ("PhaseMap", "StudyReport", "phase_map", "report_study"),
    "tem": ("compare_run", "image_run", "measure_image"),
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
    from dipolar_md.engines import Environment as Environment
    from dipolar_md.engines import Evaluation as Evaluation
    from dipolar_md.engines import Stage as Stage
    from dipolar_md.engines import choose_engine as choose_engine
    from dipolar_md.engines import evaluate as evaluate
    from dipolar_md.engines.verification import Verification as Verification
    from dipolar_md.engines.verification import verify as verify
    from dipolar_md.errors import BlowUpError as BlowUpError
    from dipolar_md.errors import DipolarMDError as DipolarMDError
    from dipolar_md.errors import EngineMissingError as EngineMissingError
    from dipolar_md.errors import InputError as InputError
    from dipolar_md.errors import RunDirectoryError as RunDirectoryError
    from dipolar_md.errors import UnsupportedError as UnsupportedError
    from dipolar_md.model.alloy import Alloy as Alloy
    from dipolar_md.model.alloy import alloy44 as alloy44
    from dipolar_md.model.body import Body as Body
    from dipolar_md.model.body import Site as Site
    from dipolar_md.model.body import coarse_grain as coarse_grain
    from dipolar_md.model.cluster import Cluster as Cluster
    from dipolar_md.model.cluster import Solvent as Solvent
    from dipolar_md.model.cluster import load_cluster as load_cluster
    from dipolar_md.model.cluster import load_solvent as load_solvent
    from dipolar_md.model.dipole import Dipole as Dipole
    from dipolar_md.model.dipole import charge_dipole as charge_dipole
    from dipolar_md.model.dipole import compare_dipoles as compare_dipoles
    from dipolar_md.model.dipole import compute_dipole as compute_dipole
    from dipolar_md.model.draft import Draft as Draft
    from dipolar_md.model.draft import draft_cluster as draft_cluster
    from dipolar_md.model.interactions import Interactions as Interactions
    from dipolar_md.model.molecule import Molecule as Molecule
    from dipolar_md.model.molecule import point_charge_molecule as point_charge_molecule
    from dipolar_md.model.outlook import describe as describe
    from dipolar_md.model.structure import read_molecule as read_molecule
    from dipolar_md.model.system import System as System
    from dipolar_md.model.system import chain as chain
    from dipolar_md.model.system import lattice as lattice
    from dipolar_md.model.system import pair as pair
    from dipolar_md.model.system import random_gas as random_gas
    from dipolar_md.model.system import ring as ring
    from dipolar_md.report import Analysis as Analysis
    from dipolar_md.report import analyze as analyze
    from dipolar_md.report import draw_bodies as draw_bodies
    from dipolar_md.report import draw_outlook as draw_outlook
    from dipolar_md.report import draw_phase_estimate as draw_phase_estimate
    from dipolar_md.report import write_cluster as write_cluster
    from dipolar_md.simulation.assembly import Progress as Progress
    from dipolar_md.simulation.assembly import Run as Run
    from dipolar_md.simulation.assembly import assemble as assemble
    from dipolar_md.simulation.configurations import configurations as configurations
    from dipolar_md.simulation.preflight import preflight as preflight
    from dipolar_md.simulation.recipe import Recipe as Recipe
    from dipolar_md.simulation.recipe import load_recipe as load_recipe
    from dipolar_md.study.execution import StudyStatus as StudyStatus
    from dipolar_md.study.execution import run_study as run_study
    from dipolar_md.study.execution import study_status as study_status
    from dipolar_md.study.grid import Study as Study
    from dipolar_md.study.grid import estimate as estimate
    from dipolar_md.study.grid import load_study as load_study
    from dipolar_md.study.slurm import Submission as Submission
    from dipolar_md.study.slurm import submit_study as submit_study
    from dipolar_md.study_inference import StudyInference as StudyInference
    from dipolar_md.study_inference import infer_study as infer_study
    from dipolar_md.study_report import PhaseMap as PhaseMap
    from dipolar_md.study_report import StudyReport as StudyReport
    from dipolar_md.study_report import phase_map as phase_map
    from dipolar_md.study_report import report_study as report_study
    from dipolar_md.tem import compare_run as compare_run
    from dipolar_md.tem import image_run as image_run
    from dipolar_md.tem import measure_image as measure_image
    from dipolar_md.trajectory import Frame as Frame
    from dipolar_md.trajectory import Trajectory as Trajectory


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'dipolar_md' has no attribute '{name}'")
    return getattr(import_module(f"dipolar_md.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
