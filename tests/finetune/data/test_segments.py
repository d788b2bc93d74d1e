"""Segments to ids with a mask, and F23: rows that are too long."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.data.segments import (
    Segment,
    SegmentRow,
    TokenRow,
    limit,
    segment_row_from_json,
    token_rows,
)


def bytes_of(texts: Sequence[str]) -> list[list[int]]:
    return [list(text.encode()) for text in texts]


def with_bos(texts: Sequence[str]) -> list[list[int]]:
    return [[1, *ids] for ids in bytes_of(texts)]


def test_context_and_answer_are_tokenised_apart_and_only_the_answer_is_learnt() -> None:
    row = SegmentRow((Segment("ab", False), Segment("c.", True)), "h", 7)
    (made,) = token_rows([row], with_bos, bytes_of)
    assert made == TokenRow((1, 97, 98, 99, 46), (False, False, False, True, True), "h", 7)
    assert (made.n_learnt, made.first_learnt) == (2, 3)


def test_many_rows_keep_their_order() -> None:
    rows = [
        SegmentRow((Segment(f"q{n}", False), Segment(f"a{n}", True)), str(n), n)
        for n in range(600)
    ]
    made = list(token_rows(rows, bytes_of, bytes_of))
    assert [row.number for row in made] == list(range(600))
    assert bytes(made[321].ids) == b"q321a321"


def test_the_first_token_of_a_row_is_never_learnt() -> None:
    (made,) = token_rows([SegmentRow((Segment("ab", True),), "h")], bytes_of, bytes_of)
    assert made.learnt == (False, True)


def test_segment_rows_survive_their_json() -> None:
    row = SegmentRow((Segment("ab", False), Segment("c", True)), "h", 7)
    value = {**row.as_json(), "split": "train"}
    assert value["segments"] == [["ab", False], ["c", True]]
    assert segment_row_from_json(value) == row


LONG = TokenRow(tuple(range(20)), (False,) * 6 + (True,) * 14, "h", 3)
FAR = TokenRow(tuple(range(20)), (False,) * 15 + (True,) * 5, "h", 4)
SHORT = TokenRow((1, 2), (False, True), "h", 5)


def test_f23_long_rows_are_truncated_and_those_without_answer_listed() -> None:
    made = limit([LONG, FAR, SHORT], 10)
    assert [row.ids for row in made.rows] == [tuple(range(10)), (1, 2)]
    assert made.rows[0].learnt == (False,) * 6 + (True,) * 4
    assert (made.cut, made.all_masked, made.skipped) == ((3, 4), (4,), ())
    assert (made.tokens, made.learnt_tokens) == (12, 5)


def test_f23_long_rows_are_skipped_on_request() -> None:
    made = limit([LONG, SHORT], 10, "skip")
    assert (made.rows, made.skipped, made.cut) == ((SHORT,), (3,), ())


def test_f23_a_row_in_which_nothing_is_learnt_is_listed() -> None:
    made = limit([TokenRow((1, 2), (False, False), "h", 8)], 10)
    assert (made.rows, made.all_masked) == ((), (8,))


@given(st.integers(1, 90), st.integers(0, 90), st.integers(4, 30))
def test_f23_splitting_learns_every_answer_token_exactly_once(
    length: int, context: int, max_tokens: int
) -> None:
    learnt = tuple(at >= max(context, 1) for at in range(length))
    made = limit([TokenRow(tuple(range(length)), learnt, "h")], max_tokens, "split")
    taught = [
        token for row in made.rows for token, flag in zip(row.ids, row.learnt, strict=True) if flag
    ]
    assert taught == [token for token in range(length) if learnt[token]]
    assert all(len(row.ids) <= max_tokens for row in made.rows)
    assert all(not row.learnt[0] for row in made.rows)


def test_a_row_without_learnt_tokens_has_no_first_one() -> None:
    with pytest.raises(ValueError):
        _ = TokenRow((1,), (False,), "h").first_learnt
