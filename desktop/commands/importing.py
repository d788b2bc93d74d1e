"""`tunedesk import FILE.gguf NAME [--like MODEL]`: a finished GGUF into the place that serves."""

from pathlib import Path
from typing import Annotated

import typer

from converters.errors import UserError
from converters.gguf.header import read_header
from desktop.commands.context import Context, Output
from desktop.commands.live import LiveLine
from desktop.core.catalog import file_sha256
from desktop.jobs.prepared import NO_LIMIT, context_length
from desktop.ollama_api.inherit import Inheritance
from desktop.serving.choice import choose
from desktop.serving.protocol import NewModel, Serving, StoredModel


async def import_command(
    context: Context,
    file: Annotated[Path, typer.Argument(help="A finished GGUF.")],
    name: Annotated[str, typer.Argument(help="The model's name.")],
    like: Annotated[str | None, typer.Option(
        metavar="MODEL", help="Take template, stops and parameters from this model.")] = None,
    replace: Annotated[bool, typer.Option(help="Replace a model of this name.")] = False,
) -> Output:
    """Put a finished GGUF into Ollama (or the built-in engine) under a name."""
    if not file.is_file():
        raise UserError("The file is missing.", f"There is no {file}.", "Check the path.")
    header = read_header(file)
    chosen = await choose(context.home, context.host, context.engine)
    try:
        with LiveLine():
            await chosen.serving.require_free_name(name, replace=replace)
            inheritance = await _inheritance(chosen.serving, like, header.path)
            length = context_length(header)
            model = NewModel(
                file.resolve(), file_sha256(file), name, inheritance,
                0 if length == NO_LIMIT else length,
            )
            stored = await chosen.serving.create(model, lambda *_: None, lambda: False)
    finally:
        await chosen.serving.close()
    value = {
        "model": stored.model, "digest": stored.digest, "blob_kept": stored.blob_kept,
        "orphans": [{"digest": digest, "bytes": size} for digest, size in stored.orphans],
    }
    return Output(value, "\n".join([chosen.why, *_lines(stored)]))


async def _inheritance(serving: Serving, like: str | None, path: Path) -> Inheritance:
    """What the model takes over: from `like`, else what its own file carries."""
    if like is not None:
        return await serving.inherit(like)
    from converters.gguf.reader import GgufFile

    with GgufFile(path) as opened:
        jinja = opened.header.text("tokenizer.chat_template")
    return Inheritance(model=path.name, kind="jinja" if jinja else "none", jinja=jinja)


def _lines(stored: StoredModel) -> list[str]:
    how = "by hard link, without a second copy" if stored.linked else "by upload"
    how = "which already held this file" if stored.blob_kept else how
    lines = [f"{stored.model} is created, {how} (sha256 {stored.digest[:12]}...).", *stored.notes]
    if stored.orphans:
        size = sum(size for _, size in stored.orphans)
        lines.append(
            f"{len(stored.orphans)} files of {size / 1e9:.2f} GB in Ollama's store belong to no "
            "model; Ollama removes them at its next start."
        )
    return lines
