"""Lines and bodies of a response, capped in size and in silence."""

import asyncio

import httpx

from desktop.ollama_api.errors import OllamaUnreadable

LINE_LIMIT_BYTES = 1 << 20
BODY_LIMIT_BYTES = 16 << 20


class LineReader:
    """Lines of a response, one awaited at a time so that each can have its limit."""

    def __init__(self, response: httpx.Response, url: str) -> None:
        self._pieces = response.aiter_raw()
        self._buffer = bytearray()
        self._url = url
        self._ended = False

    async def next(self, silence_s: float) -> bytes | None:
        """The next line that is not empty, or None at the end.

        Raises TimeoutError after `silence_s` without a byte.
        """
        while True:
            end = self._buffer.find(b"\n")
            if end >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
            elif self._ended:
                line = bytes(self._buffer)
                self._buffer.clear()
                if not line.strip():
                    return None
            else:
                await self._fill(silence_s)
                continue
            if line.strip():
                return line

    async def _fill(self, silence_s: float) -> None:
        async with asyncio.timeout(silence_s):
            piece = await anext(self._pieces, None)
        if piece is None:
            self._ended = True
            return
        self._buffer += piece
        if len(self._buffer) > LINE_LIMIT_BYTES and b"\n" not in self._buffer:
            raise OllamaUnreadable(self._url, "a line of more than 1 MiB.")


async def whole_body(response: httpx.Response, url: str) -> bytes:
    """All of a plain answer."""
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > BODY_LIMIT_BYTES:
            raise OllamaUnreadable(url, "an answer of more than 16 MiB.")
    return bytes(body)
