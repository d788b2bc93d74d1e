"""The semantic slot: pages re-ordered by the meaning of their passages, after the words' result.

FACTS 3.7, step 9: z(score) + 0.6 clip(z(cosine), -1.5, 3) over the pages that words found. The
vectors are those of pieces of search's own chunks, so that each belongs to a passage that can be
shown: embedding models see the first few hundred words of a text, and small ones blur long ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from desktop.documents.embedder import Embedder
from desktop.documents.ranking import K1, B
from desktop.documents.scope import Floats
from desktop.documents.search import Ranked
from desktop.documents.why import By

CANDIDATE_CHUNKS = 40
KEPT_TOGETHER = 16  # chunks: what is cut off loses at most so many vectors
PIECE_CHARACTERS, PIECE_OVERLAP = 1_000, 100
Half = NDArray[np.float16]
"""(pieces, dimension): the vectors of one passage."""
MEANING_SHARE, LOWEST, HIGHEST = 0.6, -1.5, 3.0


@dataclass(frozen=True)
class Passage:
    """Characters start to end of a page of a document, as in a `Hit`."""

    document: int
    page: int
    start: int
    end: int


class Passages(Protocol):
    """What a library lends to the semantic slot."""

    def texts(self, passages: Sequence[Passage]) -> list[str]:
        """The joined text of each passage."""
        ...

    def vectors(self, digest: str, passages: Sequence[Passage]) -> Mapping[Passage, Half]:
        """The stored vectors of the model with that digest, as far as there are."""
        ...

    def store(self, digest: str, vectors: Mapping[Passage, Half]) -> None:
        """Keep vectors, float16, beside digest and dimension."""
        ...


async def with_meaning(ranked: Ranked, passages: Passages, embedder: Embedder) -> Ranked:
    """The ranking with meaning added; the same if words found nothing.

    Only vectors that are not stored yet are made. Raises what the embedder raises: show the
    lexical result first and keep it then.
    """
    chunks = candidate_chunks(ranked)
    if not chunks:
        return ranked
    asked = (await embedder.questions([ranked.question.query.text]))[0]
    wanted = [passage_of(ranked, chunk) for chunk in chunks]
    vectors = await _vectors(wanted, passages, embedder, len(asked))
    cosines = np.array([float((vectors[each].astype(np.float32) @ asked).max()) for each in wanted])
    return add_cosines(ranked, chunks, cosines)


def candidate_chunks(ranked: Ranked) -> list[int]:
    """Chunks of the scope worth a vector: of the 40 best pages, and the 40 best by plain words."""
    pages = np.argsort(-ranked.scores, kind="stable")
    worth = ranked.worth
    shown = [page for page in pages[:CANDIDATE_CHUNKS].tolist() if worth[page]]
    plain = ranked.ranking.scope.chunks.bm25(ranked.question.query.terms, K1, B)
    best = np.argsort(-plain, kind="stable")[:CANDIDATE_CHUNKS]
    worded = best[plain[best] > 0].tolist()
    return sorted({*(ranked.best_chunk(page) for page in shown), *worded})


def passage_of(ranked: Ranked, chunk: int) -> Passage:
    """Where a chunk of the scope stands."""
    scope = ranked.ranking.scope
    page = int(scope.chunks.page[chunk])
    return Passage(
        document=ranked.pool[int(scope.document[page])],
        page=int(scope.number[page]),
        start=int(scope.chunk_start[chunk]),
        end=int(scope.chunk_end[chunk]),
    )


def pieces_of(text: str) -> list[str]:
    """The text in equal parts of at most 1,000 characters, each 100 or more into the one before."""
    if len(text) <= PIECE_CHARACTERS:
        return [text]
    parts = -(-(len(text) - PIECE_OVERLAP) // (PIECE_CHARACTERS - PIECE_OVERLAP))
    step = (len(text) - PIECE_CHARACTERS) / (parts - 1)
    starts = [round(part * step) for part in range(parts)]
    return [text[start : start + PIECE_CHARACTERS] for start in starts]


def add_cosines(ranked: Ranked, chunks: Sequence[int], cosines: Floats) -> Ranked:
    """Pure: the new order. cosines: (chunks,) of each chunk to the question.

    Means and deviations are those of the candidates' pages; other pages take the lowest value.
    """
    pages, of_chunk = np.unique(ranked.ranking.scope.chunks.page[list(chunks)], return_inverse=True)
    best = np.full(len(pages), -np.inf)
    np.maximum.at(best, of_chunk, cosines)
    meaning = np.full(len(ranked.scores), LOWEST)
    meaning[pages] = np.clip(_z(best, best), LOWEST, HIGHEST)
    words = _z(ranked.scores, ranked.scores[pages])
    by = {page: _by(float(words[page]), float(meaning[page])) for page in pages.tolist()}
    return replace(ranked, scores=words + MEANING_SHARE * meaning, by=by)


def _z(values: Floats, sample: Floats) -> Floats:
    deviation = float(sample.std())
    return (values - sample.mean()) / deviation if deviation > 0 else np.zeros(len(values))


def _by(words: float, meaning: float) -> By:
    """What lifts a page above the average of the candidates."""
    if meaning <= 0:
        return "words"
    return "both" if words > 0 else "meaning"


async def _vectors(
    wanted: Sequence[Passage], passages: Passages, embedder: Embedder, dimension: int
) -> dict[Passage, Half]:
    """Stored vectors of the right dimension, and new ones for the rest, which are then kept."""
    stored = passages.vectors(embedder.digest, wanted)
    known = {each: vector for each, vector in stored.items() if vector.shape[1] == dimension}
    missing = [each for each in wanted if each not in known]
    for start in range(0, len(missing), KEPT_TOGETHER):
        together = missing[start : start + KEPT_TOGETHER]
        pieces = [pieces_of(text) for text in passages.texts(together)]
        made = await embedder.passages([piece for those in pieces for piece in those])
        ends = np.cumsum([len(those) for those in pieces])
        new = dict(zip(together, np.split(made.astype(np.float16), ends[:-1]), strict=True))
        passages.store(embedder.digest, new)
        known |= new
    return known
