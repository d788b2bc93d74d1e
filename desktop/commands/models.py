"""`tunedesk models`: what is held, what can be tuned, and whether it fits this machine."""

from typing import Any

from desktop.commands.context import Context, Output
from desktop.jobs.room import memory_room
from desktop.serving.choice import choose
from desktop.serving.protocol import HeldModel
from desktop.serving.suitability import Suitability, suitability


async def models(context: Context) -> Output:
    """List the models with their size, whether they can be tuned, and what that needs."""
    chosen = await choose(context.home, context.host, context.engine)
    try:
        held = await chosen.serving.held()
    finally:
        await chosen.serving.close()
    room = memory_room([], "")
    found = [(model, suitability(model, room)) for model in held]
    rows = [_row(model, suits) for model, suits in found]
    return Output(rows, "\n".join([chosen.why, *_table(found)]))


def _row(model: HeldModel, suits: Suitability) -> dict[str, Any]:
    return {
        "name": model.name, "digest": model.digest, "family": model.family,
        "parameters": model.parameters, "quantization": model.quantization,
        "bytes": model.n_bytes, "trainable": not suits.reason, "reason": suits.reason,
        "fits": suits.fits, "needed_bytes": suits.needed_bytes,
    }  # fmt: skip


def _table(found: list[tuple[HeldModel, Suitability]]) -> list[str]:
    if not found:
        return ["No models yet. `tunedesk demo` brings a small starter model (93 MB)."]
    width = max(len(model.name) for model, _ in found)
    return [
        f"{model.name:<{width}}  {model.parameters:>7}  {model.quantization:<7} "
        f"{model.n_bytes / 1e9:7.2f} GB  {suits.in_words}"
        for model, suits in found
    ]
