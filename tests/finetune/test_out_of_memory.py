"""F1: memory runs out in the middle of a step; the step is undone, a way on is offered."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from converters.events import Event, Note, Progress
from converters.gguf.header import TensorType
from finetune import checkpoints, train
from finetune.data.segments import TokenRow
from finetune.out_of_memory import OutOfMemory, free_bytes, is_out_of_memory, wanted_bytes
from finetune.relief import Relief
from finetune.spec import TrainSpec
from finetune.train import TrainFolders, TrainResult
from tests.finetune.tiny_models import tiny_model
from tests.finetune.tiny_rows import tiny_rows

ROWS, HELD_OUT = tiny_rows(40), tiny_rows(8, first=100)
ON_CUDA = (
    "CUDA out of memory. Tried to allocate 22.78 GiB. GPU 0 has a total capacity of 31.47 GiB of "
    "which 12.73 GiB is free. Including non-PyTorch memory, this process has 18.73 GiB memory in "
    "use. Of the allocated memory 9.08 GiB is allocated by PyTorch, and 9.35 GiB is reserved by "
    "PyTorch but unallocated."
)
OLDER_ON_CUDA = (
    "CUDA out of memory. Tried to allocate 264.00 MiB (GPU 0; 2.00 GiB total capacity; 788.51 MiB "
    "already allocated; 145.93 MiB free; 1.02 GiB reserved in total by PyTorch)"
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf", TensorType.Q8_0)


def _spec(base: Path, **changed: object) -> TrainSpec:
    values = {
        "base_path": base, "form": "f32", "rank": 8, "alpha": 16.0, "learning_rate": 5e-3,
        "tokens_per_step": 64, "tokens_per_pass": 64, "epochs": 2, "evaluations": 1,
    }  # fmt: skip
    return TrainSpec.model_validate({**values, **changed})


class _Part:
    """One process's part of a run, with its news."""

    def __init__(self, root: Path) -> None:
        root.mkdir(exist_ok=True)
        self.folders = TrainFolders(root / "adapter", root / "checkpoints")
        self.events: list[Event] = []

    def run(self, spec: TrainSpec, rows: list[TokenRow] = ROWS) -> TrainResult:
        return train.run(spec, rows, HELD_OUT, self.folders, self.events.append, lambda: False)

    def offer(self, spec: TrainSpec) -> Relief | None:
        """What a pause offers; None at the end of the run, with its `result`."""
        try:
            self.result = self.run(spec)
        except OutOfMemory as paused:
            return paused.offer
        return None

    @property
    def losses(self) -> dict[int, float | None]:
        seen = (event for event in self.events if isinstance(event, Progress))
        news = (event for event in seen if event.learning_rate is not None)
        return {event.step: event.loss for event in news}

    @property
    def notes(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Note)]


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> "_SmallCard":
    """The real model, with a limit on the tokens that fit through it at once."""
    card = _SmallCard()
    load = train.load_base

    def load_on_card(*arguments: Any, **named: Any) -> Any:
        model = load(*arguments, **named)
        model.model.layers[-1].register_forward_pre_hook(card.check)
        return model

    monkeypatch.setattr(train, "load_base", load_on_card)
    return card


class _SmallCard:
    """Raises in the last layer of a pass that is too large, from pass number `after` on."""

    def __init__(self) -> None:
        self.most_tokens = 1_000_000
        self.after = 0
        self.passes = 0
        self.error: Callable[[], BaseException] = lambda: torch.OutOfMemoryError(ON_CUDA)

    def check(self, module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if not module.training:
            return
        self.passes += 1
        if inputs[0].shape[1] > self.most_tokens and self.passes > self.after:
            raise self.error()


def test_f01_out_of_memory_mid_run_is_paused_and_the_accepted_offers_finish_it(
    base: Path, card: _SmallCard, tmp_path: Path
) -> None:
    whole = _Part(tmp_path / "whole")
    wanted = whole.run(_spec(base))
    card.most_tokens, card.after, card.passes = 20, 3, 0
    parts = [_Part(tmp_path / "small")]
    accepted = Relief()
    while offer := parts[-1].offer(_spec(base, relief=accepted)):
        accepted = offer
        parts.append(_Part(tmp_path / "small"))
    result = parts[-1].result
    losses = {step: loss for part in parts for step, loss in part.losses.items()}
    assert len(parts) == 3
    assert accepted == Relief(split=4)
    assert list(parts[0].losses) == [1, 2, 3], "three whole steps before it"
    assert parts[1].losses == {}
    assert parts[2].notes == [
        "Continuing from step 3 of 10.",
        "To save memory each pass is done in 4 parts; the effective batch stays the same.",
    ]
    assert losses == pytest.approx(whole.losses, rel=1e-5)
    assert (result.tokens, result.learnt_tokens) == (wanted.tokens, wanted.learnt_tokens)
    assert result.held_out_after == pytest.approx(wanted.held_out_after, rel=1e-4)


def test_f01_the_pause_says_needed_and_free_what_was_kept_and_the_offer(
    base: Path, card: _SmallCard, tmp_path: Path
) -> None:
    card.most_tokens, card.after = 20, 3
    part = _Part(tmp_path)
    with pytest.raises(OutOfMemory) as caught:
        part.run(_spec(base))
    paused = caught.value
    assert paused.title == "Paused: out of memory."
    assert paused.detail.startswith("The step needs 24.46 GB more, ")
    assert paused.detail.endswith(
        "GB are free in this computer. The adapter and a checkpoint of step 3 were kept."
    )
    assert paused.hint.startswith("Accept the offer and continue: half as many tokens")
    assert paused.offer == Relief(split=2)
    found = checkpoints.newest_valid(part.folders.checkpoints).checkpoint
    assert found is not None
    assert found.step == 3
    kept = checkpoints.read_file(found, "adapter/adapter_model.safetensors")
    assert kept == (part.folders.adapter / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize(
    "make",
    [
        lambda: MemoryError(),
        lambda: _raised(lambda: torch.empty(1 << 46)),
        lambda: _raised(lambda: np.empty(1 << 50)),
        lambda: RuntimeError("CUDA error: out of memory"),
        lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"),
    ],
    ids=["python", "torch-cpu", "numpy", "cuda", "cublas"],
)
def test_f01_every_way_of_saying_it_pauses(
    base: Path, card: _SmallCard, tmp_path: Path, make: Callable[[], BaseException]
) -> None:
    card.most_tokens, card.after, card.error = 20, 1, make
    with pytest.raises(OutOfMemory, match="a checkpoint of step 1 were kept"):
        _Part(tmp_path).run(_spec(base))


def test_f01_in_the_update_itself_the_step_before_is_kept(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AdamW makes its moments in the first update: nothing of that step may stay."""
    spec = _spec(base, checkpoint_steps=1)
    whole = _Part(tmp_path / "whole")
    whole.run(spec)
    real, calls = torch.optim.AdamW.step, 0

    def step(self: torch.optim.AdamW, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        real(self, *arguments)
        if calls == 4:
            raise torch.OutOfMemoryError(ON_CUDA)

    part = _Part(tmp_path / "small")
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", step)
        with pytest.raises(OutOfMemory, match=r"The adapter of step 3 was kept\."):
            part.run(spec)
    found = checkpoints.newest_valid(part.folders.checkpoints).checkpoint
    assert found is not None
    kept = checkpoints.read_file(found, "adapter/adapter_model.safetensors")
    assert kept == (part.folders.adapter / "adapter_model.safetensors").read_bytes()
    again = _Part(tmp_path / "small")
    again.run(spec)
    assert again.losses == {step: loss for step, loss in whole.losses.items() if step > 3}


def test_rows_that_lose_their_answer_leave_steps_without_an_update(
    base: Path, tmp_path: Path
) -> None:
    """Steps and their order stay; one in which nothing is left to learn changes nothing."""
    long = [TokenRow((2,) * 80, (False,) * 78 + (True, True), "long", 900)]
    spec = _spec(base, epochs=1, relief=Relief(row_tokens=64))
    part = _Part(tmp_path)
    result = part.run(spec, [*ROWS, *long])
    assert list(part.losses.values()).count(None) == 1
    assert result.steps == result.planned_steps == len(part.losses) == 6
    assert result.tokens == sum(len(row.ids) for row in ROWS)
    assert part.notes[0] == (
        "To save memory rows are cut at 64 tokens: 1 rows are longer, 1 of them are left out "
        "because nothing is left to learn."
    )


def test_memory_that_ends_while_the_model_is_loaded_offers_no_change_of_the_step(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError(ON_CUDA)

    monkeypatch.setattr(train, "load_base", load)
    with pytest.raises(OutOfMemory, match="Choose a smaller model") as caught:
        _Part(tmp_path).run(_spec(base))
    assert caught.value.offer is None


def test_amounts_are_read_from_recorded_texts() -> None:
    assert wanted_bytes(ON_CUDA) == int(22.78 * 2**30)
    assert free_bytes(ON_CUDA, "cuda") == int(12.73 * 2**30)
    assert wanted_bytes(OLDER_ON_CUDA) == 264 * 2**20
    assert free_bytes(OLDER_ON_CUDA, "cuda") == int(145.93 * 2**20)
    of_cpu = str(_raised(lambda: torch.empty(1 << 46)))
    assert wanted_bytes(of_cpu) == 1 << 48
    assert wanted_bytes("something else") is free_bytes("something else", "cuda") is None


def test_other_errors_are_no_lack_of_memory() -> None:
    others = [RuntimeError("CUDA error: an illegal memory access was encountered"),
              ValueError("out of memory"), RuntimeError("shape mismatch")]  # fmt: skip
    assert not any(is_out_of_memory(error) for error in others)


def _raised(action: Callable[[], object]) -> BaseException:
    try:
        action()
    except (RuntimeError, MemoryError) as error:
        return error
    raise AssertionError("so much memory was given")
