"""`tunedesk inspect DATA --model M`: what the model would learn, before anything is trained."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from converters.gguf.header import read_header
from desktop.commands.context import Context, Output
from desktop.commands.live import LiveLine
from desktop.commands.options import columns_of, resolved_spec
from desktop.jobs.data import Data, count_tokens, task_of
from desktop.jobs.prepared import PreparedText
from desktop.jobs.reading import read_as_trained
from desktop.serving.choice import Chosen, choose
from desktop.serving.trainable import require_trainable_file
from finetune.spec import TuneSpec

SHOWN_REJECTIONS = 10


def inspect(
    context: Context,
    data: Annotated[Path, typer.Argument(help="Rows to train: JSONL, CSV or TSV.")],
    model: Annotated[str, typer.Option(help="The model to tune.")],
    held_out: Annotated[Path | None, typer.Option(help="Rows that are only measured.")] = None,
    map_: Annotated[str | None, typer.Option(
        "--map", metavar="prompt=COL,completion=COL", help="Columns of the data.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest row (2048).")] = None,
) -> Output:
    """Check a data file: rows accepted and rejected, tokens, and one row as the model sees it."""
    spec = resolved_spec(None, {
        "model": model, "data": data, "name": "inspected", "held_out": held_out,
        "columns": columns_of(map_), "max_tokens": max_tokens,
    })
    chosen, found, prepared = asyncio.run(_prepared(context, spec))
    value = _value(found, prepared, spec)
    return Output(value, "\n".join([chosen.why, *_lines(value)]))


async def _prepared(context: Context, spec: TuneSpec) -> tuple[Chosen, Data, PreparedText]:
    chosen = await choose(context.home, context.host, context.engine)
    try:
        base = await chosen.serving.base_file(spec.model)
        header = read_header(base.path)
        require_trainable_file(spec.model, base.path, header)
        with LiveLine() as line:
            found, prepared = await read_as_trained(
                chosen.serving, spec, base, header, line.report
            )
    finally:
        await chosen.serving.close()
    return chosen, found, prepared


def _value(data: Data, prepared: PreparedText, spec: TuneSpec) -> dict[str, Any]:
    rows = data.rows
    counts = count_tokens([*prepared.train.rows, *prepared.held_out.rows])
    return {
        "rows": rows.total, "accepted": len(rows.accepted),
        "rejected": [{"row": bad.row, "reason": bad.reason} for bad in rows.rejected],
        "duplicates": rows.duplicates, "task": task_of(spec, data.parts.train),
        "tokens": counts.model_dump(), "cut": prepared.cut,
        "held_out": len(data.parts.held_out), "trained": len(data.parts.train),
        "sample": _sample(prepared),
    }


def _sample(prepared: PreparedText) -> dict[str, Any]:
    """The first training row as the model sees it; spans count characters."""
    text, spans = "", []
    for piece, learnt in prepared.rendered[0].segments:
        kind = "learnt" if learnt else "context"
        if spans and spans[-1][2] == kind:
            spans[-1][1] += len(piece)
        else:
            spans.append([len(text), len(text) + len(piece), kind])
        text += piece
    return {"text": text, "spans": spans}


def _lines(value: dict[str, Any]) -> list[str]:
    tokens = value["tokens"]
    lines = [
        f"{value['rows']} rows: {value['accepted']} accepted, {len(value['rejected'])} rejected, "
        f"{value['duplicates']} repeated; the answers are a task of the kind \"{value['task']}\".",
        f"{value['trained']} are trained, {value['held_out']} only measured; "
        f"{tokens['total']:,} tokens, {tokens['learnt']:,} of them learnt; a row has "
        f"{tokens['p50']} (median), {tokens['p95']} (95 %), {tokens['max']} (most); "
        f"{value['cut']} rows are cut.",
        *(f"row {bad['row']}: {bad['reason']}" for bad in value["rejected"][:SHOWN_REJECTIONS]),
    ]
    more = len(value["rejected"]) - SHOWN_REJECTIONS
    if more > 0:
        lines.append(f"and {more} more rejected rows (--json lists all)")
    sample = value["sample"]
    lines.append("The first row as the model sees it, the learnt part between >>> and <<<:")
    marked = "".join(
        f">>>{sample['text'][start:end]}<<<" if kind == "learnt" else sample["text"][start:end]
        for start, end, kind in sample["spans"]
    )
    return [*lines, marked]
