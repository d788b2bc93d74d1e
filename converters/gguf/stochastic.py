"""Stochastic rounding on a tensor's own grid: only codes move, scales stay (FACTS 1.8, point 5).

Rounding to the nearest point loses a change smaller than half a step; rounding by chance keeps it
on average, and pays with noise.
"""

import numpy as np
import numpy.typing as npt

from converters.errors import UserError
from converters.gguf.block_layouts import Fields, layout
from converters.gguf.quantize import quantize
from converters.gguf.tensor_types import TensorType
from converters.gguf.type_policy import UNQUANTISED

Blocks = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

# Without the type's offset, as `Fields.codes` holds them.
_CODE_RANGE = {
    TensorType.Q4_0: (-8, 7),
    TensorType.Q4_1: (0, 15),
    TensorType.Q5_0: (-16, 15),
    TensorType.Q5_1: (0, 31),
    TensorType.Q8_0: (-128, 127),
    TensorType.Q6_K: (-32, 31),
}


def round_to_same_grid(
    blocks: Blocks, wanted: Float32, tensor_type: TensorType, chance: np.random.Generator
) -> Blocks:
    """The blocks with each code drawn from the two nearest to the wanted value.

    blocks: (rows, bytes a row) uint8, wanted: (rows, n) float32. A value beyond the grid's ends
    takes the end. 16-bit and float types are rounded to the nearest as ever. Raises UserError for
    a type whose blocks cannot be taken apart yet.
    """
    if tensor_type in UNQUANTISED:
        return quantize(wanted, tensor_type)
    check_possible(tensor_type)
    fields = layout(tensor_type).split(blocks, np)
    codes = _drawn(fields, wanted, _CODE_RANGE[tensor_type], chance)
    moved = Fields(codes, fields.scale, fields.minimum, fields.sub_scales)
    return layout(tensor_type).join(moved, np)


def check_possible(tensor_type: TensorType) -> None:
    """Raise UserError for a type without a layout (issue 7 adds the other K formats)."""
    if tensor_type in _CODE_RANGE or tensor_type in UNQUANTISED:
        return
    names = ", ".join(kind.name for kind in (*_CODE_RANGE, *sorted(UNQUANTISED)))
    raise UserError(
        'The export type "same" is not possible for this model.',
        f"It has tuned tensors in {tensor_type.name}; possible are {names}. Nothing was written.",
        'Choose the export type "auto".',
    )


def _drawn(
    fields: Fields, wanted: Float32, code_range: tuple[int, int], chance: np.random.Generator
) -> np.ndarray:
    old = fields.codes
    scale = _scale_per_value(fields)
    target = wanted.reshape(old.shape)
    if fields.minimum is not None:
        target = target - fields.minimum.astype(np.float32)[..., None]
    # A block of scale 0 has no grid to move on: its codes stay.
    exact = np.divide(target, scale, out=old.astype(np.float32), where=scale != 0)
    drawn = np.floor(exact + chance.random(exact.shape, dtype=np.float32))
    return np.clip(drawn, *code_range).astype(old.dtype)


def _scale_per_value(fields: Fields) -> Float32:
    assert fields.scale is not None
    scale = fields.scale.astype(np.float32)[..., None]
    if fields.sub_scales is not None:
        scale = scale * fields.sub_scales.astype(np.float32)
        scale = np.repeat(scale, fields.codes.shape[-1] // scale.shape[-1], axis=-1)
    return np.broadcast_to(scale, fields.codes.shape)
