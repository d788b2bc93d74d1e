"""The figures that say what survived of a change, and the grid they are measured in."""

import numpy as np
import pytest

from converters.gguf.block_layouts import layout
from converters.gguf.quantize import dequantize, quantize
from converters.gguf.retention import Retention, grid_steps, measure, summed
from converters.gguf.tensor_types import TensorType

BLOCKS = [
    TensorType[name] for name in ("Q4_0", "Q4_1", "Q4_K", "Q5_0", "Q5_1", "Q5_K", "Q6_K", "Q8_0")
]
FLOATS = [TensorType.F16, TensorType.BF16, TensorType.F32]


def _normal(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_a_perfect_copy_retains_everything_without_noise() -> None:
    w0, delta = _normal((4, 256)), _normal((4, 256), 1)
    figures = measure(w0, w0 + delta, delta)
    assert figures.retained == pytest.approx(1, abs=1e-6)
    assert figures.noise == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.8])
def test_a_change_of_another_strength_is_seen(strength: float) -> None:
    w0, delta = _normal((4, 256)), _normal((4, 256), 1)
    figures = measure(w0, w0 + np.float32(strength) * delta, delta)
    assert figures.retained == pytest.approx(strength, abs=1e-6)
    assert figures.noise == pytest.approx(abs(strength - 1), abs=1e-6)


def test_change_is_the_norm_beside_the_bases() -> None:
    w0 = _normal((4, 256))
    assert measure(w0, w0, w0 * np.float32(0.007)).change == pytest.approx(0.007)


def test_pieces_add_up_to_the_whole() -> None:
    w0, w_hat, delta = (_normal((8, 256), seed) for seed in range(3))
    steps = np.ones_like(w0)
    whole = measure(w0, w_hat, delta, steps)
    parts = summed(measure(w0[i], w_hat[i], delta[i], steps[i]) for i in (slice(0, 3), slice(3, 8)))
    assert parts.retained == pytest.approx(whole.retained)
    assert parts.noise == pytest.approx(whole.noise)
    assert parts.largest_error == whole.largest_error
    assert parts.values == 8 * 256


def test_without_a_change_the_figures_are_null_in_json() -> None:
    assert Retention().as_json() == {"retained": None, "noise": None, "change": None}
    assert summed([]) == Retention()


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_the_step_is_the_blocks_scale(name: str) -> None:
    kind = TensorType[name]
    blocks = quantize(_normal((4, 512)), kind)
    scale = layout(kind).split(blocks, np).scale
    assert scale is not None
    steps = grid_steps(blocks, kind).reshape(4, -1, 32)
    expected = np.broadcast_to(np.abs(scale.astype(np.float32))[..., None], steps.shape)
    assert np.allclose(steps, expected, rtol=0.01)


@pytest.mark.parametrize("name", ["Q4_K", "Q5_K", "Q6_K"])
def test_k_formats_have_the_largest_step_of_the_super_block(name: str) -> None:
    kind = TensorType[name]
    values = _normal((4, 512)) * np.repeat([1.0, 1e-3], 128).repeat(2)[None].astype(np.float32)
    steps = grid_steps(quantize(values, kind), kind).reshape(4, 2, 256)
    assert (steps == steps[..., :1]).all()
    codes = {"Q4_K": 15, "Q5_K": 31, "Q6_K": 63}[name]
    widest = values.reshape(4, 2, 256).max(-1) - values.reshape(4, 2, 256).min(-1)
    assert (np.abs(np.log2(steps[..., 0] * codes / widest)) < 1).all()


def test_the_short_end_of_q5_0_stays_within_its_step() -> None:
    """Both ends equally far: the upper one is cut to code 15 of 16."""
    wanted = np.tile(np.array([-1.2345, 1.2345], np.float32), (4, 128))
    blocks = quantize(wanted, TensorType.Q5_0)
    found = measure(
        np.zeros_like(wanted), dequantize(blocks, TensorType.Q5_0), wanted,
        grid_steps(blocks, TensorType.Q5_0),
    )  # fmt: skip
    assert 0.98 < found.largest_error <= 1


@pytest.mark.parametrize("name", ["Q4_K", "Q5_K", "Q6_K"])
def test_sub_blocks_of_very_different_size_stay_within_the_step(name: str) -> None:
    kind = TensorType[name]
    wanted = _normal((4, 512)) * np.geomspace(1e-3, 1, 512, dtype=np.float32)
    blocks = quantize(wanted, kind)
    values, steps = dequantize(blocks, kind), grid_steps(blocks, kind)
    assert measure(np.zeros_like(wanted), values, wanted, steps).largest_error <= 1


@pytest.mark.parametrize("kind", FLOATS, ids=lambda kind: kind.name)
def test_floats_round_within_half_a_step(kind: TensorType) -> None:
    wanted = _normal((4, 512)) * np.float32(1e-3)
    blocks = quantize(wanted, kind)
    error = np.abs(dequantize(blocks, kind) - wanted)
    assert (error <= grid_steps(blocks, kind) / 2).all()
    assert kind == TensorType.F32 or (error > grid_steps(blocks, kind) / 8).any()


@pytest.mark.parametrize("kind", BLOCKS, ids=lambda kind: kind.name)
def test_quantising_stays_within_one_step_and_a_flipped_bit_does_not(kind: TensorType) -> None:
    wanted = _normal((4, 512))
    blocks = quantize(wanted, kind)
    zero = np.zeros_like(wanted)
    sound = measure(zero, dequantize(blocks, kind), wanted, grid_steps(blocks, kind))
    assert 0.2 < sound.largest_error <= 1
    damaged = blocks.copy()
    damaged[0, 10 if kind is TensorType.Q6_K else -10] ^= 0x88
    found = measure(zero, dequantize(damaged, kind), wanted, grid_steps(damaged, kind))
    assert found.largest_error > 2
