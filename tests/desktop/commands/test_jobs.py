"""`tunedesk jobs` on folders in every state: texts, JSON and exit codes that scripts rely on."""

import json

import pytest
from typer.testing import CliRunner

from converters.events import Failed, Finished, Note, Progress, Stage, Started
from desktop.cli import build_app
from desktop.jobs.accept import Offer, accepted, make_offer
from desktop.jobs.journal import Journal
from finetune.relief import Relief
from tests.desktop.jobs.job_folders import holder, new_job

LIST_KEYS = {"id", "kind", "status", "step", "steps", "started", "model"}


@pytest.fixture
def call(tmp_path):
    app = build_app(["jobs"])

    def run(*words: str):
        return CliRunner().invoke(app, ["jobs", *words, "--home", str(tmp_path)])

    return run


def _tell(folder, *events):
    with Journal(folder.events) as journal:
        for event in events:
            journal.write(event)


def test_no_jobs_is_said_in_words_and_is_an_empty_list(call):
    assert call().output == "There are no jobs yet.\n"
    assert json.loads(call("--json").stdout) == []
    assert json.loads(call("list", "--json").stdout) == []


def test_the_list_shows_status_step_and_time_left(call, tmp_path):
    folder = new_job(tmp_path)
    _tell(folder, Started({}), Stage("train"), Progress(7, 75, loss=1.0, remaining_s=200))
    with holder(folder) as child:
        assert call().output == f"{folder.id}  running      tickets  train 7/75  3 min 20 s left\n"
        (line,) = json.loads(call("list", "--json").stdout)
        assert line.keys() >= LIST_KEYS | {"pid"}
        assert (line["status"], line["pid"]) == ("running", child.pid)
    assert call().output == f"{folder.id}  interrupted  tickets  train 7/75\n"


def test_show_names_the_folder_and_the_next_step(call, tmp_path):
    folder = new_job(tmp_path)
    _tell(folder, Started({}), Finished("stopped"))
    shown = call("show", "last")
    assert f"Folder: {folder.root}" in shown.output
    assert f"Go on with: tunedesk jobs resume {folder.id}" in shown.output
    assert json.loads(call("show", folder.id, "--json").stdout)["folder"] == str(folder.root)


def test_stop_of_a_running_job_says_how_it_ended(call, tmp_path):
    folder = new_job(tmp_path)
    _tell(folder, Started({}), Stage("train"))
    with holder(folder):
        stopped = json.loads(call("stop", folder.id, "--json").stdout)
    assert stopped["how"] == "stopped by itself"
    assert "not running" in call("stop", folder.id).output


def test_follow_of_a_failed_job_is_its_error(call, tmp_path):
    folder = new_job(tmp_path)
    failure = Failed("Paused: the disk is full.", "x", "Free some space.")
    _tell(folder, Started({}), failure, Finished("failed"))
    followed = call("follow", folder.id, "--json")
    assert followed.exit_code == 1
    assert json.loads(followed.stdout)["error"]["title"] == "Paused: the disk is full."


def test_show_says_why_a_job_failed(call, tmp_path):
    folder = new_job(tmp_path)
    failure = Failed("Paused: the disk is full.", "12 MB are free.", "Free some space.")
    _tell(folder, Started({}), failure, Finished("failed"))
    assert "Paused: the disk is full.\n12 MB are free.\nGo on with: " in call(
        "show", folder.id
    ).output
    shown = json.loads(call("show", folder.id, "--json").stdout)
    assert shown["error"]["title"] == "Paused: the disk is full."


def test_follow_of_a_stopped_job_ends_with_3_and_says_how_to_go_on(call, tmp_path):
    folder = new_job(tmp_path)
    _tell(folder, Started({}), Note("info", "words"), Finished("stopped"))
    followed = call("follow", folder.id)
    assert followed.exit_code == 3
    assert f"tunedesk jobs resume {folder.id}" in followed.output


def test_resume_of_what_cannot_go_on_is_refused_in_words(call, tmp_path):
    refused = call("resume", "20260101-000000-x", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["error"]["title"] == (
        'There is no job "20260101-000000-x".'
    )
    folder = new_job(tmp_path)
    refused = call("resume", folder.id, "--json")
    assert "publish.json is missing" in json.loads(refused.stdout)["error"]["detail"]


def test_delete_says_what_it_frees(call, tmp_path):
    folder = new_job(tmp_path)
    folder.artefact("big").write_bytes(bytes(2_000_000))
    deleted = json.loads(call("delete", folder.id, "--json").stdout)
    assert deleted["id"] == folder.id
    assert deleted["freed_bytes"] > 2_000_000
    assert not folder.root.exists()


@pytest.mark.parametrize("name", ["..", ".", "../jobs", "", "a/../../x"])
def test_delete_never_leaves_the_jobs_folder(call, tmp_path, name):
    folder = new_job(tmp_path)
    refused = call("delete", name, "--json")
    assert refused.exit_code == 1
    assert folder.spec.exists()


def test_f1_an_offer_is_shown_and_accepted_only_when_asked_for(call, tmp_path):
    folder = new_job(tmp_path)
    _tell(folder, Started({}), Failed("Paused: out of memory.", "", ""), Finished("failed"))
    text = "Half the tokens at once, the same batch."
    make_offer(folder, Offer(relief=Relief(split=2), text=text))
    assert "Half the tokens at once, the same batch. Accept with: tunedesk jobs resume " in (
        call("show", folder.id).output
    )
    assert accepted(folder) == Relief()
