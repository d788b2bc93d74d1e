"""The searching half of `tunedesk library`: passages as JSON and as text, one question or many."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.errors import UserError
from desktop.commands.context import Context, Output
from desktop.documents.library import Library, with_library
from desktop.documents.lookup import PostingsCache
from desktop.documents.packs import Pack, shipped_packs
from desktop.documents.passages import Answer, Passage, ask
from desktop.documents.shelf import Place

_SHOWN_NAMES = 8
_SHOWN_CHARACTERS = 400


@dataclass(frozen=True)
class Question:
    """A line of a batch file. file: a document to pin, "" for none."""

    q: str
    file: str


def answer_one(
    context: Context, place: Place, question: str, k: int, file: str, use_packs: bool
) -> Output:
    """The passages for one question."""
    packs = shipped_packs() if use_packs else ()

    def work(library: Library) -> Answer:
        return ask(library, question, packs, k, file)

    answer = with_library(place.folder, work, context.say)
    said = _searched(answer)
    if context.as_json:
        context.say(said)
    return Output([_value(passage) for passage in answer.passages], _text(answer, said))


def answer_all(
    context: Context, place: Place, questions: Sequence[Question], k: int, file: str,
    use_packs: bool,
) -> Output:
    """A list of such lists, in the order of the questions."""
    packs = shipped_packs() if use_packs else ()
    cache = PostingsCache()

    def work(library: Library) -> list[Answer]:
        return [_asked(library, one, packs, k, file, cache) for one in questions]

    answers = with_library(place.folder, work, context.say)
    texts = [f"{one.q}\n{_text(answer, _searched(answer))}"
             for one, answer in zip(questions, answers, strict=True)]  # fmt: skip
    value = [[_value(passage) for passage in answer.passages] for answer in answers]
    return Output(value, "\n\n".join(texts))


def read_batch(path: Path) -> list[Question]:
    """The questions of a file of JSON lines. Raises UserError with the number of a bad line."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            "The file of questions could not be read.", f"{path}: {error}.",
            'It holds one JSON object a line: {"q": "..."}.',
        ) from error
    return [_question(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _question(path: Path, number: int, line: str) -> Question:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    fields = row if isinstance(row, dict) else {}
    q, file = fields.get("q"), fields.get("file") or ""
    if not (isinstance(q, str) and q.strip() and isinstance(file, str)):
        raise UserError(
            "A line of the questions is not as it must be.",
            f'Line {number} of {path} is no JSON object with a text "q" (and a text "file").',
            'Write it as {"q": "What were the net sales?", "file": "report.pdf"}.',
        )
    return Question(q, file)


def _asked(
    library: Library, one: Question, packs: Sequence[Pack], k: int, file: str,
    cache: PostingsCache,
) -> Answer:
    return ask(library, one.q, packs, k, one.file or file, cache)


def _value(passage: Passage) -> dict[str, Any]:
    return {
        "file": passage.file, "path": passage.path, "page": passage.page, "score": passage.score,
        "text": passage.text, "rects": [list(rect) for rect in passage.rects], "by": passage.by,
        "why": passage.why, "hidden": passage.has_hidden,
    }  # fmt: skip


def _searched(answer: Answer) -> str:
    names = answer.searched[:_SHOWN_NAMES]
    more = len(answer.searched) - len(names)
    said = f"Searched in: {', '.join(names) or 'no document'}" + (f" and {more} more" * bool(more))
    if answer.pages_indexed < answer.pages:
        said += f". {answer.pages_indexed:,} of {answer.pages:,} pages indexed so far"
    return said + "."


def _text(answer: Answer, said: str) -> str:
    if not answer.passages:
        return f"{said}\nNothing was found."
    return "\n\n".join([said, *map(_passage_text, answer.passages)])


def _passage_text(passage: Passage) -> str:
    text = " ".join(passage.text.split())
    cut = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + " ..."
    marked = "  (holds text that a reader does not see)" if passage.has_hidden else ""
    return (
        f"{passage.file}, page {passage.page}  score {passage.score:.2f}  {passage.why}{marked}\n"
        f"  {cut}"
    )
