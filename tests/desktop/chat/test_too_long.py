"""The forms of the over-length error, as the servers wrote them (FACTS 3.2)."""

import json

import pytest

from desktop.chat.too_long import Excess, excess_of
from desktop.ollama_api.errors import ModelNotFound, OllamaRefused

INNER = {"error": {
    "code": 400, "message": "request (1499 tokens) exceeds the available context size (256 tokens),"
    " try increasing it", "type": "exceed_context_size_error", "n_prompt_tokens": 1499,
    "n_ctx": 256,
}}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "excess"),
    [("the input length exceeds the context length", Excess(0, 0)),
     (json.dumps(INNER), Excess(1499, 256)),
     (json.dumps(json.dumps(INNER)), Excess(1499, 256)),
     (INNER["error"]["message"], Excess(1499, 256)),
     ("the prompt is longer than the context length currently available to the model; try",
      Excess(0, 0))],
)  # fmt: skip
def test_every_form_is_understood(text: str, excess: Excess):
    assert excess_of(OllamaRefused(400, text)) == excess


def test_other_errors_are_other_errors():
    assert excess_of(OllamaRefused(500, "out of memory")) is None
    assert excess_of(ModelNotFound("m")) is None
