"""What one document may cost, and the watch that is kept on it from outside of its child."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from converters.errors import Stopped

_ASK_S = 0.1


@dataclass(frozen=True)
class Limits:
    """Bytes of addresses, seconds of processor for a document and for one page, of silence.

    page_credit_s is added to the document's seconds for every page that was read: an honest book
    of 10,000 pages may take longer than a bomb.
    """

    memory_bytes: int = 2**30
    cpu_s: float = 60.0
    page_cpu_s: float = 20.0
    page_credit_s: float = 0.01
    silence_s: float = 300.0


class TooExpensive(Exception):
    """A limit was passed; `is_page`: the one of a page, others may be cheaper."""

    def __init__(self, text: str, *, is_page: bool) -> None:
        super().__init__(text)
        self.is_page = is_page


class Watch:
    """Counts what a document costs over all children that read it, and stops it in time."""

    def __init__(self, limits: Limits, should_stop: Callable[[], bool]) -> None:
        self._limits = limits
        self._should_stop = should_stop
        self._asked = 0.0
        self._spent_before = 0.0
        self._pages = 0
        self._child = 0
        self._child_start = self._child_now = self._page_start = 0.0
        self._heard = time.monotonic()

    @property
    def cpu_s(self) -> float:
        """The processor's seconds so far."""
        return self._spent_before + self._child_now - self._child_start

    def follow(self, pid: int) -> None:
        """From here on this child works on the document."""
        self._spent_before = self.cpu_s
        self._child = pid
        self._child_start = self._child_now = self._page_start = cpu_seconds(pid)
        self._heard = time.monotonic()

    def page_done(self) -> None:
        """A page was read: the next one has its own limit."""
        self._pages += 1
        self._heard = time.monotonic()
        self.check()
        self._page_start = self._child_now

    def check(self, *, now: bool = False) -> None:
        """At most ten times a second: raises Stopped, or TooExpensive."""
        moment = time.monotonic()
        if moment - self._asked < _ASK_S and not now:
            return
        self._asked = moment
        if self._should_stop():
            raise Stopped
        self._child_now = cpu_seconds(self._child) or self._child_now
        limits = self._limits
        if self.cpu_s > limits.cpu_s + self._pages * limits.page_credit_s:
            raise TooExpensive(f"{limits.cpu_s:g} seconds of processor time", is_page=False)
        if self._child_now - self._page_start > limits.page_cpu_s:
            raise TooExpensive(f"{limits.page_cpu_s:g} seconds of processor time", is_page=True)
        if moment - self._heard > limits.silence_s:
            raise TooExpensive(f"{limits.silence_s:g} seconds without an answer", is_page=True)


def cpu_seconds(pid: int) -> float:
    """User and system time of a running process; the wall's clock where that is not told."""
    if sys.platform != "linux":
        return time.monotonic()
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0.0
    fields = stat[stat.rindex(b")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
