"""`tunedesk models`: what is held, what can be tuned, and whether it fits this machine."""

from typing import Any

from converters.errors import UserError
from converters.gguf.header import Header, read_header
from desktop.commands.context import Context, Output
from desktop.jobs.room import MemoryRoom, memory_room
from desktop.serving.choice import choose
from desktop.serving.protocol import HeldModel
from desktop.serving.trainable import reason_against

ROW_TOKENS = 1024


async def models(context: Context) -> Output:
    """List the models with their size, whether they can be tuned, and what that needs."""
    chosen = await choose(context.home, context.host, context.engine)
    try:
        held = await chosen.serving.held()
    finally:
        await chosen.serving.close()
    room = memory_room([], "")
    rows = [_row(model, room) for model in held]
    return Output(rows, "\n".join([chosen.why, *_table(rows)]))


def _row(model: HeldModel, room: MemoryRoom) -> dict[str, Any]:
    reason, needed = model.reason, None
    if model.path is not None:
        try:
            header = read_header(model.path)
            reason = reason_against(header)
            needed = None if reason else _needed_bytes(header, room)
        except UserError as error:
            reason = f"{error.title} {error.detail}"
    return {
        "name": model.name, "digest": model.digest, "family": model.family,
        "parameters": model.parameters, "quantization": model.quantization,
        "bytes": model.n_bytes, "trainable": not reason, "reason": reason,
        "fits": None if needed is None else needed <= room.available_bytes, "needed_bytes": needed,
    }


def _needed_bytes(header: Header, room: MemoryRoom) -> int:
    from finetune.plan import default_memory_bytes

    return default_memory_bytes(header, ROW_TOKENS, room.compute)


def _table(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["No models yet. `tunedesk demo` brings a small starter model (93 MB)."]
    width = max(len(row["name"]) for row in rows)
    return [
        f"{row['name']:<{width}}  {row['parameters']:>7}  {row['quantization']:<7} "
        f"{row['bytes'] / 1e9:7.2f} GB  {_verdict(row)}"
        for row in rows
    ]


def _verdict(row: dict[str, Any]) -> str:
    if not row["trainable"]:
        return f"cannot be tuned: {row['reason']}"
    needed = f"{row['needed_bytes'] / 1e9:.1f} GB"
    return f"can be tuned, fits ({needed})" if row["fits"] else f"can be tuned, needs {needed}"
