"""One library: a folder with one SQLite file, opened, checked, repaired, asked what it holds.

Reading needs no lock and goes on while pages are added. What changes a library is in `additions`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from converters.documents.page import Page
from converters.errors import UserError
from desktop.documents import stored_page
from desktop.documents.backup import BACKUP, DATABASE, LOCK, keep_backup, put_back, restore
from desktop.documents.database import LibraryDamaged, connect, damaged, in_words, is_sound
from desktop.documents.schema import MIGRATIONS, is_library, migrate, version_of
from desktop.documents.stored_page import PageDamaged

MIGRATION_S = 30.0


@dataclass(frozen=True)
class StoredFile:
    """A file as the library knows it. document: None if nothing of it could be read yet.

    state: "waiting", "indexed", "set aside" (not read again until it changes), "encrypted",
    "again" (read again at the next addition). pages_read grows while it is read.
    """

    path: bytes
    name: str
    size: int
    state: str
    reason: str
    document: int | None
    outcome: str
    sentence: str
    page_count: int | None
    pages_read: int
    text_pages: int


@dataclass(frozen=True)
class Counts:
    """What a library holds. pages: as far as known; of those pages_indexed can be searched."""

    files: int
    documents: int
    pages: int
    pages_indexed: int
    pages_without_text: int
    hidden_pages: int
    waiting: int


_FILES = """
SELECT f.path, f.name, f.size, f.state, f.reason, d.id, coalesce(d.outcome, ''),
       coalesce(d.sentence, ''), d.page_count,
       (SELECT count(*) FROM pages p WHERE p.document = d.id), coalesce(d.text_pages, 0)
FROM files f LEFT JOIN documents d ON d.sha256 = f.sha256
ORDER BY f.name, f.path
"""
_COUNTS = """
SELECT (SELECT count(*) FROM files),
       (SELECT count(*) FROM documents),
       (SELECT coalesce(sum(max(coalesce(d.page_count, 0),
          (SELECT count(*) FROM pages p WHERE p.document = d.id))), 0) FROM documents d),
       (SELECT count(*) FROM pages),
       (SELECT count(*) FROM pages WHERE verdict != 'text'),
       (SELECT count(*) FROM pages WHERE hidden > 0),
       (SELECT count(*) FROM files WHERE state = 'waiting')
"""


@dataclass(frozen=True)
class PageVerdict:
    """What a page is: text, scan, garbled or empty; hidden: characters that no reader sees."""

    page: int
    verdict: str
    hidden: int


class PageGone(UserError):
    """A document was removed or read anew between a search and its answer."""

    def __init__(self) -> None:
        super().__init__(
            "The library changed meanwhile.", "A document was removed or is read anew.",
            "Search again.",
        )


class Library:
    """An open library; a context manager. Raises UserError, LibraryDamaged for damage."""

    def __init__(
        self, folder: Path, *, may_write: bool = False, migrations: Sequence[str] = MIGRATIONS
    ) -> None:
        """may_write makes a missing file and brings an older one to the newest version."""
        self.folder = folder
        self.path = folder / DATABASE
        if not self.path.is_file() and (folder / BACKUP).is_file():
            raise damaged(self.path, "it is gone, though its backup is there.")
        if not may_write and not self.path.is_file():
            raise UserError(
                "The library is empty.",
                f"{self.path} is not there: nothing was added yet.",
                "Add documents with `tunedesk library add`.",
            )
        with in_words(self.path):
            self.connection = connect(self.path, may_write=may_write)
            try:
                self._use(may_write, migrations)
            except BaseException:
                self.connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.connection.close()

    def files(self) -> list[StoredFile]:
        """Every file, by name."""
        with in_words(self.path):
            rows = self.connection.execute(_FILES).fetchall()
        return [StoredFile(*row) for row in rows]

    def counts(self) -> Counts:
        """The library in numbers."""
        with in_words(self.path):
            return Counts(*self.connection.execute(_COUNTS).fetchone())

    def waiting(self) -> int:
        """How many files are not read yet; `counts` also counts every page, which takes longer."""
        with in_words(self.path):
            return self.connection.execute(
                "SELECT count(*) FROM files WHERE state = 'waiting'"
            ).fetchone()[0]

    def page(self, document: int, number: int) -> Page:
        """A stored page. Raises PageGone, and LibraryDamaged if it is not what was written."""
        with in_words(self.path):
            row = self.connection.execute(
                f"SELECT {stored_page.COLUMNS} FROM pages WHERE document = ? AND number = ?",
                (document, number),
            ).fetchone()
        if row is None:
            raise PageGone
        try:
            return stored_page.page_of(row)
        except PageDamaged as error:
            raise damaged(self.path, f"{error} of document {document} changed.") from error

    def page_numbers(self, document: int) -> list[int]:
        """Of the stored pages of a document, in order."""
        with in_words(self.path):
            rows = self.connection.execute(
                "SELECT number FROM pages WHERE document = ? ORDER BY number", (document,)
            ).fetchall()
        return [number for (number,) in rows]

    def odd_pages(self) -> dict[int, list[PageVerdict]]:
        """The pages of each document that hold no text, or text that a reader does not see."""
        with in_words(self.path):
            rows = self.connection.execute(
                "SELECT document, number, verdict, hidden FROM pages "
                "WHERE verdict != 'text' OR hidden > 0 ORDER BY document, number"
            ).fetchall()
        found: dict[int, list[PageVerdict]] = {}
        for document, *verdict in rows:
            found.setdefault(document, []).append(PageVerdict(*verdict))
        return found

    def require_sound(self) -> None:
        """Check every page of the file. Raises LibraryDamaged."""
        if not is_sound(self.connection):
            raise damaged(self.path, "its check found broken pages.")

    def _use(self, may_write: bool, migrations: Sequence[str]) -> None:
        if not is_library(self.connection):
            raise damaged(self.path, "it is no library.")
        version = version_of(self.connection)
        if not version and (self.folder / BACKUP).is_file():
            raise damaged(self.path, "it is empty, though its backup is there.")
        if version > len(migrations):
            raise UserError(
                "The library was made by a newer version of the program.",
                f"{self.path} has version {version}; this program knows {len(migrations)}. "
                "Nothing was changed.",
                "Update the program.",
            )
        if version == len(migrations):
            return
        if not may_write:
            _bring_up_to_date(self.folder, migrations)
            return
        if version:
            keep_backup(self.connection, self.folder / f"before-version-{len(migrations)}.sqlite")
        migrate(self.connection, migrations)


def _bring_up_to_date(folder: Path, migrations: Sequence[str]) -> None:
    """What a reader does with an older file; the ingest lock keeps two of them apart."""
    from filelock import FileLock, Timeout  # only an old library needs it, and it loads asyncio

    try:
        with (
            FileLock(folder / LOCK).acquire(timeout=MIGRATION_S),
            Library(folder, may_write=True, migrations=migrations),
        ):
            return
    except Timeout:
        raise UserError(
            "The library is of an older version and in use.",
            "It must be brought up to date first, and another program is adding to it.",
            "Try again when that is finished (`tunedesk jobs`).",
        ) from None


def with_library[T](
    folder: Path, work: Callable[[Library], T], on_repair: Callable[[str], None]
) -> T:
    """Open a library for reading and do the work; once more on the last good copy if it is damaged.

    on_repair is told what was restored and where the damaged file is.
    """
    try:
        with Library(folder) as library:
            return work(library)
    except LibraryDamaged as damage:
        on_repair(restore(folder, damage))
    with Library(folder) as library:
        return work(library)


def opened_for_writing(folder: Path, on_repair: Callable[[str], None]) -> Library:
    """A library that was checked and may be changed; call it under its ingest lock.

    A damaged one is replaced by its last good copy, which on_repair is told.
    """
    try:
        library = Library(folder, may_write=True)
        try:
            library.require_sound()
        except BaseException:
            library.connection.close()
            raise
    except LibraryDamaged as damage:
        on_repair(put_back(folder, damage))
        return Library(folder, may_write=True)
    return library
