"""Segments: which text is learnt, where a turn ends, what a template may not lose."""

import pytest

from converters.errors import Stopped, UserError
from desktop.jobs.render import RenderedRow, end_of_turn, few_shot_chat, render_split
from finetune.data.rows import Message, Row
from finetune.data.split import Split
from tests.desktop.jobs.chatml import render

ENDS = {2: "<|im_end|>"}


def _row(*texts: str, number: int = 1) -> Row:
    roles = ("user", "assistant")
    turns = tuple(Message(roles[at % 2], text) for at, text in enumerate(texts))
    return Row(number, turns, f"hash {number}")


def _rendered(*rows: Row, stop=lambda: False) -> list[RenderedRow]:
    return list(render_split(Split(rows, ()), render, "<|im_end|>", lambda _: None, stop))


def test_context_is_everything_before_the_answer_and_the_end_of_turn_is_learnt():
    (row,) = _rendered(_row("Hi", "Hello"))
    assert row.segments == [
        ("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", False),
        ("Hello", True), ("<|im_end|>", True),
    ]


def test_every_assistant_turn_is_a_row_that_sees_the_turns_before_it():
    first, second = _rendered(_row("a", "b", "c", "d"))
    assert [turn["content"] for turn in second.messages] == ["a", "b", "c", "d"]
    assert second.context.startswith(first.context + "b<|im_end|>\n")


def test_an_answer_with_the_weight_0_is_context_and_no_row():
    row = _row("a", "b", "c", "d")
    turns = [Message(turn.role, turn.content, turn.content != "b") for turn in row.messages]
    (only,) = _rendered(Row(1, tuple(turns), "hash 1"))
    assert only.segments[1:] == [("d", True), ("<|im_end|>", True)]
    assert "assistant\nb<|im_end|>" in only.context


def test_asked_to_stop_rendering_ends_at_once():
    with pytest.raises(Stopped):
        _rendered(_row("a", "b"), stop=lambda: True)


def test_the_end_of_turn_is_what_the_template_writes_if_it_is_an_end_token():
    found = end_of_turn(render, ENDS, lambda text: 2 if text.startswith("<|im_end|>") else 9, "x")
    assert found == "<|im_end|>"


def test_a_template_that_ends_turns_with_plain_text_gets_the_models_own_end():
    def plain(messages):
        return "".join(f"[{m['role']}]: {m['content']}\n" for m in messages) + "[assistant]: "

    assert end_of_turn(plain, ENDS, lambda _: 9, "<|endoftext|>") == "<|endoftext|>"


def test_a_template_that_drops_earlier_answers_is_refused_in_words():
    def last_only(messages):
        return messages[-1]["content"]

    with pytest.raises(UserError) as caught:
        end_of_turn(last_only, ENDS, lambda _: 2, "x")
    assert caught.value.title == "The model's chat template cannot be trained."


def test_few_shot_examples_stand_between_system_message_and_question():
    examples = _rendered(_row("q1", "a1"))
    (row,) = _rendered(Row(2, (
        Message("system", "S"), Message("user", "q2"), Message("assistant", "a2"),
    ), "h"))
    assert [turn["content"] for turn in few_shot_chat(examples, row)] == ["S", "q1", "a1", "q2"]
