"""Architecture `llama`: GGUF tensor names and PEFT module names, and the q/k row order.

The GGUF stores the rows of attn_q and attn_k as (heads, 2, half, in) where transformers has
(heads, half, 2, in): llama.cpp rotates neighbouring pairs (llama.cpp, LlamaModel.permute).
"""

import re
from typing import Any

NAME = "llama"
BLOCK_LINEAR = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
BLOCK_NORM = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_BLOCK_NAME = re.compile(r"blk\.(\d+)\.(\w+)\.weight")
_MODULE_NAME = re.compile(r"(?:.*\.)?layers\.(\d+)\.(self_attn\.\w+|mlp\.\w+)")


def parameter_name(tensor: str) -> str | None:
    """`blk.3.attn_q.weight` -> `model.layers.3.self_attn.q_proj.weight`; None if unknown."""
    match = _BLOCK_NAME.fullmatch(tensor)
    if not match:
        return OUTSIDE.get(tensor)
    module = (BLOCK_LINEAR | BLOCK_NORM).get(match[2])
    return f"model.layers.{match[1]}.{module}.weight" if module else None


def tensor_name(module: str) -> str | None:
    """`...layers.3.self_attn.q_proj` (any prefix) -> `blk.3.attn_q.weight`; None if unknown."""
    match = _MODULE_NAME.fullmatch(module)
    if not match:
        return None
    for part, suffix in BLOCK_LINEAR.items():
        if suffix == match[2]:
            return f"blk.{match[1]}.{part}.weight"
    return None


def heads_of_rows(tensor: str, n_head: int, n_head_kv: int) -> int | None:
    """How many heads the tensor's rows are ordered by, or None if its rows are not permuted."""
    if tensor.endswith((".attn_q.weight", ".attn_q.bias")):
        return n_head
    if tensor.endswith((".attn_k.weight", ".attn_k.bias")):
        return n_head_kv
    return None


def to_file_rows[Array: Any](rows: Array, heads: int) -> Array:
    """Rows in transformers' order -> the GGUF's order. Works on numpy arrays and torch tensors."""
    shape = rows.shape
    halves = rows.reshape(heads, 2, shape[0] // heads // 2, *shape[1:])
    return halves.swapaxes(1, 2).reshape(shape)


def to_module_rows[Array: Any](rows: Array, heads: int) -> Array:
    """Rows in the GGUF's order -> transformers' order, the inverse of `to_file_rows`."""
    shape = rows.shape
    pairs = rows.reshape(heads, shape[0] // heads // 2, 2, *shape[1:])
    return pairs.swapaxes(1, 2).reshape(shape)
