"""One file into a library: hashed, read in the child, hashed again, stored or set aside.

Only what the library itself raises comes through (a full disk, a damaged database): a bad file is
never the end of an addition.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence

from converters.documents.child import DocumentChild, Reading
from converters.documents.kinds import sniffed
from converters.documents.outcome import Outcome, Tally
from converters.documents.page import Page
from converters.errors import Stopped, UserError
from converters.events import Note, Report, ShouldStop
from desktop.documents.additions import Additions
from desktop.documents.document_pages import DocumentPages, Ending
from desktop.documents.file_names import path_of, shown_name
from desktop.documents.found_files import FoundFile, look_at
from desktop.documents.library import Library
from desktop.documents.pace import Pace

BATCH_PAGES, BATCH_S = 100, 1.0
_FIRST_PAGES = 2  # of a document go together: routing looks at its first two
_PIECE_BYTES = 1 << 22
_NOTED = 50
_SEARCHABLE = ("text", "partly text", "no text")
_CHANGED = "It changed while it was read. It is read again by the next addition."


class FileReader:
    """Reads files one after the other. indexed, same_content: how many were read, or known.

    passwords: tried in turn on what is encrypted. refused: by path, what is said of those files
    that none of them opens; the library keeps what holds without a password.
    """

    def __init__(
        self, library: Library, child: DocumentChild, passwords: Sequence[str], pace: Pace,
        report: Report, should_stop: ShouldStop,
    ) -> None:  # fmt: skip
        self._library, self._child, self._passwords = library, child, passwords
        self._pace, self._report, self._should_stop = pace, report, should_stop
        self._additions = Additions(library)
        self._noted = 0
        self.refused: dict[bytes, str] = {}
        self.indexed = self.same_content = 0

    def read(self, file: FoundFile) -> None:
        """One file to its end, whatever that is; only what the library raises comes through."""
        try:
            now = look_at(file.key)
            _sniff(file)
            sha256 = self._hash_of(file)
        except OSError as error:
            self._set_aside(file, f"It could not be read: {error.strerror}.", "again")
            return
        except UserError as error:
            self._set_aside(file, str(error))
            return
        if self._additions.has_content(sha256):
            self._additions.settle(now, "indexed", sha256=sha256)
            self.same_content += 1
            return
        pages = DocumentPages(self._library, now, sha256)
        self._pace.resumed(len(pages.read))
        try:
            outcome = self._read_pages(file, pages)
            has_changed = outcome.has_changed or self._hash_of(file) != sha256
        except (OSError, _Unreadable) as error:
            self._discard(pages)
            cause = f"{error.strerror or error}." if isinstance(error, OSError) else str(error)
            self._set_aside(file, f"It could not be read: {cause}", "again")
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
            self.indexed += 1
            if outcome.kind != "text":
                self._note("info", f"{shown_name(file.key)}: {outcome.sentence}")
        else:
            self._discard(pages)
            state = "encrypted" if outcome.kind == "encrypted" else "set aside"
            self._set_aside(file, outcome.sentence, state)

    def _read_pages(self, file: FoundFile, pages: DocumentPages) -> Outcome:
        """All pages, with the first password that opens them."""
        outcome = locked = self._read_once(file, pages, None)
        for password in self._passwords:
            if outcome.kind != "encrypted":
                break
            outcome = self._read_once(file, pages, password)
        if outcome.kind == "encrypted" and self._passwords:
            self.refused[file.key] = outcome.sentence
            return locked
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
        said = self.refused.get(file.key, reason) if state == "encrypted" else reason
        self._note("warning", f"{shown_name(file.key)} was not added. {said}")

    def _note(self, level: str, text: str) -> None:
        self._noted += 1
        if self._noted <= _NOTED:
            self._report(Note("warning" if level == "warning" else "info", text))
        elif self._noted == _NOTED + 1:
            self._report(Note("info", "There are more; `tunedesk library list` tells of each."))

    def _require_going_on(self) -> None:
        if self._should_stop():
            raise Stopped

    def _hash_of(self, file: FoundFile) -> str:
        """SHA-256 of the bytes as they are now. Raises OSError."""
        digest = hashlib.sha256()
        with path_of(file.key).open("rb") as stream:
            while piece := stream.read(_PIECE_BYTES):
                self._require_going_on()
                digest.update(piece)
        return digest.hexdigest()


def _sniff(file: FoundFile) -> None:
    """Raises UserError for a kind of document that is not read, OSError."""
    path = path_of(file.key)
    with path.open("rb") as stream:
        sniffed(stream, path.name)


class _Unreadable(Exception):
    """What the reader raised, apart from what the library raises."""


def _pages_of(reading: Reading) -> Iterator[Page]:
    try:
        yield from reading
    except UserError as error:
        raise _Unreadable(str(error)) from error
