"""The command line of studies: `dipolar-md study run`, `status`, `report`, and what they print."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dipolar_md.terminal import err, escaped, out, plus_minus, table_of

if TYPE_CHECKING:
    from dipolar_md.study.execution import StudyStatus
    from dipolar_md.study.grid import Study
    from dipolar_md.study_report import StudyReport

study = typer.Typer(
    help="Run one recipe at many dipoles, solvents or temperatures; map where wires form.",
    epilog="Example: `dipolar-md study run demo`",
    no_args_is_help=True,
)
StudyName = Annotated[str, typer.Argument(help="Study name (dipole-strength) or TOML file.")]
StudyOut = Annotated[Path | None, typer.Option("--out", help="Directory [default: studies/NAME].")]


@study.command("run", epilog="Example: `dipolar-md study run demo --workers 2`")
def run_study(
    name: StudyName,
    out_dir: StudyOut = None,
    workers: Annotated[
        int | None, typer.Option(help="Jobs at a time [default: all cores].", min=1)
    ] = None,
) -> None:
    """Run what is new or unfinished of a study, one job per core.

    Repeating the command continues; values added to an axis run as new jobs. Exit 1 where a job
    failed, 130 where jobs are left.
    """
    import dipolar_md as dm

    chosen = dm.load_study(name)
    _print_plan(chosen, dm.study_status(chosen, out_dir))
    with _progress() as show:
        status = dm.run_study(chosen, out_dir, workers, show)
    _print_status(status)
    if status.counts["failed"]:
        raise typer.Exit(1)
    if status.to_run:
        raise typer.Exit(130)


@study.command("status", epilog="Example: `dipolar-md study status demo`")
def status_of_study(name: StudyName, out_dir: StudyOut = None) -> None:
    """How far a study is, and what went wrong."""
    import dipolar_md as dm

    _print_status(dm.study_status(name, out_dir))


@study.command("report", epilog="Example: `dipolar-md study report demo`")
def report_study(name: StudyName, out_dir: StudyOut = None) -> None:
    """Threshold dipoles, one table of all finished jobs, and figures.

    Writes results.csv, thresholds.csv and figures/*.png into the study.
    """
    import dipolar_md as dm

    _print_report(dm.report_study(name, out_dir))


def _print_plan(study: "Study", status: "StudyStatus") -> None:
    """Print what a study is about to run and what that costs, before anything starts."""
    from dipolar_md.study.grid import estimate

    new = status.to_run
    cost, cores = estimate(study, new), len(os.sched_getaffinity(0))
    axes = ", ".join(
        f"{name} ({len(axis.values)} values)"
        if axis.values
        else f"{name} ({axis.low:g} to {axis.high:g})"
        for name, axis in study.axes.items()
    )
    hours = f"{cost.core_hours:.2g} core hours" if cost.core_hours else "no time"
    out.print(f"[bold]{escaped(study.title)}[/]", soft_wrap=True)
    out.print(f"axes: {escaped(axes)}; {study.replicas} replicas", soft_wrap=True)
    out.print(
        f"{len(status.states)} jobs, {len(new)} to run: at most about {hours} "
        f"(within a factor of two; {cores} cores here) and {cost.disk_MB:.0f} MB in "
        f"{escaped(str(status.path))}",
        soft_wrap=True,
    )
    if study.sampling == "exchange":
        _print_spacing(study)


def _print_spacing(study: "Study") -> None:
    """Warn of neighbouring dipoles that lie too far apart to swap."""
    from dipolar_md.study.exchange import LEAST_ACCEPTANCE, expected_acceptance

    for ladder in study.units()[:1]:
        recipes = [study.recipe_of(point) for point in ladder]
        for low, high in pairwise(recipes):
            a, b = low.dipole_D or 0.0, high.dipole_D or 0.0
            if (part := expected_acceptance(low.n_clusters, a, b)) < LEAST_ACCEPTANCE:
                out.print(
                    f"[yellow]{a:g} and {b:g} D lie far apart[/] for {low.n_clusters} clusters: "
                    f"about {part:.1g} of their swaps will be accepted where chains form",
                    soft_wrap=True,
                )


@contextmanager
def _progress() -> Iterator[Any]:
    """Show a bar of the whole study; yield what feeds it."""
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    with Bar(
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.description}"),
        console=err,
        disable=not err.is_terminal,
    ) as bar:
        task = bar.add_task("starting", total=1.0)

        def show(part: float, states: Any) -> None:
            words = ", ".join(f"{count} {state}" for state, count in states.items() if count)
            bar.update(task, completed=part, description=words)

        yield show


def _print_status(status: "StudyStatus") -> None:
    """Print how many jobs of a study are in which state, and what went wrong."""
    from dipolar_md.study.grid import said

    counts = ", ".join(f"{count} {state}" for state, count in sorted(status.counts.items()))
    out.print(f"{escaped(status.name)} in {escaped(str(status.path))}: {counts}", soft_wrap=True)
    if status.budget:
        out.print(
            f"[yellow]{status.budget} finished jobs ended at their budget[/], short of the error "
            "asked for",
            soft_wrap=True,
        )
    if status.unsettled:
        out.print(f"[yellow]{status.unsettled} finished jobs are not equilibrated[/]")
    if status.others:
        out.print(f"{status.others} more jobs are of values that the study file no longer has")
    for id, error in status.errors.items():
        where = escaped(f"{said(status.points[id])}: {error}")
        err.print(f"[bold red]failed:[/] {where}")


def _print_report(report: "StudyReport") -> None:
    """Print the mean length at every state point, the thresholds, and what was written."""
    from dipolar_md.study.aggregation import THRESHOLD_LENGTH
    from dipolar_md.study.grid import said

    table = table_of(
        "Mean chain length (clusters)", "state point", "λ", "by default", "by 70 %", "theory", ""
    )
    for mean in report.means:
        expected = mean.row["expected_mean_chain_length"]
        notes = [] if mean.settled else ["not equilibrated"]
        table.add_row(
            escaped(said({axis: mean.row[axis] for axis in report.axes})),
            f"{mean.row['lambda_contact']:.2f}",
            plus_minus(mean.length),
            plus_minus(mean.lengths["energy_0_7"]),
            "–" if expected is None else f"{expected:.3g}",
            f"[yellow]{', '.join(notes)}[/]" if notes else "",
        )
    out.print(table)
    if report.thresholds:
        table = table_of(
            f"Dipole at which the mean chain length reaches {THRESHOLD_LENGTH:g}",
            *("bonds by", "at", "dipole", "lies between"),
        )
        for one in report.thresholds:
            low, high = one.low_D, one.high_D
            if low is None:
                where = f"below {high:g} D"
            else:
                where = f"above {low:g} D" if high is None else f"{low:g} and {high:g} D"
            table.add_row(
                one.criterion,
                escaped(said(one.series)) or "–",
                plus_minus(one.dipole_D, "D"),
                where,
            )
        out.print(table)
    _print_exchange(report)
    out.print(
        "± is a standard error over frames and replicas; theory: ideal association. A threshold is "
        "interpolated between the two dipoles that are given."
    )
    names = ", ".join(str(path.relative_to(report.path)) for path in report.files)
    out.print(f"Written to {escaped(str(report.path))}: {escaped(names)}", soft_wrap=True)


def _print_exchange(report: "StudyReport") -> None:
    """Print which dipoles swapped how often, where they did."""
    from dipolar_md.study.grid import said

    if not report.exchange:
        return
    table = table_of("Exchange", "dipoles", "at", "swaps accepted", "round trips", "")
    for pair in report.exchange:
        table.add_row(
            f"{pair.low_D:g} and {pair.high_D:g} D",
            escaped(said(pair.series)) or "–",
            "–" if pair.acceptance is None else f"{pair.acceptance:.0%}",
            str(pair.round_trips),
            "[yellow]too far apart: put a dipole between[/]" if pair.too_far else "",
        )
    out.print(table)
    if not all(pair.round_trips for pair in report.exchange):
        out.print(
            "[yellow]A ladder without round trips hasn't carried a configuration through all of "
            "its dipoles[/]: run it longer, or with dipoles closer together.",
            soft_wrap=True,
        )
