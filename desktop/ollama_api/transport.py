"""One HTTP exchange with Ollama: limits on time and size, and one error class for each failure.

Knows JSON and lines, not what the endpoints mean. The limits and the reasons: FACTS 3.5.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any

import httpx

from desktop.ollama_api.address import is_loopback
from desktop.ollama_api.answers import Answers
from desktop.ollama_api.errors import (
    CertificateRefused,
    OllamaError,
    OllamaNotRunning,
    OllamaStalled,
    OllamaUnreadable,
    SignInNeeded,
    StreamCut,
)
from desktop.ollama_api.limits import LINE_FACTOR, Limits
from desktop.ollama_api.line_reader import LineReader, whole_body
from desktop.ollama_api.outage import OnOutage, Outage

Pieces = Callable[[], AsyncGenerator[bytes]]
OnSent = Callable[[], None]
Seconds = float | Callable[[], float]


class Transport:
    """One httpx client for one server. Not for two event loops. key: "" or what it is shown."""

    def __init__(
        self, url: str, limits: Limits, key: str = "", on_outage: OnOutage | None = None
    ) -> None:
        self.url = url
        self.limits = limits
        self._answers = Answers(url, key)
        self._heads: dict[str, tuple[httpx.URL, list[tuple[bytes, bytes]]]] = {}
        self._outage = Outage(limits.reconnect_s, on_outage)
        headers = {"accept-encoding": "identity"}
        # Proxy variables must not catch loopback, and a TLS store costs 60-100 ms for nothing.
        # Redirects are not followed: they could lead the key to another host.
        self._http = httpx.AsyncClient(
            base_url=url,
            trust_env=not is_loopback(url),
            verify=httpx.create_ssl_context() if url.startswith("https") else False,
            follow_redirects=False,
            timeout=httpx.Timeout(None, connect=limits.connect_s, write=limits.upload_s),
            headers=headers | ({"authorization": f"Bearer {key}"} if key else {}),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def head(self, path: str) -> bool:
        """Whether the server has what a HEAD request asks for. Raises as `exchange`."""

        async def attempt() -> bool:
            async with self._translated("an answer", self.limits.answer_s):
                response = await self._http.head(path)
            return self._answers.found(response)

        return await self._outage.survive(attempt, is_repeatable=True)

    async def exchange(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, model: str = "",
        limit_s: float | None = None, needs: str = "", is_repeatable: bool = True,
    ) -> dict[str, Any]:  # fmt: skip
        """Send `body` as JSON and read one JSON object (or nothing: {}).

        model: the name that a "not found" is about. needs: a field without which the answer is
        none of Ollama's. is_repeatable: sent twice it changes nothing. Raises `errors`' classes.
        """
        limit = limit_s or self.limits.answer_s

        async def attempt() -> dict[str, Any]:
            async with (
                self._translated(path, limit),
                self._http.stream(method, path, json=body) as response,
            ):
                raw = await whole_body(response, self.url)
            return self._answers.checked(response, raw, model, needs)

        return await self._outage.survive(attempt, is_repeatable=is_repeatable)

    async def lines(
        self, path: str, body: dict[str, Any], *, model: str, what: str,
        first_s: float | None = None, line_s: Seconds | None = None,
        on_sent: OnSent | None = None,
    ) -> AsyncGenerator[dict[str, Any]]:  # fmt: skip
        """Yield the JSON lines of a streamed answer; an `error` line is raised.

        what: the words for this stream in a `StreamCut`. first_s, line_s: the silence before the
        first and a later line instead of the limits' own; line_s is asked anew for each line if
        it can be called. on_sent: told that the request is out. The caller checks the last line.
        """
        limits = self.limits
        first = first_s or limits.first_line_s

        async def attempt() -> httpx.Response:
            request = self._request(path, body, on_sent)
            async with self._translated(what, first):
                return await self._http.send(request, stream=True)

        response = await self._outage.survive(attempt, is_repeatable=False)
        try:
            if response.status_code != 200:
                async with self._translated(what, limits.answer_s):
                    raw = await whole_body(response, self.url)
                self._answers.checked(response, raw, model)
            reader = LineReader(response, self.url)
            silence: Seconds = first
            while True:
                silence_s = silence() if callable(silence) else silence
                # Bytes that come are news; one line that takes ten silences is none.
                async with self._translated(what, LINE_FACTOR * silence_s, silence_s):
                    line = await reader.next(silence_s)
                if line is None:
                    return
                silence = line_s or limits.line_s
                yield self._answers.entry(line, model)
        finally:
            await response.aclose()

    async def send_file(self, path: str, pieces: Pieces, n_bytes: int) -> None:
        """POST the raw bytes of `pieces()`, n_bytes in all. Raises as `exchange`."""
        headers = {"content-length": str(n_bytes), "content-type": "application/octet-stream"}

        async def attempt() -> None:
            # httpx leaves a generator open when the connection breaks, and with it the file.
            async with (
                self._translated("the upload", None),
                asyncio.timeout(None) as timeout,
                aclosing(pieces()) as whole,
                aclosing(self._timed(whole, timeout)) as content,
                self._http.stream("POST", path, content=content, headers=headers) as response,
            ):
                raw = await whole_body(response, self.url)
            self._answers.checked(response, raw, "")

        await self._outage.survive(attempt, is_repeatable=False)

    async def _timed(
        self, pieces: AsyncGenerator[bytes], timeout: asyncio.Timeout
    ) -> AsyncGenerator[bytes]:
        """The pieces, each with its time. The server hashes while it reads, so that its answer
        follows the last one at once and has the same time."""
        loop = asyncio.get_running_loop()
        async for piece in pieces:
            timeout.reschedule(loop.time() + self.limits.upload_s)
            yield piece
        timeout.reschedule(loop.time() + self.limits.upload_s)

    def _request(self, path: str, body: dict[str, Any], on_sent: OnSent | None) -> httpx.Request:
        """As the client builds it, with what never changes kept: 0.1 ms less before a question is
        on its way."""
        if path not in self._heads:
            empty = self._http.build_request("POST", path)
            headers = [one for one in empty.headers.raw if one[0].lower() != b"content-length"]
            self._heads[path] = empty.url, [*headers, (b"Content-Type", b"application/json")]
        url, headers = self._heads[path]
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return httpx.Request(
            "POST", url, headers=headers, content=content.encode(),
            extensions={"timeout": self._http.timeout.as_dict(), **_watched(on_sent)},
        )  # fmt: skip

    def _translated(
        self, what: str, limit_s: float | None, said_s: float | None = None
    ) -> AbstractAsyncContextManager[None]:
        return self._translating(what, limit_s, said_s or limit_s or self.limits.upload_s)

    @asynccontextmanager
    async def _translating(
        self, what: str, limit_s: float | None, said_s: float
    ) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(limit_s):
                yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise _unconnected(self.url, error) from None
        except (TimeoutError, httpx.TimeoutException):
            raise OllamaStalled(what, said_s) from None
        except httpx.ProxyError as error:
            raise SignInNeeded(407, str(error), self.url, had_key=False) from None
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            raise StreamCut(what) from None
        except httpx.HTTPError as error:
            raise OllamaUnreadable(self.url, f"{type(error).__name__}: {error}") from error


def _watched(on_sent: OnSent | None) -> dict[str, Any]:
    """httpx' extension that tells each step of an exchange; only the last one of sending counts."""

    async def trace(step: str, _details: dict[str, Any]) -> None:
        if on_sent is not None and step.endswith(".send_request_body.complete"):
            on_sent()

    return {"trace": trace} if on_sent is not None else {}


def _unconnected(url: str, error: BaseException) -> OllamaError:
    """Why there is no connection: nobody there, or no encryption that can be trusted."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return CertificateRefused(url, cause.verify_message or str(cause))
        if isinstance(cause, ssl.SSLError):
            reason = cause.reason or str(cause)
            return OllamaUnreadable(url, f"no encrypted connection could be made ({reason}).")
        cause = cause.__cause__ or cause.__context__
    return OllamaNotRunning(url)
