"""One job at a time computes: the others wait in the order in which they came.

No server keeps the queue: every waiting worker holds a numbered ticket in its own job folder, and
the first one that is alive takes the slot when it is free. A dead worker's ticket counts for
nothing, and the system frees the slot of one that was killed.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from converters.durable_files import write_bytes
from converters.errors import Stopped
from converters.events import Note, Report, ShouldStop, Stage
from desktop.core.held_lock import is_held
from desktop.jobs.folder import JobFolder

POLL_S = 0.25
SLOT, COUNTER = ".slot", ".tickets"
WAITING = "queue"


@contextmanager
def slot(folder: JobFolder, report: Report, should_stop: ShouldStop) -> Iterator[None]:
    """Wait for the turn of `folder`, then hold the slot for the block.

    Says once for whom it waits. Raises Stopped when asked to stop while waiting.
    """
    jobs = folder.root.parent
    lock = FileLock(jobs / SLOT)
    try:
        _draw_ticket(folder)
        _wait(folder, lock, report, should_stop)
    finally:
        folder.ticket.unlink(missing_ok=True)
    try:
        yield
    finally:
        lock.release()


def waiting(jobs: Path) -> list[JobFolder]:
    """The jobs that wait for the slot and are alive, first come first."""
    tickets = [(number, JobFolder(path.parent)) for path in jobs.glob("*/ticket")
               if (number := _number(path)) is not None]
    return [folder for _, folder in sorted(tickets, key=lambda pair: pair[0])
            if is_held(folder.root / "lock")]


def _wait(folder: JobFolder, lock: FileLock, report: Report, should_stop: ShouldStop) -> None:
    said = False
    while not _taken(folder, lock):
        if should_stop():
            raise Stopped
        if not said:
            report(Stage(WAITING))
            report(Note("info", _whom(folder)))
            said = True
        time.sleep(POLL_S)


def _taken(folder: JobFolder, lock: FileLock) -> bool:
    line = waiting(folder.root.parent)
    if line and line[0] != folder:
        return False
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _whom(folder: JobFolder) -> str:
    before = [other.id for other in waiting(folder.root.parent)]
    place = before.index(folder.id) + 1 if folder.id in before else 1
    return f"Another job is computing; this one waits for its turn (number {place} in the queue)."


def _draw_ticket(folder: JobFolder) -> None:
    """Numbers only grow, whatever the clock does."""
    jobs = folder.root.parent
    with FileLock(jobs / f"{COUNTER}.lock"):
        number = (_number(jobs / COUNTER) or 0) + 1
        write_bytes(jobs / COUNTER, str(number).encode())
        write_bytes(folder.ticket, str(number).encode())


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
