"""A library asked by meaning: what was made before the time was up is kept, and so are words."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from desktop.core import sqlite_file
from desktop.documents import meaning, semantic
from desktop.documents.backup import DATABASE
from desktop.documents.library import Library
from desktop.documents.meaning import ask_with_meaning
from desktop.documents.passages import Answer, ask
from tests.desktop.documents import stored

TEXTS = [f"The owl number {number} hunts at night.\n" for number in range(6)]


class LengthEmbedder:
    """Vectors by length; waits for ever from the text with that number on."""

    digest = "d" * 64

    def __init__(self, stuck_at: int = 99) -> None:
        self.embedded = 0
        self._stuck_at = stuck_at

    async def questions(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.array([[1, 0] for _ in texts], np.float32)

    async def passages(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        if self.embedded + len(texts) > self._stuck_at:
            await asyncio.Event().wait()
        self.embedded += len(texts)
        return np.array([[0, 1] for _ in texts], np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return stored.library(tmp_path / "library", owl=TEXTS)


def _asked(folder: Path, embedder: LengthEmbedder | None, run_async: Any) -> Answer:
    with Library(folder) as library:
        return run_async(ask_with_meaning(library, "owl", embedder))


def test_without_an_embedder_it_is_the_answer_by_words(folder: Path, run_async: Any):
    with Library(folder) as library:
        assert _asked(folder, None, run_async) == ask(library, "owl")


def test_vectors_made_before_the_time_was_up_are_not_made_again(
    folder: Path, run_async: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(meaning, "MEANING_S", 0.2)
    monkeypatch.setattr(semantic, "KEPT_TOGETHER", 2)
    answer = _asked(folder, LengthEmbedder(stuck_at=4), run_async)
    with Library(folder) as library:
        assert answer.passages == ask(library, "owl").passages
    assert answer.words_alone == "New vectors took longer than 0.2 s; those made are kept."
    second = LengthEmbedder()
    assert _asked(folder, second, run_async).words_alone == ""
    assert second.embedded == 2


def test_vectors_that_cannot_be_kept_are_used_all_the_same(
    folder: Path, run_async: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sqlite_file, "BUSY_S", 0.05)
    with closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = _asked(folder, LengthEmbedder(), run_async)
    assert answer.words_alone == ""
    assert answer.not_kept.startswith("Another program is writing to this library.")
    assert len(answer.passages) == 6
