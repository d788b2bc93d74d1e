"""One answer as a terminal shows it: while it comes, its sources, its place in the window."""

import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.status import Status

from converters.errors import UserError
from desktop.chat.evidence import Citation
from desktop.chat.news import Ended, News, Piece, Planned, Searched
from desktop.chat.passages import Passage
from desktop.chat.session import NO_ROOM, STOPPED
from desktop.core.terminal_text import harmless_text

_QUOTED = 200
_STOP_REASONS = {NO_ROOM: "length", STOPPED: "stopped"}
_NAMED = 5


@dataclass
class Told:
    """What one question brought. `ended` is None if it was left before its end.

    text: what was shown of the answer so far.
    """

    searched: Searched | None = None
    planned: Planned | None = None
    ended: Ended | None = None
    text: str = ""


class Screen:
    """Where an answer is shown. is_quiet: only its end is wanted, as JSON."""

    def __init__(self, *, is_quiet: bool) -> None:
        self.is_quiet = is_quiet
        self._console = Console(file=sys.stderr, highlight=False)
        self._status: Status | None = None
        self._has_thoughts = self._has_text = False

    async def show(
        self, news: AsyncGenerator[News], told: Told, *, has_documents: bool = True
    ) -> None:
        """Show an answer as it comes; `told` has what came, also if this raises."""
        self._has_thoughts = self._has_text = False
        self._wait("Searching" if has_documents else "Asking")
        try:
            async with aclosing(news):
                async for one in news:
                    self._take(one, told)
        finally:
            self._wait("")
            if self._has_text and not self.is_quiet:
                print(flush=True)

    def line(self, text: str) -> None:
        """Something that belongs to the talk, on standard output."""
        if not self.is_quiet:
            print(harmless_text(text), flush=True)

    def note(self, text: str) -> None:
        """A sentence beside the answer, on standard error."""
        shown = harmless_text(text)
        self._console.print(shown, style="dim", markup=False, soft_wrap=True)

    def problem(self, error: UserError) -> None:
        """What went wrong, as every command tells it."""
        lines = [f"Error: {error.title}", error.detail, error.hint]
        shown = harmless_text("\n".join(line for line in lines if line))
        print(shown, file=sys.stderr, flush=True)

    def _take(self, one: News, told: Told) -> None:
        match one:
            case Searched():
                told.searched = one
                if one.query.why and not self.is_quiet:
                    self.note(f"Searched for: {one.query.text}  ({one.query.why})")
            case Planned():
                told.planned = one
                for text in one.notes:
                    self.note(text)
                self._wait(f"Reading {one.budget.prompt:,} tokens")
            case Piece():
                told.text += one.text
                self._piece(one)
            case Ended():
                told.ended = one
                # An answer that no model wrote comes in no piece.
                if not self._has_text:
                    self._piece(Piece(one.answer.text))

    def _piece(self, piece: Piece) -> None:
        if piece.thinking and not self._has_thoughts:
            self._has_thoughts = True
            self._wait("The model is thinking")
        if piece.text:
            self._wait("")
            self._has_text = True
            if not self.is_quiet:
                print(harmless_text(piece.text), end="", flush=True)

    def _wait(self, what: str) -> None:
        """Say what is waited for, at a terminal; "" for nothing."""
        if self._status is not None:
            self._status.stop()
            self._status = None
        if what and self._console.is_terminal and not self.is_quiet:
            self._status = self._console.status(f"{what} ...")
            self._status.start()


def answer_value(told: Told) -> dict[str, Any]:
    """The JSON of one answer (DESIGN 7, `ask`)."""
    planned, ended = told.planned, told.ended
    if planned is None or ended is None:
        raise ValueError("the answer did not come to its end")
    budget, checked = planned.budget, ended.checked
    return {
        "answer": ended.answer.text,
        "citations": [_citation(one) for one in checked.citations],
        "removed_citations": len(checked.removed),
        "removed_numbers": list(checked.removed),
        "passages_sent": len(planned.passages),
        "passages": [
            {"n": one.n, "file": one.file, "page": one.page, "text": one.text,
             "rects": [list(rect) for rect in one.rects]}
            for one in planned.passages
        ],
        "budget": {
            "window": budget.window, "system": budget.system, "history": budget.history,
            "passages": budget.passages, "question": budget.question,
            "answer_room": budget.answer_room,
            "left_out": budget.pairs_left_out + budget.passages_left_out,
            "passages_left_out": [{"file": one.file, "page": one.page} for one in planned.unsent],
            "why": left_out(planned), "prompt_tokens": ended.answer.prompt_tokens,
            "predicted_tokens": ended.predicted, "shared_tokens": planned.shared_tokens,
            "exact": budget.is_exact,
        },
        "supported": bool(checked.citations), "found": ended.found,
        "complete": ended.answer.is_final, "reason": ended.answer.reason,
        "stop_reason": _STOP_REASONS.get(ended.answer.reason, "stop"),
        "prompt_tokens": ended.answer.prompt_tokens, "answer_tokens": ended.answer.answer_tokens,
    }  # fmt: skip


def left_out(planned: Planned) -> list[str]:
    """What was found or said and not sent, each with its reason; never cut, always named."""
    budget, lines = planned.budget, []
    if count := budget.passages_left_out:
        lines.append(
            f"Left out: {count} passage{_s(count)} that {_were(count)} found; beside the answer's "
            f"{budget.answer_room:,} tokens there was no room: {_places(planned.unsent)}."
        )
    if count := budget.pairs_left_out:
        named = ", ".join(f'"{text}"' for text in planned.left_out[-_NAMED:])
        named = f"{named}" if count <= _NAMED else f"the last of them {named}"
        lines.append(
            f"Left out: {count} earlier question{_s(count)} with the answer{_s(count)}, for want "
            f"of room: {named}."
        )
    return lines


def _places(passages: Sequence[Passage]) -> str:
    """ "a.pdf, pages 3, 4; b.pdf, page 1": best first."""
    pages: dict[str, list[int]] = {}
    for one in passages:
        pages.setdefault(one.file, []).append(one.page)
    return "; ".join(
        f"{file}, page{_s(len(numbers))} {', '.join(map(str, dict.fromkeys(numbers)))}"
        for file, numbers in pages.items()
    )


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def passages_text(passages: Sequence[Passage]) -> str:
    """Every passage that stands in a prompt, as it was found."""
    texts = [f"[{one.n}] {one.file}, page {one.page}:\n{one.text}" for one in passages]
    return "\n\n".join(texts) or "No passage was sent."


def sources_text(told: Told) -> str:
    """The sources of an answer and what was taken out of it; "" if there is nothing to say."""
    if told.planned is None or told.ended is None:
        return ""
    return "\n".join(_sources(told.ended, bool(told.planned.passages)))


def window_text(told: Told) -> str:
    """Where the window went, what was left out and why, and what the answer lacks."""
    if told.planned is None or told.ended is None:
        return ""
    return "\n".join(_window(told.planned, told.ended))


def _sources(ended: Ended, has_passages: bool) -> list[str]:
    checked, lines = ended.checked, list[str]()
    cited = [one for one in checked.citations if one.how == "cited"]
    matched = [one for one in checked.citations if one.how == "matched"]
    if cited:
        lines += ["Sources:", *map(_source, cited)]
    if matched:
        lines += ["The answer names no source. By its words it fits these passages (matched, not "
                  "cited):", *map(_source, matched)]  # fmt: skip
    if not (cited or matched) and has_passages and ended.found and ended.answer.text.strip():
        lines.append("The answer names no source, and its words fit no passage that was sent: do "
                     "not trust it without looking.")  # fmt: skip
    if checked.removed:
        numbers = ", ".join(f"[{n}]" for n in checked.removed)
        lines.append(f"Taken out of the answer, for no such passage was sent: {numbers}.")
    return lines


def _source(one: Citation) -> str:
    quote = " ".join(one.quote.split())
    shown = quote if len(quote) <= _QUOTED else quote[:_QUOTED] + " ..."
    return f'[{one.n}] {one.file}, page {one.page}: "{shown}"'


def _window(planned: Planned, ended: Ended) -> list[str]:
    if not planned.budget.prompt:
        return ["Nothing was sent to the model: no passage was found."]
    lines = [f"Sent: {planned.budget.use}.", *left_out(planned)]
    if planned.shared_tokens:
        lines.append(f"The first {planned.shared_tokens:,} tokens are those of the prompt before.")
    if not ended.answer.is_final:
        lines.append(f"The answer is incomplete: {ended.answer.reason.rstrip('.')}.")
    return lines + ([ended.warning] if ended.warning else [])


def _citation(one: Citation) -> dict[str, Any]:
    return {
        "n": one.n, "file": one.file, "page": one.page, "path": one.path,
        "rects": [list(rect) for rect in one.rects], "quote": one.quote, "how": one.how,
    }
