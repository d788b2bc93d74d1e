"""What a conversation needs of its model before the first question: a window, a way to ask, a way
to count, and where what is asked goes to."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from converters.errors import UserError
from desktop.chat.budget import DEFAULT_WINDOW, window_for
from desktop.chat.consent import destinations
from desktop.chat.counting import CalibratedCounter, Counter, VocabularyCounter
from desktop.chat.engines import ChatEngine, OllamaChat
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.replies import Show
from desktop.ollama_api.store import model_file

if TYPE_CHECKING:
    from desktop.engine.builtin import BuiltinModel

_MOST_THREADS = 8


@dataclass(frozen=True)
class Counting:
    """counter: for one model. control_texts: of its vocabulary, where known. why: one sentence on
    how exact it is."""

    counter: Counter
    control_texts: Sequence[str]
    why: str


@dataclass(frozen=True)
class Talker:
    """A model that is ready to talk. destinations: other machines that texts go to, () for none."""

    engine: ChatEngine
    counting: Counting
    destinations: tuple[str, ...] = ()


@dataclass(frozen=True)
class TalkWish:
    """window: tokens, at most the model's own. think: let a model that can think do so first.

    is_steady: the likeliest word always, so that one question has one answer as far as the server
    repeats itself (its prompt cache rounds); else as the model's own parameters say.
    """

    window: int = DEFAULT_WINDOW
    think: bool = False
    is_steady: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """Sampling options over the model's own."""
        return {"temperature": 0.0, "seed": 0} if self.is_steady else {}


@asynccontextmanager
async def ollama_talker(
    client: OllamaClient, model: str, wish: TalkWish
) -> AsyncIterator[Talker]:
    """A model of an Ollama server. Raises UserError: not there, or no model that talks."""
    shown = await client.show(model)
    _require_talk(model, shown)
    think = wish.think if "thinking" in shown.capabilities else None
    window = window_for(_context_of(shown), wish.window)
    engine = OllamaChat(client, model, window, options=wish.options, think=think)
    hosts = destinations(client.url, model, shown.remote_host, shown.is_remote)
    async with counting(client, engine) as counted:
        yield Talker(engine, counted, hosts)


@asynccontextmanager
async def builtin_talker(model: "BuiltinModel", wish: TalkWish) -> AsyncIterator[Talker]:
    """A model of the built-in engine, in a child of its own. Raises UserError: damaged file."""
    from converters.gguf.header import read_header
    from desktop.chat.builtin_chat import BuiltinChat  # numpy

    header = read_header(model.gguf)
    context = int(header.number(f"{header.architecture}.context_length", 0))
    window = window_for(context, wish.window)
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    engine = await asyncio.to_thread(
        BuiltinChat, model, window, threads=threads, options=wish.options
    )
    try:
        counter = await asyncio.to_thread(VocabularyCounter, engine.child, engine.render)
        info = await asyncio.to_thread(engine.child.vocabulary)
        yield Talker(engine, Counting(counter, tuple(info.special_texts.values()), _EXACT))
    finally:
        engine.close()


@asynccontextmanager
async def counting(client: OllamaClient, engine: ChatEngine) -> AsyncIterator[Counting]:
    """Count by the vocabulary in the model's own file; by bytes where it cannot be read."""
    try:
        path, _ = await model_file(client, engine.model)
    except UserError as error:
        why = f"Tokens are counted as an upper bound: {error.title} {error.detail}".strip()
        yield Counting(CalibratedCounter(), (), why)
        return
    from desktop.engine.child import EngineChild  # numpy, and a child that takes 0.1-0.3 s

    child = await asyncio.to_thread(EngineChild, path, vocab_only=True)
    try:
        info = await asyncio.to_thread(child.vocabulary)
        counter = VocabularyCounter(child, engine.render)
        yield Counting(counter, tuple(info.special_texts.values()), _EXACT)
    finally:
        child.close()


_EXACT = "Tokens are counted exactly, by the model's own vocabulary."


def _context_of(shown: Show) -> int:
    architecture = shown.model_info.get("general.architecture", "")
    return int(shown.model_info.get(f"{architecture}.context_length") or 0)


def _require_talk(model: str, shown: Show) -> None:
    if "embedding" in shown.capabilities and "completion" not in shown.capabilities:
        raise UserError(
            f"{model} cannot answer.", "It makes vectors for search and writes no text.",
            "Choose another model; `tunedesk models` lists them.",
        )
