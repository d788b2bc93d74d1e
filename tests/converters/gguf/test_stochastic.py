"""Rounding by chance on the unchanged grid: codes only, right on average, seeded."""

import numpy as np
import pytest

from converters.errors import UserError
from converters.gguf.block_layouts import layout
from converters.gguf.quantize import dequantize, quantize
from converters.gguf.retention import grid_steps, measure
from converters.gguf.stochastic import round_to_same_grid
from converters.gguf.tensor_types import TensorType

KINDS = [TensorType[name] for name in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q6_K")]


def _tuned(kind: TensorType) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(blocks, their values, a change of 0.7 %) of a 256 x 512 tensor."""
    chance = np.random.default_rng(3)
    blocks = quantize(chance.standard_normal((256, 512)).astype(np.float32), kind)
    change = chance.standard_normal((256, 512)).astype(np.float32) * np.float32(0.007)
    return blocks, dequantize(blocks, kind), change


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_change_survives_on_average_where_nearest_rounding_loses_it(kind: TensorType) -> None:
    blocks, w0, change = _tuned(kind)
    drawn = round_to_same_grid(blocks, w0 + change, kind, np.random.default_rng(0))
    by_chance = measure(w0, dequantize(drawn, kind), change)
    nearest = measure(w0, dequantize(quantize(w0 + change, kind), kind), change)
    assert 0.85 < by_chance.retained < 1.1
    assert kind == TensorType.Q8_0 or nearest.retained < 0.5


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_scales_stay_and_codes_move_by_one_step_at_most(kind: TensorType) -> None:
    blocks, w0, change = _tuned(kind)
    drawn = round_to_same_grid(blocks, w0 + change, kind, np.random.default_rng(0))
    before, after = layout(kind).split(blocks, np), layout(kind).split(drawn, np)
    assert np.array_equal(before.scale, after.scale)  # pyright: ignore[reportArgumentType]
    assert before.minimum is None or np.array_equal(before.minimum, after.minimum)  # pyright: ignore[reportArgumentType]
    steps = np.abs(after.codes.astype(int) - before.codes.astype(int))
    assert 0 < (steps > 0).mean() < 0.5
    largest = (np.abs(change) / np.maximum(grid_steps(blocks, kind), 1e-12)).max()
    assert steps.max() <= np.ceil(largest) + 1


def test_a_block_without_a_scale_stays_as_it_is() -> None:
    blocks = np.zeros((1, 20), np.uint8)
    blocks[0, 4:] = 0x37
    wanted = np.full((1, 32), 0.5, np.float32)
    drawn = round_to_same_grid(blocks, wanted, TensorType.Q4_1, np.random.default_rng(0))
    assert np.array_equal(drawn, blocks)


def test_values_beyond_the_grid_take_its_end() -> None:
    blocks = quantize(np.linspace(-1, 1, 32, dtype=np.float32)[None], TensorType.Q4_1)
    wanted = np.full((1, 32), 9, np.float32)
    drawn = round_to_same_grid(blocks, wanted, TensorType.Q4_1, np.random.default_rng(0))
    assert (layout(TensorType.Q4_1).split(drawn, np).codes == 15).all()


def test_sixteen_bit_types_round_to_the_nearest() -> None:
    wanted = np.linspace(-1, 1, 32, dtype=np.float32)[None]
    drawn = round_to_same_grid(
        quantize(wanted * 0, TensorType.F16), wanted, TensorType.F16, np.random.default_rng(0)
    )
    assert np.array_equal(drawn, quantize(wanted, TensorType.F16))


def test_a_type_without_a_layout_is_refused_by_name() -> None:
    blocks = np.zeros((1, 144), np.uint8)
    with pytest.raises(UserError, match="tuned tensors in Q4_K; possible are Q4_0, Q4_1"):
        round_to_same_grid(
            blocks, np.zeros((1, 256), np.float32), TensorType.Q4_K, np.random.default_rng(0)
        )
