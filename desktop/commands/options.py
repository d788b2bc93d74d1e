"""The options of `tune`, declared once for every command that takes them (`tune`, `plan`)."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from desktop.commands.context import Context, Output
from finetune.data.rows import parse_column_map
from finetune.spec import TuneSpec, parse, read_toml


def spec_of_options(
    spec: Annotated[Path | None, typer.Argument(help="A specification in TOML.")] = None,
    model: Annotated[str | None, typer.Option(help="The model to tune.")] = None,
    data: Annotated[Path | None, typer.Option(help="Rows to train: JSONL, CSV or TSV.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the tuned model.")] = None,
    held_out: Annotated[Path | None, typer.Option(help="Rows that are only measured.")] = None,
    map_: Annotated[str | None, typer.Option(
        "--map", metavar="prompt=COL,completion=COL", help="Columns of the data.")] = None,
    task: Annotated[str | None, typer.Option(help="auto, labels, json or text.")] = None,
    method: Annotated[str | None, typer.Option(help="qlora.")] = None,
    base: Annotated[str | None, typer.Option(help="Form of the base: blocks.")] = None,
    rank: Annotated[int | None, typer.Option(help="Rank of the adapter (16).")] = None,
    alpha: Annotated[float | None, typer.Option(help="Strength of the adapter (32).")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the data.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest row (2048).")] = None,
    too_long: Annotated[str | None, typer.Option(help="truncate, split or skip.")] = None,
    tokens_per_step: Annotated[int | None, typer.Option(help="Tokens of one step.")] = None,
    dropout: Annotated[float | None, typer.Option(
        help="Share of the adapter's inputs left out by chance (0).")] = None,
    patience: Annotated[int | None, typer.Option(
        help="Stop after so many measurements without a lower held-out loss.")] = None,
    recompute: Annotated[bool, typer.Option(
        "--recompute", help="Compute activations again instead of keeping them.")] = False,
    checkpoint_seconds: Annotated[float | None, typer.Option(
        help="Seconds between two checkpoints (300).")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random choices (0).")] = None,
    export_type: Annotated[str | None, typer.Option(
        help="auto, same, or one type for the touched tensors.")] = None,
    keep_general: Annotated[float | None, typer.Option(
        help="Weight of the guard against forgetting (0).")] = None,
    replace: Annotated[bool, typer.Option(help="Replace a model of this name.")] = False,
) -> TuneSpec:
    """The specification of a file, of options, or of a file with options on top of it."""
    if spec is None and not (model and data and name):
        raise typer.BadParameter("Name a specification file, or --model, --data and --name.")
    return resolved_spec(spec, {
        "model": model, "data": data, "name": name, "held_out": held_out, "task": task,
        "method": method, "base": base, "rank": rank, "alpha": alpha, "epochs": epochs,
        "learning_rate": learning_rate, "max_tokens": max_tokens, "too_long": too_long,
        "tokens_per_step": tokens_per_step, "dropout": dropout, "patience": patience,
        "recompute": recompute or None, "checkpoint_seconds": checkpoint_seconds,
        "seed": seed, "export_type": export_type, "keep_general": keep_general,
        "columns": columns_of(map_), "replace": replace or None,
    })


def takes_spec(function: Callable[..., Output]) -> Callable[..., Output]:
    """Turn `function(context, spec, **own)` into one with the options above beside its own."""

    @functools.wraps(function)
    def wrapper(context: Context, **given: Any) -> Output:
        own = {name: given.pop(name) for name in own_names}
        return function(context, spec_of_options(**given), **own)

    of_spec = inspect.signature(spec_of_options).parameters
    first, _, *own = inspect.signature(function).parameters.values()
    own_names = [parameter.name for parameter in own]
    keyword_only = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in [*of_spec.values(), *own]
    ]
    hints = get_type_hints(function, include_extras=True)
    hints |= get_type_hints(spec_of_options, include_extras=True)
    wrapper.__signature__ = inspect.Signature([first, *keyword_only])  # pyright: ignore[reportAttributeAccessIssue]
    wrapper.__annotations__ = {p: hints[p] for p in [first.name, *of_spec, *own_names]}
    return wrapper


def resolved_spec(path: Path | None, options: dict[str, Any]) -> TuneSpec:
    """The specification of a file, of options, or of a file with options on top of it."""
    given = {key: value for key, value in options.items() if value is not None}
    if path is None:
        return parse(given)
    stated = read_toml(path).model_dump(exclude_unset=True)
    return parse(stated | given)


def columns_of(text: str | None) -> dict[str, str] | None:
    """The column map of `--map` as the specification holds it."""
    if text is None:
        return None
    columns = parse_column_map(text)
    return {"prompt": columns.prompt, "completion": columns.completion, "system": columns.system}
