"""Held-out rows are chosen by content; duplicates never straddle."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.data.rows import Message, Row, content_hash
from finetune.data.split import held_out_size, split, without_overlap


def row(number: int, text: str) -> Row:
    messages = (Message("user", text), Message("assistant", "x"))
    return Row(number, messages, content_hash(messages))


@pytest.mark.parametrize(
    ("rows", "held_out"), [(3, 0), (10, 2), (100, 20), (300, 50), (1000, 100), (10_000, 500)]
)
def test_size_is_a_tenth_at_least_fifty_at_most_a_fifth(rows: int, held_out: int) -> None:
    assert held_out_size(rows) == held_out


@given(st.lists(st.integers(0, 20), min_size=1, max_size=120), st.integers(0, 3))
def test_duplicates_stay_on_one_side_and_order_does_not_matter(
    texts: list[int], seed: int
) -> None:
    rows = [row(number, str(text)) for number, text in enumerate(texts)]
    parts = split(rows, seed)
    train, held_out = ({part.hash for part in side} for side in (parts.train, parts.held_out))
    assert not train & held_out
    assert len(parts.train) + len(parts.held_out) == len(rows)
    assert len(parts.held_out) <= held_out_size(len(rows))
    assert {part.hash for part in split(rows[::-1], seed).held_out} == held_out


def test_distinct_rows_fill_the_held_out_part_and_the_seed_moves_it() -> None:
    rows = [row(number, str(number)) for number in range(100)]
    assert len(split(rows).held_out) == 20
    assert split(rows, 1).held_out != split(rows).held_out


def test_training_rows_that_stand_in_the_held_out_file_are_left_out() -> None:
    assert without_overlap([row(1, "a"), row(2, "b")], [row(9, "a")]) == (row(2, "b"),)
