"""The options that `ask` and `chat` share; light, for `chat --once` starts without documents."""

from typing import Annotated

import typer

Window = Annotated[int, typer.Option(
    "--window", min=256, help="Tokens of context, at most the model's own.")]
Library = Annotated[str, typer.Option(
    "--library", "-L", metavar="NAME", help="The library; may be left out if there is one.")]
File = Annotated[str, typer.Option(
    "--file", help="Only this document, by its name or a part of it.")]
Packs = Annotated[bool, typer.Option(
    "--packs/--no-packs", help="Let packs add how a field words things.")]
AllowHost = Annotated[list[str] | None, typer.Option(
    "--allow-host", metavar="HOST", help="Documents may go to this machine, from now on.")]
Think = Annotated[bool, typer.Option(
    "--think/--no-think", help="Let a model that can think do so before it answers.")]
