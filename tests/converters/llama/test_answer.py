"""Stop texts across token borders, and the draws of the sampler."""

import numpy as np
import pytest

from converters.llama.answer import StopFilter
from converters.llama.sampling import Sampler, Sampling


@pytest.mark.parametrize(
    ("stops", "pieces", "shown", "is_met"),
    [
        (["END"], ["one E", "N", "D two"], "one ", True),
        (["END"], ["one E", "N", "x"], "one ENx", False),
        (["END"], ["one EN"], "one EN", False),
        (["###", "\n\n"], ["a\n", "\nb###"], "a", True),
        (["aab"], ["a", "a", "a", "b", "c"], "a", True),
        ([], ["a", "b"], "ab", False),
        ([""], ["a"], "a", False),
    ],
)
def test_text_ends_before_the_first_stop_text(
    stops: list[str], pieces: list[str], shown: str, is_met: bool
) -> None:
    stop_filter = StopFilter(stops)
    text = "".join(stop_filter.feed(piece) for piece in pieces)
    if not stop_filter.is_met:
        text += stop_filter.rest()
    assert (text, stop_filter.is_met) == (shown, is_met)


def test_nothing_uncertain_is_shown_early() -> None:
    stop_filter = StopFilter(["<|end|>"])
    assert stop_filter.feed("yes<") == "yes"
    assert stop_filter.feed("|en") == ""
    assert stop_filter.feed("!") == "<|en!"


_LOGITS = np.asarray([0.0, 3.0, 2.0, 1.0], np.float32)


def _drawn(options: Sampling, recent: tuple[int, ...] = (), times: int = 400) -> dict[int, int]:
    sampler = Sampler(options)
    draws = [sampler.choose(_LOGITS, recent) for _ in range(times)]
    return {token: draws.count(token) for token in sorted(set(draws))}


def test_temperature_zero_takes_the_likeliest() -> None:
    assert _drawn(Sampling(temperature=0)) == {1: 400}


def test_one_seed_gives_one_sequence() -> None:
    assert _drawn(Sampling(seed=3)) == _drawn(Sampling(seed=3))


def test_draws_follow_the_chances() -> None:
    free = Sampling(temperature=1.0, top_k=0, top_p=1.0, seed=0)
    shares = np.exp(_LOGITS) / np.exp(_LOGITS).sum()
    drawn = _drawn(free, times=4000)
    for token, share in enumerate(shares):
        assert drawn[token] / 4000 == pytest.approx(share, abs=0.03)


def test_the_tail_is_cut() -> None:
    assert set(_drawn(Sampling(temperature=1.0, top_k=2, top_p=1.0, seed=0))) == {1, 2}
    assert set(_drawn(Sampling(temperature=1.0, top_k=0, top_p=0.7, seed=0))) == {1, 2}
    assert set(_drawn(Sampling(temperature=1.0, top_k=0, top_p=1.0, min_p=0.3, seed=0))) == {1, 2}


def test_repeated_tokens_are_penalised_and_the_logits_kept() -> None:
    before = _LOGITS.copy()
    assert _drawn(Sampling(temperature=0, repeat_penalty=2.0), recent=(1,)) == {2: 400}
    np.testing.assert_array_equal(_LOGITS, before)


def test_only_sampling_options_are_taken() -> None:
    options = Sampling.of({"temperature": 0.2, "num_ctx": 4096, "stop": ["x"], "seed": 4})
    assert options == Sampling(temperature=0.2, seed=4)
