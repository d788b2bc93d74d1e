"""Waiting for a server that went away, as it does while it restarts (FAULTS F10).

A request is tried again only where nothing of it was sent, or where sending it twice changes
nothing. Every try is told, so that nothing is repaired silently.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Literal

from desktop.ollama_api.errors import OllamaError, OllamaNotRunning, StreamCut

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 4.0
POLL_S = 0.1
News = Literal["lost", "waiting", "back"]
OnOutage = Callable[[News], None]
"""Told that the server is lost, ten times a second that it still is, and that it is back. May
raise `Stopped` to give up."""


class Outage:
    """The patience of one client. reconnect_s: in all for one request; 0: none."""

    def __init__(self, reconnect_s: float, on_outage: OnOutage | None = None) -> None:
        self._reconnect_s = reconnect_s
        self._tell = on_outage or (lambda news: None)

    async def survive[T](self, attempt: Callable[[], Awaitable[T]], *, is_repeatable: bool) -> T:
        """The result of `attempt`, tried again with growing pauses while the server is away.

        is_repeatable: a request that was cut off after it was sent may be sent again. Raises the
        last error when the patience ends.
        """
        kinds = (OllamaNotRunning, StreamCut) if is_repeatable else (OllamaNotRunning,)
        try:
            return await attempt()
        except kinds as first:
            if self._reconnect_s <= 0:
                raise
            error: OllamaError = first
        self._tell("lost")
        for pause in _pauses(self._reconnect_s):
            await self._pause(pause)
            try:
                result = await attempt()
            except kinds as again:
                error = again
            else:
                self._tell("back")
                return result
        raise error

    async def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._tell("waiting")
            await asyncio.sleep(min(left, POLL_S))


def _pauses(total_s: float) -> Iterator[float]:
    """0.25, 0.5, 1, 2, 4, 4, ... seconds until `total_s` have passed, the time of tries included;
    the last one ends just then."""
    end = time.monotonic() + total_s
    pause = FIRST_PAUSE_S
    while (left := end - time.monotonic()) > 0:
        yield min(pause, left)
        pause = min(2 * pause, LONGEST_PAUSE_S)
