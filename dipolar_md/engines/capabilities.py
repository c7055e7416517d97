"""What each engine can do, and the checks that refuse the rest before anything starts."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from dipolar_md.engines.stage import Stage, compressed
from dipolar_md.errors import InputError, UnsupportedError
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System

CAPABILITIES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "spheres": {"hoomd": "yes", "lammps": "yes", "monte_carlo": "yes"},
        "bodies of several sites": {"hoomd": "yes", "lammps": "yes", "monte_carlo": ""},
        "spheres and bodies of several sites in one box": {
            "hoomd": "yes",
            "lammps": "",
            "monte_carlo": "",
        },
        "point dipoles, truncated": {"hoomd": "yes", "lammps": "yes", "monte_carlo": "yes"},
        "point dipoles, Ewald": {"hoomd": "", "lammps": "yes", "monte_carlo": ""},
        "site charges, truncated": {"hoomd": "", "lammps": "", "monte_carlo": ""},
        "site charges, Ewald": {"hoomd": "yes", "lammps": "yes", "monte_carlo": ""},
        "point dipoles beside site charges": {"hoomd": "", "lammps": "", "monte_carlo": ""},
        "Langevin dynamics": {"hoomd": "yes", "lammps": "yes", "monte_carlo": ""},
        "Brownian dynamics": {"hoomd": "yes", "lammps": "", "monte_carlo": ""},
        "constant energy": {"hoomd": "yes", "lammps": "yes", "monte_carlo": ""},
        "equilibrium sampling": {"hoomd": "", "lammps": "", "monte_carlo": "yes"},
        "film between walls, truncated": {"hoomd": "yes", "lammps": "yes", "monte_carlo": "yes"},
        "film between walls, Ewald": {
            "hoomd": "",
            "lammps": "with site charges",
            "monte_carlo": "",
        },
        "uniform electric field": {"hoomd": "yes", "lammps": "yes", "monte_carlo": "yes"},
        "tilted boxes": {"hoomd": "", "lammps": "", "monte_carlo": ""},
        "GPU": {"hoomd": "yes", "lammps": "", "monte_carlo": ""},
        "several CPU threads": {"hoomd": "", "lammps": "yes", "monte_carlo": ""},
        "several MPI ranks": {"hoomd": "", "lammps": "yes", "monte_carlo": ""},
    }
)
"""Feature by engine; an empty string where the engine can't."""

_INTEGRATORS = {
    "langevin": "Langevin dynamics",
    "brownian": "Brownian dynamics",
    "nve": "constant energy",
    "equilibrium": "equilibrium sampling",
}


def capability_table() -> str:
    """Return the capabilities as a Markdown table."""
    lines = ["| | HOOMD-blue | LAMMPS | Monte Carlo |", "|---|---|---|---|"]
    for feature, engines in CAPABILITIES.items():
        cells = " | ".join(engines[name] or "no" for name in ("hoomd", "lammps", "monte_carlo"))
        lines.append(f"| {feature} | {cells} |")
    return "\n".join(lines) + "\n"


def features(system: System, interactions: Interactions, stage: Stage | None = None) -> list[str]:
    """Return the capabilities that a system, its interactions and a stage need."""
    several = {len(body.sites) > 1 for body in system.bodies}
    charged = {body.has_charges for body in system.bodies}
    long_range = interactions.electrostatics == "ewald"
    needed = ["bodies of several sites" if True in several else "spheres"]
    if len(several) > 1:
        needed.append("spheres and bodies of several sites in one box")
    if len(charged) > 1:
        needed.append("point dipoles beside site charges")
    kind = "site charges" if True in charged else "point dipoles"
    needed.append(f"{kind}, {'Ewald' if long_range else 'truncated'}")
    if system.thickness_nm is not None:
        needed.append(f"film between walls, {'Ewald' if long_range else 'truncated'}")
    ends = (stage.start, stage.end) if stage else ()
    if any(interactions.field_V_nm) or any(any(end.field_V_nm) for end in ends):
        needed.append("uniform electric field")
    if system.box[3:].any():
        needed.append("tilted boxes")
    if stage:
        if stage.integrator not in _INTEGRATORS:
            raise UnsupportedError(
                f"no integrator '{stage.integrator}'; use {', '.join(_INTEGRATORS)}"
            )
        needed.append(_INTEGRATORS[stage.integrator])
    return needed


def refusal(
    engine: str, system: System, interactions: Interactions, stage: Stage | None = None
) -> str | None:
    """Return why an engine can't do what is asked, naming the one that can, or None."""
    charged = any(body.has_charges for body in system.bodies)
    if engine == "direct":
        return _direct_refusal(system, interactions, charged)
    for feature in features(system, interactions, stage):
        can = CAPABILITIES[feature]
        if can[engine] and (can[engine] != "with site charges" or charged):
            continue
        others = [name for name, text in can.items() if name != engine and text]
        hint = f"engine '{others[0]}' can" if others else "no engine can"
        if feature.startswith("site charges"):
            hint = "use electrostatics = 'ewald', or dipole = 'point'"
        if can[engine]:
            hint = "use dipole = 'charges'"
        return f"engine '{engine}' can't do {feature}; {hint}"
    return None


def _direct_refusal(system: System, interactions: Interactions, charged: bool) -> str | None:
    long_range = interactions.electrostatics == "ewald"
    if charged and not long_range:
        return "direct sums of charges need electrostatics = 'ewald'"
    if system.box[3:].any() or (long_range and system.thickness_nm is not None):
        return "direct sums have no tilted boxes, and no films with an Ewald sum"
    return None


def check_system(system: System, interactions: Interactions, engine: str) -> None:
    """Raise before anything starts where the minimum image or an engine would fail.

    Raises:
        InputError: the box is too small for the cutoff, or film and image would interact.
        UnsupportedError: what the engine can't do.
    """
    if reason := refusal(engine, system, interactions):
        raise UnsupportedError(reason)
    steric = float(interactions.steric_table(system.bodies).cutoff_nm.max())
    reach = max((body.extent_nm for body in system.bodies if len(body.sites) > 1), default=0.0)
    longest = max(steric, 2 * reach)
    if interactions.electrostatics == "cutoff":
        longest = max(longest, interactions.cutoff_nm)
    film = system.thickness_nm
    shortest = float(system.box[:3].min() if film is None else system.box[:2].min())
    if shortest < 2 * longest:
        raise InputError(
            f"box too small for the cutoff: shortest edge {shortest:.4g} nm < 2 x {longest:.4g} "
            "nm; lower cutoff_nm, or raise n_clusters or lower concentration_mM"
        )
    if film is not None and interactions.electrostatics == "cutoff":
        gap = float(system.box[2]) - film
        if gap < longest:
            raise InputError(
                f"film and image would interact: the box is {gap:.4g} nm higher than the film, "
                f"less than the cutoff of {longest:.4g} nm"
            )


def check_stage(system: System, interactions: Interactions, stage: Stage, engine: str) -> None:
    """Raise before a stage starts where it, or its smallest box, can't be simulated.

    Raises:
        InputError: the box is, or becomes, too small for the cutoff; or a film appears or vanishes.
        UnsupportedError: what the engine can't do.
    """
    if reason := refusal(engine, system, interactions, stage):
        raise UnsupportedError(reason)
    for environment in (stage.environment(stage.first_step), stage.end):
        if (environment.thickness_nm is None) != (system.thickness_nm is None):
            raise InputError(
                f"stage '{stage.name}': a film has walls from its first stage on, or none at all"
            )
        check_system(compressed(system, environment), interactions, engine)


def without_steric(system: System) -> System:
    """Return the system with its electrostatics alone."""
    bodies = tuple(
        replace(body, sites=tuple(replace(site, sigma_nm=0.0) for site in body.sites))
        for body in system.bodies
    )
    return replace(system, bodies=bodies)
