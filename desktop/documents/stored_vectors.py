"""The vectors of a library's chunks: `semantic.Passages` over its SQLite file.

Float16, beside the digest of the model that made them; another model's do not count. They go with
their chunk, and can be made again.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing

import numpy as np

from converters.errors import UserError
from desktop.documents.chunker import join_lines
from desktop.documents.database import connect, in_words, transaction
from desktop.documents.library import Library
from desktop.documents.lookup import Searchable
from desktop.documents.semantic import Half, Passage

_CHUNK = (
    "SELECT c.id FROM chunks c JOIN pages p ON p.id = c.page "
    "WHERE p.document = ? AND p.number = ? AND c.start = ? AND c.end = ?"
)


class StoredVectors:
    """Of an open library; documents: as the search that is asked numbers them.

    not_kept: why new vectors could not be kept, "" if they could; search goes on without.
    """

    def __init__(self, library: Library, documents: Sequence[Searchable]) -> None:
        self._library = library
        self._documents = documents
        self.not_kept = ""

    def texts(self, passages: Sequence[Passage]) -> list[str]:
        """The joined text of each passage. Raises LibraryDamaged."""
        texts: list[str] = []
        for passage in passages:
            document = self._documents[passage.document].id
            text = self._library.page(document, passage.page).text
            texts.append(join_lines(text[passage.start : passage.end]))
        return texts

    def vectors(self, digest: str, passages: Sequence[Passage]) -> Mapping[Passage, Half]:
        """The stored vectors of the model with that digest, as far as there are."""
        found: dict[Passage, Half] = {}
        with in_words(self._library.path):
            for passage in passages:
                row = self._library.connection.execute(
                    f"SELECT vector, dimension FROM vectors WHERE model = ? AND chunk = ({_CHUNK})",
                    (digest, *self._place(passage)),
                ).fetchone()
                if row and row[0] and len(row[0]) % (2 * row[1]) == 0:
                    numbers = np.frombuffer(row[0], "<f2").astype(np.float16)
                    found[passage] = numbers.reshape(-1, row[1])
        return found

    def store(self, digest: str, vectors: Mapping[Passage, Half]) -> None:
        """Keep vectors; those of chunks that are gone meanwhile are passed over.

        What keeps the library from being written is told once (`not_kept`), not waited for again.
        """
        if self.not_kept:
            return
        try:
            self._insert(digest, vectors)
        except (UserError, OSError) as error:
            self.not_kept = str(error)

    def _insert(self, digest: str, vectors: Mapping[Passage, Half]) -> None:
        path = self._library.path
        with in_words(path), closing(connect(path, may_write=True)) as base, transaction(base):
            base.executemany(
                f"INSERT OR REPLACE INTO vectors SELECT id, ?, ?, ? FROM ({_CHUNK})",
                [(digest, vector.shape[1], vector.astype("<f2").tobytes(), *self._place(passage))
                 for passage, vector in vectors.items()],
            )  # fmt: skip

    def _place(self, passage: Passage) -> tuple[int, int, int, int]:
        document = self._documents[passage.document].id
        return document, passage.page, passage.start, passage.end
