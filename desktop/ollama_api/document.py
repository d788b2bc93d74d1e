"""A model as a Modelfile for the person to read; Ollama itself gets the JSON fields instead."""

from converters.modelfile import Command, Modelfile
from desktop.ollama_api.inherit import Inheritance


def as_modelfile(inheritance: Inheritance, source: str) -> Modelfile:
    """The instructions that make the same model out of `source` (a name or a path).

    `render_modelfile` refuses the values that no Modelfile can hold. A Jinja has no instruction:
    it stands in the GGUF.
    """
    single = [
        ("template", inheritance.template), ("system", inheritance.system),
        ("renderer", inheritance.renderer), ("parser", inheritance.parser),
        ("requires", inheritance.requires),
    ]  # fmt: skip
    commands = [Command("from", source)]
    commands += [Command(word, value) for word, value in single if value]
    commands += [
        Command("parameter", _text(value), name) for name, value in inheritance.parameters.items()
    ]
    commands += [Command("parameter", stop, "stop") for stop in inheritance.stops]
    commands += [Command("license", text) for text in inheritance.license]
    commands += [
        Command("message", str(message["content"]), str(message["role"]))
        for message in inheritance.messages
    ]
    return Modelfile(tuple(commands))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
