"""The question whether documents may go to another machine, at a terminal, once for each host."""

import signal
import sys
from collections.abc import Sequence

from desktop.commands.context import Context
from desktop.core.terminal_text import harmless_text


def require_allowed(
    context: Context, model: str, hosts: Sequence[str], allowed: Sequence[str]
) -> None:
    """Return if documents may go to the hosts that a model runs on (FAULTS S8).

    allowed: by an option, with or without a port. Raises UserError for a no, and where nobody can
    be asked; Ctrl-C ends the program and allows nothing.
    """
    if not hosts:
        return
    from desktop.chat.consent import require_consent

    def ask(host: str) -> bool | None:
        if host in allowed or host.rpartition(":")[0] in allowed:
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return None
        question = (
            f"{model} does not run on this machine but on {host}. Passages of your documents would "
            f"go there with each question. Allow {host}, from now on? [y/N] "
        )
        print(harmless_text(question), end="", file=sys.stderr, flush=True)
        return _line_from_person().strip().lower() in ("y", "yes")

    require_consent(context.home, hosts, ask, say_aside)


def say_aside(text: str) -> None:
    """A sentence that is not the answer, on standard error."""
    print(harmless_text(text), file=sys.stderr, flush=True)


def _line_from_person() -> str:
    """A line of the terminal; Ctrl-C ends the program at once, though a loop runs around it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return sys.stdin.readline()
    finally:
        signal.signal(signal.SIGINT, before)
