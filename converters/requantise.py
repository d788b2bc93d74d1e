"""One touched tensor: decide its new type on a sample of rows, then write and measure it whole."""

import math
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converters.adapter import LowRank
from converters.errors import Stopped, UserError
from converters.events import ShouldStop
from converters.gguf.quantize import dequantize, quantize
from converters.gguf.retention import Retention, measure, summed
from converters.gguf.stochastic import round_to_same_grid
from converters.gguf.tensor_types import TensorType
from converters.gguf.type_policy import NOISE, RETAINED, accepts, candidates, choose
from converters.merge import Blocks, Piece, delta_rows, pieces

Float32 = npt.NDArray[np.float32]

_SAMPLED_ROWS = 64
_SAMPLED_PART = 16
_SPREADS = 4.0
_NOISE_MARGIN = 1.25


@dataclass(frozen=True)
class Touched:
    """A tensor that the adapter changes: the base's blocks (rows, bytes a row) and the change."""

    name: str
    base_type: TensorType
    blocks: Blocks
    pair: LowRank

    @property
    def row_length(self) -> int:
        """Values of one row."""
        return self.pair.a.shape[1]


@dataclass(frozen=True)
class Rewritten:
    """The tensor in its new type: blocks (rows, bytes a row) uint8, and what survived."""

    name: str
    type: TensorType
    blocks: Blocks
    retention: Retention


def decide(
    tensor: Touched,
    should_stop: ShouldStop,
    *,
    level: int = 0,
    refused: frozenset[TensorType] = frozenset(),
) -> TensorType:
    """The type that policy `auto` writes the tensor in (see `type_policy.choose`).

    A candidate is quantised on every sixteenth row only; where the sample does not settle the
    question by a wide margin, the whole tensor is. `refused`: candidates that were measured whole
    and failed.
    """
    sample = _sample(tensor)

    def accepted(kind: TensorType) -> bool:
        if should_stop():
            raise Stopped
        if kind in refused:
            return False
        encoded = quantize(_wanted(tensor, sample), kind)
        verdict = sampled_verdict(_measured(sample, encoded, kind))
        if verdict is None:
            verdict = accepts(rewrite(tensor, kind, should_stop).retention)
        return verdict

    return choose(candidates(tensor.base_type, tensor.row_length), accepted, level=level)


def sampled_verdict(sample: Retention) -> bool | None:
    """Whether a sample accepts or refuses a type; None if the whole tensor must be measured.

    The retention of n values spreads by noise / sqrt(n) around that of the tensor; the noise
    varies from row to row, so it gets a margin of a quarter.
    """
    if not sample.delta_sq:
        return None
    spread = _SPREADS * sample.noise / math.sqrt(max(sample.values, 1))
    low, high = RETAINED
    if sample.noise > NOISE * _NOISE_MARGIN:
        return False
    if not low - spread <= sample.retained <= high + spread:
        return False
    if sample.noise < NOISE / _NOISE_MARGIN and low + spread <= sample.retained <= high - spread:
        return True
    return None


def rewrite(tensor: Touched, kind: TensorType, should_stop: ShouldStop) -> Rewritten:
    """Merge and quantise the tensor piece by piece, measuring on the way.

    Raises Stopped within one piece of the wish, UserError if a merged value is not finite in the
    new type.
    """
    written: list[Blocks] = []
    measured: list[Retention] = []
    for piece in pieces(tensor.blocks, tensor.base_type, tensor.pair):
        if should_stop():
            raise Stopped
        written.append(quantize(_wanted(tensor, piece), kind))
        measured.append(_measured(piece, written[-1], kind))
    return _rewritten(tensor, kind, written, measured)


def rewrite_same(tensor: Touched, seed: int, should_stop: ShouldStop) -> Rewritten:
    """Round the merged tensor to the base's own grid by chance, codes only (FACTS 1.8, 5).

    The chance depends on the seed and the tensor's name alone, not on the order of threads.
    """
    chance = np.random.default_rng([seed, zlib.crc32(tensor.name.encode())])
    written: list[Blocks] = []
    measured: list[Retention] = []
    for piece in pieces(tensor.blocks, tensor.base_type, tensor.pair):
        if should_stop():
            raise Stopped
        blocks = tensor.blocks[piece.rows]
        wanted = _wanted(tensor, piece)
        written.append(round_to_same_grid(blocks, wanted, tensor.base_type, chance))
        measured.append(_measured(piece, written[-1], tensor.base_type))
    return _rewritten(tensor, tensor.base_type, written, measured)


def _rewritten(
    tensor: Touched, kind: TensorType, written: list[Blocks], measured: list[Retention]
) -> Rewritten:
    total = summed(measured)
    # A finite float32 can still be beyond the largest 16-bit number.
    if not math.isfinite(total.noise_sq):
        raise _not_finite(tensor, kind)
    return Rewritten(tensor.name, kind, np.concatenate(written), total)


def _wanted(tensor: Touched, piece: Piece) -> Float32:
    wanted = piece.wanted
    if not math.isfinite(float(wanted.sum())):
        raise _not_finite(tensor, TensorType.F32)
    return wanted


def _not_finite(tensor: Touched, kind: TensorType) -> UserError:
    return UserError(
        "The merged model has values that are not finite.",
        f"Base and adapter together give numbers beyond {kind.name} in {tensor.name}. "
        "Both are unchanged, nothing was written.",
        "Tune with a smaller learning rate, or check the base.",
    )


def _measured(piece: Piece, blocks: Blocks, kind: TensorType) -> Retention:
    return measure(piece.w0, dequantize(blocks, kind), piece.delta)


def _sample(tensor: Touched) -> Piece:
    """Evenly spaced rows: a sixteenth of them, at least 64."""
    rows = tensor.blocks.shape[0]
    count = min(rows, max(_SAMPLED_ROWS, rows // _SAMPLED_PART))
    chosen = np.linspace(0, rows - 1, count).astype(np.intp)
    w0 = dequantize(tensor.blocks[chosen], tensor.base_type)
    return Piece(slice(0, count), w0, delta_rows(tensor.pair, chosen))
