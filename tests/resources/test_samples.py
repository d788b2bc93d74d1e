"""The demo's sample data: shape, labels that follow from the mails, two unrelated files."""

import json
import re
from collections import Counter
from typing import Any

import pytest

from resources import path

TRAIN = "samples/customer_mail_train.jsonl"
HELD_OUT = "samples/customer_mail_held_out.jsonl"
TEAMS = {"billing", "shipping", "technical", "returns", "sales"}
URGENCIES = {"low", "normal", "high"}


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path(name).read_text(encoding="utf-8").splitlines()]


def mails(name: str) -> list[str]:
    return [row["messages"][0]["content"] for row in rows(name)]


def answers(name: str) -> list[dict[str, Any]]:
    return [json.loads(row["messages"][1]["content"]) for row in rows(name)]


def phrases(name: str, words: int) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for mail in mails(name):
        parts = re.findall(r"[a-z']+|\d+", mail.lower())
        found.update(tuple(parts[i : i + words]) for i in range(len(parts) - words + 1))
    return found


@pytest.mark.parametrize(("name", "count"), [(TRAIN, 300), (HELD_OUT, 100)])
def test_a_row_is_one_mail_and_one_compact_answer(name: str, count: int) -> None:
    found = rows(name)
    assert len(found) == count
    for row in found:
        assert list(row) == ["messages"]
        assert [list(message) for message in row["messages"]] == [["role", "content"]] * 2
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]


@pytest.mark.parametrize("name", [TRAIN, HELD_OUT])
def test_an_answer_has_the_three_fields_in_the_fixed_spelling(name: str) -> None:
    for row, answer in zip(rows(name), answers(name), strict=True):
        assert list(answer) == ["team", "urgency", "order"]
        assert row["messages"][1]["content"] == json.dumps(answer)
        assert answer["team"] in TEAMS
        assert answer["urgency"] in URGENCIES


@pytest.mark.parametrize("name", [TRAIN, HELD_OUT])
def test_the_order_number_is_the_only_five_digit_number_of_its_mail(name: str) -> None:
    for mail, answer in zip(mails(name), answers(name), strict=True):
        numbers = re.findall(r"(?<!\d)\d{5}(?!\d)", mail)
        named = [answer["order"]] if answer["order"] else []
        assert [f"A-{number}" for number in numbers] == named


@pytest.mark.parametrize(("name", "per_team"), [(TRAIN, 60), (HELD_OUT, 20)])
def test_the_labels_are_balanced(name: str, per_team: int) -> None:
    found = answers(name)
    urgency = Counter(answer["urgency"] for answer in found)
    with_order = sum(answer["order"] is not None for answer in found) / len(found)
    assert Counter(answer["team"] for answer in found) == dict.fromkeys(TEAMS, per_team)
    assert min(urgency.values()) >= 0.28 * len(found)
    assert 0.5 <= with_order <= 0.8


@pytest.mark.parametrize("name", [TRAIN, HELD_OUT])
def test_every_pair_of_team_and_urgency_occurs(name: str) -> None:
    pairs = {(answer["team"], answer["urgency"]) for answer in answers(name)}
    assert len(pairs) == len(TEAMS) * len(URGENCIES)


def test_no_mail_and_no_order_number_occurs_twice() -> None:
    everything = mails(TRAIN) + mails(HELD_OUT)
    orders = [answer["order"] for answer in answers(TRAIN) + answers(HELD_OUT) if answer["order"]]
    assert len(set(everything)) == 400
    assert len(set(orders)) == len(orders)


def test_held_out_mails_share_no_phrase_of_five_words_with_the_training_mails() -> None:
    assert phrases(TRAIN, 5) & phrases(HELD_OUT, 5) == set()


@pytest.mark.parametrize("name", [TRAIN, HELD_OUT])
def test_a_mail_has_25_to_60_words_and_no_placeholder(name: str) -> None:
    for mail in mails(name):
        assert 25 <= len(mail.split()) <= 60
        assert not set("{}[]<>|") & set(mail)


@pytest.mark.parametrize("name", [TRAIN, HELD_OUT])
def test_a_mail_that_calls_itself_urgent_is_not_labelled_normal(name: str) -> None:
    for mail, answer in zip(mails(name), answers(name), strict=True):
        if re.search(r"\burgen(t|cy)\b|\basap\b|\bhurry\b|\brush\b", mail, re.IGNORECASE):
            assert answer["urgency"] != "normal", mail


def test_the_readme_states_origin_and_licence() -> None:
    text = path("samples/README.md").read_text(encoding="utf-8")
    assert "Written for Tunedesk, licence Apache-2.0." in text
    assert "customer_mail_train.jsonl` | 300" in text
    assert "customer_mail_held_out.jsonl` | 100" in text
