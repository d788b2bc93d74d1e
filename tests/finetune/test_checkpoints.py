"""Checkpoint folders: whole or not there, rotated by step, damage found, moved aside and named."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save as to_safetensors

from finetune import checkpoints
from finetune.checkpoints import CheckpointNotWritten, newest_valid, of_step, save

FILES = {
    "adapter/adapter_config.json": b"{}",
    "adapter/adapter_model.safetensors": bytes(range(256)) * 40,
    "state.json": b'{"step": 1}',
}


def _names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def _content(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_saved_checkpoint_is_found_with_its_files(tmp_path: Path) -> None:
    root = tmp_path / "checkpoints"
    saved = save(root, 40, FILES)
    assert newest_valid(root) == checkpoints.Found(saved, ())
    assert (saved.step, saved.folder) == (40, root / "step-00000040")
    assert {**_content(saved.folder), "manifest.json": b""} == {**FILES, "manifest.json": b""}
    assert checkpoints.read_file(saved, "state.json") == FILES["state.json"]


def test_arrays_are_read_back(tmp_path: Path) -> None:
    arrays = {"moment": np.linspace(0, 1, 7, dtype=np.float32), "rng": np.arange(5, dtype=np.uint8)}
    saved = save(tmp_path, 1, {"state.safetensors": to_safetensors(arrays)})
    found = checkpoints.read_tensors(saved, "state.safetensors")
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())


def test_no_folder_yet_is_no_checkpoint(tmp_path: Path) -> None:
    assert newest_valid(tmp_path / "absent") == checkpoints.Found(None, ())
    assert newest_valid(tmp_path) == checkpoints.Found(None, ())


def test_the_newest_two_and_the_kept_ones_stay(tmp_path: Path) -> None:
    for step in (10, 20, 30, 40, 50):
        save(tmp_path, step, FILES, keep=(20,))
    assert _names(tmp_path) == ["step-00000020", "step-00000040", "step-00000050"]


def test_f33_rotation_goes_by_step_although_the_clock_jumps(tmp_path: Path) -> None:
    """transformers rotates by mtime: a clock that goes back deletes the newest one."""
    for step, hour in ((9, 5_000), (10, 4_000), (100, 0)):
        saved = save(tmp_path, step, FILES, newest=3)
        os.utime(saved.folder, (hour * 3600, hour * 3600))
    save(tmp_path, 101, FILES)
    assert _names(tmp_path) == ["step-00000100", "step-00000101"]
    found = newest_valid(tmp_path).checkpoint
    assert found is not None
    assert found.step == 101


def test_the_one_just_saved_is_never_retired(tmp_path: Path) -> None:
    for step in (70, 80, 30):
        saved = save(tmp_path, step, FILES)
    assert saved.folder.is_dir()


def _lose(folder: Path) -> None:
    (folder / "state.json").unlink()


def _cut(folder: Path) -> None:
    path = folder / "adapter" / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def _flip(folder: Path) -> None:
    path = folder / "adapter" / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    data[5_000] ^= 1
    path.write_bytes(data)


def _add(folder: Path) -> None:
    (folder / "adapter" / "more.bin").write_bytes(b"")


def _lose_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def _cut_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:30])


def _empty_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("[]")


def _other_step(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"step": 20', '"step": 21'))


DAMAGES = [
    _lose, _cut, _flip, _add, _lose_manifest, _cut_manifest, _empty_manifest, _other_step,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_f05_a_damaged_one_is_moved_aside_and_the_one_before_it_taken(
    tmp_path: Path, damage
) -> None:
    before = save(tmp_path, 10, FILES)
    damaged = save(tmp_path, 20, FILES)
    damage(damaged.folder)
    content = _content(damaged.folder)
    assert of_step(tmp_path, 20) is None
    found = newest_valid(tmp_path)
    assert found.checkpoint == before
    assert found.damaged == (tmp_path / "damaged" / "step-00000020",)
    assert _content(found.damaged[0]) == content, "a damaged one is kept as it is"
    assert newest_valid(tmp_path) == checkpoints.Found(before, ())


def test_a_second_damaged_one_of_the_same_step_gets_another_name(tmp_path: Path) -> None:
    moved: list[Path] = []
    for _ in range(2):
        _flip(save(tmp_path, 20, FILES).folder)
        moved += newest_valid(tmp_path).damaged
    assert [checkpoints.step_of(folder) for folder in moved] == [20, 20]
    assert _names(tmp_path / "damaged") == ["step-00000020", "step-00000020-2"]


def test_leftovers_of_a_cut_off_save_are_removed(tmp_path: Path) -> None:
    saved = save(tmp_path, 10, FILES)
    for name in ("step-00000020.partial", "step-00000005.retired.partial"):
        shutil.copytree(saved.folder, tmp_path / name)
    assert newest_valid(tmp_path) == checkpoints.Found(saved, ())
    assert _names(tmp_path) == ["step-00000010"]


def test_the_same_step_saved_again_replaces_the_earlier_one(tmp_path: Path) -> None:
    save(tmp_path, 10, FILES)
    again = save(tmp_path, 10, {**FILES, "state.json": b"{}"})
    assert newest_valid(tmp_path) == checkpoints.Found(again, ())
    assert checkpoints.read_file(again, "state.json") == b"{}"
    assert _names(tmp_path) == ["step-00000010"]


@pytest.mark.parametrize("is_new_there", [False, True])
def test_a_replacement_that_was_cut_off_loses_nothing(tmp_path: Path, is_new_there: bool) -> None:
    """Killed between its renames: the earlier folder counts until the new one is whole."""
    saved = save(tmp_path, 10, FILES)
    saved.folder.rename(tmp_path / "step-00000010.replaced")
    if is_new_there:
        save(tmp_path / "other", 10, {"state.json": b"new"}).folder.rename(saved.folder)
        shutil.rmtree(tmp_path / "other")
    found = newest_valid(tmp_path).checkpoint
    assert found is not None
    state = checkpoints.read_file(found, "state.json")
    assert state == (b"new" if is_new_there else FILES["state.json"])
    assert _names(tmp_path) == ["step-00000010"]


def test_a_damaged_replacement_gives_its_name_back(tmp_path: Path) -> None:
    saved = save(tmp_path, 10, FILES)
    saved.folder.rename(tmp_path / "step-00000010.replaced")
    new = save(tmp_path / "other", 10, FILES).folder
    _flip(new)
    new.rename(saved.folder)
    found = newest_valid(tmp_path)
    assert found.checkpoint == saved
    assert [path.name for path in found.damaged] == ["step-00000010"]


def test_f06_a_full_disk_leaves_the_earlier_ones_and_says_needed_and_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = save(tmp_path, 10, FILES)
    real = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == "state.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CheckpointNotWritten) as caught:
        save(tmp_path, 10, FILES)
    assert caught.value.title == "Paused: the disk is full at step 10."
    assert "needs 0.0 MB" in caught.value.detail
    assert "MB are free in" in caught.value.detail
    assert _names(tmp_path) == ["step-00000010"]
    assert newest_valid(tmp_path) == checkpoints.Found(saved, ())


def test_every_file_is_synced_before_the_name_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, rename = os.fsync, Path.rename

    def note_sync(descriptor: int) -> None:
        named = Path(f"/proc/self/fd/{descriptor}").resolve()
        order.append(f"sync {named.relative_to(tmp_path)}")
        sync(descriptor)

    def note_rename(path: Path, target: Path) -> Path:
        order.append(f"rename {path.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "rename", note_rename)
    save(tmp_path, 3, FILES)
    staged = "step-00000003.partial"
    at = order.index(f"rename {staged}")
    inside = ["", "/adapter", "/manifest.json", *(f"/{name}" for name in FILES)]
    assert {f"sync {staged}{name}" for name in inside} <= set(order[:at])
    assert order[at + 1] == "sync ."


def test_it_needs_no_torch() -> None:
    code = "import finetune.checkpoints, sys; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
