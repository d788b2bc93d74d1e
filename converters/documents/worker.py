"""The parser child: `python -m converters.documents.worker ADDRESS_SPACE CPU_SECONDS`.

One document at a time, handed over as an open file: this process opens nothing and, on Linux, can
open nothing. It streams pages and stays for the next document. It ends with its parent.
"""

import codecs
import os
import signal
import socket
import sys
import traceback
from io import FileIO, RawIOBase
from typing import Any, cast

import numpy.ma  # noqa: F401 - imported by numpy at the first `isin` and `median`

from converters.children.confinement import die_with_parent, limit_for_good
from converters.children.frames import read_frame, write_frame
from converters.children.system_calls import give_up_system_calls
from converters.documents import pdf  # noqa: F401 - later nothing can be imported
from converters.documents.kinds import mapped, reader_of
from converters.documents.page import DocumentRefused
from converters.documents.page_frames import page_frame
from converters.documents.reader import LostPage

_CODECS = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "cp1252", "latin-1")


class Worker:
    """Serves one document after the other until its parent is gone."""

    def __init__(self, requests: socket.socket, replies: RawIOBase) -> None:
        self._requests = requests
        self._stream = cast(RawIOBase, requests.makefile("rwb", buffering=0))
        self._replies = replies

    def run(self, is_confined: bool) -> None:
        """Say that this process is ready, then serve."""
        self._send("ready", confined=is_confined)
        while True:
            mark, files, _, _ = socket.recv_fds(self._requests, 1, 1)
            if not mark:
                return
            request = read_frame(self._stream)
            if request is None or not files:
                return
            self._serve(files[0], **request[0])

    def _serve(self, file: int, **request: Any) -> None:
        try:
            data = mapped(file)
            os.close(file)
            self._read(data, **request)
        except DocumentRefused as error:
            self._send("refused", outcome=error.kind, **error.as_json()["error"])
        except MemoryError:
            self._send("memory")
        except Exception:
            self._send("bug", text=traceback.format_exc())

    def _read(self, data: Any, kind: Any, password: str | None, first: int) -> None:
        with reader_of(kind, data, password) as reader:
            self._send("document", pages=reader.page_count, repaired=reader.is_repaired)
            for page in reader.pages(first):
                if isinstance(page, LostPage):
                    self._send("lost", number=page.number)
                else:
                    write_frame(self._replies, *page_frame(page))
            self._send("end", replaced=reader.replaced)

    def _send(self, kind: str, **fields: Any) -> None:
        write_frame(self._replies, {"kind": kind, **fields})


def main() -> None:
    """Keep the socket and the pipe for requests and replies alone, give up the rest, serve."""
    die_with_parent()
    requests = socket.socket(fileno=os.dup(sys.stdin.fileno()))
    replies = FileIO(os.dup(sys.stdout.fileno()), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # stray prints go to the log
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in _CODECS:
        codecs.lookup(name)
    limit_for_good(int(sys.argv[1]), int(sys.argv[2]))
    try:
        Worker(requests, replies).run(give_up_system_calls())
    except BrokenPipeError:
        os._exit(0)  # the parent is gone; nobody reads an error


if __name__ == "__main__":
    main()
