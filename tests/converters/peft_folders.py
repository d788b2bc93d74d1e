"""Adapter folders as PEFT writes them, with random weights of a chosen strength, made by numpy."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from converters.architectures import llama
from converters.gguf.reader import GgufFile

PREFIX = "base_model.model."


def module_of(tensor: str) -> str:
    """`blk.0.attn_q.weight` -> PEFT's `base_model.model.model.layers.0.self_attn.q_proj`."""
    parameter = llama.parameter_name(tensor)
    assert parameter is not None
    return PREFIX + parameter.removesuffix(".weight")


def linear_tensors(base: Path, parts: Collection[str] = tuple(llama.BLOCK_LINEAR)) -> list[str]:
    """The block linear tensors of the base, of the given parts."""
    with GgufFile(base) as file:
        names = [info.name for info in file.header.tensors]
    return [name for name in names if name.split(".")[-2] in parts]


def random_tensors(
    base: Path, names: Collection[str], *, rank: int = 16, change: float = 0.007, seed: int = 0
) -> dict[str, np.ndarray]:
    """A and B for the named tensors, so that 2 * B @ A has `change` times the base's norm."""
    chance = np.random.default_rng(seed)
    tensors = {}
    with GgufFile(base) as file:
        for name in names:
            weights = file.values(name)
            rows, row_length = weights.shape
            a = chance.standard_normal((rank, row_length), dtype=np.float32)
            b = chance.standard_normal((rows, rank), dtype=np.float32)
            b *= np.float32(change * np.linalg.norm(weights) / np.linalg.norm(2 * (b @ a)))
            tensors[f"{module_of(name)}.lora_A.weight"] = a
            tensors[f"{module_of(name)}.lora_B.weight"] = b
    return tensors


def write_folder(folder: Path, tensors: dict[str, np.ndarray], **config: Any) -> Path:
    """An adapter folder with these tensors; rank 16, alpha 32 unless `config` says otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": 16, "lora_alpha": 32, "bias": "none", **config}
    (folder / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def random_folder(folder: Path, base: Path, names: Collection[str], **options: Any) -> Path:
    """A rank-16 adapter that changes the named tensors of the base by 0.7 % each."""
    return write_folder(folder, random_tensors(base, names, **options))
