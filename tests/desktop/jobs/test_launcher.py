"""A real worker as a child: it ends in words, whatever happens to it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from converters.errors import UserError
from converters.events import Failed, Progress, Stage
from desktop.core.records import Record
from desktop.jobs import launcher, worker
from desktop.jobs.folder import create_job
from desktop.jobs.journal import Journal, read_entries


class Foreign(Record):
    """A specification that no worker knows."""

    name: str


def _folder(tmp_path):
    return create_job(tmp_path / "jobs", "x", Foreign(name="x"))


def test_a_specification_of_another_kind_is_an_explained_failure(tmp_path):
    folder = _folder(tmp_path)
    views = []
    with pytest.raises(UserError) as caught:
        launcher.run(folder, "tune", views.append)
    assert caught.value.title == "The job's file spec.json cannot be used."
    assert views[-1].status == "failed"
    assert not folder.is_alive()


def test_a_second_worker_on_one_folder_is_refused(tmp_path):
    folder = _folder(tmp_path)
    with folder.lock(), pytest.raises(UserError) as caught:
        launcher.run(folder, "tune", lambda _: None)
    assert "is already running" in caught.value.title


def test_f3_a_killed_worker_is_said_to_be_interrupted_at_its_step(tmp_path):
    folder = _folder(tmp_path)
    with Journal(folder.events) as journal:
        journal.write(Stage("train"))
        journal.write(Progress(step=7, steps=75))
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    os.kill(sleeper.pid, signal.SIGKILL)
    started = time.monotonic()
    with pytest.raises(UserError) as caught:
        launcher.follow(folder, lambda _: None, poll=sleeper.poll)
    assert time.monotonic() - started < 2
    assert caught.value.title == "The job was interrupted at step 7 of 75 (train)."
    assert "code -9" in caught.value.detail
    assert f"tunedesk jobs resume {folder.id}" in caught.value.hint


def test_following_from_elsewhere_sees_by_the_lock_that_the_worker_died(tmp_path):
    folder = _folder(tmp_path)
    with Journal(folder.events) as journal:
        journal.write(Stage("render"))
    with pytest.raises(UserError) as caught:
        launcher.follow(folder, lambda _: None)
    assert caught.value.title == 'The job was interrupted at "prepare the rows".'


def test_a_fault_of_the_program_is_written_down_with_its_trace(tmp_path):
    folder = _folder(tmp_path)
    with Journal(folder.events) as journal:
        code = worker._guarded("no such action", folder, journal.write)
    entries, _ = read_entries(folder.events)
    failed = entries[-2].event
    assert code == worker.FAULT
    assert isinstance(failed, Failed)
    assert failed.detail.startswith("KeyError")
    assert str(folder.output_log) in failed.hint


def test_the_workers_environment_holds_no_secret_and_stays_offline():
    made = launcher.worker_environment({"HF_TOKEN": "s", "OLLAMA_API_KEY": "s", "PATH": "/bin"})
    assert "s" not in made.values()
    assert made["PATH"] == "/bin"
    assert (made["HF_HUB_OFFLINE"], made["OMP_WAIT_POLICY"]) == ("1", "PASSIVE")


def test_an_earlier_runs_output_is_not_blamed_for_this_ones_end(tmp_path):
    folder = _folder(tmp_path)
    folder.output_log.write_text("OSError: [Errno 28] No space left on device\n")
    with Journal(folder.events) as journal:
        journal.write(Stage("train"))
    folder.output_start.write_text(str(folder.output_log.stat().st_size))
    with pytest.raises(UserError) as caught:
        launcher.follow(folder, lambda _: None)
    assert "disk" not in caught.value.detail
    folder.output_start.write_text("0")
    with pytest.raises(UserError) as caught:
        launcher.follow(folder, lambda _: None)
    assert caught.value.detail.startswith("The disk is full.")


def test_ctrl_c_while_the_worker_is_started_is_a_wish_to_stop(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with launcher._presses_counted() as presses:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
    assert presses == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is before
