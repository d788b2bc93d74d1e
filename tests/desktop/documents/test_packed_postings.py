"""Packed postings, whole or in parts, are the postings of the pages."""

import zlib

import numpy as np
import pytest

from desktop.documents.packed_postings import joined, pack, stems_of, unpack
from desktop.documents.postings import Postings
from desktop.documents.search import rank_document
from desktop.documents.tokens import PageText

TEXTS = [
    "Annual report 2016\nNet sales 1,234.5 200\n", "", "Interest expense 70,000 12\nowl\n" * 90,
    "Ünïcode Ｆｕｌｌ ﬁne\nNet income 12\n", "the owl and the sales\n",
]
PAGES = [PageText(number, text) for number, text in enumerate(TEXTS, 1)]


def _table(postings: Postings, part: str) -> set[tuple[str, int, int]]:
    entries = getattr(postings, part).entries
    return {
        (stem, int(owner), int(count))
        for stem, number in postings.vocabulary.items()
        for owner, count in zip(*entries.of(number), strict=True)
    }


def _assert_same(found: Postings, expected: Postings) -> None:
    assert set(found.vocabulary) == set(expected.vocabulary)
    for name in ("numbers", "chunk_start", "chunk_end", "row_numbers"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    for part in ("chunks", "heads", "rows"):
        assert np.array_equal(getattr(found, part).page, getattr(expected, part).page)
        assert np.array_equal(getattr(found, part).size, getattr(expected, part).size)
        assert _table(found, part) == _table(expected, part)


@pytest.mark.parametrize("pages", [PAGES, PAGES[1:2], []])
def test_what_was_packed_comes_back(pages):
    made = Postings.of_document(pages)
    _assert_same(unpack(pack(made)), made)
    assert stems_of(pack(made)) == list(made.vocabulary)


@pytest.mark.parametrize("cuts", [[1], [2, 3], [1, 2, 3, 4]])
def test_parts_together_are_the_document(cuts):
    edges = [0, *cuts, len(PAGES)]
    parts = [Postings.of_document(PAGES[a:b]) for a, b in zip(edges, edges[1:], strict=False)]
    whole = Postings.of_document(PAGES)
    _assert_same(joined(parts), whole)
    for question in ("interest expense", "net sales 2016", "owl", "zebra"):
        assert rank_document(question, joined(parts)).found() == (
            rank_document(question, whole).found()
        )


def test_damaged_bytes_are_an_error():
    data = pack(Postings.of_document(PAGES))
    with pytest.raises((zlib.error, ValueError)):
        unpack(data[: len(data) // 2])
