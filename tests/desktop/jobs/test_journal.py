"""The journal survives half lines, foreign kinds and long texts."""

import json

from converters.events import Finished, Note, Progress, Stage
from desktop.jobs.journal import MAX_LINE_BYTES, Journal, read_entries


def test_events_come_back_in_order_with_growing_sequence_numbers(tmp_path):
    path = tmp_path / "events.jsonl"
    with Journal(path) as journal:
        journal.write(Stage("train"))
        journal.write(Progress(step=1, steps=3, loss=0.5))
    entries, _ = read_entries(path)
    assert [entry.event for entry in entries] == [Stage("train"), Progress(1, 3, 0.5)]
    assert [entry.sequence for entry in entries] == [1, 2]


def test_reading_goes_on_from_the_offset(tmp_path):
    path = tmp_path / "events.jsonl"
    with Journal(path) as journal:
        journal.write(Stage("train"))
        _, offset = read_entries(path)
        journal.write(Stage("export"))
        entries, _ = read_entries(path, offset)
    assert [entry.event for entry in entries] == [Stage("export")]


def test_half_a_line_of_a_killed_writer_is_cut_off_and_numbering_goes_on(tmp_path):
    path = tmp_path / "events.jsonl"
    with Journal(path) as journal:
        journal.write(Stage("train"))
    path.write_bytes(path.read_bytes() + b'{"version": 1, "sequ')
    with Journal(path) as journal:
        journal.write(Finished("stopped"))
    entries, _ = read_entries(path)
    assert [(entry.sequence, entry.event) for entry in entries] == [
        (1, Stage("train")), (2, Finished("stopped")),
    ]


def test_unknown_kinds_and_new_fields_of_a_newer_writer_are_passed_over(tmp_path):
    path = tmp_path / "events.jsonl"
    lines = [
        {"sequence": 1, "time": "t", "kind": "future", "payload": {}},
        {"sequence": 2, "time": "t", "kind": "stage", "payload": {"name": "train", "new": 1}},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    entries, _ = read_entries(path)
    assert [entry.event for entry in entries] == [Stage("train")]


def test_a_line_stays_small_enough_for_the_window(tmp_path):
    path = tmp_path / "events.jsonl"
    with Journal(path) as journal:
        journal.write(Note("info", "x" * 1_000_000))
    assert path.stat().st_size < MAX_LINE_BYTES
    (entry,), _ = read_entries(path)
    assert entry.event == Note("info", "x" * 1000 + " [cut]")


def test_lone_surrogates_do_not_stop_the_journal(tmp_path):
    path = tmp_path / "events.jsonl"
    with Journal(path) as journal:
        journal.write(Note("info", "half \ud83d"))
    (entry,), _ = read_entries(path)
    assert entry.event == Note("info", "half ?")
