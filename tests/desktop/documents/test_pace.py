"""How far an addition is, and what its rest is thought to take."""

import pytest

from converters.events import Event, Progress
from desktop.documents import pace
from desktop.documents.pace import Pace

MB = 1_000_000


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    monkeypatch.setattr(pace, "_REPORT_S", 0.0)
    return []


def _steps(told: list[Event]) -> list[int | None]:
    return [event.steps for event in told if isinstance(event, Progress)]


def test_one_odd_file_does_not_make_the_total_jump(told: list[Event]) -> None:
    """A picture book of two pages before nine reports with a page every 30 KB, 1,002 in all."""
    running = Pace([3 * MB, *[3_330_000] * 9], told.append)
    running.stored(2, 2)
    running.file_done()
    for _ in range(9):
        running.stored(111, 111)
        running.file_done()
    totals = _steps(told)
    assert totals[0] is not None
    assert totals[0] > 150  # 22 by the first file alone
    assert totals[-1] == 2 + 9 * 111


def test_what_the_rest_takes_is_told_once_it_is_more_than_a_guess(told: list[Event]) -> None:
    running = Pace([MB] * 100, told.append)
    assert running.needed(10_000) == 0
    for _ in range(25):
        running.stored(1, 1)
        running.file_done()
    assert running.needed(10_000) == 30_000
