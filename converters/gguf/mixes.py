"""Which tensor gets which type in a mix such as Q4_K_M (llama.cpp, llama-quant.cpp)."""

from collections import Counter
from collections.abc import Iterable

from converters.gguf.header import TensorInfo
from converters.gguf.tensor_types import TensorType

_FILE_TYPES = {
    TensorType.F32: 0, TensorType.F16: 1, TensorType.Q4_0: 2, TensorType.Q4_1: 3,
    TensorType.Q8_0: 7, TensorType.Q5_0: 8, TensorType.Q5_1: 9, TensorType.Q2_K: 10,
    TensorType.Q3_K: 12, TensorType.Q4_K: 15, TensorType.Q5_K: 17, TensorType.Q6_K: 18,
    TensorType.BF16: 32,
}  # fmt: skip
_GUESSED = 1024


def file_type_of(tensor_type: TensorType) -> int:
    """The `general.file_type` of a file whose tensors are mostly of this type (llama.h)."""
    return _FILE_TYPES[tensor_type]


def guessed_file_type(tensors: Iterable[TensorInfo]) -> int:
    """What llama.cpp guesses for a file without `general.file_type`: its most frequent type."""
    (most_frequent, _), = Counter(tensor.type for tensor in tensors).most_common(1)
    return _FILE_TYPES.get(most_frequent, 0) | _GUESSED
