"""Whether a model file can be tuned, and if not, why: one sentence for the list of models."""

import json
from functools import cache
from pathlib import Path

import resources
from converters.errors import UserError
from converters.gguf.header import Header
from converters.gguf.tensor_types import TensorType

# Block layouts that training can read; issue 7 adds the other K formats (block_layouts.LAYOUTS).
TRAINABLE_TYPES = frozenset(
    {
        TensorType.F32, TensorType.F16, TensorType.BF16, TensorType.Q4_0, TensorType.Q4_1,
        TensorType.Q5_0, TensorType.Q5_1, TensorType.Q8_0, TensorType.Q6_K,
    }
)


@cache
def supported_architectures() -> tuple[str, ...]:
    """The architectures that can be tuned, as the catalogue states them."""
    rows = json.loads(resources.path("catalogue.json").read_text(encoding="utf-8"))
    return tuple(name for name, row in rows["architectures"].items() if row["supported"])


def reason_against(header: Header) -> str:
    """Why this file cannot be tuned, in one sentence; empty if it can."""
    supported = supported_architectures()
    if header.architecture not in supported:
        listed = ", ".join(supported)
        return f'The architecture "{header.architecture}" is not supported yet (only {listed}).'
    foreign = {info.type.name for info in header.tensors if info.type not in TRAINABLE_TYPES}
    if foreign:
        return f"Its weights are stored as {', '.join(sorted(foreign))}, which cannot be read yet."
    if header.number("llama.expert_count", 0):
        return "Mixtures of experts are not supported yet."
    return ""


def require_trainable_file(name: str, path: Path, header: Header) -> None:
    """Raise UserError if the model cannot be tuned."""
    reason = reason_against(header)
    if reason:
        raise UserError(
            f"{name!r} cannot be tuned.", f"{reason} Its file is {path.name[:19]}...",
            "Choose another model: `tunedesk models` says which ones can be tuned.",
        )
