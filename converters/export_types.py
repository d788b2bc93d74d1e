"""The type of every touched tensor, decided before the first byte: the GGUF's header names them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from converters.ahead import computed_ahead, worker_threads
from converters.errors import UserError
from converters.events import ShouldStop
from converters.gguf.header import Header
from converters.gguf.mixes import file_type_of, fitting
from converters.gguf.stochastic import check_possible
from converters.gguf.tensor_types import TensorType
from converters.gguf.type_policy import SAME, explicit, parse_type
from converters.requantise import Touched, decide

Types = Mapping[str, TensorType]


@dataclass(frozen=True)
class AskedType:
    """What was asked for: "auto", "same" or a name; the level of "auto", and per tensor the
    candidates that were already measured whole and failed."""

    name: str
    level: int = 0
    refused: Mapping[str, frozenset[TensorType]] = field(default_factory=dict)

    @property
    def is_same(self) -> bool:
        """Whether the base's own grids are kept."""
        return self.name.lower() == SAME


def decided_types(
    touched: Sequence[Touched], asked: AskedType, should_stop: ShouldStop
) -> dict[str, TensorType]:
    """The type that each tensor will be written in, by name. Raises Stopped, UserError."""
    wanted = parse_type(asked.name)

    def type_of(tensor: Touched, stopping: ShouldStop) -> TensorType:
        if asked.is_same:
            check_possible(tensor.base_type)
            return tensor.base_type
        if wanted is not None:
            return explicit(wanted, tensor.base_type, tensor.row_length)
        refused = asked.refused.get(tensor.name, frozenset())
        return decide(tensor, stopping, level=asked.level, refused=refused)

    chosen = computed_ahead(touched, type_of, should_stop, threads=worker_threads())
    return {tensor.name: kind for tensor, kind in zip(touched, chosen, strict=True)}


def raised(type_name: str, touched: Sequence[Touched], types: Types) -> list[Touched]:
    """Tensors that take a larger type than the named one, because they are in that one already."""
    wanted = parse_type(type_name)
    if wanted is None:
        return []
    return [t for t in touched if types[t.name] != fitting(wanted, t.row_length)]


def refuse_own_type(type_name: str, touched: Sequence[Touched], types: Types) -> None:
    """Raise UserError if every touched tensor is in the named type already (DESIGN 6)."""
    already = raised(type_name, touched, types)
    if already and len(already) == len(touched):
        larger = types[already[0].name].name
        raise UserError(
            f"The tuned tensors are in {already[0].base_type.name} already.",
            "Rounding them back to their own grid would lose the tuning. Nothing was written.",
            f'Choose "auto", {larger}, or "same" if the size must not change.',
        )


def file_type(header: Header, types: Types) -> int | None:
    """The new `general.file_type`, or None if the type that holds most weights stays the same."""
    before = _main_type(header, {})
    after = _main_type(header, types)
    return None if before == after else file_type_of(after)


def _main_type(header: Header, types: Types) -> TensorType:
    weights: Counter[TensorType] = Counter()
    for info in header.tensors:
        weights[types.get(info.name, info.type)] += info.n_rows * info.row_length
    return weights.most_common(1)[0][0]
