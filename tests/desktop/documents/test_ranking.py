import math

import pytest

from desktop.documents.packs import Pack
from desktop.documents.ranking import Question, rank
from tests.desktop.documents.texts import scope_of

PACK = Pack.model_validate(
    {"name": "test", "title": "Test", "version": 1,
     "rules": [{"ask": ["capex"], "rows": ["plant equipment"]}]}
)  # fmt: skip


def bm25(n: int, df: int, count: int, size: float, mean: float) -> float:
    weight = math.log(1 + (n - df + 0.5) / (df + 0.5))
    return weight * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * size / mean))


def test_general_is_s1_and_heads_and_question_rows_and_neighbours():
    scope = scope_of(("net sales 10 20", "x y z w", "sales of the year", "q"))
    ranking = rank(scope, Question.of("net sales"))
    # Chunk = head here; sizes 4, 4, 4, 1, mean 3.25. S4: "net sales" on page 1 alone.
    net, sale = bm25(4, 1, 1, 4, 3.25), bm25(4, 2, 1, 4, 3.25)
    third = sale / (net + sale)
    raw = [1 + 0.3 + 0.5, 0, 1.3 * third, 0]
    near = [raw[0], 0.1 * (raw[0] + raw[2]), raw[2], 0.1 * raw[2]]
    assert ranking.default.tolist() == pytest.approx([2 / 1.8 * value for value in near])


def test_a_pack_that_fires_is_mixed_in_at_65_percent():
    scope = scope_of(("capex", "", "plant equipment 1 2"))
    ranking = rank(scope, Question.of("capex", [PACK]))
    # Sizes 1, 0 (no chunk), 4: chunks mean 2.5, heads mean 5/3.
    general = [1.3, 0.13, 0]
    chunk = [bm25(2, 1, 1, 1, 2.5), 2 * bm25(2, 1, 1, 4, 2.5)]
    head = [bm25(3, 1, 1, 1, 5 / 3), 2 * bm25(3, 1, 1, 4, 5 / 3)]
    s1 = [value / max(chunk) for value in chunk]
    s2 = [value / max(head) for value in head]
    pack = [s1[0] + 0.5 * s2[0], 0, s1[1] + 0.5 * s2[1] + 1]
    pack[1] = 0.1 * (pack[0] + pack[2])
    expected = [0.35 * 2 / 1.8 * a + 0.65 * 2 / 3 * b for a, b in zip(general, pack, strict=True)]
    assert ranking.default.tolist() == pytest.approx(expected)
    assert ranking.default.argmax() == 2


def test_sentences_count_035_for_a_pack_and_05_for_the_question():
    ranking = rank(scope_of(("plant equipment capex rises",)), Question.of("capex rises", [PACK]))
    # Four stems in the line, two in each phrase: 2 / sqrt(4) = 1.
    assert ranking.pack_rows[0].values.tolist() == pytest.approx([0.35])
    assert ranking.question_rows[0].values.tolist() == pytest.approx([0.5])


def test_a_pack_that_does_not_fire_changes_nothing():
    scope = scope_of(("net sales 10 20", "other sales"))
    with_pack = rank(scope, Question.of("net sales", [PACK])).default
    assert with_pack.tolist() == rank(scope, Question.of("net sales")).default.tolist()


def test_neighbours_end_with_the_document():
    scope = scope_of(("x", "debt"), ("y", "z"))
    ranking = rank(scope, Question.of("debt"))
    assert (ranking.default > 0).tolist() == [True, True, False, False]


def test_a_question_without_words_scores_nothing():
    assert rank(scope_of(("net sales",)), Question.of("?")).default.tolist() == [0]
