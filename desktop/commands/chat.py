"""`tunedesk chat MODEL`: a conversation in the terminal, or one question with --once."""

import json
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Annotated

import typer

from converters.errors import UserError
from desktop.chat.budget import DEFAULT_WINDOW, TooLong
from desktop.chat.too_long import excess_of
from desktop.commands.context import USER_ERROR, Context, Output
from desktop.commands.talk_options import AllowHost, File, Packs, Think
from desktop.core.counted import counted
from desktop.core.terminal_text import harmless_text
from desktop.ollama_api.errors import OllamaRefused, StreamCut
from desktop.serving.choice import choose

INCOMPLETE = " [incomplete]"


def chat(
    context: Context,
    model: Annotated[str, typer.Argument(help="A model's name.")] = "",
    once: Annotated[str | None, typer.Option(help="One question; nothing is kept.")] = None,
    library: Annotated[str, typer.Option(
        "--library", "-L", metavar="NAME", help="Talk about the documents of this library.")] = "",
    file: File = "",
    window: Annotated[int | None, typer.Option(
        "--window", min=256, metavar="TOKENS", show_default=str(DEFAULT_WINDOW),
        help="Tokens of context, at most the model's own.")] = None,
    packs: Packs = True,
    think: Think = False,
    allow_host: AllowHost = None,
    go_on: Annotated[int | None, typer.Option(
        "--continue", metavar="N", help="Go on with conversation N; `tunedesk chats` lists them.",
    )] = None,
    export_rows: Annotated[Path | None, typer.Option(
        "--export-rows", metavar="FILE",
        help="Write rated and corrected answers as rows for the next tuning.")] = None,
) -> Output | Awaitable[Output]:  # fmt: skip
    """Talk with a model, about your documents if you name a library; `chats` shows what is kept."""
    if export_rows is not None:
        if model or once is not None or go_on is not None:
            raise typer.BadParameter("--export-rows stands alone.")
        return _exported_rows(context, export_rows)
    if not model and go_on is None:
        raise typer.BadParameter("Name a model, or a conversation with --continue N.")
    if go_on is not None and (library or file or window):
        raise typer.BadParameter(
            "A conversation keeps its library, file and window; begin a new one for others."
        )
    if once is not None:
        if not once.strip():
            raise UserError("The question is empty.", "", 'Write it behind --once, as in "Hi".')
        if go_on is not None:
            raise typer.BadParameter("--once keeps nothing, so there is nothing to go on with.")
        if library or file:
            from desktop.commands.ask import ask

            return ask(
                context, once, model, library, file, window=window or DEFAULT_WINDOW, packs=packs,
                think=think, allow_host=allow_host,
            )
        if window or think:
            from desktop.chat.opening import TalkWish
            from desktop.commands.ask import ask_once

            wish = TalkWish(window or DEFAULT_WINDOW, think)
            return ask_once(context, once, model, None, wish)
        return _once(context, model, once)
    from desktop.commands.talking import Wanted, talk

    return talk(context, Wanted(
        model, library, file, window or DEFAULT_WINDOW, packs, think, tuple(allow_host or ()), go_on
    ))  # fmt: skip


async def _once(context: Context, model: str, once: str) -> Output:
    chosen = await choose(context.home, context.host, context.engine)
    try:
        answer = await chosen.serving.answer(model, [{"role": "user", "content": once}], None)
    except StreamCut as cut:
        if not cut.text:
            raise
        return _incomplete(context, cut)
    except OllamaRefused as error:
        if excess := excess_of(error):
            raise TooLong("The message", excess.prompt_tokens, excess.window, excess.window,
                          "Take a larger window (`--window`), or shorten it.") from error
        raise
    finally:
        await chosen.serving.close()
    value = {
        "answer": answer.text, "stop_reason": answer.stop_reason,
        "prompt_tokens": answer.prompt_tokens, "answer_tokens": answer.answer_tokens,
        "seconds": round(answer.seconds, 3),
    }
    return Output(value, answer.text)


def _incomplete(context: Context, cut: StreamCut) -> Output:
    """What came before the answer was cut off: shown, and never taken for the whole."""
    if not context.as_json:
        print(harmless_text(f"{cut.text}{INCOMPLETE}"), flush=True)
        print(f"Error: {cut.title}\n{cut.detail}\n{cut.hint}", file=sys.stderr, flush=True)
    value = {**cut.as_json(), "answer": cut.text, "complete": False}
    return Output(value, "", USER_ERROR)


def _exported_rows(context: Context, path: Path) -> Output:
    from desktop.chat.ratings import rows
    from desktop.commands.kept_chats import opened_chats, write_new

    with opened_chats(context) as chats:
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows(chats)]
    if not lines:
        raise UserError(
            "No answer was rated or corrected yet.", "No file was written.",
            "In a chat, write /good or /correct TEXT after an answer.",
        )
    write_new(path, "".join(lines))
    text = (
        f"{counted(len(lines), 'row')} written to {path}. "
        "Tune on them, 5 different ones at least, with: "
        f"tunedesk tune --model MODEL --data {path} --name NAME"
    )
    return Output({"rows": len(lines), "file": str(path)}, text)
