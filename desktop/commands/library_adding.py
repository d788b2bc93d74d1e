"""The adding half of `tunedesk library`: the job, passwords of encrypted documents, and watching.

A password goes from the terminal or standard input to the reader in this process: it is in no
argument, no file and no journal.
"""

import getpass
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from converters.errors import UserError
from desktop.commands.added import added_output, output_of_result
from desktop.commands.context import DONE, Context, Output
from desktop.commands.live import LiveLine
from desktop.documents.file_names import as_address, key_of, path_of, shown_name
from desktop.documents.found_files import find_files
from desktop.documents.index_job import result_of
from desktop.documents.ingest import Request, add_documents
from desktop.documents.library import with_library
from desktop.documents.shelf import Place
from desktop.jobs.folder import JobFolder, create_job
from desktop.jobs.spec import IndexJob

WATCH_S = 2.0
_TRIES = 3


def start_adding(context: Context, place: Place, paths: Sequence[Path]) -> Output:
    """Start the job and leave it alone."""
    from desktop.commands.tune import start_detached

    return start_detached(_job(context, place, paths))


def add_in_foreground(
    context: Context, place: Place, paths: Sequence[Path], passwords: Sequence[str],
    *, may_ask: bool,
) -> Output:
    """Run the job with its progress shown; then what is encrypted, with its passwords."""
    from desktop.commands.tune import run_in_foreground

    folder = _job(context, place, paths)
    output = run_in_foreground(folder)
    locked = _encrypted(context, place, paths)
    if not locked:
        return output
    start = time.monotonic()
    if passwords:
        _read(place, locked, passwords)
    elif may_ask and sys.stdin.isatty():
        _ask_for_each(context, place, locked)
    else:
        return added_output(folder, DONE)
    opened = len(locked) - len(_encrypted(context, place, paths))
    return _with_opened(place, paths, output, opened, time.monotonic() - start)


def keep_watching(context: Context, place: Place, paths: Sequence[Path]) -> Output:
    """Add what is new or changed every 2 seconds until Ctrl-C, which is the normal end."""
    context.say(f'Watching for the library "{place.name}"; Ctrl-C ends it.')
    seen, trouble = None, ""
    rounds = 0
    try:
        while True:
            try:
                now = find_files(paths, lambda: False)
                if now != seen:
                    with LiveLine() as line:
                        request = Request(place.folder, tuple(paths))
                        add_documents(request, line.report, lambda: False)
                    seen = now
                    rounds += 1
                trouble = ""
            except UserError as error:  # a drive that is away comes back
                if str(error) != trouble:
                    context.say(f"{error} Watching goes on.")
                trouble = str(error)
            time.sleep(WATCH_S)
    except KeyboardInterrupt:
        text = "Watching ended. Every page that was indexed is kept."
        return Output({"library": place.name, "additions": rounds}, text)


def require_there(paths: Sequence[Path]) -> None:
    """Say of a path that is not there, before anything is made. Raises UserError."""
    missing = [path for path in paths if not os.path.lexists(path)]
    if missing:
        find_files(missing, lambda: False)


def _job(context: Context, place: Place, paths: Sequence[Path]) -> JobFolder:
    job = IndexJob(
        library=place.name, folder=place.folder,
        paths=tuple(as_address(key_of(path)) for path in paths),
    )  # fmt: skip
    return create_job(context.home.jobs, place.name, job)


def _encrypted(context: Context, place: Place, paths: Sequence[Path]) -> list[Path]:
    meant = {file.key for file in find_files(paths, lambda: False).files}
    files = with_library(place.folder, lambda library: library.files(), context.say)
    return [path_of(f.path) for f in files if f.state == "encrypted" and f.path in meant]


def _ask_for_each(context: Context, place: Place, locked: Sequence[Path]) -> None:
    for path in locked:
        name = shown_name(key_of(path))
        for _ in range(_TRIES):
            password = getpass.getpass(
                f"{name} is encrypted. Its password (nothing is shown; empty leaves it out): ",
                sys.stderr,
            )
            if not password:
                break
            _read(place, [path], [password])
            if not _encrypted(context, place, [path]):
                context.say(f"{name} was read; its text is in the library, not encrypted.")
                break
            context.say(f"This is not the password of {name}.")


def _read(place: Place, paths: Sequence[Path], passwords: Sequence[str]) -> None:
    with LiveLine() as line:
        add_documents(
            Request(place.folder, tuple(paths), tuple(passwords)), line.report, lambda: False
        )


def _with_opened(
    place: Place, paths: Sequence[Path], output: Output, opened: int, seconds: float
) -> Output:
    """The account of the job and of what its passwords opened, within `seconds`."""
    before = output.value
    now = result_of(
        place.name,
        add_documents(Request(place.folder, tuple(paths)), lambda _: None, lambda: False),
    )
    result = now.model_copy(update={
        "indexed": before["indexed"] + opened, "same_content": before["same_content"],
        "unchanged": before["unchanged"], "seconds": round(before["seconds"] + seconds, 3),
    })  # fmt: skip
    return output_of_result(result, DONE, before["job"])
