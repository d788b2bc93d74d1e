"""A conversation over a scripted server: its pieces, and what a test reads of them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from desktop.chat.conversations import Conversations
from desktop.chat.counting import Counter, Message
from desktop.chat.engines import OllamaChat
from desktop.chat.news import Ended, News, Piece
from desktop.chat.passages import Passage
from desktop.chat.session import ChatSession
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.limits import Limits
from tests.servers.scripted_classes import rendered
from tests.servers.scripted_ollama import Reply, ScriptedOllama, chat_line

WINDOW = 1024
MODEL = {"template": "{{ .Role }} in ChatML"}


class WordCounter:
    """The scripted server's own way to count: a word of the rendered text is a token."""

    is_exact = True

    async def prompt(self, messages: Sequence[Message]) -> int:
        return len(rendered("34", MODEL, "", list(messages)).split())

    async def texts(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def learn(self, messages: Sequence[Message], prompt_tokens: int) -> None: ...


@asynccontextmanager
async def talking(
    server: ScriptedOllama, home: Path, *, window: int = WINDOW, system: str = "Be kind.",
    limits: Limits | None = None, conversation: int | None = None,
    counter: Counter | None = None, **more: Any,
) -> AsyncIterator[tuple[ChatSession, Conversations, int]]:  # fmt: skip
    """A session in a conversation of its own, or in an older one."""
    server.models.setdefault("m:latest", MODEL)
    with Conversations(home) as chats:
        here = conversation or chats.create("m", window, system=system).id
        async with OllamaClient(server.url, limits or Limits(answer_s=5, line_s=5)) as client:
            engine = OllamaChat(client, "m", window)
            yield ChatSession(chats, here, engine, counter or WordCounter(), **more), chats, here


def answer(*texts: str, **last: Any) -> Reply:
    """A whole answer in pieces."""
    end = chat_line("", done=True) | {"prompt_eval_count": 0} | last
    return Reply((*map(chat_line, texts), end))


async def said(news: Any) -> list[News]:
    """All of it, to the end."""
    return [one async for one in news]


def shown(news: Sequence[News]) -> str:
    return "".join(one.text for one in news if isinstance(one, Piece))


def ended(news: Sequence[News]) -> Ended:
    [one] = [one for one in news if isinstance(one, Ended)]
    return one


def prompts(server: ScriptedOllama) -> list[list[Message]]:
    """The messages of each request that was to be answered, in order."""
    return [request.json["messages"] for request in server.seen("POST", "/api/chat")]


def passage(n: int, text: str, page: int = 1) -> Passage:
    return Passage(n=n, file="a.pdf", path="/a.pdf", page=page, text=text)


async def nothing(_query: str) -> Sequence[Passage]:
    await asyncio.sleep(0)
    return ()
