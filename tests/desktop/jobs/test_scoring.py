"""Scores from teacher-forced distributions."""

import numpy as np
import pytest

from converters.errors import Stopped
from desktop.jobs.scoring import drift, exact_share, nats_a_token, score_of, score_rows
from finetune.data.segments import TokenRow

ROW = TokenRow((0, 1, 2), (False, True, True), "h")


class _Ready:
    """A distribution that is there at once."""

    def __init__(self, table):
        self._table = table

    def result(self):
        return self._table


def _asked(table):
    return lambda ids, start: _Ready(table)


def _log_probs(*choices, size=4):
    """Distributions that give 0.7 to each choice and 0.1 to the rest."""
    table = np.full((len(choices), size), 0.1, np.float32)
    table[np.arange(len(choices)), choices] = 0.7
    return np.log(table)


def test_an_answer_is_exact_when_every_first_choice_is_right():
    assert score_of(ROW, _log_probs(1, 2)).exact
    assert not score_of(ROW, _log_probs(1, 3)).exact


def test_nats_count_learnt_tokens_only():
    row = TokenRow((0, 1, 2, 3), (False, True, False, True), "h")
    score = score_of(row, _log_probs(1, 1, 3))
    assert score.exact
    assert score.tokens == 2
    assert score.nats == pytest.approx(-2 * np.log(0.7), rel=1e-6)


def test_shares_and_means():
    scores = [score_of(ROW, _log_probs(1, 2)), score_of(ROW, _log_probs(1, 3))]
    assert exact_share(scores) == 0.5
    assert nats_a_token(scores) == pytest.approx(-(3 * np.log(0.7) + np.log(0.1)) / 4, rel=1e-6)


def test_scoring_stops_when_asked():
    with pytest.raises(Stopped):
        score_rows([ROW], [_asked(_log_probs(1, 2))], lambda _: None, lambda: True)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 9])
def test_rows_go_round_the_children_and_come_back_in_order(count):
    rows = [ROW, TokenRow((0, 3, 3), (False, True, True), "g")] * count
    asks = [_asked(_log_probs(1, 2)), _asked(_log_probs(3, 3))]
    steps = []
    scores = score_rows(rows, asks, steps.append, lambda: False)
    assert [score.exact for score in scores] == [True] * len(rows)
    assert [event.step for event in steps] == list(range(1, len(rows) + 1))


def test_drift_is_tuned_against_base():
    tuned, base = _asked(_log_probs(1, 1)), _asked(_log_probs(2, 2))
    expected = 0.6 * np.log(0.7 / 0.1)
    assert drift([[1, 2, 3]], tuned, base, lambda: False) == pytest.approx(expected, rel=1e-5)
    assert drift([[1, 2, 3]], base, base, lambda: False) == 0.0
