"""Stopping a job: ask, then terminate, then kill. The last verified checkpoint always remains."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from desktop.jobs.folder import JobFolder

POLL_S = 0.1
How = Literal["not running", "stopped by itself", "terminated", "killed"]


@dataclass(frozen=True)
class Ladder:
    """Seconds that the worker has to answer the stop file, and then the terminate signal."""

    ask_s: float = 15.0
    terminate_s: float = 5.0


def stop(
    folder: JobFolder, ladder: Ladder = Ladder(), on_rung: Callable[[str], None] = lambda _: None
) -> How:
    """Stop the worker of `folder` and return how far the ladder was climbed.

    on_rung is told each sentence for the person.
    """
    if not folder.is_alive():
        return "not running"
    folder.ask_to_stop()
    on_rung("Asked to stop; what it has finished is kept.")
    if _ends_within(folder, ladder.ask_s):
        return "stopped by itself"
    on_rung(f"No answer for {ladder.ask_s:.0f} s: it is terminated.")
    _signal(folder, signal.SIGTERM)
    if _ends_within(folder, ladder.terminate_s):
        return "terminated"
    on_rung(f"No answer for another {ladder.terminate_s:.0f} s: it is killed.")
    _signal(folder, signal.SIGKILL)
    _ends_within(folder, ladder.terminate_s)
    return "killed"


def _ends_within(folder: JobFolder, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while folder.is_alive():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _signal(folder: JobFolder, number: signal.Signals) -> None:
    """To the worker and its children: it leads a session of its own."""
    pid = folder.pid()  # None once the lock is free, so that no other process is ever hit
    if pid is not None:
        with suppress(ProcessLookupError):
            os.killpg(pid, number)
