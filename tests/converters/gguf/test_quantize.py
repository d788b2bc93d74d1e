"""Quantising through ggml, with any number of threads, and without ggml through numpy."""

import numpy as np
import pytest

import converters.gguf.quantize as module
from converters.errors import UserError
from converters.gguf.header import BLOCK_SHAPE, TensorType
from converters.gguf.quantize import dequantize, ggml, quantize

K_TYPES = [TensorType.Q2_K, TensorType.Q3_K, TensorType.Q4_K, TensorType.Q5_K, TensorType.Q6_K]
NUMPY_TYPES = [
    TensorType.F32, TensorType.F16, TensorType.BF16, TensorType.Q8_0, TensorType.Q4_0,
    TensorType.Q4_1, TensorType.Q5_0, TensorType.Q5_1,
]  # fmt: skip


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((13, 512)).astype(np.float32)


@pytest.fixture
def without_ggml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ggml", lambda: None)


def test_block_shapes_are_those_of_ggml() -> None:
    library = ggml()
    assert library is not None
    library.ggml_type_size.restype = library.ggml_blck_size.restype = module.ctypes.c_int64
    for kind, shape in BLOCK_SHAPE.items():
        assert (library.ggml_blck_size(kind), library.ggml_type_size(kind)) == shape, kind.name


@pytest.mark.parametrize("kind", [*NUMPY_TYPES, *K_TYPES], ids=lambda kind: kind.name)
def test_bytes_are_the_same_for_any_number_of_threads(kind: TensorType, values: np.ndarray) -> None:
    blocks = quantize(values, kind)
    assert blocks.shape == (13, 512 // BLOCK_SHAPE[kind][0] * BLOCK_SHAPE[kind][1])
    for threads in (2, 5, 40):
        assert np.array_equal(quantize(values, kind, threads=threads), blocks)


@pytest.mark.parametrize(
    ("kind", "error"),
    [("F32", 0), ("F16", 3e-4), ("BF16", 3e-3), ("Q8_0", 0.006), ("Q6_K", 0.02), ("Q5_1", 0.04),
     ("Q5_0", 0.05), ("Q5_K", 0.04), ("Q4_1", 0.08), ("Q4_0", 0.1), ("Q4_K", 0.08),
     ("Q3_K", 0.18), ("Q2_K", 0.35)],
)  # fmt: skip
def test_values_come_back_within_the_error_of_their_type(
    kind: str, error: float, values: np.ndarray
) -> None:
    back = dequantize(quantize(values, TensorType[kind]), TensorType[kind])
    relative = np.linalg.norm(back - values) / np.linalg.norm(values)
    assert error / 4 <= relative <= error


@pytest.mark.parametrize("kind", NUMPY_TYPES, ids=lambda kind: kind.name)
def test_numpy_writes_and_reads_the_bytes_of_ggml(
    kind: TensorType, values: np.ndarray, without_ggml: None
) -> None:
    by_numpy = quantize(values, kind)
    back = dequantize(by_numpy, kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ggml", ggml)
        assert np.array_equal(quantize(values, kind), by_numpy)
        assert np.array_equal(dequantize(by_numpy, kind), back)


@pytest.mark.usefixtures("without_ggml")
def test_a_type_that_needs_ggml_says_so(values: np.ndarray) -> None:
    with pytest.raises(UserError, match="The type Q4_K cannot be written or read here"):
        quantize(values, TensorType.Q4_K)
    with pytest.raises(UserError, match=r"needs the library ggml.*choose Q8_0 or F16"):
        dequantize(np.zeros((1, 144), np.uint8), TensorType.Q4_K)


def test_rows_that_blocks_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="rows of 320 do not divide into Q6_K blocks of 256"):
        quantize(np.zeros((2, 320), np.float32), TensorType.Q6_K)
    with pytest.raises(ValueError, match="33 bytes a row are no Q8_0 blocks"):
        dequantize(np.zeros((1, 33), np.uint8), TensorType.Q8_0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_no_format_can_hold_are_refused(bad: float, values: np.ndarray) -> None:
    values[7, 11] = bad
    with pytest.raises(ValueError, match="not a finite number"):
        quantize(values, TensorType.Q8_0)


def test_strided_and_double_values_are_taken(values: np.ndarray) -> None:
    expected = quantize(values[:, 32:64].copy(), TensorType.Q4_1)
    assert np.array_equal(quantize(values[:, 32:64], TensorType.Q4_1), expected)
    as_double = values.astype(np.float64)[:, 32:64]
    assert np.array_equal(quantize(as_double, TensorType.Q4_1), expected)
