"""F10: Ollama goes away and comes back; nothing is sent twice that must not be."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from converters.errors import Stopped, UserError
from converters.events import Event, Note
from desktop.jobs.folder import create_job
from desktop.jobs.spec import BaseFile, TuneJob
from desktop.jobs.work import Work
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.errors import ImportFailed, OllamaNotRunning, StreamCut
from desktop.ollama_api.limits import Limits
from desktop.ollama_api.outage import _pauses
from desktop.ollama_api.publish import publish
from finetune.spec import TuneSpec
from tests.servers.scripted_ollama import Reply, ScriptedOllama, chat_line, scripted_ollama

HI = [{"role": "user", "content": "Hi"}]
PATIENT = Limits(reconnect_s=10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@asynccontextmanager
async def _started_after(seconds: float, port: int) -> AsyncIterator[ScriptedOllama]:
    """A server that begins to listen only then."""
    await asyncio.sleep(seconds)
    manager = scripted_ollama(port=port)
    server = await asyncio.to_thread(manager.__enter__)
    try:
        yield server
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


def test_f10_a_request_waits_for_a_server_that_comes_back_and_is_sent_once(run_async):
    port, news = _free_port(), []

    async def check() -> None:
        async with OllamaClient(f"127.0.0.1:{port}", PATIENT, news.append) as client:
            asking = asyncio.create_task(client.chat("m", HI))
            async with _started_after(0.6, port) as server:
                server.models["m:latest"] = {}
                assert (await asking).text == "Hello there"
                assert len(server.seen("POST", "/api/chat")) == 1

    run_async(check())
    assert news[0] == "lost"
    assert news[-1] == "back"
    assert set(news[1:-1]) == {"waiting"}


def test_f10_a_command_does_not_wait(run_async):
    async def check() -> None:
        async with OllamaClient(f"127.0.0.1:{_free_port()}") as client:
            await client.tags()

    start = time.monotonic()
    with pytest.raises(OllamaNotRunning):
        run_async(check())
    assert time.monotonic() - start < 1


def test_f10_the_patience_ends_with_the_last_error(run_async):
    async def check() -> None:
        async with OllamaClient(f"127.0.0.1:{_free_port()}", Limits(reconnect_s=1)) as client:
            await client.tags()

    start = time.monotonic()
    with pytest.raises(OllamaNotRunning):
        run_async(check())
    assert 0.9 < time.monotonic() - start < 2


def test_f10_the_pauses_double_up_to_four_seconds():
    pauses = _pauses(30)
    assert [round(next(pauses), 2) for _ in range(7)] == [0.25, 0.5, 1, 2, 4, 4, 4]


def test_f10_a_question_that_was_cut_off_is_not_asked_again(scripted: ScriptedOllama, run_async):
    scripted.models["m:latest"] = {}
    scripted.script("POST", "/api/chat", Reply((chat_line("Once"),), then="reset"))

    async def check() -> None:
        async with OllamaClient(scripted.url, PATIENT) as client:
            await client.chat("m", HI)

    with pytest.raises(StreamCut) as caught:
        run_async(check())
    assert caught.value.text == "Once"
    assert len(scripted.seen("POST", "/api/chat")) == 1


def test_f10_a_model_is_not_created_twice(scripted, gguf, sha256, inheritance, run_async):
    scripted.script("POST", "/api/create", Reply(then="reset"))

    async def check() -> None:
        async with OllamaClient(scripted.url, PATIENT) as client:
            await publish(client, gguf, sha256, "t", inheritance)

    with pytest.raises(ImportFailed):
        run_async(check())
    assert len(scripted.seen("POST", "/api/create")) == 1


def test_f10_a_look_that_was_cut_off_is_repeated(scripted: ScriptedOllama, run_async):
    scripted.script("GET", "/api/tags", Reply(then="reset"))
    news: list[str] = []

    async def check() -> None:
        async with OllamaClient(scripted.url, PATIENT, news.append) as client:
            assert await client.tags() == []

    run_async(check())
    assert len(scripted.seen("GET", "/api/tags")) == 2
    assert (news[0], news[-1]) == ("lost", "back")


def test_f10_an_upload_to_a_server_that_comes_back_is_whole(run_async, gguf, sha256):
    port = _free_port()

    async def check() -> None:
        async with OllamaClient(f"127.0.0.1:{port}", PATIENT) as client:
            sending = asyncio.create_task(client.upload_blob(gguf, sha256))
            async with _started_after(0.4, port) as server:
                await sending
                assert server.blobs == {sha256: gguf.stat().st_size}

    run_async(check())


def _job_at(url: str, tmp_path: Path) -> TuneJob:
    base = BaseFile(
        model="m", path=tmp_path / "m", sha256="0" * 64, digest="", architecture="llama", n_bytes=1
    )
    tune = TuneSpec(model="m", data=tmp_path / "d.jsonl", name="n")
    return TuneJob(tune=tune, engine="ollama", host=url, version="1", home=tmp_path, base=base)


def test_f10_a_job_says_that_it_waits_and_that_it_goes_on(tmp_path: Path):
    port = _free_port()
    events: list[Event] = []
    with scripted_ollama(port=port) as server:
        server.models["m:latest"] = {}
        folder = create_job(tmp_path / "jobs", "n", _job_at(server.url, tmp_path))
        work = Work(folder, events.append, lambda: False).__enter__()
    assert events == []

    async def ask() -> str:
        asking = asyncio.create_task(work.serving.render("m", HI, None))
        async with _started_after(0.5, port) as server:
            server.models["m:latest"] = {}
            return await asking

    try:
        assert work.wait(ask()).startswith("<|im_start|>user\nHi")
    finally:
        work.__exit__(None, None, None)
    assert events == [
        Note("warning", "Ollama does not answer; trying again for up to 30 s."),
        Note("info", "Ollama answers again."),
    ]


def test_f10_a_job_that_waits_can_be_stopped_within_a_second(tmp_path: Path):
    folder = create_job(tmp_path / "jobs", "n", _job_at(f"127.0.0.1:{_free_port()}", tmp_path))
    start = time.monotonic()
    with pytest.raises(Stopped), Work(
        folder, lambda _: None, lambda: time.monotonic() - start > 0.5
    ):
        pass
    assert time.monotonic() - start < 1.5


def test_f13_a_job_on_a_server_that_is_too_old_ends_at_once(tmp_path: Path):
    with scripted_ollama("0.17.0") as server:
        folder = create_job(tmp_path / "jobs", "n", _job_at(server.url, tmp_path))
        with pytest.raises(UserError, match="Update Ollama to 0.17.1"), Work(
            folder, lambda _: None, lambda: False
        ):
            pass
