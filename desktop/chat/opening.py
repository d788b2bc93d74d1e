"""What a conversation needs of its model before the first question: its window and a counter."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from converters.errors import UserError
from desktop.chat.budget import DEFAULT_WINDOW, window_for
from desktop.chat.counting import CalibratedCounter, Counter, VocabularyCounter
from desktop.chat.engines import ChatEngine
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.store import model_file


@dataclass(frozen=True)
class Counting:
    """counter: for one model. control_texts: of its vocabulary, where known. why: one sentence on
    how exact it is."""

    counter: Counter
    control_texts: Sequence[str]
    why: str


async def window_of(client: OllamaClient, model: str, wanted: int = DEFAULT_WINDOW) -> int:
    """The window of a new conversation with a model of Ollama: as wanted, at most the model's."""
    shown = await client.show(model)
    architecture = shown.model_info.get("general.architecture", "")
    return window_for(int(shown.model_info.get(f"{architecture}.context_length") or 0), wanted)


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
        why = "Tokens are counted exactly, by the model's own vocabulary."
        yield Counting(counter, tuple(info.special_texts.values()), why)
    finally:
        child.close()
