"""`tunedesk ask "q"`: one question to a library, answered by a model, each citation checked."""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from converters.errors import UserError
from desktop.chat.beginning import begin
from desktop.chat.budget import DEFAULT_WINDOW
from desktop.chat.conversations import Conversations
from desktop.chat.opening import TalkWish
from desktop.chat.session import STOPPED as STOPPED_BY_PERSON
from desktop.chat.sources import PASSAGES, Source
from desktop.commands.answering import Screen, Told, answer_value, sources_text, window_text
from desktop.commands.consent_question import require_allowed
from desktop.commands.context import DONE, STOPPED, USER_ERROR, Context, Output
from desktop.commands.searched import searched_text
from desktop.commands.talk_options import AllowHost, File, Library, Packs, Think, Window
from desktop.commands.talks import (
    Waiting,
    opened_talker,
    source_of,
    stopping,
)
from desktop.ollama_api.errors import OllamaError


async def ask(
    context: Context,
    question: Annotated[str, typer.Argument(help="The question; - reads it from standard input.")],
    model: Annotated[str, typer.Option("--model", "-m", help="The model that answers.")],
    library: Library = "",
    file: File = "",
    window: Window = DEFAULT_WINDOW,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="Passages to look at.")] = PASSAGES,
    packs: Packs = True,
    think: Think = False,
    allow_host: AllowHost = None,
) -> Output:
    """Ask your documents; the answer says where each statement stands."""
    if question == "-":
        question = sys.stdin.read().strip()
    if not question.strip():
        raise UserError("The question is empty.", "", 'Write it as in: tunedesk ask "What ...?"')
    source = source_of(context, library, file, packs, k)
    wish = TalkWish(window, think, is_steady=True)
    return await ask_once(context, question, model, source, wish, allow_host or ())


async def ask_once(
    context: Context, question: str, model: str, source: Source | None, wish: TalkWish,
    allow_host: Sequence[str] = (),
) -> Output:  # fmt: skip
    """One question of which nothing is kept. source: the documents, None for none."""
    screen, waiting, start = Screen(is_quiet=context.as_json), Waiting(), time.monotonic()
    async with opened_talker(context, model, wish, waiting) as talker:
        if source is not None:
            require_allowed(context, model, talker.destinations, allow_host)
        # One question leaves no conversation behind; `chat` keeps one.
        with (
            tempfile.TemporaryDirectory(prefix="tunedesk-ask-") as folder,
            Conversations(Path(folder)) as chats,
        ):
            begun = await begin(chats, talker, source)
            for told in begun.told:
                screen.note(told)
            answered = Told()
            try:
                with stopping(begun.session.stop, waiting):
                    await screen.show(
                        begun.session.send(question), answered, has_documents=source is not None
                    )
            except OllamaError as error:
                if not answered.text:
                    raise
                return _broken_off(screen, error, answered)
    return _output(answered, source, time.monotonic() - start)


def _output(told: Told, source: Source | None, seconds: float) -> Output:
    value: dict[str, Any] = answer_value(told) | {"seconds": round(seconds, 3)}
    if source is not None and (found := source.last):
        value |= {
            "searched": list(found.searched), "pages": found.pages,
            "pages_indexed": found.pages_indexed,
        }
    is_stopped = value["reason"] == STOPPED_BY_PERSON
    searched = searched_text(source.last) if source is not None and source.last else ""
    where = "\n".join(part for part in (window_text(told), searched) if part)
    text = "".join(f"\n{part}\n" for part in (sources_text(told), where) if part).rstrip("\n")
    return Output(value, text, STOPPED if is_stopped else DONE)


def _broken_off(screen: Screen, error: OllamaError, told: Told) -> Output:
    """What came before the answer was cut off: shown, and never taken for the whole."""
    if not screen.is_quiet:
        screen.problem(error)
    value = {**error.as_json(), "answer": told.text, "complete": False}
    return Output(value, "", USER_ERROR)
