"""A private, offline Ollama for tests: own port, own home, own store; never the user's.

A missing program is a failure where CI is set and a loud skip elsewhere. Facts: FACTS 5.5.
"""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

START_LIMIT_S = 60.0
GGUF_NAME = "model.gguf"
CHATML = (
    "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
    "<|im_start|>assistant\n"
)


@dataclass(frozen=True)
class PrivateOllama:
    """A running server. store: its OLLAMA_MODELS. log: all it printed so far."""

    url: str
    store: Path
    version: str
    log: Path
    pid: int


def find_ollama() -> Path | None:
    """TUNEDESK_TEST_OLLAMA, else the newest that `get_ollama.sh` made, else one on PATH."""
    cached = sorted(
        _cache_folder().glob("ollama-*/bin/ollama"), key=_version_in_path, reverse=True
    )
    named = os.environ.get("TUNEDESK_TEST_OLLAMA")
    on_path = shutil.which("ollama")
    candidates = [Path(named)] if named else []
    candidates += [*cached, *([Path(on_path)] if on_path else [])]
    return next((path for path in candidates if os.access(path, os.X_OK)), None)


@contextmanager
def private_ollama(
    *, env: Mapping[str, str] | None = None, store: Path | None = None, binary: Path | None = None
) -> Iterator[PrivateOllama]:
    """Run a server for the block. env: more variables; store: a folder that outlives the server.

    Fails or skips (see the module's docstring) when there is no program to run.
    """
    program = binary or find_ollama() or _missing()
    home = Path(tempfile.mkdtemp(prefix="tunedesk-ollama-"))
    models = store or home / "models"
    port = _free_port()
    log = home / "serve.log"
    with log.open("wb") as log_file:
        process = subprocess.Popen(
            [program, "serve"], env=_environment(home, models, port, env or {}), cwd=home,
            stdin=subprocess.DEVNULL, stdout=log_file, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        version = _wait_for(url, process, log)
        yield PrivateOllama(url, models, version, log, process.pid)
    finally:
        _end(process)
        shutil.rmtree(home, ignore_errors=True)


def with_model(server: PrivateOllama, gguf: Path, name: str, **fields: Any) -> str:
    """Put `gguf` into the store by hard link (else a copy) and create `name`; its blob's digest.

    fields: of /api/create; template is ChatML and stop `<|im_end|>` unless given. A template of
    None leaves the choice to the server.
    """
    digest = put_blob(server, gguf)
    body: dict[str, Any] = {"template": CHATML, "parameters": {"stop": ["<|im_end|>"]}}
    body |= fields
    if body["template"] is None:
        del body["template"]
    body |= {"model": name, "files": {GGUF_NAME: f"sha256:{digest}"}, "stream": False}
    answer = call(server.url, "/api/create", body)
    assert answer.get("status") == "success", answer
    return digest


def put_blob(server: PrivateOllama, gguf: Path) -> str:
    """Hard-link (else copy) the file into the store; its SHA-256 in hex."""
    with gguf.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    blob = server.store / "blobs" / f"sha256-{digest}"
    blob.parent.mkdir(parents=True, exist_ok=True)
    if not blob.exists():
        try:
            blob.hardlink_to(gguf)
        except OSError:
            shutil.copyfile(gguf, blob)
    return digest


def call(url: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One JSON exchange that owes nothing to the client under test (POST if there is a body)."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"content-type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=120) as answer:
        return json.loads(answer.read())


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tunedesk-test"


def _version_in_path(path: Path) -> tuple[int, ...]:
    text = path.parts[-3].removeprefix("ollama-")
    return tuple(int(part) if part.isdigit() else 0 for part in text.split("."))


def _missing() -> Path:
    reason = (
        "no Ollama for the live tests: run tests/servers/get_ollama.sh "
        "(or set TUNEDESK_TEST_OLLAMA)"
    )
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _environment(home: Path, models: Path, port: int, more: Mapping[str, str]) -> dict[str, str]:
    kept = {
        key: value for key, value in os.environ.items()
        if not key.startswith("OLLAMA_") and "proxy" not in key.lower()
    }  # fmt: skip
    # A closed port as proxy: a stray pull fails in milliseconds instead of leaving the machine.
    dead = "http://127.0.0.1:9"
    return kept | {
        "HOME": str(home), "USERPROFILE": str(home), "OLLAMA_MODELS": str(models),
        "OLLAMA_HOST": f"127.0.0.1:{port}", "OLLAMA_NO_CLOUD": "1", "OLLAMA_NOHISTORY": "1",
        "OLLAMA_NUM_PARALLEL": "1", "OLLAMA_MAX_LOADED_MODELS": "1", "LLAMA_ARG_THREADS": "1",
        "http_proxy": dead, "https_proxy": dead, "NO_PROXY": "127.0.0.1,localhost",
    } | dict(more)  # fmt: skip


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + START_LIMIT_S
    while True:
        try:
            return str(call(url, "/api/version")["version"])
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                tail = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"ollama did not start: {tail}") from None
            time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
