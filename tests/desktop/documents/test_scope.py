import math

import pytest

from desktop.documents.scope import rarity, scaled
from tests.desktop.documents.texts import scope_of


def test_rarity_is_the_smoothed_inverse_frequency():
    assert rarity(10, 2) == pytest.approx(math.log(1 + 8.5 / 2.5))
    assert rarity(1, 1) == pytest.approx(math.log(1 + 0.5 / 1.5))


def test_bm25_counts_over_all_documents_of_the_scope():
    scope = scope_of(("debt debt rises", "sales"), ("debt", "the cost of sales"))
    scores = scope.chunks.bm25(["debt"], 1.2, 0.75)
    # Four chunks of 3, 1, 1, 4 words, mean 2.25; two hold the word.
    weight = math.log(1 + 2.5 / 2.5)
    first = weight * 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 3 / 2.25))
    third = weight * 1 * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 1 / 2.25))
    assert scores.tolist() == pytest.approx([first, 0, third, 0])


def test_pages_know_their_document_and_number():
    scope = scope_of(("a", "b"), ("c",))
    assert scope.document.tolist() == [0, 0, 1]
    assert scope.number.tolist() == [1, 2, 1]
    assert scope.chunks.page.tolist() == [0, 1, 2]


def test_scaling_divides_by_the_largest():
    scores = scope_of(("debt", "debt debt")).chunks.bm25(["debt"], 1.2, 0.75)
    assert scaled(scores).max() == 1
    assert scaled(scores * 0).tolist() == [0, 0]


def test_an_empty_scope_has_no_scores():
    assert scope_of().chunks.bm25(["debt"], 1.2, 0.75).tolist() == []
