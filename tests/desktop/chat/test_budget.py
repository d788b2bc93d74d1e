"""What is sent and what is left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desktop.chat.budget import (
    Budget,
    Plan,
    Sizes,
    TooLong,
    answer_room_for,
    counted,
    plan,
    whole_document_fits,
    window_for,
)

SIZES = st.builds(
    Sizes,
    system=st.integers(0, 3000),
    pairs=st.lists(st.integers(1, 900), max_size=30),
    question=st.integers(1, 2000),
    passages=st.lists(st.integers(1, 900), max_size=10),
)
WINDOWS = st.integers(1, 40).map(lambda n: n * 256)


def planned(window: int, sizes: Sizes, first_pair: int) -> Plan | TooLong:
    try:
        return plan(window, sizes, first_pair)
    except TooLong as error:
        return error


@given(WINDOWS, SIZES, st.integers(0, 30))
def test_nothing_that_is_sent_is_larger_than_the_window(window: int, sizes: Sizes, first: int):
    first = min(first, len(sizes.pairs))
    made = planned(window, sizes, first)
    if isinstance(made, TooLong):
        assert made.tokens > made.room
        return
    budget = made.budget
    assert budget.free >= 0
    assert budget.history == sum(sizes.pairs[made.first_pair :])
    assert budget.passages == sum(sizes.passages[at] for at in made.passages)
    assert budget.pairs_left_out == made.first_pair >= first
    assert budget.passages_left_out == len(sizes.passages) - len(made.passages)
    assert bool(made.passages) == bool(sizes.passages)


@given(WINDOWS, SIZES)
def test_what_fits_is_sent_whole(window: int, sizes: Sizes):
    needed = sizes.system + sum(sizes.pairs) + sizes.question + sum(sizes.passages)
    if needed + answer_room_for(window) <= window:
        made = plan(window, sizes)
        assert (made.first_pair, len(made.passages)) == (0, len(sizes.passages))


@given(st.integers(4, 32).map(lambda n: n * 256), st.integers(10, 60), st.integers(5, 60))
def test_earlier_turns_go_in_steps(window: int, pair: int, turns: int):
    first, drops = 0, []
    for turn in range(turns * 5):
        made = plan(window, Sizes(50, [pair] * turn, 20), first)
        if made.first_pair != first:
            drops.append(turn)
        first = made.first_pair
    room = window - answer_room_for(window) - 70
    gaps = [after - before for before, after in zip(drops, drops[1:], strict=False)]
    assert all(gap >= room // pair // 2 for gap in gaps)
    assert drops or pair * turns * 5 <= room + pair


def test_a_message_that_does_not_fit_is_refused_with_its_numbers():
    with pytest.raises(TooLong) as raised:
        plan(2048, Sizes(system=100, pairs=[], question=5000))
    assert "5,000 tokens" in raised.value.detail
    assert "of a window of 2,048 there are 1,436" in raised.value.detail
    assert "Nothing was cut" in raised.value.detail


def test_a_window_smaller_than_one_passage_is_said():
    with pytest.raises(TooLong, match="smallest passage") as raised:
        plan(512, Sizes(system=100, pairs=[], question=20, passages=[700, 600]))
    assert "It has 600 tokens" in raised.value.detail


def test_history_makes_way_for_the_best_passage():
    made = plan(1024, Sizes(system=50, pairs=[300, 300], question=20, passages=[600, 90]))
    assert made.passages == (1,)
    made = plan(1024, Sizes(system=50, pairs=[300, 300], question=20, passages=[600]))
    assert (made.passages, made.first_pair) == ((0,), 2)


def test_the_budget_says_what_was_left_out():
    made = plan(1024, Sizes(system=50, pairs=[300, 300, 100], question=20, passages=[200, 900]))
    assert str(made.budget) == (
        "370 of 1,024 tokens: system 50, history 100, passages 200, question 20; 256 are kept for "
        "the answer; left out: 2 earlier questions and 1 passage."
    )


@pytest.mark.parametrize(
    ("context", "wanted", "window"),
    [(0, 8192, 8192), (2048, 8192, 2048), (131072, 8192, 8192), (2000, 8192, 1792),
     (100, 100, 256)],
)  # fmt: skip
def test_the_window_is_the_models_at_most(context: int, wanted: int, window: int):
    assert window_for(context, wanted) == window


def test_a_whole_document_leaves_room_to_talk():
    assert whole_document_fits(8192, 200, 4920)
    assert not whole_document_fits(8192, 200, 4921)


def test_the_terms_add_up_to_what_was_counted_whole():
    base = Budget(window=1000, system=100, history=50, passages=300, question=20, answer_room=250)
    for prompt in (470, 455, 500, 130):
        made = counted(base, prompt)
        assert made.prompt == prompt
        assert (made.system, made.question) == (100, 20) or prompt == 130
        assert min(made.system, made.history, made.passages, made.question) >= 0
    document = counted(base, 480, document=60)
    assert (document.system, document.passages, document.prompt) == (40, 370, 480)
    plain = counted(Budget(1000, 30, 0, 0, 15, 250), 31)
    assert plain.prompt == 31
