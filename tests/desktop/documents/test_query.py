import pytest

from desktop.documents.query import clean


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("What was FY2018 capex?", "what was 2018 capex"),
        ("FY18 and FY'17, CY2016; fy 2015", "2018 and 2017 2016 2015"),
        ("FY98", "1998"),
        ("Sales in Q2 2019?", "sales in second quarter three months ended 2019"),
        ("4Q19 margin", "fourth quarter three months ended 2019 margin"),
        ("Q1'20", "first quarter three months ended 2020"),
        ("Q3 FY21", "third quarter three months ended 2021"),
        ("Form 10Q, Q5, IQ2, FY", "form 10q q5 iq2 fy"),
    ],
)
def test_years_and_quarters_are_spelled_out(question: str, words: str):
    assert " ".join(clean(question).words) == words


def test_stop_words_and_single_letters_are_dropped():
    query = clean("Based on the details, what is the total debt of company X in note 7?")
    assert query.telling == ("total", "debt", "company", "note", "7")
    assert query.terms == ("total", "debt", "compani", "note", "7")


def test_us_and_may_are_a_country_and_a_month():
    assert clean("US revenue in May").telling == ("us", "revenue", "may")


def test_a_question_of_stop_words_keeps_them():
    assert clean("What is it about?").terms == ("what", "i", "it", "about")
    assert clean("?!").terms == ()


def test_phrases_are_runs_that_neither_start_nor_end_with_a_stop_word():
    assert clean("What is the cost of goods sold?").phrases == (
        ("cost", "of", "good"),
        ("cost", "of", "good", "sold"),
        ("good", "sold"),
    )


def test_a_phrase_counts_once_whatever_its_order():
    assert clean("net sales net").phrases == (("net", "sale"),)


def test_years_are_those_asked_for():
    assert clean("from FY2019 to 2017, form 1800, 20201").years == (2017, 2019)
