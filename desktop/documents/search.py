"""Search in one document or in a whole collection: from a question to the best passages.

The collection is an interface: it lends what a store keeps. Documents are scored first, then the
pages of a pool of them; no document is cut off for its own score alone (FACTS 3.7, step 7).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from desktop.documents.packs import Pack
from desktop.documents.postings import Postings
from desktop.documents.profiles import Profile
from desktop.documents.query import Query
from desktop.documents.ranking import Question, Ranking, rank
from desktop.documents.routing import document_scores, routing_terms, stands_out
from desktop.documents.scope import Floats, Scope
from desktop.documents.why import By, Why, why

BEST_DOCUMENTS, BEST_CHUNKS = 5, 30
DOCUMENT_SHARE, DOCUMENT_SHARE_FLAT = 1.5, 0.7


class Documents(Protocol):
    """The documents of a collection, numbered from 0 in an order that holds for one search."""

    def profiles(self, terms: Collection[str]) -> Sequence[Profile]:
        """Of every document, at least the counts of these stems."""
        ...

    def candidates(self, query: Query, limit: int) -> Sequence[int]:
        """The documents of the `limit` chunks of the whole collection that fit best."""
        ...

    def postings(self, document: int) -> Postings:
        """One document, prepared for ranking."""
        ...


@dataclass(frozen=True)
class Hit:
    """A passage: characters start to end of a page (from 1) of a document.

    score: comparable within one search. why: what speaks for the page.
    """

    document: int
    page: int
    start: int
    end: int
    score: float
    why: Why


@dataclass(frozen=True)
class Found:
    """hits: best first. searched: the documents whose pages were ranked, best first."""

    hits: tuple[Hit, ...]
    searched: tuple[int, ...]


@dataclass(frozen=True)
class Ranked:
    """Every page of a pool of documents with its score.

    pool: document number of each document of the scope. fit: (documents of the pool,) from 0 to 1.
    scores: (pages,). by: what found each page, where it was not words alone.
    """

    question: Question
    ranking: Ranking
    pool: tuple[int, ...]
    fit: Floats
    scores: Floats
    by: Mapping[int, By] = field(default_factory=dict)

    @property
    def worth(self) -> NDArray[np.bool_]:
        """(pages,) true for those that can be hits: an empty page has nothing to show."""
        scope = self.ranking.scope
        has_chunk = np.bincount(scope.chunks.page, minlength=scope.n_pages) > 0
        return has_chunk & (self.ranking.default > 0)

    def found(self, k: int = 10) -> Found:
        """The k best pages that have something to show."""
        order = np.argsort(-self.fit, kind="stable").tolist()
        worth = self.worth
        best = np.argsort(-np.where(worth, self.scores, -np.inf), kind="stable")[:k].tolist()
        hits = tuple(self._hit(page) for page in best if worth[page])
        return Found(hits, tuple(self.pool[at] for at in order))

    def best_chunk(self, page: int) -> int:
        """The chunk of a page of the scope that fits best; the page must have one."""
        chunks = np.flatnonzero(self.ranking.scope.chunks.page == page)
        return int(chunks[np.argmax(self.ranking.chunks[chunks])])

    def _hit(self, page: int) -> Hit:
        scope, chunk = self.ranking.scope, self.best_chunk(page)
        return Hit(
            document=self.pool[int(scope.document[page])],
            page=int(scope.number[page]),
            start=int(scope.chunk_start[chunk]),
            end=int(scope.chunk_end[chunk]),
            score=float(self.scores[page]),
            why=why(self.ranking, self.question, page, self.by.get(page, "words")),
        )


def rank_document(question: str, document: Postings, packs: Sequence[Pack] = ()) -> Ranked:
    """The pages of one document, which is number 0."""
    asked = Question.of(question, packs)
    ranking = rank(Scope.of([document]), asked)
    return Ranked(asked, ranking, (0,), np.ones(1), ranking.default)


def rank_collection(
    question: str,
    documents: Documents,
    packs: Sequence[Pack] = (),
    only: Collection[int] = (),
) -> Ranked:
    """The pages of the likely documents of a collection. only: those that a person pinned."""
    asked = Question.of(question, packs)
    profiles = documents.profiles(routing_terms(asked.query))
    fit = document_scores(asked.query, profiles)
    pool = sorted(set(only)) or _pool(fit, documents.candidates(asked.query, BEST_CHUNKS))
    scope = Scope.of([documents.postings(number) for number in pool])
    ranking = rank(scope, asked)
    share = DOCUMENT_SHARE if stands_out(asked.query, profiles, fit) else DOCUMENT_SHARE_FLAT
    scores = ranking.default + share * fit[pool][scope.document]
    return Ranked(asked, ranking, tuple(pool), fit[pool], scores)


def _pool(fit: Floats, candidates: Sequence[int]) -> list[int]:
    best = np.argsort(-fit, kind="stable")[:BEST_DOCUMENTS]
    return sorted({*best.tolist(), *candidates})
