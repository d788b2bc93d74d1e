"""The built-in engine as a conversation's engine: one child that keeps its model and its cache."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Any

from converters.llama.answer import Answer
from desktop.chat.counting import Message
from desktop.chat.engines import OnSent
from desktop.engine.builtin import BuiltinModel
from desktop.engine.chat import prompt_ids, render_prompt, template_of, with_system
from desktop.engine.child import EngineChild
from desktop.ollama_api.replies import ChatPart


class BuiltinChat:
    """A model of the built-in engine in a child of its own; close it. Implements `ChatEngine`.

    options go over the model's own parameters. Raises UserError: damaged file, no memory.
    """

    def __init__(
        self, model: BuiltinModel, window: int, *, threads: int = 2,
        options: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.model = model.name
        self.window = window
        self._card = model.card
        self._template = template_of(model)
        self._options = {**model.card.parameters, **(options or {})}
        # A template may tell the day: one for the whole talk keeps the prompts' beginnings equal.
        self._now = datetime.now()
        self.child = EngineChild(model.gguf, n_ctx=window, threads=threads, revives=True)

    def close(self) -> None:
        """End the child, whatever it does."""
        self.child.close()

    async def render(self, messages: Sequence[Message]) -> str:
        """See `ChatEngine.render`."""
        return await asyncio.to_thread(self._render, messages)

    async def stream(
        self, messages: Sequence[Message], max_tokens: int, on_sent: OnSent = lambda: None
    ) -> AsyncGenerator[ChatPart]:
        """See `ChatEngine.stream`. The child goes on where the prompt differs from the last one."""
        loop = asyncio.get_running_loop()
        texts: asyncio.Queue[str | None] = asyncio.Queue()
        is_left = False

        def on_text(text: str) -> None:
            loop.call_soon_threadsafe(texts.put_nowait, text)

        def write() -> Answer:
            return self.child.answer(
                self._ids(messages), max_tokens, stops=self._card.stops, options=self._options,
                on_text=on_text, should_stop=lambda: is_left,
            )  # fmt: skip

        writing = asyncio.create_task(asyncio.to_thread(write))
        on_sent()
        writing.add_done_callback(lambda _done: texts.put_nowait(None))
        try:
            while (text := await texts.get()) is not None:
                yield ChatPart(text, "", done=False)
            answer = writing.result()
            yield ChatPart(
                "", "", done=True, stop_reason=answer.stop_reason,
                prompt_tokens=answer.prompt_tokens, answer_tokens=len(answer.ids),
            )
        finally:
            is_left = True
            await _ended(writing)

    def _render(self, messages: Sequence[Message]) -> str:
        conversation = with_system(messages, self._card)
        info = self.child.vocabulary()
        return render_prompt(self.child, info, self._template, conversation, now=self._now)

    def _ids(self, messages: Sequence[Message]) -> list[int]:
        conversation = with_system(messages, self._card)
        return prompt_ids(self.child, self._template, conversation, now=self._now)


async def _ended(writing: "asyncio.Task[Answer]") -> None:
    """Wait for the child to leave off, so that its thread is free; its error was raised before."""
    try:
        await asyncio.shield(writing)
    except Exception:
        return
