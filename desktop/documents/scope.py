"""The documents that one search looks at, side by side: its numbers are counted over all of them.

BM25: Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009, with the inverse
document frequency log(1 + (n - df + .5) / (df + .5)).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from desktop.documents.entries import Ints
from desktop.documents.postings import Postings, Units

Floats = NDArray[np.float64]


def rarity(n: int, df: int) -> float:
    """The weight of something that `df` of `n` units hold."""
    return float(np.log(1 + (n - df + 0.5) / (df + 0.5)))


def scaled(scores: Floats) -> Floats:
    """Divided by the largest, so that it is 1; zeros stay zeros."""
    largest = float(scores.max(initial=0.0))
    return scores / largest if largest > 0 else scores


class TermNumbers(dict[str, list[tuple[int, int]]]):
    """By stem: (index of a document, the stem's number in it), looked up at the first question."""

    def __init__(self, documents: Sequence[Postings]) -> None:
        super().__init__()
        self._vocabularies = [document.vocabulary for document in documents]

    def __missing__(self, term: str) -> list[tuple[int, int]]:
        found = self[term] = [
            (at, ids[term]) for at, ids in enumerate(self._vocabularies) if term in ids
        ]
        return found


@dataclass(frozen=True)
class ScopeUnits:
    """The units of all documents, numbered through.

    page: (units,) index of the page in the scope; size: (units,) words. parts: of each document
    its first unit, its units and its vocabulary. numbers: of stems, for all units of the scope.
    """

    page: Ints
    size: Ints
    parts: list[tuple[int, Units, dict[str, int]]]
    numbers: TermNumbers

    def holders(self, term: str) -> tuple[Ints, Ints]:
        """(units, counts) of a stem, ascending."""
        units: list[Ints] = []
        counts: list[Ints] = []
        for at, number in self.numbers[term]:
            first, part, _ = self.parts[at]
            owners, found = part.entries.of(number)
            units.append(owners + np.int32(first))
            counts.append(found)
        return _joined(units), _joined(counts)

    def bm25(
        self, terms: Iterable[str], k1: float, b: float, before: Floats | None = None
    ) -> Floats:
        """(units,) the sum over the terms, each with weight 1. before: the sum over other terms."""
        n = len(self.size)
        scores = np.zeros(n) if before is None else before.copy()
        mean = float(self.size.mean()) if n else 0.0
        norm = k1 * (1 - b + b * self.size / max(mean, 1e-9))
        for term in terms:
            units, counts = self.holders(term)
            if len(units):
                scores[units] += rarity(n, len(units)) * counts * (k1 + 1) / (counts + norm[units])
        return scores


@dataclass(frozen=True)
class Scope:
    """document, number: (pages,) index of the document, and the page number in it.

    chunk_start, chunk_end: (chunks,) characters in the page. row_numbers: (rows,).
    """

    document: Ints
    number: Ints
    chunks: ScopeUnits
    heads: ScopeUnits
    rows: ScopeUnits
    chunk_start: Ints
    chunk_end: Ints
    row_numbers: Ints

    @classmethod
    def of(cls, documents: Sequence[Postings]) -> "Scope":
        """Put documents side by side."""
        numbers = TermNumbers(documents)
        lengths = [len(each.numbers) for each in documents]
        return cls(
            np.repeat(np.arange(len(documents), dtype=np.int32), lengths),
            _joined([each.numbers for each in documents]),
            _side_by_side(documents, [each.chunks for each in documents], numbers),
            _side_by_side(documents, [each.heads for each in documents], numbers),
            _side_by_side(documents, [each.rows for each in documents], numbers),
            _joined([each.chunk_start for each in documents]),
            _joined([each.chunk_end for each in documents]),
            _joined([each.row_numbers for each in documents]),
        )

    @property
    def n_pages(self) -> int:
        """Pages of all documents."""
        return len(self.number)


def _side_by_side(
    documents: Sequence[Postings], parts: Sequence[Units], numbers: TermNumbers
) -> ScopeUnits:
    pages: list[Ints] = []
    placed: list[tuple[int, Units, dict[str, int]]] = []
    first_page, first_unit = 0, 0
    for document, part in zip(documents, parts, strict=True):
        pages.append(part.page + np.int32(first_page))
        placed.append((first_unit, part, document.vocabulary))
        first_page += len(document.numbers)
        first_unit += len(part.size)
    return ScopeUnits(_joined(pages), _joined([part.size for part in parts]), placed, numbers)


def _joined(parts: Sequence[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.empty(0, np.int32)
