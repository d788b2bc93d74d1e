"""What an earlier part of a run left to go on from, and the words about it."""

from dataclasses import dataclass
from pathlib import Path

from converters.events import Note, Progress, Report
from finetune import checkpoints
from finetune.checkpoints import Checkpoint
from finetune.run_identity import Identity, check_same
from finetune.run_record import RunRecord
from finetune.training_state import read_state


@dataclass(frozen=True)
class Earlier:
    """The newest whole checkpoint and the record in it."""

    checkpoint: Checkpoint
    record: RunRecord


def find_earlier(root: Path, identity: Identity, report: Report) -> Earlier | None:
    """The newest whole checkpoint of this very run; what is used and what is damaged is told.

    Raises OtherRun if the checkpoints belong to a run with another identity.
    """
    found = checkpoints.newest_valid(root)
    record: RunRecord | None = None
    if found.checkpoint:
        earlier, values = read_state(found.checkpoint)
        check_same(earlier, identity)
        record = RunRecord.from_json(values)
    for folder in found.damaged:
        report(Note("warning", _damaged_text(folder, record)))
    if found.checkpoint is None or record is None:
        return None
    report(Note("info", f"Continuing from step {record.done} of {record.steps}."))
    report(Progress(record.done, record.steps))
    return Earlier(found.checkpoint, record)


def _damaged_text(folder: Path, record: RunRecord | None) -> str:
    step = checkpoints.step_of(folder)
    then = f"continuing from step {record.done}" if record else "starting from the beginning"
    return f"The checkpoint of step {step} was damaged and moved to {folder}; {then}."
