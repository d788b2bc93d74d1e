"""The searching half of `tunedesk library`: passages as JSON and as text, one question or many."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from converters.errors import UserError
from desktop.commands.consent_question import say_aside
from desktop.commands.context import Context, Output
from desktop.commands.meaning import MeaningWish, Slot, opened_slot, say_how, words_alone
from desktop.commands.searched import searched_text
from desktop.documents.database import LibraryDamaged
from desktop.documents.embedder import Embedder
from desktop.documents.library import Library, with_library
from desktop.documents.lookup import PostingsCache
from desktop.documents.meaning import ask_with_meaning, with_library_async
from desktop.documents.packs import shipped_packs
from desktop.documents.passages import Answer, Passage, ask
from desktop.documents.shelf import Place

_SHOWN_CHARACTERS = 400
_MOST_FAILURES = 2  # in a row; then the rest of the questions is asked by words alone


@dataclass(frozen=True)
class Question:
    """A question. file: a document to pin, "" for none. place: "Line 3 of ..." of a batch file."""

    q: str
    file: str
    place: str = ""


@dataclass(frozen=True)
class Search:
    """The options of a search. k: how many passages. packs: whether packs add to a question."""

    k: int
    packs: bool
    meaning: MeaningWish


def answer_one(context: Context, place: Place, question: Question, search: Search) -> Output:
    """The passages for one question."""
    (answer,) = _answers(context, place, [question], search)
    if context.as_json:
        context.say(searched_text(answer))
    return Output([_value(passage) for passage in answer.passages], _text(answer))


def answer_all(
    context: Context, place: Place, questions: Sequence[Question], search: Search
) -> Output:
    """A list of such lists, in the order of the questions."""
    answers = _answers(context, place, questions, search)
    if context.as_json:
        for number, answer in enumerate(answers, 1):
            context.say(f"{number}. {searched_text(answer)}")
    texts = [f"{one.q}\n{_text(answer)}" for one, answer in zip(questions, answers, strict=True)]
    value = [[_value(passage) for passage in answer.passages] for answer in answers]
    return Output(value, "\n\n".join(texts))


def read_batch(path: Path, file: str) -> list[Question]:
    """The questions of a file of JSON lines. file: the document of those that name none.

    Raises UserError with the number of a bad line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            "The file of questions could not be read.", f"{path}: {error}.",
            'It holds one JSON object a line: {"q": "..."}.',
        ) from error
    return [_question(path, number, line, file)
            for number, line in enumerate(lines, 1) if line.strip()]  # fmt: skip


def _question(path: Path, number: int, line: str, pinned: str) -> Question:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    fields = row if isinstance(row, dict) else {}
    q, file = fields.get("q"), fields.get("file") or pinned
    if not (isinstance(q, str) and q.strip() and isinstance(file, str)):
        raise UserError(
            "A line of the questions is not as it must be.",
            f'Line {number} of {path} is no JSON object with a text "q" (and a text "file").',
            'Write it as {"q": "What were the net sales?", "file": "report.pdf"}.',
        )
    return Question(q, file, f"Line {number} of {path}: ")


def _answers(
    context: Context, place: Place, questions: Sequence[Question], search: Search
) -> list[Answer]:
    """By words alone without any server or loop; else by the model that is found."""
    reason = words_alone(context, search.meaning)
    if reason is None:
        return asyncio.run(_answers_by_meaning(context, place, questions, search))
    packs, cache = shipped_packs() if search.packs else (), PostingsCache()

    def work(library: Library) -> list[Answer]:
        answers: list[Answer] = []
        for one in questions:
            with _told(one):
                answers.append(ask(library, one.q, packs, search.k, one.file, cache))
        return answers

    answers = with_library(place.folder, work, context.say)
    if reason:
        say_how(reason, has_meaning=False)
    return answers


@contextmanager
def _told(question: Question) -> Iterator[None]:
    """Say of an error which line of a batch it is of; a damaged library is none of a line."""
    try:
        yield
    except LibraryDamaged:
        raise
    except UserError as error:
        if not question.place:
            raise
        raise UserError(error.title, f"{question.place}{error.detail}", error.hint) from error


async def _answers_by_meaning(
    context: Context, place: Place, questions: Sequence[Question], search: Search
) -> list[Answer]:
    async with opened_slot(context, search.meaning) as slot:

        async def work(library: Library) -> list[Answer]:
            return await _ask_each(library, questions, search, slot.embedder)

        answers = await with_library_async(place.folder, work, context.say)
    _say_meaning(answers, slot)
    return answers


async def _ask_each(
    library: Library, questions: Sequence[Question], search: Search, embedder: Embedder | None
) -> list[Answer]:
    packs, cache = shipped_packs() if search.packs else (), PostingsCache()
    answers: list[Answer] = []
    for one in questions:
        reasons = [answer.words_alone for answer in answers[-_MOST_FAILURES:]]
        given_up = reasons[-1] if len(reasons) == _MOST_FAILURES and all(reasons) else ""
        with _told(one):
            answer = await ask_with_meaning(
                library, one.q, None if given_up else embedder, packs, search.k, one.file, cache
            )
        answers.append(replace(answer, words_alone=given_up) if given_up else answer)
    return answers


def _say_meaning(answers: Sequence[Answer], slot: Slot) -> None:
    """Which model was used, or why none, also for some of many questions."""
    reasons = Counter(answer.words_alone for answer in answers if answer.words_alone)
    failed = sum(reasons.values())
    if slot.embedder is None:
        say_how(slot.told, has_meaning=False)
    elif failed == len(answers) and failed:
        say_how(next(iter(reasons)), has_meaning=False)
    else:
        part = f"; {failed} of {len(answers)} questions by words alone: " if failed else ""
        say_how(f"{slot.told}{part}{' '.join(reasons)}", has_meaning=True)
    if unkept := next((answer.not_kept for answer in answers if answer.not_kept), ""):
        say_aside(f"The vectors of meaning were used and not kept. {unkept}")


def _value(passage: Passage) -> dict[str, Any]:
    return {
        "file": passage.file, "path": passage.path, "page": passage.page, "score": passage.score,
        "text": passage.text, "rects": [list(rect) for rect in passage.rects], "by": passage.by,
        "why": passage.why, "hidden": passage.has_hidden,
    }  # fmt: skip


def _text(answer: Answer) -> str:
    return "\n\n".join([searched_text(answer), *map(_passage_text, answer.passages)])


def _passage_text(passage: Passage) -> str:
    text = " ".join(passage.text.split())
    cut = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + " ..."
    marked = "  (holds text that a reader does not see)" if passage.has_hidden else ""
    return (
        f"{passage.file}, page {passage.page}  score {passage.score:.2f}  {passage.why}{marked}\n"
        f"  {cut}"
    )
