"""Compiled random numbers and directions, from a state that is an array."""

import math
from typing import Any

import numba
import numpy as np


def compiled(function: Any) -> Any:
    """Compile a function, and keep the code where a directory can be written."""
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:  # no place for a cache
        return numba.njit(function)


@compiled
def uniform(rng):  # type: ignore[no-untyped-def]
    """Return a number in (0, 1), by xoshiro256++ (https://doi.org/10.1145/3460772)."""
    a, b = rng[0], rng[3]
    total = a + b
    result = ((total << np.uint64(23)) | (total >> np.uint64(41))) + a
    shifted = rng[1] << np.uint64(17)
    rng[2] ^= rng[0]
    rng[3] ^= rng[1]
    rng[1] ^= rng[2]
    rng[0] ^= rng[3]
    rng[2] ^= shifted
    rng[3] = (rng[3] << np.uint64(45)) | (rng[3] >> np.uint64(19))
    return (float(result >> np.uint64(11)) + 0.5) * 2.0**-53


@compiled
def whole(rng, count):  # type: ignore[no-untyped-def]
    """Return a whole number from 0 to count - 1."""
    return min(int(uniform(rng) * count), count - 1)


@compiled
def gauss(rng):  # type: ignore[no-untyped-def]
    """Return two standard normal numbers."""
    radius = math.sqrt(-2 * math.log(uniform(rng)))
    angle = 2 * math.pi * uniform(rng)
    return radius * math.cos(angle), radius * math.sin(angle)


@compiled
def around(x, y, z, cosine, azimuth):  # type: ignore[no-untyped-def]
    """Return the unit vector at an angle and azimuth about the unit vector (x, y, z)."""
    if abs(z) < 0.9:
        scale = 1 / math.sqrt(x * x + y * y)
        ax, ay, az = -y * scale, x * scale, 0.0
    else:
        scale = 1 / math.sqrt(y * y + z * z)
        ax, ay, az = 0.0, -z * scale, y * scale
    bx, by, bz = y * az - z * ay, z * ax - x * az, x * ay - y * ax
    sine = math.sqrt(max(0.0, 1 - cosine * cosine))
    c, s = sine * math.cos(azimuth), sine * math.sin(azimuth)
    rx, ry, rz = cosine * x + c * ax + s * bx, cosine * y + c * ay + s * by, 0.0
    rz = cosine * z + c * az + s * bz
    scale = 1 / math.sqrt(rx * rx + ry * ry + rz * rz)
    return rx * scale, ry * scale, rz * scale


@compiled
def direction(rng, fx, fy, fz, kappa):  # type: ignore[no-untyped-def]
    """Return a unit vector from the von Mises-Fisher law, density ∝ exp(κ u·f), f a unit vector."""
    chance = uniform(rng)
    if kappa < 1e-6:
        cosine = 2 * chance - 1
    else:
        cosine = 1 + math.log(chance + (1 - chance) * math.exp(-2 * kappa)) / kappa
    cosine = min(1.0, max(-1.0, cosine))
    return around(fx, fy, fz, cosine, 2 * math.pi * uniform(rng))


@compiled
def log_sinhc(kappa):  # type: ignore[no-untyped-def]
    """Return ln(sinh κ/κ)."""
    if kappa < 1e-3:
        return kappa * kappa / 6
    return kappa + math.log1p(-math.exp(-2 * kappa)) - math.log(2 * kappa)
