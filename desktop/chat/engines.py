"""A model as a conversation uses it: one window, one way to ask, whatever serves it."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from desktop.chat.counting import Message
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.replies import ChatPart

KEEP_LOADED = "10m"
OnSent = Callable[[], None]


def _nobody() -> None:
    """Nobody wants to know."""


class ChatEngine(Protocol):
    """window: tokens of context, of every request."""

    @property
    def model(self) -> str: ...

    @property
    def window(self) -> int: ...

    def stream(
        self, messages: Sequence[Message], max_tokens: int, on_sent: OnSent = ...
    ) -> AsyncGenerator[ChatPart]:
        """The parts of an answer; closing it stops the model. Raises UserError.

        on_sent: called once the model has the whole request.
        """
        ...

    async def render(self, messages: Sequence[Message]) -> str:
        """The text that the model is given for these messages."""
        ...


class OllamaChat:
    """A model of an Ollama server. options: sampling, beside the window. think: as /api/chat's.

    Every request has the same window and `shift: false`: another value loads the model anew, and
    with a shift the server drops the oldest text in silence (FACTS 3.8).
    """

    def __init__(
        self, client: OllamaClient, model: str, window: int, *,
        options: dict[str, Any] | None = None, think: bool | str | None = None,
    ) -> None:  # fmt: skip
        self._client = client
        self.model = model
        self.window = window
        self._options = options or {}
        self._think = think

    async def stream(
        self, messages: Sequence[Message], max_tokens: int, on_sent: OnSent = _nobody
    ) -> AsyncGenerator[ChatPart]:
        """See `ChatEngine.stream`."""
        parts = self._client.chat_stream(
            self.model, messages, on_sent, options=self._all_options(max_tokens),
            think=self._think, shift=False, keep_alive=KEEP_LOADED,
        )
        async with aclosing(parts):
            async for part in parts:
                yield part

    async def render(self, messages: Sequence[Message]) -> str:
        """See `ChatEngine.render`."""
        return await self._client.render(
            self.model, messages, think=self._think, options=self._all_options(1), shift=False,
            keep_alive=KEEP_LOADED,
        )

    def _all_options(self, max_tokens: int) -> dict[str, Any]:
        return {**self._options, "num_ctx": self.window, "num_predict": max_tokens}
