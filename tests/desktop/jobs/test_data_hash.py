"""A job goes on with the very rows that it began with, or not at all."""

import pytest

from converters.errors import UserError
from desktop.jobs.data_hash import note_data, require_same_data
from tests.desktop.jobs.job_folders import new_job, tune_job


@pytest.fixture
def job(tmp_path):
    held_out = tmp_path / "held.jsonl"
    tune = tune_job(tmp_path).tune.model_copy(update={"held_out": held_out})
    for path in (tune.data, held_out):
        path.write_text('{"prompt": "a", "completion": "b"}\n')
    folder = new_job(tmp_path)
    note_data(folder, tune)
    return folder, tune


def test_the_same_data_are_accepted(job):
    require_same_data(*job)


@pytest.mark.parametrize("which", ["data", "held_out"])
def test_changed_data_are_refused_and_the_file_is_named(job, which):
    folder, tune = job
    path = getattr(tune, which)
    path.write_text(path.read_text() * 2)
    with pytest.raises(UserError) as caught:
        require_same_data(folder, tune)
    assert caught.value.title == "The data changed since the job began."
    assert caught.value.detail.startswith(f"{path} changed; ")


def test_a_missing_file_is_named(job):
    folder, tune = job
    tune.data.unlink()
    with pytest.raises(UserError) as caught:
        require_same_data(folder, tune)
    assert str(tune.data) in caught.value.detail
