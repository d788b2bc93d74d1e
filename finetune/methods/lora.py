"""QLoRA: trained low-rank matrices beside every frozen linear layer of the blocks, through peft.

Saved in PEFT's own format, so that other tools read the adapter.
"""

import json
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from converters.architectures import llama
from converters.durable_files import STAGED_SUFFIX, publish_folder
from converters.gguf.header import Header
from finetune.base_model import LlamaForCausalLM
from finetune.methods.adapted_linear import AdaptedLinear
from finetune.methods.quiet_peft import (
    LoraConfig,
    LoraLayer,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
)

ADAPTER = "default"
CONFIG_FILE, MODEL_FILE = "adapter_config.json", "adapter_model.safetensors"
TARGETS = sorted(module.rpartition(".")[2] for module in llama.BLOCK_LINEAR.values())


def add_adapter(
    model: LlamaForCausalLM,
    *,
    rank: int,
    alpha: float,
    seed: int,
    dropout: float = 0.0,
    base_name: str = "",
) -> PeftModel:
    """Put a fresh adapter on all linear layers of the blocks, in place; its effect is zero.

    dropout: the share of an adapter's inputs that training leaves out by chance. Its matrices are
    float32 whatever the model computes in. `base_name` is recorded in the adapter's
    configuration; nothing looks it up.
    """
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # pyright: ignore[reportArgumentType] - peft divides, so a float is right
        lora_dropout=dropout,
        target_modules=TARGETS,
        task_type="CAUSAL_LM",
    )
    # peft's switch for layers of other libraries; it is not written into the saved configuration.
    config._register_custom_module({nn.Linear: AdaptedLinear})  # noqa: SLF001
    with torch.random.fork_rng(devices=[]), _as_of_transformers_5():
        torch.manual_seed(seed)
        adapted = get_peft_model(model, config)  # pyright: ignore[reportArgumentType]
    assert isinstance(adapted, PeftModel)
    config.base_model_name_or_path = base_name
    return adapted


def load_adapter(model: LlamaForCausalLM, folder: Path) -> PeftModel:
    """Put the saved adapter of `folder` on the model, frozen."""
    with _as_of_transformers_5():
        return PeftModel.from_pretrained(model, str(folder))  # pyright: ignore


def adapter_files(adapted: PeftModel) -> dict[str, bytes]:
    """The adapter in PEFT's own format, name -> content; the same adapter gives the same bytes."""
    weights = {name: part.detach().cpu().contiguous() for name, part in _weights(adapted).items()}
    config = {**adapted.peft_config[ADAPTER].to_dict(), "inference_mode": True}
    plain = {key: sorted(value) if isinstance(value, set) else value
             for key, value in config.items()}  # fmt: skip
    return {
        CONFIG_FILE: json.dumps(plain, indent=2, sort_keys=True).encode(),
        MODEL_FILE: save(weights, metadata={"format": "pt"}),
    }


def save_adapter(adapted: PeftModel, folder: Path) -> None:
    """Write the adapter to `folder`, durably; an earlier one is replaced."""
    write_adapter(adapter_files(adapted), folder)


def write_adapter(files: Mapping[str, bytes], folder: Path) -> None:
    """Write `adapter_files` to `folder`: staged, fsynced, renamed; an earlier one is replaced."""
    staged = folder.with_name(folder.name + STAGED_SUFFIX)
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(mode=0o700, parents=True)
    for name, data in files.items():
        (staged / name).write_bytes(data)
    shutil.rmtree(folder, ignore_errors=True)
    publish_folder(staged, folder)


@torch.no_grad()
def put_weights(adapted: PeftModel, weights: Mapping[str, np.ndarray]) -> None:
    """Overwrite the adapter's matrices by those of a MODEL_FILE.

    Raises ValueError unless each matrix is there, in its shape: one that is left as it was
    initialised would train without a warning.
    """
    targets = _weights(adapted)
    shapes = {name: tuple(part.shape) for name, part in targets.items()}
    if shapes != {name: array.shape for name, array in weights.items()}:
        raise ValueError("the saved adapter has other matrices than this one")
    for name, part in targets.items():
        part.copy_(torch.from_numpy(weights[name]))


def layers(adapted: PeftModel) -> Iterator[tuple[str, Any]]:
    """(GGUF tensor name, peft layer) of every adapted linear layer."""
    for name, module in adapted.named_modules():
        tensor = llama.tensor_name(name)
        if tensor is not None and isinstance(module, LoraLayer):
            yield tensor, module


@torch.no_grad()
def deltas(adapted: PeftModel, header: Header) -> Iterator[tuple[str, torch.Tensor]]:
    """(GGUF tensor name, dW) as the module applies it: (rows, row length) float32, rows in the
    file's order. Made from the modules in memory, one at a time; no adapter file is read.
    """
    n_head = int(header.number("llama.attention.head_count", 1))
    n_head_kv = int(header.number("llama.attention.head_count_kv", n_head))
    for tensor, layer in layers(adapted):
        delta = layer.get_delta_weight(ADAPTER).float()
        heads = llama.heads_of_rows(tensor, n_head, n_head_kv)
        yield tensor, llama.to_file_rows(delta, heads) if heads else delta


def _weights(adapted: PeftModel) -> dict[str, torch.Tensor]:
    """The matrices themselves (no copies), by the names of PEFT's format."""
    return get_peft_model_state_dict(adapted, save_embedding_layers=False)


@contextmanager
def _as_of_transformers_5() -> Iterator[None]:
    """peft 0.21 reads a property that transformers 5 has renamed; nothing follows from it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
        yield
