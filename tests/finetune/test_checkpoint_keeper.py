"""When checkpoints are written and kept, early stopping, and which adapter is the result."""

import itertools
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from converters.events import Checkpoint, Evaluated, Event, Note
from converters.gguf.header import TensorType
from finetune import checkpoints
from finetune.data.segments import TokenRow
from finetune.spec import TrainSpec
from finetune.train import TrainFolders, TrainResult, run
from tests.finetune.tiny_models import tiny_model
from tests.finetune.tiny_rows import tiny_rows

ROWS = tiny_rows(40)


def _contradicting() -> list[TokenRow]:
    """Other answers than those of the data: the loss falls while the form is learnt, then rises."""
    rows = tiny_rows(8, first=100)
    others = [(*row.ids[:-2], 10 + (row.ids[-2] - 7) % 8, row.ids[-1]) for row in rows]
    return [TokenRow(ids, row.learnt, row.hash, row.number)
            for row, ids in zip(rows, others, strict=True)]  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf", TensorType.Q8_0)


def _spec(base: Path, **changed: object) -> TrainSpec:
    """40 steps, measured after every second one."""
    values = {
        "base_path": base, "form": "f32", "rank": 8, "alpha": 16.0, "learning_rate": 2e-2,
        "tokens_per_step": 64, "tokens_per_pass": 64, "epochs": 8, "evaluations": 19,
    }  # fmt: skip
    return TrainSpec.model_validate({**values, **changed})


class _Run:
    """A run in `root`; `watch` may meddle at each event."""

    def __init__(
        self, spec: TrainSpec, root: Path, held_out: list[TokenRow],
        watch: Callable[[Event], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.events: list[Event] = []
        root.mkdir(exist_ok=True)
        self.root = root / "checkpoints"
        self.adapter = root / "adapter" / "adapter_model.safetensors"

        def report(event: Event) -> None:
            self.events.append(event)
            watch(event)

        folders = TrainFolders(root / "adapter", self.root)
        self.result: TrainResult = run(spec, ROWS, held_out, folders, report, lambda: False)

    @property
    def saved(self) -> list[int]:
        return [event.step for event in self.events if isinstance(event, Checkpoint)]

    @property
    def notes(self) -> list[Note]:
        return [event for event in self.events if isinstance(event, Note)]

    @property
    def losses(self) -> dict[int, float]:
        found = (event for event in self.events if isinstance(event, Evaluated))
        return {event.step: event.held_out_loss for event in found}

    @property
    def best(self) -> int:
        trained = {step: loss for step, loss in self.losses.items() if step}
        return min(trained, key=lambda step: trained[step])

    def kept(self, step: int) -> bytes:
        found = checkpoints.of_step(self.root, step)
        assert found is not None
        return checkpoints.read_file(found, "adapter/adapter_model.safetensors")


def _steps_on_disk(root: Path) -> list[int]:
    return sorted(checkpoints.step_of(path) for path in root.glob("step-*"))


def test_a_checkpoint_is_written_every_so_many_seconds_and_at_the_end(
    base: Path, tmp_path: Path
) -> None:
    often = _Run(_spec(base, epochs=1, checkpoint_seconds=0), tmp_path / "a", [])
    assert often.saved == [1, 2, 3, 4, 5]
    seldom = _Run(_spec(base, epochs=1, checkpoint_seconds=3600), tmp_path / "b", [])
    assert seldom.saved == [5]
    assert _steps_on_disk(often.root) == [4, 5]


def test_a_checkpoint_is_written_every_so_many_steps(base: Path, tmp_path: Path) -> None:
    spec = _spec(base, epochs=2, checkpoint_steps=3)
    assert _Run(spec, tmp_path, []).saved == [3, 6, 9, 10]


def test_f33_a_clock_that_jumps_changes_nothing(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = itertools.cycle([0.0, 1e9, -86_400.0, 3e9])
    monkeypatch.setattr(time, "time", lambda: next(days))
    done = _Run(_spec(base, epochs=2, checkpoint_steps=2), tmp_path, [])
    assert done.saved == [2, 4, 6, 8, 10]
    assert _steps_on_disk(done.root) == [8, 10]
    assert 0 < done.result.seconds < 60


def test_each_new_best_is_kept_and_the_news_name_what_is_on_disk(
    base: Path, tmp_path: Path
) -> None:
    done = _Run(_spec(base, checkpoint_steps=5), tmp_path, _contradicting())
    assert done.best in done.saved
    assert _steps_on_disk(done.root) == sorted({done.best, 35, 40})
    last = [event for event in done.events if isinstance(event, Checkpoint)][-1]
    assert checkpoints.newest_valid(done.root).checkpoint == checkpoints.Checkpoint(
        last.step, Path(last.path), last.sha256
    )


def test_without_patience_the_last_adapter_is_the_result_and_a_better_one_is_told_of(
    base: Path, tmp_path: Path
) -> None:
    done = _Run(_spec(base), tmp_path, _contradicting())
    assert 0 < done.best < 38
    assert done.adapter.read_bytes() == done.kept(40) != done.kept(done.best)
    assert done.result.held_out_after == done.losses[40]
    (note,) = done.notes
    folder = done.root / f"step-{done.best:08}"
    assert note.text == (
        f"The held-out loss was lower at step {done.best} ({done.losses[done.best]:.3f}) than at "
        f"the end ({done.losses[40]:.3f}). The adapter of that step lies in {folder}."
    )


def test_a_run_that_ends_at_its_best_says_nothing(base: Path, tmp_path: Path) -> None:
    done = _Run(_spec(base), tmp_path, tiny_rows(24, first=100))
    assert done.losses[40] < 1.02 * done.losses[done.best]
    assert done.notes == []


def test_patience_ends_the_run_and_saves_the_best_adapter(base: Path, tmp_path: Path) -> None:
    done = _Run(_spec(base, patience=3), tmp_path, _contradicting())
    best, result = done.best, done.result
    assert (result.steps, result.planned_steps, result.stopped) == (best + 6, 40, False)
    assert done.adapter.read_bytes() == done.kept(best) != done.kept(result.steps)
    assert result.held_out_after == done.losses[best]
    assert [note.text for note in done.notes] == [
        f"Step {best} had the lowest held-out loss ({done.losses[best]:.3f}); its adapter is the "
        f"result. The training ended at step {best + 6} of 40: 3 measurements in a row were not "
        "lower."
    ]


def test_a_run_that_ended_early_and_is_continued_ends_again_alike(
    base: Path, tmp_path: Path
) -> None:
    spec = _spec(base, patience=3)
    first = _Run(spec, tmp_path, _contradicting())
    adapter = first.adapter.read_bytes()
    again = _Run(spec, tmp_path, _contradicting())
    assert again.losses == {}
    assert again.adapter.read_bytes() == adapter
    assert again.result.held_out_after == first.result.held_out_after


def test_a_best_checkpoint_that_is_gone_does_not_end_the_run_in_a_crash(
    base: Path, tmp_path: Path
) -> None:
    """transformers#48315: a stale path of the best checkpoint fails the whole run at its end."""

    def meddle(event: Event) -> None:
        if isinstance(event, Evaluated) and event.step == 40:
            for folder in (tmp_path / "checkpoints").glob("step-*"):
                shutil.rmtree(folder)

    done = _Run(_spec(base, patience=30), tmp_path, _contradicting(), meddle)
    assert done.adapter.read_bytes() == done.kept(40)
    assert done.result.held_out_after == done.losses[40]
    assert done.notes == [Note(
        "warning", f"The checkpoint of step {done.best}, the best one, is lost or damaged; the "
        "adapter of step 40 is used.",
    )]  # fmt: skip
