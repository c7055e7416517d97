"""What a comparison with micrographs leaves: images, what was found in them, `comparison.json`."""

import csv
import io
import json
from collections.abc import Callable, Iterable
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dipolar_md.analysis.micrograph import (
    REACH_NM,
    Measurement,
    Micrograph,
    measure_micrograph,
    simulate_micrograph,
)
from dipolar_md.analysis.nanowires import NanowireStatistics, nanowire_statistics
from dipolar_md.analysis.reference import (
    Comparison,
    compare,
    load_reference,
    read_measured,
    simulated_samples,
)
from dipolar_md.errors import InputError, RunDirectoryError
from dipolar_md.images import encode_png, encode_tiff, read_image
from dipolar_md.simulation.assembly import Run, write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SECTION_NM = 10.0
"""Height of the slice of a box that its micrograph shows: a drop-cast film is thin."""
IMAGED_FRAMES = 5
"""Frames of a run that are imaged when it is compared with a micrograph."""


class Imaging(NamedTuple):
    """A micrograph, what was found in it, and the files that say so."""

    micrograph: Micrograph
    measurement: Measurement
    files: tuple[Path, ...]


def measure_image(
    path: str | Path,
    pixel_nm: float | None = None,
    core_diameter_nm: float = 1.0,
    reach_nm: float = REACH_NM,
    crop: tuple[int, int, int, int] | None = None,
    out: str | Path | None = None,
) -> Imaging:
    """Measure a real micrograph; write an overlay and two tables beside it.

    Args:
        path: TIFF or PNG, cores dark.
        pixel_nm: edge of a pixel, nm; default what the file says.
        core_diameter_nm: expected size of the cores, nm.
        reach_nm: farthest neighbours of a wire, nm.
        crop: left, top, right and bottom pixel of the part to measure, without bars and labels.
        out: folder of the results, default that of the image.

    Raises:
        InputError: no readable image, no pixel size, or a wrong crop.
        RunDirectoryError: the folder can't be written.
    """
    path = Path(path)
    stored = read_image(path)
    if pixel_nm is not None and not pixel_nm > 0:
        raise InputError(f"pixel_nm must be positive (found {pixel_nm:g})")
    pixel = pixel_nm or stored.pixel_nm
    if pixel is None:
        raise InputError(f"{path}: the file states no pixel size; give it with --pixel-nm 0.05")
    image, place = stored.image, (0, 0)
    if crop is not None:
        left, top, right, bottom = crop
        height, width = image.shape
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise InputError(
                f"crop must be left < right ≤ {width} and top < bottom ≤ {height} pixels (found "
                f"{left}, {top}, {right}, {bottom})"
            )
        image, place = image[top:bottom, left:right], (left, top)
    micrograph = Micrograph(image, pixel)
    found = measure_micrograph(micrograph, core_diameter_nm, reach_nm)
    folder = path.parent if out is None else Path(out)
    files = _leave(folder, path.stem, micrograph, found, core_diameter_nm, np.array(place) * pixel)
    return Imaging(micrograph, found, files)


def image_run(
    run: Run | str | Path,
    pixel_nm: float = 0.05,
    section_nm: float | None = SECTION_NM,
    core_diameter_nm: float = 1.0,
    reach_nm: float = REACH_NM,
    out: str | Path | None = None,
) -> Imaging:
    """Image the last frame of a run and measure it like a real micrograph.

    Args:
        run: a run or its directory.
        pixel_nm: edge of a pixel, nm.
        section_nm: height of the slice that is seen; None for the whole box.
        core_diameter_nm: expected by the detector; the image has the published sizes.
        reach_nm: farthest neighbours of a wire, nm.
        out: folder of the results, default `figures` of the run.

    Raises:
        InputError: no run there, or a length that is not positive.
        RunDirectoryError: the folder can't be written.
    """
    run = run if isinstance(run, Run) else Run(Path(run))
    micrograph = simulate_micrograph(run.trajectory[-1], pixel_nm, section_nm=section_nm)
    found = measure_micrograph(micrograph, core_diameter_nm, reach_nm)
    folder = run.path / "figures" if out is None else Path(out)
    pictures = {
        "micrograph.tif": encode_tiff(micrograph.image, pixel_nm),
        "micrograph.png": encode_png(micrograph.image, pixel_nm),
    }
    files = _write(folder, pictures)
    files += _leave(folder, "micrograph", micrograph, found, core_diameter_nm)
    return Imaging(micrograph, found, files)


def compare_run(
    run: Run | str | Path,
    reference: str | Path | None = None,
    measured: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Compare a run with published values and measurements; write `comparison.json` and its figure.

    Measurements that were made on micrographs (`projected_…`) are compared with the same
    measurement on simulated micrographs of up to `IMAGED_FRAMES` frames.

    Args:
        run: a run or its directory.
        reference: name or file, default the recipe's.
        measured: CSV of the user's own spacings or lengths, see `read_measured`.
        progress: called with (frames done, frames in all).

    Raises:
        InputError: no run there, neither reference nor measurements, or a wrong file.
        RunDirectoryError: the directory can't be written.
    """
    run = run if isinstance(run, Run) else Run(Path(run))
    samples = read_measured(measured) if measured is not None else {}
    name = reference or run.recipe.reference
    if name is None and not samples:
        raise InputError(
            f"{run.path}: the recipe names no reference; give one with --reference, or your own "
            "measurements with --measured"
        )
    published = load_reference(name) if name else None
    trajectory = run.trajectory
    statistics = nanowire_statistics(trajectory, progress=progress)
    imaged: dict[str, NDArray[np.float64]] = {}
    if any(column.startswith("projected") for column in samples):
        last = len(trajectory) - 1
        chosen = np.linspace(last - statistics.n_frames + 1, last, IMAGED_FRAMES).astype(int)
        found = [
            measure_micrograph(simulate_micrograph(trajectory[int(k)], section_nm=SECTION_NM))
            for k in np.unique(chosen)
        ]
        imaged["projected_spacing_nm"] = np.concatenate([m.spacings_nm for m in found])
        imaged["projected_length_nm"] = np.concatenate([m.wire_lengths_nm for m in found])
    comparison = compare(statistics, published, samples, imaged)
    record = comparison.summary() | {
        "cluster": statistics.cluster,
        "window_ns": list(statistics.window_ns),
        "n_frames": statistics.n_frames,
        "equilibrated": statistics.equilibration.equilibrated,
        "times": run.manifest["times"],
        "measured": None if measured is None else Path(measured).name,
        "passed": comparison.passed,
    }
    text = json.dumps(record, indent=2, allow_nan=False) + "\n"
    _write(run.path, {"comparison.json": text.encode()})
    picture = _comparison_figure(comparison, statistics, samples, imaged)
    _write(run.path / "figures", {"comparison.png": picture})
    return comparison


def _comparison_figure(
    comparison: Comparison,
    statistics: NanowireStatistics,
    measured: dict[str, NDArray[np.float64]],
    imaged: dict[str, NDArray[np.float64]],
) -> bytes:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from dipolar_md import plots

    own = simulated_samples(statistics)
    titles = {
        "spacing_nm": "simulated",
        "projected_spacing_nm": "simulated, seen along z",
        "contour_length_nm": "simulated",
    }
    with rc_context(plots.STYLE):
        figure = Figure(figsize=(3.35, 5.6))
        for ax, kind, label in zip(
            figure.subplots(2),
            ("spacing", "length"),
            ("spacing of neighbours (nm)", "wire length (nm)"),
            strict=True,
        ):
            shown = {titles[k]: v for k, v in own.items() if kind in k}
            shown |= {f"simulated micrograph, {k}": v for k, v in imaged.items() if kind in k}
            shown |= {f"measured, {k}": v for k, v in measured.items() if kind in k}
            shown = {k.replace(f", projected_{kind}_nm", ""): v for k, v in shown.items()}
            key = "spacing_nm" if kind == "spacing" else "contour_length_nm"
            quantity = comparison.reference.quantity(key) if comparison.reference else None
            band = (quantity.low, quantity.high) if quantity and not quantity.value else None
            plots.draw_comparison(ax, shown, band, label, logarithmic=kind == "length")
        return _png(figure)


def _leave(
    folder: Path,
    stem: str,
    micrograph: Micrograph,
    found: Measurement,
    core_diameter_nm: float,
    corner_nm: NDArray[np.float64] | tuple[float, float] = (0.0, 0.0),
) -> tuple[Path, ...]:
    """Write the overlay and the tables of cores, spacings and lengths; return their paths."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from dipolar_md import plots

    width, height = micrograph.size_nm
    with rc_context(plots.STYLE):
        figure = Figure(figsize=(6.9, 6.9 * height / width + 0.4))
        plots.draw_micrograph(
            figure.add_subplot(),
            micrograph.image,
            micrograph.pixel_nm,
            found.centres_nm,
            found.wires,
            core_diameter_nm,
        )
        overlay = _png(figure)
    wire_of = np.zeros(len(found.centres_nm), dtype=int)
    for number, wire in enumerate(found.wires, start=1):
        wire_of[wire] = number
    places = found.centres_nm + np.asarray(corner_nm)
    cores = [
        (f"{x:.4f}", f"{y:.4f}", f"{strength:.1f}", wire or "")
        for (x, y), strength, wire in zip(places, found.significance, wire_of, strict=True)
    ]
    columns = (found.spacings_nm, found.wire_lengths_nm)
    lengths = zip_longest(*[[f"{v:.4f}" for v in column] for column in columns], fillvalue="")
    tables = {
        f"{stem}-found.png": overlay,
        f"{stem}-cores.csv": _table(("x_nm", "y_nm", "signal_over_noise", "wire"), cores),
        f"{stem}-measured.csv": _table(("projected_spacing_nm", "projected_length_nm"), lengths),
    }
    return _write(folder, tables)


def _table(names: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue().encode()


def _png(figure: "Figure") -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _write(folder: Path, contents: dict[str, bytes]) -> tuple[Path, ...]:
    """Write files into a folder, which is made where it is missing; return their paths."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_file(folder / name, content)
    except OSError as error:
        raise RunDirectoryError(f"{folder}: can't be written: {error}") from error
    return tuple(folder / name for name in contents)
