"""Which steps of a job are finished for good: a later run reuses their verified artefacts.

Each record names the SHA-256 of what its step wrote and of the record before it, so that a
changed file, or a step that ran again, makes every later step run again too.
"""

import hashlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from converters.errors import UserError
from converters.events import Note, Report
from desktop.core.catalog import file_sha256
from desktop.core.records import Record, read_record, write_record
from desktop.jobs.folder import JobFolder

MANY_NAMES = 3


class StepRecord(Record):
    """One finished step. after: fingerprint of the record before (of the specification, for the
    first). files: path below the artefacts -> SHA-256. seconds: wall time that it took."""

    step: str
    after: str
    files: dict[str, str]
    seconds: float

    @property
    def fingerprint(self) -> str:
        """What the next record refers to; time does not count."""
        text = self.model_dump_json(exclude={"seconds"})
        return hashlib.sha256(text.encode()).hexdigest()


class FinishedSteps:
    """Runs the steps of one job in order, and passes over those that a former run finished."""

    def __init__(self, folder: JobFolder, order: Iterable[str], report: Report) -> None:
        self._folder = folder
        self._order = list(order)
        self._report = report
        self._after = hashlib.sha256(folder.spec.read_bytes()).hexdigest()
        self.seconds: dict[str, float] = {}
        self.reused: list[str] = []

    def run(
        self, step: str, files: Iterable[str], do: Callable[[], None],
        still_holds: Callable[[], bool] = lambda: True,
    ) -> None:
        """Do the step, unless it is finished, its files are as it wrote them and `still_holds`.

        files: names below the artefacts, folders with everything in them. still_holds: for steps
        whose result lies elsewhere (a created model).
        """
        record = self._finished(step)
        if record is None or not still_holds():
            record = self._done(step, files, do)
        else:
            self.reused.append(step)
        self.seconds[step] = record.seconds
        self._after = record.fingerprint

    def is_finished(self, step: str) -> bool:
        """Whether the step has a record whose files are unchanged, whatever came before it."""
        try:
            return not self._changed(read_record(self._path(step), StepRecord))
        except UserError:
            return False

    def _finished(self, step: str) -> StepRecord | None:
        path = self._path(step)
        if not path.exists():
            return None
        try:
            record = read_record(path, StepRecord)
        except UserError:
            self._report(Note("warning", f"The record of the step {step} was damaged: it runs "
                                         "again."))
            return None
        if record.after != self._after:
            return None
        changed = self._changed(record)
        if changed:
            self._report(Note("warning", (
                f"{_names(changed)} changed or vanished since the step {step}: it runs again."
            )))
            return None
        return record

    def _changed(self, record: StepRecord) -> list[str]:
        artefacts = self._folder.artefacts
        return [name for name, sha256 in record.files.items()
                if not (artefacts / name).is_file() or file_sha256(artefacts / name) != sha256]

    def _done(self, step: str, files: Iterable[str], do: Callable[[], None]) -> StepRecord:
        for later in self._order[self._order.index(step):]:
            self._path(later).unlink(missing_ok=True)
        started = time.monotonic()
        do()
        record = StepRecord(
            step=step, after=self._after, files=self._hashes(files),
            seconds=round(time.monotonic() - started, 2),
        )
        self._folder.steps.mkdir(mode=0o700, exist_ok=True)
        write_record(self._path(step), record)
        return record

    def _hashes(self, names: Iterable[str]) -> dict[str, str]:
        artefacts = self._folder.artefacts
        return {
            path.relative_to(artefacts).as_posix(): file_sha256(path)
            for name in names for path in _files(artefacts / name)
        }

    def _path(self, step: str) -> Path:
        return self._folder.steps / f"{step.replace(' ', '-')}.json"


def _files(path: Path) -> list[Path]:
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]


def _names(changed: list[str]) -> str:
    more = len(changed) - MANY_NAMES
    return ", ".join(changed[:MANY_NAMES]) + (f" and {more} more" if more > 0 else "")
