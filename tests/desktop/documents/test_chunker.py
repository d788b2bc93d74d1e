from hypothesis import given
from hypothesis import strategies as st

from desktop.documents.chunker import (
    CHUNK_CHARACTERS,
    OVERLAP_CHARACTERS,
    chunk_spans,
    chunks_of,
    join_lines,
)

pages = st.lists(
    st.text(st.sampled_from("ab 1.é中\n\r\t"), max_size=900), max_size=12
).map("\n".join)  # fmt: skip


def test_lines_are_joined_up_to_1800_characters_with_the_last_lines_again():
    line = "x" * 99
    page = "\n".join([line] * 40)
    first, second, third = chunks_of(7, page)
    assert (first.page, first.start, first.end) == (7, 0, 1800)
    assert first.text == " ".join([line] * 18) + " "
    # 1,800 - 150 = 1,650: the first line from there on begins at 1,700.
    assert (second.start, second.end) == (1700, 3500)
    assert (third.start, third.end) == (3400, 3999)


def test_a_line_without_end_is_cut_after_a_word():
    page = "word " * 1000
    first, second = chunk_spans(page)[:2]
    assert (first, second[0]) == ((0, 1800), 1650)


def test_text_without_spaces_is_cut_anywhere_and_still_overlaps():
    assert chunk_spans("中" * 2000) == [(0, 1800), (1650, 2000)]


def test_a_page_without_a_visible_character_has_no_chunk():
    assert chunks_of(1, " \n\r\n\t") == []
    assert chunks_of(1, "") == []


@given(pages)
def test_a_chunk_is_its_span_of_the_page(page: str):
    for chunk in chunks_of(3, page):
        assert chunk.text == join_lines(page[chunk.start : chunk.end])
        assert len(chunk.text) == chunk.end - chunk.start <= CHUNK_CHARACTERS
        assert chunk.text.strip()


@given(pages)
def test_every_visible_character_is_in_a_chunk_and_chunks_advance(page: str):
    spans = chunk_spans(page)
    covered = {at for start, end in spans for at in range(start, end)}
    assert all(at in covered for at, char in enumerate(page) if not char.isspace())
    for (start, end), (next_start, next_end) in zip(spans, spans[1:], strict=False):
        assert start < next_start
        assert end < next_end
        assert end - next_start <= OVERLAP_CHARACTERS
