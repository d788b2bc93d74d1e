"""F36: the drive is pulled before or during an export or a checkpoint save."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from converters.errors import UserError
from converters.export import ExportPlan, export
from finetune.checkpoints import CheckpointNotWritten, newest_valid
from tests.faults.checkpoint_files import is_whole, save
from tests.faults.drive import drive
from tests.faults.folders import contents
from tests.faults.small_disk import unmount
from tests.faults.strace_kill import (
    AT_ONCE,
    Call,
    Prepare,
    changing_calls,
    child,
    run_child,
    run_paused_at,
)
from tests.faults.tiny_export import write_sources

pytestmark = pytest.mark.root

EARLIER = b"an earlier export of this name"


@dataclass(frozen=True)
class Pulled:
    """What a child said whose drive was pulled right after one call, and what the drive holds.

    place: where the drive was. elsewhere: what the child made there afterwards.
    """

    call: Call
    place: Path
    kept: Path
    run: subprocess.CompletedProcess[str]
    elsewhere: list[Path]


def _pulled_everywhere(work: str, prepare: Prepare, scratch: Path) -> Iterator[Pulled]:
    first = _prepared(scratch / "undisturbed", prepare)
    calls = changing_calls(child(work, str(first)), first)

    def pull(number: int) -> Pulled:
        kept = _prepared(scratch / f"kept-{number:03}", prepare)
        with drive(kept, scratch / f"drive-{number:03}") as place:
            # The drive's own path, not the child's folder: a mount point stays where it was.
            command = child(work, str(place))
            run = run_paused_at(calls[number], command, lambda: unmount(place))
        return Pulled(calls[number], place, kept, run, list(place.rglob("*")))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(pull, range(len(calls)))


def _prepared(folder: Path, prepare: Prepare) -> Path:
    folder.mkdir()
    prepare(folder)
    return folder


def _check_said(pulled: Pulled, title: str, is_published: bool) -> None:
    """A known error that names the path; or success, once the result stood under its name."""
    assert pulled.run.returncode in (0, 1) if is_published else pulled.run.returncode == 1
    if pulled.run.returncode == 1:
        assert pulled.run.stderr.startswith(title), pulled
        assert str(pulled.place) in pulled.run.stderr, pulled
        assert "Connect its drive again" in pulled.run.stderr, pulled
    assert pulled.elsewhere == [], "another disk was written to"


@pytest.mark.strace
def test_f36_an_export_names_the_folder_that_went_away(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        (folder / "out").mkdir()
        (folder / "out" / "model.gguf").write_bytes(EARLIER)

    write_sources(tmp_path)
    pulled = list(_pulled_everywhere("export", prepare, tmp_path))
    renamed = [one.call.kind for one in pulled].index("rename")
    for number, one in enumerate(pulled):
        _check_said(one, "The folder for the output is not there.", number >= renamed)
        output = one.kept / "out" / "model.gguf"
        assert (output.read_bytes() == EARLIER) == (number < renamed), one
        run_child(child("export", str(one.kept)))
        assert contents(one.kept) == contents(tmp_path / "undisturbed"), one


@pytest.mark.strace
def test_f36_a_checkpoint_save_pauses_and_goes_on_with_the_drive(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        save(folder / "checkpoints", 20, 30)

    pulled = list(_pulled_everywhere("checkpoint", prepare, tmp_path))
    renamed = [one.call.kind for one in pulled].index("rename")
    for number, one in enumerate(pulled):
        title = "Paused: the folder for the checkpoint of step 40 is gone."
        _check_said(one, title, number >= renamed)
        found = newest_valid(one.kept / "checkpoints")
        assert found.damaged == ()
        assert found.checkpoint is not None
        assert is_whole(found.checkpoint)
        assert found.checkpoint.step == (30 if number < renamed else 40)


def test_f36_nothing_is_written_where_the_drive_should_be(tmp_path: Path) -> None:
    write_sources(tmp_path)
    place = tmp_path / "drive"
    place.mkdir()
    output = place / "out" / "model.gguf"
    plan = ExportPlan(tmp_path / "base.gguf", tmp_path / "adapter", output)
    with pytest.raises(UserError, match="not there") as raised:
        export(plan, lambda _: None, lambda: False)
    assert str(output.parent) in raised.value.detail
    with pytest.raises(CheckpointNotWritten, match="Connect its drive again") as paused:
        save(place / "job" / "checkpoints", 40)
    assert str(place / "job" / "checkpoints") in paused.value.detail
    assert list(place.iterdir()) == []


def test_f36_a_base_on_a_drive_that_is_gone_is_named(tmp_path: Path) -> None:
    write_sources(tmp_path)
    base = tmp_path / "drive" / "base.gguf"
    with pytest.raises(UserError) as raised:
        export(ExportPlan(base, None, tmp_path / "out.gguf"), lambda _: None, lambda: False)
    assert str(base) in str(raised.value)
