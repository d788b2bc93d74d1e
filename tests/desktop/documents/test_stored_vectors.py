"""Vectors are kept by model and chunk, and go with their document."""

import numpy as np
import pytest

from desktop.documents.additions import Additions
from desktop.documents.library import Library
from desktop.documents.lookup import LibraryDocuments, PostingsCache
from desktop.documents.semantic import Passage
from desktop.documents.stored_vectors import StoredVectors
from tests.desktop.documents import stored

PAGES = ["The owl hunts at night.\nIt eats mice.\n", "The nest is in a barn.\n"]
FIRST = Passage(0, 1, 0, len(PAGES[0]) - 1)
SECOND = Passage(0, 2, 0, len(PAGES[1]) - 1)
VECTOR = np.array([[0.25, -1.5, 3.0], [1, 2, 4]], np.float16)


@pytest.fixture
def folder(tmp_path):
    return stored.library(tmp_path / "library", owl=PAGES)


def _of(library: Library) -> StoredVectors:
    return StoredVectors(library, LibraryDocuments(library, PostingsCache()).all)


def test_the_texts_are_those_of_the_chunks(folder):
    with Library(folder) as library:
        assert _of(library).texts([FIRST, SECOND]) == [
            "The owl hunts at night. It eats mice.", "The nest is in a barn."
        ]


def test_vectors_come_back_for_their_model_alone(folder):
    with Library(folder) as library:
        _of(library).store("a" * 64, {FIRST: VECTOR})
        found = _of(library).vectors("a" * 64, [FIRST, SECOND])
        assert list(found) == [FIRST]
        assert found[FIRST].dtype == np.float16
        assert np.array_equal(found[FIRST], VECTOR)
        assert _of(library).vectors("b" * 64, [FIRST]) == {}
        row = library.connection.execute("SELECT model, dimension FROM vectors").fetchone()
        assert row == ("a" * 64, 3)


def test_vectors_go_with_their_document(folder):
    with Library(folder) as library:
        vectors = _of(library)
        vectors.store("a" * 64, {FIRST: VECTOR})
        with Library(folder, may_write=True) as writing:
            Additions(writing).forget([b"/papers/owl.pdf"])
        assert library.connection.execute("SELECT count(*) FROM vectors").fetchone() == (0,)
        vectors.store("a" * 64, {FIRST: VECTOR})
        assert library.connection.execute("SELECT count(*) FROM vectors").fetchone() == (0,)
