"""Which task a set of answers is."""

import pytest

from finetune.tasks.detect import Task, detect


@pytest.mark.parametrize(
    ("answers", "task"),
    [
        (['{"a": 1}', "[1]"], "json"),
        (['{"a": 1}', "no"], "text"),
        (["1", "2"] * 5, "labels"),
        (["refund", "card lost", " refund"] * 4, "labels"),
        (["a", "b", "c"], "text"),
        (["x" * 65] * 10, "text"),
        (["two\nlines"] * 10, "text"),
        ([str(number) for number in range(201)] * 3, "text"),
        ([], "text"),
    ],
)
def test_the_task_follows_from_the_answers(answers: list[str], task: Task) -> None:
    assert detect(answers) == task
