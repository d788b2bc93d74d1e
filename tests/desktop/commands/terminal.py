"""The program as a person at a terminal has it: a real one, in which keys are pressed."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Terminal:
    """A running program and its terminal. output: a file for its standard output, if apart."""

    def __init__(self, words: tuple[str, ...], output: Path | None) -> None:
        self._ours, theirs = pty.openpty()
        stdout = os.open(output, os.O_WRONLY | os.O_CREAT) if output else theirs
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "desktop", *words], stdin=theirs, stdout=stdout,
                stderr=theirs, close_fds=True, start_new_session=True,
                env=os.environ | {"TERM": "dumb"},
            )  # fmt: skip
        finally:
            for end in {stdout, theirs}:
                os.close(end)
        os.set_blocking(self._ours, False)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._ours, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def read_until(self, wanted: str, limit_s: float = 60) -> str:
        """What is shown from here on, up to `wanted`."""
        seen, deadline = "", time.monotonic() + limit_s
        while wanted not in seen:
            assert time.monotonic() < deadline, f"{wanted!r} did not come, only {seen!r}"
            try:
                seen += os.read(self._ours, 4096).decode(errors="replace")
            except BlockingIOError:
                time.sleep(0.02)
        return seen

    def end(self) -> None:
        """Kill what still runs."""
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@contextmanager
def terminal(*words: str, output: Path | None = None) -> Iterator[Terminal]:
    """The program with these words in a terminal of its own, for the block."""
    made = Terminal(words, output)
    try:
        yield made
    finally:
        made.end()
