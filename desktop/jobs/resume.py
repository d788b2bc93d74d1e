"""Whether a job can go on, before its worker is started."""

from converters.errors import UserError
from desktop.jobs.folder import JobFolder
from desktop.jobs.spec import IndexJob, TuneJob, read_job
from desktop.jobs.steps.prepare_text import TOKENS
from desktop.jobs.steps.publish import PUBLISH
from desktop.jobs.steps.result import MANIFEST
from desktop.jobs.store import job_line


def require_resumable(folder: JobFolder) -> None:
    """Raises UserError if the job runs, is done, or has lost what it cannot make again."""
    line = job_line(folder)
    if folder.is_alive():
        raise UserError(
            f'The job "{folder.id}" is already running.', "",
            f"`tunedesk jobs follow {folder.id}` shows it.",
        )
    if line.status == "done" and folder.artefact(MANIFEST).exists():
        raise UserError(
            f'The job "{folder.id}" is done.', f"It made {line.model}.",
            f"`tunedesk jobs show {folder.id}` tells its result.",
        )
    job = read_job(folder.spec)
    if not isinstance(job, IndexJob):  # documents are looked for anew, wherever they are now
        _require_files(folder, job)


def _require_files(folder: JobFolder, job: TuneJob) -> None:
    if not folder.artefact(PUBLISH).is_file():
        raise UserError(
            f'The folder of the job "{folder.id}" is damaged.',
            f"{folder.artefact(PUBLISH)} is missing; it holds what the model inherits.",
            "Start a new job with the same data.",
        )
    if not folder.artefact(TOKENS).is_file() and not job.tune.data.is_file():
        raise UserError(
            "The data file is gone.", f"{job.tune.data} cannot be read, and its rows were not "
            "prepared yet.", "Put it back and resume.",
        )
