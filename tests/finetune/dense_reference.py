"""The weights of a llama GGUF in transformers' names, read by gguf-py: none of our readers."""

from pathlib import Path

import gguf
import numpy as np
import torch

_PARTS = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}


def state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Every weight in float32, rows of q and k as transformers has them."""
    reader = gguf.GGUFReader(path)
    heads = int(reader.fields["llama.attention.head_count"].contents())
    heads_kv = int(reader.fields["llama.attention.head_count_kv"].contents())
    found = {}
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if tensor.name.endswith(("attn_q.weight", "attn_k.weight")):
            values = _unpermuted(values, heads if "attn_q" in tensor.name else heads_kv)
        if tensor.name != "rope_freqs.weight":
            found[_name(tensor.name)] = torch.from_numpy(np.array(values, dtype=np.float32))
    return found


def _name(tensor: str) -> str:
    if tensor in _OUTSIDE:
        return _OUTSIDE[tensor]
    _, layer, part, _ = tensor.split(".")
    return f"model.layers.{layer}.{_PARTS[part]}.weight"


def _unpermuted(values: np.ndarray, heads: int) -> np.ndarray:
    """Undo LlamaModel.permute of llama.cpp's converter."""
    pairs = values.reshape(heads, -1, 2, values.shape[-1])
    return np.concatenate([pairs[:, :, 0], pairs[:, :, 1]], axis=1).reshape(values.shape)
