"""How far an addition is: pages a second and the time that is left, from what is stored already."""

import time
from collections.abc import Sequence

from converters.events import Progress, Report

_REPORT_S = 0.25
_USUAL_PAGES, _BYTES_A_PAGE = 20, 30_000
_TELLING = 0.02  # of the work: what less of it took says little of the rest


class Pace:
    """Counts stored pages; the pages of files that were not opened yet are estimated by size."""

    def __init__(self, sizes: Sequence[int], report: Report) -> None:
        self._sizes = sizes
        self._report = report
        self._total_bytes = sum(sizes)
        self._file = 0
        self._done_bytes = self._done_pages = self._before = 0
        self._in_file = self._in_file_count = 0
        self._start = self._reported = time.monotonic()

    def stored(self, pages: int, page_count: int | None) -> None:
        """More pages of the current file are stored; page_count: of the file, where known."""
        self._in_file += pages
        self._in_file_count = max(page_count or 0, self._in_file)
        self._tell()

    def resumed(self, pages: int) -> None:
        """Pages of the current file that an earlier addition stored."""
        self._in_file = pages
        self._before += pages

    def discarded(self) -> None:
        """The stored pages of the current file are gone again."""
        self._in_file = self._in_file_count = 0

    def file_done(self) -> None:
        """The current file has ended, read or not."""
        self._done_pages += self._in_file
        self._done_bytes += self._sizes[self._file]
        self._file += 1
        self._in_file = self._in_file_count = 0
        self._tell(now=self._file == len(self._sizes))

    def needed(self, grown: int) -> int:
        """Bytes that the rest will take if what is done took `grown`; 0 while that is a guess."""
        share = self._share()
        return round(grown * (1 - share) / share) if share > _TELLING else 0

    def _tell(self, *, now: bool = False) -> None:
        moment = time.monotonic()
        if moment - self._reported < _REPORT_S and not now:
            return
        self._reported = moment
        pages, share = self._done_pages + self._in_file, self._share()
        took = moment - self._start
        self._report(Progress(
            step=pages,
            steps=self._expected(pages),
            pages_per_s=max(0, pages - self._before) / took if took > 0 else None,
            remaining_s=took * (1 - share) / share if share > 0 else None,
        ))  # fmt: skip

    def _share(self) -> float:
        """Of the work: bytes of the files that ended, and the read part of the current one."""
        current = self._sizes[self._file] if self._file < len(self._sizes) else 0
        inside = self._in_file / self._in_file_count if self._in_file_count else 0.0
        return min(1.0, (self._done_bytes + current * inside) / max(1, self._total_bytes))

    def _expected(self, pages: int) -> int:
        """Pages in all: the rest has as many a byte as the known files, of which the first few
        weigh no more than a usual document does, so that one odd file does not make it jump."""
        known = self._done_pages + self._in_file_count
        known_bytes = self._done_bytes + (
            self._sizes[self._file] if self._in_file_count and self._file < len(self._sizes) else 0
        )
        if not known_bytes:
            return pages
        a_byte = (known + _USUAL_PAGES) / (known_bytes + _USUAL_PAGES * _BYTES_A_PAGE)
        return max(pages, known + round((self._total_bytes - known_bytes) * a_byte))
