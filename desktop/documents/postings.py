"""One document prepared for ranking: counts by chunk, page head and row, rebuilt from its text.

Nothing here must survive a crash. The units are those of FACTS 3.7: chunks of 1,800 characters,
heads of 250, rows = text lines without their numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from desktop.documents.chunker import chunk_spans
from desktop.documents.entries import Entries, Ints
from desktop.documents.tokens import PageText, Tokens

HEAD_CHARACTERS = 250


@dataclass(frozen=True)
class Units:
    """Equal parts of a document. page: (units,) index of its page from 0, ascending.

    size: (units,) words; of rows, different stems. entries: the counts of the stems.
    """

    page: Ints
    size: Ints
    entries: Entries


@dataclass(frozen=True)
class Postings:
    """numbers: the page number of each page index. vocabulary: id by stem.

    chunk_start, chunk_end: (chunks,) characters in the page. row_numbers: (rows,) how many
    numbers stand in the line.
    """

    numbers: Ints
    vocabulary: dict[str, int]
    chunks: Units
    heads: Units
    rows: Units
    chunk_start: Ints
    chunk_end: Ints
    row_numbers: Ints

    @classmethod
    def of_document(cls, pages: Sequence[PageText]) -> "Postings":
        """Read and count the pages of one document."""
        return cls.of_tokens(Tokens.of_pages(pages))

    @classmethod
    def of_tokens(cls, tokens: Tokens) -> "Postings":
        """As `of_document`, for words that were read already."""
        numbers = np.array([page.number for page in tokens.pages], np.int32)
        spans = [(index, start, end) for index, page in enumerate(tokens.pages)
                 for start, end in chunk_spans(page.text)]  # fmt: skip
        page, start, end = np.array(spans, np.int32).reshape(-1, 3).T
        chunks = _chunks(tokens, page, start, end)
        rows, row_numbers = _rows(tokens)
        return cls(
            numbers, tokens.vocabulary, chunks, _heads(tokens), rows, start, end, row_numbers
        )


def _chunks(tokens: Tokens, page: Ints, start: Ints, end: Ints) -> Units:
    first, last = np.empty_like(page), np.empty_like(page)
    for index in range(len(tokens.pages)):
        here, words = page == index, tokens.page_slice(index)
        first[here] = words.start + np.searchsorted(tokens.starts[words], start[here])
        last[here] = words.start + np.searchsorted(tokens.starts[words], end[here])
    size = last - first
    # Chunks overlap: each takes its own run of words.
    runs = [tokens.ids[a:b] for a, b in zip(first, last, strict=True)]
    ids = np.concatenate([np.empty(0, np.int32), *runs])
    owners = np.repeat(np.arange(len(size), dtype=np.int32), size)
    entries = Entries.counted(ids, owners, len(tokens.vocabulary), len(size))
    return Units(page, size, entries)


def _heads(tokens: Tokens) -> Units:
    pages = np.arange(len(tokens.pages), dtype=np.int32)
    page = np.repeat(pages, np.diff(tokens.page_offsets))
    inside = tokens.starts < HEAD_CHARACTERS
    size = np.bincount(page[inside], minlength=len(pages)).astype(np.int32)
    terms = len(tokens.vocabulary)
    return Units(pages, size, Entries.counted(tokens.ids[inside], page[inside], terms, len(pages)))


def _rows(tokens: Tokens) -> tuple[Units, Ints]:
    """The rows, and how many numbers each held."""
    line, page = _lines(tokens)
    n_lines = len(page)
    worded = ~tokens.is_number[tokens.ids]
    entries = Entries.counted(tokens.ids[worded], line[worded], len(tokens.vocabulary), n_lines)
    size = np.bincount(entries.owners, minlength=n_lines).astype(np.int32)
    numbers = np.bincount(line[tokens.begins_number], minlength=n_lines).astype(np.int32)
    return Units(page, size, entries), numbers


def _lines(tokens: Tokens) -> tuple[Ints, Ints]:
    """(line of each word, page index of each line)."""
    of_word: list[Ints] = [np.empty(0, np.int32)]
    of_line: list[int] = []
    for index, page in enumerate(tokens.pages):
        ends = np.cumsum([len(line) + 1 for line in page.text.split("\n")])
        found = np.searchsorted(ends, tokens.starts[tokens.page_slice(index)], side="right")
        of_word.append((found + len(of_line)).astype(np.int32))
        of_line.extend([index] * len(ends))
    return np.concatenate(of_word), np.array(of_line, np.int32)
