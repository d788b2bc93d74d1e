from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from desktop.documents.chunker import join_lines
from desktop.documents.postings import Postings
from desktop.documents.search import Ranked, rank_document
from desktop.documents.semantic import (
    Half,
    Passage,
    add_cosines,
    candidate_chunks,
    passage_of,
    pieces_of,
    with_meaning,
)
from tests.desktop.documents.texts import pages

TEXTS = ("debt debt of the company", "what it owes: debt", "the weather in May", "debt")


class WordEmbedder:
    """Counts of a few words as a vector: a model one can compute by hand."""

    digest = "d" * 64
    axes = ("debt", "owes", "weather")

    def __init__(self) -> None:
        self.embedded: list[str] = []

    async def questions(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.array([[0, 1, 0] for _ in texts], np.float32)

    async def passages(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        self.embedded += texts
        rows = np.array([[text.count(word) for word in self.axes] for text in texts], np.float32)
        lengths = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)
        return (rows / lengths).astype(np.float32)


class StoredPassages:
    """Texts of the pages above, and vectors in a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, Passage], Half] = {}

    def texts(self, passages: Sequence[Passage]) -> list[str]:
        return [join_lines(TEXTS[each.page - 1][each.start : each.end]) for each in passages]

    def vectors(self, digest: str, passages: Sequence[Passage]) -> Mapping[Passage, Half]:
        return {each: self.kept[digest, each] for each in passages if (digest, each) in self.kept}

    def store(self, digest: str, vectors: Mapping[Passage, Half]) -> None:
        self.kept |= {(digest, each): vector for each, vector in vectors.items()}


@pytest.fixture
def ranked() -> Ranked:
    return rank_document("debt", Postings.of_document(pages(*TEXTS)))


def test_candidates_are_chunks_that_words_found(ranked: Ranked):
    chunks = candidate_chunks(ranked)
    places = [passage_of(ranked, chunk) for chunk in chunks]
    # Page 3 is there for its neighbours.
    assert places == [Passage(0, page, 0, len(TEXTS[page - 1])) for page in (1, 2, 3, 4)]


def test_the_score_is_z_of_words_plus_a_share_of_clipped_z_of_cosines(ranked: Ranked):
    cosines = np.array([0.1, 0.9, 0.2])
    lifted = add_cosines(ranked, [0, 1, 3], cosines)
    words = ranked.scores[[0, 1, 3]]
    z = (words - words.mean()) / words.std()
    meaning = np.clip((cosines - 0.4) / cosines.std(), -1.5, 3)
    expected = z + 0.6 * meaning
    assert lifted.scores[[0, 1, 3]].tolist() == pytest.approx(expected.tolist())
    # The page without a vector takes the lowest meaning.
    rest = (ranked.scores[2] - words.mean()) / words.std() - 0.6 * 1.5
    assert lifted.scores[2] == pytest.approx(rest)


def test_equal_cosines_change_no_order(ranked: Ranked):
    lifted = add_cosines(ranked, [0, 1, 2, 3], np.full(4, 0.3))
    assert [hit.page for hit in lifted.found().hits] == [hit.page for hit in ranked.found().hits]
    assert {hit.why.by for hit in lifted.found().hits} == {"words"}


def test_meaning_lifts_a_passage_and_says_so(ranked: Ranked, run_async: Any):
    before = [hit.page for hit in ranked.found().hits]
    found = run_async(with_meaning(ranked, StoredPassages(), WordEmbedder())).found()
    assert before.index(2) > [hit.page for hit in found.hits].index(2)
    by = {hit.page: hit.why.by for hit in found.hits}
    assert by[2] in ("meaning", "both")
    assert by[4] == "words"
    lifted = next(hit for hit in found.hits if hit.page == 2)
    assert str(lifted.why) == "words: debt; close in meaning"


def test_stored_vectors_are_not_made_again(ranked: Ranked, run_async: Any):
    passages, embedder = StoredPassages(), WordEmbedder()
    first = run_async(with_meaning(ranked, passages, embedder))
    assert len(embedder.embedded) == len(passages.kept) == 4
    assert {vector.dtype for vector in passages.kept.values()} == {np.dtype(np.float16)}
    again = run_async(with_meaning(ranked, passages, embedder))
    assert len(embedder.embedded) == 4
    assert again.scores.tolist() == first.scores.tolist()


def test_another_digest_or_dimension_is_embedded_again(ranked: Ranked, run_async: Any):
    passages, embedder = StoredPassages(), WordEmbedder()
    run_async(with_meaning(ranked, passages, embedder))
    embedder.digest = "e" * 64
    run_async(with_meaning(ranked, passages, embedder))
    assert len(embedder.embedded) == 8
    passages.kept = {key: vector[:, :2] for key, vector in passages.kept.items()}
    run_async(with_meaning(ranked, passages, embedder))
    assert len(embedder.embedded) == 12


def test_nothing_found_by_words_asks_no_model(run_async: Any):
    nothing = rank_document("zebra", Postings.of_document(pages(*TEXTS)))
    embedder = WordEmbedder()
    assert run_async(with_meaning(nothing, StoredPassages(), embedder)) is nothing
    assert embedder.embedded == []


@pytest.mark.parametrize("length", [1, 1_000, 1_001, 1_800, 1_900, 1_901, 5_000])
def test_pieces_cover_the_text_and_overlap(length: int):
    text = "".join(chr(0x4E00 + at) for at in range(length))
    pieces = pieces_of(text)
    assert all(len(piece) <= 1_000 for piece in pieces)
    covered = pieces[0]
    for piece in pieces[1:]:
        shared = len(covered) - text.index(piece)
        assert shared >= 100
        covered += piece[shared:]
    assert covered == text


def test_the_best_piece_of_a_passage_counts(run_async: Any):
    filler = "weather " * 140  # the first piece says nothing of the question
    texts = ("debt " + filler + "owes owes", "debt " + filler + "weather weather")

    class Long(StoredPassages):
        def texts(self, passages: Sequence[Passage]) -> list[str]:
            return [texts[each.page - 1] for each in passages]

    ranked = rank_document("debt", Postings.of_document(pages(*texts)))
    embedder, passages = WordEmbedder(), Long()
    found = run_async(with_meaning(ranked, passages, embedder)).found()
    assert [hit.page for hit in found.hits] == [1, 2]
    assert found.hits[0].score > found.hits[1].score
    assert {vector.shape for vector in passages.kept.values()} == {(2, 3)}
