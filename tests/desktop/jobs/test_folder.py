"""Job folders: ids of ours, hostile names, the lock as proof of life."""

import pytest

from converters.errors import UserError
from desktop.core.records import Record, read_record
from desktop.jobs.folder import create_job, open_job, slug


class Spec(Record):
    """A small specification."""

    name: str


@pytest.mark.parametrize("name", ["../../etc/passwd", "a" * 5000, "", "тест", "\u202egnp", "CON:x"])
def test_f29_a_hostile_name_stays_inside_the_jobs_folder(tmp_path, name):
    folder = create_job(tmp_path / "jobs", name, Spec(name=name))
    assert folder.root.parent == tmp_path / "jobs"
    assert len(folder.id) <= 60
    assert read_record(folder.spec, Spec).name == name


def test_two_jobs_of_one_second_are_two_folders(tmp_path):
    made = {create_job(tmp_path, "x", Spec(name="x")).id for _ in range(5)}
    assert len(made) == 5


def test_slug_keeps_letters_and_digits():
    assert slug("Träger: Tickets/v2") == "trager-tickets-v2"


def test_an_unknown_job_is_named_with_the_known_ones(tmp_path):
    known = create_job(tmp_path, "x", Spec(name="x"))
    with pytest.raises(UserError) as caught:
        open_job(tmp_path, "../x")
    assert caught.value.title == 'There is no job "../x".'
    assert known.id in caught.value.detail


def test_a_held_lock_means_alive(tmp_path):
    folder = create_job(tmp_path, "x", Spec(name="x"))
    assert not folder.is_alive()
    with folder.lock():
        assert folder.is_alive()
    assert not folder.is_alive()


def test_a_damaged_specification_is_named(tmp_path):
    folder = create_job(tmp_path, "x", Spec(name="x"))
    folder.spec.write_text('{"name": "x", "foreign": 1}')
    with pytest.raises(UserError) as caught:
        read_record(folder.spec, Spec)
    assert caught.value.title == "The job's file spec.json cannot be used."
