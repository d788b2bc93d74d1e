"""Measures the exported file against the trained module, tensor by tensor (proof "delta")."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.errors import Stopped
from converters.events import ShouldStop
from converters.gguf.reader import GgufFile
from converters.gguf.retention import grid_steps, measure
from desktop.proof.delta import TensorChange

Deltas = Iterable[tuple[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class FileChange:
    """What became of the base's tensors in the file.

    changes: of the trained tensors. missing: trained tensors whose bytes are still the base's.
    differing: untrained tensors, or ones of another shape, that are not the base's byte for byte.
    """

    changes: list[TensorChange]
    missing: list[str]
    differing: list[str]
    identical: int


def file_change(
    base: GgufFile, file: GgufFile, deltas: Deltas, should_stop: ShouldStop
) -> FileChange:
    """Re-read every tensor of the file. deltas: (tensor name, dW float32 in the file's rows) from
    the trained module itself. Raises Stopped when asked to."""
    changes, trained = [], set()
    for name, delta in _until(deltas, should_stop):
        trained.add(name)
        if delta.any():
            changes.append(_change(base, file, name, delta))
    still_base = _identical(base, file)
    names = {info.name for info in base.header.tensors}
    extra = {info.name for info in file.header.tensors} - names
    changed = {change.name for change in changes}
    return FileChange(
        changes=changes, missing=sorted(changed & still_base),
        differing=sorted((names - changed - still_base) | extra), identical=len(still_base),
    )


def _change(
    base: GgufFile, file: GgufFile, name: str, delta: NDArray[np.float32]
) -> TensorChange:
    info = file.header.tensor(name)
    steps = grid_steps(file.blocks(name), info.type)
    return TensorChange(name, measure(base.values(name), file.values(name), delta, steps))


def _identical(base: GgufFile, file: GgufFile) -> set[str]:
    """Names of the tensors with equal type, shape and bytes in both files."""
    theirs = {info.name: info for info in file.header.tensors}
    return {
        info.name for info in base.header.tensors
        if info.name in theirs
        and (theirs[info.name].type, theirs[info.name].shape) == (info.type, info.shape)
        and base.tensor_bytes(info.name) == file.tensor_bytes(info.name)
    }


def _until(deltas: Deltas, should_stop: ShouldStop) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for item in deltas:
        if should_stop():
            raise Stopped
        yield item
