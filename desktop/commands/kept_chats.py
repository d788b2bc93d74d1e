"""`tunedesk chats`: the conversations that are kept, as `tunedesk jobs` shows the jobs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from converters.durable_files import staged_file
from converters.errors import UserError
from desktop.chat.conversation_file import FILE
from desktop.chat.conversations import Conversations
from desktop.chat.finding import find as find_turns
from desktop.chat.turns import Conversation
from desktop.chat.written import as_jsonl, as_markdown
from desktop.commands.consent_question import say_aside
from desktop.commands.context import Context, Output

Number = Annotated[int, typer.Argument(metavar="N", help="The conversation's number.")]


def list_chats(context: Context) -> Output:
    """The conversations, the one with the newest turn first."""
    if not (context.home.root / FILE).exists():
        return Output([], "There is no conversation yet. Begin one: tunedesk chat MODEL")
    with opened_chats(context) as chats:
        lines = (_line(chats, one) for one in chats.all())
        value = [one for one in lines if one["questions"]]  # one that is about to begin has none
    lines = [f'{one["conversation"]}  {one["title"]}  ({_about(one)})' for one in value]
    return Output(value, "\n".join(lines) or "There is no conversation.")


def find(
    context: Context,
    words: Annotated[str, typer.Argument(help="Words that were said, or stand in a title.")],
) -> Output:
    """Find what was said, in all conversations and all of their branches."""
    with opened_chats(context) as chats:
        found = find_turns(chats, words)
    value = [
        {"conversation": one.conversation, "title": one.title, "turn": one.turn, "role": one.role,
         "excerpt": one.excerpt}
        for one in found
    ]  # fmt: skip
    lines = [f"{one.conversation}  {one.title}\n   {one.role}: {one.excerpt}" for one in found]
    return Output(value, "\n".join(lines) or "Nothing was found.")


def show(context: Context, number: Number) -> Output:
    """Print a conversation as Markdown; with --json every turn of every branch."""
    import json

    with opened_chats(context) as chats:
        value = [json.loads(line) for line in as_jsonl(chats, number)]
        return Output(value, as_markdown(chats, number).rstrip())


def rename(
    context: Context, number: Number, title: Annotated[str, typer.Argument(help="The new title.")]
) -> Output:
    """Give a conversation another title."""
    if not title.strip():
        raise UserError("The title is empty.", "Nothing was changed.", "Write a title.")
    with opened_chats(context) as chats:
        value = _line(chats, chats.rename(number, title))
    return Output(value, f'Conversation {number} is now called "{value["title"]}".')


def delete(context: Context, number: Number) -> Output:
    """Delete a conversation with its ratings, from the copy too. Documents stay."""
    with opened_chats(context) as chats:
        gone = _line(chats, chats.get(number))
        chats.delete(number)
    return Output(gone, f'Deleted conversation {number}, "{gone["title"]}" ({_about(gone)}).')


def export(
    context: Context, number: Number,
    output: Annotated[Path, typer.Option("-o", help="The file: .md for people, else .jsonl.")],
) -> Output:  # fmt: skip
    """Write a conversation to a file: Markdown as it is shown, or all of it as JSON lines."""
    is_markdown = output.suffix.lower() in (".md", ".markdown")
    with opened_chats(context) as chats:
        text = as_markdown(chats, number) if is_markdown else "".join(as_jsonl(chats, number))
    write_new(output, text)
    return Output({"conversation": number, "file": str(output)}, f"Written to {output}.")


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet. Raises UserError if it is, or its folder is not."""
    if path.exists():
        raise UserError(
            f"{path} is there already.", "It was not touched.", "Choose another name, or remove it."
        )
    if not path.parent.is_dir():
        raise UserError(f"There is no folder {path.parent}.", "Nothing was written.", "Make it.")
    with staged_file(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


@contextmanager
def opened_chats(context: Context) -> Iterator[Conversations]:
    """The conversations of the home; what was repaired is told. A closed home can be read."""
    closed = not context.home.is_writable
    with Conversations(context.home.root, say_aside, may_write=not closed) as chats:
        yield chats


def _line(chats: Conversations, one: Conversation) -> dict[str, Any]:
    turns = chats.branch(one.id)
    return {
        "conversation": one.id, "title": one.title, "model": one.model, "library": one.library,
        "file": one.file, "questions": sum(turn.role == "user" for turn in turns),
        "created": one.created, "window": one.window,
    }  # fmt: skip


def _about(one: dict[str, Any]) -> str:
    documents = f', documents: {one["library"]}' if one["library"] else ""
    pinned = f' ({one["file"]})' if one["file"] else ""
    count = one["questions"]
    questions = f'{count} question{"" if count == 1 else "s"}'
    return f'{one["model"]}, {questions}, {one["created"][:10]}{documents}{pinned}'
