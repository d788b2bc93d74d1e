"""Fixtures of the tests that talk to a server."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop.ollama_api.inherit import Inheritance
from tests.servers.scripted_ollama import ScriptedOllama, scripted_ollama


@pytest.fixture
def scripted() -> Iterator[ScriptedOllama]:
    """A server whose faults the test writes."""
    with scripted_ollama() as server:
        yield server


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    """A file that begins like a GGUF; the scripted server looks no further."""
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + bytes(range(256)) * 64)
    return path


@pytest.fixture
def sha256(gguf: Path) -> str:
    """The SHA-256 of `gguf`."""
    return hashlib.sha256(gguf.read_bytes()).hexdigest()


@pytest.fixture
def inheritance() -> Inheritance:
    """What most bases have."""
    return Inheritance(
        model="base",
        kind="go",
        template="{{ range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}assistant: ",
        system="Be brief.",
        parameters={"temperature": 0.5, "num_ctx": 2048},
        stops=("user:",),
        license=("Apache-2.0\nall of it",),
    )
