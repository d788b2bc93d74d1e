"""Out of memory: an offer that waits for a yes. A failing card: resumed once, not twice."""

import pytest

from converters.errors import UserError
from converters.events import Checkpoint, Failed, Finished, Note
from desktop.jobs.accept import accept_offer, accepted, offer_text
from desktop.jobs.journal import Journal
from desktop.jobs.setbacks import gpu_failed, offered
from finetune.relief import Relief
from tests.desktop.jobs.job_folders import new_job

PAUSED = UserError("Paused: out of memory.", "The step needs 1.5 GB more.", "Accept the offer.")
GPU = UserError("The GPU stopped answering.", "The driver reported an error.", "Continue the run.")


def test_f1_nothing_changes_before_the_offer_is_accepted(tmp_path):
    folder = new_job(tmp_path)
    error = offered(folder, PAUSED, Relief(), Relief(split=2))
    assert error.hint == f"Accept the offer. tunedesk jobs resume {folder.id} --accept"
    assert accepted(folder) == Relief()
    text = offer_text(folder)
    assert text.startswith("Half as many tokens go through the model at once, in twice as many")
    assert text.endswith(f"Accept with: tunedesk jobs resume {folder.id} --accept")


def test_f1_an_accepted_offer_holds_for_every_further_run_and_is_not_offered_again(tmp_path):
    folder = new_job(tmp_path)
    offered(folder, PAUSED, Relief(), Relief(split=2))
    assert accept_offer(folder).startswith("Accepted: Half as many tokens")
    assert (accepted(folder).split, offer_text(folder)) == (2, "")
    with pytest.raises(UserError) as caught:
        accept_offer(folder)
    assert caught.value.title == f'The job "{folder.id}" offers nothing.'


def test_f1_without_anything_to_offer_the_error_stands_as_it_is(tmp_path):
    folder = new_job(tmp_path)
    assert offered(folder, PAUSED, Relief(), None) is PAUSED
    assert not folder.offer.exists()


@pytest.mark.parametrize(("earlier", "is_second"), [
    ([], False),
    ([Failed("The GPU stopped answering.", "", ""), Finished("failed")], True),
    ([Failed("The GPU's driver is too old.", "", "")], True),
    ([Failed("The GPU stopped answering.", "", ""), Note("info", "x"), Checkpoint(9, "p", "s")],
     False),
    ([Failed("Paused: the disk is full.", "", "")], False),
])
def test_f2_a_card_that_fails_twice_without_progress_is_not_resumed(tmp_path, earlier, is_second):
    folder = new_job(tmp_path)
    with Journal(folder.events) as journal:
        for event in earlier:
            journal.write(event)
    error = gpu_failed(folder, GPU)
    assert error.hint.startswith("Do not resume before" if is_second else "Continue the run. ")
    assert ("second time" in error.detail) is is_second
