"""What `verify` evaluates: the last frame of a run, or small gases of a cluster."""

from dataclasses import replace
from pathlib import Path

from dipolar_md.chemistry.cluster import load_cluster
from dipolar_md.engines.stage import Environment
from dipolar_md.model.body import coarse_grain
from dipolar_md.model.builders import random_gas
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System
from dipolar_md.simulation.plan import make_plan
from dipolar_md.simulation.run_directory import Run
from dipolar_md.units import REFERENCE_TEMPERATURE_K

_COUNT = 64
_CONCENTRATION_MM = 30.0
_CUTOFF_NM = 6.0
_SQUEEZE = 0.85  # neighbours of a random gas don't touch; these do


def configurations(what: str | Path) -> list[tuple[str, System, Interactions]]:
    """Return (title, system, interactions) of a run directory or of a cluster.

    Args:
        what: Run directory, or name or file of a cluster. Of a run the last frame; of a cluster a
            dense gas of 64 bodies in vacuum for each model that its file allows.

    Returns:
        A title, a system and what acts in it, for each.

    Raises:
        InputError: neither a run nor a cluster.
    """
    if Path(what).is_dir():
        run = Run(Path(what))
        last = run.trajectory[-1]
        environment = Environment(
            last.temperature_K,
            last.relative_permittivity,
            last.system.concentration_mM,
            last.system.thickness_nm,
            last.field_V_nm,
        )
        title = f"{run.path}: step {last.step}, stage '{last.stage}'"
        return [(title, last.system, environment.applied_to(make_plan(run.recipe).interactions))]
    cluster = load_cluster(what)
    hand = "R" if cluster.handedness == "racemic" else None
    models = [("sphere", "point", "cutoff"), ("sphere", "charges", "ewald")]
    if cluster.janus is not None:
        models += [("janus", "point", "cutoff"), ("janus", "charges", "ewald")]
    found = []
    for shape, dipole, electrostatics in models:
        body = coarse_grain(cluster, shape, dipole, handedness=hand)
        gas = random_gas({body: _COUNT}, _CONCENTRATION_MM, seed=1)
        system = replace(gas, positions=_SQUEEZE * gas.positions)
        terms = Interactions(REFERENCE_TEMPERATURE_K, 1.0, electrostatics, _CUTOFF_NM)
        found.append(
            (f"{_COUNT} x {body.name}, {shape}, {dipole}, {electrostatics}", system, terms)
        )
    return found
