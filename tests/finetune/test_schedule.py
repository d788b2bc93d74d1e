"""Steps, rates and the rows that are measured."""

import pytest

from finetune.data.segments import TokenRow
from finetune.schedule import (
    evaluation_steps,
    learning_rate,
    rows_to_evaluate,
    steps_for_time,
)


def test_the_rate_warms_up_to_its_peak_and_falls_to_a_tenth() -> None:
    rates = [learning_rate(step, 100, 1e-3) for step in range(101)]
    assert rates[:10] == pytest.approx([1e-4 * (step + 1) for step in range(10)])
    assert max(rates) == rates[9] == rates[10] == 1e-3
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(5.5e-4)
    assert rates[100] == pytest.approx(1e-4)


def test_the_rate_of_a_single_step_is_the_peak() -> None:
    assert learning_rate(0, 1, 2e-4) == 2e-4


@pytest.mark.parametrize(
    ("seconds_left", "steps"), [(0, 75), (100, 75), (300, 104), (1_000, 150), (-50, 75)]
)
def test_a_time_limit_gives_one_to_two_epochs(seconds_left: float, steps: int) -> None:
    assert steps_for_time(75, 4, 3.0, seconds_left) == steps


def test_evaluations_lie_at_the_tenths_and_strictly_inside() -> None:
    assert sorted(evaluation_steps(100, 9)) == list(range(10, 100, 10))
    assert sorted(evaluation_steps(5, 9)) == [1, 2, 3, 4]
    assert evaluation_steps(1, 9) == frozenset()
    assert evaluation_steps(50, 0) == frozenset()


def _rows(count: int, length: int = 10) -> list[TokenRow]:
    return [TokenRow((1,) * length, (True,) * length, f"{number:03}") for number in range(count)]


def test_the_same_rows_are_measured_whatever_their_order() -> None:
    rows = _rows(300)
    chosen = rows_to_evaluate(rows, 100, 11, 1e9)
    assert len(chosen) == 100
    assert chosen == rows_to_evaluate(rows[::-1], 100, 11, 1e9)


def test_evaluations_take_a_fifth_of_the_run_but_measure_20_rows() -> None:
    # 0.2 x 5,000 tokens x 3 forwards a step / 10 evaluations = 300 tokens: 30 rows of 10.
    assert len(rows_to_evaluate(_rows(300), 100, 10, 5_000)) == 30
    assert len(rows_to_evaluate(_rows(300), 100, 10, 10)) == 20
    assert len(rows_to_evaluate(_rows(7), 100, 10, 10)) == 7
