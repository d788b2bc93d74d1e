"""What every command shares: its four options, its one JSON document, its exit codes."""

import asyncio
import functools
import inspect
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from converters.errors import Stopped, UserError
from desktop.core.paths import OTHER_HOME, Home, resolve_home
from desktop.core.terminal_text import harmless_json, harmless_text

DONE, USER_ERROR, USAGE, STOPPED, PROOF_FAILED = 0, 1, 2, 3, 4
EngineChoice = Literal["auto", "ollama", "builtin"]


@dataclass(frozen=True)
class Context:
    """The shared options of one call. `host` is None when neither option nor variable names one."""

    home: Home
    host: str | None
    engine: EngineChoice
    as_json: bool

    def say(self, text: str) -> None:
        """A line of progress or explanation; never on standard output when that is JSON."""
        file = sys.stderr if self.as_json else sys.stdout
        print(harmless_text(text), file=file, flush=True)


@dataclass(frozen=True)
class Output:
    """What a command has to say: the JSON document, the same as text, and the exit code."""

    value: Any
    text: str
    code: int = DONE


Command = Callable[..., Output | Awaitable[Output]]
_SHARED: dict[str, tuple[Any, Any]] = {
    "as_json": (Annotated[bool, typer.Option("--json", help="Print one JSON document.")], False),
    "home": (
        Annotated[Path | None, typer.Option(
            "--home", metavar="DIR", help="Folder for everything the program writes.")], None),
    "ollama": (
        Annotated[str | None, typer.Option(
            "--ollama", metavar="URL", help="The Ollama server (default: OLLAMA_HOST).")], None),
    "engine": (
        Annotated[EngineChoice, typer.Option(
            "--engine", help="auto: Ollama if it answers, else the built-in engine.")], "auto"),
}


def command(function: Command) -> Callable[..., None]:
    """Turn `function(context, **own) -> Output` into a typer command with the shared options."""

    @functools.wraps(function)
    def wrapper(
        *, as_json: bool, home: Path | None, ollama: str | None, engine: EngineChoice, **own: Any
    ) -> None:
        raise typer.Exit(_run(function, as_json, home, ollama, engine, own))

    hints = get_type_hints(function, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in list(inspect.signature(function).parameters.items())[1:]
    ]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        for name, (kind, default) in _SHARED.items()
    ]
    parameters = sorted([*own, *shared], key=lambda p: p.default is not inspect.Parameter.empty)
    wrapper.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    del wrapper.__wrapped__  # typer would read the inner signature
    return wrapper


def alone_command(function: Command) -> Callable[..., None]:
    """The same for a group's word without a further one; it does nothing before a further one."""
    wrapped = command(function)

    @functools.wraps(wrapped)
    def alone(ctx: typer.Context, **options: Any) -> None:
        if ctx.invoked_subcommand is None:
            wrapped(**options)

    own = inspect.signature(wrapped).parameters.values()
    context = inspect.Parameter(
        "ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    alone.__signature__ = inspect.Signature([context, *own])  # pyright: ignore[reportAttributeAccessIssue]
    alone.__annotations__ = {p.name: p.annotation for p in (context, *own)}
    del alone.__wrapped__  # typer would read the inner signature
    return alone


def _run(
    function: Command, as_json: bool, home: Path | None, ollama: str | None,
    engine: EngineChoice, own: dict[str, Any],
) -> int:
    try:
        host = ollama or os.environ.get("OLLAMA_HOST") or None
        context = Context(resolve_home(home), host, engine, as_json)
        output = function(context, **own)
        if inspect.isawaitable(output):
            output = asyncio.run(_awaited(output))
    except UserError as error:
        _print(error.as_json(), _error_text(error), as_json, sys.stderr)
        return USER_ERROR
    except (Stopped, KeyboardInterrupt) as stop:
        kept, _, hint = str(stop).partition("\n")
        stopped = UserError("Stopped.", kept or "Nothing was left half-written.", hint)
        _print(stopped.as_json(), str(stopped), as_json, sys.stderr)
        return STOPPED
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except BrokenPipeError:  # whoever reads us has read enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        known = UserError(
            "A file could not be read or written.",
            f"{error.filename or 'A file'}: {error.strerror or error}.",
            "Check that the place exists, is yours to write and has room; or choose another home "
            "with --home.",
        )
        _print(known.as_json(), _error_text(known), as_json, sys.stderr)
        return USER_ERROR
    except Exception as error:
        fault = _fault(error)
        _print(fault.as_json(), _error_text(fault), as_json, sys.stderr)
        return USER_ERROR
    _print(output.value, output.text, as_json, sys.stdout)
    if obstacle := context.home.obstacle:
        print(f"Not saving: {obstacle} {OTHER_HOME}", file=sys.stderr)
    return output.code


def _fault(error: Exception) -> UserError:
    """A bug of ours in words, with the trace in a file that can be sent along."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="tunedesk-fault-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exc(file=file)
    return UserError(
        "The program has a fault.", f"{type(error).__name__}: {error}",
        f"The details are in {file.name}; please report them.",
    )


async def _awaited(output: Awaitable[Output]) -> Output:
    return await output


def _error_text(error: UserError) -> str:
    lines = [f"Error: {error.title}", error.detail, error.hint]
    return "\n".join(line for line in lines if line)


def _print(value: Any, text: str, as_json: bool, stream: Any) -> None:
    if as_json:
        is_unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
        told = json.dumps(value, ensure_ascii=not is_unicode, indent=1)
        print(harmless_json(told), flush=True)
    elif text:
        print(harmless_text(text), file=stream, flush=True)
