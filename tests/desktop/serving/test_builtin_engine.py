"""The built-in engine as the place where models are served, on the real SmolLM2."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

import resources
from converters.errors import UserError
from converters.gguf.header import read_header
from desktop.core.paths import Home
from desktop.ollama_api.inherit import Inheritance
from desktop.serving.builtin_engine import BuiltinEngine
from desktop.serving.protocol import NewModel, Serving, StoredModel

_QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
_BRIEF = Inheritance(
    model="smollm2:135m", kind="jinja", system="You are a helpful assistant.",
    parameters={"temperature": 5.0, "num_ctx": 4096}, stops=("<|im_end|>",),
    license=("Apache", "2"),
)  # fmt: skip
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[BuiltinEngine]:
    opened = BuiltinEngine(Home(tmp_path))
    yield opened
    asyncio.run(opened.close())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _new(gguf: Path, name: str, inherited: Inheritance = _BRIEF, **options: Any) -> NewModel:
    return NewModel(gguf, _sha256(gguf), name, inherited, context_length=8192, **options)


def _create(run: Run, engine: Serving, model: NewModel) -> StoredModel:
    return run(engine.create(model, lambda *_: None, lambda: False))


def test_a_created_model_is_listed_with_what_its_file_says(
    engine: BuiltinEngine, smollm2: Path, tmp_path: Path, run_async: Run
) -> None:
    stored = _create(run_async, engine, _new(smollm2, "tickets"))
    assert (stored.model, stored.blob_kept) == ("tickets", False)
    assert stored.linked == (smollm2.stat().st_dev == tmp_path.stat().st_dev)
    [held] = run_async(engine.held())
    assert (held.name, held.family, held.parameters) == ("tickets", "llama", "134.52M")
    assert (held.quantization, held.n_bytes, held.reason) == ("Q4_1", smollm2.stat().st_size, "")
    assert held.digest == stored.digest == _sha256(smollm2)


def test_a_file_that_broke_later_is_listed_with_the_reason(
    engine: BuiltinEngine, smollm2: Path, tmp_path: Path, run_async: Run
) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(smollm2.read_bytes())
    _create(run_async, engine, _new(own, "tickets"))
    with own.open("r+b") as file:  # the same file by its hard link
        file.write(b"GGML")
    [held] = run_async(engine.held())
    assert held.path is None
    assert "does not begin with the letters GGUF" in held.reason


def test_the_base_of_a_run_is_the_file_itself(
    engine: BuiltinEngine, smollm2: Path, run_async: Run
) -> None:
    _create(run_async, engine, _new(smollm2, "tickets"))
    base = run_async(engine.base_file("Tickets:latest"))
    assert base.sha256 == base.digest == _sha256(base.path) == _sha256(smollm2)
    assert (base.architecture, base.n_bytes) == ("llama", smollm2.stat().st_size)
    with pytest.raises(UserError) as caught:
        run_async(engine.base_file("absent"))
    assert caught.value.title == "There is no model 'absent'"
    assert "tickets" in caught.value.detail


def test_a_model_made_from_another_takes_over_what_that_one_recorded(
    engine: BuiltinEngine, smollm2: Path, run_async: Run
) -> None:
    _create(run_async, engine, _new(smollm2, "first"))
    inherited = run_async(engine.inherit("first"))
    assert inherited.jinja == read_header(smollm2).text("tokenizer.chat_template")
    assert (inherited.kind, inherited.system) == ("jinja", _BRIEF.system)
    assert (inherited.parameters, inherited.stops) == (_BRIEF.parameters, _BRIEF.stops)
    assert inherited.license == ("Apache\n2",)
    _create(run_async, engine, _new(smollm2, "second", inherited))
    again = run_async(engine.inherit("second"))
    assert (again.jinja, again.system, again.stops) == (
        inherited.jinja, inherited.system, inherited.stops,
    )  # fmt: skip
    assert run_async(engine.stops("second")) == ("<|im_end|>",)


def test_taken_and_impossible_names_are_refused_before_anything_is_made(
    engine: BuiltinEngine, smollm2: Path, tmp_path: Path, run_async: Run
) -> None:
    run_async(engine.require_free_name("tickets", replace=False))
    with pytest.raises(UserError):
        run_async(engine.require_free_name("../tickets", replace=True))
    assert list(tmp_path.iterdir()) == []
    _create(run_async, engine, _new(smollm2, "tickets"))
    with pytest.raises(UserError) as caught:
        run_async(engine.require_free_name("TICKETS:latest", replace=False))
    assert "already has a model named" in caught.value.title
    assert "--replace" in caught.value.hint
    run_async(engine.require_free_name("tickets", replace=True))


def test_a_model_gets_its_name_only_when_it_is_proven(
    engine: BuiltinEngine, smollm2: Path, run_async: Run
) -> None:
    _create(run_async, engine, _new(smollm2, "tickets", Inheritance("", "none")))
    stored = _create(run_async, engine, _new(smollm2, "tickets", is_proven=False))
    names = [model.name for model in run_async(engine.held())]
    assert names == ["tickets", "tickets:unproven"]
    assert run_async(engine.stops("tickets")) == ()
    run_async(engine.promote(stored.model, "tickets"))
    assert [model.name for model in run_async(engine.held())] == ["tickets"]
    assert run_async(engine.stops("tickets")) == ("<|im_end|>",)


def test_prompts_are_what_transformers_makes_of_the_files_own_template(
    engine: BuiltinEngine, smollm2: Path, run_async: Run
) -> None:
    plain = Inheritance("smollm2:135m", "none")
    _create(run_async, engine, _new(smollm2, "tickets", plain))
    template = read_header(smollm2).text("tokenizer.chat_template")
    hard = json.loads(resources.path("hard_conversations.json").read_text("utf-8"))
    assert len(hard) == 24
    for case in hard:
        messages = case["messages"]
        [expected], _ = render_jinja_template(
            [messages], chat_template=template, add_generation_prompt=True,
            bos_token="<|im_start|>", eos_token="<|im_end|>",
        )  # fmt: skip
        assert run_async(engine.render("tickets", messages, None)) == expected, case["name"]


def test_a_recorded_system_prompt_and_template_are_used(
    engine: BuiltinEngine, smollm2: Path, run_async: Run
) -> None:
    jinja = "{% for m in messages %}[{{ m.content }}]{% endfor %}"
    recorded = Inheritance("", "jinja", jinja=jinja, system="Be brief.")
    _create(run_async, engine, _new(smollm2, "tickets", recorded))
    text = run_async(engine.render("tickets", _QUESTION, None))
    assert text == "[Be brief.][What is the capital of France?]"
    assert run_async(engine.inherit("tickets")).jinja == jinja


def test_an_answer_is_greedy_up_to_a_limit_and_leaves_no_child(
    engine: BuiltinEngine, smollm2: Path, run_async: Run
) -> None:
    _create(run_async, engine, _new(smollm2, "tickets"))
    answer = run_async(engine.answer("tickets", _QUESTION, 32))
    assert answer.text == "The capital of France is Paris."
    assert (answer.stop_reason, answer.answer_tokens) == ("stop", 7)
    assert answer.prompt_tokens > 20
    cut = run_async(engine.answer("tickets", _QUESTION, 3))
    assert (cut.text, cut.stop_reason) == ("The capital of", "length")


def test_closing_ends_the_children_that_read_templates(
    smollm2: Path, tmp_path: Path, run_async: Run
) -> None:
    engine = BuiltinEngine(Home(tmp_path))
    _create(run_async, engine, _new(smollm2, "tickets"))
    run_async(engine.render("tickets", _QUESTION, None))
    [reader] = engine._readers.values()
    assert Path(f"/proc/{reader.pid}").exists()
    run_async(engine.close())
    assert not Path(f"/proc/{reader.pid}").exists()
    assert run_async(engine.render("tickets", _QUESTION, None))  # and they start again
    run_async(engine.close())
