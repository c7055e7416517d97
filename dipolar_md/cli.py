"""The command line: words and options become one public call each; no physics here."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from dipolar_md.errors import DipolarMDError

if TYPE_CHECKING:
    from dipolar_md.analysis.nanowires import Estimate
    from dipolar_md.analysis.reference import Comparison
    from dipolar_md.report import Analysis
    from dipolar_md.simulation.assembly import Progress, Run

app = typer.Typer(
    name="dipolar-md",
    help="Will my cluster wire, and how long will the wires be?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class EngineChoice(StrEnum):
    """Engines to choose from."""

    auto = "auto"
    hoomd = "hoomd"
    lammps = "lammps"


class DeviceChoice(StrEnum):
    """Devices to choose from."""

    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"


def main() -> None:
    """Run the command line; known errors become one line and exit code 2."""
    try:
        app()
    except DipolarMDError as error:
        err.print(f"[bold red]error:[/] {_escape(str(error))}")
        sys.exit(2)
    except OSError as error:
        err.print(f"[bold red]error:[/] {_escape(str(error))}")
        sys.exit(2)
    except KeyboardInterrupt:
        err.print("interrupted")
        sys.exit(130)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


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
        list[str] | None, typer.Option(help="Only this medium; may be repeated.")
    ] = None,
    concentration_mM: Annotated[
        float, typer.Option("--concentration-mM", help="For the expected mean chain lengths.")
    ] = 10.0,
    plot: Annotated[
        bool, typer.Option("--plot", help="Also draw expected length against concentration.")
    ] = False,
) -> None:
    """Dipole, contact energy, λ and expected chain length of a cluster, before any simulation."""
    import dipolar_md as dm

    outlook = dm.describe(dm.load_cluster(cluster), concentration_mM, solvent)
    c, body = outlook.cluster, outlook.body
    table = _table(c.title, "quantity", "value", "status", "")
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
    out.print(table)
    media = _table(
        f"At {concentration_mM:g} mM and 298.15 K", "medium", "ε_r", "λ at contact", "mean length"
    )
    for row in outlook.solvents:
        media.add_row(
            _escape(row.title),
            f"{row.relative_permittivity:g}",
            f"{row.coupling:.2f}",
            f"{row.expected_mean_length:.3g}",
        )
    out.print(media)
    out.print(
        "Mean length: clusters per chain expected from ideal association theory, a rough guide to "
        "equilibrium, not a simulation. Chains need λ of about 3 to 4 or more."
    )
    if plot:
        out.print(f"drawn: {dm.draw_outlook(outlook, Path(f'{c.name}-expectation.png'))}")


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
        typer.Option(help="CPU threads of LAMMPS [default: all cores, 400 clusters each].", min=1),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set any recipe key; may be repeated."),
    ] = None,
    preflight: Annotated[
        bool, typer.Option("--preflight", help="Only check the recipe and print what to expect.")
    ] = False,
) -> None:
    """Run a recipe, analyse it, compare it with TEM and draw it.

    Repeating the command continues an interrupted run; a finished one is kept.
    """
    import dipolar_md as dm

    overrides: dict[str, Any] = dict(_setting(text) for text in settings or [])
    if clusters is not None:
        overrides["n_clusters"] = clusters
    if seed is not None:
        overrides["seed"] = seed
    resolved = dm.load_recipe(recipe, overrides)
    _print_preflight(resolved)
    if preflight:
        return
    with _assembly_progress() as (show, ran):
        run = dm.assemble(
            resolved,
            out_dir,
            engine.value,
            device.value,
            threads=threads,
            progress=show,
        )
    if ran():
        out.print(f"engine: {_escape(run.manifest['sessions'][-1]['reason'])}")
    elif run.finished:
        out.print(f"{_escape(str(run.path))} was finished before: nothing to run.")
    if not run.finished:
        err.print(f"interrupted; repeat the command to continue {_escape(str(run.path))}")
        raise typer.Exit(130)
    _print_analysis(run, _analyzed(run, None))


@app.command(epilog="Example: `dipolar-md analyze runs/r-au-cu`")
def analyze(run: Annotated[Path, typer.Argument(help="Run directory.")]) -> None:
    """Chain statistics of a run: table, summary.json, chains.csv and figures."""
    import dipolar_md as dm

    opened = dm.Run(run)
    _print_analysis(opened, _analyzed(opened, None))


@app.command(epilog="Example: `dipolar-md compare runs/r-au-cu --reference crystal-r-au-cu`")
def compare(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    reference: Annotated[
        str | None, typer.Option(help="Reference name or TOML file [default: the recipe's].")
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Exit with 1 where a prediction misses or the run is unfinished."
        ),
    ] = False,
) -> None:
    """Hold a run against published values."""
    import dipolar_md as dm

    opened = dm.Run(run)
    name = reference or opened.recipe.reference
    if name is None:
        raise dm.InputError(f"{run}: the recipe names no reference; give one with --reference")
    comparison = dm.compare(dm.nanowire_statistics(opened.trajectory), dm.load_reference(name))
    _print_comparison(comparison)
    _warn_unfinished(opened)
    if strict and not (comparison.passed and opened.finished):
        raise typer.Exit(1)


@app.command(epilog="Example: `dipolar-md doctor`")
def doctor() -> None:
    """What is installed, and which engine and device would be used and why."""
    import dipolar_md as dm
    from dipolar_md.engines import inspect_engine, version_of
    from dipolar_md.engines import known_bad as known

    table = _table("Engines", "engine", "device", "version", "usable", "note")
    for name, device in (("hoomd", "gpu"), ("hoomd", "cpu"), ("lammps", "cpu")):
        found = inspect_engine(name, device)  # type: ignore[arg-type]
        usable = "[green]yes[/]" if found.usable else "[red]no[/]"
        table.add_row(name, device, found.version or "–", usable, _escape(found.note))
    out.print(table)
    packages = _table("Packages", "package", "version")
    for name in (
        *("dipolar-md", "numpy", "scipy", "gsd", "freud-analysis", "rowan"),
        *("matplotlib", "pydantic", "lammps", "mpich"),
    ):
        packages.add_row(name, version_of(name) or "[red]missing[/]")
    packages.add_row("python", sys.version.split()[0])
    packages.add_row("CPU cores", str(len(os.sched_getaffinity(0))))
    out.print(packages)
    out.print("Known bad: " + "; ".join(known()) + ".")
    _, reason = dm.choose_engine()
    out.print(f"[bold]assemble would use[/] {_escape(reason)}")


def _setting(text: str) -> tuple[str, str]:
    from dipolar_md.errors import InputError

    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise InputError(f"--set takes KEY=VALUE (found '{text}'), as in --set dipole_D=21.85")
    return key, value


def _table(title: str, *columns: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(
        title=_escape(title) or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for column in columns:
        table.add_column(column, no_wrap=column == columns[0])
    return table


def _print_preflight(recipe: Any) -> None:
    import dipolar_md as dm

    table = _table(
        recipe.title, "stage", "ns", "steps", "mM", "ε_r", "T / K", "box / nm", "λ", "expected n̄"
    )
    for stage in dm.preflight(recipe):
        t, eps, c = stage.environment
        table.add_row(
            _escape(stage.name),
            f"{stage.steps * recipe.time_step_ps / 1000:g}",
            f"{stage.steps}",
            f"{c:g}",
            f"{eps:g}",
            f"{t:g}",
            f"{stage.box_nm:.1f}",
            f"{stage.coupling:.2f}",
            f"{stage.expected_mean_length:.3g}",
        )
    out.print(table)
    out.print(
        "Values at the end of each stage; λ at contact; expected mean chain length n̄ from ideal "
        "association theory."
    )


@contextmanager
def _assembly_progress() -> Iterator[Any]:
    """Show a live bar; yield what feeds it and whether it was fed.

    Stage, part done, steps/s, time left, mean chain length so far.
    """
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from dipolar_md.analysis.chains import DEFAULT_CRITERION, find_neighbours, mean_length

    bar = Bar(
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]:>6.0f} steps/s"),
        TimeRemainingColumn(compact=True),
        TextColumn("mean chain length {task.fields[length]:.2f}"),
        console=err,
        refresh_per_second=4,
    )
    task = bar.add_task("starting", total=None, rate=0.0, length=1.0)
    looked = [0.0]

    def show(progress: "Progress") -> None:
        bar.start()
        fields: dict[str, Any] = {"rate": progress.steps_per_second}
        if time.monotonic() - looked[0] > 1.0:
            system = progress.read()
            fields["length"] = mean_length(find_neighbours(system), len(system), DEFAULT_CRITERION)
            looked[0] = time.monotonic()
        bar.update(
            task,
            description=progress.stage,
            completed=progress.done_steps,
            total=progress.total_steps,
            **fields,
        )

    try:
        yield show, lambda: bar.tasks[task].completed > 0
    finally:
        bar.stop()


def _analyzed(run: "Run", reference: str | None) -> "Analysis":
    import dipolar_md as dm

    with err.status("analysing …"):
        return dm.analyze(run, reference)


def _pm(estimate: "Estimate | None", unit: str = "") -> str:
    """Return `value ± error unit`: one digit of error, two where it begins with 1."""
    if estimate is None:
        return "–"
    value, error = estimate
    unit = f" {unit}" if unit else ""
    if not error:
        return f"{value:.3g}{unit}"
    from math import floor, log10

    leading = floor(log10(error))
    digits = max(0, -leading + (error < 2 * 10.0**leading))
    return f"{value:.{digits}f} ± {error:.{digits}f}{unit}"


def _print_analysis(run: "Run", analysis: "Analysis") -> None:
    _warn_unfinished(run)
    s = analysis.statistics
    first, last = s.window_ns
    title = (
        f"{s.n_clusters} x {s.cluster}, stage '{s.stage}', {first:g}–{last:g} ns "
        f"({s.n_frames} frames): {s.concentration_mM:.3g} mM, ε_r {s.relative_permittivity:g}, "
        f"{s.temperature_K:g} K"
    )
    out.print(f"\n[bold]{_escape(title)}[/]", soft_wrap=True)
    table = _table("", "quantity", "value")
    by = s.mean_chain_length_by_criterion
    p05, p95 = s.spacing_percentile_nm(5), s.spacing_percentile_nm(95)
    for name, value in (
        ("λ at contact", f"{s.lambda_contact:.2f}"),
        ("mean chain length", _pm(s.mean_chain_length, "clusters")),
        (
            "  expected from association theory",
            "–"
            if analysis.expected_mean_length is None
            else f"{analysis.expected_mean_length:.3g} clusters",
        ),
        ("  by stricter bonds (70 % of contact energy)", _pm(by["energy_0.7"], "clusters")),
        ("  by looser bonds (40 %)", _pm(by["energy_0.4"], "clusters")),
        ("  by distance (< 1.3 σ, attracting)", _pm(by["distance_1.3_attractive"], "clusters")),
        ("weight-mean chain length", _pm(s.weight_mean_chain_length, "clusters")),
        ("longest chain", _pm(s.max_chain_length, "clusters")),
        ("clusters in chains", _pm(_percent(s.chained_fraction), "%")),
        ("clusters in rings", _pm(_percent(s.ring_fraction), "%")),
        ("clusters in branched chains", _pm(_percent(s.branched_fraction), "%")),
        ("mean wire length (contour)", _pm(s.contour_mean_nm, "nm")),
        ("longest wire (contour)", _pm(s.contour_max_nm, "nm")),
        ("persistence length", _pm(s.persistence_length_nm, "nm")),
        ("spacing of neighbours, median", _pm(s.spacing_median_nm, "nm")),
        ("  5–95 %", "–" if p05 is None or p95 is None else f"{p05:.2f}–{p95:.2f} nm"),
        ("chains wrap the periodic box", "yes" if s.percolating else "no"),
    ):
        table.add_row(name, value)
    out.print(table)
    if analysis.comparison:
        _print_comparison(analysis.comparison)
    manifest = run.manifest
    out.print(f"Dipole sum: {manifest['electrostatics']}. Times: {manifest['times']}.")
    out.print(f"Written to {_escape(str(run.path))}: summary.json, chains.csv, figures/*.png")


def _warn_unfinished(run: "Run") -> None:
    """Say where a run isn't finished, and why."""
    if not run.finished:
        manifest = run.manifest
        reason = f": {manifest['error']}" if "error" in manifest else ""
        err.print(
            f"[bold yellow]this run is not finished[/] ({manifest['status']}{_escape(reason)})"
        )


def _percent(estimate: "Estimate") -> "Estimate":
    error = None if estimate.error is None else 100 * estimate.error
    return type(estimate)(100 * estimate.value, error)


def _print_comparison(comparison: "Comparison") -> None:
    from dipolar_md.analysis.nanowires import Estimate

    names = {
        "spacing_nm": "spacing, median",
        "contour_length_nm": "wire length, mean",
        "core_diameter_nm": "core diameter",
        "lateral_spacing_nm": "lateral spacing",
    }
    table = _table(
        f"Beside {comparison.reference.title}", "quantity", "simulation", "reference", "verdict", ""
    )
    for v in comparison.verdicts:
        value = None if v.value is None else Estimate(v.value, v.error)
        table.add_row(names[v.quantity], _pm(value, "nm"), v.reference, v.verdict, v.tag)
    out.print(table)
    out.print("calibrated: an input fixes the answer; predicted: the model does.")
    if not comparison.applies:
        clusters = ", ".join(comparison.reference.clusters)
        out.print(f"[yellow]The reference is of {clusters}, not of this run's clusters.[/]")
