"""The charged alloys [AuxAg44−x(p-MBA)y]^z: framework, ligands, charge and electrons from x.

p-MBA is 4-mercaptobenzoic acid, bound as the thiolate SC6H4COOH. The three families are those of
the reaction of [Au44(p-MBA)26]2− with [Ag44(p-MBA)30]4−, whose frameworks the outer two keep.
"""

from typing import NamedTuple

from dipolar_md.chemistry.cluster import Cluster
from dipolar_md.chemistry.sizes import scaled_sizes
from dipolar_md.errors import InputError
from dipolar_md.parameters import validate

N_METALS = 44

SOURCE = "Lin, Cao, Yao, Xie, Chem. Sci. 2022, 13, 4598 (doi:10.1039/d1sc06296d)"

UNKNOWN_CHARGE = (
    "Convention, not chemistry: unit charges. Nothing is known of a charge separation in this "
    "cluster; only the two-charge form of its dipole uses the number."
)

_FAMILIES = (  # x from, to, framework, ligands, charge; 0 and 44 are the parent clusters
    (0, 12, "M44S30 of [Ag44(SR)30]4-", 30, -4),
    (19, 24, "M44S27, proposed there to be a hetero-dimer of the halves of the other two", 27, -3),
    (40, 44, "M44S26 of [Au44(SR)26]2-", 26, -2),
)


class Alloy(NamedTuple):
    """One member of the family; no dipole is published of any.

    Attributes:
        n_gold: Number x of gold atoms of 44.
        framework: Metal–sulphur framework.
        n_ligands: Number y of p-MBA ligands.
        net_charge_e: Net charge z, e.
        formula: Chemical formula with the carboxylic acids protonated.
    """

    n_gold: int
    framework: str
    n_ligands: int
    net_charge_e: int
    formula: str

    @property
    def valence_electrons(self) -> int:
        """Superatom electrons: 44 of the metals, less one a thiolate, less the charge."""
        return N_METALS - self.n_ligands - self.net_charge_e

    def cluster(self, dipole_D: float) -> Cluster:
        """Return the cluster with a dipole that the caller gives.

        Args:
            dipole_D: Dipole in debye, about the centre of mass; none is known, so none is assumed.

        Returns:
            The cluster, which `describe` takes: its net charge is an obstacle to a run.

        Raises:
            InputError: a dipole that is not positive and finite.
        """
        sizes = scaled_sizes(self.formula, "volume")
        how = (
            f"R-Au-Cu's scaled with the cube root of the molecular volume (factor "
            f"{sizes.factor:.4f}), volumes by Hofmann, Acta Cryst. B 2002, 58, 489 "
            "(doi:10.1107/S0108768101021814)."
        )
        metals = {"Au": self.n_gold, "Ag": N_METALS - self.n_gold}
        core = "".join(f"{symbol}{n}" for symbol, n in metals.items() if n)

        def estimated(value: float, source: str) -> dict[str, object]:
            return {"value": round(value, 3), "status": "estimated", "source": source}

        data = {
            "name": f"{core.lower()}-{self.n_ligands}",
            "title": f"[{core}(p-MBA){self.n_ligands}]{-self.net_charge_e}−",
            "formula": self.formula,
            "net_charge_e": self.net_charge_e,
            "handedness": "racemic",
            "dipole_D": {"value": dipole_D, "status": "estimated", "source": "Given by the user."},
            "hemisphere_charge_e": estimated(1.0, UNKNOWN_CHARGE),
            "axial_contact_nm": estimated(sizes.axial_contact_nm, how),
            "lateral_contact_nm": estimated(sizes.lateral_contact_nm, how),
            "hydrodynamic_radius_nm": estimated(sizes.hydrodynamic_radius_nm, how),
            "notes": f"Framework {self.framework}; {SOURCE}. Handedness is not published.",
        }
        return validate(Cluster, data, f"alloy x = {self.n_gold}")


def alloy44(n_gold: int) -> Alloy:
    """Return the member of [AuxAg44−x(p-MBA)y]^z with x gold atoms.

    Args:
        n_gold: Number x of gold atoms: 0 to 12 (y = 30, z = 4−), 19 to 24 (27, 3−) or 40 to 44
            (26, 2−); 0 and 44 are the parent clusters.

    Returns:
        `Alloy`: composition and charge; `Alloy.cluster` adds a dipole.

    Raises:
        InputError: x outside these ranges, for which no cluster is known.

    Source: Y. Lin, Y. Cao, Q. Yao, J. Xie, Chem. Sci. 2022, 13, 4598,
    https://doi.org/10.1039/d1sc06296d.
    """
    for low, high, framework, ligands, charge in _FAMILIES:
        if isinstance(n_gold, int) and low <= n_gold <= high:
            gold = f"Au{n_gold}" if n_gold else ""
            silver = f"Ag{N_METALS - n_gold}" if n_gold < N_METALS else ""
            formula = f"{gold}{silver}(C7H5O2S){ligands}"
            return Alloy(n_gold, framework, ligands, charge, formula)
    ranges = ", ".join(f"{low}–{high} (y = {y}, z = {z})" for low, high, _, y, z in _FAMILIES)
    raise InputError(
        f"no [AuxAg44−x(p-MBA)y]^z is known with x = {n_gold!r}; the families are x = {ranges}"
    )
