"""F6: a worker on a disk without a byte left still says why it ended, and the next one goes on."""

import subprocess
import sys
from pathlib import Path

import pytest

from converters.events import Failed, Finished
from desktop.jobs.folder import JobFolder
from desktop.jobs.journal import read_entries
from tests.desktop.jobs.job_folders import new_job
from tests.faults.small_disk import free_up, leave_free, small_disk

pytestmark = pytest.mark.root


def _work(folder: JobFolder) -> int:
    with folder.output_log.open("ab") as log:
        return subprocess.run(
            [sys.executable, "-P", "-m", "desktop.jobs.worker", str(folder.root)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False, timeout=60,
        ).returncode


def _last_failure(folder: JobFolder) -> Failed:
    events = [entry.event for entry in read_entries(folder.events)[0]]
    assert events[-1] == Finished("failed")
    failed = events[-2]
    assert isinstance(failed, Failed)
    return failed


def test_f06_a_worker_without_a_free_byte_says_that_the_disk_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4_000_000) as disk:
        folder = new_job(disk)
        assert _work(folder) == 1  # there is no such base; the first run leaves its reserve
        assert "disk" not in _last_failure(folder).title
        leave_free(disk, 0)
        assert _work(folder) == 1
        failed = _last_failure(folder)
        assert failed.title == "Paused: the disk is full."
        assert "MB are free" in failed.detail
        assert f"tunedesk jobs resume {folder.id}" in failed.hint
        free_up(disk)
        assert _work(folder) == 1
        assert "disk" not in _last_failure(folder).title
