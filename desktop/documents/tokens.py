"""The words of a document as numbers: read once, then counted by chunk, head, row and document.

Knows places, not meaning: where each word stands on which page, and which words are numbers.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from desktop.documents.words import WORD, stem

_AROUND_WORD = re.compile(f"({WORD.pattern})")
Ints = NDArray[np.int32]


@dataclass(frozen=True)
class PageText:
    """What ranking knows of a page. number: counted from 1."""

    number: int
    text: str


@dataclass(frozen=True)
class Tokens:
    """The words of all pages in order.

    vocabulary: id by stem. ids, starts: (words,) int32, the stem and the first character within
    the page. begins_number: (words,) bool, true for the first word of "1,234.5". is_number:
    (vocabulary,) bool. page_offsets: (pages + 1,) int32, the first word of each page.
    """

    pages: tuple[PageText, ...]
    vocabulary: dict[str, int]
    ids: Ints
    starts: Ints
    begins_number: NDArray[np.bool_]
    is_number: NDArray[np.bool_]
    page_offsets: Ints

    @classmethod
    def of_pages(cls, pages: Sequence[PageText]) -> "Tokens":
        """Read the pages, in order."""
        numbers = _Vocabulary()
        ids: list[int] = []
        starts, glued, offsets = [np.empty(0, np.int32)], [np.empty(0, bool)], [0]
        for page in pages:
            pieces = _AROUND_WORD.split(page.text)
            lengths = np.fromiter(map(len, pieces), np.int32, len(pieces))
            starts.append(np.cumsum(lengths, dtype=np.int32)[:-1:2])
            glued.append(np.fromiter((gap in (".", ",") for gap in pieces[:-1:2]), bool))
            ids.extend(map(numbers.__getitem__, pieces[1::2]))
            offsets.append(len(ids))
        return cls(tuple(pages), numbers.by_stem, *_arrays(ids, starts, glued, numbers.by_stem),
                   np.array(offsets, np.int32))  # fmt: skip

    def page_slice(self, index: int) -> slice:
        """Where the words of the page with that index stand."""
        return slice(int(self.page_offsets[index]), int(self.page_offsets[index + 1]))


class _Vocabulary(dict[str, int]):
    """Ids by word as written; words of one stem share theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.by_stem: dict[str, int] = {}

    def __missing__(self, word: str) -> int:
        found = self[word] = self.by_stem.setdefault(stem(word), len(self.by_stem))
        return found


def _arrays(
    id_list: list[int], starts: list[Ints], glued: list[NDArray[np.bool_]], by_stem: dict[str, int]
) -> tuple[Ints, Ints, NDArray[np.bool_], NDArray[np.bool_]]:
    ids = np.array(id_list, np.int32)
    is_number = np.fromiter(map(str.isdigit, by_stem), bool, len(by_stem))
    digits = is_number[ids]
    before = np.concatenate(([False], digits[:-1]))
    # "1,234.5" is one number: its later parts follow digits and a lone point or comma.
    begins = digits & ~(before & np.concatenate(glued))
    return ids, np.concatenate(starts), begins, is_number
