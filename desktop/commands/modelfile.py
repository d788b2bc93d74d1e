"""`tunedesk modelfile NAME`: the model as a Modelfile, checked to read back the same."""

from typing import Annotated

import typer

from converters.errors import UserError
from converters.modelfile import render_modelfile
from desktop.commands.context import Context, Output
from desktop.ollama_api.client import OllamaClient
from desktop.ollama_api.document import as_modelfile
from desktop.ollama_api.inherit import inherit
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
    text = render_modelfile(as_modelfile(inheritance, str(path)))
    return Output({"model": name, "modelfile": text}, text.rstrip("\n"))

