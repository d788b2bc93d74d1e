"""Search in one document or in a whole collection: from a question to the best passages.

The collection is an interface: it lends what a store keeps. Documents are scored first, then the
pages of a pool of them; no document is cut off for its own score alone (FACTS 3.7, step 7).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from desktop.documents.packs import Pack
from desktop.documents.postings import Postings
from desktop.documents.profiles import Profile
from desktop.documents.query import Query
from desktop.documents.ranking import Question, Ranking, rank
from desktop.documents.routing import document_scores, routing_terms, stands_out
from desktop.documents.scope import Floats, Scope
from desktop.documents.why import Why, why

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


def search_document(
    question: str, document: Postings, packs: Sequence[Pack] = (), k: int = 10
) -> Found:
    """The best pages of one document, which is number 0."""
    asked, scope = Question.of(question, packs), Scope.of([document])
    ranking = rank(scope, asked)
    return Found(_hits(ranking, asked, ranking.default, [0], k), (0,))


def search_collection(
    question: str,
    documents: Documents,
    packs: Sequence[Pack] = (),
    k: int = 10,
    only: Collection[int] = (),
) -> Found:
    """The best pages of a collection. only: the documents that a person pinned."""
    asked = Question.of(question, packs)
    profiles = documents.profiles(routing_terms(asked.query))
    fit = document_scores(asked.query, profiles)
    pool = sorted(set(only)) or _pool(fit, documents.candidates(asked.query, BEST_CHUNKS))
    scope = Scope.of([documents.postings(number) for number in pool])
    ranking = rank(scope, asked)
    share = DOCUMENT_SHARE if stands_out(asked.query, profiles, fit) else DOCUMENT_SHARE_FLAT
    scores = ranking.default + share * fit[pool][scope.document]
    searched = sorted(pool, key=lambda number: -fit[number])
    return Found(_hits(ranking, asked, scores, pool, k), tuple(searched))


def _pool(fit: Floats, candidates: Sequence[int]) -> list[int]:
    best = np.argsort(-fit, kind="stable")[:BEST_DOCUMENTS]
    return sorted({*best.tolist(), *candidates})


def _hits(
    ranking: Ranking, question: Question, scores: Floats, pool: Sequence[int], k: int
) -> tuple[Hit, ...]:
    """The k best pages that hold something of the question."""
    scope, hits = ranking.scope, []
    # Without a chunk there is nothing to show: an empty page lives on its neighbours' scores.
    worth = (ranking.default > 0) & (np.bincount(scope.chunks.page, minlength=scope.n_pages) > 0)
    for page in np.argsort(-np.where(worth, scores, -np.inf), kind="stable")[:k].tolist():
        if not worth[page]:
            break
        chunks = np.flatnonzero(scope.chunks.page == page)
        best = int(chunks[np.argmax(ranking.chunks[chunks])])
        hits.append(Hit(
            document=pool[int(scope.document[page])],
            page=int(scope.number[page]),
            start=int(scope.chunk_start[best]),
            end=int(scope.chunk_end[best]),
            score=float(scores[page]),
            why=why(ranking, question, page),
        ))  # fmt: skip
    return tuple(hits)
