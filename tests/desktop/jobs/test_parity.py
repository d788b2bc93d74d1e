"""Collecting rows through several engines."""

import numpy as np
import pytest

from desktop.jobs.parity import Engines, collect, rows_to_compare
from finetune.data.segments import TokenRow


class _Ready:
    """A distribution that is there at once."""

    def __init__(self, table):
        self._table = table

    def result(self):
        return self._table


def _engine(*shares):
    table = np.log(np.array([shares, shares], np.float32))
    return lambda ids, start: _Ready(table), lambda ids, start: table


BASE, _ = _engine(0.25, 0.25, 0.25, 0.25)
TUNED, TORCH_TUNED = _engine(0.1, 0.7, 0.1, 0.1)
_, TORCH_BASE = _engine(0.25, 0.25, 0.25, 0.25)
ENGINES = Engines(BASE, TUNED, TUNED, TUNED, TORCH_BASE, TORCH_TUNED)


def test_each_divergence_is_of_its_own_pair():
    row = TokenRow((0, 1, 1), (False, True, True), "h")
    (figures,) = collect([row], ENGINES, lambda _: None, lambda: False)
    found = figures.divergence
    assert found.adapter_file == found.torch_file == found.torch_expansion == 0
    assert found.torch_base == 0
    expected = 2 * (0.25 * np.log(0.25 / 0.7) + 0.75 * np.log(0.25 / 0.1))
    assert found.effect_llama == pytest.approx(expected, rel=1e-5)
    assert found.effect_torch == pytest.approx(expected, rel=1e-5)
    assert not figures.base.exact
    assert figures.exported.exact
    assert figures.reference.exact


def test_at_most_a_hundred_rows_or_twenty_thousand_tokens_but_twenty_rows():
    def rows(count, length):
        return [TokenRow((0,) * length, (False,) + (True,) * (length - 1), "h")] * count

    assert len(rows_to_compare(rows(300, 10))) == 100
    assert len(rows_to_compare(rows(50, 400))) == 50
    assert len(rows_to_compare(rows(90, 500))) == 41
    assert len(rows_to_compare(rows(90, 5000))) == 20
