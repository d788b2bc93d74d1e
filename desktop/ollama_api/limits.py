"""How long each kind of waiting may take."""

from dataclasses import dataclass

LINE_FACTOR = 10
"""A line that trickles in is progress, but not for longer than so many silences."""


@dataclass(frozen=True)
class Limits:
    """Seconds: to connect, for a plain answer, of silence before a first line (it may load a
    model) and after it, for the server to take a piece of an upload, without a new byte in a
    pull, and to wait for a server that is not there (0: not at all)."""

    connect_s: float = 3.0
    answer_s: float = 60.0
    first_line_s: float = 600.0
    line_s: float = 120.0
    upload_s: float = 60.0
    pull_s: float = 30.0
    reconnect_s: float = 0.0
