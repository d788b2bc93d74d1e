"""One running parser child: a document in, frames out. Knows nothing of what they mean."""

import os
import selectors
import socket
from collections.abc import Callable, Iterator
from io import RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, cast

from converters.children.frames import Frame, FrameBroken, read_frame, write_frame
from converters.children.process import ChildProcess, Ending

_WORKER = "converters.documents.worker"
_ASK_S = 0.1
_LARGEST_PAGE = 256 * 2**20
_LIFETIME_CPU_S = 3_600  # a second leash; the first is the parent's watch
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}  # its threads would reserve addresses by the gigabyte


class ChildDied(Exception):
    """The child ended in the middle of its work."""

    def __init__(self, ending: Ending, last_lines: list[str]) -> None:
        super().__init__(ending.how, *last_lines)
        self.ending = ending


class ParserProcess:
    """A child that is ready to read; memory_bytes: all it may ever address.

    Needs sockets that carry open files, so not Windows yet: there the path must travel instead.
    """

    def __init__(self, memory_bytes: int, log: Path | None) -> None:
        self.memory_bytes = memory_bytes
        self.documents = 0
        ours, theirs = socket.socketpair()
        arguments = [str(memory_bytes), str(_LIFETIME_CPU_S)]
        with theirs:
            self._process = ChildProcess(
                _WORKER, log, arguments, requests=theirs.fileno(), environment=_ENVIRONMENT
            )
        self._requests = ours
        self._stream = cast(RawIOBase, ours.makefile("rwb", buffering=0))
        self._replies = _Watched(self._process.replies.fileno())
        ready = self._next()
        self.is_confined = bool(ready[0]["confined"])

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def frames(
        self, file: BinaryIO, request: dict[str, Any], check: Callable[[], None]
    ) -> Iterator[Frame]:
        """The answers to a document, without an end of their own. Raises ChildDied.

        check is called at least ten times a second; what it raises comes through.
        """
        self.documents += 1
        self._replies.check = check
        try:
            socket.send_fds(self._requests, [b"f"], [file.fileno()])
            write_frame(self._stream, request)
        except (BrokenPipeError, ConnectionResetError):
            raise self._death() from None
        while True:
            yield self._next()

    def close(self) -> None:
        """End the child at once, whatever it does."""
        self._process.close()
        self._replies.close()
        self._stream.close()
        self._requests.close()

    def _next(self) -> Frame:
        try:
            frame = read_frame(self._replies, _LARGEST_PAGE)
        except FrameBroken:
            frame = None
        if frame is None:
            raise self._death()
        return frame

    def _death(self) -> ChildDied:
        self._process.end_group()
        return ChildDied(self._process.ending(), self._process.last_lines())


class _Watched(RawIOBase):
    """A pipe whose reader looks up from waiting ten times a second."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting = selectors.DefaultSelector()
        self._waiting.register(descriptor, selectors.EVENT_READ)
        self.check: Callable[[], None] = lambda: None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.check()
        while not self._waiting.select(_ASK_S):
            self.check()
        return os.readv(self._descriptor, [buffer])

    def close(self) -> None:
        self._waiting.close()
        super().close()
