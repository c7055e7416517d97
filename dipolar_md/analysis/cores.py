"""Cores in an image: one filter, the noise of its own response, a threshold, errors of each core.

The filter is the negative Laplacian of Gaussian (T. Lindeberg,
https://doi.org/10.1023/A:1008045108935), which ignores slow changes of the ground. Everything that
is said of noise is measured in its response, away from cores, so electrons, grain and whatever else
the support has count alike.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

WIDTH_OF_DISK = 1 / np.sqrt(8)
"""Width of the filter that answers most to a disk, per diameter."""
_NARROWER = (1.0, 0.8, 0.64)  # filters that are tried; finer ones break a core into its rim
_PIXELS = 3.0  # of the filter's width; finer images are binned
_CANDIDATE = 3.0  # standard deviations from which on a maximum is looked at
_STRONG = 5.0  # from which on a maximum is a core for sure, to learn what cores look like
_WEAKEST = 0.3  # of a typical core; weaker spots are fringes, ligands or support
_APART = 0.6  # diameters; nearer cores are found as one
_TRIAL = 768  # edge of the part of an image in which filters are tried, pixels
_BLOCK = 24.0  # edge of the blocks in which noise is measured, diameters


class Response(NamedTuple):
    """The filtered image: cores stand out upwards.

    Attributes:
        values: (H, W) response over the local noise; not divided where there is no noise.
        noise: (H, W) noise that it was divided by; zero where there is none.
        pixel_nm: Edge of a (binned) pixel, nm.
        width_nm: Width of the filter, nm.
        background: (H, W) pixels away from every spot.
        roughness: Variance of the gradient over that of the values on the background, nm⁻².
    """

    values: Floats
    noise: Floats
    pixel_nm: float
    width_nm: float
    background: Mask
    roughness: float


class Cores(NamedTuple):
    """Cores found in an image, and what is expected of those that weren't.

    Attributes:
        centres_nm: (K, 2) places, nm, x to the right and y down.
        significance: (K,) response over the noise.
        position_errors_nm: (K,) standard errors of each coordinate, nm.
        diameters_nm: (K,) apparent diameters, with the blur of the image, nm.
        diameter_errors_nm: (K,) their standard errors, nm.
        sure: (K,) cores above the threshold; the others are candidates of weaker response.
        threshold: Response from which on a spot is a core, in standard deviations.
        typical: Median response of a core, in standard deviations.
        false: Expected number of spots above the threshold that are noise.
        missed: Expected number of cores below it.
        grain: Standard deviation of the support's brightness, relative; 0 where none is seen.
        grain_nm: Correlation length of the grain, nm.
    """

    centres_nm: Floats
    significance: Floats
    position_errors_nm: Floats
    diameters_nm: Floats
    diameter_errors_nm: Floats
    sure: Mask
    threshold: float
    typical: float
    false: float
    missed: float
    grain: float
    grain_nm: float


def binned(image: Floats, times: int) -> Floats:
    """Return the means of blocks of pixels; the last rows and columns are filled by their edge."""
    if times == 1:
        return image
    rows, columns = (-n % times for n in image.shape)
    padded = np.pad(image, ((0, rows), (0, columns)), mode="edge") if rows or columns else image
    height, width = padded.shape
    blocks = padded.reshape(height // times, times, width // times, times)
    return np.asarray(blocks.mean(axis=(1, 3)))


def bright_cores(image: Floats, pixel_nm: float, diameter_nm: float) -> tuple[bool, float]:
    """Return whether cores are brighter than the ground, and by how much that is sure.

    Spots of a core's size are few and strong, what lies between them is wide and weak: the third
    moment of the response has the sign of the cores. Beside noise alone it is a Gaussian's.

    Args:
        image: (H, W) grey values.
        pixel_nm: Edge of a pixel, nm.
        diameter_nm: Expected diameter, nm.

    Returns:
        Whether they are bright, and the skewness of the response in its standard errors.
    """
    width = WIDTH_OF_DISK * diameter_nm / pixel_nm
    times = max(int(width / 2), 1)
    response = _laplacian(binned(image, times), width / times)
    centred = response - _median(response)
    spread = np.sqrt(np.mean(centred**2))
    if not spread > 1e-12 * max(float(np.abs(image).max()), 1e-300):
        return False, 0.0
    centred /= spread
    skewness = float(np.mean(centred * centred * centred))
    cells = response.size * (times / width) ** 2 / (4 * np.pi)
    return skewness < 0, abs(skewness) / np.sqrt(6 / max(cells, 6.0))


def find_cores(
    image: Floats, pixel_nm: float, diameter_nm: float, sigmas: float | None = None
) -> Cores:
    """Return the cores of an image in which they are dark.

    Args:
        image: (H, W) grey values.
        pixel_nm: Edge of a pixel, nm.
        diameter_nm: Expected diameter, nm.
        sigmas: Threshold in standard deviations; default where the fewest false and missed cores
            are expected.

    Returns:
        `Cores`, candidates down to three standard deviations among them.
    """
    width = WIDTH_OF_DISK * diameter_nm / pixel_nm
    times = max(int(width / _PIXELS), 1)
    image, pixel_nm, width = binned(image, times), pixel_nm * times, width / times
    response = filtered(image, pixel_nm, width * _best_filter(image, width, diameter_nm, pixel_nm))
    places = _maxima(response.values, diameter_nm / pixel_nm, _CANDIDATE)
    heights = response.values[tuple(places.T)]
    area = image.size * pixel_nm**2
    threshold, typical, missed = _threshold(heights, response, area, sigmas)
    sure = heights >= threshold
    false = max(
        false_maxima(threshold, area, response.roughness),
        _decoys(response, places[sure], threshold, diameter_nm),
    )
    tops, slope_errors = _refined(response, places)
    diameters, diameter_errors = _diameters(image, response, tops, diameter_nm)
    grain, grain_nm = estimate_grain(image, response.background, pixel_nm, diameter_nm)
    return Cores(
        centres_nm=np.asarray((tops[:, ::-1] + 0.5) * pixel_nm),
        significance=heights if response.noise.any() else np.full(len(heights), np.inf),
        position_errors_nm=slope_errors * pixel_nm,
        diameters_nm=diameters,
        diameter_errors_nm=diameter_errors,
        sure=sure,
        threshold=threshold,
        typical=typical,
        false=false if response.noise.any() else 0.0,
        missed=missed,
        grain=grain,
        grain_nm=grain_nm,
    )


def filtered(image: Floats, pixel_nm: float, width: float) -> Response:
    """Return the response of an image to the filter of a width in pixels, over its local noise.

    The noise is the median absolute deviation away from all maxima above four of it, in blocks of
    some 24 cores where the image has more than two across.
    """
    raw = _laplacian(image, width)
    background = np.ones(raw.shape, dtype=bool)
    diameter = width / WIDTH_OF_DISK
    noise = _spread(raw)
    for _ in range(2):
        spots = _maxima(raw, diameter, 4 * noise) if noise > 0 else _maxima(raw, diameter, 0.0)
        clear = _away_from(spots, 0.5 * diameter + 2.5 * width, raw.shape)
        if clear.mean() < 0.03:
            break
        background = clear
        noise = _spread(raw[background])
    floor = 1e-9 * float(np.abs(image).max())
    if noise <= floor:
        scale = float(raw.max())
        values = raw * (100.0 / scale) if scale > floor else np.zeros_like(raw)
        return Response(values, np.zeros_like(raw), pixel_nm, width * pixel_nm, background, 0.0)
    local = _local_noise(raw, background, noise, int(_BLOCK * diameter))
    for axis, length in enumerate(raw.shape):  # the mirror image beyond an edge adds to its own
        away = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
        local *= np.expand_dims(np.sqrt(1 + np.exp(-((away / width) ** 2))), 1 - axis)
    values = raw / local
    down, right = np.diff(values, axis=0)[:, :-1], np.diff(values, axis=1)[:-1]
    calm = background[:-1, :-1]
    steep = (_spread(down[calm]) ** 2 + _spread(right[calm]) ** 2) / 2 / pixel_nm**2
    return Response(values, local, pixel_nm, width * pixel_nm, background, steep)


def _laplacian(image: Floats, width: float) -> Floats:
    """Return the negative Laplacian of Gaussian, cut so late that a bright ground answers nothing.

    Subtracting the median leaves a negative exactly the negative of its image.
    """
    level = image - _median(image)
    return np.asarray(ndimage.gaussian_laplace(level, width, mode="reflect", truncate=5.0))


def _median(values: Floats) -> float:
    """Return the median, of more than a million values that of as many spread evenly."""
    return float(np.median(values.reshape(-1)[:: max(values.size // 1_000_000, 1)]))


def _spread(values: Floats) -> float:
    """Return the standard deviation that the median absolute deviation stands for."""
    return _median(np.abs(values - _median(values))) / 0.674489750196


def _local_noise(raw: Floats, background: Mask, noise: float, block: int) -> Floats:
    """Return the noise (H, W), smooth between blocks; a block full of cores has the image's."""
    if min(raw.shape) < 2 * block:
        return np.full(raw.shape, noise)
    rows, columns = (round(n / block) for n in raw.shape)
    grid = np.full((rows, columns), np.nan)
    for i, rs in enumerate(np.array_split(np.arange(raw.shape[0]), rows)):
        for j, cs in enumerate(np.array_split(np.arange(raw.shape[1]), columns)):
            part = (slice(rs[0], rs[-1] + 1), slice(cs[0], cs[-1] + 1))
            if background[part].mean() > 0.2:
                grid[i, j] = _spread(raw[part][background[part]])
    grid = np.where(np.isfinite(grid) & (grid > 0), grid, noise)
    grid = ndimage.median_filter(grid, 3, mode="nearest")
    times = np.array(raw.shape) / grid.shape
    return np.asarray(ndimage.zoom(grid, times, order=1, mode="nearest", grid_mode=True))


def _maxima(values: Floats, diameter: float, floor: float) -> Integers:
    """Return the places (K, 2) of maxima above a floor, highest first, no two of one core."""
    from skimage.feature import peak_local_max

    apart = max(int(_APART * diameter), 1)
    floor = max(floor, 1e-9 * float(np.abs(values).max()))
    return np.asarray(
        peak_local_max(values, min_distance=apart, threshold_abs=floor, exclude_border=False)
    )


def _away_from(places: Integers, distance: float, shape: tuple[int, ...]) -> Mask:
    """Return the pixels (H, W) farther than a distance from every place."""
    covered = np.zeros(shape, dtype=bool)
    reach = int(np.ceil(distance))
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    inside = down**2 + right**2 <= distance**2
    down, right = down[inside], right[inside]
    for some in np.array_split(places, max(1, len(places) * len(down) >> 22)):
        rows = np.clip(some[:, :1] + down, 0, shape[0] - 1)
        columns = np.clip(some[:, 1:] + right, 0, shape[1] - 1)
        covered[rows, columns] = True
    return ~covered


def _best_filter(image: Floats, width: float, diameter_nm: float, pixel_nm: float) -> float:
    """Return the part of the widest filter that lets cores stand out most, tried in the middle."""
    rows, columns = (max((n - _TRIAL) // 2, 0) for n in image.shape)
    part = image[rows : rows + _TRIAL, columns : columns + _TRIAL]
    best, most = 1.0, 0.0
    for narrower in _NARROWER:
        if width * narrower < 1.2 and narrower < 1:
            break
        response = filtered(part, pixel_nm, width * narrower)
        if not response.noise.any():
            break
        cut = _sure_height(part.size * pixel_nm**2, response.roughness)
        places = _maxima(response.values, diameter_nm / pixel_nm, cut)
        heights = response.values[tuple(places.T)]
        if len(heights) < 5:
            continue
        if (seen := float(np.median(heights))) > 1.05 * most:
            best, most = narrower, seen
    return best


def false_maxima(threshold: float, area_nm2: float, roughness: float) -> float:
    """Return the expected number of maxima of Gaussian noise above a threshold.

    A · Λ / (2π)^{3/2} · u exp(-u²/2), the Euler characteristic of what exceeds u (R. J. Adler,
    J. E. Taylor, Random Fields and Geometry, https://doi.org/10.1007/978-0-387-48116-6); right for
    high u.

    Args:
        threshold: Height u in standard deviations.
        area_nm2: Area A, nm².
        roughness: Variance Λ of a derivative of the noise over that of the noise, nm⁻².

    Returns:
        Number.
    """
    u = max(threshold, 1.0)
    return float(area_nm2 * roughness / (2 * np.pi) ** 1.5 * u * np.exp(-(u**2) / 2))


def _population(heights: Floats, cut: float) -> tuple[float, float]:
    """Return median and spread of a normal population of which only what exceeds a cut is seen.

    From the median and the 84 % quantile of what is seen, where the share below the cut moves both.
    """
    if not len(heights):
        return 0.0, 0.0
    seen = np.quantile(heights, [0.5, special.ndtr(1.0)])
    below, middle, spread = 0.0, 0.0, 0.0
    for _ in range(60):
        places = special.ndtri(below + np.array([0.5, special.ndtr(1.0)]) * (1 - below))
        spread = max(float((seen[1] - seen[0]) / (places[1] - places[0])), 1e-9)
        middle = float(seen[0] - spread * places[0])
        below += 0.5 * (min(float(special.ndtr((cut - middle) / spread)), 0.9) - below)
    return middle, spread


def _sure_height(area: float, roughness: float) -> float:
    """Return the height from which on half a maximum of noise is expected in the image."""
    tried = np.arange(3.5, _STRONG, 0.1)
    few = [u for u in tried if false_maxima(u, area, roughness) <= 0.5]
    return float(few[0]) if few else _STRONG


def _threshold(
    heights: Floats, response: Response, area: float, sigmas: float | None
) -> tuple[float, float, float]:
    """Return the threshold, the typical response of a core, and how many it is expected to miss.

    As many are missed as a normal population has below the threshold, and no more than are seen in
    the first standard deviation above. Where nothing else is wanted: the middle of the thresholds
    at which the sum of false and missed cores is within 0.2 of its least, at most one above the
    lowest of them, and no less than three tenths of a typical core.
    """
    if not response.noise.any():
        typical = float(np.median(heights)) if len(heights) else 0.0
        return max(_WEAKEST * typical, 1e-6), typical, 0.0
    cut = _sure_height(area, response.roughness)
    strong = heights[heights >= cut]
    middle, spread = _population(strong, cut)
    if not len(strong):
        return sigmas or _STRONG, 0.0, 0.0
    whole = len(strong) / max(special.ndtr((middle - cut) / spread), 0.1)

    def missed(threshold: float) -> float:
        above = np.count_nonzero((heights >= threshold) & (heights < threshold + 1))
        return min(float(whole * special.ndtr((threshold - middle) / spread)), float(above))

    if sigmas is None:
        tried = np.arange(3.5, max(middle, _STRONG) + 0.05, 0.05)
        wrong = np.array([missed(t) + false_maxima(t, area, response.roughness) for t in tried])
        good = tried[wrong <= wrong.min() + 0.2]
        sigmas = max(min(float(good[0] + good[-1]) / 2, float(good[0]) + 1), _WEAKEST * middle)
    return sigmas, middle, missed(sigmas)


def _decoys(response: Response, places: Integers, threshold: float, diameter_nm: float) -> float:
    """Return how many spots of the other contrast lie away from cores, scaled to the whole image.

    Noise has no preferred sign, so as many of the cores are expected to be nothing.
    """
    diameter = diameter_nm / response.pixel_nm
    free = _away_from(places, 2.0 * diameter, response.values.shape)
    if free.mean() < 0.02:
        return 0.0
    below = _maxima(-response.values, diameter, threshold)
    return float(free[tuple(below.T)].sum() / free.mean())


def _refined(response: Response, peaks: Integers) -> tuple[Floats, Floats]:
    """Return maxima (K, 2) moved to the top of a parabola through their neighbours, in pixels.

    With the standard error (K,) of a coordinate: the noise of the slope over the curvature.
    """
    padded = np.pad(response.values, 1, mode="edge")
    places = peaks.astype(np.float64)
    row, column = peaks.T + 1
    middle = padded[row, column]
    variance = np.zeros(len(peaks))
    slope = response.roughness * response.pixel_nm**2
    for axis, (down, right) in enumerate(((1, 0), (0, 1))):
        before, after = padded[row - down, column - right], padded[row + down, column + right]
        curve = before - 2 * middle + after
        safe = np.where(curve < 0, curve, -np.inf)
        places[:, axis] += np.clip((before - after) / (2 * safe), -0.5, 0.5)
        variance += np.where(curve < 0, slope / np.maximum(curve**2, 1e-12), 0.25) / 2
    return places, np.sqrt(variance)


def _diameters(
    image: Floats, response: Response, places: Floats, diameter_nm: float
) -> tuple[Floats, Floats]:
    """Return the apparent diameters (K,) of cores and their errors, nm.

    From the ratio of the responses to a filter and to one of 1.3 times its width, which for a ball
    depends on its diameter alone. NaN where no ball has that ratio.
    """
    if not len(places):
        return np.zeros(0), np.zeros(0)
    widths = response.width_nm * np.array([1.0, 1.3])
    wide = _laplacian(image, widths[1] / response.pixel_nm)
    narrow = response.values * np.where(response.noise > 0, response.noise, 1.0)
    if not response.noise.any():
        narrow = _laplacian(image, widths[0] / response.pixel_nm)
    at = places.T
    first, second = (
        ndimage.map_coordinates(part, at, order=1, mode="nearest") for part in (narrow, wide)
    )
    diameters = np.linspace(0.3, 2.5, 221) * diameter_nm
    ratios = _ball_response(diameters, widths[1]) / _ball_response(diameters, widths[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(first > 0, second / first, np.nan)
        found = np.interp(ratio, ratios, diameters, left=np.nan, right=np.nan)
        slope = np.interp(ratio, ratios, np.gradient(diameters, ratios))
        calm = response.background
        mean = float(np.nanmedian(ratio))
        errors = np.abs(slope) * _spread((wide - mean * narrow)[calm]) / first
    return found, np.where(np.isfinite(found), errors, np.nan)


def _ball_response(diameters: Floats, width: float) -> Floats:
    """Return the filter's answer at the centre of projected balls, up to a common factor."""
    angles = (np.arange(200) + 0.5) / 200 * np.pi / 2  # r = R sin
    r = diameters[:, None] / 2 * np.sin(angles)
    thickness = diameters[:, None] * np.cos(angles)
    kernel = (2 - (r / width) ** 2) * np.exp(-((r / width) ** 2) / 2) / width**4
    step = diameters[:, None] / 2 * np.cos(angles)
    return np.asarray((thickness * kernel * r * step).sum(axis=1))


def estimate_grain(
    image: Floats, background: Mask, pixel_nm: float, diameter_nm: float
) -> tuple[float, float]:
    """Return strength and correlation length of what is not white in the noise of the ground.

    The covariance of the ground over 1 to 3 pixels and more, σ² exp(-r²/4l²) for white noise that a
    Gaussian of width l smooths; electrons are white and have none.

    Args:
        image: (H, W) grey values.
        background: (H, W) pixels away from cores.
        pixel_nm: Edge of a pixel, nm.
        diameter_nm: Diameter of a core; changes over more than three are the ground's own, nm.

    Returns:
        σ over the mean of the ground, and l in nm; zeros where no covariance is seen.
    """
    rows, columns = (max((n - _TRIAL) // 2, 0) for n in image.shape)
    part = (slice(rows, rows + _TRIAL), slice(columns, columns + _TRIAL))
    ground, level = background[part].astype(np.float64), float(np.mean(image[part]))
    if ground.mean() < 0.05 or not level:
        return 0.0, 0.0
    wide = 3 * diameter_nm / pixel_nm
    smooth = ndimage.gaussian_filter(image[part] * ground, wide)
    smooth /= np.maximum(ndimage.gaussian_filter(ground, wide), 1e-6)
    rest = (image[part] - smooth) * ground
    lags = np.arange(0, max(int(1.5 * diameter_nm / pixel_nm), 4))
    covariance = np.zeros(len(lags))
    for k in lags:
        pairs = [(rest[k:], rest[: len(rest) - k], ground[k:], ground[: len(rest) - k])]
        across, here = rest.T, ground.T
        pairs.append((across[k:], across[: len(across) - k], here[k:], here[: len(across) - k]))
        covariance[k] = np.mean([(a * b).sum() / max((m * n).sum(), 1) for a, b, m, n in pairs])
    error = covariance[0] / np.sqrt(2 * ground.sum())
    above = covariance > max(5 * error, 0.2 * covariance[1], 0.0)
    last = int(np.argmin(np.append(above[1:], False))) + 1
    if last < 3:
        return 0.0, 0.0
    squares = (lags[1:last] * pixel_nm) ** 2
    slope, height = np.polyfit(squares, np.log(covariance[1:last]), 1)
    if slope >= 0:
        return 0.0, 0.0
    return float(np.exp(height / 2) / abs(level)), float(np.sqrt(-1 / (4 * slope)))
