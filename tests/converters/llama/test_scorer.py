"""Scoring and greedy writing on the real SmolLM2."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from converters.errors import UserError
from converters.llama.library import bindings
from converters.llama.scorer import Scorer, log_softmax
from converters.llama.vocabulary import Vocabulary

_START = "<|im_start|>user\nWhat is the capital of "
_END = "?<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def vocabulary(smollm2: Path) -> Iterator[Vocabulary]:
    with Vocabulary(smollm2) as opened:
        yield opened


@pytest.fixture(scope="module")
def scorer(smollm2: Path) -> Iterator[Scorer]:
    with Scorer(smollm2, n_ctx=512, batch=3) as opened:
        yield opened


def _prompt(vocabulary: Vocabulary, country: str) -> list[int]:
    return vocabulary.tokenize(_START + country + _END)


def test_rows_are_distributions_over_the_whole_vocabulary(
    scorer: Scorer, vocabulary: Vocabulary
) -> None:
    ids = vocabulary.tokenize("The capital of France is Paris.")
    scored = scorer.log_probs(ids, 3)
    assert scored.shape == (len(ids) - 3, 49152)
    assert scored.dtype == np.float32
    np.testing.assert_allclose(np.exp(scored.astype(np.float64)).sum(axis=1), 1, atol=1e-5)
    paris = vocabulary.tokenize(" Paris")[0]
    assert scored[ids.index(paris) - 3, paris] > -2.5


def test_row_j_predicts_the_id_at_start_plus_j(scorer: Scorer, vocabulary: Vocabulary) -> None:
    ids = _prompt(vocabulary, "France")
    answer = scorer.greedy(ids, 6)
    scored = scorer.log_probs(ids + answer, len(ids))
    assert scored.argmax(axis=1).tolist() == answer


def test_a_shared_prefix_changes_no_figure(scorer: Scorer, vocabulary: Vocabulary) -> None:
    first, second = (_prompt(vocabulary, name) for name in ("France", "Peru"))
    fresh = scorer.log_probs(second, len(second) - 4)
    scorer.log_probs(first, 2)
    again = scorer.log_probs(second, len(second) - 4)
    np.testing.assert_allclose(again, fresh, atol=2e-4)


def test_nothing_to_predict_gives_no_rows(scorer: Scorer, vocabulary: Vocabulary) -> None:
    ids = vocabulary.tokenize("The end")
    assert scorer.log_probs(ids, len(ids)).shape == (0, 49152)
    with pytest.raises(ValueError, match="start must lie in"):
        scorer.log_probs(ids, 0)


def test_rows_longer_than_one_decode_call_are_scored(smollm2: Path) -> None:
    ids = [400 + at % 700 for at in range(530)]
    with Scorer(smollm2, n_ctx=600) as opened:
        scored = opened.log_probs(ids, 505)
        last = opened.log_probs(ids, 525)
    assert scored.shape == (25, 49152)
    np.testing.assert_allclose(np.exp(scored).sum(axis=1), 1, atol=1e-3)
    np.testing.assert_allclose(scored[20:], last, atol=2e-3)


def test_keys_and_values_are_kept_in_float32(smollm2: Path) -> None:
    layers, key_width, n_tokens = 30, 192, 40
    with Scorer(smollm2, n_ctx=64) as opened:
        opened.log_probs([5] * (n_tokens + 1), 1)
        size = bindings().llama_state_seq_get_size(opened._context._pointer, 0)
    assert size >= n_tokens * layers * 2 * key_width * 4


def test_a_row_that_does_not_fit_is_refused_with_its_size(scorer: Scorer) -> None:
    with pytest.raises(UserError) as caught:
        scorer.log_probs([5] * 600, 1)
    assert "599 tokens, there is room for 512 tokens" in caught.value.detail


def test_greedy_ends_on_the_end_token_and_keeps_it(scorer: Scorer, vocabulary: Vocabulary) -> None:
    ids = _prompt(vocabulary, "France")
    free = scorer.greedy(ids, 12)
    assert len(free) == 12
    assert scorer.greedy(ids, 12, {free[4]}) == free[: free.index(free[4]) + 1]


def test_many_answers_come_in_the_order_of_their_prompts(
    scorer: Scorer, vocabulary: Vocabulary
) -> None:
    prompts = [_prompt(vocabulary, name) for name in ("France", "Italy", "Japan", "Spain", "Peru")]
    alone = [scorer.greedy(prompt, 5, vocabulary.end_tokens) for prompt in prompts]
    assert scorer.greedy_many(prompts, 5, vocabulary.end_tokens) == alone


def test_many_equal_prompts_get_equal_answers(scorer: Scorer, vocabulary: Vocabulary) -> None:
    prompt = _prompt(vocabulary, "France")
    answers = scorer.greedy_many([prompt] * 4, 4)
    assert len({tuple(answer) for answer in answers}) == 1
    assert scorer.greedy_many([], 4) == []


def test_log_softmax_equals_the_formula_in_double() -> None:
    logits = np.asarray([[0.0, 1.0, 30.0], [-5.0, -5.0, -5.0]], np.float32)
    wide = logits.astype(np.float64)
    expected = wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(log_softmax(logits), expected, atol=1e-6)
    assert logits[0, 2] == 30.0  # the input is not changed
