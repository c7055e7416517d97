"""Studies of half a second per job, and what their jobs leave."""

from pathlib import Path

import tomli_w

import dipolar_md as dm

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
