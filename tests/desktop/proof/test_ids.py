"""Proof "ids" on collected ids."""

from desktop.proof.ids import CountPair, IdPair, judge_ids

KEYS = {"tokenizer.ggml.tokens": b"abc", "tokenizer.ggml.model": b"gpt2"}
PAIR = IdPair(name="row 1", trained=(1, 2), exported=(1, 2))


def test_equal_keys_ids_and_counts_pass():
    proof = judge_ids(KEYS, KEYS, [PAIR], [CountPair(server=7, ours=7)])
    assert proof.status == "passed"
    assert proof.detail == (
        "1 of 1 texts with equal ids; 2 vocabulary keys; 1 prompt counts compared"
    )


def test_a_changed_or_missing_vocabulary_key_fails():
    changed = judge_ids(KEYS, KEYS | {"tokenizer.ggml.tokens": b"abd"}, [PAIR], None)
    missing = judge_ids(KEYS, {"tokenizer.ggml.model": b"gpt2"}, [PAIR], None)
    assert "vocabulary key tokenizer.ggml.tokens differs" in changed.detail
    assert changed.status == missing.status == "failed"


def test_other_ids_fail():
    pair = IdPair(name="row 9", trained=(1, 2), exported=(1, 3))
    assert '"row 9"' in judge_ids(KEYS, KEYS, [pair], None).detail


def test_another_count_on_the_server_fails():
    proof = judge_ids(KEYS, KEYS, [PAIR], [CountPair(server=8, ours=7)])
    assert proof.status == "failed"
    assert "the server counts 8 prompt tokens, libllama 7" in proof.detail


def test_without_a_server_the_count_is_named_as_left_out():
    assert "left out: no server" in judge_ids(KEYS, KEYS, [PAIR], None).detail
