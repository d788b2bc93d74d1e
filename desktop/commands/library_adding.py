"""The adding half of `tunedesk library`: the job, passwords of encrypted documents, and watching.

A password goes from the terminal or standard input to the reader in this process: it is in no
argument, no file and no journal.
"""

import getpass
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from converters.errors import UserError
from desktop.commands.added import output_of_result
from desktop.commands.context import DONE, STOPPED, Context, Output
from desktop.commands.live import LiveLine
from desktop.documents.file_names import as_address, key_of, path_of, shown_name, shown_path
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
    start, code = time.monotonic(), DONE
    refused: dict[str, str] = {}
    if passwords:
        refused = _read(place, locked, passwords)
    elif may_ask and sys.stdin.isatty():
        try:
            _ask_for_each(context, place, locked, refused)
        except KeyboardInterrupt:  # the job itself is done, and is told all the same
            context.say("\nStopped. What is still encrypted was left out.")
            code = STOPPED
    else:
        return output
    opened = len(locked) - len(_encrypted(context, place, paths))
    told = _with_opened(place, paths, output, opened, refused, time.monotonic() - start)
    return replace(told, code=code)


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


def _ask_for_each(
    context: Context, place: Place, locked: Sequence[Path], refused: dict[str, str]
) -> None:
    """refused: is told of each file that a password did not open, as `_read` tells it."""
    for path in locked:
        name = shown_name(key_of(path))
        for _ in range(_TRIES):
            password = _asked(name)
            if not password:
                break
            refused |= _read(place, [path], [password])
            if not _encrypted(context, place, [path]):
                context.say(f"{name} was read; its text is in the library, not encrypted.")
                break
            context.say(f"This is not the password of {name}.")


def _asked(name: str) -> str:
    try:
        return getpass.getpass(
            f"{name} is encrypted. Its password (nothing is shown; empty leaves it out): ",
            sys.stderr,
        )
    except EOFError:  # Ctrl-D
        return ""


def _read(place: Place, paths: Sequence[Path], passwords: Sequence[str]) -> dict[str, str]:
    """Read them with the passwords; by path, why one was not read."""
    request = Request(place.folder, tuple(paths), tuple(passwords))
    with LiveLine() as line:
        added = add_documents(request, line.report, lambda: False)
    return {shown_path(left.key): left.reason for left in added.skipped}


def _with_opened(
    place: Place, paths: Sequence[Path], output: Output, opened: int, refused: Mapping[str, str],
    seconds: float,
) -> Output:
    """The account of the job and of what its passwords opened or not, within `seconds`."""
    before = output.value
    now = result_of(
        place.name,
        add_documents(Request(place.folder, tuple(paths)), lambda _: None, lambda: False),
    )
    result = now.model_copy(update={
        "indexed": before["indexed"] + opened, "same_content": before["same_content"],
        "unchanged": before["unchanged"], "seconds": round(before["seconds"] + seconds, 3),
        "skipped": tuple(
            left.model_copy(update={"reason": refused.get(left.path, left.reason)})
            for left in now.skipped
        ),
    })  # fmt: skip
    return output_of_result(result, DONE, before["job"])
