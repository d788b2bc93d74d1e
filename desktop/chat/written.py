"""A conversation as text: JSONL for programs, Markdown for people. Knows no files."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

from desktop.chat.conversations import Conversations
from desktop.chat.ratings import rating_of

_CODE = re.compile(r"^ {0,3}(`{3,}|~{3,})[^\n]*\n(?s:.*?)(?:^ {0,3}\1[^\n]*$|\Z)|`[^`\n]+`", re.M)
_ACTING = re.compile(r"^ {0,3}(?:#|=+\s*$|-+\s*$)|!(?=\[)|<|\](?=\()", re.M)
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)


def as_jsonl(conversations: Conversations, conversation: int) -> Iterator[str]:
    """Lines of JSON: the conversation, then every turn of every branch, oldest first."""
    here = conversations.get(conversation)
    head = {
        "conversation": here.id, "title": here.title, "model": here.model, "window": here.window,
        "system": here.system, "library": here.library, "file": here.file,
        "created": here.created, "last_turn": here.last_turn,
    }  # fmt: skip
    yield _line(head)
    for (number,) in conversations.read(
        "SELECT id FROM turns WHERE conversation = ? ORDER BY id", conversation
    ):
        turn, rating = conversations.turn(number), rating_of(conversations, number)
        value = {
            "turn": turn.id, "parent": turn.parent, "role": turn.role, "text": turn.text,
            "sent": turn.sent, "complete": turn.is_final, "reason": turn.reason,
            "request": turn.request, "prompt_tokens": turn.prompt_tokens,
            "answer_tokens": turn.answer_tokens, "created": turn.created,
            "passages": [passage.model_dump(mode="json") for passage in turn.passages],
            "checked": json.loads(turn.checked) if turn.checked else None,
        }  # fmt: skip
        if rating is not None:
            value["rating"] = {"good": rating.is_good, "correction": rating.correction}
        yield _line(value)


def as_markdown(conversations: Conversations, conversation: int) -> str:
    """The branch that is shown, with the sources of each answer; partial answers say so."""
    here = conversations.get(conversation)
    title = _plain(" ".join(here.title.split())) or "Conversation"
    parts = [f"# {title}", f"{here.model}, {here.created[:16]} UTC"]
    for turn in conversations.branch(conversation):
        who = "You" if turn.role == "user" else here.model
        mark = "" if turn.is_final else f" (incomplete: {turn.reason.rstrip('.')})"
        parts += [f"## {who}{mark}", _closed(_plain(turn.text))]
        if cited := json.loads(turn.checked).get("citations", ()) if turn.checked else ():
            parts.append("\n".join(map(_source, cited)))
    return "\n\n".join(parts) + "\n"


def _source(one: dict[str, Any]) -> str:
    how = " (matched by its words, not cited)" * (one["how"] == "matched")
    quote = _plain(" ".join(one["quote"].split()))
    return f"- [{one['n']}] {_plain(one['file'])}, page {one['page']}{how}: {quote}"


def _plain(text: str) -> str:
    """Outside of code: no heading, image, HTML or link that a reader of Markdown would act on."""
    code = list(_CODE.finditer(text))
    cuts = [0, *(at for found in code for at in found.span()), len(text)]
    spans = itertools.pairwise(cuts)
    return "".join(
        text[start:end] if at % 2 else _ACTING.sub(r"\\\g<0>", text[start:end])
        for at, (start, end) in enumerate(spans)
    )


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _closed(text: str) -> str:
    """With its last code block closed: half an answer must not swallow what follows."""
    fence = ""
    for found in _FENCE.finditer(text):
        sign = found[1]
        if not fence:
            fence = sign
        elif sign[0] == fence[0] and len(sign) >= len(fence):
            fence = ""
    return f"{text}\n{fence}" if fence else text
