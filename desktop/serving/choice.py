"""Which place serves the models of this call: Ollama if it answers, else the built-in engine."""

from dataclasses import dataclass
from typing import Literal

from converters.errors import UserError
from desktop.core.paths import Home
from desktop.jobs.spec import Engine
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.errors import OllamaNotRunning
from desktop.ollama_api.versions import behaviour
from desktop.serving.ollama_server import OllamaServer
from desktop.serving.protocol import Serving

EngineChoice = Literal["auto", "ollama", "builtin"]


@dataclass(frozen=True)
class Chosen:
    """The place, and one sentence that says which one it is and why."""

    serving: Serving
    why: str


async def choose(home: Home, host: str | None, choice: EngineChoice) -> Chosen:
    """The place that serves: as asked, or with `auto` whatever is there.

    Raises UserError if Ollama is asked for and does not answer, or is too old.
    """
    if choice == "builtin":
        return Chosen(_builtin(home), "The built-in engine is used, as asked.")
    client = OllamaClient(host)
    try:
        version = await client.version()
        note = behaviour(version).note
    except OllamaNotRunning:
        await client.close()
        if choice == "ollama":
            raise
        why = f"No Ollama answers at {client.url}, so the built-in engine is used."
        return Chosen(_builtin(home), why)
    except UserError:
        await client.close()
        raise
    server = OllamaServer(client, version)
    return Chosen(server, " ".join([f"Ollama {version} at {client.url} is used.", note]).strip())


def _builtin(home: Home) -> Serving:
    from desktop.serving.builtin_engine import BuiltinEngine  # numpy, which Ollama needs not

    return BuiltinEngine(home)


async def open_serving(home: Home, host: str, engine: Engine) -> Serving:
    """The place that a job was started with. Raises UserError if it does not answer now."""
    chosen = await choose(home, host or None, engine)
    return chosen.serving
