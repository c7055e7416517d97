"""One configuration in every engine that is here, held against direct sums and each other."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dipolar_md.engines.capabilities import refusal
from dipolar_md.engines.choice import choose_engine, inspect_engine
from dipolar_md.engines.direct import DirectEngine
from dipolar_md.engines.ewald import errors_of
from dipolar_md.engines.protocol import DeviceName, Evaluation, Floats
from dipolar_md.errors import UnsupportedError
from dipolar_md.model.interactions import Interactions
from dipolar_md.model.system import System

TOLERANCE = {"cpu": 1e-9, "gpu": 1e-5}
"""Largest relative difference where nothing is approximated, by device."""
_LARGEST = 20_000  # sites of a direct sum


class Difference(NamedTuple):
    """How far one engine lies from the reference.

    Attributes:
        engine, device: the engine.
        energies: Difference by term, kJ/mol, of the whole system.
        force: Largest difference of a force over the largest force; with an Ewald sum the rms
            difference over the contact force.
        torque: The same of torques.
        tolerance: What force and torque may differ by.
        note: Why the engine was left out, else empty.
    """

    engine: str
    device: str
    energies: dict[str, float]
    force: float
    torque: float
    tolerance: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the differences are within tolerance; an engine left out doesn't fail."""
        return bool(self.note) or max(self.force, self.torque) <= self.tolerance


class Verification(NamedTuple):
    """What `verify` found.

    Attributes:
        reference: Engine that the others are held against.
        energies: Energies of the reference by term, kJ/mol.
        differences: One per engine and device.
        truncation_bias_kJ_mol: Truncated minus Ewald electrostatic energy per cluster; None with an
            Ewald sum, in a film or where it can't be had.
    """

    reference: str
    energies: dict[str, float]
    differences: tuple[Difference, ...]
    truncation_bias_kJ_mol: float | None

    @property
    def passed(self) -> bool:
        """Whether all engines agree, and there was one at all."""
        ran = [d for d in self.differences if not d.note]
        return bool(ran) and all(d.passed for d in ran)


def verify(system: System, interactions: Interactions) -> Verification:
    """Evaluate a configuration in every engine available and compare.

    The reference is the direct sum where it can be had (`DirectEngine`), else the first engine.

    Args:
        system: Configuration to evaluate.
        interactions: Interactions and their environment.

    Returns:
        `Verification`, with a difference per engine and device.

    Raises:
        UnsupportedError: no engine here can evaluate it.
    """
    long_range = interactions.electrostatics == "ewald"
    found: dict[tuple[str, str], Evaluation] = {}
    left_out: list[Difference] = []
    small = len(system.site_owners) <= _LARGEST and not (long_range and system.thickness_nm)
    if small and not refusal("direct", system, interactions):
        found["direct", "cpu"] = DirectEngine().evaluate(system, interactions)
    machines: tuple[tuple[str, DeviceName], ...] = (
        ("lammps", "cpu"),
        ("hoomd", "cpu"),
        ("hoomd", "gpu"),
    )
    for name, where in machines:
        finding = inspect_engine(name, where)
        note = finding.note if not finding.usable else refusal(name, system, interactions) or ""
        if note:
            left_out.append(Difference(name, where, {}, np.nan, np.nan, np.nan, note))
            continue
        engine, _ = choose_engine(name, where)  # type: ignore[arg-type]
        found[name, where] = engine.evaluate(system, interactions)
    if not found:
        raise UnsupportedError(
            "no engine here can evaluate this: " + "; ".join(d.note for d in left_out)
        )
    (reference, _), exact = next(iter(found.items()))
    differences = []
    for (name, machine), one in list(found.items())[1:]:
        if long_range:
            force, torque = errors_of(one, exact, interactions.contact_scales(system.bodies))
            tolerance = interactions.ewald_accuracy
        else:
            force = _relative(one.forces, exact.forces)
            torque = _relative(one.torques, exact.torques)
            tolerance = TOLERANCE[machine]
        energies = {key: one.energies[key] - exact.energies[key] for key in exact.energies}
        differences.append(Difference(name, machine, energies, force, torque, tolerance))
    return Verification(
        reference,
        exact.energies,
        (*differences, *left_out),
        truncation_bias(system, interactions, exact),
    )


def truncation_bias(
    system: System, interactions: Interactions, truncated: Evaluation
) -> float | None:
    """Return truncated minus Ewald electrostatic energy per cluster (kJ/mol), or None.

    By the direct sum, or by LAMMPS for large systems; None for films, which have no Ewald sum here.
    """
    if interactions.electrostatics == "ewald" or system.thickness_nm is not None:
        return None
    exactly = replace(interactions, electrostatics="ewald")
    if len(system.site_owners) <= _LARGEST // 10:
        whole = DirectEngine().evaluate(system, exactly)
    elif inspect_engine("lammps", "cpu").usable:
        whole = choose_engine("lammps")[0].evaluate(system, exactly)
    else:
        return None
    difference = truncated.energies["electrostatic"] - whole.energies["electrostatic"]
    return difference / len(system)


def _relative(a: Floats, b: Floats) -> float:
    scale = float(np.abs(b).max())
    return float(np.abs(a - b).max()) / (scale or 1.0)
