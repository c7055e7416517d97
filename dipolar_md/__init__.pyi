"""The public names, each with the module that it is loaded from on first use.

`__init__.py` and type checkers read them here; they are listed nowhere else.
"""

from . import plots as plots
from .analysis.bonds import (
    CRITERIA as CRITERIA,
    Neighbours as Neighbours,
    find_neighbours as find_neighbours,
)
from .analysis.bundles import Bundles as Bundles, find_bundles as find_bundles
from .analysis.chains import ChainGraph as ChainGraph, find_chains as find_chains
from .analysis.growth import (
    Growth as Growth,
    GrowthLaw as GrowthLaw,
    growth as growth,
    growth_law as growth_law,
)
from .analysis.handedness import Handedness as Handedness, Twist as Twist, handedness as handedness
from .analysis.induction import (
    ClusterDipoles as ClusterDipoles,
    DipolesAt as DipolesAt,
    cluster_dipoles as cluster_dipoles,
)
from .analysis.micrograph import (
    ImageQuality as ImageQuality,
    Measurement as Measurement,
    Micrograph as Micrograph,
    measure_micrograph as measure_micrograph,
)
from .analysis.microscope import (
    Microscope as Microscope,
    load_microscope as load_microscope,
    simulate_micrograph as simulate_micrograph,
)
from .analysis.nanowires import (
    ChainRow as ChainRow,
    NanowireStatistics as NanowireStatistics,
    nanowire_statistics as nanowire_statistics,
)
from .analysis.reference import (
    Comparison as Comparison,
    Reference as Reference,
    SampleComparison as SampleComparison,
    Verdict as Verdict,
    compare as compare,
    compare_samples as compare_samples,
    load_reference as load_reference,
    read_measured as read_measured,
)
from .analysis.stiffness import (
    TangentCorrelation as TangentCorrelation,
    end_to_end_persistence_nm as end_to_end_persistence_nm,
    persistence_length_nm as persistence_length_nm,
    tangent_correlation as tangent_correlation,
)
from .analysis.structure import (
    PairCorrelation as PairCorrelation,
    Scattering as Scattering,
    nematic_order as nematic_order,
    pair_correlation as pair_correlation,
    polar_order as polar_order,
    scattering as scattering,
)
from .analysis.timeseries import (
    Band as Band,
    Equilibration as Equilibration,
    Estimate as Estimate,
    distribution as distribution,
    equilibration as equilibration,
)
from .analysis.wires import Interval as Interval
from .chemistry.alloy import Alloy as Alloy, alloy44 as alloy44
from .chemistry.cluster import (
    Cluster as Cluster,
    Solvent as Solvent,
    load_cluster as load_cluster,
    load_solvent as load_solvent,
)
from .chemistry.dipole import (
    Dipole as Dipole,
    charge_dipole as charge_dipole,
    compare_dipoles as compare_dipoles,
    compute_dipole as compute_dipole,
)
from .chemistry.draft import Draft as Draft, draft_cluster as draft_cluster
from .chemistry.molecule import Molecule as Molecule, point_charge_molecule as point_charge_molecule
from .chemistry.polarisability import (
    Polarisability as Polarisability,
    compute_polarisability as compute_polarisability,
)
from .chemistry.read_structure import read_molecule as read_molecule
from .engines.choice import choose_engine as choose_engine, evaluate as evaluate
from .engines.protocol import Evaluation as Evaluation
from .engines.stage import Environment as Environment, Stage as Stage
from .engines.verification import Verification as Verification, verify as verify
from .errors import (
    BlowUpError as BlowUpError,
    DipolarMDError as DipolarMDError,
    EngineMissingError as EngineMissingError,
    InputError as InputError,
    RunDirectoryError as RunDirectoryError,
    UnsupportedError as UnsupportedError,
)
from .model.body import Body as Body, Site as Site, coarse_grain as coarse_grain
from .model.builders import (
    chain as chain,
    lattice as lattice,
    pair as pair,
    random_gas as random_gas,
    ring as ring,
)
from .model.expectation import Outlook as Outlook, describe as describe
from .model.interactions import Interactions as Interactions
from .model.system import System as System
from .reports.inference import StudyInference as StudyInference, infer_study as infer_study
from .reports.micrograph import (
    Imaging as Imaging,
    compare_run as compare_run,
    image_run as image_run,
    measure_image as measure_image,
    pool_images as pool_images,
    PooledImages as PooledImages,
)
from .reports.run import (
    Analysis as Analysis,
    analyze as analyze,
    draw_bodies as draw_bodies,
    draw_outlook as draw_outlook,
    draw_phase_estimate as draw_phase_estimate,
    write_cluster as write_cluster,
)
from .reports.study import (
    PhaseMap as PhaseMap,
    StudyReport as StudyReport,
    phase_map as phase_map,
    report_study as report_study,
)
from .simulation.assembly import Progress as Progress, assemble as assemble
from .simulation.configurations import configurations as configurations
from .study.equilibrium import Equilibrium as Equilibrium, find_equilibrium as find_equilibrium
from .simulation.plan import Plan as Plan, make_plan as make_plan
from .study.prediction import (
    LengthPrediction as LengthPrediction,
    predict_lengths as predict_lengths,
)
from .simulation.preflight import StageOutlook as StageOutlook, preflight as preflight
from .simulation.recipe import Recipe as Recipe, load_recipe as load_recipe
from .simulation.run_directory import Run as Run, check_run as check_run
from .study.cost import CostEstimate as CostEstimate, estimate_cost as estimate_cost
from .study.jobs import Job as Job
from .study.posterior import Posterior as Posterior
from .study.slurm import SlurmBatch as SlurmBatch, submit_study as submit_study
from .study.study_file import Study as Study, load_study as load_study
from .study.workers import (
    StudyStatus as StudyStatus,
    run_study as run_study,
    study_status as study_status,
)
from .trajectory import Frame as Frame, Trajectory as Trajectory

__version__: str
