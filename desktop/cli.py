"""`tunedesk`: every ability of the program without a window. Words and JSON are fixed (DESIGN 7).

Each command lives in its own file of `desktop/commands` and is imported when it is called, so
that `tunedesk models` does not pay for what it does not use.
"""

import importlib
import io
import sys

import typer

from desktop.commands.context import STOPPED, alone_command, command

COMMANDS = {
    "doctor": ("desktop.commands.doctor", "doctor"),
    "models": ("desktop.commands.models", "models"),
    "inspect": ("desktop.commands.inspect", "inspect"),
    "plan": ("desktop.commands.plan", "plan"),
    "tune": ("desktop.commands.tune", "tune"),
    "export": ("desktop.commands.export", "export_command"),
    "import": ("desktop.commands.importing", "import_command"),
    "modelfile": ("desktop.commands.modelfile", "modelfile"),
    "verify": ("desktop.commands.verify", "verify"),
    "ask": ("desktop.commands.ask", "ask"),
    "chat": ("desktop.commands.chat", "chat"),
    "pull": ("desktop.commands.pull", "pull"),
    "demo": ("desktop.commands.demo", "demo"),
}
GROUPS = {
    "jobs": ("desktop.commands.jobs", "list_jobs", {
        "list": "list_jobs", "show": "show", "follow": "follow", "stop": "stop",
        "resume": "resume", "delete": "delete",
    }),
    "chats": ("desktop.commands.kept_chats", "list_chats", {
        "list": "list_chats", "find": "find", "show": "show", "rename": "rename",
        "delete": "delete", "export": "export",
    }),
    "library": ("desktop.commands.library", "list_library", {
        "add": "add", "list": "list_library", "remove": "remove", "status": "status",
        "watch": "watch", "search": "search",
    }),
}


def build_app(names: list[str]) -> typer.Typer:
    """The program with the commands `names`."""
    app = typer.Typer(
        no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
        help="Tune the models that Ollama holds, proven equal to what was trained.",
    )
    app.callback()(_program)
    for name in names:
        if name in GROUPS:
            app.add_typer(_group(name), name=name)
            continue
        module, function = COMMANDS[name]
        app.command(name)(command(getattr(importlib.import_module(module), function)))
    return app


def main() -> None:
    """Entry point: only the command that is called is imported, all of them for help."""
    for stream in (sys.stdout, sys.stderr):  # a terminal need not know every character
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    known = [*COMMANDS, *GROUPS]
    called = [word for word in sys.argv[1:2] if word in known]
    try:
        build_app(called or known)(prog_name="tunedesk")
    except KeyboardInterrupt:  # before the command began
        print("Stopped. Nothing was started.", file=sys.stderr)
        sys.exit(STOPPED)


def _group(name: str) -> typer.Typer:
    """Commands of one word below another; the word alone is the group's first one."""
    path, default, functions = GROUPS[name]
    module = importlib.import_module(path)
    alone = getattr(module, default)
    group = typer.Typer(invoke_without_command=True, help=alone.__doc__)
    group.callback()(alone_command(alone))
    for word, function in functions.items():
        group.command(word)(command(getattr(module, function)))
    return group


def _program() -> None:
    """Tune the models that Ollama holds, proven equal to what was trained."""
