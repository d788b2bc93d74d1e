"""The order of tensors in a canonical file (FACTS 1.1), which llama.cpp's quantiser walks too."""

import re
from collections.abc import Iterable

_LAYER = re.compile(r"blk\.(\d+)\.")


def canonical_order(names: Iterable[str]) -> list[str]:
    """Names by layer number (-1 for those outside the layers), then by their bytes."""
    return sorted(names, key=_key)


def _key(name: str) -> tuple[int, bytes]:
    layer = _LAYER.match(name)
    return (int(layer[1]) if layer else -1, name.encode())
