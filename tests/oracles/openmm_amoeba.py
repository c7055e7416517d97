"""Energies and forces of polarisable point dipoles by OpenMM's AMOEBA force; prints `AMOEBA`.

Run by hand where OpenMM is installed: `python tests/oracles/openmm_amoeba.py`. Its own Coulomb
constant is measured with two charges and divided out.
"""

import numpy as np

MU, ALPHA = 0.9040, 0.30  # e nm and nm³
PLACES = np.array(
    [
        [0.00, 0.00, 0.00],
        [0.30, -0.20, 1.85],
        [1.90, 0.40, 0.50],
        [-0.60, 1.80, 1.10],
        [1.20, 2.00, -0.70],
    ]
)
AXES = np.array([[0, 0, 1], [1, 2, 3], [-2, 1, 1], [0, 1, -1], [3, -1, 1]], dtype=float)
DIPOLES = MU * AXES / np.linalg.norm(AXES, axis=1, keepdims=True)
POLARISABILITIES = np.array([0.30, 0.20, 0.30, 0.0, 0.27])

# OpenMM 8.6.1, Reference platform, mutual polarisation to 1e-14: energy without and with
# polarisability (e²/nm, times 1/4πε₀) and forces with it (e²/nm²).
AMOEBA = {
    "permanent": -0.25080023222290015,
    "total": -0.28570024648276077,
    "forces": [
        [-0.0973963749514672, -0.172710507842058, 0.453541856034451],
        [-0.0588280268307924, 0.23647481060088, -0.337462367888903],
        [-0.0204761313845375, -0.0133042904315418, -0.0229733476875226],
        [0.134236596347567, -0.072145454069588, -0.0938930803469806],
        [0.0424639368192305, 0.0216854417423081, 0.000786939888955464],
    ],
}


def amoeba(charges, dipoles, places, alphas):
    """Return energy (kJ/mol) and forces (kJ/mol/nm)."""
    import openmm

    system = openmm.System()
    force = openmm.AmoebaMultipoleForce()
    force.setNonbondedMethod(openmm.AmoebaMultipoleForce.NoCutoff)
    force.setPolarizationType(openmm.AmoebaMultipoleForce.Mutual)
    force.setMutualInducedTargetEpsilon(1e-14)
    force.setMutualInducedMaxIterations(500)
    for q, mu, alpha in zip(charges, dipoles, alphas, strict=True):
        system.addParticle(1.0)
        none = openmm.AmoebaMultipoleForce.NoAxisType
        force.addMultipole(q, list(mu), [0.0] * 9, none, -1, -1, -1, 0.39, 0.0, alpha)
    system.addForce(force)
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(1e-3), platform)
    context.setPositions(places)
    state = context.getState(getEnergy=True, getForces=True)
    forces = state.getForces(asNumpy=True)._value
    return state.getPotentialEnergy()._value, forces


if __name__ == "__main__":
    pair = [[0, 0, 0], [0, 0, 1.0]]
    constant, _ = amoeba([1.0, 1.0], np.zeros((2, 3)), pair, [0.0, 0.0])
    without, _ = amoeba(np.zeros(5), DIPOLES, PLACES, np.zeros(5))
    energy, forces = amoeba(np.zeros(5), DIPOLES, PLACES, POLARISABILITIES)
    rows = [[float(f"{x:.15g}") for x in row] for row in forces / constant]
    print(f"constant {constant:.12g}")
    print({"permanent": without / constant, "total": energy / constant, "forces": rows})
