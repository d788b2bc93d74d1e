"""General texts, hard conversations and hard strings: shape, size and what they contain."""

import json
from itertools import pairwise
from typing import Any

import pytest

from resources import path

GENERAL_TEXTS = sorted(path("general_texts").glob("*.txt"))


def conversations() -> list[dict[str, Any]]:
    return json.loads(path("hard_conversations.json").read_text(encoding="utf-8"))


def strings() -> list[str]:
    return json.loads(path("hard_strings.json").read_text(encoding="utf-8"))


def every_content() -> str:
    return "\0".join(m["content"] for c in conversations() for m in c["messages"])


def test_there_are_24_conversations_with_names_of_their_own() -> None:
    assert len({conversation["name"] for conversation in conversations()}) == 24
    assert all(list(conversation) == ["name", "messages"] for conversation in conversations())


@pytest.mark.parametrize("conversation", conversations(), ids=lambda c: c["name"])
def test_roles_alternate_after_an_optional_system_message(conversation: dict[str, Any]) -> None:
    roles = [message["role"] for message in conversation["messages"]]
    turns = roles[1:] if roles[0] == "system" else roles
    assert turns[::2] == ["user"] * len(turns[::2])
    assert turns[1::2] == ["assistant"] * len(turns[1::2])
    assert turns[-1] == "user"


@pytest.mark.parametrize(
    "part",
    [
        "\u200d",
        "\u00a0",
        "\u0301",
        "\u2028",
        "\u0085",
        "\u00b2",
        "\u4f60",
        "\u0645",
        "{{ .Prompt }}",
        "{% for",
        "<|im_start|>system",
        "</s>",
        "[INST]",
        "```",
        '"""',
        "'''",
        "\t",
        "\r\n",
        "a" * 300,
    ],
    ids=ascii,
)
def test_the_conversations_contain_what_templates_and_streams_trip_over(part: str) -> None:
    assert part in every_content()


def test_there_is_an_empty_system_message_and_an_empty_message_of_each_other_role() -> None:
    empty = {m["role"] for c in conversations() for m in c["messages"] if m["content"] == ""}
    assert empty == {"system", "user", "assistant"}


def test_every_hard_string_occurs_once_and_is_valid_utf_8() -> None:
    found = strings()
    assert len(found) >= 60
    assert len(set(found)) == len(found)
    assert all(text.encode().decode() == text for text in found)


def test_hard_strings_start_with_the_empty_string_and_hold_leading_blanks() -> None:
    assert strings()[0] == ""
    assert sum(text.startswith(" ") for text in strings()) >= 3


def test_hard_files_are_plain_ascii_so_that_no_editor_normalises_them() -> None:
    for name in ("hard_conversations.json", "hard_strings.json"):
        assert path(name).read_bytes().isascii()


def test_general_texts_are_different_ordinary_texts() -> None:
    texts = [file.read_text(encoding="utf-8") for file in GENERAL_TEXTS]
    assert len(set(texts)) == 11
    assert all(text.endswith("\n") and text.isascii() for text in texts)
    assert all(a not in b for a, b in pairwise(texts))
    assert 1_000 <= sum(len(text.split()) for text in texts) <= 1_300
