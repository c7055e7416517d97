"""Dipolar Janus nanoclusters: from a computed dipole to the nanowires it forms.

The public names below are loaded on first use, so that `import dipolar_md` is quick and needs no
engine.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_NAMES = {
    "analysis.chains": ("CRITERIA", "ChainGraph", "find_chains", "find_neighbours"),
    "analysis.nanowires": (
        "Estimate",
        "NanowireStatistics",
        "growth",
        "nanowire_statistics",
        "persistence_length_nm",
    ),
    "analysis.reference": ("Comparison", "Reference", "compare", "load_reference"),
    "analysis.structure": ("nematic_order", "polar_order"),
    "engines": ("Environment", "Evaluation", "Stage", "choose_engine", "evaluate"),
    "errors": (
        "BlowUpError",
        "DipolarMDError",
        "EngineMissingError",
        "InputError",
        "RunDirectoryError",
        "UnsupportedError",
    ),
    "model.body": ("Body", "Site", "coarse_grain"),
    "model.cluster": ("Cluster", "Solvent", "load_cluster", "load_solvent"),
    "model.interactions": ("Interactions",),
    "model.system": ("System", "chain", "lattice", "pair", "random_gas", "ring"),
    "report": ("analyze",),
    "simulation.assembly": ("Progress", "Run", "assemble"),
    "simulation.preflight": ("preflight",),
    "simulation.recipe": ("Recipe", "load_recipe"),
    "trajectory": ("Frame", "Trajectory"),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}
__all__ = sorted(_HOME)  # noqa: PLE0605

if TYPE_CHECKING:
    from dipolar_md.analysis.chains import CRITERIA, ChainGraph, find_chains, find_neighbours
    from dipolar_md.analysis.nanowires import (
        Estimate,
        NanowireStatistics,
        growth,
        nanowire_statistics,
        persistence_length_nm,
    )
    from dipolar_md.analysis.reference import Comparison, Reference, compare, load_reference
    from dipolar_md.analysis.structure import nematic_order, polar_order
    from dipolar_md.engines import Environment, Evaluation, Stage, choose_engine, evaluate
    from dipolar_md.errors import (
        BlowUpError,
        DipolarMDError,
        EngineMissingError,
        InputError,
        RunDirectoryError,
        UnsupportedError,
    )
    from dipolar_md.model.body import Body, Site, coarse_grain
    from dipolar_md.model.cluster import Cluster, Solvent, load_cluster, load_solvent
    from dipolar_md.model.interactions import Interactions
    from dipolar_md.model.system import System, chain, lattice, pair, random_gas, ring
    from dipolar_md.report import analyze
    from dipolar_md.simulation.assembly import Progress, Run, assemble
    from dipolar_md.simulation.preflight import preflight
    from dipolar_md.simulation.recipe import Recipe, load_recipe
    from dipolar_md.trajectory import Frame, Trajectory


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'dipolar_md' has no attribute '{name}'")
    return getattr(import_module(f"dipolar_md.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
