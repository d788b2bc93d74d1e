"""The catalogue's Go template on a real Ollama against the GGUF's own Jinja, text by text."""

import json
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Template

from converters.gguf.header import read_header
from resources import path
from tests.servers.private_ollama import PrivateOllama, call, with_model

MODEL = "starter-template:test"
STARTER = json.loads(path("catalogue.json").read_text(encoding="utf-8"))["starter"]
CONVERSATIONS = json.loads(path("hard_conversations.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def starter(ollama_server: PrivateOllama, smollm2: Path) -> PrivateOllama:
    stops = {"stop": STARTER["stops"]}
    digest = with_model(
        ollama_server, smollm2, MODEL, template=STARTER["template"], parameters=stops
    )
    assert digest == STARTER["gguf_sha256"]
    return ollama_server


def served_text(server: PrivateOllama, messages: list[dict[str, str]]) -> str:
    body: dict[str, Any] = {"model": MODEL, "messages": messages, "stream": False}
    answer = call(server.url, "/api/chat", body | {"_debug_render_only": True})
    return answer["_debug_info"]["rendered_template"]


@pytest.mark.ollama
@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda c: c["name"])
def test_the_server_renders_what_the_jinja_of_the_gguf_renders(
    starter: PrivateOllama, smollm2: Path, conversation: dict[str, Any]
) -> None:
    jinja = Template(read_header(smollm2).text("tokenizer.chat_template"))
    expected = jinja.render(messages=conversation["messages"], add_generation_prompt=True)
    assert served_text(starter, conversation["messages"]) == expected


@pytest.mark.ollama
def test_the_server_keeps_template_and_stops_as_they_were_sent(starter: PrivateOllama) -> None:
    shown = call(starter.url, "/api/show", {"model": MODEL})
    assert shown["template"] == STARTER["template"]
    assert shown["parameters"].split() == ["stop", '"<|im_end|>"']
