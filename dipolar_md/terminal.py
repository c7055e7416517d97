"""What the command line prints: consoles, tables, a progress bar; no physics, no options."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from dipolar_md.analysis.reference import Comparison
    from dipolar_md.analysis.timeseries import Estimate
    from dipolar_md.report import Analysis
    from dipolar_md.simulation.assembly import Progress, Run

out = Console(highlight=False)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def escaped(text: str) -> str:
    """Return a text whose square brackets are no markup."""
    from rich.markup import escape

    return escape(text)


def table_of(title: str, *columns: str) -> Any:
    """Return an empty table; its first column never wraps."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=escaped(title) or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for column in columns:
        table.add_column(column, no_wrap=column == columns[0])
    return table


def print_preflight(recipe: Any) -> None:
    """Print what to expect of each stage of a recipe."""
    from dipolar_md.simulation.preflight import preflight

    table = table_of(
        recipe.title, "stage", "ns", "steps", "mM", "ε_r", "T / K", "box / nm", "λ", "expected n̄"
    )
    for stage in preflight(recipe):
        t, eps, c = stage.environment
        table.add_row(
            escaped(stage.name),
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
def assembly_progress() -> Iterator[Any]:
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


def analyzed(run: "Run", reference: str | None) -> "Analysis":
    """Return the analysis of a run, with a spinner."""
    from dipolar_md.report import analyze

    with err.status("analysing …"):
        return analyze(run, reference)


def plus_minus(estimate: "Estimate | None", unit: str = "") -> str:
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


def print_analysis(run: "Run", analysis: "Analysis") -> None:
    """Print the statistics of a run and how they compare with its reference."""
    warn_unfinished(run)
    s = analysis.statistics
    first, last = s.window_ns
    title = (
        f"{s.n_clusters} x {s.cluster}, stage '{s.stage}', {first:g}–{last:g} ns "
        f"({s.n_frames} frames): {s.concentration_mM:.3g} mM, ε_r {s.relative_permittivity:g}, "
        f"{s.temperature_K:g} K"
    )
    out.print(f"\n[bold]{escaped(title)}[/]", soft_wrap=True)
    table = table_of("", "quantity", "value")
    by = s.mean_chain_length_by_criterion
    p05, p95 = s.spacing_percentile_nm(5), s.spacing_percentile_nm(95)
    for name, value in (
        ("λ at contact", f"{s.lambda_contact:.2f}"),
        ("mean chain length", plus_minus(s.mean_chain_length, "clusters")),
        (
            "  expected from association theory",
            "–"
            if analysis.expected_mean_length is None
            else f"{analysis.expected_mean_length:.3g} clusters",
        ),
        ("  by stricter bonds (70 % of contact energy)", plus_minus(by["energy_0.7"], "clusters")),
        ("  by looser bonds (40 %)", plus_minus(by["energy_0.4"], "clusters")),
        (
            "  by distance (< 1.3 σ, attracting)",
            plus_minus(by["distance_1.3_attractive"], "clusters"),
        ),
        ("weight-mean chain length", plus_minus(s.weight_mean_chain_length, "clusters")),
        ("longest chain", plus_minus(s.max_chain_length, "clusters")),
        ("clusters in chains", plus_minus(_percent(s.chained_fraction), "%")),
        ("clusters in rings", plus_minus(_percent(s.ring_fraction), "%")),
        ("clusters in branched chains", plus_minus(_percent(s.branched_fraction), "%")),
        ("mean wire length (contour)", plus_minus(s.contour_mean_nm, "nm")),
        ("longest wire (contour)", plus_minus(s.contour_max_nm, "nm")),
        ("persistence length", plus_minus(s.persistence_length_nm, "nm")),
        ("spacing of neighbours, median", plus_minus(s.spacing_median_nm, "nm")),
        ("  5–95 %", "–" if p05 is None or p95 is None else f"{p05:.2f}–{p95:.2f} nm"),
        ("chains wrap the periodic box", "yes" if s.percolating else "no"),
    ):
        table.add_row(name, value)
    out.print(table)
    if analysis.comparison:
        print_comparison(analysis.comparison)
    manifest = run.manifest
    out.print(f"Dipole sum: {manifest['electrostatics']}. Times: {manifest['times']}.")
    out.print(f"Written to {escaped(str(run.path))}: summary.json, chains.csv, figures/*.png")


def warn_unfinished(run: "Run") -> None:
    """Say where a run isn't finished, and why."""
    if not run.finished:
        manifest = run.manifest
        reason = f": {manifest['error']}" if "error" in manifest else ""
        err.print(
            f"[bold yellow]this run is not finished[/] ({manifest['status']}{escaped(reason)})"
        )


def _percent(estimate: "Estimate") -> "Estimate":
    error = None if estimate.error is None else 100 * estimate.error
    return type(estimate)(100 * estimate.value, error)


def print_comparison(comparison: "Comparison") -> None:
    """Print the verdicts of a comparison."""
    from dipolar_md.analysis.timeseries import Estimate

    names = {
        "spacing_nm": "spacing, median",
        "contour_length_nm": "wire length, mean",
        "core_diameter_nm": "core diameter",
        "lateral_spacing_nm": "lateral spacing",
    }
    table = table_of(
        f"Beside {comparison.reference.title}", "quantity", "simulation", "reference", "verdict", ""
    )
    for v in comparison.verdicts:
        value = None if v.value is None else Estimate(v.value, v.error)
        table.add_row(names[v.quantity], plus_minus(value, "nm"), v.reference, v.verdict, v.tag)
    out.print(table)
    out.print("calibrated: an input fixes the answer; predicted: the model does.")
    if not comparison.applies:
        clusters = ", ".join(comparison.reference.clusters)
        out.print(f"[yellow]The reference is of {clusters}, not of this run's clusters.[/]")
