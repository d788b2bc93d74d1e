"""One real job that is detached, frozen, killed three times, stopped and resumed.

It trains the same rows as the undisturbed run of `tuned`, so that every loss and every byte of
the result must be the same.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from converters.events import Checkpoint, Note, Progress
from desktop.core.catalog import file_sha256
from desktop.jobs.folder import JobFolder
from desktop.jobs.journal import read_entries
from desktop.jobs.progress import JobView, reduce
from tests.servers.private_ollama import call
from tests.thread.conftest import Desk, Ran, Tuned

WAIT_S = 300


@dataclass
class Survivor:
    """The job while things happen to it, and what was seen after each of them."""

    desk: Desk
    folder: JobFolder
    seen: dict[str, Any] = field(default_factory=dict)

    def jobs(self, *words: str) -> Ran:
        return self.desk.run("jobs", *words)

    def line(self) -> dict[str, Any]:
        lines = self.desk.run("jobs", "list", "--json").json
        return next(line for line in lines if line["id"] == self.folder.id)

    def view(self) -> JobView:
        view = JobView()
        for entry in read_entries(self.folder.events)[0]:
            view = reduce(view, entry.event)
        return view

    def until(self, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + WAIT_S
        while not (found := condition()):
            assert time.monotonic() < deadline, self.view()
            assert self.folder.is_alive(), self.jobs("show", self.folder.id).out
            time.sleep(0.05)
        return found

    def until_step(self, more: int) -> None:
        """Until the training is `more` steps beyond the newest checkpoint before this call."""
        goal = self.view().step + more
        self.until(lambda: self.view().stage == "train" and self.view().step >= goal)

    def kill(self) -> None:
        """As the system's out-of-memory killer does: worker and children at once."""
        pid = self.folder.pid()
        assert pid is not None
        os.killpg(pid, signal.SIGKILL)
        deadline = time.monotonic() + 2
        while self.folder.is_alive():
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture(scope="module")
def survivor(tuned: Tuned, mails) -> Iterator[Survivor]:
    train, held_out = mails
    words = ("tune", "--model", "smollm2:135m", "--data", str(train), "--held-out", str(held_out),
             "--epochs", "1", "--checkpoint-seconds", "1", "--detach", "--json")  # fmt: skip
    detached = tuned.desk.run(*words, "--name", "survivor")
    assert detached.code == 0, detached.err + detached.out
    folder = JobFolder(tuned.desk.home / "jobs" / detached.json["job"])
    job = Survivor(tuned.desk, folder, {"detached": detached})
    try:
        job.seen["line"] = job.line()
        job.seen["second"] = tuned.desk.run(*words, "--name", "second").json["job"]
        _story(job)
        yield job
    finally:
        if folder.is_alive():
            job.kill()


def _story(job: Survivor) -> None:
    _queue(job)
    _freeze_and_kill(job)
    _kill_the_window_then_the_worker(job)
    _stop(job)
    _kill_after_the_training(job)
    job.seen["result"] = job.jobs("resume", job.folder.id, "--json")


def _queue(job: Survivor) -> None:
    second = job.seen["second"]
    lines = job.desk.run("jobs", "--json").json
    job.seen["queued"] = next(line for line in lines if line["id"] == second)
    job.seen["queue stopped"] = job.jobs("stop", second, "--json")
    job.seen["queue deleted"] = job.jobs("delete", second, "--json")


def _freeze_and_kill(job: Survivor) -> None:
    job.until(lambda: job.view().checkpoint_step)
    pid = job.folder.pid()
    assert pid is not None
    os.killpg(pid, signal.SIGSTOP)  # the machine sleeps
    time.sleep(2)
    job.seen["frozen"] = job.line()
    os.killpg(pid, signal.SIGCONT)
    job.until_step(2)
    job.kill()
    job.seen["killed"] = job.line()
    job.seen["followed"] = job.jobs("follow", job.folder.id, "--json")


def _kill_the_window_then_the_worker(job: Survivor) -> None:
    window = subprocess.Popen(
        [sys.executable, "-P", "-m", "desktop", "jobs", "resume", job.folder.id,
         "--home", str(job.desk.home)],
        env=os.environ | {"OMP_NUM_THREADS": "2"}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )
    while not job.folder.is_alive():
        time.sleep(0.05)
    pid = job.folder.pid()
    job.until(lambda: job.view().stage == "train" and job.view().status == "running")
    os.killpg(window.pid, signal.SIGKILL)
    window.wait()
    job.until_step(3)
    job.seen["after the window"] = (pid, job.line())
    job.kill()


def _stop(job: Survivor) -> None:
    job.seen["resumed"] = job.jobs("resume", job.folder.id, "--detach", "--json")
    job.until_step(2)
    job.seen["stopped"] = job.jobs("stop", job.folder.id, "--json")
    job.seen["stopped line"] = job.line()


def _kill_after_the_training(job: Survivor) -> None:
    job.jobs("resume", job.folder.id, "--detach")
    job.until(lambda: job.view().stage == "compare" and job.view().step >= 2)
    job.kill()


def test_a_detached_job_runs_on_its_own_and_is_listed(survivor):
    line = survivor.seen["line"]
    assert survivor.seen["detached"].json.keys() == {"job"}
    assert line["status"] == "running"
    assert line["model"] == "survivor"
    assert isinstance(line["pid"], int)


def test_a_second_job_waits_in_the_queue_and_can_be_stopped_and_deleted_there(survivor):
    seen = survivor.seen
    assert seen["queued"]["status"] == "queued"
    assert seen["queue stopped"].json["status"] == "stopped"
    assert seen["queue stopped"].json["how"] == "stopped by itself"
    assert seen["queue deleted"].json["freed_bytes"] > 0
    assert not (survivor.folder.root.parent / seen["second"]).exists()


def test_f3_a_killed_job_is_interrupted_at_its_step_and_says_how_to_go_on(survivor):
    line, followed = survivor.seen["killed"], survivor.seen["followed"]
    assert line["status"] == "interrupted"
    assert "pid" not in line
    error = followed.json["error"]
    assert followed.code == 1
    assert error["title"].startswith("The job was interrupted at step ")
    assert f"tunedesk jobs resume {survivor.folder.id}" in error["hint"]


def test_f34_a_job_that_slept_goes_on(survivor):
    assert survivor.seen["frozen"]["status"] == "running"


def test_f4_a_killed_window_takes_no_job_down(survivor):
    pid, line = survivor.seen["after the window"]
    assert line["status"] == "running"
    assert line["pid"] == pid


def test_stop_keeps_a_checkpoint_of_the_last_step(survivor):
    stopped, line = survivor.seen["stopped"], survivor.seen["stopped line"]
    assert stopped.json["how"] == "stopped by itself"
    assert line["status"] == "stopped"
    entries = [entry.event for entry in read_entries(survivor.folder.events)[0]]
    at = next(i for i, event in enumerate(entries) if getattr(event, "outcome", "") == "stopped")
    kept = [event.step for event in entries[:at] if isinstance(event, Checkpoint)]
    assert kept[-1] == line["step"]


def test_every_loss_is_the_undisturbed_runs_to_the_last_bit(survivor, tuned):
    undisturbed = Survivor(tuned.desk, tuned.folder).view()
    view = survivor.view()
    assert [(step, loss.hex()) for step, loss in view.losses] == [
        (step, loss.hex()) for step, loss in undisturbed.losses
    ]
    assert view.held_out == undisturbed.held_out


def test_at_most_one_interval_was_lost(survivor):
    """After every start the training goes on at a checkpoint that was reported before."""
    kept, lost = 0, []
    previous = 0
    for entry in read_entries(survivor.folder.events)[0]:
        match entry.event:
            case Checkpoint(step):
                kept = step
            case Progress(step, _, loss) if loss is not None:
                if step <= previous:
                    lost.append(previous - step + 1)
                    assert step == kept + 1
                previous = step
    assert len(lost) <= 3
    assert lost, "the kills came too late to test anything"


def test_finished_steps_were_kept_and_the_result_is_the_undisturbed_runs(survivor, tuned):
    result = survivor.seen["result"]
    assert result.code == 0, result.err
    notes = [
        entry.event.text for entry in read_entries(survivor.folder.events)[0]
        if isinstance(entry.event, Note)
    ]
    assert "Kept from the earlier run: render, score the base, train." in notes
    weights = "adapter_model.safetensors"
    assert file_sha256(survivor.folder.adapter / weights) == file_sha256(
        tuned.folder.adapter / weights
    )
    assert file_sha256(survivor.folder.gguf) == file_sha256(tuned.folder.gguf)
    assert {name: proof["status"] for name, proof in result.json["proof"].items()} == dict.fromkeys(
        ("text", "ids", "logits", "delta"), "passed"
    )
    assert result.json["seconds"].keys() >= {"render", "train", "export", "publish", "prove"}


def test_nothing_half_written_is_left(survivor):
    assert [path.name for path in survivor.folder.root.rglob("*.partial")] == []
    names = [model["name"] for model in call(survivor.desk.server.url, "/api/tags")["models"]]
    assert "survivor:latest" in names
    assert "survivor:unproven" not in names


def test_show_tells_folder_and_result(survivor):
    shown = survivor.jobs("show", survivor.folder.id, "--json").json
    assert shown["folder"] == str(survivor.folder.root)
    assert shown["status"] == "done"
    assert shown["score"] == survivor.seen["result"].json["score"]
    again = survivor.jobs("resume", survivor.folder.id, "--json")
    assert again.code == 1
    assert again.json["error"]["title"] == f'The job "{survivor.folder.id}" is done.'
    assert json.loads(survivor.folder.artefact("manifest.json").read_text())["files"]
