"""The texts that are sent: the system text, and a question with its passages.

Passages stand in the turn that asked for them and stay there, so every prompt extends the one
before. They are delimited and called data; nothing in them can end them or begin another turn.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import resources
from desktop.chat.passages import Passage

NOT_FOUND = "This is not in your documents."
_NOT_FOUND_WORDS = ("not in your documents", "not in the documents", "not in your document")
_ANSWER_CHARACTERS = 200  # a longer answer that has those words says something else as well
# What templates of the known families and our own delimiters are made of. The `<|...|>` family
# covers ChatML, Llama 3, Phi, Granite and gpt-oss.
_CONTROL = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|</?(?:s|bos|eos|pad|unk|passages)>|<(?:start|end)_of_turn>|<\|?turn\|?>"
    r"|\[/?INST\]|\[/?SYSTEM_PROMPT\]|<</?SYS>>|<｜[^｜<>\n]{1,40}｜>",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Harmless:
    """A text in which nothing is a control token; count: how many were taken apart."""

    text: str
    count: int


def harmless(text: str, control_texts: Iterable[str] = ()) -> Harmless:
    """Put a space behind the first character of whatever a template could take for its own.

    control_texts: those of the model's vocabulary, where it is known.
    """
    known = [re.escape(one) for one in control_texts if len(one) > 1 and not one.isalnum()]
    made, count = _CONTROL.subn(_apart, text)
    if known:
        known.sort(key=len, reverse=True)
        made, more = re.subn("|".join(known), _apart, made)
        count += more
    return Harmless(made, count)


@cache
def system_text(kind: str) -> str:
    """The system text of `resources/prompts/<kind>.txt`: passages, or whole_document."""
    return resources.path(f"prompts/{kind}.txt").read_text(encoding="utf-8").strip()


def whole_document_text(passages: Sequence[Passage], control_texts: Iterable[str] = ()) -> str:
    """The system text of a conversation about one document, which stands in it whole."""
    return f"{system_text('whole_document')}\n\n{block(passages, control_texts)}"


def block(passages: Sequence[Passage], control_texts: Iterable[str] = ()) -> str:
    """The passages between their delimiters."""
    texts = "\n\n".join(passage_text(passage, control_texts) for passage in passages)
    return f"<passages>\n{texts}\n</passages>"


def passage_text(passage: Passage, control_texts: Iterable[str] = ()) -> str:
    """One passage as it is sent: number, file, page, text."""
    name = " ".join(harmless(passage.file, control_texts).text.split())
    text = harmless(passage.text, control_texts).text
    return f"[{passage.n}] {name}, page {passage.page}:\n{text}"


def question_text(
    question: str, new: Sequence[Passage], again: Sequence[Passage] = (),
    control_texts: Iterable[str] = (),
) -> str:  # fmt: skip
    """A question with the passages that were found for it.

    new: those that stand in no prompt yet. again: those that an earlier turn carries.
    """
    parts = [block(new, control_texts)] if new else []
    if again:
        parts.append(f"Passages above that may help: {', '.join(f'[{one.n}]' for one in again)}.")
    if not parts:
        parts.append("No passage was found for this question.")
    return "\n\n".join([*parts, f"Question: {question}"])


def says_not_found(answer: str) -> bool:
    """Whether an answer says nothing but that the documents do not tell."""
    short = " ".join(answer.split()).casefold()
    return len(short) <= _ANSWER_CHARACTERS and any(words in short for words in _NOT_FOUND_WORDS)


def _apart(found: re.Match[str]) -> str:
    return f"{found[0][0]} {found[0][1:]}"
