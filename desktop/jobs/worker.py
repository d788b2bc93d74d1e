"""The process that does a job's work: `python -m desktop.jobs.worker FOLDER [ACTION]`.

It outlives the window and the terminal; everything it has to say goes into the journal, every
stray print into output.log (its standard output and error, as the launcher opened them).
"""

import errno
import faulthandler
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

from filelock import Timeout

from converters.durable_files import DISK_FULL, remove_staged
from converters.errors import Stopped, UserError
from converters.events import Event, Failed, Finished, Report, ShouldStop
from desktop.jobs.folder import JobFolder
from desktop.jobs.journal import Journal
from desktop.jobs.slot import slot
from desktop.ollama_api import keys

DONE, USER_ERROR, STOPPED, PROOF_FAILED, FAULT, ALREADY_RUNNING = 0, 1, 3, 4, 70, 75
INDEX = "index"
LOCK_S = 1.0
RESERVE_BYTES = 64 * 1024
_GONE = (errno.ENOENT, errno.EIO, errno.ENOTCONN, errno.ESTALE, errno.ENODEV, errno.EROFS)
Action = Callable[[JobFolder, Report, ShouldStop], int]


def main(arguments: list[str]) -> int:
    """Do the action (tune, verify or index) in the job folder; the exit code tells how it ended."""
    folder = JobFolder(Path(arguments[0]))
    action = arguments[1] if len(arguments) > 1 else "tune"
    faulthandler.enable()  # a crash of a native library names itself in output.log
    try:
        with folder.lock().acquire(timeout=LOCK_S):
            folder.reserve.unlink(missing_ok=True)  # room for what follows, on a full disk
            with Journal(folder.events) as journal:
                return _guarded(action, folder, _with_reserve(journal, folder))
    except Timeout:
        return ALREADY_RUNNING


def _action(name: str) -> Action:
    if name == INDEX:
        from desktop.documents.index_job import index

        return index
    from desktop.jobs import pipeline

    return {"tune": pipeline.tune, "verify": pipeline.verify}[name]


def _guarded(action: str, folder: JobFolder, report: Report) -> int:
    """Translate the end of the work into the journal's last events and an exit code."""
    try:
        _settle_in(folder)
        should_stop = _stop_asked(folder)
        # Reading documents needs no graphics card: it waits for nobody.
        turn = nullcontext() if action == INDEX else slot(folder, report, should_stop)
        with turn:
            code = _action(action)(folder, report, should_stop)
    except Stopped:
        report(Finished("stopped"))
        return STOPPED
    except UserError as error:
        return _failed(report, error, USER_ERROR)
    except OSError as error:
        _trace()
        return _failed(report, _of_the_disk(error, folder), USER_ERROR)
    except Exception as error:
        _trace()
        fault = UserError(
            "The program has a fault.", f"{type(error).__name__}: {error}",
            f"The details are in {folder.output_log}; please report them.",
        )
        return _failed(report, fault, FAULT)
    report(Finished("done" if code == DONE else "failed"))
    return code


def _settle_in(folder: JobFolder) -> None:
    remove_staged(folder.root)  # what a killed worker left half written
    folder.write_pid(os.getpid())
    folder.reserve.write_bytes(bytes(RESERVE_BYTES))


def _trace() -> None:
    """Into output.log, unless that lies on the very disk that is full."""
    with suppress(OSError):
        traceback.print_exc()


def _with_reserve(journal: Journal, folder: JobFolder) -> Report:
    """Last words are written even on a full disk: the reserve makes room for them."""

    def write(event: Event) -> None:
        try:
            journal.write(event)
        except OSError:
            if not isinstance(event, Failed | Finished):
                raise
            folder.reserve.unlink(missing_ok=True)
            journal.write(event)

    return write


def _failed(report: Report, error: UserError, code: int) -> int:
    report(Failed(error.title, error.detail, error.hint))
    report(Finished("failed"))
    return code


def _of_the_disk(error: OSError, folder: JobFolder) -> UserError:
    """What the system said about a file, in words; F6 and F36."""
    path = error.filename or folder.root
    resume = f"then go on with `tunedesk jobs resume {folder.id}`."
    if error.errno in DISK_FULL:
        return UserError(
            "Paused: the disk is full.",
            f"{path} could not be written{_free_text(folder)}. Everything up to the last "
            "checkpoint is kept.",
            f"Free some space, {resume}",
        )
    if error.errno in _GONE and not folder.spec.exists():
        return UserError(
            "Paused: the folder of the job is gone.",
            f"{folder.root} cannot be reached: was its disk removed?", f"Mount it again, {resume}",
        )
    return UserError(
        "Paused: a file could not be read or written.", f"{path}: {error.strerror or error}.",
        f"Look at its disk, {resume}",
    )


def _free_text(folder: JobFolder) -> str:
    with suppress(OSError):
        return f"; {shutil.disk_usage(folder.root).free / 1e6:,.1f} MB are free"
    return ""


def _stop_asked(folder: JobFolder) -> ShouldStop:
    """True once the stop file is there or a terminate signal came."""
    signals: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: signals.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the launcher's to translate
    return lambda: bool(signals) or folder.is_asked_to_stop()


if __name__ == "__main__":
    if not sys.stdin.isatty():  # the launcher's pipe; a person at a terminal has nothing to say
        keys.read_from_parent(sys.stdin)
    sys.exit(main(sys.argv[1:]))
