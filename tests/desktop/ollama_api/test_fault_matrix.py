"""R6: every way a server can fail x every endpoint that we use; each cell is one named state."""

import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.errors import (
    ModelNotFound,
    OllamaError,
    OllamaNotRunning,
    OllamaRefused,
    OllamaStalled,
    OllamaUnreadable,
    SignInNeeded,
    StreamCut,
)
from desktop.ollama_api.limits import Limits
from tests.servers.scripted_ollama import Reply, ScriptedOllama, chat_line

HI = [{"role": "user", "content": "Hi"}]
LIMIT_S = 0.3


def _limits(silence_s: float) -> Limits:
    return Limits(
        connect_s=1, answer_s=silence_s, first_line_s=silence_s, line_s=silence_s,
        upload_s=silence_s, pull_s=silence_s,
    )  # fmt: skip


SHORT, PATIENT = _limits(LIMIT_S), _limits(5.0)
SILENT = ("stall before the first byte", "stall after the first byte", "1 B/s")
"""What a limit of time finds out; all else is told by what comes, on a busy machine too."""
BYTE_S = 0.01
"""Between two bytes: a hundred times 1 B/s, as the limits are a hundredth."""
HTML = Reply((b"<html>nginx</html>\n",), headers=(("content-type", "text/html"),))
Kind = Literal["plain", "empty", "stream", "head", "upload"]


@dataclass(frozen=True)
class Endpoint:
    """One call. kind: what its answer is; `right`: a right answer. has_model: its 404 may be
    about a model."""

    method: str
    path: str
    kind: Kind
    ask: Callable[[OllamaClient, Path], Awaitable[Any]]
    right: dict[str, Any] | None = None
    has_model: bool = True


async def _drained(stream: Any) -> list[Any]:
    return [item async for item in stream]


SHOWN = {"modelfile": "FROM x"}
RENDERED = {"done": False, "_debug_info": {"rendered_template": "x"}}
ENDPOINTS: dict[str, Endpoint] = {
    "version": Endpoint(
        "GET", "/api/version", "plain", lambda c, _: c.version(), {"version": "0.34.4"}, False
    ),
    "tags": Endpoint("GET", "/api/tags", "plain", lambda c, _: c.tags(), {"models": []}, False),
    "ps": Endpoint("GET", "/api/ps", "plain", lambda c, _: c.ps(), {"models": []}, False),
    "show": Endpoint("POST", "/api/show", "plain", lambda c, _: c.show("m"), SHOWN),
    "render": Endpoint("POST", "/api/chat", "plain", lambda c, _: c.render("m", HI), RENDERED),
    "chat": Endpoint(
        "POST", "/api/chat", "stream", lambda c, _: _drained(c.chat_stream("m", HI)),
        chat_line("", done=True),
    ),
    "blob head": Endpoint(
        "HEAD", "/api/blobs", "head", lambda c, _: c.has_blob("0" * 64), None, False
    ),
    "blob post": Endpoint(
        "POST", "/api/blobs", "upload", lambda c, path: c.upload_blob(path, "0" * 64), None, False
    ),
    "create": Endpoint(
        "POST", "/api/create", "stream", lambda c, _: _drained(c.create("m")),
        {"status": "success"},
    ),
    "copy": Endpoint("POST", "/api/copy", "empty", lambda c, _: c.copy("m", "n")),
    "delete": Endpoint("DELETE", "/api/delete", "empty", lambda c, _: c.delete("m")),
    "pull": Endpoint(
        "POST", "/api/pull", "stream", lambda c, _: _drained(c.pull("m")), {"status": "success"}
    ),
}  # fmt: skip
BEHAVIOURS: dict[str, Reply | None] = {
    "refuse": None,
    "reset": Reply(then="reset"),
    "stall before the first byte": Reply(then="hang"),
    "stall after the first byte": Reply((b"{",), then="stall"),
    "1 B/s": Reply((b" " * 60,), byte_s=BYTE_S),
    "clean end": Reply(()),
    "half json": Reply((b'{"mess',)),
    "html": HTML,
    "error line": Reply(({"error": "boom"},)),
    "401": Reply(({"error": "unauthorized"},), 401),
    "404": Reply(({"error": 'model "m" not found'},), 404),
    "5xx": Reply((b"<h1>Bad gateway</h1>",), 502),
    "redirect": Reply((), 307, headers=(("location", "http://evil.example/"),)),
}
EVERYWHERE: dict[str, tuple[type[OllamaError], str]] = {
    "refuse": (OllamaNotRunning, "Ollama is not running."),
    "reset": (StreamCut, "Ollama's answer was cut off."),
    "stall before the first byte": (OllamaStalled, "Ollama does not answer."),
    "stall after the first byte": (OllamaStalled, "Ollama does not answer."),
    "1 B/s": (OllamaStalled, "Ollama does not answer."),
    "clean end": (StreamCut, "Ollama's answer was cut off."),
    "half json": (OllamaUnreadable, "The answer is not one of Ollama's."),
    "html": (OllamaUnreadable, "The answer is not one of Ollama's."),
    "error line": (OllamaRefused, "(200): boom"),
    "401": (SignInNeeded, "Ollama wants a sign-in."),
    "404": (ModelNotFound, "no model named 'm'"),
    "5xx": (OllamaRefused, "<h1>Bad gateway</h1>"),
    "redirect": (OllamaRefused, "redirected to http://evil.example/, which is never followed"),
}
# A HEAD answer has no body to be wrong, an empty answer is the right one of copy, delete and the
# upload, and what trickles in is a stream all the same.
RIGHT: dict[Kind, set[str]] = {
    "plain": set(),
    "empty": {"clean end"},
    "stream": {"1 B/s"},
    "head": {"stall after the first byte", "1 B/s", "clean end", "half json", "error line", "404"},
    "upload": {"clean end"},
}


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    """A file of three pieces."""
    path = tmp_path / "blob"
    path.write_bytes(bytes(3 << 20))
    return path


def _reply(endpoint: Endpoint, behaviour: str) -> Reply:
    reply = BEHAVIOURS[behaviour]
    assert reply is not None
    if behaviour == "1 B/s" and endpoint.kind == "stream":
        return Reply((endpoint.right,), byte_s=BYTE_S)
    if endpoint.kind == "head" and behaviour not in ("stall before the first byte", "reset"):
        return Reply((), reply.status, headers=reply.headers)
    return reply


def _closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("name", ENDPOINTS)
def test_r6_each_fault_of_each_endpoint_is_one_named_state(
    name: str, behaviour: str, scripted: ScriptedOllama, upload: Path, run_async
):
    endpoint = ENDPOINTS[name]
    if behaviour == "refuse":
        url = _closed_port()
    else:
        url = scripted.url
        scripted.script(endpoint.method, endpoint.path, _reply(endpoint, behaviour))

    async def ask() -> Any:
        async with OllamaClient(url, SHORT if behaviour in SILENT else PATIENT) as client:
            return await endpoint.ask(client, upload)

    start = time.monotonic()
    if behaviour in RIGHT[endpoint.kind]:
        run_async(ask())
    else:
        kind, text = EVERYWHERE[behaviour]
        if behaviour == "404" and not endpoint.has_model:
            kind, text = OllamaRefused, "(404)"
        if behaviour == "5xx" and endpoint.kind == "head":
            text = "(502)"
        with pytest.raises(kind) as caught:
            run_async(ask())
        assert text in str(caught.value)
        assert caught.value.title
        assert caught.value.detail
        assert caught.value.hint
    found_s = time.monotonic() - start
    assert found_s < {"1 B/s": 3}.get(behaviour, LIMIT_S + 1 if behaviour in SILENT else 2)


@pytest.mark.parametrize("name", [name for name, each in ENDPOINTS.items() if each.right])
def test_r6_each_right_answer_is_taken(name: str, scripted: ScriptedOllama, upload, run_async):
    endpoint = ENDPOINTS[name]
    scripted.script(endpoint.method, endpoint.path, Reply((endpoint.right,)))

    async def ask() -> Any:
        async with OllamaClient(scripted.url, PATIENT) as client:
            return await endpoint.ask(client, upload)

    run_async(ask())


def test_r6_a_line_that_never_ends_is_a_stall_after_ten_silences(
    scripted: ScriptedOllama, run_async
):
    limits = Limits(first_line_s=0.05, line_s=0.05)
    scripted.script("POST", "/api/chat", Reply((b" " * 1000,), byte_s=BYTE_S))

    async def ask() -> None:
        async with OllamaClient(scripted.url, limits) as client:
            await client.chat("m", HI)

    start = time.monotonic()
    with pytest.raises(OllamaStalled):
        run_async(ask())
    assert 0.4 < time.monotonic() - start < 1.5
