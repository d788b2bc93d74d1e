"""F33: the wall clock jumps a day ahead, a day back and to 1970 while jobs are at work."""

import ast
import json
from datetime import datetime
from pathlib import Path

import pytest

from desktop.jobs.journal import read_entries
from desktop.jobs.store import jobs_of
from finetune.checkpoints import newest_valid
from tests.faults.checkpoint_files import is_whole
from tests.faults.clock import DAY_S, built_shim, run_with_jumps
from tests.faults.strace_kill import ROOT
from tests.faults.tiny_export import write_sources

WALL_CLOCK_READERS = {
    "desktop/jobs/folder.py": "the id of a job, which sorts by creation all the same",
    "desktop/jobs/journal.py": "the time of an event, for people",
    "desktop/engine/chat.py": "the date that a chat template may print",
    "converters/documents/child.py": "whether a file changed while it was read",
    "desktop/engine/builtin.py": "when a model was made, for people",
    "desktop/documents/found_files.py": "whether a file changed since it was read",
    "desktop/documents/backup.py": "when a backup was made, for people",
    "desktop/chat/builtin_chat.py": "the date that a chat template may print",
    "desktop/chat/conversation_file.py": "when a copy was made, and whether it is old",
    "desktop/chat/conversations.py": "the time of a turn, for people",
    "desktop/chat/ratings.py": "the time of a rating, for people",
}


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled library."""
    return built_shim(tmp_path_factory.mktemp("shim"))


@pytest.mark.compiler
def test_f33_a_journal_is_ordered_by_its_numbers(shim: Path, tmp_path: Path) -> None:
    readings = json.loads(run_with_jumps(shim, tmp_path, "journal", str(tmp_path)))
    assert readings[1] - readings[0] == pytest.approx(DAY_S, abs=60)
    assert readings[3] == pytest.approx(DAY_S, abs=60), "the shim did not reach 1970"
    entries = read_entries(tmp_path / "events.jsonl")[0]
    assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5]
    times = [datetime.fromisoformat(entry.time) for entry in entries]
    assert times[3] < times[2] < times[0] < times[1]


@pytest.mark.compiler
def test_f33_checkpoints_are_rotated_by_step(shim: Path, tmp_path: Path) -> None:
    root = tmp_path / "checkpoints"
    run_with_jumps(shim, tmp_path, "checkpoints", str(root))
    kept = sorted(root.iterdir())
    assert [path.name for path in kept] == ["step-00000040", "step-00000050"]
    assert kept[0].stat().st_mtime < 2 * DAY_S, "step 40 was written in 1970"
    found = newest_valid(root).checkpoint
    assert found is not None
    assert found.step == 50
    assert is_whole(found)


@pytest.mark.compiler
def test_f33_jobs_are_listed_in_the_order_in_which_they_were_made(
    shim: Path, tmp_path: Path
) -> None:
    made = json.loads(run_with_jumps(shim, tmp_path, "jobs", str(tmp_path / "jobs")))
    assert len(made) == 10
    assert [line.id for line in jobs_of(tmp_path / "jobs")] == made[::-1]


@pytest.mark.compiler
def test_f33_durations_and_remaining_times_do_not_jump(shim: Path, tmp_path: Path) -> None:
    write_sources(tmp_path)
    told = json.loads(run_with_jumps(shim, tmp_path, "export", str(tmp_path)))
    assert 1 < told["seconds"] < 60
    assert len(told["remaining"]) >= 3
    assert all(0 <= seconds < 3600 for seconds in told["remaining"])


def test_f33_nothing_else_reads_the_wall_clock() -> None:
    """Durations are monotonic and order goes by numbers: who reads it says why, above."""
    readers = {
        str(path.relative_to(ROOT))
        for package in ("converters", "finetune", "desktop")
        for path in (ROOT / package).rglob("*.py")
        if _reads_the_wall_clock(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert readers == set(WALL_CLOCK_READERS)


def _reads_the_wall_clock(tree: ast.AST) -> bool:
    """`time.time`, `datetime.now` and the like, and times of files."""
    return any(
        isinstance(node, ast.Attribute)
        and (
            node.attr in ("utcnow", "today", "st_mtime", "st_mtime_ns", "getmtime")
            or (node.attr == "now" and ast.unparse(node.value).endswith("datetime"))
            or (node.attr in ("time", "time_ns") and ast.unparse(node.value) == "time")
        )
        for node in ast.walk(tree)
    )
