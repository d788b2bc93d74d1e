"""R1: 50 kills of real runs at random moments; each resumes by itself and ends as if undisturbed.

Slow (`make test-full`): about eight minutes, most of it starting torch 50 times.
"""

import os
import random
import signal
import subprocess
import time

import pytest

from desktop.core.catalog import file_sha256
from desktop.jobs import launcher
from desktop.jobs.folder import JobFolder
from desktop.jobs.store import job_line
from finetune.checkpoints import newest_valid
from tests.thread.test_survival import Survivor

KILLS = 50
LONGEST_S = 14.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def _begin(desk, mails, name: str) -> JobFolder:
    train, held_out = mails
    ran = desk.run(
        "tune", "--model", "smollm2:135m", "--data", str(train), "--held-out", str(held_out),
        "--epochs", "1", "--checkpoint-seconds", "1", "--detach", "--json", "--name", name,
    )
    assert ran.code == 0, ran.err + ran.out
    return JobFolder(desk.home / "jobs" / ran.json["job"])


def _kill(folder: JobFolder) -> None:
    pid = folder.pid()
    if pid is None:
        return
    os.killpg(pid, signal.SIGKILL)
    while folder.is_alive():
        time.sleep(0.01)


def _check_whole(folder: JobFolder, tuned) -> None:
    """A finished run equals the undisturbed one in every loss and in its file."""
    view = Survivor(tuned.desk, folder).view()
    expected = Survivor(tuned.desk, tuned.folder).view()
    assert [(step, loss.hex()) for step, loss in view.losses] == [
        (step, loss.hex()) for step, loss in expected.losses
    ]
    assert file_sha256(folder.gguf) == file_sha256(tuned.folder.gguf)


def test_r1_fifty_random_kills_change_nothing(tuned, mails, capsys):
    chance = random.Random(20261124)
    kills, runs, at = 0, 1, {}
    process: subprocess.Popen[bytes] | None = None
    folder = _begin(tuned.desk, mails, "kill-1")
    while True:
        deadline = time.monotonic() + (
            600 if kills >= KILLS else chance.uniform(0.2, LONGEST_S)
        )
        while folder.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        if folder.is_alive():
            stage = job_line(folder).stage
            _kill(folder)
            kills += 1
            at[stage] = at.get(stage, 0) + 1
        if process is not None:
            process.wait()
        line = job_line(folder)
        assert line.status in ("interrupted", "done"), line
        assert newest_valid(folder.checkpoints).damaged == ()
        if line.status == "done":
            _check_whole(folder, tuned)
            if kills >= KILLS:
                break
            runs += 1
            folder = _begin(tuned.desk, mails, f"kill-{runs}")
            continue
        process = launcher.start(folder)
    with capsys.disabled():
        where = ", ".join(f"{count} in {stage or 'the start'}" for stage, count in at.items())
        print(f"\n{kills} kills in {runs} runs: {where}")
