"""Publishing: what can go wrong on the way, and that nothing of the person's is ever lost."""

import hashlib
import os
import shutil
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from converters.errors import Stopped, UserError
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.errors import (
    BlobDamaged,
    BlobMissing,
    ImportFailed,
    OllamaRefused,
    PublishedDiffers,
    StoreFull,
)
from desktop.ollama_api.inherit import Inheritance, inherit
from desktop.ollama_api.names import NameRefused
from desktop.ollama_api.publish import (
    Published,
    exists,
    promote,
    publish,
    require_free_name,
    unproven_name,
)
from desktop.ollama_api.store import Store, locate_store
from desktop.ollama_api.versions import VersionTooOld
from tests.servers.private_ollama import private_ollama, with_model
from tests.servers.scripted_ollama import Reply


def _publish(run_async, url: str, *arguments, **more) -> Published:
    async def call() -> Published:
        async with OllamaClient(url) as client:
            return await publish(client, *arguments, **more)

    return run_async(call())


def test_everything_inherited_is_sent(scripted, gguf, sha256, inheritance, run_async):
    done = _publish(run_async, scripted.url, gguf, sha256, "t:unproven", inheritance)
    assert done == Published("t:unproven", sha256, blob_kept=False, linked=False)
    [create] = scripted.seen("POST", "/api/create")
    assert create.json == {
        "model": "t:unproven",
        "stream": True,
        "files": {"model.gguf": f"sha256:{sha256}"},
        "template": inheritance.template,
        "system": "Be brief.",
        "license": ["Apache-2.0\nall of it"],
        "parameters": {
            "num_ctx": 2048, "repeat_penalty": 1.0, "stop": ["user:"], "temperature": 0.5,
        },
    }  # fmt: skip


def test_a_known_file_is_not_uploaded_again(scripted, gguf, sha256, inheritance, run_async):
    scripted.blobs[sha256] = 1
    done = _publish(run_async, scripted.url, gguf, sha256, "t", inheritance)
    assert done.blob_kept
    assert scripted.seen("POST", "/api/blobs") == []


def test_f13_a_server_before_0_17_1_is_refused_before_anything_is_sent(
    scripted, gguf, sha256, inheritance, run_async
):
    scripted.version = "0.17.0"
    with pytest.raises(VersionTooOld, match="Update Ollama to 0.17.1"):
        _publish(run_async, scripted.url, gguf, sha256, "t", inheritance)
    assert [request.path for request in scripted.requests] == ["/api/version"]


def test_f13_a_server_without_a_version_is_used_and_said(
    scripted, gguf, sha256, inheritance, run_async
):
    scripted.version = "0.0.0"
    done = _publish(run_async, scripted.url, gguf, sha256, "t", inheritance)
    assert done.notes == (
        "Ollama reports the version '0.0.0'; it is treated like 0.34.1 or later.",
    )


def test_a_parameter_that_is_left_out_is_said(scripted, gguf, sha256, inheritance, run_async):
    base = replace(inheritance, dropped=("typical_p",))
    done = _publish(run_async, scripted.url, gguf, sha256, "t", base)
    assert done.notes == (
        "The parameter typical_p of the base was left out: the server refuses or ignores it.",
    )


def test_f17_a_file_lost_before_create_is_uploaded_again(
    scripted, gguf, sha256, inheritance, run_async
):
    scripted.forget_blobs = 1
    done = _publish(run_async, scripted.url, gguf, sha256, "t", inheritance)
    assert done.notes == ("Ollama had dropped the uploaded file; it was sent a second time.",)
    assert len(scripted.seen("POST", "/api/blobs")) == 2
    assert "t:latest" in scripted.models


def test_f17_a_file_lost_twice_is_an_error(scripted, gguf, sha256, inheritance, run_async):
    scripted.forget_blobs = 2
    with pytest.raises(OllamaRefused, match="lost the uploaded model file"):
        _publish(run_async, scripted.url, gguf, sha256, "t", inheritance)
    assert gguf.is_file()


def test_f18_a_file_damaged_after_hashing_is_found(
    scripted, gguf, sha256, inheritance, run_async
):
    gguf.write_bytes(gguf.read_bytes()[:-1] + b"!")
    with pytest.raises(PublishedDiffers) as caught:
        _publish(run_async, scripted.url, gguf, sha256, "t", inheritance)
    assert caught.value.title == "The imported model differs from the one that was made."
    assert "digest mismatch" in caught.value.detail
    assert str(gguf) in caught.value.detail
    assert scripted.models == {}


@pytest.mark.parametrize(
    ("alter", "text"),
    [
        ({"template": "other"}, "The template is 'other' instead of"),
        ({"parameters": {"stop": ["x"]}}, "The stop texts is ('x',) instead of ('user:',)."),
        ({"digest": "0" * 64}, "The model file is 'another one' instead of"),
        ({"system": ""}, "The system text is '' instead of 'Be brief.'."),
        ({"license": []}, "The licence is ''"),
        ({"renderer": "qwen3"}, "The renderer is 'qwen3' instead of ''."),
    ],
)
def test_f18_what_the_server_stored_otherwise_is_named_and_only_our_tag_removed(
    alter: dict, text: str, scripted, gguf, sha256, inheritance, run_async
):
    scripted.models["t:latest"] = {"digest": "1" * 64}
    scripted.alter = alter
    with pytest.raises(PublishedDiffers) as caught:
        _publish(run_async, scripted.url, gguf, sha256, "t:unproven", inheritance)
    assert text in caught.value.detail
    assert "Only 't:unproven' was removed" in caught.value.detail
    assert scripted.models == {"t:latest": {"digest": "1" * 64}}
    assert gguf.is_file()


def test_f8_a_full_store_is_said_with_what_to_do(scripted, gguf, sha256, inheritance, run_async):
    error = {"error": "write /store/blobs/sha256-1: no space left on device"}
    scripted.script("POST", "/api/blobs", Reply((error,), 500))
    with pytest.raises(StoreFull) as caught:
        _publish(run_async, scripted.url, gguf, sha256, "t", inheritance)
    assert caught.value.title == "Ollama's store is full."
    assert str(gguf) in caught.value.detail
    assert "restart Ollama" in caught.value.hint


@pytest.mark.parametrize("ending", ["reset", "eof"])
@pytest.mark.parametrize("after", [0, 1000])
def test_f8_a_connection_that_ends_during_upload_keeps_the_file(
    after: int, ending: Any, scripted, gguf, sha256, inheritance, run_async
):
    reply = Reply(then=ending, after_request_bytes=after)
    scripted.script("POST", "/api/blobs", reply)
    with pytest.raises(ImportFailed) as caught:
        _publish(run_async, scripted.url, gguf, sha256, "t", inheritance)
    assert caught.value.title == "The model could not be uploaded to Ollama."
    assert f"The finished model file is kept: {gguf}" in caught.value.detail
    assert "Restart Ollama" in caught.value.hint
    assert "tunedesk import" in caught.value.hint


def test_a_server_that_dies_in_create_keeps_the_file(
    scripted, gguf, sha256, inheritance, run_async
):
    scripted.script("POST", "/api/create", Reply(({"status": "parsing GGUF"},), then="reset"))
    with pytest.raises(ImportFailed, match="could not be created in Ollama.*model.gguf"):
        _publish(run_async, scripted.url, gguf, sha256, "t", inheritance)


def test_a_stop_ends_an_upload_within_a_second(
    scripted, gguf, sha256, inheritance, run_async
):
    scripted.script("POST", "/api/blobs", Reply(then="stall", after_request_bytes=0))
    asked = threading.Event()
    threading.Timer(0.3, asked.set).start()
    start = time.monotonic()
    with pytest.raises(Stopped):
        _publish(
            run_async, scripted.url, gguf, sha256, "t", inheritance, should_stop=asked.is_set
        )
    assert time.monotonic() - start < 1.3
    assert gguf.is_file()
    assert scripted.models == {}


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Store]:
    """A store on another file system than the test's files."""
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir() or shared_memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here (/dev/shm)")
    with tempfile.TemporaryDirectory(dir=shared_memory, prefix="tunedesk-") as folder:
        (Path(folder) / "blobs").mkdir()
        yield Store(Path(folder))


def test_a_store_on_another_file_system_gets_an_upload(
    scripted, gguf, sha256, inheritance, run_async, other_disk
):
    done = _publish(run_async, scripted.url, gguf, sha256, "t", inheritance, store=other_disk)
    assert not done.linked
    assert list(other_disk.blobs.iterdir()) == []
    assert stat.S_IMODE(gguf.stat().st_mode) != 0o444


def test_a_store_without_room_is_refused_before_the_upload(
    scripted, gguf, sha256, inheritance, run_async, other_disk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=1))
    with pytest.raises(StoreFull, match=r"16,388 bytes are needed, 1 are free\."):
        _publish(run_async, scripted.url, gguf, sha256, "t", inheritance, store=other_disk)
    assert scripted.seen("POST", "/api/blobs") == []


def test_a_link_into_a_store_that_is_not_the_servers_is_taken_back(
    scripted, gguf, sha256, inheritance, run_async, tmp_path: Path
):
    store = Store(tmp_path / "store")
    store.blobs.mkdir(parents=True)
    done = _publish(run_async, scripted.url, gguf, sha256, "t", inheritance, store=store)
    assert (done.linked, done.blob_kept) == (False, False)
    assert list(store.blobs.iterdir()) == []
    assert stat.S_IMODE(gguf.stat().st_mode) != 0o444
    assert len(scripted.seen("POST", "/api/blobs")) == 1


def test_f18_a_file_damaged_after_hashing_is_never_linked(
    scripted, gguf, sha256, inheritance, run_async, tmp_path: Path
):
    store = Store(tmp_path / "store")
    store.blobs.mkdir(parents=True)
    gguf.write_bytes(b"GGUF!")
    with pytest.raises(PublishedDiffers, match="Its SHA-256 is"):
        _publish(run_async, scripted.url, gguf, sha256, "t", inheritance, store=store)
    assert list(store.blobs.iterdir()) == []


def test_f19_a_damaged_file_that_the_server_holds_is_named(
    scripted, gguf, sha256, inheritance, run_async, tmp_path: Path
):
    store = Store(tmp_path / "store")
    store.blobs.mkdir(parents=True)
    store.blob(sha256).write_bytes(bytes(gguf.stat().st_size))
    scripted.blobs[sha256] = 1
    with pytest.raises(BlobDamaged) as caught:
        _publish(run_async, scripted.url, gguf, sha256, "t", inheritance, store=store)
    assert str(store.blob(sha256)) in caught.value.detail


def test_a_taken_or_impossible_name_is_refused(scripted, run_async):
    scripted.models["tickets:latest"] = {"digest": "1"}

    async def check() -> None:
        async with OllamaClient(scripted.url) as client:
            with pytest.raises(UserError) as caught:
                await require_free_name(client, "Tickets", replace=False)
            assert caught.value.title == "Ollama already has a model named 'tickets:latest'."
            assert "--replace" in caught.value.hint
            await require_free_name(client, "Tickets", replace=True)
            await require_free_name(client, "tickets:v2", replace=False)
            with pytest.raises(NameRefused):
                await require_free_name(client, "../x", replace=True)
            assert await exists(client, "tickets")
            assert not await exists(client, "other")

    run_async(check())


def test_promotion_leaves_only_the_real_name(scripted, run_async):
    scripted.models["t:unproven"] = {"digest": "1"}

    async def check() -> None:
        async with OllamaClient(scripted.url) as client:
            await promote(client, "t:unproven", "t")

    run_async(check())
    assert scripted.models == {"t:latest": {"digest": "1"}}


@pytest.fixture
def changed(smollm2: Path, tmp_path: Path) -> tuple[Path, str]:
    """The starter model with one weight changed, and its SHA-256."""
    data = bytearray(smollm2.read_bytes())
    data[-5] ^= 1
    path = tmp_path / "changed.gguf"
    path.write_bytes(data)
    return path, hashlib.sha256(data).hexdigest()


@pytest.mark.ollama
def test_a_real_store_takes_a_hard_link_and_the_model_answers(
    ollama_server, smollm2, changed, run_async
):
    path, sha256 = changed
    with_model(ollama_server, smollm2, "publish-base", license=["Free."], system="Be brief.")

    async def check() -> None:
        async with OllamaClient(ollama_server.url) as client:
            store = await locate_store(client)
            assert store == Store(ollama_server.store)
            base = (await inherit(client, "publish-base")).with_stop("<|endoftext|>")
            name = unproven_name("publish-tuned")
            done = await publish(
                client, path, sha256, name, base, context_length=8192, store=store
            )
            assert (done.linked, done.blob_kept) == (True, False)
            assert store is not None
            assert path.samefile(store.blob(sha256))
            assert stat.S_IMODE(path.stat().st_mode) == 0o444
            await promote(client, name, "publish-tuned")
            again = await inherit(client, "publish-tuned")
            assert again == replace(
                base, model="publish-tuned", parameters={"num_ctx": 4096, "repeat_penalty": 1}
            )
            hi = [{"role": "user", "content": "Hi"}]
            greedy = {"temperature": 0, "num_predict": 6}
            answer = await client.chat("publish-tuned", hi, options=greedy)
            assert answer.answer_tokens == 6
            names = [tag.name for tag in await client.tags()]
            assert "publish-tuned:latest" in names
            assert name not in names
            for each in ("publish-base", "publish-tuned"):
                await client.delete(each)
            # The model's file stays where the person has it.
            assert path.is_file()
            assert not store.blob(sha256).exists()

    run_async(check())


@pytest.mark.ollama
def test_a_real_server_killed_during_the_upload_keeps_the_file(changed, run_async):
    path, sha256 = changed
    with private_ollama() as server:
        sent: list[int] = []

        def kill_once(what: str, done: int, total: int) -> None:
            sent.append(done)
            if what == "uploading" and done > 20_000_000 and server.pid:
                os.kill(server.pid, signal.SIGKILL)

        with pytest.raises(ImportFailed) as caught:
            _publish(
                run_async, server.url, path, sha256, "t", Inheritance("b", "go", template="T"),
                on_progress=kill_once,
            )  # fmt: skip
        assert sent[-1] < path.stat().st_size
        assert "could not be uploaded" in caught.value.title
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256


@pytest.mark.ollama
def test_f17_a_real_server_says_that_the_file_is_gone(ollama_server, run_async):
    async def check() -> None:
        async with OllamaClient(ollama_server.url) as client:
            with pytest.raises(BlobMissing):
                async for _ in client.create("gone", files={"m.gguf": "sha256:" + "0" * 64}):
                    pass

    run_async(check())
