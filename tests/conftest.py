"""Guards and fixtures for every test: no leaked thread or child, no network but loopback."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from platformdirs import user_data_path

from tests.servers.private_ollama import PrivateOllama, private_ollama
from tests.servers.starter import starter_gguf

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
for name in [name for name in os.environ if name.startswith(("OLLAMA_", "TUNEDESK_HOME"))]:
    del os.environ[name]

_LOOPBACK = ("127.", "::1", "localhost")


class NetworkAccess(BaseException):
    """A test tried to leave the machine. Not an Exception, so that no handler swallows it."""


def _only_loopback(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else "127.unix"
    elif event == "socket.getaddrinfo":
        host = arguments[0] or "localhost"
    else:
        return
    host = host.decode() if isinstance(host, bytes) else str(host)
    if not host.startswith(_LOOPBACK):
        raise NetworkAccess(f"{event} {host}")


sys.addaudithook(_only_loopback)


@pytest.fixture(autouse=True)
def _private_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUNEDESK_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="session", autouse=True)
def _untouched_settings() -> Iterator[None]:
    """The folder of the person who runs the tests is as it was when they end."""
    folder = user_data_path("tunedesk", appauthor=False)
    before = sorted(folder.rglob("*")) if folder.exists() else None
    yield
    after = sorted(folder.rglob("*")) if folder.exists() else None
    assert after == before, f"a test wrote into {folder}"


@pytest.fixture(autouse=True)
def _no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    threads, children = set(threading.enumerate()), _children()
    yield
    deadline = time.monotonic() + 2
    while (leak := _leak(threads, children)) and time.monotonic() < deadline:
        time.sleep(0.02)
    if leak:
        pytest.fail(f"{request.node.nodeid} leaves behind: {leak}")


def _leak(threads: set[threading.Thread], children: set[int]) -> str:
    alive = [t.name for t in threading.enumerate() if t not in threads and not _pool(t)]
    pids = _children() - children
    return ", ".join([*alive, *(f"child {pid} {_command(pid)}" for pid in pids)])


def _pool(thread: threading.Thread) -> bool:
    """Threads that libraries keep for the process: asyncio's default executor, tqdm's monitor."""
    return thread.name.startswith(("asyncio_", "Thread-tqdm"))


def _children() -> set[int]:
    """Direct children that are not the session's own fixtures."""
    path = Path(f"/proc/{os.getpid()}/task")
    if not path.exists():
        return set()
    pids: set[int] = set()
    for task in path.iterdir():
        try:
            pids |= {int(pid) for pid in (task / "children").read_text().split()}
        except OSError:
            continue
    return pids - _SESSION_CHILDREN


_SESSION_CHILDREN: set[int] = set()


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:120]
    except OSError:
        return "(gone)"


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct Q4_1, real weights, from the package that carries them."""
    return starter_gguf()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets; the test is skipped, loudly, where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("TUNEDESK_DATA", default))
    if not folder.is_dir():
        pytest.skip("the data folder is absent: set TUNEDESK_DATA")
    return folder


@pytest.fixture(scope="session")
def ollama_server() -> Iterator[PrivateOllama]:
    """A real, private Ollama of the newest behaviour class, with an empty store."""
    with private_ollama() as server:
        _SESSION_CHILDREN.add(server.pid)
        yield server


@pytest.fixture
def run_async() -> Iterator[Any]:
    """Run one coroutine on a loop of its own."""
    with asyncio.Runner() as runner:
        yield runner.run
