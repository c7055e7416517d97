"""A study on disk: a signac project with one job per state point, and the state of each."""

import fcntl
from pathlib import Path
from typing import Any

from dipolar_md.errors import RunDirectoryError
from dipolar_md.study.study_file import Study


def open_project(study: Study, path: Path) -> Any:
    """Return the signac project of a study.

    Raises:
        RunDirectoryError: none is there, or one of another study, base recipe or set of axes.
    """
    import signac

    try:
        project = signac.get_project(path, search=False)
    except LookupError as error:
        raise RunDirectoryError(
            f"{path}: no study here; start it with: dipolar-md study run {study.name}"
        ) from error
    known, wanted = project.document(), _identity(study)
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


def directory(study: Study, out: str | Path | None) -> Path:
    """Return where a study lies, whether it exists or not."""
    path = Path(out) if out is not None else Path("studies") / study.name
    if path.exists() and not path.is_dir():
        raise RunDirectoryError(f"{path}: is a file, not a study; choose another --out")
    return path


def prepare(study: Study, out: str | Path | None = None) -> Path:
    """Make the project of a study and its jobs, one process at a time; return its directory.

    Raises:
        RunDirectoryError: the directory holds something else, or can't be written.
    """
    import signac

    path = directory(study, out)
    try:
        path.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in path.iterdir()}
        if names - {".lock", ".signac"} and not (path / ".signac").is_dir():
            raise RunDirectoryError(f"{path}: not empty and no study; choose another --out")
        with (path / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            project = signac.init_project(path)
            if not project.document() and not len(project):
                project.document.update(_identity(study))
            project = open_project(study, path)
            for point in study.points():
                project.open_job(point).init()
    except OSError as error:
        raise RunDirectoryError(f"{path}: can't be written: {error}") from error
    return path


def units_of(study: Study, path: Path) -> list[list[str]]:
    """Return the ids of the jobs that run together: those of a ladder, otherwise one by one."""
    project = open_project(study, path)
    return [[project.open_job(point).id for point in unit] for unit in study.units()]


def document_of(job: Any) -> dict[str, Any]:
    """Return what a job has learnt; nothing for one that was never begun."""
    return dict(job.document()) if Path(job.path).is_dir() else {}


def state_of(folder: Path, document: dict[str, Any]) -> str:
    """Return `done`, `failed`, `running`, `interrupted` or `waiting`."""
    if document.get("status") == "done":
        return "done"
    if not folder.is_dir():
        return "waiting"
    if (folder / ".lock").exists():
        with (folder / ".lock").open() as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return "running"
    return str(
        document.get("status") or ("interrupted" if (folder / "run").exists() else "waiting")
    )
