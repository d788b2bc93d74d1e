"""Proof "text" on collected renders."""

from desktop.proof.text import RenderedPair, Stopping, judge_text

STOPPED = [Stopping(server="stop", engine="stop")]


def _judge(stored: str, created: str, stops=("<|im_end|>",), endings=STOPPED):
    pair = RenderedPair(name="row 1", stored=stored, created=created)
    return judge_text([pair], "<s>", stops, ["<|im_end|>"], endings)


def test_equal_renders_pass():
    proof = _judge("a b", "a b")
    assert proof.status == "passed"
    assert proof.detail == (
        "1 of 1 rendered conversations equal; stop texts ['<|im_end|>']; "
        "1 of 1 greedy chats end by themselves"
    )


def test_one_leading_bos_is_not_a_difference_but_two_are():
    assert _judge("<s>a", "a").status == "passed"
    assert _judge("<s><s>a", "a").status == "failed"


def test_the_date_that_a_template_makes_is_compared_by_pattern():
    assert _judge("Today Date: 23 Nov 2026", "Today Date: 24 Nov 2026").status == "passed"
    assert _judge("Today Date: 23 Nov 2026", "Today Date: tomorrow").status == "failed"


def test_a_wrong_template_is_named_with_the_place():
    proof = _judge("<|im_start|>user", "[INST] user")
    assert proof.status == "failed"
    assert 'conversation "row 1" differs at character 0' in proof.detail


def test_wrong_stops_fail():
    proof = _judge("a", "a", stops=("</s>",))
    assert proof.status == "failed"
    assert "stop texts are ['</s>'], expected ['<|im_end|>']" in proof.detail


def test_a_chat_that_runs_on_fails_only_where_our_engine_stops():
    runs_on = [*STOPPED, Stopping(server="length", engine="stop")]
    both_long = [*STOPPED, Stopping(server="length", engine="length")]
    assert _judge("a", "a", endings=runs_on).status == "failed"
    assert _judge("a", "a", endings=both_long).status == "passed"


def test_what_is_wrong_beside_the_renders_does_not_lower_their_count():
    proof = _judge("a", "a", stops=("</s>",), endings=[Stopping(server="length", engine="stop")])
    assert proof.figure == 2
    assert "1 of 1 rendered conversations equal" in proof.detail


def test_no_chats_prove_nothing():
    assert _judge("a", "a", endings=[]).status == "failed"
