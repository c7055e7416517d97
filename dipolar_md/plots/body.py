"""Draws a body: its sites from the side, and how far out a neighbour's bead touches it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from dipolar_md.model.body import Body, Site
from dipolar_md.model.contacts import contact_surface
from dipolar_md.plots.style import GREEN, INK, ORANGE

_CORE = "#BBBBBB"


def draw_body(side: Axes, surface: Axes, body: Body) -> Sequence[Axes]:
    """Draw a body from the side, and its contact surface over all directions.

    The surface is that of `contact_surface`: distance from the centre at which a bead like the
    body's smallest steric site has the energy ε.

    Args:
        side: sites as circles of diameter σ, those in front last; outline of the contact surface
            in the plane of the picture; the dipole as an arrow; charges as + and -.
        surface: contact distance (nm) against azimuth and polar angle.
        body: with its dipole along z.
    """
    for site in sorted(body.sites, key=lambda s: -s.position_nm[1]):
        if site.sigma_nm:
            x, _, z = site.position_nm
            side.add_patch(
                Circle(
                    (x, z),
                    site.sigma_nm / 2,
                    facecolor=_colour(site),
                    edgecolor=INK,
                    linewidth=0.6,
                    alpha=0.75,
                )
            )
        if site.charge_e:
            sign = "+" if site.charge_e > 0 else "−"
            side.text(-0.12, site.position_nm[2], sign, ha="center", va="center")
    around = np.linspace(0, 2 * np.pi, 361)
    flat = np.stack([np.sin(around), np.zeros_like(around), np.cos(around)], axis=1)
    outline = contact_surface(body, flat)[:, None] * flat
    side.plot(outline[:, 0], outline[:, 2], color=INK, linestyle="--", linewidth=0.8)
    half = 0.25 * body.axial_contact_nm
    side.annotate(
        "",
        (0, half),
        (0, -half),
        arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.2},
    )
    reach = 1.05 * float(np.abs(outline).max())
    side.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="x / nm", ylabel="z / nm")
    side.set_aspect("equal")
    side.set_title(f"{body.name}, {body.handedness}")

    azimuth, polar = np.arange(0.0, 361.0, 3.0), np.arange(0.0, 181.0, 3.0)
    phi, theta = np.radians(np.meshgrid(azimuth, polar))
    directions = np.stack(
        [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1
    )
    image = surface.pcolormesh(
        azimuth, polar, contact_surface(body, directions), shading="nearest", rasterized=True
    )
    surface.invert_yaxis()
    surface.set(
        xlabel="azimuth / degrees",
        ylabel="angle to dipole / degrees",
        xticks=range(0, 361, 120),
        yticks=range(0, 181, 45),
    )
    surface.figure.colorbar(image, ax=surface, label="contact distance / nm")
    return side, surface


def _colour(site: Site) -> str:
    height = site.position_nm[2]
    across = np.hypot(*site.position_nm[:2])
    if across < 1e-9:
        return _CORE
    return ORANGE if height > 0 else GREEN
