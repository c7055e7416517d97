"""Contacts estimated from a formula: R-Au-Cu's, scaled by molar mass or by molecular volume."""

from typing import NamedTuple

from dipolar_md.chemistry.cluster import Cluster, load_cluster
from dipolar_md.errors import InputError

REFERENCE_CLUSTER = "r-au-cu"
"""The one cluster whose axial contact follows from a published contact energy."""

# Mean volumes of atoms in crystals, Å³: D. W. M. Hofmann, Acta Cryst. B 2002, 58, 489,
# https://doi.org/10.1107/S0108768101021814; those of elements found in clusters and their ligands.
_VOLUMES_A3 = {
    **{"H": 5.08, "B": 13.24, "C": 13.87, "N": 11.8, "O": 11.39, "F": 11.17, "Na": 26.0},
    **{"Si": 37.3, "P": 29.5, "S": 25.2, "Cl": 25.8, "K": 36.0, "Fe": 30.4, "Co": 29.4},
    **{"Ni": 26.0, "Cu": 26.9, "Zn": 39.0, "As": 36.4, "Se": 30.3, "Br": 32.7, "Ru": 37.3},
    **{"Rh": 31.2, "Pd": 35.0, "Ag": 35.0, "Cd": 51.0, "Sb": 48.0, "Te": 46.7, "I": 46.2},
    **{"Cs": 46.0, "Ir": 34.3, "Pt": 38.0, "Au": 43.0, "Hg": 38.0},
}


class ScaledSizes(NamedTuple):
    """R-Au-Cu's sizes scaled to another cluster, all in nm, and the factor used."""

    by: str
    factor: float
    axial_contact_nm: float
    lateral_contact_nm: float
    hydrodynamic_radius_nm: float


def molecular_volume_nm3(formula: str) -> float:
    """Return the volume that a molecule takes in a crystal.

    V = Σ n_i v_i, with the mean volumes v of atoms in crystals

    Args:
        formula: Chemical formula.

    Returns:
        V in nm³, at 0 K; at 298 K it is 3 % larger, which cancels from ratios.

    Raises:
        InputError: no formula, or an element without a tabulated volume.

    Valid within a few per cent for organic crystals; metal cores are denser than the table's
    averages. Source: D. W. M. Hofmann, Acta Cryst. B 2002, 58, 489,
    https://doi.org/10.1107/S0108768101021814.
    """
    counts = element_counts(formula)
    if unknown := sorted(set(counts) - set(_VOLUMES_A3)):
        raise InputError(f"'{formula}': no mean volume in crystals is tabulated for {unknown}")
    return sum(n * _VOLUMES_A3[symbol] for symbol, n in counts.items()) * 1e-3


def scaled_sizes(formula: str, by: str) -> ScaledSizes:
    """Return R-Au-Cu's sizes scaled to another formula.

    r = r_0 (M/M_0)^(1/3), or r = r_0 (V/V_0)^(1/3)

    Args:
        formula: Chemical formula of the other cluster.
        by: `mass` or `volume` (`molecular_volume_nm3`).

    Raises:
        InputError: another `by`, or as `molecular_volume_nm3`.

    Valid as an estimate for compact clusters with similar ligands; the reduced coupling goes with
    the inverse cube of the contact.
    """
    if by not in ("mass", "volume"):
        raise InputError(f"scale by 'mass' or 'volume' (found '{by}')")
    reference = load_cluster(REFERENCE_CLUSTER)
    if by == "mass":
        from molmass import Formula

        ratio = float(Formula(formula).mass) / reference.mass_Da
    else:
        ratio = molecular_volume_nm3(formula) / molecular_volume_nm3(reference.formula)
    factor = ratio ** (1 / 3)
    return ScaledSizes(
        by,
        factor,
        factor * reference.axial_contact_nm.value,
        factor * reference.lateral_contact_nm.value,
        factor * reference.hydrodynamic_radius_nm.value,
    )


def contact_estimates(cluster: Cluster) -> dict[str, float]:
    """Return every axial contact that is known or estimated of a cluster, in nm, by its origin.

    Args:
        cluster: The cluster.

    Returns:
        `file` and `alternative` (where given); for other clusters than R-Au-Cu and its mirror image
        also `molar mass` and `molecular volume`, the latter where its volumes are tabulated.
    """
    found = {"file": cluster.axial_contact_nm.value}
    if other := cluster.alternative_axial_contact_nm:
        found["alternative"] = other.value
    if cluster.formula == load_cluster(REFERENCE_CLUSTER).formula:
        return found
    found["molar mass"] = scaled_sizes(cluster.formula, "mass").axial_contact_nm
    if set(element_counts(cluster.formula)) <= set(_VOLUMES_A3):
        found["molecular volume"] = scaled_sizes(cluster.formula, "volume").axial_contact_nm
    return found


def element_counts(formula: str) -> dict[str, int]:
    """Return how many atoms of each element a formula has.

    Raises:
        InputError: no formula.
    """
    from molmass import Formula, FormulaError

    try:
        return {symbol: item.count for symbol, item in Formula(formula).composition().items()}
    except FormulaError as error:
        raise InputError(f"'{formula}' is not a chemical formula: {error}") from error
