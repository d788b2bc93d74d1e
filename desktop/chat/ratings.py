"""Ratings and corrections of answers, and the rows that they give for the next tuning."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from converters.errors import UserError
from desktop.chat.conversation_file import in_words
from desktop.chat.conversations import Conversations
from desktop.chat.turns import storable
from desktop.core.sqlite_file import transaction


@dataclass(frozen=True)
class Rating:
    """is_good: what the person thinks of the answer; correction: what it should have been, or "".

    context: the messages that the answer was given to, as they were sent.
    """

    turn: int
    is_good: bool
    correction: str
    context: tuple[dict[str, str], ...]


def rate(
    conversations: Conversations, answer: int, *, is_good: bool, correction: str = ""
) -> Rating:
    """Rate an answer; a second rating replaces the first. Raises UserError for a question."""
    turn = conversations.turn(answer)
    if turn.role != "assistant":
        raise UserError("Only answers can be rated.", f"Message {answer} is a question.", "")
    context = json.dumps(conversations.context_of(answer), ensure_ascii=False)
    with in_words(conversations.path), transaction(conversations.connection):
        conversations.connection.execute(
            "INSERT OR REPLACE INTO ratings VALUES (?, ?, ?, ?, ?)",
            (answer, is_good, storable(correction).strip(), context, datetime.now(UTC).isoformat()),
        )
    return rating_of(conversations, answer) or Rating(answer, is_good, correction, ())


def rating_of(conversations: Conversations, answer: int) -> Rating | None:
    """The rating of an answer, None if it has none."""
    rows = conversations.read(
        "SELECT turn, is_good, correction, context FROM ratings WHERE turn = ?", answer
    )
    return _rating(rows[0]) if rows else None


def rows(conversations: Conversations) -> Iterator[dict[str, Any]]:
    """`{"messages": [...]}` of each corrected answer, and of each good one that is whole.

    A bad answer without a correction teaches nothing, and neither does half an answer. Answers
    before the rated one are context: their weight is 0, so that only the last one is learnt.
    """
    for turn, is_good, correction, context in conversations.read(
        "SELECT turn, is_good, correction, context FROM ratings ORDER BY turn"
    ):
        answer = conversations.turn(turn)
        wanted = correction or (answer.text if is_good and answer.is_final else "")
        if wanted:
            last = {"role": "assistant", "content": wanted}
            yield {"messages": [*map(_as_context, json.loads(context)), last]}


def _as_context(message: dict[str, Any]) -> dict[str, Any]:
    return {**message, "weight": 0} if message["role"] == "assistant" else message


def _rating(row: tuple[Any, ...]) -> Rating:
    turn, is_good, correction, context = row
    return Rating(turn, bool(is_good), correction, tuple(json.loads(context)))
