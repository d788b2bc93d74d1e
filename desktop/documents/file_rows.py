"""Rows of files and documents changed inside of a transaction that somebody else holds."""

import sqlite3
from collections.abc import Iterable

from desktop.documents import packed_postings
from desktop.documents.found_files import FoundFile

READER = 2
"""Counted up when files that are set aside may be read by a newer program, or documents that
`schema` says so of are read better: since 2 the rows of their ruled tables have a place."""


_WITHOUT_TEXT = ("set aside", "encrypted")


def settle(
    base: sqlite3.Connection, file: FoundFile, state: str, reason: str = "", sha256: str = ""
) -> None:
    """Note what became of a file. sha256: its content, "" to leave what was known.

    A file that is set aside holds no document any more: what it said before is not what it is now.
    """
    if sha256 or state in _WITHOUT_TEXT:
        set_content(base, file.key, sha256 or None)
    base.execute(
        "UPDATE files SET state = ?, reason = ?, size = ?, mtime_ns = ?, reader = ? "
        "WHERE path = ?", (state, reason, file.size, file.mtime_ns, READER, file.key),
    )


def set_content(base: sqlite3.Connection, key: bytes, sha256: str | None) -> None:
    """Note what a file holds; the document that it held goes, unless another file holds it."""
    row = base.execute("SELECT sha256 FROM files WHERE path = ?", (key,)).fetchone()
    base.execute("UPDATE files SET sha256 = ? WHERE path = ?", (sha256, key))
    if row and row[0] and row[0] != sha256:
        drop_unheld(base, row[0])


def drop_unheld(base: sqlite3.Connection, sha256: str) -> None:
    """Remove the document of this content if no file holds it."""
    row = base.execute(
        "SELECT id FROM documents WHERE sha256 = ? "
        "AND NOT EXISTS (SELECT 1 FROM files WHERE sha256 = ?)", (sha256, sha256)
    ).fetchone()
    if row:
        drop_document(base, row[0])


def drop_document(base: sqlite3.Connection, document: int) -> None:
    """Remove a document and all that was made of it."""
    base.execute(
        "INSERT INTO words (words, rowid, text) "
        "SELECT 'delete', id, text FROM chunk_texts WHERE document = ?", (document,)
    )
    base.execute(
        "DELETE FROM letters WHERE rowid IN (SELECT id FROM pages WHERE document = ?)", (document,)
    )
    for stem in _stems(base, document):
        base.execute(
            "DELETE FROM document_terms WHERE stem = ? AND document = ?", (stem, document)
        )
    base.execute("DELETE FROM documents WHERE id = ?", (document,))


def _stems(base: sqlite3.Connection, document: int) -> Iterable[str]:
    parts = base.execute("SELECT data FROM postings WHERE document = ?", (document,)).fetchall()
    return {stem for (data,) in parts for stem in packed_postings.stems_of(data)}
