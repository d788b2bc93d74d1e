"""Base tensor + low-rank change, lazily and in pieces of rows, in float32 and the file's row order.

Pieces bound the memory, whatever the size of the tensor. Knows nothing of export types.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converters.adapter import Adapter, LowRank
from converters.gguf.quantize import dequantize
from converters.gguf.reader import GgufFile
from converters.gguf.tensor_types import TensorType

Float32 = npt.NDArray[np.float32]
Blocks = npt.NDArray[np.uint8]

# 1 MB a float32 array: fits the caches, and a stop waits for no more than this.
PIECE_VALUES = 1 << 18
_PRODUCT_OPERATIONS = 1 << 18


@dataclass(frozen=True)
class Piece:
    """Some rows of a touched tensor. w0: the base's values, delta: the change; both (rows, n)."""

    rows: slice
    w0: Float32
    delta: Float32

    @property
    def wanted(self) -> Float32:
        """What the tensor should hold: w0 + delta."""
        return self.w0 + self.delta


def delta(pair: LowRank) -> Float32:
    """scale * b @ a, shape (out, in), multiplied piece by piece exactly as an export does.

    BLAS may round a product of all rows at once differently in the last bit, and then single
    quantised values of an export would differ from those of this matrix.
    """
    whole = np.empty((pair.b.shape[0], pair.a.shape[1]), dtype=np.float32)
    for rows in row_pieces(*whole.shape):
        whole[rows] = delta_rows(pair, rows)
    return whole


def merged(base: GgufFile, adapter: Adapter, name: str) -> Float32:
    """The merged tensor `name`, (rows, n) float32; the base's values where it is not touched."""
    if name not in adapter.touched:
        return base.values(name)
    parts = pieces(base.blocks(name), base.header.tensor(name).type, adapter.tensors[name])
    return np.concatenate([part.wanted for part in parts])


def pieces(blocks: Blocks, base_type: TensorType, pair: LowRank) -> Iterator[Piece]:
    """The touched tensor from its first row to its last. blocks: (rows, bytes a row) uint8."""
    for rows in row_pieces(blocks.shape[0], pair.a.shape[1]):
        yield Piece(rows, dequantize(blocks[rows], base_type), delta_rows(pair, rows))


def delta_rows(pair: LowRank, rows: slice | npt.NDArray[np.intp]) -> Float32:
    """Some rows of scale * b @ a, float32.

    Multiplied a few rows at a time: below about 2^18 operations OpenBLAS starts no threads of its
    own, which would only compete with ours (half of the CPU time of an export).
    """
    b, a = pair.b[rows], pair.a
    product = np.empty((b.shape[0], a.shape[1]), dtype=np.float32)
    step = max(1, _PRODUCT_OPERATIONS // a.size)
    for start in range(0, len(b), step):
        np.matmul(b[start : start + step], a, out=product[start : start + step])
    product *= np.float32(pair.scale)
    return product


def row_pieces(rows: int, row_length: int) -> Iterator[slice]:
    """Consecutive slices that cover `rows`, about PIECE_VALUES values each."""
    step = max(1, PIECE_VALUES // row_length)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
