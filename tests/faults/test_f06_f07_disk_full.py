"""F6, F7, R4: the disk is full at 20 points of an export and of a checkpoint save."""

import errno
import re
from itertools import count
from pathlib import Path

import pytest

from converters.errors import UserError
from converters.events import Note
from converters.export import ExportPlan, export
from desktop.jobs.journal import Journal, read_entries
from finetune.checkpoints import CheckpointNotWritten, newest_valid
from tests.faults.checkpoint_files import checkpoint_files, is_whole, save
from tests.faults.folders import contents, leftovers
from tests.faults.small_disk import POINTS, free_up, leave_free, small_disk
from tests.faults.tiny_export import write_sources

pytestmark = pytest.mark.root

DISK = 32 << 20
FILE_BYTES = 1 << 20


def _stated(text: str, unit: str) -> tuple[float, float]:
    """(needed, free) as the text says them."""
    found = re.search(rf"needs ([\d,.]+) {unit}, ([\d,.]+) {unit} are free", text)
    assert found, text
    return float(found[1].replace(",", "")), float(found[2].replace(",", ""))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base and its adapter, on a large disk."""
    folder = tmp_path_factory.mktemp("sources")
    write_sources(folder)
    return folder


def _export(sources: Path, output: Path, should_stop=lambda: False) -> int:
    plan = ExportPlan(sources / "base.gguf", sources / "adapter", output)
    return export(plan, lambda _: None, should_stop).gguf.stat().st_size


@pytest.mark.parametrize("when", ["before the start", "while it is written"])
def test_f07_a_full_disk_leaves_the_earlier_export_and_says_what_is_missing(
    when: str, sources: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", DISK) as disk:
        output = disk / "out" / "model.gguf"
        output.parent.mkdir()
        needed = _export(sources, output)
        before = contents(output.parent)
        for percent in POINTS:
            free = needed * percent // 100
            if when == "before the start":
                leave_free(disk, free)
            error = _refused(sources, output, free)
            stated, stated_free = _stated(error.detail, "bytes")
            assert stated == needed
            assert stated_free == pytest.approx(free, abs=4096)
            assert f"{needed - stated_free:,.0f} bytes are missing" in error.detail
            assert "try again from the export" in error.hint
            free_up(disk)
            assert contents(output.parent) == before, f"at {percent} %"
        leave_free(disk, needed + 4096)
        assert _export(sources, disk / "out" / "another.gguf") == needed


def _refused(sources: Path, output: Path, free: int) -> UserError:
    """What an export says on a disk that is full once its file was begun."""

    def fills_the_disk() -> bool:
        staged = output.with_name(f"{output.name}.partial")
        if staged.exists() and staged.stat().st_size == 0:
            leave_free(output.parents[1], free)
        return False

    with pytest.raises(UserError, match="not enough disk space for the export") as raised:
        _export(sources, output, fills_the_disk)
    return raised.value


def test_f06_a_full_disk_pauses_at_the_last_checkpoint(tmp_path: Path) -> None:
    needed = sum(map(len, checkpoint_files(40, FILE_BYTES).values()))
    with small_disk(tmp_path / "disk", DISK) as disk:
        root = disk / "checkpoints"
        save(root, 20, 30, file_bytes=FILE_BYTES)
        before = contents(root)
        for percent in POINTS:
            leave_free(disk, needed * percent // 100)
            with pytest.raises(CheckpointNotWritten) as raised:
                save(root, 40, file_bytes=FILE_BYTES)
            assert raised.value.title == "Paused: the disk is full at step 40."
            stated = _stated(raised.value.detail, "MB")
            assert stated == pytest.approx((needed / 1e6, needed * percent / 1e8), abs=0.051)
            free_up(disk)
            assert contents(root) == before, f"at {percent} %"
            assert not leftovers(root)
            found = newest_valid(root)
            assert found.damaged == ()
            assert found.checkpoint is not None
            assert found.checkpoint.step == 30
            assert is_whole(found.checkpoint, FILE_BYTES)
        save(root, 40, file_bytes=FILE_BYTES)
        assert sorted(path.name for path in root.iterdir()) == ["step-00000030", "step-00000040"]


def test_f06_a_journal_goes_on_without_a_gap_once_there_is_space_again(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1 << 20) as disk, Journal(disk / "events.jsonl") as journal:
        leave_free(disk, 4096)
        written = _write_until_full(journal)
        free_up(disk)
        journal.write(Note("info", "after"))
        entries = read_entries(disk / "events.jsonl")[0]
    assert written >= 8
    assert [entry.sequence for entry in entries] == list(range(1, written + 2))
    assert [entry.event for entry in entries][-1] == Note("info", "after")
    assert all(len(getattr(entry.event, "text", "")) > 300 for entry in entries[:-1])


def _write_until_full(journal: Journal) -> int:
    for written in count():
        try:
            journal.write(Note("info", f"{written} {'x' * 300}"))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return written
    raise AssertionError
