"""One touched tensor: the sampled choice equals measuring every candidate, and what is written."""

import numpy as np
import pytest

from converters.adapter import LowRank
from converters.errors import Stopped, UserError
from converters.gguf.quantize import dequantize, quantize
from converters.gguf.retention import Retention
from converters.gguf.tensor_types import TensorType
from converters.gguf.type_policy import accepts, candidates
from converters.merge import delta, row_pieces
from converters.requantise import Touched, decide, rewrite, rewrite_same, sampled_verdict


def _never() -> bool:
    return False


def _touched(kind: TensorType, change: float, *, rows: int = 512, seed: int = 0) -> Touched:
    """A 512-wide tensor with normal weights in `kind` and a rank-4 change of the given size."""
    chance = np.random.default_rng(seed)
    weights = chance.standard_normal((rows, 512)).astype(np.float32)
    a = chance.standard_normal((4, 512)).astype(np.float32)
    b = chance.standard_normal((rows, 4)).astype(np.float32)
    scale = change * float(np.linalg.norm(weights) / np.linalg.norm(b @ a))
    return Touched("blk.0.ffn_up.weight", kind, quantize(weights, kind), LowRank(a, b, scale))


def _exhaustive(tensor: Touched) -> TensorType:
    kinds = candidates(tensor.base_type, tensor.row_length)
    passing = [kind for kind in kinds if accepts(rewrite(tensor, kind, _never).retention)]
    return passing[0] if passing else kinds[-1]


@pytest.mark.parametrize("change", [0.002, 0.007, 0.021])
@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q4_K", "Q5_0", "Q5_K", "Q6_K", "Q8_0", "F16"])
def test_the_sampled_choice_is_the_one_of_measuring_everything(name: str, change: float) -> None:
    tensor = _touched(TensorType[name], change)
    assert decide(tensor, _never) == _exhaustive(tensor)


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("Q4_K", 0.021, "Q5_0"),  # K grids of one family hold less of it: .71 (FACTS 1.8)
        ("Q4_1", 0.0005, "F16"),
        ("Q8_0", 0.021, "F16"),
        ("BF16", 0.007, "BF16"),
        ("F32", 0.007, "F32"),
    ],
)
def test_known_choices(name: str, change: float, expected: str) -> None:
    assert decide(_touched(TensorType[name], change), _never).name == expected


def test_a_commensurable_grid_is_refused_by_its_measured_retention() -> None:
    """Q5_0 over Q6_K ends at the same points: the change comes out too strong (1.83 in FACTS)."""
    measured = rewrite(_touched(TensorType.Q6_K, 0.007), TensorType.Q5_0, _never).retention
    assert measured.retained > 1.2
    assert not accepts(measured)


def test_each_level_takes_a_larger_type() -> None:
    tensor = _touched(TensorType.Q4_K, 0.021)
    levels = [decide(tensor, _never, level=level).name for level in range(4)]
    assert levels == ["Q5_0", "Q6_K", "Q8_0", "F16"]


def test_a_refused_type_is_not_chosen_again() -> None:
    tensor = _touched(TensorType.Q4_K, 0.021)
    refused = frozenset({TensorType.Q5_0})
    assert decide(tensor, _never, refused=refused) == TensorType.Q6_K


@pytest.mark.parametrize(
    ("retained", "noise", "verdict"),
    [(1.0, 1.0, True), (1.0, 4.0, False), (1.0, 2.9, None), (0.5, 1.0, False), (0.95, 1.0, None)],
)
def test_only_a_wide_margin_settles_the_question_on_a_sample(
    retained: float, noise: float, verdict: bool | None
) -> None:
    sample = Retention(dot=retained, delta_sq=1, noise_sq=noise**2, values=64 * 512)
    assert sampled_verdict(sample) is verdict


def test_a_sample_without_a_change_settles_nothing() -> None:
    assert sampled_verdict(Retention(values=100)) is None


def test_what_is_written_is_the_quantised_sum_in_file_order() -> None:
    tensor = _touched(TensorType.Q4_1, 0.007, rows=1000)  # two pieces
    assert len(list(row_pieces(1000, 512))) == 2
    wanted = dequantize(tensor.blocks, tensor.base_type) + delta(tensor.pair)
    written = rewrite(tensor, TensorType.Q8_0, _never)
    assert np.array_equal(written.blocks, quantize(wanted, TensorType.Q8_0))
    assert written.retention.retained == pytest.approx(1, abs=0.01)
    assert written.retention.change == pytest.approx(0.007, rel=0.01)


def test_the_same_seed_draws_the_same_codes_and_another_seed_others() -> None:
    tensor = _touched(TensorType.Q4_1, 0.007)
    first, again, other = (rewrite_same(tensor, seed, _never) for seed in (1, 1, 2))
    assert np.array_equal(first.blocks, again.blocks)
    assert not np.array_equal(first.blocks, other.blocks)
    assert first.type == TensorType.Q4_1
    assert first.retention.retained == pytest.approx(1, abs=0.1)


def test_values_beyond_the_new_type_are_a_clear_error() -> None:
    tensor = _touched(TensorType.Q4_1, 1e7)
    with pytest.raises(UserError, match=r"beyond F16 in blk\.0\.ffn_up\.weight"):
        rewrite(tensor, TensorType.F16, _never)
    tensor.pair.b[0, 0] = 3e38
    with (
        np.errstate(all="ignore"),
        pytest.raises(UserError, match=r"beyond F32 in blk\.0\.ffn_up\.weight"),
    ):
        rewrite(tensor, TensorType.Q8_0, _never)


def test_a_stop_is_answered_before_the_next_piece() -> None:
    tensor = _touched(TensorType.Q4_1, 0.007)
    for work in (
        lambda: rewrite(tensor, TensorType.Q8_0, lambda: True),
        lambda: rewrite_same(tensor, 0, lambda: True),
        lambda: decide(tensor, lambda: True),
    ):
        with pytest.raises(Stopped):
            work()
