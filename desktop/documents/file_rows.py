"""Rows of files and documents changed inside of a transaction that somebody else holds."""

import sqlite3
from collections.abc import Iterable

from desktop.documents import packed_postings
from desktop.documents.found_files import FoundFile

READER = 1
"""Counted up when files that are set aside may be read by a newer program."""


def settle(
    base: sqlite3.Connection, file: FoundFile, state: str, reason: str = "", sha256: str = ""
) -> None:
    """Note what became of a file. sha256: its content, "" to leave what was known."""
    base.execute(
        "UPDATE files SET state = ?, reason = ?, size = ?, mtime_ns = ?, reader = ?, "
        "sha256 = coalesce(nullif(?, ''), sha256) WHERE path = ?",
        (state, reason, file.size, file.mtime_ns, READER, sha256, file.key),
    )
    if sha256:
        drop_orphans(base)


def drop_orphans(base: sqlite3.Connection) -> None:
    """Remove documents that no file holds any more."""
    rows = base.execute(
        "SELECT id FROM documents WHERE sha256 NOT IN "
        "(SELECT sha256 FROM files WHERE sha256 IS NOT NULL)"
    ).fetchall()
    for (document,) in rows:
        drop_document(base, document)


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
