"""Tensors of a GGUF as views into the memory-mapped file: nothing is copied until a caller does.

The file must not be written to while it is open: the map shows the change, and a cut file kills
the process (SIGBUS). Ollama's blobs and our own renamed files never change.
"""

import mmap
from pathlib import Path
from typing import Self

import numpy as np

from converters.gguf.header import Header, TensorType, read_header
from converters.gguf.quantize import dequantize


class GgufFile:
    """A validated GGUF, open for reading; a context manager.

    Views that are still held when it closes stay valid; the map goes with the last of them.
    Raises what `read_header` raises.
    """

    def __init__(self, path: Path) -> None:
        self.header: Header = read_header(path)
        with path.open("rb") as file:
            self._map: mmap.mmap | None = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the map. A second call does nothing."""
        self._map = None

    def tensor_bytes(self, name: str) -> memoryview:
        """The tensor's bytes as they stand in the file, zero copy. Raises KeyError if missing."""
        start, stop = self._span(name)
        return memoryview(self._open_map())[start:stop]

    def blocks(self, name: str) -> np.ndarray:
        """The tensor's blocks: (rows, bytes_per_row) uint8, a read-only view. 1-D: one row."""
        info = self.header.tensor(name)
        return np.frombuffer(self.tensor_bytes(name), np.uint8).reshape(info.n_rows, -1)

    def values(self, name: str) -> np.ndarray:
        """The tensor dequantised: float32 in the tensor's own shape, a fresh or read-only array."""
        info = self.header.tensor(name)
        if info.type is TensorType.F32:
            return self.blocks(name).view(np.float32).reshape(info.shape)
        return dequantize(self.blocks(name), info.type).reshape(info.shape)

    def forget(self, name: str) -> None:
        """Give the tensor's pages back, so that a pass over a large file stays small in memory.

        A later access reads them from the file again.
        """
        start, stop = self._span(name)
        first_page = start - start % mmap.PAGESIZE
        if hasattr(mmap, "MADV_DONTNEED"):
            self._open_map().madvise(mmap.MADV_DONTNEED, first_page, stop - first_page)

    def _span(self, name: str) -> tuple[int, int]:
        info = self.header.tensor(name)
        start = self.header.data_start + info.offset
        return start, start + info.n_bytes

    def _open_map(self) -> mmap.mmap:
        if self._map is None:
            raise ValueError("the GGUF file is closed")
        return self._map
