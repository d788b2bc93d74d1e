"""Job folders as `tunedesk tune` makes them, and children that hold their locks."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from desktop.jobs.folder import JobFolder, create_job
from desktop.jobs.spec import BaseFile, TuneJob
from finetune.spec import TuneSpec

_HOLD = """
import os, signal, sys, time
from pathlib import Path
from desktop.jobs.folder import JobFolder
folder = JobFolder(Path(sys.argv[1]))
answer = sys.argv[2]
if answer == "nothing":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with folder.lock():
    folder.write_pid(os.getpid())
    print("held", flush=True)
    while not (answer == "stop file" and folder.is_asked_to_stop()):
        time.sleep(0.02)
"""


def tune_job(tmp_path: Path, name: str = "tickets") -> TuneJob:
    """A whole specification; its base is not there."""
    return TuneJob(
        tune=TuneSpec(model="smollm2:135m", data=tmp_path / "rows.jsonl", name=name),
        engine="builtin", host="", version="0", home=tmp_path,
        base=BaseFile(
            model="smollm2:135m", path=tmp_path / "base.gguf", sha256="0" * 64, digest="0" * 64,
            architecture="llama", n_bytes=1,
        ),
    )


def new_job(tmp_path: Path, name: str = "tickets") -> JobFolder:
    """A folder that no worker has touched."""
    return create_job(tmp_path / "jobs", name, tune_job(tmp_path, name))


@contextmanager
def holder(folder: JobFolder, answers: str = "stop file") -> Iterator[subprocess.Popen[str]]:
    """A child that holds the job's lock and gives way to `answers`: the "stop file", "terminate",
    or "nothing" but a kill."""
    child = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder.root), answers], stdout=subprocess.PIPE,
        text=True, start_new_session=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        yield child
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()
