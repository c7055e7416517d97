"""A complete cluster file from a molecule and its dipole: every number with how it was obtained."""

from pathlib import Path
from typing import NamedTuple

from dipolar_md import theory
from dipolar_md.chemistry import shape
from dipolar_md.chemistry.cluster import Cluster
from dipolar_md.chemistry.dipole import Dipole
from dipolar_md.chemistry.molecule import Floats, Molecule
from dipolar_md.chemistry.polarisability import Polarisability, hemisphere_shares
from dipolar_md.chemistry.read_structure import read_molecule
from dipolar_md.errors import InputError
from dipolar_md.parameters import NAME_RULE, is_name, validate
from dipolar_md.units import DEBYE

FORMAL_SEPARATION_NM = 0.457
"""Mean distance of the formal hemisphere charges that explain the three published dipoles of Janus
clusters: 0.452 nm (R-Au-Cu, ±2 e), 0.464 nm (R-1, ±2 e), 0.455 nm (Au3Cd, ±1 e)."""

_TOUCH = "Van der Waals surfaces (radii: Alvarez, Dalton Trans. 2013, 42, 8617) of two copies"


class Draft(NamedTuple):
    """A cluster made from a molecule, and what was found on the way.

    Attributes:
        cluster: The cluster, as its file will state it.
        dipole: The dipole used.
        direction: (3,) magnitudes of the dipole's direction cosines in the principal frame.
        angle_deg: Angle of the dipole to the nearest principal axis.
        hemispheres: The two halves; None without two kinds of metal.
        contacts: Distances of touching copies.
        radius: Hydrodynamic radius and its bounds.
        warnings: What the user should check, a sentence each.
    """

    cluster: Cluster
    dipole: Dipole
    direction: Floats
    angle_deg: float
    hemispheres: shape.Hemispheres | None
    contacts: shape.Contacts
    radius: shape.Radius
    warnings: tuple[str, ...]


def draft_cluster(
    molecule: str | Path | Molecule,
    dipole: Dipole,
    name: str,
    *,
    net_charge_e: int | None = None,
    polarisability: Polarisability | None = None,
) -> Draft:
    """Return the cluster of a molecule: dipole, charge, sizes, symmetry and handedness.

    Args:
        molecule: The molecule, or a file that `read_molecule` reads.
        dipole: Its dipole (`compute_dipole`).
        name: Name of the cluster.
        net_charge_e: Charge of the molecule; None takes the file's, or 0 where it states none.
        polarisability: Polarisability (`compute_polarisability`); None leaves it out.

    Returns:
        `Draft`. The sizes are those of this one rigid conformation (see `geometry`).

    Raises:
        InputError: an element without a van der Waals radius, or a name that is no name.
    """
    if not is_name(name):
        raise InputError(f"a cluster's name has {NAME_RULE} (found {name!r}); give another")
    molecule = read_molecule(molecule)
    axis = dipole.vector_e_nm
    touch = shape.contacts(molecule, axis)
    radius = shape.hydrodynamic_radius(molecule, axis)
    halves = shape.hemispheres(molecule, dipole.charges_e)
    order = shape.rotational_symmetry(molecule, axis)
    sign = shape.chirality(molecule, axis)
    cosines, angle = shape.principal_direction(molecule, axis)
    charge = net_charge_e if net_charge_e is not None else molecule.net_charge_e or 0
    hemisphere_charge, charge_source = _hemisphere_charge(dipole, halves, touch.axial_nm)
    data = {
        "name": name,
        "title": f"{name} ({molecule.formula})",
        "formula": molecule.formula,
        "net_charge_e": charge,
        "handedness": {1: "R", -1: "S", 0: "achiral"}[sign],
        "notes": " ".join(
            _notes(molecule, halves, sign, cosines, angle)
            + _share_notes(molecule, polarisability, axis)
        ),
        "dipole_D": _computed(dipole.magnitude_D, dipole.source),
        "hemisphere_charge_e": _computed(hemisphere_charge, charge_source, "estimated"),
        "axial_contact_nm": _computed(touch.axial_nm, _contact_source(touch.axial_range_nm, True)),
        "lateral_contact_nm": _computed(
            touch.lateral_nm, _contact_source(touch.lateral_range_nm, False)
        ),
        "hydrodynamic_radius_nm": _computed(
            radius.value_nm,
            "Convex hull of the van der Waals surface: mean of its radius of equal volume "
            f"({radius.volume_nm:.3f} nm) and half its mean width ({radius.width_nm:.3f} nm), "
            "between which its Stokes radius lies; no bound solvent.",
        ),
    }
    if order is not None:
        data["rotational_symmetry"] = order
    if polarisability is not None:
        data |= _response(polarisability, axis)
    return Draft(
        validate(Cluster, data, molecule.path),
        dipole,
        cosines,
        angle,
        halves,
        touch,
        radius,
        _warnings(molecule, dipole, sign, charge),
    )


def _computed(
    value: float, source: str, status: str = "computed", digits: int = 3
) -> dict[str, object]:
    return {"value": round(float(value), digits), "status": status, "source": source}


def _response(polarisability: Polarisability, axis: Floats) -> dict[str, object]:
    """Return polarisability and C₆ as a cluster file states them."""
    source = polarisability.source
    if polarisability.tensor_nm3 is not None:
        mean = polarisability.mean_nm3
        source += f" Component along the dipole; a third of the trace is {mean:.6g} nm3."
    status = "computed" if polarisability.method == "output" else "estimated"
    alpha = polarisability.along(axis)
    data: dict[str, object] = {"polarisability_nm3": _computed(alpha, source, status, digits=6)}
    if polarisability.c6_kJ_mol_nm6 is not None:
        data["c6_kJ_mol_nm6"] = _computed(
            polarisability.c6_kJ_mol_nm6, polarisability.c6_source, "estimated", digits=6
        )
    return data


def _share_notes(
    molecule: Molecule, polarisability: Polarisability | None, axis: Floats
) -> list[str]:
    """Return a sentence on the hemispheres' shares of the polarisability."""
    shares = polarisability and hemisphere_shares(molecule, polarisability, axis)
    if not shares:
        return []
    return [
        f"Polarisability of the hemispheres: {shares.gold_nm3:.4f} nm3 centred at "
        f"{shares.gold_height_nm:+.3f} nm along the dipole (gold) and {shares.partner_nm3:.4f} nm3 "
        f"at {shares.partner_height_nm:+.3f} nm."
    ]


def _contact_source(extremes: tuple[float, float], axial: bool) -> str:
    how = (
        "head to tail along the dipole, mean over turns about it"
        if axial
        else "side by side, dipoles antiparallel, mean over turns of both about their dipoles"
    )
    return f"{_TOUCH} touch {how} ({extremes[0]:.3f}-{extremes[1]:.3f} nm); one conformation."


def _hemisphere_charge(
    dipole: Dipole, halves: shape.Hemispheres | None, contact_nm: float
) -> tuple[float, str]:
    """Return ±q of the two-charge equivalent and its source."""
    moment = dipole.magnitude_D * DEBYE
    if halves and halves.charges_e:
        q = abs(halves.charges_e[0] - halves.charges_e[1]) / 2
        # Charges farther apart than half a contact would lie nearer to the neighbour's.
        if q > 0 and theory.charge_separation(moment, q) < contact_nm / 2:
            return q, (
                "Half the difference of the sums of partial charges over the two hemispheres "
                f"({halves.charges_e[0]:+.3f} and {halves.charges_e[1]:+.3f} e)."
            )
    q = max(1, round(moment / FORMAL_SEPARATION_NM))
    return float(q), (
        f"Formal: the whole charge that makes up the dipole nearest to {FORMAL_SEPARATION_NM} nm, "
        "where the formal charges of the published Janus clusters lie (R-Au-Cu, R-1, Au3Cd)."
    )


def _notes(
    molecule: Molecule,
    halves: shape.Hemispheres | None,
    sign: int,
    cosines: Floats,
    angle: float,
) -> list[str]:
    file = molecule.path.rsplit("/", 1)[-1]
    notes = [
        f"Computed from {file}.",
        "Direction cosines of the dipole along the axes of smallest, middle and largest moment of "
        f"inertia: {', '.join(f'{c:.3f}' for c in cosines)} ({angle:.1f} degrees to the nearest).",
    ]
    if halves:
        notes.append(
            f"Hemispheres {halves.formulas[0]} and {halves.formulas[1]}: centres of mass "
            f"{halves.separation_nm:.3f} nm apart, centroids of their metals "
            f"{halves.metal_separation_nm:.3f} nm."
        )
        if halves.charges_e:
            gold, other = halves.charges_e
            notes.append(f"Their partial charges sum to {gold:+.3f} and {other:+.3f} e.")
    if sign:
        notes.append("R and S tell the mirror images apart by their twist; they are no CIP labels.")
    return notes


def _warnings(molecule: Molecule, dipole: Dipole, sign: int, charge: int) -> tuple[str, ...]:
    said = list(molecule.notes)
    number = molecule.numbers
    d_block = (abs(number - 25.5) < 5) | (abs(number - 43.5) < 5) | (abs(number - 68.5) < 12)
    metals = sorted(
        {symbol for symbol, is_d in zip(molecule.symbols, d_block, strict=True) if is_d}
    )
    if dipole.method == "gfn2" and metals:
        said.append(
            f"GFN2-xTB is not validated for dipoles of clusters with {', '.join(metals)}: expect "
            "the sign and the order of magnitude; publish with DFT"
        )
    if dipole.method == "charges":
        said.append("partial charges carry no atomic dipoles; another partition gives another sum")
    if sign:
        said.append("chiral: 'R' or 'S' here is the sense of a twist; set the published label")
    if charge:
        said.append("charged: simulations refuse it until counterions or screening are modelled")
    return tuple(said)
