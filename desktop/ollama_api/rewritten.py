"""Whether a file that Ollama wrote anew on import is still the same model.

0.30.0 to 0.34.0 copy an imported GGUF through llama-quantize: tensors and some keys get another
order unless the file already has that order (FACTS 1.1). The weights must not change by a bit.
"""

import hashlib
from pathlib import Path
from typing import BinaryIO

from converters.gguf.header import Header, read_header

PIECE_BYTES = 16 << 20


def same_weights(first: Path, second: Path) -> bool:
    """True if both files hold the same tensors, byte for byte, in any order.

    Reads both files once. Raises `GgufDamaged` for a file that is no GGUF.
    """
    headers = [read_header(path) for path in (first, second)]
    return _weights(headers[0]) == _weights(headers[1])


def _weights(header: Header) -> dict[str, tuple[object, tuple[int, ...], bytes]]:
    with header.path.open("rb") as file:
        return {
            info.name: (
                info.type, tuple(info.shape),
                _digest(file, header.data_start + info.offset, info.n_bytes),
            )
            for info in header.tensors
        }


def _digest(file: BinaryIO, start: int, n_bytes: int) -> bytes:
    digest = hashlib.sha256()
    file.seek(start)
    while n_bytes > 0 and (piece := file.read(min(n_bytes, PIECE_BYTES))):
        digest.update(piece)
        n_bytes -= len(piece)
    return digest.digest()
