"""Proof "delta" on measured tensors: it alone sees a weak adapter and a flipped block."""

import pytest

from converters.gguf.retention import Retention
from desktop.proof.delta import ScoredPair, TensorChange, judge_delta, p_worse

EQUAL = [ScoredPair(reference=1, exported=1)] * 100


def _change(name="blk.0.attn_q.weight", retained=1.0, error=0.5):
    return TensorChange(name, Retention(
        dot=retained, delta_sq=1.0, noise_sq=0.6, base_sq=1e4, largest_error=error, values=9
    ))


def _judge(*changes, missing=(), differing=(), scores=EQUAL, **options):
    return judge_delta(changes or [_change()], missing, differing, 61, scores, **options)


def test_whole_changes_pass():
    proof = _judge()
    assert proof.status == "passed"
    assert "1 tensors hold the change, 61 are byte-identical" in proof.detail


def test_an_adapter_at_nine_tenths_of_its_strength_fails():
    proof = _judge(*[_change(retained=0.9)] * 3)
    assert proof.status == "failed"
    assert proof.detail.startswith("share of the change kept 0.9 (at least 0.95, at most 1.05)")


def test_one_weak_tensor_among_many_fails():
    proof = _judge(*[_change()] * 50, _change("blk.7.ffn_up.weight", retained=0.8))
    assert proof.detail.startswith("least well kept tensor (blk.7.ffn_up.weight) 0.8")


def test_one_flipped_block_fails():
    proof = _judge(_change(error=9.0))
    assert proof.status == "failed"
    assert "largest error in grid steps (blk.0.attn_q.weight) 9 (at most 1)" in proof.detail


def test_a_tensor_without_its_change_fails():
    assert _judge(missing=["blk.3.attn_k.weight"]).status == "failed"


def test_a_tensor_that_should_be_identical_and_is_not_fails_and_is_named():
    proof = _judge(differing=["output_norm.weight"])
    assert proof.status == "failed"
    assert "first of them: output_norm.weight" in proof.detail


def test_an_adapter_that_is_not_applied_fails():
    assert judge_delta([], [], [], 272, EQUAL).status == "failed"


def test_a_lost_score_fails_only_when_it_is_real():
    few = [*EQUAL[:97], *[ScoredPair(reference=1, exported=0)] * 3]
    many = [*EQUAL[:90], *[ScoredPair(reference=1, exported=0)] * 10]
    assert _judge(scores=few).status == "passed"  # 3 points, p = 0.125
    assert _judge(scores=many).status == "failed"  # 10 points, p = 0.001


def test_nats_are_better_when_lower():
    worse = [ScoredPair(reference=0.5, exported=0.6)] * 20
    assert _judge(scores=worse, lower_is_better=True).status == "failed"
    assert _judge(scores=worse, lower_is_better=False).status == "passed"


def test_p_of_the_one_sided_sign_test():
    lost = [ScoredPair(reference=1, exported=0)] * 4 + [ScoredPair(reference=0, exported=1)]
    assert p_worse(lost) == pytest.approx(6 / 32)
    assert p_worse([]) == 1.0


def test_no_scores_prove_nothing():
    assert _judge(scores=[]).status == "failed"
