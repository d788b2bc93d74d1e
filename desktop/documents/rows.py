"""S3 and S4 of the recipe: phrases found in the lines of a page (FACTS 3.7, step 4).

A line matches a phrase if it holds all its stems. It is worth more if it carries two numbers (a
row of a table) and less the longer it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from desktop.documents.entries import Ints
from desktop.documents.scope import Floats, Scope, rarity

Phrase = tuple[str, ...]
_BITS = 64
Masks = NDArray[np.uint64]


@dataclass(frozen=True)
class PhraseMatch:
    """Where a phrase stands. pages: (matches,) scope pages, ascending; values: of its best line."""

    phrase: Phrase
    pages: Ints
    values: Floats


def match_phrases(scope: Scope, phrases: Sequence[Phrase], few_numbers: float) -> list[PhraseMatch]:
    """The phrases that some line holds. phrases: stems, each once.

    few_numbers: the worth of a line with fewer than two numbers, against 1.
    """
    rows, masks, bits = _masks(scope, phrases)
    worth = np.where(scope.row_numbers[rows] >= 2, 1.0, few_numbers)
    size = scope.rows.size[rows]
    matches: list[PhraseMatch] = []
    for phrase in phrases:
        wanted = _mask_of([bits[word] for word in phrase], len(masks))
        hits = _holding(masks, wanted)
        if len(hits):
            values = worth[hits] * len(phrase) / np.sqrt(np.maximum(size[hits], len(phrase)))
            matches.append(_best_by_page(phrase, scope.rows.page[rows[hits]], values))
    return matches


def phrase_scores(scope: Scope, matches: Sequence[PhraseMatch]) -> Floats:
    """(pages,) the sum over the phrases, the rarer ones heavier."""
    scores = np.zeros(scope.n_pages)
    for match in matches:
        scores[match.pages] += match.values * rarity(scope.n_pages, len(match.pages))
    return scores


def _masks(
    scope: Scope, phrases: Sequence[Phrase]
) -> tuple[Ints, Masks, dict[str, int]]:
    """(rows that hold any stem, which stems each holds as bits, bit by stem)."""
    bits = {word: bit for bit, word in enumerate(dict.fromkeys(w for p in phrases for w in p))}
    masks = np.zeros((-(-len(bits) // _BITS), len(scope.rows.size)), np.uint64)
    for word, bit in bits.items():
        masks[bit // _BITS, scope.rows.holders(word)[0]] |= np.uint64(1 << bit % _BITS)
    rows = np.flatnonzero(masks.any(axis=0)).astype(np.int32)
    return rows, masks[:, rows], bits


def _mask_of(bits: Sequence[int], n_words: int) -> list[np.uint64]:
    mask = [0] * n_words
    for bit in bits:
        mask[bit // _BITS] |= 1 << bit % _BITS
    return list(map(np.uint64, mask))


def _holding(masks: Masks, wanted: Sequence[np.uint64]) -> NDArray[np.intp]:
    """The columns of `masks` with all the wanted bits."""
    holds = np.ones(masks.shape[1], bool)
    for mask, bits in zip(masks, wanted, strict=True):
        if bits:
            holds &= (mask & bits) == bits
    return np.flatnonzero(holds)


def _best_by_page(phrase: Phrase, pages: Ints, values: Floats) -> PhraseMatch:
    # Rows stand in the order of their pages.
    first = np.flatnonzero(np.concatenate(([True], pages[1:] != pages[:-1])))
    return PhraseMatch(phrase, pages[first], np.maximum.reduceat(values, first))
