"""The progress line of a foreground command, and notes above it, on standard error."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status

from converters.events import Event, Note
from desktop.jobs.progress import JobView, line_of, reduce

_STYLES = {"info": "dim", "warning": "yellow", "error": "red"}
PLAIN_LINES = 20


class LiveLine:
    """Draws a `JobView` as one line that changes in place; in a pipe or log as plain lines, at
    most 20 for a stage."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr, highlight=False)
        self._status = Status("", console=self._console)
        self._view = JobView()
        self._notes = 0
        self._plain = ("", -1)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._status.stop()

    def report(self, event: Event) -> None:
        """Take one event of work in this process."""
        self.show(reduce(self._view, event))

    def show(self, view: JobView) -> None:
        """Draw the view of a job."""
        self._view = view
        for level, text in view.notes[self._notes :]:
            self._console.print(text, style=_STYLES[level], markup=False, soft_wrap=True)
        self._notes = len(view.notes)
        if self._console.is_terminal:
            self._status.update(line_of(view).replace("[", "\\["))
        elif view.stage and self._is_due(view):
            self._console.print(line_of(view), markup=False, soft_wrap=True)

    def _is_due(self, view: JobView) -> bool:
        key = (view.stage, view.step * PLAIN_LINES // max(1, view.steps))
        is_due = key != self._plain
        self._plain = key
        return is_due


def print_note(note: Note) -> None:
    """One note, without a live line."""
    Console(file=sys.stderr, highlight=False).print(
        note.text, style=_STYLES[note.level], markup=False, soft_wrap=True
    )
