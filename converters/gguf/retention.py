"""What survived of a tuned change after a tensor was written in its new type (FACTS 1.8).

Sums only, so that a tensor can be measured in pieces and tensors added up to a class or a file.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converters.gguf.quantize import dequantize
from converters.gguf.tensor_types import BLOCK_SHAPE, TensorType

Float32 = npt.NDArray[np.float32]
Blocks = npt.NDArray[np.uint8]

_LINE = 4096
_PLAIN_BLOCK = 32
_CODES_TO_SHORT_END = {TensorType.Q4_0: 8, TensorType.Q5_0: 16}
_MANTISSA_BITS = {TensorType.F16: 10, TensorType.BF16: 7, TensorType.F32: 23}
_SMALLEST_STEP = {TensorType.F16: 2.0**-24, TensorType.BF16: 2.0**-133, TensorType.F32: 2.0**-149}
# Bytes of a block that hold codes, those of them that hold the low bits, and "code 1" there.
_CODE_BYTES = {
    TensorType.Q4_0: (slice(2, 18), slice(2, 18), 0x11),
    TensorType.Q4_1: (slice(4, 20), slice(4, 20), 0x11),
    TensorType.Q5_0: (slice(2, 22), slice(6, 22), 0x11),
    TensorType.Q5_1: (slice(4, 24), slice(8, 24), 0x11),
    TensorType.Q8_0: (slice(2, 34), slice(2, 34), 0x01),
    TensorType.Q4_K: (slice(16, 144), slice(16, 144), 0x11),
    TensorType.Q5_K: (slice(16, 176), slice(48, 176), 0x11),
    TensorType.Q6_K: (slice(0, 192), slice(0, 128), 0x11),
}


@dataclass(frozen=True)
class Retention:
    """Sums over the values of one tensor, or of many.

    dot: <W_hat - W0, dW>. delta_sq: ||dW||^2. noise_sq: ||W_hat - W0 - dW||^2.
    base_sq: ||W0||^2. largest_error: max |W_hat - W0 - dW|, in grid steps of the written type.
    """

    dot: float = 0.0
    delta_sq: float = 0.0
    noise_sq: float = 0.0
    base_sq: float = 0.0
    largest_error: float = 0.0
    values: int = 0

    @property
    def retained(self) -> float:
        """<W_hat - W0, dW> / ||dW||^2: 1 is all of the change, 0 none. NaN without a change."""
        return self.dot / self.delta_sq if self.delta_sq else math.nan

    @property
    def noise(self) -> float:
        """||W_hat - W0 - dW|| / ||dW||, the rounding error in units of the change."""
        return math.sqrt(self.noise_sq / self.delta_sq) if self.delta_sq else math.nan

    @property
    def change(self) -> float:
        """||dW|| / ||W0||, how much was tuned at all."""
        return math.sqrt(self.delta_sq / self.base_sq) if self.base_sq else math.nan

    def as_json(self) -> dict[str, float | None]:
        """The three figures that a report shows; null where nothing was changed."""
        figures = {"retained": self.retained, "noise": self.noise, "change": self.change}
        return {name: None if math.isnan(n) else n for name, n in figures.items()}


def measure(w0: Float32, w_hat: Float32, delta: Float32, steps: Float32 | None = None) -> Retention:
    """Compare what was written with what was wanted; all arrays (rows, n) float32.

    w0: the base's values. w_hat: the new tensor's values. delta: the change that was trained.
    steps: the grid step at each value (broadcast), for `largest_error`; None leaves it 0.
    """
    moved = w_hat - w0
    dot = _dot(moved, delta)
    error = np.subtract(moved, delta, out=moved)
    return Retention(
        dot=dot,
        delta_sq=_dot(delta, delta),
        noise_sq=_dot(error, error),
        base_sq=_dot(w0, w0),
        largest_error=_in_steps(error, steps),
        values=delta.size,
    )


def summed(parts: Iterable[Retention]) -> Retention:
    """The same figures over all parts together."""
    parts = list(parts)
    return Retention(
        dot=sum(part.dot for part in parts),
        delta_sq=sum(part.delta_sq for part in parts),
        noise_sq=sum(part.noise_sq for part in parts),
        base_sq=sum(part.base_sq for part in parts),
        largest_error=max((part.largest_error for part in parts), default=0.0),
        values=sum(part.values for part in parts),
    )


def grid_steps(blocks: Blocks, tensor_type: TensorType) -> Float32:
    """How coarse the grid is at every value, (rows, n) float32: no sound rounding errs by more.

    blocks: (rows, bytes a row) uint8. Block formats: the distance of neighbouring codes, by ggml's
    own decoder, so that K formats need no layout of ours; in those the largest of the super-block,
    because sub-scales are rounded too (own steps: errors up to 3.8 of them in sound Q6_K files).
    In Q4_0 and Q5_0 the upper end lies one code short, so an error there is one step plus what
    the scale lost when it was rounded to 16 bits. Source: ggml-common.h.
    """
    if tensor_type in _MANTISSA_BITS:
        return _float_steps(dequantize(blocks, tensor_type), tensor_type)
    codes, low_bits, one = _CODE_BYTES[tensor_type]
    values, n_bytes = BLOCK_SHAPE[tensor_type]
    zeros = blocks.reshape(len(blocks), -1, n_bytes).copy()
    zeros[..., codes] = 0
    ones = zeros.copy()
    ones[..., low_bits] = one
    low, high = (dequantize(part.reshape(blocks.shape), tensor_type) for part in (zeros, ones))
    steps = np.abs(high - low).reshape(len(blocks), -1, values)
    steps *= np.float32(1 + _CODES_TO_SHORT_END.get(tensor_type, 0) * 2.0**-11)
    if values > _PLAIN_BLOCK:
        steps = np.broadcast_to(steps.max(axis=-1, keepdims=True), steps.shape)
    return steps.reshape(low.shape)


def _float_steps(values: Float32, tensor_type: TensorType) -> Float32:
    powers = (values.view(np.uint32) & np.uint32(0x7F800000)).view(np.float32)
    steps = powers * np.float32(2.0 ** -_MANTISSA_BITS[tensor_type])
    return np.maximum(steps, np.float32(_SMALLEST_STEP[tensor_type]))


def _dot(left: Float32, right: Float32) -> float:
    """The dot product, summed in float64 over lines of up to 4,096 values.

    Short lines also keep BLAS from starting threads of its own inside each of ours.
    """
    line = math.gcd(left.size, _LINE) or 1
    products = np.vecdot(left.reshape(-1, line), right.reshape(-1, line))
    return float(products.sum(dtype=np.float64))


def _in_steps(error: Float32, steps: Float32 | None) -> float:
    """The largest error over its own step; where the step is 0 any error is infinite."""
    if steps is None or not error.size:
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(error != 0, np.abs(error) / steps, 0)
    return float(ratios.max())
