"""R1, F3: kill -9 at every call by which an export, a record, a job and a journal are written."""

import hashlib
from pathlib import Path

import pytest

from converters.durable_files import remove_staged
from converters.events import Checkpoint, Note
from converters.gguf.reader import GgufFile
from desktop.core.records import read_record, write_record
from desktop.jobs.folder import open_job
from desktop.jobs.journal import Journal, read_entries
from tests.faults.example_record import NEW, OLD, Example
from tests.faults.folders import contents, leftovers
from tests.faults.strace_kill import Command, Killed, child, killed_everywhere, run_child
from tests.faults.tiny_export import write_sources

pytestmark = pytest.mark.strace

GGUF = "out/model.gguf"
EARLIER = b"an earlier export of this name"


def _work(name: str) -> Command:
    return lambda folder: child(name, str(folder))


def _nothing(folder: Path) -> None:
    """Nothing from before."""
    (folder / "out").mkdir()


def _earlier_export(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / GGUF).write_bytes(EARLIER)


@pytest.mark.parametrize(
    ("prepare", "earlier"),
    [(_nothing, None), (_earlier_export, hashlib.sha256(EARLIER).hexdigest())],
    ids=["first", "again"],
)
def test_r1_a_killed_export_leaves_the_earlier_file_or_the_whole_new_one(
    prepare, earlier: str | None, tmp_path: Path
) -> None:
    write_sources(tmp_path)
    killed = list(killed_everywhere(prepare, _work("export"), tmp_path))
    whole = contents(tmp_path / "undisturbed")[GGUF]
    with GgufFile(tmp_path / "undisturbed" / GGUF) as file:
        assert len(file.header.tensors) == 10
    left = [contents(one.folder).get(GGUF) for one in killed]
    renamed = [one.call.kind for one in killed].index("rename")
    assert left == [earlier] * (renamed + 1) + [whole] * (len(left) - renamed - 1)
    assert sum(bool(leftovers(one.folder)) for one in killed) >= 10, "killed while it was staged"
    for one in killed[::2]:
        remove_staged(one.folder)
        assert not leftovers(one.folder), one.call
    for one in killed:
        run_child(_work("export")(one.folder))
        assert contents(one.folder) == {GGUF: whole}, one.call


def test_r1_a_killed_record_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        write_record(folder / "record.json", OLD)

    killed = list(killed_everywhere(prepare, _work("record"), tmp_path))
    read = [read_record(one.folder / "record.json", Example) for one in killed]
    renamed = [one.call.kind for one in killed].index("rename")
    assert read == [OLD] * (renamed + 1) + [NEW] * (len(read) - renamed - 1)
    for one in killed:
        run_child(_work("record")(one.folder))
        assert list(contents(one.folder)) == ["record.json"], one.call


def test_r1_a_killed_start_leaves_a_whole_job_or_none(tmp_path: Path) -> None:
    for one in killed_everywhere(_nothing, _work("job"), tmp_path):
        for folder in (one.folder / "jobs").glob("*"):
            if (folder / "spec.json").exists():
                opened = open_job(one.folder / "jobs", folder.name)
                assert read_record(opened.spec, Example) == NEW, one.call


def _half_a_line(folder: Path) -> None:
    with Journal(folder / "events.jsonl") as journal:
        journal.write(Note("info", "First."))
        journal.write(Checkpoint(5, "step-00000005", "0" * 64))
    with (folder / "events.jsonl").open("ab") as file:
        file.write(b'{"version": 1, "sequence": 3, "ti')


def test_r1_a_killed_journal_keeps_every_whole_line_and_goes_on_after_it(tmp_path: Path) -> None:
    killed = list(killed_everywhere(_half_a_line, _work("journal"), tmp_path))
    assert [one.call.kind for one in killed] == [
        "ftruncate", "write", "write", "fsync", "write", "write", "fsync"
    ]  # fmt: skip
    whole = read_entries(tmp_path / "undisturbed" / "events.jsonl")[0]
    for one, lines in zip(killed, (2, 2, 3, 4, 4, 5, 6), strict=True):
        _check_journal(one, [entry.event for entry in whole[:lines]])


def _check_journal(one: Killed, expected: list) -> None:
    path = one.folder / "events.jsonl"
    assert [entry.event for entry in read_entries(path)[0]] == expected, one.call
    with Journal(path) as journal:
        journal.write(Note("info", "Again."))
    again = read_entries(path)[0]
    assert [entry.sequence for entry in again] == list(range(1, len(expected) + 2)), one.call
    assert [entry.event for entry in again[:-1]] == expected, one.call
