"""The process that does a job's work: `python -m desktop.jobs.worker FOLDER [ACTION]`.

It outlives the window and the terminal; everything it has to say goes into the journal, every
stray print into output.log (its standard output and error, as the launcher opened them).
"""

import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from filelock import Timeout

from converters.errors import Stopped, UserError
from converters.events import Failed, Finished, Report, ShouldStop
from desktop.jobs.folder import JobFolder
from desktop.jobs.journal import Journal

DONE, USER_ERROR, STOPPED, PROOF_FAILED, FAULT, ALREADY_RUNNING = 0, 1, 3, 4, 70, 75
Action = Callable[[JobFolder, Report, ShouldStop], int]


def main(arguments: list[str]) -> int:
    """Do the action (`tune` or `verify`) in the job folder; the exit code tells how it ended."""
    folder = JobFolder(Path(arguments[0]))
    action = arguments[1] if len(arguments) > 1 else "tune"
    try:
        with folder.lock().acquire(timeout=0), Journal(folder.events) as journal:
            return _guarded(action, folder, journal.write)
    except Timeout:
        return ALREADY_RUNNING


def _action(name: str) -> Action:
    from desktop.jobs import pipeline

    return {"tune": pipeline.tune, "verify": pipeline.verify}[name]


def _guarded(action: str, folder: JobFolder, report: Report) -> int:
    """Translate the end of the work into the journal's last events and an exit code."""
    try:
        code = _action(action)(folder, report, _stop_asked(folder))
    except Stopped:
        report(Finished("stopped"))
        return STOPPED
    except UserError as error:
        report(Failed(error.title, error.detail, error.hint))
        report(Finished("failed"))
        return USER_ERROR
    except Exception as error:
        traceback.print_exc()
        report(Failed(
            "The program has a fault.", f"{type(error).__name__}: {error}",
            f"The details are in {folder.output_log}; please report them.",
        ))
        report(Finished("failed"))
        return FAULT
    report(Finished("done" if code == DONE else "failed"))
    return code


def _stop_asked(folder: JobFolder) -> ShouldStop:
    """True once the stop file is there or a terminate signal came."""
    signals: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: signals.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the launcher's to translate
    return lambda: bool(signals) or folder.is_asked_to_stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
