"""Checkpoint folders that are whole or not there: staged, hashed, synced, renamed, then rotated.

Knows names and bytes, nothing of what they mean. Rotation goes by step number, never by a clock.
Torch-free, so that a child can be killed at each of its system calls (FAULTS R1).
"""

import hashlib
import json
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load

from converters.durable_files import (
    DISK_FULL,
    DRIVE_GONE,
    STAGED_SUFFIX,
    fsync_folder,
    publish_folder,
)
from converters.errors import UserError

VERSION = 1
MANIFEST = "manifest.json"
DAMAGED = "damaged"
# The earlier folder of a step that is being saved again; it counts until the new one has its name.
REPLACED_SUFFIX = ".replaced"
_STEP = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint of `step`; `sha256` is that of its manifest, which holds the others."""

    step: int
    folder: Path
    sha256: str


@dataclass(frozen=True)
class Found:
    """The newest whole checkpoint, if any, and where damaged ones were moved to, newest first."""

    checkpoint: Checkpoint | None
    damaged: tuple[Path, ...]


class CheckpointNotWritten(UserError):
    """The disk refused a checkpoint; those before it are as they were."""


def save(
    root: Path, step: int, files: Mapping[str, bytes], keep: Collection[int] = (), newest: int = 2
) -> Checkpoint:
    """Write the checkpoint of `step` and retire all but the `newest` ones and those of `keep`.

    files: path within the folder (with `/`) -> content. An earlier checkpoint of the same step
    counts until this one is durable. Raises CheckpointNotWritten with needed and free bytes if
    the disk refuses; no earlier byte is then changed and nothing is left behind.
    """
    staged = _folder(root, step, STAGED_SUFFIX)
    try:
        _make_root(root)
        manifest = _stage(staged, step, files)
        _publish(root, step, staged)
        _retire(root, {step, *keep}, newest)
    except OSError as error:
        shutil.rmtree(staged, ignore_errors=True)
        raise _not_written(error, root, step, files) from error
    return Checkpoint(step, _folder(root, step), _sha256(manifest))


def newest_valid(root: Path) -> Found:
    """The newest checkpoint of which every byte is as it was written.

    Leftovers of a save that was cut off are removed; damaged checkpoints are moved to
    `root/damaged`, never deleted.
    """
    if not root.is_dir():
        return Found(None, ())
    damaged = _clear_leftovers(root)
    whole: list[Checkpoint] = []
    for step in sorted(_steps(root), reverse=True):
        found = _verified(root, step)
        if found is None:
            damaged.append(_set_aside(root, _folder(root, step)))
        else:
            whole.append(found)
    return Found(whole[0] if whole else None, tuple(damaged))


def of_step(root: Path, step: int) -> Checkpoint | None:
    """The whole checkpoint of one step, or None if it is absent or damaged."""
    return _verified(root, step)


def read_file(checkpoint: Checkpoint, name: str) -> bytes:
    """The content of one of its files."""
    return (checkpoint.folder / name).read_bytes()


def read_tensors(checkpoint: Checkpoint, name: str) -> dict[str, np.ndarray]:
    """The arrays of one of its safetensors files."""
    return load(read_file(checkpoint, name))


def step_of(folder: Path) -> int:
    """The step that a checkpoint's folder is named after, also of one that was moved aside."""
    named = _STEP.match(folder.name)
    if named is None:
        raise ValueError(f"{folder.name} is no checkpoint's name")
    return int(named[1])


def _folder(root: Path, step: int, suffix: str = "") -> Path:
    return root / f"step-{step:08}{suffix}"


def _steps(root: Path) -> set[int]:
    return {int(named[1]) for path in root.iterdir() if (named := _STEP.fullmatch(path.name))}


def _make_root(root: Path) -> None:
    if root.is_dir():
        return
    root.mkdir(mode=0o700)  # not its parents: where its drive is gone, none is made elsewhere
    fsync_folder(root.parent)


def _stage(staged: Path, step: int, files: Mapping[str, bytes]) -> bytes:
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(mode=0o700)
    for name, data in files.items():
        path = staged / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_bytes(data)
    hashes = {name: {"bytes": len(data), "sha256": _sha256(data)} for name, data in files.items()}
    content = {"version": VERSION, "step": step, "files": hashes}
    manifest = (json.dumps(content, indent=1) + "\n").encode()
    (staged / MANIFEST).write_bytes(manifest)
    return manifest


def _publish(root: Path, step: int, staged: Path) -> None:
    final, replaced = _folder(root, step), _folder(root, step, REPLACED_SUFFIX)
    shutil.rmtree(replaced, ignore_errors=True)
    if final.exists():
        final.rename(replaced)
    try:
        publish_folder(staged, final)
    except OSError:
        if replaced.exists() and not final.exists():
            replaced.rename(final)
        raise
    _remove(replaced)


def _retire(root: Path, keep: Collection[int], newest: int) -> None:
    newer_first = sorted(_steps(root), reverse=True)
    for step in newer_first[newest:]:
        if step not in keep:
            _remove(_folder(root, step))


def _remove(folder: Path) -> None:
    """Under a name that counts for nothing first: half of a folder would pass for a damaged one."""
    if not folder.exists():
        return
    leftover = folder.with_name(folder.name + ".retired" + STAGED_SUFFIX)
    folder.rename(leftover)
    shutil.rmtree(leftover)


def _clear_leftovers(root: Path) -> list[Path]:
    """Returns the damaged folders that had to make room for the ones they would have replaced."""
    damaged: list[Path] = []
    for path in sorted(root.iterdir()):
        if path.name.endswith(STAGED_SUFFIX):
            shutil.rmtree(path)
        elif path.name.endswith(REPLACED_SUFFIX):
            damaged += _settle_replaced(root, path)
    return damaged


def _settle_replaced(root: Path, replaced: Path) -> list[Path]:
    final = replaced.with_name(replaced.name.removesuffix(REPLACED_SUFFIX))
    if final.exists() and _verified(root, step_of(final)):
        _remove(replaced)
        return []
    damaged = [_set_aside(root, final)] if final.exists() else []
    replaced.rename(final)
    fsync_folder(root)
    return damaged


def _set_aside(root: Path, folder: Path) -> Path:
    aside = root / DAMAGED
    aside.mkdir(mode=0o700, exist_ok=True)
    target = next(path for path in _free_names(aside / folder.name) if not path.exists())
    folder.rename(target)
    fsync_folder(aside)
    fsync_folder(root)
    return target


def _free_names(path: Path) -> Iterator[Path]:
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.name}-{number}")
        number += 1


def _verified(root: Path, step: int) -> Checkpoint | None:
    folder = _folder(root, step)
    try:
        manifest = (folder / MANIFEST).read_bytes()
        content = json.loads(manifest)
        is_whole = (
            content["version"] == VERSION
            and content["step"] == step
            and _found_files(folder) == content["files"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Checkpoint(step, folder, _sha256(manifest)) if is_whole else None


def _found_files(folder: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or name == MANIFEST:
            continue
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found[name] = {"bytes": path.stat().st_size, "sha256": digest}
    return found


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _not_written(
    error: OSError, root: Path, step: int, files: Mapping[str, bytes]
) -> CheckpointNotWritten:
    needed = sum(map(len, files.values()))
    detail = f"{root}: {error.strerror}. The checkpoints before it are as they were."
    if error.errno in DRIVE_GONE or not root.is_dir():
        title = f"Paused: the folder for the checkpoint of step {step} is gone."
        hint = "Connect its drive again, then continue the run."
        return CheckpointNotWritten(title, detail, hint)
    if error.errno not in DISK_FULL:
        hint = "Make the folder writable, then continue the run."
        return CheckpointNotWritten(f"The checkpoint of step {step} was not written.", detail, hint)
    free = shutil.disk_usage(root).free
    return CheckpointNotWritten(
        f"Paused: the disk is full at step {step}.",
        f"A checkpoint needs {needed / 1e6:,.1f} MB, {free / 1e6:,.1f} MB are free in {root}. "
        "The checkpoints before it are as they were.",
        "Free some space, then continue the run.",
    )
