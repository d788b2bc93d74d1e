"""A real small GGUF of ours into a server of each behaviour class, and read back."""

import hashlib
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from converters.gguf.header import read_header
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.errors import OllamaRefused, PublishedDiffers, StoreFull
from desktop.ollama_api.inherit import Inheritance, inherit
from desktop.ollama_api.publish import Published, publish
from desktop.ollama_api.rewritten import same_weights
from desktop.ollama_api.store import Store
from desktop.ollama_api.versions import VersionTooOld, behaviour
from tests.converters.gguf.llama_quantize import llama_quantize
from tests.converters.small_models import cut_model
from tests.servers.older_ollama import older_ollama
from tests.servers.private_ollama import PrivateOllama
from tests.servers.scripted_ollama import ScriptedOllama, scripted_ollama

CLASSES = ("0.24.0", "0.33.3", "0.34.4")
BASE = Inheritance(
    "base", "go", template="{{ range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}assistant:",
    stops=("user:",), system="Be brief.", parameters={"typical_p": 0.5, "temperature": 0.5},
)  # fmt: skip


@dataclass(frozen=True)
class Model:
    """A file and its SHA-256."""

    path: Path
    sha256: str


@pytest.fixture
def model(smollm2: Path, tmp_path: Path) -> Model:
    """A canonical file of ours of 5 MB, with everything that llama.cpp wants of a file."""
    path = cut_model(smollm2, tmp_path / "m.gguf", layers=1, vocab_rows=64)
    return Model(path, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def foreign(model: Model, tmp_path: Path) -> Model:
    """The same model as another program writes it: the last two keys are not in their place."""
    data = model.path.read_bytes()
    header = read_header(model.path)
    first, last = min(header.spans.values()), max(header.spans.values())
    moved = data[: first[0]] + data[last[0] : last[1]] + data[first[0] : last[0]] + data[last[1] :]
    path = tmp_path / "foreign.gguf"
    path.write_bytes(moved)
    return Model(path, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture(params=CLASSES)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ScriptedOllama]:
    """A scripted server of each class, with a store."""
    with scripted_ollama(request.param, store=tmp_path / "store") as state:
        (tmp_path / "store" / "blobs").mkdir(parents=True)
        yield state


@pytest.fixture
def server33(tmp_path: Path) -> Iterator[ScriptedOllama]:
    """One that rewrites."""
    with scripted_ollama("0.33.3", store=tmp_path / "store") as state:
        (tmp_path / "store" / "blobs").mkdir(parents=True)
        yield state


def _publish(run_async: Callable, url: str, model: Model, base: Inheritance, **more) -> Published:
    async def call() -> Published:
        async with OllamaClient(url) as client:
            return await publish(client, model.path, model.sha256, "t:unproven", base, **more)

    return run_async(call())


def test_f13_a_file_of_ours_keeps_its_digest_and_reads_back_equal(
    server: ScriptedOllama, model: Model, run_async
):
    kind = behaviour(server.version)
    dropped = kind.dropped_parameters & set(BASE.parameters)
    kept = {key: value for key, value in BASE.parameters.items() if key not in dropped}
    base = replace(BASE, parameters=kept)
    done = _publish(run_async, server.url, model, base)
    assert (done.digest, done.blob_kept, done.linked) == (model.sha256, False, False)
    assert done.notes == ()

    async def read_back() -> Inheritance:
        async with OllamaClient(server.url) as client:
            return await inherit(client, "t:unproven", kind)

    assert run_async(read_back()) == replace(
        base, model="t:unproven", parameters={**kept, "num_ctx": 4096, "repeat_penalty": 1}
    )
    [blob] = (Path(server.store or "") / "blobs").iterdir()
    assert blob.name == f"sha256-{model.sha256}"


def test_f13_the_rewrite_of_0_33_is_told_as_it_goes(server33, model: Model, run_async):
    told: list[str] = []
    _publish(
        run_async, server33.url, model, BASE, on_progress=lambda what, *_: told.append(what)
    )
    assert told[-5:] == [
        "validating GGUF model", "verifying conversion",
        f"using existing layer sha256:{model.sha256}", "writing manifest", "success",
    ]  # fmt: skip


def test_f13_a_foreign_file_that_0_33_writes_anew_is_accepted_for_its_weights(
    server33, foreign: Model, run_async, tmp_path: Path
):
    copied = llama_quantize(foreign.path, tmp_path / "copied", None).read_bytes()
    done = _publish(run_async, server33.url, foreign, BASE)
    assert done.digest == hashlib.sha256(copied).hexdigest()
    assert done.digest != foreign.sha256
    [note] = done.notes
    assert note.startswith("Ollama 0.33.3 wrote the file anew in its own order: the weights are")


def test_f13_other_weights_under_another_digest_are_refused(
    server33, model: Model, run_async, tmp_path: Path
):
    changed = bytearray(model.path.read_bytes())
    changed[-5] ^= 1
    other = tmp_path / "other.gguf"
    other.write_bytes(changed)
    server33.alter = {"digest": server33.keep(changed)}
    with pytest.raises(PublishedDiffers, match="The model file is 'another one'"):
        _publish(run_async, server33.url, model, BASE)
    assert server33.models == {}
    assert not same_weights(model.path, other)


def test_f13_a_jinja_is_refused_where_it_is_not_read_and_the_version_named(
    model: Model, run_async, tmp_path: Path
):
    with scripted_ollama("0.24.0", store=tmp_path / "store") as server:
        jinja = Inheritance("b", "jinja", jinja="{{ messages[0].content }}")
        with pytest.raises(VersionTooOld) as caught:
            _publish(run_async, server.url, model, jinja)
    assert caught.value.title == "Ollama 0.24.0 is too old."
    assert "does not use the chat template inside the model's file" in caught.value.detail
    assert caught.value.hint == "Update Ollama to 0.30.0 or later and try again."
    assert server.blobs == {}


@pytest.mark.parametrize(
    ("version", "free_copies", "enough"),
    [("0.24.0", 1, True), ("0.24.0", 0, False), ("0.33.3", 3, True), ("0.33.3", 2, False),
     ("0.34.4", 1, True), ("0.34.4", 0, False)],
)  # fmt: skip
def test_f8_the_room_for_the_copies_of_each_class_is_there_before_the_upload(
    version: str, free_copies: int, enough: bool, model: Model, run_async, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    size = model.path.stat().st_size
    free = free_copies * size + (0 if enough else size - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=free))
    monkeypatch.setattr(Store, "can_link", lambda *_: False)
    with scripted_ollama(version, store=tmp_path / "store") as server:
        store = Store(tmp_path / "store")
        store.blobs.mkdir(parents=True)
        if enough:
            _publish(run_async, server.url, model, _plain(version), store=store)
            return
        with pytest.raises(StoreFull) as caught:
            _publish(run_async, server.url, model, _plain(version), store=store)
        needed = behaviour(version).import_copies * size
        assert f"{needed:,} bytes are needed" in caught.value.detail
        assert f"{free:,} are free" in caught.value.detail
        assert server.seen("POST", "/api/blobs") == []


def test_f8_a_hard_link_needs_no_room_but_for_the_copies_of_0_33(
    server: ScriptedOllama, model: Model, run_async, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=0))
    store = Store(Path(server.store or ""))
    base = _plain(server.version)
    if server.kind == "33":
        with pytest.raises(StoreFull, match=r"\(Ollama 0.33.3 copies it\)"):
            _publish(run_async, server.url, model, base, store=store)
        assert stat.S_IMODE(model.path.stat().st_mode) != 0o444
        assert list(store.blobs.iterdir()) == []
        return
    done = _publish(run_async, server.url, model, base, store=store)
    assert done.linked
    assert model.path.samefile(store.blob(model.sha256))


def test_the_refusals_of_each_class_have_their_words(server: ScriptedOllama, run_async):
    async def create(**fields) -> None:
        async with OllamaClient(server.url) as client:
            async for _ in client.create("x", files={"m.gguf": "sha256:" + "0" * 64}, **fields):
                pass

    with pytest.raises(OllamaRefused, match="(quantize GGUF models with|only supported for F16)"):
        run_async(create(quantize="Q4_K_M"))
    if server.kind == "34":
        with pytest.raises(OllamaRefused, match="LoRA adapters are no longer supported"):
            run_async(create(adapters={"a.gguf": "sha256:" + "0" * 64}))


def test_a_too_long_text_is_said_alike_by_each_class(server: ScriptedOllama, run_async):
    server.models["m:latest"] = {"digest": "0" * 64}
    many = [{"role": "user", "content": "word " * 300}]

    async def ask() -> None:
        async with OllamaClient(server.url) as client:
            await client.chat("m", many, options={"num_ctx": 256})

    with pytest.raises(OllamaRefused) as caught:
        run_async(ask())
    assert caught.value.title == "The text is longer than the model's context."


def _plain(version: str) -> Inheritance:
    dropped = behaviour(version).dropped_parameters
    kept = {key: value for key, value in BASE.parameters.items() if key not in dropped}
    return replace(BASE, parameters=kept)


@pytest.fixture(params=CLASSES[:2])
def older(request: pytest.FixtureRequest) -> Iterator[PrivateOllama]:
    """A real older Ollama, where one was built."""
    with older_ollama(request.param) as real:
        yield real


@pytest.mark.ollama
@pytest.mark.slow
def test_f13_a_real_older_server_takes_the_model_and_reads_back_equal(
    older: PrivateOllama, smollm2: Path, run_async, tmp_path: Path
):
    """Slow: needs an older Ollama, which `get_ollama.sh` builds only when asked to."""
    path = cut_model(smollm2, tmp_path / "m.gguf")
    model = Model(path, hashlib.sha256(path.read_bytes()).hexdigest())
    kind = behaviour(older.version)

    async def check() -> None:
        async with OllamaClient(older.url) as client:
            store = Store(older.store)
            store.blobs.mkdir(parents=True, exist_ok=True)
            done = await publish(
                client, model.path, model.sha256, "t:unproven", BASE, store=store,
                context_length=2048,
            )
            assert (done.digest, done.notes) == (model.sha256, ())
            again = await inherit(client, "t:unproven", kind)
            wanted = {**BASE.parameters, "num_ctx": 2048, "repeat_penalty": 1}
            assert again == replace(BASE, model="t:unproven", parameters=wanted)
            assert [blob.name for blob in store.blobs.iterdir() if blob.stat().st_size > 1e6] == [
                f"sha256-{model.sha256}"
            ]
            hi = [{"role": "user", "content": "hi"}]
            text = await client.render("t:unproven", hi)
            assert text == "system: Be brief.\nuser: hi\nassistant:"
            answer = await client.chat("t:unproven", hi, options={"num_predict": 2})
            assert answer.answer_tokens == 2
            many = [{"role": "user", "content": "word " * 600}]
            with pytest.raises(OllamaRefused) as caught:
                await client.chat("t:unproven", many, options={"num_ctx": 256})
            assert caught.value.title == "The text is longer than the model's context."
            await client.unload("t:unproven")

    run_async(check())
