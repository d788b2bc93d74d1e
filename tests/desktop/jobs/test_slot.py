"""One job computes, the others wait in order; a dead one keeps nobody waiting."""

import threading
import time

import pytest

from converters.errors import Stopped
from converters.events import Note
from desktop.jobs.slot import slot, waiting
from tests.desktop.jobs.job_folders import holder, new_job


def _until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Queue:
    """Jobs of this process, each in a thread that holds its own lock as a worker does."""

    def __init__(self):
        self.order: list[str] = []
        self.notes: list[str] = []
        self.go_on = {}
        self.stopped: list[str] = []
        self.threads: list[threading.Thread] = []

    def start(self, folder, should_stop=lambda: False):
        self.go_on[folder.id] = threading.Event()
        thread = threading.Thread(target=self._work, args=(folder, should_stop))
        self.threads.append(thread)
        thread.start()

    def _work(self, folder, should_stop):
        try:
            with folder.lock(), slot(folder, self._report, should_stop):
                self.order.append(folder.id)
                self.go_on[folder.id].wait(10)
        except Stopped:
            self.stopped.append(folder.id)

    def _report(self, event):
        if isinstance(event, Note):
            self.notes.append(event.text)

    def end(self):
        for event in self.go_on.values():
            event.set()
        for thread in self.threads:
            thread.join()


@pytest.fixture
def queue():
    queue = Queue()
    yield queue
    queue.end()


def test_jobs_compute_one_after_the_other_in_the_order_of_their_coming(tmp_path, queue):
    first, second, third = (new_job(tmp_path, name) for name in ("one", "two", "three"))
    queue.start(first)
    _until(lambda: queue.order == [first.id])
    queue.start(third)  # came before `second`, though its id is later
    _until(third.ticket.exists)
    queue.start(second)
    _until(lambda: waiting(tmp_path / "jobs") == [third, second])
    _until(lambda: len(queue.notes) == 2)
    assert queue.notes[1].endswith("(number 2 in the queue).")
    queue.go_on[first.id].set()
    _until(lambda: queue.order == [first.id, third.id])
    queue.go_on[third.id].set()
    _until(lambda: queue.order == [first.id, third.id, second.id])
    assert not first.ticket.exists()


def test_a_waiting_job_stops_when_it_is_asked_to(tmp_path, queue):
    first, second = new_job(tmp_path, "one"), new_job(tmp_path, "two")
    queue.start(first)
    _until(lambda: queue.order == [first.id])
    queue.start(second, second.is_asked_to_stop)
    _until(second.ticket.exists)
    second.ask_to_stop()
    _until(lambda: queue.stopped == [second.id])
    assert not second.ticket.exists()


def test_the_ticket_of_a_killed_job_counts_for_nothing(tmp_path, queue):
    dead, alive = new_job(tmp_path, "dead"), new_job(tmp_path, "alive")
    dead.ticket.write_text("1")
    with holder(dead, "terminate"):
        assert waiting(tmp_path / "jobs") == [dead]
    queue.start(alive)
    _until(lambda: queue.order == [alive.id])
