"""`tunedesk doctor`: what is running here, what is missing, what to do about it."""

import platform
from typing import Any

from desktop.commands.context import Context, Output
from desktop.ollama_api.daemon import OllamaStatus
from desktop.serving.machine import look_at_machine


async def doctor(context: Context) -> Output:
    """Say what is running, which graphics card is there, and what is missing."""
    machine = await look_at_machine(context.home, context.host)
    uses_ollama = machine.ollama.running and context.engine != "builtin"
    value = {
        "ollama": machine.ollama.as_json() if machine.ollama.running else None,
        "engine": "ollama" if uses_ollama else "builtin",
        "gpu": [
            {"name": card.name, "total_bytes": card.total_bytes, "free_bytes": card.free_bytes}
            for card in machine.cards
        ],
        "disk": {
            "home": str(context.home.root), "free_bytes": machine.free_disk_bytes,
            "writable": context.home.is_writable,
        },
        "python": platform.python_version(),
        "packages": dict(machine.packages),
        "advice": list(machine.advice),
    }
    return Output(value, _text(value, machine.ollama))


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
