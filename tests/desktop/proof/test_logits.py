"""Proof "logits" on collected divergences, with the figures that FACTS measured."""

import numpy as np
import pytest

from desktop.proof.logits import RowDivergence, ServedRow, divergence, judge_logits

GOOD = RowDivergence(
    tokens=10, adapter_file=1.7e-3, torch_file=3.5e-3, torch_base=3.2e-2, torch_expansion=3.5e-3,
    effect_llama=17.0, effect_torch=17.5,
)
SERVED = [ServedRow(first_choice_differs=0, log_prob_differences=(0.01, -0.02))]


def _judge(served=SERVED, **changed):
    return judge_logits([GOOD.model_copy(update=changed)], "qlora", served)


def test_the_measured_figures_of_a_good_export_pass():
    assert _judge().status == "passed"


def test_divergence_is_the_kullback_leibler_sum():
    first = np.log(np.array([[0.5, 0.5], [0.9, 0.1]], np.float32))
    second = np.log(np.array([[0.5, 0.5], [0.5, 0.5]], np.float32))
    expected = 0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5)
    assert divergence(first, second) == pytest.approx(expected, rel=1e-6)


def test_impossible_tokens_do_not_make_nan():
    sure = np.array([[0.0, -np.inf]], np.float32)
    assert divergence(sure, sure) == 0.0


def test_a_file_without_the_adapter_fails():
    proof = _judge(adapter_file=17.0, torch_file=17.0, torch_expansion=17.0, effect_llama=0.0)
    assert proof.status == "failed"
    assert proof.detail.startswith("KL base + adapter to file 1.7 (at most 0.01)")


def test_the_adapters_effect_must_be_the_same_in_both_engines():
    proof = _judge(effect_llama=15.0)
    assert proof.status == "failed"
    assert "effect of the tuning, file to torch 0.8571" in proof.detail


def test_a_model_that_hardly_changed_is_a_remark_not_a_failure():
    proof = _judge(effect_torch=0.05, effect_llama=0.0)
    assert proof.status == "passed"
    assert "hardly changed" in proof.detail


def test_the_servers_other_first_choice_fails():
    served = [ServedRow(first_choice_differs=1, log_prob_differences=(0.01,))]
    assert _judge(served).status == "failed"


def test_the_servers_other_log_probabilities_fail():
    served = [ServedRow(first_choice_differs=0, log_prob_differences=(0.2, -0.2))]
    assert "mean difference 0.2 (at most 0.1)" in _judge(served).detail


def test_without_a_server_that_part_is_named_as_left_out():
    assert "left out: no server" in _judge(None).detail


def test_no_rows_and_no_served_answers_prove_nothing():
    assert judge_logits([], "qlora", SERVED).status == "failed"
    assert _judge([]).status == "failed"
