"""What runs here, what is missing, and what to do about it: for `doctor` and for the window."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from desktop.core import hardware
from desktop.core.hardware import CardProbe, GraphicsCard
from desktop.core.paths import Home
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.daemon import OllamaStatus, ollama_status

PACKAGES = (
    "torch", "transformers", "peft", "bitsandbytes", "llama-cpp-python", "gguf", "ollama", "httpx",
)
TRAINING = ("torch", "transformers", "peft", "safetensors")
LOW_DISK_BYTES = 5_000_000_000


@dataclass(frozen=True)
class Machine:
    """packages: the version of each of PACKAGES, None if it is missing. advice: sentences for the
    person, the most pressing first."""

    ollama: OllamaStatus
    cards: tuple[GraphicsCard, ...]
    free_disk_bytes: int
    packages: Mapping[str, str | None]
    advice: tuple[str, ...]


async def look_at_machine(home: Home, host: str | None) -> Machine:
    """Look at all of it; nothing is raised, every failure becomes advice."""
    async with OllamaClient(host) as client:
        status = await ollama_status(client)
    probe = await asyncio.to_thread(hardware.probe_cards)  # a driver may take seconds to answer
    free = hardware.free_disk_bytes(home.root)
    packages = {name: _installed(name) for name in PACKAGES}
    return Machine(status, probe.cards, free, packages, advice_for(status, probe, free, packages))


def _installed(name: str) -> str | None:
    """The version of an installed package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def advice_for(
    status: OllamaStatus, probe: CardProbe, free: int, packages: Mapping[str, str | None]
) -> tuple[str, ...]:
    """What a person should know or do."""
    advice = list(status.advice)
    if not status.running:
        advice.append("Without Ollama the built-in engine is used; start Ollama to use its models.")
    if not probe.cards:
        advice.append(
            f"{probe.reason} Tuning runs on the processor, which suits models below 0.5B "
            "parameters."
        )
    missing = [name for name in TRAINING if packages.get(name, "") is None]
    if missing:
        advice.append(f"Tuning needs {', '.join(missing)}: install `tunedesk[train]`.")
    if free < LOW_DISK_BYTES:
        advice.append(f"Only {free / 1e9:.1f} GB of disk are free; a tuned 8B model needs 6 to 9.")
    return tuple(advice)
