"""The one error of a GGUF that cannot be trusted, and the limits that a file must keep.

The limits are Ollama's (strings, arrays, dimensions; ollama#17062) and ours (counts), so that a
hostile file costs neither memory nor time. Standard library only.
"""

from dataclasses import dataclass
from pathlib import Path

from converters.errors import UserError

MAX_STRING_BYTES = 16 << 20
MAX_ARRAY_ITEMS = 64 << 20
MAX_ARRAY_STRINGS = 8 << 20
"""Over all string arrays of a file: 20 times the largest vocabulary; walking them takes 1 s."""
MAX_DIMENSIONS = 4
MAX_NAME_BYTES = 63
"""ggml keeps tensor names in 64 bytes, with a zero at the end."""
MAX_FIELDS = 1 << 16
MAX_TENSORS = 1 << 16
MAX_ALIGNMENT = 1 << 16
MAX_VALUES = 1 << 62


@dataclass
class GgufDamaged(UserError):
    """A file that is no GGUF, is cut, or contradicts itself; `detail` names what is wrong."""


def damaged(path: Path, cause: str) -> GgufDamaged:
    """The error for `path`; `cause` continues the sentence "The file <name> ..."."""
    return GgufDamaged(
        "The model file is damaged or no GGUF.",
        f"The file {path.name} {cause}. It was not loaded and not changed.",
        "Pull or copy the model again.",
    )
