"""Documents read in a child process: their pages as a stream, never their crashes.

PDFium aborts, hangs and swells on some files (FACTS 1.12), so files of others only ever meet it
here. A child that finished a document cleanly serves the next; after a fault a new one goes on
behind the page that caused it.
"""

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Self

from converters.children.frames import Frame
from converters.documents.kinds import opened, sniffed
from converters.documents.limits import Limits, TooExpensive, Watch
from converters.documents.outcome import Loss, Outcome, Tally
from converters.documents.page import DocumentRefused, Page
from converters.documents.page_frames import page_of
from converters.documents.parser_process import ChildDied, ParserProcess

_PLAIN_FILE = 256 * 2**20  # a larger file counts as addresses: its child gets more of them
_MOST_FAULTS = 5
_MEMORY_SHARE = 0.5  # of what it may have: a child that had so much and died, died of it
_HINT = "Leave it out, or save it anew from the program that made it."


def _never() -> bool:
    return False


class DocumentChild:
    """Reads one document at a time; a context manager, to be used from one thread.

    Linux ends a child with the thread that started it. log: where the child's noise goes.
    """

    def __init__(self, limits: Limits | None = None, log: Path | None = None) -> None:
        self.limits = limits or Limits()
        self._log = log
        self._process: ParserProcess | None = None

    def read(
        self,
        path: Path,
        password: str | None = None,
        should_stop: Callable[[], bool] = _never,
        tally: Tally | None = None,
    ) -> "Reading":
        """The pages of a file, read while they are asked for.

        tally: what an earlier, unfinished reading of the same bytes counted; it goes on behind.

        The first page raises UserError: not found, a kind that is not read. Any page raises
        Stopped within a second of should_stop() saying yes. All else is told by the outcome.
        """
        return Reading(self, path, password, should_stop, tally or Tally())

    @property
    def pid(self) -> int | None:
        """The id of the process that waits for the next document, None without."""
        return self._process.pid if self._process else None

    @property
    def is_confined(self) -> bool:
        """Whether the system took files, sockets and programs from the child (Linux)."""
        return self.process_for(0).is_confined

    def process_for(self, file_bytes: int) -> ParserProcess:
        """A ready child for a file of this size, the last one if it was left clean."""
        needed = self.limits.memory_bytes + (file_bytes if file_bytes > _PLAIN_FILE else 0)
        if self._process is not None and self._process.memory_bytes != needed:
            self.discard()
        if self._process is None:
            self._process = ParserProcess(needed, self._log)
        return self._process

    def discard(self) -> None:
        """End the child; the next document gets a new one."""
        process, self._process = self._process, None
        if process is not None:
            process.close()

    def close(self) -> None:
        """End the child at once."""
        self.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Reading:
    """The pages of one document, to be iterated once; then `outcome` tells how it went.

    page_count: of the document, None until it is known. To stop early, `close` it.
    """

    def __init__(
        self,
        child: DocumentChild,
        path: Path,
        password: str | None,
        should_stop: Callable[[], bool],
        tally: Tally,
    ) -> None:
        self._child = child
        self._tally = tally
        self._watch = Watch(child.limits, should_stop)
        self._outcome: Outcome | None = None
        self._next = tally.last + 1
        self._pages = self._all_pages(path, password)

    @property
    def page_count(self) -> int | None:
        """How many pages the document has, None until that is known."""
        return self._tally.page_count

    @property
    def outcome(self) -> Outcome:
        """How the reading ended. Raises RuntimeError before the last page was taken."""
        if self._outcome is None:
            raise RuntimeError("the document is not read to its end")
        return self._outcome

    def __iter__(self) -> Iterator[Page]:
        return self._pages

    def close(self) -> None:
        """Stop reading and end the child."""
        self._pages.close()

    def _all_pages(self, path: Path, password: str | None) -> Generator[Page]:
        with opened(path) as file:
            before = os.fstat(file.fileno())
            request = {"kind": sniffed(file, path.name), "password": password}
            is_done = False
            try:
                while not is_done:
                    is_done = yield from self._by_one_child(file, before.st_size, request)
            except BaseException:
                self._child.discard()  # it is in the middle of something that nobody wants
                raise
            after = os.fstat(file.fileno())
        changed = (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns)
        self._tally.has_changed = changed
        self._tally.cpu_s = self._watch.cpu_s
        self._outcome = self._tally.outcome()

    def _by_one_child(
        self, file: BinaryIO, size: int, request: dict[str, Any]
    ) -> Generator[Page, None, bool]:
        """Pages until the document ends (True) or the child has a fault (False: go on)."""
        process = self._child.process_for(size)
        was_used = process.documents > 0
        self._watch.follow(process.pid)
        try:
            for frame in process.frames(
                file, {**request, "first": self._next}, self._watch.check
            ):
                if frame[0]["kind"] == "page":
                    yield self._page(frame)
                elif self._take(frame[0]):
                    self._watch.check(now=True)
                    return True
        except TooExpensive as error:
            return self._after_fault("too expensive", f"It took more than {error}.", error.is_page)
        except ChildDied as error:
            if was_used:
                self._child.discard()  # what came before may be to blame: once more, afresh
                return False
            return self._after_fault(*_cause(error, process.memory_bytes))
        except _Fault as error:
            return self._after_fault(error.loss, str(error))
        raise AssertionError("frames have no end of their own")

    def _page(self, frame: Frame) -> Page:
        page = page_of(*frame)
        self._next = page.number + 1
        self._tally.take(page)
        self._watch.page_done()
        return page

    def _take(self, head: dict[str, Any]) -> bool:
        """Note what a frame other than a page says; whether it is the last one."""
        match head["kind"]:
            case "document":
                self._tally.page_count = head["pages"]
                self._tally.is_repaired = head["repaired"]
            case "lost":
                self._tally.lost[head["number"]] = "damaged"
                self._next = head["number"] + 1
            case "end":
                self._tally.replaced = head["replaced"]
                return True
            case "refused":
                self._tally.refused = DocumentRefused(
                    head["title"], head["detail"], head["hint"], head["outcome"]
                )
                return True
            case "memory":
                raise _Fault("too expensive", "It needs more memory than a document may have.")
            case _:
                self._tally.bug = head["text"]
                raise _Fault("damaged", "")
        return False

    def _after_fault(self, loss: Loss, why: str, is_page: bool = True) -> bool:
        """End the child; give up its page, or the document if nothing is left to try."""
        self._child.discard()
        count = self._tally.page_count
        faults = len(self._tally.lost) + 1
        if count is None or not is_page or faults > _MOST_FAULTS:
            self._tally.refused = _given_up(loss, why, self._tally.read)
            return True
        self._tally.lost[self._next] = loss
        self._tally.why[loss] = why
        self._next += 1
        return self._next > count


class _Fault(Exception):
    """The child lives but said that it cannot go on."""

    def __init__(self, loss: Loss, why: str) -> None:
        super().__init__(why)
        self.loss: Loss = loss


def _cause(death: ChildDied, memory_bytes: int) -> tuple[Loss, str]:
    peak = death.ending.peak_bytes
    if peak > _MEMORY_SHARE * memory_bytes or death.ending.how == "SIGXCPU":
        return "too expensive", f"It needed more than {peak / 2**20:,.0f} MB of memory."
    return "damaged", f"The parser was ended by {death.ending.how}."


def _given_up(loss: Loss, why: str, pages: int) -> DocumentRefused:
    title = {
        "too expensive": "The document is too expensive to read.",
        "damaged": "The document is damaged.",
    }[loss]
    kept = f" {pages:,} of its pages were read." if pages else ""
    return DocumentRefused(title, why + kept, _HINT, loss)
