"""The progress of /api/pull, and when it counts as stalled.

Ollama sends a line 16 times a second whether a byte came or not, so silence alone tells nothing;
and it says nothing at all while it checks the finished files (ollama `server/download.go`).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CHECK_BYTES_PER_S = 50e6


@dataclass(frozen=True)
class PullStatus:
    """One line. digest: of the file that is being downloaded, "" otherwise; completed may go back
    when the server tries a part again. The last status is "success"."""

    status: str
    digest: str = ""
    completed: int = 0
    total: int = 0


def read_pull_status(entry: Mapping[str, Any]) -> PullStatus:
    """A line of /api/pull."""
    return PullStatus(
        status=str(entry.get("status", "")),
        digest=str(entry.get("digest", "")).removeprefix("sha256:"),
        completed=int(entry.get("completed") or 0),
        total=int(entry.get("total") or 0),
    )


class PullProgress:
    """Watches one pull. stall_s: how long nothing new may come."""

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._seen: dict[str, PullStatus] = {}
        self._last = PullStatus("")
        self._since = time.monotonic()

    def is_alive(self, status: PullStatus) -> bool:
        """Take a line; False if none brought anything new for too long."""
        now = time.monotonic()
        if status != self._seen.get(status.digest):
            self._seen[status.digest] = status
            self._last, self._since = status, now
        return now - self._since <= self._stall_s

    @property
    def silence_s(self) -> float:
        """How long the server may say nothing now."""
        total = sum(status.total for status in self._seen.values())
        is_checking = self._last.status.startswith("verifying")
        return self._stall_s + (total / CHECK_BYTES_PER_S if is_checking else 0.0)

    @property
    def told(self) -> str:
        """The last progress in words."""
        if not self._last.total:
            return self._last.status or "nothing came yet"
        return f"{self._last.completed:,} of {self._last.total:,} bytes"
