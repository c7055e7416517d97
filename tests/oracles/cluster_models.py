"""Built models of Au8Cu4 and Au3Cd: idealised, with PH3 for the phosphines. No crystal structures.

Bond lengths are typical ones; what the tests need is the make-up: two metals, ligands on each, the
propeller twist that makes Au8Cu4 chiral, and formal charges on the hemispheres.
"""

import numpy as np

import dipolar_md as dm


def ring(radius, height, azimuth, n=3):
    """n points on a circle about z; azimuth in degrees."""
    angles = np.radians(azimuth) + 2 * np.pi * np.arange(n) / n
    return np.column_stack([radius * np.cos(angles), radius * np.sin(angles), np.full(n, height)])


def unit(vector):
    return np.asarray(vector, float) / np.linalg.norm(vector)


def phosphine(metal, outward, spin):
    """P at 2.30 Å from a metal along `outward`, three H at 1.42 Å behind it."""
    out = unit(outward)
    across = unit(np.cross(out, [0.0, 0.0, 1.0]))
    other = np.cross(out, across)
    phosphorus = metal + 2.30 * out
    turns = np.radians(spin) + 2 * np.pi * np.arange(3) / 3
    hydrogens = [
        phosphorus + 1.42 * (0.42 * out + 0.9075 * (np.cos(t) * across + np.sin(t) * other))
        for t in turns
    ]
    return ["P", "H", "H", "H"], [phosphorus, *hydrogens]


def dithiolate(origin, outward, across):
    """MNT, S2C2(CN)2, flat: the midpoint of its sulphurs at `origin`, its carbons outward."""
    out, side = unit(outward), unit(across)
    places = (("S", 1.60, 0.0), ("C", 0.69, 1.48), ("C", 1.40, 2.73), ("N", 1.97, 3.75))
    symbols = [s for s, *_ in places for _ in (1, -1)]
    return symbols, [origin + sign * x * side + y * out for _, x, y in places for sign in (1, -1)]


def au8cu4(twist=30.0):
    """Au8(PH3)6/Cu4(MNT)3 with a C3 axis; MNT turned by `twist` degrees: ±twist are mirror images.

    Formal charges: +1/4 on each Au, −1/3 on each S.
    """
    symbols, places = ["Au", "Au"], [np.zeros(3), np.array([0.0, 0.0, 4.7])]
    inner, outer = ring(1.62, 2.35, 0.0), ring(3.0, 1.0, 60.0)
    copper = ring(1.5, -2.3, 60.0)
    symbols += ["Au"] * 6 + ["Cu"] * 4
    places += [*inner, *outer, *copper, np.array([0.0, 0.0, -4.4])]
    for metal, rise, spin in ((inner, 1.0, 90.0), (outer, 0.3, 90.0)):
        for place in metal:
            outward = unit([*place[:2], 0.0]) + np.array([0.0, 0.0, rise])
            s, p = phosphine(place, outward, spin)
            symbols, places = symbols + s, places + p
    for place in copper:
        out = unit([*place[:2], 0.0])
        side = np.cross([0.0, 0.0, 1.0], out)
        angle = np.radians(twist)
        across = np.cos(angle) * side + np.sin(angle) * np.array([0.0, 0.0, 1.0])
        s, p = dithiolate(place + 1.6 * out, out, across)
        symbols, places = symbols + s, places + p
    charges = [{"Au": 1 / 4, "S": -1 / 3}.get(s, 0.0) for s in symbols]
    return dm.point_charge_molecule(symbols, np.array(places) / 10, charges, "au8cu4 (built)")


def au3cd():
    """Au3(PH3)3/Cd(MNT)Cl: a tetrahedron of metals.

    Formal charges: +1/3 on each Au, −1 on each S and Cl, +2 on Cd.
    """
    gold, cadmium = ring(1.62, 0.0, 0.0), np.array([0.0, 0.0, -2.37])
    symbols, places = ["Au"] * 3 + ["Cd"], [*gold, cadmium]
    for place in gold:
        s, p = phosphine(place, unit(place) + np.array([0.0, 0.0, 0.7]), 90.0)
        symbols, places = symbols + s, places + p
    s, p = dithiolate(cadmium + np.array([1.0, 0.0, -1.7]), [0.6, 0.0, -1.0], [0.0, 1.0, 0.0])
    symbols, places = [*symbols, *s, "Cl"], [*places, *p, cadmium + np.array([-1.9, 0.0, -1.6])]
    charges = {"Au": 1 / 3, "S": -1.0, "Cd": 2.0, "Cl": -1.0}
    return dm.point_charge_molecule(
        symbols,
        np.array(places) / 10,
        [charges.get(s, 0.0) - 0.0 for s in symbols],
        "au3cd (built)",
    )
