"""F16: a pull that is slow, stalls, goes back, is cancelled or ends too early."""

import asyncio
import time
from contextlib import aclosing
from typing import Any

import pytest

from converters.events import Event, Progress, Stage
from desktop.commands.pull import PullReport
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.errors import OllamaStalled, PullFailed, StreamCut
from desktop.ollama_api.limits import Limits
from desktop.ollama_api.pulling import PullProgress, PullStatus
from tests.servers.scripted_ollama import Reply, ScriptedOllama

STALL_S = 0.4
LIMITS = Limits(pull_s=STALL_S)
SUCCESS = {"status": "success"}


def _part(completed: int, total: int = 1000) -> dict[str, Any]:
    return {"status": "pulling dd", "digest": "sha256:dd", "total": total, "completed": completed}


def _pull(run_async, url: str) -> list[PullStatus]:
    async def ask() -> list[PullStatus]:
        async with OllamaClient(url, LIMITS) as client:
            return [status async for status in client.pull("m")]

    return run_async(ask())


def test_f16_every_line_is_told_and_a_part_tried_again_goes_back(
    scripted: ScriptedOllama, run_async
):
    lines = ({"status": "pulling manifest"}, _part(500), _part(300), _part(1000), SUCCESS)
    scripted.script("POST", "/api/pull", Reply(lines))
    told = _pull(run_async, scripted.url)
    assert [status.completed for status in told] == [0, 500, 300, 1000, 0]
    assert told[1] == PullStatus("pulling dd", "dd", 500, 1000)
    assert scripted.requests[0].json == {"model": "m", "stream": True}


def test_f16_a_pull_at_one_byte_a_second_is_no_stall(scripted: ScriptedOllama, run_async):
    """Scaled: a byte every 20 ms, a limit of 400 ms; the line takes 1.6 s."""
    scripted.script("POST", "/api/pull", Reply((_part(1), SUCCESS), byte_s=0.02))
    assert _pull(run_async, scripted.url)[-1].status == "success"


def test_f16_silence_is_a_stall_at_its_limit(scripted: ScriptedOllama, run_async):
    scripted.script("POST", "/api/pull", Reply((_part(300),), then="stall"))
    start = time.monotonic()
    with pytest.raises(OllamaStalled, match="the download of m"):
        _pull(run_async, scripted.url)
    assert STALL_S - 0.05 < time.monotonic() - start < STALL_S + 1


def test_f16_lines_that_bring_nothing_are_a_stall_too(scripted: ScriptedOllama, run_async):
    """Ollama's own way to stall: it goes on writing the same line."""
    scripted.script("POST", "/api/pull", Reply((_part(300),) * 100, pause_s=0.02))
    start = time.monotonic()
    with pytest.raises(OllamaStalled) as caught:
        _pull(run_async, scripted.url)
    assert "300 of 1,000 bytes" in caught.value.detail
    assert time.monotonic() - start < STALL_S + 1


def test_f16_the_check_of_large_files_may_be_silent_for_long():
    progress = PullProgress(30)
    progress.is_alive(PullStatus("pulling", "dd", 10**10, 10**10))
    assert progress.silence_s == 30
    progress.is_alive(PullStatus("verifying sha256 digest"))
    assert progress.silence_s == 230


def test_f16_a_pull_is_cancelled_within_a_second_and_its_connection_closed(
    scripted: ScriptedOllama, run_async
):
    scripted.script("POST", "/api/pull", Reply((_part(1),), then="stall"))

    async def check() -> None:
        async with OllamaClient(scripted.url) as client:
            async with aclosing(client.pull("m")) as stream:
                assert (await anext(stream)).completed == 1
                task = asyncio.create_task(anext(stream))
                await asyncio.sleep(0.1)
                start = time.monotonic()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert time.monotonic() - start < 1
            assert client._transport._http._transport._pool.connections == []  # type: ignore

    run_async(check())


def test_f16_a_pull_without_success_is_incomplete(scripted: ScriptedOllama, run_async):
    scripted.script("POST", "/api/pull", Reply((_part(1000),)))
    with pytest.raises(StreamCut, match="the download of m"):
        _pull(run_async, scripted.url)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("pull model manifest: file does not exist", "Check the spelling"),
        ('pull model manifest: Get "https://r/v2/": dial tcp: no such host', "reach the internet"),
        ("max retries exceeded: EOF", "reach the internet"),
    ],
)
def test_f16_what_ollama_cannot_get_is_said(
    text: str, hint: str, scripted: ScriptedOllama, run_async
):
    scripted.script("POST", "/api/pull", Reply(({"status": "pulling manifest"}, {"error": text})))
    with pytest.raises(PullFailed) as caught:
        _pull(run_async, scripted.url)
    assert caught.value.title == "'m' could not be pulled."
    assert text in caught.value.detail
    assert hint in caught.value.hint


def test_f16_all_files_are_one_count_with_rate_and_remaining_time():
    events: list[Event] = []
    report = PullReport("m", events.append)
    report.take(PullStatus("pulling manifest"))
    report.take(PullStatus("pulling a", "a", 100, 1000))
    time.sleep(0.1)
    report.take(PullStatus("pulling b", "b", 400, 2000))
    first, second = (event for event in events if isinstance(event, Progress))
    assert (first.step, first.steps, first.bytes_per_s, first.remaining_s) == (100, 1000, 0, None)
    assert (second.step, second.steps) == (500, 3000)
    assert second.bytes_per_s is not None
    assert 1000 < second.bytes_per_s <= 4000
    assert second.remaining_s == pytest.approx(2500 / second.bytes_per_s)
    stages = [event.name for event in events if isinstance(event, Stage)]
    assert stages == ["pulling manifest", "pull m"]
