"""A collection in memory over a real SQLite FTS5 table: what search asks of a library."""

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from desktop.documents.chunker import chunks_of
from desktop.documents.postings import Postings
from desktop.documents.profiles import Profile
from desktop.documents.query import Query
from desktop.documents.tokens import PageText, Tokens


class FtsDocuments:
    """`search.Documents` over page texts by file name; use it as `with FtsDocuments(...)`."""

    def __init__(self, files: Mapping[str, Sequence[PageText]]) -> None:
        self.names = list(files)
        tokens = [Tokens.of_pages(pages) for pages in files.values()]
        self._profiles = [Profile.of(name, own) for name, own in zip(files, tokens, strict=True)]
        self._postings = [Postings.of_tokens(own) for own in tokens]
        self._table = FtsTable(
            (document, page.number, chunk.text)
            for document, pages in enumerate(files.values())
            for page in pages
            for chunk in chunks_of(page.number, page.text)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._table.close()

    def profiles(self, terms: Collection[str]) -> Sequence[Profile]:
        """All counts of all documents."""
        return self._profiles

    def candidates(self, query: Query, limit: int) -> Sequence[int]:
        """The documents of the best chunks by FTS5's own BM25."""
        return [document for document, _ in self._table.best(query.telling, limit)]

    def postings(self, document: int) -> Postings:
        """One document."""
        return self._postings[document]


class FtsTable:
    """Plain FTS5 with Porter stems: (document, page, text) rows, ranked by bm25()."""

    def __init__(self, rows: Iterable[tuple[int, int, str]]) -> None:
        self._base = sqlite3.connect(":memory:")
        self._base.execute(
            "CREATE VIRTUAL TABLE texts USING fts5"
            "(document UNINDEXED, page UNINDEXED, text, tokenize = 'porter unicode61')"
        )
        self._base.executemany("INSERT INTO texts VALUES (?, ?, ?)", rows)

    def close(self) -> None:
        """Free the table."""
        self._base.close()

    def best(
        self, words: Iterable[str], limit: int, document: int | None = None
    ) -> list[tuple[int, int]]:
        """(document, page) of the rows that hold any of the words, best first."""
        wanted = " OR ".join(f'"{word}"' for word in dict.fromkeys(words))
        if not wanted:
            return []
        inside = "" if document is None else f"AND document = {document}"
        return self._base.execute(
            f"SELECT document, page FROM texts WHERE texts MATCH ? {inside} "  # noqa: S608
            "ORDER BY bm25(texts) LIMIT ?",
            (wanted, limit),
        ).fetchall()
