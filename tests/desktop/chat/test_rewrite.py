"""Follow-up questions made complete."""

import pytest

from desktop.chat.rewrite import by_rules, from_model, is_follow_up, request_text


@pytest.mark.parametrize(
    ("question", "is_so"),
    [("And in 2021?", True), ("What about Germany?", True), ("Why did it fall?", True),
     ("How large is their debt compared with equity?", True), ("Why?", True),
     ("What was the interest expense of Acme in 2020?", False),
     ("Which optimiser was used to train the network?", False)],
)  # fmt: skip
def test_a_question_that_leans_on_the_talk_is_known(question: str, is_so: bool):
    assert is_follow_up(question) is is_so


def test_the_rule_adds_what_was_asked_before_and_says_so():
    query = by_rules("And in 2021?", ["What was the interest expense of Acme in 2020?"])
    assert query.text == "And in 2021? interest expense Acme"
    assert query.by == "rules"
    assert "interest, expense, Acme" in query.why


def test_the_rule_has_nothing_to_add_to_the_first_question():
    assert by_rules("Why?", []).by == "as asked"


def test_the_rule_adds_no_more_than_helps():
    long = "alpha beta gamma delta epsilon zeta eta theta iota kappa"
    assert len(by_rules("Why?", [long, long.upper()]).text.split()) == 9


EARLIER = ("What was the interest expense of Acme in 2020?", "It was 5 million [1].")


@pytest.mark.parametrize(
    "written",
    ["What was the interest expense of Acme in 2021?",
     '"What was the interest expense of Acme in 2021?"\n\nIt was',
     "The next question: What was the interest expense of Acme in 2021?"],
)  # fmt: skip
def test_the_models_version_is_taken_if_it_is_about_the_same(written: str):
    query = from_model(written, "And in 2021?", EARLIER)
    assert query is not None
    assert query.text == "What was the interest expense of Acme in 2021?"


@pytest.mark.parametrize(
    "written",
    ["", "  \n ", "The weather in Paris is lovely today.",
     "In 2021 bananas cost 7 dollars a bunch.",
     "What was the interest expense of Acme in 2020?", "2021 " + "interest " * 60],
)  # fmt: skip
def test_anything_else_is_not_taken(written: str):
    assert from_model(written, "And in 2021?", EARLIER) is None


def test_the_request_holds_the_question_in_one_line():
    assert request_text("And\nin {2021}?").endswith("The next question: And in {2021}?")
