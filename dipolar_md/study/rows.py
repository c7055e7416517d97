"""What a finished job says, as one flat row of a study's table."""

import math
from typing import Any

from dipolar_md.analysis.nanowires import nanowire_statistics
from dipolar_md.model.outlook import expected_mean_length
from dipolar_md.simulation.assembly import Run
from dipolar_md.study.grid import Stopping
from dipolar_md.units import DEBYE


def row_of(run: Run, stopping: Stopping | None, reached: bool) -> dict[str, Any]:
    """Return what a finished run says; `reached` where the stopping rule ended it."""
    recipe, statistics = run.recipe, nanowire_statistics(run.trajectory)
    summary, counts = statistics.summary(), recipe.bodies()
    body = max(counts, key=lambda one: counts[one])
    expected = expected_mean_length(
        body,
        statistics.relative_permittivity,
        statistics.temperature_K,
        statistics.concentration_mM,
    )
    value, error = statistics.mean_chain_length
    ended = "complete"
    if stopping:
        precise = error is not None and error <= stopping.relative_error * value
        good = precise and statistics.equilibration.equilibrated
        ended = "target" if reached or good else "budget"
    by_criterion = summary["mean_chain_length_by_criterion"]
    return {
        "cluster": statistics.cluster,
        "n_clusters": statistics.n_clusters,
        "dipole_D": body.dipole_magnitude_e_nm / DEBYE,
        "axial_contact_nm": body.axial_contact_nm,
        **{key: summary[key] for key in _KEPT if key in summary},
        **{f"mean_chain_length_{column_name(key)}": number for key, number in by_criterion.items()},
        **_flat("contour_length", summary["contour_length_nm"]),
        **_flat("spacing", summary["spacing_nm"]),
        **{
            f"chain_fraction_to_{longest}{suffix}": number
            for longest, share in statistics.length_fractions().items()
            for suffix, number in zip(("", "_err"), share, strict=True)
        },
        "expected_mean_chain_length": expected if math.isfinite(expected) else None,
        "independent_samples": statistics.independent_samples["mean_chain_length"],
        "equilibrated": statistics.equilibration.equilibrated,
        "ended": ended,
        "steps": run.manifest["sessions"][-1]["last_step"],
        "seed": recipe.seed,
    }


def column_name(criterion: str) -> str:
    """Return a bond criterion as part of a column's name; signac's keys hold no dots."""
    return criterion.replace(".", "_")


def _flat(name: str, table: dict[str, Any]) -> dict[str, Any]:
    """Return lengths by `NAME_KEY_nm`, their errors by `NAME_KEY_nm_err`."""
    return {
        f"{name}_{key.removesuffix('_err')}_nm{'_err' * key.endswith('_err')}": number
        for key, number in table.items()
    }


_KEPT = tuple(
    name + suffix
    for name in (
        *("temperature_K", "relative_permittivity", "concentration_mM", "lambda_contact"),
        *("mean_chain_length", "weight_mean_chain_length", "max_chain_length"),
        *("chained_fraction", "ring_fraction", "branched_fraction", "percolating"),
        *("persistence_length_nm", "polar_order", "nematic_order", "n_frames", "time_ns"),
    )
    for suffix in ("", "_err")
)
