"""A cluster's chemistry and a solvent's environment: numbers from papers, each with its source."""

from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from dipolar_md.errors import InputError
from dipolar_md.parameters import (
    Name,
    Parameters,
    Positive,
    Quantity,
    Text,
    load,
    parameter_file,
    read_toml,
    validate,
)
from dipolar_md.units import DEBYE


class JanusShape(Parameters):
    """The rings of beads of a janus body: an idealisation of the two ligand shells.

    Attributes:
        beads_per_ring: Number n of beads in each ring (n-fold axis).
        au_ring_radius_nm: Radius of the Au-phosphine hemisphere's ring, nm.
        au_ring_height_nm: Height of that ring above the core, towards +z, nm.
        partner_ring_radius_nm: Radius of the other hemisphere's ring, nm.
        partner_ring_height_nm: Height of that ring, towards -z, nm.
        twist_deg: Magnitude of the angle between the rings, below 180°/n, where the body would be
            achiral again; R turns by +twist about +z, S by -twist.
    """

    beads_per_ring: int = Field(ge=2, le=12, strict=True)
    au_ring_radius_nm: Quantity
    au_ring_height_nm: Quantity
    partner_ring_radius_nm: Quantity
    partner_ring_height_nm: Quantity
    twist_deg: Quantity

    @model_validator(mode="after")
    def _twist_is_chiral(self) -> Self:
        limit = 180 / self.beads_per_ring
        if self.twist_deg.value >= limit:
            raise ValueError(
                f"twist_deg must be below 180/{self.beads_per_ring} = {limit:g} degrees "
                f"(found {self.twist_deg.value:g})"
            )
        return self


class Cluster(Parameters):
    """An atomically precise Janus cluster as a parameter file describes it.

    Attributes:
        name: Name of the cluster, that of its file.
        title: One line for people.
        formula: Chemical formula, the source of the mass.
        net_charge_e: Net charge, e.
        handedness: Chirality of the molecule; `racemic` where the file stands for both enantiomers.
        dipole_D: Magnitude of the computed dipole moment, debye.
        hemisphere_charge_e: Formal charge ±q of the two hemispheres, e.
        axial_contact_nm: Centre distance of two clusters in contact head to tail, nm.
        alternative_axial_contact_nm: Another value of that distance, nm, that sources allow.
        lateral_contact_nm: Centre distance of two clusters in contact side by side, nm.
        hydrodynamic_radius_nm: Radius for Stokes friction (and of the sphere of inertia), nm.
        janus: Rings of the janus body.
        polarisability_nm3: Polarisability volume along the dipole, nm³.
        c6_kJ_mol_nm6: Dispersion coefficient C₆ of two such clusters, U = −C₆/r⁶.
        rotational_symmetry: Order of the dipole axis as a rotation axis.
        notes: What a reader should know, in words.
    """

    name: Name
    title: Text
    formula: Text
    net_charge_e: int = Field(ge=-1000, le=1000)
    handedness: Literal["R", "S", "racemic", "achiral"]
    dipole_D: Quantity
    hemisphere_charge_e: Quantity
    axial_contact_nm: Quantity
    alternative_axial_contact_nm: Quantity | None = None
    lateral_contact_nm: Quantity
    hydrodynamic_radius_nm: Quantity
    janus: JanusShape | None = None
    polarisability_nm3: Quantity | None = None
    c6_kJ_mol_nm6: Quantity | None = None
    rotational_symmetry: int | None = Field(default=None, ge=1, le=1000, strict=True)
    notes: str = ""

    @field_validator("formula")
    @classmethod
    def _formula_is_chemical(cls, formula: str) -> str:
        from molmass import Formula, FormulaError

        try:
            Formula(formula).mass  # noqa: B018 - parsing is the test
        except FormulaError as error:
            raise ValueError(f"not a chemical formula: {error}") from error
        return formula

    @cached_property
    def mass_Da(self) -> float:
        """Molar mass in g/mol (Da per cluster), from the formula and IUPAC atomic weights."""
        from molmass import Formula

        return float(Formula(self.formula).mass)

    @property
    def dipole_e_nm(self) -> float:
        """Magnitude of the dipole in e nm."""
        return self.dipole_D.value * DEBYE


class Solvent(Parameters):
    """A medium at 298.15 K.

    Attributes:
        name: Name of the medium, that of its file.
        title: One line for people.
        temperature_K: Temperature of the numbers, K.
        relative_permittivity: Static ε_r.
        viscosity_mPa_s: Viscosity of a liquid, mPa s.
    """

    name: Name
    title: Text
    temperature_K: Positive
    relative_permittivity: Quantity
    viscosity_mPa_s: Quantity | None = None


def load_cluster(name: str | Path | Cluster, dipole_D: float | None = None) -> Cluster:
    """Return the cluster of a shipped name (`r-au-cu`) or of a TOML file.

    Args:
        name: Shipped name or path; a cluster is returned as it is.
        dipole_D: Dipole in debye for a file that knows none. Another dipole on a known cluster is
            for `coarse_grain`, which keeps the size solved for the cluster's own.

    Returns:
        The validated cluster.

    Raises:
        InputError: unknown name (the nearest are listed), a wrong file (each key is named), or a
            dipole that is neither in the file nor given, or both.
    """
    if isinstance(name, Cluster) and dipole_D is None:
        return name
    if isinstance(name, Cluster):
        path, data = Path(name.name), name.model_dump(exclude_none=True)
    else:
        path = parameter_file("clusters", name)
        data = read_toml(path)
    if dipole_D is not None:
        if "dipole_D" in data:
            raise InputError(
                f"{path}: it has a dipole of its own: try another with coarse_grain(…, dipole_D=…) "
                "or assemble --set dipole_D=…, which keep its size"
            )
        data["dipole_D"] = {
            "value": dipole_D,
            "status": "estimated",
            "source": "Given by the user.",
        }
    elif "dipole_D" not in data:
        raise InputError(
            f"{path}: key 'dipole_D' is missing: no dipole is known of this cluster, and none is "
            "assumed. Give one (dipole_D=… in Python, --dipole-D with describe, or a [dipole_D] "
            "table with value, status and source in a copy of the file), or scan it"
        )
    return validate(Cluster, data, path)


def load_solvent(name: str | Path | Solvent) -> Solvent:
    """Return the solvent of a shipped name (`dichloromethane`) or of a TOML file.

    Args:
        name: Shipped name or path; a solvent is returned as it is.

    Returns:
        The validated solvent.

    Raises:
        InputError: unknown name (the nearest are listed), or a wrong file (each key is named).
    """
    return name if isinstance(name, Solvent) else load(Solvent, "solvents", name)
