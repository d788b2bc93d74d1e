"""QLoRA: trained low-rank matrices beside every frozen linear layer of the blocks, through peft.

Saved in PEFT's own format, so that other tools read the adapter.
"""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from converters.architectures import llama
from converters.durable_files import STAGED_SUFFIX, publish_folder
from converters.gguf.header import Header
from finetune.base_model import LlamaForCausalLM
from finetune.methods.adapted_linear import AdaptedLinear
from finetune.methods.quiet_peft import LoraConfig, LoraLayer, PeftModel, get_peft_model

ADAPTER = "default"
TARGETS = sorted(module.rpartition(".")[2] for module in llama.BLOCK_LINEAR.values())


def add_adapter(
    model: LlamaForCausalLM, *, rank: int, alpha: float, seed: int, base_name: str = ""
) -> PeftModel:
    """Put a fresh adapter on all linear layers of the blocks, in place; its effect is zero.

    Its matrices are float32 whatever the model computes in. `base_name` is recorded in the
    adapter's configuration; nothing looks it up.
    """
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # pyright: ignore[reportArgumentType] - peft divides, so a float is right
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


def save_adapter(adapted: PeftModel, folder: Path) -> None:
    """Write the adapter to `folder`: staged, fsynced, renamed; an earlier one is replaced."""
    staged = folder.with_name(folder.name + STAGED_SUFFIX)
    shutil.rmtree(staged, ignore_errors=True)
    adapted.save_pretrained(str(staged), save_embedding_layers=False)
    # peft's model card asks its reader to fill in where the model came from.
    (staged / "README.md").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    publish_folder(staged, folder)


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


@contextmanager
def _as_of_transformers_5() -> Iterator[None]:
    """peft 0.21 reads a property that transformers 5 has renamed; nothing follows from it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
        yield
