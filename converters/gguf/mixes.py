"""Which tensor gets which type in a mix such as Q4_K_M (llama.cpp, src/llama-quant.cpp)."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from converters.gguf.canonical_order import canonical_order
from converters.gguf.header import Header
from converters.gguf.tensor_types import BLOCK_SHAPE, TensorInfo, TensorType


class FileType(IntEnum):
    """The value of `general.file_type`, the ids of llama.h, for the files that we can make."""

    F32 = 0
    F16 = 1
    Q4_0 = 2
    Q4_1 = 3
    Q8_0 = 7
    Q5_0 = 8
    Q5_1 = 9
    Q4_K_M = 15
    Q5_K_M = 17
    Q6_K = 18
    BF16 = 32


BASE_TYPE = {
    FileType.F32: TensorType.F32,
    FileType.F16: TensorType.F16,
    FileType.BF16: TensorType.BF16,
    FileType.Q4_0: TensorType.Q4_0,
    FileType.Q4_1: TensorType.Q4_1,
    FileType.Q5_0: TensorType.Q5_0,
    FileType.Q5_1: TensorType.Q5_1,
    FileType.Q8_0: TensorType.Q8_0,
    FileType.Q4_K_M: TensorType.Q4_K,
    FileType.Q5_K_M: TensorType.Q5_K,
    FileType.Q6_K: TensorType.Q6_K,
}
"""The type of a mix that most of its tensors get."""

_FILE_TYPE = {tensor_type: file_type for file_type, tensor_type in BASE_TYPE.items()}
_FILE_TYPE |= {TensorType.Q2_K: 10, TensorType.Q3_K: 12}
_GUESSED = 1024
_FALLBACK = {
    TensorType.Q2_K: TensorType.Q4_0,
    TensorType.Q3_K: TensorType.Q4_0,
    TensorType.Q4_K: TensorType.Q5_0,
    TensorType.Q5_K: TensorType.Q5_1,
    TensorType.Q6_K: TensorType.Q8_0,
}
_PLAIN = (TensorType.F32, TensorType.F16, TensorType.BF16)
_MORE_BITS = (FileType.Q4_K_M, FileType.Q5_K_M)
_KEPT_WHOLE = ("position_embd.weight", "token_types.weight")
_KEPT_PARTS = (
    "_norm.weight", "ffn_gate_inp.weight", "altup", "laurel", "per_layer_model_proj",
    "ssm_conv1d", "shortconv.conv.weight",
)  # fmt: skip
"""llama.cpp's list without RWKV, T5 and the encoders of pictures and sound: never written here."""
_ATTENTION_V = re.compile(r"attn_(v|qkv|kv_b)\.weight")
_LAYER = re.compile(r"blk\.(\d+)\.")


def file_type_of(tensor_type: TensorType) -> int:
    """The `general.file_type` of a file whose tensors are mostly of this type (llama.h)."""
    return int(_FILE_TYPE[tensor_type])


def guessed_file_type(tensors: Iterable[TensorInfo]) -> int:
    """What llama.cpp guesses for a file without `general.file_type`: its most frequent type."""
    ((most_frequent, _),) = Counter(tensor.type for tensor in tensors).most_common(1)
    return int(_FILE_TYPE.get(most_frequent, 0)) | _GUESSED


def fitting(tensor_type: TensorType, row_length: int) -> TensorType:
    """The type itself, or what llama.cpp takes where its blocks do not divide the rows."""
    for candidate in (tensor_type, _FALLBACK.get(tensor_type, TensorType.F16)):
        if row_length % BLOCK_SHAPE[candidate][0] == 0:
            return candidate
    return TensorType.F16


def is_quantised(tensor: TensorInfo) -> bool:
    """Whether a mix changes the tensor: matrices named weight, but no norm, router or conv1d."""
    name = tensor.name
    return (
        any(length > 1 for length in tensor.shape[:-1])
        and name.endswith("weight")
        and name not in _KEPT_WHOLE
        and not any(part in name for part in _KEPT_PARTS)
    )


def mix_types(header: Header, file_type: FileType) -> dict[str, TensorType]:
    """Every tensor's type when the model in `header` is written as `file_type`.

    Tensors that a mix does not touch keep the type that they have.
    """
    rules = _Rules.of(header, file_type)
    types = {}
    for name in canonical_order(tensor.name for tensor in header.tensors):
        tensor = header.tensor(name)
        types[name] = rules.type_for(tensor) if is_quantised(tensor) else tensor.type
    return types


@dataclass
class _Rules:
    """One walk over the tensors in canonical order; llama.cpp counts layers by occurrence."""

    file_type: FileType
    architecture: str
    is_tied: bool
    is_70b: bool
    n_experts: int
    n_layers: int
    n_attention_v: int
    i_attention_v: int = 0
    i_ffn_down: int = 0

    @classmethod
    def of(cls, header: Header, file_type: FileType) -> "_Rules":
        names = [tensor.name for tensor in header.tensors]
        prefix = header.architecture
        n_layers = int(header.number(f"{prefix}.block_count", 0))
        n_heads = header.number(f"{prefix}.attention.head_count", 0)
        shares_heads = header.number(f"{prefix}.attention.head_count_kv", n_heads) != n_heads
        return cls(
            file_type,
            prefix,
            is_tied="output.weight" not in names,
            is_70b=prefix == "llama" and n_layers == 80 and shares_heads,
            n_experts=int(header.number(f"{prefix}.expert_count", 0)),
            n_layers=n_layers,
            n_attention_v=sum(bool(_ATTENTION_V.search(name)) for name in names),
        )

    def type_for(self, tensor: TensorInfo) -> TensorType:
        base = BASE_TYPE[self.file_type]
        if base in _PLAIN:
            return base
        return fitting(self._wanted(tensor.name, tensor.row_length, base), tensor.row_length)

    def _wanted(self, name: str, row_length: int, base: TensorType) -> TensorType:
        is_embedding = name in ("token_embd.weight", "per_layer_token_embd.weight")
        if name == "output.weight" or (self.is_tied and is_embedding):
            return self._output(row_length, base)
        if _ATTENTION_V.search(name):
            return self._attention_v(base)
        if "ffn_down" in name:
            return self._ffn_down(name, base)
        if self.n_experts == 8 and "attn_k.weight" in name:
            return TensorType.Q8_0
        if self.n_experts == 8 and "attn_output.weight" in name:
            return TensorType.Q5_K if self.file_type is FileType.Q4_K_M else base
        return base

    def _output(self, row_length: int, base: TensorType) -> TensorType:
        if self.architecture == "falcon" or row_length % BLOCK_SHAPE[base][0]:
            return TensorType.Q8_0
        return base if base is TensorType.Q8_0 else TensorType.Q6_K

    def _attention_v(self, base: TensorType) -> TensorType:
        wanted = base
        if self.file_type in _MORE_BITS and _more_bits(self.i_attention_v, self.n_attention_v):
            wanted = TensorType.Q6_K
        self.i_attention_v += 1
        if self.n_experts == 8:
            return TensorType.Q8_0
        return TensorType.Q5_K if self.is_70b and wanted is TensorType.Q4_K else wanted

    def _ffn_down(self, name: str, base: TensorType) -> TensorType:
        layer = _LAYER.match(name)
        index = int(layer[1]) if self.n_experts > 1 and layer else self.i_ffn_down
        self.i_ffn_down += 1
        if self.file_type not in _MORE_BITS:
            return base
        is_more = _more_bits(index, self.n_layers)
        if self.architecture == "falcon" and self.file_type is FileType.Q4_K_M:
            if index < self.n_layers // 16:
                return TensorType.Q6_K
            return TensorType.Q5_K if is_more else base
        return TensorType.Q6_K if is_more else base


def _more_bits(index: int, count: int) -> bool:
    eighth = count // 8
    return index < eighth or index >= 7 * count // 8 or (index - eighth) % 3 == 2
