"""A model made of a base renders as the base does: proven on the real server."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import resources
from converters.chat_template import render as render_jinja
from converters.gguf.header import ValueType, read_header
from converters.gguf.reader import GgufFile
from converters.gguf.writer import Field, TensorPlan, canonical_fields, encode_field, write_gguf
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.inherit import Inheritance, inherit
from desktop.ollama_api.publish import publish
from desktop.ollama_api.templates import (
    CHATML,
    SHIELD,
    TemplatePlan,
    shielded,
    template_plan,
)
from tests.servers.private_ollama import PrivateOllama, with_model

KEY = "tokenizer.chat_template"
MORE_CONVERSATIONS: list[list[dict[str, str]]] = [
    [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b "}],
    [{"role": "user", "content": "a"}, {"role": "system", "content": "late"},
     {"role": "user", "content": "b"}],
]  # fmt: skip
TOOLS = "{% if tools %}{{ tools | tojson }}{% endif %}{% if add_generation_prompt %}"
THINKING = (
    "{% if add_generation_prompt %}{% if enable_thinking is defined and not enable_thinking %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}"
)


def conversations() -> list[list[dict[str, str]]]:
    """The hard conversations of the product and some more."""
    hard = json.loads(resources.path("hard_conversations.json").read_text("utf-8"))
    return [entry["messages"] for entry in hard] + MORE_CONVERSATIONS


@dataclass(frozen=True)
class OneLayer:
    """SmolLM2 with one layer (31 MB) and a chat template of the test's choice."""

    source: Path

    def write(self, path: Path, jinja: str | None) -> str:
        """Write the file; its SHA-256."""
        with GgufFile(self.source) as base:
            count = encode_field("llama.block_count", ValueType.UINT32, 1)
            replaced: dict[str, Field] = {"llama.block_count": count}
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
            return write_gguf(path, fields, plans).sha256


def _as_pulled(server: PrivateOllama, name: str) -> None:
    """Take the template layer out of a model's manifest, as models of a registry may lack it."""
    path = server.store / "manifests" / "registry.ollama.ai" / "library" / name / "latest"
    manifest = json.loads(path.read_bytes())
    manifest["layers"] = [x for x in manifest["layers"] if not x["mediaType"].endswith("template")]
    path.write_text(json.dumps(manifest))


def test_a_go_template_is_sent_and_the_gguf_left_alone():
    assert template_plan(Inheritance("b", "go", template="T")) == TemplatePlan("T", None)
    assert template_plan(Inheritance("b", "renderer", renderer="r")) == TemplatePlan(None, None)


def test_a_base_without_any_template_gets_chatml():
    assert template_plan(Inheritance("b", "none")) == TemplatePlan(CHATML, None)


def test_a_jinja_is_never_sent_but_carried_shielded():
    plan = template_plan(Inheritance("b", "jinja", jinja="{% if x %}"))
    assert plan == TemplatePlan(None, SHIELD + "{% if x %}")


def test_the_shield_is_far_from_every_template_and_shows_no_capability():
    # The server guesses below 100 edits, and takes these words for tools and thinking.
    assert SHIELD.count("~") >= 100
    assert not any(word in SHIELD for word in ("tool", "<think>", "enable_thinking", "~#"))


@pytest.mark.parametrize("before", ["", "\n", "\r\n  ", "{{ '' }}\n"])
@pytest.mark.parametrize("after", ["", "\n", "  ", "\n\n"])
def test_the_shield_renders_as_nothing_and_is_put_once(before: str, after: str):
    jinja = before + "{{ messages[0].content }}" + after
    once = shielded(jinja)
    assert shielded(once) == once
    assert once.count(SHIELD) == 1
    message = [{"role": "user", "content": "x"}]
    assert render_jinja(once, message) == render_jinja(jinja, message)


@pytest.mark.ollama
@pytest.mark.parametrize("case", ["own", "tools", "thinking", "newline"])
def test_a_model_of_a_jinja_base_renders_as_its_base(
    case: str, ollama_server, smollm2, tmp_path: Path, run_async
):
    own = read_header(smollm2).text(KEY)
    jinja = {
        "own": own,
        "tools": own.replace("{% if add_generation_prompt %}", TOOLS),
        "thinking": own.replace("{% if add_generation_prompt %}", THINKING),
        "newline": "\n" + own + "\n",
    }[case]
    model = OneLayer(smollm2)
    model.write(tmp_path / "base.gguf", jinja)
    sha256 = model.write(tmp_path / "tuned.gguf", shielded(jinja))
    base, tuned = f"jinja-{case}", f"jinja-{case}-tuned"
    with_model(ollama_server, tmp_path / "base.gguf", base, template=None)
    _as_pulled(ollama_server, base)

    async def check() -> None:
        async with OllamaClient(ollama_server.url) as client:
            found = await inherit(client, base)
            assert (found.kind, found.template, found.jinja) == ("jinja", "", jinja)
            await publish(client, tmp_path / "tuned.gguf", sha256, tuned, found)
            again = await inherit(client, tuned)
            assert (again.kind, again.jinja) == ("jinja", shielded(jinja))
            think = False if case == "thinking" else None
            wanted = [await client.render(base, c, think) for c in conversations()]
            got = [await client.render(tuned, c, think) for c in conversations()]
            assert got == wanted
            assert "named SmolLM" in wanted[0]
            assert ("</think>" in wanted[0]) == (case == "thinking")
            await client.delete(base)
            await client.delete(tuned)

    run_async(check())


@pytest.mark.ollama
def test_without_the_shield_the_server_puts_a_guess_over_the_jinja(
    ollama_server, smollm2, tmp_path: Path, run_async
):
    """Why the shield is there; and that the guess is noticed and removed, not published."""
    jinja = read_header(smollm2).text(KEY)
    sha256 = OneLayer(smollm2).write(tmp_path / "m.gguf", jinja)
    base = Inheritance("b", "jinja", jinja=jinja, stops=("<|im_end|>",))

    async def check() -> None:
        async with OllamaClient(ollama_server.url) as client:
            with pytest.raises(Exception, match="The template is .*range .Messages") as caught:
                await publish(client, tmp_path / "m.gguf", sha256, "guessed", base)
            assert type(caught.value).__name__ == "PublishedDiffers"
            assert "guessed:latest" not in [tag.name for tag in await client.tags()]

    run_async(check())


@pytest.mark.ollama
def test_a_model_of_a_base_without_template_renders_as_its_base(
    ollama_server, smollm2, tmp_path: Path, run_async
):
    sha256 = OneLayer(smollm2).write(tmp_path / "m.gguf", None)
    with_model(ollama_server, tmp_path / "m.gguf", "bare", template=None)

    async def check() -> None:
        async with OllamaClient(ollama_server.url) as client:
            found = await inherit(client, "bare")
            assert found.kind == "none"
            await publish(client, tmp_path / "m.gguf", sha256, "bare-tuned", found)
            assert (await inherit(client, "bare-tuned")).template == CHATML
            chats = conversations()[:-3]
            wanted = [await client.render("bare", c) for c in chats]
            assert [await client.render("bare-tuned", c) for c in chats] == wanted
            await client.delete("bare")
            await client.delete("bare-tuned")

    run_async(check())


@pytest.mark.ollama
def test_the_starter_template_renders_as_the_ggufs_own_jinja(
    ollama_server, smollm2, tmp_path: Path, run_async
):
    starter: dict[str, Any] = json.loads(resources.path("catalogue.json").read_text())["starter"]
    with_model(
        ollama_server, smollm2, "starter", template=starter["template"],
        parameters={"stop": starter["stops"]},
    )  # fmt: skip
    jinja = read_header(smollm2).text(KEY)
    assert hashlib.sha256(smollm2.read_bytes()).hexdigest() == starter["gguf_sha256"]

    async def check() -> None:
        async with OllamaClient(ollama_server.url) as client:
            chats = conversations()[:-3]
            got = [await client.render("starter", c) for c in chats]
            await client.delete("starter")
        assert got == [render_jinja(jinja, c, add_generation_prompt=True) for c in chats]

    run_async(check())
