"""R1: 50 kills of real runs, spread over every stage; each resumes by itself and the end is that
of an undisturbed run.

Slow (`make test-full`): about ten minutes, most of it starting torch again and again.
"""

import os
import random
import signal
import subprocess
import time
from collections import Counter

import pytest

from desktop.core.catalog import file_sha256
from desktop.jobs import launcher
from desktop.jobs.folder import JobFolder
from desktop.jobs.journal import read_entries
from desktop.jobs.store import job_line, view_of
from finetune.checkpoints import newest_valid
from tests.thread.test_survival import Survivor

KILLS, IN_TRAINING, IN_ONE_STAGE = 50, 24, 4
START = "the start"
LONGEST_PAUSE_S = 2.5

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def _begin(desk, mails, name: str) -> JobFolder:
    train, held_out = mails
    ran = desk.run(
        "tune", "--model", "smollm2:135m", "--data", str(train), "--held-out", str(held_out),
        "--epochs", "1", "--checkpoint-seconds", "1", "--detach", "--json", "--name", name,
    )
    assert ran.code == 0, ran.err + ran.out
    return JobFolder(desk.home / "jobs" / ran.json["job"])


def _stage(folder: JobFolder, since: int) -> str:
    """The stage that this run has reached; its journal begins at byte `since`."""
    return view_of(read_entries(folder.events, since)[0]).stage or START


def _wait_for_a_moment(
    folder: JobFolder, since: int, aimed: Counter[str], chance: random.Random
) -> str:
    """A random moment after the begin of a stage that was not aimed at too often yet; that stage,
    or "" if the job ended first."""
    while folder.is_alive():
        stage = _stage(folder, since)
        most = IN_TRAINING if stage == "train" else IN_ONE_STAGE
        if aimed.total() < KILLS and aimed[stage] < most:
            time.sleep(chance.uniform(0, LONGEST_PAUSE_S))
            return stage
        time.sleep(0.05)
    return ""


def _kill(folder: JobFolder) -> bool:
    pid = folder.pid()
    if pid is None:
        return False
    os.killpg(pid, signal.SIGKILL)
    while folder.is_alive():
        time.sleep(0.01)
    return True


def _check_whole(folder: JobFolder, tuned) -> None:
    """A finished run equals the undisturbed one in every loss and in its file."""
    view = Survivor(tuned.desk, folder).view()
    expected = Survivor(tuned.desk, tuned.folder).view()
    assert [(step, loss.hex()) for step, loss in view.losses] == [
        (step, loss.hex()) for step, loss in expected.losses
    ]
    assert file_sha256(folder.gguf) == file_sha256(tuned.folder.gguf)


def test_r1_fifty_kills_in_every_stage_change_nothing(tuned, mails, capsys):
    chance = random.Random(20261124)
    aimed: Counter[str] = Counter()
    met: Counter[str] = Counter()
    runs = 1
    folder, since = _begin(tuned.desk, mails, "kill-1"), 0
    process: subprocess.Popen[bytes] | None = None
    while True:
        stage = _wait_for_a_moment(folder, since, aimed, chance)
        if stage and _kill(folder):
            aimed[stage] += 1
            met[_stage(folder, since)] += 1
        if process is not None:
            process.wait()
        line = job_line(folder)
        assert line.status in ("interrupted", "done"), line
        assert newest_valid(folder.checkpoints).damaged == ()
        if line.status == "done":
            _check_whole(folder, tuned)
            if met.total() >= KILLS:
                break
            runs += 1
            folder, since, process = _begin(tuned.desk, mails, f"kill-{runs}"), 0, None
        else:
            since = folder.events.stat().st_size
            process = launcher.start(folder)
    with capsys.disabled():
        where = ", ".join(f"{count} in {stage}" for stage, count in met.items())
        print(f"\n{met.total()} kills in {runs} runs: {where}")
    assert met["train"] >= 10
    assert len(met) >= 5, "the kills met too few stages"
