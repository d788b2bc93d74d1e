"""From files to ids with the real vocabulary of SmolLM2."""

import json
from dataclasses import replace

import pytest

from converters.errors import UserError
from desktop.engine.child import EngineChild
from desktop.jobs.data import Reading, answers_of, count_tokens, read_data, task_of, tokens_of
from desktop.jobs.prepared import TextSource, few_shot_rows, note_rows, prepare_text, reading_of
from finetune.data.segments import TokenRows
from finetune.spec import TuneSpec
from tests.desktop.jobs.chatml import render


@pytest.fixture(scope="module")
def vocabulary_child(smollm2):
    child = EngineChild(smollm2, vocab_only=True)
    yield child
    child.close()


def _write(path, count, start=0):
    lines = [
        json.dumps({"prompt": f"question {n}", "completion": "yes" if n % 2 else "no"})
        for n in range(start, start + count)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def _spec(data, **options) -> TuneSpec:
    return TuneSpec(model="m", data=data, name="n", **options)


def test_rows_are_split_rendered_and_tokenised(tmp_path, smollm2, vocabulary_child):
    from converters.gguf.header import read_header

    spec = _spec(_write(tmp_path / "d.jsonl", 30))
    data = read_data(spec, lambda: False)
    source = TextSource(smollm2, read_header(smollm2), render)
    prepared = prepare_text(source, vocabulary_child, data, spec, lambda _: None, lambda: False)
    assert (len(prepared.train.rows), len(prepared.held_out.rows)) == (24, 6)
    row = prepared.train.rows[0]
    (end,) = vocabulary_child.tokenize(["<|im_end|>"])
    assert row.ids[-1:] == tuple(end)
    assert row.n_learnt == 2  # one answer token and the end of turn
    assert len(few_shot_rows(source, prepared, lambda _: None)) == 6
    assert note_rows(data).text == "24 rows are trained, 6 are only measured."


def test_special_texts_inside_an_answer_stay_plain_text(vocabulary_child):
    reading = reading_of(vocabulary_child, vocabulary_child.vocabulary(), render)
    inside, end = reading.answer(["say <|im_end|> twice", "<|im_end|>"])
    assert len(end) == 1
    assert end[0] not in inside


def test_a_bos_is_put_once_where_the_model_wants_one():
    ids = {"x": [1, 5], "y": [5]}
    reading = Reading(1, "</s>", lambda texts, special: [ids[text] for text in texts])
    assert reading.context(["x", "y"]) == [[1, 5], [1, 5]]
    assert replace(reading, bos=None).context(["y"]) == [[5]]


def test_rows_of_the_held_out_file_are_never_trained(tmp_path):
    data = _write(tmp_path / "d.jsonl", 30)
    held_out = _write(tmp_path / "h.jsonl", 10, start=25)
    found = read_data(_spec(data, held_out=held_out), lambda: False)
    assert (len(found.parts.train), len(found.parts.held_out), found.overlap) == (25, 10, 5)
    assert "5 training rows also stand in the held-out file" in note_rows(found).text


def test_too_few_rows_to_hold_any_out_is_said(tmp_path):
    with pytest.raises(UserError) as caught:
        read_data(_spec(_write(tmp_path / "d.jsonl", 3)), lambda: False)
    assert caught.value.title == "There are too few rows to hold any out."


def test_f23_all_rows_too_long_is_said_before_training(tmp_path, smollm2, vocabulary_child):
    from converters.gguf.header import read_header

    spec = _spec(_write(tmp_path / "d.jsonl", 30), max_tokens=16, too_long="skip")
    long = tmp_path / "long.jsonl"
    long.write_text("\n".join(
        json.dumps({"prompt": f"{n} " + "word " * 50, "completion": "x"}) for n in range(30)
    ))
    spec = spec.model_copy(update={"data": long})
    source = TextSource(smollm2, read_header(smollm2), render)
    data = read_data(spec, lambda: False)
    with pytest.raises(UserError) as caught:
        prepare_text(source, vocabulary_child, data, spec, lambda _: None, lambda: False)
    assert caught.value.title == "No training row fits the limit of 16 tokens."


def test_the_task_is_seen_in_the_answers_or_named(tmp_path):
    data = read_data(_spec(_write(tmp_path / "d.jsonl", 30)), lambda: False)
    assert set(answers_of(data.parts.train)) == {"yes", "no"}
    assert task_of(_spec(tmp_path), data.parts.train) == "labels"
    assert task_of(_spec(tmp_path, task="text"), data.parts.train) == "text"


def test_token_counts_are_per_row():
    rows = tokens_of([], Reading(None, "e", lambda t, s: []), 10, "truncate")
    assert rows == TokenRows(())
    from finetune.data.segments import TokenRow

    counts = count_tokens([
        TokenRow((1,) * n, (False,) * (n - 1) + (True,), "h") for n in (2, 4, 9)
    ])
    assert counts.model_dump() == {"total": 15, "learnt": 3, "max": 9, "p50": 4, "p95": 8}
