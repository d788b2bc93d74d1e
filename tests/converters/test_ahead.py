"""The bounded ordered queue: order, bound, errors, stop, and no thread left behind."""

import threading
import time

import pytest

from converters.ahead import computed_ahead
from converters.errors import Stopped
from converters.events import ShouldStop


def _never() -> bool:
    return False


def test_results_come_in_order_whatever_takes_longest() -> None:
    def work(item: int, _: ShouldStop) -> int:
        time.sleep(0.02 if item % 3 == 0 else 0)
        return item * item

    assert list(computed_ahead(range(20), work, _never)) == [n * n for n in range(20)]


def test_no_more_than_three_results_are_held() -> None:
    started: list[int] = []

    def work(item: int, _: ShouldStop) -> int:
        started.append(item)
        return item

    results = computed_ahead(range(50), work, _never, threads=2)
    next(results)
    time.sleep(0.1)
    assert len(started) <= 3
    results.close()


def test_an_error_comes_at_its_place_in_the_order() -> None:
    def work(item: int, _: ShouldStop) -> int:
        if item == 2:
            raise KeyError("two")
        return item

    results = computed_ahead(range(9), work, _never)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(KeyError, match="two"):
        next(results)


def test_a_stop_ends_a_long_piece_of_work_at_once() -> None:
    asked = threading.Event()
    wound_up = threading.Event()

    def work(_: int, stopping: ShouldStop) -> int:
        while not stopping():
            time.sleep(0.01)
        wound_up.set()
        raise Stopped

    threading.Timer(0.1, asked.set).start()
    started = time.monotonic()
    with pytest.raises(Stopped):
        list(computed_ahead(range(3), work, asked.is_set))
    assert time.monotonic() - started < 1
    assert wound_up.is_set()


def test_leaving_early_waits_for_the_threads() -> None:
    before = threading.active_count()
    results = computed_ahead(range(9), lambda item, _: item, _never)
    next(results)
    results.close()
    assert threading.active_count() == before
