"""A model in a child process: its ids, its distributions and its answers, never its crashes.

libllama aborts on damaged files (FACTS 1.11), so it only ever runs behind this class. Calls are
answered in order; the `_async` ones let two children work on two cores at once.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from converters.chat_template import FIXED_DAY, Message
from converters.gguf.header import read_header
from converters.llama.answer import Answer
from desktop.engine.connection import Connection, Pending

Floats = npt.NDArray[np.float32]
Text = str | tuple[str, bool]

_ASK_S = 0.05  # how often a waiting answer looks at should_stop


@dataclass(frozen=True)
class Limits:
    """What a child may take: seconds without any reply, seconds for one template."""

    reply_s: float = 600.0
    template_s: float = 5.0


@dataclass(frozen=True)
class VocabularyInfo:
    """What the application knows of a vocabulary; `special_texts` are the control tokens'."""

    n_vocab: int
    bos: int | None
    eos: int | None
    eot: int | None
    add_bos: bool
    end_tokens: frozenset[int]
    special_texts: Mapping[int, str]

    def text(self, token: int | None) -> str:
        """The text of a control token, "" for None and for ordinary tokens."""
        return self.special_texts.get(token, "") if token is not None else ""


class EngineChild:
    """One model, opened in a child of its own process group; a context manager.

    model, lora: GGUF files; their headers are validated here before libllama sees them. n_ctx:
    tokens of room. threads: of libllama. vocab_only: no weights, for ids and templates. log: where
    the child's noise goes, None for nowhere. revives: a call after the child has died begins a new
    one, with nothing read yet. Raises UserError: damaged file, refused file.
    """

    def __init__(
        self,
        model: Path,
        *,
        lora: Path | None = None,
        n_ctx: int = 2048,
        threads: int = 1,
        vocab_only: bool = False,
        limits: Limits | None = None,
        log: Path | None = None,
        revives: bool = False,
    ) -> None:
        for path in (model, lora):
            if path is not None:
                read_header(path)
        self._limits = limits or Limits()
        self._model, self._log, self._revives = model, log, revives
        self._opening = {
            "model": str(model), "lora": str(lora) if lora else None, "n_ctx": n_ctx,
            "threads": threads, "vocab_only": vocab_only,
        }  # fmt: skip
        self._starting = threading.Lock()
        self._connection = self._connected()

    # -- ids and texts -----------------------------------------------------------------------

    def vocabulary(self) -> VocabularyInfo:
        """The vocabulary's ids, flags and control texts."""
        return self._ask("describe", _vocabulary).result()

    def tokenize(self, texts: Iterable[Text]) -> list[list[int]]:
        """The ids of each text, no BOS added; (text, False) keeps control texts as plain text."""
        pairs = [(text, True) if isinstance(text, str) else text for text in texts]
        return self._ask("tokenize", _as_is, texts=pairs).result()

    def detokenize(self, rows: Iterable[Sequence[int]]) -> list[str]:
        """The text of each row of ids, control tokens included."""
        return self._ask("detokenize", _as_is, rows=[list(row) for row in rows]).result()

    def pieces(self) -> list[bytes]:
        """The bytes of every token of the vocabulary, by id, control tokens included."""
        return self._ask("pieces", _bytes_of).result()

    def render(
        self,
        template: str,
        messages: Sequence[Message],
        *,
        bos: str = "",
        eos: str = "",
        add_generation_prompt: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
        enable_thinking: bool = False,
        now: datetime = FIXED_DAY,
    ) -> str:
        """`converters.chat_template.render` in the child, ended after `limits.template_s`."""
        pending = self._ask(
            "render", _as_is, template=template, messages=list(messages), bos=bos, eos=eos,
            add_generation_prompt=add_generation_prompt, tools=tools,
            enable_thinking=enable_thinking, now=now.isoformat(),
        )  # fmt: skip
        return pending.result(self._limits.template_s)

    # -- scoring -----------------------------------------------------------------------------

    def log_probs(self, ids: Sequence[int], start: int) -> Floats:
        """Log-probabilities that predict ids[start:]: (len(ids) - start, n_vocab) float32."""
        return self.log_probs_async(ids, start).result()

    def log_probs_async(self, ids: Sequence[int], start: int) -> Pending[Floats]:
        """`log_probs`, begun and not waited for. Finished rows wait in memory: keep few ahead."""
        return self._ask("log_probs", _as_is, ids=list(ids), start=start)

    def logits_async(self, ids: Sequence[int], start: int) -> Pending[Floats]:
        """The raw logits in the shape of `log_probs`, for figures that need double precision."""
        return self._ask("logits", _as_is, ids=list(ids), start=start)

    # -- writing -----------------------------------------------------------------------------

    def greedy(self, ids: Sequence[int], max_tokens: int) -> list[int]:
        """The likeliest answer, its end token included; without one it was cut at the limit."""
        return self.greedy_async([ids], max_tokens).result()[0]

    def greedy_many(
        self, prompts: Sequence[Sequence[int]], max_tokens: int, *, batched: bool = True
    ) -> list[list[int]]:
        """`greedy` for many prompts. batched: faster, but near ties may fall another way."""
        return self.greedy_async(prompts, max_tokens, batched=batched).result()

    def greedy_async(
        self, prompts: Sequence[Sequence[int]], max_tokens: int, *, batched: bool = False
    ) -> Pending[list[list[int]]]:
        """`greedy_many`, begun and not waited for."""
        rows = [list(prompt) for prompt in prompts]
        return self._ask("greedy", _as_is, prompts=rows, max_tokens=max_tokens, batched=batched)

    def answer(
        self,
        ids: Sequence[int],
        max_tokens: int,
        *,
        stops: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        on_text: Callable[[str], None] = lambda _text: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Answer:
        """One answer to the prompt `ids`, streamed to `on_text`.

        options: sampling options by Ollama's names. The answer that was written so far is
        returned, with stop_reason "stopped", soon after should_stop() says yes.
        """
        texts: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        connection = self._living()
        pending = connection.submit(
            "answer",
            _answer,
            {"prompt": list(ids), "max_tokens": max_tokens, "stops": list(stops),
             "options": dict(options or {})},
            on_text=texts.put,
        )  # fmt: skip
        pending.future.add_done_callback(lambda _done: texts.put(None))
        try:
            self._follow(connection, pending, texts, on_text, should_stop)
        except BaseException:
            connection.stop(pending)
            raise
        return pending.result()

    # -- life --------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The child's process id, which is also its group's."""
        return self._connection.process.pid

    def close(self) -> None:
        """End the child at once, whatever it does. Waiting calls raise Stopped."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _ask[T](self, op: str, convert: Callable[[Any], T], **arguments: Any) -> Pending[T]:
        return self._living().submit(op, convert, arguments)

    def _living(self) -> Connection:
        """The connection; a new one where the child has died and may be replaced."""
        with self._starting:
            if self._revives and self._connection.has_died:
                self._connection.close()
                self._connection = self._connected()
            return self._connection

    def _connected(self) -> Connection:
        connection = Connection(self._model, self._limits.reply_s, self._log)
        try:
            connection.submit("open", _as_is, self._opening).result()
        except BaseException:
            connection.close()
            raise
        connection.is_open = True
        return connection

    def _follow(
        self,
        connection: Connection,
        pending: Pending[Answer],
        texts: "queue.SimpleQueue[str | None]",
        on_text: Callable[[str], None],
        should_stop: Callable[[], bool],
    ) -> None:
        is_stopping = False
        while True:
            if not is_stopping and should_stop():
                connection.stop(pending)
                is_stopping = True
            try:
                text = texts.get(timeout=_ASK_S)
            except queue.Empty:
                connection.check_silence(pending.op)
                continue
            if text is None:
                return
            on_text(text)


def _as_is(value: Any) -> Any:
    return value


def _bytes_of(value: list[str]) -> list[bytes]:
    return [text.encode("latin-1") for text in value]


def _vocabulary(value: dict[str, Any]) -> VocabularyInfo:
    ends, texts = frozenset(value.pop("end_tokens")), dict(value.pop("special_texts"))
    return VocabularyInfo(end_tokens=ends, special_texts=texts, **value)


def _answer(value: dict[str, Any]) -> Answer:
    return Answer(**{**value, "ids": tuple(value["ids"])})
