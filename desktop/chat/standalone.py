"""The query that a question is searched with: as asked, completed by the model, or by rules."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from converters.errors import UserError
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
from desktop.chat.turns import Turn

Write = Callable[[Sequence[Message], int], Awaitable[str]]


async def standalone(
    question: str, branch: Sequence[Turn], history: Sequence[Message], window: int,
    counter: Counter, write: Write,
) -> Query:  # fmt: skip
    """The query of a question behind a branch.

    history: the messages of the prompt before, with its answer: the model's call extends them, so
    the server's cache holds. write: a short answer to messages, to its end or until the person
    stops it. A failure of it costs no question: the rules know a way without, and `why` says so.
    """
    questions = [turn.text for turn in branch if turn.role == "user"]
    if not questions or not is_follow_up(question):
        return Query(question, "as asked")
    request = {"role": "user", "content": request_text(harmless(question).text)}
    messages = [*history, request]
    failure = ""
    if await counter.prompt(messages) + REWRITE_TOKENS <= window:
        try:
            written = await write(messages, REWRITE_TOKENS)
        except UserError as error:  # of Ollama or the built-in engine
            failure = f"The model could not complete the question: {error.title} "
        else:
            said = [turn.text for turn in branch if turn.role == "assistant"]
            if query := from_model(written, question, questions, said):
                return query
    made = by_rules(question, questions)
    return replace(made, why=(failure + made.why).strip())
