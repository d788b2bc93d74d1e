"""The pages of a scope ranked for a question: the recipe of FACTS 3.7, steps 3 to 5.

S1 chunks, S2 page heads, S3 rows of the packs, S4 rows of the question; each divided by its
largest value. Knows neither files nor which documents are worth a look.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from desktop.documents.packs import Expansion, Pack, expand
from desktop.documents.query import Query, clean
from desktop.documents.rows import PhraseMatch, match_phrases, phrase_scores
from desktop.documents.scope import Floats, Scope, scaled

K1, B = 1.2, 0.75
PACK_SHARE = 0.65
NEIGHBOUR = 0.1
FEW_NUMBERS_PACK, FEW_NUMBERS_QUESTION = 0.35, 0.5


@dataclass(frozen=True)
class Question:
    """A cleaned question and what the packs add to it."""

    query: Query
    expansion: Expansion

    @classmethod
    def of(cls, text: str, packs: Sequence[Pack] = ()) -> "Question":
        """Clean the text and let the packs expand it."""
        query = clean(text)
        return cls(query, expand(query, packs))

    @property
    def terms(self) -> tuple[str, ...]:
        """Stems of the question and of the packs, each once."""
        return self.query.terms + self.added_terms

    @property
    def added_terms(self) -> tuple[str, ...]:
        """Stems of the packs that the question does not hold itself."""
        return tuple(term for term in self.expansion.terms if term not in self.query.terms)


@dataclass(frozen=True)
class Ranking:
    """default: (pages,) the score of each page, 0 to about 2.4. chunks: (chunks,) BM25."""

    scope: Scope
    default: Floats
    chunks: Floats
    question_rows: list[PhraseMatch]
    pack_rows: list[PhraseMatch]


def rank(scope: Scope, question: Question) -> Ranking:
    """Score every page of the scope."""
    chunks = scope.chunks.bm25(question.query.terms, K1, B)
    question_rows = match_phrases(scope, question.query.phrases, FEW_NUMBERS_QUESTION)
    s4 = scaled(phrase_scores(scope, question_rows))
    heads = scope.heads.bm25(question.query.terms, K1, B)
    s1, s2 = _by_page(scope, chunks), scaled(heads)
    general = 2 / 1.8 * _with_neighbours(scope, scaled(s1) + 0.3 * s2 + 0.5 * s4)
    if not question.expansion.phrases:
        # Nothing of the packs applies: the same as with packs switched off.
        return Ranking(scope, general, chunks, question_rows, [])
    chunks = scope.chunks.bm25(question.added_terms, K1, B, chunks)
    phrases = [phrase.stems for phrase in question.expansion.phrases]
    pack_rows = match_phrases(scope, phrases, FEW_NUMBERS_PACK)
    s1, s2 = _by_page(scope, chunks), scope.heads.bm25(question.added_terms, K1, B, heads)
    s3 = scaled(phrase_scores(scope, pack_rows))
    pack = 2 / 3 * _with_neighbours(scope, scaled(s1) + 0.5 * scaled(s2) + s3 + 0.5 * s4)
    default = (1 - PACK_SHARE) * general + PACK_SHARE * pack
    return Ranking(scope, default, chunks, question_rows, pack_rows)


def _by_page(scope: Scope, chunks: Floats) -> Floats:
    """(pages,) the best chunk of each page."""
    pages = np.zeros(scope.n_pages)
    np.maximum.at(pages, scope.chunks.page, chunks)
    return pages


def _with_neighbours(scope: Scope, scores: Floats) -> Floats:
    """Add a tenth of the page before and of the page after, within a document."""
    together = scope.document[1:] == scope.document[:-1]
    summed = scores.copy()
    summed[1:] += NEIGHBOUR * scores[:-1] * together
    summed[:-1] += NEIGHBOUR * scores[1:] * together
    return summed
