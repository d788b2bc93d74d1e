"""`tunedesk`: every ability of the program without a window. Words and JSON are fixed (DESIGN 7).

Each command lives in its own file of `desktop/commands` and is imported when it is called, so
that `tunedesk models` does not pay for what it does not use.
"""

import importlib
import sys

import typer

from desktop.commands.context import command

COMMANDS = {
    "doctor": ("desktop.commands.doctor", "doctor"),
    "models": ("desktop.commands.models", "models"),
    "inspect": ("desktop.commands.inspect", "inspect"),
    "tune": ("desktop.commands.tune", "tune"),
    "export": ("desktop.commands.export", "export_command"),
    "import": ("desktop.commands.importing", "import_command"),
    "modelfile": ("desktop.commands.modelfile", "modelfile"),
    "verify": ("desktop.commands.verify", "verify"),
    "chat": ("desktop.commands.chat", "chat"),
    "demo": ("desktop.commands.demo", "demo"),
}


def build_app(names: list[str]) -> typer.Typer:
    """The program with the commands `names`."""
    app = typer.Typer(
        no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
        help="Tune the models that Ollama holds, proven equal to what was trained.",
    )
    app.callback()(_program)
    for name in names:
        module, function = COMMANDS[name]
        app.command(name)(command(getattr(importlib.import_module(module), function)))
    return app


def main() -> None:
    """Entry point: only the command that is called is imported, all of them for help."""
    called = [word for word in sys.argv[1:2] if word in COMMANDS]
    build_app(called or list(COMMANDS))(prog_name="tunedesk")


def _program() -> None:
    """Tune the models that Ollama holds, proven equal to what was trained."""
