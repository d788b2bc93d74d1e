"""What `doctor` tells about Ollama: is it there, which version, where is its store."""

from dataclasses import asdict, dataclass
from typing import Any

from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.errors import OllamaError
from desktop.ollama_api.store import locate_store
from desktop.ollama_api.versions import VersionTooOld, behaviour


@dataclass(frozen=True)
class OllamaStatus:
    """A server as doctor sees it. store: a path on this machine, None if it is not here.

    advice: sentences for the person, each with a next step.
    """

    running: bool
    version: str
    host: str
    store: str | None
    store_readable: bool
    store_writable: bool
    advice: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The object under `"ollama"` of `doctor --json`."""
        return {key: value for key, value in asdict(self).items() if key != "advice"}


async def ollama_status(client: OllamaClient) -> OllamaStatus:
    """Look at the server; every failure becomes advice, nothing is raised."""
    try:
        version = await client.version()
        store = await locate_store(client)
    except OllamaError as error:
        return OllamaStatus(False, "", client.url, None, False, False, (str(error),))
    return OllamaStatus(
        running=True,
        version=version,
        host=client.url,
        store=str(store.root) if store else None,
        store_readable=bool(store and store.is_readable),
        store_writable=bool(store and store.is_writable),
        advice=tuple(_advice(version, store is not None)),
    )


def _advice(version: str, has_store: bool) -> list[str]:
    advice: list[str] = []
    try:
        server = behaviour(version)
        advice += [text for text in (server.note, server.advice) if text]
    except VersionTooOld as error:
        advice.append(str(error))
    if not has_store:
        advice.append(
            "Ollama's model store was not found on this machine (or it holds no model yet); "
            "models are uploaded instead of linked."
        )
    return advice
