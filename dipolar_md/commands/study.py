"""The command line of studies: `run`, `submit`, `status`, `report`, and what they print."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dipolar_md.commands.terminal import err, escaped, out, plus_minus, table_of

if TYPE_CHECKING:
    from rich.table import Table

    from dipolar_md.reports.inference import StudyInference
    from dipolar_md.reports.study import StudyReport
    from dipolar_md.study.jobs import StatePoint
    from dipolar_md.study.posterior import Posterior
    from dipolar_md.study.slurm import SlurmBatch
    from dipolar_md.study.study_file import Study
    from dipolar_md.study.workers import StudyStatus

study = typer.Typer(
    help="Run one recipe at many dipoles, solvents or temperatures; map where wires form.",
    epilog="Example: `dipolar-md study run demo`",
    no_args_is_help=True,
)
StudyName = Annotated[str, typer.Argument(help="Study name (dipole-strength) or TOML file.")]
StudyOut = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Directory [default: studies/NAME].")
]
Ranks = Annotated[int, typer.Option(help="MPI ranks of LAMMPS per job.", min=1)]


class DeviceChoice(StrEnum):
    """Devices to choose from."""

    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"


@study.command("run", epilog="Example: `dipolar-md study run demo --workers 2`")
def run_study(
    name: StudyName,
    out_dir: StudyOut = None,
    workers: Annotated[
        int | None, typer.Option(help="Jobs at a time [default: as cores or GPUs allow].", min=1)
    ] = None,
    ranks: Ranks = 1,
    device: Annotated[
        DeviceChoice, typer.Option(help="Device; a GPU (HOOMD-blue) takes one job at a time.")
    ] = DeviceChoice.auto,
    jobs: Annotated[
        str | None, typer.Option(metavar="ID,ID,...", help="Only these jobs of the workspace.")
    ] = None,
) -> None:
    """Run what is new or unfinished of a study, one job per core or GPU.

    Repeating the command continues; values added to an axis run as new jobs. Exit 1 where a job
    failed, 130 where jobs are left.
    """
    import dipolar_md as dm

    if jobs is not None and not jobs.strip(","):
        raise dm.InputError("--jobs names no job, so none is run (ID,ID,… as in the workspace)")
    chosen, ids = dm.load_study(name), None if jobs is None else jobs.split(",")
    _print_plan(chosen, dm.study_status(chosen, out_dir, ids))
    try:
        with _progress() as show:
            status = dm.run_study(
                chosen, out_dir, workers, show, device=device.value, ranks=ranks, jobs=ids
            )
    except KeyboardInterrupt:
        err.print("interrupted, with checkpoints; repeat the command to continue")
        raise typer.Exit(130) from None
    _print_status(status)
    if status.counts["failed"]:
        raise typer.Exit(1)
    if status.to_run:
        raise typer.Exit(130)


@study.command(
    "submit", epilog="Example: `dipolar-md study submit demo --cpus 8 --walltime 02:00:00`"
)
def submit_study(
    name: StudyName,
    out_dir: StudyOut = None,
    partition: Annotated[str | None, typer.Option(help="Partition [default: Slurm's].")] = None,
    account: Annotated[str | None, typer.Option(help="Account [default: Slurm's].")] = None,
    walltime: Annotated[
        str, typer.Option(metavar="[D-]HH:MM:SS", help="Time limit of a Slurm job.")
    ] = "01:00:00",
    cpus: Annotated[
        int | None, typer.Option(help="Cores per Slurm job [default: one per rank or GPU].", min=1)
    ] = None,
    ranks: Ranks = 1,
    gpus_per_job: Annotated[
        int, typer.Option(help="GPUs per Slurm job; each takes one job of the study.", min=0)
    ] = 0,
    bundle: Annotated[
        int | None,
        typer.Option(
            help="Jobs of the study per Slurm job [default: half of the walltime's worth].", min=1
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write and print the script; submit nothing.")
    ] = False,
) -> None:
    """Run what is new or unfinished of a study through Slurm.

    Writes DIR/submit.sh, one array job, and submits it. Its tasks stop with checkpoints two minutes
    before their time is over; repeating the command submits what is left and isn't in the queue.
    """
    import dipolar_md as dm

    chosen = dm.load_study(name)
    _print_plan(chosen, dm.study_status(chosen, out_dir))
    batch = dm.submit_study(
        chosen,
        out_dir,
        partition=partition,
        account=account,
        walltime=walltime,
        cpus=cpus,
        ranks=ranks,
        gpus_per_job=gpus_per_job,
        bundle=bundle,
        dry_run=dry_run,
    )
    _print_batch(batch)


@study.command("status", epilog="Example: `dipolar-md study status demo`")
def status_of_study(name: StudyName, out_dir: StudyOut = None) -> None:
    """How far a study is, what Slurm holds of it, and what went wrong."""
    import dipolar_md as dm
    from dipolar_md.study.slurm import slurm_states

    status = dm.study_status(name, out_dir)
    _print_status(status)
    try:
        held = slurm_states(status.path).items()
    except dm.InputError as error:
        err.print(f"[yellow]{escaped(str(error))}[/]")
        return
    left = Counter(word.lower() for id, word in held if status.states.get(id) != "done")
    if left:
        out.print(f"of these in Slurm: {', '.join(f'{n} {word}' for word, n in left.items())}")


@study.command("report", epilog="Example: `dipolar-md study report demo`")
def report_study(name: StudyName, out_dir: StudyOut = None) -> None:
    """Threshold dipoles, one table of all finished jobs, and figures.

    Writes results.csv, thresholds.csv and figures/*.png into the study; results.parquet, too, where
    pyarrow is installed.
    """
    import dipolar_md as dm

    _print_report(dm.report_study(name, out_dir))


@study.command("infer", epilog="Example: `dipolar-md study infer demo --reference tem-r-au-cu`")
def infer_study(
    name: StudyName,
    reference: Annotated[
        str | None, typer.Option(metavar="NAME", help="Published values, by name or TOML file.")
    ] = None,
    lengths: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV of your own wire lengths, nm.")
    ] = None,
    spacings: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV of your own spacings, nm.")
    ] = None,
    length_factor: Annotated[
        float,
        typer.Option(
            metavar="X",
            help="The model's own error of a mean wire length, a factor of 1 or more.",
            min=1.0,
        ),
    ] = 1.6,
    out_dir: StudyOut = None,
) -> None:
    """Which of a study's states explain a measured wire length and spacing.

    A CSV has a column contour_length_nm or projected_length_nm, spacing_nm or projected_spacing_nm.
    Writes inference.json and figures/inference.png into the study.
    """
    import dipolar_md as dm

    _print_inference(dm.infer_study(name, reference, lengths, spacings, out_dir, length_factor))


def _print_plan(study: "Study", status: "StudyStatus") -> None:
    """Print what a study is about to run and what that costs, before anything starts."""
    import dipolar_md as dm

    new = status.to_run
    cost, cores = dm.estimate_cost(study, new), len(os.sched_getaffinity(0))
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
    from dipolar_md.study.ladder import LEAST_ACCEPTANCE, expected_acceptance

    for ladder in study.job_groups()[:1]:
        for low, high in pairwise(job.plan.recipe for job in ladder):
            a, b = low.dipole_D or 0.0, high.dipole_D or 0.0
            if (part := expected_acceptance(low.n_clusters, a, b)) < LEAST_ACCEPTANCE:
                out.print(
                    f"[yellow]{a:g} and {b:g} D lie far apart[/] for {low.n_clusters} clusters: "
                    f"about {part:.1g} of their swaps will be accepted where chains form",
                    soft_wrap=True,
                )


@contextmanager
def _progress() -> Iterator[Callable[[float, Counter[str]], None]]:
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

        def show(part: float, states: Counter[str]) -> None:
            words = ", ".join(f"{count} {state}" for state, count in states.items() if count)
            bar.update(task, completed=part, description=words)

        yield show


def _print_status(status: "StudyStatus") -> None:
    """Print how many jobs of a study are in which state, and what went wrong."""
    from dipolar_md.study.jobs import format_point

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
        where = escaped(f"{format_point(status.jobs[id].point)}: {error}")
        err.print(f"[bold red]failed:[/] {where}")


def _print_batch(batch: "SlurmBatch") -> None:
    """Print what Slurm was given, or would be."""
    held = f"{batch.held} jobs are in Slurm already" if batch.held else ""
    if batch.script is None:
        out.print(f"nothing to submit{': ' * bool(held)}{held}")
        return
    if held:
        out.print(held)
    tasks, jobs = len(batch.tasks), sum(map(len, batch.tasks))
    if batch.slurm_id is None:
        out.print(batch.script.read_text(encoding="utf-8"), soft_wrap=True, markup=False)
    what = f"{jobs} jobs in {tasks} array tasks of up to {len(batch.tasks[0])}"
    how = f"as Slurm job {batch.slurm_id}" if batch.slurm_id else "not submitted"
    out.print(f"{what}, {how}: {escaped(str(batch.script))}", soft_wrap=True)


def _print_report(report: "StudyReport") -> None:
    """Print the mean length at every state point, the thresholds, and what was written."""
    from dipolar_md.study.table import describe_left_out

    varied = [axis for axis in report.axes if len({mean.point[axis] for mean in report.means}) > 1]
    out.print(_means_table(report, varied or report.axes))
    if report.thresholds:
        out.print(_thresholds_table(report, varied))
    _print_exchange(report)
    out.print(
        "± is a standard error over frames and replicas; theory: ideal association, at most all "
        "clusters of a box in one chain. A threshold is interpolated between the two dipoles that "
        "are given." + " * not equilibrated." * any(not mean.settled for mean in report.means)
    )
    if report.left_out:
        out.print(describe_left_out(report.left_out), soft_wrap=True)
    _print_files(report.path, report.files)
    if not any(path.suffix == ".parquet" for path in report.files):
        out.print("results.parquet needs pyarrow: pip install 'dipolar-md\\[parquet]'")


def _means_table(report: "StudyReport", axes: list[str]) -> "Table":
    """Return the mean length at every state point as a table."""
    table: Table = table_of(
        "Mean chain length (clusters)",
        *map(_axis_header, axes),
        *("λ", "by default", "by 70 %", "theory"),
    )
    for mean in report.means:
        unsettled = "" if mean.settled else " [yellow]*[/]"
        table.add_row(
            *_value_cells(mean.point, axes),
            f"{mean.row['lambda_contact']:.2f}",
            plus_minus(mean.length) + unsettled,
            plus_minus(mean.lengths["energy_0.7"]),
            _expected_cell(mean.row["expected_mean_chain_length"], mean.row["n_clusters"]),
        )
    return table


def _expected_cell(length: float | None, n_clusters: int) -> str:
    """Return the mean length that theory expects, as far as the box can hold it."""
    if length is None:
        return "–"
    return f"all {n_clusters}" if length > n_clusters else f"{length:.3g}"


def _axis_header(axis: str) -> str:
    from dipolar_md.study.jobs import split_unit

    name, unit = split_unit(axis)
    return f"{name} / {unit}" if unit else name


def _thresholds_table(report: "StudyReport", varied: list[str]) -> "Table":
    """Return the threshold dipoles as a table."""
    from dipolar_md.study.table import THRESHOLD_LENGTH

    others = [axis for axis in varied if axis in report.thresholds[0].series]
    table: Table = table_of(
        f"Dipole at which the mean chain length reaches {THRESHOLD_LENGTH:g}",
        *("bonds by", *map(_axis_header, others), "dipole", "lies between"),
    )
    for threshold in report.thresholds:
        low, high = threshold.low_D, threshold.high_D
        if low is None:
            where = f"below {high:g} D"
        else:
            where = f"above {low:g} D" if high is None else f"{low:g} and {high:g} D"
        table.add_row(
            threshold.criterion,
            *_value_cells(threshold.series, others),
            plus_minus(threshold.dipole_D, "D"),
            where,
        )
    return table


def _value_cells(point: "StatePoint", axes: list[str]) -> list[str]:
    from dipolar_md.study.jobs import format_value

    return [escaped(format_value(point[axis])) for axis in axes]


def _print_files(folder: Path, files: Iterable[Path]) -> None:
    names = ", ".join(str(path.relative_to(folder)) for path in files)
    out.print(f"Written to {escaped(str(folder))}: {escaped(names)}", soft_wrap=True)


def _print_inference(inference: "StudyInference") -> None:
    """Print what measurements say of each axis, the answer in words, and what it rests on."""
    posterior = inference.posterior
    if posterior.axes:
        out.print(_axes_table(posterior))
    for name, shares in posterior.words.items():
        bits, decided = posterior.word_bits[name], _yes_no(posterior.decided(name))
        out.print(f"[bold]{escaped(name)}: {bits:.2f} bits, decided: {decided}[/]")
        table = table_of("", name, "probability")
        for word, share in shares.items():
            table.add_row(escaped(word), f"{100 * share:.1f} %")
        out.print(table)
    for sentence in inference.sentences:
        out.print(escaped(sentence), soft_wrap=True)
    out.print(
        "68 % and 95 %: credible intervals; bits: information gained over the prior; width: of the "
        f"95 % interval over the prior's. All axes together: {posterior.bits:.2f} bits."
    )
    for note in inference.notes:
        out.print(f"- {escaped(note)}", soft_wrap=True)
    _print_files(inference.path, inference.files)


def _axes_table(posterior: "Posterior") -> "Table":
    """Return the posterior of each axis of numbers as a table."""
    table: Table = table_of(
        "What the measurement says of each axis",
        *("axis", "median", "68 %", "95 %", "bits", "width", "decided"),
    )
    for axis in posterior.axes:
        spans = (axis.interval_68, axis.interval_95)
        table.add_row(
            escaped(_axis_header(axis.name)),
            f"{axis.median:.3g}",
            *(f"{low:.3g} – {high:.3g}" for low, high in spans),
            f"{axis.bits:.2f}",
            f"{axis.width_ratio:.2f}",
            _yes_no(posterior.decided(axis.name)),
        )
    return table


def _yes_no(true: bool) -> str:
    return "yes" if true else "no"


def _print_exchange(report: "StudyReport") -> None:
    """Print which dipoles swapped how often, where they did."""
    from dipolar_md.study.jobs import format_point

    if not report.exchange:
        return
    table = table_of("Exchange", "dipoles", "at", "swaps accepted", "round trips", "")
    for pair in report.exchange:
        table.add_row(
            f"{pair.low_D:g} and {pair.high_D:g} D",
            escaped(format_point(pair.series)) or "–",
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
