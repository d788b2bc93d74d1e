"""Starts a job's worker in a session of its own and follows a job's journal from this process."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from converters.errors import UserError
from desktop.jobs import worker
from desktop.jobs.failures import interrupted
from desktop.jobs.folder import JobFolder
from desktop.jobs.journal import read_entries
from desktop.jobs.progress import JobView, reduce, where
from desktop.ollama_api import keys

POLL_S = 0.1
LOCKED_WITHIN_S = 10.0
_SECRETS = ("TOKEN", "SECRET", "PASSWORD", "API_KEY", "CREDENTIAL", keys.VARIABLE)
OnView = Callable[[JobView], None]
Poll = Callable[[], int | None]
"""The exit code of a worker that ended, None while it runs."""


def run(folder: JobFolder, action: str, on_view: OnView) -> int:
    """Start the worker and follow it to its end; the worker's exit code. Raises as `follow`.

    The first Ctrl-C asks the job to stop (it keeps a checkpoint), the second ends it at once.
    """
    offset = _size(folder.events)
    with _presses_counted() as early:
        process = start(folder, action)
    presses = len(early)
    if presses:
        folder.ask_to_stop()
    while True:
        try:
            return follow(folder, on_view, offset, process.poll)
        except KeyboardInterrupt:
            presses += 1
            folder.ask_to_stop()
            if presses > 1:
                process.kill()
                process.wait()
                return worker.STOPPED


def start(folder: JobFolder, action: str = "tune") -> subprocess.Popen[bytes]:
    """Start the worker and return once it holds the job's lock (or has ended).

    It does not end with this process or its terminal. -P: a folder named `desktop` where the
    person stands must not be taken for ours. Keys of servers go through its standard input, which
    nobody else can read.
    """
    secrets = keys.for_child().encode()
    if not folder.is_alive():  # else these are of the run that goes on
        folder.stop.unlink(missing_ok=True)
        folder.output_start.write_text(str(_size(folder.output_log)))
    with folder.output_log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "desktop.jobs.worker", str(folder.root), action],
            stdin=subprocess.PIPE, stdout=log, stderr=log,
            start_new_session=True, env=worker_environment(dict(os.environ)),
        )
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin:  # it may have ended already
        process.stdin.write(secrets)
    deadline = time.monotonic() + LOCKED_WITHIN_S
    while process.poll() is None and folder.pid() != process.pid and time.monotonic() < deadline:
        time.sleep(0.02)
    return process


def worker_environment(environment: dict[str, str]) -> dict[str, str]:
    """The environment of a worker: offline, no telemetry, no secrets, threads that wait politely.

    Two torch processes with spinning OpenMP threads on 2 cores are 32 times slower (FACTS 2.1).
    """
    kept = {
        name: value for name, value in environment.items()
        if not any(word in name.upper() for word in _SECRETS)
    }
    return kept | {
        "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1",
        "OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false",
    }


def follow(
    folder: JobFolder, on_view: OnView, offset: int = 0, poll: Poll | None = None
) -> int:
    """Show the job, from byte `offset` of its journal on, until its end; the exit code.

    poll: of the worker where this process started it; else the job's lock tells. Raises UserError
    for a known failure, a fault of the program, or a worker that was killed. Ctrl-C is the
    caller's.
    """
    view = JobView()
    while True:
        code = poll() if poll else None
        has_ended = code is not None if poll else not folder.is_alive()
        entries, offset = read_entries(folder.events, offset)
        for entry in entries:
            view = reduce(view, entry.event)
        if entries:
            on_view(view)
        if has_ended:
            return _outcome(folder, view, code)
        time.sleep(POLL_S)


@contextmanager
def _presses_counted() -> Iterator[list[int]]:
    """Ctrl-C is counted instead of raised: a worker that is just being started must hear of it."""
    presses: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield presses
        return
    earlier = signal.signal(signal.SIGINT, lambda number, _: presses.append(number))
    try:
        yield presses
    finally:
        signal.signal(signal.SIGINT, earlier)


def _outcome(folder: JobFolder, view: JobView, code: int | None) -> int:
    if code == worker.ALREADY_RUNNING:
        raise UserError(
            f'The job "{folder.id}" is already running.', "",
            f"`tunedesk jobs follow {folder.id}` shows it.",
        )
    if view.failure is not None and view.status == "failed":
        raise UserError(*view.failure)
    ends = {"done": worker.DONE, "stopped": worker.STOPPED, "failed": worker.PROOF_FAILED}
    if view.status in ends:
        return ends[view.status]
    raise interrupted(folder.id, where(view), folder.output_log, _output_start(folder), code)


def _output_start(folder: JobFolder) -> int:
    """Where the last run's part of output.log begins."""
    try:
        return int(folder.output_start.read_text())
    except (OSError, ValueError):
        return 0


def _size(path: os.PathLike[str]) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except FileNotFoundError:
        return 0
