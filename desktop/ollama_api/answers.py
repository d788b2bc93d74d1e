"""An answer's status and bytes -> a JSON object, or the error that they stand for."""

import json
from typing import Any

import httpx

from desktop.ollama_api.errors import (
    OllamaRefused,
    OllamaUnreadable,
    SignInNeeded,
    StreamCut,
)
from desktop.ollama_api.keys import HIDDEN
from desktop.ollama_api.refusals import refusal


class Answers:
    """The reading of one server's answers. key: never to appear in a text."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key

    def found(self, response: httpx.Response) -> bool:
        """The answer to a HEAD request: 200 or 404. Raises what else it stands for."""
        if "html" in response.headers.get("content-type", ""):
            raise OllamaUnreadable(self._url, "a web page.")
        if response.status_code == 404:
            return False
        self.checked(response, b"", "")
        return True

    def checked(
        self, response: httpx.Response, raw: bytes, model: str, needs: str = ""
    ) -> dict[str, Any]:
        """The object of a plain answer, {} for an empty one.

        needs: a field that it must have. Raises `OllamaRefused` and its kind, `OllamaUnreadable`,
        `StreamCut` for an empty answer that must not be.
        """
        status = response.status_code
        if 200 <= status < 300:
            return self._object(raw, model, needs)
        if 300 <= status < 400:
            target = response.headers.get("location", "elsewhere")
            raise OllamaRefused(status, f"redirected to {target}, which is never followed")
        text = self._hidden(_error_text(raw) or response.reason_phrase)
        if status in (401, 403, 407):
            raise SignInNeeded(status, text, self._url, had_key=bool(self._key))
        raise refusal(status, text, model)

    def entry(self, line: bytes, model: str) -> dict[str, Any]:
        """The object of a line; an error line is raised."""
        value = self._parsed(line)
        if "error" in value:
            text = self._hidden(_text_of(value["error"]))
            raise refusal(int(value.get("status") or 200), text, model)
        return value

    def _object(self, raw: bytes, model: str, needs: str) -> dict[str, Any]:
        if not raw.strip():
            if needs:
                raise StreamCut("an answer")
            return {}
        value = self.entry(raw, model)
        if needs and needs not in value:
            raise OllamaUnreadable(self._url, f"there is no {needs!r} in it.")
        return value

    def _parsed(self, raw: bytes) -> dict[str, Any]:
        try:
            value = json.loads(raw)
        except ValueError:
            start = self._hidden(raw[:80].decode("utf-8", "replace"))
            raise OllamaUnreadable(self._url, f"no JSON, it begins with {start!r}.") from None
        if not isinstance(value, dict):
            raise OllamaUnreadable(self._url, "JSON, but not an object.")
        return value

    def _hidden(self, text: str) -> str:
        return text.replace(self._key, HIDDEN) if self._key else text


def _error_text(raw: bytes) -> str:
    try:
        return _text_of(json.loads(raw)["error"])
    except (ValueError, KeyError, TypeError):
        # A proxy's page is worth one line, not its HTML.
        return raw[:200].decode("utf-8", "replace").strip()


def _text_of(error: object) -> str:
    return error if isinstance(error, str) else json.dumps(error)
