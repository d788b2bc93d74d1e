"""Follow-up questions made complete, and complete ones left alone."""

import asyncio
from collections.abc import Sequence

import pytest

from converters.errors import Stopped
from desktop.chat.counting import Message
from desktop.chat.rewrite import by_rules, from_model, is_follow_up, request_text
from desktop.chat.standalone import standalone
from desktop.chat.turns import Turn
from desktop.ollama_api.errors import OllamaRefused, OllamaStalled, StreamCut
from tests.desktop.chat.talking import WordCounter

FIRST = "What was the interest expense of Acme in 2020?"
EARLIER = ([FIRST], ["It was 5 million [1]."])
LEANING = (
    "And in 2021?", "What about Germany?", "Why did it fall?", "Why?", "Why so high?", "one",
    "How large is their debt compared with equity?", "and the staff?", "What about Bern?",
    "How many people worked there?", "In which year?", "2019", "Q3 2020?", "Tell me at length",
    "More details please", "What happened next?", "Who resigned?", "By how much?", "Und 2019?",
    "How large was the increase?", "Which company is that?", "Really?",
    "WHO SOLD IT?", "the total?", "Wie hoch war sie 2019?", "Warum ist er gefallen?",
    "Und im Jahr 2021?", "Et en 2019 ?", "Pourquoi ?", "¿Y en 2019?", "¿Por qué fue tan alto?",
    "Quel est son montant ?",
)  # fmt: skip
COMPLETE = (
    FIRST, "Which optimiser was used to train the network?", "quantum gluon?", "Who is Napoleon?",
    "Who is the chief executive?", "How large was interest expense in 2020?", "Napoleon",
    "Is there a pension plan?", "How many employees are there in Bern?", "Why did revenue fall?",
    "Who runs the IT department?", "Which assets that were sold had been leased?",
    "Wie hoch war der Zinsaufwand der Acme AG?", "Quel était le chiffre d'affaires de Renault ?",
    "¿Cuál fue el beneficio neto de Iberdrola?", "What caused the war?", "Did Los Angeles die out?",
    "What was the speed?", "Who is Ahmed?", "Zinsaufwand?", "什么是利润",
)  # fmt: skip


@pytest.mark.parametrize("question", LEANING)
def test_a_question_that_leans_on_the_talk_is_known(question: str):
    assert is_follow_up(question)


@pytest.mark.parametrize("question", COMPLETE)
def test_a_question_with_a_subject_of_its_own_is_complete_however_short(question: str):
    assert not is_follow_up(question)


@pytest.mark.parametrize(
    ("question", "questions", "query"),
    [("And in 2021?", [FIRST], "And in 2021? interest expense Acme"),
     ("Tell me at length", [FIRST], "Tell me at length interest expense Acme 2020"),
     ("Why?", [FIRST, "Tell me at length"], "Why? interest expense Acme 2020"),
     ("Why?", [FIRST, "Who is Napoleon?"], "Why? Napoleon"),
     ("And in 2018?", [FIRST, "And in 2019?", "Why?"], "And in 2018? interest expense Acme"),
     ("Why?", [FIRST, "And in 2019?"], "Why? 2019 interest expense Acme"),
     ("and the staff?", [FIRST], "and the staff? interest expense Acme 2020"),
     ("Wie hoch war sie 2019?", ["Wie hoch war die Dividende der Acme AG im Jahr 2020?"],
      "Wie hoch war sie 2019? Dividende Acme AG Jahr")],
)  # fmt: skip
def test_the_rule_adds_what_the_question_leans_on(question: str, questions: list[str], query: str):
    assert by_rules(question, questions).text == query


def test_the_rule_says_what_it_added():
    query = by_rules("And in 2021?", [FIRST])
    assert query.by == "rules"
    assert "interest, expense, Acme" in query.why


def test_the_rule_has_nothing_to_add_to_the_first_question():
    assert by_rules("Why?", []).by == "as asked"


def test_the_rule_adds_no_more_than_helps():
    long = "alpha beta gamma delta epsilon zeta eta theta iota kappa"
    assert len(by_rules("Why?", [long, long.upper()]).text.split()) == 9


@pytest.mark.parametrize(
    ("question", "written", "query"),
    [("And in 2021?", "What was the interest expense of Acme in 2021?", ""),
     ("And in 2021?", '"What was the interest expense of Acme in 2021?"\n\nIt was', ""),
     ("And in 2021?", "The next question: What was the interest expense of Acme in 2021?", ""),
     ("And in 2021?", "What was the interest expense of Acme in 2021", ""),
     ("Why?", "Why was the interest expense of Acme 5 million?", "Why was the"),
     ("one", "What is one interest expense of Acme?", "What is one"),
     ("How large was the increase?", "How large was the increase of interest expense?", "How la"),
     ("and the staff?", "What was the expense of Acme for staff in 2020?", "What was the expense")],
)  # fmt: skip
def test_the_models_version_is_taken_if_it_is_about_the_same(
    question: str, written: str, query: str
):
    found = from_model(written, question, *EARLIER)
    assert found is not None
    assert found.text.startswith(query or "What was the interest expense of Acme in 2021")
    assert "\n" not in found.text


@pytest.mark.parametrize(
    ("question", "written"),
    [("And in 2021?", ""), ("And in 2021?", "  \n "),
     ("And in 2021?", "The weather in Paris is lovely today."),
     ("And in 2021?", "In 2021 bananas cost 7 dollars a bunch."),
     ("And in 2021?", FIRST), ("And in 2021?", "2021 " + "interest " * 60),
     ("And in 2021?", "And in 2021?"), ("Why?", "Why?"),
     ("one", "The passage contains a sentence:"), ("one", "It was 5 million [1]."),
     ("Why?", "The interest expense of Acme was 5 million."),
     ("Why?", "Why is the sky blue?"), ("and the staff?", FIRST)],
)  # fmt: skip
def test_anything_else_is_not_taken(question: str, written: str):
    assert from_model(written, question, *EARLIER) is None


def test_a_version_about_what_was_only_said_before_the_last_question_is_not_taken():
    questions = [FIRST, "Who lives in Bern?"]
    assert from_model("Why was the expense of Acme 2020?", "Why?", questions, []) is None
    assert from_model("Why do they live in Bern?", "Why?", questions, []) is not None


def test_the_request_holds_the_question_in_one_line():
    assert request_text("And\nin {2021}?").endswith("The next question: And in {2021}?")


def _turn(role: str, text: str) -> Turn:
    values = {"id": 1, "conversation": 1, "parent": None, "sent": text, "passages": (),
              "is_final": True, "reason": "", "request": (), "prompt_tokens": 0,
              "answer_tokens": 0, "checked": "", "created": ""}  # fmt: skip
    return Turn(role=role, text=text, **values)  # pyright: ignore


TALK = (_turn("user", FIRST), _turn("assistant", "It was 5 million [1]."))


def completed(question: str, reply: str | Exception, window: int = 1000):
    """The query, and how often the model was asked."""
    asked: list[Sequence[Message]] = []

    async def write(messages: Sequence[Message], _most: int) -> str:
        asked.append(messages)
        if isinstance(reply, Exception):
            raise reply
        return reply

    query = asyncio.run(standalone(question, TALK, [], window, WordCounter(), write))
    return query, len(asked)


@pytest.mark.parametrize("question", COMPLETE)
def test_a_complete_question_is_searched_as_asked_without_a_call(question: str):
    query, calls = completed(question, "What was the interest expense of Acme?")
    assert (query.text, query.by, calls) == (question, "as asked", 0)


def test_a_follow_up_is_completed_in_one_call_and_by_rules_where_that_has_no_room():
    line = "What was the interest expense of Acme in 2021?"
    query, calls = completed("And in 2021?", line)
    assert (query.text, query.by, calls) == (line, "model", 1)
    query, calls = completed("And in 2021?", line, window=70)
    assert (query.by, calls) == ("rules", 0)


@pytest.mark.parametrize(
    "error",
    [StreamCut("an answer"), OllamaStalled("an answer", 5),
     OllamaRefused(400, "the input length exceeds the context length")],
)  # fmt: skip
def test_a_rewriting_that_fails_costs_no_question_and_is_said(error: Exception):
    query, _ = completed("And in 2021?", error)
    assert (query.text, query.by) == ("And in 2021? interest expense Acme", "rules")
    assert query.why.startswith(f"The model could not complete the question: {error.title} Words")  # pyright: ignore


def test_a_stop_ends_the_rewriting():
    with pytest.raises(Stopped):
        completed("And in 2021?", Stopped())
