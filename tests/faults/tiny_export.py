"""A base of one made layer and an adapter for two of its tensors: an export takes 0.1 s."""

from pathlib import Path

from converters.gguf.header import TensorType
from tests.converters.peft_folders import linear_tensors, random_folder
from tests.converters.small_models import made_model


def write_sources(folder: Path) -> None:
    """`base.gguf` and `adapter` in the folder, the same bytes each time."""
    base = made_model(folder / "base.gguf", TensorType.Q4_0)
    random_folder(folder / "adapter", base, linear_tensors(base, ("attn_q", "ffn_down")))
