"""Scoring held-out rows through llama.cpp: where the time of one row goes.

    python -m tests.benchmarks.bench_scoring

Prints milliseconds of CPU time a row, one thread: for the four files of a comparison, with and
without the shared prefix, with the log-softmax, and through the engine child.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import resources
from converters.adapter import read_adapter, write_gguf_adapter
from converters.chat_template import render
from converters.expand import expand_to_f32
from converters.export import ExportPlan, export
from converters.gguf.header import read_header
from converters.llama.scorer import Scorer
from converters.llama.vocabulary import Vocabulary
from desktop.engine.child import EngineChild
from tests.converters.peft_folders import linear_tensors, random_folder
from tests.servers.starter import starter_gguf

ROWS = 30
Row = tuple[list[int], int]
"""The ids of a row, and where its answer begins."""


def main() -> None:
    """Print the table."""
    rows = _rows(starter_gguf())
    tokens = sum(len(ids) for ids, _ in rows) / ROWS
    print(f"llama-cpp-python {version('llama-cpp-python')}, {ROWS} rows of {tokens:.0f} tokens")
    columns = ("no prefix", "logits", "log-probs", "child", "parent", "tokens/s")
    print(f"{'ms a row':24}" + "".join(f"{column:>11}" for column in columns))
    with tempfile.TemporaryDirectory() as folder:
        for title, model, lora in _files(Path(folder)):
            times = [*_in_process(model, lora, rows), *_through_child(model, lora, rows)]
            cells = "".join(f"{seconds * 1e3:11.1f}" for seconds in times)
            print(f"{title:24}{cells}{tokens / times[0]:11.0f}")


def _rows(model: Path) -> list[Row]:
    template = read_header(model).text("tokenizer.chat_template")
    rows: list[Row] = []
    with (
        Vocabulary(model) as vocabulary,
        resources.path("samples/customer_mail_held_out.jsonl").open(encoding="utf-8") as lines,
    ):
        for line in islice(lines, ROWS):
            *context, answer = json.loads(line)["messages"]
            asked = vocabulary.tokenize(render(template, context, add_generation_prompt=True))
            rows.append((asked + vocabulary.tokenize(answer["content"] + "<|im_end|>"), len(asked)))
    return rows


def _files(folder: Path) -> list[tuple[str, Path, Path | None]]:
    """Base, base + adapter, exported file and its F32 expansion, as the proofs compare them."""
    base, lora, file = starter_gguf(), folder / "adapter.gguf", folder / "file.gguf"
    header = read_header(base)
    adapter = random_folder(folder / "adapter", base, linear_tensors(base))
    write_gguf_adapter(lora, read_adapter(adapter, header), header)
    export(ExportPlan(base, adapter, file), lambda _event: None, lambda: False)
    expansion = folder / "expansion.gguf"
    expand_to_f32(file, expansion, lambda: False)
    return [
        ("base, Q4_1", base, None), ("base + adapter", base, lora),
        ("file, Q8_0", file, None), ("file's F32 expansion", expansion, None),
    ]  # fmt: skip


def _in_process(model: Path, lora: Path | None, rows: Sequence[Row]) -> list[float]:
    """Logits without a shared prefix, logits, log-probabilities."""
    with Scorer(model, lora) as scorer:

        def alone(ids: list[int], start: int) -> None:
            scorer.next_logits([0])  # an id that begins no row: nothing is shared
            scorer.logits(ids, start)

        sides = (alone, scorer.logits, scorer.log_probs)
        return [_seconds(side, rows, time.process_time) for side in sides]


def _through_child(model: Path, lora: Path | None, rows: Sequence[Row]) -> list[float]:
    """What a row costs the child, and what it costs the process that asked."""
    with EngineChild(model, lora=lora) as child:

        def childs_time() -> float:
            stat = Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()
            return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

        clocks = (childs_time, time.process_time)
        return [_seconds(child.log_probs, rows, clock) for clock in clocks]


def _seconds(
    side: Callable[[list[int], int], object], rows: Sequence[Row], clock: Callable[[], float]
) -> float:
    side(*rows[-1])
    start = clock()
    for row in rows:
        side(*row)
    return (clock() - start) / len(rows)


if __name__ == "__main__":
    main()
