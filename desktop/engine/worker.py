"""The engine child: `python -m desktop.engine.worker`. Answers frames on its first two pipes.

It opens one model on the first request and dies with whoever started it: the end of its input, or
on Linux the death of the parent, ends its whole process group at once. It keeps nothing on disk.
"""

import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from io import FileIO, RawIOBase
from pathlib import Path
from typing import Any

import numpy as np

from converters.children.confinement import bounded_memory, die_with_parent, end_own_group
from converters.children.frames import Frame, array_frame, read_frame, write_frame
from converters.errors import UserError
from converters.llama.answer import write_answer
from converters.llama.library import NativeModel
from converters.llama.sampling import Sampling
from converters.llama.scorer import Scorer
from converters.llama.vocabulary import Vocabulary

Head = dict[str, Any]


class Engine:
    """One open model and the operations on it. `scorer` is made at its first use."""

    def __init__(
        self, model: str, lora: str | None, n_ctx: int, threads: int, vocab_only: bool
    ) -> None:
        adapter = Path(lora) if lora else None
        self._model = NativeModel(Path(model), vocab_only=vocab_only, lora=adapter)
        self._n_ctx, self._threads = n_ctx, threads
        self._vocab_only = vocab_only
        self._scorer: Scorer | None = None
        self.vocabulary = Vocabulary(Path(model), model=self._model)

    @property
    def scorer(self) -> Scorer:
        """The scorer of this model."""
        if self._vocab_only:
            raise ValueError("the model was opened with its vocabulary alone")
        if self._scorer is None:
            self._scorer = Scorer(self._model, n_ctx=self._n_ctx, threads=self._threads)
        return self._scorer

    def describe(self) -> Head:
        """The fields of `VocabularyInfo`."""
        v = self.vocabulary
        return {
            "n_vocab": v.n_vocab, "bos": v.bos, "eos": v.eos, "eot": v.eot, "add_bos": v.add_bos,
            "end_tokens": sorted(v.end_tokens), "special_texts": list(v.special_texts.items()),
        }  # fmt: skip

    def tokenize(self, texts: list[tuple[str, bool]]) -> list[list[int]]:
        """Ids of each (text, parse_special)."""
        return [self.vocabulary.tokenize(text, parse_special=special) for text, special in texts]

    def detokenize(self, rows: list[list[int]]) -> list[str]:
        """The text of each row of ids, control tokens included."""
        return [self.vocabulary.detokenize(ids) for ids in rows]

    def pieces(self) -> list[str]:
        """Every token's bytes, one Latin-1 character a byte: JSON has no bytes."""
        v = self.vocabulary
        return [v.piece(token).decode("latin-1") for token in range(v.n_vocab)]

    def log_probs(self, ids: list[int], start: int) -> np.ndarray:
        """See `Scorer.log_probs`."""
        return self.scorer.log_probs(ids, start)

    def logits(self, ids: list[int], start: int) -> np.ndarray:
        """See `Scorer.logits`."""
        return self.scorer.logits(ids, start)

    def greedy(self, prompts: list[list[int]], max_tokens: int, batched: bool) -> list[list[int]]:
        """Greedy answers, ended by the model's own end tokens."""
        ends = self.vocabulary.end_tokens
        if batched:
            return self.scorer.greedy_many(prompts, max_tokens, ends)
        return [self.scorer.greedy(prompt, max_tokens, ends) for prompt in prompts]

    def render(self, **arguments: Any) -> str:
        """See `converters.chat_template.render`; with bounded memory, since templates are code."""
        from datetime import datetime

        from converters.chat_template import render

        arguments["now"] = datetime.fromisoformat(arguments["now"])
        with bounded_memory():
            return render(**arguments)

    def answer(
        self, on_text: Callable[[str], None], should_stop: Callable[[], bool], **arguments: Any
    ) -> Head:
        """See `write_answer`."""
        sampling = Sampling.of(arguments.pop("options"))
        written = write_answer(
            self.scorer, self.vocabulary, sampling=sampling, on_text=on_text,
            should_stop=should_stop, **arguments,
        )  # fmt: skip
        return vars(written)


class Worker:
    """Takes requests in order, one at a time; a stop for the running answer overtakes them."""

    def __init__(self, requests: RawIOBase, replies: RawIOBase) -> None:
        self._requests = requests
        self._replies = replies
        self._waiting: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self._stopped: set[int] = set()
        self._engine: Engine | None = None

    def run(self) -> None:
        """Serve until the parent closes the pipe."""
        threading.Thread(target=self._receive, name="requests", daemon=True).start()
        while True:
            head, _ = self._waiting.get()
            self._serve(head["id"], head["op"], head["args"])

    def _receive(self) -> None:
        """The end of the requests is the end of this process, whatever libllama is doing."""
        try:
            while frame := read_frame(self._requests):
                if frame[0]["op"] == "stop":
                    self._stopped.add(frame[0]["id"])
                else:
                    self._waiting.put(frame)
        finally:
            end_own_group()

    def _serve(self, number: int, op: str, arguments: Head) -> None:
        try:
            result = self._result(number, op, arguments)
        except UserError as error:
            self._reply(number, "error", **error.as_json()["error"])
        except Exception:
            self._reply(number, "bug", text=traceback.format_exc())
        else:
            self._send_result(number, result)

    def _result(self, number: int, op: str, arguments: Head) -> Any:
        if op == "open":
            self._engine = Engine(**arguments)
            return None
        if self._engine is None:
            raise ValueError("no model was opened")
        if op == "answer":
            return self._engine.answer(
                lambda text: self._reply(number, "text", text=text),
                lambda: number in self._stopped,
                **arguments,
            )
        return _OPERATIONS[op](self._engine, **arguments)

    def _send_result(self, number: int, result: Any) -> None:
        if isinstance(result, np.ndarray):
            write_frame(self._replies, *array_frame({"id": number, "kind": "array"}, result))
        else:
            self._reply(number, "value", value=result)

    def _reply(self, number: int, kind: str, **fields: Any) -> None:
        write_frame(self._replies, {"id": number, "kind": kind, **fields})


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "describe": Engine.describe,
    "tokenize": Engine.tokenize,
    "detokenize": Engine.detokenize,
    "pieces": Engine.pieces,
    "log_probs": Engine.log_probs,
    "logits": Engine.logits,
    "greedy": Engine.greedy,
    "render": Engine.render,
}


def main() -> None:
    """Keep the two pipes for frames alone, then serve."""
    die_with_parent()
    requests = FileIO(os.dup(sys.stdin.fileno()), "r")
    replies = FileIO(os.dup(sys.stdout.fileno()), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # stray prints go to the log
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Worker(requests, replies).run()


if __name__ == "__main__":
    main()
