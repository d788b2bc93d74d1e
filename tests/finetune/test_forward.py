"""Held-out rows: nats a learnt token, and exact as greedy decoding would have it."""

from pathlib import Path

import pytest
import torch

from converters.errors import Stopped
from finetune.base_model import LlamaForCausalLM, load_base
from finetune.data.segments import TokenRow
from finetune.forward import measure
from tests.finetune.tiny_models import VOCABULARY, tiny_model


@pytest.fixture
def model(tmp_path: Path) -> LlamaForCausalLM:
    return load_base(tiny_model(tmp_path / "tiny.gguf"), form="f32")


@torch.inference_mode()
def _greedy(model: LlamaForCausalLM, prompt: list[int], tokens: int) -> list[int]:
    ids = list(prompt)
    for _ in range(tokens):
        logits = model(input_ids=torch.tensor([ids])).logits[0, -1]  # pyright: ignore
        ids.append(int(logits.argmax()))
    return ids


def _row(ids: list[int], learnt: int) -> TokenRow:
    return TokenRow(tuple(ids), (False,) * (len(ids) - learnt) + (True,) * learnt, str(ids))


def test_exact_is_what_greedy_decoding_would_write(model: LlamaForCausalLM) -> None:
    right = [_row(_greedy(model, [3, n], 4), 4) for n in range(6)]
    wrong = [_row([*row.ids[:-1], (row.ids[-1] + 1) % VOCABULARY], 4) for row in right[:2]]
    found = measure(model, [*right, *wrong], lambda: False)
    assert (found.exact, found.rows) == (6 / 8, 8)


def test_loss_is_the_mean_over_learnt_tokens_of_all_rows(model: LlamaForCausalLM) -> None:
    rows = [_row([5, 6, 7, 8], 1), _row([9, 1, 2], 2)]
    nats = []
    for row in rows:
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([row.ids])).logits[0]  # pyright: ignore
        log_p = logits.log_softmax(-1)
        nats += [-float(log_p[at - 1, row.ids[at]]) for at, on in enumerate(row.learnt) if on]
    found = measure(model, rows, lambda: False)
    assert found.loss == pytest.approx(sum(nats) / 3, rel=1e-5)


def test_measuring_stops_when_asked_and_refuses_no_rows(model: LlamaForCausalLM) -> None:
    with pytest.raises(Stopped):
        measure(model, [_row([1, 2], 1)], lambda: True)
    with pytest.raises(ValueError, match="no held-out rows"):
        measure(model, [], lambda: False)
