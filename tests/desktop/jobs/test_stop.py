"""The ladder: stop file, terminate, kill; each rung only when the one before did nothing."""

import time

import pytest

from desktop.jobs.stop import Ladder, stop
from tests.desktop.jobs.job_folders import holder, new_job

QUICK = Ladder(ask_s=0.4, terminate_s=0.4)


@pytest.mark.parametrize(("answers", "how", "told"), [
    ("stop file", "stopped by itself", 1), ("terminate", "terminated", 2), ("nothing", "killed", 3),
])
def test_the_ladder_is_climbed_as_far_as_needed(tmp_path, answers, how, told):
    folder = new_job(tmp_path)
    sentences: list[str] = []
    with holder(folder, answers):
        assert folder.is_alive()
        assert stop(folder, QUICK, sentences.append) == how
        assert not folder.is_alive()
    assert len(sentences) == told
    assert sentences[0] == "Asked to stop; what it has finished is kept."


def test_a_job_that_does_not_run_is_left_alone(tmp_path):
    folder = new_job(tmp_path)
    folder.write_pid(1)  # of a process that has nothing to do with it
    started = time.monotonic()
    assert stop(folder) == "not running"
    assert time.monotonic() - started < 0.1
    assert not folder.is_asked_to_stop()


def test_the_usual_ladder_waits_15_and_5_seconds():
    assert (Ladder().ask_s, Ladder().terminate_s) == (15.0, 5.0)
