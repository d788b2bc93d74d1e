"""The client over real HTTP: streams, limits, cancelling; every fault of every endpoint is in
test_fault_matrix."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest

from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.errors import (
    ModelNotFound,
    OllamaNotRunning,
    OllamaRefused,
    OllamaStalled,
    OllamaUnreadable,
    StreamCut,
)
from desktop.ollama_api.limits import Limits
from tests.servers.scripted_ollama import Reply, ScriptedOllama, chat_line

HI = [{"role": "user", "content": "Hi"}]
QUICK = Limits(connect_s=1, answer_s=0.3, first_line_s=0.3, line_s=0.3, upload_s=0.3)


async def _drained(client: OllamaClient) -> list[Any]:
    return [status async for status in client.create("m", files={})]


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_f9_a_closed_port_says_that_ollama_is_not_running(run_async):
    url = f"http://127.0.0.1:{_closed_port()}"

    async def check() -> None:
        async with OllamaClient(url) as client:
            with pytest.raises(OllamaNotRunning) as caught:
                await client.tags()
            assert caught.value.title == "Ollama is not running."
            assert url in caught.value.detail
            assert "ollama serve" in caught.value.hint

    run_async(check())


@pytest.mark.parametrize("ending", ["end", "reset"])
def test_f11_f12_a_stream_without_its_last_line_is_incomplete(
    ending: Any, scripted: ScriptedOllama, run_async
):
    scripted.script(
        "POST", "/api/chat", Reply((chat_line("Once "), chat_line("upon")), then=ending)
    )

    async def check() -> None:
        async with OllamaClient(scripted.url) as client:
            with pytest.raises(StreamCut) as caught:
                await client.chat("m", HI)
            assert caught.value.text == "Once upon"
            assert caught.value.title == "Ollama's answer was cut off."

    run_async(check())


def test_a_create_without_success_is_incomplete(scripted: ScriptedOllama, run_async):
    scripted.script("POST", "/api/create", Reply(({"status": "parsing GGUF"},)))

    async def check() -> None:
        async with OllamaClient(scripted.url) as client:
            with pytest.raises(StreamCut, match="the creation of the model"):
                await _drained(client)

    run_async(check())


def test_an_error_line_inside_the_stream_is_raised_with_its_text(
    scripted: ScriptedOllama, run_async
):
    lines = ({"status": "parsing GGUF"}, {"error": "unsupported architecture 'x'"})
    scripted.script("POST", "/api/create", Reply(lines))

    async def check() -> None:
        async with OllamaClient(scripted.url) as client:
            with pytest.raises(OllamaRefused) as caught:
                await _drained(client)
            assert caught.value.title == "This Ollama does not know the model's architecture."
            assert caught.value.status == 200

    run_async(check())


def test_a_stall_after_the_first_line_is_found_at_its_limit(scripted: ScriptedOllama, run_async):
    scripted.script("POST", "/api/chat", Reply((chat_line("Once"),), then="stall"))

    async def check() -> None:
        async with OllamaClient(scripted.url, Limits(line_s=0.3)) as client:
            start = time.monotonic()
            with pytest.raises(OllamaStalled):
                await client.chat("m", HI)
            assert 0.25 < time.monotonic() - start < 1.3

    run_async(check())


@pytest.mark.parametrize("read_bytes", [0, None])
def test_an_upload_that_the_server_leaves_hanging_is_found(
    read_bytes: int | None, scripted: ScriptedOllama, run_async, tmp_path: Path
):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    scripted.script("POST", "/api/blobs", Reply(then="hang", after_request_bytes=read_bytes))

    async def check() -> None:
        async with OllamaClient(scripted.url, QUICK) as client:
            start = time.monotonic()
            with pytest.raises(OllamaStalled, match="while waiting for the upload"):
                await client.upload_blob(path, "0" * 64)
            assert time.monotonic() - start < 3

    run_async(check())


def test_slow_lines_are_no_stall(scripted: ScriptedOllama, run_async):
    lines = (*[chat_line("a")] * 5, chat_line("", done=True))
    scripted.script("POST", "/api/chat", Reply(lines, pause_s=0.1))

    async def check() -> None:
        async with OllamaClient(scripted.url, QUICK) as client:
            assert (await client.chat("m", HI)).text == "aaaaa"

    run_async(check())


def test_cancelling_closes_the_socket_within_a_second(scripted: ScriptedOllama, run_async):
    scripted.script("POST", "/api/chat", Reply((chat_line("Once"),), then="stall"))

    async def check() -> None:
        async with OllamaClient(scripted.url) as client:
            task = asyncio.create_task(client.chat("m", HI))
            await asyncio.sleep(0.2)
            start = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - start < 0.5
            assert await client.tags() == []

    run_async(check())


def test_leaving_a_stream_early_closes_its_connection(scripted: ScriptedOllama, run_async):
    lines = (chat_line("Once"),) * 50
    scripted.script("POST", "/api/chat", Reply(lines, pause_s=0.05, then="stall"))

    async def check() -> None:
        async with OllamaClient(scripted.url) as client:
            async with aclosing(client.chat_stream("m", HI)) as stream:
                async for part in stream:
                    assert part.text == "Once"
                    break
            assert client._transport._http._transport._pool.connections == []  # type: ignore

    run_async(check())


def test_a_line_above_1_mib_and_a_body_above_16_mib_are_refused(
    scripted: ScriptedOllama, run_async
):
    scripted.script("POST", "/api/chat", Reply((b"x" * (1 << 20), b"y" * 4096), then="stall"))
    scripted.script("POST", "/api/show", Reply((b" " * (1 << 20),) * 17))

    async def check() -> None:
        async with OllamaClient(scripted.url) as client:
            with pytest.raises(OllamaUnreadable, match="a line of more than 1 MiB"):
                await client.chat("m", HI)
            with pytest.raises(OllamaUnreadable, match="an answer of more than 16 MiB"):
                await client.show("m")

    run_async(check())


def test_a_too_long_text_is_said_so(scripted: ScriptedOllama, run_async):
    inner = '{"error":{"code":400,"type":"exceed_context_size_error","n_prompt_tokens":1499}}'
    scripted.script("POST", "/api/chat", Reply(({"error": inner},), 400))

    async def check() -> None:
        async with OllamaClient(scripted.url) as client:
            with pytest.raises(OllamaRefused, match="longer than the model's context"):
                await client.chat("m", HI)

    run_async(check())


def test_what_is_asked_arrives_as_asked(scripted: ScriptedOllama, run_async):
    scripted.models["m:latest"] = {}

    async def check() -> None:
        async with OllamaClient(scripted.url) as client:
            answer = await client.chat(
                "m", HI, options={"temperature": 0}, think=False, logprobs=True, top_logprobs=3,
                keep_alive="5m",
            )  # fmt: skip
            assert (answer.text, answer.stop_reason) == ("Hello there", "stop")
            assert (answer.prompt_tokens, answer.answer_tokens) == (7, 2)
            assert (await client.render("m", HI)).startswith("<|im_start|>user\nHi")

    run_async(check())
    chat, render = (request.json for request in scripted.seen("POST", "/api/chat"))
    assert chat == {
        "model": "m", "messages": HI, "options": {"temperature": 0}, "stream": True,
        "truncate": False, "think": False, "logprobs": True, "top_logprobs": 3, "keep_alive": "5m",
    }  # fmt: skip
    assert render["_debug_render_only"] is True
    assert render["truncate"] is False


def test_proxy_variables_do_not_catch_loopback(
    scripted: ScriptedOllama, run_async, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{_closed_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{_closed_port()}")

    async def check() -> None:
        async with OllamaClient(scripted.url) as client:
            assert await client.version() == "0.34.4"

    run_async(check())


def test_the_client_imports_neither_numpy_nor_torch_nor_the_ollama_package():
    code = (
        "import desktop.ollama_api.client, desktop.ollama_api.store, "
        "desktop.ollama_api.daemon, sys; "
        "print(sorted({'numpy', 'torch', 'ollama', 'pydantic', 'PySide6'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.ollama
def test_the_real_server_answers_with_counts_logprobs_and_names(
    ollama_server, smollm2, run_async
):
    from tests.servers.private_ollama import with_model

    with_model(ollama_server, smollm2, "client-test")

    async def check() -> None:
        async with OllamaClient(ollama_server.url) as client:
            assert (await client.version()).startswith("0.")
            answer = await client.chat(
                "client-test", HI, options={"temperature": 0, "num_predict": 4, "num_ctx": 512},
                logprobs=True, top_logprobs=5,
            )  # fmt: skip
            assert (answer.stop_reason, answer.answer_tokens) == ("length", 4)
            assert answer.prompt_tokens == 10
            assert len(answer.logprobs) == 4
            assert "".join(item.text for item in answer.logprobs) == answer.text
            first = answer.logprobs[0]
            assert len(first.top) == 5
            assert first.top[0][1] == pytest.approx(first.logprob)
            [loaded] = await client.ps()
            assert loaded.name == "client-test:latest"
            assert loaded.context_length == 512
            await client.unload("client-test")
            assert await client.ps() == []
            await client.delete("client-test")
            with pytest.raises(ModelNotFound, match="no model named 'client-test'"):
                await client.chat("client-test", HI)

    run_async(check())


@pytest.mark.parametrize(("ending", "connections"), [(b"0\r\n\r\n", 1), (b"", 3)])
def test_answers_share_a_connection_unless_their_end_does_not_come(
    ending: bytes, connections: int, run_async
):
    """A server that keeps connections open, as Ollama does, and one that never ends a body."""
    last = json.dumps(chat_line("Hello", done=True)).encode() + b"\n"
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append("connection")
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode().lower():
                await reader.readexactly(int(head.partition("content-length:")[2].split()[0]))
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                writer.write(b"%x\r\n%b\r\n" % (len(last), last) + ending)
        writer.close()

    async def check() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, OllamaClient(f"http://127.0.0.1:{port}") as client:
            for _ in range(3):
                assert (await client.chat("m", HI)).text == "Hello"

    run_async(check())
    assert len(seen) == connections


def test_unloading_waits_until_the_model_is_out_of_memory(scripted: ScriptedOllama, run_async):
    there = Reply(({"models": [{"name": "other:7b"}, {"name": "M:latest"}]},))
    scripted.models["m:latest"] = {}
    scripted.script("POST", "/api/chat", Reply(({"done": True},)))
    scripted.script("GET", "/api/ps", there, there, Reply(({"models": [{"name": "other:7b"}]},)))

    async def check() -> None:
        async with OllamaClient(scripted.url) as client:
            await client.unload("m")

    run_async(check())
    assert len(scripted.seen("GET", "/api/ps")) == 3
