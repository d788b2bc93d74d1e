"""Counting tokens, exactly with real weights' vocabulary and as a bound without."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.chat_template import CHATML
from converters.chat_template import render as render_jinja
from desktop.chat.counting import CalibratedCounter, VocabularyCounter
from desktop.engine.child import EngineChild

TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "What is 12 × 3? <|im_end|> ünïcode 減益"},
]


async def _chatml(messages: object) -> str:
    return render_jinja(CHATML, list(messages), add_generation_prompt=True)  # type: ignore


def test_the_vocabulary_counts_a_prompt_exactly(smollm2: Path, run_async):
    with EngineChild(smollm2, vocab_only=True) as child:
        counter = VocabularyCounter(child, _chatml)
        whole = run_async(counter.prompt(TALK))
        text = render_jinja(CHATML, TALK, add_generation_prompt=True)
        assert whole == len(child.tokenize([text])[0])
        assert run_async(counter.texts(["one two", ""])) == [2, 0]
        bound = CalibratedCounter()
        assert run_async(bound.prompt(TALK)) >= whole


def test_a_bound_learns_the_models_ratio(run_async):
    counter = CalibratedCounter()
    text = "word " * 400
    messages = [{"role": "user", "content": text}]
    assert run_async(counter.prompt(messages)) > 2000
    counter.learn(messages, 410)
    assert run_async(counter.prompt(messages)) == 410
    assert run_async(counter.texts([text])) == [pytest.approx(410 * 1.15, abs=2)]


def test_the_beginning_of_a_prompt_is_counted_as_the_server_did(run_async):
    counter = CalibratedCounter()
    first = [{"role": "user", "content": "hi"}]
    counter.learn(first, 30)
    more = [*first, {"role": "assistant", "content": "ok"}, {"role": "user", "content": "x"}]
    assert run_async(counter.prompt(more)) == 30 + (3 + 16) + (2 + 16)
    assert run_async(counter.prompt([{"role": "user", "content": "ho"}])) == 256 + 3 + 16


def test_an_empty_count_teaches_nothing(run_async):
    counter = CalibratedCounter()
    counter.learn([{"role": "user", "content": "y" * 999}], 0)
    assert counter.tokens_per_byte == 1.0


@settings(max_examples=50)
@given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_the_bound_is_never_below_one_token_a_byte_before_it_learns(texts: list[str]):
    counted = asyncio.run(CalibratedCounter().texts(texts))
    assert all(n > len(text.encode("utf-8", "replace"))
               for n, text in zip(counted, texts, strict=True))  # fmt: skip
