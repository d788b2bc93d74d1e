"""Files and folders into a library: `add_documents(request, report, should_stop) -> Added`.

A file is hashed before and after it is read; the same content is read once; what could not be read
is set aside with its reason until it changes. Pages are kept in transactions: one for a short
document, one for each hundred pages or second of a long one, so that a kill costs no more.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from converters.documents.child import DocumentChild
from converters.errors import Stopped, UserError
from converters.events import Note, Report, ShouldStop, Stage
from desktop.documents.additions import Additions
from desktop.documents.backup import BACKUP, LOCK, keep_backup
from desktop.documents.database import LibraryFull, in_words, stored_bytes
from desktop.documents.file_reader import FileReader
from desktop.documents.found_files import Found, FoundFile, LeftOut, find_files
from desktop.documents.library import Library, opened_for_writing
from desktop.documents.pace import Pace

INDEX = "index"
_LOCK_POLL_S = 0.25


@dataclass(frozen=True)
class Request:
    """folder: of the library. passwords: tried on encrypted documents, never kept."""

    folder: Path
    paths: tuple[Path, ...]
    passwords: tuple[str, ...] = field(default=(), repr=False)
    log: Path | None = None


@dataclass(frozen=True)
class Added:
    """What an addition came to. files: found; indexed: read by it; unchanged and same_content:
    known already. pages, pages_without_text: of all that were found and are searchable.
    hidden_files: that were passed over.
    """

    files: int
    indexed: int
    unchanged: int
    same_content: int
    pages: int
    pages_without_text: int
    skipped: tuple[LeftOut, ...]
    seconds: float
    hidden_files: int = 0


def add_documents(request: Request, report: Report, should_stop: ShouldStop) -> Added:
    """Read what is new or changed. Raises UserError; Stopped within a second of being asked to."""
    start = time.monotonic()
    report(Stage(INDEX))
    found = find_files(request.paths, should_stop)
    request.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _turn(request.folder, report, should_stop):

        def repaired(text: str) -> None:
            report(Note("warning", text))

        with (
            opened_for_writing(request.folder, repaired) as library,
            DocumentChild(log=request.log) as child,
        ):
            run = _Run(library, child, request, report, should_stop)
            run.read_all(found.files)
            if run.has_changed:
                run.keep_backup()
            return run.added(found, time.monotonic() - start)


@contextmanager
def _turn(folder: Path, report: Report, should_stop: ShouldStop) -> Iterator[None]:
    """Hold the one ingest lock of the library; say so if another program has it."""
    lock = FileLock(folder / LOCK)
    is_told = False
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            if not is_told:
                report(Note("info", "Another program is adding documents to this library; this "
                                    "one waits for its turn."))  # fmt: skip
                is_told = True
            if should_stop():
                raise Stopped from None
            time.sleep(_LOCK_POLL_S)
    try:
        yield
    finally:
        lock.release()


class _Run:
    """One addition while it works."""

    def __init__(
        self, library: Library, child: DocumentChild, request: Request, report: Report,
        should_stop: ShouldStop,
    ) -> None:
        self._library, self._child, self._request = library, child, request
        self._report, self._should_stop = report, should_stop
        self._todo: Sequence[FoundFile] = ()
        self._refused: Mapping[bytes, str] = {}
        self._indexed = self._same_content = 0

    @property
    def has_changed(self) -> bool:
        """Whether the library holds anything new."""
        return bool(self._indexed or self._same_content)

    def require_going_on(self) -> None:
        """Raise Stopped when asked to stop."""
        if self._should_stop():
            raise Stopped

    def read_all(self, files: Sequence[FoundFile]) -> None:
        """Read what must be read, in order."""
        passwords = self._request.passwords
        self._todo = Additions(self._library).register(files, encrypted=bool(passwords))
        pace = Pace([file.size for file in self._todo], self._report)
        reader = FileReader(
            self._library, self._child, passwords, pace, self._report, self._should_stop
        )
        base, size = self._library.connection, stored_bytes(self._library.connection)
        try:
            for file in self._todo:
                self.require_going_on()
                reader.read(file)
                pace.file_done()
        except LibraryFull as full:
            needed = pace.needed(stored_bytes(base) - size)
            raise LibraryFull(self._library.folder, needed) from full
        self._indexed, self._same_content = reader.indexed, reader.same_content
        self._refused = reader.refused

    def keep_backup(self) -> None:
        """Keep a good copy; without room for it the addition counts all the same."""
        target = self._request.folder / BACKUP
        try:
            with in_words(target):
                keep_backup(self._library.connection, target, self.require_going_on)
        except (UserError, OSError) as error:
            self._report(Note("warning", f"No new backup of the library was made. {error}"))

    def added(self, found: Found, seconds: float) -> Added:
        """The account of the whole addition."""
        keys = {file.key for file in found.files}
        known = [file for file in self._library.files() if file.path in keys]
        skipped = [
            LeftOut(file.path, self._refused.get(file.path, file.reason)
                    if file.state == "encrypted" else file.reason)
            for file in known if file.state != "indexed"
        ]  # fmt: skip
        indexed = [file for file in known if file.state == "indexed"]
        documents = {file.document: file for file in indexed}
        read_now = {file.key for file in self._todo}
        pages = sum(file.pages_read for file in documents.values())
        return Added(
            files=len(found.files) + len(found.left_out),
            indexed=self._indexed,
            unchanged=sum(file.path not in read_now for file in indexed),
            same_content=self._same_content,
            pages=pages,
            pages_without_text=pages - sum(file.text_pages for file in documents.values()),
            skipped=(*skipped, *found.left_out),
            seconds=round(seconds, 3),
            hidden_files=found.hidden_files,
        )
