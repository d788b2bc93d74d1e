"""A job of the kind "index": documents into a library, in a worker that outlives the terminal.

What was read stays in the library, so a second run goes on where the first was stopped or killed.
"""

from converters.durable_files import write_json
from converters.events import Report, ShouldStop, Started
from desktop.core.records import Record, read_record
from desktop.documents.file_names import of_address, path_of, shown_name, shown_path
from desktop.documents.ingest import Added, Request, add_documents
from desktop.jobs.folder import JobFolder
from desktop.jobs.spec import IndexJob

RESULT, LOG = "result.json", "parser.log"


class SkippedFile(Record):
    """A file that is not searched. file: its name; path: all of it, as it is shown."""

    file: str
    path: str
    reason: str


class IndexResult(Record):
    """Content of `result.json`: see `ingest.Added`. library: its name."""

    library: str
    files: int
    pages: int
    indexed: int
    unchanged: int
    same_content: int
    skipped: tuple[SkippedFile, ...]
    pages_without_text: int
    seconds: float
    hidden_files: int = 0


def index(folder: JobFolder, report: Report, should_stop: ShouldStop) -> int:
    """Do the job; 0. Raises UserError, Stopped."""
    job = read_record(folder.spec, IndexJob)
    report(Started(job.model_dump(mode="json")))
    paths = tuple(path_of(of_address(address)) for address in job.paths)
    request = Request(job.folder, paths, log=folder.root / LOG)
    result = result_of(job.library, add_documents(request, report, should_stop))
    write_json(folder.artefact(RESULT), result.model_dump(mode="json"))
    return 0


def result_of(library: str, added: Added) -> IndexResult:
    """An addition as its result file holds it."""
    skipped = tuple(
        SkippedFile(file=shown_name(left.key), path=shown_path(left.key), reason=left.reason)
        for left in added.skipped
    )
    return IndexResult(
        library=library, files=added.files, pages=added.pages, indexed=added.indexed,
        unchanged=added.unchanged, same_content=added.same_content, skipped=skipped,
        pages_without_text=added.pages_without_text, seconds=added.seconds,
        hidden_files=added.hidden_files,
    )  # fmt: skip
