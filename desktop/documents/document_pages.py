"""The pages of one document on their way into its library, one transaction a batch.

With each batch goes all that search needs, so that the first pages of a long document can be found
while the others are read. Hold the library's ingest lock.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from converters.documents.page import Page, Verdict
from desktop.documents import packed_postings, stored_page
from desktop.documents.chunker import chunk_spans
from desktop.documents.database import in_words, transaction
from desktop.documents.file_names import shown_name
from desktop.documents.file_rows import READER, drop_document, set_content, settle
from desktop.documents.found_files import FoundFile
from desktop.documents.letters import odd_words
from desktop.documents.library import Library
from desktop.documents.postings import Postings
from desktop.documents.profiles import Profile
from desktop.documents.table_text import with_rows
from desktop.documents.tokens import PageText, Tokens


@dataclass(frozen=True)
class Ending:
    """How the reading of a document ended: see `StoredFile` and `converters.documents.outcome`."""

    outcome: str
    sentence: str
    page_count: int


@dataclass(frozen=True)
class ReadPage:
    """What is known of a stored page without its text."""

    number: int
    verdict: Verdict
    hidden: int


class DocumentPages:
    """A document that is being stored.

    read: the pages that an earlier, unfinished reading left. What an older program read stays
    until the first pages that this one reads take its place.
    """

    def __init__(self, library: Library, file: FoundFile, sha256: str) -> None:
        self._library = library
        self._base = library.connection
        self._file = file
        self._sha256 = sha256
        self._waiting: list[Page] = []
        with in_words(library.path):
            row = self._base.execute(
                "SELECT id, reader < ? FROM documents WHERE sha256 = ?", (READER, sha256)
            ).fetchone()
            is_old = bool(row and row[1])
            self._older: int | None = row[0] if is_old else None
            self._document: int | None = row[0] if row and not is_old else None
            rows = self._base.execute(
                "SELECT number, verdict, hidden FROM pages WHERE document = ? ORDER BY number",
                (self._document,),
            ).fetchall()
        self.read = [ReadPage(*row) for row in rows]

    @property
    def waiting(self) -> int:
        """Pages that are not stored yet."""
        return len(self._waiting)

    def add(self, page: Page) -> None:
        """Take the next page; `store` keeps it."""
        self._waiting.append(with_rows(page))

    def store(self, page_count: int | None) -> None:
        """Keep the pages that wait; they can be searched from here on."""
        with in_words(self._library.path), transaction(self._base):
            self._store(page_count)

    def finish(self, ending: Ending) -> None:
        """Keep the rest and mark the document as read and its file as indexed."""
        with in_words(self._library.path), transaction(self._base):
            document = self._store(ending.page_count)
            self._base.execute(
                "UPDATE documents SET is_complete = 1, outcome = ?, sentence = ? WHERE id = ?",
                (ending.outcome, ending.sentence, document),
            )
            settle(self._base, self._file, "indexed", sha256=self._sha256)

    def discard(self) -> None:
        """Remove what was stored of the document."""
        self._waiting.clear()
        if self._document is not None:
            with in_words(self._library.path), transaction(self._base):
                drop_document(self._base, self._document)
            self._document = None

    def _store(self, page_count: int | None) -> int:
        if self._document is None:
            self._document = self._new_document()
        if self._waiting:
            self._insert(self._document, self._waiting)
            self._waiting = []
        self._base.execute(
            "UPDATE documents SET page_count = coalesce(?, page_count) WHERE id = ?",
            (page_count, self._document),
        )
        return self._document

    def _new_document(self) -> int:
        if self._older is not None:
            drop_document(self._base, self._older)
            self._older = None
        cursor = self._base.execute(
            "INSERT INTO documents (sha256, reader) VALUES (?, ?)", (self._sha256, READER)
        )
        set_content(self._base, self._file.key, self._sha256)
        return int(cursor.lastrowid or 0)

    def _insert(self, document: int, pages: Sequence[Page]) -> None:
        texts: list[PageText] = []
        for page in pages:
            row = stored_page.row_of(page)
            texts.append(PageText(page.number, row[1]))
            self._insert_page(document, row)
        tokens = Tokens.of_pages(texts)
        profile = Profile.of(shown_name(self._file.key), tokens)
        is_first = pages[0].number == 1
        self._insert_terms(document, profile, is_first)
        self._base.execute(
            "INSERT INTO postings VALUES (?, ?, ?)",
            (document, pages[0].number, packed_postings.pack(Postings.of_tokens(tokens))),
        )
        self._count(document, profile, is_first, sum(page.verdict == "text" for page in pages))

    def _insert_page(self, document: int, row: tuple[object, ...]) -> None:
        marks = ", ".join("?" * (len(row) + 1))
        page = self._base.execute(
            f"INSERT INTO pages (document, {stored_page.COLUMNS}) VALUES ({marks})",
            (document, *row),
        ).lastrowid
        text = str(row[1])
        for start, end in chunk_spans(text):
            chunk = self._base.execute(
                "INSERT INTO chunks (page, start, end) VALUES (?, ?, ?)", (page, start, end)
            ).lastrowid
            self._base.execute(
                "INSERT INTO words (rowid, text) VALUES (?, ?)", (chunk, text[start:end])
            )
        if odd := odd_words(text):
            self._base.execute(
                "INSERT INTO letters (rowid, text) VALUES (?, ?)", (page, "\n".join(odd))
            )

    def _insert_terms(self, document: int, profile: Profile, is_first: bool) -> None:
        front = profile.front if is_first else {}
        self._base.executemany(
            "INSERT INTO document_terms VALUES (?, ?, ?, ?) ON CONFLICT (stem, document) "
            "DO UPDATE SET whole = whole + excluded.whole, front = front + excluded.front",
            sorted((stem, document, n, front.get(stem, 0)) for stem, n in profile.whole.items()),
        )

    def _count(self, document: int, profile: Profile, is_first: bool, text_pages: int) -> None:
        (years,) = self._base.execute(
            "SELECT years FROM documents WHERE id = ?", (document,)
        ).fetchone()
        summed = Counter({int(year): n for year, n in json.loads(years).items()})
        summed.update(profile.years)
        self._base.execute(
            "UPDATE documents SET text_pages = text_pages + ?, front_size = front_size + ?, "
            "whole_size = whole_size + ?, years = ? WHERE id = ?",
            (text_pages, profile.front_size if is_first else 0, profile.whole_size,
             json.dumps(summed), document),
        )  # fmt: skip
