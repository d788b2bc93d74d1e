import numpy as np

from desktop.documents.chunker import chunk_spans
from desktop.documents.postings import Postings, Units
from desktop.documents.tokens import Tokens
from desktop.documents.words import stems
from tests.desktop.documents.texts import pages


def counts(units: Units, postings: Postings, term: str) -> dict[int, int]:
    owners, found = units.entries.of(postings.vocabulary[term])
    return dict(zip(owners.tolist(), found.tolist(), strict=True))


def test_words_are_counted_by_chunk_with_the_overlap_in_both():
    line = "alpha " * 20
    text = "\n".join([line] * 30 + ["omega"])
    own = Postings.of_document(pages("beta", text))
    spans = [(0, 0, 4), *((1, start, end) for start, end in chunk_spans(text))]
    places = zip(own.chunks.page, own.chunk_start, own.chunk_end, strict=True)
    assert [tuple(map(int, place)) for place in places] == spans
    expected = {at: stems(text[start:end]).count("alpha")
                for at, (page, start, end) in enumerate(spans) if page}  # fmt: skip
    assert counts(own.chunks, own, "alpha") == expected
    assert sum(expected.values()) > 600
    assert own.chunks.size.tolist() == [1, *expected.values()][:-1] + [expected[len(spans) - 1] + 1]
    assert counts(own.chunks, own, "omega") == {len(spans) - 1: 1}


def test_the_head_is_the_first_250_characters():
    own = Postings.of_document(pages("Title page. " + "x" * 238 + " late", "second"))
    assert own.heads.size.tolist() == [3, 1]
    assert counts(own.heads, own, "titl") == {0: 1}
    assert counts(own.heads, own, "late") == {}


def test_a_row_is_a_line_without_its_numbers():
    own = Postings.of_document(pages("Net sales $ 1,234.5 2,001 (3)\n\n10-K sales sales", "7 8"))
    assert own.rows.page.tolist() == [0, 0, 0, 1]
    # Different stems: net, sale; nothing; k, sale; nothing.
    assert own.rows.size.tolist() == [2, 0, 2, 0]
    assert own.row_numbers.tolist() == [3, 0, 1, 2]
    assert counts(own.rows, own, "sale") == {0: 1, 2: 2}
    assert counts(own.rows, own, "2") == {}


def test_numbers_with_points_and_commas_are_one():
    tokens = Tokens.of_pages(pages("1,234.5 and 6. 7"))
    assert tokens.begins_number.tolist() == [True, False, False, False, True, True]
    assert Tokens.of_pages(pages("fig.3,x")).begins_number.tolist() == [False, True, False]


def test_page_numbers_are_kept_and_empty_pages_have_no_chunk():
    own = Postings.of_document(pages("one", "", "three"))
    assert own.numbers.tolist() == [1, 2, 3]
    assert own.chunks.page.tolist() == [0, 2]


def test_a_document_without_words_or_pages_has_postings():
    for texts in ((), ("",), ("?!\n",)):
        own = Postings.of_document(pages(*texts))
        assert own.vocabulary == {}
        assert own.numbers.tolist() == list(range(1, len(texts) + 1))
        assert own.chunks.entries.owners.dtype == np.int32
