"""One HTTP exchange with Ollama: limits on time and size, and one error class for each failure.

Knows JSON and lines, not what the endpoints mean. The limits and the reasons: FACTS 3.5.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from desktop.ollama_api.address import is_loopback
from desktop.ollama_api.errors import (
    OllamaNotRunning,
    OllamaRefused,
    OllamaStalled,
    OllamaUnreadable,
    StreamCut,
    refusal,
)

LINE_LIMIT_BYTES = 1 << 20
BODY_LIMIT_BYTES = 16 << 20


@dataclass(frozen=True)
class Limits:
    """Seconds: to connect, for a plain answer, for a first line (it may load a model), between
    lines, and for the server to take a piece of an upload."""

    connect_s: float = 3.0
    answer_s: float = 60.0
    first_line_s: float = 600.0
    line_s: float = 120.0
    upload_s: float = 60.0


class Transport:
    """One httpx client for one server. Not for two event loops."""

    def __init__(self, url: str, limits: Limits) -> None:
        self.url = url
        self.limits = limits
        # Proxy variables must not catch loopback, and a TLS store costs 60-100 ms for nothing.
        self._http = httpx.AsyncClient(
            base_url=url,
            trust_env=not is_loopback(url),
            verify=url.startswith("https"),
            follow_redirects=False,
            timeout=httpx.Timeout(None, connect=limits.connect_s, write=limits.upload_s),
            headers={"accept-encoding": "identity"},
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def head(self, path: str) -> int:
        """The status of a HEAD request."""
        async with self._translated("an answer", self.limits.answer_s):
            return (await self._http.head(path)).status_code

    async def exchange(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, model: str = "",
        limit_s: float | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Send `body` as JSON and read one JSON object (or nothing: {}).

        model: the name that a "not found" is about. Raises the classes of `errors`.
        """
        limit = limit_s or self.limits.answer_s
        async with self._translated(path, limit), self._open(method, path, json=body) as response:
            raw = await _whole_body(response, self.url)
        return self._checked(response, raw, model)

    async def lines(
        self, path: str, body: dict[str, Any], *, model: str, what: str,
        line_s: float | None = None,
    ) -> AsyncGenerator[dict[str, Any]]:
        """Yield the JSON lines of a streamed answer; an `error` line is raised.

        what: the words for this stream in a `StreamCut`. line_s: instead of the limits' own. The
        caller checks the last line.
        """
        limits = self.limits
        async with self._translated(what, limits.first_line_s):
            response = await self._http.send(
                self._http.build_request("POST", path, json=body), stream=True
            )
        try:
            if response.status_code != 200:
                async with self._translated(what, limits.answer_s):
                    raw = await _whole_body(response, self.url)
                self._checked(response, raw, model)
            reader = _LineReader(response, self.url)
            limit = limits.first_line_s
            while True:
                async with self._translated(what, limit):
                    line = await reader.next()
                if line is None:
                    return
                limit = line_s or limits.line_s
                entry = self._parsed(line)
                if "error" in entry:
                    raise refusal(int(entry.get("status") or 200), str(entry["error"]), model)
                yield entry
        finally:
            await response.aclose()

    async def send_file(self, path: str, chunks: AsyncIterator[bytes], n_bytes: int) -> int:
        """POST raw bytes with a known length; the status. Raises as `exchange`."""
        headers = {"content-length": str(n_bytes), "content-type": "application/octet-stream"}
        # The server hashes while it reads, so its answer follows the last byte at once.
        limit = self.limits.upload_s
        timeout = httpx.Timeout(limit, connect=self.limits.connect_s)
        async with (
            self._translated("the upload", None),
            self._open(
                "POST", path, content=chunks, headers=headers, timeout=timeout
            ) as response,
        ):
            raw = await _whole_body(response, self.url)
        if response.status_code >= 300:
            self._checked(response, raw, "")
        return response.status_code

    def _open(self, method: str, path: str, **content: Any) -> Any:
        return self._http.stream(method, path, **content)

    def _checked(self, response: httpx.Response, raw: bytes, model: str) -> dict[str, Any]:
        status = response.status_code
        if 200 <= status < 300:
            return self._parsed(raw) if raw.strip() else {}
        if 300 <= status < 400:
            target = response.headers.get("location", "elsewhere")
            raise OllamaRefused(status, f"redirected to {target}, which is never followed")
        try:
            text = str(json.loads(raw)["error"])
        except (ValueError, KeyError, TypeError):
            # A proxy's page is worth one line, not its HTML.
            text = raw[:200].decode("utf-8", "replace").strip() or response.reason_phrase
        raise refusal(status, text, model)

    def _parsed(self, raw: bytes) -> dict[str, Any]:
        try:
            value = json.loads(raw)
        except ValueError:
            start = raw[:80].decode("utf-8", "replace")
            raise OllamaUnreadable(self.url, f"no JSON, it begins with {start!r}.") from None
        if not isinstance(value, dict):
            raise OllamaUnreadable(self.url, "JSON, but not an object.")
        return value

    @asynccontextmanager
    async def _translated(self, what: str, limit_s: float | None) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(limit_s):
                yield
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise OllamaNotRunning(self.url) from None
        except (TimeoutError, httpx.TimeoutException):
            raise OllamaStalled(what, limit_s or self.limits.upload_s) from None
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            raise StreamCut(what) from None
        except httpx.HTTPError as error:
            raise OllamaUnreadable(self.url, f"{type(error).__name__}: {error}") from error


class _LineReader:
    """Lines of a response with a cap, one awaited at a time so that each can have its limit."""

    def __init__(self, response: httpx.Response, url: str) -> None:
        self._pieces = response.aiter_raw()
        self._buffer = bytearray()
        self._url = url
        self._ended = False

    async def next(self) -> bytes | None:
        """The next line that is not empty, or None at the end."""
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
                await self._fill()
                continue
            if line.strip():
                return line

    async def _fill(self) -> None:
        piece = await anext(self._pieces, None)
        if piece is None:
            self._ended = True
            return
        self._buffer += piece
        if len(self._buffer) > LINE_LIMIT_BYTES and b"\n" not in self._buffer:
            raise OllamaUnreadable(self._url, "a line of more than 1 MiB.")


async def _whole_body(response: httpx.Response, url: str) -> bytes:
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > BODY_LIMIT_BYTES:
            raise OllamaUnreadable(url, "an answer of more than 16 MiB.")
    return bytes(body)
