"""What the command line prints: consoles, tables, a progress bar; no physics, no options."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from dipolar_md.analysis.reference import Comparison, Verdict
    from dipolar_md.analysis.timeseries import Estimate
    from dipolar_md.engines.verification import Difference, Verification
    from dipolar_md.reports.run import Analysis
    from dipolar_md.simulation.assembly import Progress
    from dipolar_md.simulation.plan import Plan
    from dipolar_md.simulation.run_directory import Run

out = Console(highlight=False)
err = Console(stderr=True, highlight=False, soft_wrap=True)


LONGEST_SHOWN = 1e6
"""Clusters; longer chains are no expectation of anything."""


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


def expected_length(mean: float | None, n_clusters: int | None = None) -> str:
    """Return an expected mean length, no longer than what a box of clusters or anyone can hold."""
    if mean is None or math.isnan(mean):
        return "–"
    if n_clusters is not None and mean > n_clusters:
        return f"all {n_clusters}"
    return f"{mean:.3g}" if mean <= LONGEST_SHOWN else "> 10⁶"


@contextmanager
def spinner(text: str) -> Iterator[Any]:
    """Show a line that the yielded function replaces, until done."""
    with err.status(text) as status:
        yield status.update


def print_preflight(plan: "Plan") -> None:
    """Print what to expect of each stage of a plan."""
    from dipolar_md.simulation.preflight import preflight

    table = table_of(
        plan.recipe.title,
        "stage",
        "ns",
        "steps",
        "mM",
        "ε_r",
        "T / K",
        "box / nm",
        "λ",
        "expected n̄",
    )
    step_ns = plan.stages[0].time_step_ps / 1000
    for stage in preflight(plan):
        t, eps, c, film, _ = stage.environment
        table.add_row(
            escaped(stage.name),
            f"{stage.steps * step_ns:g}",
            f"{stage.steps}",
            f"{c:g}",
            f"{eps:g}",
            f"{t:g}",
            f"{stage.box_nm:.1f}" + (f" × {film:g}" if film else ""),
            f"{stage.coupling:.2f}",
            expected_length(stage.expected_mean_length, plan.recipe.n_clusters),
        )
    out.print(table)
    out.print(
        "Values at the end of each stage; λ at contact; expected mean chain length n̄ from ideal "
        "association theory (all N: more than the box holds)."
    )


@contextmanager
def assembly_progress() -> Iterator[Any]:
    """Show a live bar; yield what feeds it and whether it was fed.

    Stage, part done, steps/s, time left, mean chain length so far.
    """
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from dipolar_md.analysis.bonds import DEFAULT_CRITERION, find_neighbours
    from dipolar_md.analysis.chains import mean_length

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
    due = [0.0]

    def show(progress: "Progress") -> None:
        bar.start()
        fields: dict[str, Any] = {"rate": progress.steps_per_second}
        if (begin := time.monotonic()) > due[0]:
            system = progress.read()
            fields["length"] = mean_length(find_neighbours(system), len(system), DEFAULT_CRITERION)
            now = time.monotonic()  # a percent of the time at most, however many clusters
            due[0] = now + max(1.0, 100 * (now - begin))
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
    """Return the analysis of a run, with a bar."""
    from dipolar_md.reports.run import analyze

    with frame_progress() as show:
        return analyze(run, reference, show)


def plus_minus(estimate: "Estimate | None", unit: str = "") -> str:
    """Return `value ± error unit`, or a dash for nothing."""
    return "–" if estimate is None else f"{estimate} {unit}".rstrip()


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
    clock = "physical" if run.manifest["times"] == "physical friction" else "accelerated"
    by = s.mean_chain_length_by_criterion
    p05, p95 = s.spacing_percentile_nm(5), s.spacing_percentile_nm(95)
    for name, value in (
        ("λ at contact", f"{s.lambda_contact:.2f}"),
        ("mean chain length", plus_minus(s.mean_chain_length, "clusters")),
        (
            "  expected from association theory",
            f"{expected_length(analysis.expected_mean_length, s.n_clusters)} clusters",
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
        ("  from end-to-end distances", plus_minus(s.persistence_length_end_to_end_nm, "nm")),
        ("spacing of neighbours, median", plus_minus(s.spacing_median_nm, "nm")),
        ("  5–95 %", "–" if p05 is None or p95 is None else f"{p05:.2f}–{p95:.2f} nm"),
        ("  projected along z, median", plus_minus(s.projected_spacing_median_nm, "nm")),
        ("clusters in bundles of chains", plus_minus(_percent(s.bundled_fraction), "%")),
        ("  contacts that are parallel", plus_minus(_percent(s.parallel_fraction), "%")),
        ("  lateral spacing, median", plus_minus(s.lateral_spacing_nm, "nm")),
        (f"life of a bond, {clock}", plus_minus(s.bond_lifetime_ns, "ns")),
        (f"life of a chain, {clock}", plus_minus(s.chain_lifetime_ns, "ns")),
        ("chains wrap the periodic box", "yes" if s.percolating else "no"),
    ):
        table.add_row(name, value)
    for name, value in (*_handedness_rows(analysis), *_dipole_rows(analysis)):
        table.add_row(name, value)
    out.print(table)
    number = s.independent_samples["mean_chain_length"]
    frames = f"the mean chain length has {number:.0f} independent samples in {s.n_frames} frames"
    out.print(f"Errors are standard errors; {frames}.", soft_wrap=True)
    if not s.equilibration.equilibrated:
        out.print(f"[yellow]not equilibrated:[/] {s.equilibration.reason}", soft_wrap=True)
    if analysis.comparison:
        print_comparison(analysis.comparison)
    manifest = run.manifest
    out.print(f"Dipole sum: {manifest['electrostatics']}. Times: {manifest['times']}.")
    out.print(f"Written to {escaped(str(run.path))}: summary.json, chains.csv, figures/*.png")


def _handedness_rows(analysis: "Analysis") -> Iterator[tuple[str, str]]:
    """Yield what is known of handedness along the chains."""
    turns = analysis.handedness
    if turns is None:
        return
    if turns.alternation is not None:
        yield "bonds that join R and S", plus_minus(_percent(turns.alternation), "%")
        yield "  in a random order", f"{100 * (turns.random_alternation or 0):.1f} %"
    for kind, twist in turns.twists.items():
        yield f"helicity ⟨sin nθ⟩ of {kind} bonds", plus_minus(twist.sine)


def _dipole_rows(analysis: "Analysis") -> Iterator[tuple[str, str]]:
    """Yield the dipoles of polarisable clusters by place, and what their energy is made of."""
    if analysis.dipoles is None:
        return
    yield "dipole, permanent", f"{analysis.dipoles.permanent_D:.2f} D"
    for place, found in analysis.dipoles.places.items():
        yield f"  total, {place}", plus_minus(found.total_D, "D")
    for name, energy in analysis.dipoles.energies_kJ_mol.items():
        yield f"energy per cluster, {name}", plus_minus(energy, "kJ/mol")


def print_verification(title: str, n: int, found: "Verification") -> None:
    """Print the differences of every engine from the reference, per term."""
    ran = [d for d in found.differences if not d.note]
    columns = [f"{d.engine} ({d.device})" for d in ran]
    table = table_of(title, "", f"{found.reference} / kJ/mol", *columns)
    for term, energy in found.energies.items():
        if energy or term == "total":
            table.add_row(term, f"{energy:.6f}", *[f"{d.energies[term]:+.1e}" for d in ran])
    table.add_row("force, relative", "", *[f"{d.force:.1e}" for d in ran])
    table.add_row("torque, relative", "", *[f"{d.torque:.1e}" for d in ran])
    table.add_row("", "", *map(_agreement, ran))
    out.print(table)
    for d in found.differences:
        if d.note:
            out.print(f"{d.engine} ({d.device}): {escaped(d.note)}", soft_wrap=True)
    if found.truncation_bias_kJ_mol is not None:
        bias = found.truncation_bias_kJ_mol
        out.print(f"Truncated minus Ewald sum: {bias:+.3f} kJ/mol per cluster ({n} clusters).")


def _agreement(difference: "Difference") -> str:
    if difference.passed:
        return "[green]agrees[/]"
    return f"[bold red]beyond {difference.tolerance:g}[/]"


def warn_unfinished(run: "Run") -> None:
    """Say where a run isn't finished and why, lost frames, or is unproven."""
    if lost := run.manifest.get("missing_steps"):
        err.print(f"[bold yellow]{len(lost)} frames of this run are lost[/] (see manifest.json)")
    if run.identity is None:
        err.print(
            "[bold yellow]this run is unproven:[/] an earlier version wrote it without checksums"
        )
    if not run.finished:
        manifest = run.manifest
        reason = f": {manifest['error']}" if "error" in manifest else ""
        err.print(
            f"[bold yellow]this run is not finished[/] ({manifest['status']}{escaped(reason)})"
        )


def _percent(estimate: "Estimate | None") -> "Estimate | None":
    if estimate is None:
        return None
    error = None if estimate.error is None else 100 * estimate.error
    return type(estimate)(100 * estimate.value, error)


_QUANTITIES = {
    "spacing_nm": "spacing",
    "projected_spacing_nm": "seen on TEM",
    "contour_length_nm": "wire length",
    "projected_length_nm": "seen length",
    "core_diameter_nm": "core size",
    "lateral_spacing_nm": "between wires",
}


def print_comparison(comparison: "Comparison") -> None:
    """Print the verdicts of a comparison."""
    reference = comparison.reference
    published = [v for v in comparison.verdicts if v.sample is None]
    measured = [v for v in comparison.verdicts if v.sample is not None]
    if published:
        out.print(_verdict_table(f"Beside {reference.title}" if reference else "", published))
    if measured:
        out.print(_verdict_table("Beside your measurements (medians)", measured))
    for v in measured:
        if s := v.sample:
            moved = f"{s.distance_nm:.2g} nm ({s.distance_low_nm:.2g}–{s.distance_high_nm:.2g} nm)"
            out.print(
                f"{v.quantity}: {s.simulated} simulated and {s.measured} measured values lie "
                f"{moved} apart (earth mover's distance, 95 % interval); "
                f"Kolmogorov-Smirnov p = {s.ks_p:.2g}."
            )
    out.print(
        "overlap: part of the simulated values in the range, or in the middle 90 % of yours. "
        "calibrated: an input fixes the answer; predicted: the model does."
    )
    if reference and not comparison.applies:
        clusters = ", ".join(reference.clusters)
        out.print(f"[yellow]The reference is of {clusters}, not of this run's clusters.[/]")


def _verdict_table(title: str, verdicts: "list[Verdict]") -> Any:
    from dipolar_md.analysis.timeseries import Estimate

    table = table_of(title, "", "nm", "reference", "overlap", "verdict", "")
    for v in verdicts:
        table.add_row(
            _QUANTITIES[v.quantity],
            plus_minus(None if v.value is None else Estimate(v.value, v.error)),
            v.reference,
            "–" if v.overlap is None else f"{100 * v.overlap:.0f} %",
            v.verdict,
            "–" if v.verdict == "not predicted" else v.tag,
        )
    return table


@contextmanager
def frame_progress() -> Iterator[Any]:
    """Show a bar of analysed frames; yield what feeds it with (done, in all)."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    with Bar(
        TextColumn("analysing"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TimeRemainingColumn(compact=True),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
