"""A GGUF's vocabulary by libllama itself: the ids that every runtime of llama.cpp will see.

Rebuilt tokenizers differ on real strings (FACTS 1.6), so no other tokenizer is used anywhere.
"""

import ctypes
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from converters.llama.library import NativeModel, bindings


class Vocabulary:
    """Text to ids and back. `Vocabulary(path)` opens the file without its weights.

    Raises UserError when libllama refuses the file. Close it, or use it in a `with` block.
    """

    def __init__(self, path: Path, *, model: NativeModel | None = None) -> None:
        """Open `path`, or share an already opened `model`, which its owner closes."""
        self._c = bindings()
        self._owned = NativeModel(path, vocab_only=True) if model is None else None
        opened = model or self._owned
        assert opened is not None
        self._vocabulary: Any = opened.vocabulary

    # -- ids -------------------------------------------------------------------------------

    @cached_property
    def n_vocab(self) -> int:
        """The number of ids."""
        return int(self._c.llama_vocab_n_tokens(self._vocabulary))

    @cached_property
    def bos(self) -> int | None:
        """The id that begins a text, None if the vocabulary has none."""
        return _present(self._c.llama_vocab_bos(self._vocabulary))

    @cached_property
    def eos(self) -> int | None:
        """The id that ends a text, None if the vocabulary has none."""
        return _present(self._c.llama_vocab_eos(self._vocabulary))

    @cached_property
    def eot(self) -> int | None:
        """The id that ends a turn, None if the vocabulary names none."""
        return _present(self._c.llama_vocab_eot(self._vocabulary))

    @cached_property
    def add_bos(self) -> bool:
        """Whether the file asks for a BOS before every prompt."""
        return bool(self._c.llama_vocab_get_add_bos(self._vocabulary))

    @cached_property
    def end_tokens(self) -> frozenset[int]:
        """Every id on which llama.cpp ends an answer: eos, eot, eom and its list of known texts."""
        is_end = self._c.llama_vocab_is_eog
        named = (token for token in (self.eos, self.eot) if token is not None)
        listed = (token for token in range(self.n_vocab) if is_end(self._vocabulary, token))
        return frozenset((*named, *listed))

    @cached_property
    def special_texts(self) -> dict[int, str]:
        """The text of every control token, by id."""
        is_control = self._c.llama_vocab_is_control
        return {
            token: self.text_of(token)
            for token in range(self.n_vocab)
            if is_control(self._vocabulary, token)
        }

    # -- text ------------------------------------------------------------------------------

    def tokenize(
        self, text: str, *, parse_special: bool = True, add_special: bool = False
    ) -> list[int]:
        """The ids of `text`.

        parse_special: texts such as `<|im_end|>` become their control token. add_special: BOS and
        EOS are added where the file asks for them. Raises UnicodeEncodeError for lone surrogates.
        """
        data = text.encode()
        room = len(data) + 8
        for _ in range(2):  # a normaliser may make more tokens than bytes; then it says how many
            ids = (ctypes.c_int32 * room)()
            count = self._c.llama_tokenize(
                self._vocabulary, data, len(data), ids, room, add_special, parse_special
            )
            if count >= 0:
                return ids[:count]
            room = -count
        raise RuntimeError(f"libllama could not tokenise {len(data)} bytes of text")

    def piece(self, token: int, *, special: bool = True) -> bytes:
        """The bytes that `token` adds to a text; control tokens give nothing unless `special`."""
        room = 64
        for _ in range(2):
            buffer = ctypes.create_string_buffer(room)
            size = self._c.llama_token_to_piece(
                self._vocabulary, token, buffer, room, 0, special
            )
            if size >= 0:
                return buffer.raw[:size]
            room = -size
        raise RuntimeError(f"libllama could not write token {token}")

    def text_of(self, token: int) -> str:
        """The text of one token, control tokens included; broken UTF-8 becomes U+FFFD."""
        return self.piece(token).decode("utf-8", "replace")

    def detokenize(self, ids: list[int], *, special: bool = True) -> str:
        """The text of `ids`, without what libllama adds or strips at the start of a sentence."""
        data = b"".join(self.piece(token, special=special) for token in ids)
        return data.decode("utf-8", "replace")

    # -- life ------------------------------------------------------------------------------

    def close(self) -> None:
        """Free the file if this vocabulary opened it."""
        if self._owned is not None:
            self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _present(token: int) -> int | None:
    return None if token < 0 else int(token)
