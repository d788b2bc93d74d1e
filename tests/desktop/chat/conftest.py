"""Fixtures of the conversation's tests."""

from collections.abc import Iterator

import pytest

from tests.servers.scripted_ollama import ScriptedOllama, scripted_ollama


@pytest.fixture
def scripted() -> Iterator[ScriptedOllama]:
    """A server whose faults the test writes."""
    with scripted_ollama() as server:
        yield server
