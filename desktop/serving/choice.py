"""Which place serves the models of this call: Ollama if it answers, else the built-in engine."""

from dataclasses import dataclass
from typing import Literal

from desktop.core.paths import Home
from desktop.jobs.spec import Engine
from desktop.ollama_api.address import server_url
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.errors import OllamaNotRunning, SignInNeeded
from desktop.ollama_api.keys import ask_for_key
from desktop.ollama_api.limits import Limits
from desktop.ollama_api.outage import OnOutage
from desktop.ollama_api.versions import behaviour
from desktop.serving.ollama_server import OllamaServer
from desktop.serving.protocol import Serving

EngineChoice = Literal["auto", "ollama", "builtin"]


@dataclass(frozen=True)
class Patience:
    """How long one request waits for a server that is away, and who is told (FAULTS F10).

    from_start: also for a server that does not answer the very first time.
    """

    seconds: float = 0.0
    on_outage: OnOutage | None = None
    from_start: bool = True


@dataclass(frozen=True)
class Chosen:
    """The place, and one sentence that says which one it is and why."""

    serving: Serving
    why: str


async def choose(
    home: Home, host: str | None, choice: EngineChoice, patience: Patience | None = None
) -> Chosen:
    """The place that serves: as asked, or with `auto` whatever is there.

    patience: wait for a server that is away; by default the answer is given at once. Raises
    UserError if Ollama is asked for and does not answer, is too old, or wants a key that nobody
    gives.
    """
    if choice == "builtin":
        return Chosen(_builtin(home), "The built-in engine is used, as asked.")
    try:
        client, version = await connected(host, patience or Patience())
    except OllamaNotRunning:
        if choice == "ollama":
            raise
        why = f"No Ollama answers at {server_url(host)}, so the built-in engine is used."
        return Chosen(_builtin(home), why)
    note = behaviour(version).note
    server = OllamaServer(client, version)
    return Chosen(server, " ".join([f"Ollama {version} at {client.url} is used.", note]).strip())


async def connected(host: str | None, patience: Patience) -> tuple[OllamaClient, str]:
    """A client whose server answered, and its version; a key is asked for once, at a terminal.

    Raises as `choose` with "ollama".
    """
    try:
        return await _answering(host, patience)
    except SignInNeeded as refused:
        if refused.is_proxy or not ask_for_key(server_url(host)):
            raise
    return await _answering(host, patience)


async def _answering(host: str | None, patience: Patience) -> tuple[OllamaClient, str]:
    if not patience.from_start:
        async with OllamaClient(host) as first:
            await first.version()
    client = OllamaClient(host, Limits(reconnect_s=patience.seconds), patience.on_outage)
    try:
        version = await client.version()
        behaviour(version)
    except BaseException:
        await client.close()
        raise
    return client, version


def _builtin(home: Home) -> Serving:
    from desktop.serving.builtin_engine import BuiltinEngine  # numpy, which Ollama needs not

    return BuiltinEngine(home)


async def open_serving(
    home: Home, host: str, engine: Engine, patience: Patience | None = None
) -> Serving:
    """The place that a job was started with. Raises UserError if it does not answer now."""
    chosen = await choose(home, host or None, engine, patience)
    return chosen.serving
