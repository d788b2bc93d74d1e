"""The option `--meaning`: which model embeds for a search, opened only if there is one.

Nothing is imported for it, and nothing is waited for, where no Ollama answers. Text of a document
goes to another machine only with its owner's consent (FAULTS S8).
"""

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from converters.errors import UserError
from desktop.commands.consent_question import require_allowed, say_aside
from desktop.commands.context import Context
from desktop.documents.embedder import Embedder
from desktop.documents.minilm_embedder import MINILM, MinilmEmbedder, is_installed
from desktop.ollama_api.address import is_loopback, server_url
from desktop.ollama_api.errors import OllamaError
from desktop.ollama_api.replies import Tag

AUTO, OFF = "auto", "off"
_LISTENS_S = 0.2  # this machine refuses a connection at once
_LISTED_S = 2.0


@dataclass(frozen=True)
class MeaningWish:
    """model: auto, off, minilm or a model of Ollama. allowed: hosts that documents may go to."""

    model: str = AUTO
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Slot:
    """embedder: None for words alone. told: what embeds, else why nothing does."""

    embedder: Embedder | None
    told: str


def words_alone(context: Context, wish: MeaningWish) -> str | None:
    """Why a search is by words alone, "" if that was asked for; None if a model must be looked for.

    Asks nobody but this machine, whether anything listens.
    """
    if wish.model == OFF:
        return ""
    if wish.model != AUTO or is_installed():
        return None
    return _server_away(context) or None


@asynccontextmanager
async def opened_slot(context: Context, wish: MeaningWish) -> AsyncIterator[Slot]:
    """The embedder that is wished for, or none and the reason.

    Raises UserError if a model that was named would get documents on a machine that is not allowed.
    """
    async with AsyncExitStack() as stack:
        yield await _slot(stack, context, wish)


def say_how(told: str, *, has_meaning: bool) -> None:
    """How the search was done, in one line of standard error."""
    how = f"words and meaning ({told})" if has_meaning else f"words alone: {told}"
    say_aside(f"Searched by {how.rstrip('.')}.")


async def _slot(stack: AsyncExitStack, context: Context, wish: MeaningWish) -> Slot:
    if wish.model not in (AUTO, MINILM):
        return await _of_ollama(stack, context, wish)
    reason = ""
    if wish.model == AUTO and not (reason := _server_away(context)):
        found = await _of_ollama(stack, context, wish)
        if found.embedder is not None:
            return found
        reason = found.told
    if wish.model == AUTO and not is_installed():
        return Slot(None, reason)
    try:
        return Slot(MinilmEmbedder.open(), MINILM)
    except UserError as error:
        return Slot(None, _in_short(error))


def _server_away(context: Context) -> str:
    """Why no Ollama is asked for a model that nobody named, "" if one is."""
    url = server_url(context.host)
    if context.engine == "builtin":
        return "the built-in engine gives no embeddings"
    if not is_loopback(url):
        return f"documents go to no other machine unasked, and Ollama's is {url}"
    address = urlsplit(url)
    try:
        with socket.create_connection((address.hostname, address.port), _LISTENS_S):
            return ""
    except OSError:
        return f"no Ollama answers at {url}"


async def _of_ollama(stack: AsyncExitStack, context: Context, wish: MeaningWish) -> Slot:
    from desktop.documents.ollama_embedder import (
        OllamaEmbedder,
        embedding_models,
        held_models,
        tag_of,
    )
    from desktop.ollama_api.keys import key_for
    from desktop.ollama_api.limits import Limits
    from desktop.ollama_api.transport import Transport

    url = server_url(context.host)
    transport = Transport(url, Limits(answer_s=_LISTED_S), key_for(url))
    stack.push_async_callback(transport.close)
    try:
        held = await held_models(transport)
        if wish.model != AUTO:
            tag = tag_of(held, wish.model)
            require_allowed(context, tag.name, _hosts(url, tag), wish.allowed)
        else:
            tag = next((one for one in embedding_models(held) if not _hosts(url, one)), None)
    except OllamaError as error:
        return Slot(None, _in_short(error))
    if tag is None:
        return Slot(None, f"the Ollama at {url} holds no embedding model that runs here")
    return Slot(OllamaEmbedder(transport, tag.name, tag.digest), f"{tag.name} of Ollama at {url}")


def _hosts(url: str, tag: Tag) -> tuple[str, ...]:
    from desktop.chat.consent import destinations

    return destinations(url, tag.name, tag.remote_host, tag.is_remote)


def _in_short(error: UserError) -> str:
    return f"{error.title} {error.detail}".strip()
