"""Rows of a job as text and ids: what `inspect` shows is what the job trains, by the same code."""

from dataclasses import dataclass
from pathlib import Path

from converters.events import Note, Report, ShouldStop
from converters.gguf.header import Header
from desktop.engine.child import EngineChild, VocabularyInfo
from desktop.jobs.data import Data, Reading, require_trainable, tokens_of
from desktop.jobs.render import FEW_SHOTS, Render, RenderedRow, end_of_turn, few_shot_chat
from desktop.jobs.render import render_split as render_rows
from finetune.data.segments import TokenRow, TokenRows
from finetune.spec import TuneSpec

NO_LIMIT = 2**31
FEW_SHOT_ROWS = 100
# A few-shot prompt holds three examples: longer than this many limits it costs more than it tells.
FEW_SHOT_LIMITS = 4


@dataclass(frozen=True)
class PreparedText:
    """Rendered rows and their ids; max_tokens is the limit that was applied."""

    rendered: list[RenderedRow]
    train: TokenRows
    held_out: TokenRows
    reading: Reading
    vocabulary: VocabularyInfo
    max_tokens: int

    @property
    def cut(self) -> int:
        """How many rows the limit cut."""
        return len(self.train.cut) + len(self.held_out.cut)


@dataclass(frozen=True)
class TextSource:
    """The base's file and header, and how it renders."""

    path: Path
    header: Header
    render: Render


def prepare_text(
    source: TextSource, child: EngineChild, data: Data, tune: TuneSpec, report: Report,
    should_stop: ShouldStop,
) -> PreparedText:
    """Render and tokenise every row. Raises UserError if nothing fits, Stopped when asked to."""
    vocabulary = child.vocabulary()
    reading = reading_of(child, vocabulary, source.render)
    rendered = list(
        render_rows(data.parts, source.render, reading.end_of_turn, report, should_stop)
    )
    max_tokens = min(tune.max_tokens, context_length(source.header))
    train, held_out = (
        tokens_of([row for row in rendered if row.split == split], reading, max_tokens,
                  tune.too_long)
        for split in ("train", "held_out")
    )  # fmt: skip
    require_trainable(train, held_out, max_tokens)
    return PreparedText(rendered, train, held_out, reading, vocabulary, max_tokens)


def reading_of(child: EngineChild, vocabulary: VocabularyInfo, render: Render) -> Reading:
    """How the base reads text, with its end of turn found by a two-turn render."""
    def first_id(text: str) -> int | None:
        (ids,) = child.tokenize([text])
        return ids[0] if ids else None

    default = vocabulary.eot if vocabulary.eot is not None else vocabulary.eos
    ends = {token: vocabulary.text(token) for token in vocabulary.end_tokens}
    return Reading(
        bos=vocabulary.bos if vocabulary.add_bos else None,
        end_of_turn=end_of_turn(render, ends, first_id, vocabulary.text(default)),
        tokenize=lambda texts, special: child.tokenize((text, special) for text in texts),
    )


def few_shot_rows(
    source: TextSource, prepared: PreparedText, report: Report
) -> list[TokenRow]:
    """Held-out rows that were kept whole, each behind three training examples; none (and a note)
    where such prompts are too long."""
    examples = [row for row in prepared.rendered if row.split == "train"][:FEW_SHOTS]
    kept = {row.number for row in prepared.held_out.rows} - set(prepared.held_out.cut)
    chosen = [
        row for row in prepared.rendered if row.split == "held_out" and row.number in kept
    ][:FEW_SHOT_ROWS]
    shown = [_behind_examples(source.render, examples, row) for row in chosen]
    rows = tokens_of(shown, prepared.reading, context_length(source.header), "skip")
    longest = max((len(row.ids) for row in rows.rows), default=0)
    if rows.skipped or longest > FEW_SHOT_LIMITS * prepared.max_tokens:
        report(Note("info", "The few-shot score is left out: its prompts are too long."))
        return []
    return list(rows.rows)


def context_length(header: Header) -> int:
    """The model's own limit in tokens; no limit where the file names none."""
    return int(header.number(f"{header.architecture}.context_length", NO_LIMIT))


def note_rows(data: Data) -> Note:
    """What was read, in one sentence each: trained, measured, rejected, repeated, left out."""
    rows, parts = data.rows, data.parts
    sentences = [
        f"{len(parts.train)} rows are trained, {len(parts.held_out)} are only measured."
    ]
    rejected = [*rows.rejected, *(data.held_out.rejected if data.held_out else ())]
    if rejected:
        first = "; ".join(f"row {bad.row}: {bad.reason}" for bad in rejected[:3])
        sentences.append(f"{len(rejected)} rows were rejected ({first}).")
    if rows.duplicates:
        sentences.append(f"{rows.duplicates} rows repeat an earlier one.")
    if data.overlap:
        sentences.append(f"{data.overlap} training rows also stand in the held-out file: left out.")
    return Note("warning" if rejected else "info", " ".join(sentences))


def note_limits(prepared: PreparedText) -> Note | None:
    """What the limit did, None if nothing."""
    parts = (prepared.train, prepared.held_out)
    lost = sum(len(rows.skipped) + len(rows.all_masked) for rows in parts)
    if not prepared.cut and not lost:
        return None
    return Note("warning", (
        f"{prepared.cut} rows are longer than {prepared.max_tokens:,} tokens and were cut; "
        f"{lost} were left out because no part of their answer fits."
    ))


def _behind_examples(
    render: Render, examples: list[RenderedRow], row: RenderedRow
) -> RenderedRow:
    text = render(few_shot_chat(examples, row))
    return row.model_copy(update={"segments": [(text, False), *row.segments[1:]]})
