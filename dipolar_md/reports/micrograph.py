"""What a comparison with micrographs leaves: images, what they show, `comparison.json`."""

from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dipolar_md.analysis.cores import binned
from dipolar_md.analysis.micrograph import (
    Measurement,
    Micrograph,
    explain_unusable,
    measure_micrograph,
)
from dipolar_md.analysis.microscope import Microscope, simulate_micrograph
from dipolar_md.analysis.nanowires import NanowireStatistics, nanowire_statistics
from dipolar_md.analysis.reference import (
    Comparison,
    Reference,
    compare,
    load_reference,
    read_measured,
    simulated_samples,
)
from dipolar_md.analysis.wires import NOTHING, REACH_NM, Interval, mean_wire_length, pooled
from dipolar_md.errors import InputError
from dipolar_md.files import save_figure, write_bytes, write_csv, write_json
from dipolar_md.images import encode_png, encode_tiff, read_image
from dipolar_md.simulation.session import Run
from dipolar_md.trajectory import Trajectory

Floats = NDArray[np.float64]

CORE_COLUMNS = (
    *("x_nm", "y_nm", "signal_over_noise", "wire"),
    *("place_error_nm", "diameter_nm", "diameter_error_nm"),
)
SECTION_NM = 10.0
"""Height of the slice of a box that its micrograph shows: a drop-cast film is thin."""
OVERLAY_DPI = 125
"""Dots per inch of an overlay: of 6.9 inches it stays below 2 MB whatever the noise."""
IMAGED_FRAMES = 5
"""Frames of a run that are imaged when it is compared with a micrograph."""


class Imaging(NamedTuple):
    """A micrograph, what was found in it, and the files that say so.

    Attributes:
        micrograph: The image.
        measurement: Cores and wires found in it.
        files: Paths of what was written.
    """

    micrograph: Micrograph
    measurement: Measurement
    files: tuple[Path, ...]

    def summary(self) -> dict[str, Any]:
        """Return what was measured, for a JSON file; what can't be trusted is left out."""
        found, quality = self.measurement, self.measurement.quality
        record: dict[str, Any] = {
            "pixel_nm": self.micrograph.pixel_nm,
            "size_nm": list(self.micrograph.size_nm),
            "bright_cores": found.bright,
            "cores": len(found.centres_nm),
            "wires": len(found.wires),
            "signal_to_noise": quality.signal_to_noise,
            "expected_false": quality.expected_false,
            "expected_missed": quality.expected_missed,
            "grain": found.grain,
            "grain_nm": found.grain_nm,
            "faults": list(quality.length_faults),
            "trusted": quality.trusted,
        }
        if not quality.spacing_faults:
            record["projected_spacing_nm"] = _interval(found.spacing)
        if not quality.length_faults:
            record["projected_mean_length_nm"] = _interval(found.mean_length)
        return record


class PooledImages(NamedTuple):
    """Several micrographs of one sample.

    Attributes:
        imagings: Each of them.
        spacing: Mean of the median spacings, 95 % by the scatter between images, nm.
        mean_length: Mean wire length, 95 % by the scatter between wires or images, nm.
        used: Images whose cores can be trusted; the others count for nothing.
    """

    imagings: tuple[Imaging, ...]
    spacing: Interval
    mean_length: Interval
    used: int

    def summary(self) -> dict[str, Any]:
        """Return what was measured, for a JSON file."""
        return {
            "images": [imaging.summary() for imaging in self.imagings],
            "images_used": self.used,
            "projected_spacing_nm": _interval(self.spacing),
            "projected_mean_length_nm": _interval(self.mean_length),
        }


def _interval(estimate: Interval) -> dict[str, float | None]:
    """Return an estimate for JSON, which has neither infinity nor NaN."""
    names = ("value", "low", "high")
    return {
        name: number if np.isfinite(number) else None
        for name, number in zip(names, estimate, strict=True)
    }


def measure_image(
    path: str | Path,
    pixel_nm: float | None = None,
    core_diameter_nm: float = 1.0,
    reach_nm: float = REACH_NM,
    crop: tuple[int, int, int, int] | None = None,
    out: str | Path | None = None,
    *,
    sigmas: float | None = None,
    bright: bool | None = None,
    page: int = 1,
) -> Imaging:
    """Measure a real micrograph; write an overlay and two tables beside it.

    Without trust in the cores the table of spacings and lengths is not written.

    Args:
        path: Image, see `read_image`.
        pixel_nm: Edge of a pixel, nm; default what the file says.
        core_diameter_nm: Expected size of the cores, nm.
        reach_nm: Distance of the farthest neighbours of a wire, nm.
        crop: Left, top, right and bottom pixel of the part to measure, without bars and labels.
        out: Folder of the results, default that of the image.
        sigmas: Smallest response of a core over the noise; default by the image.
        bright: Whether cores are brighter than the ground; default by the image.
        page: Which of several images in the file, from 1.

    Returns:
        `Imaging`.

    Raises:
        InputError: No readable image, no micrograph, no pixel size, or a wrong crop.
        RunDirectoryError: The folder can't be written.
    """
    path = Path(path)
    stored = read_image(path, page)
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
    if reason := explain_unusable(image):
        raise InputError(f"{path}: {reason}")
    micrograph = Micrograph(image, pixel)
    measurement = measure_micrograph(
        micrograph, core_diameter_nm, reach_nm, sigmas=sigmas, bright=bright
    )
    files = _write_measurement(
        path.parent if out is None else Path(out),
        path.stem if page == 1 else f"{path.stem}-{page}",
        micrograph,
        measurement,
        core_diameter_nm,
        np.array(place) * pixel,
    )
    return Imaging(micrograph, measurement, files)


def pool_images(imagings: Sequence[Imaging]) -> PooledImages:
    """Return spacing and mean length of several micrographs of one sample.

    Args:
        imagings: Measured images; those whose cores can't be trusted count for nothing.

    Returns:
        `PooledImages`.
    """
    used = [i.measurement for i in imagings if not i.measurement.quality.spacing_faults]
    return PooledImages(
        tuple(imagings),
        pooled([m.spacing for m in used]),
        mean_wire_length([m.fragments for m in used]) if used else NOTHING,
        len(used),
    )


def image_run(
    run: Run | str | Path,
    pixel_nm: float = 0.05,
    section_nm: float | None = SECTION_NM,
    core_diameter_nm: float = 1.0,
    reach_nm: float = REACH_NM,
    out: str | Path | None = None,
    *,
    microscope: Microscope | str | Path | None = None,
    sigmas: float | None = None,
) -> Imaging:
    """Image the last frame of a run and measure it like a real micrograph.

    Args:
        run: A run or its directory.
        pixel_nm: Edge of a pixel, nm.
        section_nm: Height of the slice that is seen, nm; None for the whole box.
        core_diameter_nm: Size of the cores that the detector expects, nm; the image has the
            published ones.
        reach_nm: Distance of the farthest neighbours of a wire, nm.
        out: Folder of the results, default `figures` of the run.
        microscope: Name or file of a microscope, or the object; default mass-thickness contrast.
        sigmas: Smallest response of a core over the noise; default by the image.

    Returns:
        `Imaging`.

    Raises:
        InputError: No run or microscope there, or a length that is not positive.
        RunDirectoryError: The folder can't be written.
    """
    run = run if isinstance(run, Run) else Run(Path(run))
    micrograph = simulate_micrograph(
        run.trajectory[-1], pixel_nm, section_nm=section_nm, microscope=microscope
    )
    measurement = measure_micrograph(micrograph, core_diameter_nm, reach_nm, sigmas=sigmas)
    folder = run.path / "figures" if out is None else Path(out)
    pictures = (
        write_bytes(folder / "micrograph.tif", encode_tiff(micrograph.image, pixel_nm)),
        write_bytes(folder / "micrograph.png", encode_png(micrograph.image, pixel_nm)),
    )
    tables = _write_measurement(folder, "micrograph", micrograph, measurement, core_diameter_nm)
    return Imaging(micrograph, measurement, pictures + tables)


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
        run: A run or its directory.
        reference: Name or file, default the recipe's.
        measured: CSV of the user's own spacings or lengths, see `read_measured`.
        progress: Function called with (frames done, frames in all).

    Returns:
        `Comparison`, as it was written.

    Raises:
        InputError: No run there, neither reference nor measurements, or a wrong file.
        RunDirectoryError: The directory can't be written.
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
    imaged: dict[str, Floats] = {}
    if any(column.startswith("projected") for column in samples):
        imaged = _image_samples(trajectory, statistics.n_frames)
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
    write_json(run.path / "comparison.json", record)
    _draw_comparison(
        run.path / "figures" / "comparison.png", comparison, statistics, samples, imaged
    )
    return comparison


def _image_samples(trajectory: Trajectory, n_frames: int) -> dict[str, Floats]:
    """Return spacings and lengths measured on simulated micrographs of the last frames."""
    last = len(trajectory) - 1
    chosen = np.unique(np.linspace(last - n_frames + 1, last, IMAGED_FRAMES).astype(int))
    measurements = [
        measure_micrograph(simulate_micrograph(trajectory[int(k)], section_nm=SECTION_NM))
        for k in chosen
    ]
    return {
        "projected_spacing_nm": np.concatenate([m.spacings_nm for m in measurements]),
        "projected_length_nm": np.concatenate([m.wire_lengths_nm for m in measurements]),
    }


def _draw_comparison(
    path: Path,
    comparison: Comparison,
    statistics: NanowireStatistics,
    measured: dict[str, Floats],
    imaged: dict[str, Floats],
) -> Path:
    """Draw the distributions of spacings and lengths one above the other; return the path."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from dipolar_md import plots

    own = simulated_samples(statistics)
    samples = {kind: _titled_samples(kind, own, imaged, measured) for kind in ("spacing", "length")}
    with rc_context(plots.STYLE):
        figure = Figure(figsize=(3.35, 5.6))
        above, below = figure.subplots(2)
        plots.draw_comparison(
            above,
            samples["spacing"],
            _published_range(comparison.reference, "spacing_nm"),
            "spacing of neighbours (nm)",
        )
        plots.draw_comparison(
            below,
            samples["length"],
            _published_range(comparison.reference, "contour_length_nm"),
            "wire length (nm)",
            logarithmic=True,
        )
        return save_figure(path, figure)


def _titled_samples(
    kind: str,
    own: dict[str, Floats],
    imaged: dict[str, Floats],
    measured: dict[str, Floats],
) -> dict[str, Floats]:
    """Return the samples of spacings or lengths by what a legend says of them."""
    titles = {
        "spacing_nm": "simulated",
        "projected_spacing_nm": "simulated, seen along z",
        "contour_length_nm": "simulated",
    }
    samples = {titles[key]: values for key, values in own.items() if kind in key}
    for source, columns in (("simulated micrograph", imaged), ("measured", measured)):
        for key, values in columns.items():
            if kind in key:
                seen = f", {key}" if key != f"projected_{kind}_nm" else ""
                samples[source + seen] = values
    return samples


def _published_range(
    reference: Reference | None, key: str
) -> tuple[float | None, float | None] | None:
    """Return the published range of a quantity; None where there is none, or a single value."""
    quantity = reference.quantity(key) if reference else None
    return (quantity.low, quantity.high) if quantity and not quantity.value else None


def _write_measurement(
    folder: Path,
    stem: str,
    micrograph: Micrograph,
    measurement: Measurement,
    core_diameter_nm: float,
    corner_nm: Floats | tuple[float, float] = (0.0, 0.0),
) -> tuple[Path, ...]:
    """Write the overlay and the tables of cores, spacings and lengths; return their paths."""
    wire_of = np.zeros(len(measurement.centres_nm), dtype=int)
    for number, wire in enumerate(measurement.wires, start=1):
        wire_of[wire] = number
    places = measurement.centres_nm + np.asarray(corner_nm)
    columns = zip(
        *places.T,
        measurement.significance,
        wire_of,
        measurement.position_errors_nm,
        measurement.diameters_nm,
        measurement.diameter_errors_nm,
        strict=True,
    )
    cores = [
        dict(zip(CORE_COLUMNS, _core_row(wire, x, y, seen, *rest), strict=True))
        for x, y, seen, wire, *rest in columns
    ]
    files = [
        _draw_overlay(folder / f"{stem}-found.png", micrograph, measurement, core_diameter_nm),
        write_csv(folder / f"{stem}-cores.csv", cores, CORE_COLUMNS),
    ]
    if not measurement.quality.spacing_faults:
        names = ("projected_spacing_nm", "projected_length_nm")
        lengths = (
            dict(zip(names, ("" if v is None else f"{v:.4f}" for v in pair), strict=True))
            for pair in zip_longest(measurement.spacings_nm, measurement.wire_lengths_nm)
        )
        files.append(write_csv(folder / f"{stem}-measured.csv", lengths, names))
    return tuple(files)


def _core_row(wire: int, x: float, y: float, seen: float, *errors: float) -> tuple[str, ...]:
    """Return the cells of a core; what is not known stays empty."""
    rest = (f"{value:.4f}" if np.isfinite(value) else "" for value in errors)
    return (f"{x:.4f}", f"{y:.4f}", f"{seen:.1f}", str(wire or ""), *rest)


def _draw_overlay(
    path: Path, micrograph: Micrograph, measurement: Measurement, core_diameter_nm: float
) -> Path:
    """Draw what was measured over the micrograph; return the file's path."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from dipolar_md import plots

    width, height = micrograph.size_nm
    broad = 6.9 * min(1.0, np.sqrt(width / height))  # noise doesn't compress: a bounded area
    times = max(min(micrograph.image.shape) // 1000, 1)
    with rc_context(plots.STYLE | {"savefig.dpi": OVERLAY_DPI}):
        figure = Figure(figsize=(broad, broad * height / width + 0.4))
        plots.draw_micrograph(
            figure.add_subplot(),
            binned(micrograph.image, times),
            micrograph.pixel_nm * times,
            measurement.centres_nm,
            measurement.wires,
            core_diameter_nm,
        )
        return save_figure(path, figure)
