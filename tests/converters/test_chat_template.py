"""Templates rendered as transformers renders them, and what the sandbox does not let through."""

import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from converters.chat_template import CHATML, FIXED_DAY, render
from converters.errors import UserError
from converters.gguf.header import read_header

_TALK = [
    {"role": "system", "content": "Answer briefly."},
    {"role": "user", "content": "  What is 2 < 3 & \"so\"?  "},
    {"role": "assistant", "content": "True.\n"},
    {"role": "user", "content": "Naïve 😀 <|im_end|>?"},
]
_CONVERSATIONS = {"talk": _TALK, "question": _TALK[1:2], "turns": _TALK[1:]}
_TOOLS = [{
    "type": "function",
    "function": {
        "name": "weather", "description": "The weather of <a> place",
        "parameters": {
            "type": "object", "properties": {"place": {"type": "string", "description": "naïve"}},
            "required": ["place"],
        },
    },
}]  # fmt: skip


def _templates() -> list[Path]:
    """The templates that llama.cpp tests with, in the source of llama-cpp-python in uv's cache."""
    cache = Path(os.environ.get("UV_CACHE_DIR", Path.home() / ".cache" / "uv"))
    pattern = "sdists-v*/pypi/llama-cpp-python/*/*/src/vendor/llama.cpp/models/templates/*.jinja"
    return sorted({path.name: path for path in cache.glob(pattern)}.values())


def _outcome(function: Any, *arguments: Any, **options: Any) -> tuple[str, str]:
    """The text, or that the template did not give one: both sides must agree on which."""
    try:
        return "text", function(*arguments, **options)
    except Exception as error:
        return "refused", type(error).__name__


def _reference(template: str, messages: list[dict[str, str]], tools: Any) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    texts, _ = render_jinja_template(
        [messages], tools=tools, chat_template=template, add_generation_prompt=True,
        enable_thinking=False, bos_token="<s>", eos_token="</s>",
    )  # fmt: skip
    return texts[0]


@pytest.fixture(scope="module")
def templates() -> dict[str, str]:
    """Each template of llama.cpp by its name."""
    found = _templates()
    if not found:
        pytest.skip("llama.cpp's templates are not in uv's cache (llama-cpp-python was not built)")
    return {path.stem: path.read_text("utf-8") for path in found}


class _FixedClock:
    @staticmethod
    def now() -> datetime:
        return FIXED_DAY


@pytest.mark.parametrize("tools", [None, _TOOLS], ids=["plain", "tools"])
@pytest.mark.parametrize("name", _CONVERSATIONS)
def test_llama_cpps_templates_render_as_in_transformers(
    templates: dict[str, str], name: str, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", _FixedClock)
    messages, texts = _CONVERSATIONS[name], 0
    for title, template in templates.items():
        expected = _outcome(_reference, template, messages, tools)
        ours = _outcome(
            render, template, messages, bos="<s>", eos="</s>", add_generation_prompt=True,
            tools=tools,
        )  # fmt: skip
        assert ours[0] == expected[0], title
        if ours[0] == "text":
            assert ours[1] == expected[1], title
            texts += 1
    assert texts > 0.7 * len(templates) > 35


def test_the_starters_template_adds_its_system_prompt(smollm2: Path) -> None:
    template = read_header(smollm2).text("tokenizer.chat_template")
    text = render(template, [{"role": "user", "content": "Hi"}], add_generation_prompt=True)
    assert text == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
        "<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_chatml_is_the_template_of_models_without_one() -> None:
    text = render(CHATML, [{"role": "user", "content": "Hi"}], add_generation_prompt=True)
    assert text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_json_is_written_without_escapes() -> None:
    assert render("{{ messages[0].content | tojson }}", [{"content": '<é> "&"'}]) == '"<é> \\"&\\""'


def test_the_day_is_fixed_unless_given() -> None:
    assert render("{{ strftime_now('%d %b %Y') }}", []) == "26 Jul 2024"


def test_generation_marks_are_only_their_content() -> None:
    template = (
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}!"
        "{% if loop.first %}{% continue %}{% endif %}?{% endfor %}"
    )
    assert render(template, [{"content": "a"}, {"content": "b"}]) == "a!b!?"


def test_a_refusal_of_the_template_is_told() -> None:
    with pytest.raises(UserError) as caught:
        render("{{ raise_exception('Roles must alternate.') }}", [])
    assert caught.value.title == "The chat template refuses this conversation"
    assert caught.value.detail == "Roles must alternate."


@pytest.mark.parametrize(
    "template",
    [
        "{% if",
        "{{ messages[0].content.nothing.at_all }}",
        "{{ 1 / 0 }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ '{0.__class__.__mro__}'.format(1) }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{% set n = namespace(__class__=1) %}",
        "{% set n = namespace() %}{% set n._x = 1 %}",
        "{% for i in range(100000000) %}{% endfor %}",
        "{% include '/etc/passwd' %}",
        "{{ '%s'.__mod__ }}{{ lipsum.__globals__['os'].system('true') }}",
        "{% for a in range(9999) %}{{ 'x' * 9999 }}{% endfor %}",
    ],
)
def test_what_a_template_may_not_do_ends_in_a_user_error(template: str) -> None:
    with pytest.raises(UserError) as caught:
        render(template, [{"role": "user", "content": "x"}])
    assert caught.value.title == "The chat template could not be used"


def test_messages_are_never_changed() -> None:
    messages = [{"role": "user", "content": "x"}]
    with pytest.raises(UserError):
        render("{{ messages[0].update({'content': 'y'}) }}", messages)
    assert messages == [{"role": "user", "content": "x"}]


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''|attr('__class__')|attr('__mro__') }}",
        "{{ messages|map(attribute='__class__')|list }}",
        "{{ messages|groupby('__class__')|map(attribute='grouper')|list }}",
        "{{ self._TemplateReference__context }}",
        "{{ strftime_now.__self__ }}{{ raise_exception.__globals__ }}",
        "{{ namespace.__mro__ }}{{ namespace(a=1)._Namespace__attrs }}",
        "{% macro a() %}{% endmacro %}{{ a._func }}{{ a._environment }}",
        "{% for m in messages %}{{ loop._iterable }}{{ loop.__class__ }}{% endfor %}",
    ],
)
def test_what_leads_to_pythons_inside_is_empty(template: str) -> None:
    assert render(template, [{"role": "user"}]) in ("", "[Undefined]")
