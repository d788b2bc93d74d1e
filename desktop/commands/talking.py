"""The loop of `tunedesk chat`: a line is a question, a line with a slash does something.

Ctrl-C stops an answer, whose text is kept and marked; at the prompt it says how to leave.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.errors import Stopped, UserError
from desktop.chat.beginning import Begun, begin, take_up
from desktop.chat.conversations import Conversations
from desktop.chat.news import News
from desktop.chat.opening import TalkWish
from desktop.chat.sources import PASSAGES, Source
from desktop.commands.answering import Screen, Told, answer_value, sources_text, window_text
from desktop.commands.consent_question import require_allowed, say_aside
from desktop.commands.context import DONE, USER_ERROR, Context, Output
from desktop.commands.searched import searched_text
from desktop.commands.slash_words import Here, act
from desktop.commands.talks import (
    Waiting,
    opened_talker,
    source_of,
    stopping,
)

_QUOTES = '"""'
_LEAVING = ("/bye", "/exit", "/quit")


@dataclass(frozen=True)
class Wanted:
    """The options of `tunedesk chat`. go_on: the conversation that goes on, None for a new one;
    then a model takes the place of its own."""

    model: str
    library: str
    file: str
    window: int
    packs: bool
    think: bool
    allowed: tuple[str, ...]
    go_on: int | None


def talk(context: Context, wanted: Wanted) -> Output:
    """Talk until the person leaves; what was said is kept, with --json it is the document."""
    with tempfile.TemporaryDirectory(prefix="tunedesk-chat-") as nowhere:
        obstacle = context.home.obstacle
        if obstacle and wanted.go_on is not None:
            raise UserError(
                f"Conversation {wanted.go_on} cannot go on.", f"{obstacle} Nothing can be kept.",
                "Read it with `tunedesk chats show`, or begin a new one, which is not kept.",
            )
        if obstacle:
            say_aside(f"This conversation is not kept: {obstacle}")
        folder = Path(nowhere) if obstacle else context.home.root
        with Conversations(folder, say_aside) as chats, asyncio.Runner() as runner:
            stack, waiting = AsyncExitStack(), Waiting()
            try:
                begun, source = runner.run(_opened(stack, context, chats, wanted, waiting))
                here = Here(
                    chats, begun.conversation.id, begun.session, Screen(is_quiet=context.as_json),
                    is_kept=not obstacle,
                )
                return _Loop(runner, here, source, waiting).run(begun)
            finally:
                runner.run(stack.aclose())


async def _opened(
    stack: AsyncExitStack, context: Context, chats: Conversations, wanted: Wanted,
    waiting: Waiting,
) -> tuple[Begun, Source | None]:  # fmt: skip
    here = chats.get(wanted.go_on) if wanted.go_on is not None else None
    library, file = (here.library, here.file) if here else (wanted.library, wanted.file)
    source = None
    if library or file:
        source = source_of(context, library, file, wanted.packs, PASSAGES)
    model, window = (wanted.model, wanted.window)
    if here is not None:
        model, window = model or here.model, here.window
    talker = await stack.enter_async_context(
        opened_talker(context, model, TalkWish(window, wanted.think), waiting)
    )
    if source is not None:
        require_allowed(context, model, talker.destinations, wanted.allowed)
    if here is not None:
        if model != here.model:
            here = chats.change_model(here.id, model)
        return await take_up(chats, talker, here, source), source
    return await begin(chats, talker, source), source


class _Loop:
    """The talk at the terminal, or in a pipe, one line after the other."""

    def __init__(
        self, runner: asyncio.Runner, here: Here, source: Source | None, waiting: Waiting
    ) -> None:
        self._runner = runner
        self._here = here
        self._source = source
        self._waiting = waiting
        self._is_person = sys.stdin.isatty()
        self._answers: list[dict[str, Any]] = []
        self._code = DONE

    def run(self, begun: Begun) -> Output:
        """Read lines until the end. A conversation without a question leaves nothing behind."""
        self._greet(begun)
        while (line := self._line("> ")) is not None and line.rstrip() not in _LEAVING:
            if line.lstrip().startswith(_QUOTES):
                self._ask(self._quoted(line.lstrip().removeprefix(_QUOTES)))
            elif line.startswith("/"):
                self._act(line)
            elif line.strip():
                self._ask(line.strip())
        number = self._here.conversation
        value = {"conversation": number, "turns": self._answers}
        if not self._here.turns("user"):
            self._here.chats.delete(number)
            return Output(value, "", self._code)
        if not (self._is_person and self._here.is_kept):
            return Output(value, "", DONE if self._is_person else self._code)
        text = f"Conversation {number} is kept. Go on: tunedesk chat --continue {number}"
        return Output(value, text)

    def _greet(self, begun: Begun) -> None:
        here, note = begun.conversation, self._here.screen.note
        if self._is_person:
            import readline  # noqa: F401 - the arrow keys of `input`

            about = f", about {here.library}" if here.library else ""
            note(
                f"Conversation {here.id} with {here.model}{about}; {here.window:,} tokens of "
                "context. /help shows what else can be done."
            )
        for told in begun.told:
            note(told)

    def _quoted(self, text: str) -> str:
        """The lines up to the closing quotes, with what stands behind these."""
        while _QUOTES not in text:
            more = self._line("... ")
            if more is None:
                break
            text += f"\n{more}"
        inside, _, behind = text.partition(_QUOTES)
        return f"{inside}{behind}".strip()

    def _line(self, prompt: str) -> str | None:
        while True:
            try:
                if self._is_person:
                    return self._typed(prompt)
                line = sys.stdin.readline()
                return line.rstrip("\n") if line else None
            except EOFError:
                print(file=sys.stderr)
                return None
            except KeyboardInterrupt:
                if not self._is_person:
                    raise
                print("\nCtrl-D or /bye leaves the conversation.", file=sys.stderr)

    def _typed(self, prompt: str) -> str:
        if sys.stdout.isatty():
            return input(prompt)
        print(prompt, end="", file=sys.stderr, flush=True)  # standard output is for the document
        return input()

    def _act(self, line: str) -> None:
        word, _, rest = line.strip().partition(" ")
        try:
            news = act(self._here, word, rest.strip())
        except UserError as error:
            self._failed(error)
        else:
            if news is not None:
                self._answer(news, line.strip())

    def _ask(self, question: str) -> None:
        if question:
            self._answer(self._here.session.send(question), question)

    def _answer(self, news: AsyncGenerator[News], asked: str) -> None:
        self._here.last = told = Told()
        try:
            self._runner.run(self._shown(news, told))
        except Stopped:
            self._here.screen.note("Stopped. /again asks once more.")
            self._answers.append({"question": asked, "answer": told.text, "complete": False})
        except UserError as error:
            self._failed(error)
            if told.text:
                self._here.screen.note(
                    "What came of the answer is kept, marked as incomplete; /again asks once more."
                )
            broken = {"answer": told.text, "complete": False, **error.as_json()}
            self._answers.append({"question": asked, **broken})
        else:
            self._answered(told)

    def _failed(self, error: UserError) -> None:
        self._code = USER_ERROR
        self._here.screen.problem(error)

    def _answered(self, told: Told) -> None:
        screen = self._here.screen
        asked = told.planned.question.text if told.planned else ""
        self._answers.append({"question": asked, **answer_value(told)})
        if sources := sources_text(told):
            screen.line(f"\n{sources}")
        found = self._source.last if self._source is not None else None
        where = searched_text(found) if found is not None else ""
        screen.note("\n".join(part for part in (window_text(told), where) if part))

    async def _shown(self, news: AsyncGenerator[News], told: Told) -> None:
        with stopping(self._here.session.stop, self._waiting):
            has_documents = self._source is not None
            await self._here.screen.show(news, told, has_documents=has_documents)
