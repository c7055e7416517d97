"""`dipolar-md predict`: equilibrium lengths of a cluster's wires, as a table, a file, a picture."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dipolar_md.commands.terminal import err, escaped, out, table_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from dipolar_md.analysis.timeseries import Estimate
    from dipolar_md.study.prediction import LengthPrediction

_POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def predict(
    cluster: Annotated[str, typer.Argument(help="Cluster name (r-au-cu) or TOML file.")],
    concentration_mM: Annotated[
        list[float] | None,
        typer.Option(
            "--concentration-mM", metavar="X", help="May be repeated; default 0.1 to 100."
        ),
    ] = None,
    solvent: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Medium, default vacuum (the dry film)."),
    ] = None,
    temperature_K: Annotated[float, typer.Option("--temperature-K", metavar="X")] = 298.15,
    polarisation: Annotated[
        list[float] | None,
        typer.Option(
            "--polarisation-nm3",
            metavar="X",
            help="Polarisability volume; may be repeated; default 0 and the cluster's own.",
        ),
    ] = None,
    axial_contact_nm: Annotated[
        list[float] | None,
        typer.Option(
            "--axial-contact-nm",
            metavar="X",
            help="May be repeated; default the cluster's own two.",
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(metavar="X", help="Time of the sampling of each variant.")
    ] = 8.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the random numbers.")] = 1,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the numbers here, too.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw lengths over concentration here.")
    ] = None,
) -> None:
    """Equilibrium wire lengths at any concentration, without a long run; a minute on one core."""
    from dipolar_md.chemistry.cluster import load_solvent
    from dipolar_md.files import write_json
    from dipolar_md.study.prediction import predict_lengths

    permittivity = 1.0
    if solvent is not None:
        permittivity = load_solvent(solvent).relative_permittivity.value

    def told(text: str) -> bool:
        err.print(f"sampled: {escaped(text)}")
        return False

    found = predict_lengths(
        cluster,
        concentration_mM or None,
        relative_permittivity=permittivity,
        temperature_K=temperature_K,
        polarisation=polarisation,
        axial_contact_nm=axial_contact_nm,
        seconds=seconds,
        seed=seed,
        progress=told,
    )
    print_prediction(found)
    if json is not None:
        write_json(json, found.to_dict())
    if plot is not None:
        from dipolar_md.plots.prediction import draw_lengths
        from dipolar_md.reports.run import save_drawing

        save_drawing(
            lambda ax: draw_lengths(ax, found.to_dict()["variants"]), plot, size=(5.2, 3.0)
        )


def print_prediction(found: "LengthPrediction") -> None:
    """Print what was predicted, one table per set of assumptions, and the sentence."""
    for variant in found.variants:
        title = (
            f"{found.cluster}: contact {variant.axial_contact_nm:g} nm, polarisability "
            f"{variant.polarisability_nm3:g} nm³, ε_r {variant.relative_permittivity:g}, "
            f"λ {variant.coupling:.2f}"
        )
        out.print(
            f"[bold]{escaped(title)}[/]\n{variant.law} association: "
            f"κ = {_told(variant.association_constant_per_mM)} /mM, "
            f"B = {_told(variant.tail_amplitude_mM)} mM, "
            f"bond {_told(variant.bond_energy_kJ_mol)} kJ/mol, "
            f"{_told(variant.spacing_nm)} nm apart"
        )
        table = table_of(
            "",
            *("mM", "mean length", "wire", "held wire", "free", "in rings", "overlap"),
        )
        for row in variant.by_concentration:
            table.add_row(
                f"{row.concentration_mM:g}",
                _resolved(row.mean_chain_length),
                _resolved(row.mean_wire_length_nm, _wire),
                _resolved(row.held_wire_length_nm, _wire),
                f"{100 * row.monomer_fraction.value:.2g} %",
                f"{100 * row.ring_fraction.value:.2g} %",
                f"{row.overlap.value:.2g}" + (" [yellow]![/]" if row.overlap.value > 1 else ""),
            )
        out.print(table)
    out.print(
        "Length and wire: bonds by half of the contact energy; the wire is the mean long chain. "
        "Held: all that hangs together, "
        "bonds that are stretched for a moment included. Overlap above 1: chains touch, which an "
        "ideal law doesn't know."
    )
    for text in found.unmeasured:
        out.print(f"[yellow]not measured:[/] {escaped(text)}")
    out.print(f"[bold]{escaped(found.sentence)}[/]")


def _told(estimate: "Estimate") -> str:
    """Return a value and its error, very large and small ones by powers of ten."""
    value, error = estimate.value, estimate.error or 0.0
    if not value or 1e-3 <= abs(value) < 1e5:
        return str(estimate)
    power = math.floor(math.log10(abs(value)))
    shown = type(estimate)(value / 10.0**power, error / 10.0**power)
    return f"({shown})·10{str(power).translate(_POWERS)}"


def _resolved(estimate: "Estimate", told: "Callable[[Estimate], str]" = _told) -> str:
    """Return what is told of a value, or that its error is as large."""
    return told(estimate) if estimate.value > 2 * (estimate.error or 0.0) else "not resolved"


def _wire(length_nm: "Estimate") -> str:
    """Return a length and its error in the unit that suits it."""
    from dipolar_md.study.prediction import length_unit

    factor, unit = length_unit(length_nm.value)
    return f"{type(length_nm)(length_nm.value / factor, (length_nm.error or 0) / factor)} {unit}"
