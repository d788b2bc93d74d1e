"""What changes a library's list of files: they become known, are settled, are forgotten.

Each method is one transaction. Hold the library's ingest lock.
"""

from collections.abc import Collection, Sequence

from desktop.documents.database import in_words, transaction
from desktop.documents.file_names import shown_name
from desktop.documents.file_rows import READER, set_content, settle
from desktop.documents.found_files import FoundFile
from desktop.documents.library import Library

_SETTLED = ("indexed", "set aside", "encrypted")


class Additions:
    """The writing side of an open library."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._base = library.connection

    def register(self, files: Sequence[FoundFile], *, encrypted: bool = False) -> list[FoundFile]:
        """Note the files and return those that must be read: new, changed, or not finished.

        encrypted: those too that wait for a password.
        """
        todo = [file for file in files if self._must_read(file, encrypted)]
        with in_words(self._library.path), transaction(self._base):
            self._base.executemany(
                "INSERT INTO files (path, name, size, mtime_ns, state, reader) "
                "VALUES (?, ?, ?, ?, 'waiting', ?) ON CONFLICT (path) DO UPDATE SET "
                "size = excluded.size, mtime_ns = excluded.mtime_ns, state = 'waiting', "
                "reason = '', reader = excluded.reader",
                [(f.key, shown_name(f.key), f.size, f.mtime_ns, READER) for f in todo],
            )
        return todo

    def has_content(self, sha256: str) -> bool:
        """Whether the whole of this content was read already."""
        with in_words(self._library.path):
            return self._base.execute(
                "SELECT 1 FROM documents WHERE sha256 = ? AND is_complete AND reader >= ?",
                (sha256, READER),
            ).fetchone() is not None

    def settle(self, file: FoundFile, state: str, reason: str = "", sha256: str = "") -> None:
        """Note what became of a file. sha256: its content, "" to leave what was known."""
        with in_words(self._library.path), transaction(self._base):
            settle(self._base, file, state, reason, sha256)

    def forget(self, keys: Collection[bytes]) -> None:
        """Remove files, and documents that no other file holds."""
        with in_words(self._library.path), transaction(self._base):
            for key in keys:
                set_content(self._base, key, None)
                self._base.execute("DELETE FROM files WHERE path = ?", (key,))

    def _must_read(self, file: FoundFile, encrypted: bool) -> bool:
        row = self._base.execute(
            "SELECT f.size, f.mtime_ns, f.state, f.reader, d.is_complete AND d.reader >= ? "
            "FROM files f LEFT JOIN documents d ON d.sha256 = f.sha256 WHERE f.path = ?",
            (READER, file.key),
        ).fetchone()
        if row is None or (row[0], row[1]) != (file.size, file.mtime_ns) or row[2] not in _SETTLED:
            return True
        state, reader, is_complete = row[2:]
        if state == "indexed":
            return not is_complete
        return reader < READER or (encrypted and state == "encrypted")
