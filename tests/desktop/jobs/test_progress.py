"""The reducer and the terminal's line."""

from functools import reduce as fold

from converters.events import Evaluated, Failed, Finished, Progress, Stage, Started
from desktop.jobs.progress import JobView, duration, line_of, reduce, where


def _view(*events):
    return fold(reduce, events, JobView())


def test_a_run_from_start_to_end():
    view = _view(
        Started({}), Stage("train"), Progress(1, 10, loss=2.0), Evaluated(1, 1.5),
        Progress(2, 10, loss=1.0, tokens_per_s=150.0, remaining_s=200), Finished("done"),
    )
    assert view.status == "done"
    assert view.losses == ((1, 2.0), (2, 1.0))
    assert view.held_out == ((1, 1.5),)


def test_a_new_stage_forgets_the_old_ones_step():
    view = _view(Stage("train"), Progress(5, 10), Stage("export"))
    assert (view.stage, view.step, view.steps) == ("export", 0, 0)


def test_a_failure_keeps_its_words():
    view = _view(Failed("The disk is full.", "3 GB needed.", "Free some."), Finished("failed"))
    assert view.failure == ("The disk is full.", "3 GB needed.", "Free some.")
    assert view.status == "failed"


def test_the_line_shows_step_loss_rate_remaining_time_and_memory():
    view = _view(Stage("train"), Progress(8, 75, 1.2345, 1e-3, 152.4, 3_100_000_000, 200.0))
    assert line_of(view) == (
        "train  8/75  loss 1.234  152 tokens/s  3 min 20 s left  3.1 GB"
    )


def test_bytes_are_shown_as_a_share_and_nothing_of_the_last_stage_is_left():
    view = _view(Stage("train"), Progress(1, 2, loss=1.0), Stage("export"),
                 Progress(72_000_000, 144_000_000))  # fmt: skip
    assert line_of(view) == "write the model  50%"


def test_durations():
    assert [duration(s) for s in (0.4, 59, 60, 3599, 3600, 7500)] == [
        "0 s", "59 s", "1 min 00 s", "59 min 59 s", "1 h 00 min", "2 h 05 min",
    ]


def test_a_resumed_run_draws_its_repeated_steps_once():
    view = _view(
        Started({}), Stage("train"), Progress(1, 9, loss=3.0), Evaluated(1, 2.5),
        Progress(2, 9, loss=2.0), Progress(3, 9, loss=1.0), Evaluated(3, 1.5),
        Started({}), Stage("train"), Progress(2, 9, loss=2.0), Progress(3, 9, loss=1.0),
    )
    assert view.losses == ((1, 3.0), (2, 2.0), (3, 1.0))
    assert view.held_out == ((1, 2.5), (3, 1.5))


def test_the_place_of_a_job_in_words():
    assert where(_view(Stage("train"), Progress(7, 75))) == "step 7 of 75 (train)"
    assert where(_view(Stage("export"), Progress(10**6, 10**8))) == '"write the model"'
    assert where(JobView()) == "its start"


def test_an_addition_of_documents_tells_pages_their_rate_and_the_time_left():
    view = _view(Stage("index"), Progress(120, 800, pages_per_s=60.4, remaining_s=11.2))
    assert line_of(view) == "120 of 800 pages indexed  60 pages/s  11 s left"
    assert line_of(_view(Stage("index"))) == "look for documents"
