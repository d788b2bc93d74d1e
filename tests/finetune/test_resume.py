"""A run that was cut off anywhere goes on bit for bit, by itself, or says why not (R1, R3)."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from converters.events import Checkpoint, Evaluated, Event, Note, Progress
from converters.gguf.header import TensorType
from finetune import checkpoints, random_state
from finetune.data.packing import steps_of_epoch
from finetune.data.segments import TokenRow
from finetune.run_identity import OtherRun
from finetune.spec import TrainSpec
from finetune.train import TrainFolders, TrainResult, run
from tests.finetune.tiny_models import tiny_model
from tests.finetune.tiny_rows import tiny_rows

ROWS, HELD_OUT = tiny_rows(45), tiny_rows(8, first=100)
STEPS, EPOCH_STEPS = 30, 14


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf", TensorType.Q8_0)


def _spec(base: Path, **changed: object) -> TrainSpec:
    """30 steps of 2.15 epochs: three packs a step, the last step of an epoch has one or two."""
    values = {
        "base_path": base, "base_sha256": "ab12", "form": "f32", "rank": 4, "alpha": 8.0,
        "dropout": 0.1, "learning_rate": 5e-3, "tokens_per_pass": 10, "tokens_per_step": 30,
        "epochs": 2.15, "evaluations": 4, "seed": 3,
    }  # fmt: skip
    return TrainSpec.model_validate({**values, **changed})


class _Part:
    """One process's part of a run in `root`: collects the news and copies each checkpoint."""

    def __init__(self, root: Path, copies: Path | None = None) -> None:
        root.mkdir(exist_ok=True)
        self.folders = TrainFolders(root / "adapter", root / "checkpoints")
        self.copies = copies
        self.events: list[Event] = []

    def report(self, event: Event) -> None:
        self.events.append(event)
        if self.copies and isinstance(event, Checkpoint):
            target = self.copies / Path(event.path).name
            shutil.copytree(event.path, target, dirs_exist_ok=True)

    def run(self, spec: TrainSpec, passes: int | None = None) -> TrainResult:
        """To the end, or to the stop that comes before pass number `passes`."""
        asked = 0

        def should_stop() -> bool:
            nonlocal asked
            asked += 1
            return passes is not None and asked > passes

        return run(spec, ROWS, HELD_OUT, self.folders, self.report, should_stop)

    @property
    def losses(self) -> dict[int, str]:
        """Step -> loss in hex."""
        seen = (event for event in self.events if isinstance(event, Progress))
        news = (event for event in seen if event.learning_rate is not None)
        return {event.step: (event.loss or 0.0).hex() for event in news}

    @property
    def held_out(self) -> dict[int, str]:
        found = (event for event in self.events if isinstance(event, Evaluated))
        return {event.step: event.held_out_loss.hex() for event in found}

    @property
    def notes(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Note)]

    @property
    def adapter(self) -> bytes:
        return (self.folders.adapter / "adapter_model.safetensors").read_bytes()


class _Whole(_Part):
    """The uninterrupted run, with a copy of the checkpoint of every step."""

    def __init__(self, root: Path, spec: TrainSpec) -> None:
        super().__init__(root, root / "copies")
        self.result = self.run(spec.model_copy(update={"checkpoint_steps": 1}))

    def copy_of(self, step: int, root: Path) -> None:
        """As the folder of a process that was killed after this step's checkpoint."""
        name = f"step-{step:08}"
        assert self.copies is not None
        shutil.copytree(self.copies / name, root / "checkpoints" / name)

    def tail(self, figures: dict[int, str], after: int) -> dict[int, str]:
        return {step: figure for step, figure in figures.items() if step > after}


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> _Whole:
    return _Whole(tmp_path_factory.mktemp("whole"), _spec(base))


def _continued(whole: _Whole, base: Path, root: Path, step: int) -> _Part:
    whole.copy_of(step, root)
    part = _Part(root)
    part.run(_spec(base))
    return part


def test_the_run_has_what_makes_resuming_hard(base: Path, whole: _Whole) -> None:
    spec = _spec(base)
    epoch = steps_of_epoch(ROWS, spec.tokens_per_pass, spec.tokens_per_step, spec.seed)
    assert whole.result.steps == len(whole.losses) == STEPS
    assert len(epoch) == EPOCH_STEPS, "so there are two epoch borders"
    assert {len(packs) for packs in epoch[:-1]} == {3}
    assert 0 < len(epoch[-1]) < 3, "a remainder of accumulation at the border"
    assert any(len(content.rows) > 1 for packs in epoch for content in packs), "packing"
    assert sorted(whole.held_out) == [0, 6, 12, 18, 24, 30]


def test_dropout_changes_the_losses(base: Path, whole: _Whole, tmp_path: Path) -> None:
    without = _Part(tmp_path)
    without.run(_spec(base, dropout=0.0, epochs=0.2))
    assert without.losses[1] == whole.losses[1], "an adapter without effect cannot differ"
    assert without.losses[2] != whole.losses[2]


def test_r3_resumed_at_every_step_it_goes_on_bit_for_bit(
    base: Path, whole: _Whole, tmp_path: Path
) -> None:
    for step in range(1, STEPS + 1):
        part = _continued(whole, base, tmp_path / str(step), step)
        assert part.losses == whole.tail(whole.losses, step), step
        assert part.held_out == whole.tail(whole.held_out, step), step
        assert part.adapter == whole.adapter, step
        assert part.notes == [f"Continuing from step {step} of {STEPS}."]


def test_r3_a_chain_of_stops_within_steps_ends_in_the_same_adapter(
    base: Path, whole: _Whole, tmp_path: Path
) -> None:
    """Each part is stopped in the middle of a step: its first passes and their chance are undone.

    A pass of a measurement also asks for a stop, so stops fall into measurements too.
    """
    losses: dict[int, str] = {}
    held_out: dict[int, str] = {}
    for passes in (11, 7, 2, 1, 17, 24):
        part = _Part(tmp_path)
        result = part.run(_spec(base), passes)
        assert result.stopped
        assert not losses.keys() & part.losses.keys(), "no step is done twice"
        losses |= part.losses
        held_out |= part.held_out
    last = _Part(tmp_path)
    result = last.run(_spec(base))
    assert losses | last.losses == whole.losses
    assert held_out | last.held_out == whole.held_out
    assert last.adapter == whole.adapter
    assert not result.stopped


def test_a_stop_keeps_the_adapter_and_a_checkpoint_of_the_same_step(
    base: Path, tmp_path: Path
) -> None:
    part = _Part(tmp_path)
    result = part.run(_spec(base), passes=9)
    found = checkpoints.newest_valid(part.folders.checkpoints).checkpoint
    assert found is not None
    assert found.step == result.steps > 0
    kept = checkpoints.read_file(found, "adapter/adapter_model.safetensors")
    assert kept == part.adapter


def test_the_figures_of_a_resumed_run_are_those_of_all_its_parts(
    base: Path, whole: _Whole, tmp_path: Path
) -> None:
    whole.copy_of(20, tmp_path)
    state = checkpoints.read_file(_newest(tmp_path), "state.json")
    earlier_seconds = json.loads(state)["record"]["seconds"]
    part = _Part(tmp_path)
    result = part.run(_spec(base))
    for name in ("steps", "planned_steps", "tokens", "learnt_tokens", "first_loss", "last_loss",
                 "held_out_before", "held_out_after", "exact_before", "exact_after"):  # fmt: skip
        assert getattr(result, name) == getattr(whole.result, name), name
    assert result.seconds > earlier_seconds > 0


def test_resumed_after_the_last_step_it_ends_and_its_checkpoint_is_there(
    base: Path, whole: _Whole, tmp_path: Path
) -> None:
    """transformers#40347: the last checkpoint is not written after a resume."""
    part = _continued(whole, base, tmp_path, STEPS - 1)
    assert list(part.losses) == [STEPS]
    assert _newest(tmp_path).step == STEPS
    again = _Part(tmp_path)
    again.run(_spec(base))
    assert (again.losses, again.held_out, again.adapter) == ({}, {}, whole.adapter)


def test_the_resumed_adapter_is_the_saved_one_to_the_bit(
    base: Path, whole: _Whole, tmp_path: Path
) -> None:
    """lerobot#3459: the adapter is silently initialised again on resume."""
    whole.copy_of(13, tmp_path)
    saved = checkpoints.read_file(_newest(tmp_path), "adapter/adapter_model.safetensors")
    part = _Part(tmp_path)
    part.run(_spec(base), passes=0)
    assert part.losses == {}
    assert part.adapter == saved


def test_f05_a_damaged_checkpoint_is_named_and_the_one_before_it_continued(
    base: Path, whole: _Whole, tmp_path: Path
) -> None:
    for step in (10, 20):
        whole.copy_of(step, tmp_path)
    path = tmp_path / "checkpoints" / "step-00000020" / "state.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    part = _Part(tmp_path)
    part.run(_spec(base))
    moved = tmp_path / "checkpoints" / "damaged" / "step-00000020"
    text = f"The checkpoint of step 20 was damaged and moved to {moved}; continuing from step 10."
    assert part.events[0] == Note("warning", text)
    assert part.losses == whole.tail(whole.losses, 10)
    assert part.adapter == whole.adapter
    assert moved.is_dir()


def test_f05_with_no_whole_checkpoint_left_it_begins_again_and_says_so(
    base: Path, whole: _Whole, tmp_path: Path
) -> None:
    whole.copy_of(5, tmp_path)
    (tmp_path / "checkpoints" / "step-00000005" / "manifest.json").unlink()
    part = _Part(tmp_path)
    part.run(_spec(base))
    assert part.notes[0].endswith("step-00000005; starting from the beginning.")
    assert (part.losses, part.adapter) == (whole.losses, whole.adapter)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"rank": 8}, "setting rank: 4 -> 8"),
        ({"learning_rate": 1e-3, "dropout": 0.2},
         "setting dropout: 0.1 -> 0.2; setting learning_rate: 0.005 -> 0.001"),
        ({"base_sha256": "cd34"}, "the base model (another file)"),
        ({"patience": 3}, "setting patience: none -> 3"),
    ],
)  # fmt: skip
def test_other_settings_are_refused_and_named(
    base: Path, whole: _Whole, tmp_path: Path, changed: dict[str, object], named: str
) -> None:
    whole.copy_of(10, tmp_path)
    with pytest.raises(OtherRun) as caught:
        _Part(tmp_path).run(_spec(base, **changed))
    assert caught.value.title == "These checkpoints belong to another run."
    assert caught.value.detail == f"Different now: {named}. Nothing was changed."
    assert not (tmp_path / "adapter").exists()


@pytest.mark.parametrize(("at", "named"), [(0, "training"), (1, "held-out")])
def test_other_data_is_refused_and_named(
    base: Path, whole: _Whole, tmp_path: Path, at: int, named: str
) -> None:
    whole.copy_of(10, tmp_path)
    sides = [list(ROWS), list(HELD_OUT)]
    row = sides[at][3]
    learnt = (*row.learnt[:-2], True, False)
    sides[at][3] = TokenRow(row.ids, learnt, row.hash, row.number)
    folders = _Part(tmp_path).folders
    with pytest.raises(OtherRun) as caught:
        run(_spec(base), sides[0], sides[1], folders, lambda _: None, lambda: False)
    assert f"Different now: the data (other {named} rows)." in caught.value.detail


def test_another_version_of_torch_or_of_the_format_is_refused(
    base: Path, whole: _Whole, tmp_path: Path
) -> None:
    whole.copy_of(10, tmp_path)
    found = _newest(tmp_path)
    files = {path.relative_to(found.folder).as_posix(): path.read_bytes()
             for path in found.folder.rglob("*.*") if path.name != "manifest.json"}  # fmt: skip
    state = json.loads(files["state.json"])
    state["identity"] |= {"torch": "1.0", "format": 0}
    checkpoints.save(found.folder.parent, 10, {**files, "state.json": json.dumps(state).encode()})
    with pytest.raises(OtherRun) as caught:
        _Part(tmp_path).run(_spec(base))
    change = f"version of the checkpoint: 0 -> 1; version of torch: 1.0 -> {torch.__version__}"
    assert caught.value.detail == f"Different now: {change}. Nothing was changed."


def test_what_may_change_does_not_hinder(base: Path, whole: _Whole, tmp_path: Path) -> None:
    whole.copy_of(28, tmp_path)
    moved = shutil.copy(base, tmp_path / "moved.gguf")
    part = _Part(tmp_path)
    part.run(_spec(Path(moved), checkpoint_seconds=7, checkpoint_steps=9))
    assert part.losses == whole.tail(whole.losses, 28)


def test_a_time_limit_keeps_its_steps_across_a_stop(base: Path, tmp_path: Path) -> None:
    """The number of steps is fixed once, by measured time; a later part must not choose anew."""
    spec = _spec(base, max_seconds=0.01, dropout=0.0, evaluations=1)
    first = _Part(tmp_path)
    result = first.run(spec, passes=16)
    assert result.stopped
    second = _Part(tmp_path)
    assert second.run(spec).planned_steps == result.planned_steps == EPOCH_STEPS
    assert len([note for note in first.notes if "steps (" in note]) == 1
    assert not [note for note in second.notes if "steps (" in note]


def test_a_time_limit_is_fixed_also_when_each_step_is_a_process(
    base: Path, tmp_path: Path
) -> None:
    spec = _spec(base, max_seconds=0.01, dropout=0.0)
    results = [_Part(tmp_path).run(spec, passes=4) for _ in range(6)]
    assert [result.steps for result in results] == [1, 2, 3, 4, 5, 6]
    assert results[-1].planned_steps == EPOCH_STEPS


def test_a_run_leaves_the_programs_own_chance_alone(base: Path, tmp_path: Path) -> None:
    before = random_state.capture("cpu")
    _Part(tmp_path).run(_spec(base, epochs=0.2))
    after = random_state.capture("cpu")
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_every_source_of_chance_is_put_back() -> None:
    def draws() -> list[float]:
        return [random.gauss(), np.random.standard_normal(), float(torch.randn(()))]

    draws()  # leaves a second normal number waiting in two of them
    state = random_state.capture("cpu")
    wanted = draws() + draws()
    random_state.restore(state, "cpu")
    assert draws() + draws() == wanted


def _newest(root: Path) -> checkpoints.Checkpoint:
    found = checkpoints.newest_valid(root / "checkpoints").checkpoint
    assert found is not None
    return found
