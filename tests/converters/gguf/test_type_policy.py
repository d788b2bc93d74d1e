"""Which type a touched tensor is written in: the rules of FACTS 1.8."""

import math

import pytest

from converters.errors import UserError
from converters.gguf.mixes import fitting
from converters.gguf.retention import Retention
from converters.gguf.tensor_types import TensorType
from converters.gguf.type_policy import (
    accepts,
    candidates,
    choose,
    explicit,
    has_next_level,
    next_larger,
    parse_type,
)

Q4_0, Q4_1, Q4_K = TensorType.Q4_0, TensorType.Q4_1, TensorType.Q4_K
Q5_0, Q5_1, Q5_K = TensorType.Q5_0, TensorType.Q5_1, TensorType.Q5_K
Q6_K, Q8_0 = TensorType.Q6_K, TensorType.Q8_0
F16, BF16, F32 = TensorType.F16, TensorType.BF16, TensorType.F32


@pytest.mark.parametrize(
    ("base", "row_length", "expected"),
    [
        (Q4_K, 4096, (Q5_K, Q5_0, Q6_K, Q8_0, F16)),
        (Q4_1, 576, (Q5_0, Q8_0, F16)),
        (Q5_0, 576, (Q8_0, F16)),
        (Q5_K, 4096, (Q5_0, Q6_K, Q8_0, F16)),
        (Q6_K, 4096, (Q5_K, Q5_0, Q8_0, F16)),
        (Q8_0, 4096, (F16,)),
        (F16, 4096, (F16,)),
        (BF16, 4096, (BF16,)),
        (F32, 33, (F32,)),
    ],
)
def test_candidates_leave_out_the_own_grid_and_rows_that_do_not_divide(
    base: TensorType, row_length: int, expected: tuple[TensorType, ...]
) -> None:
    assert candidates(base, row_length) == expected


@pytest.mark.parametrize(
    ("retained", "noise", "is_accepted"),
    [
        (1.0, 0.8, True),
        (0.95, 3.0, True),
        (1.05, 3.0, True),
        (0.9499, 0.8, False),
        (1.0501, 0.8, False),
        (1.0, 3.01, False),
        (1.58, 6.0, False),
        (math.nan, 1.0, False),
    ],
)
def test_bounds_of_retention_and_noise(retained: float, noise: float, is_accepted: bool) -> None:
    assert accepts(Retention(dot=retained, delta_sq=1.0, noise_sq=noise**2)) is is_accepted


@pytest.mark.parametrize(
    ("accepted", "level", "expected", "asked"),
    [
        ({Q5_K, Q5_0, Q6_K, Q8_0}, 0, Q5_K, [Q5_K]),
        ({Q6_K, Q8_0}, 0, Q6_K, [Q5_K, Q5_0, Q6_K]),
        ({Q6_K, Q8_0}, 1, Q8_0, [Q5_K, Q5_0, Q6_K, Q8_0]),
        ({Q6_K, Q8_0}, 2, F16, [Q5_K, Q5_0, Q6_K, Q8_0]),
        ({Q6_K, Q8_0}, 9, F16, [Q5_K, Q5_0, Q6_K, Q8_0]),
        # Q5_0 takes no more bits than Q5_K, so it is not the next larger type.
        ({Q5_K, Q5_0, Q8_0}, 1, Q8_0, [Q5_K, Q6_K, Q8_0]),
        (set(), 0, F16, [Q5_K, Q5_0, Q6_K, Q8_0]),
    ],
)
def test_the_smallest_accepted_type_is_taken_and_no_more_are_asked(
    accepted: set[TensorType], level: int, expected: TensorType, asked: list[TensorType]
) -> None:
    questions: list[TensorType] = []

    def ask(kind: TensorType) -> bool:
        questions.append(kind)
        return kind in accepted

    assert choose(candidates(Q4_K, 256), ask, level=level) == expected
    assert questions == asked


@pytest.mark.parametrize(
    ("kind", "row_length", "expected"),
    [
        (Q4_1, 576, Q5_0), (Q4_1, 1536, Q5_K), (Q4_K, 256, Q5_K), (Q5_K, 256, Q6_K),
        (Q5_0, 576, Q8_0), (Q5_1, 256, Q6_K), (Q6_K, 256, Q8_0), (Q8_0, 576, F16),
        (F16, 576, F32), (BF16, 7, F32), (F32, 576, None),
    ],
)  # fmt: skip
def test_the_next_larger_type(
    kind: TensorType, row_length: int, expected: TensorType | None
) -> None:
    assert next_larger(kind, row_length) is expected


@pytest.mark.parametrize(
    ("wanted", "base", "row_length", "expected"),
    [
        (Q8_0, Q4_1, 576, Q8_0),
        (Q6_K, Q4_1, 576, Q8_0),
        (Q6_K, Q8_0, 576, F16),
        (Q4_1, Q4_1, 576, Q5_0),
        (Q4_K, Q4_K, 512, Q5_K),
        (Q4_K, Q5_0, 576, Q8_0),
        (Q5_K, Q4_1, 576, Q5_1),
        (Q8_0, F16, 576, Q8_0),
        (F16, F16, 576, F16),
        (Q8_0, Q4_0, 40, F16),
    ],
)
def test_a_named_type_falls_back_and_never_lands_on_the_own_grid(
    wanted: TensorType, base: TensorType, row_length: int, expected: TensorType
) -> None:
    assert explicit(wanted, base, row_length) == expected
    assert fitting(wanted, row_length) in (expected, base)


def test_a_next_level_exists_until_sixteen_bits() -> None:
    assert has_next_level(Q4_1, Q8_0)
    assert not has_next_level(Q4_1, F16)
    assert not has_next_level(F16, F16)


def test_type_names_are_read_in_any_case_and_unknown_ones_list_the_choices() -> None:
    assert parse_type("q8_0") == Q8_0
    assert parse_type("Auto") is None
    assert parse_type("same") is None
    with pytest.raises(UserError, match="auto, same, Q4_0, Q4_1, .* F32") as raised:
        parse_type("Q9")
    assert 'no export type "Q9"' in str(raised.value)
