"""F8, R4: Ollama's disk is full at 20 points of an upload to a real server."""

import asyncio
import hashlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.errors import StoreFull
from desktop.ollama_api.inherit import Inheritance
from desktop.ollama_api.publish import Published, publish
from desktop.ollama_api.store import Store
from tests.converters.small_models import cut_model
from tests.faults.folders import contents
from tests.faults.small_disk import POINTS, free_up, leave_free, small_disk
from tests.servers.private_ollama import PrivateOllama, private_ollama

pytestmark = [pytest.mark.root, pytest.mark.ollama]

TEMPLATE = "{{ range .Messages }}{{ .Content }}{{ end }}"
DISK = 64 << 20
PAGES = 4 * 4096
"""The server's own small files, and the rounding to pages."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateOllama]:
    """A server whose store is a disk of its own, so that nothing can be linked into it."""
    place = tmp_path_factory.mktemp("small") / "disk"
    with small_disk(place, DISK), private_ollama(store=place / "models") as running:
        running.store.joinpath("blobs").mkdir(parents=True, exist_ok=True)
        yield running


@pytest.fixture(scope="module")
def gguf(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real model of one layer and 1,024 tokens: 3 MB."""
    place = tmp_path_factory.mktemp("model") / "small.gguf"
    return cut_model(smollm2, place, layers=1, vocab_rows=1024)


def _publish(server: PrivateOllama, gguf: Path, digest: str, free: int | None = None) -> Published:
    """Publish; with `free`, the disk is filled to that many bytes once the upload has begun."""

    def progress(what: str, done: int, total: int) -> None:
        if free is not None and what == "uploading" and done == 0:
            leave_free(server.store.parent, free)

    async def call() -> Published:
        async with OllamaClient(server.url) as client:
            inheritance = Inheritance(model="base", kind="go", template=TEMPLATE)
            return await publish(
                client, gguf, digest, "tuned:unproven", inheritance,
                store=Store(server.store), on_progress=progress,
            )  # fmt: skip

    return asyncio.run(call())


@pytest.mark.parametrize("when", ["before the start", "during the upload"])
def test_f08_a_full_store_keeps_the_file_and_says_what_is_missing(
    when: str, server: PrivateOllama, gguf: Path
) -> None:
    digest, needed = _sha256(gguf), gguf.stat().st_size
    disk = server.store.parent
    before = contents(server.store)
    for percent in POINTS:
        free = needed * percent // 100
        if when == "before the start":
            leave_free(disk, free)
        with pytest.raises(StoreFull) as raised:
            _publish(server, gguf, digest, free if when == "during the upload" else None)
        stated, stated_free = _stated(raised.value.detail)
        assert stated == needed
        # The server may not yet have given back what it took of a file that did not fit.
        assert stated_free <= free + PAGES
        assert stated_free >= free - PAGES or when == "during the upload"
        assert f"The finished model file is kept: {gguf}" in raised.value.detail
        assert "Free some space, restart Ollama" in raised.value.hint
        free_up(disk)
        assert _settled(server.store, before) == before, f"at {percent} %"
        assert _sha256(gguf) == digest


def test_f08_the_file_gets_in_once_there_is_space(server: PrivateOllama, gguf: Path) -> None:
    digest, needed = _sha256(gguf), gguf.stat().st_size
    leave_free(server.store.parent, needed + 20 * PAGES)
    assert _publish(server, gguf, digest).digest == digest


def _settled(store: Path, expected: dict[str, str]) -> dict[str, str]:
    """The store once the server has cleared away its half file; at most 2 s later."""
    deadline = time.monotonic() + 2
    while _names(store) != set(expected) and time.monotonic() < deadline:
        time.sleep(0.02)
    return contents(store)


def _names(store: Path) -> set[str]:
    return {str(path.relative_to(store)) for path in store.rglob("*") if path.is_file()}


def _stated(text: str) -> tuple[int, int]:
    """(needed, free) as the text says them."""
    found = re.search(r"([\d,]+) bytes are needed, ([\d,]+) are free", text)
    assert found, text
    return int(found[1].replace(",", "")), int(found[2].replace(",", ""))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
