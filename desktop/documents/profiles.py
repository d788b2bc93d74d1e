"""What routing knows of a document: words of its name, of its first pages, of all; its years."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from desktop.documents.tokens import Tokens
from desktop.documents.words import stem

FRONT_PAGES, FRONT_CHARACTERS = 2, 3_000
YEAR = re.compile(r"(?:19|20)\d\d")
# "BestBuy2023" is also "Best", "Buy" and "2023"; "10K" stays whole.
_NAME_PARTS = re.compile(r"\d{4,}|[^\W\d_]*\d{1,3}[^\W\d_]+|[^\W\d_a-z][^\W\d_A-Z]+|[^\W\d_]+|\d+")


@dataclass(frozen=True)
class Profile:
    """Counts by stem, or by those stems that a search asked for; sizes count all words.

    name: of the file, without its ending. years: how often the text holds each year.
    """

    name: Mapping[str, int]
    front: Mapping[str, int]
    front_size: int
    whole: Mapping[str, int]
    whole_size: int
    years: Mapping[int, int]
    name_years: frozenset[int]

    @classmethod
    def of(cls, file_name: str, tokens: Tokens) -> "Profile":
        """Count the words of one document."""
        stems = list(tokens.vocabulary)
        whole = np.bincount(tokens.ids, minlength=len(stems))
        front = np.bincount(tokens.ids[_front(tokens)], minlength=len(stems))
        name = name_words(file_name)
        return cls(
            name={word: name.count(word) for word in name},
            front=_counts(stems, front),
            front_size=int(front.sum()),
            whole=_counts(stems, whole),
            whole_size=int(whole.sum()),
            years=_years(stems, whole),
            name_years=frozenset(int(word) for word in name if YEAR.fullmatch(word)),
        )


def name_words(file_name: str) -> list[str]:
    """Stems of the words of a file name, and of their parts where they are glued."""
    found: list[str] = []
    for word in re.findall(r"[^\W_]+", PurePath(file_name).stem):
        parts = _NAME_PARTS.findall(word)
        found += [word, *parts] if len(parts) > 1 else [word]
    return [stem(word) for word in found]


def _front(tokens: Tokens) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """(words,) true for the first 3,000 characters of the first two pages together."""
    inside = np.zeros(len(tokens.ids), bool)
    room = FRONT_CHARACTERS
    for index, page in enumerate(tokens.pages[:FRONT_PAGES]):
        words = tokens.page_slice(index)
        inside[words] = tokens.starts[words] < room
        room -= len(page.text)
    return inside


def _counts(stems: list[str], counts: np.ndarray[tuple[int], np.dtype[np.intp]]) -> dict[str, int]:
    return {stems[at]: int(counts[at]) for at in np.flatnonzero(counts)}


def _years(stems: list[str], counts: np.ndarray[tuple[int], np.dtype[np.intp]]) -> dict[int, int]:
    return {int(word): int(n) for word, n in zip(stems, counts, strict=True)
            if n and YEAR.fullmatch(word)}  # fmt: skip
