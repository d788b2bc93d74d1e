"""Starts a job's worker in a session of its own and follows its journal from this process."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

from converters.errors import UserError
from desktop.jobs import worker
from desktop.jobs.folder import JobFolder
from desktop.jobs.journal import read_entries
from desktop.jobs.progress import JobView, reduce

POLL_S = 0.1
_SECRETS = ("TOKEN", "SECRET", "PASSWORD", "API_KEY", "CREDENTIAL")
OnView = Callable[[JobView], None]


def run(folder: JobFolder, action: str, on_view: OnView) -> int:
    """Start the worker and follow it to its end; the worker's exit code. Raises as `follow`."""
    earlier = folder.events.stat().st_size if folder.events.exists() else 0
    folder.stop.unlink(missing_ok=True)  # an earlier run's
    return follow(folder, start(folder, action), on_view, earlier)


def start(folder: JobFolder, action: str = "tune") -> subprocess.Popen[bytes]:
    """Start the worker; it does not end with this process or its terminal.

    -P: a folder named `desktop` where the person stands must not be taken for ours.
    """
    with folder.output_log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "desktop.jobs.worker", str(folder.root), action],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, env=worker_environment(dict(os.environ)),
        )


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
    folder: JobFolder, process: subprocess.Popen[bytes], on_view: OnView, offset: int = 0
) -> int:
    """Show the job, from byte `offset` of its journal on, until its end; the exit code.

    The first Ctrl-C asks the job to stop (it keeps its adapter), the second ends it at once.
    Raises UserError for a known failure, a fault of the program, or a worker that was killed.
    """
    view, presses = JobView(), 0
    while True:
        try:
            ended = process.poll() is not None
            entries, offset = read_entries(folder.events, offset)
            for entry in entries:
                view = reduce(view, entry.event)
            if entries:
                on_view(view)
            if ended and presses > 1:
                return worker.STOPPED
            if ended:
                return _outcome(folder, process.returncode, view)
            time.sleep(POLL_S)
        except KeyboardInterrupt:
            presses += 1
            folder.ask_to_stop()
            if presses > 1:
                process.kill()


def _outcome(folder: JobFolder, code: int, view: JobView) -> int:
    if code in (worker.DONE, worker.STOPPED, worker.PROOF_FAILED):
        return code
    if view.failure is not None and code in (worker.USER_ERROR, worker.FAULT):
        raise UserError(*view.failure)
    if code == worker.ALREADY_RUNNING:
        raise UserError(f'The job "{folder.id}" is already running.', "", "Wait for its end.")
    raise UserError(
        f"The job was interrupted at step {view.step} of {view.stage or 'its start'}.",
        f"Its process ended with code {code}; finished files in {folder.artefacts} are kept.",
        f"The last lines of {folder.output_log} may say why.",
    )
