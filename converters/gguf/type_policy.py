"""Which type a touched tensor is written in (FACTS 1.8, the export policy). Pure rules, no data.

A change of 0.7 % that is rounded back to the base's own grid is lost (6 % of it is left on Q4_1),
so a touched tensor never silently keeps a quantised type; a finer grid with the same end points
makes the change too strong, which only measuring shows.
"""

from collections.abc import Callable
from typing import Final

from converters.errors import UserError
from converters.gguf.mixes import fitting
from converters.gguf.retention import Retention
from converters.gguf.tensor_types import BLOCK_SHAPE, TensorType

AUTO: Final = "auto"
SAME: Final = "same"
CANDIDATES: Final = (
    TensorType.Q5_K,
    TensorType.Q5_0,
    TensorType.Q6_K,
    TensorType.Q8_0,
    TensorType.F16,
)
RETAINED: Final = (0.95, 1.05)
NOISE: Final = 3.0
UNQUANTISED: Final = frozenset({TensorType.F16, TensorType.BF16, TensorType.F32})
EXPLICIT: Final = (
    TensorType.Q4_0,
    TensorType.Q4_1,
    TensorType.Q4_K,
    TensorType.Q5_0,
    TensorType.Q5_1,
    TensorType.Q5_K,
    TensorType.Q6_K,
    TensorType.Q8_0,
    TensorType.F16,
    TensorType.BF16,
    TensorType.F32,
)


def bits(tensor_type: TensorType) -> float:
    """Bits a value takes, scales included: 8.5 for Q8_0."""
    values, n_bytes = BLOCK_SHAPE[tensor_type]
    return 8 * n_bytes / values


def divides(tensor_type: TensorType, row_length: int) -> bool:
    """Whether rows of this length divide into the type's blocks."""
    return row_length % BLOCK_SHAPE[tensor_type][0] == 0


def candidates(base_type: TensorType, row_length: int) -> tuple[TensorType, ...]:
    """The types that `auto` tries for a touched tensor, smallest first; never empty.

    F16, BF16 and F32 stay what they are; Q8_0 goes to F16; anything else to the first candidate
    that is not its own grid and passes `accepts`.
    """
    if base_type in UNQUANTISED:
        return (base_type,)
    if base_type == TensorType.Q8_0:
        return (TensorType.F16,)
    return tuple(
        kind for kind in CANDIDATES if kind != base_type and divides(kind, row_length)
    )


def accepts(measured: Retention) -> bool:
    """Whether the change came through whole and the rounding noise is small beside it."""
    return RETAINED[0] <= measured.retained <= RETAINED[1] and measured.noise <= NOISE


def choose(
    kinds: tuple[TensorType, ...], accepted: Callable[[TensorType], bool], *, level: int = 0
) -> TensorType:
    """The first accepted type of `kinds`, then `level` sizes larger; else the last type.

    Larger types are asked too, so that raising the level never lands on a commensurable grid.
    `accepted` is called no more often than needed: never for the last type, which has no
    alternative.
    """
    for index, kind in enumerate(kinds):
        if kind == kinds[-1] or accepted(kind):
            larger = tuple(other for other in kinds[index:] if bits(other) > bits(kind))
            if level == 0 or not larger:
                return kind
            return choose(larger, accepted, level=level - 1)
    raise AssertionError("kinds is never empty")


def next_larger(tensor_type: TensorType, row_length: int) -> TensorType | None:
    """The smallest candidate that takes more bits; F32 after the 16-bit types, then None."""
    for kind in (*CANDIDATES, TensorType.F32):
        if bits(kind) > bits(tensor_type) and divides(kind, row_length):
            return kind
    return None


def has_next_level(base_type: TensorType, written: TensorType) -> bool:
    """Whether `auto` could write this tensor in a larger type than it was written in."""
    return base_type not in UNQUANTISED and bits(written) < bits(TensorType.F16)


def explicit(wanted: TensorType, base_type: TensorType, row_length: int) -> TensorType:
    """The type a tensor takes when the person chose `wanted` for all touched tensors.

    A quantised tensor that is already in that type takes the next larger one.
    """
    kind = fitting(wanted, row_length)
    if kind == base_type and kind not in UNQUANTISED:
        kind = next_larger(kind, row_length) or TensorType.F32
    return kind


def parse_type(text: str) -> TensorType | None:
    """The type named on the command line; None for `auto` and `same`. Raises UserError."""
    if text.lower() in (AUTO, SAME):
        return None
    for kind in EXPLICIT:
        if kind.name == text.upper():
            return kind
    names = ", ".join([AUTO, SAME, *(kind.name for kind in EXPLICIT)])
    raise UserError(
        f'There is no export type "{text}".', f"The types are: {names}.", "Leave it at auto."
    )
