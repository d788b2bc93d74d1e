"""What search asks of an embedding model, and the prefixes that each model was trained with.

Knows no server: `ollama_embedder` is one implementation.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

import resources

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """A model that turns texts into vectors of length 1; what it raises is a UserError."""

    @property
    def digest(self) -> str:
        """SHA-256 of the model, hex: vectors of another digest say nothing about these."""
        ...

    async def questions(self, texts: Sequence[str]) -> Vectors:
        """(texts, dimension) float32 rows of length 1."""
        ...

    async def passages(self, texts: Sequence[str]) -> Vectors:
        """As `questions`, for the texts that are searched."""
        ...


@dataclass(frozen=True)
class Prefixes:
    """What stands before a question and before a passage."""

    query: str = ""
    document: str = ""


def prefixes_of(model: str) -> Prefixes:
    """Of an Ollama name such as "library/nomic-embed-text:v1.5"; none for an unknown model."""
    return _known().get(_base(model), Prefixes())


def is_known(model: str) -> bool:
    """Whether a model of that Ollama name is known to embed: older servers do not say."""
    return _base(model) in _known()


def _base(model: str) -> str:
    return model.rsplit("/", 1)[-1].split(":", 1)[0].lower()


@cache
def _known() -> dict[str, Prefixes]:
    rows = json.loads(resources.path("embedding_prefixes.json").read_text(encoding="utf-8"))
    return {name: Prefixes(**row) for name, row in rows.items()}
