"""HTTP by hand, so that a test can make it go wrong at any byte: replies, endings, connections.

Knows no Ollama; `scripted_ollama` gives the answers that no script asked for.
"""

import asyncio
import json
import ssl
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

Ending = Literal["end", "eof", "reset", "stall", "hang"]
"""After the body: a proper end, a closed connection (eof) or a reset one, both without a head if
there is no body, or silence with the connection open: stall still takes what the client sends and
has sent its head, hang does neither."""


@dataclass(frozen=True)
class Reply:
    """What to answer. lines: each a JSON object, or bytes sent as they are.

    pause_s: before each line. byte_s: before each byte of a line. after_request_bytes: act after
    so much of the request's body instead of reading all of it.
    """

    lines: tuple[Any, ...] = ()
    status: int = 200
    then: Ending = "end"
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/x-ndjson"),)
    pause_s: float = 0.0
    byte_s: float = 0.0
    after_request_bytes: int | None = None


@dataclass(frozen=True)
class Request:
    """A request that was seen. body: what was read of it. headers: names in lower case."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object."""
        return json.loads(self.body)


@dataclass
class ScriptedServer:
    """A server's script and what it saw; tests read and change both while it runs."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    _script: dict[tuple[str, str], deque[Reply]] = field(default_factory=lambda: defaultdict(deque))

    def script(self, method: str, path: str, *replies: Reply) -> None:
        """Answer the next requests of this kind so. path: exact, `/api/blobs` for any digest."""
        self._script[method, path].extend(replies)

    def seen(self, method: str, path: str) -> list[Request]:
        """The requests of this kind so far."""
        return [r for r in self.requests if r.method == method and path_kind(r.path) == path]

    def next_reply(self, method: str, path: str) -> Reply | None:
        """Take the next scripted reply for a request, if there is one."""
        queue = self._script[method, path_kind(path)]
        return queue.popleft() if queue else None

    def answer(self, request: Request) -> Reply:
        """The unscripted answer."""
        return Reply(({"error": f"no route {request.path}"},), 404)


def path_kind(path: str) -> str:
    """The path without a digest."""
    return "/api/blobs" if path.startswith("/api/blobs/") else path


@contextmanager
def serving[State: ScriptedServer](
    state: State, *, port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[State]:
    """Run the server on a loop in a thread of its own, for the block."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(
        lambda reader, writer: _connection(state, reader, writer), "127.0.0.1", port, ssl=tls,
    ))  # fmt: skip
    scheme = "https" if tls else "http"
    state.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    thread = threading.Thread(target=loop.run_forever, name="scripted-server")
    thread.start()
    try:
        yield state
    finally:
        asyncio.run_coroutine_threadsafe(_shut(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _shut(server: asyncio.Server) -> None:
    server.close()
    # A connection accepted a moment ago gets its task only in the next round of the loop.
    await asyncio.sleep(0.01)
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in others:
            task.cancel()
        await asyncio.wait(others, timeout=1)
    # Aborted sockets are closed by callbacks of the next round.
    await asyncio.sleep(0)


async def _connection(
    state: ScriptedServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await _exchange(state, reader, writer)
        with suppress(ConnectionError, ssl.SSLError):
            writer.close()
            await writer.wait_closed()
    except asyncio.CancelledError:
        writer.transport.abort()


async def _exchange(
    state: ScriptedServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One request and its answer; every connection is closed after it."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    method, path, _ = head.split(" ", 2)
    headers = _headers(head)
    reply = state.next_reply(method, path)
    limit = reply.after_request_bytes if reply else None
    length = int(headers.get("content-length", 0))
    body = await reader.readexactly(length if limit is None else limit)
    request = Request(method, path, body, headers)
    state.requests.append(request)
    reply = reply or state.answer(request)
    if reply.then == "hang":
        await state.closing.wait()
    if reply.then not in ("reset", "eof") or reply.lines:
        await _send(writer, reply)
    if reply.then == "stall":
        # Until the client gives up and closes its side.
        while await reader.read(1 << 16):
            pass
    if reply.then == "reset":
        writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    head = [f"HTTP/1.1 {reply.status} Scripted", "connection: close"]
    head += [f"{name}: {value}" for name, value in reply.headers]
    writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
    for line in reply.lines:
        await asyncio.sleep(reply.pause_s)
        raw = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
        step = 1 if reply.byte_s else max(1, len(raw))
        for start in range(0, len(raw), step):
            await asyncio.sleep(reply.byte_s)
            writer.write(raw[start : start + step])
            await writer.drain()


def _headers(head: str) -> dict[str, str]:
    lines = head.split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.lower(): value.strip() for name, _, value in pairs}
