"""The SHA-256 of the data that a job read: a later run must not go on with other rows."""

from converters.errors import UserError
from desktop.core.catalog import file_sha256
from desktop.core.records import Record, read_record, write_record
from desktop.jobs.work import Work

DATA = "data.json"


class DataFiles(Record):
    """Content of `data.json`: SHA-256 of the training file, and of the held-out file if any."""

    data: str
    held_out: str | None


def data_step(work: Work) -> None:
    """Note what the data are, or compare them with what the job began with.

    Raises UserError if they changed, or are gone.
    """
    path = work.folder.artefact(DATA)
    now = _now(work)
    if not path.exists():
        write_record(path, now)
        return
    before = read_record(path, DataFiles)
    tune = work.job.tune
    changed = [str(file) for file, old, new in (
        (tune.data, before.data, now.data), (tune.held_out, before.held_out, now.held_out),
    ) if old != new]
    if changed:
        raise UserError(
            "The data changed since the job began.",
            f"{' and '.join(changed)} {'is' if len(changed) == 1 else 'are'} not as it was at the "
            "start. What the job made so far is kept.",
            "Put the earlier file back and resume, or start a new job with the new data.",
        )


def _now(work: Work) -> DataFiles:
    tune = work.job.tune
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
