"""R1, F3: kill -9 at every call of one checkpoint save, and of the recovery from such a kill."""

from pathlib import Path

import pytest

from finetune.checkpoints import newest_valid
from tests.faults.checkpoint_files import is_whole, save
from tests.faults.folders import contents
from tests.faults.strace_kill import Killed, Prepare, child, killed_everywhere

pytestmark = pytest.mark.strace


def _earlier(*steps: int) -> Prepare:
    return lambda folder: save(folder / "checkpoints", *steps)


def _nothing(folder: Path) -> None:
    """A job before its first checkpoint."""


def _names(folder: Path) -> list[str]:
    root = folder / "checkpoints"
    return sorted(path.name for path in root.iterdir()) if root.exists() else []


@pytest.mark.parametrize(
    ("prepare", "earlier", "after"),
    [
        (_nothing, None, ["step-00000040"]),
        (_earlier(20, 30), 30, ["step-00000030", "step-00000040"]),
        (_earlier(30, 40), 40, ["step-00000030", "step-00000040"]),
    ],
    ids=["first", "third", "again"],
)
def test_r1_a_killed_save_leaves_the_earlier_checkpoint_or_the_new_one(
    prepare: Prepare, earlier: int | None, after: list[str], tmp_path: Path
) -> None:
    def work(folder: Path) -> list[str]:
        return child("checkpoint", str(folder))

    killed = list(killed_everywhere(prepare, work, tmp_path))
    assert len(killed) >= 20
    (tmp_path / "before").mkdir()
    prepare(tmp_path / "before")
    untouched = contents(tmp_path / "before")
    steps = [_check_killed(one, earlier, untouched) for one in killed]
    assert steps == sorted(steps, key=lambda step: step or 0), "an older one after a newer one"
    assert {steps[0], steps[-1]} == {earlier, 40}
    for one in killed:
        save(one.folder / "checkpoints", 40)
        assert _names(one.folder) == after, one.call


def _check_killed(one: Killed, earlier: int | None, untouched: dict[str, str]) -> int | None:
    """The step that counts after the kill; everything that counts is whole, the rest is gone."""
    found = newest_valid(one.folder / "checkpoints")
    assert found.damaged == (), one.call
    step = found.checkpoint.step if found.checkpoint else None
    assert step in (earlier, 40), one.call
    assert found.checkpoint is None or is_whole(found.checkpoint), one.call
    assert all(name.startswith("step-") and len(name) == 13 for name in _names(one.folder))
    assert step == 40 or contents(one.folder) == untouched, one.call
    return step


def _killed_while_saving(folder: Path) -> None:
    """A save that was cut off, the older folder of a step that was saved twice, half removed."""
    root = folder / "checkpoints"
    save(root, 30, 40)
    (root / "step-00000030").rename(root / "step-00000030.replaced")
    save(folder / "other", 50)
    (folder / "other" / "step-00000050").rename(root / "step-00000050.partial")
    (root / "step-00000050.partial" / "manifest.json").unlink()
    (root / "step-00000040" / "state.json").write_bytes(b"damaged")


def test_r1_a_killed_recovery_is_done_by_the_next_one(tmp_path: Path) -> None:
    def work(folder: Path) -> list[str]:
        return child("recovery", str(folder))

    killed = list(killed_everywhere(_killed_while_saving, work, tmp_path))
    assert len(killed) >= 10
    for one in killed:
        found = newest_valid(one.folder / "checkpoints")
        assert found.checkpoint is not None, one.call
        assert found.checkpoint.step == 30, one.call
        assert is_whole(found.checkpoint), one.call
        assert _names(one.folder) == ["damaged", "step-00000030"], one.call
        assert _damaged(one.folder) == ["step-00000040"], one.call


def _damaged(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints" / "damaged").iterdir())
