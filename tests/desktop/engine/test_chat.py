"""`chat --once` without Ollama, on the real SmolLM2."""

from pathlib import Path

import pytest

from converters.errors import UserError
from converters.gguf.header import read_header
from desktop.engine.builtin import BuiltinModel, BuiltinStore, Card
from desktop.engine.chat import chat_once, prompt_ids, template_of, with_system
from desktop.engine.child import EngineChild

_QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
_HELPFUL = "You are a helpful assistant."
_PLAIN = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}"
    "{% endfor %}"
)


def _model(smollm2: Path, tmp_path: Path, card: Card) -> BuiltinModel:
    return BuiltinStore(tmp_path / "models").add(smollm2, "smollm2", card)


def test_an_answer_by_the_models_own_template(smollm2: Path, tmp_path: Path) -> None:
    model = _model(smollm2, tmp_path, Card(system=_HELPFUL, parameters={"temperature": 0}))
    assert template_of(model) == read_header(smollm2).text("tokenizer.chat_template")
    pieces: list[str] = []
    answer = chat_once(model, _QUESTION, n_ctx=256, on_text=pieces.append)
    assert answer.text == "".join(pieces) == "The capital of France is Paris."
    assert answer.stop_reason == "stop"


def test_recorded_stops_and_parameters_are_used(smollm2: Path, tmp_path: Path) -> None:
    card = Card(system=_HELPFUL, parameters={"temperature": 0}, stops=("is",))
    model = _model(smollm2, tmp_path, card)
    assert chat_once(model, _QUESTION, n_ctx=256).text == "The capital of France "
    assert chat_once(model, _QUESTION, n_ctx=256, max_tokens=1).stop_reason == "length"


def test_the_prompt_carries_the_default_system_prompt_and_one_bos_at_most(smollm2: Path) -> None:
    template = read_header(smollm2).text("tokenizer.chat_template")
    with EngineChild(smollm2, vocab_only=True) as child:
        [text] = child.detokenize([prompt_ids(child, template, _QUESTION)])
        assert text == (
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging "
            "Face<|im_end|>\n<|im_start|>user\nWhat is the capital of France?<|im_end|>\n"
            "<|im_start|>assistant\n"
        )


@pytest.mark.parametrize("template", [_PLAIN, _PLAIN.removeprefix("{{ bos_token }}")])
def test_a_file_that_asks_for_bos_gets_exactly_one(
    smollm2: Path, tmp_path: Path, template: str
) -> None:
    asking = tmp_path / "asking.gguf"
    asking.write_bytes(_with_add_bos(smollm2.read_bytes()))
    with EngineChild(asking, vocab_only=True) as child:
        assert child.vocabulary().add_bos
        ids = prompt_ids(child, template, [{"role": "user", "content": "hi"}])
        assert child.detokenize([ids]) == ["<|im_start|>[user] hi<|im_end|>"]


def _with_add_bos(gguf: bytes) -> bytes:
    """SmolLM2 whose metadata asks for a BOS before every prompt."""
    key = b"tokenizer.ggml.add_bos_token"
    at = gguf.index(key) + len(key) + 4  # behind the key stands its type, then one byte
    return gguf[:at] + b"\x01" + gguf[at + 1 :]


def test_a_recorded_system_prompt_yields_to_the_persons(smollm2: Path) -> None:
    card = Card(system="Answer in French.")
    assert with_system(_QUESTION, card)[0] == {"role": "system", "content": "Answer in French."}
    own = [{"role": "system", "content": "Be brief."}, *_QUESTION]
    assert with_system(own, card) == own
    assert with_system(_QUESTION, Card()) == _QUESTION


def test_a_conversation_that_does_not_fit_is_refused(smollm2: Path, tmp_path: Path) -> None:
    model = _model(smollm2, tmp_path, Card())
    with pytest.raises(UserError) as caught:
        chat_once(model, [{"role": "user", "content": "long " * 300}], n_ctx=128)
    assert "room for 128 tokens" in caught.value.detail
