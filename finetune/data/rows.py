"""Rows of a data file: JSON lines with messages or prompt and completion, or a table.

Every line ends either accepted or rejected with its reason; nothing is dropped in between.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from converters.errors import UserError
from converters.events import ShouldStop
from finetune.data.tables import read_records
from finetune.data.text_lines import encoding_of, never_stop, read_lines

Role = Literal["system", "user", "assistant"]
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
TABLE_SUFFIXES = (".csv", ".tsv")
SHOWN_REASONS = 5


@dataclass(frozen=True)
class ColumnMap:
    """Which field of a row holds the prompt, the completion and, if any, the system message."""

    prompt: str = "prompt"
    completion: str = "completion"
    system: str = "system"


@dataclass(frozen=True)
class Message:
    """One turn of a conversation. is_learnt: of an answer, False for a "weight" of 0."""

    role: Role
    content: str
    is_learnt: bool = True


@dataclass(frozen=True)
class Row:
    """An accepted conversation; `number` is its line in the file, from 1.

    `hash` is the SHA-256 (hex) of its roles and texts: equal rows have equal hashes.
    """

    number: int
    messages: tuple[Message, ...]
    hash: str

    def chat(self) -> list[dict[str, str]]:
        """The messages as the server and `rows.jsonl` write them."""
        return [{"role": turn.role, "content": turn.content} for turn in self.messages]


@dataclass(frozen=True)
class Rejected:
    """A line that is not a row, and why; `row` is the line's number, from 1."""

    row: int
    reason: str


@dataclass(frozen=True)
class Rows:
    """What a file held: `total == len(accepted) + len(rejected)`, always.

    `duplicates` counts the accepted rows that repeat an earlier one; they are kept.
    """

    accepted: tuple[Row, ...]
    rejected: tuple[Rejected, ...]
    duplicates: int
    encoding: str = "utf-8"

    @property
    def total(self) -> int:
        """Lines of the file that are not blank (and not a table's header)."""
        return len(self.accepted) + len(self.rejected)


@dataclass
class _Collected:
    accepted: list[Row] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def parse_column_map(text: str) -> ColumnMap:
    """`prompt=COL,completion=COL[,system=COL]` -> ColumnMap. Raises UserError on anything else."""
    parts = (part.partition("=") for part in text.split(",") if part)
    pairs = {name.strip(): column.strip() for name, _, column in parts}
    known = {"prompt", "completion", "system"}
    if not pairs or not known.issuperset(pairs) or not all(pairs.values()):
        raise UserError(
            "The column map could not be read.",
            f"It says `{text}`.",
            "Write it as --map prompt=COLUMN,completion=COLUMN.",
        )
    return ColumnMap(**pairs)


def read_rows(
    path: Path, columns: ColumnMap | None = None, should_stop: ShouldStop = never_stop
) -> Rows:
    """Read a data file (.jsonl .ndjson .json, .csv .tsv), streaming, with a reason per bad line.

    Raises UserError if the file is missing, unreadable, empty, of another kind or without the
    mapped columns; Stopped when `should_stop()` says yes. A file whose every line is bad comes
    back with nothing accepted: see `require_accepted`.
    """
    columns = columns or ColumnMap()
    collected = _Collected()
    for number, values, problem in _values(path, columns, should_stop):
        try:
            if problem:
                raise _BadRow(problem)  # noqa: TRY301 - one way to reject, whoever found the reason
            messages = _messages(values, columns)
        except _BadRow as bad:
            collected.rejected.append(Rejected(number, str(bad)))
        else:
            collected.accepted.append(Row(number, messages, content_hash(messages)))
    return _rows(path, collected)


def require_accepted(path: Path, rows: Rows) -> None:
    """Raise UserError, with the first reasons, if no row of the file can be used."""
    if rows.accepted:
        return
    shown = [f"line {bad.row}: {bad.reason}" for bad in rows.rejected[:SHOWN_REASONS]]
    more = len(rows.rejected) - len(shown)
    if more:
        shown.append(f"and {more} more")
    raise UserError(
        "No row of the data file can be used.",
        f"All {rows.total} rows of {path.name} were rejected: {'; '.join(shown)}.",
        'Write one JSON object a line, with "messages" or with "prompt" and "completion".',
    )


def content_hash(messages: tuple[Message, ...]) -> str:
    """SHA-256 (hex) of the conversation, independent of how its line was written."""
    listed = [[turn.role, turn.content] for turn in messages]
    text = json.dumps(listed, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class _BadRow(Exception):
    """The reason why a line is no row."""


def _rows(path: Path, collected: _Collected) -> Rows:
    if not collected.accepted and not collected.rejected:
        raise UserError(
            "The data file has no rows.",
            f"{path.name} is empty ({path.stat().st_size} bytes).",
            "Choose a file with one conversation a line.",
        )
    distinct = len({row.hash for row in collected.accepted})
    return Rows(
        tuple(collected.accepted),
        tuple(collected.rejected),
        len(collected.accepted) - distinct,
        encoding_of(path),
    )


def _values(
    path: Path, columns: ColumnMap, should_stop: ShouldStop
) -> Iterator[tuple[int, Any, str]]:
    """(line, decoded value, problem) of every line that is not blank."""
    suffix = path.suffix.lower()
    if path.is_dir() or not path.exists():
        encoding_of(path)  # raises what is wrong with the path
    if suffix in JSON_SUFFIXES:
        yield from _json_values(path, should_stop)
    elif suffix in TABLE_SUFFIXES:
        required = (columns.prompt, columns.completion)
        for record in read_records(path, required, should_stop):
            yield record.number, record.values, record.problem
    else:
        kinds = " ".join((*JSON_SUFFIXES, *TABLE_SUFFIXES))
        raise UserError(
            "This kind of data file is not known.",
            f"{path.name} ends in `{suffix}`; known endings are {kinds}.",
            "Save the rows as JSON lines (.jsonl) or as a table (.csv).",
        )


def _json_values(path: Path, should_stop: ShouldStop) -> Iterator[tuple[int, Any, str]]:
    for line in read_lines(path, should_stop):
        if line.problem:
            yield line.number, None, line.problem
        elif line.text.strip():
            yield line.number, *_json_value(line.text)


def _json_value(text: str) -> tuple[Any, str]:
    try:
        return json.loads(text), ""
    except json.JSONDecodeError as error:
        return None, f"not JSON: {error.msg} at column {error.colno}"
    except RecursionError:
        return None, "not JSON that can be read: nested too deeply"
    except ValueError:
        return None, "not JSON that can be read: a number has too many digits"


def _messages(value: Any, columns: ColumnMap) -> tuple[Message, ...]:
    if not isinstance(value, dict):
        raise _BadRow(f"a JSON {_json_kind(value)} where an object is needed")
    has_pair = columns.prompt in value or columns.completion in value
    if "messages" in value and has_pair:
        raise _BadRow("both `messages` and a prompt are given: it is not clear which to learn")
    if "messages" in value:
        return _conversation(value["messages"])
    if has_pair:
        return _pair(value, columns)
    wanted = f"neither `messages` nor `{columns.prompt}` and `{columns.completion}`"
    raise _BadRow(f"{wanted} found among the fields {_names(value)}")


def _pair(value: Mapping[str, Any], columns: ColumnMap) -> tuple[Message, ...]:
    turns: list[Message] = []
    if value.get(columns.system):
        turns.append(Message("system", _text(value[columns.system], columns.system)))
    turns.append(Message("user", _text(value.get(columns.prompt), columns.prompt)))
    turns.append(Message("assistant", _text(value.get(columns.completion), columns.completion)))
    return tuple(turns)


def _conversation(value: Any) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise _BadRow("`messages` is not a list of messages, or it is empty")
    turns = tuple(_message(turn, f"message {at + 1}") for at, turn in enumerate(value))
    expected: Role = "user"
    for at, turn in enumerate(turns):
        if turn.role == "system" and at == 0:
            continue
        if turn.role != expected:
            raise _BadRow(f"message {at + 1} is from the {turn.role}, expected the {expected}")
        expected = "user" if expected == "assistant" else "assistant"
    if turns[-1].role != "assistant":
        raise _BadRow("the last message is not the assistant's, so there is no answer to learn")
    if not any(turn.role == "assistant" and turn.is_learnt for turn in turns):
        raise _BadRow("every answer has the weight 0, so there is none to learn")
    return turns


def _message(value: Any, where: str) -> Message:
    if not isinstance(value, dict):
        raise _BadRow(f"{where} is not an object")
    role = value.get("role")
    if role not in ("system", "user", "assistant"):
        raise _BadRow(f"{where} has the role {_short(role)}; known are system, user, assistant")
    if value.get("tool_calls") or value.get("images"):
        raise _BadRow(f"{where} has tool calls or images, which cannot be trained yet")
    content = _text(value.get("content"), f"the content of {where}")
    return Message(role, content, _is_learnt(value.get("weight", 1), where))


def _is_learnt(weight: Any, where: str) -> bool:
    """The "weight" of a message, as chat data of other tools has it: 0 for context only."""
    if isinstance(weight, bool) or weight not in (0, 1):
        raise _BadRow(f"the weight of {where} is {_short(weight)}; it may be 0 or 1")
    return weight == 1


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _BadRow(f"{where} is missing" if value is None else f"{where} is not text")
    if not value.strip():
        raise _BadRow(f"{where} is empty")
    if "\x00" in value:
        raise _BadRow(f"{where} has a NUL character at place {value.index(chr(0)) + 1}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        place = error.start + 1
        raise _BadRow(f"{where} has half of a surrogate pair at place {place}") from None
    return value


def _json_kind(value: Any) -> str:
    kinds = {list: "list", str: "text", bool: "truth value", type(None): "null"}
    return kinds.get(type(value), "number")


def _names(value: Mapping[str, Any]) -> str:
    names = ", ".join(f"`{name}`" for name in value) or "(none)"
    return names if len(names) <= 60 else names[:59] + "…"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
