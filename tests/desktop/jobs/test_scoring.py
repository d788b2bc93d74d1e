"""Scores from teacher-forced distributions."""

import numpy as np
import pytest

from converters.errors import Stopped
from desktop.jobs.scoring import drift, exact_share, nats_a_token, score_of, score_rows
from finetune.data.segments import TokenRow

ROW = TokenRow((0, 1, 2), (False, True, True), "h")


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
        score_rows([ROW], lambda ids, start: _log_probs(1, 2), lambda _: None, lambda: True)


def test_drift_is_tuned_against_base():
    def tuned(ids, start):
        return _log_probs(*[1] * (len(ids) - start))

    def base(ids, start):
        return _log_probs(*[2] * (len(ids) - start))

    expected = 0.6 * np.log(0.7 / 0.1)
    assert drift([[1, 2, 3]], tuned, base, lambda: False) == pytest.approx(expected, rel=1e-5)
    assert drift([[1, 2, 3]], base, base, lambda: False) == 0.0
