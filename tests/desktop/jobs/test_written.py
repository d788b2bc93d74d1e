"""Scores of written answers, by task."""

from desktop.jobs.steps.written import _json_score, _label_score


def test_labels_have_accuracy_known_share_and_macro_f1():
    score = _label_score(["yes", "yes", "no", "no"], ["yes", "no", "no", "maybe"])
    assert (score.exact, score.valid, score.rows) == (0.5, 0.75, 4)
    assert score.macro_f1 is not None
    assert round(score.macro_f1, 3) == round((2 / 3 + 1 / 2) / 2, 3)
    assert score.fields.keys() == {"yes", "no"}


def test_json_has_whole_valid_and_each_field():
    score = _json_score(['{"a": 1, "b": 2}', '{"a": 1, "b": 3}'], ['{"a": 1, "b": 9}', "no"])
    assert (score.exact, score.valid, score.fields) == (0.0, 0.5, {"a": 0.5, "b": 0.0})
    assert score.macro_f1 is None
