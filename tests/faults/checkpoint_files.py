"""Files of a made checkpoint: those of a real one, a few kilobytes each, different at each step."""

import hashlib
from pathlib import Path

from finetune import checkpoints

NAMES = (
    "adapter/adapter_model.safetensors", "adapter/adapter_config.json", "state.safetensors",
    "state.json",
)  # fmt: skip


def checkpoint_files(step: int, file_bytes: int = 8192) -> dict[str, bytes]:
    """Name -> content that nothing can guess, the same for the same step."""
    return {
        name: hashlib.shake_128(f"{step} {name}".encode()).digest(file_bytes) for name in NAMES
    }


def save(root: Path, *steps: int, file_bytes: int = 8192) -> None:
    """Save the checkpoints of these steps, one after the other."""
    for step in steps:
        checkpoints.save(root, step, checkpoint_files(step, file_bytes))


def is_whole(checkpoint: checkpoints.Checkpoint, file_bytes: int = 8192) -> bool:
    """Whether every byte is what was saved at that step."""
    return all(
        checkpoints.read_file(checkpoint, name) == data
        for name, data in checkpoint_files(checkpoint.step, file_bytes).items()
    )
