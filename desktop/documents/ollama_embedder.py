"""Embeddings from the user's Ollama: `/api/embed` in batches, each answer checked.

A text longer than the model's context is cut by the server (`truncate`): that weakens its vector,
not the passage, which words still find.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from converters.errors import Stopped
from desktop.documents.embedder import Prefixes, Vectors, prefixes_of
from desktop.ollama_api.errors import ModelNotFound, OllamaUnreadable
from desktop.ollama_api.replies import read_tag
from desktop.ollama_api.transport import Transport

BATCH_TEXTS = 32
ShouldStop = Callable[[], bool]


class OllamaEmbedder:
    """One embedding model of one server; made by `open`."""

    def __init__(
        self, transport: Transport, model: str, digest: str, should_stop: ShouldStop
    ) -> None:
        self.model = model
        self._transport = transport
        self._digest = digest
        self._prefixes: Prefixes = prefixes_of(model)
        self._should_stop = should_stop

    @classmethod
    async def open(
        cls, transport: Transport, model: str, should_stop: ShouldStop = lambda: False
    ) -> Self:
        """Look the model up. Raises `ModelNotFound` and what else `Transport` raises.

        should_stop: asked before each batch; `Stopped` ends the work there.
        """
        answer = await transport.exchange("GET", "/api/tags")
        full = model if ":" in model.rsplit("/", 1)[-1] else f"{model}:latest"
        for tag in map(read_tag, answer.get("models") or ()):
            if tag.name in (model, full):
                return cls(transport, tag.name, tag.digest, should_stop)
        raise ModelNotFound(model)

    @property
    def digest(self) -> str:
        """The model's manifest, hex."""
        return self._digest

    async def questions(self, texts: Sequence[str]) -> Vectors:
        """(texts, dimension) float32 rows of length 1."""
        return await self._embed([self._prefixes.query + text for text in texts])

    async def passages(self, texts: Sequence[str]) -> Vectors:
        """(texts, dimension) float32 rows of length 1."""
        return await self._embed([self._prefixes.document + text for text in texts])

    async def _embed(self, texts: list[str]) -> Vectors:
        batches: list[Vectors] = []
        for start in range(0, len(texts), BATCH_TEXTS):
            if self._should_stop():
                raise Stopped
            batches.append(await self._batch(texts[start : start + BATCH_TEXTS]))
        if len({batch.shape[1] for batch in batches}) > 1:
            raise OllamaUnreadable(self._transport.url, "vectors of different lengths.")
        return np.concatenate(batches) if batches else np.empty((0, 0), np.float32)

    async def _batch(self, texts: list[str]) -> Vectors:
        answer = await self._transport.exchange(
            "POST",
            "/api/embed",
            {"model": self.model, "input": texts, "truncate": True},
            model=self.model,
            # The first answer may have to load the model.
            limit_s=self._transport.limits.first_line_s,
        )
        return self._checked(answer.get("embeddings"), len(texts))

    def _checked(self, rows: Any, wanted: int) -> Vectors:
        if not isinstance(rows, list) or len(rows) != wanted:
            got = len(rows) if isinstance(rows, list) else "no"
            raise OllamaUnreadable(self._transport.url, f"{got} vectors for {wanted} texts.")
        try:
            vectors: NDArray[Any] = np.array(rows, np.float64)
        except (ValueError, TypeError):
            vectors = np.empty(0)
        if vectors.ndim != 2 or not vectors.size or not np.isfinite(vectors).all():
            raise OllamaUnreadable(self._transport.url, "vectors that are none.")
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
