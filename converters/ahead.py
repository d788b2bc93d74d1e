"""A bounded ordered queue: threads compute ahead while the results are taken in order."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from threading import Event

from converters.errors import Stopped
from converters.events import ShouldStop

_POLL_S = 0.1


def worker_threads() -> int:
    """How many threads compute: two, which keeps the writer busy without crowding a desktop."""
    return min(2, os.cpu_count() or 1)


def computed_ahead[Item, Result](
    items: Iterable[Item],
    work: Callable[[Item, ShouldStop], Result],
    should_stop: ShouldStop,
    *,
    threads: int = 2,
) -> Generator[Result]:
    """Yield work(item, stopping) for every item, in order; at most `threads` + 1 are held.

    `work` must ask its second argument now and then and raise Stopped when it says yes. An error
    of `work` is raised at its place in the order. When the caller stops, errs or leaves early,
    what is under way is told to stop and waited for, so no thread outlives the generator.
    """
    abandoned = Event()
    waiting: deque[Future[Result]] = deque()
    rest = iter(items)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ahead")
    try:
        for item in islice(rest, threads + 1):
            waiting.append(pool.submit(work, item, abandoned.is_set))
        while waiting:
            yield _result(waiting.popleft(), should_stop)
            for item in islice(rest, 1):
                waiting.append(pool.submit(work, item, abandoned.is_set))
    finally:
        abandoned.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _result[Result](future: "Future[Result]", should_stop: ShouldStop) -> Result:
    while True:
        if should_stop():
            raise Stopped
        if future.done():
            return future.result()
        wait([future], timeout=_POLL_S)
