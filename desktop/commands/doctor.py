"""`tunedesk doctor`: what is running here, what is missing, what to do about it."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from desktop.commands.context import Context, Output
from desktop.core import hardware
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.daemon import OllamaStatus, ollama_status

PACKAGES = (
    "torch", "transformers", "peft", "bitsandbytes", "llama-cpp-python", "gguf", "ollama", "httpx",
)
TRAINING = ("torch", "transformers", "peft", "safetensors")
LOW_DISK_BYTES = 5_000_000_000


async def doctor(context: Context) -> Output:
    """Say what is running, which graphics card is there, and what is missing."""
    async with OllamaClient(context.host) as client:
        status = await ollama_status(client)
    cards = hardware.graphics_cards()
    free = hardware.free_disk_bytes(context.home.root)
    installed = {name: _installed(name) for name in PACKAGES}
    uses_ollama = status.running and context.engine != "builtin"
    value = {
        "ollama": status.as_json() if status.running else None,
        "engine": "ollama" if uses_ollama else "builtin",
        "gpu": [
            {"name": card.name, "total_bytes": card.total_bytes, "free_bytes": card.free_bytes}
            for card in cards
        ],
        "disk": {
            "home": str(context.home.root), "free_bytes": free,
            "writable": context.home.is_writable,
        },
        "python": platform.python_version(),
        "packages": installed,
        "advice": _advice(status, bool(cards), free, installed),
    }
    return Output(value, _text(value, status))


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _advice(
    status: OllamaStatus, has_card: bool, free: int, installed: dict[str, str | None]
) -> list[str]:
    advice = list(status.advice)
    if not status.running:
        advice.append("Without Ollama the built-in engine is used; start Ollama to use its models.")
    if not has_card:
        advice.append(
            "No CUDA graphics card was found: tuning runs on the processor, which suits models "
            "below 0.5B parameters."
        )
    missing = [name for name in TRAINING if installed.get(name, "") is None]
    if missing:
        advice.append(f"Tuning needs {', '.join(missing)}: install `tunedesk[train]`.")
    if free < LOW_DISK_BYTES:
        advice.append(f"Only {free / 1e9:.1f} GB of disk are free; a tuned 8B model needs 6 to 9.")
    return advice


def _text(value: dict[str, Any], status: OllamaStatus) -> str:
    ollama = f"{status.version} at {status.host}" if status.running else "not running"
    store = f"{status.store or 'not on this machine'}"
    cards = [
        f"{card['name']}, {card['free_bytes'] / 1e9:.1f} of {card['total_bytes'] / 1e9:.1f} GB free"
        for card in value["gpu"]
    ]
    lines = [
        f"Ollama    {ollama}",
        *([f"Store     {store}"] if status.running else []),
        f"Engine    {value['engine']}",
        f"Graphics  {'; '.join(cards) or 'no CUDA card'}",
        f"Disk      {value['disk']['free_bytes'] / 1e9:.1f} GB free for {value['disk']['home']}",
        f"Python    {value['python']}",
        "Packages  " + ", ".join(
            f"{name} {number or '(missing)'}" for name, number in value["packages"].items()
        ),
    ]
    return "\n".join([*lines, *(f"Advice: {sentence}" for sentence in value["advice"])])
