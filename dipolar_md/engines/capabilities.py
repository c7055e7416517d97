"""What each engine can do, and the checks that refuse the rest before anything starts."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import NamedTuple

from dipolar_md.engines.stage import Stage, compressed
from dipolar_md.errors import InputError, UnsupportedError
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System


class Feature(StrEnum):
    """What a system, its interactions, a stage or a machine may ask of an engine."""

    SPHERES = "spheres"
    BODIES = "bodies of several sites"
    SPHERES_AND_BODIES = "spheres and bodies of several sites in one box"
    POINTS_TRUNCATED = "point dipoles, truncated"
    POINTS_EWALD = "point dipoles, Ewald"
    CHARGES_TRUNCATED = "site charges, truncated"
    CHARGES_EWALD = "site charges, Ewald"
    POINTS_BESIDE_CHARGES = "point dipoles beside site charges"
    POLARISED_CENTRES = "polarisability at the centre, with site charges, Ewald"
    POLARISED_POINTS = "polarisability at the centre, with point dipoles, truncated"
    POLARISED_OTHERWISE = "polarisability at the centre, otherwise"
    POLARISED_SITES = "polarisability on several sites"
    FIELD_ON_INDUCED = "uniform electric field on induced dipoles"
    BROWNIAN_INDUCED = "Brownian dynamics of induced dipoles"
    LANGEVIN = "Langevin dynamics"
    BROWNIAN = "Brownian dynamics"
    NVE = "constant energy"
    EQUILIBRIUM = "equilibrium sampling"
    FILM_TRUNCATED = "film between walls, truncated"
    FILM_EWALD = "film between walls, Ewald"
    FIELD = "uniform electric field"
    TILTED = "tilted boxes"
    GPU = "GPU"
    THREADS = "several CPU threads"
    RANKS = "several MPI ranks"


class Support(Enum):
    """Whether an engine has a feature."""

    YES = "yes"
    WITH_CHARGES = "with site charges"
    NO = "no"


class Capability(NamedTuple):
    """What an engine makes of a feature.

    Attributes:
        support: Whether it has it.
        reason: Why not, or not always; empty where it simply can.
    """

    support: Support
    reason: str = ""


YES = Capability(Support.YES)


def no(reason: str) -> Capability:
    """Return that an engine can't, and why."""
    return Capability(Support.NO, reason)


_BARE_CUT = no("a sum of charges that is cut depends on where")
_CHARGES_ON_SPRINGS = no("induced dipoles are charges on springs, beside charges in a mesh")
_UNDAMPED = no("its charges on springs aren't damped")
_STIFF = no("springs are too stiff for a motion without inertia")
_STRAIGHT = no("boxes are straight here")
_TIMED = no("it follows motion in time, which leads to equilibrium or not")

CAPABILITIES: Mapping[Feature, Mapping[str, Capability]] = MappingProxyType(
    {
        Feature.SPHERES: {"hoomd": YES, "lammps": YES, "monte_carlo": YES},
        Feature.BODIES: {"hoomd": YES, "lammps": YES},
        Feature.SPHERES_AND_BODIES: {
            "hoomd": YES,
            "lammps": no("its integrator of bodies leaves lone spheres where they are"),
        },
        Feature.POINTS_TRUNCATED: {"hoomd": YES, "lammps": YES, "monte_carlo": YES},
        Feature.POINTS_EWALD: {"hoomd": no("its mesh knows charges only"), "lammps": YES},
        Feature.CHARGES_TRUNCATED: {"hoomd": _BARE_CUT, "lammps": _BARE_CUT},
        Feature.CHARGES_EWALD: {"hoomd": YES, "lammps": YES},
        Feature.POINTS_BESIDE_CHARGES: {
            "hoomd": no("its dipole formula counts charges, too"),
            "lammps": no("one pair style serves a box: dipoles or charges"),
        },
        Feature.POLARISED_CENTRES: {"hoomd": YES, "lammps": YES},
        Feature.POLARISED_POINTS: {
            "hoomd": _CHARGES_ON_SPRINGS,
            "lammps": _CHARGES_ON_SPRINGS,
            "monte_carlo": YES,
        },
        Feature.POLARISED_OTHERWISE: {"hoomd": _CHARGES_ON_SPRINGS, "lammps": _CHARGES_ON_SPRINGS},
        Feature.POLARISED_SITES: {"hoomd": _UNDAMPED, "lammps": _UNDAMPED},
        Feature.FIELD_ON_INDUCED: {
            "hoomd": no("its field of charges counts from the box's middle, not across borders"),
            "lammps": YES,
            "monte_carlo": YES,
        },
        Feature.BROWNIAN_INDUCED: {"hoomd": _STIFF, "lammps": _STIFF},
        Feature.LANGEVIN: {"hoomd": YES, "lammps": YES},
        Feature.BROWNIAN: {
            "hoomd": YES,
            "lammps": no("its integrator of bodies has inertia"),
        },
        Feature.NVE: {"hoomd": YES, "lammps": YES},
        Feature.EQUILIBRIUM: {"hoomd": _TIMED, "lammps": _TIMED, "monte_carlo": YES},
        Feature.FILM_TRUNCATED: {"hoomd": YES, "lammps": YES, "monte_carlo": YES},
        Feature.FILM_EWALD: {
            "hoomd": no("its mesh repeats the film along z"),
            "lammps": Capability(Support.WITH_CHARGES, "its mesh of dipoles is not used in films"),
        },
        Feature.FIELD: {"hoomd": YES, "lammps": YES, "monte_carlo": YES},
        Feature.TILTED: {"hoomd": _STRAIGHT, "lammps": _STRAIGHT},
        Feature.GPU: {"hoomd": YES, "lammps": no("it runs on the CPU here")},
        Feature.THREADS: {"hoomd": no("it is driven on one core or one GPU"), "lammps": YES},
        Feature.RANKS: {"hoomd": no("it is driven on one core or one GPU"), "lammps": YES},
    }
)
"""What each engine makes of each feature; an engine that a row doesn't name can't."""

ENGINES: Mapping[str, str] = MappingProxyType(
    {"hoomd": "HOOMD-blue", "lammps": "LAMMPS", "monte_carlo": "Monte Carlo"}
)
"""Engines of the table, by the name in its head."""

MOVING_INDUCTION = (
    "molecular dynamics needs polarisation = 'centre', dipole = 'charges' and electrostatics = "
    "'ewald'; Monte Carlo polarisation = 'centre', dipole = 'point' and electrostatics = 'cutoff'"
)
"""What engines that move clusters can do with induced dipoles."""

_OF_INDUCTION = (Feature.POLARISED_POINTS, Feature.POLARISED_OTHERWISE, Feature.POLARISED_SITES)
_INTEGRATORS = {
    "langevin": Feature.LANGEVIN,
    "brownian": Feature.BROWNIAN,
    "nve": Feature.NVE,
    "equilibrium": Feature.EQUILIBRIUM,
}


def capability(feature: Feature, engine: str) -> Capability:
    """Return what an engine makes of a feature."""
    return CAPABILITIES[feature].get(engine, no("it isn't made for it"))


def capability_table() -> str:
    """Return the capabilities as a Markdown table."""
    lines = ["| | " + " | ".join(ENGINES.values()) + " |", "|---" * (len(ENGINES) + 1) + "|"]
    for feature in Feature:
        cells = " | ".join(capability(feature, name).support.value for name in ENGINES)
        lines.append(f"| {feature} | {cells} |")
    return "\n".join(lines) + "\n"


def features(
    system: System, interactions: Interactions, stage: Stage | None = None
) -> list[Feature]:
    """Return what a system, its interactions and a stage ask of an engine.

    Raises:
        UnsupportedError: No engine has the integrator of the stage.
    """
    needed = [
        *_of_induction(system, interactions, stage),
        *_of_bodies(system, interactions),
        *_of_surroundings(system, interactions, stage),
    ]
    if stage:
        if stage.integrator not in _INTEGRATORS:
            raise UnsupportedError(
                f"no integrator '{stage.integrator}'; use {', '.join(_INTEGRATORS)}"
            )
        needed.append(_INTEGRATORS[stage.integrator])
    return needed


def _of_induction(
    system: System, interactions: Interactions, stage: Stage | None
) -> Iterator[Feature]:
    """Yield what induced dipoles ask for."""
    polarisable = [body for body in system.bodies if body.polarisability_nm3]
    if not polarisable:
        return
    charged = all(body.has_charges for body in system.bodies)
    if any(body.polarisable_points.damped for body in polarisable):
        yield Feature.POLARISED_SITES
    elif charged and interactions.electrostatics == "ewald":
        yield Feature.POLARISED_CENTRES
    elif interactions.electrostatics == "cutoff" and not any(b.has_charges for b in system.bodies):
        yield Feature.POLARISED_POINTS
    else:
        yield Feature.POLARISED_OTHERWISE
    if _has_field(interactions, stage):
        yield Feature.FIELD_ON_INDUCED
    if stage and stage.integrator == "brownian":
        yield Feature.BROWNIAN_INDUCED


def _has_field(interactions: Interactions, stage: Stage | None) -> bool:
    fields = [interactions.field_V_nm]
    if stage:
        fields += [stage.start.field_V_nm, stage.end.field_V_nm]
    return any(map(any, fields))


def _of_bodies(system: System, interactions: Interactions) -> Iterator[Feature]:
    """Yield what the bodies ask for."""
    several = {len(body.sites) > 1 for body in system.bodies}
    charged = {body.has_charges for body in system.bodies}
    long_range = interactions.electrostatics == "ewald"
    yield Feature.BODIES if True in several else Feature.SPHERES
    if len(several) > 1:
        yield Feature.SPHERES_AND_BODIES
    if len(charged) > 1:
        yield Feature.POINTS_BESIDE_CHARGES
    if True in charged:
        yield Feature.CHARGES_EWALD if long_range else Feature.CHARGES_TRUNCATED
    else:
        yield Feature.POINTS_EWALD if long_range else Feature.POINTS_TRUNCATED


def _of_surroundings(
    system: System, interactions: Interactions, stage: Stage | None
) -> Iterator[Feature]:
    """Yield what box, walls and field ask for."""
    if system.thickness_nm is not None:
        long_range = interactions.electrostatics == "ewald"
        yield Feature.FILM_EWALD if long_range else Feature.FILM_TRUNCATED
    if _has_field(interactions, stage):
        yield Feature.FIELD
    if system.box[3:].any():
        yield Feature.TILTED


def refusal(
    engine: str, system: System, interactions: Interactions, stage: Stage | None = None
) -> str | None:
    """Return why an engine can't do what is asked, naming the one that can, or None."""
    charged = any(body.has_charges for body in system.bodies)
    if engine == "direct":
        return _direct_refusal(system, interactions, charged)
    able = {Support.YES, Support.WITH_CHARGES} if charged else {Support.YES}
    for feature in features(system, interactions, stage):
        found = capability(feature, engine)
        if found.support not in able:
            hint = _hint(feature, found, engine)
            return f"engine '{engine}' can't do {feature}; {hint} ({found.reason})"
    return None


def _hint(feature: Feature, found: Capability, engine: str) -> str:
    """Return how a refused feature can be had."""
    if found.support is Support.WITH_CHARGES:
        return "use dipole = 'charges'"
    if feature in _OF_INDUCTION:
        return f"engine 'direct' evaluates it; {MOVING_INDUCTION}"
    if feature is Feature.CHARGES_TRUNCATED:
        return "use electrostatics = 'ewald', or dipole = 'point'"
    others = [
        name
        for name, other in CAPABILITIES[feature].items()
        if name != engine and other.support is not Support.NO
    ]
    return f"engine '{others[0]}' can" if others else "no engine can"


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
        InputError: the box is, or becomes, too small for the cutoff; a film appears or vanishes; or
            the interactions are for another environment than the stage starts in.
        UnsupportedError: what the engine can't do.
    """
    if reason := refusal(engine, system, interactions, stage):
        raise UnsupportedError(reason)
    if reason := stage.refusal(interactions):
        raise InputError(reason)
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
