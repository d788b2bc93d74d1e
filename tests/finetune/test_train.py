"""The loop on a tiny model: pinned losses, learning, stops, time limits and F37."""

import json
from pathlib import Path

import pytest
import torch

from converters.errors import UserError
from converters.events import Evaluated, Event, Note, Progress
from converters.gguf.header import TensorType
from finetune.data.segments import TokenRow
from finetune.spec import TrainSpec
from finetune.train import LossNotFinite, TrainFolders, TrainResult, run
from tests.finetune.tiny_models import tiny_model
from tests.finetune.tiny_rows import tiny_rows

ROWS, HELD_OUT = tiny_rows(40), tiny_rows(24, first=100)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf", TensorType.Q8_0)


def _spec(base: Path, **changed: object) -> TrainSpec:
    """Float32, so that the figures are the same on every CPU; 5 steps an epoch."""
    values = {
        "base_path": base, "form": "f32", "rank": 8, "alpha": 16.0, "learning_rate": 2e-2,
        "tokens_per_step": 64, "tokens_per_pass": 64,
    }  # fmt: skip
    return TrainSpec.model_validate({**values, **changed})


class _Watcher:
    """Collects the news; says stop when `stop_after` steps are done."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.events: list[Event] = []
        self.stop_after = stop_after

    def report(self, event: Event) -> None:
        self.events.append(event)

    def should_stop(self) -> bool:
        return self.stop_after is not None and len(self.losses) >= self.stop_after

    @property
    def losses(self) -> list[float]:
        return [event.loss or 0.0 for event in self.events if isinstance(event, Progress)]

    @property
    def measured(self) -> list[Evaluated]:
        return [event for event in self.events if isinstance(event, Evaluated)]


def _folders(root: Path) -> TrainFolders:
    root.mkdir(exist_ok=True)
    return TrainFolders(root / "adapter", root / "checkpoints")


def _run(
    spec: TrainSpec,
    folder: Path,
    watcher: _Watcher | None = None,
    rows: list[TokenRow] = ROWS,
    held_out: list[TokenRow] = HELD_OUT,
) -> tuple[TrainResult, _Watcher]:
    watcher = watcher or _Watcher()
    result = run(spec, rows, held_out, _folders(folder), watcher.report, watcher.should_stop)
    return result, watcher


def _weights(adapter: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(adapter / "adapter_model.safetensors")


def test_the_first_losses_of_a_tiny_model_are_pinned(base: Path, tmp_path: Path) -> None:
    _, watcher = _run(_spec(base, epochs=0.8), tmp_path)
    assert watcher.losses == pytest.approx([4.5515, 3.3716, 2.7941, 2.8558], abs=2e-3)


def test_it_learns_what_the_rows_say(base: Path, tmp_path: Path) -> None:
    result, watcher = _run(_spec(base, form="blocks", epochs=12), tmp_path)
    assert (result.steps, result.planned_steps, result.stopped) == (60, 60, False)
    assert result.exact_before == 0.0
    assert result.exact_after == 1.0
    assert result.held_out_after is not None
    assert result.held_out_after < 0.1 < 3.5 < watcher.measured[0].held_out_loss
    assert result.first_loss == watcher.losses[0]
    assert result.last_loss == watcher.losses[-1] < 0.1
    assert result.tokens == 12 * sum(len(row.ids) for row in ROWS)
    assert result.learnt_tokens == 12 * 2 * len(ROWS)


def test_held_out_rows_are_measured_at_the_start_every_tenth_and_the_end(
    base: Path, tmp_path: Path
) -> None:
    result, watcher = _run(_spec(base, epochs=4), tmp_path)
    assert result.steps == 20
    assert [event.step for event in watcher.measured] == list(range(0, 21, 2))
    assert result.held_out_before == watcher.measured[0].held_out_loss
    assert result.held_out_after == watcher.measured[-1].held_out_loss
    assert result.held_out_rows == 20


def test_news_tell_step_loss_rate_and_remaining_time(base: Path, tmp_path: Path) -> None:
    _, watcher = _run(_spec(base, epochs=2), tmp_path)
    news = [event for event in watcher.events if isinstance(event, Progress)]
    assert [(event.step, event.steps) for event in news] == [(n, 10) for n in range(1, 11)]
    assert [event.learning_rate for event in news][:2] == [2e-2, 2e-2]
    assert news[0].remaining_s is None
    assert news[4].remaining_s is not None
    assert news[4].tokens_per_s is not None
    assert news[4].remaining_s > 0 < news[4].tokens_per_s


def test_the_same_run_gives_the_same_adapter(base: Path, tmp_path: Path) -> None:
    spec = _spec(base, form="blocks", epochs=0.8)
    first, _ = _run(spec, tmp_path / "a")
    second, _ = _run(spec, tmp_path / "b")
    others, _ = _run(spec.model_copy(update={"seed": 1}), tmp_path / "c")
    assert _bytes(first) == _bytes(second) != _bytes(others)


def test_accumulated_passes_equal_one_large_one(base: Path, tmp_path: Path) -> None:
    whole = _spec(base, tokens_per_step=1_000, tokens_per_pass=1_000, epochs=3)
    parts = whole.model_copy(update={"tokens_per_pass": 20})
    _, at_once = _run(whole, tmp_path / "a")
    _, in_parts = _run(parts, tmp_path / "b")
    assert len(at_once.losses) == 3
    assert in_parts.losses == pytest.approx(at_once.losses, rel=1e-5)


def test_blocks_and_dense_weights_learn_alike(base: Path, tmp_path: Path) -> None:
    curves = [_run(_spec(base, form=form, epochs=1), tmp_path / form)[1].losses
              for form in ("f32", "16bit", "blocks")]  # fmt: skip
    assert curves[1] == pytest.approx(curves[0], rel=0.02)
    assert curves[2] == pytest.approx(curves[0], rel=0.02)


def test_a_stop_ends_before_the_next_pass_and_keeps_the_adapter(
    base: Path, tmp_path: Path
) -> None:
    result, watcher = _run(_spec(base, epochs=12), tmp_path, _Watcher(stop_after=3))
    assert (result.stopped, result.steps, result.planned_steps) == (True, 3, 60)
    assert len(watcher.losses) == 3
    assert result.held_out_after is None
    assert _is_trained(result.adapter)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["adapter", "checkpoints"]


def test_a_stop_within_a_step_leaves_the_adapter_of_the_step_before(
    base: Path, tmp_path: Path
) -> None:
    passes = 0

    def stop_in_second_step() -> bool:
        nonlocal passes
        passes += 1
        return passes > 6

    spec = _spec(base, tokens_per_step=80, tokens_per_pass=20, epochs=12)
    result = run(spec, ROWS, (), _folders(tmp_path / "a"), lambda _: None, stop_in_second_step)
    assert (result.stopped, result.steps, passes) == (True, 1, 7)
    first, _ = _run(spec, tmp_path / "b", _Watcher(stop_after=1), held_out=[])
    assert _bytes(result) == _bytes(first)


def test_ctrl_c_keeps_the_adapter(base: Path, tmp_path: Path) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, Progress) and event.step == 2:
            raise KeyboardInterrupt

    result = run(_spec(base), ROWS, (), _folders(tmp_path), interrupt, lambda: False)
    assert (result.stopped, result.steps) == (True, 2)
    assert _is_trained(result.adapter)


def test_the_adapter_is_synced_before_it_gets_its_name(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from converters import durable_files

    synced: list[str] = []
    real = durable_files.os.fsync

    def note(descriptor: int) -> None:
        named = Path(f"/proc/self/fd/{descriptor}").resolve()
        synced.append(f"{named.relative_to(tmp_path)} {(tmp_path / 'adapter').exists()}")
        real(descriptor)

    monkeypatch.setattr(durable_files.os, "fsync", note)
    _run(_spec(base, epochs=0.2), tmp_path, held_out=[])
    before = [entry for entry in synced if entry.endswith("False")]
    assert any("adapter_model.safetensors" in entry for entry in before)
    assert any("adapter_config.json" in entry for entry in before)


def test_f37_a_rate_that_explodes_stops_with_the_rows_and_the_last_finite_adapter(
    base: Path, tmp_path: Path
) -> None:
    watcher = _Watcher()
    with pytest.raises(LossNotFinite) as caught:
        _run(_spec(base, learning_rate=1e30, epochs=12), tmp_path, watcher, held_out=[])
    assert len(watcher.losses) == 1
    assert caught.value.title == "The loss was no finite number at step 2."
    assert "at a learning rate of 1e+30; the adapter of step 0 was kept" in caught.value.detail
    assert caught.value.hint == (
        "Lower the learning rate, or look at these rows and take the bad one out."
    )
    _assert_finite(tmp_path / "adapter")
    assert not _is_trained(tmp_path / "adapter"), "the adapter of step 0 has no effect"


def test_f37_the_rows_of_the_bad_step_are_named(tmp_path: Path) -> None:
    """A token whose embedding is not finite poisons the rows that hold it, and only those."""
    poisoned = tiny_model(tmp_path / "poisoned.gguf", TensorType.F32, has_head=True)
    _poison(poisoned, token=47)
    bad = TokenRow((40, 47, 3, 11, 1), (False, False, False, True, True), "bad", 777)
    spec = _spec(poisoned, epochs=12)
    with pytest.raises(LossNotFinite) as caught:
        _run(spec, tmp_path, rows=[*ROWS, bad], held_out=[])
    assert "777" in caught.value.detail
    assert "step" in caught.value.title
    _assert_finite(tmp_path / "adapter")


def test_f37_a_held_out_loss_that_is_no_number_stops_too(base: Path, tmp_path: Path) -> None:
    with pytest.raises(LossNotFinite, match="held-out loss was no finite number at step 1"):
        _run(_spec(base, learning_rate=1e30, epochs=0.2), tmp_path)
    _assert_finite(tmp_path / "adapter")
    assert not _is_trained(tmp_path / "adapter")


def test_a_time_limit_fixes_the_schedule_between_one_and_two_epochs(
    base: Path, tmp_path: Path
) -> None:
    rows = tiny_rows(80)
    short, watcher = _run(_spec(base, max_seconds=0.01), tmp_path / "a", rows=rows)
    long, _ = _run(_spec(base, max_seconds=600), tmp_path / "b", rows=rows)
    assert (short.steps, long.steps) == (9, 18)
    (note,) = [event for event in watcher.events if isinstance(event, Note)]
    assert note.text.endswith("s: 9 steps (1.0 epochs).")


def test_nothing_to_train_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        _run(_spec(tmp_path / "absent.gguf"), tmp_path, rows=[])
    assert caught.value.title == "There is nothing to train."


def _bytes(result: TrainResult) -> bytes:
    return (result.adapter / "adapter_model.safetensors").read_bytes()


def _is_trained(adapter: Path) -> bool:
    second = [part for name, part in _weights(adapter).items() if "lora_B" in name]
    return len(second) == 14 and all(bool(part.any()) for part in second)


def _assert_finite(adapter: Path) -> None:
    weights = _weights(adapter)
    assert len(weights) == 28
    assert all(bool(part.isfinite().all()) for part in weights.values())
    assert json.loads((adapter / "adapter_config.json").read_text())["r"] == 8


def _poison(path: Path, token: int) -> None:
    from converters.gguf.header import read_header
    from tests.finetune.tiny_models import WIDTH

    header = read_header(path)
    info = header.tensor("token_embd.weight")
    with path.open("r+b") as file:
        file.seek(header.data_start + info.offset + 4 * WIDTH * token)
        file.write(b"\x00\x00\x80\x7f" * WIDTH)
