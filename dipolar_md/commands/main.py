"""The command line: words and options become one public call each; no physics here."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from dipolar_md.commands.cluster_tables import (
    asked_polarisability,
    print_dipoles,
    print_draft,
    print_outlook,
)
from dipolar_md.commands.micrograph import micrograph
from dipolar_md.commands.predict import predict
from dipolar_md.commands.study import DeviceChoice, study
from dipolar_md.commands.terminal import (
    analyzed,
    assembly_progress,
    err,
    escaped,
    frame_progress,
    out,
    print_analysis,
    print_comparison,
    print_preflight,
    print_verification,
    spinner,
    table_of,
    warn_unfinished,
)
from dipolar_md.errors import DipolarMDError

app = typer.Typer(
    name="dipolar-md",
    help="Will my cluster wire, and how long will the wires be?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(study, name="study")
app.command(epilog="Example: `dipolar-md micrograph image.tif --pixel-nm 0.05`")(micrograph)
app.command(epilog="Example: `dipolar-md predict r-au-cu --concentration-mM 10`")(predict)


class EngineChoice(StrEnum):
    """Engines to choose from."""

    auto = "auto"
    hoomd = "hoomd"
    lammps = "lammps"
    monte_carlo = "monte_carlo"


class DipoleMethod(StrEnum):
    """Ways to a dipole."""

    auto = "auto"
    output = "output"
    density = "density"
    charges = "charges"
    gfn2 = "gfn2"


def main() -> None:
    """Run the command line; known errors become one line and exit code 2."""
    try:
        app()
    except DipolarMDError as error:
        err.print(f"[bold red]error:[/] {escaped(str(error))}")
        sys.exit(2)
    except OSError as error:
        err.print(f"[bold red]error:[/] {escaped(str(error))}")
        sys.exit(2)
    except KeyboardInterrupt:
        err.print("interrupted")
        sys.exit(130)


def _version(wanted: bool) -> None:
    if wanted:
        from dipolar_md import __version__

        out.print(f"dipolar-md {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: `dipolar-md describe r-au-cu --concentration-mM 0.5`")
def describe(
    cluster: Annotated[str, typer.Argument(help="Cluster name (r-au-cu) or TOML file.")],
    solvent: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this medium; may be repeated."),
    ] = None,
    concentration_mM: Annotated[
        float,
        typer.Option("--concentration-mM", metavar="X", help="For the expected mean lengths."),
    ] = 10.0,
    dipole_D: Annotated[
        float | None,
        typer.Option("--dipole-D", metavar="X", help="For a cluster whose file knows no dipole."),
    ] = None,
    plot: Annotated[
        bool,
        typer.Option("--plot", help="Also draw expected lengths, phases and bodies."),
    ] = False,
) -> None:
    """Dipole, contact energy, λ and expected chain length of a cluster, before any simulation."""
    import dipolar_md as dm

    outlook = dm.describe(dm.load_cluster(cluster, dipole_D), concentration_mM, solvent)
    print_outlook(outlook)
    c = outlook.cluster
    if plot and c.net_charge_e:
        out.print("nothing drawn: no lengths can be expected of a charged cluster")
    elif plot:
        out.print(f"drawn: {dm.draw_outlook(outlook, Path(f'{c.name}-expectation.png'))}")
        out.print(f"drawn: {dm.draw_phase_estimate(outlook, Path(f'{c.name}-phase.png'))}")
        for path in dm.draw_bodies(c, Path()):
            out.print(f"drawn: {path}")


@app.command(epilog="Example: `dipolar-md dipole au3cd.cif --method gfn2 --name my-au3cd`")
def dipole(
    file: Annotated[
        Path, typer.Argument(help="XYZ, CIF, PDB, POSCAR, cube, or a quantum-chemistry output.")
    ],
    method: Annotated[
        DipoleMethod,
        typer.Option(
            metavar="METHOD",
            help="output, density, charges or gfn2; auto takes the first that the file has.",
        ),
    ] = DipoleMethod.auto,
    charge: Annotated[
        int | None, typer.Option(help="Net charge in e [default: the file's, or 0].")
    ] = None,
    polarisability: Annotated[
        str,
        typer.Option(
            metavar="METHOD",
            help="output, d4 (DFT-D4), a number in nm³ or none; auto takes the first there is.",
        ),
    ] = "auto",
    name: Annotated[str | None, typer.Option(help="Cluster name [default: the file's].")] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Cluster file [default: NAME.toml].")
    ] = None,
    charges: Annotated[
        Path | None, typer.Option(help="Partial charges: two columns, symbol and e.")
    ] = None,
    molecule: Annotated[
        str | None, typer.Option(help="Which of several: 1 is the largest; or all.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Only print the dipole by every available source.")
    ] = False,
    allow_charged: Annotated[
        bool,
        typer.Option(
            "--allow-charged",
            rich_help_panel="Checks to skip",
            help="Dipole of an ion about its centre of mass.",
        ),
    ] = False,
    hydrogens_complete: Annotated[
        bool,
        typer.Option(
            "--hydrogens-complete",
            rich_help_panel="Checks to skip",
            help="Don't suspect missing hydrogens.",
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            rich_help_panel="Checks to skip",
            help="Replace an existing cluster file.",
        ),
    ] = False,
) -> None:
    """Make a cluster file from a structure or a quantum-chemistry output."""
    import dipolar_md as dm

    read = dm.read_molecule(
        file, molecule=molecule, charges=charges, hydrogens_complete=hydrogens_complete
    )
    with spinner(f"{read.formula} …") as progress:
        if compare:
            found = dm.compare_dipoles(
                read, net_charge_e=charge, allow_charged=allow_charged, progress=progress
            )
        else:
            moment = dm.compute_dipole(
                read,
                method.value,
                net_charge_e=charge,
                allow_charged=allow_charged,
                progress=progress,
            )
            draft = dm.draft_cluster(
                read,
                moment,
                name or file.stem,
                net_charge_e=charge,
                polarisability=asked_polarisability(read, polarisability, charge),
            )
    if compare:
        print_dipoles(read, found)
        return
    target = out_file or Path(f"{draft.cluster.name}.toml")
    dm.write_cluster(draft.cluster, target, overwrite)
    print_draft(draft)
    path = escaped(str(target))
    more = "" if draft.cluster.net_charge_e else f"; will it wire? dipolar-md describe {path}"
    out.print(f"written: {path}{more}", soft_wrap=True)


@app.command(
    epilog="Example: `dipolar-md assemble r-au-cu --set dipole_D=21.85 --out runs/control`"
)
def assemble(
    recipe: Annotated[str, typer.Argument(help="Recipe name (r-au-cu) or TOML file.")],
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Run directory [default: runs/RECIPE].")
    ] = None,
    engine: Annotated[EngineChoice, typer.Option(help="Engine.")] = EngineChoice.auto,
    device: Annotated[DeviceChoice, typer.Option(help="Device.")] = DeviceChoice.auto,
    clusters: Annotated[int | None, typer.Option(help="Number of clusters.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of positions and noise.")] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="CPU threads of LAMMPS [default: what a short timing finds].", min=1),
    ] = None,
    ranks: Annotated[
        int | None, typer.Option(help="MPI ranks of LAMMPS [default: as threads].", min=1)
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set any recipe key; may be repeated."),
    ] = None,
    walltime: Annotated[
        str | None,
        typer.Option(
            metavar="[D-]HH:MM:SS", help="Stop with a checkpoint before this time is up; exit 130."
        ),
    ] = None,
    preflight: Annotated[
        bool, typer.Option("--preflight", help="Only check the recipe and print what to expect.")
    ] = False,
) -> None:
    """Run a recipe, analyse it, compare it with TEM and draw it.

    Repeating the command continues an interrupted run; a finished one is kept.
    """
    import dipolar_md as dm
    from dipolar_md.simulation.assembly import walltime_seconds

    limit = None if walltime is None else walltime_seconds(walltime)
    overrides: dict[str, Any] = dict(_setting(text) for text in settings or [])
    if clusters is not None:
        overrides["n_clusters"] = clusters
    if seed is not None:
        overrides["seed"] = seed
    plan = dm.make_plan(recipe, overrides)
    print_preflight(plan)
    if preflight:
        return
    with assembly_progress() as (show, ran):
        run = dm.assemble(
            plan,
            out_dir,
            engine.value,
            device.value,
            threads=threads,
            ranks=ranks,
            progress=show,
            walltime_s=limit,
        )
    if ran():
        out.print(f"engine: {escaped(run.manifest['sessions'][-1]['reason'])}")
    elif run.finished:
        out.print(f"{escaped(str(run.path))} was finished before: nothing to run.")
    if not run.finished:
        err.print(f"interrupted; repeat the command to continue {escaped(str(run.path))}")
        raise typer.Exit(130)
    print_analysis(run, analyzed(run, None))


@app.command(epilog="Example: `dipolar-md analyze runs/r-au-cu`")
def analyze(run: Annotated[Path, typer.Argument(help="Run directory.")]) -> None:
    """Chain statistics of a run: table, summary.json, chains.csv and figures."""
    import dipolar_md as dm

    opened = dm.Run(run)
    print_analysis(opened, analyzed(opened, None))


@app.command(epilog="Example: `dipolar-md compare runs/r-au-cu --reference crystal-r-au-cu`")
def compare(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    reference: Annotated[
        str | None, typer.Option(help="Reference name or TOML file [default: the recipe's].")
    ] = None,
    measured: Annotated[
        Path | None,
        typer.Option(
            help="CSV of your own lengths in nm; columns spacing_nm, projected_spacing_nm, "
            "contour_length_nm, projected_length_nm."
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Exit with 1 where a prediction misses or the run is unfinished."
        ),
    ] = False,
) -> None:
    """Hold a run against published values and your measurements.

    Writes comparison.json and figures/comparison.png into the run.
    """
    import dipolar_md as dm

    opened = dm.Run(run)
    with frame_progress() as show:
        comparison = dm.compare_run(opened, reference, measured, show)
    print_comparison(comparison)
    warn_unfinished(opened)
    if strict and not (comparison.passed and opened.finished):
        raise typer.Exit(1)


@app.command(epilog="Example: `dipolar-md verify r-au-cu`")
def verify(
    what: Annotated[str, typer.Argument(help="Run directory, or cluster name or TOML file.")],
) -> None:
    """Evaluate one configuration in every engine here and compare; exit 1 beyond tolerance.

    Of a run the last frame; of a cluster a small random gas, as sphere and as janus body, with a
    point dipole and with charges.
    """
    import dipolar_md as dm

    passed = True
    for title, system, interactions in dm.configurations(what):
        found = dm.verify(system, interactions)
        print_verification(title, len(system), found)
        passed &= found.passed
    if not passed:
        raise typer.Exit(1)


@app.command(epilog="Example: `dipolar-md doctor`")
def doctor() -> None:
    """What is installed, and which engine and device would be used and why."""
    import dipolar_md as dm
    from dipolar_md.engines.choice import inspect_engine
    from dipolar_md.engines.versions import known_bad as known
    from dipolar_md.engines.versions import version_of

    table = table_of("Engines", "engine", "device", "version", "usable", "note")
    for name, device in (
        ("hoomd", "gpu"),
        ("hoomd", "cpu"),
        ("lammps", "cpu"),
        ("monte_carlo", "cpu"),
    ):
        found = inspect_engine(name, device)  # type: ignore[arg-type]
        usable = "[green]yes[/]" if found.usable else "[red]no[/]"
        table.add_row(name, device, found.version or "–", usable, escaped(found.note))
    out.print(table)
    packages = table_of("Packages", "package", "version")
    for name in (
        *("dipolar-md", "numpy", "scipy", "gsd", "freud-analysis", "rowan", "pymbar"),
        *(
            "networkx",
            "scikit-image",
            "tifffile",
            "matplotlib",
            "pydantic",
            "signac",
            "lammps",
            "mpich",
        ),
    ):
        packages.add_row(name, version_of(name) or "[red]missing[/]")
    for name in ("ase", "cclib", "tblite"):
        packages.add_row(name, version_of(name) or escaped("– (for dipole: dipolar-md[qm])"))
    missing = escaped("– (for .dm3, .dm4, .mrc, .emd, .ser: dipolar-md[microscopes])")
    packages.add_row("rosettasciio", version_of("rosettasciio") or missing)
    packages.add_row("python", sys.version.split()[0])
    packages.add_row("CPU cores", str(len(os.sched_getaffinity(0))))
    out.print(packages)
    out.print("Known bad: " + "; ".join(known()) + ".")
    _, reason = dm.choose_engine()
    out.print(f"[bold]assemble would use[/] {escaped(reason)}")


def _setting(text: str) -> tuple[str, str]:
    from dipolar_md.errors import InputError

    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise InputError(f"--set takes KEY=VALUE (found '{text}'), as in --set dipole_D=21.85")
    return key, value
