"""What a search asks of a library: profiles, candidates and postings, out of the SQLite file.

Postings are unpacked once and kept, the least recently used go first. A document that grows while
it is indexed is unpacked anew when its number of pages has changed.
"""

import json
import os
import zlib
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from sqlite3 import Connection

from desktop.documents import packed_postings
from desktop.documents.database import damaged, in_words
from desktop.documents.letters import letter_query
from desktop.documents.library import Library
from desktop.documents.postings import Postings
from desktop.documents.profiles import YEAR, Profile, name_words
from desktop.documents.query import Query
from desktop.documents.words import stem

ROWS_LOOKED_AT = 50_000
"""Chunks that one question may score; the commonest words are left out beyond (FACTS 3.7)."""
CACHE_BYTES = 512 << 20
_DOCUMENTS = """
SELECT d.id, f.name, min(f.path), d.front_size, d.whole_size, d.years,
       (SELECT count(*) FROM pages p WHERE p.document = d.id), d.page_count, d.text_pages,
       count(*)
FROM documents d JOIN files f ON f.sha256 = d.sha256
WHERE d.text_pages > 0 GROUP BY d.id ORDER BY d.id
"""
_COPIES = """
SELECT f.name, f.path FROM files f JOIN documents d ON d.sha256 = f.sha256
WHERE d.id = ? ORDER BY f.path
"""


@dataclass(frozen=True)
class Searchable:
    """A document with at least one page of text. pages: stored, of page_count if that is known.

    text_pages: those with text; years: how often its text holds each year, as JSON. files: that
    hold it; it goes by the first that is still there.
    """

    id: int
    name: str
    path: bytes
    front_size: int
    whole_size: int
    years: str
    pages: int
    page_count: int | None
    text_pages: int
    files: int

    @cached_property
    def name_words(self) -> dict[str, int]:
        """How often each word stands in the name."""
        words = name_words(self.name)
        return {word: words.count(word) for word in words}

    @cached_property
    def name_years(self) -> frozenset[int]:
        """The years that the name tells."""
        return frozenset(int(word) for word in self.name_words if YEAR.fullmatch(word))

    @cached_property
    def text_years(self) -> dict[int, int]:
        """How often the text holds each year."""
        return {int(year): count for year, count in json.loads(self.years).items()}


@dataclass(frozen=True)
class FileName:
    """A name that a document goes by: one of the files of its content. place: in the documents."""

    place: int
    name: str
    path: bytes


class PostingsCache:
    """Postings of documents, at most CACHE_BYTES of them; lives as long as its owner wants.

    Of the library that was asked last also its list of documents, until it changes.
    """

    def __init__(self) -> None:
        self._listed: tuple[tuple[Connection, int, int], list[Searchable]] | None = None
        self._held: OrderedDict[tuple[int, int], Postings] = OrderedDict()
        self._bytes = 0

    def documents(self, library: Library) -> list[Searchable]:
        """Every document with text: 7 ms of counting pages for a thousand documents."""
        base = library.connection
        with in_words(library.path):
            # What others committed, and what this connection wrote.
            (version,) = base.execute("PRAGMA data_version").fetchone()
            state = (base, version, base.total_changes)
            if self._listed is None or self._listed[0] != state:
                rows = base.execute(_DOCUMENTS).fetchall()
                listed = [_by_a_file_that_is_there(base, Searchable(*row)) for row in rows]
                try:
                    for each in listed:
                        _ = each.text_years
                except (ValueError, AttributeError) as error:
                    raise damaged(library.path, "the years of a document changed.") from error
                self._listed = (state, listed)
        return self._listed[1]

    def get(self, library: Library, document: Searchable) -> Postings:
        """The postings of all stored pages. Raises LibraryDamaged."""
        key = (document.id, document.pages)
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        made = self._held[key] = _unpacked(library, document.id)
        self._bytes += packed_postings.size_of(made)
        while self._bytes > CACHE_BYTES and len(self._held) > 1:
            self._bytes -= packed_postings.size_of(self._held.popitem(last=False)[1])
        return made


class LibraryDocuments:
    """`search.Documents` of an open library, as it is at this moment."""

    def __init__(self, library: Library, cache: PostingsCache) -> None:
        self._library = library
        self._base = library.connection
        self._cache = cache
        self.all = cache.documents(library)
        self._place = {document.id: at for at, document in enumerate(self.all)}

    def profiles(self, terms: Collection[str]) -> Sequence[Profile]:
        """The counts of these stems in every document."""
        whole: list[dict[str, int]] = [{} for _ in self.all]
        front: list[dict[str, int]] = [{} for _ in self.all]
        with in_words(self._library.path):
            for term in terms:
                for document, in_whole, in_front in self._base.execute(
                    "SELECT document, whole, front FROM document_terms WHERE stem = ?", (term,)
                ):
                    if (place := self._place.get(document)) is not None:
                        whole[place][term] = in_whole
                        front[place][term] = in_front
        return [
            _profile(document, *counts)
            for document, *counts in zip(self.all, front, whole, strict=True)
        ]

    def candidates(self, query: Query, limit: int) -> Sequence[int]:
        """The documents of the chunks that fit best by FTS5, and of the letters that do."""
        with in_words(self._library.path):
            found = self._by_words(query, limit)
            found += [document for _, document in self.by_letters(query.text, limit)]
        return [self._place[document] for document in found if document in self._place]

    def file_names(self) -> list[FileName]:
        """Every file of every document, copies too, by path."""
        with in_words(self._library.path):
            rows = self._base.execute(
                "SELECT d.id, f.name, f.path FROM files f JOIN documents d ON d.sha256 = f.sha256 "
                "ORDER BY f.path"
            ).fetchall()
        return [
            FileName(self._place[document], name, path)
            for document, name, path in rows if document in self._place
        ]  # fmt: skip

    def postings(self, document: int) -> Postings:
        """One document, prepared for ranking."""
        return self._cache.get(self._library, self.all[document])

    def by_letters(
        self, question: str, limit: int, only: int | None = None
    ) -> list[tuple[int, int]]:
        """(page number, document row) of the pages that hold the question's codes, or its words in
        a script without spaces; best first. only: of this document row."""
        wanted = letter_query(question)
        if not wanted:
            return []
        return self._base.execute(
            "SELECT p.number, p.document FROM letters JOIN pages p ON p.id = letters.rowid "
            "WHERE letters MATCH ? AND (? IS NULL OR p.document = ?) "
            "ORDER BY bm25(letters) LIMIT ?", (wanted, only, only, limit),
        ).fetchall()

    def _by_words(self, query: Query, limit: int) -> list[int]:
        telling = self._affordable(dict.fromkeys(query.telling))
        if not telling:
            return []
        wanted = " OR ".join(f'"{word}"' for word in telling)
        chunks = self._base.execute(
            "SELECT rowid FROM words WHERE words MATCH ? ORDER BY bm25(words) LIMIT ?",
            (wanted, limit),
        ).fetchall()
        marks = ", ".join("?" * len(chunks))
        return [row[0] for row in self._base.execute(
            f"SELECT DISTINCT p.document FROM chunks c JOIN pages p ON p.id = c.page "
            f"WHERE c.id IN ({marks})", [chunk for (chunk,) in chunks],
        )]  # fmt: skip

    def _affordable(self, telling: Collection[str]) -> list[str]:
        """The rarest words, as far as the chunks that hold them are few enough together."""
        held = [(self._held(word), word) for word in telling]
        taken, rows = [], 0
        for count, word in sorted(held):
            rows += count
            if rows > ROWS_LOOKED_AT:
                break
            taken.append(word)
        return taken

    def _held(self, word: str) -> int:
        row = self._base.execute("SELECT doc FROM held WHERE term = ?", (stem(word),)).fetchone()
        return row[0] if row else 0


def _by_a_file_that_is_there(base: Connection, document: Searchable) -> Searchable:
    """A document of several files under the first that exists: one may have been renamed.

    The files of most documents are never looked at: there may be thousands, on a slow drive.
    """
    if document.files == 1:
        return document
    for name, path in base.execute(_COPIES, (document.id,)):
        if os.path.exists(path):  # noqa: PTH110 - bytes, as the library keeps them
            return replace(document, name=name, path=path)
    return document


def _profile(document: Searchable, front: dict[str, int], whole: dict[str, int]) -> Profile:
    return Profile(
        name=document.name_words,
        front=front,
        front_size=document.front_size,
        whole=whole,
        whole_size=document.whole_size,
        years=document.text_years,
        name_years=document.name_years,
    )


def _unpacked(library: Library, document: int) -> Postings:
    with in_words(library.path):
        rows = library.connection.execute(
            "SELECT data FROM postings WHERE document = ? ORDER BY part", (document,)
        ).fetchall()
    try:
        return packed_postings.joined([packed_postings.unpack(data) for (data,) in rows])
    except (zlib.error, ValueError, KeyError) as error:
        raise damaged(library.path, f"the words of document {document} changed.") from error
