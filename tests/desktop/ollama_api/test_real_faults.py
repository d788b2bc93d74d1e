"""Faults of a real, private Ollama: killed, full, with a damaged store, with a model removed."""

import hashlib
import os
import signal
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from converters.errors import UserError
from converters.events import Event
from desktop.jobs.base_check import check_base
from desktop.jobs.folder import create_job
from desktop.jobs.spec import BaseFile, TuneJob
from desktop.jobs.work import Work
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.errors import (
    BlobDamaged,
    ImportFailed,
    ModelNotFound,
    StoreFull,
    StreamCut,
)
from desktop.ollama_api.inherit import Inheritance
from desktop.ollama_api.publish import publish
from desktop.ollama_api.store import Store
from finetune.spec import TuneSpec
from tests.converters.small_models import cut_model
from tests.faults.machine import reason_against
from tests.faults.small_disk import free_up, leave_free, small_disk
from tests.servers.private_ollama import PrivateOllama, private_ollama, with_model

pytestmark = pytest.mark.ollama
HI = [{"role": "user", "content": "Tell me a long story."}]
BASE = Inheritance("b", "go", template="{{ range .Messages }}{{ .Content }}{{ end }}")


@pytest.fixture
def small(smollm2: Path, tmp_path: Path) -> tuple[Path, str]:
    """One layer of the starter model (31 MB), and its SHA-256."""
    path = cut_model(smollm2, tmp_path / "small.gguf", layers=1)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_f11_a_real_server_killed_in_mid_answer_leaves_the_text_so_far(smollm2: Path, run_async):
    with private_ollama() as server:
        with_model(server, smollm2, "m")

        told: list[str] = []

        async def ask() -> None:
            options = {"num_predict": 400, "temperature": 0}
            async with OllamaClient(server.url) as client, aclosing(
                client.chat_stream("m", HI, options=options)
            ) as stream:
                async for part in stream:
                    told.append(part.text)
                    if len(told) > 5:
                        os.kill(server.pid, signal.SIGKILL)

        with pytest.raises(StreamCut) as caught:
            run_async(ask())
        assert caught.value.text == "".join(told)
        assert len(told) > 5


def test_f14_a_model_removed_between_two_turns_is_said_to_be_gone(
    ollama_server: PrivateOllama, smollm2: Path, run_async
):
    with_model(ollama_server, smollm2, "fading")

    async def check() -> None:
        async with OllamaClient(ollama_server.url) as client:
            first = await client.chat("fading", HI, options={"num_predict": 2})
            await client.delete("fading")
            more = [*HI, {"role": "assistant", "content": first.text}, *HI]
            with pytest.raises(ModelNotFound) as caught:
                await client.chat("fading", more)
            assert caught.value.title == "Ollama has no model named 'fading'."
            assert "tunedesk pull fading" in caught.value.hint

    run_async(check())


@pytest.mark.root
def test_f8_a_real_store_that_is_full_says_so_and_takes_the_file_when_there_is_room(
    small: tuple[Path, str], run_async, tmp_path: Path
):
    if reason := reason_against("root"):
        pytest.skip(f"SKIPPED FAULT TEST: {reason}")
    path, sha256 = small
    n_bytes = path.stat().st_size

    async def bring(url: str, store: Store | None) -> Any:
        async with OllamaClient(url) as client:
            return await publish(client, path, sha256, "t", BASE, store=store)

    with small_disk(tmp_path / "disk", 3 * n_bytes) as disk:
        models = disk / "models"
        with private_ollama(store=models) as server:
            (models / "blobs").mkdir(parents=True, exist_ok=True)
            leave_free(disk, n_bytes // 2)
            with pytest.raises(StoreFull, match="are needed"):
                run_async(bring(server.url, Store(models)))
            # Without our own look at the store: its word is lost when it resets the connection.
            with pytest.raises((StoreFull, ImportFailed)) as caught:
                run_async(bring(server.url, None))
            assert f"The finished model file is kept: {path}" in caught.value.detail
            assert "estart Ollama" in caught.value.hint
            assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
        with private_ollama(store=models) as server:
            free_up(disk)
            assert run_async(bring(server.url, Store(models))).digest == sha256


@pytest.mark.parametrize("damage", ["zeroed", "one bit"])
def test_f19_a_damaged_file_of_a_real_store_is_named_when_a_job_starts(
    damage: str, small: tuple[Path, str], tmp_path: Path, run_async
):
    path, sha256 = small
    other = tmp_path / "copy.gguf"
    other.write_bytes(path.read_bytes())
    with private_ollama() as server:
        with_model(server, other, "base")
        blob = Store(server.store).blob(sha256)
        data = bytearray(blob.read_bytes())
        start = len(data) // 2
        data[start : start + 4096] = bytes(4096) if damage == "zeroed" else data[
            start : start + 4095] + bytes([data[start + 4095] ^ 1])
        blob.unlink()
        blob.write_bytes(data)
        base = BaseFile(
            model="base", path=blob, sha256=sha256, digest="", architecture="llama",
            n_bytes=len(data),
        )  # fmt: skip
        tune = TuneSpec(model="base", data=tmp_path / "d.jsonl", name="n")
        job = TuneJob(tune=tune, engine="ollama", host=server.url, version=server.version,
                      home=tmp_path, base=base)  # fmt: skip
        events: list[Event] = []
        with Work(create_job(tmp_path / "jobs", "n", job), events.append, lambda: False) as work, \
                pytest.raises(UserError) as caught:  # fmt: skip
            check_base(work)
        assert caught.value.title == "The file of 'base' is damaged."
        assert str(blob) in caught.value.detail
        assert "A pull alone does not repair it" in caught.value.hint
        with pytest.raises(BlobDamaged) as unread:
            run_async(_publish_again(server, path, sha256))
        assert str(blob) in unread.value.detail


async def _publish_again(server: PrivateOllama, path: Path, sha256: str) -> None:
    async with OllamaClient(server.url) as client:
        await publish(client, path, sha256, "t", BASE, store=Store(server.store))
