"""What a conversation adds to the time of a streamed answer, over a raw socket.

    python -m tests.benchmarks.bench_chat

The scripted server, in a process of its own, writes its clock into every token, so one token's way
is measured alone. The sides take turns. Milliseconds: median and p99. "request" begins where the
messages are ready; "question" also with search left out: preparing the prompt, and keeping it.
"""

import asyncio
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import aclosing
from multiprocessing.connection import Connection
from pathlib import Path

from desktop.chat.citations import CitationReader
from desktop.chat.conversations import Conversations
from desktop.chat.engines import OllamaChat
from desktop.chat.news import Piece
from desktop.chat.session import ChatSession
from desktop.chat.streaming import Streaming
from desktop.ollama_api.client import OllamaClient
from tests.desktop.chat.talking import WordCounter

RATES = (20, 200, 1_000)
TURNS, TOKENS = 30, 40
WINDOW = 32_768


def main() -> None:
    """Print the table."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,))
    server.start()
    try:
        asyncio.run(_measure(ours.recv()))
    finally:
        server.kill()
        server.join()


async def _measure(url: str) -> None:
    print(f"{'tokens/s':>9}{'':>22}{'raw socket':>20}{'conversation':>20}{'added':>16}")
    for rate in RATES:
        raw_first, raw_way, own_first, own_way, request = [], [], [], [], []
        with tempfile.TemporaryDirectory() as folder, Conversations(Path(folder)) as chats:
            raw = await _Raw.open(url)
            async with OllamaClient(url) as client:
                engine = OllamaChat(client, f"m{rate}", WINDOW)
                await client.chat(engine.model, [])  # connected, as after `show`
                for _ in range(TURNS):
                    here = chats.create(engine.model, WINDOW).id
                    session = ChatSession(chats, here, engine, WordCounter())
                    first, way = await raw.ask(rate)
                    raw_first.append(first)
                    raw_way += way
                    request.append(await _request(engine))
                    first, way = await _own(session)
                    own_first.append(first)
                    own_way += way
            await raw.close()
        _row(rate, "request to first token", raw_first, request)
        _row(rate, "question to first token", raw_first, own_first)
        _row(rate, "way of a token", raw_way, own_way)


async def _request(engine: OllamaChat) -> float:
    """Seconds from messages to the first token that can be shown."""
    start, first = time.time(), 0.0
    reader = CitationReader(())
    messages = [{"role": "user", "content": "How large was it?"}]
    streaming = Streaming(lambda sent: engine.stream(messages, 100, sent))
    await streaming.begin()
    async with aclosing(streaming.parts()) as parts:
        async for part in parts:
            if reader.feed(part.text).strip():
                first = first or time.time() - start
    return first


async def _own(session: ChatSession) -> tuple[float, list[float]]:
    """Seconds to the first token, and of each token from the server's clock to here."""
    start, arrived = time.time(), []
    async with aclosing(session.send("How large was it?")) as news:
        async for one in news:
            if isinstance(one, Piece) and one.text.strip():
                arrived.append((time.time(), float(one.text)))
    return arrived[0][0] - start, [here - there for here, there in arrived]


class _Raw:
    """The least that can be done: one socket that stays open, as Ollama keeps it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, url: str) -> "_Raw":
        host, port = url.removeprefix("http://").split(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def ask(self, rate: int) -> tuple[float, list[float]]:
        start, arrived = time.time(), list[tuple[float, float]]()
        body = json.dumps({"model": f"m{rate}", "messages": []}).encode()
        head = f"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        async for line in self._reader:
            if line == b"0\r\n":  # the last chunk; an empty line follows
                await self._reader.readline()
                break
            if line.startswith(b'{"m') and (text := json.loads(line)["message"]["content"]):
                arrived.append((time.time(), float(text)))
        return arrived[0][0] - start, [here - there for here, there in arrived]

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


def _row(rate: int, what: str, raw: Sequence[float], own: Sequence[float]) -> None:
    sides = [(statistics.median(side) * 1e3, sorted(side)[int(len(side) * 0.99)] * 1e3)
             for side in (raw, own)]  # fmt: skip
    cells = "".join(f"{median:12.2f}{p99:8.2f}" for median, p99 in sides)
    print(f"{rate:9}  {what:>24}{cells}{sides[1][0] - sides[0][0]:8.2f}"
          f"{sides[1][1] - sides[0][1]:8.2f}")  # fmt: skip


def _serve(pipe: Connection) -> None:
    asyncio.run(_serving(pipe))


async def _serving(pipe: Connection) -> None:
    server = await asyncio.start_server(_connection, "127.0.0.1", 0)
    pipe.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        await server.serve_forever()


async def _connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers in chunks on a connection that stays open, as Ollama does."""
    try:
        while True:
            await _exchange(reader, writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length:")[2].split()[0])
    body = json.loads(await reader.readexactly(length))
    rate = int(body["model"].removeprefix("m"))
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
                 b"Transfer-Encoding: chunked\r\n\r\n")  # fmt: skip
    for _ in range(TOKENS):
        await asyncio.sleep(1 / rate)
        message = {"role": "assistant", "content": f"{time.time():.6f} "}
        _chunk(writer, {"message": message, "done": False})
    end = {"message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": TOKENS}
    _chunk(writer, end)
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def _chunk(writer: asyncio.StreamWriter, entry: dict[str, object]) -> None:
    line = json.dumps(entry).encode() + b"\n"
    writer.write(b"%x\r\n%b\r\n" % (len(line), line))


if __name__ == "__main__":
    main()
