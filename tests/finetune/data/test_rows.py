"""Rows of data files: F21 (bad lines, each with its reason) and F22 (a line without an end)."""

import json
import resource
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.errors import Stopped, UserError
from finetune.data.rows import ColumnMap, parse_column_map, read_rows, require_accepted

GOOD = '{"prompt": "a", "completion": "b"}'


def write(folder: Path, data: str | bytes, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def messages(*turns: tuple[str, str]) -> str:
    return json.dumps({"messages": [{"role": role, "content": text} for role, text in turns]})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON: Expecting property name enclosed in double quotes at column 2"),
        ("[" * 200_000, "not JSON that can be read: nested too deeply"),
        ("1" * 5_000, "not JSON that can be read: a number has too many digits"),
        ("[1]", "a JSON list where an object is needed"),
        (
            '{"q": "a"}',
            "neither `messages` nor `prompt` and `completion` found among the fields `q`",
        ),
        ('{"prompt": "a"}', "completion is missing"),
        ('{"prompt": "a", "completion": 3}', "completion is not text"),
        ('{"prompt": " ", "completion": "b"}', "prompt is empty"),
        ('{"prompt": "a", "completion": "b\\u0000"}', "completion has a NUL character at place 2"),
        (
            '{"prompt": "\\ud800", "completion": "b"}',
            "prompt has half of a surrogate pair at place 1",
        ),
        ('{"messages": []}', "`messages` is not a list of messages, or it is empty"),
        (
            messages(("user", "a")),
            "the last message is not the assistant's, so there is no answer to learn",
        ),
        (messages(("assistant", "a")), "message 1 is from the assistant, expected the user"),
        (
            messages(("tool", "a")),
            "message 1 has the role 'tool'; known are system, user, assistant",
        ),
        (
            messages(("user", "a"), ("system", "b")),
            "message 2 is from the system, expected the assistant",
        ),
        (
            '{"messages": [], "prompt": "a"}',
            "both `messages` and a prompt are given: it is not clear which to learn",
        ),
        ('{"prompt": "a\x00", "completion": "b"}', "a NUL character stands at column 14"),
        (
            '{"messages": [{"role": "user", "content": "a"}, '
            '{"role": "assistant", "content": "b", "weight": 0}]}',
            "every answer has the weight 0, so there is none to learn",
        ),
        (
            '{"messages": [{"role": "user", "content": "a"}, '
            '{"role": "assistant", "content": "b", "weight": 0.5}]}',
            "the weight of message 2 is 0.5; it may be 0 or 1",
        ),
    ],
)  # fmt: skip
def test_f21_a_bad_line_is_rejected_with_its_reason(
    tmp_path: Path, line: str, reason: str
) -> None:
    rows = read_rows(write(tmp_path, f"{GOOD}\n{line}\n\n{GOOD}\n"))
    assert [(bad.row, bad.reason) for bad in rows.rejected] == [(2, reason)]
    assert [row.number for row in rows.accepted] == [1, 4]
    assert (rows.total, rows.duplicates) == (3, 1)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_f21_every_unicode_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    text = '{"prompt": "Größe ਊ 漢", "completion": "ü"}\n'
    rows = read_rows(write(tmp_path, text.encode(encoding)))
    assert rows.accepted[0].chat() == [
        {"role": "user", "content": "Größe ਊ 漢"},
        {"role": "assistant", "content": "ü"},
    ]


def test_f21_another_encoding_is_named_by_byte_and_column(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path, GOOD.encode() + b"\n" + '{"prompt": "ü'.encode("latin-1")))
    assert rows.rejected[0].reason == "not UTF-8 text: byte 0xFC at column 13"


def test_f21_half_surrogates_of_utf16_cost_one_line(tmp_path: Path) -> None:
    half = f'{{"prompt": "{chr(0xD800)}", "completion": "b"}}\n{GOOD}\n'
    rows = read_rows(write(tmp_path, b"\xff\xfe" + half.encode("utf-16-le", "surrogatepass")))
    assert rows.rejected[0].reason == "half of a surrogate pair stands at column 13"
    assert len(rows.accepted) == 1


def test_f22_an_endless_line_is_refused_and_memory_stays_bounded(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + "\n")
    with path.open("ab") as file:
        for _ in range(100):
            file.write(b"x" * 2**20)
        file.write(f"\n{GOOD}\n".encode())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = read_rows(path)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert [(bad.row, bad.reason) for bad in rows.rejected] == [
        (2, "the line is longer than the limit of 16 MiB")
    ]
    assert [row.number for row in rows.accepted] == [1, 3]
    assert grown_kib < 80 * 1024


def test_f22_reading_can_be_cancelled(tmp_path: Path) -> None:
    path = write(tmp_path, b"x" * 3 * 2**20)
    calls = iter([False, True])
    with pytest.raises(Stopped):
        read_rows(path, should_stop=lambda: next(calls))


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("rows.jsonl", b"", "The data file has no rows."),
        ("rows.jsonl", b"\n \n", "The data file has no rows."),
        ("rows.csv", b"", "The data file has no rows."),
        ("rows.csv", b"prompt,completion\n", "The data file has no rows."),
        ("rows.docx", b"PK", "This kind of data file is not known."),
        ("rows.csv", b"mail,answer\na,b\n", "it has no column prompt and no column completion"),
        ("rows.csv", b"prompt,prompt,completion\n", "twice: prompt"),
        ("rows.csv", b"\xfcber,a\n", "line 1: not UTF-8 text: byte 0xFC at column 1"),
    ],
)
def test_a_file_without_rows_is_a_clear_error(
    tmp_path: Path, name: str, data: bytes, text: str
) -> None:
    with pytest.raises(UserError, match=text):
        read_rows(write(tmp_path, data, name))


def test_a_missing_file_and_a_folder_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="The data file was not found"):
        read_rows(tmp_path / "absent.jsonl")
    with pytest.raises(UserError, match="a folder, not a file"):
        read_rows(tmp_path)


def test_a_file_of_bad_lines_only_says_why(tmp_path: Path) -> None:
    path = write(tmp_path, "[1]\n" * 7)
    with pytest.raises(UserError) as caught:
        require_accepted(path, read_rows(path))
    assert "All 7 rows of rows.jsonl were rejected: line 1: a JSON list" in caught.value.detail
    assert "and 2 more" in caught.value.detail


def test_a_table_is_read_with_its_columns_mapped(tmp_path: Path) -> None:
    path = write(tmp_path, 'id;mail;answer\n1;"a;\n""b""";c\n2;d;e\n', "rows.csv")
    rows = read_rows(path, parse_column_map("prompt=mail,completion=answer"))
    assert [[turn.content for turn in row.messages] for row in rows.accepted] == [
        ['a;\n"b"', "c"],
        ["d", "e"],
    ]
    assert [row.number for row in rows.accepted] == [2, 4]


def test_a_broken_record_of_a_table_costs_its_first_line_only(tmp_path: Path) -> None:
    text = 'prompt\tcompletion\n"open\tx\na\tb\nc\n"d"e\tf\ng\th\n'
    rows = read_rows(write(tmp_path, text, "rows.tsv"))
    assert [row.number for row in rows.accepted] == [3, 6]
    assert [(bad.row, bad.reason.split(" (")[0]) for bad in rows.rejected] == [
        (2, "the quotes of this record are broken"),
        (4, "1 fields where the header has 2"),
        (5, "the quotes of this record are broken"),
    ]


def test_a_quote_that_never_closes_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path, 'prompt,completion\n"open,x\na,b\nc,d\n', "rows.csv"))
    assert rows.rejected[0].reason == "a quoted field opens in this line and is not closed"
    assert [row.number for row in rows.accepted] == [3, 4]


def test_a_wide_field_is_read_and_the_limit_of_csv_is_put_back(tmp_path: Path) -> None:
    import csv

    earlier = csv.field_size_limit()
    wide = "x" * 300_000
    rows = read_rows(write(tmp_path, f"prompt,completion\n{wide},b\n", "rows.csv"))
    assert rows.accepted[0].messages[0].content == wide
    assert csv.field_size_limit() == earlier


def test_a_column_map_that_cannot_be_read_is_refused() -> None:
    assert parse_column_map("prompt=Mail text, completion = A") == ColumnMap("Mail text", "A")
    for text in ("", "mail", "prompt=", "subject=x"):
        with pytest.raises(UserError, match="could not be read"):
            parse_column_map(text)


def test_equal_rows_have_equal_hashes_however_they_are_written(tmp_path: Path) -> None:
    lines = [
        GOOD,
        '{"completion":"\\u0062","extra":1,"prompt":"a"}',
        messages(("user", "a"), ("assistant", "b")),
    ]
    rows = read_rows(write(tmp_path, "\n".join(lines)))
    assert len({row.hash for row in rows.accepted}) == 1
    assert rows.duplicates == 2


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=400), suffix=st.sampled_from(["jsonl", "csv", "tsv"]))
def test_f21_any_bytes_end_in_rows_with_reasons_or_a_user_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str
) -> None:
    head = b"" if suffix == "jsonl" else b"prompt\tcompletion\n"
    path = write(tmp_path_factory.mktemp("fuzz"), head + data, f"rows.{suffix}")
    try:
        rows = read_rows(path)
    except UserError:
        return
    numbers = [row.number for row in rows.accepted] + [bad.row for bad in rows.rejected]
    assert rows.total == len(set(numbers))
    assert all(bad.reason for bad in rows.rejected)
