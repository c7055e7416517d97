"""What the commands about one cluster print: what theory expects, dipoles, a computed cluster."""

import math
from typing import TYPE_CHECKING, Any

from dipolar_md.commands.terminal import err, escaped, expected_length, out, table_of
from dipolar_md.errors import DipolarMDError

if TYPE_CHECKING:
    from dipolar_md.chemistry.dipole import Dipole
    from dipolar_md.chemistry.draft import Draft
    from dipolar_md.chemistry.molecule import Molecule
    from dipolar_md.model.expectation import Outlook


def print_outlook(outlook: "Outlook") -> None:
    """Print a cluster's numbers and what theory expects of it."""
    c, body = outlook.cluster, outlook.body
    table = table_of(c.title, "quantity", "value", "status", "")
    site = body.sites[0]
    for name, value, status in (
        ("mass", f"{c.mass_Da:.1f} Da", "from the formula"),
        ("dipole", f"{c.dipole_D.value:g} D = {c.dipole_e_nm:.4f} e nm", c.dipole_D.status),
        (
            "two-charge equivalent",
            f"±{c.hemisphere_charge_e.value:g} e at {outlook.charge_separation_nm:.3f} nm",
            f"charges {c.hemisphere_charge_e.status}",
        ),
        ("axial contact", f"{body.axial_contact_nm:g} nm", c.axial_contact_nm.status),
        *(
            [("  alternative", f"{other.value:g} nm", other.status)]
            if (other := c.alternative_axial_contact_nm)
            else []
        ),
        ("lateral contact", f"{c.lateral_contact_nm.value:g} nm", c.lateral_contact_nm.status),
        ("steric diameter σ (WCA)", f"{site.sigma_nm:.4f} nm", "solved for the contact"),
        (
            "attraction at contact",
            f"{-outlook.contact_energy_kJ_mol:.1f} kJ/mol = {-outlook.contact_energy_kT:.1f} kT",
            "head to tail, vacuum",
        ),
        (
            "  with two charges each",
            "–"
            if outlook.two_charge_energy_kJ_mol is None
            else f"{-outlook.two_charge_energy_kJ_mol:.1f} kJ/mol",
            "vacuum",
        ),
    ):
        table.add_row(name, value, status)
    if c.net_charge_e:
        table.add_row(
            f"repulsion of two net charges of {c.net_charge_e:+d} e",
            f"{outlook.charge_repulsion_kJ_mol:.0f} kJ/mol",
            "at contact, vacuum",
        )
    if gain := outlook.polarisation_gain:
        table.add_row("mutual polarisation", f"+{gain - 1:.1%}", "long chain, vacuum")
    if outlook.torsional_barrier_kT is not None:
        free = ": handedness has no effect" if outlook.torsional_barrier_kT < 0.5 else ""
        table.add_row(
            "torsional barrier (janus)", f"{outlook.torsional_barrier_kT:.2f} kT{free}", "298.15 K"
        )
    out.print(table)
    print_expectation(outlook)


def known(value: float, unit: str = "") -> str:
    """Return a number with its unit, or a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.3g} {unit}".rstrip()


def print_expectation(outlook: "Outlook") -> None:
    """Print what theory expects of a cluster in each medium and by each estimate of its contact."""
    media = table_of(
        f"At {outlook.concentration_mM:g} mM and 298.15 K",
        *("medium", "ε_r", "λ", "B₂ / nm³", "mean length", "chains from"),
    )
    for row in outlook.solvents:
        media.add_row(
            escaped(row.title),
            f"{row.relative_permittivity:g}",
            f"{row.coupling:.2f}",
            known(row.second_virial_nm3),
            expected_length(row.expected_mean_length),
            known(row.chain_onset_dipole_D, "D"),
        )
    out.print(media)
    if len(outlook.contacts) > 1:
        table = table_of(
            "In vacuum, by where the axial contact comes from",
            *("axial contact", "nm", "λ", "attraction", "mean length"),
        )
        for contact in outlook.contacts:
            table.add_row(
                contact.origin,
                f"{contact.axial_contact_nm:.3f}",
                f"{contact.coupling:.2f}",
                f"{-contact.energy_kJ_mol:.1f} kJ/mol",
                expected_length(contact.expected_mean_length),
            )
        out.print(table)
    if charge := outlook.cluster.net_charge_e:
        out.print(
            f"A net charge of {charge:+d} e makes bare clusters repel each other by "
            f"{outlook.charge_repulsion_kJ_mol:.0f} kJ/mol at contact in vacuum, against which the "
            "dipoles count for little: without counterions or screening, which are not part of "
            "this version, no length can be expected and no run is made."
        )
    if outlook.polarised:
        _print_polarised(outlook)
    out.print(
        "This is theory before any simulation. λ at contact; mean length: clusters per chain by "
        "ideal association, a rough guide to equilibrium; chains from: the dipole at which the "
        "same body would reach a mean length of 2. Chains need λ of about 3 to 4 or more."
    )


def _print_polarised(outlook: "Outlook") -> None:
    """Print what induced dipoles would mean, by contact and placement."""
    alpha = outlook.cluster.polarisability_nm3
    table = table_of(
        f"In vacuum with induced dipoles, α = {alpha.value if alpha else 0:g} nm³",
        *("axial contact", "α at", "minimum", "gain, pair", "gain, chain"),
        *("λ", "mean length"),
    )
    for row in outlook.polarised:
        first = f"{row.axial_contact_nm:.3f} nm ({row.origin})", row.placement
        if not math.isfinite(row.chain_gain):
            table.add_row(*first, "catastrophe")
            continue
        table.add_row(
            *first,
            f"{row.contact_minimum_nm:.3f} nm",
            f"{row.pair_gain:.2f}",
            f"{row.chain_gain:.2f}",
            f"{row.coupling:.2f}",
            expected_length(row.expected_mean_length),
        )
    out.print(table)
    out.print(
        "σ is solved without induction. centre: a point polarisability; sites: shared over the "
        "ring beads, damped. λ at the pair's minimum, times the chain's gain."
    )


def print_dipoles(molecule: "Molecule", found: "list[Dipole]") -> None:
    """Print the dipole of a molecule by several sources, and their angles to the first."""
    import numpy as np

    table = table_of(
        f"{molecule.formula}, {len(molecule)} atoms", "by", "dipole", "angle", "source"
    )
    for dipole in found:
        first, this = found[0].vector_e_nm, dipole.vector_e_nm
        size = np.linalg.norm(first) * np.linalg.norm(this)
        cosine = float(np.clip(first @ this / size, -1, 1)) if size else 1.0
        angle = f"{np.degrees(np.arccos(cosine)):.1f}°"
        table.add_row(dipole.method, f"{dipole.magnitude_D:.3f} D", angle, escaped(dipole.source))
    out.print(table)


def asked_polarisability(molecule: Any, wanted: str, charge: int | None) -> Any:
    """Return the polarisability that an option asks for; `auto` says why there is none."""
    from dipolar_md.chemistry.polarisability import compute_polarisability

    if wanted == "none":
        return None
    try:
        stated = float(wanted)
    except ValueError:
        stated = None
    try:
        return compute_polarisability(
            molecule,
            "auto" if stated is not None else wanted,  # type: ignore[arg-type]
            net_charge_e=charge,
            stated_nm3=stated,
        )
    except DipolarMDError as error:
        if wanted != "auto":
            raise
        err.print(f"[yellow]note:[/] no polarisability: {escaped(str(error))}")
        return None


def print_draft(draft: "Draft") -> None:
    """Print a computed cluster: numbers, how they were obtained, and what to check."""
    c = draft.cluster
    table = table_of(c.title, "quantity", "value", "how")
    table.add_row("mass", f"{c.mass_Da:.1f} Da", "from the formula")
    for name, quantity, unit in (
        ("dipole", c.dipole_D, "D"),
        ("hemisphere charge", c.hemisphere_charge_e, "e"),
        ("axial contact", c.axial_contact_nm, "nm"),
        ("lateral contact", c.lateral_contact_nm, "nm"),
        ("hydrodynamic radius", c.hydrodynamic_radius_nm, "nm"),
        ("polarisability", c.polarisability_nm3, "nm³"),
        ("dispersion C₆", c.c6_kJ_mol_nm6, "kJ/mol nm⁶"),
    ):
        if quantity:
            table.add_row(name, f"{quantity.value:g} {unit}", escaped(quantity.source))
    order = {None: "linear", 1: "none"}.get(c.rotational_symmetry, f"{c.rotational_symmetry}-fold")
    table.add_row("rotation axis", order, "along the dipole")
    table.add_row("handedness", c.handedness, "by mirror image")
    out.print(table)
    out.print(escaped(c.notes))
    for line in draft.warnings:
        err.print(f"[yellow]note:[/] {escaped(line)}")
