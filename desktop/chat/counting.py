"""How many tokens a prompt has, before it is sent.

Exact by the vocabulary of the model's own file where that can be read. Elsewhere an upper bound,
which becomes close with the first counts that the server tells (`prompt_eval_count`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from desktop.engine.child import EngineChild  # numpy: 150 ms that a window has not to wait for

Message = dict[str, str]
Render = Callable[[Sequence[Message]], Awaitable[str]]


class Counter(Protocol):
    """Counts for one model. is_exact: `prompt` gives what the server will count."""

    @property
    def is_exact(self) -> bool: ...

    async def prompt(self, messages: Sequence[Message]) -> int:
        """Tokens of the whole prompt of these messages, open for an answer."""
        ...

    async def texts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by itself."""
        ...

    def learn(self, messages: Sequence[Message], prompt_tokens: int) -> None:
        """Take in what the server counted for a prompt."""
        ...


class VocabularyCounter:
    """Counts by libllama on the model's file. child: opened with vocab_only, closed by its owner.

    render: the text that the server gives the model for messages.
    """

    is_exact = True

    def __init__(self, child: "EngineChild", render: Render) -> None:
        self._child = child
        self._render = render
        self._info = child.vocabulary()

    async def prompt(self, messages: Sequence[Message]) -> int:
        """See `Counter.prompt`."""
        text = await self._render(messages)
        [ids] = await asyncio.to_thread(self._child.tokenize, [text])
        info = self._info
        has_bos = not info.add_bos or info.bos is None or ids[:1] == [info.bos]
        return len(ids) + (not has_bos)

    async def texts(self, texts: Sequence[str]) -> list[int]:
        """See `Counter.texts`."""
        return list(map(len, await asyncio.to_thread(self._child.tokenize, texts)))

    def learn(self, messages: Sequence[Message], prompt_tokens: int) -> None:
        """See `Counter.learn`; there is nothing to learn."""


_FRAME = 16  # tokens of a template around one message, as a bound
_HEAD = 256  # of a template before the first message: default system texts
_REMEMBERED = 8
_MARGIN = 1.15
_TELLING_BYTES = 400  # a shorter prompt is mostly frame


class CalibratedCounter:
    """Counts by bytes: no vocabulary has more tokens than bytes, and a model's own ratio is learnt.

    What the server counted for the beginning of a prompt is taken as it is.
    """

    is_exact = False

    def __init__(self) -> None:
        self.tokens_per_byte = 1.0
        self._learnt_ratio = 0.0
        self._known: list[tuple[tuple[tuple[str, str], ...], int]] = []

    async def prompt(self, messages: Sequence[Message]) -> int:
        """See `Counter.prompt`: an upper bound."""
        key = _key(messages)
        start, tokens = 0, _HEAD
        for known, counted in self._known:
            if len(known) > start and key[: len(known)] == known:
                start, tokens = len(known), counted
        sizes = await self.texts([text for _, text in key[start:]])
        return tokens + sum(size + _FRAME for size in sizes)

    async def texts(self, texts: Sequence[str]) -> list[int]:
        """See `Counter.texts`: upper bounds."""
        return [int(_bytes(text) * self.tokens_per_byte) + 1 for text in texts]

    def learn(self, messages: Sequence[Message], prompt_tokens: int) -> None:
        """See `Counter.learn`. The ratio is the largest that was seen, and a margin."""
        if prompt_tokens <= 0:
            return
        key = _key(messages)
        self._known = [*self._known[1 - _REMEMBERED :], (key, prompt_tokens)]
        n_bytes = sum(_bytes(text) for _, text in key)
        if n_bytes >= _TELLING_BYTES:
            self._learnt_ratio = max(self._learnt_ratio, prompt_tokens / n_bytes)
            self.tokens_per_byte = min(1.0, self._learnt_ratio * _MARGIN)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _key(messages: Sequence[Message]) -> tuple[tuple[str, str], ...]:
    return tuple((message["role"], message["content"]) for message in messages)
