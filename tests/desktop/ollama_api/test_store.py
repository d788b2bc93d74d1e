import os
import shutil
from pathlib import Path

import pytest

from converters.errors import UserError
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.errors import ModelNotFound
from desktop.ollama_api.replies import read_show
from desktop.ollama_api.store import Orphan, Store, blob_path, locate_store, model_file, orphans
from tests.servers.private_ollama import PrivateOllama, private_ollama, put_blob, with_model
from tests.servers.scripted_ollama import Reply

DIGEST = "a" * 64


def _store(folder: Path, *, used: str = "", unused: tuple[str, ...] = ()) -> Store:
    (folder / "blobs").mkdir(parents=True)
    manifests = folder / "manifests" / "registry.ollama.ai" / "library" / "m"
    manifests.mkdir(parents=True)
    for digest in (used, *unused):
        if digest:
            (folder / "blobs" / f"sha256-{digest}").write_bytes(b"GGUF" + digest[:2].encode())
    layer = f'{{"digest": "sha256:{used}", "size": 6}}'
    (manifests / "latest").write_text(f'{{"config": null, "layers": [{layer}]}}')
    return Store(folder)


def test_files_without_a_model_are_orphans(tmp_path: Path):
    store = _store(tmp_path / "s", used=DIGEST, unused=("b" * 64,))
    (store.blobs / "sha256-dead-partial").write_bytes(b"x")
    (tmp_path / "s" / "manifests" / "broken").write_text("{")
    assert orphans(store) == [Orphan("b" * 64, 6)]


def test_the_file_of_a_model_stands_in_its_from_line():
    path = f"/store/blobs/sha256-{DIGEST}"
    show = read_show("m", {"modelfile": f"FROM {path}\nTEMPLATE x\n"})
    assert blob_path(show) == Path(path)
    assert blob_path(read_show("m", {"modelfile": "FROM gpt-oss:cloud\n"})) is None


def _refusal(run_async, url: str, name: str = "m") -> UserError:
    async def check() -> None:
        async with OllamaClient(url) as client:
            await model_file(client, name)

    with pytest.raises(UserError) as caught:
        run_async(check())
    return caught.value


def _shown(scripted, path: Path, **fields: object) -> None:
    answer = {"modelfile": f"FROM {path}\n", **fields}
    scripted.script("POST", "/api/show", Reply((answer,)))


def test_a_cloud_model_is_refused_by_name(scripted, run_async, tmp_path: Path):
    _shown(scripted, tmp_path, remote_host="https://ollama.com:443", remote_model="gpt-oss")
    error = _refusal(run_async, scripted.url)
    assert error.title == "'m' runs on another machine (https://ollama.com:443)."
    assert "cannot be tuned" in error.detail


def test_a_file_on_another_machine_is_refused(scripted, run_async):
    _shown(scripted, Path(f"/nowhere/blobs/sha256-{DIGEST}"))
    assert "is not on this machine" in _refusal(run_async, scripted.url).title


def test_a_file_that_is_no_gguf_or_has_another_size_is_refused(
    scripted, run_async, tmp_path: Path
):
    store = _store(tmp_path / "s", used=DIGEST)
    blob = store.blob(DIGEST)
    blob.write_bytes(b"PK\3\4....")
    _shown(scripted, blob)
    assert "is not a GGUF" in _refusal(run_async, scripted.url).title
    blob.write_bytes(b"GGUF too long")
    _shown(scripted, blob)
    error = _refusal(run_async, scripted.url)
    assert error.title == "The file of 'm' is damaged."
    assert "13 bytes, the manifest says 6" in error.detail


def test_a_file_of_another_user_is_refused_with_the_remedy(
    scripted, run_async, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = _store(tmp_path / "s", used=DIGEST)
    _shown(scripted, store.blob(DIGEST))
    # The tests may run as root, to whom no file is closed.
    monkeypatch.setattr(os, "access", lambda _path, mode: not mode & os.R_OK)
    error = _refusal(run_async, scripted.url)
    assert "cannot be read by you" in error.title
    assert "group" in error.hint


def test_an_unknown_model_is_not_found(scripted, run_async):
    assert isinstance(_refusal(run_async, scripted.url, "x"), ModelNotFound)


def test_another_users_usual_folder_is_not_taken_for_the_servers(
    scripted, run_async, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    _store(tmp_path / "mine", used=DIGEST)
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "mine"))

    async def locate() -> Store | None:
        async with OllamaClient(scripted.url) as client:
            return await locate_store(client)

    assert run_async(locate()) is None
    scripted.blobs[DIGEST] = 6
    assert run_async(locate()) == Store(tmp_path / "mine")


def test_a_link_appears_whole_and_counts_as_the_same_file(tmp_path: Path):
    store = _store(tmp_path / "s")
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF")
    assert store.can_link(path)
    assert store.link(path, DIGEST).samefile(path)
    assert [entry.name for entry in store.blobs.iterdir()] == [f"sha256-{DIGEST}"]
    assert store.free_bytes == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)


@pytest.mark.ollama
def test_a_real_store_is_located_and_its_leftovers_are_told(smollm2, run_async, tmp_path: Path):
    orphan = tmp_path / "orphan.bin"
    orphan.write_bytes(b"x" * 1000)

    async def check(server: PrivateOllama) -> None:
        async with OllamaClient(server.url) as client:
            assert await locate_store(client) is None
            digest = with_model(server, smollm2, "m")
            assert await locate_store(client) == Store(server.store)
            path, found = await model_file(client, "m")
            assert (found, path.samefile(smollm2)) == (digest, True)
            left = put_blob(server, orphan)
            # 34 leaves the guessed parameters of each create behind, some dozen bytes.
            assert orphans(Store(server.store))[0] == Orphan(left, 1000)

    with private_ollama() as server:
        run_async(check(server))
