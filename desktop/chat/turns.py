"""What conversations are made of, as frozen values, and how they are read from their rows."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from desktop.chat import passages
from desktop.chat.passages import Passage

Role = Literal["user", "assistant"]
CONVERSATION = "id, title, model, window, system, library, file, passages, created, last_turn"
TURN = (
    "id, conversation, parent, role, text, sent, passages, is_final, reason, request, "
    "prompt_tokens, answer_tokens, checked, created, unsent"
)


@dataclass(frozen=True)
class Conversation:
    """window: tokens of context, the same for every request. system: as sent, "" for none.

    passages: those that stand in the system text (a whole document). created: UTC, ISO 8601.
    last_turn: the end of the branch that is shown, None before the first question.
    """

    id: int
    title: str
    model: str
    window: int
    system: str
    library: str
    file: str
    passages: tuple[Passage, ...]
    created: str
    last_turn: int | None


@dataclass(frozen=True)
class Turn:
    """A question or an answer. sent: the text as it stood, and stands, in every prompt.

    passages: new ones that `sent` contains; unsent: those that were found and had no room.
    is_final: a question, or an answer that ended by itself; reason: why an answer is not final.
    request: ids of the turns that were sent for an answer, in order. checked: the citations of an
    answer, as JSON.
    """

    id: int
    conversation: int
    parent: int | None
    role: Role
    text: str
    sent: str
    passages: tuple[Passage, ...]
    is_final: bool
    reason: str
    request: tuple[int, ...]
    prompt_tokens: int
    answer_tokens: int
    checked: str
    created: str
    unsent: tuple[Passage, ...] = ()


def conversation_of(row: tuple[Any, ...]) -> Conversation:
    """The conversation of a row of CONVERSATION."""
    values = dict(zip(CONVERSATION.split(", "), row, strict=True))
    values["passages"] = passages.from_json(values["passages"])
    return Conversation(**values)


def turn_of(row: tuple[Any, ...]) -> Turn:
    """The turn of a row of TURN."""
    values = dict(zip(TURN.split(", "), row, strict=True))
    values["passages"] = passages.from_json(values["passages"])
    values["unsent"] = passages.from_json(values["unsent"])
    values["request"] = tuple(json.loads(values["request"]))
    values["is_final"] = bool(values["is_final"])
    return Turn(**values)


def storable(text: str) -> str:
    """The text as SQLite keeps it unchanged: no lone surrogates, no NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def pairs(turns: tuple[Turn, ...]) -> Iterator[tuple[Turn, Turn]]:
    """(question, answer) of a branch; a question without any text in its answer is left out."""
    for question, answer in zip(turns[::2], turns[1::2], strict=False):
        if answer.text:
            yield question, answer
