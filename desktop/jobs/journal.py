"""events.jsonl: one JSON object a line with version, sequence number, UTC time, kind, payload.

A line counts once its newline is there: a writer that was killed leaves at most half a line.
"""

import errno
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from converters.events import Checkpoint, Event, Failed, Finished, from_payload, kind_of, to_payload

VERSION = 1
MAX_LINE_BYTES = TAIL_BYTES = 64 * 1024
_DURABLE = (Checkpoint, Failed, Finished)


@dataclass(frozen=True)
class Entry:
    """One line of the journal."""

    sequence: int
    time: str
    event: Event


class Journal:
    """The writing end; one worker at a time, under the job's lock."""

    def __init__(self, path: Path) -> None:
        """Continue `path` after its last whole line; half a line of a killed writer is cut off."""
        self._sequence, self._whole = _resume_point(path)
        self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
        self._cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, event: Event) -> None:
        """Append one event, in one write; ends and checkpoints are on disk when this returns.

        Raises OSError, on a full disk for example; the journal is then as before.
        """
        line = _line(self._sequence + 1, event)
        try:
            self._append(line)
        except OSError:
            self._cut()
            raise
        self._sequence += 1
        self._whole += len(line)
        if isinstance(event, _DURABLE):
            os.fsync(self._file.fileno())

    def _append(self, line: bytes) -> None:
        if self._file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._file.name))

    def _cut(self) -> None:
        """Back to the last whole line."""
        self._file.truncate(self._whole)
        self._file.seek(self._whole)


def read_entries(
    path: Path, offset: int = 0, limit: int | None = None
) -> tuple[list[Entry], int]:
    """Whole lines from byte `offset` on, at most `limit`, and the offset to go on from.

    Lines of a kind that this version does not know, and damaged ones, are passed over.
    """
    if not path.exists():
        return [], offset
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read() if limit is None else b"".join(islice(file, limit))
    whole = data[: data.rfind(b"\n") + 1]
    # Not splitlines: a damaged line may hold any byte, and only \n ends one.
    entries = [entry for line in whole.split(b"\n") if (entry := _parse(line))]
    return entries, offset + len(whole)


def read_tail(path: Path) -> list[Entry]:
    """The whole lines of the last 64 KiB: enough to tell what a job is doing now."""
    start = max(0, path.stat().st_size - TAIL_BYTES) if path.exists() else 0
    entries, _ = read_entries(path, start)  # the half line at the start is no JSON: passed over
    return entries


def _line(sequence: int, event: Event) -> bytes:
    record = {
        "version": VERSION, "sequence": sequence, "time": datetime.now(UTC).isoformat(),
        "kind": kind_of(event), "payload": to_payload(event),
    }
    line = json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    if len(line) > MAX_LINE_BYTES:  # a long line would block the window that reads it
        record["payload"] = {**_shortened(to_payload(event))}
        line = json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    return line


def _shortened(payload: dict[str, object]) -> dict[str, object]:
    return {
        key: value[:1000] + " [cut]" if isinstance(value, str) and len(value) > 1000 else value
        for key, value in payload.items()
    }


def _parse(line: bytes) -> Entry | None:
    try:
        record = json.loads(line)
        event = from_payload(record["kind"], record["payload"])
        return Entry(record["sequence"], record["time"], event) if event else None
    except (ValueError, KeyError, TypeError):
        return None


def _resume_point(path: Path) -> tuple[int, int]:
    """The last sequence number and the end of the last whole line."""
    entries, whole = read_entries(path)
    return max((entry.sequence for entry in entries), default=0), whole
