"""The server's answers against our distributions."""

import numpy as np
import pytest

from desktop.jobs.served import compare_answer, ids_of_answer, index_of_pieces, wants_to_end
from desktop.ollama_api.replies import TokenLogProb

PIECES = [b"a", b"b", b"c", b"c"]
INDEX = index_of_pieces(PIECES)


def _token(text: str, logprob: float, second: float = -9.0) -> TokenLogProb:
    other = "b" if text != "b" else "a"
    top = ((text, logprob, text.encode()), (other, second, other.encode()))
    return TokenLogProb(text, logprob, text.encode(), top)


def _ours(ids, start):
    return np.log(np.array([[0.9, 0.05, 0.03, 0.02]] * (len(ids) - start), np.float32))


def test_equal_choices_and_log_probabilities():
    row = compare_answer([7], [_token("a", -0.1)], PIECES, INDEX, _ours)
    assert row.first_choice_differs == 0
    assert row.log_prob_differences == pytest.approx([np.log(0.9) + 0.1], abs=1e-6)


def test_another_clear_first_choice_is_counted():
    row = compare_answer([7], [_token("b", -0.1)], PIECES, INDEX, _ours)
    assert row.first_choice_differs == 1


def test_a_near_tie_on_both_sides_is_no_difference():
    def tie(ids, start):
        return np.log(np.array([[0.5, 0.4, 0.05, 0.05]], np.float32))

    row = compare_answer([7], [_token("b", -0.7, second=-0.9)], PIECES, INDEX, tie)
    assert row.first_choice_differs == 0


def test_the_file_wants_to_end_only_where_that_is_clear():
    def ends(lead):
        row = np.array([1.0, 1.0 + lead, 0.0, 0.0], np.float32)
        return lambda ids, start: np.tile(row, (len(ids) - start, 1))

    assert wants_to_end([7], [0, 0], {1}, ends(1.5))
    assert not wants_to_end([7], [0, 0], {1}, ends(0.03))
    assert not wants_to_end([7], [0, 0], {2}, ends(1.5))
    assert not wants_to_end([7], [], {1}, ends(1.5))


def test_comparison_ends_at_a_token_whose_bytes_are_no_single_id():
    assert ids_of_answer([_token("a", 0), _token("c", 0), _token("a", 0)], INDEX) == [0]
