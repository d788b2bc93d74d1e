"""When a run writes a checkpoint, and which adapter is its result.

A checkpoint is due every so many seconds or steps, at a new best evaluation, at a stop, and at
the end. The newest two and the best stay.
"""

import time
from collections.abc import Callable
from pathlib import Path

from converters import events
from converters.events import Note, Report
from finetune import checkpoints
from finetune.methods.lora import CONFIG_FILE, MODEL_FILE, adapter_files
from finetune.run_identity import Identity
from finetune.run_record import Evaluation, RunRecord
from finetune.spec import TrainSpec
from finetune.training_state import ADAPTER_FOLDER, TrainingState

# A held-out loss that was lower by less than this share is not worth a word.
CLEARLY = 0.02


class CheckpointKeeper:
    """Writes the checkpoints of one run. `elapsed` gives the seconds of all its parts."""

    def __init__(
        self,
        root: Path,
        spec: TrainSpec,
        state: TrainingState,
        record: RunRecord,
        identity: Identity,
        report: Report,
        elapsed: Callable[[], float],
    ) -> None:
        self.root = root
        self._spec = spec
        self._state = state
        self._record = record
        self._identity = identity
        self._report = report
        self._elapsed = elapsed
        self._last = time.monotonic()
        self._saved = self._moment() if record.done or record.evaluations else None

    def save_if_due(self) -> None:
        """Write a checkpoint of the step that has just ended if it is time for one."""
        record, every = self._record, self._spec.checkpoint_steps
        is_due = (
            time.monotonic() - self._last >= self._spec.checkpoint_seconds
            or (every is not None and record.done % every == 0)
            or (record.best is not None and record.best.step == record.done)
            or record.done >= record.steps
        )
        if is_due and record.done:
            self.save()

    def save(self) -> None:
        """Write a checkpoint of the last step boundary, unless it is on disk already."""
        if self._saved == self._moment():
            return
        self._record.seconds = self._elapsed()
        best = self._record.best
        saved = checkpoints.save(
            self.root,
            self._record.done,
            self._state.files(self._record, self._identity),
            keep=(best.step,) if best else (),
        )
        self._last = time.monotonic()
        self._saved = self._moment()
        self._report(events.Checkpoint(saved.step, str(saved.folder), saved.sha256))

    def result(self, *, is_stopped: bool) -> tuple[dict[str, bytes], Evaluation | None]:
        """The adapter that the run ends with and, if it was measured, its evaluation.

        With patience it is the best one, else the last one. A better one is told of.
        """
        record = self._record
        last = record.evaluations[-1] if record.is_evaluated else None
        best = record.best
        if best is None or best.step == record.done or is_stopped:
            return adapter_files(self._state.adapted), last
        found = checkpoints.of_step(self.root, best.step)
        if self._spec.patience is None:
            self._tell_of_better(best, last, found)
        elif found is None:
            text = f"The checkpoint of step {best.step}, the best one, is lost or damaged; "
            self._report(Note("warning", f"{text}the adapter of step {record.done} is used."))
        else:
            self._report(Note("info", self._stopped_early(best)))
            return _adapter_of(found), best
        return adapter_files(self._state.adapted), last

    def _moment(self) -> tuple[int, int]:
        return self._record.done, len(self._record.evaluations)

    def _stopped_early(self, best: Evaluation) -> str:
        record = self._record
        begin = f"Step {best.step} had the lowest held-out loss ({best.loss:.3f}); its adapter"
        if record.done >= record.steps:
            return f"{begin} is the result."
        times = record.without_improvement
        end = f"The training ended at step {record.done} of {record.steps}: {times} measurements"
        return f"{begin} is the result. {end} in a row were not lower."

    def _tell_of_better(
        self, best: Evaluation, last: Evaluation | None, found: checkpoints.Checkpoint | None
    ) -> None:
        if last is None or found is None or best.loss >= last.loss * (1 - CLEARLY):
            return
        text = f"The held-out loss was lower at step {best.step} ({best.loss:.3f}) than at the end "
        where = f"({last.loss:.3f}). The adapter of that step lies in {found.folder}."
        self._report(Note("info", text + where))


def _adapter_of(found: checkpoints.Checkpoint) -> dict[str, bytes]:
    names = (CONFIG_FILE, MODEL_FILE)
    return {name: checkpoints.read_file(found, f"{ADAPTER_FOLDER}/{name}") for name in names}
