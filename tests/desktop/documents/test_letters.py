"""Codes, and scripts without spaces, are found by three letters."""

from desktop.documents.letters import letter_query, odd_words


def test_odd_words_are_runs_without_spaces_and_codes():
    assert odd_words("机器学习 uses part AB-1234/X and 4711, net sales 2016 きかい") == [
        "机器学习", "きかい", "AB-1234/X"
    ]
    assert odd_words("net sales of 1,234.5 in 2016 by the company") == []


def test_a_question_becomes_trigrams_and_whole_codes():
    assert letter_query("机器学习?") == '"机器学" OR "器学习"'
    assert letter_query("where is XK47-B2 used") == '"XK47-B2"'
    assert letter_query("net sales") == ""
