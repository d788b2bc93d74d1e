"""A stream of parts that can be begun ahead, and stopped within a second.

Whatever its server does: nobody waits for it longer than that.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from desktop.ollama_api.replies import ChatPart

_LEAVE_S = 0.5  # for the connection to close; longer is the server's own affair
_SEND_S = 0.02  # a request that is not out by then waits for its server
Open = Callable[[Callable[[], None]], AsyncGenerator[ChatPart]]
"""Opens the stream; is given what to call once its request is on its way."""


class Streaming:
    """Reads a stream in a task of its own, so that waiting for it can be given up. Close it."""

    def __init__(self, open_stream: Open) -> None:
        self._open = open_stream
        self._queue: asyncio.Queue[ChatPart | BaseException | None] = asyncio.Queue()
        self._reading: asyncio.Task[None] | None = None
        self._sent = asyncio.Event()
        self.is_stopped = False

    async def begin(self) -> None:
        """Send the request, so that the server works while something else is done here."""
        if self._reading is None and not self.is_stopped:
            self._reading = asyncio.create_task(self._read())
            sent = asyncio.create_task(self._sent.wait())
            await asyncio.wait(
                [sent, self._reading], timeout=_SEND_S, return_when=asyncio.FIRST_COMPLETED
            )
            sent.cancel()

    async def parts(self) -> AsyncGenerator[ChatPart]:
        """The parts as they come, until the end or `stop`. Raises what the stream raises."""
        try:
            if self._reading is None and not self.is_stopped:
                self._reading = asyncio.create_task(self._read())
            while not self.is_stopped and (item := await self._queue.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            await self.close()

    def stop(self) -> None:
        """End `parts` now; what is still on its way is dropped."""
        self.is_stopped = True
        self._queue.put_nowait(None)

    async def close(self) -> None:
        """Leave the stream; once more does nothing."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait([reading], timeout=_LEAVE_S)

    async def _read(self) -> None:
        try:
            async with aclosing(self._open(self._sent.set)) as source:
                async for part in source:
                    self._queue.put_nowait(part)
        except Exception as error:  # raised again by whoever waits for the parts
            self._queue.put_nowait(error)
        else:
            self._queue.put_nowait(None)
