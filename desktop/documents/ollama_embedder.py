"""Embeddings from the user's Ollama: `/api/embed` in batches, each answer checked.

A text longer than the model's context is cut by the server (`truncate`): that weakens its vector,
not the passage, which words still find.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from converters.errors import Stopped
from desktop.documents.embedder import Prefixes, Vectors, is_known, prefixes_of
from desktop.ollama_api.errors import ModelNotFound, OllamaUnreadable
from desktop.ollama_api.replies import Tag, read_tag
from desktop.ollama_api.transport import Transport

BATCH_TEXTS = 32
ShouldStop = Callable[[], bool]


async def held_models(transport: Transport) -> list[Tag]:
    """All models of the server. Raises what `Transport` raises."""
    answer = await transport.exchange("GET", "/api/tags")
    return [read_tag(entry) for entry in answer.get("models") or ()]


def tag_of(held: Sequence[Tag], model: str) -> Tag:
    """The model that a person means by a name with or without its tag. Raises ModelNotFound."""
    full = model if ":" in model.rsplit("/", 1)[-1] else f"{model}:latest"
    for tag in held:
        if tag.name in (model, full):
            return tag
    raise ModelNotFound(model)


def embedding_models(held: Sequence[Tag]) -> list[Tag]:
    """Those that are made to embed, the quickest (smallest) first."""
    found = [tag for tag in held if "embedding" in tag.capabilities or is_known(tag.name)]
    return sorted(found, key=lambda tag: (tag.n_bytes, tag.name))


class OllamaEmbedder:
    """One embedding model of one server, as the server lists it; or made by `open`."""

    def __init__(
        self, transport: Transport, model: str, digest: str,
        should_stop: ShouldStop = lambda: False,
    ) -> None:  # fmt: skip
        self.model = model
        self._transport = transport
        self._digest = digest
        self._prefixes: Prefixes = prefixes_of(model)
        self._should_stop = should_stop
        self._dimension = 0

    @classmethod
    async def open(
        cls, transport: Transport, model: str, should_stop: ShouldStop = lambda: False
    ) -> Self:
        """Look the model up. Raises `ModelNotFound` and what else `Transport` raises.

        should_stop: asked before each batch; `Stopped` ends the work there.
        """
        tag = tag_of(await held_models(transport), model)
        return cls(transport, tag.name, tag.digest, should_stop)

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
        if self._dimension not in (0, vectors.shape[1]):
            raise OllamaUnreadable(self._transport.url, "vectors of different lengths.")
        self._dimension = vectors.shape[1]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
