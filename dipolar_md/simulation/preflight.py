"""Is a recipe meaningful? Checked before anything starts or is written."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dipolar_md import theory
from dipolar_md.engines.capabilities import MOVING_INDUCTION
from dipolar_md.engines.springs import LARGEST_ARM_NM, longest_time_step
from dipolar_md.engines.stage import Environment, Stage
from dipolar_md.errors import InputError, UnsupportedError
from dipolar_md.model.body import Body
from dipolar_md.model.contacts import bond, closest_approach
from dipolar_md.model.expectation import contact_coupling, expected_mean_length
from dipolar_md.model.polarisation import catastrophe_share, chain_gain
from dipolar_md.parameters import parameter_file
from dipolar_md.simulation.plan import Plan, make_plan
from dipolar_md.simulation.recipe import Recipe
from dipolar_md.units import MILLIMOLAR, thermal_energy

MOST_STEPS = 1e13
"""Largest number of steps of a run: a century on the fastest device."""
MOST_FRAMES = 1e8
"""Largest number of frames of a run."""
MAX_VOLUME_FRACTION = 0.45
MAX_SCALING = 0.1
"""Largest change of the box length in one chunk of a ramp; 0.025 in the shipped drop-cast."""
MIN_CHARGE_DISTANCE_NM = 0.9
SPENT_KT = 10.0
"""Energy with which two clusters may run into each other."""
SOLVENT_TOLERANCE = 0.1
"""By how much a stage's permittivity may differ from its solvent's, as at another temperature."""
MAX_PHASE_PER_STEP = 0.5
"""Largest ω Δt: at 0.7 the shipped drop-cast blows up, at 0.46 its kT holds within 1 %."""


class StageOutlook(NamedTuple):
    """What theory expects at the end of a stage.

    Attributes:
        name: Name of the stage.
        steps: Steps of the stage.
        environment: Environment at its end.
        box_nm: Edge of the cubic box, or of the film.
        volume_fraction: Volume fraction of spheres of the axial contact.
        coupling: λ at contact of the most strongly coupled component.
        expected_mean_length: Ideal association of that component at the whole concentration.
    """

    name: str
    steps: int
    environment: Environment
    box_nm: float
    volume_fraction: float
    coupling: float
    expected_mean_length: float


def preflight(recipe: str | Path | Recipe | Plan) -> list[StageOutlook]:
    """Return what to expect of each stage.

    Args:
        recipe: Shipped name, file, `Recipe` or `Plan`.

    Returns:
        What theory expects at the end of each stage.

    Raises:
        InputError: An unknown reference, a box too small for the cutoff, a density that can't flow,
            a polarisation catastrophe, ligands that count twice, or a time step that can't follow
            the fastest motion; each with what to change.
        UnsupportedError: Induced dipoles that no engine moves.
    """
    plan = make_plan(recipe)
    if plan.recipe.reference is not None:
        parameter_file("references", plan.recipe.reference)
    _check_size(plan)
    cutoff = _smallest_half_edge(plan)
    for body in plan.counts:
        _check_charges(body)
        _check_polarisation(plan, body)
        _check_springs(plan, body)
    outlooks = [_outlook(plan, stage, cutoff) for stage in plan.stages]
    for body in () if plan.samples_equilibrium else plan.counts:
        _check_time_step(plan, plan.stages[0], body)
    return outlooks


def _check_size(plan: Plan) -> None:
    """Raise where a run could never end, or a neighbour list would take all memory."""
    if plan.total_steps > MOST_STEPS:
        key = "sweeps" if plan.samples_equilibrium else "time_ns, or raise time_step_ps"
        raise InputError(
            f"{plan.total_steps:.2g} steps are asked for, at most {MOST_STEPS:g}; lower {key}"
        )
    if plan.total_steps / plan.frame_steps > MOST_FRAMES:
        raise InputError(
            f"{plan.total_steps / plan.frame_steps:.2g} frames are asked for, at most "
            f"{MOST_FRAMES:g}; raise frame_interval_ns (or frame_interval_sweeps)"
        )
    reach = max(plan.recipe.cutoff_nm or 0.0, 2 * _largest_contact(plan))
    for stage in plan.stages:
        if stage.skin_nm is not None and stage.skin_nm > reach:
            raise InputError(
                f"stage '{stage.name}': skin_nm = {stage.skin_nm:g} is too wide: every cluster "
                f"would keep too many neighbours; at most {reach:.3g} nm"
            )


def _smallest_half_edge(plan: Plan) -> float:
    """Return half of the shortest edge (nm) that a box may have: the cutoff, or two contacts."""
    contacts = 2 * _largest_contact(plan)
    if plan.interactions.electrostatics != "cutoff":
        return contacts
    cutoff = plan.interactions.cutoff_nm
    if cutoff < contacts:
        raise InputError(
            f"cutoff_nm = {cutoff:g} cuts off neighbours in a chain; at least two "
            f"contacts, {contacts:.4g} nm"
        )
    return cutoff


def _largest_contact(plan: Plan) -> float:
    return max(body.axial_contact_nm for body in plan.counts)


def _outlook(plan: Plan, stage: Stage, cutoff: float) -> StageOutlook:
    """Return what to expect of a stage, or raise where it makes no sense."""
    _check_box(plan, stage, stage.start, cutoff)
    edge, fraction = _check_box(plan, stage, stage.end, cutoff)
    _check_compression(stage)
    temperature, permittivity, concentration = stage.end[:3]
    strongest = max(plan.counts, key=lambda b: contact_coupling(b, permittivity, temperature))
    return StageOutlook(
        stage.name,
        stage.steps,
        stage.end,
        edge,
        fraction,
        contact_coupling(strongest, permittivity, temperature),
        expected_mean_length(strongest, permittivity, temperature, concentration),
    )


def _check_box(
    plan: Plan, stage: Stage, environment: Environment, cutoff: float
) -> tuple[float, float]:
    """Return edge (nm) and volume fraction of a box, or raise where it is too small or too full."""
    volume = plan.n_clusters / (environment.concentration_mM * MILLIMOLAR)
    film = environment.thickness_nm
    edge = volume ** (1 / 3) if film is None else (volume / film) ** 0.5
    if edge < 2 * cutoff:
        height = film or 2 * cutoff
        fewest = math.ceil((2 * cutoff) ** 2 * height * environment.concentration_mM * MILLIMOLAR)
        raise InputError(
            f"stage '{stage.name}': box too small for the cutoff: edge {edge:.4g} nm < "
            f"2 x cutoff_nm = {2 * cutoff:.4g} nm; raise n_clusters to at least "
            f"{fewest}, or lower cutoff_nm or concentration_mM"
        )
    largest = _largest_contact(plan)
    if film is not None and film < 1.5 * largest:
        raise InputError(
            f"stage '{stage.name}': thickness_nm = {film:g} is too thin: clusters of "
            f"{largest:g} nm need at least {1.5 * largest:.2f} nm"
        )
    spheres = sum(n * body.axial_contact_nm**3 for body, n in plan.counts.items())
    fraction = math.pi / 6 * spheres / volume
    if fraction > MAX_VOLUME_FRACTION:
        raise InputError(
            f"stage '{stage.name}': concentration_mM = {environment.concentration_mM:g} is "
            f"too dense: volume fraction {fraction:.2f}, at most {MAX_VOLUME_FRACTION}"
        )
    return edge, fraction


def _check_compression(stage: Stage) -> None:
    """Raise where a chunk would scale the box by more than `MAX_SCALING`."""
    one, other = stage.start, stage.end
    total = math.log(other.concentration_mM / one.concentration_mM) / 3
    if one.thickness_nm and other.thickness_nm:
        across = math.log(one.thickness_nm / other.thickness_nm)
        total = max(across, (3 * total - across) / 2, key=abs)
    chunks = math.ceil(stage.steps / stage.chunk_steps)
    if abs(total) / chunks > MAX_SCALING:
        longest = math.floor(stage.steps / math.ceil(abs(total) / MAX_SCALING))
        finer = f"lower chunk_steps (now {stage.chunk_steps}) to {longest} or " if longest else ""
        raise InputError(
            f"stage '{stage.name}': the box changes by {100 * abs(total) / chunks:.0f} % in "
            f"length per chunk, at most {100 * MAX_SCALING:g} %; {finer}raise time_ns"
        )


def _check_charges(body: Body) -> None:
    """Raise where unlike charges of neighbours in contact come too near to each other."""
    extent = max((abs(site.position_nm[2]) for site in body.sites if site.charge_e), default=0.0)
    gap = body.axial_contact_nm - 2 * extent
    if body.has_charges and gap < MIN_CHARGE_DISTANCE_NM:
        raise InputError(
            f"'{body.name}': unlike charges of neighbours in contact are {gap:.3g} nm apart, "
            f"at least {MIN_CHARGE_DISTANCE_NM} nm are needed; use dipole = 'point'"
        )


def _check_polarisation(plan: Plan, body: Body) -> None:
    """Raise before a polarisation catastrophe, or where the ligands' answer is counted twice."""
    if not body.polarisability_nm3:
        return
    _check_that_it_moves(plan, body)
    if not plan.recipe.screening_beside_polarisation:
        _check_screening(plan)
    ends = [plan.stages[0].start, *(stage.end for stage in plan.stages)]
    permittivities = [environment.relative_permittivity for environment in ends]
    nearest = _nearest(plan, body)
    points = body.polarisable_points.screened(min(permittivities))
    share = catastrophe_share(points, nearest)
    if share >= 1:
        raise InputError(
            f"polarisation catastrophe within reach of '{body.name}' and '{body.name}': at "
            f"{nearest:.4g} nm, which {SPENT_KT:g} kT allow, a chain of them with "
            f"{body.polarisability_nm3:g} nm3 each polarises itself without end; at most "
            f"{body.polarisability_nm3 / share:.3g} nm3 are possible. Lower polarisability_nm3, or "
            "solve a larger σ (contact_calibration = 'with-polarisation')"
        )


def _check_that_it_moves(plan: Plan, body: Body) -> None:
    """Raise where no engine moves clusters with such induced dipoles."""
    summed = plan.interactions.electrostatics == "ewald"
    charged = not plan.samples_equilibrium  # dynamics: springs; Monte Carlo: points
    if body.polarisable_points.damped or not body.has_charges == summed == charged:
        recipe = plan.recipe
        raise UnsupportedError(
            f"polarisation = '{recipe.polarisation}' with dipole = '{recipe.dipole}' and "
            f"electrostatics = '{recipe.electrostatics}' moves in no engine, though engine "
            f"'direct' evaluates it and describe says what theory expects: {MOVING_INDUCTION}"
        )


def _check_screening(plan: Plan) -> None:
    """Raise where a stage has a permittivity that is not its solvent's.

    What a stage leaves out stays as it was, the solvent with the permittivity.
    """
    solvent, expected = "no solvent is named", 0.0
    for spec, stage in zip(plan.recipe.stages, plan.stages, strict=True):
        if spec.solvent is not None:
            expected = spec.solvent_permittivity or 0.0
            solvent = f"solvent '{spec.solvent}' has {expected:g}"
        elif spec.relative_permittivity is not None:
            solvent, expected = "no solvent is named", 0.0
        found = stage.end.relative_permittivity
        if found > 1 and abs(found - expected) > SOLVENT_TOLERANCE * found:
            raise InputError(
                f"stage '{stage.name}': relative_permittivity = {found:g} beside polarisation = "
                f"'{plan.recipe.polarisation}', and {solvent}: a dry film's permittivity is the "
                "clusters' own answer, which would count twice. End at 1, name the solvent "
                f"(stages.{stage.name}.solvent), or set screening_beside_polarisation = true"
            )


def _nearest(plan: Plan, body: Body) -> float:
    """Return how near (nm) two bodies come to each other when they are hottest."""
    ends = [plan.stages[0].start, *(stage.end for stage in plan.stages)]
    hottest = max(environment.temperature_K for environment in ends)
    return closest_approach(body, SPENT_KT * thermal_energy(hottest))


def _check_springs(plan: Plan, body: Body) -> None:
    """Raise where Δt is too long for induced dipoles on springs."""
    if not body.polarisability_nm3 or body.polarisable_points.damped or not body.has_charges:
        return
    longest = longest_time_step(body, _nearest(plan, body))
    step = plan.stages[0].time_step_ps
    if step > longest:
        raise InputError(
            f"time_step_ps = {step:g} is too long for the induced dipoles of '{body.name}': their "
            f"springs would reach farther than {LARGEST_ARM_NM} nm in a chain; at most "
            f"{_rounded_down(longest):.2g} ps"
        )


def _check_time_step(plan: Plan, stage: Stage, body: Body) -> None:
    """Raise where Δt is too long for libration, vibration or friction of a body in a chain."""
    ends = [plan.stages[0].start, *(stage.end for stage in plan.stages)]
    weakest = min(environment.relative_permittivity for environment in ends)
    scale = theory.dipole_energy_scale(body.dipole_magnitude_e_nm, relative_permittivity=weakest)
    points = body.polarisable_points.screened(weakest)
    scale = scale * chain_gain(points, body.axial_contact_nm)  # induction binds more tightly
    r, stiffness = bond(body, float(scale))
    inertia = min(body.inertia_Da_nm2)
    largest = max(body.sites, key=lambda site: site.sigma_nm)
    collision = 456 * largest.epsilon_kJ_mol / largest.sigma_nm**2  # of WCA at σ, where it is kT
    springs = np.array([2 * max(stiffness, collision), 4 * scale / r**3])
    inertias = np.array([body.mass_Da, inertia])
    frictions = np.array(stage.frictions_of(body))
    if stage.integrator == "brownian":  # no inertia: springs relax against friction
        fastest = springs / frictions
    else:
        fastest = np.concatenate([np.sqrt(springs / inertias), frictions / inertias])
    longest = MAX_PHASE_PER_STEP / float(fastest.max())
    if stage.time_step_ps > longest:
        raise InputError(
            f"time_step_ps = {stage.time_step_ps:g} is too long for '{body.name}': its fastest "
            f"motion in a chain (or its friction) allows at most {_rounded_down(longest):.2g} ps"
        )


def _rounded_down(value: float) -> float:
    """Return a bound in two digits that must work."""
    digits = 10.0 ** (1 - math.floor(math.log10(value)))
    return math.floor(value * digits) / digits
