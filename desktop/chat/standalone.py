"""The query that a question is searched with: as asked, completed by the model, or by rules."""

from collections.abc import Awaitable, Callable, Sequence

from desktop.chat.counting import Counter, Message
from desktop.chat.prompt import harmless
from desktop.chat.rewrite import (
    REWRITE_TOKENS,
    Query,
    by_rules,
    from_model,
    is_follow_up,
    request_text,
)
from desktop.chat.too_long import excess_of
from desktop.chat.turns import Turn
from desktop.ollama_api.errors import OllamaError

Write = Callable[[Sequence[Message], int], Awaitable[str]]


async def standalone(
    question: str, branch: Sequence[Turn], history: Sequence[Message], window: int,
    counter: Counter, write: Write,
) -> Query:  # fmt: skip
    """The query of a question behind a branch.

    history: the messages of the prompt before, with its answer: the model's call extends them, so
    the server's cache holds. write: a short answer to messages, to its end or until the person
    stops it.
    """
    questions = [turn.text for turn in branch if turn.role == "user"]
    if not questions or not is_follow_up(question):
        return Query(question, "as asked")
    request = {"role": "user", "content": request_text(harmless(question).text)}
    messages = [*history, request]
    if await counter.prompt(messages) + REWRITE_TOKENS <= window:
        written = await _written(write(messages, REWRITE_TOKENS))
        if query := from_model(written, question, [turn.text for turn in branch]):
            return query
    return by_rules(question, questions)


async def _written(writing: Awaitable[str]) -> str:
    """What the model wrote; nothing where it had no room: the rules know a way without it."""
    try:
        return await writing
    except OllamaError as error:
        if excess_of(error) is None:
            raise
        return ""
