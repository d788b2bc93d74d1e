"""Packing: every row once, the budget kept, positions from zero, targets where they belong."""

import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.data.packing import Pack, endless_steps, pack, packs_a_step, steps_of_epoch
from finetune.data.segments import TokenRow


def _row(number: int, length: int, learnt: tuple[bool, ...] | None = None) -> TokenRow:
    mask = learnt or (False, *[True] * (length - 1))
    return TokenRow(tuple(range(100, 100 + length)), mask, str(number), number)


def _rows(lengths: list[int]) -> list[TokenRow]:
    return [_row(number, length) for number, length in enumerate(lengths)]


def _numbers(packs: list[Pack]) -> list[int]:
    return sorted(row.number for content in packs for row in content.rows)


LENGTHS = st.lists(st.integers(min_value=2, max_value=90), max_size=120)


@given(LENGTHS, st.integers(min_value=16, max_value=64))
def test_every_row_is_packed_once_within_the_budget(lengths: list[int], budget: int) -> None:
    packs = pack(_rows(lengths), budget)
    assert _numbers(packs) == list(range(len(lengths)))
    for content in packs:
        assert content.tokens <= budget or len(content.rows) == 1
        assert content.tokens == len(content.ids()) == len(content.positions())


@given(LENGTHS, st.integers(min_value=16, max_value=64))
def test_no_row_of_a_later_pack_had_room_in_an_earlier_one(
    lengths: list[int], budget: int
) -> None:
    fitting = [length for length in lengths if length <= budget]
    packs = pack(_rows(fitting), budget)
    for at, content in enumerate(packs):
        for later in packs[at + 1 :]:
            assert content.tokens + max(later.lengths) > budget


def test_fill_is_close_to_full() -> None:
    chance = random.Random(0)
    rows = _rows([chance.randint(20, 300) for _ in range(2000)])
    packs = pack(rows, 512)
    assert sum(content.tokens for content in packs) / (512 * len(packs)) > 0.995


def test_positions_restart_and_targets_point_at_the_state_before() -> None:
    content = Pack((_row(0, 3), _row(1, 4, (False, False, True, False)), _row(2, 2)))
    assert content.lengths == (3, 4, 2)
    assert content.positions() == [0, 1, 2, 0, 1, 2, 3, 0, 1]
    assert content.ids() == [100, 101, 102, 100, 101, 102, 103, 100, 101]
    assert content.targets() == ([0, 1, 4, 7], [101, 102, 102, 101])
    assert content.learnt_tokens == 4


@given(LENGTHS.filter(bool), st.integers(min_value=0, max_value=5))
def test_an_epoch_holds_every_row_once_and_its_length_ignores_the_seed(
    lengths: list[int], seed: int
) -> None:
    rows = _rows(lengths)
    steps = steps_of_epoch(rows, 64, 128, seed)
    assert _numbers([content for packs in steps for content in packs]) == list(range(len(rows)))
    assert len(steps) == len(steps_of_epoch(rows, 64, 128, 99))
    assert all(1 <= len(packs) <= 2 for packs in steps)


def test_the_same_seed_gives_the_same_steps_and_each_epoch_another_order() -> None:
    rows = _rows([5] * 40)
    first = list(islice(endless_steps(rows, 20, 20, 1), 20))
    assert first == list(islice(endless_steps(rows, 20, 20, 1), 20))
    assert first != list(islice(endless_steps(rows, 20, 20, 2), 20))
    assert first[:10] != first[10:]
    assert _numbers([content for packs in first[10:] for content in packs]) == list(range(40))


@pytest.mark.parametrize(
    ("tokens_per_step", "budget", "expected"), [(512, 512, 1), (4096, 2048, 2), (100, 512, 1)]
)
def test_a_steps_tokens_say_how_many_packs_it_has(
    tokens_per_step: int, budget: int, expected: int
) -> None:
    assert packs_a_step(tokens_per_step, budget) == expected


def test_no_rows_are_an_error_and_not_an_endless_loop() -> None:
    with pytest.raises(ValueError, match="no rows to train on"):
        next(endless_steps([], 64, 64, 0))
