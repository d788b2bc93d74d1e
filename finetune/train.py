"""A run from its rows to its adapter: load, continue or begin, train, keep, save.

AdamW over the adapter, warm-up and cosine, clipped gradients, packs within a token budget. Knows
no job folder and no server; news goes to `report`.
"""

import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import nan
from pathlib import Path

from converters.errors import Stopped, UserError
from converters.events import Note, Report, ShouldStop
from finetune import checkpoints
from finetune.base_model import load_base
from finetune.checkpoint_keeper import CheckpointKeeper
from finetune.continuation import Earlier, find_earlier
from finetune.data.packing import steps_of_epoch
from finetune.data.segments import TokenRow
from finetune.forward import recompute_activations
from finetune.freed_memory import freed_memory_kept
from finetune.gpu_faults import gpu_fault, probe
from finetune.methods.lora import add_adapter, save_adapter, write_adapter
from finetune.out_of_memory import OutOfMemory, explained, is_out_of_memory
from finetune.random_state import seeded
from finetune.relief import notes
from finetune.run_identity import Identity, identity_of
from finetune.run_record import Evaluation, RunRecord
from finetune.schedule import rows_to_evaluate
from finetune.spec import TrainSpec
from finetune.training_loop import NotFinite, TrainingLoop
from finetune.training_state import TrainingState


@dataclass(frozen=True)
class TrainFolders:
    """Where a run keeps what it makes: the adapter at its end, checkpoints on its way."""

    adapter: Path
    checkpoints: Path


@dataclass(frozen=True)
class TrainResult:
    """What a run did, all its parts together. Losses in nats a learnt token, of one step (first,
    last) or of the held-out rows (None without any); exact shares as in `forward.HeldOut`.
    """

    steps: int
    planned_steps: int
    stopped: bool
    tokens: int
    learnt_tokens: int
    seconds: float
    first_loss: float
    last_loss: float
    held_out_rows: int
    held_out_before: float | None
    held_out_after: float | None
    exact_before: float | None
    exact_after: float | None
    adapter: Path


class LossNotFinite(UserError):
    """The loss or its gradient became NaN or infinite; the adapter of the step before was kept."""


def run(
    spec: TrainSpec,
    rows: Sequence[TokenRow],
    held_out: Sequence[TokenRow],
    folders: TrainFolders,
    report: Report,
    should_stop: ShouldStop,
) -> TrainResult:
    """Train an adapter on `rows` and save it in `folders.adapter`.

    Continues by itself, bit for bit, from the newest whole checkpoint of `folders.checkpoints`.
    Asked to stop (`should_stop`, or Ctrl-C), it ends within one pass through the model, keeps a
    checkpoint of the last whole step and saves its adapter. Raises LossNotFinite with the rows of
    the step named, after saving the last adapter whose loss was finite; OtherRun if the
    checkpoints are of other data, base, version or settings; OutOfMemory with an offer and
    GpuFault, both after which the run can be continued; UserError for a base or rows that cannot
    be trained.
    """
    if not rows:
        hint = "Look at the reasons with `tunedesk inspect`."
        raise UserError("There is nothing to train.", "No row with an answer is left.", hint)
    began = time.monotonic()
    identity = identity_of(spec, rows, held_out)
    earlier = find_earlier(folders.checkpoints, identity, report)
    for text in notes(spec.relief, rows):
        report(Note("info", text))
    probe(spec.device)
    faults = _faults_in_words(spec, folders.checkpoints)
    with seeded(spec.seed, spec.device), freed_memory_kept(), faults:
        part = _Part(spec, rows, held_out, folders, report, should_stop, identity, earlier, began)
        return part.run()


class _Part:
    """The part of a run that this process does."""

    def __init__(
        self,
        spec: TrainSpec,
        rows: Sequence[TokenRow],
        held_out: Sequence[TokenRow],
        folders: TrainFolders,
        report: Report,
        should_stop: ShouldStop,
        identity: Identity,
        earlier: Earlier | None,
        began: float,
    ) -> None:
        self.spec, self.rows, self.folders = spec, rows, folders
        self.began = began
        epoch_steps = len(
            steps_of_epoch(rows, spec.tokens_per_pass, spec.tokens_per_step, spec.seed)
        )
        planned = max(1, round(spec.epochs * epoch_steps))
        self.record = earlier.record if earlier else RunRecord(planned)
        self.earlier_seconds = self.record.seconds
        self.evaluated = _rows_to_evaluate(spec, rows, held_out)
        model = load_base(spec.base_path, form=spec.form, device=spec.device)
        adapted = add_adapter(
            model, rank=spec.rank, alpha=spec.alpha, dropout=spec.dropout, seed=spec.seed,
            base_name=spec.base_path.name,
        )  # fmt: skip
        if spec.relief.recompute:
            recompute_activations(model)
        self.state = TrainingState(adapted, spec.device)
        if earlier:
            self.state.load(earlier.checkpoint)
        self.keeper = CheckpointKeeper(
            folders.checkpoints, spec, self.state, self.record, identity, report, self.seconds
        )
        self.loop = TrainingLoop(
            spec, model, self.state, self.record, epoch_steps, self.keeper, report, should_stop
        )

    def run(self) -> TrainResult:
        """Train to the end, a stop or a loss that is no number."""
        stopped, exhausted = False, None
        try:
            self.loop.train(self.rows, self.evaluated, self.seconds)
        except (Stopped, KeyboardInterrupt):
            stopped = True
            self._keep_boundary()
        except NotFinite as found:
            self.state.restore_previous()
            save_adapter(self.state.adapted, self.folders.adapter)
            raise _explained(found, self.spec, self.folders.adapter) from None
        except (MemoryError, RuntimeError) as error:
            exhausted = _exhausted(error)
        if exhausted is not None:
            raise self._paused(exhausted)
        files, measured = self.keeper.result(is_stopped=stopped)
        write_adapter(files, self.folders.adapter)
        return self._result(stopped, measured)

    def seconds(self) -> float:
        """Wall time of all parts of the run so far."""
        return self.earlier_seconds + time.monotonic() - self.began

    def _keep_boundary(self) -> None:
        if self.state.is_at_boundary:
            self.keeper.save()
        else:
            # The update itself was cut off: its weights are half old and half new.
            self.state.restore_previous()

    def _paused(self, text: str) -> OutOfMemory:
        """Undo the step, keep the boundary before it, and say what may help."""
        self.state.optimizer.zero_grad(set_to_none=True)
        self._keep_boundary()
        save_adapter(self.state.adapted, self.folders.adapter)
        kept = f"The adapter of step {self.record.done} was kept."
        if self.state.is_at_boundary:
            kept = f"The adapter and a checkpoint of step {self.record.done} were kept."
        loop, relief = self.loop, self.spec.relief
        return explained(
            text, self.spec.device, relief, loop.at_work, kept, is_measuring=loop.is_measuring
        )

    def _result(self, stopped: bool, measured: Evaluation | None) -> TrainResult:
        record = self.record
        before = record.evaluations[0] if record.evaluations else None
        after = measured if measured and measured.step and not stopped else None
        return TrainResult(
            steps=record.done,
            planned_steps=record.steps,
            stopped=stopped,
            tokens=record.tokens,
            learnt_tokens=record.learnt_tokens,
            seconds=self.seconds(),
            first_loss=nan if record.first_loss is None else record.first_loss,
            last_loss=nan if record.last_loss is None else record.last_loss,
            held_out_rows=len(self.evaluated),
            held_out_before=before.loss if before else None,
            held_out_after=after.loss if after else None,
            exact_before=before.exact if before else None,
            exact_after=after.exact if after else None,
            adapter=self.folders.adapter,
        )


def _rows_to_evaluate(
    spec: TrainSpec, rows: Sequence[TokenRow], held_out: Sequence[TokenRow]
) -> tuple[TokenRow, ...]:
    epochs = 1.5 if spec.max_seconds else spec.epochs
    tokens = epochs * sum(len(row.ids) for row in rows)
    return rows_to_evaluate(held_out, spec.evaluation_rows, spec.evaluations + 2, tokens)


def _exhausted(error: MemoryError | RuntimeError) -> str:
    """What a lack of memory says for itself; any other error goes on its way."""
    if not is_out_of_memory(error):
        raise error
    # The frames of the step hold its activations: keeping the state needs their room.
    traceback.clear_frames(error.__traceback__)
    return str(error)


@contextmanager
def _faults_in_words(spec: TrainSpec, root: Path) -> Iterator[None]:
    """Translate what the GPU, or the memory while the model is loaded, has to say."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        newest = checkpoints.newest_valid(root).checkpoint
        kept = f"The checkpoint of step {newest.step} was kept." if newest else ""
        if is_out_of_memory(error):
            raise explained(str(error), spec.device, spec.relief, (), kept) from error
        found = gpu_fault(error, kept)
        if found is None:
            raise
        raise found from error


def _explained(found: NotFinite, spec: TrainSpec, adapter: Path) -> LossNotFinite:
    kept = f"the adapter of step {max(0, found.step - 2)} was kept in {adapter}"
    shown = ", ".join(str(number) for number in found.rows)
    return LossNotFinite(
        f"The {found.what} was no finite number at step {found.step}.",
        f"The step held the rows {shown} at a learning rate of {spec.learning_rate:g}; {kept}.",
        "Lower the learning rate, or look at these rows and take the bad one out.",
    )
