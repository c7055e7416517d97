"""How long the wires of a cluster are at equilibrium, at any concentration, in about a minute.

Aggregates of one to some dozens of clusters are sampled alone (`engines.monte_carlo.aggregates`);
their configurational integrals give the association law (`analysis.association`), and the law the
lengths. Nothing is left of the history of a run, and nothing is known of a drop that dries too
fast for equilibrium.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dipolar_md import theory
from dipolar_md.analysis.association import (
    HELD,
    AssociationLaw,
    Populations,
    UnmeasuredError,
    fitted_line,
)
from dipolar_md.analysis.bonds import CRITERIA, DEFAULT_CRITERION
from dipolar_md.analysis.timeseries import Estimate
from dipolar_md.chemistry.cluster import Cluster, load_cluster
from dipolar_md.errors import InputError
from dipolar_md.model.body import Body, coarse_grain
from dipolar_md.model.expectation import contact_coupling
from dipolar_md.model.interactions import Interactions
from dipolar_md.units import MILLIMOLAR, REFERENCE_TEMPERATURE_K

if TYPE_CHECKING:
    from dipolar_md.engines.monte_carlo.aggregates import Aggregates

CONCENTRATIONS_mM = (0.1, 1.0, 3.0, 10.0, 30.0, 100.0)
LARGEST = 24
"""Clusters of the largest aggregate that is sampled."""
_NEAREST = 10.0  # kT of repulsion: nearer, no two clusters are
_OVERLAP = 1.0  # chains per volume of one: from there on an ideal mixture is doubtful
_WIRE = 2.0  # mean chain length from which on a cluster wires


@dataclass(frozen=True)
class AtConcentration:
    """Lengths at one concentration; each with its standard error.

    Attributes:
        concentration_mM: Concentration of all clusters together.
        mean_chain_length: Number mean over all chains and free clusters, by the default criterion.
        tail_mean_length: Mean length of the long chains, by the default criterion.
        held_tail_mean_length: Mean length of long chains of all that hangs together.
        mean_wire_length_nm: Contour length of the mean chain of the tail.
        held_wire_length_nm: The same of all that hangs together.
        monomer_fraction: Share of free clusters.
        ring_fraction: Share of clusters in rings, by the default criterion.
        mean_by_criterion: Number mean by other bond criteria.
        overlap: Chains per volume that one of them fills, (4π/3) R_g³.
    """

    concentration_mM: float
    mean_chain_length: Estimate
    tail_mean_length: Estimate
    held_tail_mean_length: Estimate
    mean_wire_length_nm: Estimate
    held_wire_length_nm: Estimate
    monomer_fraction: Estimate
    ring_fraction: Estimate
    mean_by_criterion: Mapping[str, Estimate]
    overlap: Estimate


@dataclass(frozen=True)
class Variant:
    """A prediction for one set of assumptions.

    Attributes:
        polarisability_nm3: Polarisability volume of a cluster; 0 without polarisation.
        axial_contact_nm: Contact head to tail.
        relative_permittivity: Permittivity of the medium.
        coupling: λ at contact, of the permanent dipoles.
        association_constant_per_mM: Association constant κ of a bond inside a long chain.
        tail_amplitude_mM: Price B of two chain ends.
        log_cooperativity: ln Bκ, 0 where every bond is worth the same.
        law: `isodesmic` or `cooperative`, as the integrals say.
        bond_energy_kJ_mol: Energy of a bond inside a long chain, van 't Hoff's enthalpy of κ.
        spacing_nm: Length of a chain per bond.
        breaks_per_bond: Share of the bonds of a long chain that are none by the default criterion.
        by_concentration: Lengths at each concentration.
    """

    polarisability_nm3: float
    axial_contact_nm: float
    relative_permittivity: float
    coupling: float
    association_constant_per_mM: Estimate
    tail_amplitude_mM: Estimate
    log_cooperativity: Estimate
    law: str
    bond_energy_kJ_mol: Estimate
    spacing_nm: Estimate
    breaks_per_bond: Estimate
    by_concentration: tuple[AtConcentration, ...]


@dataclass(frozen=True)
class LengthPrediction:
    """Equilibrium lengths of a cluster's wires.

    Attributes:
        cluster: Name of the cluster.
        temperature_K: Temperature.
        variants: Predictions by set of assumptions.
        unmeasured: Assumptions by which bonds are too strong to be measured in the time given.
    """

    cluster: str
    temperature_K: float
    variants: tuple[Variant, ...]
    unmeasured: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """Does it wire, how long, and what decides it, in plain words."""
        if not self.variants:
            return f"{self.cluster}: nothing was predicted. {' '.join(self.unmeasured)}".rstrip()
        at = [variant.by_concentration[-1] for variant in self.variants]
        lengths = [one.held_wire_length_nm.value for one in at]
        low, high = min(lengths), max(lengths)
        where = f"at {at[0].concentration_mM:g} mM"
        if max(one.mean_chain_length.value for one in at) < _WIRE:
            return f"{self.cluster} doesn't wire {where}: mean chain length below {_WIRE:g}."
        span = _length(low) + (f" to {_length(high)}" if high >= 1.2 * low else "")
        wires = "wires" if min(one.mean_chain_length.value for one in at) >= _WIRE else "may wire"
        decides = "" if high < 2 * low else f"; {self._decisive()} decides"
        return f"{self.cluster} {wires} {where}: {span} at equilibrium{decides}."

    def _decisive(self) -> str:
        """Return which assumption moves the length most, all others being alike."""
        names = {
            "polarisability_nm3": "polarisability",
            "axial_contact_nm": "contact",
            "relative_permittivity": "permittivity",
        }
        spread = dict.fromkeys(names, 0.0)
        for a in self.variants:
            for b in self.variants:
                differ = [name for name in names if getattr(a, name) != getattr(b, name)]
                if len(differ) == 1:
                    ratio = math.log(
                        a.by_concentration[-1].held_wire_length_nm.value
                        / b.by_concentration[-1].held_wire_length_nm.value
                    )
                    spread[differ[0]] = max(spread[differ[0]], abs(ratio))
        return names[max(spread, key=lambda name: spread[name])]

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as JSON takes it, each statistic with `_err`."""
        return {
            "cluster": self.cluster,
            "temperature_K": self.temperature_K,
            "sentence": self.sentence,
            "variants": [_plain(variant) for variant in self.variants],
            "unmeasured": list(self.unmeasured),
        }


def length_unit(nanometres: float) -> tuple[float, str]:
    """Return the unit that suits a length, from nm to m, as its nanometres and its name."""
    step = min(3, max(0, math.floor(math.log10(max(nanometres, 1.0)) / 3)))
    return 1000.0**step, ("nm", "µm", "mm", "m")[step]


def _length(nanometres: float) -> str:
    factor, unit = length_unit(nanometres)
    return f"{nanometres / factor:.3g} {unit}"


def _plain(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass, estimates as a value and its error."""
    found: dict[str, Any] = {}
    for name in (field.name for field in fields(value)):
        item = getattr(value, name)
        if isinstance(item, Estimate):
            found[name], found[f"{name}_err"] = item.value, item.error
        elif isinstance(item, tuple):
            found[name] = [_plain(one) for one in item]
        elif isinstance(item, Mapping):
            found[name] = {key: one.value for key, one in item.items()}
            found[f"{name}_err"] = {key: one.error for key, one in item.items()}
        else:
            found[name] = item
    return found


def predict_lengths(
    cluster: str | Path | Cluster,
    concentration_mM: float | Sequence[float] | None = None,
    relative_permittivity: float = 1.0,
    temperature_K: float = REFERENCE_TEMPERATURE_K,
    polarisation: float | Sequence[float] | None = None,
    axial_contact_nm: float | Sequence[float] | None = None,
    *,
    cutoff_nm: float = 10.0,
    seconds: float = 8.0,
    trials: int | None = None,
    seed: int = 1,
    progress: Callable[[str], bool] = lambda text: False,
) -> LengthPrediction:
    """Return the equilibrium lengths of a cluster's wires, isolated chains without overlap.

    Args:
        cluster: Shipped name, file, or cluster.
        concentration_mM: Concentrations of the dry state or of a solution; None for 0.1 to 100 mM.
        relative_permittivity: Permittivity of the medium; of the solvent where there is
            polarisation.
        temperature_K: Temperature.
        polarisation: Polarisability volumes in nm³; None for 0 and, where the file has one, the
            cluster's own.
        axial_contact_nm: Contacts; None for the cluster's own and its alternative.
        cutoff_nm: Truncation distance of the dipole sum.
        seconds: Time of the sampling of each variant, about.
        trials: Trials of each of ten blocks instead: the numbers then repeat.
        seed: Seed of the random numbers.
        progress: Told what is being done; True ends after the variant under way.

    Returns:
        `LengthPrediction`, a variant for each contact and polarisability.

    Raises:
        InputError: an unknown cluster, a number out of range, or polarisabilities so large that
            two clusters would polarise each other without end.
        EngineMissingError: numba is not installed.
    """
    chosen = load_cluster(cluster)
    known = chosen.polarisability_nm3
    alphas = _numbers(polarisation, (0.0,) if known is None else (0.0, float(known.value)))
    other = chosen.alternative_axial_contact_nm
    own = (chosen.axial_contact_nm.value,) + ((other.value,) if other else ())
    contacts = _numbers(axial_contact_nm, own)
    concentrations = _numbers(concentration_mM, CONCENTRATIONS_mM)
    _check("concentration_mM must be positive and finite", concentrations, lambda x: x > 0)
    _check("polarisation must be finite and not negative, in nm³", alphas, lambda x: x >= 0)
    terms = Interactions(temperature_K, relative_permittivity, cutoff_nm=cutoff_nm)
    bodies = {contact: coarse_grain(chosen, axial_contact_nm=contact) for contact in contacts}
    asked = list(itertools.product(bodies, alphas))
    for contact, alpha in asked:
        _check_polarisability(bodies[contact], alpha)
    variants, unmeasured = [], []
    for contact, alpha in asked:
        name = f"contact {contact:g} nm, polarisability {alpha:g} nm³"
        try:
            variants.append(
                _variant(bodies[contact], terms, alpha, concentrations, seconds, trials, seed)
            )
        except UnmeasuredError as error:
            unmeasured.append(f"{name}: {error}")
        if progress(name):
            break
    return LengthPrediction(chosen.name, temperature_K, tuple(variants), tuple(unmeasured))


def _check(rule: str, values: Sequence[float], holds: Callable[[float], bool]) -> None:
    """Raise where a value is not finite or doesn't hold to a rule."""
    for value in values:
        if not (math.isfinite(value) and holds(value)):
            raise InputError(f"{rule} (found {value})")


def _numbers(given: float | Sequence[float] | None, default: Sequence[float]) -> tuple[float, ...]:
    if given is None:
        return tuple(default)
    return tuple(float(x) for x in np.atleast_1d(np.asarray(given, dtype=np.float64)))


def _check_polarisability(body: Body, alpha: float) -> None:
    """Raise where a chain would polarise itself without end at a distance within reach."""
    site = body.sites[0]
    kT = site.epsilon_kJ_mol
    s6 = (1 + math.sqrt(1 + (_NEAREST - 1) * kT / site.epsilon_kJ_mol)) / 2
    theory.polarisation_gain(alpha, site.sigma_nm * s6 ** (-1 / 6))


def _variant(
    body: Body,
    terms: Interactions,
    alpha: float,
    concentrations: Sequence[float],
    seconds: float,
    trials: int | None,
    seed: int,
) -> Variant:
    """Return the prediction for one body."""
    from dipolar_md.engines.monte_carlo.aggregates import Criterion, sample_aggregates

    criteria = {
        name: Criterion(reach * body.axial_contact_nm, float(energy))
        for name, (reach, energy) in CRITERIA.items()
        if name.startswith("energy") and energy is not None
    }
    sampled = sample_aggregates(
        body,
        terms,
        criteria,
        LARGEST,
        seconds,
        seed,
        trials=trials,
        polarisability_nm3=alpha,
    )
    laws = _laws(sampled)

    def of(quantity: Callable[[AssociationLaw], float]) -> Estimate:
        return _estimate([quantity(law) for law in laws])

    cooperativity = of(lambda law: law.log_cooperativity)
    energies = [fitted_line(energy).slope for energy in sampled.energy_kJ_mol[..., 0]]
    squares = fitted_line(sampled.end_to_end2_nm2[0, :, 0])
    rows = []
    for concentration in concentrations:
        mixtures = [law.at(concentration) for law in laws]
        rows.append(_row(concentration, laws, mixtures, squares))
    return Variant(
        polarisability_nm3=alpha,
        axial_contact_nm=body.axial_contact_nm,
        relative_permittivity=terms.relative_permittivity,
        coupling=contact_coupling(body, terms.relative_permittivity, terms.temperature_K),
        association_constant_per_mM=of(lambda law: law.association_constant_per_mM),
        tail_amplitude_mM=of(lambda law: law.tail_amplitude_mM),
        log_cooperativity=cooperativity,
        law="isodesmic"
        if abs(cooperativity.value) < 3 * (cooperativity.error or 0.0)
        else "cooperative",
        bond_energy_kJ_mol=_estimate(energies),
        spacing_nm=of(lambda law: law.spacing_nm),
        breaks_per_bond=of(lambda law: law.breaks_per_bond(DEFAULT_CRITERION)),
        by_concentration=tuple(rows),
    )


def _row(
    concentration: float,
    laws: Sequence[AssociationLaw],
    mixtures: Sequence[Populations],
    squares: tuple[float, float],
) -> AtConcentration:
    """Return the lengths at one concentration from all but each block."""

    def of(quantity: Callable[[Populations], float]) -> Estimate:
        return _estimate([quantity(mixture) for mixture in mixtures])

    def wire(name: str) -> Estimate:
        pairs = zip(laws, mixtures, strict=True)
        return _estimate([(m.tail_mean_length[name] - 1) * law.spacing_nm for law, m in pairs])

    def overlap(mixture: Populations) -> float:
        length = mixture.tail_mean_length[HELD]
        radius2 = max(squares[0] + squares[1] * length, 0.0) / 6
        volume = 4 * math.pi / 3 * math.sqrt(radius2) ** 3
        return concentration * MILLIMOLAR / length * volume

    return AtConcentration(
        concentration_mM=concentration,
        mean_chain_length=of(lambda m: m.mean_chain_length[DEFAULT_CRITERION]),
        tail_mean_length=of(lambda m: m.tail_mean_length[DEFAULT_CRITERION]),
        held_tail_mean_length=of(lambda m: m.tail_mean_length[HELD]),
        mean_wire_length_nm=wire(DEFAULT_CRITERION),
        held_wire_length_nm=wire(HELD),
        monomer_fraction=of(lambda m: m.monomer_fraction),
        ring_fraction=of(lambda m: m.ring_fraction[DEFAULT_CRITERION]),
        mean_by_criterion={
            name: of(lambda m, name=name: m.mean_chain_length[name])  # type: ignore[misc]
            for name in mixtures[0].mean_chain_length
        },
        overlap=of(overlap),
    )


def _laws(sampled: "Aggregates") -> list[AssociationLaw]:
    """Return the law of all blocks, and those without each."""
    return [
        AssociationLaw.from_kinds(
            log,
            sampled.over_open[k],
            {name: values[k] for name, values in sampled.parts.items()},
            {name: values[k] for name, values in sampled.ring_share.items()},
            sampled.contour_nm[k],
        )
        for k, log in enumerate(sampled.log_integral)
    ]


def _estimate(values: Sequence[float]) -> Estimate:
    """Return the first value, and the jackknife's error from the others."""
    others = np.array(values[1:], dtype=np.float64)
    count = len(others)
    spread = (count - 1) / count * float(((others - others.mean()) ** 2).sum())
    return Estimate(float(values[0]), math.sqrt(spread))
