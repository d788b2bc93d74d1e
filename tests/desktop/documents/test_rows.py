import math

import numpy as np
import pytest

from desktop.documents.rows import match_phrases, phrase_scores
from tests.desktop.documents.texts import scope_of


def test_a_row_with_two_numbers_counts_full_and_a_sentence_less():
    scope = scope_of(
        ("Interest expense 380 412", "the interest expense was high", "interest\nexpense 1 2")
    )
    (match,) = match_phrases(scope, [("interest", "expens")], 0.5)
    # |phrase| 2; rows of 2 and 5 stems; the third page has the words in two lines.
    assert match.pages.tolist() == [0, 1]
    assert match.values.tolist() == pytest.approx([2 / math.sqrt(2), 0.5 * 2 / math.sqrt(5)])


def test_a_row_with_one_number_is_no_row_of_a_table():
    (match,) = match_phrases(scope_of(("Interest expense 380",)), [("interest", "expens")], 0.5)
    assert match.values.tolist() == pytest.approx([0.5 * math.sqrt(2)])


def test_a_page_takes_its_best_row():
    scope = scope_of(("net sales rose\nnet sales 1 2\nnet sales and more words 1 2",))
    (match,) = match_phrases(scope, [("net", "sale")], 0.35)
    assert match.values.tolist() == pytest.approx([math.sqrt(2)])


def test_the_sum_weighs_rare_phrases_more():
    scope = scope_of(("net sales 1 2\ntotal debt 3 4", "net sales 1 2", "other"))
    matches = match_phrases(scope, [("net", "sale"), ("total", "debt"), ("no", "such")], 0.5)
    assert [match.phrase for match in matches] == [("net", "sale"), ("total", "debt")]
    common, rare = math.log(1 + 1.5 / 2.5), math.log(1 + 2.5 / 1.5)
    expected = math.sqrt(2) * np.array([common + rare, common, 0])
    assert phrase_scores(scope, matches).tolist() == pytest.approx(expected.tolist())


def test_a_phrase_of_one_word_counts():
    (match,) = match_phrases(scope_of(("x", "Inventories 5 6")), [("inventori",)], 0.35)
    assert (match.pages.tolist(), match.values.tolist()) == ([1], [1.0])


def test_more_than_64_different_words_are_told_apart():
    words = [f"w{at}x" for at in range(130)]
    scope = scope_of((f"{words[0]} {words[129]} 1 2", f"{words[0]} {words[65]} 1 2"))
    phrases = [(words[0], word) for word in words[1:]]
    found = {match.phrase: match.pages.tolist() for match in match_phrases(scope, phrases, 0.5)}
    assert found == {(words[0], words[129]): [0], (words[0], words[65]): [1]}


def test_no_phrases_give_no_matches():
    scope = scope_of(("net sales 1 2",))
    assert match_phrases(scope, [], 0.5) == []
    assert phrase_scores(scope, []).tolist() == [0]
