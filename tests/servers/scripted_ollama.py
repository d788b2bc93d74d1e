"""An Ollama over real HTTP whose faults are written by the test.

It keeps blobs and models as 0.34 does (hash check on upload, template and parameters stored, show
built from them) and answers every request from its script first. No weights, no rendering beyond
ChatML.
"""

import asyncio
import hashlib
import json
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

Ending = Literal["end", "reset", "stall", "hang"]
"""After the body: a proper end, a reset connection, or silence with the connection open: stall
still takes what the client sends and has sent its head, hang does neither."""


@dataclass(frozen=True)
class Reply:
    """What to answer. lines: each a JSON object, or bytes sent as they are.

    pause_s: before each line. after_request_bytes: act after so much of the request's body
    instead of reading all of it.
    """

    lines: tuple[Any, ...] = ()
    status: int = 200
    then: Ending = "end"
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/x-ndjson"),)
    pause_s: float = 0.0
    after_request_bytes: int | None = None


@dataclass(frozen=True)
class Request:
    """A request that was seen. body: what was read of it."""

    method: str
    path: str
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object."""
        return json.loads(self.body)


@dataclass
class ScriptedOllama:
    """The server's state; tests read and change it while it runs.

    alter: fields of a created model that the store changes on its own. forget_blobs: creations
    that find their blob gone (a restart pruned it), counted down.
    """

    version: str = "0.34.4"
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    blobs: dict[str, int] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    alter: dict[str, Any] = field(default_factory=dict)
    forget_blobs: int = 0
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    _script: dict[tuple[str, str], deque[Reply]] = field(default_factory=lambda: defaultdict(deque))

    def script(self, method: str, path: str, *replies: Reply) -> None:
        """Answer the next requests of this kind so. path: exact, `/api/blobs` for any digest."""
        self._script[method, path].extend(replies)

    def seen(self, method: str, path: str) -> list[Request]:
        """The requests of this kind so far."""
        return [r for r in self.requests if r.method == method and _kind(r.path) == path]

    def next_reply(self, method: str, path: str) -> Reply | None:
        """Take the next scripted reply for a request, if there is one."""
        queue = self._script[method, _kind(path)]
        return queue.popleft() if queue else None

    def answer(self, request: Request) -> Reply:
        """The unscripted answer."""
        kind = (request.method, _kind(request.path))
        return self._ANSWERS.get(kind, ScriptedOllama._unknown)(self, request)

    def _unknown(self, request: Request) -> Reply:
        return Reply(({"error": f"no route {request.path}"},), 404)

    def _version(self, _request: Request) -> Reply:
        return Reply(({"version": self.version},))

    def _tags(self, _request: Request) -> Reply:
        entries = [{"name": n, "model": n, "digest": "0" * 64, "size": 1} for n in self.models]
        return Reply(({"models": entries},))

    def _head_blob(self, request: Request) -> Reply:
        return Reply((), 200 if _digest(request.path) in self.blobs else 404)

    def _post_blob(self, request: Request) -> Reply:
        wanted, got = _digest(request.path), hashlib.sha256(request.body).hexdigest()
        self.blobs[got] = len(request.body)
        if wanted != got:
            text = f'digest mismatch, expected "sha256:{wanted}", got "sha256:{got}"'
            return Reply(({"error": text},), 400)
        return Reply((), 201)

    def _create(self, request: Request) -> Reply:
        body = request.json
        if "typical_p" in body.get("parameters", {}):
            return Reply(({"error": "typical_p is deprecated"},), 400)
        digest = next(iter(body["files"].values())).removeprefix("sha256:")
        if self.forget_blobs:
            self.forget_blobs -= 1
            self.blobs.pop(digest, None)
        if digest not in self.blobs:
            text = f"open /store/blobs/sha256-{digest}: no such file or directory"
            return Reply(({"error": text},), 400)
        self.models[_full(body["model"])] = {**body, "digest": digest, **self.alter}
        return Reply(({"status": "parsing GGUF"}, {"status": "success"}))

    def _show(self, request: Request) -> Reply:
        name = request.json["model"]
        model = self.models.get(_full(name))
        if model is None:
            return Reply(({"error": f"model '{name}' not found"},), 404)
        template = model.get("template", "{{ .Prompt }}")
        lines = [f"FROM /store/blobs/sha256-{model['digest']}", f'TEMPLATE """{template}"""']
        lines += [f"{key.upper()} {model[key]}" for key in ("renderer", "parser") if key in model]
        answer = {
            "modelfile": "\n".join(lines),
            "template": template,
            "system": model.get("system", ""),
            "parameters": _parameter_table(model.get("parameters", {})),
            "license": "\n".join(model.get("license", ())),
            "details": {"family": "llama"},
            "model_info": {"general.architecture": "llama"},
        }
        return Reply((answer,))

    def _copy(self, request: Request) -> Reply:
        source = _full(request.json["source"])
        if source not in self.models:
            return Reply(({"error": f"model '{source}' not found"},), 404)
        self.models[_full(request.json["destination"])] = self.models[source]
        return Reply(())

    def _delete(self, request: Request) -> Reply:
        if self.models.pop(_full(request.json["model"]), None) is None:
            return Reply(({"error": f"model '{request.json['model']}' not found"},), 404)
        return Reply(())

    def _chat(self, request: Request) -> Reply:
        if _full(request.json["model"]) not in self.models:
            return Reply(({"error": f"model '{request.json['model']}' not found"},), 404)
        if request.json.get("_debug_render_only"):
            turns = [f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n"
                     for m in request.json["messages"]]  # fmt: skip
            text = "".join(turns) + "<|im_start|>assistant\n"
            return Reply(({"done": False, "_debug_info": {"rendered_template": text}},))
        return Reply((chat_line("Hello"), chat_line(" there"), chat_line("", done=True)))

    _ANSWERS = {
        ("GET", "/api/version"): _version,
        ("GET", "/api/tags"): _tags,
        ("HEAD", "/api/blobs"): _head_blob,
        ("POST", "/api/blobs"): _post_blob,
        ("POST", "/api/create"): _create,
        ("POST", "/api/show"): _show,
        ("POST", "/api/copy"): _copy,
        ("DELETE", "/api/delete"): _delete,
        ("POST", "/api/chat"): _chat,
    }


def chat_line(text: str, *, done: bool = False) -> dict[str, Any]:
    """A line of /api/chat; the last one says `done` and has the counts."""
    line: dict[str, Any] = {"message": {"role": "assistant", "content": text}, "done": done}
    counts = {"done_reason": "stop", "prompt_eval_count": 7, "eval_count": 2}
    return line | (counts if done else {})


@contextmanager
def scripted_ollama(version: str = "0.34.4") -> Iterator[ScriptedOllama]:
    """Run a scripted server on a loop in a thread of its own, for the block."""
    state = ScriptedOllama(version)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(
        lambda reader, writer: _connection(state, reader, writer), "127.0.0.1", 0))  # fmt: skip
    state.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    thread = threading.Thread(target=loop.run_forever, name="scripted-ollama")
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
    state: ScriptedOllama, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await _exchange(state, reader, writer)
        with suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()
    except asyncio.CancelledError:
        writer.transport.abort()


async def _exchange(
    state: ScriptedOllama, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One request and its answer; every connection is closed after it."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    method, path, _ = head.split(" ", 2)
    reply = state.next_reply(method, path)
    limit = reply.after_request_bytes if reply else None
    body = await reader.readexactly(_length(head) if limit is None else limit)
    request = Request(method, path, body)
    state.requests.append(request)
    reply = reply or state.answer(request)
    if reply.then == "hang":
        await state.closing.wait()
    if reply.then != "reset" or reply.lines:
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
        writer.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
        await writer.drain()


def _length(head: str) -> int:
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


def _kind(path: str) -> str:
    return "/api/blobs" if path.startswith("/api/blobs/") else path


def _digest(path: str) -> str:
    return path.rpartition("sha256:")[2]


def _full(name: str) -> str:
    return name if ":" in name else f"{name}:latest"


def _parameter_table(parameters: dict[str, Any]) -> str:
    """As Go's `%-30s %#v` prints it."""
    rows = [(key, item) for key, value in parameters.items()
            for item in (value if isinstance(value, list) else [value])]  # fmt: skip
    return "\n".join(f"{key:<30} {json.dumps(item)}" for key, item in rows)
