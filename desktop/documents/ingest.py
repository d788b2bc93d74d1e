"""Files and folders into a library: `add_documents(request, report, should_stop) -> Added`.

A file is hashed before and after it is read; the same content is read once; what could not be read
is set aside with its reason until it changes. Pages are kept in transactions: one for a short
document, one for each hundred pages or second of a long one, so that a kill costs no more.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from converters.documents.child import DocumentChild, Reading
from converters.documents.kinds import sniffed
from converters.documents.outcome import Outcome, Tally
from converters.documents.page import Page
from converters.errors import Stopped, UserError
from converters.events import Note, Report, ShouldStop, Stage
from desktop.documents.additions import Additions
from desktop.documents.backup import BACKUP, LOCK, keep_backup
from desktop.documents.database import in_words
from desktop.documents.document_pages import DocumentPages, Ending
from desktop.documents.file_names import path_of, shown_name
from desktop.documents.found_files import FoundFile, LeftOut, find_files, look_at
from desktop.documents.library import Library, opened_for_writing
from desktop.documents.pace import Pace

INDEX, WAIT = "index", "wait for the library"
BATCH_PAGES, BATCH_S = 100, 1.0
_FIRST_PAGES = 2  # of a document go together: routing looks at its first two
_PIECE_BYTES = 1 << 22
_LOCK_POLL_S = 0.25
_NOTED = 50
_SEARCHABLE = ("text", "partly text", "no text")
_CHANGED = "It changed while it was read. It is read again by the next addition."


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
    """

    files: int
    indexed: int
    unchanged: int
    same_content: int
    pages: int
    pages_without_text: int
    skipped: tuple[LeftOut, ...]
    seconds: float


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
            return run.added(found.files, found.left_out, time.monotonic() - start)


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
        self._additions = Additions(library)
        self._indexed = self._same_content = self._noted = 0
        self._todo: Sequence[FoundFile] = ()

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
        with_password = bool(self._request.passwords)
        self._todo = self._additions.register(files, encrypted=with_password)
        self._pace = Pace([file.size for file in self._todo], self._report)
        for file in self._todo:
            self.require_going_on()
            self._read(file)
            self._pace.file_done()

    def keep_backup(self) -> None:
        """Keep a good copy; without room for it the addition counts all the same."""
        target = self._request.folder / BACKUP
        try:
            with in_words(target):
                keep_backup(self._library.connection, target, self.require_going_on)
        except (UserError, OSError) as error:
            self._report(Note("warning", f"No new backup of the library was made. {error}"))

    def added(
        self, files: Sequence[FoundFile], left_out: Sequence[LeftOut], seconds: float
    ) -> Added:
        """The account of the whole addition."""
        keys = {file.key for file in files}
        known = [file for file in self._library.files() if file.path in keys]
        skipped = [LeftOut(file.path, file.reason) for file in known if file.state != "indexed"]
        indexed = [file for file in known if file.state == "indexed"]
        documents = {file.document: file for file in indexed}
        read_now = {file.key for file in self._todo}
        pages = sum(file.pages_read for file in documents.values())
        return Added(
            files=len(files) + len(left_out),
            indexed=self._indexed,
            unchanged=sum(file.path not in read_now for file in indexed),
            same_content=self._same_content,
            pages=pages,
            pages_without_text=pages - sum(file.text_pages for file in documents.values()),
            skipped=(*skipped, *left_out),
            seconds=round(seconds, 3),
        )

    def _read(self, file: FoundFile) -> None:
        """One file to its end, whatever that is; only what the library raises comes through."""
        try:
            now = look_at(file.key)
            sniff(file)
            sha256 = self._hash_of(file)
        except OSError as error:
            self._set_aside(file, f"It could not be read: {error.strerror}.", "again")
            return
        except UserError as error:
            self._set_aside(file, str(error))
            return
        if self._additions.has_content(sha256):
            self._additions.settle(now, "indexed", sha256=sha256)
            self._same_content += 1
            return
        pages = DocumentPages(self._library, now, sha256)
        self._pace.resumed(len(pages.read))
        try:
            outcome = self._read_pages(file, pages)
            has_changed = outcome.has_changed or self._hash_of(file) != sha256
        except (OSError, Unreadable) as error:
            self._discard(pages)
            self._set_aside(file, f"It could not be read: {error}", "again")
            return
        self._end(now, pages, outcome, has_changed)

    def _end(
        self, file: FoundFile, pages: DocumentPages, outcome: Outcome, has_changed: bool
    ) -> None:
        if has_changed:
            self._discard(pages)
            self._set_aside(file, _CHANGED, "again")
        elif outcome.kind in _SEARCHABLE:
            count = pages.waiting
            pages.finish(Ending(outcome.kind, outcome.sentence, outcome.pages))
            self._pace.stored(count, outcome.pages)
            self._indexed += 1
            if outcome.kind != "text":
                self._note("info", f"{shown_name(file.key)}: {outcome.sentence}")
        else:
            self._discard(pages)
            state = "encrypted" if outcome.kind == "encrypted" else "set aside"
            self._set_aside(file, outcome.sentence, state)

    def _read_pages(self, file: FoundFile, pages: DocumentPages) -> Outcome:
        """All pages, with the first password that opens them."""
        outcome = self._read_once(file, pages, None)
        for password in self._request.passwords:
            if outcome.kind != "encrypted":
                break
            outcome = self._read_once(file, pages, password)
        return outcome

    def _read_once(
        self, file: FoundFile, pages: DocumentPages, password: str | None
    ) -> Outcome:
        tally = Tally()
        for known in pages.read:
            tally.numbers.setdefault(known.verdict, []).append(known.number)
            tally.hidden += known.hidden
            tally.hidden_pages += known.hidden > 0
        reading = self._child.read(path_of(file.key), password, self._should_stop, tally)
        self._take(reading, pages)
        return reading.outcome

    def _take(self, reading: Reading, pages: DocumentPages) -> None:
        stored = time.monotonic()
        for page in _pages_of(reading):
            pages.add(page)
            is_due = pages.waiting >= BATCH_PAGES or time.monotonic() - stored > BATCH_S
            if is_due and pages.waiting >= _FIRST_PAGES:
                count = pages.waiting
                pages.store(reading.page_count)
                stored = time.monotonic()
                self._pace.stored(count, reading.page_count)

    def _discard(self, pages: DocumentPages) -> None:
        pages.discard()
        self._pace.discarded()

    def _set_aside(self, file: FoundFile, reason: str, state: str = "set aside") -> None:
        self._additions.settle(file, state, reason)
        self._note("warning", f"{shown_name(file.key)} was not added. {reason}")

    def _note(self, level: str, text: str) -> None:
        self._noted += 1
        if self._noted <= _NOTED:
            self._report(Note("warning" if level == "warning" else "info", text))
        elif self._noted == _NOTED + 1:
            self._report(Note("info", "There are more; `tunedesk library list` tells of each."))

    def _hash_of(self, file: FoundFile) -> str:
        """SHA-256 of the bytes as they are now. Raises OSError."""
        digest = hashlib.sha256()
        with path_of(file.key).open("rb") as stream:
            while piece := stream.read(_PIECE_BYTES):
                self.require_going_on()
                digest.update(piece)
        return digest.hexdigest()


def sniff(file: FoundFile) -> None:
    """Raises UserError for a kind of document that is not read, OSError."""
    path = path_of(file.key)
    with path.open("rb") as stream:
        sniffed(stream, path.name)


class Unreadable(Exception):
    """What the reader raised, apart from what the library raises."""


def _pages_of(reading: Reading) -> Iterator[Page]:
    try:
        yield from reading
    except UserError as error:
        raise Unreadable(str(error)) from error
