"""`dipolar-md micrograph`: cores, spacings and wires of images, or of a run's simulated one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dipolar_md.commands.terminal import escaped, out, table_of

if TYPE_CHECKING:
    from dipolar_md.analysis.wires import Interval
    from dipolar_md.reports.micrograph import Imaging, PooledImages


def micrograph(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...|RUN",
            help="TIFF, PNG, .dm3, .dm4, .mrc, .emd or .ser, several of one sample; or a run.",
        ),
    ],
    pixel_nm: Annotated[
        float | None,
        typer.Option(help="Edge of a pixel, nm [default: as the file says; 0.05 for a run]."),
    ] = None,
    core_nm: Annotated[float, typer.Option(help="Expected core diameter, nm.")] = 1.0,
    reach_nm: Annotated[float, typer.Option(help="Farthest neighbours of a wire, nm.")] = 2.75,
    crop: Annotated[
        tuple[int, int, int, int] | None,
        typer.Option(
            metavar="LEFT TOP RIGHT BOTTOM", help="Pixels of an image to measure, without its bar."
        ),
    ] = None,
    page: Annotated[int, typer.Option(help="Which of several images in a file.")] = 1,
    invert: Annotated[
        bool,
        typer.Option(
            "--invert",
            help="Cores are bright, as in dark field [default: bright or dark as the image says].",
        ),
    ] = False,
    sigmas: Annotated[
        float | None,
        typer.Option(
            help="Least response of a core over the noise [default: fewest false and missed]."
        ),
    ] = None,
    section_nm: Annotated[
        float, typer.Option(help="Height of the slice of a run's box that is seen, nm.")
    ] = 10.0,
    microscope: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Microscope that a run is seen with, or its file [default: mass-thickness].",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 where an image can't be measured.")
    ] = False,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what was measured as JSON.")
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="Folder [default: the image's; figures of a run]."),
    ] = None,
) -> None:
    """Find cores, spacings and wires in micrographs, or in a run's simulated one.

    Leaves an overlay picture and CSV tables, for `compare --measured`. Says where an image can't
    be measured, instead of numbers. Microscopes' own formats need `dipolar-md[microscopes]`.
    """
    from dipolar_md.errors import InputError
    from dipolar_md.files import write_json
    from dipolar_md.reports.micrograph import image_run, measure_image, pool_images

    imagings = []
    for source in sources:
        if source.is_dir():
            if crop is not None:
                raise InputError("--crop is for images; a run's height is cut by --section-nm")
            pixel = 0.05 if pixel_nm is None else pixel_nm
            imagings.append(
                image_run(
                    *(source, pixel, section_nm, core_nm, reach_nm, out_dir),
                    microscope=microscope,
                    sigmas=sigmas,
                )
            )
        else:
            if microscope is not None:
                raise InputError("--microscope is for runs; an image has its own")
            imagings.append(
                measure_image(
                    *(source, pixel_nm, core_nm, reach_nm, crop, out_dir),
                    sigmas=sigmas,
                    bright=True if invert else None,
                    page=page,
                )
            )
        print_imaging(imagings[-1])
    pool = pool_images(imagings)
    if len(imagings) > 1:
        print_pooled(pool)
    if json is not None:
        write_json(json, pool.summary() if len(imagings) > 1 else imagings[0].summary())
    if strict and not all(i.measurement.quality.trusted for i in imagings):
        raise typer.Exit(1)


def print_imaging(imaging: "Imaging") -> None:
    """Print what was found in a micrograph, or why it can't be measured."""
    import numpy as np

    found, picture = imaging.measurement, imaging.micrograph
    quality, (width, height) = found.quality, picture.size_nm
    table = table_of(
        f"{width:.4g} x {height:.4g} nm, pixels of {picture.pixel_nm:.3g} nm", "quantity", "value"
    )
    kind = "bright on a dark ground" if found.bright else "dark on a bright ground"
    table.add_row("cores found", f"{len(found.centres_nm)}, {kind}")
    if picture.centres_nm is not None:
        table.add_row("  in the picture", f"{len(picture.centres_nm)}")
    if quality.signal_to_noise:
        table.add_row(
            "signal over noise, typical / least",
            f"{quality.signal_to_noise:.1f} / {quality.threshold:.1f}"
            if np.isfinite(found.significance).all()
            else "no noise",
        )
        table.add_row(
            "  expected false / missed",
            f"{quality.expected_false:.1f} / {quality.expected_missed:.1f}",
        )
    if found.grain:
        table.add_row("grain of the ground", f"{found.grain:.1%} of {found.grain_nm:.2f} nm")
    if not quality.spacing_faults:
        low, high = np.percentile(found.spacings_nm, [5, 95]) if len(found.links) else (0, 0)
        table.add_row("projected spacing, median (95 %)", interval_of(found.spacing))
        table.add_row("  5–95 % of all", f"{low:.3g}–{high:.3g} nm")
        table.add_row("wires of two cores or more", f"{len(found.wires)}")
    if not quality.length_faults:
        table.add_row("projected wire length, mean (95 %)", interval_of(found.mean_length))
    elif not quality.spacing_faults and found.mean_length.low > 0:
        table.add_row("projected wire length, mean", f"at least {found.mean_length.low:.3g} nm")
    out.print(table)
    for fault in quality.spacing_faults:
        out.print(f"[yellow]This image can't be measured:[/] {escaped(fault)}.")
    for fault in quality.length_faults[len(quality.spacing_faults) :]:
        out.print(f"[yellow]No mean length:[/] {escaped(fault)}.")
    names = ", ".join(path.name for path in imaging.files)
    out.print(f"Written to {escaped(str(imaging.files[0].parent))}: {escaped(names)}")


def interval_of(estimate: "Interval") -> str:
    """Return an estimate in nm with its interval."""
    import math

    if math.isnan(estimate.value):
        return "–"
    if math.isinf(estimate.high):
        return f"at least {estimate.low:.3g} nm"
    return f"{estimate.value:.4g} nm ({estimate.low:.4g}–{estimate.high:.4g} nm)"


def print_pooled(pool: "PooledImages") -> None:
    """Print what several micrographs of one sample say together."""
    title = f"Together: {pool.used} of {len(pool.imagings)} images"
    table = table_of(title, "quantity", "mean (95 %, scatter between images included)")
    table.add_row("projected spacing", interval_of(pool.spacing))
    table.add_row("projected wire length", interval_of(pool.mean_length))
    out.print(table)
