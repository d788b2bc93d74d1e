"""One libllama context: tokens of several sequences in, logits of the wanted positions out.

Numerically plain, as the proofs need it: F32 keys and values, no flash attention (FACTS 1.8).
Knows nothing of prompts, prefixes or sampling.
"""

import ctypes
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from converters.errors import UserError
from converters.llama.library import NativeModel, bindings, recent_log

Ids = npt.NDArray[np.int32]
Logits = npt.NDArray[np.float32]

_F32 = 0  # ggml_type
# Single tokens of a small model: the threads' meetings cost more than they save (SmolLM2, two
# idle cores: 86 tokens/s with one thread, 45 with two; prompts 253 and 420).
_ALONE_BELOW = 500_000_000
_CHUNK = 512  # tokens a decode call: bounds the compute buffer and the logits in flight


@dataclass(frozen=True)
class Tokens:
    """A batch, one entry a token: id, position, sequence, and whether its logits are wanted."""

    ids: Ids
    positions: Ids
    sequences: Ids
    wanted: npt.NDArray[np.int8]

    def part(self, start: int, stop: int) -> "Tokens":
        """The tokens from `start` up to `stop`, as views."""
        at = slice(start, stop)
        return Tokens(self.ids[at], self.positions[at], self.sequences[at], self.wanted[at])


class Context:
    """A model's working memory for `sequences` texts that share `n_ctx` tokens of room."""

    def __init__(
        self, model: NativeModel, *, n_ctx: int, threads: int = 1, sequences: int = 1
    ) -> None:
        self._c = bindings()
        self.n_ctx = n_ctx
        params = self._c.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = params.n_ubatch = min(_CHUNK, n_ctx)
        params.n_seq_max = sequences
        params.kv_unified = True  # so that a shared prefix is kept once
        params.n_threads_batch = threads
        params.n_threads = threads if model.n_parameters >= _ALONE_BELOW else 1
        params.type_k = params.type_v = _F32
        params.flash_attn_type = self._c.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.no_perf = True
        self._pointer: Any = self._c.llama_init_from_model(model.pointer, params)
        if not self._pointer:
            raise _no_memory(n_ctx)
        model.apply_adapter(self._pointer)
        self._memory = self._c.llama_get_memory(self._pointer)
        self.n_vocab = int(self._c.llama_vocab_n_tokens(model.vocabulary))

    def decode(self, tokens: Tokens) -> Logits:
        """Evaluate `tokens`; return a copy of the wanted logits, (wanted, n_vocab) float32.

        Raises UserError when the sequences together exceed n_ctx.
        """
        total = len(tokens.ids)
        logits = np.empty((int(tokens.wanted.sum()), self.n_vocab), np.float32)
        row = 0
        for start in range(0, total, _CHUNK):
            part = tokens.part(start, min(start + _CHUNK, total))
            self._decode_part(part)
            count = int(part.wanted.sum())
            if count:
                logits[row : row + count] = self._outputs(count)
            row += count
        return logits

    def forget(self, sequence: int, keep: int = 0) -> None:
        """Drop what `sequence` holds from position `keep` on; -1 as sequence means all of them."""
        self._c.llama_memory_seq_rm(self._memory, sequence, keep, -1)

    def share(self, source: int, target: int) -> None:
        """Let `target` begin as a copy of `source`, without copying keys and values."""
        self._c.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def close(self) -> None:
        """Free the context. Safe to call twice."""
        if self._pointer:
            self._c.llama_free(self._pointer)
        self._pointer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _decode_part(self, part: Tokens) -> None:
        ids, positions, sequences, wanted = (
            np.ascontiguousarray(part.ids, np.int32),
            np.ascontiguousarray(part.positions, np.int32),
            np.ascontiguousarray(part.sequences, np.int32),
            np.ascontiguousarray(part.wanted, np.int8),
        )
        ones = np.ones(len(ids), np.int32)
        # libllama wants a pointer per token to its list of sequences, here of one entry each
        lists = (sequences.ctypes.data + 4 * np.arange(len(ids), dtype=np.uint64)).astype(np.uint64)
        batch = self._c.llama_batch(
            len(ids),
            ids.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            None,
            positions.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            ones.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            lists.ctypes.data_as(ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
            wanted.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )
        code = self._c.llama_decode(self._pointer, batch)
        if code == 1:
            raise too_long(self.n_ctx)
        if code != 0:
            raise RuntimeError(f"llama_decode failed with {code}: {recent_log()[-3:]}")

    def _outputs(self, count: int) -> Logits:
        pointer = self._c.llama_get_logits(self._pointer)
        return np.ctypeslib.as_array(pointer, (count, self.n_vocab))


def too_long(n_ctx: int, n_tokens: int | None = None) -> UserError:
    """The error for text that does not fit the context."""
    size = f"It has {n_tokens:,} tokens, t" if n_tokens else "T"
    return UserError(
        "The text does not fit the model's context",
        f"{size}here is room for {n_ctx:,} tokens. Nothing was cut.",
        "Shorten the text or raise the context length.",
    )


def _no_memory(n_ctx: int) -> UserError:
    return UserError(
        "The model could not be started",
        f"A context of {n_ctx:,} tokens could not be made. " + "; ".join(recent_log()[-3:]),
        "Close other programs or choose a shorter context.",
    )
