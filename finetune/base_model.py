"""A GGUF file to a frozen transformers model: its exact blocks, or dense weights made of them.

The model is built on torch's meta device and its weights are assigned, so that nothing is
initialised twice. Knows no adapter. Architecture: llama.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before transformers is imported: a program that is told to be local asks no hub.
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from torch import nn
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaForCausalLM

from converters.architectures import llama
from converters.errors import UserError
from converters.gguf.block_layouts import LAYOUTS, layout
from converters.gguf.header import Header, TensorInfo
from converters.gguf.reader import GgufFile
from finetune import packed_attention
from finetune.block_linear import BlockEmbedding, BlockLinear, blocks_to_torch
from finetune.spec import BaseForm

ROPE_FACTORS = "rope_freqs.weight"
EMBEDDING, HEAD = "token_embd.weight", "output.weight"
DTYPES: dict[BaseForm, torch.dtype | None] = {
    "blocks": None,
    "16bit": None,
    "f32": torch.float32,
}


def has_fast_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware; elsewhere float32 is faster."""
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def compute_dtype(device: str) -> torch.dtype:
    """bfloat16 on CUDA and on CPUs that have it, else float32."""
    is_fast = device.startswith("cuda") or has_fast_bf16()
    return torch.bfloat16 if is_fast else torch.float32


def load_base(
    path: Path,
    *,
    form: BaseForm = "blocks",
    dtype: torch.dtype | None = None,
    device: str = "cpu",
) -> LlamaForCausalLM:
    """Load a GGUF as a frozen model in eval mode whose activations are `dtype`.

    form: `blocks` keeps the file's blocks and dequantises them at use; `16bit` and `f32`
    dequantise once. The values are the file's, rounded once where `dtype` is narrower. `dtype`
    defaults to `compute_dtype(device)`, for `f32` to float32. Rows of q and k are put into
    transformers' order. Raises UserError for an architecture, a tensor or a type without support.
    """
    dtype = dtype or DTYPES[form] or compute_dtype(device)
    with GgufFile(path) as file:
        check_supported(file.header)
        model = _empty_model(config_of(file.header))
        _put_linear(model, file, form, dtype, device)
        _put_vectors(model, file, dtype, device)
        _put_outside(model, file, form, dtype, device)
        _put_rotary(model, file, device)
    _check_complete(model)
    return model.requires_grad_(False).eval()


def check_supported(header: Header) -> None:
    """Raise UserError unless every tensor of the file can be trained on."""
    if header.architecture != llama.NAME or header.number("llama.expert_count", 0):
        raise UserError(
            "This model's architecture cannot be tuned yet.",
            f"It is `{header.architecture}`; supported is {llama.NAME} (without experts).",
            "Choose a model that `tunedesk models` shows as trainable.",
        )
    known = {ROPE_FACTORS}
    unknown = [
        info.name
        for info in header.tensors
        if info.name not in known and llama.parameter_name(info.name) is None
    ]
    if unknown:
        raise UserError(
            "This model has parts that cannot be tuned yet.",
            f"{len(unknown)} tensors are not known, for example {unknown[0]}.",
            "Choose a model that `tunedesk models` shows as trainable.",
        )
    _check_types(header)
    _check_rope(header)


def config_of(header: Header) -> LlamaConfig:
    """The transformers configuration that the file's metadata describes."""

    def number(key: str, default: Any = None) -> Any:
        return header.number(f"llama.{key}", default)

    heads = number("attention.head_count")
    width = number("embedding_length")
    return LlamaConfig(
        vocab_size=header.tensor(EMBEDDING).n_rows,
        hidden_size=width,
        intermediate_size=number("feed_forward_length"),
        num_hidden_layers=number("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=number("attention.head_count_kv", heads),
        head_dim=number("attention.key_length", width // heads),
        max_position_embeddings=number("context_length", 2048),
        rms_norm_eps=number("attention.layer_norm_rms_epsilon", 1e-5),
        rope_parameters={"rope_type": "default", "rope_theta": number("rope.freq_base", 10000.0)},
        tie_word_embeddings=HEAD not in {info.name for info in header.tensors},
        bos_token_id=None,
        eos_token_id=None,
        use_cache=False,
    )


def n_parameters(header: Header) -> int:
    """How many weights the model has."""
    return sum(info.n_rows * info.row_length for info in header.tensors)


def _check_types(header: Header) -> None:
    missing = sorted({info.type.name for info in header.tensors if info.type not in LAYOUTS})
    if missing:
        known = ", ".join(tensor_type.name for tensor_type in LAYOUTS)
        raise UserError(
            "This model's number format cannot be tuned yet.",
            f"It holds {', '.join(missing)}; supported are {known}.",
            "Choose the same model in one of these formats, for example Q8_0 or Q4_0.",
        )


def _check_rope(header: Header) -> None:
    scaling = header.text("llama.rope.scaling.type", "none")
    dimensions = header.number("llama.rope.dimension_count", None)
    heads = header.number("llama.attention.head_count", 1)
    width = header.number("llama.embedding_length", 0)
    head_size = header.number("llama.attention.key_length", int(width) // int(heads))
    if scaling in ("none", "linear") and dimensions in (None, head_size):
        return
    raise UserError(
        "This model's position encoding cannot be tuned yet.",
        f"Its rope scaling is `{scaling}` on {dimensions} of {head_size} dimensions.",
        "Choose a model that `tunedesk models` shows as trainable.",
    )


def _empty_model(config: LlamaConfig) -> LlamaForCausalLM:
    packed_attention.register()
    config._attn_implementation = packed_attention.NAME  # noqa: SLF001 - the documented switch
    with torch.device("meta"):
        return LlamaForCausalLM(config)


def _linear_tensors(header: Header) -> Iterator[TensorInfo]:
    return (
        info for info in header.tensors if info.name.startswith("blk.") and len(info.shape) == 2
    )


def _put_linear(
    model: nn.Module, file: GgufFile, form: BaseForm, dtype: torch.dtype, device: str
) -> None:
    for info in _linear_tensors(file.header):
        blocks = _module_rows(file, info, device)
        _replace(model, _module_name(info), _linear(blocks, info, form, dtype))


def _put_vectors(model: nn.Module, file: GgufFile, dtype: torch.dtype, device: str) -> None:
    vectors = (info for info in file.header.tensors if len(info.shape) == 1)
    for info in vectors:
        if info.name != ROPE_FACTORS:
            values = torch.tensor(file.values(info.name), dtype=dtype, device=device)
            model.get_submodule(_module_name(info)).weight = nn.Parameter(values)


def _put_outside(
    model: LlamaForCausalLM, file: GgufFile, form: BaseForm, dtype: torch.dtype, device: str
) -> None:
    info = file.header.tensor(EMBEDDING)
    blocks = _module_rows(file, info, device)
    head: nn.Module = _linear(blocks, info, form, dtype)
    if isinstance(head, BlockLinear):
        embedding: nn.Module = BlockEmbedding(blocks, info.type, dtype)
    else:
        embedding = nn.Embedding.from_pretrained(head.weight, freeze=True)
        embedding.weight = head.weight
    if not model.config.tie_word_embeddings:
        other = file.header.tensor(HEAD)
        head = _linear(_module_rows(file, other, device), other, form, dtype)
    _replace(model, "model.embed_tokens", embedding)
    _replace(model, "lm_head", head)


def _put_rotary(model: LlamaForCausalLM, file: GgufFile, device: str) -> None:
    """Buffers made on the meta device hold nothing, so the frequencies are computed anew."""
    config, header = model.config, file.header
    size = config.head_dim or config.hidden_size // config.num_attention_heads
    exponents = torch.arange(0, size, 2, dtype=torch.float32) / size
    frequencies = 1.0 / (header.number("llama.rope.freq_base", 10000.0) ** exponents)
    if header.text("llama.rope.scaling.type") == "linear":
        frequencies /= header.number("llama.rope.scaling.factor", 1.0)
    if any(info.name == ROPE_FACTORS for info in header.tensors):
        frequencies /= torch.tensor(file.values(ROPE_FACTORS))
    rotary = model.model.rotary_emb
    rotary.inv_freq = nn.Buffer(frequencies.to(device), persistent=False)
    rotary.original_inv_freq = nn.Buffer(frequencies.to(device), persistent=False)


def _module_rows(file: GgufFile, info: TensorInfo, device: str) -> torch.Tensor:
    blocks = blocks_to_torch(file.blocks(info.name), device)
    n_head = int(file.header.number("llama.attention.head_count", 1))
    n_head_kv = int(file.header.number("llama.attention.head_count_kv", n_head))
    heads = llama.heads_of_rows(info.name, n_head, n_head_kv)
    # Rows are whole blocks, so that reordering quantised rows is exact.
    return llama.to_module_rows(blocks, heads).contiguous() if heads else blocks


def _linear(
    blocks: torch.Tensor, info: TensorInfo, form: BaseForm, dtype: torch.dtype
) -> nn.Linear:
    if form == "blocks":
        return BlockLinear(blocks, info.type)
    dense = nn.Linear(info.row_length, info.n_rows, bias=False, device="meta")
    weight = layout(info.type).dequantize(blocks, torch, dtype)
    dense.weight = nn.Parameter(weight, requires_grad=False)
    return dense


def _module_name(info: TensorInfo) -> str:
    name = llama.parameter_name(info.name)
    assert name is not None, info.name  # check_supported refused such files
    return name.removesuffix(".weight")


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)


def _check_complete(model: nn.Module) -> None:
    tensors = [*model.named_parameters(), *model.named_buffers()]
    missing = [name for name, tensor in tensors if tensor.is_meta]
    if missing:
        raise UserError(
            "The model file is incomplete.",
            f"It lacks {len(missing)} weights, for example those of {missing[0]}.",
            "Pull the model again with Ollama.",
        )
