"""`tunedesk modelfile NAME`: the model as a Modelfile, checked to read back the same."""

from pathlib import Path
from typing import Annotated

import typer

from converters.errors import UserError
from converters.modelfile import Command, Modelfile, render_modelfile
from desktop.commands.context import Context, Output
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.inherit import Inheritance, inherit
from desktop.ollama_api.store import model_file


async def modelfile(
    context: Context, name: Annotated[str, typer.Argument(help="A model that Ollama holds.")]
) -> Output:
    """Print the Modelfile of a model: file, template, stops, parameters, licence."""
    if context.engine == "builtin":
        raise UserError(
            "A Modelfile describes a model of Ollama.",
            "The built-in engine was asked for.", "Start Ollama and leave out --engine.",
        )
    async with OllamaClient(context.host) as client:
        inheritance = await inherit(client, name)
        path, _ = await model_file(client, name)
    text = render_modelfile(modelfile_of(inheritance, path))
    return Output({"model": name, "modelfile": text}, text.rstrip("\n"))


def modelfile_of(inheritance: Inheritance, path: Path) -> Modelfile:
    """The instructions that make the model from its file; a template that the file itself carries
    as Jinja is not repeated."""
    single = [
        ("from", str(path)), ("template", inheritance.template), ("system", inheritance.system),
        ("renderer", inheritance.renderer), ("parser", inheritance.parser),
        ("requires", inheritance.requires),
    ]
    commands = [Command(word, value) for word, value in single if value]
    commands += [
        Command("parameter", _literal(value), name)
        for name, value in inheritance.parameters.items()
    ]
    commands += [Command("parameter", stop, "stop") for stop in inheritance.stops]
    commands += [Command("license", text) for text in inheritance.license]
    commands += [
        Command("message", message["content"], message["role"])
        for message in inheritance.messages
    ]
    return Modelfile(tuple(commands))


def _literal(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
