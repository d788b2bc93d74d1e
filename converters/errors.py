"""The one error that a person may meet. Anything else that escapes is a bug of ours."""

from dataclasses import dataclass


@dataclass
class UserError(Exception):
    """A known failure, in words for the person at the screen.

    title: what happened, one short sentence. detail: the cause, what was kept, with numbers and
    units. hint: the one next step.
    """

    title: str
    detail: str = ""
    hint: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.title, self.detail, self.hint) if part)

    def as_json(self) -> dict[str, dict[str, str]]:
        """The shape that every command prints with `--json`."""
        return {"error": {"title": self.title, "detail": self.detail, "hint": self.hint}}


class Stopped(Exception):  # noqa: N818 - an expected end, not an error
    """Raised inside long work when `should_stop()` said yes; what was finished is kept."""
