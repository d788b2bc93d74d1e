"""A stream of parts that can be stopped within a second, whatever its server does."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from desktop.ollama_api.replies import ChatPart

_LEAVE_S = 0.5  # for the connection to close; longer is the server's own affair


class Streaming:
    """Reads a stream in a task of its own, so that waiting for it can be given up."""

    def __init__(self, source: AsyncGenerator[ChatPart]) -> None:
        self._source = source
        self._queue: asyncio.Queue[ChatPart | BaseException | None] = asyncio.Queue()
        self.is_stopped = False

    async def parts(self) -> AsyncGenerator[ChatPart]:
        """The parts as they come, until the end or `stop`. Raises what the stream raises."""
        reading = asyncio.create_task(self._read())
        try:
            while not self.is_stopped and (item := await self._queue.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            reading.cancel()
            await asyncio.wait([reading], timeout=_LEAVE_S)

    def stop(self) -> None:
        """End `parts` now; what is still on its way is dropped."""
        self.is_stopped = True
        self._queue.put_nowait(None)

    async def _read(self) -> None:
        try:
            async with aclosing(self._source):
                async for part in self._source:
                    self._queue.put_nowait(part)
        except Exception as error:  # raised again by whoever waits for the parts
            self._queue.put_nowait(error)
        else:
            self._queue.put_nowait(None)
