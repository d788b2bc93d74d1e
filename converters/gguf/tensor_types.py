"""The element types of ggml, how many bytes a block of values takes, and a tensor's table row.

Source: ggml.h (`enum ggml_type`) and ggml-common.h (the block structures). Standard library only.
"""

from dataclasses import dataclass
from enum import IntEnum
from math import prod


class TensorType(IntEnum):
    """A tensor's element type, by its id in the file. Ids that ggml removed are missing."""

    F32 = 0
    F16 = 1
    Q4_0 = 2
    Q4_1 = 3
    Q5_0 = 6
    Q5_1 = 7
    Q8_0 = 8
    Q8_1 = 9
    Q2_K = 10
    Q3_K = 11
    Q4_K = 12
    Q5_K = 13
    Q6_K = 14
    Q8_K = 15
    IQ2_XXS = 16
    IQ2_XS = 17
    IQ3_XXS = 18
    IQ1_S = 19
    IQ4_NL = 20
    IQ3_S = 21
    IQ2_S = 22
    IQ4_XS = 23
    I8 = 24
    I16 = 25
    I32 = 26
    I64 = 27
    F64 = 28
    IQ1_M = 29
    BF16 = 30
    TQ1_0 = 34
    TQ2_0 = 35
    MXFP4 = 39
    NVFP4 = 40
    Q1_0 = 41
    Q2_0 = 42


BLOCK_SHAPE: dict[TensorType, tuple[int, int]] = {
    TensorType.F32: (1, 4),
    TensorType.F16: (1, 2),
    TensorType.Q4_0: (32, 18),
    TensorType.Q4_1: (32, 20),
    TensorType.Q5_0: (32, 22),
    TensorType.Q5_1: (32, 24),
    TensorType.Q8_0: (32, 34),
    TensorType.Q8_1: (32, 36),
    TensorType.Q2_K: (256, 84),
    TensorType.Q3_K: (256, 110),
    TensorType.Q4_K: (256, 144),
    TensorType.Q5_K: (256, 176),
    TensorType.Q6_K: (256, 210),
    TensorType.Q8_K: (256, 292),
    TensorType.IQ2_XXS: (256, 66),
    TensorType.IQ2_XS: (256, 74),
    TensorType.IQ3_XXS: (256, 98),
    TensorType.IQ1_S: (256, 50),
    TensorType.IQ4_NL: (32, 18),
    TensorType.IQ3_S: (256, 110),
    TensorType.IQ2_S: (256, 82),
    TensorType.IQ4_XS: (256, 136),
    TensorType.I8: (1, 1),
    TensorType.I16: (1, 2),
    TensorType.I32: (1, 4),
    TensorType.I64: (1, 8),
    TensorType.F64: (1, 8),
    TensorType.IQ1_M: (256, 56),
    TensorType.BF16: (1, 2),
    TensorType.TQ1_0: (256, 54),
    TensorType.TQ2_0: (256, 66),
    TensorType.MXFP4: (32, 17),
    TensorType.NVFP4: (64, 36),
    TensorType.Q1_0: (128, 18),
    TensorType.Q2_0: (64, 18),
}
"""type -> (values in a block, bytes of a block)"""


@dataclass(frozen=True)
class TensorInfo:
    """One row of the tensor table. `shape` is in numpy order, (rows, row_length) for a matrix.

    `offset` counts bytes from the header's `data_start`; `n_bytes` excludes the padding.
    """

    name: str
    shape: tuple[int, ...]
    type: TensorType
    offset: int
    n_bytes: int

    @property
    def row_length(self) -> int:
        """Values of one row: the dimension that blocks divide."""
        return self.shape[-1]

    @property
    def n_rows(self) -> int:
        """Rows of the tensor seen as a matrix (1 for a vector)."""
        return prod(self.shape[:-1])


def row_bytes(tensor_type: TensorType, row_length: int) -> int:
    """Bytes of one row of `row_length` values. Raises ValueError if the blocks do not divide it."""
    values, n_bytes = BLOCK_SHAPE[tensor_type]
    if row_length % values:
        message = f"rows of {row_length} do not divide into {tensor_type.name} blocks of {values}"
        raise ValueError(message)
    return row_length // values * n_bytes
