"""The Go templates for bases that only have a Jinja, and which Jinja is one of them."""

import json

import pytest

import resources
from converters.chat_template import render as render_jinja
from converters.gguf.header import read_header
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.replies import Message
from desktop.ollama_api.turn_formats import (
    CHATML_FORMAT,
    FORMATS,
    TurnFormat,
    merged_turns,
    recognised,
)
from tests.servers.private_ollama import with_model

LLAMA_3 = (
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
    "{{ content }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
ZEPHYR = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + "
    "eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
ALPACA = (
    "{% for message in messages %}### {{ message['role'] }}:\n{{ message['content'] }}\n"
    "{% endfor %}### Response:\n"
)


def conversations() -> list[list[dict[str, str]]]:
    """The hard conversations of the product."""
    hard = json.loads(resources.path("hard_conversations.json").read_text("utf-8"))
    return [entry["messages"] for entry in hard]


def _recognised(jinja: str, bos: str = "<s>") -> TurnFormat | None:
    def render(messages: list[Message]) -> str:
        return render_jinja(jinja, messages, bos=bos, eos="</s>", add_generation_prompt=True)

    return recognised(render, conversations(), bos)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("jinja", "name"), [(LLAMA_3, "Llama 3"), (ZEPHYR, "Zephyr")], ids=["llama3", "zephyr"]
)
def test_f13_a_known_jinja_is_recognised_by_what_it_renders(jinja: str, name: str):
    form = _recognised(jinja)
    assert form is not None
    assert form.name == name


def test_f13_a_jinja_that_renders_otherwise_is_not_taken_for_a_known_one():
    assert _recognised(ALPACA) is None
    assert _recognised(ZEPHYR + " ") is None


def test_f13_the_starters_own_jinja_is_recognised_with_its_default_system_text(smollm2):
    bos = "<|im_start|>"  # of this model: it must not be taken off its own first turn
    form = _recognised(read_header(smollm2).text("tokenizer.chat_template"), bos)
    assert form is not None
    assert form.name == "SmolLM2"
    assert form.stop == "<|im_end|>"


def test_neighbours_of_one_role_become_one_turn():
    turns = [("system", "s"), ("user", "a"), ("user", "b"), ("assistant", "c")]
    messages = [{"role": role, "content": content} for role, content in turns]
    assert merged_turns(messages) == [("system", "s"), ("user", "a\n\nb"), ("assistant", "c")]
    assert CHATML_FORMAT.render(messages[1:3]) == (
        "<|im_start|>user\na\n\nb<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.ollama
@pytest.mark.parametrize("form", FORMATS, ids=[form.name for form in FORMATS])
def test_a_real_server_renders_the_go_template_as_we_do(
    form: TurnFormat, ollama_server, smollm2, run_async
):
    """The Go template package is the same in 0.24.0 and 0.34.4 but for one method on tools."""
    name = "format-test"
    with_model(
        ollama_server, smollm2, name, template=form.go_template, parameters={"stop": [form.stop]}
    )
    chats = conversations()
    chats += [[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]]
    chats += [[{"role": "user", "content": "a"}, {"role": "system", "content": "late"},
               {"role": "user", "content": "b"}]]  # fmt: skip

    async def check() -> None:
        async with OllamaClient(ollama_server.url) as client:
            got = [await client.render(name, chat) for chat in chats]
            await client.delete(name)
        assert got == [form.render(chat) for chat in chats]

    run_async(check())
