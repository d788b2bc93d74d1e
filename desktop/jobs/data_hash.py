"""The SHA-256 of the data that a job read: a later run must not go on with other rows."""

from converters.errors import UserError
from desktop.core.catalog import file_sha256
from desktop.core.records import Record, read_record, write_record
from desktop.jobs.folder import JobFolder
from desktop.jobs.spec import TuneJob
from finetune.spec import TuneSpec

DATA = "data.json"


class DataFiles(Record):
    """Content of `data.json`: SHA-256 of the training file, and of the held-out file if any."""

    data: str
    held_out: str | None


def note_data(folder: JobFolder, tune: TuneSpec) -> None:
    """Write down what the data are when the job is made."""
    write_record(folder.artefact(DATA), _now(tune))


def require_same_data(folder: JobFolder, tune: TuneSpec) -> None:
    """Raise UserError if the data changed since the job was made, or are gone."""
    before, now = read_record(folder.artefact(DATA), DataFiles), _now(tune)
    changed = [str(file) for file, old, new in (
        (tune.data, before.data, now.data), (tune.held_out, before.held_out, now.held_out),
    ) if old != new]
    if changed:
        raise UserError(
            "The data changed since the job began.",
            f"{' and '.join(changed)} changed; what the job made so far is kept.",
            "Put the earlier file back and resume, or start a new job with the new data.",
        )


def has_same_data(folder: JobFolder, job: TuneJob) -> bool:
    """Whether the data are still as they were."""
    try:
        require_same_data(folder, job.tune)
    except UserError:
        return False
    return True


def _now(tune: TuneSpec) -> DataFiles:
    for path in (tune.data, tune.held_out):
        if path is not None and not path.is_file():
            raise UserError(
                "The data file is gone.",
                f"{path} cannot be read, and its rows are not prepared yet.",
                "Put it back and resume, or start a new job.",
            )
    return DataFiles(
        data=file_sha256(tune.data),
        held_out=file_sha256(tune.held_out) if tune.held_out else None,
    )
