"""`tunedesk import FILE.gguf NAME [--like MODEL]`: a finished GGUF into the place that serves."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from converters.errors import UserError
from converters.export import ExportPlan, export
from converters.gguf.header import Header, read_header
from desktop.commands.context import Context, Output
from desktop.commands.live import LiveLine
from desktop.core.catalog import file_sha256
from desktop.jobs.prepared import NO_LIMIT, context_length
from desktop.jobs.steps.export import template_fields
from desktop.ollama_api.inherit import Inheritance
from desktop.ollama_api.templates import SHIELD
from desktop.serving.choice import choose
from desktop.serving.protocol import NewModel, Serving, StoredModel

WORTH_A_WORD_BYTES = 1_000_000


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
        raise UserError("The file is missing.", f"{file} is no file.", "Name a GGUF file.")
    header = read_header(file)
    chosen = await choose(context.home, context.host, context.engine)
    try:
        await chosen.serving.require_free_name(name, replace=replace)
        inheritance = await _inheritance(chosen.serving, like, header)
        with _protected(context, chosen.serving, file.resolve(), header, inheritance) as source:
            length = context_length(header)
            model = NewModel(
                source, file_sha256(source), name, inheritance,
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


async def _inheritance(serving: Serving, like: str | None, header: Header) -> Inheritance:
    """What the model takes over: from `like`, else what its own file carries."""
    if like is not None:
        return await serving.inherit(like)
    jinja = header.text("tokenizer.chat_template")
    return Inheritance(
        model=header.path.name, kind="jinja" if jinja else "none", jinja=jinja
    )


@contextmanager
def _protected(
    context: Context, serving: Serving, file: Path, header: Header, inheritance: Inheritance
) -> Iterator[Path]:
    """The file, or for Ollama a copy whose own chat template is protected against its guessing:
    a template near to a known one would be replaced by that one (FACTS 3.3)."""
    fields = template_fields(inheritance)
    carried = header.text("tokenizer.chat_template")
    if serving.engine != "ollama" or not fields or SHIELD in carried:
        yield file
        return
    context.say(
        "Ollama may take another chat template than the file's own. A copy that is protected "
        "against this is imported; only that one field differs."
    )
    copy = context.home.cache / "import" / file.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        plan = ExportPlan(file, None, copy, fields=fields)
        with LiveLine() as line:
            yield export(plan, line.report, lambda: False).gguf
    except UserError as error:  # the copy goes; what is kept is the person's own file
        detail = error.detail.replace(str(copy), str(file))
        raise UserError(error.title, detail, error.hint) from error
    finally:
        copy.unlink(missing_ok=True)


def _lines(stored: StoredModel) -> list[str]:
    how = "by hard link, without a second copy" if stored.linked else "by upload"
    how = "from a file that Ollama already held" if stored.blob_kept else how
    lines = [f"{stored.model} is created, {how} (sha256 {stored.digest[:12]}...).", *stored.notes]
    if sum(size for _, size in stored.orphans) > WORTH_A_WORD_BYTES:
        size = sum(size for _, size in stored.orphans)
        lines.append(
            f"{len(stored.orphans)} files of {size / 1e9:.2f} GB in Ollama's store belong to no "
            "model; Ollama removes them at its next start."
        )
    return lines
