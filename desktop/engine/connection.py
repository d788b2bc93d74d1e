"""Requests to the engine child and their replies, in order; what the child's end means in words.

Knows no operation. One thread a connection starts the process and reads its replies: Linux ends a
child with the *thread* that started it, so that thread must live as long as the child.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import Any

from converters.children.frames import FrameBroken, array_of, read_frame, write_frame
from converters.children.process import ChildProcess
from converters.errors import Stopped, UserError

_WORKER = "desktop.engine.worker"
_UNUSABLE = "The model file could not be used"


class EngineBug(RuntimeError):
    """Our own code failed inside the child; carries its traceback."""


class Pending[T]:
    """A reply on its way."""

    def __init__(
        self, connection: "Connection", number: int, op: str, convert: Callable[[Any], T]
    ) -> None:
        self.future: Future[Any] = Future()
        self.on_text: Callable[[str], None] | None = None
        self.number = number
        self.op = op
        self._connection = connection
        self._convert = convert

    def result(self, silence_s: float | None = None) -> T:
        """Wait for the reply. Raises UserError (also when the child died), Stopped after close().

        silence_s: a child that sends nothing at all for so long is ended; its limit by default.
        """
        allowed = self._connection.silence_s if silence_s is None else silence_s
        since = time.monotonic()
        while True:
            quiet_s = time.monotonic() - max(since, self._connection.last_reply)
            try:
                return self._convert(self.future.result(max(0.0, allowed - quiet_s)))
            except TimeoutError:
                if quiet_s >= allowed:
                    raise self._connection.give_up(self.op, allowed) from None


class Connection:
    """A running engine child. `subject` is what it works on, for error texts.

    silence_s: how long it may send nothing while something is asked of it. log: see ChildProcess.
    """

    def __init__(self, subject: Path, silence_s: float, log: Path | None) -> None:
        self.silence_s = silence_s
        self.last_reply = time.monotonic()
        self._subject = subject
        self._numbers = count(1)
        self._pending: dict[int, Pending[Any]] = {}
        self._lock = threading.Lock()
        self._writing = threading.Lock()  # apart: a reader that waits for a writer is a deadlock
        self._fate: BaseException | None = None
        self.is_open = False  # the model was opened: what ends the child then is not its file
        started: Future[ChildProcess] = Future()
        self._thread = threading.Thread(
            target=self._serve, args=(log, started), name="engine-replies", daemon=True
        )
        self._thread.start()
        self.process = started.result()

    def submit[T](
        self,
        op: str,
        convert: Callable[[Any], T],
        arguments: dict[str, Any],
        on_text: Callable[[str], None] | None = None,
    ) -> Pending[T]:
        """Ask for `op`. on_text gets the text frames before the reply, on the reading thread."""
        with self._lock:
            if self._fate is not None:
                raise self._fate
            if not self._pending:
                self.last_reply = time.monotonic()  # silence counts from the question on
            pending = Pending(self, next(self._numbers), op, convert)
            pending.on_text = on_text
            self._pending[pending.number] = pending
        self._send(pending.number, op, arguments)
        return pending

    @property
    def has_died(self) -> bool:
        """Whether the child ended by itself or was given up; not one that was closed."""
        return self._fate is not None and not isinstance(self._fate, Stopped)

    def stop(self, pending: Pending[Any]) -> None:
        """Ask the child to end `pending` with what it has."""
        self._send(pending.number, "stop", {})

    def give_up(self, op: str, after_s: float) -> BaseException:
        """End a child that is silent for too long; the error that says so."""
        self._end(_too_slow(op, after_s))
        self.process.kill()
        assert self._fate is not None
        return self._fate

    def check_silence(self, op: str) -> None:
        """Give up, by raising, if nothing came for longer than `silence_s`."""
        if time.monotonic() - self.last_reply > self.silence_s:
            raise self.give_up(op, self.silence_s)

    def close(self) -> None:
        """End the child, its thread and its pipes. Waiting calls raise Stopped."""
        self._end(Stopped())
        self.process.kill()
        self._thread.join()
        self.process.close()

    def _send(self, number: int, op: str, arguments: dict[str, Any]) -> None:
        head = {"id": number, "op": op, "args": arguments}
        try:
            with self._writing:
                write_frame(self.process.requests, head)
        except (BrokenPipeError, ValueError):
            self._thread.join()  # it reads the end of the child and sets every pending reply

    def _serve(self, log: Path | None, started: "Future[ChildProcess]") -> None:
        try:
            process = ChildProcess(_WORKER, log)
        except BaseException as error:
            started.set_exception(error)
            return
        started.set_result(process)
        try:
            while frame := read_frame(process.replies):
                self.last_reply = time.monotonic()
                self._take(*frame)
        except FrameBroken:
            process.kill()
        how, said = process.ended_by(), process.last_lines()
        self._end(_died(self._subject, how, said, was_open=self.is_open))

    def _take(self, head: dict[str, Any], payload: bytearray) -> None:
        if head["kind"] == "text":
            self._take_text(head)
            return
        with self._lock:
            pending = self._pending.pop(head["id"], None)
        if pending is None:
            return  # it was ended meanwhile
        match head["kind"]:
            case "array":
                pending.future.set_result(array_of(head, payload))
            case "value":
                pending.future.set_result(head["value"])
            case "error":
                error = UserError(head["title"], head["detail"], head["hint"])
                pending.future.set_exception(error)
            case _:
                pending.future.set_exception(EngineBug(head["text"]))

    def _take_text(self, head: dict[str, Any]) -> None:
        pending = self._pending.get(head["id"])
        if pending is not None and pending.on_text is not None:
            pending.on_text(head["text"])

    def _end(self, fate: BaseException) -> None:
        """The first fate counts: what comes after a close or a time limit is only its echo."""
        with self._lock:
            self._fate = self._fate or fate
            ended, self._pending = self._pending, {}
        for pending in ended.values():
            pending.future.set_exception(self._fate)


def _died(subject: Path, how: str, lines: list[str], *, was_open: bool) -> UserError:
    if how == "SIGKILL":
        reason = "The system ended the process that held it (SIGKILL), mostly for want of memory."
        hint = "Close other programs, or choose a smaller model or a shorter context."
    else:
        reason = f"llama.cpp ended with {how}."
        hint = "Check that the file is complete, or choose another model."
    said = " ".join(lines)
    title = "The built-in engine ended" if was_open else _UNUSABLE
    return UserError(title, f"{subject}: {reason} {said}".rstrip(), hint)


def _too_slow(op: str, after_s: float) -> UserError:
    if op == "render":
        return UserError(
            "The chat template could not be used",
            f"It ran for more than {after_s:g} s and was ended.",
            "Choose another template or another model.",
        )
    return UserError(
        "The model took too long",
        f"There was no answer for {after_s:g} s; its process was ended.",
        "Try a shorter text or a smaller model.",
    )
