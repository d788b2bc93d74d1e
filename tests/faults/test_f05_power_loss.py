"""F5, R2: the power goes while an export, a checkpoint, a record or a journal is written."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from converters.errors import UserError
from converters.events import Checkpoint, Note
from desktop.core.records import read_record, write_record
from desktop.jobs.journal import Journal, read_entries
from finetune.checkpoints import newest_valid
from tests.faults.checkpoint_files import is_whole, save
from tests.faults.children import NO_FSYNC
from tests.faults.example_record import NEW, OLD, Example
from tests.faults.folders import contents
from tests.faults.power_loss import Disk, mounted, new_image
from tests.faults.strace_kill import Call, changing_calls, child, run_child, run_killed_at
from tests.faults.tiny_export import write_sources

pytestmark = [pytest.mark.loop, pytest.mark.strace]

EARLIER = b"an earlier export of this name" * 400


@dataclass(frozen=True)
class Writer:
    """A child that writes into the folder `work` of a disk, and what must hold after a power cut.

    check: the folder, and whether the child had ended before the cut.
    """

    name: str
    prepare: Callable[[Path], None]
    check: Callable[[Path, bool], None]

    def command(self, place: Path) -> list[str]:
        """The child's command line."""
        return child(self.name, str(place / "work"))


def _prepare_export(folder: Path) -> None:
    write_sources(folder.parent)
    (folder / "out").mkdir()
    (folder / "out" / "model.gguf").write_bytes(EARLIER)


def _check_export(folder: Path, is_done: bool) -> None:
    """The whole new file is what the disk's own sources give once more."""
    found = (folder / "out" / "model.gguf").read_bytes()
    if found == EARLIER and not is_done:
        return
    digest = contents(folder)["out/model.gguf"]
    (folder / "out" / "model.gguf").unlink()
    run_child(child("export", str(folder)))
    assert digest == contents(folder)["out/model.gguf"]


def _prepare_checkpoints(folder: Path) -> None:
    save(folder / "checkpoints", 20, 30)


def _check_checkpoints(folder: Path, is_done: bool) -> None:
    found = newest_valid(folder / "checkpoints")
    assert found.damaged == ()
    assert found.checkpoint is not None
    assert found.checkpoint.step in ((40,) if is_done else (30, 40))
    assert is_whole(found.checkpoint)


def _prepare_record(folder: Path) -> None:
    write_record(folder / "record.json", OLD)


def _check_record(folder: Path, is_done: bool) -> None:
    assert read_record(folder / "record.json", Example) in ([NEW] if is_done else [OLD, NEW])


def _prepare_journal(folder: Path) -> None:
    with Journal(folder / "events.jsonl") as journal:
        journal.write(Checkpoint(5, "step-00000005", "0" * 64))


def _check_journal(folder: Path, is_done: bool) -> None:
    """What was told as durable is there, and what is there has no gap."""
    entries = read_entries(folder / "events.jsonl")[0]
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
    assert len(entries) == 5 if is_done else len(entries) >= 1
    with Journal(folder / "events.jsonl") as journal:
        journal.write(Note("info", "Continuing."))
    assert len(read_entries(folder / "events.jsonl")[0]) == len(entries) + 1


EXPORT = Writer("export", _prepare_export, _check_export)
CHECKPOINT = Writer("checkpoint", _prepare_checkpoints, _check_checkpoints)
RECORD = Writer("record", _prepare_record, _check_record)
JOURNAL = Writer("journal", _prepare_journal, _check_journal)
WRITERS = (EXPORT, CHECKPOINT, RECORD, JOURNAL)


class Machine:
    """One disk that is prepared once and loses its power again and again."""

    def __init__(self, writer: Writer, scratch: Path) -> None:
        self.writer = writer
        self._scratch = scratch
        self._prepared = new_image(scratch / "prepared")
        with self._running(self._prepared) as disk:
            (disk.place / "work").mkdir()
            writer.prepare(disk.place / "work")

    def calls(self) -> list[Call]:
        """The calls by which the writer changes its folder."""
        with self._running(self._copy()) as disk:
            return changing_calls(self.writer.command(disk.place), disk.place / "work")

    def lose_power(self, call: Call | None, *, with_names: bool) -> None:
        """Cut the power at `call` (None: after the end), then check the disk at the next start."""
        with self._running(self._copy()) as disk:
            if call is None:
                run_child(self.writer.command(disk.place))
            else:
                run_killed_at(call, self.writer.command(disk.place), disk.place / "work")
            if with_names:
                disk.commit_names()
            lost = disk.cut_power(self._scratch / "lost")
        with self._running(lost) as disk:
            self.writer.check(disk.place / "work", call is None)

    def _copy(self) -> Path:
        return Path(shutil.copyfile(self._prepared, self._scratch / "image"))

    def _running(self, image: Path) -> AbstractContextManager[Disk]:
        return mounted(image, self._scratch / "disk")


def _around_the_rename(calls: list[Call]) -> Iterator[tuple[Call | None, bool]]:
    """The moments that matter most: a missing fsync of a file or of its folder shows here."""
    renamed = next((n for n, call in enumerate(calls) if call.kind == "rename"), len(calls) - 1)
    yield from ((call, True) for call in calls[renamed - 1 : renamed + 2])
    yield None, False


@pytest.mark.parametrize("writer", WRITERS, ids=lambda one: one.name)
def test_f05_only_what_is_wholly_on_the_disk_counts(writer: Writer, tmp_path: Path) -> None:
    machine = Machine(writer, tmp_path)
    for call, with_names in _around_the_rename(machine.calls()):
        machine.lose_power(call, with_names=with_names)


@pytest.mark.slow
@pytest.mark.parametrize("with_names", [False, True], ids=["at_once", "after_a_sync"])
@pytest.mark.parametrize("writer", WRITERS, ids=lambda one: one.name)
def test_f05_only_what_is_wholly_on_the_disk_counts_at_every_call(
    writer: Writer, with_names: bool, tmp_path: Path
) -> None:
    """Slow: one disk for each call of the four writers, twice; 126 in all."""
    machine = Machine(writer, tmp_path)
    for call in [*machine.calls(), None]:
        machine.lose_power(call, with_names=with_names)


@pytest.mark.parametrize("writer", WRITERS, ids=lambda one: one.name)
def test_f05_a_writer_without_fsync_is_found_out(
    writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(writer, tmp_path)
    monkeypatch.setenv(NO_FSYNC, "1")
    with pytest.raises((AssertionError, UserError)):
        _lose_power_three_times(machine)


def _lose_power_three_times(machine: Machine) -> None:
    """The system may have written everything for reasons of its own; hardly each time."""
    for _ in range(3):
        machine.lose_power(None, with_names=True)
