"""The list of jobs is read from their folders alone, whatever state those are in."""

import json
import os
import shutil

import pytest

from converters.errors import UserError
from converters.events import Failed, Finished, Progress, Stage, Started
from desktop.jobs import store
from desktop.jobs.journal import Journal
from desktop.jobs.resume import require_resumable
from desktop.jobs.store import job_line, jobs_of
from tests.desktop.jobs.job_folders import holder, new_job

KEYS = {"id", "kind", "status", "step", "steps", "started", "model"}


def _tell(folder, *events):
    with Journal(folder.events) as journal:
        for event in events:
            journal.write(event)


def test_a_running_job_shows_step_time_left_and_its_process(tmp_path):
    folder = new_job(tmp_path)
    _tell(folder, Started({}), Stage("train"), Progress(7, 75, loss=1.0, remaining_s=61))
    with holder(folder) as child:
        line = job_line(folder)
        assert (line.status, line.step, line.steps, line.pid) == ("running", 7, 75, child.pid)
        assert line.remaining_s == 61
        assert line.as_json().keys() >= KEYS | {"pid"}
        folder.ask_to_stop()
        assert job_line(folder).status in ("stopping", "interrupted")


@pytest.mark.parametrize(("events", "status"), [
    ([], "interrupted"),
    ([Started({}), Stage("train"), Progress(7, 75)], "interrupted"),
    ([Started({}), Finished("done")], "done"),
    ([Started({}), Finished("stopped")], "stopped"),
    ([Started({}), Failed("a", "b", "c"), Finished("failed")], "failed"),
    ([Started({}), Finished("stopped"), Started({}), Stage("train")], "interrupted"),
])
def test_without_a_living_worker_the_journal_tells(tmp_path, events, status):
    folder = new_job(tmp_path)
    _tell(folder, *events)
    line = job_line(folder)
    assert line.status == status
    assert line.pid is None
    assert "pid" not in line.as_json()


def test_a_waiting_job_is_queued(tmp_path):
    folder = new_job(tmp_path)
    folder.ticket.write_text("3")
    with holder(folder):
        assert job_line(folder).status == "queued"


def test_a_long_journal_is_not_read_whole_for_the_list(tmp_path):
    folder = new_job(tmp_path)
    _tell(folder, Started({}), Stage("train"), *(Progress(n, 9000, loss=1.0) for n in range(1500)))
    _tell(folder, Finished("done"))
    line = job_line(folder)
    assert (line.status, line.step) == ("done", 1499)
    assert line.started.startswith("20")


def test_the_newest_job_comes_first_and_hidden_folders_are_no_jobs(tmp_path):
    old, new = new_job(tmp_path, "a"), new_job(tmp_path, "b")
    (tmp_path / "jobs" / ".deleted-x").mkdir()
    assert [line.id for line in jobs_of(tmp_path / "jobs")] == sorted([old.id, new.id])[::-1]
    assert jobs_of(tmp_path / "nowhere") == []


@pytest.mark.parametrize("damage", ["no spec", "half a spec", "no artefacts", "garbage journal"])
def test_a_damaged_folder_is_listed_with_its_problem_and_can_be_deleted(tmp_path, damage):
    folder = new_job(tmp_path)
    _tell(folder, Started({}), Stage("train"))
    if damage == "no spec":
        folder.spec.unlink()
    elif damage == "half a spec":
        folder.spec.write_bytes(folder.spec.read_bytes()[:100])
    elif damage == "no artefacts":
        shutil.rmtree(folder.artefacts)
    else:
        folder.events.write_bytes(os.urandom(5000))
    (line,) = jobs_of(tmp_path / "jobs")
    assert line.status == "interrupted"
    if "spec" in damage:
        assert line.problem.startswith("The job's file spec.json cannot be used.")
        assert line.kind == "unknown"
    with pytest.raises(UserError) as caught:
        require_resumable(folder)
    assert str(folder.root) in str(caught.value) or "spec.json" in str(caught.value)
    assert store.delete(folder) > 0
    assert jobs_of(tmp_path / "jobs") == []


def test_deleting_says_what_it_frees_and_a_file_that_ollama_holds_too_frees_nothing(tmp_path):
    folder = new_job(tmp_path)
    before = store.freed_bytes(folder)
    folder.gguf.write_bytes(bytes(1000))
    folder.artefact("own").write_bytes(bytes(234))
    (tmp_path / "blob").hardlink_to(folder.gguf)
    assert store.delete(folder) == before + 234
    assert (tmp_path / "blob").stat().st_size == 1000
    assert list((tmp_path / "jobs").iterdir()) == []


def test_a_running_job_is_not_deleted(tmp_path):
    folder = new_job(tmp_path)
    with holder(folder), pytest.raises(UserError) as caught:
        store.delete(folder)
    assert caught.value.title == f'The job "{folder.id}" is running.'
    assert folder.spec.exists()


def test_a_deletion_that_was_cut_off_is_finished_by_the_next(tmp_path):
    gone = tmp_path / "jobs" / ".deleted-20260101-000000-x"
    gone.mkdir(parents=True)
    (gone / "big").write_bytes(bytes(10))
    store.delete(new_job(tmp_path))
    assert not gone.exists()


def test_a_done_or_running_job_is_not_resumed(tmp_path):
    folder = new_job(tmp_path)
    folder.artefact("manifest.json").write_text(json.dumps({"files": {}}))
    _tell(folder, Started({}), Finished("done"))
    with pytest.raises(UserError) as caught:
        require_resumable(folder)
    assert caught.value.title == f'The job "{folder.id}" is done.'
    other = new_job(tmp_path, "other")
    with holder(other), pytest.raises(UserError) as caught:
        require_resumable(other)
    assert "is already running" in caught.value.title
