"""The ladder of reliefs: what each changes in a step, in which order they come, in what words."""

from pathlib import Path

import pytest
import torch

from finetune.base_model import load_base
from finetune.data.packing import Pack
from finetune.data.segments import TokenRow
from finetune.forward import pack_loss, recompute_activations
from finetune.methods.lora import add_adapter
from finetune.relief import Relief, next_rung, notes, offer_text, relieved
from tests.finetune.tiny_models import LAYERS, VOCABULARY, tiny_model


def _row(number: int, length: int, learnt_from: int | None = None) -> TokenRow:
    start = length - 2 if learnt_from is None else learnt_from
    ids = tuple((7 * number + 5 * at + at * at) % VOCABULARY for at in range(length))
    return TokenRow(ids, tuple(at >= start for at in range(length)), str(number), number)


def _lengths(packs: tuple[Pack, ...]) -> list[tuple[int, ...]]:
    return [content.lengths for content in packs]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


class _Gradient:
    """Loss and gradient of some packs on a fresh adapted model, and how often a layer ran."""

    def __init__(
        self, base: Path, packs: tuple[Pack, ...], *, dropout: float = 0.0, recompute: bool = False
    ) -> None:
        model = load_base(base, dtype=torch.float32)
        adapted = add_adapter(model, rank=4, alpha=8.0, seed=1, dropout=dropout).train()
        if recompute:
            recompute_activations(model)
        parameters = [part for part in adapted.parameters() if part.requires_grad]
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(2)
            for part in parameters:
                part.copy_(0.1 * torch.randn(part.shape))
        self.runs = 0
        model.model.layers[0].get_submodule("mlp").register_forward_pre_hook(self._count)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.loss = 0.0
            for content in packs:
                loss = pack_loss(model, content)
                loss.backward()
                self.loss += loss.item()
        self.gradient = torch.cat([_gradient(part) for part in parameters])

    def _count(self, *_: object) -> None:
        self.runs += 1


def _gradient(part: torch.Tensor) -> torch.Tensor:
    assert part.grad is not None
    return part.grad.flatten()


ROWS = tuple(_row(number, length) for number, length in enumerate((9, 4, 17, 30)))


def test_without_relief_a_step_is_what_it_was() -> None:
    packs = (Pack(ROWS[:2]), Pack(ROWS[2:]))
    assert [set(content.rows) for content in relieved(packs, Relief())] == [
        set(content.rows) for content in packs
    ]


def test_a_split_makes_packs_of_about_half_and_loses_no_row() -> None:
    packs = relieved((Pack(ROWS), Pack((ROWS[0],))), Relief(split=2))
    assert _lengths(packs) == [(30,), (17, 9, 4), (9,)]
    assert _lengths(relieved((Pack(ROWS),), Relief(split=16))) == [(30,), (17,), (9,), (4,)]


def test_the_gradient_of_a_split_step_is_the_same_up_to_rounding(base: Path) -> None:
    whole = _Gradient(base, (Pack(ROWS),))
    halves = _Gradient(base, relieved((Pack(ROWS),), Relief(split=2)))
    assert (whole.runs, halves.runs) == (1, 2)
    assert halves.loss == pytest.approx(whole.loss, rel=1e-6)
    torch.testing.assert_close(halves.gradient, whole.gradient, rtol=1e-4, atol=1e-6)


def test_long_rows_are_cut_after_packing_and_rows_without_answer_left_out() -> None:
    rows = (_row(0, 30, learnt_from=3), _row(1, 30), _row(2, 8))
    assert _lengths(relieved((Pack(rows),), Relief(row_tokens=10))) == [(10, 8)]
    assert relieved((Pack(rows[1:2]),), Relief(row_tokens=10)) == ()


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_recomputed_activations_give_the_same_gradient_to_the_bit(
    base: Path, dropout: float
) -> None:
    kept = _Gradient(base, (Pack(ROWS),), dropout=dropout)
    again = _Gradient(base, (Pack(ROWS),), dropout=dropout, recompute=True)
    assert (kept.runs, again.runs) == (1, 2), "the layers really ran again"
    assert kept.loss == again.loss
    assert torch.equal(kept.gradient, again.gradient)


def test_dropout_changes_the_gradient(base: Path) -> None:
    with_dropout = _Gradient(base, (Pack(ROWS),), dropout=0.3)
    assert not torch.equal(with_dropout.gradient, _Gradient(base, (Pack(ROWS),)).gradient)


def test_recomputing_keeps_less(base: Path) -> None:
    """Bytes that autograd holds between the forward and the backward."""

    def held(*, recompute: bool) -> int:
        model = load_base(base, dtype=torch.float32)
        add_adapter(model, rank=4, alpha=8.0, seed=1).train()
        if recompute:
            recompute_activations(model)
        sizes: dict[int, int] = {}

        def keep(part: torch.Tensor) -> torch.Tensor:
            sizes[part.untyped_storage().data_ptr()] = part.untyped_storage().nbytes()
            return part

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda part: part):
            loss = pack_loss(model, Pack(ROWS))
        del loss
        return sum(sizes.values())

    assert LAYERS == 2
    assert held(recompute=True) < 0.5 * held(recompute=False)


def test_the_rungs_come_in_the_order_of_what_they_cost() -> None:
    relief, seen = Relief(), []
    packs = (Pack((_row(0, 300, 1), _row(1, 200, 1))), Pack((_row(2, 100, 1),)))
    while offer := next_rung(relief, relieved(packs, relief)):
        seen.append(offer)
        relief = offer
    assert seen == [
        Relief(split=2),
        Relief(split=2, row_tokens=150),
        Relief(split=2, row_tokens=150, recompute=True),
        Relief(split=2, row_tokens=75, recompute=True),
    ]


def test_short_rows_are_not_cut() -> None:
    assert next_rung(Relief(), (Pack((_row(0, 100),)),)) == Relief(recompute=True)
    assert next_rung(Relief(recompute=True), (Pack((_row(0, 100),)),)) is None


def test_each_offer_says_what_it_changes() -> None:
    now = Relief()
    assert offer_text(now, Relief(split=2)) == (
        "Accept the offer and continue: half as many tokens go through the model at once, in twice "
        "as many passes; the effective batch stays the same."
    )
    assert "rows are cut at 1,024 tokens" in offer_text(now, Relief(row_tokens=1024))
    assert "a third longer" in offer_text(now, Relief(recompute=True))


def test_accepted_reliefs_are_told_with_their_counts() -> None:
    rows = [_row(0, 30, learnt_from=3), _row(1, 30), _row(2, 8)]
    assert notes(Relief(), rows) == []
    split, cut, again = notes(Relief(split=4, row_tokens=10, recompute=True), rows)
    assert "in 4 parts; the effective batch stays the same" in split
    assert "cut at 10 tokens: 2 rows are longer, 1 of them are left out" in cut
    assert "computed again instead of kept" in again
