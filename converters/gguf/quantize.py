"""Values to blocks and back through ggml's own functions, reached by ctypes without llama_cpp.

Where ggml cannot be loaded, gguf's numpy code writes the simple types with the same bytes.
"""

import ctypes
import importlib.util
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np

from converters.errors import UserError
from converters.gguf.block_layouts import LAYOUTS, layout
from converters.gguf.tensor_types import BLOCK_SHAPE, TensorType, row_bytes

_TO_FLOAT = {TensorType.F16: "ggml_fp16_to_fp32_row", TensorType.BF16: "ggml_bf16_to_fp32_row"}
_LIBRARY_NAME = {"win32": "ggml-base.dll", "darwin": "libggml-base.dylib"}


def quantize(values: np.ndarray, tensor_type: TensorType, *, threads: int = 1) -> np.ndarray:
    """Encode `values`, (rows, row_length) float32, as (rows, bytes_per_row) uint8.

    Row groups run on `threads` threads; the bytes are the same for any number. Raises ValueError
    if the blocks do not divide the rows or a value is not finite (no format can hold it),
    UserError if the type needs ggml and ggml cannot be loaded.
    """
    values = np.ascontiguousarray(values, np.float32)
    n_rows, row_length = values.shape
    blocks = np.empty((n_rows, row_bytes(tensor_type, row_length)), np.uint8)
    if not np.isfinite(values).all():
        raise ValueError("a weight is not a finite number")
    if tensor_type is TensorType.F32:
        return values.view(np.uint8)
    encode = _encoder(tensor_type)
    if threads == 1:
        encode(values, blocks)
        return blocks
    groups = [group for group in np.array_split(np.arange(n_rows), threads) if len(group)]
    spans = [slice(group[0], group[-1] + 1) for group in groups]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda rows: encode(values[rows], blocks[rows]), spans))
    return blocks


def dequantize(blocks: np.ndarray, tensor_type: TensorType) -> np.ndarray:
    """Decode (rows, bytes_per_row) uint8 to (rows, row_length) float32.

    Raises ValueError for broken rows, UserError if the type needs ggml and it cannot be loaded.
    """
    block_values, block_bytes = BLOCK_SHAPE[tensor_type]
    n_rows, n_bytes = blocks.shape
    if n_bytes % block_bytes:
        raise ValueError(f"{n_bytes} bytes a row are no {tensor_type.name} blocks")
    if tensor_type is TensorType.F32:
        return blocks.view(np.float32)
    if tensor_type in LAYOUTS and ggml() is None:
        return layout(tensor_type).dequantize(blocks, np)
    blocks = np.ascontiguousarray(blocks)
    values = np.empty((n_rows, n_bytes // block_bytes * block_values), np.float32)
    _to_float(tensor_type)(blocks.ctypes.data, values.ctypes.data, values.size)
    return values


@cache
def ggml() -> ctypes.CDLL | None:
    """ggml's base library inside the installed llama_cpp, or None if it is not installed."""
    package = importlib.util.find_spec("llama_cpp")
    if package is None or not package.submodule_search_locations:
        return None
    name = _LIBRARY_NAME.get(sys.platform, "libggml-base.so")
    path = Path(package.submodule_search_locations[0]) / "lib" / name
    return _declared(ctypes.CDLL(str(path))) if path.exists() else None


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [
        ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p,
        ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p,
    ]  # fmt: skip
    return library


def _encoder(tensor_type: TensorType) -> Callable[[np.ndarray, np.ndarray], None]:
    library = ggml()
    if library is None:
        return _numpy_encoder(tensor_type)

    def encode(values: np.ndarray, blocks: np.ndarray) -> None:
        n_rows, row_length = values.shape
        source, target = values.ctypes.data, blocks.ctypes.data
        written = library.ggml_quantize_chunk(
            tensor_type, source, target, 0, n_rows, row_length, None
        )
        if written != blocks.size:
            message = f"ggml wrote {written} bytes of {tensor_type.name}, expected {blocks.size}"
            raise ValueError(message)

    return encode


def _numpy_encoder(tensor_type: TensorType) -> Callable[[np.ndarray, np.ndarray], None]:
    from gguf import GGMLQuantizationType, quants  # noqa: PLC0415 - only without ggml

    def encode(values: np.ndarray, blocks: np.ndarray) -> None:
        try:
            encoded = quants.quantize(values, GGMLQuantizationType(int(tensor_type)))
        except NotImplementedError as error:
            raise _missing_ggml(tensor_type) from error
        blocks[:] = encoded.view(np.uint8)

    return encode


def _to_float(tensor_type: TensorType) -> Callable[[int, int, int], None]:
    library = ggml()
    if library is None:
        raise _missing_ggml(tensor_type)
    prefix, _, suffix = tensor_type.name.partition("_")
    default = f"dequantize_row_{prefix.lower()}_{suffix if suffix == 'K' else suffix.lower()}"
    decode = getattr(library, _TO_FLOAT.get(tensor_type, default))
    decode.restype = None
    decode.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    return decode


def _missing_ggml(tensor_type: TensorType) -> UserError:
    return UserError(
        f"The type {tensor_type.name} cannot be written or read here.",
        "It needs the library ggml, which comes with llama-cpp-python and was not found.",
        "Install llama-cpp-python, or choose Q8_0 or F16.",
    )
