"""What a person at the command line reads when Ollama fails (F9, F11, F12, F15, F16)."""

import fcntl
import json
import os
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.servers.scripted_ollama import Reply, ScriptedOllama, chat_line, scripted_ollama

KEY = "sk-very-secret"


@pytest.fixture
def scripted() -> Iterator[ScriptedOllama]:
    """A server whose faults the test writes."""
    with scripted_ollama() as server:
        yield server


def _run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "desktop", *words], capture_output=True, text=True,
        check=False, env=os.environ | environment, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def _closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_f9_without_ollama_the_rest_works_and_the_start_is_named():
    url = _closed_port()
    start = time.monotonic()
    run = _run("models", "--ollama", url, "--json")
    assert (run.returncode, json.loads(run.stdout)) == (0, [])
    run = _run("models", "--ollama", url, "--engine", "ollama", "--json")
    assert time.monotonic() - start < 5
    error = json.loads(run.stdout)["error"]
    assert run.returncode == 1
    assert error["title"] == "Ollama is not running."
    assert error["hint"] == "Start Ollama (`ollama serve`), or use `--engine builtin`."


@pytest.mark.parametrize("ending", ["reset", "end"])
def test_f11_f12_a_cut_answer_is_shown_and_marked_incomplete(
    ending: Any, scripted: ScriptedOllama
):
    reply = Reply((chat_line("Once "), chat_line("upon")), then=ending)
    scripted.script("POST", "/api/chat", reply, reply)
    run = _run("chat", "m", "--once", "Hi", "--ollama", scripted.url, "--json")
    value = json.loads(run.stdout)
    assert (run.returncode, value["answer"], value["complete"]) == (1, "Once upon", False)
    assert value["error"]["title"] == "Ollama's answer was cut off."
    run = _run("chat", "m", "--once", "Hi", "--ollama", scripted.url)
    assert (run.returncode, run.stdout) == (1, "Once upon [incomplete]\n")
    assert run.stderr.startswith("Error: Ollama's answer was cut off.\n")


def test_f14_a_model_that_is_gone_can_be_pulled_or_replaced(scripted: ScriptedOllama):
    run = _run("chat", "gone", "--once", "Hi", "--ollama", scripted.url, "--json")
    error = json.loads(run.stdout)["error"]
    assert error["title"] == "Ollama has no model named 'gone'."
    assert error["hint"].startswith("Get it with `tunedesk pull gone`, or choose another")


def test_f16_a_pull_ends_in_name_digest_and_size(scripted: ScriptedOllama):
    run = _run("pull", "tiny", "--ollama", scripted.url, "--json")
    assert run.returncode == 0
    assert json.loads(run.stdout) == {"model": "tiny", "digest": "0" * 64, "bytes": 1}
    assert "pull tiny  400/1000" in run.stderr


def test_f16_the_builtin_engine_pulls_nothing():
    run = _run("pull", "tiny", "--engine", "builtin", "--json")
    assert json.loads(run.stdout)["error"]["title"] == "The built-in engine pulls no models."


def test_f15_the_key_of_the_variable_opens_the_server(scripted: ScriptedOllama):
    scripted.wanted_key = KEY
    run = _run("models", "--ollama", scripted.url, "--json", "--engine", "ollama",
               TUNEDESK_OLLAMA_KEY=f"{scripted.url}={KEY}")  # fmt: skip
    assert (run.returncode, json.loads(run.stdout)) == (0, [])


def test_f15_without_a_terminal_nobody_is_asked(scripted: ScriptedOllama):
    scripted.wanted_key = KEY
    run = _run("models", "--ollama", scripted.url, "--json")
    assert run.returncode == 1
    assert json.loads(run.stdout)["error"]["title"] == "Ollama wants a sign-in."
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(("typed", "code"), [(KEY, 0), ("wrong", 1), ("", 1)])
def test_f15_at_a_terminal_the_key_is_asked_once(
    typed: str, code: int, scripted: ScriptedOllama, tmp_path: Path
):
    scripted.wanted_key = KEY
    run, shown = _at_terminal(typed, "models", "--ollama", scripted.url, "--json")
    assert run.returncode == code
    assert shown.count("wants a key") == 1
    assert KEY not in shown
    versions = scripted.seen("GET", "/api/version")
    assert len(versions) == (2 if typed else 1)
    if typed == "wrong":
        assert json.loads(run.stdout)["error"]["title"] == "The key was not accepted."
        assert "wrong" not in run.stdout


def _at_terminal(typed: str, *words: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run the program at a terminal of its own, type a line; its result and what it showed."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "desktop", *words], stdin=theirs, stdout=subprocess.PIPE,
        stderr=theirs, text=True, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while b"while you type" not in shown:
        shown += os.read(ours, 1000)
    time.sleep(0.2)  # the echo is switched off after the question is written
    os.write(ours, typed.encode() + b"\n")
    output, _ = process.communicate(timeout=30)
    with suppress(OSError):  # the terminal may have ended with the program
        shown += os.read(ours, 10000)
    os.close(ours)
    return subprocess.CompletedProcess(words, process.returncode, output), shown.decode()
