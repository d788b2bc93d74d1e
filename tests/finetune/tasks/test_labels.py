"""Accuracy and macro F1 by hand."""

import pytest

from finetune.tasks.labels import score


def test_accuracy_and_macro_f1() -> None:
    found = score(["a", "a", "a", "b", "c"], ["a", "a", "b", "b ", "other"])
    assert found.accuracy == 0.6
    # a: precision 1, recall 2/3; b: precision 1/2, recall 1; c: never written.
    assert found.per_label == pytest.approx({"a": 0.8, "b": 2 / 3, "c": 0.0})
    assert found.macro_f1 == pytest.approx((0.8 + 2 / 3) / 3)
    assert found.rows == 5


def test_a_rare_label_weighs_as_much_as_a_common_one() -> None:
    found = score(["common"] * 99 + ["rare"], ["common"] * 100)
    assert found.accuracy == 0.99
    assert found.macro_f1 == pytest.approx((2 * 99 / 199) / 2)


def test_everything_right_is_one() -> None:
    found = score([" x\n", "y"], ["x", "y"])
    assert (found.accuracy, found.macro_f1) == (1.0, 1.0)


def test_no_rows_and_unequal_lengths_are_errors() -> None:
    with pytest.raises(ValueError, match="no rows"):
        score([], [])
    with pytest.raises(ValueError, match="zip"):
        score(["a"], [])
