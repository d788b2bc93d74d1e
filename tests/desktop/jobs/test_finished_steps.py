"""A step is done once; what changed behind its back makes it, and all after it, run again."""

import pytest

from converters.errors import Stopped
from converters.events import Note
from desktop.jobs.finished_steps import FinishedSteps
from tests.desktop.jobs.job_folders import new_job

ORDER = ("first", "second", "third")


class Runs:
    """Runs the three steps on a folder and tells which of them really worked."""

    def __init__(self, folder):
        self.folder = folder
        self.notes: list[str] = []

    def __call__(self, fails: str = "", holds: bool = True) -> list[str]:
        worked: list[str] = []
        steps = FinishedSteps(self.folder, ORDER, self._report)
        for name in ORDER:

            def do(name: str = name) -> None:
                if name == fails:
                    raise Stopped
                worked.append(name)
                self.folder.artefact(f"{name}.txt").write_text(name)

            steps.run(name, (f"{name}.txt",), do, lambda: holds)
        self.seconds = steps.seconds
        self.reused = steps.reused
        return worked

    def _report(self, event) -> None:
        if isinstance(event, Note):
            self.notes.append(event.text)


@pytest.fixture
def runs(tmp_path) -> Runs:
    return Runs(new_job(tmp_path))


def test_a_second_run_does_nothing_again(runs):
    assert runs() == list(ORDER)
    assert runs() == []
    assert runs.reused == list(ORDER)
    assert runs.seconds.keys() == set(ORDER)


def test_a_failed_step_is_retried_from_its_own_start(runs):
    with pytest.raises(Stopped):
        runs(fails="second")
    assert runs() == ["second", "third"]


def test_a_changed_artefact_makes_its_step_and_all_later_ones_run_again(runs):
    runs()
    runs.folder.artefact("second.txt").write_text("somebody else's")
    assert runs() == ["second", "third"]
    assert runs.notes == ["second.txt changed or vanished since the step second: it runs again."]


def test_a_missing_artefact_and_a_damaged_record_are_found(runs):
    runs()
    runs.folder.artefact("third.txt").unlink()
    assert runs() == ["third"]
    (runs.folder.steps / "first.json").write_text('{"step": "fir')
    assert runs() == list(ORDER)
    assert runs.notes[-1] == "The record of the step first was damaged: it runs again."


def test_another_specification_reuses_nothing(runs):
    runs()
    runs.folder.spec.write_text(runs.folder.spec.read_text() + "\n")
    assert runs() == list(ORDER)


def test_a_result_that_lies_elsewhere_and_is_gone_is_made_again(runs):
    runs()
    assert runs(holds=False) == list(ORDER)


def test_a_folder_counts_with_every_file_in_it(runs, tmp_path):
    folder = runs.folder
    (folder.artefact("adapter")).mkdir()
    (folder.artefact("adapter") / "weights").write_text("w")
    steps = FinishedSteps(folder, ("train",), lambda _: None)
    steps.run("train", ("adapter",), lambda: None)
    assert FinishedSteps(folder, ("train",), lambda _: None).is_finished("train")
    (folder.artefact("adapter") / "weights").write_text("x")
    assert not FinishedSteps(folder, ("train",), lambda _: None).is_finished("train")
