"""Studies of half a second per job, and what their jobs leave."""

from pathlib import Path

import signac
import tomli_w

import dipolar_md as dm
from dipolar_md.study.project import prepare

SETTINGS = {
    "n_clusters": 64,
    "cutoff_nm": 4.0,
    "chunk_steps": 50,
    "frame_interval_ns": 0.04,
    "stages.solution.time_ns": 0.4,
    "stages.solution.concentration_mM": 60.0,
    "stages.solution.relative_permittivity": 1.0,
    "stages.solution.skin_nm": 1.0,
}
STEPS = list(range(0, 501, 50))  # of the frames of a job


def write(study, path):
    data = study.model_dump(exclude_none=True)
    path.write_bytes(tomli_w.dumps(data).encode())
    return path


def steps_of(out):
    """Steps of the frames of every job."""
    return [
        [int(frame.step) for frame in dm.Run(path).trajectory]
        for path in sorted(Path(out).glob("workspace/*/run"))
    ]


def toy(dipoles, **settings):
    """A study of half a second per job."""
    changed = SETTINGS | settings
    return dm.Study.model_validate(
        {
            "name": "toy",
            "title": "A toy",
            "recipe": "r-au-cu-dichloromethane",
            "settings": changed,
            "sources": dict.fromkeys(changed, "a toy"),
            "axes": {"dipole_D": {"values": dipoles, "source": "a toy"}},
        }
    )


def finished_row(length, **more):
    """What a finished job tells of ideal chains with a mean length, in the form of its document."""
    fraction = {n: (1 - 1 / length) ** (n // 2) - (1 - 1 / length) ** n for n in (1, 2, 4, 8)}
    contact = more.get("axial_contact_nm", 1.822)
    return {
        "cluster": "r-au-cu",
        "n_clusters": 10_000,
        "dipole_D": 43.42,
        "axial_contact_nm": contact,
        "temperature_K": 298.15,
        "relative_permittivity": 1.0,
        "concentration_mM": 10.0,
        "lambda_contact": 7.0,
        "mean_chain_length": length,
        "mean_chain_length_err": 0.01 * length,
        **{
            f"mean_chain_length_{name}{suffix}": value
            for name in ("energy_0_5", "energy_0_7", "distance_1_3_attractive")
            for suffix, value in (("", length), ("_err", 0.01 * length))
        },
        **{f"chain_fraction_to_{n}": value for n, value in fraction.items()},
        **{f"chain_fraction_to_{n}_err": 0.01 for n in fraction},
        "contour_length_mean_nm": contact * length,
        "contour_length_mean_nm_err": 0.01 * contact * length,
        "spacing_median_nm": 1.01 * contact,
        "spacing_median_nm_err": 0.001,
        "expected_mean_chain_length": None,
        "equilibrated": True,
        "ended": "complete",
        "steps": 1000,
        "seed": 1,
    } | more


def finish(study, out, row_of):
    """Write what the jobs of a study would, had they run; `row_of` takes a state point."""
    out = prepare(study, out)
    for job in signac.get_project(out).find_jobs():
        row = row_of(dict(job.cached_statepoint))
        job.document.reset({"status": "done", "error": "", "row": row})
    return out
