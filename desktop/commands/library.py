"""`tunedesk library`: documents to search in, offline.

What only some of these words need is imported in them: a search starts in a third of a second.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from converters.errors import UserError
from desktop.commands.context import Context, Output
from desktop.core.counted import counted
from desktop.core.held_lock import is_held
from desktop.documents.backup import BACKUP, DATABASE, LOCK
from desktop.documents.file_names import path_of, shown_path
from desktop.documents.library import Counts, PageVerdict, StoredFile, with_library
from desktop.documents.shelf import Place, find_library, libraries_of, place_for

DEFAULT_NAME = "documents"
_SHOWN = 12


def _given_name(ctx: typer.Context, name: str) -> str:
    """An empty name is often a variable that was not set: it must not mean "the only library"."""
    if not name and (source := ctx.get_parameter_source("library")) and source.name != "DEFAULT":
        raise typer.BadParameter("The name of the library is empty.")
    return name


AddedTo = Annotated[str, typer.Option(
    "--library", "-L", metavar="NAME", show_default="the only one, else documents",
    callback=_given_name, help="The library; made if there is none of that name.")]
LibraryName = Annotated[str, typer.Option(
    "--library", "-L", metavar="NAME", callback=_given_name,
    help="The library; may be left out if there is one.")]


def list_library(context: Context, library: LibraryName = "") -> Output:
    """All libraries, or with --library the files of one."""
    if not library:
        places = libraries_of(context.home.libraries)
        value = [_summary(context, place) for place in places]
        lines = [f'{one["library"]}: {_figures(one)}' for one in value] or [
            "There is no library yet. Make one: tunedesk library add FOLDER --library NAME"
        ]
        return Output(value, "\n".join(lines))
    place = find_library(context.home.libraries, library)
    files, odd = with_library(
        place.folder, lambda opened: (opened.files(), opened.odd_pages()), context.say
    )
    value = [_file(file, odd.get(file.document or 0, ())) for file in files]
    lines = [_file_line(file, odd.get(file.document or 0, ())) for file in files]
    return Output(value, "\n".join(lines) or "The library holds no files.")


def add(
    context: Context,
    paths: Annotated[list[Path], typer.Argument(
        metavar="PATH...", help="Files and folders: PDF, text, Markdown, CSV.")],
    library: AddedTo = "",
    password_stdin: Annotated[bool, typer.Option(
        "--password-stdin", help="Read passwords of encrypted documents, one a line.")] = False,
    detach: Annotated[bool, typer.Option(
        "--detach", help="Return at once; `tunedesk jobs` shows the job.")] = False,
) -> Output:
    """Add documents; only what is new or changed is read. They can be searched meanwhile."""
    from desktop.commands.library_adding import add_in_foreground, require_there, start_adding

    if detach and password_stdin:
        raise typer.BadParameter("Passwords are kept nowhere, so a job on its own cannot have any.")
    context.home.require_writable()
    require_there(paths)
    passwords = tuple(line.rstrip("\r\n") for line in sys.stdin) if password_stdin else ()
    place = _place_for(context, library)
    if detach:
        return start_adding(context, place, paths)
    return add_in_foreground(context, place, paths, passwords, may_ask=not password_stdin)


def remove(
    context: Context,
    names: Annotated[list[str] | None, typer.Argument(
        metavar="[FILE...]", help="Names or paths of files, or of a folder.")] = None,
    library: LibraryName = "",
    everything: Annotated[bool, typer.Option(
        "--all", help="Remove the whole library.")] = False,
) -> Output:
    """Remove files from a library, or the library. The files themselves stay where they are."""
    from desktop.documents.removal import remove_files, remove_library

    place = find_library(context.home.libraries, library)
    if everything and not names:
        freed = remove_library(place)
        text = f'Removed the library "{place.name}": {freed / 1e6:,.1f} MB are free again.'
        return Output({"library": place.name, "freed_bytes": freed}, text)
    if not names:
        raise typer.BadParameter("Name files, or --all for the whole library.")
    gone = remove_files(place.folder, names, context.say)
    shown = [shown_path(key) for key in gone]
    text = f'Removed {counted(len(gone), "file")} from "{place.name}": {_listed(shown)}'
    return Output({"library": place.name, "removed": shown}, text)


def status(context: Context, library: LibraryName = "") -> Output:
    """What a library holds, what could not be read and why, and whether it is complete."""
    place = find_library(context.home.libraries, library)
    files, odd = with_library(
        place.folder, lambda opened: (opened.files(), opened.odd_pages()), context.say
    )
    summary = _summary(context, place)
    aside = [file for file in files if file.state not in ("indexed", "waiting")]
    value = summary | {
        "folder": str(place.folder),
        "skipped": [
            {"file": f.name, "path": shown_path(f.path), "reason": f.reason} for f in aside
        ],
        "gone": [shown_path(f.path) for f in files if _is_gone(path_of(f.path))],
    }
    return Output(value, "\n".join(_status_lines(value, files, odd)))


def watch(
    context: Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...")],
    library: AddedTo = "",
) -> Output:
    """Look every 2 seconds for new and changed files and add them, until Ctrl-C."""
    from desktop.commands.library_adding import keep_watching, require_there

    context.home.require_writable()
    require_there(paths)
    return keep_watching(context, _place_for(context, library), paths)


def search(
    context: Context,
    question: Annotated[str, typer.Argument(help="What to look for, in words.")] = "",
    library: LibraryName = "",
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many passages.")] = 10,
    file: Annotated[str, typer.Option(
        "--file", help="Search only this document, by its name or a part of it.")] = "",
    packs: Annotated[bool, typer.Option(
        "--packs/--no-packs", help="Let packs add how a field words things.")] = True,
    batch: Annotated[Path | None, typer.Option(
        "--batch", help='Many questions: JSON lines {"q", "file"?}.')] = None,
    meaning: Annotated[str, typer.Option(
        metavar="auto|off|MODEL", help="Order by meaning too: an embedding model of Ollama, or "
        "minilm; auto: whatever is here.")] = "auto",
    allow_host: Annotated[list[str] | None, typer.Option(
        "--allow-host", metavar="HOST", help="Passages may go to this machine, from now on.",
    )] = None,
) -> Output:
    """Find passages with file, page, places on the page, score and why."""
    from desktop.commands.library_search import (
        Question,
        Search,
        answer_all,
        answer_one,
        read_batch,
    )
    from desktop.commands.meaning import AUTO, OFF, MeaningWish

    if bool(question.strip()) == bool(batch):
        raise typer.BadParameter("Give one question, or a file of them with --batch.")
    place = find_library(context.home.libraries, library)
    if allow_host and meaning in (AUTO, OFF):
        raise typer.BadParameter("--allow-host needs a model: --meaning MODEL.")
    wanted = Search(k, packs, MeaningWish(meaning, tuple(allow_host or ())))
    if batch is None:
        return answer_one(context, place, Question(question, file), wanted)
    return answer_all(context, place, read_batch(batch, file), wanted)


def _place_for(context: Context, library: str) -> Place:
    """The library to add to; without a name the only one, else a new one."""
    places = libraries_of(context.home.libraries)
    only = places[0].name if len(places) == 1 else DEFAULT_NAME
    return place_for(context.home.libraries, library or only)


def _is_gone(path: Path) -> bool:
    """Whether a file is not there; one in a folder that cannot be looked into may be."""
    try:
        return not path.exists()
    except OSError:
        return False


def _summary(context: Context, place: Place) -> dict[str, Any]:
    """The figures of a library, None where a problem keeps them unknown."""
    known: dict[str, Any] = dict.fromkeys(field.name for field in fields(Counts))
    problem = {}
    try:
        known = asdict(with_library(place.folder, lambda opened: opened.counts(), context.say))
    except UserError as error:
        problem = {"problem": str(error)}
        if not any((place.folder / name).exists() for name in (DATABASE, BACKUP)):
            known = dict.fromkeys(known, 0)  # nothing was added yet
    return {
        "library": place.name, **known, "indexing": is_held(place.folder / LOCK),
        "bytes": place.size_bytes, **problem,
    }  # fmt: skip


def _figures(one: dict[str, Any]) -> str:
    if "problem" in one:
        return one["problem"]
    text = f'{counted(one["files"], "file")}, '
    if one["waiting"]:  # how many pages those have is not known
        indexed, waiting = counted(one["pages_indexed"], "page"), counted(one["waiting"], "file")
        return text + f"{indexed} indexed, {waiting} not read yet"
    return text + f'{one["pages_indexed"]:,} of {counted(one["pages"], "page")} indexed'


def _file(file: StoredFile, odd: Sequence[PageVerdict]) -> dict[str, Any]:
    return {
        "file": file.name, "path": shown_path(file.path), "bytes": file.size,
        "state": file.state, "reason": file.reason, "outcome": file.outcome,
        "sentence": file.sentence, "pages": file.page_count, "pages_indexed": file.pages_read,
        "pages_without_text": file.pages_read - file.text_pages,
        "odd_pages": [asdict(one) for one in odd],
    }  # fmt: skip


def _file_line(file: StoredFile, odd: Sequence[PageVerdict]) -> str:
    if file.state != "indexed":
        pages = counted(file.page_count or 0, "page")
        read = f", {file.pages_read:,} of {pages} indexed" if file.page_count else ", not read yet"
        return f"{file.name}: {file.reason or file.state + read}"
    return " ".join([f"{file.name}: {file.sentence}", *_verdicts(odd)])


def _verdicts(odd: Sequence[PageVerdict]) -> list[str]:
    """ "Pages 4, 7: empty." Scans and garbled pages stand in the sentence of their file."""
    pages: dict[str, list[int]] = {}
    for one in odd:
        if one.verdict == "empty":
            pages.setdefault("empty", []).append(one.page)
        if one.hidden:
            pages.setdefault("hidden text", []).append(one.page)
    return [
        f"Page{'s' * (len(numbers) > 1)} {_listed(numbers)}: {what}."
        for what, numbers in pages.items()
    ]


def _listed(things: Sequence[object]) -> str:
    more = f" and {len(things) - _SHOWN} more" if len(things) > _SHOWN else ""
    return ", ".join(map(str, things[:_SHOWN])) + more


def _status_lines(
    value: dict[str, Any], files: list[StoredFile], odd: dict[int, list[PageVerdict]]
) -> list[str]:
    lines = [
        f'{value["library"]}: {_figures(value)}, '
        f'{value["bytes"] / 1e6:,.1f} MB in {value["folder"]}'
    ]
    if value["indexing"]:
        lines.append("Documents are being added right now; what is indexed can be searched.")
    elif value["waiting"]:
        lines.append("An addition was interrupted; add the same folder again to go on.")
    if value["pages_without_text"]:
        pages = value["pages_without_text"]
        lines.append(f"{counted(pages, 'page')} {'has' if pages == 1 else 'have'} no text:")
        lines += [
            f"  {_file_line(f, odd.get(f.document or 0, ()))}" for f in files
            if 0 < f.pages_read != f.text_pages
        ]
    if value["hidden_pages"]:
        pages = value["hidden_pages"]
        hold = "holds" if pages == 1 else "hold"
        lines.append(f"{counted(pages, 'page')} {hold} text that a reader does not see.")
    if value["skipped"]:
        lines.append("Set aside:")
        lines += [f'  {one["file"]}: {one["reason"]}' for one in value["skipped"]]
    if value["gone"]:
        lines.append("Not at their place any more (their text is kept; see `library remove`):")
        lines += [f"  {path}" for path in value["gone"]]
    return lines

