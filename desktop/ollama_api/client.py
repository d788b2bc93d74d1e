"""The one client of an Ollama server: each endpoint as a typed method. Knows no jobs, no files
but the one it uploads.

Why not the `ollama` package: it waits for ever, takes a cut stream as complete, follows redirects
with the key, and costs 0.3 s to import beyond httpx (FACTS 3.5).
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from desktop.ollama_api.address import server_url
from desktop.ollama_api.errors import OllamaError, OllamaStalled, StreamCut
from desktop.ollama_api.keys import key_for
from desktop.ollama_api.limits import Limits
from desktop.ollama_api.names import same_name
from desktop.ollama_api.outage import OnOutage
from desktop.ollama_api.pulling import PullProgress, PullStatus, read_pull_status
from desktop.ollama_api.replies import (
    ChatAnswer,
    ChatPart,
    ChatRequest,
    CreateStatus,
    Loaded,
    Message,
    Show,
    Tag,
    read_create_status,
    read_loaded,
    read_part,
    read_show,
    read_tag,
    whole_answer,
)
from desktop.ollama_api.transport import OnSent, Transport

UPLOAD_PIECE_BYTES = 1 << 20
VERSION_S = 5.0
_END_S = 0.05
_UNLOAD_S, _ASK_AGAIN_S = 10.0, 0.05
OnBytes = Callable[[int], None]
"""Told the bytes sent so far; may raise `Stopped` to end the upload."""


class OllamaClient:
    """An asynchronous client for one server; use it as `async with OllamaClient(url) as client`.

    url: any form of OLLAMA_HOST, None for the environment's or the default. on_outage: told when
    the server goes away and comes back (limits.reconnect_s). Every method raises the classes of
    `errors` and nothing else.
    """

    def __init__(
        self, url: str | None = None, limits: Limits | None = None,
        on_outage: OnOutage | None = None,
    ) -> None:  # fmt: skip
        self.url = server_url(url)
        self.limits = limits or Limits()
        self._transport = Transport(self.url, self.limits, key_for(self.url), on_outage)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def version(self) -> str:
        """The server's version text, e.g. "0.34.4"."""
        answer = await self._transport.exchange(
            "GET", "/api/version", limit_s=min(VERSION_S, self.limits.answer_s), needs="version"
        )
        return str(answer.get("version", ""))

    async def tags(self) -> list[Tag]:
        """The models the server holds, newest first."""
        answer = await self._transport.exchange("GET", "/api/tags", needs="models")
        return [read_tag(entry) for entry in answer.get("models") or ()]

    async def ps(self) -> list[Loaded]:
        """The models in memory."""
        answer = await self._transport.exchange("GET", "/api/ps", needs="models")
        return [read_loaded(entry) for entry in answer.get("models") or ()]

    async def show(self, name: str, *, verbose: bool = False) -> Show:
        """Everything the server tells about `name`. Raises `ModelNotFound`.

        verbose adds arrays and tensors, some megabytes.
        """
        body = {"model": name, "verbose": verbose}
        return read_show(name, await self._transport.exchange(
            "POST", "/api/show", body, model=name, needs="modelfile"))  # fmt: skip

    async def chat_stream(
        self, model: str, messages: Iterable[Message], on_sent: OnSent | None = None,
        **request: Any,
    ) -> AsyncGenerator[ChatPart]:  # fmt: skip
        """Yield the parts of an answer. Keyword arguments: the fields of `ChatRequest`.

        on_sent: called once the whole request is on its way.

        Wrap it in `contextlib.aclosing` if you may leave early: that stops the generation.

        Raises `StreamCut` (with the text so far) if the stream ends without its last line.
        """
        body = ChatRequest(model, tuple(messages), **request).body(stream=True)
        text = ""
        lines = self._transport.lines(
            "/api/chat", body, model=model, what="an answer", on_sent=on_sent
        )
        try:
            # Closed here and not by the garbage collector: the connection is free at once.
            async with aclosing(lines):
                async for entry in lines:
                    part = read_part(entry)
                    text += part.text
                    yield part
                    if part.done:
                        await _read_out(lines)
                        return
        except StreamCut as cut:
            cut.text = text
            raise
        raise StreamCut("an answer", text)

    async def chat(self, model: str, messages: Iterable[Message], **request: Any) -> ChatAnswer:
        """The whole answer; arguments and errors as `chat_stream`."""
        start = time.monotonic()
        async with aclosing(self.chat_stream(model, messages, **request)) as stream:
            parts = [part async for part in stream]
        return whole_answer(parts, time.monotonic() - start)

    async def render(
        self, model: str, messages: Iterable[Message], think: bool | str | None = None,
        *, is_loaded: bool = False, **request: Any,
    ) -> str:  # fmt: skip
        """The text that the server would give the model for `messages`, without generating.

        Loads the model (1-2 s); keep it loaded for many. Uses `_debug_render_only`. is_loaded:
        an answer takes milliseconds, so that a lost one is noticed within `answer_s`.
        """
        body = ChatRequest(model, tuple(messages), think=think, **request).body(
            stream=False, render_only=True
        )
        answer = await self._transport.exchange(
            "POST", "/api/chat", body, model=model, needs="_debug_info",
            limit_s=self.limits.answer_s if is_loaded else self.limits.first_line_s,
        )
        return str(answer["_debug_info"].get("rendered_template", ""))

    async def unload(self, model: str) -> None:
        """Take `model` out of memory, and wait until it is out.

        The server answers before that. One that is used meanwhile stays, and is left after 10 s.
        """
        body = {"model": model, "messages": [], "keep_alive": 0, "stream": False}
        await self._transport.exchange("POST", "/api/chat", body, model=model)
        end = time.monotonic() + _UNLOAD_S
        while any(same_name(one.name, model) for one in await self.ps()):
            if time.monotonic() > end:
                return
            await asyncio.sleep(_ASK_AGAIN_S)

    async def has_blob(self, digest: str) -> bool:
        """True if the store has a file of that name. digest: 64 hex digits.

        The server looks at the name only, never at the content.
        """
        return await self._transport.head(f"/api/blobs/sha256:{digest}")

    async def upload_blob(self, path: Path, digest: str, on_bytes: OnBytes | None = None) -> None:
        """Send the file; the server checks it against `digest` and refuses another content.

        Raises `OllamaRefused` (digest mismatch), `StreamCut` (server died), what on_bytes raises.
        """
        await self._transport.send_file(
            f"/api/blobs/sha256:{digest}", lambda: _pieces(path, on_bytes), path.stat().st_size
        )

    async def create(
        self, model: str, silence_s: float | None = None, **fields: Any
    ) -> AsyncGenerator[CreateStatus]:
        """Yield the progress of /api/create. Fields as in FACTS 3.1.

        silence_s: how long it may say nothing between two lines. Raises `BlobMissing`,
        `OllamaRefused`, and `StreamCut` if no "success" came.
        """
        body = {"model": model, "stream": True, **fields}
        what = "the creation of the model"
        lines = self._transport.lines(
            "/api/create", body, model=model, what=what, line_s=silence_s
        )
        async with aclosing(lines):
            async for entry in lines:
                status = read_create_status(entry)
                yield status
                if status.status == "success":
                    return
        raise StreamCut(what)

    async def copy(self, source: str, destination: str) -> None:
        """Give the model `source` a second name. Raises `ModelNotFound`."""
        body = {"source": source, "destination": destination}
        await self._transport.exchange("POST", "/api/copy", body, model=source)

    async def delete(self, model: str) -> None:
        """Remove the name, and the files that no other name uses. Raises `ModelNotFound`."""
        await self._transport.exchange(
            "DELETE", "/api/delete", {"model": model}, model=model, is_repeatable=False
        )

    async def pull(self, model: str) -> AsyncGenerator[PullStatus]:
        """Yield the progress of a download by the server. Leaving early (`aclosing`) stops it;
        what is there is kept for the next try.

        Raises `PullFailed`, `OllamaStalled` after limits.pull_s without a new byte of the model,
        and `StreamCut` if no "success" came.
        """
        what = f"the download of {model}"
        progress = PullProgress(self.limits.pull_s)
        lines = self._transport.lines(
            "/api/pull", {"model": model, "stream": True}, model=model, what=what,
            first_s=self.limits.pull_s, line_s=lambda: progress.silence_s,
        )
        async with aclosing(lines):
            async for entry in lines:
                status = read_pull_status(entry)
                if not progress.is_alive(status):
                    raise OllamaStalled(f"{what} ({progress.told})", self.limits.pull_s)
                yield status
                if status.status == "success":
                    return
        raise StreamCut(what)


async def _pieces(path: Path, on_bytes: OnBytes | None) -> AsyncGenerator[bytes]:
    sent = 0
    with path.open("rb") as file:
        # In a thread: a slow disk must not hold up the other requests of this loop.
        while piece := await asyncio.to_thread(file.read, UPLOAD_PIECE_BYTES):
            yield piece
            sent += len(piece)
            if on_bytes is not None:
                on_bytes(sent)


async def _read_out(lines: AsyncGenerator[object]) -> None:
    """Take the end of an answer behind its last line: a connection that is not read out cannot be
    used again, and the next question would begin with a new one (1 ms)."""
    with suppress(TimeoutError, OllamaError):
        async with asyncio.timeout(_END_S):
            await anext(lines, None)
