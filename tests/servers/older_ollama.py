r"""Real Ollamas of the older behaviour classes, where somebody built them; a loud skip elsewhere.

    OLLAMA_VERSION=0.33.3 tests/servers/get_ollama.sh      (1 CPU-minute)
    CGO_CXXFLAGS="-O2 -I LLAMA_CPP/vendor" \
        OLLAMA_VERSION=0.24.0 tests/servers/get_ollama.sh  (6 CPU-minutes: it holds its engine)

LLAMA_CPP: any sources of llama.cpp, e.g. those in llama-cpp-python's; Go's modules leave `vendor`
folders out.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.private_ollama import PrivateOllama, private_ollama

ROOT = Path(__file__).parents[2]


@contextmanager
def older_ollama(version: str) -> Iterator[PrivateOllama]:
    """Run the server of exactly this version for the block."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tunedesk-test"
    program = cache / f"ollama-{version}" / "bin" / "ollama"
    if not program.exists():
        build = f"OLLAMA_VERSION={version} tests/servers/get_ollama.sh"
        pytest.skip(f"no Ollama {version}: run {build}")
    _give_quantiser(program.parents[1] / "lib" / "ollama" / "llama-quantize")
    with private_ollama(binary=program) as server:
        yield server


def _give_quantiser(path: Path) -> None:
    """The `llama-quantize` that 0.30 to 0.34.0 call on import: llama.cpp's own, by our oracle."""
    if not path.parent.is_dir():
        return
    path.write_text(
        f'#!/bin/sh\ncd "{ROOT}" && '
        f'exec "{sys.executable}" -m tests.converters.gguf.llama_quantize "$2" "$3" copy\n'
    )
    path.chmod(0o755)
