"""A study on disk: a signac project with one job per state point, and the state of each."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dipolar_md.errors import InputError, RunDirectoryError
from dipolar_md.files import is_locked, locked, read_json, write_json
from dipolar_md.simulation.run_directory import check_run
from dipolar_md.study.jobs import Job
from dipolar_md.study.study_file import Study

JobState = Literal["done", "failed", "damaged", "running", "interrupted", "waiting"]
_STATUS = ("done", "failed")
_ROW: dict[str, type | tuple[type, ...]] = {
    "ended": str,
    "equilibrated": bool,
    "mean_chain_length": (int, float),
}
"""Some of what the row of every finished job holds, and of which kind."""


@dataclass(frozen=True)
class JobFolder:
    """The folder of a job, which needn't exist.

    Attributes:
        path: Folder in the workspace of a signac project.
    """

    path: Path

    @property
    def id(self) -> str:
        """Signac's name of the state point."""
        return self.path.name

    def document(self) -> dict[str, Any]:
        """Return what the job's signac document says; nothing of a job that was never begun.

        Raises:
            InputError: It is damaged.
        """
        path = _document_path(self.path)
        if not path.exists():
            return {}
        document = read_json(path)
        row = document.get("row")
        known = document.get("status") in _STATUS
        whole = isinstance(row, dict) and all(
            isinstance(row.get(key), kind) for key, kind in _ROW.items()
        )
        if document and not (known and (whole or document["status"] == "failed")):
            raise InputError(f"{path}: is no document of a job")
        return document

    def write_document(self, document: Mapping[str, Any]) -> None:
        """Replace the job's signac document in one piece."""
        write_json(_document_path(self.path), _finite(document))

    def read(self) -> tuple[JobState, dict[str, Any]]:
        """Return the state of the job and its document; running it again mends a damaged one."""
        try:
            document = self.document()
        except InputError as error:
            return ("running" if is_locked(self.path) else "damaged"), {"error": str(error)}
        if document.get("status") == "done":
            return "done", document
        if not self.path.is_dir():
            return "waiting", document
        if is_locked(self.path):
            return "running", document
        if document.get("status") == "failed":
            return "failed", document
        return ("interrupted" if (self.path / "run").exists() else "waiting"), document


@dataclass(frozen=True)
class StudyProject:
    """A study and its directory.

    Attributes:
        path: Directory, a signac project.
        jobs: Jobs by signac's id, in the order of the study.
        groups: Ids of the jobs that run together: those of a ladder, or each alone.
        others: Folders of jobs of values that the study file no longer has.
    """

    path: Path
    jobs: dict[str, Job]
    groups: list[list[str]]
    others: list[JobFolder]

    def folder(self, id: str) -> JobFolder:
        """Return the folder of a job."""
        return JobFolder(self.path / "workspace" / id)


def open_project(study: Study, path: Path) -> StudyProject:
    """Return the project of a study.

    Args:
        study: The study.
        path: Its directory.

    Raises:
        RunDirectoryError: No project there, or one of another study, base recipe or set of axes.
    """
    project = _signac_project(study, path)
    jobs = {project.open_job(job.point).id: job for job in study.jobs}
    groups = [[project.open_job(job.point).id for job in ladder] for ladder in study.job_groups()]
    others = [JobFolder(Path(job.path)) for job in project if job.id not in jobs]
    return StudyProject(path, jobs, groups, others)


def study_directory(study: Study, out: str | Path | None) -> Path:
    """Return where a study lies, whether it exists or not.

    Raises:
        RunDirectoryError: A file lies there.
    """
    path = Path(out) if out is not None else Path("studies") / study.name
    if path.exists() and not path.is_dir():
        raise RunDirectoryError(f"{path}: is a file, not a study; choose another --out")
    return path


def prepare(study: Study, out: str | Path | None = None) -> Path:
    """Make the project of a study and its jobs, one process at a time; return its directory.

    Args:
        study: The study.
        out: Its directory, default `studies/NAME`.

    Raises:
        RunDirectoryError: The directory holds something else, or can't be written.
    """
    import signac

    path = study_directory(study, out)
    try:
        path.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in path.iterdir()}
        if names - {".lock", ".signac"} and not (path / ".signac").is_dir():
            raise RunDirectoryError(f"{path}: not empty and no study; choose another --out")
        with locked(path, wait=True):
            project = signac.init_project(path)
            if not project.document() and not len(project):
                project.document.update(_identity(study))
            project = _signac_project(study, path)
            for job in study.jobs:
                _init(project.open_job(job.point))
    except OSError as error:
        raise RunDirectoryError(f"{path}: can't be written: {error}") from error
    return path


def check_project(path: Path) -> list[str]:
    """Return what is wrong with the jobs of a study and their runs, in sentences.

    Args:
        path: Directory of the study.
    """
    found = []
    for folder in sorted((path / "workspace").iterdir()):
        state, document = JobFolder(folder).read()
        if state == "damaged":
            found.append(str(document["error"]))
        if state != "running" and (folder / "run" / "manifest.json").exists():
            found += check_run(folder / "run")
    return found


def _init(job: Any) -> None:
    """Make the folder of a job; a damaged state point is written again, for the id tells it."""
    from signac.errors import JobsCorruptedError

    try:
        job.init()
    except (JobsCorruptedError, ValueError):
        (Path(job.path) / job.FN_STATE_POINT).unlink()
        job.init()


def _signac_project(study: Study, path: Path) -> Any:
    """Return the signac project where it is that of the study."""
    import signac

    try:
        project = signac.get_project(path, search=False)
    except LookupError as error:
        raise RunDirectoryError(
            f"{path}: no study here; start it with: dipolar-md study run {study.name}"
        ) from error
    stored = path / project.FN_DOCUMENT
    known, wanted = read_json(stored) if stored.exists() else {}, _identity(study)
    if not known:
        raise RunDirectoryError(f"{path}: a signac project of something else; choose another --out")
    if odd := sorted(key for key in {*known, *wanted} if known.get(key) != wanted.get(key)):
        raise RunDirectoryError(
            f"{path}: holds a study with another {' and '.join(odd)}; choose another --out "
            "(values of an axis and replicas may be added to a study, nothing else be changed)"
        )
    return project


def _identity(study: Study) -> dict[str, Any]:
    """Return what must be the same for all jobs of a project."""
    return {
        "study": study.name,
        "base recipe": study.base.to_toml(),
        "set of axes": {name: list(study.axes[name].keys) for name in sorted(study.axes)},
        "seed": study.seed,
        "stopping rule": study.stopping.relative_error if study.stopping else None,
        **study.ladder_identity(),
    }


def _document_path(folder: Path) -> Path:
    """Return where signac keeps the document of a job."""
    import signac

    return folder / str(signac.job.Job.FN_DOCUMENT)


def _finite(value: Any) -> Any:
    """Return a value with None for numbers that are none, which JSON doesn't have."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
