"""All jobs of a home: which there are, what each does, and what each could do next.

Nothing is kept but the folders themselves, so the list is right after a crash or a restart.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from converters.errors import UserError
from converters.events import Finished, Stage
from desktop.jobs.folder import JobFolder
from desktop.jobs.journal import Entry, read_entries, read_tail
from desktop.jobs.progress import JobView, Status, reduce
from desktop.jobs.spec import IndexJob, TuneJob, read_job

DELETED = ".deleted-"


@dataclass(frozen=True)
class JobLine:
    """One job of the list. started: UTC time of its first event, "" before it. problem: what is
    wrong with its folder, "" if nothing."""

    id: str
    kind: str
    status: Status
    pid: int | None
    step: int
    steps: int
    started: str
    model: str
    stage: str
    remaining_s: float | None
    problem: str = ""
    failure: tuple[str, str, str] | None = None

    def as_json(self) -> dict[str, object]:
        """The object of `jobs --json`; `pid` only while the job is alive."""
        shown: dict[str, object] = {
            "id": self.id, "kind": self.kind, "status": self.status, "step": self.step,
            "steps": self.steps, "started": self.started, "model": self.model,
            "stage": self.stage, "remaining_s": self.remaining_s,
        }
        if self.pid is not None:
            shown["pid"] = self.pid
        if self.failure is not None:
            shown |= UserError(*self.failure).as_json()
        return shown | ({"problem": self.problem} if self.problem else {})


def jobs_of(jobs: Path) -> list[JobLine]:
    """Every job below the folder, newest first by id; damaged ones too, with their problem."""
    folders = (path for path in jobs.glob("*") if path.is_dir() and path.name[0] != ".")
    return [job_line(JobFolder(path)) for path in sorted(folders, reverse=True)]


def job_line(folder: JobFolder) -> JobLine:
    """The line of one job, read from its folder."""
    entries = _last_run(folder)
    view = view_of(entries)
    try:
        job: TuneJob | IndexJob | None = read_job(folder.spec)
        problem = ""
    except UserError as error:
        job, problem = None, f"{error.title} {error.detail}"
    first = next(iter(read_entries(folder.events, limit=1)[0]), None)
    return JobLine(
        id=folder.id, kind=job.kind if job else "unknown", status=status_of(folder, view),
        pid=folder.pid(), step=view.step, steps=view.steps, started=first.time if first else "",
        model=job.about if job else "", stage=view.stage, remaining_s=view.remaining_s,
        problem=problem, failure=view.failure if view.status == "failed" else None,
    )


def status_of(folder: JobFolder, view: JobView) -> Status:
    """What a job is doing, by its lock first: a journal cannot tell that its writer died."""
    if folder.is_alive():
        if folder.is_asked_to_stop():
            return "stopping"
        return "queued" if folder.ticket.exists() else "running"
    if view.status in ("done", "stopped", "failed"):
        return view.status
    return "interrupted"


def view_of(entries: list[Entry]) -> JobView:
    """The reduced view of some entries."""
    view = JobView()
    for entry in entries:
        view = reduce(view, entry.event)
    return view


def delete(folder: JobFolder) -> int:
    """Remove a job's folder; the bytes that this frees (files that Ollama holds too stay).

    Raises UserError while it runs.
    """
    if folder.is_alive():
        raise UserError(
            f'The job "{folder.id}" is running.', "Nothing was deleted.",
            f"Stop it first: tunedesk jobs stop {folder.id}",
        )
    freed = freed_bytes(folder)
    # Renamed first: a deletion that is cut off leaves nothing that looks like a job.
    gone = folder.root.with_name(f"{DELETED}{folder.id}")
    folder.root.rename(gone)
    for leftover in (gone, *folder.root.parent.glob(f"{DELETED}*")):
        shutil.rmtree(leftover, ignore_errors=True)
    return freed


def freed_bytes(folder: JobFolder) -> int:
    """What deleting the job would free: a file with a second name elsewhere frees nothing."""
    return sum(path.stat().st_size for path in _files(folder.root) if path.stat().st_nlink == 1)


def _files(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def _last_run(folder: JobFolder) -> list[Entry]:
    """The journal from its last stage on; all of it where the tail does not reach so far back."""
    tail = read_tail(folder.events)
    if any(isinstance(entry.event, Stage | Finished) for entry in tail):
        return tail
    return read_entries(folder.events)[0]
