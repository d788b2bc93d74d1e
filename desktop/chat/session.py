"""One conversation while it is talked in: send, stop, answer again, edit. On one asyncio loop.

Every answer is kept from its first second on, as partial; it becomes final only when the model has
ended it. A server that goes away costs no text.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager

from converters.errors import Stopped, UserError
from desktop.chat.budget import TooLong
from desktop.chat.citations import CitationReader
from desktop.chat.conversations import Conversations
from desktop.chat.counting import Counter, Message
from desktop.chat.engines import ChatEngine, OnSent
from desktop.chat.evidence import Checked, checked
from desktop.chat.news import Ended, News, Piece, Planned, Searched
from desktop.chat.passages import FoundPassage, numbered
from desktop.chat.preparing import Prepared, Preparer
from desktop.chat.prompt import NOT_FOUND, harmless, says_not_found
from desktop.chat.standalone import standalone
from desktop.chat.streaming import Streaming
from desktop.chat.too_long import excess_of
from desktop.chat.turns import Turn
from desktop.ollama_api.errors import OllamaError
from desktop.ollama_api.replies import ChatPart

Search = Callable[[str], Awaitable[Sequence[FoundPassage]]]
STOPPED, NO_ROOM = "stopped", "the room for the answer was used up"
_KEEP_S = 1.0  # R11: at most 2 s of streamed text are lost with the program


class ChatSession:
    """Talks in one conversation of an open store.

    search: the passages of a library for a query, best first; None without one. only_found: where
    nothing is found, say so without asking the model. Raises UserError; what came is kept.
    """

    def __init__(
        self, chats: Conversations, conversation: int, engine: ChatEngine, counter: Counter, *,
        search: Search | None = None, control_texts: Sequence[str] = (), only_found: bool = False,
    ) -> None:  # fmt: skip
        self._chats = chats
        self._here = chats.get(conversation)
        self._engine = engine
        self._counter = counter
        self._search = search
        self._only_found = only_found
        self._control_texts = control_texts
        self._preparer = Preparer(self._here, counter, control_texts)
        self._streaming: Streaming | None = None
        self._is_busy = self._is_stopping = False
        if engine.window != self._here.window:
            raise ValueError("the engine's window is not the conversation's")

    def send(self, text: str) -> AsyncGenerator[News]:
        """Ask behind the branch that is shown."""
        branch = self._chats.branch(self._here.id)
        if branch and branch[-1].role == "user":  # the program ended before an answer began
            branch = branch[:-1]
        return self._busy(self._ask(text, branch))

    def edit(self, question: int, text: str) -> AsyncGenerator[News]:
        """Ask otherwise in place of an earlier question; the earlier text is kept beside it."""
        parent = self._chats.turn(question).parent
        branch = self._chats.branch_to(parent) if parent is not None else ()
        return self._busy(self._ask(text, branch))

    def again(self, question: int) -> AsyncGenerator[News]:
        """Answer a question once more; the answer that is there is kept beside the new one.

        One that found no passage of its own, or was never answered, is searched for anew.
        """
        asked = self._chats.turn(question)
        if self._search is not None and not asked.passages:
            return self.edit(question, asked.text)
        return self._busy(self._answer_again(asked))

    def stop(self) -> None:
        """End the answer that is being written; its text is kept and marked. May come any time."""
        self._is_stopping = self._is_busy
        if self._streaming is not None:
            self._streaming.stop()

    # -- private -----------------------------------------------------------------------------

    async def _busy(self, work: AsyncGenerator[News]) -> AsyncGenerator[News]:
        """One answer at a time."""
        async with aclosing(work):
            if self._is_busy:
                raise UserError(
                    "An answer is being written.", "", "Stop it, or wait until it has ended."
                )
            self._is_busy, self._is_stopping = True, False
            try:
                async for news in work:
                    yield news
            finally:
                self._is_busy = False

    async def _ask(self, text: str, branch: tuple[Turn, ...]) -> AsyncGenerator[News]:
        if not text.strip():
            raise UserError("The message is empty.", "", "Write a question.")
        parent = branch[-1].id if branch else None
        with self._kept_unanswered(text, parent):
            searched = await self._look_up(text, branch)
            found = searched.passages if searched else None
            prepared = await self._preparer.prepare(branch, text, found)
        if searched is not None:
            yield searched
        if found == () and self._only_found:
            prepared = prepared.kept_back
            asked = self._keep_question(text, parent, prepared)
            yield self._planned(asked, prepared)
            yield self._nothing_found(asked, prepared)
            return
        async with self._streamed(prepared) as streaming:
            await streaming.begin()  # the model reads while the question is kept
            asked = self._keep_question(text, parent, prepared)
            yield self._planned(asked, prepared)
            async with aclosing(self._answer(asked, prepared, branch, streaming)) as answer:
                async for news in answer:
                    yield news

    async def _look_up(self, text: str, branch: tuple[Turn, ...]) -> Searched | None:
        """The passages for a question, a follow-up completed before; None without documents."""
        if self._search is None:
            return None
        query = await standalone(
            text, branch, self._preparer.history(branch), self._here.window, self._counter,
            self._short_answer,
        )
        known = [*self._here.passages, *(one for turn in branch for one in turn.passages)]
        return Searched(query, numbered(await self._search(query.text), known))

    @contextmanager
    def _kept_unanswered(self, text: str, parent: int | None) -> Iterator[None]:
        """A question that fails before it is sent is kept; `again` asks it anew."""
        try:
            yield
        except TooLong:  # it never fits, whoever answers
            raise
        except (UserError, Stopped, asyncio.CancelledError):
            self._chats.ask(self._here.id, text, parent)
            raise

    async def _answer_again(self, asked: Turn) -> AsyncGenerator[News]:
        branch = self._chats.branch_to(asked.parent) if asked.parent is not None else ()
        prepared = await self._preparer.prepare_again(branch, asked)
        yield self._planned(asked, prepared)
        async with (
            self._streamed(prepared) as streaming,
            aclosing(self._answer(asked, prepared, branch, streaming)) as answer,
        ):
            async for news in answer:
                yield news

    def _keep_question(self, text: str, parent: int | None, prepared: Prepared) -> Turn:
        return self._chats.ask(
            self._here.id, text, parent, sent=prepared.sent, passages=prepared.new,
            unsent=prepared.unsent,
        )  # fmt: skip

    @asynccontextmanager
    async def _streamed(self, prepared: Prepared) -> AsyncIterator[Streaming]:
        """The answer's stream, not begun; closed at the end, and stopped by `stop` meanwhile."""
        room = prepared.budget.answer_room

        def opened(on_sent: OnSent) -> AsyncGenerator[ChatPart]:
            return self._engine.stream(prepared.messages, room, on_sent)

        streaming = Streaming(opened)
        if self._is_stopping:
            streaming.stop()
        self._streaming = streaming
        try:
            yield streaming
        finally:
            self._streaming = None
            await streaming.close()

    async def _short_answer(self, messages: Sequence[Message], max_tokens: int) -> str:
        """The text of a short answer that is not shown."""
        self._streaming = streaming = Streaming(
            lambda sent: self._engine.stream(messages, max_tokens, sent)
        )
        if self._is_stopping:
            streaming.stop()
        try:
            async with aclosing(streaming.parts()) as parts:
                return "".join([part.text async for part in parts])
        finally:
            self._streaming = None

    def _planned(self, asked: Turn, prepared: Prepared) -> Planned:
        count = harmless(asked.text, self._control_texts).count
        note = f"{count} control texts of the model were sent as plain text."
        return Planned(
            asked, prepared.budget, prepared.passages, prepared.left_out, (note,) if count else (),
            prepared.shared_tokens, prepared.unsent,
        )

    def _nothing_found(self, asked: Turn, prepared: Prepared) -> Ended:
        answer = self._chats.begin_answer(asked.id, ())
        nothing = Checked(citations=(), removed=(), marks=())
        kept = self._chats.finish(
            answer.id, NOT_FOUND, sent=NOT_FOUND, prompt_tokens=0, answer_tokens=0,
            checked=nothing.model_dump_json(),
        )
        return Ended(kept, nothing, found=False, predicted=prepared.predicted)

    async def _answer(
        self, asked: Turn, prepared: Prepared, branch: tuple[Turn, ...], streaming: Streaming
    ) -> AsyncGenerator[News]:
        answer = self._chats.begin_answer(asked.id, (*prepared.request, asked.id))
        async with aclosing(self._answer_in(answer, asked, prepared, branch, streaming)) as news:
            async for one in news:
                yield one

    async def _answer_in(
        self, answer: Turn, asked: Turn, prepared: Prepared, branch: tuple[Turn, ...],
        streaming: Streaming,
    ) -> AsyncGenerator[News]:  # fmt: skip
        written = _Written(CitationReader(prepared.passages))
        try:
            async with aclosing(self._pieces(answer, written, streaming)) as pieces:
                async for piece in pieces:
                    yield piece
        except OllamaError as error:
            if rest := self._keep(answer, written, error.title):
                yield Piece(rest)
            smaller = await self._smaller(asked, prepared, branch, error)
            if smaller is None:
                raise
            self._chats.begin_anew(answer.id, (*smaller.request, asked.id))
            yield self._planned(asked, smaller)
            async with self._streamed(smaller) as again:
                second = self._answer_in(answer, asked, smaller, branch, again)
                async with aclosing(second):
                    async for news in second:
                        yield news
            return
        except (asyncio.CancelledError, GeneratorExit):
            self._keep(answer, written, STOPPED)
            raise
        except UserError as error:
            if rest := self._keep(answer, written, error.title):
                yield Piece(rest)
            raise
        yield self._ended(answer, prepared, written)

    async def _pieces(
        self, answer: Turn, written: "_Written", streaming: Streaming
    ) -> AsyncGenerator[Piece]:
        kept_at = time.monotonic()
        async with aclosing(streaming.parts()) as parts:
            async for part in parts:
                shown = written.take(part)
                if shown or part.thinking:
                    yield Piece(shown, part.thinking)
                if time.monotonic() - kept_at >= _KEEP_S:
                    self._keep(answer, written)
                    kept_at = time.monotonic()
        if rest := written.reader.finish():
            yield Piece(rest)
        written.is_stopped = streaming.is_stopped

    def _keep(self, answer: Turn, written: "_Written", reason: str = "") -> str:
        """Keep what there is; with a reason it is all, and what was held back of it comes back."""
        reader = written.reader
        rest = reader.finish() if reason else ""
        more = {"reason": reason} if reason else {}
        self._chats.keep_partial(answer.id, reader.text, reader.raw, **more)
        return rest

    def _ended(self, answer: Turn, prepared: Prepared, written: "_Written") -> Ended:
        reader, last = written.reader, written.last
        found = checked(reader)
        if written.is_stopped or last is None:
            reason = STOPPED
        else:
            reason = NO_ROOM if last.stop_reason == "length" else ""
            self._counter.learn(prepared.messages, last.prompt_tokens)
        kept = self._chats.finish(
            answer.id, reader.text, sent=reader.raw, reason=reason,
            prompt_tokens=last.prompt_tokens if last else 0,
            answer_tokens=last.answer_tokens if last else 0, checked=found.model_dump_json(),
        )
        has_documents = self._search is not None or bool(self._here.passages)
        is_found = not (has_documents and says_not_found(reader.text))
        warning = self._warning(prepared.predicted, last)
        return Ended(kept, found, is_found, prepared.predicted, warning)

    def _warning(self, predicted: int, last: ChatPart | None) -> str:
        counted = last.prompt_tokens if last else 0
        if not counted or counted >= predicted or not self._counter.is_exact:
            return ""
        return (
            f"The server read {counted:,} tokens of the prompt's {predicted:,}: some of the text "
            "may have been cut."
        )

    async def _smaller(
        self, asked: Turn, prepared: Prepared, branch: tuple[Turn, ...], error: OllamaError
    ) -> Prepared | None:
        """Less history, if the server found the prompt too long; None if that cannot help."""
        excess = excess_of(error)
        if excess is None or not prepared.request:
            return None
        self._counter.learn(prepared.messages, excess.prompt_tokens)
        over = excess.prompt_tokens - (excess.window or self._engine.window)
        slack = max(over, 0) + prepared.budget.history // 2 + 1
        made = await self._preparer.prepare_again(branch, asked, slack + prepared.budget.free)
        return made if len(made.request) < len(prepared.request) else None


class _Written:
    """An answer while it comes."""

    def __init__(self, reader: CitationReader) -> None:
        self.reader = reader
        self.last: ChatPart | None = None
        self.is_stopped = False

    def take(self, part: ChatPart) -> str:
        """What can be shown after one more part."""
        if part.done:
            self.last = part
        return self.reader.feed(part.text) if part.text else ""
