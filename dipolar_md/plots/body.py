"""Draws a body: its sites from the side, and how far out a neighbour's bead touches it."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from numpy.typing import ArrayLike

from dipolar_md.plots.style import GREEN, INK, ORANGE

_CORE = "#BBBBBB"


def draw_sites(
    ax: Axes,
    positions_nm: ArrayLike,
    diameters_nm: ArrayLike,
    charges_e: ArrayLike,
    outline_nm: ArrayLike,
) -> Axes:
    """Draw the sites of a body seen along y, its dipole along z.

    Args:
        ax: Where to draw.
        positions_nm: (S, 3) body-frame positions; off-axis sites are gold above, green below.
        diameters_nm: (S,) σ; 0 for a site without steric term.
        charges_e: (S,) charges, marked by their sign.
        outline_nm: (K, 2) x and z of the contact surface in the plane of the picture.
    """
    x = np.asarray(positions_nm, dtype=np.float64)
    sigma, charges = np.asarray(diameters_nm), np.asarray(charges_e)
    outline = np.asarray(outline_nm)
    for i in np.argsort(-x[:, 1]):  # those in front last
        if sigma[i]:
            off_axis = np.hypot(x[i, 0], x[i, 1]) > 1e-9
            colour = _CORE if not off_axis else ORANGE if x[i, 2] > 0 else GREEN
            ax.add_patch(
                Circle(
                    (x[i, 0], x[i, 2]),
                    sigma[i] / 2,
                    facecolor=colour,
                    edgecolor=INK,
                    linewidth=0.6,
                    alpha=0.75,
                )
            )
        if charges[i]:
            sign = "+" if charges[i] > 0 else "−"
            ax.text(x[i, 0] - 0.12, x[i, 2], sign, ha="center", va="center")
    ax.plot(outline[:, 0], outline[:, 1], color=INK, linestyle="--", linewidth=0.8)
    half = 0.3 * float(np.abs(outline).max())
    arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.2}
    ax.annotate("", (0, half), (0, -half), arrowprops=arrow)
    reach = 1.05 * float(np.abs(outline).max())
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="x / nm", ylabel="z / nm")
    ax.set_aspect("equal")
    return ax


def draw_contact_surface(
    ax: Axes, azimuth_deg: ArrayLike, polar_deg: ArrayLike, distance_nm: ArrayLike
) -> Axes:
    """Draw the distance at which a bead touches a body, over all directions.

    Args:
        ax: Where to draw.
        azimuth_deg: (A,) about the dipole.
        polar_deg: (P,) from the dipole.
        distance_nm: (P, A) from the centre.
    """
    image = ax.pcolormesh(azimuth_deg, polar_deg, distance_nm, shading="nearest", rasterized=True)
    ax.invert_yaxis()
    ax.set(
        xlabel="azimuth / degrees",
        ylabel="angle to dipole / degrees",
        xticks=range(0, 361, 120),
        yticks=range(0, 181, 45),
    )
    ax.figure.colorbar(image, ax=ax, label="contact distance / nm")
    return ax
