"""Nothing starts that cannot end: what `tune` and `plan` say before a run, on the real SmolLM2."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import resources
from converters.errors import UserError
from converters.gguf.header import read_header
from desktop.commands.plan import lines_of, value_of
from desktop.core import hardware
from desktop.core.paths import Home
from desktop.jobs.outlook import Outlook, outlook
from desktop.jobs.outlook_text import advice_of
from desktop.jobs.prepare import Prepared, prepare_tune
from desktop.jobs.reading import read_as_trained
from desktop.jobs.room import memory_room, when_alone
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.inherit import Inheritance
from desktop.serving.builtin_engine import BuiltinEngine
from desktop.serving.choice import Chosen
from desktop.serving.ollama_server import OllamaServer
from desktop.serving.protocol import ImportRoom, NewModel, Resident
from finetune.plan import plan_for
from finetune.spec import TuneSpec, parse
from tests.finetune.tiny_models import tiny_model
from tests.servers.scripted_ollama import Reply, ScriptedOllama, scripted_ollama

MODEL, GB = "smollm2:135m", 1_000_000_000
ROWS = 12


@pytest.fixture
def home(tmp_path: Path, smollm2: Path) -> Home:
    """A home whose built-in engine holds the starter model; no graphics card is looked for."""
    found = Home(tmp_path / "home")
    found.root.mkdir()
    inheritance = Inheritance(model=MODEL, kind="jinja", stops=("<|im_end|>",))
    new = NewModel(smollm2, "", MODEL, inheritance, 8192)
    engine = BuiltinEngine(found)
    asyncio.run(engine.create(new, lambda *_: None, lambda: False))
    return found


@pytest.fixture(autouse=True)
def _no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "probe_cards", lambda: hardware.CardProbe((), "No card."))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    samples = resources.path("samples/customer_mail_train.jsonl").read_text(encoding="utf-8")
    path.write_text("".join(samples.splitlines(keepends=True)[:ROWS]), encoding="utf-8")
    return path


def _free_memory(monkeypatch: pytest.MonkeyPatch, n_bytes: int) -> None:
    monkeypatch.setattr(hardware, "memory", lambda: hardware.Memory(64 * GB, n_bytes))


def _spec(data: Path, **values: Any) -> TuneSpec:
    return parse({"model": MODEL, "data": data, "name": "tickets", **values})


def _prepare(home: Home, spec: TuneSpec) -> Prepared:
    async def run() -> Prepared:
        engine = BuiltinEngine(home)
        try:
            return await prepare_tune(home, Chosen(engine, "Why."), spec, 1)
        finally:
            await engine.close()

    return asyncio.run(run())


def _outlook(home: Home, spec: TuneSpec) -> Outlook:
    async def run() -> Outlook:
        engine = BuiltinEngine(home)
        try:
            base = await engine.base_file(MODEL)
            header = read_header(base.path)
            _, text = await read_as_trained(engine, spec, base, header, lambda _: None)
            return await outlook(home, engine, spec, base, text.train.rows)
        finally:
            await engine.close()

    return asyncio.run(run())


def _jobs(home: Home) -> list[Path]:
    return list(home.jobs.glob("*/spec.json"))


def test_a_run_that_fits_is_prepared_and_says_what_it_needs(home: Home, data: Path) -> None:
    prepared = _prepare(home, _spec(data))
    text = " ".join(note.text for note in prepared.notes)
    for said in ("No card. The run uses the processor.", "of memory are needed", "of disk are",
                 "linked into the models' folder", "The finished model will take about 145 MB"):
        assert said in text
    assert [path.parent for path in _jobs(home)] == [prepared.folder.root]


def test_long_limits_are_no_reason_to_refuse_short_rows(
    home: Home, data: Path, smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _free_memory(monkeypatch, 2 * GB)
    spec = _spec(data)
    compute = memory_room([], MODEL).compute
    # For rows as long as the limit, 2,048 tokens, it would not fit; these have about 100.
    assert plan_for(read_header(smollm2), spec, compute).total_bytes > 2 * GB
    _prepare(home, spec)
    assert len(_jobs(home)) == 1


def test_f31_too_little_memory_is_refused_with_needed_free_and_the_largest_lever(
    home: Home, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _free_memory(monkeypatch, 2 * GB)
    with pytest.raises(UserError) as caught:
        _prepare(home, _spec(data, rank=1024))
    error = caught.value
    assert error.title == "The run does not fit the memory."
    assert "of memory are needed, 2.00 GB are free" in error.detail
    assert "Nothing was started." in error.detail
    assert error.hint.startswith("Lower the adapter's rank to ")
    assert error.hint.endswith("are needed and it fits.")
    assert _jobs(home) == []


def test_f06_too_little_disk_is_refused_with_needed_and_free(
    home: Home, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "free_disk_bytes", lambda _: 500_000_000)
    with pytest.raises(UserError) as caught:
        _prepare(home, _spec(data))
    assert "1.42 GB are needed" in caught.value.detail
    assert "500 MB are free" in caught.value.detail
    assert _jobs(home) == []


def test_the_plan_document_has_the_keys_of_the_design(home: Home, data: Path) -> None:
    found = _outlook(home, _spec(data))
    value = json.loads(json.dumps(value_of(found)))
    assert value.keys() >= {"terms", "total_bytes", "available_bytes", "fits", "seconds",
                            "disk_bytes", "model_bytes", "advice"}  # fmt: skip
    assert value["total_bytes"] == sum(term["bytes"] for term in value["terms"])
    assert value["fits"] is (value["total_bytes"] <= value["available_bytes"])
    assert value["seconds"] > 0
    assert value["model_bytes"] == value["model_bytes_by_type"]["qlora"]["auto"]
    assert value["steps"] >= 3
    assert all(sentence.endswith(".") for sentence in value["advice"])
    text = "\n".join(lines_of(found))
    assert "activations kept for the backward pass" in text
    assert "in all; " in text
    assert _jobs(home) == []


def test_the_first_advice_is_the_largest_lever_that_suffices(
    home: Home, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _free_memory(monkeypatch, 2 * GB)
    found = _outlook(home, _spec(data, rank=1024))
    assert not found.fits
    assert advice_of(found)[0].startswith("Lower the adapter's rank to ")
    monkeypatch.setattr(hardware, "memory", lambda: hardware.Memory(GB, GB // 2))
    found = _outlook(home, _spec(data))
    assert advice_of(found)[0].startswith("No single setting makes it fit (")


# Ollama's side, over real HTTP


@pytest.fixture
def server() -> Iterator[ScriptedOllama]:
    with scripted_ollama("0.33.1") as state:
        yield state


def test_what_ollama_keeps_loaded_is_told_in_bytes(server: ScriptedOllama) -> None:
    entry = {"name": "llama3:8b", "model": "llama3:8b", "digest": "d" * 64, "size": 6 * GB,
             "size_vram": 5 * GB, "context_length": 4096}  # fmt: skip
    server.script("GET", "/api/ps", Reply(({"models": [entry]},)))

    async def ask() -> list[Resident]:
        ollama = OllamaServer(OllamaClient(server.url), "0.33.1")
        try:
            return await ollama.resident()
        finally:
            await ollama.close()

    assert asyncio.run(ask()) == [Resident("llama3:8b", 6 * GB, 5 * GB)]


@pytest.mark.parametrize(
    ("version", "copies"), [("0.24.0", 1), ("0.30.0", 3), ("0.34.0", 3), ("0.34.1", 1)]
)
def test_f06_a_store_elsewhere_says_how_often_a_file_is_copied(
    server: ScriptedOllama, tmp_path: Path, version: str, copies: int
) -> None:
    async def ask() -> ImportRoom:
        ollama = OllamaServer(OllamaClient(server.url), version)
        try:
            return await ollama.import_room(tmp_path)
        finally:
            await ollama.close()

    room = asyncio.run(ask())
    assert (room.folder, room.copies) == (None, copies)
    assert "not on this machine" in room.why


@pytest.mark.parametrize(("version", "copies"), [("0.34.4", 0), ("0.33.1", 2)])
def test_f06_a_link_saves_the_first_copy(tmp_path: Path, version: str, copies: int) -> None:
    store, content = tmp_path / "store", tiny_model(tmp_path / "tiny.gguf").read_bytes()

    async def ask(host: str) -> ImportRoom:
        ollama = OllamaServer(OllamaClient(host), version)
        try:
            return await ollama.import_room(tmp_path)
        finally:
            await ollama.close()

    with scripted_ollama(version, store=store) as state:
        state.models["a:latest"] = {"model": "a:latest", "digest": state.keep(content)}
        room = asyncio.run(ask(state.url))
    assert (room.folder, room.copies) == (store, copies)
    assert "linked into Ollama's store" in room.why


def test_a_job_that_waits_for_another_may_count_on_all_of_the_memory():
    probe = memory_room((), MODEL)
    alone = when_alone(probe)
    if probe.compute.device == "cpu":
        assert alone.available_bytes == hardware.memory().total_bytes
    assert alone.available_bytes >= probe.available_bytes
