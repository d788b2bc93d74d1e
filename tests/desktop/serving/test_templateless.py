"""Bases without a Go template on an Ollama that does not read the Jinja of a GGUF."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import resources
from converters.chat_template import render as render_jinja
from converters.gguf.header import ValueType, read_header
from converters.gguf.reader import GgufFile
from converters.gguf.writer import Field, TensorPlan, canonical_fields, encode_field, write_gguf
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.inherit import Inheritance
from desktop.ollama_api.templates import shielded
from desktop.ollama_api.turn_formats import CHATML_FORMAT
from desktop.ollama_api.versions import VersionTooOld
from desktop.serving.ollama_server import OllamaServer
from desktop.serving.protocol import NewModel
from tests.servers.older_ollama import older_ollama
from tests.servers.private_ollama import with_model
from tests.servers.scripted_ollama import ScriptedOllama, scripted_ollama

KEY = "tokenizer.chat_template"
HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedOllama]:
    """0.24.0 with a store."""
    with scripted_ollama("0.24.0", store=tmp_path / "store") as state:
        yield state


def _with_jinja(source: Path, path: Path, jinja: str | None) -> Path:
    """One layer of the starter model, with this template or none."""
    with GgufFile(source) as base:
        replaced: dict[str, Field] = {
            "llama.block_count": encode_field("llama.block_count", ValueType.UINT32, 1)
        }
        if jinja is not None:
            replaced[KEY] = encode_field(KEY, ValueType.STRING, jinja)
        fields = canonical_fields(
            base.header, replaced=replaced, dropped=() if jinja is not None else (KEY,)
        )
        plans = [
            TensorPlan(t.name, t.shape, t.type, lambda name=t.name: base.tensor_bytes(name))
            for t in base.header.tensors
            if t.name.startswith("blk.0.") or not t.name.startswith("blk.")
        ]
        write_gguf(path, fields, plans)
    return path


def _ask(run_async: Callable, server: ScriptedOllama, question: Callable):
    async def ask():
        async with OllamaClient(server.url) as client:
            return await question(OllamaServer(client, server.version))

    return run_async(ask())


def _hold(server: ScriptedOllama, path: Path, **fields: object) -> None:
    server.models["base:latest"] = {"digest": server.keep(path.read_bytes()), **fields}


def _hard() -> list[list[dict[str, str]]]:
    hard = json.loads(resources.path("hard_conversations.json").read_text("utf-8"))
    return [entry["messages"] for entry in hard]


def test_f13_a_known_jinja_is_inherited_as_a_go_template_and_rendered_alike(
    server, smollm2, run_async, tmp_path: Path
):
    jinja = read_header(smollm2).text(KEY)
    _hold(server, _with_jinja(smollm2, tmp_path / "m.gguf", jinja), system="Be brief.")

    async def ask(serving: OllamaServer) -> tuple[Inheritance, list[str]]:
        inherited = await serving.inherit("base")
        return inherited, [await serving.render("base", chat, None) for chat in _hard()]

    inherited, texts = _ask(run_async, server, ask)
    assert inherited.kind == "go"
    assert "named SmolLM, trained by Hugging Face" in inherited.template
    assert inherited.stops == ("<|im_end|>",)
    system = {"role": "system", "content": "Be brief."}
    chats = [chat if chat[0]["role"] == "system" else [system, *chat] for chat in _hard()]
    assert texts == [render_jinja(jinja, chat, add_generation_prompt=True) for chat in chats]
    assert server.seen("POST", "/api/chat") == []


def test_f13_a_base_without_any_template_is_rendered_as_the_chatml_it_will_get(
    server, smollm2, run_async, tmp_path: Path
):
    _hold(server, _with_jinja(smollm2, tmp_path / "m.gguf", None))
    inherited = _ask(run_async, server, lambda serving: serving.inherit("base"))
    assert inherited.kind == "none"
    text = _ask(run_async, server, lambda serving: serving.render("base", HI, None))
    assert text == CHATML_FORMAT.render(HI)


def test_f13_an_unknown_jinja_is_refused_with_the_version_that_can(
    server, smollm2, run_async, tmp_path: Path
):
    jinja = "{% for m in messages %}### {{ m.role }}\n{{ m.content }}\n{% endfor %}"
    _hold(server, _with_jinja(smollm2, tmp_path / "m.gguf", jinja))
    with pytest.raises(VersionTooOld) as caught:
        _ask(run_async, server, lambda serving: serving.inherit("base"))
    assert "no Go template is known that renders the same" in caught.value.detail
    assert caught.value.hint == "Update Ollama to 0.30.0 or later and try again."


def test_f13_a_jinja_that_refuses_a_system_message_is_no_known_one(
    server, smollm2, run_async, tmp_path: Path
):
    jinja = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
    _hold(server, _with_jinja(smollm2, tmp_path / "m.gguf", jinja))
    with pytest.raises(VersionTooOld):
        _ask(run_async, server, lambda serving: serving.inherit("base"))


def test_f13_a_model_with_a_go_template_is_rendered_by_the_server(server, run_async):
    server.models["base:latest"] = {"digest": "0" * 64, "template": "{{ range .Messages }}x"}
    text = _ask(run_async, server, lambda serving: serving.render("base", HI, None))
    assert text == CHATML_FORMAT.render(HI)
    assert len(server.seen("POST", "/api/chat")) == 1


def test_f13_a_file_with_a_jinja_is_created_with_the_go_template(
    server, smollm2, run_async, tmp_path: Path
):
    path = _with_jinja(smollm2, tmp_path / "m.gguf", read_header(smollm2).text(KEY))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    jinja = Inheritance("m", "jinja", jinja=read_header(path).text(KEY))
    model = NewModel(path, sha256, "tuned", jinja, 2048)
    _ask(run_async, server, lambda serving: serving.create(
        model, lambda *_: None, lambda: False))  # fmt: skip
    created = server.models["tuned:latest"]
    assert created["template"].startswith("{{- range $i, $m := .Messages }}")
    assert created["parameters"]["stop"] == ["<|im_end|>"]


@pytest.mark.ollama
@pytest.mark.slow
def test_f13_a_real_0_24_renders_the_tuned_model_as_it_was_trained(
    smollm2, run_async, tmp_path: Path
):
    """Slow: needs an older Ollama, which `get_ollama.sh` builds only when asked to."""
    jinja = shielded(read_header(smollm2).text(KEY))
    path = _with_jinja(smollm2, tmp_path / "m.gguf", jinja)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with older_ollama("0.24.0") as real:
        with_model(real, path, "base", template=None, parameters={})

        async def check() -> None:
            async with OllamaClient(real.url) as client:
                alone = await client.render("base", [{"role": "system", "content": "s"}, *HI])
                assert alone == "Hi"
                serving = OllamaServer(client, real.version)
                trained = [await serving.render("base", chat, None) for chat in _hard()]
                inherited = await serving.inherit("base")
                model = NewModel(path, sha256, "tuned", inherited, 2048)
                await serving.create(model, lambda *_: None, lambda: False)
                served = [await client.render("tuned", chat) for chat in _hard()]
                assert served == trained
                await client.unload("tuned")

        run_async(check())
